"""From a sound file of anyone's to an answer: female or male, how sure, who when, or why there is no answer."""

import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

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
from speaker_gender.parallel import in_parallel, n_workers
from speaker_gender.sound.reading import AudioError, read_pieces
from speaker_gender.sound.speech import Window, find_speech, is_clipped

SILENCE, TOO_SHORT = "silence", "too short"  # of find_speech's reasons the less telling ones
UNSURE = 0.65  # the greater of the two probabilities under which an answer is 'unsure' (studies/mixed_recordings.py)
# Clipping costs refusals and some errors; the probabilities stay as right as they were (studies/changed_recordings.py).
CLIPPED = "is clipped (it was too loud for its microphone): speech may be missed or misclassified"
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


class Windows(NamedTuple):
    """The windows with speech in a signal.

    images: uint8 (windows, height, width) of the network's size; mels: float32 (windows, 100, 40), None for a model
    without a speaker encoder; spans: start and stop of each in seconds, shape (windows, 2); reason: why there are none.
    """

    images: np.ndarray
    mels: np.ndarray | None
    spans: np.ndarray
    reason: str | None

    def first(self, n: int) -> "Windows":
        """The first n of them."""
        mels = None if self.mels is None else self.mels[:n]
        return Windows(self.images[:n], mels, self.spans[:n], self.reason)


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
        pieces = read_pieces(path, sample_rate=classifier.view.sample_rate, report=report)
        return classify_pieces(classifier, pieces, file=str(path), report=report)
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

    Parameters
    ----------
    classifier, file
        As for `classify_signal`.
    pieces : iterable of ndarray
        Consecutive parts of a signal on the int16 scale at the rate of the classifier's view, as `read_pieces` yields
        them.
    report : list of str
        What `read_pieces` reports of the file, at the end; it becomes the answer's warning.
    """
    rate = classifier.view.sample_rate
    n_samples, found, spans, reasons, clipped = 0, [], [], [], False
    for piece in pieces:
        windows = windows_of(classifier, piece)
        if windows.reason:
            reasons.append(windows.reason)
        else:
            found.append(classify_windows(classifier, windows))
            spans.append(windows.spans + n_samples / rate)
            clipped = clipped or is_clipped(piece)
        n_samples += len(piece)
    seconds, warning = round(n_samples / rate, 3), "; ".join(report + [CLIPPED] * clipped) or None
    if not found:
        reason = next((why for why in reasons if why not in (SILENCE, TOO_SHORT)), reasons[0])
        return Answer(file, "no speech", None, None, None, seconds, 0, reason, warning, {}, ())
    p_windows = np.concatenate(found)
    labels = np.where(most_likely_labels(log_odds(p_windows)), "female", "male")
    timeline = [
        Stretch(round(start, 3), round(stop, 3), str(label), round(float(p), 4))
        for (start, stop), label, p in zip(np.concatenate(spans).tolist(), labels, p_windows)
    ]
    p_female = combine(p_windows)
    return Answer(
        file,
        answer=answer_of(p_female, set(labels)),
        gender="female" if p_female >= 0.5 else "male",
        p_female=p_female,
        p_male=1 - p_female,
        seconds=seconds,
        windows=len(p_windows),
        reason=None,
        warning=warning,
        speaking_time=speaking_time(timeline),
        timeline=tuple(merged(timeline)),
    )


def answer_of(p_female: float, labels: set[str]) -> str:
    """'mixed' where stretches have different labels, 'unsure' where the probability is near a half, else the label."""
    if len(labels) > 1:
        return "mixed"
    if max(p_female, 1 - p_female) < UNSURE:
        return "unsure"
    return "female" if p_female >= 0.5 else "male"


def classify_windows(classifier: Classifier, windows: Windows) -> np.ndarray:
    """p_female of each window, shape (windows,), calibrated where the model's card says how."""
    p_female = classifier.predict(windows.images, windows.mels)
    calibration = classifier.card.get("calibration")
    return calibrated(p_female, calibration) if calibration else p_female


def combine(p_female: np.ndarray) -> float:
    """One probability from those of several windows, shape (windows,): the mean of their log-odds, as a probability."""
    return float(probability(log_odds(p_female).mean()))
