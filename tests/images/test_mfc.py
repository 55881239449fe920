"""View `mfc`: the study's images, step by step, and to the byte where the reference recordings are there."""

import csv
import io

import librosa
import numpy as np
import pytest
from PIL import Image
from skimage.transform import resize

from speaker_gender.config import RECORDING_SAMPLES, ROOT
from speaker_gender.images import mfc
from speaker_gender.images.views import encode_jpeg
from speaker_gender.sound.reading import read_signal

REFERENCE = ROOT.parent / "shared" / "data" / "audiomnist_recordings.csv"
WAVS = ROOT.parent / "AudioMNIST" / "data"
PUBLISHED = ROOT.parent / "audiomnist_mfc"


def voice_like(seed=0, samples=30_000):
    """A buzz of 120 Hz in noise, int16 values as float64."""
    time = np.arange(samples) / 48_000
    harmonics = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 30))
    return np.round(2_000 * harmonics + np.random.default_rng(seed).normal(0, 20, samples))


def test_a_recording_becomes_12_coefficients_by_98_frames_and_a_square_grey_image():
    padded = mfc.pad(voice_like(), front=5_000)
    assert padded.shape == (RECORDING_SAMPLES,)
    coefficients = mfc.mfcc(mfc.pre_emphasise(padded))
    assert coefficients.shape == (mfc.N_MFCC, mfc.N_FRAMES) == (12, 98)
    image = mfc.to_image(coefficients)
    assert image.shape == (224, 224, 3) and image.dtype == np.uint8
    assert (image[..., 0] == image[..., 1]).all() and (image[..., 0] == image[..., 2]).all()


def test_padding_puts_zeros_in_front_and_behind_and_keeps_the_samples():
    signal = voice_like()
    padded = mfc.pad(signal, front=1_234)
    assert (padded[1_234 : 1_234 + len(signal)] == signal).all()
    assert not padded[:1_234].any() and not padded[1_234 + len(signal) :].any()


def test_a_longer_recording_is_cut_to_where_its_energy_is():
    signal = np.concatenate([np.zeros(60_000), voice_like(), np.zeros(60_000)])
    cut = mfc.pad(signal, front=0)
    assert len(cut) == RECORDING_SAMPLES
    assert np.square(cut).sum() == pytest.approx(np.square(signal).sum())


def test_padding_is_drawn_from_the_studys_generator_and_not_where_nothing_is_missing():
    lengths = [30_000, RECORDING_SAMPLES, 20_000]
    drawn = mfc.draw_front_padding(lengths, seed=1)
    generator = np.random.RandomState(1)
    assert drawn == [generator.randint(17_998), 0, generator.randint(27_998)]


def test_pre_emphasis_keeps_the_first_sample():
    assert mfc.pre_emphasise(np.array([100.0, 100.0, 0.0])) == pytest.approx([100, 3, -97])


def test_silence_is_a_flat_image():
    image = mfc.mfc_image(np.zeros(30_000), front=10)
    assert len(np.unique(image[..., 0], axis=1)[0]) == 1


def test_the_scale_of_the_samples_moves_coefficient_0_only():
    padded = mfc.pad(voice_like(samples=RECORDING_SAMPLES), front=0)
    loud, quiet = mfc.mfcc(padded), mfc.mfcc(padded / 32_768)
    assert np.allclose(loud[1:], quiet[1:], atol=1e-3)
    lift = 1 + mfc.LIFTER / 2 * np.sin(np.pi / mfc.LIFTER)
    assert np.allclose(loud[0] - quiet[0], 20 * np.log10(32_768) * np.sqrt(mfc.N_MELS) * lift, atol=1e-2)


def test_pixels_are_the_coefficients_clipped_to_grey_levels():
    image = mfc.to_image(np.full((12, 98), -5.0))
    assert (image == 0).all()
    assert (mfc.to_image(np.full((12, 98), 300.0)) == 255).all()
    assert (mfc.to_image(np.full((12, 98), 41.6)) == 42).all()


def reference_mfcc(signal):
    return librosa.feature.mfcc(
        y=signal,
        sr=48_000,
        n_mfcc=12,
        dct_type=2,
        norm="ortho",
        lifter=22,
        n_fft=1_200,
        hop_length=480,
        window="hann",
        center=False,
        power=2.0,
        n_mels=40,
    )


def reference_image(coefficients):
    enlarged = resize(np.repeat(coefficients[:, :, np.newaxis], 3, axis=2), (224, 224, 3))
    return (np.clip(enlarged, 0, 255) + 0.5).astype(np.uint8)


@pytest.mark.parametrize(
    "signal",
    [
        voice_like(),
        voice_like(1, 47_998),
        voice_like(2, 14_073) / 100,
        np.zeros(30_000),
        np.full(20_000, 32_767.0),
        np.concatenate([voice_like(3, 14_073), np.zeros(9_000), voice_like(4, 14_073)]),
    ],
    ids=["voice", "as long as can be", "short and quiet", "silence", "offset", "silence within"],
)
def test_coefficients_and_pixels_are_those_of_librosa_and_skimage(signal):
    padded = mfc.pre_emphasise(mfc.pad(signal, front=0))
    expected = reference_mfcc(padded)
    assert mfc.mfcc(padded) == pytest.approx(expected, abs=1e-9)
    assert (mfc.to_image(mfc.mfcc(padded)) == reference_image(expected)).all()


def test_the_same_recording_gives_the_same_bytes():
    first, second = (encode_jpeg(mfc.mfc_image(voice_like(), front=77), quality=75) for _ in range(2))
    assert first == second and first[:2] == b"\xff\xd8"


@pytest.mark.skipif(not (REFERENCE.exists() and WAVS.is_dir()), reason="reference recordings are not there")
def test_reference_padding_is_the_published_one():
    with REFERENCE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for gender, seed in (("male", 1), ("female", 2)):
        own = [row for row in rows if row["mfc_jpeg"].startswith(gender)]
        own.sort(key=lambda row: int(row["mfc_jpeg"].removeprefix(f"{gender}_").removesuffix(".jpg")))
        drawn = mfc.draw_front_padding([int(row["samples"]) for row in own], seed=seed)
        assert drawn == [int(row["pad_front"]) for row in own]


@pytest.mark.slow
@pytest.mark.skipif(
    not (REFERENCE.exists() and WAVS.is_dir() and PUBLISHED.is_dir()), reason="reference images are not there"
)
def test_reference_recordings_give_the_published_images():
    with REFERENCE.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if (WAVS / row["wav"]).exists()]
    assert len(rows) >= 1_010
    differences = []
    for row in rows:
        made = encode_jpeg(mfc.mfc_image(read_signal(WAVS / row["wav"]), front=int(row["pad_front"])), quality=75)
        pixels = np.asarray(Image.open(io.BytesIO(made)).convert("L"), dtype=int)
        with Image.open(PUBLISHED / row["mfc_jpeg"]) as published:
            differences.append(np.abs(pixels - np.asarray(published.convert("L"), dtype=int)).max())
    assert max(differences) <= 5
    assert sum(difference == 0 for difference in differences) >= 915
