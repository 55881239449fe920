#!/usr/bin/env python3
"""Ablation of the shipped model: each half alone, and what augmentation is worth to each.

    python scripts/studies/shipped_model/ablate.py CORPUS…

The shipped model itself is taken apart. Another one is trained as shipped_model/train.py does it, but on every window
as it is, once, so for more epochs, and with two seeds. Both are evaluated on the unseen speakers of each corpus, on the
recordings as they are and on the same at 8 kHz.
Writes results/shipped/ablation.json, and halves.csv: each speaker's place in a map of what each half of the shipped
model makes of unseen speakers, and the probabilities. Resumes after Ctrl-C.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import functools
import tempfile
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd

from speaker_gender.caching import write_atomically, write_json
from speaker_gender.classifying.classifier import SHIPPED_MODEL
from speaker_gender.config import RESULTS
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.assessment import recorded_at, unseen_recordings
from speaker_gender.judging.comparisons import compare_on_same_recordings, describe
from speaker_gender.judging.halves import BOTH, ENCODER, IMAGE, errors_by_half, hear, map_of_speakers, of_half
from speaker_gender.learning import voices
from speaker_gender.learning.calibration import log_odds, probability
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.training import versions
from studies.shipped_model import train

RECIPE = replace(train.RECIPE, epochs=8)  # of a seventh of the images
SEEDS = train.SEEDS[:2]
TELEPHONE_RATE = 8_000  # Hz
SHIPPED, PLAIN = "shipped", "without augmentation"


def trained(name: str) -> Path:
    """The file of a model: the shipped one, or one that is trained without augmentation; resumed or from the cache."""
    if name == SHIPPED:
        return SHIPPED_MODEL
    file = name.replace(" ", "_")
    train.train(voices.training_recordings(), file, recipe=RECIPE, seeds=SEEDS, without=voices.EVERYTHING)
    return train.FOLDER / f"{file}.safetensors"


def evaluate(model: Path, recordings: pd.DataFrame) -> tuple[dict[str, dict], tuple]:
    """Describe each half's predictions and both's, as they are and at 8 kHz; also returns what `hear` does."""
    heard = hear(model, recordings)
    with tempfile.TemporaryDirectory() as folder:
        copies = [Path(folder) / f"{number}.wav" for number in range(len(recordings))]
        paths = map(functools.partial(recorded_at, TELEPHONE_RATE), recordings["path"], copies)
        at_8_khz, *_ = hear(model, recordings.assign(path=pd.Series(list(paths), recordings.index)))
    together = of_half(heard[0], BOTH)
    rows = {
        half: describe(of_half(heard[0], half))
        | {
            "difference_from_both": compare_on_same_recordings(of_half(heard[0], half), together),
            "at_8_khz": describe(of_half(at_8_khz, half)),
        }
        for half in (IMAGE, ENCODER, BOTH)
    }
    return rows, heard


def speakers_of(heard: dict[str, tuple]) -> pd.DataFrame:
    """Each speaker's place on the map of each half, and p_female from the mean log-odds of the recordings."""
    tables, image_features, embeddings = zip(*heard.values())
    predictions = pd.concat(dict(zip(heard, tables)), names=["corpus"]).reset_index("corpus").reset_index(drop=True)
    who, halves = ["corpus", "speaker", "gender"], [IMAGE, ENCODER, BOTH]
    odds = predictions[who].join(predictions[halves].apply(log_odds))
    by_speaker = odds.groupby(who)[halves].mean().apply(probability)
    groups = pd.Series(odds[who].itertuples(index=False, name=None))
    for name, features in (("image", image_features), ("encoder", embeddings)):
        places = map_of_speakers(np.concatenate(features), groups)
        places.index = pd.MultiIndex.from_tuples(places.index, names=who)
        by_speaker = by_speaker.join(places.add_prefix(f"{name}_"))
    return by_speaker.reset_index().round(4)


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="folders in AudioMNIST's layout, or tables")
    options = parser.parse_args()
    rows: dict[str, dict[str, dict]] = {}
    errors, shipped = {}, {}
    try:
        corpora = [resolve_corpus(choice) for choice in options.corpora]
        recordings = {corpus.title: unseen_recordings(corpus, SHIPPED_MODEL) for corpus in corpora}
        for name in (SHIPPED, PLAIN):
            model = trained(name)
            for title, table in recordings.items():
                rows.setdefault(title, {})[name], heard = evaluate(model, table)
                if name == SHIPPED:
                    errors[title] = errors_by_half(heard[0])
                    shipped[title] = heard
                for half, row in rows[title][name].items():
                    print(
                        f"{title}, {name}, {half}: balanced accuracy {row['scores']['balanced_accuracy']:.1%}, AUC "
                        f"{row['scores']['auc']:.3f}, at 8 kHz {row['at_8_khz']['scores']['balanced_accuracy']:.1%}"
                    )
        about = {"seeds": SEEDS, "date": date.today().isoformat(), "versions": versions()}
        write_json(RESULTS / "shipped" / "ablation.json", about | {"rows": rows, "errors_by_half": errors})
        listed = speakers_of(shipped).to_csv(index=False, lineterminator="\n")
        write_atomically(RESULTS / "shipped" / "halves.csv", listed)
    except (CorpusError, ModelError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run_main(main)
