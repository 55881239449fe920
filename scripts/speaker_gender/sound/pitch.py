"""Pitch, by which voices are told apart first of all."""

import librosa
import numpy as np
from scipy.signal import butter, sosfiltfilt

VERSION = 1  # part of the cache's key: raise it when a change here changes a pitch

PITCH_RATE, PITCHES = 16_000, (60, 420)  # Hz
PITCH_WINDOW, PITCH_HOP = 1_024, 256  # samples: 64 ms, 16 ms
PITCH_BAND = (70, 900)  # Hz; with all of the spectrum, noise hides the voicing of three in four noisy recordings
PITCH_THRESHOLDS = (2, 6)  # of pyin's beta distribution: its default (2, 18) expects cleaner sound


def pitch_track(signal: np.ndarray) -> np.ndarray:
    """F0 every 16 ms by pyin.

    `signal`: any scale, at 16 kHz, shape (samples,). Returns ndarray: In Hz, nan where nothing is voiced, shape
    (frames,).

    References
    ----------
    Mauch and Dixon, pYIN, ICASSP 2014.
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
