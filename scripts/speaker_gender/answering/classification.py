"""From a sound file of anyone's to an answer: female or male, how sure, who when, or why there is no answer."""

import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from speaker_gender.answering.classifier import Classifier, load_classifier
from speaker_gender.answering.timeline import Stretch, merged, most_likely_labels, speaking_time
from speaker_gender.config import RECORDING_SAMPLES, SAMPLE_RATE
from speaker_gender.images.views import shrink
from speaker_gender.learning.calibration import calibrated, log_odds, probability
from speaker_gender.learning.model_files import ModelError
from speaker_gender.parallel import batch_size, cluster_address, n_workers, parallel
from speaker_gender.sound.reading import LOUDER, AudioError, Channels, measure_channels, read_pieces
from speaker_gender.sound.speech import find_speech, is_clipped

SILENCE, TOO_SHORT = "silence", "too short"  # of find_speech's reasons the less telling ones
UNSURE = 0.65  # the greater of the two probabilities under which an answer is 'unsure' (studies/mixed_recordings.py)
# Clipping costs refusals and some errors; the probabilities stay as right as they were (studies/changed_recordings.py).
CLIPPED = "is clipped (it was too loud for its microphone): speech may be missed or misclassified"
ALIKE = 0.3  # correlation of two channels from which the softer one is the other's cross-talk
MOST_IMAGES = 6  # that an answer keeps
FILES_A_WORKER = 50  # fewer are classified before another process has started
BATCH = 16  # files a worker classifies before it reports back


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
    images : ndarray
        What the model saw of the first windows, as `Windows` has it; for a picture of the answer.
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
    images: np.ndarray = field(default_factory=lambda: np.empty((0, 0, 0), np.uint8), compare=False, repr=False)


class Windows(NamedTuple):
    """The windows with speech in a signal.

    images: uint8 (windows, height, width) of the network's size; spans: start and stop of each in seconds, shape
    (windows, 2); reason: why there are none.
    """

    images: np.ndarray
    spans: np.ndarray
    reason: str | None


def window_images(classifier: Classifier, signal: np.ndarray) -> Windows:
    """Images of the windows with speech, as the classifier's network takes them.

    Each window is padded with equally many zeros on both sides; an offset of the signal is taken out.

    Parameters
    ----------
    classifier : Classifier
        Its view and its size are used.
    signal : ndarray
        On the int16 scale at 48 kHz, shape (samples,).
    """
    size = tuple(classifier.card["image_size"])
    signal = signal - signal.mean() if len(signal) else signal
    windows, reason = find_speech(signal, sample_rate=SAMPLE_RATE)
    images = []
    for window in windows:
        missing = max(RECORDING_SAMPLES - len(window.signal), 0)
        image = classifier.view.image(window.signal, front=missing // 2)
        images.append(shrink(Image.fromarray(image).convert("L"), size))
    spans = [(window.start, window.start + len(window.signal)) for window in windows]
    return Windows(
        np.array(images, np.uint8).reshape(-1, *size), np.array(spans, float).reshape(-1, 2) / SAMPLE_RATE, reason
    )


def classify_recordings(classifier: Classifier, paths: list[Path]) -> Iterator[Answer]:
    """The answers for some sound files, in their order; many files keep all processors busy, or a cluster's."""
    workers = n_workers(len(paths), each=FILES_A_WORKER)
    if workers < 2 and cluster_address() is None:
        yield from (classify_recording(classifier, path) for path in paths)
        return
    from joblib import delayed  # here, because few files need it

    size = batch_size(len(paths), local=BATCH)
    absolute = [Path(os.path.abspath(path)) for path in paths]  # a cluster's workers run in other folders
    batches = [absolute[start : start + size] for start in range(0, len(paths), size)]
    work = parallel(workers, return_as="generator")(
        delayed(_classify_batch)(Path(os.path.abspath(classifier.path)), batch) for batch in batches
    )
    for path, answer in zip(paths, chain.from_iterable(work)):
        yield replace(answer, file=str(path))


def _classify_batch(model: Path, paths: list[Path]) -> list[Answer]:
    return [classify_recording(_classifier_of_worker(model), path) for path in paths]


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
            pieces = read_pieces(path, report=report, weights=channels and channels.weights)
            answer = classify_pieces(classifier, pieces, file=str(path), report=report)
        return answer
    except AudioError as error:
        return Answer(str(path), "unreadable", None, None, None, None, 0, error.problem, None, {}, ())


def classify_signal(classifier: Classifier, signal: np.ndarray, *, file: str) -> Answer:
    """The answer for a signal, or why there is none.

    The windows' log-odds are averaged: each counts the same, and a sure one more.

    Parameters
    ----------
    classifier : Classifier
        From `load_classifier`.
    signal : ndarray
        On the int16 scale at 48 kHz, shape (samples,).
    file : str
        Its name in the answer.
    """
    return classify_pieces(classifier, [signal], file=file, report=[])


def classify_pieces(classifier: Classifier, pieces: Iterable[np.ndarray], *, file: str, report: list[str]) -> Answer:
    """The answer for a recording in pieces, from the windows of all that hold speech.

    Parameters
    ----------
    classifier, file
        As for `classify_signal`.
    pieces : iterable of ndarray
        Consecutive parts of a signal on the int16 scale at 48 kHz, as `read_pieces` yields them.
    report : list of str
        What `read_pieces` reports of the file, at the end; it becomes the answer's warning.
    """
    n_samples, found, reasons = 0, _Found(), []
    for piece in pieces:
        windows = window_images(classifier, piece)
        if windows.reason:
            reasons.append(windows.reason)
        else:
            found.add(classifier, windows, n_samples / SAMPLE_RATE, found.is_clipped or is_clipped(piece))
        n_samples += len(piece)
    seconds = round(n_samples / SAMPLE_RATE, 3)
    if not found.p_windows:
        reason = next((why for why in reasons if why not in (SILENCE, TOO_SHORT)), reasons[0])
        return Answer(file, "no speech", None, None, None, seconds, 0, reason, "; ".join(report) or None, {}, ())
    return _answer({None: found}, file=file, seconds=seconds, report=report)


def classify_channels(classifier: Classifier, path: Path, channels: Channels | None, *, file: str) -> Answer | None:
    """The answer for a file in whose channels different people speak, as in a telephone call; None for others.

    They do where at least two channels hold speech while all others are 10 dB softer. A window that is the cross-talk
    of a louder channel is left out. Otherwise the channels are heard mixed, as `classify_pieces` does.

    Parameters
    ----------
    classifier, file
        As for `classify_signal`.
    path : Path
    channels : Channels or None
        From `measure_channels`.

    Raises
    ------
    AudioError
        As `read_pieces` does.
    """
    if channels is None or len(channels.alone) < 2:
        return None
    n_samples = 0
    report: list[str] = []
    who_speaks_alone = set()
    found: dict[int | None, _Found] = {channel + 1: _Found() for channel in channels.alone}
    apart = np.eye(len(channels.weights))[:, list(channels.alone)]
    for piece in read_pieces(path, report=report, weights=apart):
        for index, channel in enumerate(found):
            windows = window_images(classifier, piece[:, index])
            parts = [piece[slice(*span)] for span in (windows.spans * SAMPLE_RATE).round().astype(int)]
            if any(_is_loudest(part, index, by=LOUDER) for part in parts):
                who_speaks_alone.add(channel)
            own = np.array([not _is_crosstalk(part, index) for part in parts], bool)
            if own.any():
                windows = windows._replace(images=windows.images[own], spans=windows.spans[own])
                found[channel].add(classifier, windows, n_samples / SAMPLE_RATE, is_clipped(piece[:, index]))
        n_samples += len(piece)
    if len(who_speaks_alone) < 2:
        return None
    spoken = {channel: those for channel, those in found.items() if those.p_windows}
    return _answer(spoken, file=file, seconds=round(n_samples / SAMPLE_RATE, 3), report=report)


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
    """What was found in the windows of a signal: probabilities, spans in seconds, the first images, clipping."""

    p_windows: list[np.ndarray] = field(default_factory=list)
    spans: list[np.ndarray] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)
    is_clipped: bool = False

    def add(self, classifier: Classifier, windows: Windows, start: float, clipped: bool) -> None:
        """Classify the windows of a piece that starts so many seconds after the recording."""
        self.p_windows.append(classify_images(classifier, windows.images))
        self.spans.append(windows.spans + start)
        if sum(map(len, self.images)) < MOST_IMAGES:
            self.images.append(windows.images[:MOST_IMAGES])
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
    images = [images for those in found.values() for images in those.images]
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
        images=np.concatenate(images)[:MOST_IMAGES],
    )


def answer_of(p_female: float, labels: set[str]) -> str:
    """'mixed' where stretches have different labels, 'unsure' where the probability is near a half, else the label."""
    if len(labels) > 1:
        return "mixed"
    if max(p_female, 1 - p_female) < UNSURE:
        return "unsure"
    return "female" if p_female >= 0.5 else "male"


def classify_images(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """p_female of each image, shape (images,), calibrated where the model's card says how. Raises ModelError."""
    p_female, calibration = classifier.predict(images), classifier.card.get("calibration")
    p_female = calibrated(p_female, calibration) if calibration else p_female
    if not np.isfinite(p_female).all():
        raise ModelError(f"{classifier.path}: answers with what is no number; train it again, or use another model")
    return p_female


def combine(p_female: np.ndarray) -> float:
    """One probability from those of several windows, shape (windows,): the mean of their log-odds, as a probability."""
    return float(probability(log_odds(p_female).mean()))
