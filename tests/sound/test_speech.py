"""Speech is found where somebody speaks, whatever the level, the rate and the offset, and nowhere else."""

import numpy as np
import pytest
import soxr
from conftest import buzz

from speaker_gender.config import RECORDING_SAMPLES, ROOT
from speaker_gender.sound import speech
from speaker_gender.sound.reading import read_signal
from speaker_gender.sound.speech import (
    find_speech,
    is_clipped,
    speech_probability,
    speech_stretches,
    speech_windows,
    why_not_speech,
)

RATE = 48_000
VOICES = sorted((ROOT / "nbs" / "my_wavs").glob("synthetic_*.wav"))
WORD = read_signal(VOICES[0])  # "seven", by eSpeak NG; 0.6 s
NINE = read_signal(VOICES[-1])
NINE *= 8_000 / np.abs(NINE).max()
WORD *= 8_000 / np.abs(WORD).max()


def recording(*words_at: float, seconds: float, noise: float = 3) -> np.ndarray:
    """`seconds` of faint noise, int16 scale, with the word from each of these times on."""
    signal = np.random.default_rng(0).normal(0, noise, round(seconds * RATE))
    for start in words_at:
        place = signal[round(start * RATE) :][: len(WORD)]
        place += WORD[: len(place)]
    return signal


def coloured(exponent: float, *, seconds: float = 3, seed: int = 0) -> np.ndarray:
    """Noise whose power falls with frequency ** exponent (0 white, 1 pink, 2 brown), RMS 1,000."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=round(seconds * RATE)))
    noise = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)) / seconds, 20) ** (exponent / 2))
    return 1_000 * noise / noise.std()


def hum(frequency: float, *, seconds: float = 3) -> np.ndarray:
    """A mains hum: the fundamental, and fainter harmonics, the odd ones first."""
    time, rng = np.arange(round(seconds * RATE)) / RATE, np.random.default_rng(0)
    heights = {1: 1_000, 2: 150, 3: 300, 4: 50, 5: 150, 7: 60, 9: 30}
    lines = [a * np.sin(2 * np.pi * k * frequency * time + rng.uniform(0, 6)) for k, a in heights.items()]
    return sum(lines) + rng.normal(0, 20, len(time))


def clicks(*, seconds: float = 3) -> np.ndarray:
    signal = np.random.default_rng(0).normal(0, 3, round(seconds * RATE))
    signal[:: RATE // 3] += 20_000
    return signal


def drum(*, seconds: float = 1) -> np.ndarray:
    """A kick drum: a sine that falls from 150 to 50 Hz and dies away."""
    time = np.arange(round(seconds * RATE)) / RATE
    return 10_000 * np.exp(-8 * time) * np.sin(2 * np.pi * np.cumsum(50 + 100 * np.exp(-20 * time)) / RATE)


def cymbal(*, seconds: float = 1) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return np.diff(coloured(0, seconds=seconds), prepend=0) * np.exp(-4 * time)


def bell(*, seconds: float = 2) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    partials = (1, 2.76, 5.4, 8.93)  # of a bar that swings freely
    return sum(3_000 / k * np.exp(-k * time) * np.sin(2 * np.pi * 440 * k * time) for k in partials)


def siren(*, seconds: float = 3) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return 3_000 * np.sin(2 * np.pi * np.cumsum(900 + 300 * np.sin(2 * np.pi * time)) / RATE)


NO_SPEECH = {
    "zeros": (np.zeros(RATE), "silence"),
    "offset": (np.full(RATE, 5_000.0), "silence"),
    "last bit of noise": (np.random.default_rng(0).integers(-1, 2, RATE).astype(float), "silence"),
    "white noise": (coloured(0), "no speech"),
    "pink noise": (coloured(1), "no speech"),
    "brown noise": (coloured(2), "no speech"),
    "faint pink noise": (coloured(1) / 50, "no speech"),
    "50 Hz hum": (hum(50), "no speech"),
    "60 Hz hum": (hum(60), "no speech"),
    "hum in noise": (hum(50) + coloured(1) / 3, "no speech"),
    "1 kHz tone": (3_000 * np.sin(np.arange(3 * RATE) * 2 * np.pi / 48), "no speech"),
    "clicks": (clicks(), "no speech"),
    "noise that comes and goes": (coloured(0) * np.sin(np.arange(3 * RATE) / RATE * 9) ** 4, "no speech"),
    "drum": (drum(), "no speech"),
    "cymbal": (cymbal(), "no speech"),
    "bell": (bell(), "no speech"),
    "siren": (siren(), "no speech"),
    "0.05 s": (WORD[: RATE // 20], "too short"),
    "nothing": (np.zeros(0), "too short"),
}


@pytest.mark.parametrize("signal, reason", NO_SPEECH.values(), ids=NO_SPEECH)
def test_what_is_no_speech_is_said_and_gives_no_window(signal, reason):
    assert find_speech(signal, sample_rate=RATE) == ([], reason)


@pytest.mark.parametrize("path", VOICES, ids=lambda path: path.stem)
def test_a_word_is_speech(path):
    signal = read_signal(path)
    assert why_not_speech(signal, sample_rate=RATE) is None
    assert why_not_speech(np.pad(signal, 3 * RATE), sample_rate=RATE) is None


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 44_100, 48_000])
def test_a_word_is_speech_at_any_rate(sample_rate):
    assert why_not_speech(soxr.resample(WORD, RATE, sample_rate), sample_rate=sample_rate) is None


@pytest.mark.parametrize("pitch", [85, 120, 165, 210, 300])
def test_a_held_vowel_is_speech(pitch):
    assert why_not_speech(1e4 * buzz(pitch, seconds=0.6, sample_rate=RATE, seed=0), sample_rate=RATE) is None


@pytest.mark.parametrize("change", [lambda x: x + 9_000, lambda x: x / 100, lambda x: np.clip(8 * x, -3e4, 3e4)])
def test_offset_level_and_clipping_do_not_hide_a_word(change):
    assert why_not_speech(change(WORD), sample_rate=RATE) is None


@pytest.mark.parametrize("gain", [0.05, 0.3, 9])
def test_scale_and_offset_do_not_change_the_probability(gain):
    signal = recording(1, 2.2, seconds=4)
    as_it_is = speech_probability(signal, sample_rate=RATE)
    np.testing.assert_allclose(speech_probability(gain * signal + 500, sample_rate=RATE), as_it_is, atol=1e-3)


def test_a_probability_every_32_ms():
    found = speech_probability(recording(1, seconds=3.2), sample_rate=RATE)
    assert found.shape == (100,) and found.dtype == np.float32
    assert found[37:48].min() > 0.5 > found[:25].max()


def test_what_comes_in_blocks_is_what_comes_at_once(monkeypatch):
    signal = recording(1, 2.2, seconds=5)
    at_once = speech_probability(signal, sample_rate=RATE)
    monkeypatch.setattr("speaker_gender.sound.speech.FRAMES_AT_ONCE", 7)
    np.testing.assert_allclose(speech_probability(signal, sample_rate=RATE), at_once, atol=1e-5)


def test_a_recording_as_long_as_in_training_is_one_window_as_it_is():
    signal = recording(0.1, seconds=1)[:RECORDING_SAMPLES]
    (window,) = speech_windows(signal, sample_rate=RATE)
    assert window.start == 0 and window.signal is signal


def test_a_short_word_in_a_long_silence_is_one_window_around_it():
    (window,) = speech_windows(recording(7, seconds=20), sample_rate=RATE)
    start, stop = window.start / RATE, (window.start + len(window.signal)) / RATE
    assert 6.8 <= start <= 7.15 and 7.3 <= stop <= 7.9


def test_words_between_pauses_are_a_window_each():
    windows = speech_windows(recording(0.5, 2.5, 5, 6.9, seconds=8), sample_rate=RATE)
    starts = [window.start / RATE for window in windows]
    np.testing.assert_allclose(starts, [0.5, 2.5, 5, 6.9], atol=0.2)


def test_longer_speech_is_divided_evenly_into_windows_that_do_not_overlap():
    pause = np.random.default_rng(0).normal(0, 3, RATE // 10)
    signal = np.concatenate([np.concatenate([NINE, pause])] * 10)
    windows = speech_windows(signal, sample_rate=RATE)
    edges = [(window.start, window.start + len(window.signal)) for window in windows]
    assert all(0.4 * RATE < stop - start <= RECORDING_SAMPLES for start, stop in edges)
    assert all(stop <= start for (_, stop), (start, _) in zip(edges, edges[1:]))
    assert sum(stop - start for start, stop in edges) > 0.9 * len(signal)
    for window in windows:
        np.testing.assert_array_equal(window.signal, signal[window.start :][: len(window.signal)])


def test_stretches_do_not_overlap_and_lie_inside():
    signal = recording(0, 1.2, 2.4, 3.6, seconds=4.4)
    stretches = speech_stretches(signal, sample_rate=RATE)
    edges = [edge for stretch in stretches for edge in stretch]
    assert edges == sorted(edges) and edges[0] >= 0 and edges[-1] <= len(signal)


def test_a_click_louder_than_the_word_does_not_hide_it():
    signal = recording(2, seconds=5)
    signal[4 * RATE] = 32_000
    (window,) = speech_windows(signal, sample_rate=RATE)
    assert 1.8 < window.start / RATE < 2.2


@pytest.mark.parametrize("offset", [0, 8_000])
def test_what_was_too_loud_is_clipped_also_after_it_was_turned_down(offset):
    clipped = np.clip(30 * WORD, -20_000, 20_000)
    assert is_clipped(clipped + offset) and is_clipped(clipped / 30 + offset)


def test_sound_as_it_should_be_is_not_clipped():
    assert not any(is_clipped(read_signal(path)) for path in VOICES)
    assert not is_clipped(np.zeros(RATE)) and not is_clipped(WORD + 8_000)


@pytest.mark.parametrize(
    "seconds, heights, found",
    [
        (3, [0.5] * 10 + [0.7], False),  # long, and never more than likely
        (3, [0.7] * 3, False),  # too short
        (3, [0.9] * 4, True),
        (3, [0.7] * 12, True),
        (3, [0.5] * 10 + [0.96], True),
        (1.5, [0.5] * 10 + [0.7], True),  # a word, perhaps a faint one
    ],
)
def test_in_a_long_recording_one_stretch_has_to_be_convincing(monkeypatch, seconds, heights, found):
    probability = np.zeros(round(seconds / 0.032), np.float32)
    probability[10 : 10 + len(heights)] = heights
    monkeypatch.setattr(speech, "speech_probability", lambda *_, **__: probability)
    stretches = speech_stretches(np.ones(round(seconds * RATE)), sample_rate=RATE)
    assert bool(stretches) == found
