#!/usr/bin/env python3
"""Compare every method on the same recordings of unseen speakers (see speaker_gender/judging/methods.py).

    python scripts/studies/compare_methods.py --corpus ../AudioMNIST_AZ/data
    python scripts/studies/compare_methods.py --answers mine.csv --results results/audiomnist_az

The first writes results/<corpus>/methods.json and, one row a recording, methods.csv, which notebook 06 shows. It needs
most of the corpus's WAVs. The second compares any tool's answers with the methods in a folder that the first wrote, and
needs no sound: a CSV with the columns path (as in methods.csv) and p_female.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import itertools

from speaker_gender.config import RESULTS, use
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.judging.baselines import F0, F0_ELSEWHERE
from speaker_gender.judging.comparisons import in_points
from speaker_gender.judging.methods import (
    PUBLIC,
    SHIPPED,
    compare,
    has_enough_sound,
    load_answers,
    load_methods,
    study_methods,
)
from speaker_gender.learning.dataset import available_images
from speaker_gender.learning.model_files import ModelError


def compare_answers(answers: Path, folder: Path) -> dict:
    """Compare a file of answers with the methods in a folder of results; see methods.compare."""
    known, predictions = load_methods(folder)
    recordings = predictions[["recording", "speaker", "gender"]]
    others = [name for name in (SHIPPED, PUBLIC, F0, F0_ELSEWHERE) if name in predictions]
    found = {name: recordings.assign(p_female=predictions[name]) for name in others}
    found[answers.name] = load_answers(answers, recordings)
    return compare(found, known["doubtful"], tuple((answers.name, name) for name in others))


def compare_all() -> dict:
    """Compare every method on the resolved corpus."""
    corpus = resolve_corpus()
    generate_images(corpus, load_recordings(corpus))
    if not has_enough_sound(corpus, available_images(corpus, load_maps(corpus))):
        raise CorpusError(f"{corpus.folder}: too few of its WAVs are available to compare the methods")
    return study_methods(corpus)


def report(found: dict) -> None:
    """Print every method's accuracy by gender, balanced accuracy and AUC, and the paired differences."""
    for title, both in found["rows"].items():
        row = both["all"]
        low, high = row["intervals"]["balanced_accuracy"]
        of_gender = ", ".join(f"{gender} {n['correct']:,} of {n['images']:,}" for gender, n in row["of_gender"].items())
        balanced, auc = row["scores"]["balanced_accuracy"], row["scores"]["auc"]
        print(f"{title}: balanced accuracy {balanced:.1%} ({low:.1%} to {high:.1%}), AUC {auc:.3f}, {of_gender}")
    for (title, both), part in itertools.product(found["comparisons"].items(), ("all", "without_doubtful")):
        if part in both:
            counts = f"{both[part]['recordings']:,} recordings of {both[part]['speakers']} speakers"
            print(f"{title}, {part}: {in_points(both[part])}, {counts}")


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", help="folder or table (default: as CORPUS says)")
    parser.add_argument("--answers", type=Path, metavar="FILE", help="a CSV with the columns path and p_female")
    parser.add_argument("--results", type=Path, default=RESULTS / "audiomnist_az", help="with methods.csv in it")
    options = parser.parse_args()
    use(corpus=options.corpus)
    try:
        report(compare_answers(options.answers, options.results) if options.answers else compare_all())
    except (CorpusError, ModelError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run_main(main)
