"""From a sound file of anyone's to an answer: female or male, how sure, or why there is no answer."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import mfc
from audio import AudioError, read_signal, speech_windows, why_not_speech
from config import RESULTS, SAMPLE_RATE
from dataset import shrink
from training import ModelError, load_network, predict

SHIPPED_MODEL = RESULTS / "shipped" / "gender.safetensors"


@dataclass(frozen=True)
class Classifier:
    """A trained network and its card."""

    network: torch.nn.Module
    card: dict


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


def load_classifier(path: Path) -> Classifier:
    """The model in a safetensors file with its JSON card beside it. Raises ModelError for anything else."""
    network, card = load_network(path)
    if card["view"] != mfc.PARAMETERS["view"]:
        raise ModelError(f"{path}: its card names the view {card['view']!r}, which is not known here")
    return Classifier(network, card)


def window_images(signal: np.ndarray) -> np.ndarray:
    """The MFC images of the windows with speech, uint8 of shape (windows, 224, 224), as a training image looks.

    signal: on the int16 scale at 48 kHz, shape (samples,). Each window is padded with equally many zeros on both sides.
    """
    images = []
    for window in speech_windows(signal, sample_rate=SAMPLE_RATE):
        missing = max(mfc.RECORDING_SAMPLES - len(window.signal), 0)
        images.append(mfc.mfc_image(window.signal, front=missing // 2)[..., 0])
    return np.array(images, np.uint8).reshape(-1, mfc.IMAGE_SIZE, mfc.IMAGE_SIZE)


def network_input(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Images, uint8 (images, 224, 224), at the size that the network was trained on."""
    size = tuple(classifier.card["image_size"])
    return np.stack([shrink(Image.fromarray(image), size) for image in images])


def classify_recording(classifier: Classifier, path: Path) -> Answer:
    """The answer for one sound file. The windows' log-odds are averaged: each has the same say, a sure one a louder."""
    try:
        signal = read_signal(path)
    except AudioError as error:
        return Answer(str(path), None, None, None, None, 0, str(error).removeprefix(f"{path}: "))
    seconds = round(len(signal) / SAMPLE_RATE, 3)
    reason = why_not_speech(signal, sample_rate=SAMPLE_RATE)
    images = window_images(signal)
    if reason or not len(images):
        return Answer(str(path), None, None, None, seconds, 0, reason or "no speech was found")
    p_female = predict(classifier.network, network_input(classifier, images), classifier.card["normalisation"])
    p_female = combine(p_female)
    gender = "female" if p_female >= 0.5 else "male"
    return Answer(str(path), gender, p_female, 1 - p_female, seconds, len(images), None)


def combine(p_female: np.ndarray) -> float:
    """One probability from those of several windows, shape (windows,): the mean of their log-odds, as a probability."""
    p_female = np.clip(p_female, 1e-9, 1 - 1e-9)
    return float(1 / (1 + np.exp(-np.log(p_female / (1 - p_female)).mean())))
