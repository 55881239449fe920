#!/usr/bin/env python3
"""Train the model that the project ships, which is to tell the gender of people it has never heard.

    python scripts/studies/shipped_model/train.py [--synthetic-only]

View `harmonic` and small networks of five seeds, whose scores are averaged, on what lies beside the project of
AudioMNIST's WAVs and a folder in LibriSpeech's layout (or $LIBRISPEECH). Writes results/shipped/gender.safetensors, the
same as gender.onnx, their card gender.json, and gender_recordings.csv, which names what it learned from. With
--synthetic-only, or where LibriSpeech is not there, synthetic voices train gender_synthetic.*. Resumes after Ctrl-C.
"""

import argparse
import functools
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from speaker_gender.caching import cached_array, digest, write_atomically
from speaker_gender.config import RESULTS, smoke
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.judging.evaluation import bootstrap_over_speakers, scores
from speaker_gender.learning.calibration import calibrate, calibrated
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import Ensemble, predict, save_network, to_onnx
from speaker_gender.learning.recipes import Recipe
from speaker_gender.learning.training import train_model
from speaker_gender.learning.voices import augmented_images, images_key, training_recordings

FOLDER = RESULTS / "shipped"
RECIPE = Recipe(architecture="small", image_size=(112, 30), epochs=3, mixup=0.2, balanced=True, keep_height=True)
SEEDS = (42, 43, 44, 45, 46)  # of networks that are asked together: one alone does better or worse by luck
LICENCES = {
    "synthetic": "made by scripts/demo_corpus.py with eSpeak NG",
    "audiomnist": "MIT licence, Becker et al., arXiv:1807.03418",
    "librispeech": "CC BY 4.0, Panayotov et al., ICASSP 2015, openslr.org/12",
}


def train(
    recordings: pd.DataFrame,
    name: str,
    *,
    recipe: Recipe = RECIPE,
    seeds: tuple[int, ...] = SEEDS,
    **changes,
) -> dict:
    """Trains on the recordings, calibrates on their validation speakers, writes model and card, returns the card.

    changes: of what `augmented_images` does.
    """
    corpus = Corpus("shipped", FOLDER, view="harmonic")
    key = images_key(recordings, **changes)
    made = functools.cache(lambda: augmented_images(recordings, **changes))
    images = cached_array(FOLDER / f"{name}_images.npy", key, lambda: made()[0])
    rows = cached_array(FOLDER / f"{name}_rows.npy", key, lambda: made()[1])
    table = recordings.iloc[rows].reset_index(drop=True)
    table = table.assign(image=[f"{name}_{index}" for index in range(len(table))], path=table["path"].map(str))
    if smoke():
        recipe, seeds = replace(recipe, epochs=1), seeds[:2]
    members, cards = [], []
    for seed in seeds:
        print(f"{name}, seed {seed}")
        learn, card = train_model(
            corpus, images, table, table["part"], replace(recipe, seed=seed), name=f"{name}_seed{seed}"
        )
        members.append(learn.model.cpu())
        cards.append(card)
    network = Ensemble(members)

    held_out = (table["part"] == "valid").to_numpy()
    p_female = predict(network, images[held_out], cards[0]["normalisation"])
    valid = table.loc[held_out, ["gender", "speaker", "source"]].assign(p_female=p_female)
    calibration = calibrate(valid)
    valid["p_female"] = calibrated(valid["p_female"].to_numpy(), calibration)
    card = cards[0] | {
        "name": name,
        "seeds": list(seeds),
        "architecture": f"{len(seeds)} networks of different seeds, their scores averaged, each {card['architecture']}",
        "history": {card["recipe"]["seed"]: card["history"] for card in cards},
        "seconds": sum(card["seconds"] for card in cards),
        "key": digest([card["key"] for card in cards]),
        "corpus": ", ".join(sorted(set(recordings["source"]))),
        "data": {source: _described(group, source) for source, group in recordings.groupby("source")},
        "calibration": calibration | {"on": f"{valid['speaker'].nunique()} validation speakers, augmented images"},
        "validation": {
            source: {"speakers": int(group["speaker"].nunique()), "images": len(group)}
            | {"scores": scores(group), "intervals": bootstrap_over_speakers(group)}
            for source, group in valid.groupby("source")
        },
    }
    listed = recordings[["source", "speaker", "gender", "part", "stamp"]].assign(
        recording=recordings["path"].map(lambda path: path.name)
    )
    write_atomically(FOLDER / f"{name}_recordings.csv", listed.to_csv(index=False, lineterminator="\n"))
    onnx = to_onnx(network, recipe.image_size)
    return save_network(network, card, FOLDER / f"{name}.safetensors", onnx=onnx)


def _described(group: pd.DataFrame, source: str) -> dict:
    """What the card says of the recordings of one source that a network was trained on."""
    group = group[group["part"] == "train"]
    speakers = group.groupby("gender")["speaker"].nunique()
    return {"licence": LICENCES[source], "recordings": len(group)} | {
        f"{gender}_speakers": int(count) for gender, count in speakers.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--synthetic-only", action="store_true", help="synthetic voices, none of people")
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
            f"balanced {found['scores']['balanced_accuracy']:.1%}, AUC {found['scores']['auc']:.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
