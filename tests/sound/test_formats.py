"""Whatever people bring is heard to its end: phones' formats, wrong suffixes, lying headers, joined and cut files."""

import io
import os
import struct

import av
import numpy as np
import pytest
import soundfile
from sounds import FORMATS, RATE, SECONDS, SIGNAL, encoded, similar

from speaker_gender.sound import decoding
from speaker_gender.sound.reading import AudioError, read_header, read_signal


def spectrally_similar(signal: np.ndarray, reference: np.ndarray = SIGNAL) -> float:
    """Correlation of two magnitude spectrograms up to 3.4 kHz: AMR keeps the spectrum, not the waveform."""
    n_samples = min(len(signal), len(reference))
    magnitudes = []
    for sound in (signal, reference):
        frames = np.lib.stride_tricks.sliding_window_view(sound[:n_samples], 512)[::128]
        magnitudes.append(np.abs(np.fft.rfft(frames * np.hanning(512)))[:, : 512 * 3_400 // RATE].ravel())
    return np.corrcoef(*magnitudes)[0, 1]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("suffix", [".mp3", ".wav", ""])
def test_a_format_is_known_by_its_content_whatever_the_suffix_says(tmp_path, name, suffix):
    path, report = tmp_path / f"voice message{suffix}", []
    path.write_bytes(FORMATS[name]())
    signal = read_signal(path, sample_rate=RATE, report=report)
    likeness = spectrally_similar if "amr" in name else similar
    assert abs(len(signal) / RATE - SECONDS) < 0.15 and likeness(signal) > 0.95 and not report
    samples, rate, _ = read_header(path)
    assert abs(samples / rate - SECONDS) < 0.15


@pytest.mark.parametrize("xing", ["0", "1"])
def test_a_variable_bit_rate_is_heard_to_its_end_with_and_without_a_header(tmp_path, xing):
    mp3 = encoded("mp3", "libmp3lame", options={"write_xing": xing})
    (tmp_path / "x.mp3").write_bytes(mp3)
    report = []
    assert abs(len(read_signal(tmp_path / "x.mp3", sample_rate=RATE, report=report)) / RATE - SECONDS) < 0.15
    assert not report


@pytest.mark.parametrize("name", ["mp3", "opus", "ogg flac"])
def test_joined_files_are_heard_whole(tmp_path, name):
    path, report = tmp_path / "joined", []
    path.write_bytes(2 * FORMATS[name]())
    signal = read_signal(path, sample_rate=RATE, report=report)
    assert abs(len(signal) / RATE - 2 * SECONDS) < 0.3 and not report
    assert similar(signal[-len(SIGNAL) :]) > 0.8


@pytest.mark.parametrize("channels", [(1, 2), (2, 1)])
def test_a_file_may_change_its_channels_on_the_way(tmp_path, channels):
    parts = []
    for number in channels:
        file = io.BytesIO()
        sound = np.repeat(SIGNAL[:, np.newaxis] / 32_768, number, axis=1)
        soundfile.write(file, sound, RATE, format="MP3", subtype="MPEG_LAYER_III")
        parts.append(file.getvalue())
    (tmp_path / "x").write_bytes(b"".join(parts))
    signal = read_signal(tmp_path / "x", sample_rate=RATE, report=[])
    assert abs(len(signal) / RATE - 2 * SECONDS) < 0.5 and similar(signal[-len(SIGNAL) :]) > 0.8


@pytest.mark.parametrize("name", ["mp3", "opus", "mka", "flac", "wav"])
def test_a_file_that_is_cut_off_is_heard_as_far_as_it_goes_and_says_so(tmp_path, name):
    path, report = tmp_path / "cut", []
    if name in ("flac", "wav"):
        soundfile.write(path, SIGNAL / 32_768, RATE, format=name.upper(), subtype="PCM_16")
        content = path.read_bytes()
    else:
        content = FORMATS[name]()
    path.write_bytes(content[: len(content) // 2])
    signal = read_signal(path, sample_rate=RATE, report=report)
    assert 0.2 * SECONDS < len(signal) / RATE < 0.8 * SECONDS
    (warning,) = report
    assert warning.startswith("is cut short")
    assert np.abs(signal[-RATE // 2 :]).max() > 50, "what is missing is not filled with silence"


def test_where_next_to_nothing_is_left_a_file_is_refused(tmp_path):
    soundfile.write(tmp_path / "x.wav", SIGNAL / 32_768, RATE, subtype="PCM_16")
    (tmp_path / "x.wav").write_bytes((tmp_path / "x.wav").read_bytes()[:1_000])
    with pytest.raises(AudioError, match="cut short"):
        read_signal(tmp_path / "x.wav")


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_whose_recorder_crashed_is_read(tmp_path, size):
    data = SIGNAL.astype("<i2").tobytes()
    head = b"RIFF" + struct.pack("<I", size) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    (tmp_path / "x.wav").write_bytes(head + b"data" + struct.pack("<I", size) + data)
    np.testing.assert_allclose(read_signal(tmp_path / "x.wav", sample_rate=RATE), SIGNAL.astype(np.int16), atol=0.01)


def test_a_short_clip_is_not_cut_short_by_its_encoders_padding(tmp_path):
    for n_samples in (4_000, 8_000, 12_000):
        soundfile.write(tmp_path / "x.mp3", SIGNAL[:n_samples] / 32_768, RATE, format="MP3")
        report = []
        read_signal(tmp_path / "x.mp3", report=report)
        assert not report and read_header(tmp_path / "x.mp3")[0] > 0


NOT_SOUND = {
    "playlist": b"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n",
    "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    "dash": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "text": b"not a sound\n",
    "png": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "pdf": b"%PDF-1.7\n" + bytes(200),
    "noise": np.random.default_rng(0).bytes(5_000),
}


@pytest.mark.parametrize("name", NOT_SOUND)
def test_what_is_no_sound_is_named_and_nothing_else_is_opened(tmp_path, name, monkeypatch):
    path = tmp_path / "x.m4a"
    path.write_bytes(NOT_SOUND[name])
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda *a, **k: opened.append(a[0]) or real(*a, **k))
    with pytest.raises(AudioError) as error:
        read_signal(path)
    assert "\n" not in str(error.value) and "Errno" not in str(error.value)
    words = {"Git LFS": "git lfs pull", "text": "is text", "png": "Portable Network", "pdf": "Portable Document"}
    assert words.get(name, "sound") in str(error.value)
    assert not [place for place in opened if "passwd" in str(place)]


def test_a_film_without_sound_says_so(tmp_path):
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    (tmp_path / "x.mp4").write_bytes(file.getvalue())
    with pytest.raises(AudioError, match="film without sound"):
        read_signal(tmp_path / "x.mp4")


def test_nothing_longer_than_it_may_be_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "x.mka").write_bytes(FORMATS["mka"]())
    monkeypatch.setattr(decoding, "MAX_SECONDS", 2)
    with pytest.raises(AudioError, match="longer than"):
        read_signal(tmp_path / "x.mka")
