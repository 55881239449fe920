"""Any sound file a person may have gives the same signal, and only speech is speech."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from speaker_gender.config import RECORDING_SAMPLES, SAMPLE_RATE
from speaker_gender.sound import reading
from speaker_gender.sound.reading import AudioError, read_pieces, read_signal
from speaker_gender.sound.speech import speech_windows, why_not_speech

RATE = 48_000


def word(*, pitch: float = 120, seconds: float = 0.5, level: float = 3_000, rate: int = RATE) -> np.ndarray:
    """A voiced sound on the int16 scale that rises, glides in pitch and fades, as a spoken word does."""
    time = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * pitch * (1.1 * time - 0.1 * time**2 / seconds)
    harmonics = sum(np.sin(k * phase) / k for k in range(1, int(3_000 / pitch)))
    return level * np.sin(np.pi * time / seconds) ** 2 * harmonics


def recording(*words_at: float, seconds: float, noise: float = 3, pitch: float = 120) -> np.ndarray:
    """`seconds` of faint noise, int16 scale, with a word of half a second from each of these times on."""
    signal = np.random.default_rng(0).normal(0, noise, round(seconds * RATE))
    for start in words_at:
        signal[round(start * RATE) :][: RATE // 2] += word(pitch=pitch)
    return signal


def coloured(exponent: float, *, seconds: float = 3, seed: int = 0) -> np.ndarray:
    """Noise whose power falls with frequency ** exponent (0 white, 1 pink, 2 brown), RMS 1,000."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=round(seconds * RATE)))
    noise = np.fft.irfft(spectrum / np.maximum(np.arange(len(spectrum)) / seconds, 20) ** (exponent / 2))
    return 1_000 * noise / noise.std()


def hum(frequency: float, *, seconds: float = 3) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return sum(1_000 / k * np.sin(2 * np.pi * k * frequency * time) for k in range(1, 12))


def error_of(signal: np.ndarray, reference: np.ndarray) -> float:
    """RMS of the difference over RMS of the reference, without the edges, where filters ring."""
    assert abs(len(signal) - len(reference)) <= 6
    inside = slice(500, len(reference) - 500)
    return np.sqrt(np.mean((signal[inside] - reference[inside]) ** 2) / np.mean(reference[inside] ** 2))


# --- encodings

REFERENCE = np.round(recording(0.2, seconds=0.9))
ENCODINGS = [  # suffix, format, subtype, largest relative error
    ("wav", "WAV", "PCM_16", 0),
    ("wav", "WAV", "PCM_24", 0),
    ("wav", "WAV", "PCM_32", 0),
    ("wav", "WAV", "FLOAT", 0),
    ("wav", "WAV", "DOUBLE", 0),
    ("wav", "WAVEX", "PCM_16", 0),
    ("wav", "WAVEX", "PCM_24", 0),
    ("wav", "RF64", "PCM_16", 0),
    ("wav", "WAV", "PCM_U8", 0.15),
    ("wav", "WAV", "ALAW", 0.04),
    ("wav", "WAV", "ULAW", 0.04),
    ("wav", "WAV", "IMA_ADPCM", 0.1),
    ("flac", "FLAC", "PCM_16", 0),
    ("flac", "FLAC", "PCM_24", 0),
    ("aiff", "AIFF", "PCM_16", 0),
    ("ogg", "OGG", "VORBIS", 0.2),
    ("ogg", "OGG", "OPUS", 0.2),
    ("mp3", "MP3", "MPEG_LAYER_III", 0.1),
]


@pytest.mark.parametrize("suffix, container, subtype, tolerance", ENCODINGS)
def test_one_sound_in_any_encoding_is_one_signal_on_the_int16_scale(tmp_path, suffix, container, subtype, tolerance):
    path = tmp_path / f"sound.{suffix}"
    soundfile.write(path, REFERENCE / 32_768, RATE, subtype=subtype, format=container)
    signal = read_signal(path, sample_rate=RATE)
    assert signal.dtype == np.float64 and signal.ndim == 1
    if tolerance == 0:
        np.testing.assert_array_equal(signal, REFERENCE)
    else:
        assert error_of(signal[: len(REFERENCE)], REFERENCE) < tolerance  # ADPCM fills its last block


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 96_000, 192_000])
def test_one_sound_at_any_rate_is_one_signal(tmp_path, rate):
    path = tmp_path / "sound.wav"
    soundfile.write(path, word(rate=rate) / 32_768, rate, subtype="PCM_24")
    assert error_of(read_signal(path, sample_rate=RATE), word()) < 0.01


def test_what_is_read_in_blocks_is_what_is_resampled_in_one_piece(tmp_path, monkeypatch):
    path = tmp_path / "sound.wav"
    soundfile.write(path, word(rate=16_000, seconds=3) / 32_768, 16_000, subtype="PCM_16")
    in_one = read_signal(path)
    monkeypatch.setattr(reading, "BLOCK", 1_000)
    np.testing.assert_array_equal(read_signal(path), in_one)
    assert len(in_one) == 3 * SAMPLE_RATE


def test_what_is_longer_than_a_signal_is_read_in_pieces_cut_in_pauses(tmp_path, monkeypatch):
    path, starts = tmp_path / "sound.wav", np.arange(0.3, 40, 1.1)
    sound = np.round(recording(*starts, seconds=41))
    soundfile.write(path, sound / 32_768, RATE, subtype="PCM_16")
    (whole,) = read_pieces(path)
    np.testing.assert_array_equal(whole, sound)
    monkeypatch.setattr(reading, "PIECE_SECONDS", 12)
    pieces = list(read_pieces(path))
    np.testing.assert_array_equal(np.concatenate(pieces), sound)
    assert len(pieces) >= 4 and all(2 * RATE <= len(piece) <= 12 * RATE for piece in pieces[:-1])
    for cut in np.cumsum([len(piece) for piece in pieces[:-1]]) / RATE:
        assert not np.any((starts + 0.05 < cut) & (cut < starts + 0.45)), "through a word"
    with pytest.raises(AudioError, match="is longer than"):
        read_signal(path)


@pytest.mark.parametrize("program", ["ffmpeg", "sox"])
def test_what_other_programs_write_is_read_too(tmp_path, program):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    source, path = tmp_path / "source.wav", tmp_path / "sound.wav"
    soundfile.write(source, REFERENCE / 32_768, RATE, subtype="PCM_16")
    options = {"ffmpeg": ["-loglevel", "error", "-i", source, "-c:a", "pcm_s24le"], "sox": [source, "-b", "24"]}
    subprocess.run([program, *options[program], path], check=True, timeout=60)
    assert error_of(read_signal(path, sample_rate=RATE), REFERENCE) < 0.001


# --- channels


@pytest.mark.parametrize("n_channels", [1, 2, 3, 6, 8])
def test_equal_channels_are_the_same_as_one(tmp_path, n_channels):
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.repeat(REFERENCE[:, None], n_channels, axis=1) / 32_768, RATE, subtype="PCM_16")
    np.testing.assert_allclose(read_signal(path, sample_rate=RATE), REFERENCE, atol=1e-6)


@pytest.mark.parametrize(
    "gains",
    [(1, -1), (1, 0), (0, 1), (1, -0.9), (0, 0, 1, 0, 0, 0, 0, 0)],
    ids=["antiphase", "left only", "right only", "nearly antiphase", "one of eight"],
)
def test_channels_that_cancel_or_are_empty_do_not_weaken_the_sound(tmp_path, gains):
    path = tmp_path / "sound.wav"
    soundfile.write(path, np.outer(REFERENCE, gains) / 32_768, RATE, subtype="PCM_24")
    np.testing.assert_allclose(read_signal(path, sample_rate=RATE), REFERENCE, atol=0.01)


def test_channels_that_hold_a_constant_are_silence(tmp_path):
    path = tmp_path / "constant.wav"  # of this length rounding makes their variance negative
    soundfile.write(path, np.full((71_873, 2), 31_637, np.int16), RATE, subtype="PCM_16")
    signal = read_signal(path, sample_rate=RATE)
    np.testing.assert_allclose(signal, 31_637)
    assert why_not_speech(signal, sample_rate=RATE) == "silence"


def test_an_offset_does_not_hide_that_channels_cancel(tmp_path):
    path = tmp_path / "sound.wav"
    soundfile.write(path, (np.outer(REFERENCE, (1, -1)) + 8_000) / 32_768, RATE, subtype="PCM_16")
    np.testing.assert_allclose(read_signal(path, sample_rate=RATE) - 8_000, REFERENCE, atol=1e-6)


# --- is there speech, and where


@pytest.mark.parametrize("pitch", [85, 120, 165, 210, 300])
def test_a_word_is_speech(pitch):
    assert why_not_speech(recording(0.2, seconds=0.9, pitch=pitch), sample_rate=RATE) is None
    assert why_not_speech(recording(3, seconds=6, pitch=pitch), sample_rate=RATE) is None


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 44_100, 48_000])
def test_a_word_is_speech_at_any_rate(sample_rate):
    signal = np.concatenate([np.zeros(sample_rate // 4), word(rate=sample_rate), np.zeros(sample_rate // 4)])
    assert why_not_speech(signal, sample_rate=sample_rate) is None


def clicks(*, seconds: float = 3) -> np.ndarray:
    signal = np.random.default_rng(0).normal(0, 3, round(seconds * RATE))
    signal[:: RATE // 3] += 20_000
    return signal


def beeps() -> np.ndarray:
    """A tone that is on for a second in three of near silence, with noise that lets its level flutter a little."""
    tone = hum(200)
    tone[:RATE] = tone[2 * RATE :] = 0
    return tone + np.random.default_rng(0).normal(0, 10, len(tone))


NO_SPEECH = {
    "zeros": (np.zeros(RATE), "silence"),
    "offset": (np.full(RATE, 5_000.0), "silence"),
    "-80 dBFS of noise": (np.random.default_rng(0).normal(0, 3.3, RATE), "silence"),
    "white noise": (coloured(0), "noise only"),
    "pink noise": (coloured(1), "noise only"),
    "brown noise": (coloured(2), "noise only"),
    "faint pink noise": (coloured(1) / 50, "noise only"),
    "50 Hz hum": (hum(50), "noise only"),
    "60 Hz hum": (hum(60), "noise only"),
    "hum in noise": (hum(50) + coloured(1) / 3, "noise only"),
    "1 kHz tone": (hum(1_000), "noise only"),
    "beep": (beeps(), "noise only"),
    "clicks": (clicks(), "noise only"),
    "noise that comes and goes": (coloured(0) * np.sin(np.arange(3 * RATE) / RATE * 9) ** 4, "noise only"),
    "0.05 s": (word(seconds=0.05), "too short"),
    "0.06 s in a second": (np.pad(word(seconds=0.06, pitch=200), RATE // 2), "too short"),
    "nothing": (np.zeros(0), "too short"),
    "clipped": (np.clip(40 * recording(0.5, seconds=2), -32_768, 32_767), "clipped"),
    "clipped, then turned down": (np.clip(40 * recording(0.5, seconds=2), -32_768, 32_767) / 30, "clipped"),
}


@pytest.mark.parametrize("signal, reason", NO_SPEECH.values(), ids=NO_SPEECH)
def test_what_is_no_speech_is_said_and_gives_no_window(signal, reason):
    assert why_not_speech(signal, sample_rate=RATE) == reason
    assert speech_windows(signal, sample_rate=RATE) == []


@pytest.mark.parametrize("exponent", [0, 1, 2])
def test_noise_is_hardly_ever_speech(exponent):
    signals = [coloured(exponent, seconds=1, seed=seed) for seed in range(40)]
    assert {why_not_speech(signal, sample_rate=RATE) for signal in signals} == {"noise only"}


@pytest.mark.parametrize("gain", [0.05, 0.3, 9])
def test_scale_does_not_change_the_decision(gain):
    sounds = [recording(1, 2.2, 3.1, seconds=5), coloured(1), hum(50), clicks(), NO_SPEECH["clipped"][0]]
    for signal in sounds:
        assert why_not_speech(gain * signal, sample_rate=RATE) == why_not_speech(signal, sample_rate=RATE)
        scaled, windows = (speech_windows(factor * signal, sample_rate=RATE) for factor in (gain, 1))
        assert [(w.start, len(w.signal)) for w in scaled] == [(w.start, len(w.signal)) for w in windows]


def test_a_recording_as_long_as_in_training_is_one_window_as_it_is():
    signal = recording(0.2, seconds=1)[:RECORDING_SAMPLES]
    (window,) = speech_windows(signal, sample_rate=RATE)
    assert window.start == 0 and window.signal is signal


def test_a_short_word_in_a_long_silence_is_one_window_around_it():
    (window,) = speech_windows(recording(7, seconds=20), sample_rate=RATE)
    start, stop = window.start / RATE, (window.start + len(window.signal)) / RATE
    assert 6.85 <= start <= 7.1 and 7.4 <= stop <= 7.65


def test_words_between_pauses_are_a_window_each():
    windows = speech_windows(recording(0.5, 2, 4, 6.7, seconds=8), sample_rate=RATE)
    assert [round(window.start / RATE + len(window.signal) / RATE / 2, 1) for window in windows] == [0.8, 2.2, 4.2, 7.0]


def test_longer_speech_is_cut_between_words_into_windows_that_do_not_overlap():
    starts = np.arange(0.5, 9, 0.58)  # words of 0.5 s with pauses that are no longer than a plosive's
    signal = recording(*starts, seconds=10)
    windows = speech_windows(signal, sample_rate=RATE)
    edges = [(window.start, window.start + len(window.signal)) for window in windows]
    assert all(0 < stop - start <= RECORDING_SAMPLES for start, stop in edges)
    assert all(stop <= start for (_, stop), (start, _) in zip(edges, edges[1:]))
    assert sum(stop - start for start, stop in edges) > 0.95 * len(starts) * 0.55 * RATE
    for edge in {edge for pair in edges for edge in pair}:  # the middle of a word is loud
        into = (edge / RATE - starts) % 0.58 if edge / RATE < starts[-1] + 0.5 else np.array([0.0])
        assert not np.any((into > 0.1) & (into < 0.4))
    for window in windows:
        np.testing.assert_array_equal(window.signal, signal[window.start :][: len(window.signal)])


def test_a_sound_without_pauses_is_cut_all_the_same():
    signal = np.pad(word(seconds=7.3), RATE)
    lengths = [len(window.signal) for window in speech_windows(signal, sample_rate=RATE)]
    assert max(lengths) <= RECORDING_SAMPLES and min(lengths) >= 0.3 * RATE - 480 and sum(lengths) > 6 * RATE


def test_a_click_louder_than_the_word_does_not_hide_it():
    signal = recording(2, seconds=5)
    signal[4 * RATE] = 32_000
    (window,) = speech_windows(signal, sample_rate=RATE)
    assert 1.8 < window.start / RATE < 2.2
