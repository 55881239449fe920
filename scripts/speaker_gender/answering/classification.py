"""From a sound file of anyone's to an answer: female or male, how sure, or why there is no answer."""

import functools
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from speaker_gender.answering.classifier import Classifier, load_classifier
from speaker_gender.config import RECORDING_SAMPLES, SAMPLE_RATE
from speaker_gender.images.views import shrink
from speaker_gender.learning.calibration import calibrated, log_odds, probability
from speaker_gender.sound.reading import AudioError, read_pieces
from speaker_gender.sound.speech import find_speech

SILENCE = "silence"  # of find_speech's reasons the least telling
FILES_A_WORKER = 50  # fewer are classified before another process has started
BATCH = 16  # files a worker classifies before it reports back


@dataclass(frozen=True)
class Answer:
    """What is said of one file; gender and probabilities are None where there is a reason for not answering."""

    file: str
    gender: str | None
    p_female: float | None
    p_male: float | None
    seconds: float | None
    windows: int
    reason: str | None


def window_images(classifier: Classifier, signal: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Images of the windows with speech, uint8 (windows, height, width) of the network's size, and why there are none.

    signal: on the int16 scale at 48 kHz, shape (samples,). Each window is padded with equally many zeros on both sides.
    """
    size = tuple(classifier.card["image_size"])
    windows, reason = find_speech(signal, sample_rate=SAMPLE_RATE)
    images = []
    for window in windows:
        missing = max(RECORDING_SAMPLES - len(window.signal), 0)
        image = classifier.view.image(window.signal, front=missing // 2)
        images.append(shrink(Image.fromarray(image).convert("L"), size))
    return np.array(images, np.uint8).reshape(-1, *size), reason


def classify_recordings(classifier: Classifier, paths: list[Path]) -> Iterator[Answer]:
    """The answers for some sound files, in their order; many files keep all processors busy."""
    workers = min(os.cpu_count() or 1, len(paths) // FILES_A_WORKER)
    if workers < 2:
        yield from (classify_recording(classifier, path) for path in paths)
        return
    from joblib import Parallel, delayed  # here, because few files need it

    batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
    work = Parallel(n_jobs=workers, return_as="generator")(
        delayed(_classify_batch)(classifier.path, batch) for batch in batches
    )
    for answers in work:
        yield from answers


def _classify_batch(model: Path, paths: list[Path]) -> list[Answer]:
    return [classify_recording(_classifier_of_worker(model), path) for path in paths]


@functools.lru_cache(maxsize=1)
def _classifier_of_worker(path: Path) -> Classifier:
    return load_classifier(path, threads=1)


def classify_recording(classifier: Classifier, path: Path) -> Answer:
    """The answer for one sound file: see `classify_signal`; a file that cannot be read is an answer too."""
    try:
        return _classify(classifier, read_pieces(path), file=str(path))
    except AudioError as error:
        return Answer(str(path), None, None, None, None, 0, error.problem)


def classify_signal(classifier: Classifier, signal: np.ndarray, *, file: str) -> Answer:
    """The answer for a signal on the int16 scale at 48 kHz, or why there is none.

    The windows' log-odds are averaged: each has the same say, a sure one a louder.
    """
    return _classify(classifier, [signal], file=file)


def _classify(classifier: Classifier, pieces: Iterable[np.ndarray], *, file: str) -> Answer:
    """The answer for a recording in pieces: what is said of all windows in those that hold speech."""
    n_samples, found, reasons = 0, [], []
    for piece in pieces:
        n_samples += len(piece)
        images, reason = window_images(classifier, piece)
        if reason:
            reasons.append(reason)
        else:
            found.append(classify_images(classifier, images))
    seconds = round(n_samples / SAMPLE_RATE, 3)
    if not found:
        return Answer(file, None, None, None, seconds, 0, next((why for why in reasons if why != SILENCE), SILENCE))
    p_female = combine(np.concatenate(found))
    gender = "female" if p_female >= 0.5 else "male"
    return Answer(file, gender, p_female, 1 - p_female, seconds, sum(map(len, found)), None)


def classify_images(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """p_female of each image, shape (images,), calibrated where the model's card says how."""
    p_female = classifier.predict(images)
    calibration = classifier.card.get("calibration")
    return calibrated(p_female, calibration) if calibration else p_female


def combine(p_female: np.ndarray) -> float:
    """One probability from those of several windows, shape (windows,): the mean of their log-odds, as a probability."""
    return float(probability(log_odds(p_female).mean()))
