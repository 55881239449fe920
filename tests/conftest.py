"""Tests import the helpers as notebooks do, with scripts/ on the path, and share a tiny corpus of buzzing voices."""

import ctypes
import gc
import json
import os
import sys
from pathlib import Path

import joblib
import numpy as np
import psutil
import pytest
import soundfile
from scipy.signal import lfilter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from speaker_gender import config
from speaker_gender.corpora.audiomnist import METADATA
from speaker_gender.corpora.corpus import Corpus, corpus_name

collect_ignore = ["sound/fuzz_reading.py"]  # a program of its own, see there

CARD = {  # of a model that says no more than it must
    "key": "x",
    "classes": ["female", "male"],
    "view": "mfc",
    "image_size": [32, 56],
    "normalisation": {"mean": 0.16, "std": 0.25},
    "recipe": {"architecture": "small", "image_size": [32, 56]},
}

FORMANTS = ((700, 80), (1_200, 90), (2_600, 120))  # Hz: frequency and bandwidth, of [a]


def buzz(pitch: float, *, seconds: float, sample_rate: int, seed: int) -> np.ndarray:
    """A vowel of about `pitch` Hz, falling and swelling as a spoken word does, in a little noise, within -1…1.

    Glottal pulses through three formants (Fant, Acoustic Theory of Speech Production, 1960): a detector of speech takes
    it for speech, as it should.
    """
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    pulses = np.diff(np.floor(np.cumsum(pitch * (1.1 - 0.2 * time / seconds)) / sample_rate), prepend=0)
    signal = lfilter([1], [1, -0.97], pulses) + np.random.default_rng(seed).normal(0, 1e-3, len(time))
    for frequency, bandwidth in FORMANTS:
        radius = np.exp(-np.pi * bandwidth / sample_rate)
        angle = 2 * np.pi * frequency / sample_rate
        signal = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], signal)
    signal *= np.sqrt(np.hanning(len(time)))
    return 0.1 * signal / np.abs(signal).max() + np.random.default_rng(seed).normal(0, 1e-4, len(time))


def flip_bit(path: Path, place: int) -> None:
    """Changes one byte of a file, but neither its size nor its times."""
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


PROCESS, GROWTH = psutil.Process(), 100_000_000  # bytes
resident = 0  # bytes, after the last collection


@pytest.fixture(autouse=True)
def memory_goes_back():
    """A Learner refers to itself, and glibc keeps what is free between what is not: both go where they are large."""
    global resident
    yield
    if PROCESS.memory_info().rss > resident + GROWTH:
        gc.collect()
        if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):  # musl has none
            ctypes.CDLL(None).malloc_trim(0)
        resident = PROCESS.memory_info().rss


@pytest.fixture
def one_processor(monkeypatch):
    """What few files ask for is done sooner here than by processes that have to start and to import first."""
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)


@pytest.fixture
def buzz_corpus(tmp_path, monkeypatch, one_processor) -> Corpus:
    """Four speakers (02 and 04 female) × digits 0–2 × 2 repetitions at 16 kHz, with a workspace of its own."""
    for name in ("MAPS", "MFC_DATASET", "RESULTS", "PNGS"):
        monkeypatch.setattr(config, name, tmp_path / name.lower())
    folder = tmp_path / "Buzz" / "data"
    metadata = {}
    for number in range(1, 5):
        speaker, female = f"{number:02}", number % 2 == 0
        metadata[speaker] = {"gender": "female" if female else "male"}
        (folder / speaker).mkdir(parents=True)
        for digit in range(3):
            for repetition in range(2):
                seed = 100 * number + 10 * digit + repetition
                sound = buzz(210 if female else 120, seconds=0.4 + 0.1 * digit, sample_rate=16_000, seed=seed)
                soundfile.write(
                    folder / speaker / f"{digit}_{speaker}_{repetition}.wav", sound, 16_000, subtype="PCM_16"
                )
    (folder / METADATA).write_text(json.dumps(metadata))
    return Corpus(corpus_name(folder), folder)
