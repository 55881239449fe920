"""The page: recordings made or dropped in a browser, their answers, and what the model saw.

Served to this machine only; it loads nothing from others and keeps nothing unless asked.
"""

import atexit
import base64
import functools
import html
import io
import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

# Both are read when gradio is imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="who_speaks_")

import gradio as gr
import librosa
import matplotlib
import numpy as np
import soundfile
import soxr
from matplotlib.figure import Figure
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from speaker_gender.caching import shown
from speaker_gender.classifying.classification import (
    Answer,
    as_windows,
    classify_channels,
    classify_pieces,
    classify_windows,
    windows_of,
)
from speaker_gender.classifying.classifier import Classifier
from speaker_gender.classifying.timeline import Stretch
from speaker_gender.config import MY_WAVS, RECORDING_SAMPLES, ROOT, SAMPLE_RATE
from speaker_gender.showing.explanation import explain
from speaker_gender.showing.figures import COLOURS, answer_figure, draw_timeline
from speaker_gender.sound.pitch import PITCH_HOP, PITCH_RATE, PITCH_WINDOW, PITCHES, pitch_track
from speaker_gender.sound.reading import INT16_FULL_SCALE, AudioError, measure_channels, read_pieces
from speaker_gender.sound.speech import Window

UPLOADS = Path(os.environ["GRADIO_TEMP_DIR"])
atexit.register(shutil.rmtree, UPLOADS, ignore_errors=True)

ADDRESS = "127.0.0.1"
MOST_SECONDS = 3_600  # of a recording
EMBEDDED_SECONDS = 60  # of a recording that is played from the page itself; a longer one is played from a file
PLAYED_RATE = 16_000  # Hz, of such a file
ENVELOPE_SECONDS = 0.02  # of sound for each lowest and highest sample that are kept
WAVEFORM_COLUMNS = 600  # of lowest and highest sample, about a pixel each
SAMPLES = sorted((ROOT / "nbs" / "my_wavs").glob("synthetic_*.wav"))
PITCH_TICKS = (100, 200, 300, 400)  # Hz
AUDIBLE = 0.01  # of the loudest frame's amplitude: 40 dB below
INK = "#010203"  # stands for the page's text colour in figures until they are in the page

REASONS = {
    "silence": "it is silent. Is the microphone muted, or is another one in use?",
    "no speech": "no speech was found in it (or a whisper).",
    "too short": "there is hardly any speech in it. Say a whole word.",
}

# The browser itself refuses whatever is not from here; Gradio's own scripts need the two kinds of 'unsafe'.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'"

INTRODUCTION = """
# Who speaks?
Say a word or a sentence, or choose sound files (a telephone's voice messages, MP3, WAV, films; up to an hour): does a
trained model take the voice for a female or a male one, and who speaks when? The answer is a corpus's label, one of two
and no more: **do not use it to decide anything about anybody**. Everything stays on this machine.
"""

MEANING = """
## What the label means
The model was trained on recordings of {trained_on}. Each has one of two labels, *female* or *male*, as the corpus's
metadata or the speakers themselves gave it. The answer says which label a recording is more like, with a probability
that was calibrated on speakers who are not in the training set. It says nothing about who anybody is.

## Where your voice goes
Nowhere: this page is served by this machine to this machine, and works without a network. A recording is forgotten when
it is deleted here, or when the page's program stops, unless you keep it in `nbs/my_wavs/`.
"""
SOURCES = {
    "librispeech": "LibriSpeech (English audiobooks)",
    "audiomnist": "AudioMNIST (English digits)",
    "common_voice": "Common Voice (sentences in many languages)",
    "spoken_digits": "spoken digits",
    "synthetic": "synthetic voices",
}

STYLE = """
.gradio-container { width: 100%; max-width: 1240px !important; margin: 0 auto !important; }
#introduction h1 { font-size: 2rem; margin: 0.5rem 0 0.25rem; }
#introduction p, #meaning p { font-size: 1rem; line-height: 1.5; max-width: 68ch; }
#meaning h2 { font-size: 1.1rem; margin: 1rem 0 0.25rem; }
#status { min-height: 1.5em; font-size: 1.05rem; }
#status:focus-visible { outline: 2px solid var(--color-accent); }
.cards { display: grid !important; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr));
    gap: 1rem; align-items: start; }
.card { border: 1px solid var(--border-color-primary); border-radius: 12px; padding: 1rem !important;
    background: var(--background-fill-primary); min-width: 0 !important; gap: 0.75rem !important; }
.card h2 { font-size: 1rem; font-weight: 600; margin: 0; overflow-wrap: anywhere; }
.card .said { font-size: 2rem; font-weight: 700; line-height: 1.2; margin: 0.25rem 0 0.5rem; }
.card .reason { font-size: 1.05rem; margin: 0.5rem 0; }
.card audio { width: 100%; height: 40px; margin: 0.5rem 0; }
.chance { display: grid; grid-template-columns: 3.5rem 1fr 4rem; gap: 0.5rem; align-items: center; margin: 0.25rem 0; }
.chance b { font-weight: 400; text-align: right; font-variant-numeric: tabular-nums; }
.track { height: 0.8rem; border: 1px solid var(--body-text-color-subdued); border-radius: 0.4rem; overflow: hidden; }
.track i { display: block; height: 100%; }
.card button { overflow-wrap: anywhere; }
.dark audio { color-scheme: dark; }
.gradio-container .or { color: inherit; }
.card figure { margin: 0.75rem 0 0; color: var(--body-text-color); }
.card figure svg { display: block; width: 100%; height: auto; }
.card figure text { font-family: var(--font) !important; }
.card figcaption { font-size: 0.85rem; line-height: 1.4; color: var(--body-text-color); margin-top: 0.25rem; }



"""

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {"show_progress": "hidden", **PRIVATE}

# What changes in the line below the inputs is read out by screen readers. It also takes the keyboard's focus when the
# button of a result, which has it, goes away with the result: the next Tab then leads on from there.
ON_LOAD = """() => {
    const status = document.getElementById("status");
    status.setAttribute("role", "status");
    status.setAttribute("aria-live", "polite");
    status.tabIndex = -1;
    const inputs = document.getElementById("inputs");
    let button = null;
    document.addEventListener("focusin", event => { button = inputs.contains(event.target) ? null : event.target; });
    new MutationObserver(() => {
        if (button && !button.isConnected && document.activeElement === document.body) status.focus();
    }).observe(document.body, { childList: true, subtree: true });
}"""


@dataclass(frozen=True)
class Look:
    """A closer look at one window.

    start, stop: seconds; image, pitch: figures as SVG; median_pitch: F0 in Hz; explained: whether the image has its
    Grad-CAM.
    """

    start: float
    stop: float
    p_female: float
    image: str
    pitch: str
    median_pitch: float | None
    explained: bool = True


@dataclass(frozen=True)
class Result:
    """What is shown of one recording.

    source: its file, in a folder of its own under UPLOADS; player: what its player plays; sound: waveform and timeline
    as SVG; look: None where there is no speech. `kept` is the file that it was kept as.
    """

    name: str
    answer: Answer
    source: Path
    player: str
    sound: str
    look: Look | None
    kept: str | None = None


def analyse(classifier: Classifier, path: Path, *, name: str) -> Result:
    """Everything that the page shows of a sound file; why there is no answer is in the result's answer, as a sentence.

    The file is read once; only one window is looked at more closely.
    """
    envelope: list[np.ndarray] = []
    beginning: list[np.ndarray] = []
    report: list[str] = []
    try:
        channels = measure_channels(path)
        mixed = read_pieces(path, report=report, weights=channels and channels.weights)
        pieces = _observed(mixed, path, envelope, beginning)
        at_its_rate = (soxr.resample(piece, SAMPLE_RATE, classifier.view.sample_rate) for piece in pieces)
        answer = classify_pieces(classifier, at_its_rate, file=name, report=report)
        answer = classify_channels(classifier, path, channels, file=name) or answer
    except AudioError as error:
        reason = f"{error.problem}."
        unread = Answer(name, "unreadable", None, None, None, None, 0, reason, None, {}, ())
        return Result(name, unread, path, "", "", None)
    lowest_highest = np.concatenate(envelope)
    player = _player(path, answer.seconds or 0, beginning)
    if answer.gender is None:
        answer = replace(answer, reason=REASONS.get(answer.reason or "", f"{answer.reason}."))
        return Result(name, answer, path, player, to_svg(sound_figure, lowest_highest, answer, None), None)
    first = answer.timeline[0]
    look = closer_look(classifier, path, answer, at=(first.start + min(first.stop, first.start + 1)) / 2)
    return Result(name, answer, path, player, to_svg(sound_figure, lowest_highest, answer, look), look)


def _observed(
    pieces: Iterator[np.ndarray], path: Path, envelope: list[np.ndarray], beginning: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """The pieces, while their lowest and highest samples are kept, and the first minute as it is. Raises AudioError."""
    hop, n_samples = round(ENVELOPE_SECONDS * SAMPLE_RATE), 0
    for piece in pieces:
        n_samples += len(piece)
        if n_samples > MOST_SECONDS * SAMPLE_RATE:
            raise AudioError(path, "is longer than an hour; choose a part of it, or use scripts/classify_wavs.py")
        if not beginning:
            beginning.append(piece[: EMBEDDED_SECONDS * SAMPLE_RATE])
        edges = np.arange(0, len(piece), hop)
        envelope.append(np.stack([np.minimum.reduceat(piece, edges), np.maximum.reduceat(piece, edges)], axis=1))
        yield piece


def _player(path: Path, seconds: float, beginning: list[np.ndarray]) -> str:
    """Where the player finds the sound: in the page itself, or in an MP3 beside the file."""
    if seconds <= EMBEDDED_SECONDS:
        return f"data:audio/wav;base64,{base64.b64encode(wav_bytes(beginning[0])).decode()}"
    played = path.with_name("played.mp3")
    with soundfile.SoundFile(played, "w", PLAYED_RATE, 1, format="MP3", subtype="MPEG_LAYER_III") as file:
        for piece in read_pieces(path, sample_rate=PLAYED_RATE, report=[]):
            file.write((piece / INT16_FULL_SCALE).clip(-1, 1))
    return f"/gradio_api/file={played}"


def closer_look(classifier: Classifier, path: Path, answer: Answer, *, at: float) -> Look:
    """The window of speech nearest to a time (seconds): what the model saw of it, where it looked, and its pitch."""
    start, stop, channel = window_near(answer.timeline, at)
    signal = _part(path, start, stop, channel)
    at_its_rate = soxr.resample(signal, SAMPLE_RATE, classifier.view.sample_rate)
    windows = windows_of(classifier, at_its_rate).select(slice(1))
    if windows.reason:  # on its own it may be too little for the detector of speech
        windows = as_windows(classifier, [Window(0, at_its_rate - at_its_rate.mean())])
    pitch = audible_pitch(soxr.resample(signal, SAMPLE_RATE, PITCH_RATE))
    maps = explain(classifier, windows)
    return Look(
        start,
        stop,
        float(classify_windows(classifier, windows)[0]),
        to_svg(answer_figure, windows.images, maps, view=classifier.card["view"]),
        to_svg(pitch_figure, pitch, start),
        median(pitch),
        maps is not None,
    )


def window_near(timeline: tuple[Stretch, ...], at: float) -> tuple[float, float, int | None]:
    """Start and stop, in seconds, and channel of a window of up to a second in the stretch nearest to a time."""
    stretch = min(timeline, key=lambda stretch: max(stretch.start - at, at - stretch.stop, 0))
    length = RECORDING_SAMPLES / SAMPLE_RATE
    start = min(max(at - length / 2, stretch.start), max(stretch.stop - length, stretch.start))
    return start, min(start + length, stretch.stop), stretch.channel


def _part(path: Path, start: float, stop: float, channel: int | None) -> np.ndarray:
    """The signal of a file, or of one of its channels, between two times in seconds."""
    first, last, passed, found = round(start * SAMPLE_RATE), round(stop * SAMPLE_RATE), 0, []
    for piece in read_pieces(path, report=[], weights=None if channel is None else channel - 1):
        if passed + len(piece) > first:
            found.append(piece[max(first - passed, 0) : last - passed])
        passed += len(piece)
        if passed >= last:
            break
    return np.concatenate(found)[:RECORDING_SAMPLES]


def audible_pitch(signal: np.ndarray) -> np.ndarray:
    """The pitch track of a signal at 16 kHz, with nan where it is 40 dB below the loudest frame; shape (frames,).

    pyin does not mind how loud a frame is, and finds a pitch in what filters leave behind in digital silence.
    """
    loudness = librosa.feature.rms(y=signal, frame_length=PITCH_WINDOW, hop_length=PITCH_HOP)[0]
    return np.where(loudness > loudness.max() * AUDIBLE, pitch_track(signal), np.nan)


def median(pitch: np.ndarray) -> float | None:
    """Median F0 in Hz of a track with nan where nothing is voiced; None where nothing is."""
    return None if np.isnan(pitch).all() else float(np.nanmedian(pitch))


def wav_bytes(signal: np.ndarray) -> bytes:
    """A signal on the int16 scale at 48 kHz, shape (samples,), as the bytes of a mono 16-bit WAV."""
    buffer = io.BytesIO()
    int16 = np.clip(np.rint(signal), -INT16_FULL_SCALE, INT16_FULL_SCALE - 1).astype(np.int16)
    soundfile.write(buffer, int16, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def to_svg(draw: Callable[..., Figure], *arguments, **options) -> str:
    """The figure that `draw` returns, as an SVG element whose text and lines take the colour of the page's text."""
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor", "xtick.color", "ytick.color")
    style = {"svg.fonttype": "none", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
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
    figure = Figure(figsize=(3.6, 1.55 + 0.65 * has_timeline), layout="constrained")
    ratios = [1.25, 0.5] if has_timeline else [1]
    axes = figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    columns = np.array_split(envelope, min(WAVEFORM_COLUMNS, len(envelope)))
    lowest, highest = [column[:, 0].min() for column in columns], [column[:, 1].max() for column in columns]
    axes[0].fill_between(np.linspace(0, seconds, len(columns)), lowest, highest, color=INK, linewidth=0.5)
    axes[0].set_title("waveform", loc="left", fontsize=9)
    axes[0].set(xlim=(0, seconds), yticks=[])
    if look is not None and has_timeline:
        axes[0].axvspan(look.start, look.stop, color="#888888", alpha=0.35, linewidth=0)
    if has_timeline:
        draw_timeline(axes[1], answer.timeline, seconds)
    axes[-1].set_xlabel("seconds")
    return figure


def pitch_figure(pitch: np.ndarray, start: float) -> Figure:
    """The pitch track of a window that starts at a time, in seconds."""
    figure = Figure(figsize=(3.6, 1.45), layout="constrained")
    axis = figure.subplots()
    axis.plot(start + np.arange(len(pitch)) * PITCH_HOP / PITCH_RATE, pitch, ".", color=INK, markersize=4)
    axis.set_title("pitch", loc="left", fontsize=9)
    axis.set(xlabel="seconds", ylabel="Hz", ylim=PITCHES, yticks=PITCH_TICKS)
    return figure


def percent(probability: float | None) -> str:
    """A probability for reading: no certainty that was never claimed."""
    probability = probability or 0.0
    return "> 99.9%" if probability > 0.999 else "< 0.1%" if probability < 0.001 else f"{probability:.1%}"


def in_words(answer: Answer) -> str:
    """The answer with its numbers: 'female (female 98.0%, male 2.0%)', or how long who speaks."""
    if answer.answer == "mixed":
        return "mixed (" + ", ".join(f"{label} {time:.1f} s" for label, time in answer.speaking_time.items()) + ")"
    return f"{answer.answer} (female {percent(answer.p_female)}, male {percent(answer.p_male)})"


def sentence(result: Result) -> str:
    """The answer as one sentence, for the line that is read out."""
    answer = result.answer
    if answer.gender is None:
        return f"No answer for {result.name}: {answer.reason}"
    warning = f" It {answer.warning}." if answer.warning else ""
    return f"{result.name}: {in_words(answer)}.{warning}"


def card(result: Result) -> str:
    """The HTML of one result."""
    name, answer = html.escape(result.name), result.answer
    parts = [f"<h3>{name}</h3>"]
    if answer.gender is None:
        parts.append(f'<p class="reason"><strong>No answer:</strong> {html.escape(answer.reason or "")}</p>')
    else:
        parts.append(f'<p class="said">{answer.answer}</p>')
        if answer.answer == "mixed":
            parts.append(f"<p>{html.escape(in_words(answer))}</p>")
        else:
            parts += [chance("female", answer.p_female), chance("male", answer.p_male)]
    if answer.warning:
        parts.append(f'<p class="reason"><strong>Note:</strong> it {html.escape(answer.warning)}.</p>')
    if result.player:
        source = html.escape(result.player)
        parts.append(f'<audio controls preload="metadata" aria-label="Play {name}" src="{source}"></audio>')
    if result.sound:
        parts.append(f"<figure>{labelled(result.sound, sound_in_words(result))}</figure>")
    if result.look:
        parts.append(look_html(result, result.look))
    return "\n".join(parts)


def sound_in_words(result: Result) -> str:
    """What the waveform and the timeline show, for those who do not see them."""
    stretches = [f"{part.label} {part.start:.1f} to {part.stop:.1f} s" for part in result.answer.timeline[:20]]
    more = ", …" if len(result.answer.timeline) > 20 else ""
    timeline = f", and who speaks when: {', '.join(stretches)}{more}" if result.answer.windows > 1 else ""
    return f"Waveform of {result.name}{timeline}"


def look_html(result: Result, look: Look) -> str:
    """The closer look at one window."""
    of = f" from {look.start:.1f} to {look.stop:.1f} s" if result.answer.windows > 1 else ""
    label = "female" if look.p_female >= 0.5 else "male"
    saw = f"What the model saw of {result.name}{of}, and where it looked (Grad-CAM) for the label {label}"
    below = "The brighter in the lower image, the more it counted for the answer."
    if not look.explained:
        saw = f"What the model saw of {result.name}{of}"
        below = "Where the model looked takes PyTorch, which bash scripts/run.sh installs."
    pitch = f"Pitch of {result.name}{of}: {pitch_in_words(look.median_pitch)}"
    heading = f"<h4>Second {look.start:.1f} to {look.stop:.1f}: female {percent(look.p_female)}</h4>" if of else ""
    return (
        f"{heading}<figure>{labelled(look.pitch, pitch)}"
        f"<figcaption>Pitch: {pitch_in_words(look.median_pitch)}</figcaption></figure>"
        f"<figure>{labelled(look.image, saw)}"
        f"<figcaption>{below}</figcaption></figure>"
    )


def chance(gender: str, probability: float | None) -> str:
    """A row with the label, a bar, and the probability; the bar says nothing that the number does not."""
    bar = f'<i style="width: {probability or 0:.1%}; background: {COLOURS[gender]}"></i>'
    number = html.escape(percent(probability))
    return f'<div class="chance"><span>{gender}</span><div class="track">{bar}</div><b>{number}</b></div>'


def pitch_in_words(median_pitch: float | None) -> str:
    """The median F0 of a window as words."""
    return "nothing voiced was found" if median_pitch is None else f"median F0 {median_pitch:.0f} Hz"


def labelled(svg: str, text: str) -> str:
    """An SVG element with a text for those who do not see it."""
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(text)}" ', 1)


def unused_name(name: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name} ({number})", number + 1
    return found


def keep(result: Result, folder: Path) -> Path:
    """Writes the recording into the folder, under its name or, where that is taken, with a number; returns the path.

    Raises OSError where it cannot be written.
    """
    stem = re.sub(r"[^\w-]+", "_", Path(result.name).stem).strip("_-")[:80] or "recording"
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = folder / (f"{stem}{result.source.suffix}" if number == 1 else f"{stem}_{number}{result.source.suffix}")
        try:
            with path.open("xb") as kept, result.source.open("rb") as file:
                shutil.copyfileobj(file, kept)
            return path
        except FileExistsError:
            continue
    raise AssertionError  # numbers do not end


def forget(result: Result) -> None:
    """Removes the file of a result, with the folder that it has under UPLOADS."""
    if UPLOADS in result.source.parents:
        shutil.rmtree(result.source.parent, ignore_errors=True)


def forget_all(results: list[Result]) -> None:
    """Removes the files of some results, as of a visitor who has gone."""
    for result in results:
        forget(result)


def trained_on(card: dict) -> str:
    """'237 speakers: LibriSpeech (…) and AudioMNIST (…)', from a model's card."""
    names = [SOURCES.get(source, source) for source in card.get("data", {})] or [str(card.get("corpus", "a corpus"))]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    n_speakers = card.get("speakers", {}).get("train")
    return f"{n_speakers:,} speakers: {listed}" if n_speakers else listed


def build_page(classifier: Classifier) -> gr.Blocks:
    """The page, to be opened with `open_page`."""
    numbers = itertools.count(1)

    def add(paths: list[str], names: list[str], results: list[Result]):
        """What follows from new sound files: the results with theirs in front, and what to say; uploads are gone."""
        sentences = []
        try:
            for path, name in zip(map(Path, paths), names):
                own = Path(tempfile.mkdtemp(dir=UPLOADS)) / f"sound{path.suffix}"
                shutil.copyfile(path, own)
                name = unused_name(name, {result.name for result in results})
                results = [analyse(classifier, own, name=name), *results]
                sentences.append(sentence(results[0]))
        finally:
            for path in map(Path, paths):  # each in a folder of UPLOADS that it shares with files of the same content
                if UPLOADS in path.parents:
                    shutil.rmtree(path.parent, ignore_errors=True)
        return results, html.escape(" ".join(sentences)), None

    def add_recording(path: str | None, results: list[Result]):
        return add([path], [f"Recording {next(numbers)}"], results) if path else (results, "", None)

    def add_sample(path: Path, results: list[Result]):
        return add([str(path)], [path.name], results)[:2]

    def add_files(paths: list[str] | None, results: list[Result]):
        return add(paths or [], [Path(path).name for path in paths or []], results)

    with gr.Blocks(title="Who speaks?", analytics_enabled=False) as page:
        results = gr.State([], delete_callback=forget_all)
        gr.Markdown(INTRODUCTION, elem_id="introduction")
        gr.Markdown("Try a synthetic voice:")
        with gr.Row(elem_id="samples"):
            samples = [gr.Button(path.stem.replace("_", " "), size="sm", min_width=140) for path in SAMPLES]
        with gr.Row(equal_height=True, elem_id="inputs"):
            microphone = gr.Audio(sources="microphone", type="filepath", label="Or speak", editable=False, buttons=[])
            files = gr.File(file_count="multiple", label="Or sound files", height=150)
        status = gr.HTML("", elem_id="status")

        @gr.render(inputs=results)
        def show(found: list[Result]):
            if not found:
                return
            with gr.Row():
                gr.Markdown(f"## Results ({len(found)})")
                delete_all = gr.Button("Delete all", size="sm", scale=0, min_width=120)

                def delete_every_one(found: list[Result]):
                    forget_all(found)
                    return [], "All results were deleted."

                delete_all.click(delete_every_one, results, [results, status], **QUIET)
            with gr.Column(elem_classes="cards"):
                for result in found:
                    show_card(result)

        def show_card(result: Result):
            def delete(found: list[Result]):
                forget(result)
                return [
                    other for other in found if other.name != result.name
                ], f"{html.escape(result.name)} was deleted."

            def keep_it(found: list[Result]):
                try:
                    path = shown(keep(result, MY_WAVS))
                except OSError as error:
                    return found, f"{html.escape(result.name)} could not be kept: {error.strerror}."
                kept = [replace(other, kept=path) if other.name == result.name else other for other in found]
                return kept, f"{html.escape(result.name)} was kept as {html.escape(path)}."

            def look_at(second: float, found: list[Result]):
                look = closer_look(classifier, result.source, result.answer, at=second)
                new = [replace(other, look=look) if other.name == result.name else other for other in found]
                return new, f"{html.escape(result.name)}, second {look.start:.1f}: female {percent(look.p_female)}."

            with gr.Column(elem_classes="card"):
                gr.HTML(card(result))
                if result.look and result.answer.windows > 1:
                    slider = gr.Slider(
                        0,
                        result.answer.seconds or 0,
                        round(result.look.start, 1),
                        step=0.1,
                        label=f"Look at another second of {result.name}",
                    )
                    slider.release(look_at, [slider, results], [results, status], **QUIET)
                with gr.Row():
                    if result.player and not result.kept:
                        gr.Button("Keep this recording", size="sm").click(keep_it, results, [results, status], **QUIET)
                    gr.Button(f"Delete {result.name}", size="sm").click(delete, results, [results, status], **QUIET)

        gr.Markdown(MEANING.format(trained_on=trained_on(classifier.card)), elem_id="meaning")
        listening: dict[str, Any] = {
            "concurrency_limit": 1,
            "concurrency_id": "listen",
            "show_progress_on": status,
            **PRIVATE,
        }
        microphone.stop_recording(add_recording, [microphone, results], [results, status, microphone], **listening)
        files.upload(add_files, [files, results], [results, status, files], **listening)
        for path, button in zip(SAMPLES, samples):
            button.click(functools.partial(add_sample, path), results, [results, status], **QUIET)
        page.load(js=ON_LOAD)
    return page


def open_page(page: gr.Blocks, *, port: int | None = None, browser: bool = True) -> str:
    """Serves the page to this machine until `page.close()` or the program's end, and returns its address.

    Without a port it is the first free one from 7860 on. Raises OSError where the port is taken.
    """
    for name in ("no_proxy", "NO_PROXY"):  # Gradio asks its own server whether it is there
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), ADDRESS]))
    system_fonts: dict[str, Any] = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    _, address, _ = page.launch(
        server_name=ADDRESS,
        server_port=port,
        share=False,
        inbrowser=browser,
        inline=False,
        prevent_thread_lock=True,
        quiet=True,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        theme=gr.themes.Default(primary_hue="blue", neutral_hue="slate", **system_fonts),
        css=STYLE,
        app_kwargs={
            "middleware": [
                Middleware(TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"]),
                Middleware(with_policy),
            ]
        },
    )
    return address


def with_policy(app):
    """An ASGI application whose answers carry POLICY."""

    async def application(scope, receive, send):
        async def send_with_policy(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await app(scope, receive, send_with_policy)

    return application
