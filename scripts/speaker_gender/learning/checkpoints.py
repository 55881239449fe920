"""The state of a training between epochs, from which it resumes and ends with the same weights.

It is a safetensors file after a line with the training's key and a digest.
"""

import json
import time
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.torch_core import rank_distrib
from safetensors.torch import load, save

from speaker_gender.caching import reading_kept, write_kept


class KeepEpochs(Callback):
    """fastai callback that after each epoch extends the history and writes a checkpoint for `training.train`.

    `key`: what determines the training, see `read_checkpoint`. `stage`: number of the stage of training, from 0.
    `history`: extended in place by one dict an epoch: stage, epoch, losses, metrics, seconds.
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

    `key`: what determines the training. Raises OSError where it cannot be written.
    """
    network = getattr(learn.model, "module", learn.model)  # several processes share a wrapped one
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in network.state_dict().items()}
    flags = []  # the optimiser's step counts and flags, one dict a parameter
    for index, values in enumerate(learn.opt.state_dict()["state"]):
        tensors |= {
            f"opt.{index}.{name}": value.contiguous() for name, value in values.items() if torch.is_tensor(value)
        }
        flags.append({name: value for name, value in values.items() if not torch.is_tensor(value)})
    state = {"history": history, "optimiser": flags}
    write_kept(path, key, save(tensors, metadata={"checkpoint": json.dumps(state)}))


def read_checkpoint(path: Path, key: str) -> dict | None:
    """Read a checkpoint: history, model (tensors by name) and optimiser (one dict a parameter).

    None where there is no intact checkpoint with this key, which is what determines the training.
    """
    with reading_kept(path, key) as file:
        if file is None:
            return None
        content = file.read()
    tensors = load(content)
    length = int.from_bytes(content[:8], "little")  # of safetensors' header, which is JSON
    state = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["checkpoint"])
    model = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    for name, tensor in tensors.items():
        if name.startswith("opt."):
            _, index, field = name.split(".")
            state["optimiser"][int(index)][field] = tensor
    return {"history": state["history"], "model": model, "optimiser": state["optimiser"]}


def restore_optimiser(learn: Learner, states: list[dict]) -> None:
    """Put a checkpoint's optimiser states into a Learner whose optimiser exists.

    `states`: one a parameter.
    """
    # In the memory format that training uses, or sums would be rounded differently from an undisturbed run's.
    learn.model.to(memory_format=torch.channels_last)
    for (parameter, *_), state in zip(learn.opt.all_params(), states):
        learn.opt.state[parameter] = {
            name: torch.empty_like(parameter, requires_grad=False).copy_(value) if torch.is_tensor(value) else value
            for name, value in state.items()
        }
