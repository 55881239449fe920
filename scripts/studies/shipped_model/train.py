#!/usr/bin/env python3
"""Train the model that the project ships, which predicts the gender of unseen speakers.

    python scripts/studies/shipped_model/train.py [--synthetic-only]

It is an ensemble of small networks on view `harmonic`. They are trained on what lies beside the project of Common Voice
($COMMON_VOICE), LibriSpeech ($LIBRISPEECH), AudioMNIST's WAVs and spoken digits ($SPOKEN_DIGITS). Writes to
results/shipped/: gender.safetensors, the same network as gender.onnx, their card gender.json, and
gender_recordings.csv, which lists the training and validation recordings. With --synthetic-only, or without the first
two, synthetic voices train gender_synthetic.*. Resumes after Ctrl-C.
"""

import argparse
import functools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from speaker_gender.caching import cached_array, digest, write_atomically
from speaker_gender.config import RESULTS, settings
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.judging.evaluation import bootstrap_over_speakers, scores
from speaker_gender.learning.calibration import calibrate, calibrated
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import Ensemble, predict, save_network, to_onnx
from speaker_gender.learning.recipes import Recipe
from speaker_gender.learning.training import train_model
from speaker_gender.learning.voices import SOURCES, Source, augmented_images, images_key, training_recordings

FOLDER = RESULTS / "shipped"
RECIPE = Recipe(architecture="small", image_size=(112, 30), epochs=3, mixup=0.2, balanced=True, keep_height=True)
SEEDS = (42, 43, 44)  # of the ensemble's members: the accuracy of one alone varies over seeds
LICENCES = {
    "synthetic": "made by scripts/speaker_gender/corpora/demo.py with eSpeak NG",
    "audiomnist": "MIT licence, Becker et al., arXiv:1807.03418",
    "librispeech": "CC BY 4.0, Panayotov et al., ICASSP 2015, openslr.org/12",
    "common_voice": "CC0, Common Voice 6.1, Ardila et al., LREC 2020, commonvoice.mozilla.org",
    "spoken_digits": "MIT, github.com/YassineElALAMI/Speech-Recognition-Model-for-Gender-Classification",
}


def train(
    recordings: pd.DataFrame,
    name: str,
    *,
    recipe: Recipe = RECIPE,
    seeds: tuple[int, ...] = SEEDS,
    sources: dict[str, Source] = SOURCES,
    without: str = "",
) -> dict:
    """Train a model on recordings, calibrate it on their validation speakers, and write model and card.

    Parameters
    ----------
    recordings : pd.DataFrame
        See voices.training_recordings.
    name : str
        Of the model.
    recipe : Recipe
    seeds : tuple of int
        One network each.
    sources : dict of str to Source
        See voices.augmented_images.
    without : str
        One of voices.ABLATIONS, or '' for none.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    ValueError
        For an unknown ablation.
    """
    images, table = augmented(recordings, name, sources, without)
    if settings().smoke:
        recipe, seeds = replace(recipe, epochs=1), seeds[:2]
    network, cards = _trained_members(images, table, name, recipe, seeds)
    held_out = (table["part"] == "valid").to_numpy()
    p_female = predict(network, images[held_out], cards[0]["normalisation"])
    valid = table.loc[held_out, ["gender", "speaker", "source"]].assign(p_female=p_female)
    card = _card(name, cards, recordings, valid)
    listed = recordings[["source", "speaker", "gender", "part", "stamp", "language", "age"]].assign(
        recording=recordings["path"].map(lambda path: path.name)
    )
    write_atomically(FOLDER / f"{name}_recordings.csv", listed.to_csv(index=False, lineterminator="\n"))
    onnx = to_onnx(network, recipe.image_size)
    return save_network(network, card, FOLDER / f"{name}.safetensors", onnx=onnx)


def augmented(
    recordings: pd.DataFrame, name: str, sources: dict[str, Source], without: str
) -> tuple[np.ndarray, pd.DataFrame]:
    """The augmented images, and the table of them that `train_model` needs; the images are cached."""
    key = images_key(recordings, sources=sources, without=without)
    made = functools.cache(lambda: augmented_images(recordings, sources=sources, without=without))
    images = cached_array(FOLDER / f"{name}_images.npy", key, lambda: made()[0])
    rows = cached_array(FOLDER / f"{name}_rows.npy", key, lambda: made()[1])
    table = recordings.iloc[rows].reset_index(drop=True)
    names = [f"{name}_{index}" for index in range(len(table))]
    return images, table.assign(image=names, path=table["path"].map(str))


def _trained_members(
    images: np.ndarray, table: pd.DataFrame, name: str, recipe: Recipe, seeds: tuple[int, ...]
) -> tuple[Ensemble, list[dict]]:
    """The ensemble of one network a seed, on the CPU, and the members' cards."""
    corpus = Corpus("shipped", FOLDER, view="harmonic")
    members, cards = [], []
    for seed in seeds:
        print(f"{name}, seed {seed}")
        learn, card = train_model(
            corpus, images, table, table["part"], replace(recipe, seed=seed), name=f"{name}_seed{seed}"
        )
        members.append(learn.model.cpu())
        cards.append(card)
    return Ensemble(members), cards


def _card(name: str, cards: list[dict], recordings: pd.DataFrame, valid: pd.DataFrame) -> dict:
    """The ensemble's card, from its members', with the calibration and the scores on the validation images."""
    calibration = calibrate(valid)
    valid = valid.assign(p_female=calibrated(valid["p_female"].to_numpy(), calibration))
    seeds = [card["recipe"]["seed"] for card in cards]
    architecture = f"{len(seeds)} networks of different seeds, their scores averaged, each {cards[0]['architecture']}"
    return cards[0] | {
        "name": name,
        "seeds": seeds,
        "architecture": architecture,
        "history": {card["recipe"]["seed"]: card["history"] for card in cards},
        "seconds": sum(card["seconds"] for card in cards),
        "key": digest([card["key"] for card in cards]),
        "corpus": ", ".join(sorted(set(recordings["source"]))),
        "data": {source: _described(group, str(source)) for source, group in recordings.groupby("source")},
        "calibration": calibration | {"on": f"{valid['speaker'].nunique()} validation speakers, augmented images"},
        "validation": {
            source: {"speakers": int(group["speaker"].nunique()), "images": len(group)}
            | {"scores": scores(group), "intervals": bootstrap_over_speakers(group)}
            for source, group in valid.groupby("source")
        },
    }


def _described(group: pd.DataFrame, source: str) -> dict:
    """What the card reports of the training recordings of one source."""
    group = group[group["part"] == "train"]
    speakers = group.groupby("gender")["speaker"].nunique()
    described = {"licence": LICENCES[source], "recordings": len(group)} | {
        f"{gender}_speakers": int(count) for gender, count in speakers.items()
    }
    for column in ("language", "age"):
        if group[column].notna().any():
            counts = group.groupby(column)["speaker"].nunique().sort_values(ascending=False)
            described[f"speakers_by_{column}"] = {str(name): int(count) for name, count in counts.items()}
    return described


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthetic-only", action="store_true", help="train on synthetic voices alone")
    options = parser.parse_args()
    try:
        recordings = training_recordings(synthetic_only=options.synthetic_only)
        name = "gender_synthetic" if set(recordings["source"]) == {"synthetic"} else "gender"
        card = train(recordings, name)
    except (CorpusError, ModelError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    for source, found in card["validation"].items():
        print(
            f"{name}, {source}, {found['speakers']} validation speakers: "
            f"balanced accuracy {found['scores']['balanced_accuracy']:.1%}, AUC {found['scores']['auc']:.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
