"""From a sound file to the signal that every image is made from, and to the speech in it.

`read_signal` gives mono, one sample rate, on the scale of int16, whatever the encoding. The scale matters: the
study's images were made from int16 values, and the zeroth cepstral coefficient moves by hundreds when the same sound
arrives as floats in -1…1. `read_pieces` does the same for recordings too long to be held in memory. `why_not_speech`
and `speech_windows` say whether there is speech to classify, and where.
"""

import itertools
import os
import re
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from speaker_gender.config import SAMPLE_RATE

VERSION = 2  # part of many keys: raise it when a change here changes a signal, or what of it is taken for speech

INT16_FULL_SCALE = 32_768

MAX_SECONDS = 3_600  # of a file
PIECE_SECONDS = 300  # of a file that are held in memory: 115 MB of float64 at 48 kHz
CUT_SECONDS, CUT_FRAME = 10, 0.05  # seconds at the end of a piece in which it may be cut, and how long a pause is
SAMPLE_RATES = (4_000, 768_000)  # Hz: what sound devices have; beyond it a header is wrong
MAX_CHANNELS = 32
MAX_VALUES = MAX_SECONDS * 2 * 192_000  # an hour of stereo; a small FLAC can unpack to far more than that
MAX_AMPLITUDE = 100  # times full scale: floats beyond it are not sound in -1…1
BLOCK = 1 << 16  # samples that are read at a time

# What libsndfile tells of a file with less sound in it than its header says (WAV; AIFF; AU). Sizes from UNKNOWN_SIZE on
# are no sizes: programs that write to a pipe put them there, not knowing better.
CUT_SHORT = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")
UNKNOWN_SIZE = 0x7F000000  # bytes
CUT_SHORT_PROBLEM = "is cut short: its header tells of more sound than is there"
LEAST_SHARE = 0.99  # of the sound; some programs count the header's few bytes, too

# RIFF, its size, WAVEfmt, its size, code, channels, Hz, bytes a second, bytes a frame, bits, data, its size
PLAIN_HEADER = struct.Struct("<4sI8sIHHIIHH4sI")
HEADER_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for ever


class AudioError(ValueError):
    """A sound file that cannot be read; the message is one line that names the file, and `problem` the rest of it."""

    def __init__(self, path: Path | str, problem: str):
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.problem}"


def read_header(path: Path | str) -> tuple[int, int, str]:
    """(samples, sample rate in Hz, encoding such as 'PCM_16') of a sound file, without reading its sound.

    Raises AudioError where there is no readable, non-empty sound file, or one that is longer than an hour.
    """
    if header := _plain_header(path):
        return header
    with _open(path) as sound:
        return sound.frames, sound.samplerate, sound.subtype


def _plain_header(path: Path | str) -> tuple[int, int, str] | None:
    """What `read_header` tells of a WAV like most: 16-bit, 44 bytes of header, and all in it as it should be.

    None for whatever else it may be. Only because libsndfile takes several times as long, for 30,000 of them seconds.
    """
    try:
        file = os.open(path, HEADER_FLAGS)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(file)
        head = os.read(file, PLAIN_HEADER.size) if stat.S_ISREG(status.st_mode) else b""
    except OSError:
        return None
    finally:
        os.close(file)
    if len(head) < PLAIN_HEADER.size:
        return None
    riff, rest, wave, form, code, channels, rate, byte_rate, frame, bits, data, size = PLAIN_HEADER.unpack(head)
    plain = (
        (riff, wave, data) == (b"RIFF", b"WAVEfmt ", b"data")
        and (form, code, bits, frame, byte_rate) == (16, 1, 16, 2 * channels, rate * frame)
        and size == status.st_size - PLAIN_HEADER.size == rest + 8 - PLAIN_HEADER.size
        and 1 <= channels <= MAX_CHANNELS
        and SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]
        and 0 < size <= min(MAX_SECONDS * rate * frame, 2 * MAX_VALUES)
        and size % frame == 0
    )
    return (size // frame, rate, "PCM_16") if plain else None


def read_signal(path: Path, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """The recording as float64, shape (samples,), mono at `sample_rate`, on the int16 scale (±32,768).

    Any format, encoding, rate and number of channels that libsndfile reads (WAV, FLAC, OGG, MP3, AIFF, …). 16-bit mono
    at `sample_rate` comes back as exactly its integer values; another rate is resampled (soxr, very high quality);
    `channel_weights` says how channels are mixed. Raises AudioError for a file that cannot be read, is longer than
    five minutes, or holds values that are no sound.
    """
    first, *others = itertools.islice(read_pieces(path, sample_rate=sample_rate), 2)
    if others:
        raise AudioError(path, f"is longer than {PIECE_SECONDS // 60} minutes; cut it first")
    return first


def read_pieces(path: Path, *, sample_rate: int = SAMPLE_RATE) -> Iterator[np.ndarray]:
    """The recording in pieces of at most five minutes, in order, each a signal like `read_signal`'s.

    A recording up to that long is one piece. A longer one is cut where it is quietest in the last ten seconds of a
    piece, so that no word is cut in two, and an hour needs no more memory than five minutes. Raises AudioError as
    `read_signal` does, but for files longer than an hour.
    """
    longest = PIECE_SECONDS * sample_rate
    held = []
    for block in _resampled_blocks(Path(path), sample_rate):
        held.append(block)
        while sum(map(len, held)) > longest:
            signal = np.concatenate(held)
            cut = _pause_before(longest, signal, sample_rate=sample_rate)
            held = [signal[cut:].copy()]
            yield signal[:cut]
    signal = np.concatenate(held)
    if not len(signal):
        raise AudioError(path, "holds no sound")
    yield signal


def _resampled_blocks(path: Path, sample_rate: int) -> Iterator[np.ndarray]:
    """The file's sound as float64 mono at `sample_rate`, on the int16 scale, shape (samples,) a block."""
    with _open(path) as sound:
        weights = channel_weights(path) if sound.channels > 1 else None
        mono = (
            INT16_FULL_SCALE * (block[:, 0] if weights is None else block @ weights) for block in _blocks(sound, path)
        )
        if sound.samplerate == sample_rate:
            yield from mono
            return
        resampler = soxr.ResampleStream(sound.samplerate, sample_rate, 1, dtype="float64", quality="VHQ")
        for block in mono:
            yield resampler.resample_chunk(block, last=not len(block))


def _pause_before(stop: int, signal: np.ndarray, *, sample_rate: int) -> int:
    """The middle (sample) of the quietest 50 ms in the ten seconds before sample `stop`."""
    frame_length = round(CUT_FRAME * sample_rate)
    frames = signal[max(stop - CUT_SECONDS * sample_rate, 0) : stop]
    frames = frames[len(frames) % frame_length :].reshape(-1, frame_length)
    return stop - (len(frames) - int(frames.std(axis=1).argmin())) * frame_length + frame_length // 2


def channel_weights(path: Path) -> np.ndarray:
    """How a file's channels are mixed to mono, shape (channels,), sum 1.

    They are averaged, without those that hold next to nothing (20 dB below the loudest: an empty second channel would
    weaken the sound). Where the average has lost 10 dB against the loudest channel, as it does where channels are in
    antiphase and cancel each other, that channel is taken alone. Powers are of the whole file and without its offset.
    """
    n_samples, total, products = 0, 0, 0
    with _open(path) as sound:
        for block in _blocks(sound, path):
            n_samples, total, products = n_samples + len(block), total + block.sum(axis=0), products + block.T @ block
    if not n_samples:
        raise AudioError(path, "holds no sound")
    covariance = products / n_samples - np.outer(total, total) / n_samples**2
    power = covariance.diagonal().clip(min=0)  # rounding leaves less than nothing of a constant
    sounding = power >= power.max() / 100
    weights = sounding / sounding.sum()
    if weights @ covariance @ weights < power.max() / 10:
        weights = np.eye(len(power))[np.argmax(power > 0.999 * power.max())]  # of equals the first
    return weights


def _open(path: Path | str) -> soundfile.SoundFile:
    """The opened file, its header checked. Raises AudioError."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(path, "is a folder, not a sound file")
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            raise AudioError(path, "is not a regular file")
        if not status.st_size:
            raise AudioError(path, "is empty")
        try:
            sound = soundfile.SoundFile(_for_libsndfile(path))
        except soundfile.LibsndfileError:
            open(path, "rb").close()  # libsndfile does not say that a file may not be read, and this does
            raise
    except AudioError:
        raise
    # TypeError: soundfile's for files named .raw; ValueError: Python's for a path with a null character
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError) as error:
        raise AudioError(path, f"not a readable sound file ({_reason(error)})") from None
    if not SAMPLE_RATES[0] <= sound.samplerate <= SAMPLE_RATES[1]:
        problem = f"its header says {sound.samplerate} Hz, which is no sample rate of sound"
    elif sound.channels > MAX_CHANNELS:
        problem = f"has {sound.channels} channels, and at most {MAX_CHANNELS} are read"
    elif sound.frames < 1:
        problem = "holds no sound"
    elif sound.frames > MAX_SECONDS * sound.samplerate:
        problem = "is longer than an hour (or does not say how long it is); cut it first"
    elif sound.frames * sound.channels > MAX_VALUES:
        problem = f"is too much sound ({sound.channels} channels at {sound.samplerate} Hz); cut it first"
    elif _is_cut_short(sound.extra_info):
        problem = CUT_SHORT_PROBLEM
    else:
        return sound
    sound.close()
    raise AudioError(path, problem)


def _for_libsndfile(path: Path | str) -> bytes | str:
    """The path as bytes, which need not be UTF-8, and never just '-', which libsndfile takes for the standard input."""
    absolute = os.path.abspath(path)
    return absolute if os.name == "nt" else os.fsencode(absolute)


def _is_cut_short(told: str) -> bool:
    sizes = CUT_SHORT.search(told)
    return sizes is not None and int(sizes[2]) / LEAST_SHARE < int(sizes[1]) < UNKNOWN_SIZE


def _blocks(sound: soundfile.SoundFile, path: Path) -> Iterator[np.ndarray]:
    """The file's sound in -1…1, float64 of shape (samples, channels) a block; the last one is empty."""
    limit, n_read = MAX_SECONDS * sound.samplerate, 0
    while True:
        try:
            block = sound.read(BLOCK, dtype="float64", always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioError(path, f"is damaged ({_reason(error)})") from None
        n_read += len(block)
        if n_read > limit:
            raise AudioError(path, "is longer than an hour; cut it first")
        loudest = np.abs(block).max(initial=0)
        if not np.isfinite(loudest):
            raise AudioError(path, "holds samples that are not finite numbers")
        if loudest > MAX_AMPLITUDE:
            raise AudioError(path, "holds floats far outside -1…1")
        yield block
        if not len(block):
            if n_read < LEAST_SHARE * sound.frames:  # an MP3 cut off; others' headers have been compared with the file
                raise AudioError(path, CUT_SHORT_PROBLEM)
            return


def printable(path: Path | str) -> str:
    """A path as one line that any terminal can show: line breaks, bytes that are no UTF-8 and the like as escapes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(path))


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()).rstrip(".")
