#!/usr/bin/env python3
"""How well does the timeline's rule tell recordings of one gender from those of both, and where is a model unsure?

    python scripts/studies/mixed_recordings.py CORPUS…

Puts recordings of the named corpora (development sets) together to longer ones: of one speaker, of two of one gender,
of two of different genders, so many words a turn. Sweeps the cost of a change of label and writes
results/shipped/mixed_recordings.json: for each cost the share of one-gender recordings that are called mixed, and of
two-gender ones that are not; and the accuracy of single recordings in bands of the greater probability.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import functools
from datetime import date

import numpy as np
import pandas as pd

from speaker_gender.caching import write_json
from speaker_gender.classifying.classification import UNSURE, classify_windows, windows_of
from speaker_gender.classifying.classifier import default_model, load_classifier
from speaker_gender.classifying.timeline import SWITCH_COST, most_likely_labels
from speaker_gender.config import RESULTS, SEED
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.assessment import predict_recordings, unseen_recordings
from speaker_gender.learning.calibration import log_odds
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.training import versions
from speaker_gender.parallel import in_parallel
from speaker_gender.sound.reading import read_signal

WORDS_A_TURN = (2, 4, 8)
KINDS = ("one speaker", "two of one gender", "two of both genders")
EACH = 60  # recordings put together of each kind and length from each corpus
COSTS = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
BANDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9, 0.95, 1.001)


def plan(recordings: pd.DataFrame, *, seed: int = SEED) -> list[tuple[str, int, list[Path]]]:
    """What is put together: kind, words a turn, and the recordings in order."""
    rng = np.random.default_rng(seed)
    speakers = recordings.groupby("speaker")["gender"].first()
    jobs = []
    for kind in KINDS:
        for n_words in WORDS_A_TURN:
            for _ in range(EACH):
                first = rng.choice(speakers.index)
                same = speakers == speakers[first]
                others = {
                    "one speaker": [first],
                    "two of one gender": speakers.index[same & (speakers.index != first)],
                    "two of both genders": speakers.index[~same],
                }[kind]
                turns = [first, rng.choice(others)]
                words = [
                    rng.choice(recordings.loc[recordings["speaker"] == who, "path"].to_numpy(), n_words)
                    for who in turns
                ]
                jobs.append((kind, n_words, np.concatenate(words).tolist()))
    return jobs


def window_odds(model: Path, paths: list[Path]) -> np.ndarray:
    """Log-odds of the windows of some recordings put together, each first brought to the same level."""
    classifier = load_classifier(model, threads=1)
    parts = [read_signal(path, sample_rate=classifier.view.sample_rate) for path in paths]
    signal = np.concatenate([part * (3_000 / max(np.sqrt(np.mean(part**2)), 1e-9)) for part in parts])
    return log_odds(classify_windows(classifier, windows_of(classifier, signal)))


def errors_of_rule(jobs: list[tuple], odds: list[np.ndarray], cost: float) -> dict:
    """Of each kind and number of words a turn: recordings, and how many of them are called mixed."""
    rows = [
        (kind, n_words, len(set(most_likely_labels(found, switch_cost=cost))) > 1)
        for (kind, n_words, _), found in zip(jobs, odds)
    ]
    table = pd.DataFrame(rows, columns=["kind", "words", "mixed"])
    grouped = table.groupby(["kind", "words"], as_index=False)["mixed"].agg(["size", "sum"])
    return {
        f"{kind}, {words} words a turn": {"recordings": int(size), "called_mixed": int(mixed)}
        for kind, words, size, mixed in grouped.to_numpy()
    }


def accuracy_in_bands(predictions: pd.DataFrame) -> dict:
    """Recordings, and how many are correctly classified, in bands of the greater of the two probabilities."""
    answered = predictions.dropna(subset="p_female")
    confidence = np.maximum(answered["p_female"], 1 - answered["p_female"])
    correct = (answered["p_female"] >= 0.5) == (answered["gender"] == "female")
    band = pd.Series(pd.cut(confidence, BANDS, right=False), index=answered.index).astype(str)
    grouped = correct.groupby(band).agg(["size", "sum"])
    return {str(name): {"recordings": int(row["size"]), "correct": int(row["sum"])} for name, row in grouped.iterrows()}


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="folders in AudioMNIST's layout")
    options = parser.parse_args()
    found: dict = {"date": date.today().isoformat(), "versions": versions(), "switch_cost": SWITCH_COST}
    found |= {"unsure_under": UNSURE, "rows": {}}
    try:
        model = default_model()
        for choice in options.corpora:
            corpus = resolve_corpus(choice)
            recordings = unseen_recordings(corpus, model)
            jobs = plan(recordings)
            parts = [paths for _, _, paths in jobs]
            odds = list(in_parallel(functools.partial(window_odds, model), parts, batch=4, title=corpus.title))
            found["rows"][corpus.title] = {
                "speakers": int(recordings["speaker"].nunique()),
                "by_cost": {str(cost): errors_of_rule(jobs, odds, cost) for cost in COSTS},
                "accuracy_in_bands": accuracy_in_bands(predict_recordings(model, recordings)),
            }
        write_json(RESULTS / "shipped" / "mixed_recordings.json", found)
    except (CorpusError, ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for title, row in found["rows"].items():
        for cost, kinds in row["by_cost"].items():
            counts = ", ".join(f"{kind} {n['called_mixed']}/{n['recordings']}" for kind, n in kinds.items())
            print(f"{title}, cost {cost}: called mixed: {counts}")
        print(title, row["accuracy_in_bands"])
    return 0


if __name__ == "__main__":
    run_main(main)
