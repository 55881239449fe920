"""What is shown of one recording: its answer, a closer look at a second of it, and the figures of both as SVG."""

import base64
import functools
import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import librosa
import matplotlib
import numpy as np
import soundfile
import soxr
from matplotlib.figure import Figure

from speaker_gender.classifying.classification import (
    Answer,
    Windows,
    as_windows,
    classify_channels,
    classify_pieces,
    classify_windows,
    windows_of,
)
from speaker_gender.classifying.classifier import Classifier
from speaker_gender.classifying.timeline import Stretch
from speaker_gender.config import RECORDING_SAMPLES, ROOT, SAMPLE_RATE
from speaker_gender.showing.explanation import explain
from speaker_gender.showing.figures import EXTENTS, draw_image, draw_timeline
from speaker_gender.sound.pitch import PITCH_HOP, PITCH_RATE, PITCH_WINDOW, PITCHES, pitch_track
from speaker_gender.sound.reading import INT16_FULL_SCALE, AudioError, measure_channels, read_pieces
from speaker_gender.sound.speech import Window

MOST_SECONDS = 3_600  # of a recording
EMBEDDED_SECONDS = 60  # of a recording that is played from the page itself; a longer one is played from a file
PLAYED_RATE = 16_000  # Hz, of such a file
ENVELOPE_SECONDS = 0.02  # of sound for each lowest and highest sample that are kept
WAVEFORM_COLUMNS = 600  # of lowest and highest sample, about a pixel each
PITCH_TICKS = (100, 200, 300, 400)  # Hz
TYPICAL = {
    "female": (165, 255),
    "male": (85, 155),
}  # Hz, F0 of most adults (Titze, Principles of Voice Production, 1994)
AUDIBLE = 0.01  # of the loudest frame's amplitude: 40 dB below
INK = "#010203"  # stands for the page's text colour in figures until they are in the page
BANDS = ROOT / "results" / "shipped" / "mixed_recordings.json"

REASONS = {
    "silence": "it is silent. Is the microphone muted, or is another one in use?",
    "no speech": "no speech was found in it (or a whisper).",
    "too short": "there is hardly any speech in it. Say a whole word.",
}

_one_at_a_time = threading.Lock()  # matplotlib's style and the model are the process's, not a thread's


@dataclass(frozen=True)
class Look:
    """A closer look at one window: start and stop in seconds, its picture as SVG, its median F0 in Hz.

    explained: whether the picture has its Grad-CAM.
    """

    start: float
    stop: float
    p_female: float
    picture: str
    median_pitch: float | None
    explained: bool = True


@dataclass(frozen=True)
class Result:
    """What is shown of one recording.

    source: its file; player: what its player plays; sound: waveform and timeline as SVG, '' where the look has it all;
    look: None where there is no speech; kept: the file that it was kept as.
    """

    name: str
    answer: Answer
    source: Path
    player: str
    sound: str
    look: Look | None
    kept: str | None = None


def analyse(classifier: Classifier, path: Path, *, name: str) -> Result:
    """Everything that is shown of a sound file; why there is no answer is in the result's answer, as a sentence."""
    with _one_at_a_time:
        try:
            return _analysed(classifier, path, name)
        except AudioError as error:
            reason = f"{error.problem}."
        except (OSError, ValueError, RuntimeError) as error:  # whatever else is wrong with one file
            reason = f"it cannot be analysed ({getattr(error, 'strerror', None) or type(error).__name__})."
        unread = Answer(name, "unreadable", None, None, None, None, 0, reason, None, {}, ())
        return Result(name, unread, path, "", "", None)


def _analysed(classifier: Classifier, path: Path, name: str) -> Result:
    envelope: list[np.ndarray] = []
    beginning: list[np.ndarray] = []
    report: list[str] = []
    rate, channels = classifier.view.sample_rate, measure_channels(path)
    mixed = read_pieces(path, sample_rate=rate, report=report, weights=channels and channels.weights)
    observed = _observed(mixed, path, rate, envelope, beginning)
    answer = classify_pieces(classifier, observed, file=name, report=report)
    answer = classify_channels(classifier, path, channels, file=name) or answer
    lowest_highest = np.concatenate(envelope)
    player = _player(path, answer.seconds or 0, beginning, rate)
    if answer.gender is None:
        answer = replace(answer, reason=REASONS.get(answer.reason or "", f"{answer.reason}."))
        return Result(name, answer, path, player, to_svg(sound_figure, lowest_highest, answer, None), None)
    first = answer.timeline[0]
    look = _look(classifier, path, answer, at=(first.start + min(first.stop, first.start + 1)) / 2)
    sound = to_svg(sound_figure, lowest_highest, answer, look) if answer.windows > 1 else ""
    return Result(name, answer, path, player, sound, look)


def _observed(
    pieces: Iterator[np.ndarray], path: Path, rate: int, envelope: list[np.ndarray], beginning: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """The pieces, while their lowest and highest samples are kept, and the first minute as it is. Raises AudioError."""
    hop, n_samples = round(ENVELOPE_SECONDS * rate), 0
    for piece in pieces:
        n_samples += len(piece)
        if n_samples > MOST_SECONDS * rate:
            raise AudioError(path, "is longer than an hour; choose a part of it, or use scripts/classify_wavs.py")
        if not beginning:
            beginning.append(piece[: EMBEDDED_SECONDS * rate])
        edges = np.arange(0, len(piece), hop)
        envelope.append(np.stack([np.minimum.reduceat(piece, edges), np.maximum.reduceat(piece, edges)], axis=1))
        yield piece


def _player(path: Path, seconds: float, beginning: list[np.ndarray], rate: int) -> str:
    """Where the player finds the sound: in the page itself, or in an MP3 beside the file."""
    if seconds <= EMBEDDED_SECONDS:
        return f"data:audio/wav;base64,{base64.b64encode(wav_bytes(beginning[0], sample_rate=rate)).decode()}"
    played = path.with_name("played.mp3")
    with soundfile.SoundFile(played, "w", PLAYED_RATE, 1, format="MP3", subtype="MPEG_LAYER_III") as file:
        for piece in read_pieces(path, sample_rate=PLAYED_RATE, report=[]):
            file.write((piece / INT16_FULL_SCALE).clip(-1, 1))
    return f"/gradio_api/file={quote(str(played))}"


def closer_look(classifier: Classifier, path: Path, answer: Answer, *, at: float) -> Look:
    """The window of speech nearest to a time (seconds): what the model saw of it, where it looked, and its pitch."""
    with _one_at_a_time:
        return _look(classifier, path, answer, at=at)


def _look(classifier: Classifier, path: Path, answer: Answer, *, at: float) -> Look:
    start, stop, channel = window_near(answer.timeline, at)
    rate = classifier.view.sample_rate
    signal = _part(path, start, stop, channel, rate)
    windows = windows_of(classifier, signal).select(slice(1))
    if not len(windows.images):  # on its own it may be too little for the detector of speech
        windows = as_windows(classifier, [Window(0, signal - signal.mean())])
    pitch = audible_pitch(signal if rate == PITCH_RATE else soxr.resample(signal, rate, PITCH_RATE))
    maps = explain(classifier, windows)
    cam = None if maps is None else maps[0]
    return Look(
        start,
        stop,
        float(classify_windows(classifier, windows)[0]),
        to_svg(look_figure, signal, rate, pitch, windows, cam, start, view=classifier.card["view"]),
        median(pitch),
        maps is not None,
    )


def window_near(timeline: tuple[Stretch, ...], at: float) -> tuple[float, float, int | None]:
    """Start and stop, in seconds, and channel of a window of up to a second in the stretch nearest to a time."""
    stretch = min(timeline, key=lambda stretch: max(stretch.start - at, at - stretch.stop, 0))
    length = RECORDING_SAMPLES / SAMPLE_RATE
    start = min(max(at - length / 2, stretch.start), max(stretch.stop - length, stretch.start))
    return start, min(start + length, stretch.stop), stretch.channel


def _part(path: Path, start: float, stop: float, channel: int | None, rate: int) -> np.ndarray:
    """The signal of a file, or of one of its channels, between two times in seconds."""
    first, last, passed, found = round(start * rate), round(stop * rate), 0, []
    weights = None if channel is None else channel - 1
    for piece in read_pieces(path, sample_rate=rate, report=[], weights=weights):
        if passed + len(piece) > first:
            found.append(piece[max(first - passed, 0) : last - passed])
        passed += len(piece)
        if passed >= last:
            break
    return np.concatenate(found)[: RECORDING_SAMPLES * rate // SAMPLE_RATE]


def audible_pitch(signal: np.ndarray) -> np.ndarray:
    """The pitch track of a signal at 16 kHz, with nan where it is 40 dB below the loudest frame; shape (frames,).

    pyin does not mind how loud a frame is, and finds a pitch in what filters leave behind in digital silence.
    """
    loudness = librosa.feature.rms(y=signal, frame_length=PITCH_WINDOW, hop_length=PITCH_HOP)[0]
    return np.where(loudness > loudness.max() * AUDIBLE, pitch_track(signal), np.nan)


def median(pitch: np.ndarray) -> float | None:
    """Median F0 in Hz of a track with nan where nothing is voiced; None where nothing is."""
    return None if np.isnan(pitch).all() else float(np.nanmedian(pitch))


def wav_bytes(signal: np.ndarray, *, sample_rate: int) -> bytes:
    """A signal on the int16 scale, shape (samples,), as the bytes of a mono 16-bit WAV."""
    buffer = io.BytesIO()
    int16 = np.clip(np.rint(signal), -INT16_FULL_SCALE, INT16_FULL_SCALE - 1).astype(np.int16)
    soundfile.write(buffer, int16, sample_rate, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def to_svg(draw: Callable[..., Figure], *arguments, **options) -> str:
    """The figure that `draw` returns, as an SVG element whose text and lines take the colour of the page's text."""
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color")
    style = {"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    style |= {"text.usetex": False, "text.parse_math": False}
    with matplotlib.rc_context(style | dict.fromkeys(inked, INK)):  # type: ignore[arg-type]  # names are not literals
        buffer = io.StringIO()
        draw(*arguments, **options).savefig(buffer, format="svg", transparent=True, dpi=200, metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


def sound_figure(envelope: np.ndarray, answer: Answer, look: Look | None) -> Figure:
    """The waveform, from lowest and highest samples of shape (…, 2), and below it who speaks when.

    The window that is looked at is marked. Labels have heights of their own, so that the timeline can be read in grey.
    """
    seconds, has_timeline = answer.seconds or 1, answer.windows > 1
    figure = Figure(figsize=(3.6, 1.35 + 0.65 * has_timeline), layout="constrained")
    ratios = [1.25, 0.5] if has_timeline else [1]
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    columns = np.array_split(envelope, min(WAVEFORM_COLUMNS, len(envelope)))
    lowest, highest = [column[:, 0].min() for column in columns], [column[:, 1].max() for column in columns]
    axes[0].fill_between(np.linspace(0, seconds, len(columns)), lowest, highest, color=INK, linewidth=0.5)
    axes[0].set_title("waveform", loc="left", fontsize=9)
    axes[0].set(xlim=(0, seconds), yticks=[])
    if look is not None:
        axes[0].axvspan(look.start, look.stop, color="#888888", alpha=0.35, linewidth=0)
    if has_timeline:
        draw_timeline(axes[1], answer.timeline, seconds)
    axes[-1].set_xlabel("seconds")
    return figure


def look_figure(
    signal: np.ndarray,
    rate: int,
    pitch: np.ndarray,
    windows: Windows,
    cam: np.ndarray | None,
    start: float,
    *,
    view: str,
) -> Figure:
    """Waveform, pitch, image and Grad-CAM of a window that starts at a time in seconds, on one time axis.

    The image shows a whole second, with as much black before the speech as behind it.
    """
    length = RECORDING_SAMPLES / SAMPLE_RATE
    began, ended = (start + edge for edge in windows.spans[0])
    left = began - (length - (ended - began)) / 2
    n_rows = 3 if cam is None else 4
    figure = Figure(figsize=(3.6, 1.1 * n_rows + 1.1), layout="constrained")
    wave, track, *images = figure.subplots(n_rows, 1, sharex=True, height_ratios=[0.6, 1] + [1.2] * (n_rows - 2))
    columns = np.array_split(signal, min(WAVEFORM_COLUMNS, len(signal)))
    times = start + np.linspace(0, len(signal) / rate, len(columns))
    wave.fill_between(
        times, [part.min() for part in columns], [part.max() for part in columns], color=INK, linewidth=0.5
    )
    wave.set(yticks=[])
    wave.set_title("waveform", loc="left", fontsize=9)
    for gender, (low, high) in TYPICAL.items():
        track.axhspan(low, high, color="#888888", alpha=0.25, linewidth=0)
        track.text(left, (low + high) / 2, f" typical {gender}", va="center", fontsize=7)
    track.plot(start + np.arange(len(pitch)) * PITCH_HOP / PITCH_RATE, pitch, ".", color=INK, markersize=4)
    track.set(ylabel="Hz", ylim=PITCHES, yticks=PITCH_TICKS)
    track.set_title("pitch", loc="left", fontsize=9)
    for axis, title in zip(images, ("what it saw", "where it looked (Grad-CAM)")):
        draw_image(axis, windows.images[0], view=view)
        if axis is not images[0]:
            axis.imshow(cam, cmap="inferno", alpha=0.5, extent=EXTENTS[view], vmin=0, vmax=1, interpolation="bilinear")
        for drawn in axis.get_images():
            drawn.set_extent((left, left + length, *EXTENTS[view][2:]))
        axis.set_aspect("auto")
        axis.set_title(title, loc="left", fontsize=9)
        axis.set_xlabel("")
    images[-1].set(xlabel="seconds", xlim=(left, left + length))
    return figure


@functools.cache
def _bands() -> list[tuple[float, float, int, int]]:
    """Bands of the greater probability: from, to, recordings of development speakers, correctly classified ones."""
    try:
        rows = json.loads(BANDS.read_text(encoding="utf-8"))["rows"].values()
        bands: dict[str, list[int]] = {}
        for row in rows:
            for name, counts in row["accuracy_in_bands"].items():
                total = bands.setdefault(name, [0, 0])
                total[0] += counts["recordings"]
                total[1] += counts["correct"]
        return [(*map(float, name.strip("[)").split(", ")), *counts) for name, counts in bands.items()]  # type: ignore[misc]
    except (OSError, ValueError, KeyError, AttributeError):
        return []


def how_often_right(p_female: float) -> str:
    """A sentence: how often such an answer was right for development speakers; '' where that was not measured."""
    confidence = max(p_female, 1 - p_female)
    for low, high, recordings, correct in _bands():
        if low <= confidence < high and recordings:
            sure = f"{low:.0%} to {min(high, 1):.0%}"
            words = f"{recordings:,} single words of the development sets"
            return f"Of {words} with such a probability ({sure}), {correct:,} were right."
    return ""
