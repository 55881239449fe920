"""From a corpus's recordings to its JPEGs in a view, with the maps of images to recordings.

Resumable: an existing image that was made from the same recording, padding, parameters and versions is kept. So is an
image that this module did not make (the study's published ones, copied into place).

A manifest among the images lists those that are made here: image → key of what it is made from, and digest of its
content, which is missing until it is made. An image that is not in the manifest was made by others.
"""

import functools
import importlib.metadata
import os
import re
from pathlib import Path

import pandas as pd
from PIL import Image

from speaker_gender.caching import (
    content_digest,
    digest,
    file_digest,
    read_kept_json,
    recompute,
    remove_abandoned,
    write_atomically,
    write_json,
    write_kept_json,
)
from speaker_gender.config import SAMPLE_RATE
from speaker_gender.corpora.corpus import Corpus, CorpusError, with_stamps
from speaker_gender.images import mfc
from speaker_gender.images.maps import load_maps, map_images, write_maps
from speaker_gender.images.views import VIEWS, encode_jpeg
from speaker_gender.parallel import in_parallel
from speaker_gender.sound.reading import VERSION, AudioError, read_signal
from speaker_gender.sound.remote import located

PADDING_SEEDS = {"male": 1, "female": 2}  # the study's
BATCH = 16  # images a worker makes and writes before it reports back
IMAGES_A_WORKER = 500  # fewer are made before another process has started
NOTED = 2_000  # images after which the manifest is written, so that a run that was killed need not make them again
MANIFEST, FORMAT = "made.json", {"manifest": 1}
PACKAGES = ("librosa", "numpy", "pillow", "scikit-image", "scipy", "soundfile", "soxr")  # that images depend on
Manifest = dict[str, tuple[str, str | None]]  # image → key, digest


def plan_images(maps: dict[str, dict[str, str]], recordings: pd.DataFrame, view: str = "mfc") -> pd.DataFrame:
    """Plan a corpus's images: one row for each image whose WAV is available.

    The padding of an image depends on the lengths of all recordings before it in its gender's map. Where recordings are
    missing it is drawn over the available ones, so only a complete clone gives the study's own images. `maps`: gender →
    {image: path}, see maps.map_images. `recordings`: see audiomnist.load_recordings and corpus.with_stamps. `view`: a
    key of VIEWS. Returns columns: image, path, front (zeros before the recording, in samples at 48 kHz), key (digest of
    all that determines the image).
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

    Images that others changed after they were made are kept, and a line says so. `recordings`: see
    audiomnist.load_recordings. Returns counts of images `made`, `kept` and `missing` (neither WAV nor image available),
    and `skipped`: path → reason for every recording that could not be read. Raises OSError where an image cannot be
    written.
    """
    maps = map_images(recordings)
    _forget_renumbered(corpus, maps)
    write_maps(corpus, maps)
    plan = plan_images(maps, with_stamps(corpus, recordings), corpus.view)
    corpus.images.mkdir(parents=True, exist_ok=True)
    remove_abandoned(corpus.images)
    manifest, there = _read_manifest(corpus), set(os.listdir(corpus.images))
    states = [
        _state_of(corpus.images / image, key, manifest.get(image)) if image in there else "to be made"
        for image, key in zip(plan["image"], plan["key"])
    ]
    plan = plan.assign(state=states)
    changed = plan.loc[plan["state"] == "changed", "image"].tolist()
    if changed:
        names = ", ".join(changed[:3]) + (", …" if len(changed) > 3 else "")
        print(f"{len(changed)} images are not as they were made here, and are kept; delete them if in doubt: {names}")
    todo = plan[plan["state"] == "to be made"]
    unreadable = recordings[recordings["problem"].notna()]
    skipped = dict(zip(unreadable["path"], unreadable["problem"])) | _make_images(corpus, todo, manifest, n_jobs)
    there = set(os.listdir(corpus.images))
    image_of = {path: image for images in maps.values() for image, path in images.items()}
    by_others = there - manifest.keys()
    lost = {path: reason for path, reason in skipped.items() if image_of[path] not in by_others}
    if lost:
        write_json(corpus.skipped, lost)
    else:
        corpus.skipped.unlink(missing_ok=True)
    made = int((~todo["path"].isin(skipped)).sum())
    n_present = sum(image in there for image in image_of.values())
    missing = sum(image not in there and path not in skipped for path, image in image_of.items())
    return {"made": made, "kept": n_present - made, "missing": missing, "skipped": skipped}


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
        for image in _read_manifest(seen):
            if image not in old or old[image] != new.get(image):
                (seen.images / image).unlink(missing_ok=True)


def _state_of(path: Path, key: str, made: tuple[str, str | None] | None) -> str:
    """'to be made', or what is left alone: 'current', or 'changed' by others after it was made."""
    if made is None:
        return "current"  # by others, who gave it this name
    if made[1] is None:
        return "to be made"  # a run was stopped
    if file_digest(path) == made[1]:
        return "current" if made[0] == key and not recompute(path) else "to be made"
    return "changed" if is_whole_jpeg(path) else "to be made"


def _read_manifest(corpus: Corpus) -> Manifest:
    path = corpus.images / MANIFEST
    try:
        manifest = read_kept_json(path, FORMAT)
    except ValueError as error:
        raise CorpusError(f"{path}: {error}; delete it and the images beside it, and run this again") from None
    if manifest is not None:
        return manifest
    journals = [journal.read_bytes() for journal in corpus.images.glob("made*.jsonl")]  # of an earlier version
    return {name.decode(): ("", None) for name in re.findall(rb'\["(\w+\.jpg)"', b"".join(journals))}


def is_whole_jpeg(path: Path) -> bool:
    """Whether a file is a JPEG that can be decoded to its end."""
    try:
        open_jpeg(path)
    except CorpusError:
        return False
    return True


def open_jpeg(path: Path) -> Image.Image:
    """Decode a JPEG to grey levels.

    Returns it in mode L. Raises CorpusError for anything but a whole JPEG.
    """
    try:
        with Image.open(path, formats=["JPEG"]) as image:
            return image.convert("L")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        raise CorpusError(f"{path}: not a whole JPEG; delete it and run notebook 02_generate_mfc again") from None


def _make_images(corpus: Corpus, todo: pd.DataFrame, manifest: Manifest, n_jobs: int | None) -> dict[str, str]:
    """Make images and extend the manifest; returns path → reason of the recordings that could not be read."""
    if todo.empty:
        return {}
    keys, skipped = dict(zip(todo["image"], todo["key"])), {}
    manifest |= {image: (key, None) for image, key in keys.items()}
    write_kept_json(corpus.images / MANIFEST, FORMAT, manifest)
    jobs = list(zip(todo["path"], todo["image"], todo["front"]))
    make = functools.partial(_make_image, corpus.view, corpus.folder, corpus.images)
    title = f"JPEGs, view {corpus.view}"
    made = in_parallel(make, jobs, batch=BATCH, worth=IMAGES_A_WORKER, n_jobs=n_jobs, title=title, unit="image")
    try:
        for number, ((path, image, _), (content, problem)) in enumerate(zip(jobs, made), start=1):
            if problem:
                skipped[path] = problem
            manifest[image] = (keys[image], content)
            if number % NOTED == 0:
                write_kept_json(corpus.images / MANIFEST, FORMAT, manifest)
    finally:
        write_kept_json(corpus.images / MANIFEST, FORMAT, manifest)
    return skipped


def _make_image(
    view_name: str, recordings: Path, images: Path, job: tuple[str, str, int]
) -> tuple[str | None, str | None]:
    """Write the image of a recording; its digest, or why the recording cannot be read.

    An image that comes out unchanged is left alone, with its date.
    """
    path, image, front = job
    try:
        signal = read_signal(located(recordings, path))
        if mfc.RECORDING_SAMPLES - front < len(signal) <= mfc.RECORDING_SAMPLES:
            raise AudioError(path, "is longer than the table of recordings says")
    except AudioError as error:
        return None, error.problem
    view, place = VIEWS[view_name], images / image
    jpeg = encode_jpeg(view.image(signal, front=front), quality=view.jpeg_quality)
    if not place.exists() or place.read_bytes() != jpeg:
        write_atomically(place, jpeg)
    return content_digest(jpeg), None
