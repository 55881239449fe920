"""ResNet-34 by fastai: from ImageNet weights where they can be had, from scratch where they cannot.

Training is resumable and repeatable: every epoch begins from a seed of its own, and after every epoch the network and
its optimiser are kept, so that a run that was stopped ends with the same weights as one that was not. A trained model
is a safetensors file beside a JSON card of what it is; neither can run code when it is read.
"""

import errno
import importlib.metadata
import io
import json
import os
import platform
import random
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from datetime import date
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pandas as pd
import torch
from fastai.callback.channelslast import ChannelsLast
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.callback.mixup import MixUp
from fastai.callback.schedule import SuggestionMethod
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import F1Score, error_rate
from fastai.torch_core import set_seed
from fastai.vision.learner import create_body, vision_learner
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.models import ResNet34_Weights, resnet34

from speaker_gender.caching import (
    cached_json,
    content_digest,
    digest,
    file_digest,
    recompute,
    remove_abandoned,
    replacing,
    shown,
)
from speaker_gender.config import GENDERS, SEED, smoke
from speaker_gender.corpora.audiomnist import Corpus
from speaker_gender.learning.dataset import grey_stats, make_dls
from speaker_gender.learning.model_files import ModelError, read_card
from speaker_gender.learning.networks import ARCHITECTURES, Recipe, load_weights, make_head, save_network, small_network
from speaker_gender.learning.splits import VALID_FRACTION

VERSION = 3  # part of every model's key: raise it when a change here changes the weights

HEAD_EPOCHS = 2  # with ImageNet weights: the new head alone, as in the study
MANY_IMAGES = 10_000
LEAST_STEPS = 250  # batches that a network of a small corpus is trained on, within these numbers of epochs
FEWEST_EPOCHS, MOST_EPOCHS = 5, 30
N_DIGITS, DIGIT_SHARE = 10, 0.5  # what the digit counts in the loss beside the speaker


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


def named_weights(recipe: Recipe) -> list[str]:
    """Digest of the file of ImageNet weights that RESNET34_WEIGHTS names, for keys; empty where it names none."""
    choice = os.environ.get("RESNET34_WEIGHTS")
    if choice in (None, "", "none") or smoke() or recipe.architecture != "resnet34":
        return []
    try:
        return [file_digest(choice)]
    except OSError as error:
        raise ModelError(f"{choice}: cannot be read ({error.strerror})") from None


def imagenet_state() -> dict[str, torch.Tensor] | None:
    """torchvision's ImageNet weights of ResNet-34, or None, said in one line, where they cannot be had.

    The environment variable RESNET34_WEIGHTS can name a safetensors file with the same tensors, or be 'none'.
    """
    choice = os.environ.get("RESNET34_WEIGHTS")
    if choice == "none" or smoke():
        print("RESNET34_WEIGHTS=none or a smoke run: training from scratch.")
        return None
    if choice:
        try:
            return load_file(choice)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{choice}: not a safetensors file ({error})") from None
    try:
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):  # torch.hub prints this machine's paths
            return ResNet34_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError):
        print("ImageNet weights of ResNet-34 cannot be downloaded here: training from scratch.")
        return None


def make_learner(
    dls: DataLoaders, recipe: Recipe, imagenet: dict[str, torch.Tensor] | None = None, *, n_speakers: int = 0
) -> Learner:
    """A fastai Learner with the recipe's network for one grey channel and two classes, female the positive one.

    imagenet: weights of torchvision's resnet34; the three colour channels' first weights are summed, which is what
    an image with three equal channels amounts to. n_speakers: how many of them `dls` tells of, and of the digits, for a
    recipe with a speaker_weight; the network then has outputs for both (see TellSpeakers). Raises ModelError where the
    weights do not fit.
    """
    n_out = len(GENDERS) + (n_speakers + N_DIGITS if n_speakers else 0)
    options = {
        "loss_func": CrossEntropyLossFlat(weight=class_weights(dls) if recipe.balanced else None),
        "metrics": [error_rate, F1Score(pos_label=GENDERS.index("female"))],
        "cbs": [ChannelsLast(), SeedEpochs()],
    }
    if recipe.architecture == "small":
        learn = Learner(dls, small_network(recipe.image_size, n_out), **options)
    else:
        body = {"n_in": 1, "n_out": n_out, "pretrained": False, "normalize": False}
        learn = vision_learner(dls, resnet34, custom_head=make_head(recipe, n_out), **body, **options)
    if n_speakers:
        learn.add_cb(TellSpeakers(recipe.speaker_weight))
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
    """What networks are trained in on this machine, for speed: 'float16' (GPU), 'bfloat16' or 'float32'."""
    if torch.cuda.is_available():
        return "float16"
    return "bfloat16" if torch.cpu.get_capabilities().get("amx_bf16") else "float32"


def class_weights(dls: DataLoaders) -> torch.Tensor:
    """What an error on each class costs, shape (2,), so that both classes of the training part weigh the same."""
    counts = torch.bincount(torch.tensor([int(dls.train_ds[index][1]) for index in range(len(dls.train_ds))]))
    return (counts.sum() / (len(counts) * counts)).to(dls.device)


class TellSpeakers(Callback):
    """Has a network tell who speaks and which digit, too, by scores behind those of the genders: adds to the loss.

    Telling sixty voices apart by whatever they say teaches it more from an image than which of two genders it is of;
    the digit counts half as much as the speaker. The added outputs are of no use afterwards: `detach` takes them off
    the network.
    """

    def __init__(self, weight: float):
        self.weight = weight

    def before_batch(self):
        *genders, self.speakers, self.digits = self.yb
        self.learn.yb = tuple(genders)

    def after_pred(self):
        self.scores = self.pred[:, len(GENDERS) :]
        self.learn.pred = self.pred[:, : len(GENDERS)]

    def after_loss(self):
        if self.training:
            by_speaker, by_digit = self.scores[:, :-N_DIGITS], self.scores[:, -N_DIGITS:]
            told = cross_entropy(by_speaker, self.speakers) + DIGIT_SHARE * cross_entropy(by_digit, self.digits)
            self.learn.loss_grad = self.loss_grad + self.weight * told

    def detach(self):
        last = self.model[1][-1]
        last.out_features = len(GENDERS)
        for name, parameter in last.named_parameters():
            setattr(last, name, nn.Parameter(parameter.detach()[: len(GENDERS)].clone()))
        self.learn.opt = None  # it holds the parameters of before
        self.learn.remove_cb(self)


class CpuBfloat16(Callback):
    """bfloat16 on processors with AMX, where it is several times faster than float32 (fastai's own is for GPUs)."""

    order = MixedPrecision.order

    def before_batch(self):
        self.autocast = torch.autocast("cpu", dtype=torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self):
        self.learn.pred = self.pred.float()

    def after_loss(self):
        self.autocast.__exit__(None, None, None)


class SeedEpochs(Callback):
    """Seeds every random generator anew before each epoch, so that a resumed epoch is the one that was missed."""

    order = -100
    seed = SEED

    def before_epoch(self):
        set_seed(self.seed * 1_000 + self.epoch, reproducible=True)
        self.dls.train.rng = random.Random(self.seed * 1_000 + self.epoch)


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
        _save_checkpoint(self.learn, self.path, self.key, self.history)


def train(learn: Learner, recipe: Recipe, *, checkpoint: Path, key: str, pretrained: bool) -> list[dict]:
    """Trains to the end of the recipe and returns its history, one dict an epoch; resumes from a checkpoint.

    pretrained: train the head alone first. checkpoint: where to keep the state between epochs; it is used only if it
    was written under the same `key`, and it is removed by whoever saves the finished model.
    """
    stages = [("head", HEAD_EPOCHS)] if pretrained else []
    stages.append(("all", recipe.epochs))
    learn.seed_epochs.seed = recipe.seed
    saved = _read_checkpoint(checkpoint, key)
    history: list[dict] = saved["history"] if saved else []
    done_stage, done_epoch = (history[-1]["stage"], history[-1]["epoch"]) if saved else (-1, -1)
    if saved:
        learn.model.load_state_dict(saved["model"])
        print(f"Resumed after epoch {done_epoch + 1}: {shown(checkpoint)}")
    for stage, (part, epochs) in enumerate(stages):
        start = done_epoch + 1 if stage == done_stage else 0
        if stage < done_stage or start == epochs:
            continue
        if part == "head":
            learn.freeze()
        else:
            learn.unfreeze()
        if start:
            _restore_optimiser(learn, saved["optimiser"])
        keep = KeepEpochs(checkpoint, key, stage, history)
        try:
            learn.fit_one_cycle(epochs, recipe.learning_rate, cbs=keep, start_epoch=start)
        finally:
            torch.set_autocast_enabled("cpu", False)  # CpuBfloat16's, where it was interrupted within a batch
    return history


def _save_checkpoint(learn: Learner, path: Path, key: str, history: list[dict]) -> None:
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


def _read_checkpoint(path: Path, key: str) -> dict | None:
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


def _restore_optimiser(learn: Learner, states: list[dict]) -> None:
    # In the memory format that training uses, or sums would be rounded differently from an undisturbed run's.
    learn.model.to(memory_format=torch.channels_last)
    for (parameter, *_), state in zip(learn.opt.all_params(), states):
        learn.opt.state[parameter] = {
            name: torch.empty_like(parameter, requires_grad=False).copy_(value) if torch.is_tensor(value) else value
            for name, value in state.items()
        }


def find_learning_rate(
    corpus: Corpus, images: np.ndarray, table: pd.DataFrame, split: pd.Series, recipe: Recipe
) -> dict:
    """fastai's learning-rate search, by the loss of the genders alone; cached.

    Returns a dict of rates, smoothed losses and the suggestion (valley).
    """

    def search() -> dict:
        learn = _learner_for(images, table, split, recipe, imagenet_state())
        learn.path = corpus.results  # where fastai keeps the weights during the search
        found = learn.lr_find(num_it=20 if smoke() else 100, show_plot=False, suggest_funcs=SuggestionMethod.Valley)
        return {
            "rates": [float(rate) for rate in learn.recorder.lrs],
            "losses": [float(loss) for loss in learn.recorder.losses],
            "suggestion": float(found.valley),
        }

    key = {"images": _stands_for(images, table, split), "view": corpus.view, "version": VERSION}
    key |= {"recipe": asdict(recipe), "weights": named_weights(recipe)}
    return cached_json(corpus.results / "learning_rate.json", key, search)


def _learner_for(
    images: np.ndarray,
    table: pd.DataFrame,
    split: pd.Series,
    recipe: Recipe,
    imagenet: dict[str, torch.Tensor] | None,
    stats: tuple[float, float] | None = None,
) -> Learner:
    """A Learner with the batches that the recipe asks for, and a network of its seed."""
    told, names = {}, []
    if recipe.speaker_weight:
        names = sorted(table["speaker"][split == "train"].unique())
        told = {
            "speakers": pd.Index(names).get_indexer(table["speaker"]),  # -1: in the validation part only
            "digits": table["digit"].to_numpy(),
        }
    batches = {"batch_size": recipe.batch_size, "max_shift": recipe.max_shift}
    dls = make_dls(images, table["gender"], split, **batches, stats=stats, **told)
    set_seed(recipe.seed, reproducible=True)
    return make_learner(dls, recipe, imagenet, n_speakers=len(names))


def fingerprint(table: pd.DataFrame, split: pd.Series) -> str:
    """Stands for a set of images (columns image, path, gender, speaker, stamp) and its division into parts."""
    return digest(table[["image", "path", "gender", "speaker", "stamp"]].to_numpy().tolist(), split.tolist())


def _stands_for(images: np.ndarray, table: pd.DataFrame, split: pd.Series) -> list[str]:
    return [fingerprint(table, split), content_digest(np.ascontiguousarray(images).data)]


def model_path(corpus: Corpus, name: str) -> Path:
    return corpus.results / "models" / f"{name}.safetensors"


def train_model(
    corpus: Corpus, images: np.ndarray, table: pd.DataFrame, split: pd.Series, recipe: Recipe, *, name: str
) -> tuple[Learner, dict]:
    """A trained Learner and its card: from results/<corpus>/models/<name>.safetensors, or trained and saved there.

    images: uint8 (images, height, width) of the rows of `table` (as `fingerprint` needs it), divided by `split`.
    The card says what the model is and how it came about: classes, view, image size, normalisation, corpus, split,
    recipe, precision, history, versions.
    """
    path = model_path(corpus, name)
    stats = grey_stats(images[(split == "train").to_numpy()])
    batches = {"batch_size": recipe.batch_size, "max_shift": recipe.max_shift}
    dls = make_dls(images, table["gender"], split, **batches, stats=stats)
    key = digest(_stands_for(images, table, split), corpus.view, VERSION, asdict(recipe), *named_weights(recipe))
    if path.exists() and not recompute(path):
        card = read_card(path)
        from_scratch = os.environ.get("RESNET34_WEIGHTS") == "none"  # whatever it was that was trained before
        if card["key"] == key and not (from_scratch and card.get("imagenet_weights")):
            try:
                learn = load_learner(path, dls, recipe, card)
            except ModelError as error:
                print(f"{error}: trained again")
            else:
                print(f"From the cache: {shown(path)}")
                return learn, card
    imagenet = imagenet_state() if recipe.architecture == "resnet34" else None
    learn = _learner_for(images, table, split, recipe, imagenet, stats)
    checkpoint = path.with_suffix(".checkpoint")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(checkpoint.parent)
    history = train(
        learn, recipe, checkpoint=checkpoint, key=digest(key, imagenet is not None), pretrained=imagenet is not None
    )
    if recipe.speaker_weight:
        learn.tell_speakers.detach()
        learn.dls = dls
    card = {
        "name": name,
        "classes": list(GENDERS),
        "architecture": ARCHITECTURES[recipe.architecture],
        "view": corpus.view,
        "image_size": list(recipe.image_size),
        "normalisation": {"mean": stats[0], "std": stats[1]},
        "corpus": corpus.title,
        "split": {part: int(count) for part, count in split.value_counts().items()},
        "speakers": {part: int(table["speaker"][split == part].nunique()) for part in split.dropna().unique()},
        "recipe": asdict(recipe),
        "imagenet_weights": imagenet is not None,
        "precision": precision(),
        "history": history,
        "seconds": round(sum(epoch["seconds"] for epoch in history), 1),
        "versions": versions(),
        "date": date.today().isoformat(),
        "key": key,
    }
    card = save_network(learn.model, card, path)
    checkpoint.unlink(missing_ok=True)
    return learn, card


def cached_cards(corpus: Corpus, pattern: str) -> list[dict]:
    """The cards of the corpus's trained models whose names match a glob pattern, in the order of their names."""
    return [read_card(path) for path in sorted((corpus.results / "models").glob(f"{pattern}.json"))]


def load_learner(path: Path, dls: DataLoaders, recipe: Recipe, card: dict) -> Learner:
    """A Learner with a saved model's weights. Raises ModelError for a file that does not fit."""
    learn = make_learner(dls, recipe)
    load_weights(learn.model, path, card)
    return learn


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    packages = ("torch", "torchvision", "fastai", "librosa", "scikit-image", "numpy", "pillow")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}
