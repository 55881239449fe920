"""One look for all figures: colours that colour-blind readers can tell apart, and where figures are kept."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

import config
from corpus import Corpus

COLOURS = {"female": "#D55E00", "male": "#0072B2"}  # vermilion and blue of Okabe and Ito's palette
NEUTRAL = "#666666"


def use_style() -> None:
    """matplotlib's settings for all notebooks: readable at half a page's width, no frame that says nothing."""
    plt.rcParams.update(
        {
            "figure.dpi": 90,
            "savefig.dpi": 130,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "image.aspect": "auto",
            "image.interpolation": "nearest",
        }
    )


def save_figure(figure: Figure, name: str, corpus: Corpus) -> Path:
    """Keeps the figure as results/<corpus>/pngs/<name>.png, or, as README shows AudioMNIST's, as pngs/<name>.png."""
    folder = config.PNGS if corpus.is_audiomnist else corpus.results / "pngs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, metadata={"Software": None})
    return path
