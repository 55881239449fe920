"""View `harmonic`: an image that keeps the pitch, which the study's view throws away.

Signal → padded to one second → 16 kHz → power spectra of 64 ms every 32 ms → 112 bands, evenly spaced in log
frequency from 60 Hz to 7.6 kHz → levels in dB below the loudest → 112 × 30 grey levels. A window of 64 ms holds several
periods of any voice, so that harmonics are resolved: the distance between the lines is the pitch, and where they are
strong are the formants. On a logarithmic axis another pitch moves the same pattern up or down. In band-limited speech
(a telephone, a voice message, a recording at 8 kHz) the bands above the limit, 4 kHz or less, are black. The shipped
model is trained on band-limited speech, too (sound/augmentation.py).
"""

import functools

import numpy as np
import soxr

from speaker_gender.config import RECORDING_SAMPLES, SAMPLE_RATE, WORKING_RATE, WORKING_SAMPLES
from speaker_gender.images.mfc import pad

VERSION = 2  # part of every cache key: raise it when a change here changes an image

WINDOW_LENGTH = 1_024  # samples at that rate: 64 ms
HOP_LENGTH = 512  # samples: 32 ms
N_FFT = 8_192  # zero-padded: a lower band is narrower than the bins of 1,024 samples are apart
N_BANDS = 112
FREQUENCIES = (60, 7_600)  # Hz, centres of the lowest and the highest band
DYNAMIC_RANGE = 70  # dB below the loudest band and frame; what is lower is black
N_FRAMES = 1 + (WORKING_SAMPLES - WINDOW_LENGTH) // HOP_LENGTH  # 30

PARAMETERS = {
    "view": "harmonic",
    "version": VERSION,
    "sample_rate": WORKING_RATE,
    "samples": WORKING_SAMPLES,
    "window_length": WINDOW_LENGTH,
    "hop_length": HOP_LENGTH,
    "n_fft": N_FFT,
    "n_bands": N_BANDS,
    "frequencies": FREQUENCIES,
    "dynamic_range": DYNAMIC_RANGE,
}


@functools.cache
def band_frequencies() -> np.ndarray:
    """Return the centre frequency of each band: 7 octaves, about 16 bands in each.

    Returns
    -------
    np.ndarray of float64, shape (112,)
        Hz, low to high.
    """
    return np.geomspace(*FREQUENCIES, N_BANDS)


@functools.cache
def band_weights() -> np.ndarray:
    """Return the weights of the frequencies in each band: triangles up to the neighbours' centres, each of sum 1.

    Returns
    -------
    np.ndarray of float64, shape (4097, 112)
        Rows: bins of a power spectrum of 8,192 samples at 16 kHz.
    """
    step = (FREQUENCIES[1] / FREQUENCIES[0]) ** (1 / (N_BANDS - 1))
    edges = FREQUENCIES[0] * step ** np.arange(-1, N_BANDS + 1)
    frequency = np.fft.rfftfreq(N_FFT, 1 / WORKING_RATE)[:, np.newaxis]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    triangles = np.minimum((frequency - low) / (centre - low), (high - frequency) / (high - centre)).clip(min=0)
    return triangles / triangles.sum(axis=0)


@functools.cache
def _short_weights() -> np.ndarray:
    """The bands' weights of the bins of a power spectrum of only twice the window's length, shape (1025, 112).

    A power spectrum is the Fourier transform of the windowed frame's autocorrelation, which is zero from the window's
    length on. So twice that length determines all of it, and what the bands sum of N_FFT's bins is another weighted sum
    of the fewer ones: the same numbers, but for rounding, for a quarter of the work.
    """
    n_fft = 2 * WINDOW_LENGTH
    of_lags = np.fft.rfft(band_weights(), N_FFT, axis=0).real[:WINDOW_LENGTH]
    of_lags[1:] *= 2  # negative lags, too
    of_bins = np.fft.rfft(of_lags, n_fft, axis=0).real / n_fft
    of_bins[1:-1] *= 2  # negative frequencies, too
    return of_bins


def band_powers(signal: np.ndarray) -> np.ndarray:
    """Compute the power in each band and frame.

    Parameters
    ----------
    signal : np.ndarray, shape (15999,)
        One second at 16 kHz, on any scale.

    Returns
    -------
    np.ndarray of float64, shape (112, 30)
        Low bands first.
    """
    frames = np.lib.stride_tricks.sliding_window_view(signal, WINDOW_LENGTH)[::HOP_LENGTH]
    spectra = np.fft.rfft(frames * np.hanning(WINDOW_LENGTH + 1)[:-1], 2 * WINDOW_LENGTH)
    return ((spectra.real**2 + spectra.imag**2) @ _short_weights()).T


def to_image(powers: np.ndarray) -> np.ndarray:
    """Convert band powers to grey levels; the scale of the powers does not matter.

    Parameters
    ----------
    powers : np.ndarray, shape (112, 30)
        Or any other number of bands and frames; low bands first.

    Returns
    -------
    np.ndarray of uint8, the same shape
        The lowest band is the bottom row. White is the loudest; black is 70 dB below it, and everything in a silent
        signal.
    """
    loudest = powers.max()
    if loudest == 0:
        return np.zeros(powers.shape, np.uint8)
    level = 10 * np.log10(np.maximum(powers / loudest, 10 ** (-DYNAMIC_RANGE / 10)))
    return (255 * (1 + level / DYNAMIC_RANGE) + 0.5).astype(np.uint8)[::-1]


def harmonic_image(signal: np.ndarray, *, front: int, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Convert a recording to its image in view `harmonic`.

    Parameters
    ----------
    signal : np.ndarray, shape (samples,)
        On any scale.
    front : int
        Zeros before it, in samples.
    sample_rate : int
        In Hz.

    Returns
    -------
    np.ndarray of uint8, shape (112, 30)

    Examples
    --------
    A tone of 440 Hz is a line at the height of its band:

    >>> tone = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000)
    >>> image = harmonic_image(tone, front=0)
    >>> image.shape, image.dtype
    ((112, 30), dtype('uint8'))
    >>> loudest = 111 - image[:, 15].argmax()  # row 0 is the highest band
    >>> round(float(band_frequencies()[loudest]))
    446
    """
    padded = pad(signal, front, RECORDING_SAMPLES * sample_rate // SAMPLE_RATE)
    if sample_rate != WORKING_RATE:
        padded = soxr.resample(padded, sample_rate, WORKING_RATE, quality="HQ")
    return to_image(band_powers(padded[:WORKING_SAMPLES]))
