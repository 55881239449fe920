"""The state of a training between epochs: a safetensors file from which it resumes and ends with the same weights."""

import errno
import json
import time
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.torch_core import rank_distrib
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from speaker_gender.caching import replacing


class KeepEpochs(Callback):
    """fastai callback that after each epoch extends the history and writes a checkpoint for `training.train`.

    Parameters
    ----------
    path : Path
        Of the checkpoint.
    key : str
        What determines the training, see `read_checkpoint`.
    stage : int
        Number of the stage of training, from 0.
    history : list of dict
        Extended in place by one dict an epoch: stage, epoch, losses, metrics, seconds.
    """

    order = 80  # after fastai's Recorder

    def __init__(self, path: Path, key: str, stage: int, history: list[dict]):
        self.path, self.key, self.stage, self.history = path, key, stage, history
        self.started: float | None = None

    def before_train(self):
        """Start the epoch's clock and its list of losses."""
        self.started, self.losses = time.perf_counter(), []

    def after_batch(self):
        """Keep the loss of a training batch."""
        if self.training:
            self.losses.append(self.loss.detach().item())

    def after_epoch(self):
        """Extend the history and write the checkpoint."""
        if self.started is None:  # one of the epochs before the one to resume from, which fastai only skips
            return
        names = [name for name in self.recorder.metric_names if name not in ("epoch", "time")]
        values = dict(zip(names, map(float, self.recorder.values[-1])))
        values["train_loss"] = float(np.mean(self.losses))  # fastai's is smoothed over epochs: lost on resuming
        seconds = round(time.perf_counter() - self.started, 1)
        self.history.append({"stage": self.stage, "epoch": self.epoch} | values | {"seconds": seconds})
        if rank_distrib() == 0:  # of several processes one writes
            save_checkpoint(self.learn, self.path, self.key, self.history)


def save_checkpoint(learn: Learner, path: Path, key: str, history: list[dict]) -> None:
    """Write a Learner's network, its optimiser's state and the history to a safetensors file.

    Parameters
    ----------
    learn : Learner
    path : Path
    key : str
        What determines the training.
    history : list of dict

    Raises
    ------
    OSError
        Where it cannot be written.
    """
    network = getattr(learn.model, "module", learn.model)  # several processes share a wrapped one
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    flags = []  # the optimiser's step counts and flags, one dict a parameter
    for index, values in enumerate(learn.opt.state_dict()["state"]):
        tensors |= {
            f"opt.{index}.{name}": value.contiguous() for name, value in values.items() if torch.is_tensor(value)
        }
        flags.append({name: value for name, value in values.items() if not torch.is_tensor(value)})
    state = {"key": key, "history": history, "optimiser": flags}
    with replacing(path) as partial:
        try:
            save_file(tensors, partial, metadata={"checkpoint": json.dumps(state)})
        except SafetensorError as error:  # its own for a full disk
            raise OSError(errno.EIO, str(error)) from None


def read_checkpoint(path: Path, key: str) -> dict | None:
    """Read a checkpoint.

    Parameters
    ----------
    path : Path
    key : str
        What determines the training.

    Returns
    -------
    dict or None
        history, model (tensors by name) and optimiser (one dict a parameter). None where there is no readable
        checkpoint with this key.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = json.loads(file.metadata()["checkpoint"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
    if state["key"] != key:
        return None
    model = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    for name, tensor in tensors.items():
        if name.startswith("opt."):
            _, index, field = name.split(".")
            state["optimiser"][int(index)][field] = tensor
    return {"history": state["history"], "model": model, "optimiser": state["optimiser"]}


def restore_optimiser(learn: Learner, states: list[dict]) -> None:
    """Put a checkpoint's optimiser states into a Learner whose optimiser exists.

    Parameters
    ----------
    learn : Learner
    states : list of dict
        One a parameter.
    """
    # In the memory format that training uses, or sums would be rounded differently from an undisturbed run's.
    learn.model.to(memory_format=torch.channels_last)
    for (parameter, *_), state in zip(learn.opt.all_params(), states):
        learn.opt.state[parameter] = {
            name: torch.empty_like(parameter, requires_grad=False).copy_(value) if torch.is_tensor(value) else value
            for name, value in state.items()
        }
