#!/usr/bin/env python3
"""How small may the images be? Trains the same short recipe at several sizes and compares errors and speed.

    python scripts/studies/compare_image_sizes.py

Reads the resolved corpus's MFC JPEGs; writes results/<corpus>/image_sizes/<size>.json, which notebook 03 shows. Some
thousand images are enough: the question is not how good a network can get but what a smaller image costs.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import time
from dataclasses import asdict
from functools import partial

import numpy as np
import pandas as pd
import torch
from fastai.torch_core import set_seed

from speaker_gender.caching import cached_json
from speaker_gender.config import SEED
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.maps import load_maps
from speaker_gender.learning.dataset import available_images, decode_images, make_dls
from speaker_gender.learning.learners import make_learner
from speaker_gender.learning.recipes import Recipe, small_batch
from speaker_gender.learning.training import VERSION, fingerprint, versions

SIZES = ((12, 98), (32, 56), (32, 112))  # the first is what an MFC JPEG was made from
N_TRAIN, N_VALID = 4_000, 1_000
EPOCHS = 5


def compare(corpus: Corpus) -> dict[str, dict]:
    """Compare the sizes; every size is cached on its own.

    `corpus`: In view 'mfc'. Returns '32x112' → error_rate, f1_score, images_per_second (in training), ….
    """
    table, split = some_images(corpus)
    found = {}
    for size in SIZES:
        name = f"{size[0]}x{size[1]}"
        recipe = Recipe(image_size=size, epochs=EPOCHS, batch_size=small_batch(int((split == "train").sum())))
        key = {"images": fingerprint(table, split), "recipe": asdict(recipe), "version": VERSION}
        path = corpus.results / "image_sizes" / f"{name}.json"
        found[name] = cached_json(path, key, partial(_train, corpus, table, split, recipe))
    return found


def some_images(corpus: Corpus) -> tuple[pd.DataFrame, pd.Series]:
    """Draw a table of N_TRAIN + N_VALID of the corpus's images, or of all if they are fewer, and their split."""
    table = available_images(corpus, load_maps(corpus))
    drawn = np.random.default_rng(SEED).permutation(len(table))[: N_TRAIN + N_VALID]
    n_valid = min(N_VALID, len(drawn) // 3)
    split = pd.Series(["valid"] * n_valid + ["train"] * (len(drawn) - n_valid))
    return table.iloc[drawn].reset_index(drop=True), split


def measure_speed(size: tuple[int, int], *, batch_size: int = Recipe.batch_size, steps: int = 8) -> float:
    """Measure the training images a second on this machine.

    `size`: height and width in pixels. `steps`: batches of noise; the fastest counts, so that other work on the machine
    counts less.
    """
    noise = np.random.default_rng(SEED).integers(0, 256, (2 * batch_size, *size), dtype=np.uint8)
    genders = pd.Series(["female", "male"] * batch_size)
    split = pd.Series(["train"] * batch_size + ["valid"] * batch_size)
    learn = make_learner(make_dls(noise, genders, split, batch_size=batch_size), Recipe(image_size=size))
    model = learn.model.train().to(memory_format=torch.channels_last)
    images, classes = learn.dls.train.one_batch()
    learn.create_opt()
    times = []
    for _ in range(steps):
        started = time.perf_counter()
        learn.loss_func(model(images), classes).backward()
        learn.opt.step()
        learn.opt.zero_grad()
        times.append(time.perf_counter() - started)
    return batch_size / min(times)


def _train(corpus: Corpus, table: pd.DataFrame, split: pd.Series, recipe: Recipe) -> dict:
    images = decode_images(corpus, table["image"].tolist(), size=recipe.image_size)
    dls = make_dls(images, table["gender"], split, batch_size=recipe.batch_size, max_shift=recipe.max_shift)
    set_seed(recipe.seed, reproducible=True)
    learn = make_learner(dls, recipe)
    learn.fit_one_cycle(recipe.epochs, recipe.learning_rate)
    _, _, error_rate, f1 = learn.recorder.values[-1]
    return {
        "train_images": int((split == "train").sum()),
        "valid_images": int((split == "valid").sum()),
        "epochs": recipe.epochs,
        "error_rate": float(error_rate),
        "f1_score": float(f1),
        "images_per_second": round(measure_speed(recipe.image_size), 1),
        "versions": versions(),
    }


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        corpus = resolve_corpus()
        for name, result in compare(corpus).items():
            found = f"error rate {result['error_rate']:.2%}, F1 {result['f1_score']:.4f}"
            print(f"{name}: {found}, {result['images_per_second']:.0f} images a second")
    except (CorpusError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run_main(main)
