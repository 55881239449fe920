#!/usr/bin/env python3
"""How well a view predicts the gender of unseen speakers.

    python scripts/studies/unseen_speakers.py [--views mfc harmonic] [--divisions grouped random paper]
                                              [--variants NAME…]

For each view and each division of a corpus, networks are trained fold by fold, always by the same recipe. Every fold's
test images are classified by a network that was trained on none of their speakers ('paper', 'grouped') or, to measure
what the leakage of speakers is worth, by one that was trained on all of them ('random').
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import itertools

from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.views import VIEWS
from speaker_gender.judging.evaluation import scores
from speaker_gender.learning.folds import VARIANTS, fold_predictions
from speaker_gender.learning.model_files import ModelError


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", nargs="+", default=list(VIEWS), choices=list(VIEWS))
    parser.add_argument("--divisions", nargs="+", default=["grouped", "random"], choices=["grouped", "random", "paper"])
    parser.add_argument("--variants", nargs="+", default=[""], choices=["", *VARIANTS], help="other ways to train")
    options = parser.parse_args()
    if any(options.variants) and options.views != ["mfc"]:
        parser.error("the variants are ways to train on view mfc: add --views mfc")
    try:
        corpus = resolve_corpus()
        for view, division, variant in itertools.product(options.views, options.divisions, options.variants):
            title, changes = VARIANTS.get(variant, ("as it is", {}))
            predictions = fold_predictions(corpus.seen_as(view), division, variant=variant, **changes)
            found = scores(predictions)
            print(
                f"{view}, {division}, {title}: accuracy {1 - found['error_rate']:.1%}, "
                f"balanced accuracy {found['balanced_accuracy']:.1%}, AUC {found['auc']:.3f}"
            )
    except (CorpusError, ModelError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run_main(main)
