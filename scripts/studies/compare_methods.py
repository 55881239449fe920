#!/usr/bin/env python3
"""Every method's predictions for the same recordings of unseen speakers, and how far the methods differ.

    python scripts/studies/compare_methods.py [--without-networks]

On the resolved corpus: baselines and networks of both views, evaluated on the speaker-disjoint folds of notebook 05,
and the shipped model, of which none of these speakers is in the training set. A recording that a method refuses (no
speech, no F0) counts as wrong. Every row stands with all speakers and without those whose pitch contradicts their
label. Differences are paired by speaker. Writes results/<corpus>/methods.json and, one row a recording,
results/<corpus>/methods.csv. Needs most of the corpus's WAVs and its images (notebook 02).
"""

import argparse
import itertools
import sys
from datetime import date
from pathlib import Path, PurePosixPath

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speaker_gender.answering.assessment import predict_recordings, unseen_recordings
from speaker_gender.answering.classifier import SHIPPED_MODEL
from speaker_gender.caching import write_atomically, write_json
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.checks import contradicted_speakers
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.pitches import median_pitch
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.judging.baselines import F0, LENGTH, baseline_predictions
from speaker_gender.judging.comparisons import compare_on_same_recordings, describe_both_ways
from speaker_gender.learning.dataset import available_images
from speaker_gender.learning.folds import divide, fold_predictions
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.training import versions

SHIPPED = "the shipped model"
COMPARED = ((SHIPPED, F0), ("harmonic", F0), ("harmonic", "mfc"), (SHIPPED, "harmonic"), (F0, LENGTH))


def predictions_of_methods(corpus: Corpus, *, networks: bool = True) -> dict[str, pd.DataFrame]:
    """Predict for every recording of a corpus by every method.

    Parameters
    ----------
    corpus : Corpus
        In view 'mfc', with its images.
    networks : bool
        Train networks of both views, too, where their predictions are not cached.

    Returns
    -------
    dict
        Method → columns recording, speaker, gender, p_female (missing where the method refuses).
    """
    table = available_images(corpus, load_maps(corpus))
    found = baseline_predictions(corpus, table, divide(corpus, table, "grouped"))
    if networks:
        names = table.set_index("image")["path"].map(lambda path: PurePosixPath(path).name)
        for view in ("mfc", "harmonic"):
            generate_images(corpus.seen_as(view), load_recordings(corpus))
            predictions = fold_predictions(corpus.seen_as(view), "grouped")
            found[view] = predictions.assign(recording=predictions["image"].map(names))
    found[SHIPPED] = predict_recordings(SHIPPED_MODEL, unseen_recordings(corpus, SHIPPED_MODEL))
    return found


def compare(found: dict[str, pd.DataFrame], doubtful: list[str]) -> dict[str, dict]:
    """Describe each method, and compare pairs of them on the same recordings.

    Parameters
    ----------
    found : dict
        See `predictions_of_methods`.
    doubtful : list of str
        Speakers whose label is doubtful.

    Returns
    -------
    dict
        rows: method → comparisons.describe_both_ways. comparisons: '<first> compared with <second>' → all and
        without_doubtful, see comparisons.compare_on_same_recordings.
    """
    rows = {name: describe_both_ways(predictions, doubtful) for name, predictions in found.items()}
    comparisons: dict[str, dict] = {}
    for first, second in COMPARED:
        if first in found and second in found:
            one, other = found[first], found[second]
            both = {"all": compare_on_same_recordings(one, other)}
            if doubtful:
                sure = (table[~table["speaker"].isin(doubtful)] for table in (one, other))
                both["without_doubtful"] = compare_on_same_recordings(*sure)
            comparisons[f"{first} compared with {second}"] = both
    return {"rows": rows, "comparisons": comparisons}


def one_table(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Put all methods' predictions side by side: recording, speaker, gender, then a column of p_female a method."""
    tables = [
        predictions.set_index(["recording", "speaker", "gender"])["p_female"].rename(name)
        for name, predictions in found.items()
    ]
    return pd.concat(tables, axis=1).sort_index().reset_index().round(6)


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without-networks", action="store_true", help="baselines and the shipped model only")
    options = parser.parse_args()
    try:
        corpus = resolve_corpus()
        generate_images(corpus, load_recordings(corpus))
        found = predictions_of_methods(corpus, networks=not options.without_networks)
        table = load_maps(corpus)
        doubtful = contradicted_speakers(table.assign(f0=median_pitch(corpus, table["path"])))
        about = {"corpus": corpus.title, "date": date.today().isoformat(), "versions": versions()}
        compared = compare(found, doubtful)
        write_atomically(corpus.results / "methods.csv", one_table(found).to_csv(index=False))
        write_json(corpus.results / "methods.json", about | {"doubtful": doubtful} | compared)
    except (CorpusError, ModelError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for (title, both), part in itertools.product(compared["comparisons"].items(), ("all", "without_doubtful")):
        if part in both:
            gain, (low, high) = 100 * both[part]["difference"], (100 * edge for edge in both[part]["interval"])
            counts = f"{both[part]['recordings']:,} recordings of {both[part]['speakers']} speakers"
            print(f"{title}, {part}: {gain:+.1f} percentage points ({low:+.1f} to {high:+.1f}), {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
