"""Training by fastai: from ImageNet weights where they are available, else from scratch.

Training is resumable and repeatable. Every epoch begins from a seed of its own. After every epoch the network and its
optimiser are saved, so that a run that was stopped ends with the same weights as one that was not. A trained model is a
safetensors file beside a JSON card that describes it. Neither can run code when it is read.
"""

import importlib.metadata
import os
import platform
from dataclasses import asdict
from datetime import date
from pathlib import Path

import fastai.callback.schedule  # noqa: F401  adds fit_one_cycle to Learner
import numpy as np
import pandas as pd
import torch
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.torch_core import rank_distrib, set_seed

from speaker_gender.caching import content_digest, digest, recompute, remove_abandoned, shown
from speaker_gender.config import GENDERS, keep_freed_memory, settings
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.learning.checkpoints import KeepEpochs, read_checkpoint, restore_optimiser
from speaker_gender.learning.dataset import grey_stats, make_dls
from speaker_gender.learning.imagenet import imagenet_state, named_weights
from speaker_gender.learning.learners import make_learner, precision
from speaker_gender.learning.model_files import ModelError, read_card
from speaker_gender.learning.networks import load_weights, save_network
from speaker_gender.learning.recipes import ARCHITECTURES, Recipe

VERSION = 3  # part of every model's key: raise it when a change here changes the weights

FROM_SCRATCH = "Trained from scratch, as README's row was."
HEAD_EPOCHS = 2  # with ImageNet weights: the new head alone, as in the study


def train(learn: Learner, recipe: Recipe, *, checkpoint: Path, key: str, pretrained: bool) -> list[dict]:
    """Train a Learner to the end of the recipe; resumes from a checkpoint.

    `checkpoint`: where the state is saved between epochs. An existing one is used only if it was written under the same
    key. The caller removes it when the finished model is saved. `key`: what determines the training. `pretrained`:
    train the head alone first. Returns the history, one dict an epoch: stage, epoch, losses, metrics, seconds.
    """
    keep_freed_memory()
    stages = [("head", HEAD_EPOCHS)] if pretrained else []
    stages.append(("all", recipe.epochs))
    learn.seed_epochs.seed = recipe.seed
    saved = read_checkpoint(checkpoint, key)
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
        if saved and start:
            restore_optimiser(learn, saved["optimiser"])
        keep = KeepEpochs(checkpoint, key, stage, history)
        try:
            learn.fit_one_cycle(epochs, recipe.learning_rate, cbs=keep, start_epoch=start)
        finally:
            torch.set_autocast_enabled("cpu", False)  # CpuBfloat16's, where it was interrupted within a batch
    return history


def learner_for(
    images: np.ndarray,
    table: pd.DataFrame,
    split: pd.Series,
    recipe: Recipe,
    imagenet: dict[str, torch.Tensor] | None,
    stats: tuple[float, float] | None = None,
) -> Learner:
    """A Learner with the batches that the recipe asks for, and a network initialised from its seed."""
    targets: dict[str, np.ndarray] = {}
    names: list[str] = []
    if recipe.speaker_weight:
        names = sorted(table["speaker"][split == "train"].unique())
        targets = {
            "speakers": pd.Index(names).get_indexer(pd.Index(table["speaker"])),  # -1: in the validation part only
            "digits": table["digit"].fillna(0).to_numpy(np.int64),  # a table may have none; a constant teaches nothing
        }
    dls = make_dls(
        images,
        table["gender"],
        split,
        batch_size=recipe.batch_size,
        max_shift=recipe.max_shift,
        stats=stats,
        **targets,
    )
    set_seed(recipe.seed, reproducible=True)
    return make_learner(dls, recipe, imagenet, n_speakers=len(names))


def fingerprint(table: pd.DataFrame, split: pd.Series) -> str:
    """Digest a set of images and its division into parts.

    `table`: columns image, path, gender, speaker, stamp.
    """
    return digest(table[["image", "path", "gender", "speaker", "stamp"]].to_numpy().tolist(), split.tolist())


def _stands_for(images: np.ndarray, table: pd.DataFrame, split: pd.Series) -> list[str]:
    return [fingerprint(table, split), content_digest(np.ascontiguousarray(images).data)]


def model_path(corpus: Corpus, name: str) -> Path:
    """Return the path of a corpus's model: results/<corpus>/models/<name>.safetensors."""
    return corpus.results / "models" / f"{name}.safetensors"


def train_model(
    corpus: Corpus, images: np.ndarray, table: pd.DataFrame, split: pd.Series, recipe: Recipe, *, name: str
) -> tuple[Learner, dict]:
    """Load a trained Learner, or train it and save it as results/<corpus>/models/<name>.safetensors.

    Raises ModelError where the ImageNet weights that are named cannot be used.

    Parameters
    ----------
    images : np.ndarray of uint8, shape (images, height, width)
        Of the rows of `table`.
    table : pd.DataFrame
        See `fingerprint`; with a column digit for a recipe with a speaker_weight.
    split : pd.Series of str
        Part of each image: 'train', 'valid' or another one.

    Returns
    -------
    card : dict
        What the model is and how it came about: classes, view, image size, normalisation, corpus, split, recipe,
        precision, history, versions.
    """
    path = model_path(corpus, name)
    stats = grey_stats(images[(split == "train").to_numpy()])
    dls = make_dls(
        images, table["gender"], split, batch_size=recipe.batch_size, max_shift=recipe.max_shift, stats=stats
    )
    key = digest(_stands_for(images, table, split), corpus.view, VERSION, asdict(recipe), *named_weights(recipe))
    if saved := _saved_learner(path, key, dls, recipe):
        return saved
    imagenet = imagenet_state() if recipe.architecture == "resnet34" else None
    learn = learner_for(images, table, split, recipe, imagenet, stats)
    about = describe_split(table, split) | {"normalisation": {"mean": stats[0], "std": stats[1]}}
    card = train_and_save(learn, corpus, recipe, name=name, key=key, imagenet_weights=imagenet is not None, about=about)
    learn.dls = dls
    return learn, card


def describe_split(table: pd.DataFrame, split: pd.Series) -> dict:
    """Count the images and the speakers of each part of a split, for a card."""
    return {
        "split": {part: int(count) for part, count in split.value_counts().items()},
        "speakers": {part: int(table["speaker"][split == part].nunique()) for part in split.dropna().unique()},
    }


def train_and_save(
    learn: Learner, corpus: Corpus, recipe: Recipe, *, name: str, key: str, imagenet_weights: bool, about: dict
) -> dict:
    """Train a Learner, resuming where a run was stopped, and save it; of several processes the first one saves.

    `key`: what determines the training. `about`: what else the card reports: normalisation, split. Returns the card:
    what the model is and how it came about. Raises OSError where a checkpoint or the model cannot be written.
    """
    path = model_path(corpus, name)
    checkpoint = path.with_suffix(".checkpoint")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(checkpoint.parent)
    history = train(
        learn, recipe, checkpoint=checkpoint, key=digest(key, imagenet_weights), pretrained=imagenet_weights
    )
    if recipe.speaker_weight:
        learn.auxiliary_targets.detach()
    if recipe.architecture == "resnet34":
        print("Trained from ImageNet weights; README's row is from scratch." if imagenet_weights else FROM_SCRATCH)
    card = about | {
        "name": name,
        "classes": list(GENDERS),
        "architecture": ARCHITECTURES[recipe.architecture],
        "view": corpus.view,
        "image_size": list(recipe.image_size),
        "corpus": corpus.title,
        "recipe": asdict(recipe),
        "imagenet_weights": imagenet_weights,
        "precision": precision(),
        "history": history,
        "seconds": round(sum(epoch["seconds"] for epoch in history), 1),
        "versions": versions(),
        "date": date.today().isoformat(),
        "key": key,
    }
    if rank_distrib() == 0:
        network = getattr(learn.model, "module", learn.model)  # several processes share a wrapped one
        card = save_network(network, card, path)
        checkpoint.unlink(missing_ok=True)
    return card


def _saved_learner(path: Path, key: str, dls: DataLoaders, recipe: Recipe) -> tuple[Learner, dict] | None:
    """The saved model of this key and its card; None where there is none, or where it is to be trained again."""
    if not path.exists() or recompute(path):
        return None
    card = read_card(path)
    from_scratch = settings().resnet34_weights == "none"  # whatever it was that was trained before
    if card["key"] != key or (from_scratch and card.get("imagenet_weights")):
        return None
    try:
        learn = load_learner(path, dls, recipe, card)
    except ModelError as error:
        print(f"{error}: trained again")
        return None
    print(f"From the cache: {shown(path)}")
    return learn, card


def cached_cards(corpus: Corpus, pattern: str) -> list[dict]:
    """Read the cards of a corpus's trained models.

    `pattern`: glob pattern of the models' names. Returns in the order of the names.
    """
    return [read_card(path) for path in sorted((corpus.results / "models").glob(f"{pattern}.json"))]


def runs_table(cards: list[dict], *, like: dict) -> pd.DataFrame:
    """Tabulate the results of networks that were trained by one recipe from several seeds.

    `cards`: see `cached_cards`. `like`: a card. Networks of another recipe are left out. Returns one row a seed;
    columns error rate, F1, images (tested), minutes (of training).
    """
    recipe = like["recipe"] | {"seed": None}
    runs = [card for card in cards if card["recipe"] | {"seed": None} == recipe]
    rows = {
        card["recipe"]["seed"]: {
            "error rate": card["history"][-1]["error_rate"],
            "F1": card["history"][-1]["f1_score"],
            "images": card["split"]["valid"],
            "minutes": card["seconds"] / 60,
        }
        for card in runs
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("seed").sort_index()


def load_learner(path: Path, dls: DataLoaders, recipe: Recipe, card: dict) -> Learner:
    """Make a Learner with a saved model's weights.

    `path`: of the safetensors file. Raises ModelError for a file that does not fit.
    """
    learn = make_learner(dls, recipe)
    load_weights(learn.model, path, card)
    return learn


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    packages = ("torch", "torchvision", "fastai", "librosa", "scikit-image", "numpy", "pillow")
    return {"python": platform.python_version()} | {name: importlib.metadata.version(name) for name in packages}


def machine() -> dict[str, object]:
    """Return this machine's processor, its number of cores and its system, and the versions of the packages."""
    cpu, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        named = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        cpu = named[0].partition(":")[2].strip() if named else cpu
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.system(), **versions()}
