"""View `harmonic`: what a physicist expects of a spectrogram, and of an image of it."""

import numpy as np
import pytest

from speaker_gender.config import RECORDING_SAMPLES, SAMPLE_RATE
from speaker_gender.images import harmonic
from speaker_gender.images.views import VIEWS


def tone(frequency, *, sample_rate=SAMPLE_RATE, samples=RECORDING_SAMPLES):
    return 3_000 * np.sin(2 * np.pi * frequency * np.arange(samples) / sample_rate)


def test_an_image_is_112_bands_by_30_frames_of_grey_levels():
    image = harmonic.harmonic_image(tone(200), front=0)
    assert image.shape == (112, 30) == VIEWS["harmonic"].fold_size and image.dtype == np.uint8
    assert image.max() == 255


@pytest.mark.parametrize("frequency", [100, 150, 210, 440, 1_000, 3_000])
def test_a_tone_is_brightest_in_its_own_band(frequency):
    image = harmonic.harmonic_image(tone(frequency), front=0)
    brightest = harmonic.band_frequencies()[::-1][image.sum(axis=1).argmax()]
    assert abs(np.log2(brightest / frequency)) < 1 / 12, "within a semitone"


def test_harmonics_of_a_voice_are_separate_lines():
    voice = sum(tone(120 * order) for order in range(1, 8))
    levels = harmonic.harmonic_image(voice, front=0)[::-1, 15].astype(int)
    bands = [int(np.abs(harmonic.band_frequencies() - frequency).argmin()) for frequency in (120, 180, 240, 300, 360)]
    on, between = levels[bands[::2]], levels[bands[1::2]]
    assert (on.min() - between.max()) > 255 * 20 / harmonic.DYNAMIC_RANGE, "20 dB between a harmonic and the gap"


def test_an_octave_is_as_many_bands_everywhere():
    rows = [harmonic.harmonic_image(tone(f0), front=0)[:, 15].argmax() for f0 in (110, 220, 440, 880, 1_760)]
    np.testing.assert_allclose(-np.diff(rows), 111 / np.log2(7_600 / 60), atol=1)


def test_the_scale_of_the_signal_does_not_matter():
    voice = tone(120) + tone(240) + np.random.default_rng(0).normal(0, 20, RECORDING_SAMPLES)
    np.testing.assert_array_equal(
        harmonic.harmonic_image(voice, front=0), harmonic.harmonic_image(voice / 4_096, front=0)
    )


def test_silence_stays_black_and_padding_too():
    assert not harmonic.harmonic_image(np.zeros(1_000), front=500).any()
    padded = harmonic.harmonic_image(tone(200, samples=12_000), front=24_000)
    assert not padded[:, :10].any() and padded[:, 17].any()


def test_a_line_that_ends_at_4_khz_blackens_what_lies_above_and_changes_nothing_below():
    voice, hiss = sum(tone(200 * k) / k for k in range(1, 15)), tone(6_000)
    narrow, wide = (harmonic.harmonic_image(signal, front=0) for signal in (voice, voice + hiss))
    below = harmonic.band_frequencies()[::-1] < 4_000
    np.testing.assert_array_equal(narrow[below], wide[below])
    assert narrow[~below].max() == 0 < wide[~below].max()


def test_a_recording_at_16_khz_looks_like_one_at_48_khz():
    signal = sum(tone(180 * k, sample_rate=16_000, samples=15_999) / k for k in range(1, 10))
    direct = harmonic.to_image(harmonic.band_powers(signal)).astype(int)
    through_48 = harmonic.harmonic_image(sum(tone(180 * k) / k for k in range(1, 10)), front=0).astype(int)
    assert np.abs(direct - through_48)[:, 1:-1].mean() < 2


def test_band_powers_are_sums_over_the_long_spectrum():
    signal = np.random.default_rng(0).normal(0, 1_000, 15_999) + tone(150, sample_rate=16_000, samples=15_999)
    frames = [signal[start : start + 1_024] * np.hanning(1_025)[:-1] for start in range(0, 14_976, 512)]
    powers = [np.abs(np.fft.rfft(frame, harmonic.N_FFT)) ** 2 @ harmonic.band_weights() for frame in frames]
    np.testing.assert_allclose(harmonic.band_powers(signal), np.transpose(powers), rtol=1e-9)
