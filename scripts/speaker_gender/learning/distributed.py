"""One training in several processes, by fastai's distrib_ctx; started by `accelerate launch` or torchrun.

Each process trains on its share of every batch, and the gradients are averaged. So the batch of all processes together
is the recipe's, and so is its learning rate. On processors the processes talk through gloo, on GPUs through NCCL.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import torch
from fastai.data.core import TfmdDL
from fastai.learner import Learner
from fastai.torch_core import distrib_barrier, num_distrib

from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.recipes import Recipe


def n_processes() -> int:
    """Count the processes of this training; 1 where no launcher started it."""
    return max(num_distrib(), 1)


def share_of(recipe: Recipe) -> Recipe:
    """Return the recipe with a process's share of its batch size. Raises ValueError where it cannot be divided."""
    if recipe.batch_size % n_processes():
        raise ValueError(f"a batch of {recipe.batch_size} images cannot be shared by {n_processes()} processes")
    return replace(recipe, batch_size=recipe.batch_size // n_processes())


@contextlib.contextmanager
def shared(learn: Learner) -> Iterator[Learner]:
    """Train a Learner in all processes for as long as the block takes.

    `learn`: the same in each process, with the process's share of the batch size. Raises ModelError where accelerate is
    missing.
    """
    if n_processes() == 1:
        yield learn
        return
    try:
        learn.dls.loaders = [_share_of_batches(dl) for dl in learn.dls.loaders]
    except ImportError:
        raise ModelError("several processes take accelerate: pip install -r requirements-cluster.txt") from None
    with learn.distrib_ctx(sync_bn=torch.cuda.is_available(), cpu=not torch.cuda.is_available()):
        yield learn
    distrib_barrier()


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
