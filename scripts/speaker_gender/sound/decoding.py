"""Sound files opened and decoded, block by block.

libsndfile reads uncompressed sound, FFmpeg (PyAV) everything else. The first bytes say which, never the suffix: FFmpeg
decodes to the last byte, where libsndfile believes what the header of an MP3 or the first stream of an Ogg file says of
the length, and prints of some formats what belongs to nobody's output.

FFmpeg's sound lies where the container's clock says: silence stands for what is missing between packets or cannot be
decoded, so that everything later has its right time.
"""

import itertools
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from speaker_gender.sound import headers

MAX_SECONDS = 12 * 3_600  # of a file
SAMPLE_RATES = (4_000, 768_000)  # Hz: what sound devices have; beyond it a header is wrong
MAX_CHANNELS = 32
MAX_VALUES = MAX_SECONDS * 2 * 48_000  # of all channels; a small FLAC can unpack to far more than that
MAX_AMPLITUDE = 100  # times full scale: floats beyond it are not sound in -1…1
BLOCK = 1 << 16  # samples that are read at a time
LEAST_SECONDS = 0.1  # of what is left of a file that is cut off, and of what is missing and said to be
CODEC_DELAY = 0.15  # seconds that an encoder's delay and padding may add to the length in a header

# How files begin that libsndfile reads: WAV, AIFF, AU, CAF, W64, SPHERE, VOC. A RIFF may also be FFmpeg's.
BY_LIBSNDFILE = re.compile(rb"RIFF|RIFX|RF64|FORM|\.snd|dns\.|caff|riff|NIST|Crea")
# The containers that FFmpeg may open: none that opens other files or addresses (concat, hls, dash, sdp, image2, …).
DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,mp3,"
    "mpc,mpc8,mpeg,mpegts,nistsphere,oga,ogg,oma,qcp,rm,sbc,shn,tak,tta,voc,w64,wav,wv,xwma"
)
# Those that hold no length: FFmpeg estimates one from the bit rate. Their packets follow one another.
BARE = frozenset("aac ac3 amr amrnb amrwb dts eac3 loas mp3 mpeg mpegts sbc".split())
MOST_HEADER, MOST_SEARCHED = 1 << 27, 1 << 24  # bytes read before the first packet, and for the next one of a BARE file
# Those whose packets may lie apart although nothing is damaged, as where a microphone was switched off.
WITH_CLOCK = ("asf", "flv", "matroska", "mov", "mpeg", "rm")
# Bytes of the largest packet of those whose packets can be found again after damage.
LARGEST_PACKET = {"aac": 8_191, "ac3": 3_840, "eac3": 4_096, "mp3": 1_800}
GAP = 0.1  # seconds on the container's clock that are not just rounding or an encoder's delay
LEAST_GAP = 0.5  # seconds that are said: telephones send nothing for less when nobody speaks
LONGEST_GAP = 3_600  # seconds of all; where no header says how long a file is, more come of a damaged clock


class AudioError(ValueError):
    """A sound file that cannot be read; the message is one line that names the file, and `problem` the rest of it."""

    def __init__(self, path: Path | str, problem: str):
        super().__init__(path, problem)
        self.path, self.problem = path, problem

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.problem}"


def printable(path: Path | str) -> str:
    """A path as one line that any terminal can show: line breaks, bytes that are no UTF-8 and the like as escapes."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(path))


class Header(NamedTuple):
    """What a file says of its sound: samples (None: unknown before it is decoded), sample rate (Hz), encoding."""

    samples: int | None
    sample_rate: int
    encoding: str


class Libsndfile:
    """An open file that libsndfile reads.

    problem, notes: what is wrong with it, and what else is to be said of it, known at the end at the latest.
    """

    n_tracks = 1
    notes: tuple[str, ...] = ()

    def __init__(self, sound: soundfile.SoundFile, declared: int):
        self.sound, self.channels, self.declared = sound, sound.channels, declared
        self.header = Header(sound.frames, sound.samplerate, sound.subtype)
        self.problem = self._missing(sound.frames)

    def blocks(self) -> Iterator[np.ndarray]:
        """The sound in -1…1, float64 of shape (samples, channels) a block."""
        n_read = 0
        while True:
            try:
                block = self.sound.read(BLOCK, dtype="float64", always_2d=True)
            except (soundfile.LibsndfileError, OSError):
                break
            if not len(block):
                break
            n_read += len(block)
            yield block
        self.problem = self._missing(n_read)

    def _missing(self, n_read: int) -> str | None:
        rate = self.header.sample_rate
        return cut_short(n_read, self.declared, rate) if self.declared - n_read > LEAST_SECONDS * rate else None

    def close(self) -> None:
        """Close the file."""
        self.sound.close()


class Ffmpeg:
    """An open file that FFmpeg reads, with the same attributes; raises AudioError where it holds no sound.

    The channels of a file with several audio tracks are its tracks, each mixed to mono.
    """

    problem: str | None = None

    def __init__(self, path: Path | str, *, share: float = 1, **options: str):
        self.notes: list[str] = []
        self.tracks = [_Track(path, options)]
        self.tracks[0].share = share
        try:
            first = self.tracks[0]
            streams = [stream.index for stream in first.container.streams.audio if stream.codec_context]
            self.n_tracks = len(streams)
            if self.n_tracks > 1:
                first.select(streams[0], layout="mono")
            for stream in streams[1:]:
                self.tracks.append(_Track(path, options))
                self.tracks[-1].select(stream, layout="mono", rate=first.rate)
        except BaseException:
            self.close()
            raise
        self.channels = first.n_channels if self.n_tracks == 1 else self.n_tracks
        is_flac = first.container.format.name == "flac"  # the others' length is known when they are decoded
        self.declared = round(first.declared * first.rate)
        self.header = Header(self.declared if is_flac and self.declared else None, first.rate, first.encoding)

    def blocks(self) -> Iterator[np.ndarray]:
        """The sound in -1…1, float64 of shape (samples, channels) a block, decoded to the end of the file."""
        if self.n_tracks == 1:
            yield from _joined(self.tracks[0].blocks())
        else:
            sounds = [_joined(track.blocks(), exactly=True) for track in self.tracks]
            for found in itertools.zip_longest(*sounds, fillvalue=np.empty((0, 1))):
                longest = max(map(len, found))
                yield np.concatenate([np.pad(block, ((0, longest - len(block)), (0, 0))) for block in found], axis=1)
        self.problem = next((track.problem for track in self.tracks if track.problem), None)
        if (gaps := max(track.gaps - track.lost for track in self.tracks)) > LEAST_GAP:
            self.notes.append(f"has gaps: for {gaps:.1f} s there is no sound in it, which counts as silence")

    def close(self) -> None:
        """Close the file."""
        for track in self.tracks:
            track.close()


def _joined(arrays: Iterator[np.ndarray], *, exactly: bool = False) -> Iterator[np.ndarray]:
    """Arrays joined to blocks of at least (or exactly) BLOCK samples, the last one aside."""
    held: list[np.ndarray] = []
    for array in arrays:
        held.append(array)
        if sum(map(len, held)) >= BLOCK:
            block = np.concatenate(held)
            length = len(block) // BLOCK * BLOCK if exactly else len(block)
            held = [block[length:]]
            yield from np.split(block[:length], length // BLOCK) if exactly else [block]
    if sum(map(len, held)):
        yield np.concatenate(held)


class _Track:
    """One audio track of a file, the first unless another is selected, on the container's clock.

    Each track of a file has a container of its own: the tracks are then read side by side however they are interleaved.
    """

    problem: str | None = None
    share = 1.0  # of the sound that its header declares, where that is known better than by FFmpeg
    container: Any
    layout: Any

    def __init__(self, path: Path | str, options: dict[str, str]):
        import av  # here, because most recordings are WAVs and it takes a third of a second

        self.source, self.resampler_of = _Source(path), av.AudioResampler
        self.errors = (av.FFmpegError, ValueError, RuntimeError, AttributeError)
        options = options | {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
        try:
            self.container = av.open(self.source, options=options, metadata_errors="ignore")  # type: ignore[call-overload]
            self.select(self.container.streams.audio[0].index)
        except (*self.errors, IndexError) as error:
            self.close()
            if self.source.error:
                raise self.source.error from None
            film = isinstance(error, IndexError)
            problem = "holds no sound that can be read: it is a film without sound" if film else what_it_is(path)
            raise AudioError(path, problem) from None
        self.form = self.container.format.name
        self.declared = 0.0 if self.form in BARE else (self.container.duration or 0) / av.time_base
        if self.form == "mp3":
            self.declared = self.source.ask(headers.mp3_seconds, self.rate)
        self.beginning = None if self.container.start_time is None else self.container.start_time / av.time_base
        self.now, self.end = 0.0, 0.0  # seconds on the container's clock: of the last frame, of all packets' end
        self.n_emitted, self.lost, self.gaps, self.is_torn = 0, 0.0, 0.0, False

    def select(self, index: int, *, layout: str | None = None, rate: int | None = None) -> None:
        """Take a stream, to be converted to a layout and a sample rate other than its own."""
        self.stream = self.container.streams[index]
        context = self.stream.codec_context
        # As the header says; what is decoded may differ, and is converted to it.
        self.layout, self.rate, self.encoding = layout or context.layout, rate or context.sample_rate, context.name
        self.n_channels = 1 if layout == "mono" else context.layout.nb_channels
        if self.rate < 1:  # as of a text whose name ends in .flac
            raise ValueError

    def blocks(self) -> Iterator[np.ndarray]:
        """The track in -1…1, float64 of shape (samples, channels) an array of any length."""
        resampler, kind = None, None
        for frame in itertools.chain(self._frames(), [None]):
            if frame is not None:
                gap = self._gap_before(frame)
                if gap < -GAP:
                    continue
                for start in range(0, missing := round(gap * self.rate) if gap > GAP else 0, BLOCK):
                    yield np.zeros((min(BLOCK, missing - start), self.n_channels))
                self.n_emitted += missing
            if resampler is None or (frame is not None and _kind_of(frame) != kind):
                # Joined files may change their rate or channels on the way: what follows is converted to the first's.
                kind = frame and _kind_of(frame)
                resampler = self.resampler_of("dbl", layout=self.layout, rate=self.rate)
            try:
                converted = resampler.resample(frame)
            except self.errors:
                continue
            for part in converted:
                self.n_emitted += part.samples
                yield part.to_ndarray().reshape(part.samples, -1)
        self.problem = self._what_is_missing()

    def _frames(self) -> Iterator[Any]:
        """Decoded frames, while what cannot be decoded is counted as lost."""
        n_bytes, n_found, failed, skipped = 0, 0, 0.0, 0.0
        for packet, seconds in self._packets():
            try:
                frames = packet.decode()
            except self.errors:
                frames, failed = [], failed + (seconds or LEAST_SECONDS)
            if frames and (failed or skipped):  # without more frames it is but a tag at a bare stream's end
                self.lost += failed + skipped
                self.beginning = (self.beginning or 0) - skipped  # the clock of a bare stream counts packets
                failed = skipped = 0.0
            yield from frames
            n_found += packet.size
            if packet.size <= LARGEST_PACKET.get(self.form, packet.size):
                n_bytes += packet.size
            elif n_bytes:  # what lies between two packets of a bare stream comes with the first of them
                skipped += packet.size / n_bytes * self.n_emitted / self.rate
        if self.form not in BARE:
            self.lost += failed
        left_out = self.source.ask(headers.size_behind_id3) - n_found
        if self.form == "aac" and n_found and left_out > LARGEST_PACKET["aac"]:  # of which FFmpeg leaves it out
            self.lost += left_out / n_found * self.n_emitted / self.rate

    def _packets(self) -> Iterator[tuple[Any, float]]:
        """The track's packets with their lengths in seconds."""
        packets = self.container.demux()  # all streams': a film's picture says how long it is
        while True:
            try:
                packet = next(packets, None)
            except self.errors:
                packet, self.is_torn = None, True
            if self.source.error:
                raise self.source.error
            if packet is None:
                return
            self.source.allow(MOST_SEARCHED if self.form in BARE else None)
            seconds = float((packet.duration or 0) * packet.time_base)
            start = packet.dts if packet.pts is None else packet.pts
            if start is not None:
                self.end = max(self.end, float(start * packet.time_base) + seconds)
            if packet.stream.index == self.stream.index:
                yield packet, seconds

    def _gap_before(self, frame: Any) -> float:
        """Seconds from where the sound has got to up to where a frame begins; negative where it has got further."""
        if frame.time is None:
            return 0.0
        if self.beginning is None:
            self.beginning = frame.time
        emitted = self.n_emitted / self.rate
        gap = frame.time - self.beginning - emitted
        longest = self.declared - emitted if self.declared else LONGEST_GAP - self.gaps
        if frame.time < self.now or gap > longest + GAP:  # the clock was set anew, as where files are joined
            self.beginning += gap
            gap = 0.0
        self.now = frame.time
        self.gaps += gap * (gap > LEAST_GAP and self.n_emitted > 0)
        return gap

    def _what_is_missing(self) -> str | None:
        seconds = self.n_emitted / self.rate
        if not self.form.startswith(WITH_CLOCK):
            self.lost = max(self.lost, self.gaps)
        end = max(seconds, self.end - (self.beginning or 0))
        self.declared = max(self.declared, seconds / self.share)
        if self.is_torn or self.source.is_exhausted:
            return f"is damaged: nothing can be read after {seconds:.1f} s"
        if self.declared - end > max(CODEC_DELAY, self.lost):
            return cut_short(round(end * self.rate), round(self.declared * self.rate), self.rate)
        if self.lost > LEAST_SECONDS:
            return f"is damaged: {self.lost:.1f} of {seconds:.1f} s cannot be decoded and count as silence"
        if self.form == "ogg" and self.source.ask(headers.is_torn_ogg):
            return f"is cut short, or its recorder did not end it: {seconds:.1f} s are there"
        return None

    def close(self) -> None:
        if hasattr(self, "container"):
            self.container.close()
        self.source.close()


class _Source:
    """A file as FFmpeg reads it: without a name, whose suffix it would believe, and not endlessly.

    FFmpeg cannot hand on what goes wrong in here, Ctrl-C included: the file ends there, and `error` keeps it.
    """

    def __init__(self, path: Path | str):
        self.file = open(path, "rb")
        self.error: BaseException | None = None
        self.is_exhausted, self.allowance = False, MOST_HEADER

    def allow(self, n_bytes: int | None) -> None:
        """Let so many bytes be read from now on; None: any number."""
        self.allowance = n_bytes if n_bytes is not None else 1 << 62

    def read(self, n_bytes: int) -> bytes:
        try:
            if self.error or self.is_exhausted:
                return b""
            content = self.file.read(n_bytes)
            self.allowance -= len(content)
            self.is_exhausted = self.allowance < 0
            return content
        except BaseException as error:
            self.error = error
            return b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self.file.seek(offset, whence)
        except BaseException as error:
            self.error = error if not isinstance(error, ValueError | OSError) else self.error
            return -1

    def tell(self) -> int:
        return self.file.tell()

    def ask(self, question: Callable, *arguments) -> Any:
        """What a function finds in the file, which afterwards stands where it stood."""
        place = self.file.tell()
        try:
            return question(self.file, *arguments)
        finally:
            self.file.seek(place)

    def close(self) -> None:
        self.file.close()


def _kind_of(frame) -> tuple:
    return frame.format.name, frame.layout.name, frame.sample_rate


def cut_short(n_read: int, declared: int, sample_rate: int) -> str:
    """What is wrong with a file that ends too early, as the rest of a sentence about it."""
    return f"is cut short: {n_read / sample_rate:.1f} of {declared / sample_rate:.1f} s are there"


def open_sound(path: Path | str) -> Libsndfile | Ffmpeg:
    """The opened file, its header checked. Raises AudioError."""
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(path, "is a folder, not a sound file")
        if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
            raise AudioError(path, "is not a regular file")
        if not status.st_size:
            raise AudioError(path, "is empty")
        sound = _by_libsndfile(path) or Ffmpeg(path)
    except AudioError:
        raise
    except (OSError, ValueError) as error:  # ValueError: Python's for a path with a null character
        raise AudioError(path, f"cannot be opened ({getattr(error, 'strerror', None) or error})") from None
    rate, channels, length = sound.header.sample_rate, sound.channels, sound.header.samples or sound.declared
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


def _by_libsndfile(path: Path | str) -> Libsndfile | Ffmpeg | None:
    """The file opened by libsndfile, or by FFmpeg where it holds more than its header says; None for other formats."""
    with open(path, "rb") as file:
        headers.skip_id3(file)
        if not BY_LIBSNDFILE.match(file.read(4)):
            return None
        declared, present = headers.sound_bytes(file) or (0, 0)
    try:
        sound = soundfile.SoundFile(_for_libsndfile(path))
    except (soundfile.LibsndfileError, OSError, TypeError, ValueError):  # TypeError: soundfile's for a name in .raw
        return Ffmpeg(path, share=present / declared if 0 < present < declared else 1)
    n_samples, rate = sound.frames, sound.samplerate
    if "MPEG" in sound.subtype or n_samples < 1:  # a recorder that crashed leaves a length of 0 in the header
        sound.close()
        return None
    whole = round(n_samples * declared / min(declared, present)) if min(declared, present) > 0 else n_samples
    if present > declared and n_samples * (present / max(declared, 1) - 1) > LEAST_SECONDS * rate:
        sound.close()
        return Ffmpeg(path, ignore_length="1")
    return Libsndfile(sound, whole)


def _for_libsndfile(path: Path | str) -> bytes | str:
    """The path as bytes, which need not be UTF-8, and never just '-', which libsndfile takes for the standard input."""
    absolute = os.path.abspath(path)
    return absolute if os.name == "nt" else os.fsencode(absolute)


def what_it_is(path: Path | str) -> str:
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
