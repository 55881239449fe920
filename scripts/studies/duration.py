#!/usr/bin/env python3
"""Is the length of a recording a cue to its speaker's gender, and what remains of the images without it?

    python scripts/studies/duration.py [--without-networks]

An MFC image shows the length of its recording: the rest of the second is black. Measured on the images of the resolved
corpus, on unseen speakers (the folds of AudioMNIST's paper, or five groups): the length alone; logistic regression on
mean and standard deviation of each coefficient over all frames, padding among them; and small networks. Each sees the
images as they are, images whose sound is stretched to one length, and images that show the same number of frames of
each recording's middle. Writes results/<corpus>/duration.json. Networks take a quarter of an hour on 2 CPU cores.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm.auto import tqdm

from speaker_gender.caching import cached_json, write_json
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.maps import load_maps
from speaker_gender.images.mfc import N_FRAMES, N_MFCC
from speaker_gender.judging import baselines
from speaker_gender.judging.comparisons import describe, paired_difference
from speaker_gender.learning import dataset, training
from speaker_gender.learning.dataset import available_images, load_images
from speaker_gender.learning.folds import SMALL, divide, fold_recipe
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import predict
from speaker_gender.learning.recipes import Recipe

VERSION = 1  # part of the cache's key: raise it when a change here changes a prediction

TRAINING: dict[str, Any] = SMALL | {"image_size": (16, N_FRAMES), "batch_size": 64}
MOST_EPOCHS = 4  # it is a comparison of forms, not a contest
FRAMES = 60  # of 10 ms, to which every sound is stretched: near the median of AudioMNIST
MIDDLE = 30  # frames that are left of each: AudioMNIST's shortest recording has hardly more


def as_it_is(image: np.ndarray) -> np.ndarray:
    """Leave an image as it is, uint8 (12, 98)."""
    return image


def stretched(image: np.ndarray) -> np.ndarray:
    """Stretch an image's sound to FRAMES frames, in the middle of black ones, uint8 (12, 98)."""
    return _padded_alike(_of_length(_sound(image), FRAMES))


def middle(image: np.ndarray) -> np.ndarray:
    """Leave the MIDDLE frames around the middle of an image's sound, in the middle of black ones, uint8 (12, 98).

    A shorter sound is stretched to as many.
    """
    sound = _sound(image)
    if sound.shape[1] < MIDDLE:
        return _padded_alike(_of_length(sound, MIDDLE))
    start = (sound.shape[1] - MIDDLE) // 2
    return _padded_alike(sound[:, start : start + MIDDLE])


def _sound(image: np.ndarray) -> np.ndarray:
    """The frames from the first to the last that is not padding; all of a black image."""
    sounding = np.flatnonzero(image.max(axis=0) > baselines.BLACK)
    return image[:, sounding[0] : sounding[-1] + 1] if len(sounding) else image


def _of_length(sound: np.ndarray, n_frames: int) -> np.ndarray:
    places = np.linspace(0, sound.shape[1] - 1, n_frames)
    rows = [np.interp(places, np.arange(sound.shape[1]), row) for row in sound]
    return np.round(np.stack(rows)).astype(np.uint8)


def _padded_alike(sound: np.ndarray) -> np.ndarray:
    missing = N_FRAMES - sound.shape[1]
    return np.pad(sound, ((0, 0), (missing // 2, missing - missing // 2)))


STATISTICS = "logistic regression on MFCC statistics"
NETWORK = "small network"
FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "images as they are": as_it_is,
    f"sound stretched to {FRAMES} frames in every image": stretched,
    f"the middle {MIDDLE} frames of every sound": middle,
}


def compare(corpus: Corpus, *, networks: bool = True) -> dict[str, dict]:
    """Compare the forms, and the length alone, on unseen speakers.

    `corpus`: In view 'mfc', with its images. `networks`: train small networks, too. Returns 'length of the recording
    alone' and '<method>, <form>' → comparisons.describe. The latter have, beside it, `gain`: the paired difference from
    the images as they are. The length has `ranked`: the AUC of the length itself over all speakers of the corpus,
    without a fit, and its 95 % interval over speakers.
    """
    table = available_images(corpus, load_maps(corpus))
    images = load_images(corpus, table, size=(N_MFCC, N_FRAMES))
    folds = divide(corpus, table, "paper" if corpus.is_audiomnist else "grouped")
    length = describe(baselines.length_predictions(corpus, table, images, folds))
    ranked = describe(table.assign(p_female=pd.Series(baselines.lengths(corpus, table, images)).rank(pct=True)))
    length["ranked"] = {name: ranked[name] for name in ("speakers", "images")}
    length["ranked"] |= {"auc": ranked["scores"]["auc"], "interval": ranked["intervals"]["auc"]}
    found = {baselines.LENGTH: length}
    found |= _described(STATISTICS, {name: _by_statistics(table, images, folds, name) for name in FORMS})
    if networks:
        found |= _described(NETWORK, {name: _predictions(corpus, table, images, folds, name) for name in FORMS})
    return found


def _described(method: str, predictions: dict[str, pd.DataFrame]) -> dict[str, dict]:
    plain = next(iter(predictions.values()))
    return {
        f"{method}, {name}": describe(some) | {"gain": paired_difference(some, plain)}
        for name, some in predictions.items()
    }


def _by_statistics(table: pd.DataFrame, images: np.ndarray, folds: list[pd.Series], name: str) -> pd.DataFrame:
    made = np.stack([FORMS[name](image) for image in tqdm(images, name, unit="image", leave=False)])
    features = np.concatenate([made.mean(axis=2), made.std(axis=2)], axis=1)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    return baselines.predictions_by_fold(classifier, features, table, folds)


def _predictions(
    corpus: Corpus, table: pd.DataFrame, images: np.ndarray, folds: list[pd.Series], name: str
) -> pd.DataFrame:
    """All test images with fold and p_female, by the network that did not train on their speaker; cached."""
    recipes = [fold_recipe(corpus, int((fold == "train").sum()), **TRAINING) for fold in folds]
    recipes = [replace(recipe, epochs=min(recipe.epochs, MOST_EPOCHS)) for recipe in recipes]
    key = {
        "folds": [training.fingerprint(table, fold) for fold in folds],
        "recipes": [asdict(recipe) for recipe in recipes],
        "versions": [VERSION, training.VERSION, dataset.VERSION, training.versions()],
        "frames": [FRAMES, MIDDLE, baselines.BLACK],
    }
    form = FORMS[name].__name__

    def compute() -> dict:
        made = np.stack([FORMS[name](image) for image in tqdm(images, name, unit="image", leave=False)])
        large = _enlarged(made, recipes[0].image_size)
        trained = partial(_trained_predictions, corpus, large, table, form)
        return {"p_female": [trained(fold, recipe).tolist() for fold, recipe in zip(folds, recipes)]}

    predicted = cached_json(corpus.results / "duration" / f"{form}.json", key, compute)["p_female"]
    tested = [
        table.loc[fold == "test", ["image", "gender", "speaker", "digit"]].assign(fold=number, p_female=p_female)
        for number, (fold, p_female) in enumerate(zip(folds, predicted), start=1)
    ]
    return pd.concat(tested, ignore_index=True)


def _enlarged(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    large = F.interpolate(torch.from_numpy(images)[:, None].float(), size=size, mode="bilinear", align_corners=False)
    return large[:, 0].round().to(torch.uint8).numpy()


def _trained_predictions(
    corpus: Corpus, images: np.ndarray, table: pd.DataFrame, form: str, fold: pd.Series, recipe: Recipe
) -> np.ndarray:
    """p_female of the fold's test images by a network trained on the fold; its files are removed."""
    name = f"duration_{form}"
    learn, card = training.train_model(corpus, images, table, fold, recipe, name=name)
    p_female = predict(learn.model, images[(fold == "test").to_numpy()], card["normalisation"])
    path = training.model_path(corpus, name)
    for file in (path, path.with_suffix(".json")):
        file.unlink(missing_ok=True)
    return np.round(p_female, 6)


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-networks", action="store_true", help="the length and the statistics only")
    options = parser.parse_args()
    try:
        corpus = resolve_corpus()
        found = compare(corpus, networks=not options.without_networks)
        about = {"corpus": corpus.title, "date": date.today().isoformat(), "versions": training.versions()}
        write_json(corpus.results / "duration.json", about | {"rows": found})
    except (CorpusError, ModelError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for name, row in found.items():
        (low, high), auc = row["intervals"]["auc"], row["scores"]["auc"]
        print(
            f"{name}: balanced accuracy {row['scores']['balanced_accuracy']:.1%}, AUC {auc:.3f} ({low:.3f} to "
            f"{high:.3f}), {row['images']:,} recordings of {row['speakers']} speakers"
        )
    return 0


if __name__ == "__main__":
    run_main(main)
