"""Train for some batches on images of noise, as many as a corpus has.

    python scripts/upkeep/train_on_noise.py N_IMAGES N_BATCHES

benchmark.py measures how much memory it takes.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import numpy as np
import pandas as pd
from fastai.callback.core import Callback, CancelFitException

from speaker_gender.learning.dataset import make_dls
from speaker_gender.learning.learners import make_learner
from speaker_gender.learning.recipes import default_recipe
from speaker_gender.learning.splits import random_split

N_SPEAKERS, N_DIGITS = 60, 10  # AudioMNIST's


class StopAfter(Callback):
    """Ends the training after so many batches."""

    def __init__(self, n_batches: int):
        self.n_batches = n_batches

    def after_batch(self):
        """Cancel the training after the last batch."""
        if self.iter == self.n_batches:
            raise CancelFitException


def train(n_images: int, n_batches: int) -> None:
    """Train the recipe of a corpus of `n_images` images for `n_batches` batches; nothing is kept."""
    recipe = default_recipe(n_images)
    images = np.random.default_rng(0).integers(0, 256, (n_images, *recipe.image_size), dtype=np.uint8)
    dls = make_dls(
        images,
        pd.Series(["female", "male"] * (n_images // 2)),
        random_split(pd.Series([f"{index}.jpg" for index in range(n_images)])),
        batch_size=recipe.batch_size,
        max_shift=recipe.max_shift,
        speakers=np.arange(n_images) % N_SPEAKERS,
        digits=np.arange(n_images) % N_DIGITS,
    )
    learn = make_learner(dls, recipe, n_speakers=N_SPEAKERS)
    learn.add_cb(StopAfter(n_batches))
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, recipe.learning_rate)


if __name__ == "__main__":
    train(int(sys.argv[1]), int(sys.argv[2]))
