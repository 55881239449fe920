#!/usr/bin/env python3
"""Ask the shipped model about every recording of a corpus, as `classify_wavs.py` would, and keep how well it did.

    python scripts/assess_shipped_model.py CORPUS [--model PATH] [--doubtful SPEAKER…]

Writes results/shipped/<model>_on_<corpus>.json: scores by recording and by speaker, with intervals over speakers, and
once more without the speakers whose label is doubtful. Nothing here trains or chooses anything.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score
from tqdm.auto import tqdm

from caching import write_json
from calibration import log_odds, probability
from classification import classify_recording, default_model, load_classifier
from config import RESULTS
from corpus import Corpus, CorpusError, load_recordings, load_speakers, resolve_corpus
from model_files import ModelError
from training import versions
from unseen_speakers import describe


def assess(corpus: Corpus, model: Path) -> pd.DataFrame:
    """One row a recording that is here: path, speaker, gender, digit, p_female (nan without an answer), reason."""
    classifier = load_classifier(model)
    table = load_recordings(corpus)
    table = table[table["here"]].reset_index(drop=True)
    answers = [
        classify_recording(classifier, corpus.folder / path)
        for path in tqdm(table["path"], "classifying", unit="recording", leave=False)
    ]
    found = table[["path", "speaker", "gender", "digit"]]
    return found.assign(
        p_female=pd.array([answer.p_female for answer in answers], dtype=float),
        reason=[answer.reason for answer in answers],
    )


def by_speaker(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row a speaker: gender, and p_female from the mean log-odds of the speaker's recordings."""
    odds = predictions.assign(odds=log_odds(predictions["p_female"].to_numpy()))
    found = odds.groupby(["speaker", "gender"], as_index=False)["odds"].mean()
    return found.assign(p_female=probability(found["odds"]))


def figures(predictions: pd.DataFrame) -> dict:
    """Scores of the answered recordings and of the speakers, accuracy of each gender, reasons for not answering.

    And the balanced accuracy where not to answer is wrong, for comparison with models that answer everything.
    """
    answered = predictions.dropna(subset="p_female")
    right = (answered["p_female"] >= 0.5) == (answered["gender"] == "female")
    right_of_all = right.reindex(predictions.index, fill_value=False).groupby(predictions["gender"]).mean()
    return {
        "recordings": describe(answered),
        "by_speaker": describe(by_speaker(answered)),
        "accuracy_of_gender": {gender: float(part.mean()) for gender, part in right.groupby(answered["gender"])},
        "balanced_accuracy_if_refused_is_wrong": float(right_of_all.mean()),
        "not_answered": predictions["reason"].value_counts().to_dict(),
    }


def highest_auc(predictions: pd.DataFrame, doubtful: list[str]) -> float:
    """ROC AUC where all recordings but those of the doubtful speakers are ranked as they are labelled.

    No better answer to the others can raise it, so it says how much of what is missing is owed to those labels.
    """
    answered = predictions.dropna(subset="p_female")
    female = answered["gender"] == "female"
    ranks = answered["p_female"].where(female | answered["speaker"].isin(doubtful), -1.0)
    return float(roc_auc_score(female, ranks))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="a folder in AudioMNIST's layout, or 'demo'")
    parser.add_argument("--model", type=Path, help="a safetensors file with its JSON card (default: the project's own)")
    parser.add_argument("--doubtful", nargs="*", default=[], metavar="SPEAKER", help="whose label is to be doubted")
    options = parser.parse_args()
    try:
        corpus, model = resolve_corpus(options.corpus), options.model or default_model()
        if unknown := sorted(set(options.doubtful) - set(load_speakers(corpus).index)):
            parser.error(f"{corpus.title} has no speaker {unknown[0]}")
        predictions = assess(corpus, model)
    except (CorpusError, ModelError) as error:
        print(error, file=sys.stderr)
        return 1
    found = {"corpus": corpus.title, "model": model.stem, "date": date.today().isoformat(), "versions": versions()}
    found["all"] = figures(predictions)
    if options.doubtful:
        found["doubtful"] = options.doubtful
        found["highest_auc"] = highest_auc(predictions, options.doubtful)
        found["without_doubtful"] = figures(predictions[~predictions["speaker"].isin(options.doubtful)])
    try:
        write_json(RESULTS / "shipped" / f"{model.stem}_on_{corpus.name}.json", found)
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    for part in ("all", "without_doubtful"):
        if part in found:
            scores = found[part]["recordings"]["scores"]
            told = {gender: f"{share:.1%}" for gender, share in found[part]["accuracy_of_gender"].items()}
            print(
                f"{part}: balanced accuracy {scores['balanced_accuracy']:.1%}, AUC {scores['auc']:.3f}, {told}, "
                f"speakers {found[part]['by_speaker']['scores']['balanced_accuracy']:.1%}, "
                f"not answered {sum(found[part]['not_answered'].values())}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
