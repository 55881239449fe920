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
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from speaker_gender.config import RECORDING_SAMPLES, SAMPLE_RATE

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

FRAME, HOP = 0.040, 0.010  # seconds
LEVEL_BAND = (80, 8_000)  # Hz: above rumble and a mains hum's fundamental, with the fricatives
PITCH_BAND = (80, 4_000)  # Hz, of the harmonics that tell voicing
PITCHES = (60, 420)  # Hz
MIN_PERIODICITY = 0.3  # of 1; noise hardly ever reaches it in three frames with one pitch, a vowel does
MAX_PITCH_STEP = 0.15  # from frame to frame; where there is no pitch it jumps about
MIN_VOICED = 3  # frames in a row
SILENCE = -72  # dBFS of the loudest frame; AudioMNIST's quietest recording has -51
ABOVE_FLOOR = 6  # dB over the recording's noise floor
VOICED_RANGE, SPEECH_RANGE = 30, 35  # dB below the loudest voiced frame
STEADY_LEVEL, STEADY_PITCH = 1, 0.02  # dB, ratio: within these a voice never keeps, and a tone does
MIN_SPEECH = 0.1  # seconds
LONGEST_GAP = 0.2  # seconds: a plosive's closure within a word is shorter
MARGIN = 0.1  # seconds of surroundings around speech, as in AudioMNIST
SHORTEST_CUT = 0.3  # seconds: no window cut from longer speech is shorter
CLIPPED_AMPLITUDE, CLIPPED_SHARE = 0.8, 0.1  # of the peak, of the speech's samples


class AudioError(ValueError):
    """A sound file that cannot be read; the message is one line that names the file, and `problem` the rest of it."""

    def __init__(self, path: Path | str, problem: str):
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.problem}"


class Window(NamedTuple):
    """A part of a recording with speech in it: where it starts (samples), and its signal, shape (samples,)."""

    start: int
    signal: np.ndarray


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


def find_speech(signal: np.ndarray, *, sample_rate: int) -> tuple[list[Window], str | None]:
    """The windows with speech in a recording, and why there are none: what the next two functions give, at once."""
    stretches, reason, level = _analyse_speech(signal, sample_rate=sample_rate)
    longest = RECORDING_SAMPLES * sample_rate // SAMPLE_RATE
    if reason:
        return [], reason
    if len(signal) <= longest:
        return [Window(0, signal)], None
    pieces = [piece for stretch in stretches for piece in _cut(*stretch, longest, level, sample_rate)]
    return [Window(start, signal[start:stop]) for start, stop in pieces], None


def why_not_speech(signal: np.ndarray, *, sample_rate: int) -> str | None:
    """Why a recording cannot be classified: 'too short', 'silence', 'noise only', 'clipped'; None where it can be.

    signal: on the int16 scale, shape (samples,). Only 'silence' depends on the scale (no frame above -72 dBFS). Noise
    is what is not voiced, or steady: hiss, hum, tones, clicks, and whispering, in which there is no pitch either.
    Speech or a recording under 0.1 s is too short. Clipped: a tenth of the samples of speech are near their peak.
    """
    return find_speech(signal, sample_rate=sample_rate)[1]


def speech_windows(signal: np.ndarray, *, sample_rate: int) -> list[Window]:
    """The recording in pieces of at most 47,998 samples (at 48 kHz) with speech in them, in order.

    signal: on the int16 scale, shape (samples,). A recording that is no longer than that is one window, as it is in
    training. Else each stretch of speech between pauses is one, with 0.1 s around it; a longer stretch is cut where it
    is quietest between half a window and a whole one. Empty where `why_not_speech` has a reason. Windows are views.
    """
    return find_speech(signal, sample_rate=sample_rate)[0]


def _cut(start: int, stop: int, longest: int, level: np.ndarray, sample_rate: int) -> list[tuple[int, int]]:
    """A stretch (samples) in pieces of at most `longest`, cut where `level` (dB a frame) is lowest."""
    hop_length, shortest = round(HOP * sample_rate), round(SHORTEST_CUT * sample_rate)
    pieces = []
    while stop - start > longest:
        first = -(-(start + longest // 2) // hop_length)
        last = min(start + longest, stop - shortest) // hop_length
        cut = (first + int(np.argmin(level[first : last + 1]))) * hop_length
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, stop)]


def _analyse_speech(signal: np.ndarray, *, sample_rate: int) -> tuple[list[tuple[int, int]], str | None, np.ndarray]:
    """Stretches of speech with their margins (first and last sample), why there are none, level of each frame (dB)."""
    if len(signal) < MIN_SPEECH * sample_rate:
        return [], "too short", np.empty(0)
    level, periodicity, pitch = _analyse(signal, sample_rate=sample_rate)
    if level.max() < SILENCE:
        return [], "silence", level
    floor = np.percentile(level, 10) + ABOVE_FLOOR
    voiced = _in_runs((periodicity > MIN_PERIODICITY) & (level > floor), pitch)
    if not voiced.any():
        return [], "noise only", level
    loudest = level[voiced].max()  # of the voice, because a click may be louder
    voiced &= level > loudest - VOICED_RANGE
    if _is_tone(level[voiced], pitch[voiced]):
        return [], "noise only", level

    active = level > max(floor, loudest - SPEECH_RANGE)
    cores = np.zeros(len(active), dtype=bool)  # one piece of a tenth of a second: knocks in a row are none
    for first, last in _stretches(active, longest_gap=0):
        is_long = last + 1 - first >= MIN_SPEECH / HOP
        cores[first : last + 1] = is_long and voiced[first : last + 1].sum() >= MIN_VOICED
    stretches = _stretches(active, longest_gap=round(LONGEST_GAP / HOP))
    stretches = [(first, last) for first, last in stretches if cores[first : last + 1].any()]
    if not stretches:
        return [], "too short", level
    hop_length, margin = round(HOP * sample_rate), round(MARGIN * sample_rate)
    spans = [
        (max(first * hop_length - margin, 0), min(last * hop_length + margin, len(signal))) for first, last in stretches
    ]
    peak = max(np.abs(signal[start:stop]).max() for start, stop in spans)
    n_near_peak = sum(np.sum(np.abs(signal[start:stop]) > CLIPPED_AMPLITUDE * peak) for start, stop in spans)
    clipped = n_near_peak > CLIPPED_SHARE * sum(stop - start for start, stop in spans)
    return spans, "clipped" if clipped else None, level


def _analyse(signal: np.ndarray, *, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level (dBFS), periodicity (1: perfectly periodic) and pitch (Hz) of each frame, all of shape (frames,).

    Frame i is centred on sample i × 10 ms. Periodicity is the highest peak of the autocorrelation, divided by the
    window's own (Boersma 1993). The autocorrelation is the inverse transform of the power spectrum, here weighted by
    the root of frequency: noise that is strongest at low frequencies would look periodic otherwise.
    """
    frame_length, hop_length, n_fft = (round(seconds * sample_rate) for seconds in (FRAME, HOP, 0.064))
    window = np.hanning(frame_length + 1)[:-1]
    frequency = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    in_level = (frequency >= LEVEL_BAND[0]) & (frequency <= LEVEL_BAND[1])
    n_bins = np.searchsorted(frequency, min(PITCH_BAND[1], sample_rate / 2))  # fewer bins: a lower rate of lags
    weight = np.where(frequency >= PITCH_BAND[0], np.sqrt(frequency), 0)[:n_bins]
    lag_rate = 2 * (n_bins - 1) / n_fft * sample_rate
    lags = np.arange(int(lag_rate / PITCHES[1]) - 1, int(lag_rate / PITCHES[0]) + 2)
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, n_fft)[:n_bins]) ** 2)
    full_scale = INT16_FULL_SCALE**2 * np.sum(window**2) * n_fft / 2

    n_frames, at_a_time = len(signal) // hop_length + 1, 1_000  # 10 s: an hour's frames would not fit into memory
    level, periodicity, pitch = [], [], []
    for start in range(0, n_frames, at_a_time):
        first = start * hop_length - frame_length // 2
        last = first + (min(at_a_time, n_frames - start) - 1) * hop_length + frame_length
        piece = signal[max(first, 0) : last]
        piece = np.pad(piece, (max(-first, 0), max(last - len(signal), 0)), mode="edge")
        block = np.lib.stride_tricks.sliding_window_view(piece, frame_length)[::hop_length]
        block = (block - block.mean(axis=1, keepdims=True)) * window  # an offset would leak into every band
        power = np.abs(np.fft.rfft(block, n_fft)) ** 2
        level.append(10 * np.log10(power[:, in_level].sum(axis=1) / full_scale + 1e-20))
        autocorrelation = np.fft.irfft(power[:, :n_bins] * weight)
        normal = np.maximum(autocorrelation[:, :1], 1e-20) * of_window[lags] / of_window[0]
        height = autocorrelation[:, lags] / normal
        before, here, after = height[:, :-2], height[:, 1:-1], height[:, 2:]
        peaks = np.where((here >= before) & (here >= after), here, 0)
        periodicity.append(peaks.max(axis=1))
        pitch.append(lag_rate / lags[1:-1][peaks.argmax(axis=1)])
    return np.concatenate(level), np.concatenate(periodicity), np.concatenate(pitch)


def _in_runs(candidates: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Those of the candidate frames (bool) that follow each other in threes or more, with a pitch that moves slowly."""
    voiced = np.zeros(len(candidates), dtype=bool)
    joined = candidates[1:] & candidates[:-1] & (np.abs(np.diff(np.log(pitch))) < MAX_PITCH_STEP)
    for first, last in _stretches(joined, longest_gap=0):
        if last + 2 - first >= MIN_VOICED:
            voiced[first : last + 2] = True
    return voiced


def _stretches(active: np.ndarray, *, longest_gap: int) -> list[tuple[int, int]]:
    """First and last frame of each stretch of active frames, across gaps of up to `longest_gap` frames."""
    indices = np.flatnonzero(active)
    breaks = np.flatnonzero(np.diff(indices) > longest_gap + 1)
    if not len(indices):
        return []
    return list(zip(indices[np.r_[0, breaks + 1]].tolist(), indices[np.r_[breaks, len(indices) - 1]].tolist()))


def _is_tone(level: np.ndarray, pitch: np.ndarray) -> bool:
    """Whether most voiced frames have one level (dB) and one pitch (Hz): a hum or a beep."""
    quietest, loudest = np.percentile(level, [20, 80])
    lowest, highest = np.percentile(pitch, [20, 80])
    return loudest - quietest < STEADY_LEVEL and highest / lowest < 1 + STEADY_PITCH


def printable(path: Path | str) -> str:
    """A path as one line that any terminal can show: line breaks, bytes that are no UTF-8 and the like as escapes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(path))


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()).rstrip(".")
