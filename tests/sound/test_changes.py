"""The changes that notebook 07 tries on a recording do what their names say."""

import numpy as np
import pytest

from speaker_gender.config import WORKING_RATE
from speaker_gender.sound.augmentation import rms
from speaker_gender.sound.changes import CHANGES, in_noise, pitch_shifted, played_at, through_telephone


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def tone(frequency):
    return 1_000 * np.sin(2 * np.pi * frequency * np.arange(WORKING_RATE) / WORKING_RATE)


def strongest(signal):
    return np.abs(np.fft.rfft(signal)).argmax() * WORKING_RATE / len(signal)


@pytest.mark.parametrize("name", CHANGES)
def test_each_returns_a_finite_signal_and_the_same_one_from_the_same_seed(name):
    signal = tone(200) + tone(400)
    first, again = (CHANGES[name](signal, np.random.default_rng(1)) for _ in range(2))
    assert np.isfinite(first).all() and np.array_equal(first, again)


def test_an_octave_up_doubles_the_frequency(rng):
    assert strongest(pitch_shifted(12)(tone(200), rng)) == pytest.approx(400, rel=0.02)
    assert strongest(played_at(1.5)(tone(200), rng)) == pytest.approx(300, rel=0.02)


def test_a_telephone_keeps_what_lies_in_its_band_only(rng):
    assert rms(through_telephone(tone(1_000), rng)) == pytest.approx(rms(tone(1_000)), rel=0.01)
    assert rms(through_telephone(tone(100), rng)) < 1 and rms(through_telephone(tone(5_000), rng)) < 1


def test_noise_has_the_level_that_is_asked_for(rng):
    added = in_noise(10)(tone(200), rng) - tone(200)
    assert 20 * np.log10(rms(tone(200)) / rms(added)) == pytest.approx(10, abs=0.01)
