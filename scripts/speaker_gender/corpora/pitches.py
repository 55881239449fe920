"""The median F0 of a corpus's recordings, tracked once."""

import importlib.metadata
from pathlib import Path

import numpy as np
import pandas as pd

from speaker_gender.caching import cached_json, digest, forget_oldest
from speaker_gender.corpora.corpus import Corpus, stamp_of
from speaker_gender.parallel import in_parallel
from speaker_gender.sound import pitch
from speaker_gender.sound.pitch import PITCH_RATE, pitch_track
from speaker_gender.sound.reading import VERSION as READER
from speaker_gender.sound.reading import AudioError, read_signal

KEPT = 10  # sets of recordings whose pitches stay cached
RECORDINGS_A_WORKER = 200  # fewer are tracked before another process has started


def median_pitch(corpus: Corpus, paths: pd.Series) -> pd.Series:
    """Track the median F0 of recordings; cached for just these recordings, in any order.

    `paths`: relative to the corpus. Returns Hz, with the index of `paths`; nan where there is no WAV or nothing is
    voiced.
    """
    available = sorted(path for path in paths if corpus.has(path))
    key = {
        "recordings": digest([[path, stamp_of(corpus.source(path))] for path in available]),
        "versions": [pitch.VERSION, READER],
    }
    key["packages"] = [importlib.metadata.version(name) for name in ("librosa", "numpy", "scipy", "soundfile", "soxr")]
    key |= {name: value for name, value in vars(pitch).items() if name.startswith("PITCH")}

    def track() -> dict:
        sources = [corpus.source(path) for path in available]
        return dict(
            zip(available, in_parallel(_pitch_of, sources, batch=16, worth=RECORDINGS_A_WORKER, title="median F0"))
        )

    forget_oldest(corpus.results, "median_pitch_*.json", keep=KEPT)
    pitches = cached_json(corpus.results / f"median_pitch_{digest(available)}.json", key, track)
    return paths.map(pitches).astype(float)


def _pitch_of(path: Path | str) -> float | None:
    try:
        track = pitch_track(read_signal(path, sample_rate=PITCH_RATE))
    except AudioError:
        return None
    voiced = track[~np.isnan(track)]
    return float(np.median(voiced)) if len(voiced) else None
