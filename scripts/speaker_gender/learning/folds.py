"""Networks trained fold by fold, and their predictions for each fold's test images."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from speaker_gender.caching import cached_json
from speaker_gender.config import settings
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.images.maps import load_maps
from speaker_gender.images.views import VIEWS
from speaker_gender.learning import dataset
from speaker_gender.learning.dataset import available_images, load_images
from speaker_gender.learning.imagenet import named_weights
from speaker_gender.learning.networks import predict
from speaker_gender.learning.recipes import Recipe, small_batch
from speaker_gender.learning.splits import grouped_folds, paper_folds, random_like
from speaker_gender.learning.training import VERSION, fingerprint, model_path, train_model

# A fold with more than LARGE training images is trained by ResNet-34, in batches of 128 on about SHOWN[0] images in all
# epochs together. A smaller one is trained by the small network, which has a hundredth of the weights and is ten times
# as fast, on SHOWN[1]. The demo corpus only demonstrates the method: one fold of five, and half as many images shown.
LARGE, SHOWN = 4_000, (42_000, 14_000)
DEMO_FOLDS, DEMO_SHOWN = 1, 7_000

SMALL: dict[str, Any] = {"architecture": "small", "image_size": (32, 112)}
SMALL_FOLD: dict[str, Any] = {"mixup": 0.2, "balanced": True}  # as studies/compare_views.py trains it
# Other ways to train on view mfc, to see how far its images go: name → (title, changes of the recipe).
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "regularised": ("mixup", {"mixup": 0.4, "balanced": True}),
    "small": ("a hundredth of the weights", SMALL),
    "small_mixup": ("a hundredth of the weights, mixup", SMALL | {"mixup": 0.4, "balanced": True}),
    "small_shifts": ("a hundredth of the weights, longer shifts", SMALL | {"max_shift": 0.4}),
    "small_seed43": ("a hundredth of the weights, another seed", SMALL | {"seed": 43}),
    "small_seed44": ("a hundredth of the weights, a third seed", SMALL | {"seed": 44}),
}


def n_folds(speakers: pd.Series, genders: pd.Series) -> int:
    """Choose the number of groups that the speakers are divided into: five, or as many as there are of each gender."""
    return min(3 if settings().smoke else 5, int(speakers.groupby(genders).nunique().min()))


def divide(corpus: Corpus, table: pd.DataFrame, division: str) -> list[pd.Series]:
    """Divide a corpus's images into folds.

    `division`: 'grouped': five folds, all speakers tested once, unseen (the demo corpus: the first fold only).
    'random': one fold with the sizes of the first of these, dealt to images. 'paper': the four folds of AudioMNIST's
    paper. Returns for each fold the part ('train', 'valid', 'test' or missing) of each image. Raises ValueError where
    the speakers are too few, or are not those of the paper.
    """
    if division == "paper":
        if not corpus.is_audiomnist:
            raise ValueError(f"{corpus.title}: the folds of AudioMNIST's paper are of AudioMNIST's speakers only")
        return paper_folds(table["speaker"])
    grouped = grouped_folds(table["speaker"], table["gender"], n_folds=n_folds(table["speaker"], table["gender"]))
    if corpus.name == "demo":
        grouped = grouped[:DEMO_FOLDS]
    return grouped if division == "grouped" else [random_like(grouped[0])]


def fold_recipe(corpus: Corpus, n_train: int, **changes) -> Recipe:
    """Choose the recipe for a fold.

    `n_train`: training images.
    """
    large = n_train > LARGE
    shown, batch_size = (SHOWN[0], 128) if large else (SHOWN[1], small_batch(n_train))
    shown = DEMO_SHOWN if corpus.name == "demo" else shown
    epochs = 1 if settings().smoke else min(max(round(shown / n_train), 3), 15)
    own: dict[str, Any] = {"image_size": VIEWS[corpus.view].fold_size, "epochs": epochs, "batch_size": batch_size}
    if large:
        own |= {"keep_height": corpus.view == "harmonic"}
    else:
        own |= SMALL_FOLD | {"architecture": "small"} | (SMALL if corpus.view == "mfc" else {})
    return Recipe(**own | changes)


def fold_predictions(corpus: Corpus, division: str, *, variant: str = "", **changes) -> pd.DataFrame:
    """Predict for every fold's test images with the network trained on the fold; cached.

    The networks of all folds but the first are deleted once they have predicted. `division`: see `divide`. `variant`:
    name of the changes, for the files' names. Returns columns: image, gender, speaker, digit, fold, p_female.
    """
    table, folds, recipes = _to_train(corpus, division, **changes)
    name = "_".join(filter(None, (corpus.view, division, variant)))

    def compute() -> dict:
        images = load_images(corpus, table, size=recipes[0].image_size)
        predicted = []
        for number, (fold, recipe) in enumerate(zip(folds, recipes), start=1):
            print(f"{corpus.title}, {name}, fold {number} of {len(folds)}")
            learn, card = train_model(corpus, images, table, fold, recipe, name=f"{name}_fold{number}")
            p_female = predict(learn.model, images[(fold == "test").to_numpy()], card["normalisation"])
            predicted.append(np.round(p_female.astype(float), 6).tolist())
        return {"p_female": predicted}

    key = _key(table, folds, recipes)
    predicted = cached_json(corpus.results / "unseen" / f"{name}.json", key, compute)["p_female"]
    for number in range(2, len(folds) + 1):  # only now, so that a run that is stopped need not train them again
        _forget(model_path(corpus, f"{name}_fold{number}"))
    tested = [
        table.loc[fold == "test", ["image", "gender", "speaker", "digit"]].assign(fold=number, p_female=p_female)
        for number, (fold, p_female) in enumerate(zip(folds, predicted), start=1)
    ]
    return pd.concat(tested, ignore_index=True)


def first_network(corpus: Corpus, division: str) -> tuple[nn.Module, dict]:
    """Return the network of a division's first fold: the saved one, or trained again where there is none.

    There is none where the predictions of all folds came with the project. `division`: see `divide`.
    """
    table, folds, recipes = _to_train(corpus, division)
    images = load_images(corpus, table, size=recipes[0].image_size)
    name = f"{corpus.view}_{division}_fold1"
    learn, card = train_model(corpus, images, table, folds[0], recipes[0], name=name)
    return learn.model, card


def first_network_key(corpus: Corpus, division: str) -> dict:
    """Return the key of the network of `first_network`, without training it."""
    table, folds, recipes = _to_train(corpus, division)
    return _key(table, folds[:1], recipes[:1])


def _to_train(corpus: Corpus, division: str, **changes) -> tuple[pd.DataFrame, list[pd.Series], list[Recipe]]:
    """The images, and for each fold of the division the images' parts and the recipe."""
    table = available_images(corpus, load_maps(corpus))
    folds = divide(corpus, table, division)
    return table, folds, [fold_recipe(corpus, int((fold == "train").sum()), **changes) for fold in folds]


def _key(table: pd.DataFrame, folds: list[pd.Series], recipes: list[Recipe]) -> dict:
    key = {
        "folds": [fingerprint(table, fold) for fold in folds],
        "recipes": [asdict(recipe) for recipe in recipes],
        "versions": [VERSION, dataset.VERSION],  # of training and of decoding
    }
    weights = named_weights(recipes[0])
    return key | ({"weights": weights} if weights else {})


def _forget(model: Path) -> None:
    model.with_suffix(".json").unlink(missing_ok=True)
    model.unlink(missing_ok=True)
