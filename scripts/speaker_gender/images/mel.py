"""Mel spectrogram of a second of speech, as the speaker encoder takes it (learning/fusion.py).

Signal at 16 kHz → level of -30 dBFS → power spectra of 25 ms every 10 ms → 40 mel bands, no logarithm. It is what the
package resemblyzer computes by librosa, whose import takes longer than to classify a file.
"""

import functools

import numpy as np

from speaker_gender.config import WORKING_RATE, WORKING_SAMPLES

VERSION = 1  # part of every cache key: raise it when a change here changes a number

WINDOW_LENGTH, HOP_LENGTH = 400, 160  # samples at 16 kHz: 25 ms, 10 ms
N_MELS = 40
LEVEL = -30  # dBFS
N_FRAMES = 1 + WORKING_SAMPLES // HOP_LENGTH  # 100: they are centred
LINEAR_UP_TO, LINEAR_STEP, LOG_STEP = 1_000, 200 / 3, np.log(6.4) / 27  # Hz, Hz a mel, nepers a mel

PARAMETERS = {
    "version": VERSION,
    "sample_rate": WORKING_RATE,
    "window_length": WINDOW_LENGTH,
    "hop_length": HOP_LENGTH,
    "n_mels": N_MELS,
    "level": LEVEL,
    "frames": N_FRAMES,
}


@functools.cache
def mel_weights() -> np.ndarray:
    """Return the weights of the bins of a power spectrum in each band: triangles of area 1, float32 (201, 40).

    The mel scale is linear up to 1 kHz and logarithmic above.

    References
    ----------
    Slaney, Auditory Toolbox, Interval Research technical report 1998-010; librosa.filters.mel computes the same.
    """
    most = LINEAR_UP_TO / LINEAR_STEP + np.log(WORKING_RATE / 2 / LINEAR_UP_TO) / LOG_STEP
    mels = np.linspace(0, most, N_MELS + 2)
    above = LINEAR_UP_TO * np.exp(LOG_STEP * (mels - LINEAR_UP_TO / LINEAR_STEP))
    edges = np.where(mels * LINEAR_STEP < LINEAR_UP_TO, mels * LINEAR_STEP, above)
    frequency = np.fft.rfftfreq(WINDOW_LENGTH, 1 / WORKING_RATE)[:, np.newaxis]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((frequency - low) / (centre - low), (high - frequency) / (high - centre)).clip(min=0)
    return (2 * triangles / (high - low)).astype(np.float32)


def mel_spectrogram(signal: np.ndarray) -> np.ndarray:
    """Compute the power in each mel band and frame, frames centred in zeros.

    Parameters
    ----------
    signal : np.ndarray, shape (15999,)
        One second at 16 kHz, on any scale. Its level is taken where it is not zero, so padding does not change it.

    Returns
    -------
    np.ndarray of float32, shape (100, 40)
        Zero for a silent signal.
    """
    level = np.sqrt(np.sum(np.square(signal)) / max(np.count_nonzero(signal), 1))
    levelled = np.pad(signal * (10 ** (LEVEL / 20) / max(level, 1e-9)), WINDOW_LENGTH // 2)
    frames = np.lib.stride_tricks.sliding_window_view(levelled, WINDOW_LENGTH)[::HOP_LENGTH]
    spectra = np.fft.rfft(frames * np.hanning(WINDOW_LENGTH + 1)[:-1])
    return (spectra.real**2 + spectra.imag**2).astype(np.float32) @ mel_weights()
