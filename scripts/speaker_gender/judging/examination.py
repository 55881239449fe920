"""Grad-CAM of one network examined as a whole, kept under a key of all that determines it."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from speaker_gender.caching import cached_json, content_digest, digest
from speaker_gender.config import SEED
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.judging import attention, evaluation, grad_cam, map_tests
from speaker_gender.learning.model_files import usable_card
from speaker_gender.learning.networks import load_network, predict

PER_SPEAKER, DEMO_PER_SPEAKER = 10, 1  # images of each speaker that deletion and randomisation are measured on


def statistics_key(card: dict, images: np.ndarray, table: pd.DataFrame, **parameters: object) -> dict:
    """Make the key of what is computed from a network and images: other weights, data or statistics, another key.

    Returns for caching.cached_json.

    Parameters
    ----------
    card : dict
        Of the network, as it was saved.
    images : np.ndarray of uint8, shape (images, height, width)
    table : pd.DataFrame
        Columns image, speaker, gender; a row for each image.
    **parameters
        What else the result depends on, such as a stage or the size of a sample.
    """
    return {
        "model": [card["key"], card.get("sha256")],
        "images": content_digest(np.ascontiguousarray(images).data),
        "rows": digest(table[["image", "speaker", "gender"]].to_numpy().tolist()),
        "versions": {room.__name__: room.VERSION for room in (attention, evaluation, grad_cam, map_tests)},
        "bootstrap": [evaluation.N_BOOTSTRAP, SEED],
        "parameters": parameters,
    }


def n_per_speaker(corpus: Corpus) -> int:
    """Choose how many images of each speaker deletion and randomisation use; the demo corpus has 200 speakers."""
    return DEMO_PER_SPEAKER if corpus.name == "demo" else PER_SPEAKER


def examine(
    corpus: Corpus,
    path: Path,
    images: np.ndarray,
    table: pd.DataFrame,
    *,
    stage: str,
    per_speaker: int | None = None,
) -> dict:
    """Compute a saved network's mean maps, its attention, and the tests of its maps; cached.

    Returns images and correct (counts), mean_maps (gender → rows), and the tables shares (see
    attention.shares_by_speaker), curves (map_tests.curves_by_speaker) and similarities (map_tests.randomisation_test),
    each of one row a speaker; read them with `table_of`. sample: how many images the last two are from. Raises
    ModelError for files that do not fit.

    Parameters
    ----------
    path : Path
        Of the network's safetensors file.
    images : np.ndarray of uint8, shape (images, height, width)
        That it was not trained on.
    table : pd.DataFrame
        Columns image, gender, speaker; a row for each image.
    stage : str
        See grad_cam.stage_of.
    per_speaker : int, optional
        Correctly classified images of each speaker, drawn at random, that deletion and randomisation use; by default
        `n_per_speaker`.
    """
    count = n_per_speaker(corpus) if per_speaker is None else per_speaker
    key = statistics_key(usable_card(path), images, table, stage=stage, per_speaker=count)

    def compute() -> dict:
        network, card = load_network(path)
        return _examined(network, card, images, table, stage=stage, per_speaker=count)

    return cached_json(corpus.results / "grad_cam" / f"{path.stem}_{stage}.json", key, compute)


def _examined(
    network: torch.nn.Module, card: dict, images: np.ndarray, table: pd.DataFrame, *, stage: str, per_speaker: int
) -> dict:
    def p_female(some: np.ndarray) -> np.ndarray:
        return predict(network, some, card["normalisation"])

    correct = attention.correct_rows(table.assign(p_female=p_female(images)))
    right, right_table = images[correct], table.iloc[correct].reset_index(drop=True)
    classes = (right_table["gender"] != "female").to_numpy().astype(int)
    maps = grad_cam.grad_cam(network, right, card["normalisation"], classes, stage=stage)
    drawn = map_tests.sample_per_speaker(right_table, per_speaker)
    sample = right_table.iloc[drawn]
    curves = map_tests.curves_by_speaker(p_female, right[drawn], maps[drawn], sample)
    similarities = map_tests.randomisation_test(network, card, right[drawn], sample, stage=stage)
    return {
        "images": len(images),
        "correct": len(correct),
        "blank_maps": int((maps.max(axis=(1, 2)) == 0).sum()),
        "mean_maps": {gender: mean.tolist() for gender, mean in attention.mean_maps(maps, right_table).items()},
        "shares": _json_of(attention.shares_by_speaker(maps, right_table)),
        "sample": len(drawn),
        "curves": _json_of(curves),
        "similarities": _json_of(similarities),
    }


def _json_of(table: pd.DataFrame) -> dict:
    return {
        "index": [list(key) for key in table.index],
        "columns": [list(name) if isinstance(name, tuple) else name for name in table.columns],
        "data": table.to_numpy().tolist(),
    }


def table_of(found: dict) -> pd.DataFrame:
    """Read a table of `examine` back: index (gender, speaker)."""
    columns = [tuple(name) if isinstance(name, list) else name for name in found["columns"]]
    index = pd.MultiIndex.from_tuples(map(tuple, found["index"]), names=["gender", "speaker"])
    table = pd.DataFrame(found["data"], index=index, dtype=float)
    return table.set_axis(pd.MultiIndex.from_tuples(columns) if isinstance(columns[0], tuple) else columns, axis=1)


def summary(examined: dict[str, dict]) -> dict:
    """Summarise several networks' examinations as the JSON that README's sentences are made from.

    `examined`: network → its `examine`. Returns networks (names), images and sample (counts over all networks),
    speakers (gender → number of speakers with a correct image), attention, deletion and randomisation: lists of rows,
    see attention.compare_genders, map_tests.compare_orders and map_tests.similarity_table.
    """
    shares = {name: table_of(found["shares"]) for name, found in examined.items()}
    areas = {name: map_tests.deletion_areas(table_of(found["curves"])) for name, found in examined.items()}
    alike = pd.concat([table_of(found["similarities"]) for found in examined.values()])
    speakers = pd.concat(shares.values()).index.unique().get_level_values("gender")
    tables = {
        "attention": attention.compare_genders(shares),
        "deletion": map_tests.compare_orders(areas),
        "randomisation": map_tests.similarity_table(alike.groupby(level=["gender", "speaker"]).mean()),
    }
    return {
        "networks": list(examined),
        "images": sum(found["correct"] for found in examined.values()),
        "sample": sum(found["sample"] for found in examined.values()),
        "speakers": {gender: int(count) for gender, count in speakers.value_counts().items()},
    } | {name: table.reset_index().to_dict("records") for name, table in tables.items()}
