"""From a sound file to the signal that every image is made from.

`read_signal` gives mono, one sample rate, on the scale of int16, whatever the encoding. The scale matters: the
study's images were made from int16 values, and the zeroth cepstral coefficient moves by hundreds when the same sound
arrives as floats in -1…1. `read_pieces` does the same for recordings too long to be held in memory.
"""

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from speaker_gender.config import SAMPLE_RATE
from speaker_gender.sound import decoding
from speaker_gender.sound.decoding import AudioError, open_sound
from speaker_gender.sound.decoding import printable as printable
from speaker_gender.sound.remote import is_url, local_copy

VERSION = 2  # part of many keys: raise it when a change here changes the signal of a WAV

INT16_FULL_SCALE = 32_768

PIECE_SECONDS = 300  # of a file that are held in memory: 115 MB of float64 at 48 kHz
CUT_SECONDS, CUT_FRAME = 10, 0.05  # seconds at the end of a piece in which it may be cut, and how long a pause is

SOUNDING = 100  # times the power of a channel that is left out of the mix
LEVEL_FRAME = 0.1  # seconds for which channels' levels are compared
LOUDER = 10  # times the power of every other channel: a channel sounds alone
LEAST_ALONE = 3  # frames
QUIETEST = 10 ** (-84 / 10)  # power in -1…1 under which nothing sounds


def read_header(path: Path | str) -> tuple[int, int, str]:
    """Length, sample rate and encoding of a sound file, decoding it only where no header can be believed.

    `path`: a file in any format that `read_signal` reads, or its URL. Raises AudioError where there is no readable
    sound file, or less sound in it than its header says.

    Returns
    -------
    samples : int
        Of each channel.
    sample_rate : int
        In Hz.
    encoding : str
        Such as 'PCM_16' or 'mp3'.
    """
    with _reading(path) as file, closing(open_sound(file)) as sound:
        samples, sample_rate, encoding = sound.header
        if samples is None:
            samples = sum(map(len, sound.blocks()))
        if sound.problem is not None:
            raise AudioError(file, sound.problem)
        return samples, sample_rate, encoding


@contextmanager
def _reading(path: Path | str) -> Iterator[Path | str]:
    """The file itself, or for as long as the block takes a copy of what lies at a URL.

    Whatever goes wrong in the block is an AudioError that names the file or the URL.
    """
    try:
        if not is_url(path):
            yield path
            return
        try:
            with local_copy(str(path)) as file:
                yield file
        except OSError as error:
            raise AudioError(path, f"cannot be fetched ({error.strerror or error})") from None
    except AudioError as error:
        raise AudioError(path, error.problem) from None
    except OSError as error:
        raise AudioError(path, f"cannot be read ({error.strerror or error})") from None
    except Exception as error:  # libraries have errors of their own for what damaged files make them do
        reason = " ".join(str(error).split()) or "no reason given"
        raise AudioError(path, f"cannot be read ({type(error).__name__}: {reason})") from None


def read_signal(path: Path | str, *, sample_rate: int = SAMPLE_RATE, report: list[str] | None = None) -> np.ndarray:
    """The recording in a sound file as one signal: mono, one sample rate, one scale.

    16-bit mono at `sample_rate` comes back as exactly its integer values; another rate is resampled (soxr, very high
    quality); `measure_channels` says how channels are mixed. Returns float64 on the int16 scale (±32,768),
    shape (samples,). Raises AudioError for a file that cannot be read, is longer than five minutes, or holds values
    that are no sound.

    Parameters
    ----------
    path : Path or str
        A file in any format that libsndfile or FFmpeg reads (WAV, FLAC, MP3, M4A, Ogg, WebM, films' sound, …), or the
        URL of one, which fsspec fetches.
    sample_rate : int
        Of the signal, in Hz.
    report : list of str, optional
        Gets what is wrong with a file that is cut off or damaged, which is then read as far as it goes, and which of
        several audio tracks are read. Without it, as where a corpus is read, a file with something wrong is an error.
    """
    first, *others = itertools.islice(read_pieces(path, sample_rate=sample_rate, report=report), 2)
    if others:
        raise AudioError(path, f"is longer than {PIECE_SECONDS} seconds; cut it first")
    return first


def read_pieces(
    path: Path | str,
    *,
    sample_rate: int = SAMPLE_RATE,
    report: list[str] | None = None,
    weights: np.ndarray | int | None = None,
) -> Iterator[np.ndarray]:
    """The recording in consecutive pieces of at most five minutes, each cut where it is quietest.

    `path`, `sample_rate`, `report`: as for `read_signal`. `weights`: how channels are mixed, shape (channels,) or, for
    several mixes side by side, (channels, mixes); the number of the one channel that is read; by default as
    `measure_channels` finds. Yields ndarray: float64 on the int16 scale, shape (samples,) or (samples, mixes), of which
    pieces are as many times shorter; all of them, one after the other, are the whole signal. Raises AudioError as
    `read_signal` does, but for files longer than twelve hours.
    """
    with _reading(path) as file:
        yield from _pieces(file, sample_rate, report, weights)


def _pieces(path: Path | str, sample_rate: int, report: list[str] | None, weights: np.ndarray | int | None):
    longest = PIECE_SECONDS * sample_rate // _n_mixes(weights)
    held: list[np.ndarray] = []
    for block in _resampled_blocks(path, sample_rate, report, weights):
        held.append(block)
        while sum(map(len, held)) > longest:
            signal = np.concatenate(held)
            cut = _pause_before(longest, signal, sample_rate=sample_rate)
            held = [signal[cut:].copy()]
            yield signal[:cut]
    signal = np.concatenate(held) if held else np.empty(0)
    if not len(signal):
        raise AudioError(path, "holds no sound")
    yield signal


def _resampled_blocks(
    path: Path | str, sample_rate: int, report: list[str] | None, weights: np.ndarray | int | None
) -> Iterator[np.ndarray]:
    """The file's sound as float64 at `sample_rate`, on the int16 scale, (samples,) or (samples, mixes) a block."""
    with closing(open_sound(path)) as sound:
        if isinstance(weights, int):
            weights = np.eye(sound.channels)[weights]
        elif weights is None and (channels := measure_channels(path) if sound.channels > 1 else None):
            weights = channels.weights
        if isinstance(weights, np.ndarray) and len(weights) != sound.channels:
            raise AudioError(path, "was replaced by another file while it was read")
        mixed = (
            INT16_FULL_SCALE * (block[:, 0] if weights is None else block @ weights) for block in _checked(sound, path)
        )
        if sound.header.sample_rate == sample_rate:
            yield from mixed
        else:
            rates = sound.header.sample_rate, sample_rate
            resampler = soxr.ResampleStream(*rates, _n_mixes(weights), dtype="float64", quality="VHQ")
            for block in mixed:
                yield resampler.resample_chunk(block)
            yield resampler.resample_chunk(block[:0], last=True)
        if sound.problem and report is None:
            raise AudioError(path, sound.problem)
        if report is not None:
            report += ([sound.problem] if sound.problem else []) + [*sound.notes]
            report += [_tracks_in_words(weights)] if sound.n_tracks > 1 and isinstance(weights, np.ndarray) else []


def _n_mixes(weights: np.ndarray | int | None) -> int:
    return weights.shape[1] if isinstance(weights, np.ndarray) and weights.ndim == 2 else 1


def _tracks_in_words(weights: np.ndarray) -> str:
    """Which audio tracks are read, as the rest of a sentence about the file."""
    n_tracks, heard = len(weights), np.flatnonzero(weights.reshape(len(weights), -1).any(axis=1)) + 1
    if len(heard) == n_tracks:
        return f"has {n_tracks} audio tracks, which were all heard"
    which = f"track {heard[0]} was" if len(heard) == 1 else f"tracks {', '.join(map(str, heard))} were"
    return f"has {n_tracks} audio tracks; only {which} loud enough to be heard"


def _pause_before(stop: int, signal: np.ndarray, *, sample_rate: int) -> int:
    """The middle (sample) of the quietest 50 ms in the ten seconds before sample `stop`."""
    frame_length = round(CUT_FRAME * sample_rate)
    frames = signal[max(stop - CUT_SECONDS * sample_rate, 0) : stop]
    frames = frames[len(frames) % frame_length :].reshape(-1, frame_length, *signal.shape[1:])
    levels = frames.std(axis=1).reshape(len(frames), -1).sum(axis=1)
    return stop - (len(frames) - int(levels.argmin())) * frame_length + frame_length // 2


class Channels(NamedTuple):
    """How a file's channels differ.

    weights: how they are mixed to mono, shape (channels,), sum 1; alone: those that are the only one to sound, by
    10 dB, for a third of a second in all, numbered from 0.
    """

    weights: np.ndarray
    alone: tuple[int, ...]


def measure_channels(path: Path | str) -> Channels | None:
    """How a file's channels are mixed to mono, and which of them may hold a sound of their own; None for mono.

    They are averaged, without those that hold next to nothing (20 dB below the loudest: an empty second channel would
    weaken the sound). Where the average has lost 10 dB against the loudest channel, as it does where channels are in
    antiphase and cancel each other, that channel is taken alone. Powers are of the whole file and without its offset.
    `path`: a sound file. Raises AudioError as `read_signal` does.
    """
    n_samples, total, products = 0, np.zeros(1), np.zeros((1, 1))
    levels, rest = [], None
    with _reading(path) as file, closing(open_sound(file)) as sound:
        if sound.channels < 2:
            return None
        length = round(LEVEL_FRAME * sound.header.sample_rate)
        for block in _checked(sound, file):
            n_samples, total, products = n_samples + len(block), total + block.sum(axis=0), products + block.T @ block
            rest = block if rest is None else np.concatenate([rest, block])
            n_frames = len(rest) // length
            levels.append(rest[: n_frames * length].reshape(n_frames, length, -1).var(axis=1).astype(np.float32))
            rest = rest[n_frames * length :]
    covariance = products / n_samples - np.outer(total, total) / n_samples**2
    power = covariance.diagonal().clip(min=0)  # rounding leaves less than nothing of a constant
    sounding = power >= power.max() / SOUNDING
    weights = sounding / sounding.sum()
    if weights @ covariance @ weights < power.max() / 10:
        weights = np.eye(len(power))[np.argmax(power > 0.999 * power.max())]  # of equals the first
    return Channels(weights, _alone(np.concatenate(levels)))


def _alone(levels: np.ndarray) -> tuple[int, ...]:
    """The channels that are the only one to sound for a while, from the power of each frame, (frames, channels)."""
    loudest, second = np.sort(levels, axis=1)[:, [-1, -2]].T
    is_alone = (loudest > QUIETEST) & (loudest > LOUDER * second)
    n_frames = np.bincount(levels.argmax(axis=1)[is_alone], minlength=levels.shape[1])
    return tuple(np.flatnonzero(n_frames >= LEAST_ALONE).tolist())


def _checked(sound: decoding.Libsndfile | decoding.Ffmpeg, path: Path | str) -> Iterator[np.ndarray]:
    """The blocks of a file, as long as they are sound, and no more than can be meant. Raises AudioError."""
    rate, n_read = sound.header.sample_rate, 0
    for block in sound.blocks():
        n_read += len(block)
        if n_read > decoding.MAX_SECONDS * rate or n_read * sound.channels > decoding.MAX_VALUES:
            raise AudioError(path, f"is longer than {decoding.MAX_SECONDS // 3_600} hours; cut it first")
        loudest = np.abs(block).max(initial=0)
        if not np.isfinite(loudest):
            raise AudioError(path, "holds samples that are not finite numbers")
        if loudest > decoding.MAX_AMPLITUDE:
            raise AudioError(path, "holds floats far outside -1…1")
        yield block
    if sound.problem and n_read < decoding.LEAST_SECONDS * rate:
        raise AudioError(path, sound.problem)
    if not n_read:
        raise AudioError(path, "holds no sound")
