"""The comparison of images: each form shows what it says, and each is trained once, on folds of speakers."""

import json

import numpy as np
import pytest

from speaker_gender.config import SAMPLE_RATE, WORKING_RATE
from speaker_gender.images import harmonic
from speaker_gender.sound.reading import read_signal
from studies import compare_views


def voice(pitch=200):
    """Harmonics of which the lowest is the strongest, in a little noise, on the int16 scale."""
    time = np.arange(round(0.8 * SAMPLE_RATE)) / SAMPLE_RATE
    harmonics = sum(np.sin(2 * np.pi * k * pitch * (1.1 * time - 0.125 * time**2)) / k for k in range(1, 20))
    noise = np.random.default_rng(1).normal(0, 1e-4, len(time))
    return 32_768 * (0.05 * harmonics * np.hanning(len(time)) + noise)


@pytest.mark.parametrize("name", compare_views.FORMS)
def test_a_form_is_grey_levels_in_channels_of_one_size_whatever_the_length(name):
    form = compare_views.FORMS[name][1]
    image, shorter = form(voice(), front=1_000), form(voice()[:20_000], front=0)
    assert image.dtype == np.uint8 and image.shape == shorter.shape
    assert len(image) == (2 if "two channels" in compare_views.FORMS[name][0] else 1)
    assert all(channel.max() > 100 for channel in image), "something is seen in every channel"


@pytest.mark.parametrize("name", ["harmonic", "mel", "linear", "mfc_unclipped", "harmonic_smoothed"])
def test_the_scale_of_the_signal_does_not_change_the_image(name):
    form = compare_views.FORMS[name][1]
    difference = form(voice(), front=500).astype(int) - form(voice() / 50, front=500)
    assert abs(difference).max() <= 1


def test_the_lowest_harmonic_is_where_the_bands_say():
    powers = compare_views.linear_form(voice(200), front=2_000)[0].astype(int)
    assert (
        powers[-1 - round(200 / WORKING_RATE * harmonic.WINDOW_LENGTH) :].max() > 180
    )  # less than 22 dB below the loudest
    mel = compare_views.mel_form(voice(200), front=2_000)[0].astype(int)
    assert mel[-15:].max() > 180, "the fifteen lowest bands end near 320 Hz"


def ripple(image):
    """How much the levels change from band to band up to 1 kHz, where the bands resolve harmonics."""
    levels = image[-64:].astype(float)  # about 16 bands an octave, from 60 Hz
    return np.abs(np.diff(levels, n=2, axis=0))[:, levels.max(axis=0) > 200].mean()


@pytest.mark.parametrize("pitch", [90, 180, 360])
def test_smoothed_harmonics_are_gone(pitch):
    smoothed = compare_views.without_pitch_form(voice(pitch), front=2_000)[0]
    with_lines = compare_views.harmonic_form(voice(pitch), front=2_000)[0]
    assert smoothed.shape == with_lines.shape and ripple(smoothed) < ripple(with_lines) / 4


def test_the_unclipped_mfc_is_the_envelope_that_the_coefficients_stand_for():
    image = compare_views.unclipped_mfc_form(voice(), front=1_000)[0]
    assert image.shape == (40, 98) and len(np.unique(image)) > 100
    spectrum = np.linalg.pinv(compare_views.mfc.lifted_dct())
    assert compare_views.mfc.lifted_dct() @ spectrum == pytest.approx(np.eye(12), abs=1e-9)


def test_the_second_channel_is_a_line_at_the_pitch():
    image, line = compare_views.with_pitch_form(voice(200), front=2_000)
    rows, frames = np.nonzero(line)
    assert len(frames) > 10 and len(set(frames)) == len(frames), "one height in each frame"
    pitches = harmonic.band_frequencies()[harmonic.N_BANDS - 1 - rows]
    assert np.median(pitches) == pytest.approx(200, rel=0.06)
    assert (image == harmonic.harmonic_image(voice(200), front=2_000)).all()


def two_folds(speakers, genders, *, n_folds):
    """The corpus has too few speakers for three parts: each pair of a woman and a man tests what the other taught."""
    pair = speakers.isin(["01", "02"]).map({True: "train", False: "test"})
    return [pair, pair.map({"train": "test", "test": "train"})]


@pytest.mark.slow
def test_each_form_is_trained_once_and_compared_on_all_speakers(buzz_corpus, monkeypatch, capsys):
    monkeypatch.setenv("CORPUS", str(buzz_corpus.folder))
    monkeypatch.setattr(compare_views, "FORMS", {name: compare_views.FORMS[name] for name in ("harmonic", "mfc")})
    monkeypatch.setattr(compare_views, "TRAINING", compare_views.TRAINING | {"epochs": 1, "batch_size": 4})
    monkeypatch.setattr(compare_views, "grouped_folds", two_folds)
    monkeypatch.setattr("joblib.cpu_count", lambda: 1)  # workers would import fastai first
    assert compare_views.main() == 0
    first = (buzz_corpus.results / "views.json").read_bytes()
    found = json.loads(first)["rows"]
    assert list(found) == ["harmonic", "mfc"]
    assert all(row["speakers"] == 4 and row["images"] == 24 for row in found.values())
    assert found["harmonic"]["gain"]["difference"] == 0
    capsys.readouterr()
    assert compare_views.main() == 0
    assert capsys.readouterr().out.count("From the cache") == 2
    assert (buzz_corpus.results / "views.json").read_bytes() == first


def test_a_corpus_with_too_few_speakers_is_told_in_one_line(buzz_corpus, monkeypatch, capsys):
    monkeypatch.setenv("CORPUS", str(buzz_corpus.folder))
    assert compare_views.main() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_recording_is_the_one_that_is_named(buzz_corpus):
    path = next(buzz_corpus.folder.glob("*/*.wav"))
    expected = compare_views.harmonic_form(read_signal(path), front=3)
    assert (compare_views._image_of("harmonic", (path, 3)) == expected).all()
