"""From a sound file to the signal that every image is made from.

`read_signal` gives mono, one sample rate, on the scale of int16, whatever the encoding. The scale matters: the
study's images were made from int16 values, and the zeroth cepstral coefficient moves by hundreds when the same sound
arrives as floats in -1…1. `read_pieces` does the same for recordings too long to be held in memory.

libsndfile reads uncompressed sound, FFmpeg (PyAV) everything else, whatever the suffix says: it decodes to the last
byte, where libsndfile believes what the header of an MP3 or the first stream of an Ogg file says of the length, and
loses a block of a FLAC file that is cut off.
"""

import itertools
import os
import re
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
import soxr

from speaker_gender.config import SAMPLE_RATE
from speaker_gender.sound.remote import is_url, local_copy

VERSION = 2  # part of many keys: raise it when a change here changes the signal of a WAV

INT16_FULL_SCALE = 32_768

MAX_SECONDS = 12 * 3_600  # of a file
PIECE_SECONDS = 300  # of a file that are held in memory: 115 MB of float64 at 48 kHz
CUT_SECONDS, CUT_FRAME = 10, 0.05  # seconds at the end of a piece in which it may be cut, and how long a pause is
SAMPLE_RATES = (4_000, 768_000)  # Hz: what sound devices have; beyond it a header is wrong
MAX_CHANNELS = 32
MAX_VALUES = MAX_SECONDS * 2 * 48_000  # of all channels; a small FLAC can unpack to far more than that
MAX_AMPLITUDE = 100  # times full scale: floats beyond it are not sound in -1…1
BLOCK = 1 << 16  # samples that are read at a time
LEAST_SECONDS = 0.1  # of what is left of a file that is cut off

# What libsndfile notes of a file with less sound in it than its header says (WAV; AIFF; AU). Sizes from UNKNOWN_SIZE on
# are no sizes: programs that write to a pipe put them there, not knowing better.
CUT_SHORT = re.compile(r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)")
UNKNOWN_SIZE = 0x7F000000  # bytes
LEAST_SHARE = 0.99  # of the sound; some programs count the header's few bytes, too
CODEC_DELAY = 0.15  # seconds that an encoder's delay and padding may add to the length in a header

# How files begin that libsndfile reads, but not always to the end: MP3 (twice), Ogg, FLAC.
BY_FFMPEG = re.compile(rb"ID3|\xff[\xe0-\xff]|OggS|fLaC")
# The containers that FFmpeg may open: none that opens other files or addresses (concat, hls, dash, sdp, image2, …).
DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mp3,"
    "mpc,mpc8,mpeg,mpegts,oga,ogg,oma,qcp,rm,sbc,shn,tak,tta,voc,w64,wav,wv,xwma"
)
OGG_PAGE = 65_307  # bytes at most
ESTIMATED = "Estimating duration from bitrate"  # FFmpeg's note of a length that no header holds
MOST_DAMAGED = 200  # packets in a row without sound after which the rest of a file is given up


class AudioError(ValueError):
    """A sound file that cannot be read; the message is one line that names the file, and `problem` the rest of it."""

    def __init__(self, path: Path | str, problem: str):
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.problem}"


class Header(NamedTuple):
    """What a file says of its sound: samples (None: unknown before it is decoded), sample rate (Hz), encoding."""

    samples: int | None
    sample_rate: int
    encoding: str


def read_header(path: Path | str) -> tuple[int, int, str]:
    """Length, sample rate and encoding of a sound file, decoding it only where no header can be believed.

    Parameters
    ----------
    path : Path or str
        A file in any format that `read_signal` reads, or its URL.

    Returns
    -------
    samples : int
        Of each channel.
    sample_rate : int
        In Hz.
    encoding : str
        Such as 'PCM_16' or 'mp3'.

    Raises
    ------
    AudioError
        Where there is no readable sound file, or less sound in it than its header says.
    """
    with _fetched(path) as file, closing(_open(file)) as sound:
        samples, sample_rate, encoding = sound.header
        if samples is not None and sound.missing is None:
            return samples, sample_rate, encoding
        if sound.missing is None:
            samples = sum(map(len, sound.blocks()))
        if sound.missing is not None:
            raise AudioError(file, sound.missing)
        return samples or 0, sample_rate, encoding


@contextmanager
def _fetched(path: Path | str) -> Iterator[Path | str]:
    """The file itself, or for as long as the block takes a copy of what lies at a URL; errors name the URL."""
    if not is_url(path):
        yield path
        return
    try:
        with local_copy(str(path)) as file:
            yield file
    except AudioError as error:
        raise AudioError(path, error.problem) from None
    except OSError as error:
        raise AudioError(path, f"cannot be fetched ({error.strerror or error})") from None


def read_signal(path: Path | str, *, sample_rate: int = SAMPLE_RATE, report: list[str] | None = None) -> np.ndarray:
    """The recording in a sound file as one signal: mono, one sample rate, one scale.

    16-bit mono at `sample_rate` comes back as exactly its integer values; another rate is resampled (soxr, very high
    quality); `channel_weights` says how channels are mixed.

    Parameters
    ----------
    path : Path or str
        A file in any format that libsndfile or FFmpeg reads (WAV, FLAC, MP3, M4A, Ogg, WebM, films' sound, …), or the
        URL of one, which fsspec fetches.
    sample_rate : int
        Of the signal, in Hz.
    report : list of str, optional
        Gets what is wrong with a file that is cut off, which is then read as far as it goes; without it, as where a
        corpus is read, such a file is an error.

    Returns
    -------
    ndarray
        float64 on the int16 scale (±32,768), shape (samples,).

    Raises
    ------
    AudioError
        For a file that cannot be read, is longer than five minutes, or holds values that are no sound.
    """
    first, *others = itertools.islice(read_pieces(path, sample_rate=sample_rate, report=report), 2)
    if others:
        raise AudioError(path, f"is longer than {PIECE_SECONDS} seconds; cut it first")
    return first


def read_pieces(
    path: Path | str, *, sample_rate: int = SAMPLE_RATE, report: list[str] | None = None
) -> Iterator[np.ndarray]:
    """The recording in consecutive pieces of at most five minutes, each cut where it is quietest.

    Parameters
    ----------
    path, sample_rate, report
        As for `read_signal`.

    Yields
    ------
    ndarray
        float64 on the int16 scale, shape (samples,); all of them, one after the other, are the whole signal.

    Raises
    ------
    AudioError
        As `read_signal` does, but for files longer than twelve hours.
    """
    with _fetched(path) as file:
        yield from _pieces(file, sample_rate, report)


def _pieces(path: Path | str, sample_rate: int, report: list[str] | None) -> Iterator[np.ndarray]:
    longest = PIECE_SECONDS * sample_rate
    held: list[np.ndarray] = []
    for block in _resampled_blocks(path, sample_rate, report):
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


def _resampled_blocks(path: Path | str, sample_rate: int, report: list[str] | None) -> Iterator[np.ndarray]:
    """The file's sound as float64 mono at `sample_rate`, on the int16 scale, shape (samples,) a block."""
    with closing(_open(path)) as sound:
        weights = channel_weights(path) if sound.channels > 1 else None
        mono = (
            INT16_FULL_SCALE * (block[:, 0] if weights is None else block @ weights) for block in _checked(sound, path)
        )
        if sound.header.sample_rate == sample_rate:
            yield from mono
        else:
            resampler = soxr.ResampleStream(sound.header.sample_rate, sample_rate, 1, dtype="float64", quality="VHQ")
            for block in mono:
                yield resampler.resample_chunk(block)
            yield resampler.resample_chunk(np.empty(0), last=True)
        if sound.missing and report is None:
            raise AudioError(path, sound.missing)
        if sound.missing and report is not None:
            report.append(sound.missing)


def _pause_before(stop: int, signal: np.ndarray, *, sample_rate: int) -> int:
    """The middle (sample) of the quietest 50 ms in the ten seconds before sample `stop`."""
    frame_length = round(CUT_FRAME * sample_rate)
    frames = signal[max(stop - CUT_SECONDS * sample_rate, 0) : stop]
    frames = frames[len(frames) % frame_length :].reshape(-1, frame_length)
    return stop - (len(frames) - int(frames.std(axis=1).argmin())) * frame_length + frame_length // 2


def channel_weights(path: Path | str) -> np.ndarray:
    """How a file's channels are mixed to mono.

    They are averaged, without those that hold next to nothing (20 dB below the loudest: an empty second channel would
    weaken the sound). Where the average has lost 10 dB against the loudest channel, as it does where channels are in
    antiphase and cancel each other, that channel is taken alone. Powers are of the whole file and without its offset.

    Parameters
    ----------
    path : Path or str
        A sound file.

    Returns
    -------
    ndarray
        Shape (channels,), sum 1.

    Raises
    ------
    AudioError
        As `read_signal` does.
    """
    n_samples, total, products = 0, np.zeros(1), np.zeros((1, 1))
    with closing(_open(path)) as sound:
        for block in _checked(sound, path):
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


class _Libsndfile:
    """An open file that libsndfile reads. missing: what is wrong with its length, known at the end at the latest."""

    missing: str | None

    def __init__(self, sound: soundfile.SoundFile):
        self.sound, self.channels = sound, sound.channels
        self.header, self.missing = Header(sound.frames, sound.samplerate, sound.subtype), None
        sizes = CUT_SHORT.search(sound.extra_info)
        if sizes and int(sizes[2]) < LEAST_SHARE * int(sizes[1]) and int(sizes[1]) < UNKNOWN_SIZE:
            declared = round(sound.frames * int(sizes[1]) / max(int(sizes[2]), 1))
            self.missing = _cut_short(sound.frames, declared, sound.samplerate)

    def blocks(self) -> Iterator[np.ndarray]:
        """The sound in -1…1, float64 of shape (samples, channels) a block."""
        n_read, damaged = 0, False
        while True:
            try:
                block = self.sound.read(BLOCK, dtype="float64", always_2d=True)
            except (soundfile.LibsndfileError, OSError):
                block, damaged = np.empty((0, self.channels)), True
            if not len(block):
                break
            n_read += len(block)
            yield block
        if damaged or n_read < LEAST_SHARE * self.sound.frames:
            self.missing = _cut_short(n_read, self.sound.frames, self.header.sample_rate)

    def close(self) -> None:
        self.sound.close()


class _Ffmpeg:
    """An open file that FFmpeg reads, with the same attributes; raises AudioError where it holds no sound."""

    missing: str | None
    declared: int | None  # samples, where a header holds them
    container: Any

    def __init__(self, path: Path | str):
        import av  # here, because most recordings are WAVs and it takes a third of a second

        self.path, self.missing, self.file = path, None, open(path, "rb")
        whitelists = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
        level = av.logging.get_level()
        try:
            av.logging.set_level(av.logging.INFO)
            with av.logging.Capture() as notes:
                self.container = av.open(self.file, options=whitelists, metadata_errors="ignore")
            self.stream: Any = self.container.streams.audio[0]
            context = self.stream.codec_context
            # As the header says; what is decoded may differ, and is converted to it.
            self.layout, rate, encoding = context.layout, context.sample_rate, context.name
            self.channels = self.layout.nb_channels
            if rate < 1:  # as of a text whose name ends in .flac
                raise ValueError
        except IndexError:
            self.close()
            raise AudioError(path, "holds no sound that can be read: it is a film without sound") from None
        except (av.FFmpegError, ValueError, OSError, RuntimeError, AttributeError):
            self.file.close()
            raise AudioError(path, _what_it_is(path)) from None
        finally:
            av.logging.set_level(level)
        self.declared, duration = None, float((self.stream.duration or 0) * self.stream.time_base)
        if not duration and len(self.container.streams) == 1:  # of a film, the picture may be longer than the sound
            duration = (self.container.duration or 0) / av.time_base
        if duration and not any(ESTIMATED in note[2] for note in notes):
            self.declared = round(duration * rate)
        known = self.declared if self.container.format.name == "flac" else None  # the others are known when decoded
        self.header = Header(known, rate, encoding)

    def blocks(self) -> Iterator[np.ndarray]:
        """The sound in -1…1, float64 of shape (samples, channels) a block, decoded to the end of the file."""
        import av

        n_read, held, resampler, kind = 0, [], None, None
        for frame in self._frames(av):
            if resampler is None or (frame is not None and _kind_of(frame) != kind):
                # Joined files may change their rate or channels on the way: what follows is converted to the first's.
                kind = frame and _kind_of(frame)
                resampler = av.AudioResampler("dbl", layout=self.layout, rate=self.header.sample_rate)
            for converted in resampler.resample(frame):
                held.append(converted.to_ndarray().reshape(-1, self.channels))
            if sum(map(len, held)) >= BLOCK or frame is None:
                if held:
                    n_read += sum(map(len, held))
                    yield np.concatenate(held)
                held = []
        declared = self.declared or 0
        if n_read < LEAST_SHARE * declared - CODEC_DELAY * self.header.sample_rate:
            self.missing = _cut_short(n_read, declared, self.header.sample_rate)
        elif _is_torn_ogg(self.path):
            self.missing = (
                f"is cut short, or its recorder did not end it: {n_read / self.header.sample_rate:.1f} s are there"
            )

    def _frames(self, av):
        """Decoded frames, then one None; packets that cannot be decoded are left out."""
        damaged = 0
        packets = self.container.demux(self.stream)
        while damaged < MOST_DAMAGED:
            try:
                frames = next(packets).decode()
            except StopIteration:
                break
            except (av.FFmpegError, ValueError, RuntimeError):
                damaged += 1
                continue
            if frames:
                damaged = 0
                yield from frames
        yield None

    def close(self) -> None:
        self.container.close()
        self.file.close()


def _kind_of(frame) -> tuple:
    return frame.format.name, frame.layout.name, frame.sample_rate


def _is_torn_ogg(path: Path | str) -> bool:
    """Whether an Ogg file ends without the page that ends its stream (RFC 3533, 6: the flag 4 in a page's header)."""
    with open(path, "rb") as file:
        if file.read(4) != b"OggS":
            return False
        file.seek(max(os.path.getsize(path) - OGG_PAGE, 0))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[27 : 27 + page[26]] if len(page) > 27 else b""
    return not page[5:6] or not page[5] & 4 or len(page) < 27 + len(segments) + sum(segments)


def _cut_short(n_read: int, declared: int, sample_rate: int) -> str:
    return f"is cut short: {n_read / sample_rate:.1f} of {declared / sample_rate:.1f} s are there"


def _open(path: Path | str) -> "_Libsndfile | _Ffmpeg":
    """The opened file, its header checked. Raises AudioError."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(path, "is a folder, not a sound file")
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            raise AudioError(path, "is not a regular file")
        if not status.st_size:
            raise AudioError(path, "is empty")
        with open(path, "rb") as file:
            head = file.read(4)
    except AudioError:
        raise
    except (OSError, ValueError) as error:  # ValueError: Python's for a path with a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(path, f"cannot be opened ({reason})") from None
    sound = (None if BY_FFMPEG.match(head) else _by_libsndfile(path)) or _Ffmpeg(path)
    rate, channels = sound.header.sample_rate, sound.channels
    length = sound.header.samples or getattr(sound, "declared", None) or 0
    if not SAMPLE_RATES[0] <= rate <= SAMPLE_RATES[1]:
        problem = f"its header says {rate} Hz, which is no sample rate of sound"
    elif channels < 1:
        problem = "its header says that it has no channels"
    elif channels > MAX_CHANNELS:
        problem = f"has {channels} channels, and at most {MAX_CHANNELS} are read"
    elif length > MAX_SECONDS * rate:
        problem = f"is longer than {MAX_SECONDS // 3_600} hours (or does not say how long it is); cut it first"
    elif length * channels > MAX_VALUES:
        problem = f"is too much sound ({channels} channels at {rate} Hz); cut it first"
    else:
        return sound
    sound.close()
    raise AudioError(path, problem)


def _by_libsndfile(path: Path | str) -> _Libsndfile | None:
    """The file opened by libsndfile; None where FFmpeg reads it better, or it alone."""
    try:
        sound = soundfile.SoundFile(_for_libsndfile(path))
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):  # TypeError: soundfile's for a name in .raw
        return None
    if "MPEG" in sound.subtype or sound.frames < 1:  # a recorder that crashed leaves a length of 0 in the header
        sound.close()
        return None
    return _Libsndfile(sound)


def _for_libsndfile(path: Path | str) -> bytes | str:
    """The path as bytes, which need not be UTF-8, and never just '-', which libsndfile takes for the standard input."""
    absolute = os.path.abspath(path)
    return absolute if os.name == "nt" else os.fsencode(absolute)


def _checked(sound: "_Libsndfile | _Ffmpeg", path: Path | str) -> Iterator[np.ndarray]:
    """The blocks of a file, as long as they are sound, and no more than can be meant. Raises AudioError."""
    rate, n_read = sound.header.sample_rate, 0
    for block in sound.blocks():
        n_read += len(block)
        if n_read > MAX_SECONDS * rate or n_read * sound.channels > MAX_VALUES:
            raise AudioError(path, f"is longer than {MAX_SECONDS // 3_600} hours; cut it first")
        loudest = np.abs(block).max(initial=0)
        if not np.isfinite(loudest):
            raise AudioError(path, "holds samples that are not finite numbers")
        if loudest > MAX_AMPLITUDE:
            raise AudioError(path, "holds floats far outside -1…1")
        yield block
    if not n_read:
        raise AudioError(path, "holds no sound")
    if sound.missing and n_read < LEAST_SECONDS * rate:
        raise AudioError(path, sound.missing)


def _what_it_is(path: Path | str) -> str:
    """What a file is that is no sound, as the rest of a sentence about it."""
    import puremagic  # here, because few files are no sound

    with open(path, "rb") as file:
        head = file.read(4_096)
    if head.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the recording; git lfs pull brings it"
    if not any(head):
        return "is not a sound file of a known format: it begins with zeros"
    try:
        names = [match.name for match in puremagic.magic_string(head) if match.confidence >= 0.4 and match.name]
    except (puremagic.PureError, ValueError):
        names = []
    if names:
        return f"holds no sound that can be read (it looks like: {names[0]}; is it cut off?)"
    if _is_text(head):
        return "is text, not sound"
    return "is not a sound file of a known format, or is damaged"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < 4_096 else "ignore")
    except UnicodeDecodeError:
        return False
    return all(sign.isprintable() or sign.isspace() for sign in text)


def printable(path: Path | str) -> str:
    """A path as one line that any terminal can show: line breaks, bytes that are no UTF-8 and the like as escapes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(path))
