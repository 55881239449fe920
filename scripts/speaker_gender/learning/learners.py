"""fastai Learners for the project's recipes, and their callbacks."""

import random

import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.mixup import MixUp
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import F1Score, error_rate
from fastai.torch_core import set_seed
from fastai.vision.learner import create_body, vision_learner
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.models import resnet34

from speaker_gender.config import GENDERS, SEED
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import make_head, skip_padding, small_network
from speaker_gender.learning.recipes import Recipe

N_DIGITS, DIGIT_SHARE = 10, 0.5  # of the digit's weight in the loss to the speaker's


def make_learner(
    dls: DataLoaders, recipe: Recipe, imagenet: dict[str, torch.Tensor] | None = None, *, n_speakers: int = 0
) -> Learner:
    """Make a fastai Learner with the recipe's network: one grey channel, two classes, female the positive one.

    Raises ModelError where the weights do not fit.

    Parameters
    ----------
    dls : DataLoaders
        See dataset.make_dls.
    imagenet : dict of str to torch.Tensor, optional
        Weights of torchvision's resnet34. The first layer's weights of the three colour channels are summed: the same
        as an image with three equal channels.
    n_speakers : int
        Speakers in `dls`, which then holds speakers and digits, for a recipe with a speaker_weight. The network then
        has outputs for both (see AuxiliaryTargets).
    """
    n_out = len(GENDERS) + (n_speakers + N_DIGITS if n_speakers else 0)
    options = {
        "loss_func": CrossEntropyLossFlat(weight=class_weights(dls) if recipe.balanced else None),
        "metrics": [error_rate, F1Score(pos_label=GENDERS.index("female"))],
        "cbs": [ChannelsLast(), SkipPadding(), SeedEpochs()],
    }
    if recipe.architecture == "small":
        learn = Learner(dls, small_network(recipe.image_size, n_out), **options)
    else:
        body = {"n_in": 1, "n_out": n_out, "pretrained": False, "normalize": False}
        learn = vision_learner(dls, resnet34, custom_head=make_head(recipe, n_out), **body, **options)
    if n_speakers:
        learn.add_cb(AuxiliaryTargets(recipe.speaker_weight))
    if recipe.mixup:
        learn.add_cb(MixUp(recipe.mixup))
    if imagenet is not None:
        whole = resnet34()
        try:
            whole.load_state_dict(imagenet)
        except RuntimeError as error:
            raise ModelError(f"ImageNet weights do not fit ResNet-34: {str(error).splitlines()[0]}") from None
        learn.model[0].load_state_dict(create_body(whole, n_in=1, pretrained=True, cut=-2).state_dict())
    if precision() != "float32":
        learn.add_cb(MixedPrecision() if precision() == "float16" else CpuBfloat16())
    return learn


def precision() -> str:
    """Choose the number format of training on this machine, for speed: 'float16' (GPU), 'bfloat16' or 'float32'."""
    if torch.cuda.is_available():
        return "float16"
    return "bfloat16" if torch.cpu.get_capabilities().get("amx_bf16") else "float32"


def class_weights(dls: DataLoaders) -> torch.Tensor:
    """Compute the weight of each class in the loss, so that both classes of the training part weigh the same.

    Returns
    -------
    torch.Tensor of float32, shape (2,)
    """
    counts = torch.bincount(torch.tensor([int(dls.train_ds[index][1]) for index in range(len(dls.train_ds))]))
    return (counts.sum() / (len(counts) * counts)).to(dls.device)


class AuxiliaryTargets(Callback):
    """fastai callback that trains a network on speaker and digit as well, by outputs behind those of the genders.

    The targets of sixty speakers teach the network more from an image than the two genders do. The digit counts half as
    much as the speaker. The added outputs are useless after training: `detach` removes them from the network. `weight`:
    of the auxiliary loss.

    References
    ----------
    Caruana, Multitask Learning, Machine Learning 28, 1997.
    """

    def __init__(self, weight: float):
        self.weight = weight

    def before_batch(self):
        """Take speakers and digits out of the batch's targets."""
        *genders, self.speakers, self.digits = self.yb
        self.learn.yb = tuple(genders)

    def after_pred(self):
        """Separate the added outputs from those of the genders."""
        self.scores = self.pred[:, len(GENDERS) :]
        self.learn.pred = self.pred[:, : len(GENDERS)]

    def after_loss(self):
        """Add the auxiliary loss to the one that training minimises; the reported loss stays that of the genders."""
        if self.training:
            by_speaker, by_digit = self.scores[:, :-N_DIGITS], self.scores[:, -N_DIGITS:]
            auxiliary = cross_entropy(by_speaker, self.speakers) + DIGIT_SHARE * cross_entropy(by_digit, self.digits)
            self.learn.loss_grad = self.loss_grad + self.weight * auxiliary

    def detach(self):
        """Remove the added outputs from the network, and this callback from its Learner."""
        last = self.model[1][-1]
        last.out_features = len(GENDERS)
        for name, parameter in last.named_parameters():
            setattr(last, name, nn.Parameter(parameter.detach()[: len(GENDERS)].clone()))
        self.learn.opt = None  # it holds the parameters of before
        self.learn.remove_cb(self)


class CpuBfloat16(Callback):
    """fastai callback that trains in bfloat16 on processors with AMX; fastai's own is for GPUs.

    It is several times faster than float32 there.
    """

    order = MixedPrecision.order

    def before_batch(self):
        """Begin autocasting."""
        self.autocast = torch.autocast("cpu", dtype=torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self):
        """Convert the scores back to float32."""
        self.learn.pred = self.pred.float()

    def after_loss(self):
        """End autocasting."""
        self.autocast.__exit__(None, None, None)


class SkipPadding(Callback):
    """fastai callback that makes the network skip the padding of maps of one row, see networks.skip_padding."""

    def after_create(self):
        """Change the network's convolutions."""
        skip_padding(self.model)


class SeedEpochs(Callback):
    """fastai callback that seeds every random generator anew before each epoch.

    So a resumed epoch repeats the one that was missed.
    """

    order = -100
    seed = SEED

    def before_epoch(self):
        """Seed all generators from the recipe's seed and the epoch."""
        set_seed(self.seed * 1_000 + self.epoch, reproducible=True)
        self.dls.train.rng = random.Random(self.seed * 1_000 + self.epoch)
