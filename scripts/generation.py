"""From a corpus's recordings to its JPEGs in a view, with the maps that say which image came from which recording.

Resumable: an image that is there and was made from the same recording, padding and parameters is kept, and so is
an image that this module did not make (the study's published ones, copied into place).
"""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

import mfc
from audio import AudioError, read_signal
from caching import digest, recompute, write_atomically, write_json
from config import SAMPLE_RATE
from corpus import GENDERS, Corpus, CorpusError, recordings_from_paths
from views import VIEWS, encode_jpeg

ORDER_SEED = 25  # the study's: shuffles the male recordings, then the female ones
PADDING_SEEDS = {"male": 1, "female": 2}  # the study's
BATCH = 16  # images a worker makes before it reports back


def map_images(recordings: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Gender → {image's name: recording's path}, in the study's order: 'male_0.jpg' is the first of the males.

    recordings: columns path and gender. Each gender's sorted paths are shuffled with numpy's legacy generator.
    """
    generator = np.random.RandomState(ORDER_SEED)
    maps = {}
    for gender in ("male", "female"):
        paths = sorted(recordings.loc[recordings["gender"] == gender, "path"])
        generator.shuffle(paths)
        maps[gender] = {f"{gender}_{index}.jpg": path for index, path in enumerate(paths)}
    return maps


def write_maps(corpus: Corpus, maps: dict[str, dict[str, str]]) -> None:
    for gender, images in maps.items():
        write_json(corpus.maps / f"{gender}.json", images)


def load_maps(corpus: Corpus) -> pd.DataFrame:
    """Table of a corpus's images, from its maps: image, gender, path, speaker, digit, repetition.

    Needs neither WAVs nor metadata. Raises CorpusError where a map is missing or is not {image: recording}.
    """
    tables = []
    for gender in GENDERS:
        path = corpus.maps / f"{gender}.json"
        try:
            images = json.loads(path.read_text(encoding="utf-8"))
            names, paths = list(images), list(images.values())
            if names != [f"{gender}_{index}.jpg" for index in range(len(names))]:
                raise ValueError
            table = recordings_from_paths(paths, corpus.folder)
        except FileNotFoundError:
            raise CorpusError(f"{path}: not there; run notebook 02_generate_mfc first") from None
        except (ValueError, AttributeError, TypeError):
            raise CorpusError(f"{path}: is not a map of images to recordings; delete it and run notebook 02") from None
        tables.append(table.assign(image=names, gender=gender))
    return pd.concat(tables, ignore_index=True)


def plan_images(maps: dict[str, dict[str, str]], recordings: pd.DataFrame, view: str = "mfc") -> pd.DataFrame:
    """What is to be made: one row an image whose WAV is here, with image, path, front (samples) and key.

    The padding of an image depends on the lengths of all recordings before it in its gender's map. Where recordings
    are missing it is drawn over those that are here, so only a complete clone gives the study's own images.
    """
    by_path = recordings.set_index("path")
    rows = []
    for gender, images in maps.items():
        usable = {image: path for image, path in images.items() if pd.notna(by_path.at[path, "samples"])}
        lengths = [
            round(by_path.at[path, "samples"] * SAMPLE_RATE / by_path.at[path, "sample_rate"])
            for path in usable.values()
        ]
        fronts = mfc.draw_front_padding(lengths, seed=PADDING_SEEDS[gender])
        for (image, path), front in zip(usable.items(), fronts):
            rows.append(
                (
                    image,
                    path,
                    front,
                    digest(path, by_path.at[path, "stamp"], front, VIEWS[view].parameters, VIEWS[view].jpeg_quality),
                )
            )
    return pd.DataFrame(rows, columns=["image", "path", "front", "key"])


def generate_images(corpus: Corpus, recordings: pd.DataFrame, *, n_jobs: int | None = None) -> dict:
    """Writes the corpus's maps and every JPEG of its view that is missing or out of date, in parallel.

    Returns counts of images `made` and `kept`, `missing` (neither WAV nor image there), and `skipped`: path → reason
    of every recording that could not be read.
    """
    maps = map_images(recordings)
    write_maps(corpus, maps)
    plan = plan_images(maps, recordings, corpus.view)
    corpus.images.mkdir(parents=True, exist_ok=True)
    made_from = _read_manifest(corpus)
    present = {entry.name for entry in os.scandir(corpus.images)}

    def is_current(image: str, key: str) -> bool:
        return image in present and (image not in made_from or (made_from[image] == key and not recompute()))

    is_kept = np.array([is_current(image, key) for image, key in zip(plan["image"], plan["key"])], dtype=bool)
    kept, todo = plan[is_kept], plan[~is_kept]
    if len(todo):
        # An outdated image goes before the manifest promises its successor, and the manifest is written before the
        # first image: whatever moment a run is stopped at, no old image is later taken for a new one.
        for image in todo["image"]:
            (corpus.images / image).unlink(missing_ok=True)
        own = kept[kept["image"].isin(made_from)]
        write_json(
            corpus.images / "manifest.json", dict(zip([*own["image"], *todo["image"]], [*own["key"], *todo["key"]]))
        )
    unreadable = recordings[recordings["problem"].notna()]
    skipped = dict(zip(unreadable["path"], unreadable["problem"]))
    skipped |= _make_images(corpus, todo, n_jobs or os.cpu_count())
    made = int((~todo["path"].isin(skipped)).sum())
    n_present = sum((corpus.images / image).exists() for images in maps.values() for image in images)
    return {
        "made": made,
        "kept": n_present - made,
        "missing": len(recordings) - n_present,
        "skipped": skipped,
    }


def _make_images(corpus: Corpus, todo: pd.DataFrame, n_jobs: int) -> dict[str, str]:
    jobs = list(zip(todo["path"], todo["image"], todo["front"]))
    batches = [jobs[start : start + BATCH] for start in range(0, len(jobs), BATCH)]
    skipped = {}
    work = Parallel(n_jobs=min(n_jobs, max(len(batches), 1)), return_as="generator_unordered")(
        delayed(_make_batch)(corpus.view, corpus.folder, corpus.images, batch) for batch in batches
    )
    with tqdm(
        total=len(jobs), desc=f"JPEGs, view {corpus.view}", unit="image", leave=False, disable=not jobs
    ) as progress:
        for batch_skipped, size in work:
            skipped |= batch_skipped
            progress.update(size)
    return skipped


def _make_batch(
    view_name: str, recordings: Path, images: Path, batch: list[tuple[str, str, int]]
) -> tuple[dict[str, str], int]:
    view, skipped = VIEWS[view_name], {}
    for path, image, front in batch:
        try:
            signal = read_signal(recordings / path)
        except AudioError as error:
            skipped[path] = str(error).removeprefix(f"{recordings / path}: ")
            continue
        jpeg = encode_jpeg(view.image(signal, front=front), quality=view.jpeg_quality)
        write_atomically(images / image, jpeg)
    return skipped, len(batch)


def _read_manifest(corpus: Corpus) -> dict[str, str]:
    try:
        return json.loads((corpus.images / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
