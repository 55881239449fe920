"""Tests import the helpers as notebooks do, with scripts/ on the path, and share a tiny corpus of buzzing voices."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from speaker_gender import config
from speaker_gender.corpora.audiomnist import METADATA
from speaker_gender.corpora.corpus import Corpus, corpus_name

CARD = {  # of a model that says no more than it must
    "key": "x",
    "classes": ["female", "male"],
    "view": "mfc",
    "image_size": [32, 56],
    "normalisation": {"mean": 0.16, "std": 0.25},
    "recipe": {"image_size": [32, 56]},
}


def buzz(pitch: float, *, seconds: float, sample_rate: int, seed: int) -> np.ndarray:
    """Harmonics of about `pitch` Hz, falling and swelling as a spoken word does, in a little noise, within -1…1."""
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * pitch * (1.1 * time - 0.2 * time**2 / (2 * seconds))
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 20))
    return 0.05 * harmonics * np.hanning(len(time)) + np.random.default_rng(seed).normal(0, 1e-4, len(time))


def flip_bit(path: Path, place: int) -> None:
    """Changes one byte of a file, but neither its size nor its times."""
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.fixture
def buzz_corpus(tmp_path, monkeypatch) -> Corpus:
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
