"""Baselines: pitch is measured in Hz, statistics leave the padding out, and pitch alone tells buzzing voices apart."""

import numpy as np
import pandas as pd
import pytest

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.pitches import median_pitch
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.judging import baselines
from speaker_gender.judging.baselines import baseline_predictions, mfcc_statistics
from speaker_gender.judging.evaluation import scores
from speaker_gender.learning.dataset import available_images, load_images
from speaker_gender.learning.splits import split_by_speaker


@pytest.fixture
def table(buzz_corpus):
    generate_images(buzz_corpus, load_recordings(buzz_corpus))
    return available_images(buzz_corpus, load_maps(buzz_corpus))


def test_the_median_pitch_is_that_of_the_voice_and_missing_without_a_wav(buzz_corpus, table):
    (buzz_corpus.folder / table["path"][0]).unlink()
    pitch = median_pitch(buzz_corpus, table["path"])
    assert np.isnan(pitch[0]) and pitch[1:].notna().all()
    expected = table["gender"].map({"female": 210, "male": 120})
    np.testing.assert_allclose(pitch[1:], expected[1:], rtol=0.08)


def test_every_baseline_answers_for_every_test_image_and_pitch_is_always_right(buzz_corpus, table):
    folds = [
        split_by_speaker(table["speaker"], train={"01", "02"}, valid=set(), test={"03", "04"}),
        split_by_speaker(table["speaker"], train={"03", "04"}, valid=set(), test={"01", "02"}),
    ]
    found = baseline_predictions(buzz_corpus, table, folds)
    assert list(found)[-2:] == [baselines.LENGTH, baselines.F0] and len(found) == 5
    for predictions in found.values():
        assert len(predictions) == 24 and predictions["p_female"].between(0, 1).all()
        assert sorted(predictions["recording"]) == sorted(table["path"])
    assert scores(found[baselines.F0])["balanced_accuracy"] == 1
    assert scores(found["majority class"])["balanced_accuracy"] == scores(found["majority class"])["auc"] == 0.5


def test_pitch_is_told_from_images_as_far_as_it_is_in_them(buzz_corpus, table, monkeypatch):
    told = baselines.pitch_in_images(buzz_corpus, table)
    assert told.keys() == {"all", "female", "male"}
    monkeypatch.setattr(
        baselines,
        "mfcc_statistics",
        lambda images: np.log2(median_pitch(buzz_corpus, table["path"]).to_numpy())[:, None],
    )
    assert baselines.pitch_in_images(buzz_corpus, table)["all"] > 0.99
    noise = np.random.default_rng(0).normal(size=(24, 24))
    monkeypatch.setattr(baselines, "mfcc_statistics", lambda images: noise)
    assert baselines.pitch_in_images(buzz_corpus, table)["all"] < 0.3


def test_statistics_do_not_depend_on_the_padding():
    sound = np.random.default_rng(0).integers(1, 255, (1, 12, 60), dtype=np.uint8)
    front, behind = (np.pad(sound, ((0, 0), (0, 0), padding)) for padding in ((30, 8), (0, 38)))
    np.testing.assert_allclose(mfcc_statistics(front), mfcc_statistics(behind), rtol=1e-6)
    np.testing.assert_allclose(mfcc_statistics(front)[0, :12], sound[0].mean(axis=1), rtol=1e-5)
    assert mfcc_statistics(front).shape == (1, 24)
    assert np.isfinite(mfcc_statistics(np.zeros((1, 12, 98), np.uint8))).all()
    assert pd.Series(mfcc_statistics(front)[0]).notna().all()


def test_where_no_pitch_is_found_the_threshold_on_it_refuses(buzz_corpus, table, monkeypatch):
    pitch = table["gender"].map({"female": 210.0, "male": 120.0})
    pitch[[0, 5]] = np.nan
    monkeypatch.setattr(baselines, "median_pitch", lambda corpus, paths: pitch)
    fold = split_by_speaker(table["speaker"], train={"01", "02"}, valid=set(), test={"03", "04"})
    found = baseline_predictions(buzz_corpus, table, [fold])[baselines.F0].set_index("image")["p_female"]
    refused = set(table["image"][[0, 5]]) & set(table["image"][fold == "test"])
    assert set(found.index[found.isna()]) == refused


def test_the_length_that_an_image_shows_is_that_of_its_recording(buzz_corpus, table):
    images = load_images(buzz_corpus, table, size=(12, 98))
    seconds = baselines.lengths(buzz_corpus, table, images)
    spoken = np.array([0.4, 0.5, 0.6])[table["digit"].astype(int)]
    np.testing.assert_allclose(seconds, spoken, rtol=1e-6)
    (buzz_corpus.folder / table["path"][0]).unlink()
    np.testing.assert_allclose(baselines.lengths(buzz_corpus, table, images), spoken, atol=0.05)


def test_length_alone_is_a_coin_where_genders_speak_as_long(buzz_corpus, table):
    fold = split_by_speaker(table["speaker"], train={"01", "02"}, valid=set(), test={"03", "04"})
    found = baseline_predictions(buzz_corpus, table, [fold])[baselines.LENGTH]
    assert scores(found)["auc"] == 0.5, "the same three lengths of each speaker: nothing but ties"


def test_a_black_image_has_no_frames_and_one_bright_frame_is_one():
    image = np.zeros((2, 12, 98), np.uint8)
    image[1, 3, 97] = 255
    assert baselines.sounding_frames(image).tolist() == [0, 1]
