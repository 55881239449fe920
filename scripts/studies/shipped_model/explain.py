#!/usr/bin/env python3
"""Does Grad-CAM of the shipped model point at what its networks on images need?

    python scripts/studies/shipped_model/explain.py CORPUS…

Words of unseen speakers, as many of each, that the networks on images classify correctly. Each word's image is deleted
in the order of its map, of another word's map, of the sound's energy, and at random (see judging/map_tests.py). Also
how much of the maps lies on padding, where nothing is to be seen. Writes results/shipped/grad_cam.json.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import functools
from datetime import date
from typing import cast

import numpy as np
import pandas as pd
from skimage.transform import resize

from speaker_gender.caching import write_json
from speaker_gender.classifying.classification import windows_of
from speaker_gender.classifying.classifier import SHIPPED_MODEL, load_classifier
from speaker_gender.config import RESULTS, SEED
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging import map_tests
from speaker_gender.judging.assessment import unseen_recordings
from speaker_gender.judging.evaluation import mean_by_speaker
from speaker_gender.judging.grad_cam import FRACTIONS, enlarge, grad_cam
from speaker_gender.learning.fusion import Fusion
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import load_network, predict
from speaker_gender.learning.training import versions
from speaker_gender.showing.explanation import EXPLAINED_STAGES
from speaker_gender.sound.reading import read_signal

EACH = 5  # words of a speaker


def words(recordings: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """The image of the first window with speech of each recording that has one, and the rows of these."""
    classifier = load_classifier(SHIPPED_MODEL)
    images, rows = [], []
    for row, path in enumerate(recordings["path"]):
        found = windows_of(classifier, read_signal(path, sample_rate=classifier.view.sample_rate))
        if not found.reason:
            images.append(found.images[0])
            rows.append(row)
    return np.stack(images), recordings.iloc[rows].reset_index(drop=True)


def orders_of(images: np.ndarray, maps: np.ndarray) -> dict[str, np.ndarray]:
    """As map_tests.deletion_orders, for images in view `harmonic`, in which energy is brightness."""
    coarse = [resize(image / 255, maps.shape[1:], anti_aliasing=True) for image in images]
    orders = {
        map_tests.OWN: maps,
        map_tests.OTHER: maps[map_tests.other_images(len(maps))],
        map_tests.ENERGY: np.stack(coarse),
        map_tests.RANDOM: np.random.default_rng(SEED).uniform(size=maps.shape),
    }
    return {name: np.asarray(order, np.float32) for name, order in orders.items()}


def examine(images: np.ndarray, table: pd.DataFrame) -> dict:
    """The areas under the deletion curves of correctly classified words, and the maps' share on padding."""
    fused, card = load_network(SHIPPED_MODEL)
    network = cast(Fusion, fused).images
    p_female = functools.partial(predict, network, normalisation=card["normalisation"])
    correct = (p_female(images) >= 0.5) == (table["gender"] == "female").to_numpy()
    images, table = images[correct], table[correct].reset_index(drop=True)
    classes = (table["gender"] != "female").to_numpy().astype(int)
    stage = EXPLAINED_STAGES[card["recipe"]["architecture"]]
    maps = grad_cam(network, images, card["normalisation"], classes, stage=stage)
    areas = {
        name: np.trapezoid(map_tests.deletion_curves(p_female, images, order, classes), FRACTIONS, axis=1)
        for name, order in orders_of(images, maps).items()
    }
    compared = map_tests.compare_orders({"images": mean_by_speaker(pd.DataFrame(areas), table)}).xs("images")
    padding = np.broadcast_to(~images.any(axis=1, keepdims=True), images.shape)
    fine = enlarge(maps, images.shape[1:])
    return {
        "words": len(images),
        "speakers": int(table["speaker"].nunique()),
        "orders": {str(order): row.to_dict() for order, row in compared.iterrows()},
        "padding": {"of_image": float(padding.mean()), "of_map": float(fine[padding].sum() / fine.sum())},
    }


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="folders in AudioMNIST's layout, or tables")
    options = parser.parse_args()
    found: dict = {"date": date.today().isoformat(), "versions": versions(), "each": EACH, "rows": {}}
    try:
        for corpus in map(resolve_corpus, options.corpora):
            recordings = unseen_recordings(corpus, SHIPPED_MODEL)
            some = recordings.iloc[map_tests.sample_per_speaker(recordings, EACH)]
            found["rows"][corpus.title] = examine(*words(some))
        write_json(RESULTS / "shipped" / "grad_cam.json", found)
    except (CorpusError, ModelError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for title, row in found["rows"].items():
        areas = ", ".join(f"{name} {order['area']:.3f}" for name, order in row["orders"].items())
        print(f"{title}, {row['words']} words: area under the deletion curve: {areas}; on padding {row['padding']}")
    return 0


if __name__ == "__main__":
    run_main(main)
