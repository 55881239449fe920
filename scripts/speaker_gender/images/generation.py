"""From a corpus's recordings to its JPEGs in a view, with the maps of images to recordings.

Resumable: an existing image that was made from the same recording, padding, parameters and versions is kept. So is an
image that this module did not make (the study's published ones, copied into place).

A journal among the images lists what was made: lines of [image, key of what it was made from, digest of it], each
written before its image. So an image that is not in the journal was made by others, even after a run was killed. On a
cluster each process has a journal of its own.
"""

import importlib.metadata
import json
import os
import platform
import warnings
from pathlib import Path

import pandas as pd
from joblib import delayed
from PIL import Image
from tqdm.auto import tqdm

from speaker_gender.caching import (
    append,
    content_digest,
    digest,
    file_digest,
    recompute,
    remove_abandoned,
    write_atomically,
    write_json,
)
from speaker_gender.config import SAMPLE_RATE
from speaker_gender.corpora.corpus import Corpus, CorpusError, with_stamps
from speaker_gender.images import mfc
from speaker_gender.images.maps import load_maps, map_images, write_maps
from speaker_gender.images.views import VIEWS, encode_jpeg
from speaker_gender.parallel import batch_size, cluster_address, n_workers, parallel
from speaker_gender.sound.reading import VERSION, AudioError, read_signal
from speaker_gender.sound.remote import located

PADDING_SEEDS = {"male": 1, "female": 2}  # the study's
BATCH = 16  # images a worker makes and writes before it reports back
IMAGES_A_WORKER = 500  # fewer are made before another process has started
JOURNAL = "made.jsonl"
PACKAGES = ("librosa", "numpy", "pillow", "scikit-image", "scipy", "soundfile", "soxr")  # that images depend on


def plan_images(maps: dict[str, dict[str, str]], recordings: pd.DataFrame, view: str = "mfc") -> pd.DataFrame:
    """Plan a corpus's images: one row for each image whose WAV is available.

    The padding of an image depends on the lengths of all recordings before it in its gender's map. Where recordings are
    missing it is drawn over the available ones, so only a complete clone gives the study's own images.

    Parameters
    ----------
    maps : dict
        Gender → {image: path}, see maps.map_images.
    recordings : pd.DataFrame
        See audiomnist.load_recordings and corpus.with_stamps.
    view : str
        A key of VIEWS.

    Returns
    -------
    pd.DataFrame
        Columns: image, path, front (zeros before the recording, in samples at 48 kHz), key (digest of all that
        determines the image).
    """
    by_path = recordings.set_index("path")[["samples", "sample_rate", "stamp"]]
    made_by = [VIEWS[view].parameters, VIEWS[view].jpeg_quality, VERSION, *map(importlib.metadata.version, PACKAGES)]
    rows = []
    for gender, images in maps.items():
        usable = by_path.loc[list(images.values())].assign(image=list(images)).dropna(subset="samples")
        lengths = usable["samples"].astype(float) * SAMPLE_RATE / usable["sample_rate"].astype(float)
        fronts = mfc.draw_front_padding(lengths.round().astype(int).tolist(), seed=PADDING_SEEDS[gender])
        for image, path, stamp, front in zip(usable["image"], usable.index, usable["stamp"], fronts):
            rows.append((image, path, front, digest(path, stamp, front, made_by)))
    return pd.DataFrame(rows, columns=["image", "path", "front", "key"])


def generate_images(corpus: Corpus, recordings: pd.DataFrame, *, n_jobs: int | None = None) -> dict:
    """Write a corpus's maps and, in parallel, every JPEG of its view that is missing, out of date or torn.

    Images that others changed after they were made are kept, and a line says so.

    Parameters
    ----------
    corpus : Corpus
        In the view in question.
    recordings : pd.DataFrame
        See audiomnist.load_recordings.
    n_jobs : int, optional
        Worker processes; by default one per core, or fewer for few images.

    Returns
    -------
    dict
        Counts of images `made`, `kept` and `missing` (neither WAV nor image available), and `skipped`: path → reason
        for every recording that could not be read.

    Raises
    ------
    OSError
        Where an image cannot be written.
    """
    maps = map_images(recordings)
    _forget_renumbered(corpus, maps)
    write_maps(corpus, maps)
    plan = plan_images(maps, with_stamps(corpus, recordings), corpus.view)
    corpus.images.mkdir(parents=True, exist_ok=True)
    remove_abandoned(corpus.images)
    journal, there = _read_journal(corpus), set(os.listdir(corpus.images))
    states = pd.Series(
        [
            _state_of(corpus.images / image, key, journal.get(image)) if image in there else "to be made"
            for image, key in zip(plan["image"], plan["key"])
        ],
        index=plan.index,
        dtype=object,
    )
    changed = plan.loc[states == "changed", "image"].tolist()
    if changed:
        names = ", ".join(changed[:3]) + (", …" if len(changed) > 3 else "")
        print(f"{len(changed)} images are not as they were made here, and are kept; delete them if in doubt: {names}")
    todo = plan[states == "to be made"]
    unreadable = recordings[recordings["problem"].notna()]
    skipped = dict(zip(unreadable["path"], unreadable["problem"]))
    skipped |= _make_images(corpus, todo, n_jobs)
    image_of = {path: image for images in maps.values() for image, path in images.items()}
    there = set(os.listdir(corpus.images))
    by_others = there - journal.keys()
    lost = {path: reason for path, reason in skipped.items() if image_of[path] not in by_others}
    if lost:
        write_json(corpus.skipped, lost)
    else:
        corpus.skipped.unlink(missing_ok=True)
    made = int((~todo["path"].isin(skipped)).sum())
    n_present = sum(image in there for images in maps.values() for image in images)
    return {
        "made": made,
        "kept": n_present - made,
        "missing": len(recordings) - n_present,
        "skipped": skipped,
    }


def _forget_renumbered(corpus: Corpus, maps: dict[str, dict[str, str]]) -> None:
    """Removes images of all views that were made here and whose names belong to other recordings in the new maps.

    A recording that is added or removed renumbers others of its gender. Their images of another view, or of this one
    where the run is stopped, would be taken for those of other recordings.
    """
    try:
        old = load_maps(corpus).set_index("image")["path"].to_dict()
    except CorpusError:
        old = {}
    new = {image: path for images in maps.values() for image, path in images.items()}
    for seen in map(corpus.seen_as, VIEWS):
        for image in _read_journal(seen):
            if image not in old or old[image] != new.get(image):
                (seen.images / image).unlink(missing_ok=True)


def _state_of(path: Path, key: str, made: dict[str, str] | None) -> str:
    """'to be made', or what is left alone: 'current', or 'changed' by others after it was made.

    made: digest of each content that this module has given the image → key of what it was made from; None: none.
    """
    if not path.exists():
        return "to be made"
    if made is None:
        return "current"  # by others, who gave it this name
    content = file_digest(path)
    if content in made:
        return "current" if made[content] == key and not recompute(path) else "to be made"
    return "changed" if is_whole_jpeg(path) else "to be made"


def is_whole_jpeg(path: Path) -> bool:
    """Whether a file is a JPEG that can be decoded to its end."""
    try:
        open_jpeg(path)
    except CorpusError:
        return False
    return True


def open_jpeg(path: Path) -> Image.Image:
    """Decode a JPEG to grey levels.

    Parameters
    ----------
    path : Path

    Returns
    -------
    PIL.Image.Image
        In mode 'L'.

    Raises
    ------
    CorpusError
        For anything but a whole JPEG.
    """
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            return image.convert("L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise CorpusError(f"{path}: not a whole JPEG; delete it and run notebook 02_generate_mfc again") from None


def _make_images(corpus: Corpus, todo: pd.DataFrame, n_jobs: int | None) -> dict[str, str]:
    if todo.empty:
        return {}
    jobs, size = list(zip(todo["path"], todo["image"], todo["front"], todo["key"])), batch_size(len(todo), local=BATCH)
    batches = [jobs[start : start + size] for start in range(0, len(jobs), size)]
    skipped: dict[str, str] = {}
    journal = None if cluster_address() else JOURNAL
    n_jobs = n_jobs or n_workers(len(jobs), each=IMAGES_A_WORKER)
    work = parallel(min(n_jobs, len(batches)), return_as="generator")(
        delayed(_make_batch)(corpus.view, corpus.folder, corpus.images, journal, batch) for batch in batches
    )
    try:
        with tqdm(total=len(jobs), desc=f"JPEGs, view {corpus.view}", unit="image", leave=False) as progress:
            for n_made, batch_skipped in work:
                skipped |= batch_skipped
                progress.update(n_made + len(batch_skipped))
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # joblib's of the work that is dropped where an image cannot be written
            work.close()  # type: ignore[attr-defined]  # joblib declares a list, whatever return_as is
    return skipped


def _make_batch(
    view_name: str, recordings: Path, images: Path, journal: str | None, batch: list[tuple[str, str, int, str]]
) -> tuple[int, dict[str, str]]:
    """Writes the images of some recordings; how many, and path → reason of the recordings that could not be read.

    journal: None for one of this process's own. A file that several machines append to at once may lose lines.
    """
    view, jpegs, skipped = VIEWS[view_name], {}, {}
    for path, image, front, _ in batch:
        try:
            signal = read_signal(located(recordings, path))
        except AudioError as error:
            skipped[path] = error.problem
            continue
        jpegs[image] = encode_jpeg(view.image(signal, front=front), quality=view.jpeg_quality)
    journal = journal or f"made.{platform.node()}.{os.getpid()}.jsonl"
    _write_images(images, jpegs, {image: key for _, image, _, key in batch}, journal)
    return len(jpegs), skipped


def _write_images(folder: Path, jpegs: dict[str, bytes], keys: dict[str, str], journal: str) -> None:
    """First the journal's lines, then the images. An image that comes out unchanged is left alone, with its date."""
    lines = [json.dumps([image, keys[image], content_digest(jpeg)]) for image, jpeg in jpegs.items()]
    append(folder / journal, "\n" + "\n".join(lines) + "\n")  # the first one ends a line torn by a kill
    for image, jpeg in jpegs.items():
        path = folder / image
        if not path.exists() or path.read_bytes() != jpeg:
            write_atomically(path, jpeg)


def _read_journal(corpus: Corpus) -> dict[str, dict[str, str]]:
    """Image → digest of each content that it was given → key of what that was made from (last)."""
    made: dict[str, dict[str, str]] = {}
    journals = sorted(corpus.images.glob("made*.jsonl"), key=lambda path: path.stat().st_mtime)
    for line in (line for path in journals for line in path.read_bytes().splitlines()):
        try:
            image, key, content = json.loads(line)
            made.setdefault(image, {})[content] = key
        except (ValueError, TypeError):  # empty, or torn
            continue
    return made
