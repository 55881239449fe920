"""From a sound file of anyone's to an answer: female or male, how sure, or why there is no answer."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from speaker_gender.config import GENDERS, RECORDING_SAMPLES, RESULTS, ROOT, SAMPLE_RATE
from speaker_gender.images.views import VIEWS, View, shrink
from speaker_gender.learning.calibration import calibrated, log_odds, probability
from speaker_gender.learning.model_files import ModelError, checked_file, usable_card
from speaker_gender.sound.reading import AudioError, find_speech, read_pieces

SHIPPED_MODEL = ROOT / "results" / "shipped" / "gender.safetensors"
SILENCE = "silence"  # of find_speech's reasons the least telling
FILES_A_WORKER = 50  # fewer are classified before another process has started
BATCH = 16  # files a worker classifies before it reports back
EXPLAINED_STAGES = {"resnet34": "layer2", "small": "third convolution"}  # 14 and 28 cells high in an image of 112 rows


@dataclass(frozen=True)
class Classifier:
    """A trained model, ready to be asked.

    predict: uint8 images (images, height, width) → p_female, shape (images,), before calibration.
    """

    path: Path
    card: dict
    view: View
    predict: Callable[[np.ndarray], np.ndarray]


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


def default_model() -> Path:
    """The model that comes with the project, else one that notebook 03 has trained, on AudioMNIST rather than others.

    Raises ModelError where there is none.
    """
    trained = RESULTS.glob("*/models/mfc_random_seed*.safetensors")
    own = sorted(trained, key=lambda path: (path.parts[-3] != "audiomnist", path))
    for path in (SHIPPED_MODEL, *own):
        if path.exists():
            return path
    raise ModelError("there is no trained model yet: run notebooks 01 to 03 (bash scripts/run.sh), or name one")


def load_classifier(path: Path, *, threads: int = 0) -> Classifier:
    """The model in a safetensors file with its JSON card beside it. Raises ModelError for anything else.

    Where the same network lies beside it as ONNX it runs by ONNX Runtime, which is there in a tenth of the time that
    it takes to import torch, on so many threads (0: as many as there are cores).
    """
    card = usable_card(path)
    if ".onnx" in card["sha256"]:
        predict = _onnx_predictor(path.with_suffix(".onnx"), card, threads)
    else:
        predict = _torch_predictor(path)
    return Classifier(path, card, VIEWS[card["view"]], predict)


def _onnx_predictor(path: Path, card: dict, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(checked_file(path, card), options, providers=["CPUExecutionProvider"])
        (source,) = session.get_inputs()
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime's have no base of their own
        raise ModelError(f"{path}: not a network ({str(error).splitlines()[0]})") from None
    mean, std = card["normalisation"]["mean"], card["normalisation"]["std"]

    def predict(images: np.ndarray) -> np.ndarray:
        grey = (images[:, np.newaxis] / 255 - mean) / std
        (scores,) = session.run(None, {source.name: grey.astype(np.float32)})
        odds = (scores[:, GENDERS.index("female")] - scores[:, GENDERS.index("male")]).astype(np.float64)
        return probability(odds)

    return predict


def _torch_predictor(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    from speaker_gender.learning import networks  # here, because torch and fastai take seconds to import

    network, card = networks.load_network(path)
    return functools.partial(networks.predict, network, normalisation=card["normalisation"])


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


def explain(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Grad-CAM of each image for the class that it is given, float32 (images, rows, columns) in 0…1."""
    from speaker_gender.judging.grad_cam import grad_cam  # here, because only gradients need torch

    said = np.where(classify_images(classifier, images) >= 0.5, GENDERS.index("female"), GENDERS.index("male"))
    stage = EXPLAINED_STAGES[classifier.card["recipe"].get("architecture", "resnet34")]
    return grad_cam(_network(classifier.path), images, classifier.card["normalisation"], said, stage=stage)


@functools.lru_cache(maxsize=1)
def _network(path: Path):
    from speaker_gender.learning.networks import load_network

    return load_network(path)[0]
