"""Images in tar files, for corpora with more images than a file system holds well one by one: WebDataset's shards.

    mfc_dataset/<corpus>/shards/train-000000.tar    male_12.jpg, male_12.json, … of up to 10,000 images, shuffled
    mfc_dataset/<corpus>/shards/train-000000.json   what the shard was made from, its digest, how many images it holds

The images have the names and the bytes that generation.generate_images gives them. A sample's JSON has path, speaker,
gender and digit. A shard that is current and intact is kept, any other one is made again.
"""

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from speaker_gender.caching import (
    digest,
    file_digest,
    read_kept_json,
    recompute,
    remove_abandoned,
    replacing,
    write_kept_json,
)
from speaker_gender.config import SEED
from speaker_gender.corpora.corpus import Corpus, CorpusError, with_stamps
from speaker_gender.images.generation import plan_images
from speaker_gender.images.maps import map_images, write_maps
from speaker_gender.images.views import VIEWS, encode_jpeg
from speaker_gender.parallel import in_parallel
from speaker_gender.sound.reading import AudioError, read_signal
from speaker_gender.sound.remote import located

IMAGES_A_SHARD = 10_000
FORMAT = {"shard": 1}


def shard_folder(corpus: Corpus) -> Path:
    """Return the folder of a corpus's shards in its view."""
    return corpus.images / "shards"


def generate_shards(
    corpus: Corpus, recordings: pd.DataFrame, parts: pd.Series, *, images_a_shard: int = IMAGES_A_SHARD
) -> dict:
    """Write a corpus's maps and, in parallel, every shard that is missing, out of date or damaged.

    `recordings`: see audiomnist.load_recordings. `parts`: part of each recording, such as 'train'; missing where it
    goes into no shard. With the index of `recordings`. `images_a_shard`: at most. Returns counts of shards `made` and
    `kept`, of `images` in all of them, and `skipped`: path → reason for every recording that could not be read. Raises
    CorpusError where webdataset is missing. Raises OSError where a shard cannot be written.
    """
    _tar_writer()  # missing? before anything is written
    maps = map_images(recordings)
    write_maps(corpus, maps)
    plan = plan_images(maps, with_stamps(corpus, recordings), corpus.view)
    about = recordings.assign(part=parts).set_index("path")[["speaker", "gender", "digit", "part"]]
    plan = plan.join(about, on="path").dropna(subset="part")
    folder = shard_folder(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    shards = {
        folder / f"{part}-{number:06}.tar": rows
        for part, of_part in plan.groupby("part")
        for number, rows in enumerate(_dealt(of_part, images_a_shard))
    }
    for path in set(folder.glob("*.tar")) - set(shards):  # of a larger corpus, or of other parts
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink()
    keys = {path: digest(path.name, rows["image"].tolist(), rows["key"].tolist()) for path, rows in shards.items()}
    todo = [(path, keys[path], shards[path]) for path in shards if not _is_current(path, keys[path])]
    make = functools.partial(_make_shard, corpus.view, corpus.folder)
    made = list(in_parallel(make, todo, batch=1, title="shards", unit="shard"))
    skipped = [read_shard_note(path)["skipped"] for path in shards]
    return {
        "made": len(made),
        "kept": len(shards) - len(made),
        "images": sum(read_shard_note(path)["images"] for path in shards),
        "skipped": {path: reason for of_shard in skipped for path, reason in of_shard.items()},
    }


def _dealt(rows: pd.DataFrame, images_a_shard: int) -> list[pd.DataFrame]:
    """The rows, shuffled: a shard is a sample of the whole part, whatever order speakers and genders come in."""
    order = np.random.default_rng(SEED).permutation(len(rows))
    return [rows.iloc[order[start : start + images_a_shard]] for start in range(0, len(rows), images_a_shard)]


def read_shard_note(path: Path) -> dict:
    """Read key, images, skipped and content (digest) of a shard. Raises CorpusError where there is no intact note."""
    try:
        note = read_kept_json(path.with_suffix(".json"), FORMAT)
    except ValueError:
        note = None
    if note is None:
        raise CorpusError(f"{path}: without its .json; run scripts/studies/generate_images.py --shards")
    return note


def _is_current(path: Path, key: str) -> bool:
    try:
        note = read_shard_note(path)
        return note["key"] == key and note["content"] == file_digest(path) and not recompute(path)
    except (CorpusError, OSError):
        return False


def _make_shard(view_name: str, recordings: Path, job: tuple[Path, str, pd.DataFrame]) -> None:
    """Write a shard, and then beside it what it was made from."""
    view, skipped = VIEWS[view_name], {}
    path, key, rows = job

    def images():
        columns = ["image", "front", "path", "speaker", "gender", "digit"]
        for image, front, *described in rows[columns].astype(object).to_numpy():
            about = dict(zip(columns[2:], described))
            about["digit"] = None if pd.isna(about["digit"]) else int(about["digit"])
            try:
                signal = read_signal(located(recordings, about["path"]))
            except AudioError as error:
                skipped[about["path"]] = error.problem
                continue
            yield image, encode_jpeg(view.image(signal, front=front), quality=view.jpeg_quality), about

    with replacing(path) as partial, open(partial, "wb") as file:
        n_images = write_shard(file, images())
    note = {"key": key, "images": n_images, "skipped": skipped, "content": file_digest(path)}
    write_kept_json(path.with_suffix(".json"), FORMAT, note)


def write_shard(file: BinaryIO, images: Iterable[tuple[str, bytes, dict]]) -> int:
    """Write images (name, JPEG, description) to a tar file, the same bytes each time; returns their number."""
    n_images = 0
    with _tar_writer()(file, encoder=False, mtime=0) as shard:
        for image, jpeg, about in images:
            shard.write({"__key__": Path(image).stem, "jpg": jpeg, "json": json.dumps(about).encode()})
            n_images += 1
    return n_images


def _tar_writer():
    try:
        from webdataset import TarWriter  # here, because few corpora are so large
    except ImportError:
        raise CorpusError("shards take webdataset: pip install -r requirements-cluster.txt") from None
    return TarWriter
