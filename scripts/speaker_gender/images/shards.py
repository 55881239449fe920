"""Images in tar files, for corpora with more images than a file system holds well one by one: WebDataset's shards.

    mfc_dataset/<corpus>/shards/train-000000.tar    male_12.jpg, male_12.json, … of up to 10,000 images, shuffled
    mfc_dataset/<corpus>/shards/train-000000.json   what the shard was made from, and how many images it holds

The images have the names and the bytes that generation.generate_images gives them. A sample's JSON has path, speaker,
gender and digit. A shard is one batch of work: one that is current is kept, a torn one is made again.
"""

import json
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from joblib import delayed
from tqdm.auto import tqdm

from speaker_gender.caching import digest, recompute, remove_abandoned, replacing, write_json
from speaker_gender.config import SEED
from speaker_gender.corpora.corpus import Corpus, CorpusError, with_stamps
from speaker_gender.images.generation import plan_images
from speaker_gender.images.maps import map_images, write_maps
from speaker_gender.images.views import VIEWS, encode_jpeg
from speaker_gender.parallel import parallel
from speaker_gender.sound.reading import AudioError, read_signal
from speaker_gender.sound.remote import located

IMAGES_A_SHARD = 10_000
Job = tuple[str, str, int, dict]  # of an image: name, path, zeros in front, description


def shard_folder(corpus: Corpus) -> Path:
    """Return the folder of a corpus's shards in its view."""
    return corpus.images / "shards"


def generate_shards(
    corpus: Corpus,
    recordings: pd.DataFrame,
    parts: pd.Series,
    *,
    n_jobs: int | None = None,
    images_a_shard: int = IMAGES_A_SHARD,
) -> dict:
    """Write a corpus's maps and, in parallel, every shard that is missing, out of date or torn.

    Parameters
    ----------
    corpus : Corpus
        In the view in question.
    recordings : pd.DataFrame
        See audiomnist.load_recordings.
    parts : pd.Series of str
        Part of each recording, such as 'train'; missing where it goes into no shard. With the index of `recordings`.
    n_jobs : int, optional
        Worker processes; by default one per core.
    images_a_shard : int
        At most.

    Returns
    -------
    dict
        Counts of shards `made` and `kept`, of `images` in all of them, and `skipped`: path → reason for every recording
        that could not be read.

    Raises
    ------
    CorpusError
        Where webdataset is missing.
    OSError
        Where a shard cannot be written.
    """
    _tar_writer()  # missing? before anything is written
    maps = map_images(recordings)
    write_maps(corpus, maps)
    plan = plan_images(maps, with_stamps(corpus, recordings), corpus.view)
    about = recordings.assign(part=parts).set_index("path")[["speaker", "gender", "digit", "part"]]
    plan = plan.join(about, on="path")
    folder = shard_folder(corpus)
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    shards = {
        folder / f"{part}-{number:06}.tar": rows
        for part, of_part in plan.dropna(subset="part").groupby("part")
        for number, rows in enumerate(_dealt(of_part, images_a_shard))
    }
    for path in set(folder.glob("*.tar")) - set(shards):  # of a larger corpus, or of other parts
        path.with_suffix(".json").unlink(missing_ok=True)
        path.unlink()
    keys = {path: digest(path.name, rows["image"].tolist(), rows["key"].tolist()) for path, rows in shards.items()}
    todo = [path for path in shards if not _is_current(path, keys[path])]
    work = parallel(n_jobs, return_as="generator")(
        delayed(_make_shard)(corpus.view, corpus.folder, path, keys[path], _jobs_of(shards[path])) for path in todo
    )
    with tqdm(total=sum(len(shards[path]) for path in todo), desc="shards", unit="image", leave=False) as progress:
        for n_done in work:
            progress.update(n_done)
    made = [json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) for path in shards]
    skipped: dict[str, str] = {}
    for shard in made:
        skipped |= shard["skipped"]
    return {
        "made": len(todo),
        "kept": len(shards) - len(todo),
        "images": sum(shard["images"] for shard in made),
        "skipped": skipped,
    }


def _dealt(rows: pd.DataFrame, images_a_shard: int) -> list[pd.DataFrame]:
    """The rows, shuffled: a shard is a sample of the whole part, whatever order speakers and genders come in."""
    order = np.random.default_rng(SEED).permutation(len(rows))
    return [rows.iloc[order[start : start + images_a_shard]] for start in range(0, len(rows), images_a_shard)]


def _jobs_of(rows: pd.DataFrame) -> list[Job]:
    digits = [int(digit) if pd.notna(digit) else None for digit in rows["digit"]]
    columns = (rows["image"], rows["path"], rows["front"], rows["speaker"], rows["gender"], digits)
    return [
        (image, path, front, {"path": path, "speaker": speaker, "gender": gender, "digit": digit})
        for image, path, front, speaker, gender, digit in zip(*columns)
    ]


def _is_current(path: Path, key: str) -> bool:
    """Whether a shard was made from what the key stands for, and has the size that it had then."""
    try:
        made = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return made["key"] == key and made["bytes"] == path.stat().st_size and not recompute(path)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _make_shard(view_name: str, recordings: Path, path: Path, key: str, jobs: list[Job]) -> int:
    """Writes a shard, and then beside it what it was made from; returns the number of its recordings."""
    view, skipped = VIEWS[view_name], {}

    def images():
        for image, recording, front, about in jobs:
            try:
                signal = read_signal(located(recordings, recording))
            except AudioError as error:
                skipped[recording] = error.problem
                continue
            yield image, encode_jpeg(view.image(signal, front=front), quality=view.jpeg_quality), about

    with replacing(path) as partial, open(partial, "wb") as file:
        n_images = write_shard(file, images())
    made = {"key": key, "images": n_images, "bytes": path.stat().st_size, "skipped": skipped}
    write_json(path.with_suffix(".json"), made)
    return len(jobs)


def write_shard(file: BinaryIO, images) -> int:
    """Write images to a tar file, the same bytes each time.

    Parameters
    ----------
    file : binary file
    images : iterable of (str, bytes, dict)
        Name, JPEG and description of each.

    Returns
    -------
    int
        The number of images.

    Raises
    ------
    CorpusError
        Where webdataset is missing.
    """
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
