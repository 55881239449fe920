"""One look for all figures: colours that colour-blind readers can tell apart, and where figures are kept."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from speaker_gender import config
from speaker_gender.config import GENDERS, SAMPLE_RATE, WORKING_RATE
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.images import harmonic
from speaker_gender.images.mfc import HOP_LENGTH, N_FRAMES, N_MFCC

COLOURS = dict(zip(GENDERS, ("#D55E00", "#0072B2")))  # vermilion and blue of Okabe and Ito's palette
NEUTRAL = "#666666"
MFC_EXTENT = (0, N_FRAMES * HOP_LENGTH / SAMPLE_RATE * 1000, N_MFCC, 0)  # an MFC image's sides: ms, coefficients
_HARMONIC_SECONDS = harmonic.N_FRAMES * harmonic.HOP_LENGTH / WORKING_RATE
HARMONIC_EXTENT = (0, 1000 * _HARMONIC_SECONDS, *np.log2(harmonic.FREQUENCIES))  # ms, log2 of Hz
EXTENTS = {"mfc": MFC_EXTENT, "harmonic": HARMONIC_EXTENT}


def use_style() -> None:
    """Set matplotlib's style for all notebooks: readable at half a page's width, no frame without meaning."""
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
            "text.usetex": False,  # whatever the user's own style says: names of rooms and files are no formulas
            "text.parse_math": False,
        }
    )


def save_figure(figure: Figure, name: str, corpus: Corpus) -> Path:
    """Save a figure for a corpus.

    `name`: of the file, without .png. Returns results/<corpus>/pngs/<name>.png; for AudioMNIST, whose figures README
    shows, pngs/<name>.png.
    """
    folder = config.PNGS if corpus.is_audiomnist else corpus.results / "pngs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    figure.savefig(path, metadata={"Software": None})
    return path


def label_harmonic_axes(axis: Axes) -> None:
    """Label the axes of an image that was drawn with extent=HARMONIC_EXTENT: milliseconds and Hz."""
    ticks = np.array([62.5, 125, 250, 500, 1_000, 2_000, 4_000])
    axis.set(xlabel="ms", ylabel="Hz", yticks=np.log2(ticks), yticklabels=[f"{tick:g}" for tick in ticks])
    axis.tick_params(axis="y", labelsize=7, length=0)


def label_mfc_axes(axis: Axes) -> None:
    """Label the axes of an image that was drawn with extent=MFC_EXTENT: milliseconds and the coefficient's index."""
    axis.set(xlabel="ms", ylabel="MFCC", yticks=np.arange(N_MFCC) + 0.5, yticklabels=range(N_MFCC))
    axis.tick_params(axis="y", labelsize=7, length=0)


def draw_image(axis: Axes, image: np.ndarray, *, view: str = "mfc") -> None:
    """Draw a grey image of a view with its axes.

    Parameters
    ----------
    image : np.ndarray of uint8, shape (height, width)
    view : str
        'mfc' or 'harmonic'.
    """
    axis.imshow(image, cmap="gray", extent=EXTENTS[view], vmin=0, vmax=255)
    {"mfc": label_mfc_axes, "harmonic": label_harmonic_axes}[view](axis)


def draw_grad_cam(axis: Axes, image: np.ndarray, cam: np.ndarray, *, view: str = "mfc") -> None:
    """Draw an image of a view with its Grad-CAM over it in colour.

    Parameters
    ----------
    image : np.ndarray of uint8, shape (height, width)
    cam : np.ndarray, shape (rows, columns)
        Values 0…1.
    view : str
        'mfc' or 'harmonic'.
    """
    draw_image(axis, image, view=view)
    axis.imshow(cam, cmap="inferno", alpha=0.5, extent=EXTENTS[view], vmin=0, vmax=1, interpolation="bilinear")


def draw_intervals(
    axis: Axes, estimates: dict[str, tuple[float, float, float]], *, colour: str = COLOURS["male"], shift: float = 0
) -> None:
    """Draw a point with its interval for each of some methods, one below the other, the first on top.

    `estimates`: name → value, low and high, in per cent or percentage points. `shift`: of all points, downwards, so
    that a second series finds room.
    """
    places = np.arange(len(estimates)) + shift
    values, low, high = np.array(list(estimates.values()), float).reshape(-1, 3).T
    axis.hlines(places, low, high, color=colour)
    axis.plot(values, places, "o", color=colour, markersize=4)
    axis.set(yticks=range(len(estimates)), yticklabels=list(estimates), ylim=(len(estimates) - 0.5, -0.5))


def draw_voice(axes: Sequence[Axes], signal: np.ndarray, f0: np.ndarray, *, colour: str) -> None:
    """Draw a recording's waveform, spectrogram up to 8 kHz, and pitch, one below the other.

    Parameters
    ----------
    signal : np.ndarray, shape (samples,)
        On the int16 scale at 48 kHz.
    f0 : np.ndarray, shape (frames,)
        In Hz, nan where unvoiced, evenly spaced over the signal (librosa.pyin's).
    colour : str
        Of waveform and pitch.
    """
    seconds = len(signal) / SAMPLE_RATE
    axes[0].plot(np.arange(len(signal)) / SAMPLE_RATE, signal, color=colour, linewidth=0.5)
    axes[0].set(ylabel="int16 value")
    axes[1].specgram(signal, NFFT=1200, noverlap=720, Fs=SAMPLE_RATE, cmap="magma", vmin=-40)  # windows of 25 ms
    axes[1].set(ylim=(0, 8_000), ylabel="Hz")
    axes[2].plot(np.linspace(0, seconds, len(f0)), f0, ".-", color=colour)
    axes[2].set(ylim=(60, 350), ylabel="F0 in Hz", xlabel="seconds")
    for axis in axes:
        axis.set_xlim(0, seconds)


def draw_timeline(axis: Axes, stretches: Iterable, seconds: float) -> None:
    """Draw who speaks when: a bar for each stretch of speech, labels at heights of their own for reading in grey.

    `stretches`: each with start and stop in seconds, and a label ('female' or 'male'); see
    classifying.timeline.Stretch. `seconds`: of the whole recording.
    """
    labels = GENDERS[::-1]
    parts = list(stretches)
    for height, label in enumerate(labels):
        spans = [(part.start, part.stop - part.start) for part in parts if part.label == label]
        axis.broken_barh(spans, (height + 0.1, 0.8), color=COLOURS[label])
    ticks = np.arange(len(labels)) + 0.5
    axis.set(yticks=ticks, yticklabels=labels, ylim=(0, len(labels)), xlim=(0, seconds), xlabel="seconds")


def draw_confusion(axis: Axes, counts) -> None:
    """Draw a confusion matrix: counts, with the rate of each true gender below them.

    `counts`: see evaluation.confusion.
    """
    rates = counts.div(counts.sum(axis=1), axis=0)
    axis.imshow(rates, cmap="Blues", vmin=0, vmax=1.3, aspect="equal")
    for row, column in np.ndindex(*counts.shape):
        rate = rates.iloc[row, column]
        text = f"{counts.iloc[row, column]:,}\n{rate:.2%}"
        axis.text(column, row, text, ha="center", va="center", color="white" if rate > 0.7 else "black")
    axis.set(xlabel="predicted", ylabel="true")
    axis.set(xticks=range(len(GENDERS)), yticks=range(len(GENDERS)), xticklabels=GENDERS, yticklabels=GENDERS)
    axis.spines[:].set_visible(False)


def answer_figure(images: np.ndarray, maps: np.ndarray | None, *, view: str) -> Figure:
    """Draw the windows of a recording: a column for each, its image above, and the same under its Grad-CAM below.

    Returns matplotlib.figure.Figure: Not known to pyplot, so that it need not be closed.

    Parameters
    ----------
    images : np.ndarray of uint8, shape (windows, height, width)
    maps : np.ndarray, shape (windows, rows, columns), or None
        Values 0…1; without them the images stand alone.
    view : str
        'mfc' or 'harmonic'.
    """
    n_rows = 1 if maps is None else 2
    figure = Figure(figsize=(1.2 + 2.2 * len(images), 2.5 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, len(images), squeeze=False, sharex=True, sharey=True)
    for column, image in enumerate(images):
        draw_image(axes[0, column], image, view=view)
        if maps is not None:
            draw_grad_cam(axes[1, column], image, maps[column], view=view)
    for axis in axes.flat:
        axis.label_outer()
        axis.set_aspect("auto")
    axes[0, 0].set_title("what it saw", loc="left", fontsize=9)
    if maps is not None:
        axes[1, 0].set_title("where it looked (Grad-CAM)", loc="left", fontsize=9)
    return figure


def voice_to_answer(signal: np.ndarray, image: np.ndarray, p_female: float, *, sample_rate: int, title: str) -> Figure:
    """Draw one recording's way: its waveform above its image in view `harmonic`, on one time axis, and the answer.

    Returns matplotlib.figure.Figure: Not known to pyplot.

    Parameters
    ----------
    signal : np.ndarray, shape (samples,)
        Any scale; at most as long as the image, in whose middle it lies.
    image : np.ndarray of uint8, shape (112, 30)
    title : str
        Of the waveform.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained", dpi=130)
    places = figure.subplot_mosaic(
        [["wave", "answer"], ["image", "answer"]], width_ratios=(1.6, 1), height_ratios=(1, 2)
    )
    wave, seen, answer = (places[name] for name in ("wave", "image", "answer"))
    draw_image(seen, image, view="harmonic")
    seen.set_title("2 · its image: the bright bands are harmonics")
    left, right = HARMONIC_EXTENT[:2]
    times = (left + right - 1_000 * len(signal) / sample_rate) / 2 + np.arange(len(signal)) / sample_rate * 1_000
    wave.plot(times, signal, color=NEUTRAL, linewidth=0.5)
    wave.set(title=f"1 · {title}", xlim=(left, right), yticks=[], xticklabels=[])
    for place, (gender, p) in enumerate(zip(GENDERS, (p_female, 1 - p_female))):
        answer.barh(place, p, height=0.35, color=COLOURS[gender])
        answer.text(0.02, place - 0.22, f"{gender} {p:.1%}", va="bottom")
    answer.set(title="3 · the model's answer", xlim=(0, 1), ylim=(1.5, -0.7), yticks=[], xlabel="probability")
    return figure


def draw_mean_maps(figure: Figure, maps: dict[str, np.ndarray]) -> None:
    """Draw mean Grad-CAMs in two rows, women's above men's, on one colour scale, so that they can be compared.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Without axes.
    maps : dict of str to np.ndarray, shape (rows, columns)
        Title → map of MFC images, values from 0; a woman's and a man's in turns.
    """
    axes = figure.subplots(2, -(-len(maps) // 2), squeeze=False, sharex=True, sharey=True)
    greatest = max(np.max(one) for one in maps.values())
    for axis, (title, one) in zip(axes.T.flat, maps.items()):
        drawn = axis.imshow(one, cmap="inferno", extent=MFC_EXTENT, vmin=0, vmax=greatest, aspect="auto")
        label_mfc_axes(axis)
        axis.label_outer()
        axis.set_title(title)
    used, unused = list(axes.T.flat[: len(maps)]), axes.T.flat[len(maps) :]
    for axis in unused:
        axis.remove()
    figure.colorbar(drawn, ax=used, label="mean Grad-CAM")


def draw_differences(axis: Axes, table, *, of: str = "mean of networks") -> None:
    """Draw the differences of attention, female minus male: a point for each network, the interval of one of them.

    `table`: see attention.compare_genders. `of`: the network whose interval over speakers is drawn.
    """
    shown = table.loc[of]
    places = np.arange(len(shown))
    whiskers = [shown["difference"] - shown["low"], shown["high"] - shown["difference"]]
    axis.errorbar(places, shown["difference"], whiskers, fmt="o", capsize=4, color="black", label=of)
    others = [name for name in table.index.unique(level="network") if name != of]
    for name, shift, marker in zip(others, np.linspace(0.15, 0.35, len(others)), "v^sDPX*<>" * len(others)):
        difference = table.loc[name, "difference"]
        axis.plot(places + shift, difference, marker, markersize=4, color=NEUTRAL, label=name)
    axis.axhline(0, color=NEUTRAL, linestyle=":")
    axis.set(xlabel="coefficients", ylabel="share, female minus male", xticks=places, xticklabels=shown.index)
