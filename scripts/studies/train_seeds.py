#!/usr/bin/env python3
"""Train the resolved corpus's network on MFC JPEGs once for each seed: another random split and initialisation.

    python scripts/studies/train_seeds.py [--seeds 1 2 3] [--auxiliary | --study]

Writes results/<corpus>/models/mfc_random_seed<seed>.*, which notebooks 03 and 04 compare. With --auxiliary the speaker
and the digit are targets, too (mfc_auxiliary_seed<seed>). With --study the training is the study's own, 2 + 1 epochs
from ImageNet weights at 224 × 224 pixels (mfc_study_seed<seed>). It needs the weights: torchvision downloads them, or
RESNET34_WEIGHTS names them. Resumes after Ctrl-C.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse

from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.maps import load_maps
from speaker_gender.learning.dataset import available_images, load_images
from speaker_gender.learning.imagenet import imagenet_state
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.recipes import FRESH_SEEDS, Recipe, auxiliary_recipe, default_recipe, study_recipe
from speaker_gender.learning.splits import random_split
from speaker_gender.learning.training import train_model


def _recipe(kind: str, n_images: int, seed: int) -> Recipe:
    """The recipe of a kind of model: 'random', 'auxiliary' or 'study'."""
    if kind == "study":
        return study_recipe(seed=seed)
    return {"random": default_recipe, "auxiliary": auxiliary_recipe}[kind](n_images, seed=seed)


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=FRESH_SEEDS, help="one model for each of these seeds")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--auxiliary", action="store_true", help="with speaker and digit as auxiliary targets")
    which.add_argument("--study", action="store_true", help="as the study trained, from ImageNet weights")
    options = parser.parse_args()
    kind = "auxiliary" if options.auxiliary else "study" if options.study else "random"
    try:
        corpus = resolve_corpus()
        table = available_images(corpus, load_maps(corpus))
        if options.study and imagenet_state() is None:
            raise ModelError("the study's training starts from ImageNet weights: name them by RESNET34_WEIGHTS")
        for seed in options.seeds:
            recipe = _recipe(kind, len(table), seed)
            images = load_images(corpus, table, size=recipe.image_size)
            split = random_split(table["image"], seed=seed)
            card = train_model(corpus, images, table, split, recipe, name=f"mfc_{kind}_seed{seed}")[1]
            last = card["history"][-1]
            print(
                f"seed {seed}: error rate {last['error_rate']:.2%}, F1 {last['f1_score']:.4f}, {card['seconds']:.0f} s"
            )
    except (CorpusError, ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run_main(main)
