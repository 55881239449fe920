#!/usr/bin/env python3
"""Whose label do their voices contradict? Cross-validation over the speakers that train the shipped model.

    python scripts/studies/shipped_model/labels.py

Each third of the speakers of Common Voice and LibriSpeech is predicted by a network that was trained on the others. A
speaker is left out of training by confident learning: where the mean probability of the other label over the speaker's
images is as high as it is, on average, for the speakers of that other label. Nothing but the voices and the labels is
used, and no pitch. Writes results/shipped/label_issues.csv (speaker, gender, p_of_label), which training reads.

References: Northcutt, Jiang and Chuang, Confident Learning, Journal of Artificial Intelligence Research 70, 2021.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from speaker_gender.caching import write_atomically
from speaker_gender.config import SEED
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.learning.calibration import log_odds, probability
from speaker_gender.learning.fusion import pretrained_encoder
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import predict
from speaker_gender.learning.training import train_model
from speaker_gender.learning.voices import LEFT_OUT, SOURCES, training_recordings
from studies.shipped_model.train import FOLDER, RECIPE, augmented

FOLDS, EPOCHS = 3, 2
IMAGES = {name: source._replace(images_per_window=2, of_women=1) for name, source in SOURCES.items()}


def contradicted(speakers: pd.DataFrame) -> pd.DataFrame:
    """The speakers whose label is contradicted, by confident learning.

    `speakers`: columns gender, p_female: a row a speaker, predicted by a network that was not trained on the speaker.
    Returns the rows of those speakers, with p_of_label.
    """
    p = {"female": speakers["p_female"], "male": 1 - speakers["p_female"]}
    usual = {gender: float(p[gender][speakers["gender"] == gender].mean()) for gender in p}
    other = speakers["gender"].map({"female": "male", "male": "female"})
    p_other = np.where(other == "female", p["female"], p["male"])
    found = speakers[p_other >= other.map(usual)]
    return found.assign(p_of_label=1 - p_other[p_other >= other.map(usual).to_numpy()])


def cross_validated(recordings: pd.DataFrame) -> pd.DataFrame:
    """speaker, gender and p_female (from the mean log-odds of the speaker's images), each from the other folds."""
    images, _, table = augmented(recordings, "labels", IMAGES, "", pretrained_encoder())
    corpus, rows = Corpus("shipped", FOLDER, view="harmonic"), []
    division = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    for number, (_, test) in enumerate(division.split(table, table["gender"], table["speaker"]), start=1):
        part = pd.Series("train", index=table.index)
        part.iloc[test] = "valid"
        print(f"labels, fold {number} of {FOLDS}")
        recipe = replace(RECIPE, epochs=EPOCHS)
        learn, card = train_model(corpus, images, table, part, recipe, name=f"labels_fold{number}")
        p_female = predict(learn.model, images[test], card["normalisation"])
        rows.append(table.iloc[test][["speaker", "gender"]].assign(odds=log_odds(p_female)))
    odds = pd.concat(rows).groupby(["speaker", "gender"], as_index=False)["odds"].mean()
    return odds.assign(p_female=probability(odds["odds"].to_numpy()))


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        recordings = training_recordings(doubtful_too=True)
        validating = recordings["source"].map(lambda source: SOURCES[source].validates)
        recordings = recordings[validating].reset_index(drop=True)
        found = contradicted(cross_validated(recordings)).sort_values("speaker").round({"p_of_label": 4})
        listed = found[["speaker", "gender", "p_of_label"]].to_csv(index=False, lineterminator="\n")
        write_atomically(LEFT_OUT, listed)
    except (CorpusError, ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{len(found)} of {recordings['speaker'].nunique()} speakers are left out of training:")
    print(found["gender"].value_counts().to_string())
    return 0


if __name__ == "__main__":
    run_main(main)
