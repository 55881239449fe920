"""One training in several processes, by fastai's distrib_ctx; started by `accelerate launch` or torchrun.

Each process trains on its share of every batch, and the gradients are averaged. So the batch of all processes together
is the recipe's, and so is its learning rate. The first process alone writes the checkpoint after each epoch, the model
and its card. On processors the processes talk through gloo, on GPUs through NCCL.
"""

import contextlib
import importlib.util
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import date
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.data.core import TfmdDL
from fastai.learner import Learner
from fastai.torch_core import distrib_barrier, num_distrib, rank_distrib, set_seed

from speaker_gender.caching import digest
from speaker_gender.config import GENDERS
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.learning.learners import SeedEpochs, precision
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import save_network
from speaker_gender.learning.recipes import ARCHITECTURES, Recipe
from speaker_gender.learning.training import VERSION, model_path, train, versions


def _share_of_batches(dl: TfmdDL):
    """Make fastai's loader of one process's share, without what keeps fastai's own from processors and from resuming.

    fastai has the first process's order of images sent to the others through a GPU. Here each epoch is seeded, so that
    all processes draw the same order; the seed has to reach the loader that draws it.
    """
    from fastai.distributed import DistributedDL  # here: it takes accelerate

    class ShareOfBatches(DistributedDL):
        def _broadcast(self, t, rank):
            return list(t)

        @property
        def rng(self):
            return self.dl.rng

        @rng.setter
        def rng(self, generator):
            self.dl.rng = generator

    return ShareOfBatches(dl)


class SeedProcesses(Callback):
    """fastai callback that gives each process shifts and dropouts of its own; SeedEpochs makes them all the same."""

    order = SeedEpochs.order + 1

    def before_epoch(self):
        """Seed PyTorch's generator from the recipe's seed, the epoch and the process's number."""
        torch.manual_seed((self.learn.seed_epochs.seed * 1_000 + self.epoch) * 1_000 + rank_distrib())


def n_processes() -> int:
    """Count the processes of this training; 1 where no launcher started it."""
    return max(num_distrib(), 1)


def share_of(recipe: Recipe) -> Recipe:
    """Return the recipe with a process's share of its batch size.

    Parameters
    ----------
    recipe : Recipe

    Returns
    -------
    Recipe

    Raises
    ------
    ValueError
        Where the batch cannot be divided equally.
    """
    if recipe.batch_size % n_processes():
        raise ValueError(f"a batch of {recipe.batch_size} images cannot be shared by {n_processes()} processes")
    return replace(recipe, batch_size=recipe.batch_size // n_processes())


@contextlib.contextmanager
def shared(learn: Learner) -> Iterator[Learner]:
    """Train a Learner in all processes for as long as the block takes.

    Parameters
    ----------
    learn : Learner
        The same in each process, with the process's share of the batch size.

    Yields
    ------
    Learner

    Raises
    ------
    ModelError
        Where accelerate is missing.
    """
    if n_processes() == 1:
        yield learn
        return
    if importlib.util.find_spec("accelerate") is None:
        raise ModelError("several processes take accelerate: pip install -r requirements-cluster.txt")
    learn.dls.loaders = [_share_of_batches(dl) for dl in learn.dls.loaders]
    learn.add_cb(SeedProcesses())
    with learn.distrib_ctx(sync_bn=torch.cuda.is_available(), cpu=not torch.cuda.is_available()):
        yield learn


def train_shared(
    corpus: Corpus, learn: Learner, recipe: Recipe, *, name: str, data: list[Any], about: dict[str, Any]
) -> dict:
    """Train a Learner in all processes, resuming where a run was stopped, and save it.

    Parameters
    ----------
    corpus : Corpus
        In the view in question.
    learn : Learner
        With `share_of(recipe)`'s batch size, and a network initialised from the recipe's seed.
    recipe : Recipe
        For all processes together.
    name : str
        Of the model: results/<corpus>/models/<name>.safetensors.
    data : list
        What stands for the images and their division, for the key.
    about : dict
        What else the card reports: normalisation, split, imagenet_weights.

    Returns
    -------
    dict
        The card.

    Raises
    ------
    OSError
        Where a checkpoint or the model cannot be written.
    """
    path = model_path(corpus, name)
    key = digest(data, corpus.view, VERSION, asdict(recipe), n_processes())
    checkpoint = path.with_suffix(".checkpoint")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    set_seed(recipe.seed, reproducible=True)
    with shared(learn):
        pretrained = bool(about.get("imagenet_weights"))
        history = train(learn, recipe, checkpoint=checkpoint, key=key, pretrained=pretrained)
        if recipe.speaker_weight:
            learn.auxiliary_targets.detach()
    card = {
        "name": name,
        "classes": list(GENDERS),
        "architecture": ARCHITECTURES[recipe.architecture],
        "view": corpus.view,
        "image_size": list(recipe.image_size),
        "corpus": corpus.title,
        "recipe": asdict(recipe),
        "precision": precision(),
        "processes": n_processes(),
        "history": history,
        "seconds": round(sum(epoch["seconds"] for epoch in history), 1),
        "versions": versions(),
        "date": date.today().isoformat(),
        "key": key,
    } | about
    if rank_distrib() == 0:
        card = save_network(learn.model, card, path)
        checkpoint.unlink(missing_ok=True)
    distrib_barrier()
    return card
