"""From a sound file of anyone's to an answer: female or male, how sure, who when, or why there is no answer."""

import functools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import soxr
from PIL import Image

from speaker_gender.classifying.classifier import Classifier, load_classifier
from speaker_gender.classifying.timeline import Stretch, merged, most_likely_labels, speaking_time
from speaker_gender.config import RECORDING_SAMPLES, SAMPLE_RATE, settings
from speaker_gender.images.mel import mel_spectrogram
from speaker_gender.images.mfc import pad
from speaker_gender.images.views import shrink
from speaker_gender.learning.calibration import calibrated, log_odds, probability
from speaker_gender.learning.model_files import ModelError
from speaker_gender.parallel import in_parallel, n_workers
from speaker_gender.sound.reading import LOUDER, AudioError, Channels, measure_channels, read_pieces
from speaker_gender.sound.speech import Window, find_speech, is_clipped

SILENCE, TOO_SHORT = "silence", "too short"  # of find_speech's reasons the less telling ones
UNSURE = 0.65  # the greater of the two probabilities under which an answer is 'unsure' (studies/mixed_recordings.py)
# Clipping costs refusals and some errors; the probabilities stay as right as they were (studies/changed_recordings.py).
CLIPPED = "is clipped (it was too loud for its microphone): speech may be missed or misclassified"
ALIKE = 0.3  # correlation of two channels from which the softer one is the other's cross-talk
MOST_SEEN = 6  # windows that an answer keeps
FILES_A_WORKER = 50  # fewer are classified before another process has started
BATCH = 16  # files a worker classifies before it reports back
THREADS = 4  # that look for speech in the pieces of one long file; more would hold more pieces in memory

Found = TypeVar("Found")


@dataclass(frozen=True)
class Answer:
    """What a model makes of one file.

    Attributes
    ----------
    file : str
        As it was named.
    answer : str
        'female', 'male', 'mixed' (stretches of both), 'unsure', 'no speech', or 'unreadable'.
    gender : str or None
        The label of the greater probability, whatever the answer; None without speech.
    p_female, p_male : float or None
        Of the recording as a whole: from the mean of its windows' log-odds. None without speech.
    seconds : float or None
        Of the whole file; None where it cannot be read.
    windows : int
        How many windows with speech were classified.
    reason : str or None
        Why there is no gender.
    warning : str or None
        What to bear in mind: the file is cut short, or clipped.
    speaking_time : dict
        Seconds of speech of each label; empty without speech.
    timeline : tuple of Stretch
        Who speaks when: neighbouring windows of one label are one stretch.
    seen : Windows or None
        The first ones, for a picture of the answer; None without speech.
    """

    file: str
    answer: str
    gender: str | None
    p_female: float | None
    p_male: float | None
    seconds: float | None
    windows: int
    reason: str | None
    warning: str | None
    speaking_time: dict[str, float] = field(hash=False)  # Gradio hashes what it shows
    timeline: tuple[Stretch, ...]
    seen: "Windows | None" = field(default=None, compare=False, repr=False)


class Windows(NamedTuple):
    """The windows with speech in a signal.

    images: uint8 (windows, height, width) of the network's size; mels: float32 (windows, 100, 40), None for a model
    without a speaker encoder; spans: start and stop of each in seconds, shape (windows, 2); reason: why there are none.
    """

    images: np.ndarray
    mels: np.ndarray | None
    spans: np.ndarray
    reason: str | None = None

    def select(self, chosen: slice | np.ndarray) -> "Windows":
        """Some of them: `chosen` is a slice or a mask."""
        mels = None if self.mels is None else self.mels[chosen]
        return Windows(self.images[chosen], mels, self.spans[chosen], self.reason)


def windows_of(classifier: Classifier, signal: np.ndarray) -> Windows:
    """The windows with speech in a signal, on the int16 scale at the rate of the classifier's view, shape (samples,).

    An offset of the signal is taken out.
    """
    signal = signal - signal.mean() if len(signal) else signal
    return as_windows(classifier, *find_speech(signal, sample_rate=classifier.view.sample_rate))


def as_windows(classifier: Classifier, found: list[Window], reason: str | None = None) -> Windows:
    """Windows as the classifier's network takes them, each padded with equally many zeros on both sides."""
    size, rate = tuple(classifier.card["image_size"]), classifier.view.sample_rate
    length = RECORDING_SAMPLES * rate // SAMPLE_RATE
    images, mels = [], []
    for _, signal in found:
        front = max(length - len(signal), 0) // 2
        image = classifier.view.window_image(signal, front=front)
        images.append(shrink(Image.fromarray(image).convert("L"), size))
        if "encoder" in classifier.card:
            mels.append(mel_spectrogram(pad(signal, front, length)))
    spans = np.array([(start, start + len(signal)) for start, signal in found], float).reshape(-1, 2) / rate
    return Windows(np.array(images, np.uint8).reshape(-1, *size), np.array(mels) if mels else None, spans, reason)


def classify_recordings(classifier: Classifier, paths: list[Path]) -> Iterator[Answer]:
    """The answers for some sound files, in their order; many files keep all processors busy, or a cluster's."""
    if n_workers(len(paths), worth=FILES_A_WORKER) < 2 and not settings().cluster:
        yield from (classify_recording(classifier, path) for path in paths)
        return
    absolute = [Path(os.path.abspath(path)) for path in paths]  # a cluster's workers run in other folders
    classify = functools.partial(_classify, Path(os.path.abspath(classifier.path)))
    for path, answer in zip(paths, in_parallel(classify, absolute, batch=BATCH, worth=FILES_A_WORKER)):
        yield replace(answer, file=str(path))


def _classify(model: Path, path: Path) -> Answer:
    return classify_recording(_classifier_of_worker(model), path)


@functools.lru_cache(maxsize=1)
def _classifier_of_worker(path: Path) -> Classifier:
    return load_classifier(path, threads=1)


def classify_recording(classifier: Classifier, path: Path) -> Answer:
    """The answer for one sound file: see `classify_signal`; a file that cannot be read is an answer too."""
    report: list[str] = []
    try:
        channels = measure_channels(path)
        answer = classify_channels(classifier, path, channels, file=str(path))
        if answer is None:
            rate, weights = classifier.view.sample_rate, channels and channels.weights
            pieces = read_pieces(path, sample_rate=rate, report=report, weights=weights)
            answer = classify_pieces(classifier, pieces, file=str(path), report=report)
        return answer
    except AudioError as error:
        return Answer(str(path), "unreadable", None, None, None, None, 0, error.problem, None, {}, ())


def classify_signal(classifier: Classifier, signal: np.ndarray, *, sample_rate: int, file: str) -> Answer:
    """The answer for a signal, or why there is none.

    The windows' log-odds are averaged: each counts the same, and a sure one more.

    Parameters
    ----------
    classifier : Classifier
        From `load_classifier`.
    signal : ndarray
        On the int16 scale, shape (samples,).
    sample_rate : int
        In Hz.
    file : str
        Its name in the answer.
    """
    if sample_rate != classifier.view.sample_rate:
        signal = soxr.resample(signal, sample_rate, classifier.view.sample_rate)
    return classify_pieces(classifier, [signal], file=file, report=[])


def classify_pieces(classifier: Classifier, pieces: Iterable[np.ndarray], *, file: str, report: list[str]) -> Answer:
    """The answer for a recording in pieces, from the windows of all that hold speech.

    `classifier`, `file`: as for `classify_signal`. `pieces`: consecutive parts of a signal on the int16 scale at the
    rate of the classifier's view, as `read_pieces` yields them. `report`: what `read_pieces` reports of the file, at
    the end; it becomes the answer's warning.
    """
    n_samples, found, reasons, rate = 0, _Found(), [], classifier.view.sample_rate
    for length, clipped, windows in _in_threads(
        functools.partial(_heard, classifier), pieces, classifier.threads or THREADS
    ):
        if windows.reason:
            reasons.append(windows.reason)
        else:
            found.add(classifier, windows, n_samples / rate, clipped)
        n_samples += length
    seconds = round(n_samples / rate, 3)
    if not found.p_windows:
        reason = next((why for why in reasons if why not in (SILENCE, TOO_SHORT)), reasons[0])
        return Answer(file, "no speech", None, None, None, seconds, 0, reason, "; ".join(report) or None, {}, ())
    return _answer({None: found}, file=file, seconds=seconds, report=report)


def _heard(classifier: Classifier, piece: np.ndarray) -> tuple[int, bool, Windows]:
    return len(piece), is_clipped(piece), windows_of(classifier, piece)


def _in_threads(function: Callable[[np.ndarray], Found], pieces: Iterable[np.ndarray], n: int) -> Iterator[Found]:
    """function(piece) of each piece, in order, computed by so many threads, which are as many pieces ahead."""
    running: deque[Future[Found]] = deque()
    with ThreadPoolExecutor(n) as pool:
        for piece in pieces:
            running.append(pool.submit(function, piece))
            if len(running) > n:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()


def classify_channels(classifier: Classifier, path: Path, channels: Channels | None, *, file: str) -> Answer | None:
    """The answer for a file in whose channels different people speak, as in a telephone call; None for others.

    They do where at least two channels hold speech while all others are 10 dB softer. A window that is the cross-talk
    of a louder channel is left out. Otherwise the channels are heard mixed, as `classify_pieces` does. `classifier`,
    `file`: as for `classify_signal`. `channels`: from `measure_channels`. Raises AudioError as `read_pieces` does.
    """
    if channels is None or len(channels.alone) < 2:
        return None
    n_samples, rate = 0, classifier.view.sample_rate
    report: list[str] = []
    who_speaks_alone = set()
    found: dict[int | None, _Found] = {channel + 1: _Found() for channel in channels.alone}
    apart = np.eye(len(channels.weights))[:, list(channels.alone)]
    for piece in read_pieces(path, sample_rate=rate, report=report, weights=apart):
        for index, channel in enumerate(found):
            windows = windows_of(classifier, piece[:, index])
            parts = [piece[slice(*span)] for span in (windows.spans * rate).round().astype(int)]
            if any(_is_loudest(part, index, by=LOUDER) for part in parts):
                who_speaks_alone.add(channel)
            own = np.array([not _is_crosstalk(part, index) for part in parts], bool)
            if own.any():
                found[channel].add(classifier, windows.select(own), n_samples / rate, is_clipped(piece[:, index]))
        n_samples += len(piece)
    if len(who_speaks_alone) < 2:
        return None
    spoken = {channel: those for channel, those in found.items() if those.p_windows}
    return _answer(spoken, file=file, seconds=round(n_samples / rate, 3), report=report)


def _is_loudest(part: np.ndarray, index: int, *, by: float) -> bool:
    """Whether a channel has so many times the power of each other one, in sound of shape (samples, channels)."""
    power = part.var(axis=0)
    return bool(power[index] > by * np.delete(power, index).max())


def _is_crosstalk(part: np.ndarray, index: int) -> bool:
    """Whether what sounds in a channel is a louder one's sound: their waveforms are alike, up to a delay."""
    if _is_loudest(part, index, by=1):
        return False
    spectra = np.fft.rfft(part - part.mean(axis=0), 2 * len(part), axis=0)
    own, louder = spectra[:, index], spectra[:, part.var(axis=0).argmax()]
    correlation = np.abs(np.fft.irfft(own * louder.conj())).max()
    return bool(correlation > ALIKE * len(part) * part[:, index].std() * part.std(axis=0).max())


@dataclass
class _Found:
    """What was found in the windows of a signal: probabilities, spans in seconds, the first windows, clipping."""

    p_windows: list[np.ndarray] = field(default_factory=list)
    spans: list[np.ndarray] = field(default_factory=list)
    seen: list[Windows] = field(default_factory=list)
    is_clipped: bool = False

    def add(self, classifier: Classifier, windows: Windows, start: float, clipped: bool) -> None:
        """Classify the windows of a piece that starts so many seconds after the recording."""
        self.p_windows.append(classify_windows(classifier, windows))
        self.spans.append(windows.spans + start)
        if sum(len(some.images) for some in self.seen) < MOST_SEEN:
            self.seen.append(windows.select(slice(MOST_SEEN)))
        self.is_clipped |= clipped


def _answer(found: dict[int | None, _Found], *, file: str, seconds: float, report: list[str]) -> Answer:
    """The answer from what was found in each channel (None: all mixed)."""
    windows, timeline = [], []
    for channel, those in found.items():
        p_windows = np.concatenate(those.p_windows)
        labels = np.where(most_likely_labels(log_odds(p_windows)), "female", "male")
        own = [
            Stretch(round(start, 3), round(stop, 3), str(label), round(float(p), 4), channel)
            for (start, stop), label, p in zip(np.concatenate(those.spans).tolist(), labels, p_windows)
        ]
        windows += own
        timeline += merged(own)
    p_all = np.concatenate([p for those in found.values() for p in those.p_windows])
    p_female = combine(p_all)
    seen = [some for those in found.values() for some in those.seen]
    clipped = any(those.is_clipped for those in found.values())
    return Answer(
        file,
        answer=answer_of(p_female, {stretch.label for stretch in timeline}),
        gender="female" if p_female >= 0.5 else "male",
        p_female=p_female,
        p_male=1 - p_female,
        seconds=seconds,
        windows=len(p_all),
        reason=None,
        warning="; ".join(report + [CLIPPED] * clipped) or None,
        speaking_time=speaking_time(windows),
        timeline=tuple(sorted(timeline, key=lambda stretch: stretch.start)),
        seen=_together(seen).select(slice(MOST_SEEN)),
    )


def _together(parts: list[Windows]) -> Windows:
    mels = [part.mels for part in parts if part.mels is not None]
    images, spans = (np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "spans"))
    return Windows(images, np.concatenate(mels) if mels else None, spans)


def answer_of(p_female: float, labels: set[str]) -> str:
    """'mixed' where stretches have different labels, 'unsure' where the probability is near a half, else the label."""
    if len(labels) > 1:
        return "mixed"
    if max(p_female, 1 - p_female) < UNSURE:
        return "unsure"
    return "female" if p_female >= 0.5 else "male"


def classify_windows(classifier: Classifier, windows: Windows) -> np.ndarray:
    """p_female of each window, shape (windows,), calibrated where the model's card says how. Raises ModelError."""
    p_female = classifier.predict(windows.images, windows.mels)
    calibration = classifier.card.get("calibration")
    p_female = calibrated(p_female, calibration) if calibration else p_female
    if not np.isfinite(p_female).all():
        raise ModelError(f"{classifier.path}: answers with what is no number; train it again, or use another model")
    return p_female


def combine(p_female: np.ndarray) -> float:
    """One probability from those of several windows, shape (windows,): the mean of their log-odds, as a probability."""
    return float(probability(log_odds(p_female).mean()))
