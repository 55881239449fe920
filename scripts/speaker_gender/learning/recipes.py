"""How a network is built and trained, and the recipe that fits a corpus's size."""

from dataclasses import dataclass

from speaker_gender.config import SEED, smoke
from speaker_gender.learning.splits import VALID_FRACTION

ARCHITECTURES = {
    "resnet34": "ResNet-34, one input channel, fastai's head",
    "small": "four 3 × 3 convolutions, pooling over time, two linear layers",
}


@dataclass(frozen=True)
class Recipe:
    """How a network is built and trained. `training.default_recipe` gives the one that fits a corpus's size."""

    architecture: str = "resnet34"  # or "small", see `small_network`
    image_size: tuple[int, int] = (32, 112)  # pixels, height and width
    epochs: int = 8
    learning_rate: float = 3e-3
    batch_size: int = 64
    max_shift: float = 0.1  # of the image's width, either way
    mixup: float = 0.0  # alpha of the Beta distribution that images are mixed by; 0: they are not
    balanced: bool = False  # True: an error on the rarer gender costs as much more as it is rarer
    keep_height: bool = False  # True: the head pools over time only, and knows at what height in the image it looks
    speaker_weight: float = 0.0  # in the loss, of telling who speaks as well, and half of it which digit, in training
    seed: int = SEED

    def __post_init__(self):
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"no such architecture: {self.architecture}")
        if self.mixup and self.speaker_weight:
            raise ValueError("a recipe cannot both mix images and tell their speakers")


MANY_IMAGES = 10_000


LEAST_STEPS = 250  # batches that a network of a small corpus is trained on, within these numbers of epochs


FEWEST_EPOCHS, MOST_EPOCHS = 5, 30


def default_recipe(n_images: int, **changes) -> Recipe:
    """The recipe for a corpus of so many images, with some of its fields changed.

    Many images are learned in larger batches, which a processor gets through faster, at a higher rate, and with their
    speakers and digits to be told as well, which left fewer errors in the same time. A smaller corpus gets as many
    epochs as it takes to see LEAST_STEPS batches, which teach a network something from scratch; the tests' smoke run
    gets one.
    """
    if n_images >= MANY_IMAGES:
        own = {"batch_size": 128, "learning_rate": 4e-3, "max_shift": 0.2, "speaker_weight": 1.0, "epochs": 9}
    else:
        n_train = (1 - VALID_FRACTION) * n_images
        steps_per_epoch = max(1, round(n_train / Recipe.batch_size))
        own = {"epochs": min(max(FEWEST_EPOCHS, round(LEAST_STEPS / steps_per_epoch)), MOST_EPOCHS)}
        own["batch_size"] = small_batch(int(n_train))
    return Recipe(**own | ({"epochs": 1} if smoke() else {}) | changes)


def small_batch(n_train: int) -> int:
    """Images in a batch: 64, or fewer where there are few, so that an epoch has four batches at least."""
    return min(Recipe.batch_size, max(2, n_train // 4))
