#!/usr/bin/env python3
"""Train the resolved corpus's network on MFC JPEGs once for each seed: another random split and initialisation.

    python scripts/studies/train_seeds.py [--seeds 42 43 44]

Writes results/<corpus>/models/mfc_random_seed<seed>.*, which notebooks 03 and 04 compare. Resumes after Ctrl-C.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speaker_gender.config import SEED
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.maps import load_maps
from speaker_gender.learning.dataset import available_images, load_images
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.recipes import default_recipe
from speaker_gender.learning.splits import random_split
from speaker_gender.learning.training import train_model


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[SEED], help="one model for each of these seeds")
    options = parser.parse_args()
    try:
        corpus = resolve_corpus()
        table = available_images(corpus, load_maps(corpus))
        for seed in options.seeds:
            recipe = default_recipe(len(table), seed=seed)
            images = load_images(corpus, table, size=recipe.image_size)
            split = random_split(table["image"], seed=seed)
            card = train_model(corpus, images, table, split, recipe, name=f"mfc_random_seed{seed}")[1]
            last = card["history"][-1]
            print(
                f"seed {seed}: error rate {last['error_rate']:.2%}, F1 {last['f1_score']:.4f}, {card['seconds']:.0f} s"
            )
    except (CorpusError, ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
