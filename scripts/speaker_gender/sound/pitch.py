"""Pitch, by which voices are told apart first of all."""

import importlib.metadata
import os
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.signal import butter, sosfiltfilt
from tqdm.auto import tqdm

from speaker_gender.caching import cached_json, digest, file_digest
from speaker_gender.corpora.audiomnist import Corpus
from speaker_gender.sound.reading import VERSION as READER
from speaker_gender.sound.reading import AudioError, read_signal

VERSION = 1  # part of the cache's key: raise it when a change here changes a pitch

PITCH_RATE, PITCHES = 16_000, (60, 420)  # Hz
PITCH_WINDOW, PITCH_HOP = 1_024, 256  # samples: 64 ms, 16 ms
PITCH_BAND = (70, 900)  # Hz; with all of the spectrum, noise hides the voicing of three in four noisy recordings
PITCH_THRESHOLDS = (2, 6)  # of pyin's beta distribution: its default (2, 18) expects cleaner sound


def pitch_track(signal: np.ndarray) -> np.ndarray:
    """F0 in Hz every 16 ms by pyin (Mauch and Dixon, ICASSP 2014), nan where nothing is voiced; shape (frames,).

    signal: at 16 kHz, shape (samples,).
    """
    band = butter(4, PITCH_BAND, "bandpass", fs=PITCH_RATE, output="sos")
    pitch, _, _ = librosa.pyin(
        sosfiltfilt(band, signal),
        fmin=PITCHES[0],
        fmax=PITCHES[1],
        sr=PITCH_RATE,
        frame_length=PITCH_WINDOW,
        hop_length=PITCH_HOP,
        resolution=0.25,  # semitones; with the default of 0.1 it takes several times as long
        beta_parameters=PITCH_THRESHOLDS,
    )
    return pitch


def median_pitch(corpus: Corpus, paths: pd.Series) -> pd.Series:
    """Median F0 in Hz of each recording, index as that of `paths`; nan where there is no WAV or nothing is voiced.

    Cached for just these recordings, in whatever order.
    """
    here = sorted(path for path in paths if (corpus.folder / path).is_file())
    key = {
        "recordings": digest([[path, _content(corpus.folder / path)] for path in here]),
        "versions": [VERSION, READER],
    }
    key["packages"] = [importlib.metadata.version(name) for name in ("librosa", "numpy", "scipy", "soundfile", "soxr")]
    key |= {name: value for name, value in globals().items() if name.startswith("PITCH")}

    def track() -> dict:
        work = Parallel(n_jobs=os.cpu_count(), return_as="generator", batch_size=16)(
            delayed(_pitch_of)(corpus.folder / path) for path in here
        )
        return dict(zip(here, tqdm(work, "median F0", total=len(here), unit="recording", leave=False)))

    pitches = cached_json(corpus.results / f"median_pitch_{digest(here)}.json", key, track)
    return paths.map(pitches).astype(float)


def _content(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None


def _pitch_of(path: Path) -> float | None:
    try:
        track = pitch_track(read_signal(path, sample_rate=PITCH_RATE))
    except AudioError:
        return None
    voiced = track[~np.isnan(track)]
    return float(np.median(voiced)) if len(voiced) else None
