#!/usr/bin/env python3
"""How much accuracy does clipping cost, how many clipped recordings get the warning, and is the warning right?

    python scripts/studies/clipped_recordings.py CORPUS… [--each N]

Clips recordings of the named corpora (development sets) so that a share of their samples, the loudest, lies at the
limit, as where a voice was too loud for its microphone. Writes results/shipped/clipped_recordings.json: for each share
the balanced accuracy with refusals wrong, its 95 % interval over speakers, and the paired difference from the same
recordings unclipped; how many are refused, and how many get the warning; and of the recordings of each share that
are classified the accuracy beside the mean probability of the answers.
"""

import argparse
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speaker_gender.answering.assessment import unseen_recordings
from speaker_gender.answering.classification import CLIPPED, classify_signal
from speaker_gender.answering.classifier import default_model, load_classifier
from speaker_gender.caching import write_json
from speaker_gender.config import RESULTS, SEED
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.comparisons import compare_on_same_recordings, describe, in_points
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.training import versions
from speaker_gender.sound.reading import read_signal

SHARES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5)  # of the samples that are clipped


def clipped(signal: np.ndarray, *, share: float) -> np.ndarray:
    """Clip a signal.

    Parameters
    ----------
    signal : ndarray
        Any scale, shape (samples,). Its offset is taken out.
    share : float
        Of its samples, the loudest, that are cut to the level of the loudest of the others; 0 leaves all as they are.

    Returns
    -------
    ndarray
        float64, shape (samples,).
    """
    centred = signal - np.median(signal)
    limit = np.quantile(np.abs(centred), 1 - share)
    return centred.clip(-limit, limit)


def draw(recordings: pd.DataFrame, each: int, *, seed: int = SEED) -> pd.DataFrame:
    """Draw so many recordings of each speaker, or all where there are fewer; in their order."""
    return recordings.sample(frac=1, random_state=seed).groupby("speaker").head(each).sort_index()


def classify_clipped(model: Path, recordings: pd.DataFrame) -> pd.DataFrame:
    """Classify recordings at every share.

    Parameters
    ----------
    model : Path
        A safetensors file with its JSON card.
    recordings : DataFrame
        Columns path (Path), speaker, gender.

    Returns
    -------
    DataFrame
        Columns share, recording, speaker, gender, p_female (None without speech), warned; a row a recording and share.
    """
    classifier, rows = load_classifier(model, threads=1), []
    for path, speaker, gender in recordings[["path", "speaker", "gender"]].itertuples(index=False):
        signal = read_signal(path)
        for share in SHARES:
            answer = classify_signal(classifier, clipped(signal, share=share), file=path.name)
            rows.append((share, path.name, speaker, gender, answer.p_female, CLIPPED in (answer.warning or "")))
    return pd.DataFrame(rows, columns=["share", "recording", "speaker", "gender", "p_female", "warned"])


def figures(predictions: pd.DataFrame, unclipped: pd.DataFrame) -> dict:
    """Describe the predictions at one share.

    Parameters
    ----------
    predictions, unclipped : DataFrame
        Columns recording, speaker, gender, p_female, warned; at this share, and at none.

    Returns
    -------
    dict
        As `comparisons.describe`, with `warned` (recordings) and `difference` from unclipped (see
        `compare_on_same_recordings`); and of the classified recordings their `accuracy`, the `mean_probability` of the
        labels that they were given, and their own `difference_of_classified`.
    """
    classified = predictions.dropna(subset="p_female")
    p_female = classified["p_female"].astype(float)
    return describe(predictions) | {
        "warned": int(predictions["warned"].sum()),
        "difference": compare_on_same_recordings(predictions, unclipped),
        "difference_of_classified": compare_on_same_recordings(classified, unclipped),
        "accuracy": float(((p_female >= 0.5) == (classified["gender"] == "female")).mean()),
        "mean_probability": float(np.maximum(p_female, 1 - p_female).mean()),
    }


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="folders in AudioMNIST's layout")
    parser.add_argument("--each", type=int, default=10, help="recordings of each speaker (default: 10)")
    options = parser.parse_args()
    found: dict = {"date": date.today().isoformat(), "versions": versions(), "each": options.each, "rows": {}}
    try:
        model = default_model()
        for choice in options.corpora:
            corpus = resolve_corpus(choice)
            drawn = draw(unseen_recordings(corpus, model), options.each)
            groups = [group for _, group in drawn.groupby("speaker")]
            work = Parallel(n_jobs=-1, return_as="generator")(delayed(classify_clipped)(model, one) for one in groups)
            predictions = pd.concat(list(tqdm(work, corpus.title, total=len(groups), unit="speaker", leave=False)))
            tables = dict(list(predictions.astype({"p_female": float}).groupby("share")))
            found["rows"][corpus.title] = {
                str(share): figures(table, tables[SHARES[0]]) for share, table in tables.items()
            }
        write_json(RESULTS / "shipped" / "clipped_recordings.json", found)
    except (CorpusError, ModelError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for title, rows in found["rows"].items():
        for share, row in rows.items():
            low, high = row["intervals"]["balanced_accuracy"]
            print(
                f"{title}, {float(share):.0%} clipped: balanced accuracy {row['scores']['balanced_accuracy']:.1%} "
                f"({low:.1%} to {high:.1%}), {in_points(row['difference'])}; {row['images']} recordings of "
                f"{row['speakers']} speakers, {row['refused']} refused, {row['warned']} with the warning"
            )
            print(
                f"    of the classified: {in_points(row['difference_of_classified'])}, accuracy {row['accuracy']:.1%}, "
                f"mean probability {row['mean_probability']:.1%}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
