#!/usr/bin/env python3
"""Ablation of the shipped model: trained with one thing left out at a time, and evaluated on corpora.

    python scripts/studies/shipped_model/ablate.py CORPUS…

Each model is trained as shipped_model/train.py does it, but with two seeds and a third of the images, for one more
epoch. Each is evaluated twice on the unseen speakers of each corpus: on the recordings as they are, and on the same at
8 kHz. What helps on one corpus may cost on another, so name more than one.
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

from speaker_gender.caching import write_json
from speaker_gender.config import RESULTS, SEED
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.assessment import figures, predict_recordings, unseen_recordings
from speaker_gender.judging.comparisons import compare_on_same_recordings
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


def evaluate(model: Path, recordings: pd.DataFrame, reference: pd.DataFrame | None) -> tuple[dict, pd.DataFrame]:
    """Evaluate a model on recordings, as they are and at 8 kHz.

    Parameters
    ----------
    model : Path
    recordings : DataFrame
        See assessment.unseen_recordings.
    reference : DataFrame or None
        Predictions of the model with nothing left out; none where this is that model.

    Returns
    -------
    row : dict
        Figures of all recordings, refusals wrong; `difference` is from the reference.
    predictions : DataFrame
    """
    predictions, at_8_khz = (predict_recordings(model, recordings, sample_rate=rate) for rate in (None, TELEPHONE_RATE))
    row = figures(predictions)["all_recordings"] | {
        "difference": compare_on_same_recordings(predictions, predictions if reference is None else reference),
        "at_8_khz": figures(at_8_khz)["all_recordings"],
    }
    return row, predictions


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="folders in AudioMNIST's layout")
    options = parser.parse_args()
    for change in LEFT_OUT.values():  # before hours of training
        voices.check_ablation(change.get("without", ""))
    rows: dict[str, dict[str, dict]] = {}
    recordings: dict[str, pd.DataFrame] = {}
    references: dict[str, pd.DataFrame] = {}
    try:
        corpora = [resolve_corpus(choice) for choice in options.corpora]
        for name, change in LEFT_OUT.items():
            model, card = _trained(name, change)
            for corpus in corpora:
                title = corpus.title
                if title not in recordings:  # the first model has the most training speakers: all are evaluated alike
                    recordings[title] = unseen_recordings(corpus, model)
                row, predictions = evaluate(model, recordings[title], references.get(title))
                references.setdefault(title, predictions)
                rows.setdefault(title, {})[name] = row | {"training_speakers": card["speakers"]["train"]}
                print(
                    f"{title}, without {name}: balanced accuracy {row['scores']['balanced_accuracy']:.1%}, "
                    f"AUC {row['scores']['auc']:.3f}, at 8 kHz {row['at_8_khz']['scores']['balanced_accuracy']:.1%}"
                )
        about = {"seeds": SEEDS, "date": date.today().isoformat(), "versions": versions()}
        write_json(RESULTS / "shipped" / "ablation.json", about | {"rows": rows})
    except (CorpusError, ModelError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
