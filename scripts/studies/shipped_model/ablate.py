#!/usr/bin/env python3
"""Ablation of the shipped model: trained with one thing left out at a time, and evaluated on a corpus.

    python scripts/studies/shipped_model/ablate.py CORPUS

Each model is trained as shipped_model/train.py does it, but with two seeds and a third of the images, for one more
epoch. Each is evaluated twice on the corpus's unseen speakers: on the recordings as they are, and on the same at 8 kHz.
Writes results/shipped/ablation.json; resumes after Ctrl-C.
"""

import argparse
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TypedDict

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from speaker_gender.answering.assessment import figures, predict_recordings, unseen_recordings
from speaker_gender.caching import write_json
from speaker_gender.config import RESULTS, SEED
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.comparisons import paired_difference
from speaker_gender.learning import voices
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.training import versions
from studies.shipped_model import train

RECIPE = replace(train.RECIPE, epochs=4)
SEEDS = train.SEEDS[:2]
SOURCES = {
    name: source._replace(images_per_window=source.images_per_window // 3) for name, source in voices.SOURCES.items()
}
TELEPHONE_RATE = 8_000  # Hz


class Change(TypedDict, total=False):
    """How a model's training differs from the shipped model's."""

    without: str  # one of voices.ABLATIONS
    share: float  # of the training speakers that are kept
    synthetic_too: bool


LEFT_OUT: dict[str, Change] = {  # what is left out, under the name that results/shipped/ablation.json has it → how
    "nothing": {},
    "pitch shift": {"without": "pitch shift"},
    "rooms, telephone bandwidth and noise": {"without": "surroundings"},
    "telephone bandwidth": {"without": "telephone bandwidth"},
    "pieces as short as a word": {"without": "short words"},
    "half of the speakers": {"share": 1 / 2},
    "three quarters of the speakers": {"share": 1 / 4},
    "nothing, synthetic voices added": {"synthetic_too": True},
}


def fewer_speakers(recordings: pd.DataFrame, share: float) -> pd.DataFrame:
    """Keep the recordings of a share of the training speakers of each gender, and of all validation speakers.

    Parameters
    ----------
    recordings : pd.DataFrame
        See voices.training_recordings.
    share : float
        0…1.

    Returns
    -------
    pd.DataFrame
    """
    generator = np.random.default_rng(SEED)
    train = recordings[recordings["part"] == "train"]
    kept: set[str] = set()
    for _, speakers in train.groupby("gender")["speaker"]:
        kept.update(generator.permutation(np.unique(speakers))[: round(share * speakers.nunique())])
    return recordings[recordings["speaker"].isin(kept) | (recordings["part"] != "train")].reset_index(drop=True)


def _trained(name: str, change: Change) -> tuple[Path, dict]:
    """The file and the card of the model that is trained with this change; resumed or from the cache."""
    recordings = voices.training_recordings(synthetic_too=change.get("synthetic_too", False))
    if "share" in change:
        recordings = fewer_speakers(recordings, change["share"])
    file = "without_" + name.replace(" ", "_").replace(",", "")
    without = change.get("without", "")
    card = train.train(recordings, file, recipe=RECIPE, seeds=SEEDS, sources=SOURCES, without=without)
    return train.FOLDER / f"{file}.safetensors", card


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="a folder in AudioMNIST's layout")
    options = parser.parse_args()
    for change in LEFT_OUT.values():  # before hours of training
        voices.check_ablation(change.get("without", ""))
    rows, recordings, reference = {}, None, None
    try:
        corpus = resolve_corpus(options.corpus)
        for name, change in LEFT_OUT.items():
            model, card = _trained(name, change)
            if recordings is None:  # the first model has the most training speakers: all others are evaluated alike
                recordings = unseen_recordings(corpus, model)
            predictions, at_8_khz = (
                predict_recordings(model, recordings, sample_rate=rate) for rate in (None, TELEPHONE_RATE)
            )
            reference = predictions if reference is None else reference
            both = predictions["p_female"].notna() & reference["p_female"].notna()
            rows[name] = figures(predictions)["recordings"] | {
                "training_speakers": card["speakers"]["train"],
                "difference": paired_difference(predictions[both], reference[both]),
                "at_8_khz": figures(at_8_khz)["recordings"],
            }
            print(
                f"without {name}: balanced accuracy {rows[name]['scores']['balanced_accuracy']:.1%}, "
                f"AUC {rows[name]['scores']['auc']:.3f}, "
                f"at 8 kHz {rows[name]['at_8_khz']['scores']['balanced_accuracy']:.1%}"
            )
        about = {"corpus": corpus.title, "seeds": SEEDS, "date": date.today().isoformat(), "versions": versions()}
        write_json(RESULTS / "shipped" / "ablation.json", about | {"rows": rows})
    except (CorpusError, ModelError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
