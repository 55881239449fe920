"""Solutions to the exercises of notebook 03: python nbs/solutions/03_train_model.py"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import time

from fastai.vision.all import CrossEntropyLossFlat, error_rate, resnet18, resnet34, set_seed, vision_learner

from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.maps import load_maps
from speaker_gender.learning.dataset import available_images, load_images, make_dls
from speaker_gender.learning.recipes import default_recipe
from speaker_gender.learning.splits import random_split

corpus = resolve_corpus()
table = available_images(corpus, load_maps(corpus))
recipe = default_recipe(len(table))
images = load_images(corpus, table, size=recipe.image_size)
some = slice(None, None, max(1, len(table) // 1_000))
images, table = images[some], table[some].reset_index(drop=True)


def one_epoch(*, seed=1, max_shift=0.1, network=resnet34):
    """Error on the test images, and seconds."""
    split = random_split(table["image"], seed=seed)
    dls = make_dls(images, table["gender"], split, batch_size=32, max_shift=max_shift)
    set_seed(seed, reproducible=True)
    loss = CrossEntropyLossFlat()
    learn = vision_learner(dls, network, n_in=1, pretrained=False, normalize=False, loss_func=loss, metrics=error_rate)
    started = time.perf_counter()
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, recipe.learning_rate)
    return f"error {learn.recorder.values[-1][-1]:.1%}, {time.perf_counter() - started:.0f} s"


# 1. Without shifts the network sees each image always alike. After one epoch the difference is within the noise; the
# use of shifts shows after many epochs, when the training loss falls and the test loss does not.
print("with shifts:", one_epoch(), "· without:", one_epoch(max_shift=0.0))

# 2. Another seed is another split and another initialisation. So much for a comparison of single runs.
print("seeds 4 and 5:", one_epoch(seed=4), "·", one_epoch(seed=5))

# 3. ResNet-18 has half the weights and is faster. For these images that need not cost accuracy.
print("ResNet-18:", one_epoch(network=resnet18))
