"""From JPEGs on disk to what fastai trains on: small grey images in memory, and batches of them.

An MFC JPEG has 224 × 224 pixels but carries only the 12 × 98 numbers it was made from. Decoding and shrinking all of
them once, to a size that still holds those numbers, makes each epoch many times faster and loses nothing measurable.
"""

import functools
import importlib.metadata
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.data.core import DataLoaders, Datasets
from fastai.data.transforms import Categorize, IntToFloatTensor, Normalize
from fastai.torch_core import TensorCategory, TensorImageBW
from fastai.vision.core import TensorImage
from fasttransform import DisplayedTransform

from speaker_gender.caching import cached_array, digest, file_digest
from speaker_gender.config import GENDERS
from speaker_gender.corpora.corpus import Corpus, CorpusError, accepted_losses
from speaker_gender.images.generation import open_jpeg
from speaker_gender.images.views import shrink
from speaker_gender.learning.batches import _with_channels
from speaker_gender.parallel import in_parallel

VERSION = 1  # part of the key of the decoded images: raise it when a change here changes them
BATCH = 500  # images a worker decodes before it reports back
IMAGES_A_WORKER = 5_000  # fewer are decoded before another process has started


def available_images(corpus: Corpus, table: pd.DataFrame) -> pd.DataFrame:
    """Select the images of a corpus whose JPEG exists.

    `table`: see maps.load_maps. Returns those rows, with a column `stamp`: digest of the JPEG. Raises CorpusError where
    there is no JPEG at all or one cannot be read. And where more available recordings than ACCEPT_LOST (see
    corpus.accepted_losses) cannot be read or have no image.
    """
    present = set(os.listdir(corpus.images)) if corpus.images.is_dir() else set()
    try:  # 30,000 images are read in a second
        digests = {image: file_digest(corpus.images / image) for image in table["image"] if image in present}
    except OSError as error:
        raise CorpusError(f"{error.filename}: cannot be read ({error.strerror})") from None
    stamps = table["image"].map(digests)
    if stamps.isna().all():
        program = f"scripts/studies/generate_images.py --view {corpus.view}"
        how = "notebook 02_generate_mfc" if corpus.view == "mfc" else program
        raise CorpusError(f"{corpus.images}: no JPEGs of view {corpus.view} in it; run {how} first")
    unreadable = table["path"].isin(_unreadable(corpus))
    without = table["path"][stamps.isna()]
    lost = unreadable | table.index.isin(without.index[without.map(corpus.has)])
    if lost.sum() > accepted_losses():
        raise CorpusError(
            f"{corpus.images}: {lost.sum()} recordings have no image ({corpus.skipped.name} says which of them cannot "
            f"be read); repair or remove them and run notebook 02_generate_mfc again, or ACCEPT_LOST={lost.sum()}"
        )
    return table.assign(stamp=stamps)[stamps.notna() & ~unreadable].reset_index(drop=True)


def _unreadable(corpus: Corpus) -> list[str]:
    if not corpus.skipped.exists():
        return []
    try:
        return list(json.loads(corpus.skipped.read_text(encoding="utf-8")).keys())
    except (OSError, ValueError, AttributeError):
        raise CorpusError(f"{corpus.skipped}: not a list of recordings; run notebook 02_generate_mfc again") from None


def load_images(corpus: Corpus, table: pd.DataFrame, *, size: tuple[int, int]) -> np.ndarray:
    """Load JPEGs as small grey images; decoded in parallel and cached in results/.

    Raises CorpusError for a JPEG that cannot be decoded.

    Parameters
    ----------
    table : pd.DataFrame
        See `available_images`.
    size : tuple of int
        Height and width in pixels.

    Returns
    -------
    np.ndarray of uint8, shape (images, height, width)
        In the table's order.
    """
    height, width = size
    names = table["image"].tolist()
    key = digest(names, table["stamp"].tolist(), size, VERSION, importlib.metadata.version("pillow"))
    path = corpus.results / f"{corpus.view}_{height}x{width}.npy"
    return cached_array(path, key, lambda: decode_images(corpus, names, size=size))


def decode_images(corpus: Corpus, names: list[str], *, size: tuple[int, int]) -> np.ndarray:
    """Decode JPEGs to small grey images, in parallel.

    Raises CorpusError for a JPEG that cannot be decoded.

    Parameters
    ----------
    names : list of str
        The JPEGs' names.
    size : tuple of int
        Height and width in pixels.

    Returns
    -------
    np.ndarray of uint8, shape (images, height, width)
    """
    decode = functools.partial(_decode, corpus.images, size)
    images = np.empty((len(names), *size), np.uint8)
    decoded = in_parallel(decode, names, batch=BATCH, worth=IMAGES_A_WORKER, title="Decoding JPEGs", unit="image")
    for number, image in enumerate(decoded):
        images[number] = image
    return images


def _decode(folder: Path, size: tuple[int, int], name: str) -> np.ndarray:
    return shrink(open_jpeg(folder / name), size)


class TimeShift(DisplayedTransform):
    """Roll each training image along time by up to a share of its width, each by its own amount.

    The study pads every recording at random in front and behind, so a shifted image is one that padding might have
    made. A flip, a rotation or a zoom would be a sound that no speaker makes. `most`: greatest shift either way, as a
    share of the width.
    """

    split_idx, order = 0, 20  # training only; after the images became floats

    def __init__(self, most: float):
        self.most = most

    def encodes(self, images: TensorImage):
        """Shift a batch, shape (images, channels, height, width)."""
        n_images, _, _, width = images.shape
        most = int(self.most * width)
        shifts = torch.randint(-most, most + 1, (n_images, 1), device=images.device)
        columns = (torch.arange(width, device=images.device) - shifts) % width
        return images.gather(3, columns[:, None, None, :].expand(images.shape))


def make_dls(
    images: np.ndarray,
    genders: pd.Series,
    split: pd.Series,
    *,
    batch_size: int = 64,
    max_shift: float = 0.0,
    stats: tuple[float, float] | None = None,
    speakers: np.ndarray | None = None,
    digits: np.ndarray | None = None,
) -> DataLoaders:
    """Make fastai DataLoaders over grey images: float32 (batch, channels, height, width), normalised, and classes.

    Parameters
    ----------
    images : np.ndarray of uint8, shape (images, height, width) or (images, channels, height, width)
    genders, split : pd.Series of str
        Of each image: its class (0 female, 1 male), and its part, of which 'train' and 'valid' are used.
    max_shift : float
        See `TimeShift`.
    stats : tuple of float, optional
        Mean and standard deviation of the grey levels in 0…1; by default those of the training part.
    speakers, digits : np.ndarray of int, shape (images,), optional
        Number of each image's speaker, and its digit. Batches then hold them, too, as their third and fourth part.
    """
    parts = [np.flatnonzero(split == part).tolist() for part in ("train", "valid")]
    mean, std = stats or grey_stats(images[parts[0]])
    tensor, labels = _with_channels(torch.from_numpy(images)), genders.tolist()

    def image(index: int):
        return TensorImageBW(tensor[index])

    def gender(index: int):
        return labels[index]

    transforms = [[image], [gender, Categorize(vocab=list(GENDERS), sort=False)]]
    transforms += [[_number_of(kind)] for kind in (speakers, digits) if kind is not None]
    datasets = Datasets(range(len(images)), transforms, splits=parts, n_inp=1)
    has_gpu = torch.cuda.is_available()
    normalise = Normalize.from_stats([mean], [std], cuda=has_gpu)
    return datasets.dataloaders(
        bs=batch_size,
        val_bs=256,
        num_workers=0,
        device=torch.device("cuda" if has_gpu else "cpu"),
        after_batch=[IntToFloatTensor(), TimeShift(max_shift), normalise],
    )


def _number_of(kind: np.ndarray):
    def number(index: int):
        return TensorCategory(int(kind[index]))

    return number


def grey_stats(images: np.ndarray) -> tuple[float, float]:
    """Compute mean and standard deviation of images, as grey levels in 0…1.

    Parameters
    ----------
    images : np.ndarray of uint8, any shape
    """
    counts = np.bincount(images.ravel(), minlength=256)
    levels = np.arange(256) / 255
    mean = float(np.average(levels, weights=counts))
    return mean, float(np.sqrt(np.average((levels - mean) ** 2, weights=counts)))
