#!/usr/bin/env python3
"""Train the model that the project ships, which predicts the gender of unseen speakers.

    python scripts/studies/shipped_model/train.py [--synthetic-only]

It has two halves, whose scores are averaged: small networks on view `harmonic`, and small heads on the embeddings of a
speaker encoder that stays as it is (learning/fusion.py). Only this program needs the encoder's package:

    pip install --no-deps resemblyzer==0.1.4

Both are trained on what lies beside the project of Common Voice ($COMMON_VOICE), LibriSpeech ($LIBRISPEECH),
AudioMNIST's WAVs and spoken digits ($SPOKEN_DIGITS). Writes to results/shipped/: gender.safetensors, the same network
as gender.onnx, their card gender.json, and gender_recordings.csv, which lists the training and validation recordings.
With --synthetic-only, or without the first two, synthetic voices train gender_synthetic.*. Resumes after Ctrl-C.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import functools
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import torch

from speaker_gender.caching import cached_array, digest, write_atomically
from speaker_gender.config import GENDERS, RESULTS, settings
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.judging.evaluation import bootstrap_over_speakers, scores
from speaker_gender.learning import fusion
from speaker_gender.learning.calibration import calibrate, calibrated, log_odds, probability
from speaker_gender.learning.fusion import Fusion, SpeakerEncoder, embed, pretrained_encoder, train_head
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import Ensemble, predict, save_network, to_onnx
from speaker_gender.learning.recipes import Recipe
from speaker_gender.learning.training import train_model
from speaker_gender.learning.voices import SOURCES, Source, augmented_images, images_key, training_recordings

FOLDER = RESULTS / "shipped"
RECIPE = Recipe(architecture="small", image_size=(112, 30), epochs=3, mixup=0.2, balanced=True, keep_height=True)
SEEDS = (42, 43, 44)  # of the networks and of the heads: the accuracy of one alone varies over seeds
ENCODER = {
    "name": "speaker encoder of the package resemblyzer 0.1.4, unchanged: GE2E, three LSTM layers of 256 units",
    "licence": "Apache-2.0, github.com/resemble-ai/Resemblyzer",
    "paper": "Wan et al., Generalized End-to-End Loss for Speaker Verification, arXiv:1710.10467",
    "sha256": fusion.SHA256,
}
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

    Returns the card. Raises ValueError for an unknown ablation.

    Parameters
    ----------
    recordings : pd.DataFrame
        See voices.training_recordings.
    seeds : tuple of int
        One network each.
    sources : dict of str to Source
        See voices.augmented_images.
    without : str
        One of voices.ABLATIONS, or '' for none.
    """
    encoder = pretrained_encoder()  # before an hour of training
    images, embeddings, table = augmented(recordings, name, sources, without, encoder)
    if settings().smoke:
        recipe, seeds = replace(recipe, epochs=1), seeds[:2]
    members, cards = _trained_members(images, table, name, recipe, seeds)
    heads = _trained_heads(embeddings, table, seeds)
    held_out = (table["part"] == "valid").to_numpy()
    valid = table.loc[held_out, ["gender", "speaker", "source"]]
    p_halves = {
        "image": predict(members, images[held_out], cards[0]["normalisation"]),
        "encoder": _p_female(heads, embeddings[held_out]),
    }
    card = _card(name, cards, recordings, valid, p_halves)
    listed = recordings[["source", "speaker", "gender", "part", "stamp", "language", "age"]].assign(
        recording=recordings["path"].map(lambda path: path.name)
    )
    write_atomically(FOLDER / f"{name}_recordings.csv", listed.to_csv(index=False, lineterminator="\n"))
    network = Fusion(members, encoder, heads)
    onnx = to_onnx(network, recipe.image_size)
    return save_network(network, card, FOLDER / f"{name}.safetensors", onnx=onnx)


def augmented(
    recordings: pd.DataFrame, name: str, sources: dict[str, Source], without: str, encoder: SpeakerEncoder
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Augmented images, embeddings of the same speech, and the table of them that `train_model` needs; all cached."""
    key = images_key(recordings, sources=sources, without=without)
    made = functools.cache(lambda: augmented_images(recordings, sources=sources, without=without))
    images = cached_array(FOLDER / f"{name}_images.npy", key, lambda: made()[0])
    embeddings = cached_array(FOLDER / f"{name}_embeddings.npy", key, lambda: embed(encoder, made()[1]))
    rows = cached_array(FOLDER / f"{name}_rows.npy", key, lambda: made()[2])
    table = recordings.iloc[rows].reset_index(drop=True)
    names = [f"{name}_{index}" for index in range(len(table))]
    return images, embeddings, table.assign(image=names, path=table["path"].map(str))


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


def _trained_heads(embeddings: np.ndarray, table: pd.DataFrame, seeds: tuple[int, ...]) -> Ensemble:
    """One head a seed. Both genders weigh the same; a speaker with four times as many images weighs twice as much."""
    train = table["part"] == "train"
    female, speakers = table.loc[train, "gender"] == "female", table.loc[train, "speaker"]
    weights = 1 / np.sqrt(speakers.groupby(speakers).transform("size"))
    weights /= 2 * weights.groupby(female).transform("sum") / len(weights)
    found = embeddings[train.to_numpy()]
    return Ensemble([train_head(found, female.to_numpy(), weights.to_numpy(), seed=seed) for seed in seeds])


def _p_female(heads: Ensemble, embeddings: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        scores = heads.eval()(torch.from_numpy(embeddings)).double()
    return scores.softmax(dim=1)[:, GENDERS.index("female")].numpy()


def _card(
    name: str, cards: list[dict], recordings: pd.DataFrame, valid: pd.DataFrame, p_halves: dict[str, np.ndarray]
) -> dict:
    """The model's card, from its networks', with the calibration and the scores on the validation images."""
    p_female = probability(np.mean([log_odds(p) for p in p_halves.values()], axis=0))
    calibration = calibrate(valid.assign(p_female=p_female))
    valid_calibrated = valid.assign(p_female=calibrated(p_female, calibration))
    seeds = [card["recipe"]["seed"] for card in cards]
    architecture = (
        f"two halves, their scores averaged: {len(seeds)} networks of different seeds on the image, each "
        f"{cards[0]['architecture']}; and a speaker encoder with {len(seeds)} heads of one hidden layer"
    )
    return cards[0] | {
        "name": name,
        "seeds": seeds,
        "architecture": architecture,
        "history": {card["recipe"]["seed"]: card["history"] for card in cards},
        "seconds": sum(card["seconds"] for card in cards),
        "date": date.today().isoformat(),
        "key": digest([card["key"] for card in cards], fusion.VERSION, fusion.SHA256),
        "encoder": ENCODER,
        "corpus": ", ".join(sorted(set(recordings["source"]))),
        "data": {source: _described(group, str(source)) for source, group in recordings.groupby("source")},
        "calibration": calibration | {"on": f"{valid['speaker'].nunique()} validation speakers, augmented images"},
        "halves": {half: calibrate(valid.assign(p_female=p)) for half, p in p_halves.items()},
        "validation": {
            source: {"speakers": int(group["speaker"].nunique()), "images": len(group)}
            | {"scores": scores(group), "intervals": bootstrap_over_speakers(group)}
            for source, group in valid_calibrated.groupby("source")
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
    run_main(main)
