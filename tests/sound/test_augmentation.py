"""Augmentation changes what says nothing about gender, by the amounts it names, and repeats itself."""

import librosa
import numpy as np
import pytest
from scipy.signal import lfilter

from speaker_gender.config import WORKING_RATE, WORKING_SAMPLES
from speaker_gender.sound import augmentation
from speaker_gender.sound.pitch import pitch_track


def vowel(pitch=128, formants=(700, 1_200, 2_600), seconds=0.6):
    """Pulses at `pitch` Hz through three resonances: a vowel at 16 kHz."""
    signal = np.zeros(int(seconds * WORKING_RATE))
    signal[:: round(WORKING_RATE / pitch)] = 1
    for formant in formants:
        radius, angle = np.exp(-np.pi * 90 / WORKING_RATE), 2 * np.pi * formant / WORKING_RATE
        signal = lfilter([1], [1, -2 * radius * np.cos(angle), radius**2], signal)
    return 1_000 * signal / np.abs(signal).max()


def pitch_of(signal):
    return np.median(librosa.yin(signal, fmin=80, fmax=400, sr=WORKING_RATE, frame_length=1_024)[5:-5])


def formant_ratio(signal, reference):
    """By how much the reference's smooth spectrum must be stretched to be most like the signal's."""
    frequency = np.linspace(300, 5_000, 500)
    bins = np.fft.rfftfreq(augmentation.ENVELOPE_WINDOW, 1 / WORKING_RATE)
    wanted, own = (augmentation._envelope(augmentation._spectra(sound)).mean(axis=0) for sound in (signal, reference))
    ratios = np.linspace(0.75, 1.35, 121)
    likeness = [
        np.corrcoef(np.interp(frequency / ratio, bins, own), np.interp(frequency, bins, wanted))[0, 1]
        for ratio in ratios
    ]
    return ratios[int(np.argmax(likeness))]


@pytest.mark.parametrize("semitones", [-5, 3, 6])
def test_the_pitch_moves_and_the_formants_stay(semitones):
    factor = 2 ** (semitones / 12)
    moved = augmentation.revoice(vowel(), pitch=factor, formants=1.0)
    assert pitch_of(moved) == pytest.approx(128 * factor, rel=0.03)
    assert formant_ratio(moved, vowel()) == pytest.approx(1, abs=0.06)


def test_the_formants_move_and_the_pitch_stays():
    moved = augmentation.revoice(vowel(), pitch=1.0, formants=1.15)
    assert pitch_of(moved) == pytest.approx(128, rel=0.02)
    assert formant_ratio(moved, vowel()) == pytest.approx(1.15, abs=0.06)


def test_a_whisper_has_no_pitch_and_the_same_formants():
    whisper = augmentation.whispered(vowel(), np.random.default_rng(0))
    of_whisper, of_vowel = pitch_track(whisper), pitch_track(vowel())
    assert np.mean(np.isnan(of_whisper)) > 0.8 > 0.3 > np.mean(np.isnan(of_vowel))
    assert formant_ratio(whisper, vowel()) == pytest.approx(1, abs=0.06)
    assert augmentation.rms(whisper) == pytest.approx(augmentation.rms(vowel()), rel=0.7)


def test_an_augmented_second_is_one_second_and_the_same_for_the_same_seed():
    first, again, other = (augmentation.augment(vowel(), vowel(200), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == (WORKING_SAMPLES,) and np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("speech", [np.zeros(4_800), np.full(4_800, 7.0), vowel(seconds=2.0), vowel()[:160]])
def test_odd_speech_does_no_harm(speech):
    for seed in range(20):
        assert np.isfinite(augmentation.augment(speech, speech, np.random.default_rng(seed))).all()


def test_noise_has_rms_one_and_no_two_are_alike():
    rng = np.random.default_rng(0)
    one, other = augmentation.noise(8_000, rng), augmentation.noise(8_000, rng)
    assert augmentation.rms(one) == pytest.approx(1) and not np.allclose(one, other)


def test_mu_law_is_nearly_the_signal():
    coded = augmentation.through_mu_law(vowel())
    assert 0 < augmentation.rms(coded - vowel()) < 0.05 * augmentation.rms(vowel())


def test_what_is_left_out_is_left_as_it_was(monkeypatch):
    speech, other = vowel(seconds=0.5), np.random.default_rng(0).normal(size=16_000)
    bare = [augmentation.augment(speech, other, np.random.default_rng(n), without="surroundings") for n in range(20)]
    longest = len(speech) * 2 ** (-augmentation.RAISED[0] / 12) + 2  # where the pitch goes down, the voice gets longer
    assert all(len(np.trim_zeros(signal)) <= longest for signal in bare), "nothing around the voice"
    pitches = [pitch_of(np.trim_zeros(signal)) for signal in bare]
    lowest, highest = (128 * 2 ** (semitones / 12) for semitones in augmentation.RAISED)
    assert 0.97 * lowest < min(pitches) < 128 < 1.2 * 128 < max(pitches) < 1.03 * highest, "but another pitch"
    monkeypatch.setattr(
        augmentation, "revoice", lambda speech, *, pitch, formants: (pitch, formants) == (1, 1) and speech
    )
    assert len(augmentation.augment(speech, other, np.random.default_rng(0), without="pitch shift")) == WORKING_SAMPLES


def test_a_narrow_line_carries_nothing_above_its_end_and_all_below():
    signal = np.random.default_rng(0).normal(size=16_000)
    before, after = (np.abs(np.fft.rfft(sound)) for sound in (signal, augmentation.narrowed(signal, end=4_000)))
    np.testing.assert_allclose(after[:4_001], before[:4_001])
    assert after[4_001:].max() < 1e-9
