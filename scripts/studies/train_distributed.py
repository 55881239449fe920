#!/usr/bin/env python3
"""Train the resolved corpus's network in several processes, on one machine or more, from JPEGs or from shards.

    torchrun --standalone --nproc_per_node 2 scripts/studies/train_distributed.py [--shards]
    accelerate launch --multi_gpu --num_processes 8 scripts/studies/train_distributed.py --shards --workers 4

The first is for processors, for which `accelerate launch` has no launcher but MPI's. Every process trains on its share
of each batch. On GPUs fastai's mixed precision is used. Without --shards the images are the JPEGs of
generate_images.py, divided at random as in notebook 03. With it they are streamed from the shards of
`generate_images.py --shards`, whose parts have no common speakers. Writes results/<corpus>/models/<name>.*; the same
command goes on after the last epoch that was finished. Without a launcher one process trains the same model.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import os
from dataclasses import asdict

from fastai.learner import Learner
from fastai.torch_core import rank_distrib, set_seed

from speaker_gender.caching import digest
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.maps import load_maps
from speaker_gender.images.shards import read_shard_note
from speaker_gender.learning.dataset import available_images, grey_stats, load_images
from speaker_gender.learning.distributed import n_processes, share_of, shared
from speaker_gender.learning.folds import SMALL
from speaker_gender.learning.imagenet import imagenet_state
from speaker_gender.learning.learners import make_learner
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.recipes import ARCHITECTURES, Recipe, default_recipe
from speaker_gender.learning.shards import shard_dls, shards_of
from speaker_gender.learning.splits import random_split
from speaker_gender.learning.training import VERSION, describe_split, fingerprint, learner_for, train_and_save


def from_jpegs(corpus: Corpus, changes: dict, imagenet: dict | None) -> tuple[Learner, Recipe, dict, list]:
    """The Learner on a corpus's JPEGs, decoded once; its recipe; what the card reports; what stands for the data."""
    table = available_images(corpus, load_maps(corpus))
    recipe = default_recipe(len(table), **changes)
    images = load_images(corpus, table, size=recipe.image_size)
    split = random_split(table["image"], seed=recipe.seed)
    stats = grey_stats(images[(split == "train").to_numpy()])
    learn = learner_for(images, table, split, share_of(recipe), imagenet, stats)
    about = describe_split(table, split) | {"normalisation": {"mean": stats[0], "std": stats[1]}}
    return learn, recipe, about, [fingerprint(table, split)]


def from_shards(
    corpus: Corpus, changes: dict, imagenet: dict | None, n_workers: int
) -> tuple[Learner, Recipe, dict, list]:
    """The same on a corpus's shards, streamed."""
    parts = {part: shards_of(corpus, part) for part in ("train", "valid")}
    counts = {part: sum(shards.values()) for part, shards in parts.items()}
    recipe = default_recipe(sum(counts.values()), **{"speaker_weight": 0.0} | changes)
    share = share_of(recipe)
    dls, stats = shard_dls(
        parts, size=recipe.image_size, batch_size=share.batch_size, max_shift=recipe.max_shift, n_workers=n_workers
    )
    set_seed(recipe.seed, reproducible=True)
    about = {"split": counts, "normalisation": {"mean": stats[0], "std": stats[1]}}
    notes = [read_shard_note(Path(path)) for shards in parts.values() for path in shards]
    return make_learner(dls, share, imagenet), recipe, about, notes


def train(corpus: Corpus, options: argparse.Namespace) -> dict:
    """Train as the command line says; returns the card."""
    named = {name: getattr(options, name) for name in ("architecture", "epochs", "batch_size", "seed")}
    changes = SMALL if options.architecture == "small" else {}
    changes = changes | {name: value for name, value in named.items() if value is not None}
    imagenet = None if options.architecture == "small" else imagenet_state()
    if options.shards:
        learn, recipe, about, data = from_shards(corpus, changes, imagenet, options.workers)
    else:
        learn, recipe, about, data = from_jpegs(corpus, changes, imagenet)
    key = digest(data, corpus.view, VERSION, asdict(recipe), n_processes())
    about["processes"] = n_processes()
    set_seed(recipe.seed, reproducible=True)
    weights = imagenet is not None
    with shared(learn):
        return train_and_save(learn, corpus, recipe, name=options.name, key=key, imagenet_weights=weights, about=about)


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", action="store_true", help="stream shards instead of decoding JPEGs first")
    parser.add_argument("--workers", type=int, default=0, help="processes that read shards, for each training process")
    parser.add_argument("--name", default="", help="of the model (default: distributed_<processes>)")
    parser.add_argument("--architecture", choices=list(ARCHITECTURES), help=f"default: {Recipe.architecture}")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--batch-size", type=int, help="of all processes together")
    options = parser.parse_args()
    options.name = options.name or f"distributed_{n_processes()}"
    if rank_distrib():
        sys.stdout = open(os.devnull, "w")  # the first process reports
    try:
        card = train(resolve_corpus(), options)
    except (CorpusError, ModelError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    last, trained = card["history"][-1], card["split"]["train"] * len(card["history"])
    print(
        f"{card['processes']} processes: error rate {last['error_rate']:.2%} on {card['split']['valid']:,} validation "
        f"images, {trained / card['seconds']:.0f} training images/s with validation, {card['seconds']:.0f} s"
    )
    return 0


if __name__ == "__main__":
    run_main(main)
