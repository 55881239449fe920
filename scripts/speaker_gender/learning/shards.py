"""Batches for fastai that are streamed from tar shards (images.shards): neither all images nor a table in memory."""

import io
import json
import os
import random
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from fastai.data.core import DataLoaders, TfmdDL
from fastai.data.transforms import IntToFloatTensor, Normalize
from fastai.torch_core import TensorCategory, TensorImageBW
from PIL import Image
from torch.utils.data import IterableDataset

from speaker_gender.caching import file_digest
from speaker_gender.config import GENDERS
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.images.shards import read_shard_note, shard_folder
from speaker_gender.images.views import shrink
from speaker_gender.learning.dataset import TimeShift, grey_stats

BUFFER = 5_000  # images that a stream is shuffled in, beside the order of its shards
MEASURED = 2_000  # images that mean and standard deviation are computed from


def shards_of(corpus: Corpus, part: str) -> dict[str, int]:
    """List the shards of a part, such as 'train': path → number of images.

    Raises CorpusError where there is none, or one is not as it was made.
    """
    folder, found = shard_folder(corpus), {}
    for path in sorted(folder.glob(f"{part}-*.tar")):
        note = read_shard_note(path)
        if note["content"] != file_digest(path):
            raise CorpusError(f"{path}: checksum mismatch; run scripts/studies/generate_images.py --shards")
        found[str(path)] = note["images"]
    if not sum(found.values()):
        raise CorpusError(f"{folder}: no shards of part {part}; run scripts/studies/generate_images.py --shards")
    return found


class ShardImages(IterableDataset):
    """The images of shards as (uint8 tensor of shape (1, height, width), class), endlessly.

    Each of n processes takes every n-th shard; with more processes than shards they read the same ones. They are
    shuffled by Python's global generator, which learners.SeedEpochs seeds before each epoch.
    """

    def __init__(self, paths: list[str], size: tuple[int, int], *, shuffle: bool):
        self.paths, self.size, self.shuffle = paths, size, shuffle

    def __iter__(self):
        import webdataset

        worker = torch.utils.data.get_worker_info()
        number, of = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if worker:
            number, of = number * worker.num_workers + worker.id, of * worker.num_workers
        own = self.paths[number::of] or self.paths
        while True:
            if self.shuffle:
                random.shuffle(own)
            stages = [webdataset.SimpleShardList(own), webdataset.tarfile_to_samples()]
            if self.shuffle:
                stages.append(webdataset.shuffle(BUFFER, rng=random))
            yield from map(self._decoded, webdataset.DataPipeline(*stages))

    def _decoded(self, sample: dict):
        image = Image.open(io.BytesIO(sample["jpg"]), formats=["JPEG"]).convert("L")
        gender = json.loads(sample["json"])["gender"]
        grey = torch.from_numpy(shrink(image, self.size).copy())[None]
        return TensorImageBW(grey), TensorCategory(GENDERS.index(gender))


def shard_dls(
    parts: dict[str, dict[str, int]],
    *,
    size: tuple[int, int],
    batch_size: int = 64,
    max_shift: float = 0.0,
    n_workers: int = 0,
) -> tuple[DataLoaders, tuple[float, float]]:
    """Make fastai DataLoaders that stream shards; see dataset.make_dls.

    In one process with no workers, each image comes once an epoch. With more, each epoch has as many images, but those
    of a process with fewer or smaller shards come more often. `parts`: 'train' and 'valid' → `shards_of`. `n_workers`:
    processes that read and decode for each part; 0: the training's own. Raises CorpusError where webdataset is missing.

    Returns
    -------
    stats : tuple of float
        Mean and standard deviation of the grey levels in 0…1.
    """
    try:
        stream = iter(ShardImages(list(parts["train"]), size, shuffle=False))
        few = islice(stream, min(sum(parts["train"].values()), MEASURED))
        stats = grey_stats(np.stack([image.numpy() for image, _ in few]))
    except ImportError:
        raise CorpusError("shards take webdataset: pip install -r requirements-cluster.txt") from None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    normalise = Normalize.from_stats([stats[0]], [stats[1]], cuda=torch.cuda.is_available())
    loaders = [
        TfmdDL(
            ShardImages(list(shards), size, shuffle=part == "train"),
            bs=batch_size if part == "train" else 256,
            n=sum(shards.values()),
            num_workers=n_workers,
            device=device,
            after_batch=[IntToFloatTensor(), TimeShift(max_shift), normalise],
        )
        for part, shards in parts.items()
    ]
    return DataLoaders(*loaders, path=Path(), device=device), stats
