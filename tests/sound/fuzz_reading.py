#!/usr/bin/env python3
"""Fuzzes the reading of sound files: whatever the bytes, there is a signal or one line, soon and in little memory.

    pip install atheris                                   (Linux; not in requirements.txt, no other check needs it)
    python tests/sound/fuzz_reading.py FOLDER -max_total_time=600 -rss_limit_mb=4000 -print_final_stats=1

Not run by pytest. The first run fills FOLDER with seeds, pieces of the WAVs of AudioMNIST and AudioMNIST_AZ beside the
project (or of noise) in many formats of both libraries; new inputs are added to them. It stops at the first input that
raises anything but AudioError, says more than one line, takes 5 s of processor time or raises the memory's peak by
500 MB, and keeps that input as crash-*. The whole process grows by tens of kilobytes an input, because atheris
remembers what it has seen being compared; without it the memory stays the same. Options: llvm.org/docs/LibFuzzer.html.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import atheris
import numpy as np
import soundfile
import soxr

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speaker_gender.config import ROOT, SAMPLE_RATE
from speaker_gender.images.views import VIEWS

with atheris.instrument_imports(include=["speaker_gender.sound"]):
    from speaker_gender.sound import reading, speech

LONGEST = 5  # seconds of processor time
LARGEST = 500_000  # KB by which one input may raise the peak of memory
FORMATS = [
    *[("WAV", subtype) for subtype in ("PCM_16", "PCM_24", "PCM_U8", "FLOAT", "DOUBLE", "ALAW", "IMA_ADPCM", "GSM610")],
    *[(container, "PCM_16") for container in ("WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "NIST")],
    *[("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("SVX", "PCM_16"), ("VOC", "PCM_16")],
]
FILE = Path(tempfile.mkdtemp(prefix="fuzz_audio_")) / "sound"


def make_seeds(folder: Path) -> None:
    """A quarter of a second of several recordings, mono and stereo, as libsndfile writes them, and mono by FFmpeg."""
    from sounds import FORMATS as BY_FFMPEG  # here: it imports what atheris is to instrument first

    folder.mkdir(parents=True, exist_ok=True)
    wavs = sorted(ROOT.parent.glob("AudioMNIST*/data/*/*.wav"))
    sounds = [soundfile.read(wav, frames=12_000) for wav in wavs[:: max(1, len(wavs) // 4)]]
    sounds.append((np.random.default_rng(0).normal(0, 0.1, 4_000), 16_000))
    for number, (sound, rate) in enumerate(sounds):
        for n_channels in (1, 2):
            channels = np.repeat(sound[:, np.newaxis], n_channels, axis=1)
            for container, subtype in FORMATS:
                path = folder / f"seed_{number}_{n_channels}_{container}_{subtype}"
                try:
                    soundfile.write(path, channels, rate, format=container, subtype=subtype)
                except soundfile.LibsndfileError:  # not every format has every rate and two channels
                    path.unlink(missing_ok=True)
        for name, encode in BY_FFMPEG.items():
            seed = encode(signal=32_768 * soxr.resample(sound, rate, 16_000))
            (folder / f"seed_{number}_{name.replace(' ', '_')}").write_bytes(seed)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def read_one(content: bytes) -> None:
    FILE.write_bytes(content)
    started, before = time.process_time(), peak()
    try:
        reading.read_header(FILE)
        signal = reading.read_signal(FILE, report=[])
    except reading.AudioError as error:
        assert str(error).isprintable() and str(FILE) in str(error), "not one line that names the file"
    else:
        assert signal.ndim == 1 and len(signal) and np.isfinite(signal).all()
        reason = speech.why_not_speech(signal, sample_rate=SAMPLE_RATE)
        windows = speech.speech_windows(signal, sample_rate=SAMPLE_RATE)
        assert not (reason and windows), "speech was found where there is none"
        for window in windows[:3]:
            for view in VIEWS.values():
                assert view.image(window.signal, front=0).dtype == np.uint8
    assert time.process_time() - started < LONGEST, "too slow"
    assert peak() - before < LARGEST, "too much memory"


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    if not any(Path(sys.argv[1]).glob("*")):
        make_seeds(Path(sys.argv[1]))
    atheris.Setup(sys.argv, read_one)
    atheris.Fuzz()
