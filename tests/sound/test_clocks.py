"""Sound lies where the container's clock says, and what is missing, damaged or left out is said."""

import errno
import io
import struct
import subprocess
import sys
from functools import partial

import av
import numpy as np
import pytest
import soundfile
from sounds import AMR, FORMATS, RATE, SECONDS, SIGNAL, encoded, film, similar

from speaker_gender.config import ROOT
from speaker_gender.sound import decoding
from speaker_gender.sound.reading import AudioError, read_header, read_pieces, read_signal

LONG = np.tile(SIGNAL, 3)  # 17.7 s
DAMAGED = (6.0, 9.0)  # seconds


def damage(content: bytes, start: float, stop: float) -> bytes:
    """The packets between two times are overwritten with noise."""
    damaged, rng = bytearray(content), np.random.default_rng(0)
    with av.open(io.BytesIO(content)) as container:
        for packet in container.demux(audio=0):
            if packet.pos is not None and packet.pts is not None and start <= packet.pts * packet.time_base < stop:
                damaged[packet.pos : packet.pos + packet.size] = rng.bytes(packet.size)
    return bytes(damaged)


def wav(sound: np.ndarray, *, size: int, before: bytes = b"", after: bytes = b"") -> bytes:
    """A 16-bit WAV whose header tells of so many bytes of sound."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    data = b"data" + struct.pack("<I", size) + sound.astype("<i2").tobytes()
    return before + b"RIFF" + struct.pack("<I", size + 36) + b"WAVEfmt " + form + data + after


def read(tmp_path, content: bytes, **options) -> tuple[np.ndarray, list[str]]:
    report: list[str] = []
    (tmp_path / "x").write_bytes(content)
    return read_signal(tmp_path / "x", sample_rate=RATE, report=report, **options), report


def beginning(signal: np.ndarray) -> float:
    """Seconds from which on it is not silent."""
    return np.flatnonzero(np.abs(signal) > 300)[0] / RATE


BEGINNING = beginning(SIGNAL)


def test_sound_that_begins_after_the_picture_has_its_right_time(tmp_path):
    signal, report = read(tmp_path, film("mp4", SIGNAL, picture=9, late=3))
    assert beginning(signal) == pytest.approx(3 + BEGINNING, abs=0.1) and not report


@pytest.mark.parametrize("container", ["matroska", "mp4"])
def test_a_gap_between_packets_is_silence_and_is_said_but_is_no_fault(tmp_path, container):
    signal, (note,) = read(tmp_path, film(container, LONG, gap=DAMAGED))
    assert len(signal) / RATE == pytest.approx(3 * SECONDS, abs=0.2) and similar(signal[-len(SIGNAL) :]) > 0.9
    assert note.startswith("has gaps: for 3.")
    np.testing.assert_array_equal(read_signal(tmp_path / "x", sample_rate=RATE), signal)
    assert read_header(tmp_path / "x")[0] == len(signal)


@pytest.mark.parametrize("container", ["asf", "mp4", "matroska"])
def test_a_picture_that_is_longer_than_the_sound_does_not_make_it_cut_short(tmp_path, container):
    signal, report = read(tmp_path, film(container, SIGNAL, picture=12))
    assert len(signal) / RATE == pytest.approx(SECONDS, abs=0.2) and not report


def test_of_several_audio_tracks_those_that_sound_are_heard_and_said(tmp_path):
    signal, (note,) = read(tmp_path, film("matroska", 0 * SIGNAL, SIGNAL))
    assert similar(signal) > 0.95 and note == "has 2 audio tracks; only track 2 was loud enough to be heard"
    signal, (note,) = read(tmp_path, film("matroska", SIGNAL, SIGNAL[: 2 * RATE]))
    assert similar(signal[: 2 * RATE]) > 0.95 and len(signal) / RATE == pytest.approx(SECONDS, abs=0.2)
    assert note == "has 2 audio tracks, which were all heard"


DAMAGEABLE = {
    "m4a": (partial(encoded, "mp4", "aac"), "is damaged: "),
    "live webm": (partial(encoded, "webm", "libopus", rate=48_000, options={"live": "1"}), "has gaps: "),
    "opus": (partial(encoded, "ogg", "libopus", rate=48_000), "is damaged: "),
    "mp3": (partial(encoded, "mp3", "libmp3lame"), "is damaged: "),
    "flac": (partial(encoded, "flac", "flac"), "is damaged: "),
}


@pytest.mark.parametrize("name", DAMAGEABLE)
def test_damage_is_silence_and_said_and_what_follows_has_its_right_time(tmp_path, name):
    encode, said = DAMAGEABLE[name]
    signal, (report,) = read(tmp_path, damage(encode(signal=LONG), *DAMAGED))
    assert report.startswith(said) and len(signal) / RATE == pytest.approx(3 * SECONDS, abs=0.5)
    assert similar(signal[-len(SIGNAL) :]) > 0.9
    lost = float(report.removeprefix(said).removeprefix("for ").split()[0])
    assert lost == pytest.approx(DAMAGED[1] - DAMAGED[0], abs=0.5)
    if said == "is damaged: ":
        with pytest.raises(AudioError, match="damaged"):
            read_signal(tmp_path / "x")


def test_damage_in_a_stream_without_a_clock_is_said(tmp_path):
    _, (report,) = read(tmp_path, damage(encoded("adts", "aac", signal=LONG), *DAMAGED))
    assert report.startswith("is damaged: ")


@pytest.mark.parametrize("name", ["amr", "aac", "mp3"])
def test_a_second_file_of_a_kind_is_read_as_the_first_was(tmp_path, name):
    """FFmpeg's estimate of a length is not believed, whatever it logs."""
    quiet_first = np.concatenate([np.zeros(3 * RATE), SIGNAL])
    form = {"amr": ("amr", "libopencore_amrnb", AMR), "aac": ("adts", "aac", {})}
    container, codec, options = form.get(name, ("mp3", "libmp3lame", {"options": {"write_xing": "0"}}))
    for _ in range(2):
        _, report = read(tmp_path, encoded(container, codec, signal=quiet_first, **options))
        assert not report


@pytest.mark.parametrize("name", ["mp3", "aac"])
def test_a_tag_at_the_end_is_not_damage(tmp_path, name):
    _, report = read(tmp_path, FORMATS[name]() + b"TAG" + bytes(125))
    assert not report


# --- headers


@pytest.mark.parametrize("kind", ["stale", "with another chunk", "tagged", "behind ID3", "a little too short"])
def test_a_wav_is_heard_whole_whatever_its_header_says(tmp_path, kind):
    size = 2 * len(SIGNAL)
    content = {
        "stale": wav(SIGNAL, size=size // 4),
        "with another chunk": wav(SIGNAL, size=size, after=b"LIST" + struct.pack("<I", 40_000) + bytes(40_000)),
        "tagged": wav(SIGNAL, size=size, after=b"ID3\3" + bytes(40_000)),
        "behind ID3": wav(SIGNAL, size=size, before=b"ID3\3\0\0\0\0\0\x0a" + bytes(10)),
        "a little too short": wav(SIGNAL, size=size - 44),
    }[kind]
    signal, report = read(tmp_path, content)
    n_samples = len(SIGNAL) - 22 * (kind == "a little too short")
    np.testing.assert_allclose(signal, SIGNAL.astype(np.int16)[:n_samples], atol=0.01)
    assert not report and read_header(tmp_path / "x")[0] == n_samples


@pytest.mark.parametrize("form", ["WAV", "AIFF", "AU", "CAF", "W64", "RF64"])
def test_what_is_missing_is_said_however_little_it_is(tmp_path, form):
    soundfile.write(tmp_path / "x", np.tile(SIGNAL, 5) / 32_768, RATE, format=form, subtype="PCM_16")
    content = (tmp_path / "x").read_bytes()
    _, report = read(tmp_path, content)
    assert not report
    _, (warning,) = read(tmp_path, content[: int(0.99 * len(content))])
    assert warning in (f"is cut short: {part:.1f} of {5 * SECONDS:.1f} s are there" for part in (29.2, 29.3))


# --- what FFmpeg and libsndfile must not do


@pytest.mark.parametrize("suffix", ["mp3", "mp2", "ac3"])
def test_zeros_are_no_sound_whatever_their_name_says_and_not_searched_for_ever(tmp_path, suffix):
    path = tmp_path / f"download.{suffix}"
    with open(path, "wb") as file:
        file.truncate(10**12)
    with pytest.raises(AudioError, match="begins with zeros"):
        read_signal(path)


@pytest.mark.parametrize("name", ["mp3", "aac"])
def test_what_was_downloaded_in_part_is_read_and_the_zeros_behind_it_are_not(tmp_path, name):
    path, report = tmp_path / "download", []
    path.write_bytes(FORMATS[name]())
    with open(path, "r+b") as file:
        file.truncate(10**12)
    (signal,) = read_pieces(path, sample_rate=RATE, report=report)
    assert len(signal) / RATE == pytest.approx(SECONDS, abs=0.2)
    assert report[0].startswith("is damaged: nothing can be read after ")


class Broken(io.BytesIO):
    """A file on a disk that breaks in its middle, or while Ctrl-C is pressed."""

    def __init__(self, content: bytes, error: BaseException):
        super().__init__(content)
        self.error = error

    def read(self, size: int = -1) -> bytes:
        if self.tell() > 20_000:
            raise self.error
        return super().read(size)


@pytest.mark.parametrize("name", ["mp3", "mka", "m4a", "opus"])
def test_a_disk_that_breaks_while_a_file_is_read_is_one_line_and_ctrl_c_is_ctrl_c(tmp_path, name, monkeypatch):
    (tmp_path / "x").write_bytes(content := FORMATS[name]())
    opened = decoding._Source.__init__

    def open_broken(source, path):
        opened(source, path)
        source.file = Broken(content, error)

    monkeypatch.setattr(decoding._Source, "__init__", open_broken)
    error: BaseException = OSError(errno.EIO, "Input/output error")
    with pytest.raises(AudioError, match=r"x: cannot be (read|opened) \(Input/output error\)"):
        read_signal(tmp_path / "x", report=[])
    error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        read_signal(tmp_path / "x", report=[])


def test_a_file_that_is_replaced_while_it_is_read_is_one_line(tmp_path, monkeypatch):
    for n_channels in (2, 3):
        soundfile.write(tmp_path / f"{n_channels}.wav", np.zeros((RATE, n_channels)), RATE)
    monkeypatch.setattr("speaker_gender.sound.reading.measure_channels", lambda path: None)
    with pytest.raises(AudioError, match="was replaced"):
        list(read_pieces(tmp_path / "3.wav", weights=np.ones(2)))


def test_libsndfile_prints_nothing_of_ours(tmp_path):
    """It prints of damaged MIDI sample dumps."""
    content, rng = io.BytesIO(), np.random.default_rng(0)
    soundfile.write(content, np.sin(np.arange(16_000) / 20), RATE, format="SDS", subtype="PCM_16")
    damaged = bytearray(content.getvalue())
    for place in rng.integers(200, len(damaged), 30):
        damaged[place] ^= 1
    (tmp_path / "voice.wav").write_bytes(damaged)
    command = [sys.executable, ROOT / "scripts" / "classify_wavs.py", tmp_path / "voice.wav", "--csv"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert len(ran.stdout.splitlines()) == 2 and not ran.stderr
