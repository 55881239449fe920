"""A trained model, ready to predict from images."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from speaker_gender.config import GENDERS, RESULTS, ROOT
from speaker_gender.images.views import VIEWS, View
from speaker_gender.learning.calibration import probability
from speaker_gender.learning.model_files import OURS, ModelError, card_digest, checked_file, usable_card

SHIPPED_MODEL = ROOT / "results" / "shipped" / "gender.safetensors"


@dataclass(frozen=True)
class Classifier:
    """A trained model, ready to be asked.

    predict: uint8 images (images, height, width), and for a model with a speaker encoder float32 mels (images, 100, 40)
    of the same speech → p_female, shape (images,), before calibration; threads: as `load_classifier` got it.
    """

    path: Path
    card: dict
    view: View
    predict: Callable[..., np.ndarray]
    threads: int = 0


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

    Where the same network lies beside it as ONNX, and is this project's, it runs by ONNX Runtime, which is there in a
    tenth of the time that it takes to import torch, on so many threads (0: as many as there are cores).
    """
    card = usable_card(path)
    if ".onnx" in card["sha256"] and card_digest(card) in OURS:
        predict = _onnx_predictor(path.with_suffix(".onnx"), card, threads)
    else:
        predict = _torch_predictor(path)
    return Classifier(path, card, VIEWS[card["view"]], predict, threads)


def _onnx_predictor(path: Path, card: dict, threads: int) -> Callable[..., np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session = onnxruntime.InferenceSession(checked_file(path, card), options, providers=["CPUExecutionProvider"])
    except ModelError:
        raise
    except Exception as error:  # ONNX Runtime's have no base of their own
        raise ModelError(f"{path}: not a network ({str(error).splitlines()[0]})") from None
    mean, std = card["normalisation"]["mean"], card["normalisation"]["std"]

    def predict(images: np.ndarray, mels: np.ndarray | None = None) -> np.ndarray:
        grey = (images[:, np.newaxis] / 255 - mean) / std
        inputs = {"images": grey.astype(np.float32)} | ({} if mels is None else {"mels": mels})
        (scores,) = session.run(None, inputs)
        odds = (scores[:, GENDERS.index("female")] - scores[:, GENDERS.index("male")]).astype(np.float64)
        return probability(odds)

    return predict


def _torch_predictor(path: Path) -> Callable[..., np.ndarray]:
    try:
        from speaker_gender.learning import networks  # here, because torch and fastai take seconds to import
    except ModuleNotFoundError:  # as after try.sh
        raise ModelError(f"{path}: takes PyTorch, which bash scripts/run.sh installs") from None
    network, card = networks.load_network(path)

    def predict(images: np.ndarray, mels: np.ndarray | None = None) -> np.ndarray:
        try:
            return networks.predict(network, images, card["normalisation"], mels)
        except RuntimeError as error:  # torch's, as for images too small for the network
            raise ModelError(f"{path}: does not fit its card ({str(error).splitlines()[0]})") from None

    return predict
