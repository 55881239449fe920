"""The state of a training between epochs: a safetensors file from which it goes on to the same weights."""

import errno
import json
import time
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from speaker_gender.caching import replacing


class KeepEpochs(Callback):
    """After each epoch: adds to the history and writes a checkpoint from which `train` can resume."""

    order = 80  # after fastai's Recorder

    def __init__(self, path: Path, key: str, stage: int, history: list[dict]):
        self.path, self.key, self.stage, self.history = path, key, stage, history
        self.started = None

    def before_train(self):
        self.started, self.losses = time.perf_counter(), []

    def after_batch(self):
        if self.training:
            self.losses.append(self.loss.detach().item())

    def after_epoch(self):
        if self.started is None:  # one of the epochs before the one to resume from, which fastai only skips
            return
        names = [name for name in self.recorder.metric_names if name not in ("epoch", "time")]
        values = dict(zip(names, map(float, self.recorder.values[-1])))
        values["train_loss"] = float(np.mean(self.losses))  # fastai's is smoothed over epochs: lost on resuming
        seconds = round(time.perf_counter() - self.started, 1)
        self.history.append({"stage": self.stage, "epoch": self.epoch} | values | {"seconds": seconds})
        save_checkpoint(self.learn, self.path, self.key, self.history)


def save_checkpoint(learn: Learner, path: Path, key: str, history: list[dict]) -> None:
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in learn.model.state_dict().items()}
    plain = []  # the optimiser's step counts and flags, one dict a parameter
    for index, state in enumerate(learn.opt.state_dict()["state"]):
        tensors |= {
            f"opt.{index}.{name}": value.contiguous() for name, value in state.items() if torch.is_tensor(value)
        }
        plain.append({name: value for name, value in state.items() if not torch.is_tensor(value)})
    told = {"key": key, "history": history, "optimiser": plain}
    with replacing(path) as partial:
        try:
            save_file(tensors, partial, metadata={"checkpoint": json.dumps(told)})
        except SafetensorError as error:  # its own for a full disk
            raise OSError(errno.EIO, str(error)) from None


def read_checkpoint(path: Path, key: str) -> dict | None:
    """history, model and optimiser (one dict a parameter); None where there is no checkpoint of just this run."""
    try:
        with safe_open(path, framework="pt") as file:
            told = json.loads(file.metadata()["checkpoint"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError):
        return None
    if told["key"] != key:
        return None
    model = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    for name, tensor in tensors.items():
        if name.startswith("opt."):
            _, index, field = name.split(".")
            told["optimiser"][int(index)][field] = tensor
    return {"history": told["history"], "model": model, "optimiser": told["optimiser"]}


def restore_optimiser(learn: Learner, states: list[dict]) -> None:
    # In the memory format that training uses, or sums would be rounded differently from an undisturbed run's.
    learn.model.to(memory_format=torch.channels_last)
    for (parameter, *_), state in zip(learn.opt.all_params(), states):
        learn.opt.state[parameter] = {
            name: torch.empty_like(parameter, requires_grad=False).copy_(value) if torch.is_tensor(value) else value
            for name, value in state.items()
        }
