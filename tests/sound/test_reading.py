"""Any sound file a person may have gives the same signal."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from speaker_gender.config import SAMPLE_RATE
from speaker_gender.sound import decoding, reading
from speaker_gender.sound.reading import AudioError, read_pieces, read_signal
from speaker_gender.sound.speech import why_not_speech

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
    monkeypatch.setattr(decoding, "BLOCK", 1_000)
    np.testing.assert_array_equal(read_signal(path), in_one)
    assert len(in_one) == 3 * SAMPLE_RATE


@pytest.mark.slow
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
    subprocess.run([program, *options[program], path], check=True, timeout=300)
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
