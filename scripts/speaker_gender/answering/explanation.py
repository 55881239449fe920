"""A picture of an answer: what the network saw of a recording, and where it looked."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from speaker_gender.answering.classification import Answer, Classifier, explain, window_images
from speaker_gender.caching import replacing
from speaker_gender.judging.figures import draw_grad_cam, draw_image
from speaker_gender.sound.reading import read_pieces

MOST_WINDOWS = 6  # that are drawn of a long recording


def draw_answer(classifier: Classifier, answer: Answer, path: Path) -> None:
    """Writes a PNG: the images of the recording's windows (six at most), and below each its Grad-CAM over it."""
    found = (window_images(classifier, piece)[0] for piece in read_pieces(Path(answer.file)))
    images = next(images for images in found if len(images))[:MOST_WINDOWS]
    figure = answer_figure(images, explain(classifier, images), view=classifier.card["view"])
    figure.suptitle(f"{answer.gender}: female {answer.p_female:.1%}, male {answer.p_male:.1%}", fontsize=11)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=110, metadata={"Software": None})


def answer_figure(images: np.ndarray, maps: np.ndarray, *, view: str) -> Figure:
    """A column for each window: its image, uint8 (height, width), above, and the same under its Grad-CAM below."""
    figure = Figure(figsize=(1.2 + 2.2 * len(images), 5), layout="constrained")
    axes = figure.subplots(2, len(images), squeeze=False, sharex=True, sharey=True)
    for column, (image, cam) in enumerate(zip(images, maps)):
        draw_image(axes[0, column], image, view=view)
        draw_grad_cam(axes[1, column], image, cam, view=view)
    for axis in axes.flat:
        axis.label_outer()
        axis.set_aspect("auto")
    axes[0, 0].set_title("what it saw", loc="left", fontsize=9)
    axes[1, 0].set_title("where it looked (Grad-CAM)", loc="left", fontsize=9)
    return figure
