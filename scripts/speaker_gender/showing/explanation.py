"""A picture of an answer: what the network saw of a recording, and where it looked."""

import functools
from pathlib import Path

import numpy as np

from speaker_gender.caching import replacing
from speaker_gender.classifying.classification import Answer, Windows, classify_windows
from speaker_gender.classifying.classifier import Classifier
from speaker_gender.config import GENDERS
from speaker_gender.showing.figures import answer_figure


def draw_answer(classifier: Classifier, answer: Answer, path: Path) -> None:
    """Writes a PNG: the images of the recording's windows (six at most), and below each its Grad-CAM over it."""
    windows = answer.seen
    if windows is None:
        return
    figure = answer_figure(windows.images, explain(classifier, windows), view=classifier.card["view"])
    figure.suptitle(f"{answer.answer}: female {answer.p_female:.1%}, male {answer.p_male:.1%}", fontsize=11)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})


EXPLAINED_STAGES = {"resnet34": "layer2", "small": "third convolution"}  # 14 and 28 cells high in an image of 112 rows


def explain(classifier: Classifier, windows: Windows) -> np.ndarray | None:
    """Grad-CAM of each window's image for the class that it is given, float32 (images, rows, columns) in 0…1.

    Of a model with a speaker encoder it explains the networks on images, for the class that both halves predict.
    None where torch is not installed, as after try.sh: only gradients need it.
    """
    try:
        from speaker_gender.judging.grad_cam import grad_cam
    except ModuleNotFoundError:
        return None
    p_female = classify_windows(classifier, windows)
    said = np.where(p_female >= 0.5, GENDERS.index("female"), GENDERS.index("male"))
    stage = EXPLAINED_STAGES[classifier.card["recipe"].get("architecture", "resnet34")]
    return grad_cam(_network(classifier.path), windows.images, classifier.card["normalisation"], said, stage=stage)


@functools.lru_cache(maxsize=1)
def _network(path: Path):
    from speaker_gender.learning.networks import load_network

    network, card = load_network(path)
    return network.images if "encoder" in card else network
