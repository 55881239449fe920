"""Unseen speakers: nobody is in two parts, every speaker is tested once, and the leak is measured, not assumed."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.judging.comparisons import cost_of_leakage, describe, fold_accuracies, paired_difference, pooled
from speaker_gender.learning import folds
from speaker_gender.learning.dataset import available_images
from speaker_gender.learning.folds import SMALL, VARIANTS, divide, fold_predictions, fold_recipe
from speaker_gender.learning.splits import split_by_speaker
from speaker_gender.learning.training import train_model


@pytest.fixture
def small_corpus(buzz_corpus, monkeypatch):
    """The buzzing voices with their images in both views, in folds of one epoch that leave one speaker out."""
    monkeypatch.setenv("SMOKE", "1")
    monkeypatch.setenv("RESNET34_WEIGHTS", "none")
    generate_images(buzz_corpus, load_recordings(buzz_corpus))

    def one_speaker_out(_corpus, table, _division):
        keys = ["01", "02", "03", "04"]
        folds = []
        for index, key in enumerate(keys):
            valid, *train = [*keys[index + 1 :], *keys[:index]]
            folds.append(split_by_speaker(table["speaker"], train=set(train), valid={valid}, test={key}))
        return folds

    monkeypatch.setattr(folds, "divide", one_speaker_out)
    return buzz_corpus


@pytest.fixture
def small_networks(monkeypatch):
    """Networks of a hundredth of the weights: what is trained, kept and used again does not depend on their size."""
    monkeypatch.setattr(folds, "fold_recipe", partial(fold_recipe, **SMALL))


def many_speakers():
    """20 speakers, half of them female, with 30 images each."""
    speakers = np.repeat([f"{number:02}" for number in range(20)], 30)
    return pd.DataFrame({"speaker": speakers, "gender": np.where(np.arange(600) % 60 < 30, "female", "male")})


def test_the_harmonic_view_is_generated_by_the_same_code_beside_the_other(small_corpus):
    seen = small_corpus.seen_as("harmonic")
    assert generate_images(seen, load_recordings(seen))["made"] == 24
    names = {path.name for path in seen.images.glob("*.jpg")}
    assert names == {path.name for path in small_corpus.images.glob("*.jpg")} and seen.images != small_corpus.images
    assert len(available_images(small_corpus, load_maps(small_corpus))) == 24, "the other view's folder is no image"


def test_the_default_folds_test_every_image_once_and_share_no_speaker():
    table = many_speakers()
    folds = divide(Corpus("some", None), table, "grouped")
    assert len(folds) == 5
    assert sum((fold == "test").astype(int) for fold in folds).eq(1).all()
    for fold in folds:
        speakers = [set(table["speaker"][fold == part]) for part in ("train", "valid", "test")]
        assert not (speakers[0] & speakers[1] | speakers[0] & speakers[2] | speakers[1] & speakers[2])


def test_the_random_division_has_the_grouped_sizes_and_all_speakers_in_training():
    table, corpus = many_speakers(), Corpus("some", None)
    (random,), grouped = divide(corpus, table, "random"), divide(corpus, table, "grouped")
    assert random.value_counts().to_dict() == grouped[0].value_counts().to_dict()
    assert table["speaker"][random == "train"].nunique() == 20 > table["speaker"][grouped[0] == "train"].nunique()


def test_predictions_come_from_every_fold_and_then_from_the_cache(small_corpus, small_networks, capsys, monkeypatch):
    found = fold_predictions(small_corpus, "grouped")
    assert sorted(found["fold"].unique()) == [1, 2, 3, 4] and len(found) == 24
    assert found["p_female"].between(0, 1).all() and found["image"].is_unique
    models = sorted(path.name for path in (small_corpus.results / "models").glob("*"))
    assert models == ["mfc_grouped_fold1.json", "mfc_grouped_fold1.safetensors"], "the others are not kept"
    monkeypatch.setattr(folds, "train_model", None)  # would fail if it were called
    pd.testing.assert_frame_equal(found, fold_predictions(small_corpus, "grouped"))
    assert "From the cache" in capsys.readouterr().out


def test_fewer_speakers_make_fewer_folds_and_too_few_none():
    table = many_speakers()
    genders = table.groupby("gender")["speaker"].unique()
    few = table[table["speaker"].isin([*genders["female"][:3], *genders["male"]])]
    assert len(divide(Corpus("some", None), few, "grouped")) == 3
    fewer = table[table["speaker"].isin([*genders["female"][:2], *genders["male"]])]
    with pytest.raises(ValueError, match="at least three folds, and as many speakers of each gender"):
        divide(Corpus("some", None), fewer, "grouped")


def test_the_first_network_is_trained_where_only_the_answers_are_there(small_corpus, small_networks, capsys):
    found = fold_predictions(small_corpus, "grouped")
    key = folds.first_network_key(small_corpus, "grouped")
    kept, _ = folds.first_network(small_corpus, "grouped")
    assert "From the cache: mfc_grouped_fold1.safetensors" in capsys.readouterr().out
    for path in (small_corpus.results / "models").glob("*"):
        path.unlink()
    pd.testing.assert_frame_equal(found, fold_predictions(small_corpus, "grouped"))
    again, _ = folds.first_network(small_corpus, "grouped")
    assert all((one == other).all() for one, other in zip(kept.state_dict().values(), again.state_dict().values()))
    assert folds.first_network_key(small_corpus, "grouped") == key


def predictions(accuracy: dict[str, float], n=50):
    """n images of each speaker, of which a share is told rightly; speakers F… are female."""
    rows = []
    for speaker, share in accuracy.items():
        gender = "female" if speaker.startswith("F") else "male"
        right = np.arange(n) < round(share * n)
        p_right = np.where(right, 0.9, 0.1)
        p_female = p_right if gender == "female" else 1 - p_right
        rows.append(pd.DataFrame({"speaker": speaker, "gender": gender, "p_female": p_female, "fold": 1, "digit": 0}))
    return pd.concat(rows, ignore_index=True)


def test_the_cost_of_leakage_is_the_fall_in_balanced_accuracy():
    heard = predictions({"F1": 1.0, "F2": 1.0, "M1": 1.0, "M2": 1.0, "M3": 1.0})
    unheard = predictions({"F1": 0.6, "F2": 0.4, "M1": 0.8, "M2": 0.8, "M3": 0.8})
    cost = cost_of_leakage(heard, unheard)
    assert cost["seen"] == 1 and cost["unseen"] == pytest.approx(0.65) and cost["speakers"] == 5
    assert cost["difference"] == pytest.approx(0.35)
    low, high = cost["interval"]
    assert 0.29 < low < 0.35 < high < 0.41, "it moves with the speakers drawn"


def test_no_leak_costs_nothing():
    same = predictions({"F1": 0.9, "F2": 0.7, "M1": 0.8})
    cost = cost_of_leakage(same, same)
    assert cost["difference"] == 0 and cost["interval"] == [0, 0]


def test_descriptions_carry_speakers_scores_and_intervals():
    found = describe(predictions({"F1": 1.0, "F2": 0.5, "M1": 1.0, "M2": 1.0}))
    assert found["speakers"] == 4 and found["images"] == 200
    assert found["scores"]["balanced_accuracy"] == pytest.approx(0.875)
    low, high = found["intervals"]["balanced_accuracy"]
    assert low == pytest.approx(0.75) and high == 1


def test_accuracy_of_each_fold():
    table = predictions({"F1": 1.0, "M1": 0.5}).assign(fold=[1] * 50 + [2] * 50)
    assert fold_accuracies(table).to_dict() == {1: 1.0, 2: 0.5}


def test_the_papers_folds_are_of_its_own_speakers_only(small_corpus):
    with pytest.raises(ValueError, match="AudioMNIST's speakers only"):
        divide(small_corpus, pd.DataFrame({"speaker": ["01"], "gender": ["male"]}), "paper")


def test_a_paired_difference_is_between_the_same_speakers():
    table = pd.DataFrame({"speaker": [f"{n:02}" for n in range(8)], "gender": ["female", "male"] * 4})
    right = table.assign(p_female=(table["gender"] == "female").astype(float))
    wrong = right.assign(p_female=1 - right["p_female"])
    found = paired_difference(right, wrong)
    assert found["difference"] == 1 and found["interval"] == [1, 1] and found["speakers"] == 8
    assert paired_difference(right, right)["difference"] == 0


def test_pooled_answers_weigh_every_network_alike():
    unsure, sure = (pd.DataFrame({"image": ["a", "b"], "p_female": p}) for p in ([0.4, 0.6], [0.99, 0.01]))
    found = pooled([unsure, sure])
    assert found["image"].tolist() == ["a", "b"]
    assert found["p_female"].tolist() == pytest.approx([1 / (1 + (1.5 / 99) ** 0.5), 1 / (1 + (99 / 1.5) ** 0.5)])


@pytest.mark.parametrize(
    "variant", [pytest.param(name, marks=[] if name == "small_mixup" else pytest.mark.slow) for name in VARIANTS]
)
def test_every_variant_is_a_recipe_that_can_be_trained(small_corpus, variant):
    title, changes = VARIANTS[variant]
    table = available_images(small_corpus, load_maps(small_corpus))
    recipe = fold_recipe(small_corpus, 12, **changes)
    images = np.random.default_rng(0).integers(0, 256, (len(table), *recipe.image_size), np.uint8)
    fold = folds.divide(small_corpus, table, "")[0]
    learn, _ = train_model(small_corpus, images, table, fold, recipe, name=variant)
    assert np.isfinite(learn.validate()[0]) and title
