"""Training: the same seed gives the same weights, a stopped run ends like an undisturbed one, models are safe files."""

import copy
import gc
import hashlib
import json
import os
from dataclasses import replace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.models import resnet34

from speaker_gender.config import ROOT
from speaker_gender.learning import imagenet, recipes, training
from speaker_gender.learning.learners import AuxiliaryTargets
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import predict, skip_padding
from speaker_gender.learning.recipes import Recipe
from speaker_gender.learning.training import train_model

RECIPE = Recipe(architecture="small", image_size=(32, 32), epochs=2, batch_size=8, max_shift=0.1)
RESNET34 = replace(RECIPE, architecture="resnet34")  # where the network itself matters: it takes ten times as long


@pytest.fixture(autouse=True)
def from_scratch(monkeypatch):
    monkeypatch.setenv("RESNET34_WEIGHTS", "none")


@pytest.fixture
def data():
    """40 images that are easy to tell apart: bright above for female, below for male."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 60, (40, 32, 32), dtype=np.uint8)
    images[:20, :16] += 150
    images[20:, 16:] += 150
    table = pd.DataFrame(
        {
            "image": [f"{gender}_{index}.jpg" for gender in ("female", "male") for index in range(20)],
            "path": [f"{index:02}/0_{index:02}_0.wav" for index in range(40)],
            "gender": ["female"] * 20 + ["male"] * 20,
            "speaker": [f"{index:02}" for index in range(40)],
            "digit": [index % 10 for index in range(40)],
            "stamp": "1-1",
        }
    )
    split = pd.Series(["valid" if index % 5 == 0 else "train" for index in range(40)])
    return images, table, split


def weights(corpus, name):
    return load_file(training.model_path(corpus, name))


def digest(content):
    return hashlib.sha256(content).hexdigest()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_trained_model_is_safetensors_with_a_card_and_comes_from_the_cache_afterwards(buzz_corpus, data, capsys):
    learn, card = train_model(buzz_corpus, *data, RECIPE, name="one")
    path = training.model_path(buzz_corpus, "one")
    assert path.exists() and not path.with_suffix(".checkpoint").exists()
    assert json.loads(path.with_suffix(".json").read_text()) == card
    assert card["classes"] == ["female", "male"] and card["image_size"] == [32, 32]
    assert card["split"] == {"train": 32, "valid": 8} and len(card["history"]) == 2
    assert {"mean", "std"} == set(card["normalisation"]) and "torch" in card["versions"]
    capsys.readouterr()
    cached, same_card = train_model(buzz_corpus, *data, RECIPE, name="one")
    assert "From the cache" in capsys.readouterr().out
    assert same_card == card and same(learn.model.state_dict(), cached.model.state_dict())


def test_a_network_that_told_speakers_too_is_kept_without_them(buzz_corpus, data, capsys):
    images, table, split = data
    table["speaker"] = [f"{index % 10:02}" for index in range(40)]  # two of them in the validation part only
    recipe = replace(RECIPE, speaker_weight=1.0)
    learn, card = train_model(buzz_corpus, images, table, split, recipe, name="told")
    train_model(buzz_corpus, images, table, split, RECIPE, name="plain")
    told, plain = weights(buzz_corpus, "told"), weights(buzz_corpus, "plain")
    assert {name: tensor.shape for name, tensor in told.items()} == {name: t.shape for name, t in plain.items()}
    assert not same(told, plain)
    assert learn.validate()[1] == pytest.approx(card["history"][-1]["error_rate"])
    capsys.readouterr()
    cached, _ = train_model(buzz_corpus, images, table, split, recipe, name="told")
    assert "From the cache" in capsys.readouterr().out and same(learn.model.state_dict(), cached.model.state_dict())


def test_the_loss_is_of_genders_speakers_and_digits(buzz_corpus, data):
    images, table, split = data
    speakers = pd.Categorical(table["speaker"]).codes
    digits = np.arange(40) % 10
    dls = training.make_dls(images, table["gender"], split, batch_size=8, speakers=speakers, digits=digits)
    learn = training.make_learner(dls, replace(RECIPE, speaker_weight=0.5), n_speakers=40)
    learn.add_cb(Keep())
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    for genders, speaker, digit, scores, whole, of_genders in learn.keep.seen:
        expected = cross_entropy(scores[:, :2], genders)
        expected += 0.5 * cross_entropy(scores[:, 2:42], speaker) + 0.25 * cross_entropy(scores[:, 42:], digit)
        torch.testing.assert_close(whole, expected)
        torch.testing.assert_close(of_genders, cross_entropy(scores[:, :2], genders))


class Keep(Callback):
    """Keeps what the loss of each training batch was made from."""

    order = AuxiliaryTargets.order + 1

    def before_fit(self):
        self.seen = []

    def after_loss(self):
        if self.training:
            scores = torch.cat([self.pred, self.auxiliary_targets.scores], dim=1)
            whole, of_genders = self.loss_grad.detach(), self.loss.detach()
            genders, told = self.yb[0].as_subclass(torch.Tensor), self.auxiliary_targets
            self.seen.append((genders, told.speakers, told.digits, scores, whole, of_genders))


def test_a_recipe_cannot_mix_images_and_tell_their_speakers():
    with pytest.raises(ValueError, match="mix"):
        Recipe(mixup=0.4, speaker_weight=1.0)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(buzz_corpus, data):
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        train_model(buzz_corpus, *data, Recipe(**RECIPE.__dict__ | {"seed": seed}), name=name)
    assert same(weights(buzz_corpus, "one"), weights(buzz_corpus, "again"))
    assert not same(weights(buzz_corpus, "one"), weights(buzz_corpus, "other"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [pytest.param(RESNET34, marks=pytest.mark.release), replace(RECIPE, speaker_weight=1.0)],
    ids=["resnet34", "small, with speakers"],
)
def test_a_run_stopped_in_its_second_epoch_ends_with_the_weights_of_an_undisturbed_one(
    buzz_corpus, data, monkeypatch, capsys, recipe
):
    undisturbed = train_model(buzz_corpus, *data, recipe, name="undisturbed")[1]
    gc.collect()  # a Learner refers to itself, and three of ResNet-34 are a gigabyte

    class Stop(Callback):
        def before_batch(self):
            if self.epoch == 1 and self.iter == 2:
                raise KeyboardInterrupt

    real = training.make_learner

    def stopping(*arguments, **options):
        learn = real(*arguments, **options)
        learn.add_cb(Stop())
        return learn

    with monkeypatch.context() as patch:
        patch.setattr(training, "make_learner", stopping)
        with pytest.raises(KeyboardInterrupt):
            train_model(buzz_corpus, *data, recipe, name="stopped")
    assert not training.model_path(buzz_corpus, "stopped").exists()
    gc.collect()
    capsys.readouterr()
    resumed = train_model(buzz_corpus, *data, recipe, name="stopped")[1]
    assert "Resumed after epoch 1" in capsys.readouterr().out
    assert same(weights(buzz_corpus, "undisturbed"), weights(buzz_corpus, "stopped"))

    def without_times(card):
        return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in card["history"]]

    assert without_times(undisturbed) == without_times(resumed)


def test_a_checkpoint_of_another_run_is_not_resumed(buzz_corpus, data, capsys):
    checkpoint = training.model_path(buzz_corpus, "one").with_suffix(".checkpoint")
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"not safetensors")
    train_model(buzz_corpus, *data, RECIPE, name="one")
    assert "Resumed" not in capsys.readouterr().out


def test_another_split_or_recipe_trains_anew(buzz_corpus, data, capsys):
    images, table, split = data
    train_model(buzz_corpus, images, table, split, RECIPE, name="one")
    capsys.readouterr()
    train_model(buzz_corpus, images, table, split[::-1].reset_index(drop=True), RECIPE, name="one")
    train_model(buzz_corpus, images, table, split, Recipe(**RECIPE.__dict__ | {"epochs": 1}), name="one")
    assert "From the cache" not in capsys.readouterr().out


def test_easy_images_are_learned_and_predictions_are_probabilities_of_female(buzz_corpus, data):
    images, table, split = data
    learn, card = train_model(buzz_corpus, images, table, split, Recipe(**RECIPE.__dict__ | {"epochs": 12}), name="one")
    p_female = predict(learn.model, images, card["normalisation"], batch_size=7)
    assert p_female.shape == (40,) and ((p_female >= 0) & (p_female <= 1)).all()
    assert ((p_female > 0.5) == (table["gender"] == "female")).mean() > 0.9


@pytest.mark.slow
def test_imagenet_weights_from_a_file_are_used_and_the_head_is_trained_first(buzz_corpus, data, monkeypatch, tmp_path):
    torch.manual_seed(0)
    source = resnet34()
    save_file(source.state_dict(), tmp_path / "resnet34.safetensors")
    monkeypatch.setenv("RESNET34_WEIGHTS", str(tmp_path / "resnet34.safetensors"))
    _, card = train_model(buzz_corpus, *data, replace(RESNET34, epochs=1), name="one")
    assert card["imagenet_weights"] and [epoch["stage"] for epoch in card["history"]] == [0, 0, 1]
    body = training.make_learner(
        training.make_dls(data[0], data[1]["gender"], data[2]), RESNET34, source.state_dict()
    ).model[0]
    grey = torch.rand(2, 1, 64, 64)
    colour = torch.nn.Sequential(*list(source.children())[:-2])
    assert torch.allclose(body.eval()(grey), colour.eval()(grey.expand(-1, 3, -1, -1)), atol=1e-4)


@pytest.mark.slow
def test_from_scratch_means_from_scratch_whatever_was_trained_before(buzz_corpus, data, monkeypatch, tmp_path):
    torch.manual_seed(0)
    monkeypatch.delenv("RESNET34_WEIGHTS")
    downloaded = resnet34().state_dict()
    epoch = {"stage": 0, "epoch": 0, "error_rate": 0.5, "f1_score": 0.5, "seconds": 1}
    monkeypatch.setattr(training, "train", lambda *_, **__: [epoch])  # how it trains does not matter here
    monkeypatch.setattr(training, "imagenet_state", lambda: None if os.environ.get("RESNET34_WEIGHTS") else downloaded)
    recipe = replace(RESNET34, epochs=1)
    assert train_model(buzz_corpus, *data, recipe, name="one")[1]["imagenet_weights"]
    gc.collect()
    monkeypatch.setenv("RESNET34_WEIGHTS", "none")
    assert not train_model(buzz_corpus, *data, recipe, name="one")[1]["imagenet_weights"]


@pytest.mark.slow
def test_weights_that_are_no_resnet34_are_refused_in_one_line(buzz_corpus, data, monkeypatch, tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    monkeypatch.setenv("RESNET34_WEIGHTS", str(tmp_path / "x.safetensors"))
    with pytest.raises(ModelError, match="do not fit ResNet-34") as error:
        train_model(buzz_corpus, *data, RESNET34, name="one")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_model_whose_files_are_damaged_is_trained_again(buzz_corpus, data, suffix, capsys):
    train_model(buzz_corpus, *data, RECIPE, name="one")
    path = training.model_path(buzz_corpus, "one")
    whole, file = digest(path.read_bytes()), path.with_suffix(suffix)
    file.write_bytes(file.read_bytes()[:300])
    train_model(buzz_corpus, *data, RECIPE, name="one")
    assert digest(path.read_bytes()) == whole and "From the cache" not in capsys.readouterr().out


def test_small_corpora_get_as_many_epochs_as_it_takes_within_limits():
    few, some, more, many = (recipes.default_recipe(n_images) for n_images in (100, 1_000, 8_000, 30_000))
    assert few.epochs == recipes.MOST_EPOCHS and more.epochs == recipes.FEWEST_EPOCHS
    assert some.epochs * 800 / some.batch_size == pytest.approx(recipes.LEAST_STEPS, rel=0.1)
    assert few.batch_size == 20 and some.batch_size == recipes.STEP, "an epoch has four batches at least"
    assert not many.speaker_weight and recipes.auxiliary_recipe(30_000).speaker_weight
    assert recipes.study_recipe(seed=1) == Recipe(image_size=(224, 224), epochs=1, max_shift=0.0, seed=1)


def test_runs_of_one_recipe_are_a_table_by_seed():
    def card(seed, **changes):
        return {
            "recipe": {"epochs": 6, "seed": seed} | changes,
            "history": [{"error_rate": 0.5, "f1_score": 0.1}, {"error_rate": seed / 100, "f1_score": 0.9}],
            "split": {"train": 80, "valid": 20},
            "seconds": 90,
        }

    found = training.runs_table([card(2), card(1), card(3, epochs=9)], like=card(7))
    assert found.index.tolist() == [1, 2] and found["error rate"].tolist() == [0.01, 0.02]
    assert found.loc[1].to_dict() == {"error rate": 0.01, "F1": 0.9, "images": 20, "minutes": 1.5}


def test_to_skip_the_padding_of_maps_of_one_row_changes_no_result():
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 4, 3, 2, padding=1)
    )
    quick = copy.deepcopy(plain)
    skip_padding(quick)
    images = torch.randn(5, 3, 2, 9)  # of which the pooling leaves one row
    for network in (plain, quick):
        network(images).square().sum().backward()
    assert same(plain.state_dict(), quick.state_dict())
    torch.testing.assert_close(quick(images), plain(images))
    for one, other in zip(plain.parameters(), quick.parameters()):
        torch.testing.assert_close(other.grad, one.grad)


@pytest.mark.slow
def test_notebook_03s_fastai_calls_train_the_same_network_as_the_library(buzz_corpus, data):
    images, table, split = data
    recipe = replace(RESNET34, epochs=1, seed=1)
    cells = [cell.source for cell in nbformat.read(ROOT / "nbs/03_train_model.ipynb", as_version=4).cells]
    wanted = ["pixels =", "mfcs = DataBlock(", "dls = mfcs.dataloaders(", "learn = vision_learner("]
    visible = [next(cell for cell in cells if start in cell) for start in wanted]
    visible[2] = visible[2].splitlines()[0]  # without the picture of a batch
    names = {"images": images, "table": table, "split": split, "recipe": recipe, "corpus": buzz_corpus}
    prelude = "from fastai.vision.all import *\nfrom speaker_gender.learning.dataset import TimeShift, grey_stats\n"
    prelude += "from speaker_gender.learning.learners import SeedEpochs, SkipPadding\n"
    exec(prelude + "\n".join(visible), names)  # noqa: S102  the project's own notebook
    learn = names["learn"]
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(recipe.epochs, recipe.learning_rate)
    trained, _ = train_model(buzz_corpus, *data, recipe, name="library")
    assert same(learn.model.state_dict(), trained.model.state_dict())


def test_weights_that_cannot_be_downloaded_are_one_line_without_paths(monkeypatch, capsys):
    def offline(**_options):
        print("Downloading to /some/folder/of/this/machine")
        raise imagenet.URLError("no network")

    monkeypatch.delenv("RESNET34_WEIGHTS")
    monkeypatch.delenv("SMOKE", raising=False)
    monkeypatch.setattr(imagenet.ResNet34_Weights.IMAGENET1K_V1, "get_state_dict", offline, raising=False)
    assert training.imagenet_state() is None
    told = capsys.readouterr()
    assert told.out.count("\n") <= 2 and "training from scratch" in told.out and not told.err
    assert "/some/folder" not in told.out
