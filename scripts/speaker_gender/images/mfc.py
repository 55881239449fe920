"""View `mfc`: the study's image of a recording, its lifted MFCCs over one second, reproduced to the byte.

int16 signal → padded to 47,998 samples → pre-emphasis → 12 lifted MFCCs × 98 frames → 224 × 224 × 3 grey levels.
Source: github.com/zhihanyang2022/gender-audio-classification; the constants below are the study's.

`mfcc` and `to_image` are librosa.feature.mfcc and skimage.transform.resize, written as the few products of matrices
that these amount to here (tests/images/test_mfc.py compares them). How much faster that is stands in
results/benchmark.json, under generation.
"""

import functools

import librosa
import numpy as np
import scipy
import skimage

from speaker_gender.config import RECORDING_SAMPLES, SAMPLE_RATE

VERSION = 1  # part of every cache key: raise it when a change here changes an image

PRE_EMPHASIS = 0.97
N_MFCC = 12
N_MELS = 40
LIFTER = 22
N_FFT = 1_200  # samples: 25 ms
HOP_LENGTH = 480  # samples: 10 ms
N_FRAMES = 1 + (RECORDING_SAMPLES - N_FFT) // HOP_LENGTH  # 98
IMAGE_SIZE = 224  # pixels, height and width

PARAMETERS = {
    "view": "mfc",
    "version": VERSION,
    "sample_rate": SAMPLE_RATE,
    "samples": RECORDING_SAMPLES,
    "pre_emphasis": PRE_EMPHASIS,
    "n_mfcc": N_MFCC,
    "n_mels": N_MELS,
    "lifter": LIFTER,
    "n_fft": N_FFT,
    "hop_length": HOP_LENGTH,
    "image_size": IMAGE_SIZE,
}


def draw_front_padding(lengths: list[int], *, seed: int) -> list[int]:
    """Draw how many zeros go in front of each recording so that all have 47,998 samples.

    The study draws with numpy's legacy generator, and draws nothing where nothing is missing. Returns list of int:
    Samples.

    Parameters
    ----------
    lengths : list of int
        Samples of each recording at 48 kHz, in the order of its gender's map.
    seed : int
        The study's: 1 for the male list, 2 for the female one.

    Examples
    --------
    >>> draw_front_padding([30_000, 47_998, 20_000], seed=1)
    [235, 0, 12172]
    """
    generator = np.random.RandomState(seed)
    missing = [RECORDING_SAMPLES - length for length in lengths]
    return [int(generator.randint(samples)) if samples > 0 else 0 for samples in missing]


def pad(signal: np.ndarray, front: int, n_samples: int = RECORDING_SAMPLES) -> np.ndarray:
    """Pad a signal with zeros to so many samples.

    A longer signal (none in AudioMNIST) is cut to the samples that hold the most energy.

    Parameters
    ----------
    signal : np.ndarray, shape (samples,)
    front : int
        Zeros before the signal; the rest goes behind it.

    Returns
    -------
    np.ndarray, shape (n_samples,)
    """
    excess = len(signal) - n_samples
    if excess > 0:
        energy = np.concatenate([[0.0], np.cumsum(np.square(signal, dtype=np.float64))])
        start = int(np.argmax(energy[n_samples:] - energy[: excess + 1]))
        return signal[start : start + n_samples]
    padded = np.zeros(n_samples)
    padded[front : front + len(signal)] = signal
    return padded


def pre_emphasise(signal: np.ndarray) -> np.ndarray:
    """Lift the high frequencies, of which speech has little: y[n] = x[n] - 0.97 x[n-1], the first sample kept.

    Parameters
    ----------
    signal : np.ndarray, shape (samples,)

    Returns
    -------
    np.ndarray of float64, shape (samples,)

    Examples
    --------
    >>> pre_emphasise(np.array([100.0, 100.0, 0.0]))
    array([100.,   3., -97.])
    """
    emphasised = np.array(signal, np.float64)
    emphasised[1:] -= PRE_EMPHASIS * signal[:-1]
    return emphasised


def mfcc(signal: np.ndarray) -> np.ndarray:
    """Compute the lifted MFCCs of a padded signal: 12 coefficients of the log power in 40 mel bands.

    Frames of 25 ms every 10 ms, none centred. As in librosa, powers are at least 1e-10 and at most 80 dB below the
    loudest.

    Parameters
    ----------
    signal : np.ndarray of float64, shape (47998,)
        int16 values after pre-emphasis.

    Returns
    -------
    np.ndarray of float64, shape (12, 98)

    References
    ----------
    McFee et al., librosa: Audio and Music Signal Analysis in Python, SciPy 2015.

    Examples
    --------
    >>> tone = 1_000 * np.sin(2 * np.pi * 200 * np.arange(RECORDING_SAMPLES) / SAMPLE_RATE)
    >>> mfcc(pre_emphasise(tone)).shape
    (12, 98)
    """
    frames = np.lib.stride_tricks.sliding_window_view(signal, N_FFT)[::HOP_LENGTH]
    sounding = frames.any(axis=1)  # a third of AudioMNIST's frames are padding, whose power is known
    spectra = np.fft.rfft(frames[sounding] * _window())
    powers = np.zeros((len(frames), N_MELS))
    powers[sounding] = (spectra.real**2 + spectra.imag**2) @ _mel_bands()
    level = 10 * np.log10(np.maximum(powers, 1e-10))
    return lifted_dct() @ np.maximum(level, level.max() - 80).T


@functools.cache
def _window() -> np.ndarray:
    return librosa.filters.get_window("hann", N_FFT)


@functools.cache
def _mel_bands() -> np.ndarray:
    """Weights of the frequencies in each mel band, shape (601, 40)."""
    return np.ascontiguousarray(librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=N_MELS).T, np.float64)


@functools.cache
def lifted_dct() -> np.ndarray:
    """Return the first 12 rows of the orthonormal DCT-II of 40 bands, each times its lifter's weight.

    Returns
    -------
    np.ndarray of float64, shape (12, 40)
    """
    lifter = 1 + LIFTER / 2 * np.sin(np.pi * np.arange(1, N_MFCC + 1) / LIFTER)
    return scipy.fft.dct(np.eye(N_MELS), axis=0, norm="ortho")[:N_MFCC] * lifter[:, np.newaxis]


def to_image(coefficients: np.ndarray) -> np.ndarray:
    """Convert MFCCs to the study's image.

    Parameters
    ----------
    coefficients : np.ndarray, shape (12, 98)
        Taken as grey levels as they are: below 0 is black, above 255 white.

    Returns
    -------
    np.ndarray of uint8, shape (224, 224, 3)
        All channels are equal. Coefficient 0 is at the top.
    """
    enlarged = skimage.transform.resize(coefficients, (IMAGE_SIZE, IMAGE_SIZE))
    grey = (np.clip(enlarged, 0, 255) + 0.5).astype(np.uint8)
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def mfc_image(signal: np.ndarray, *, front: int) -> np.ndarray:
    """Convert a recording to its image in view `mfc`.

    Parameters
    ----------
    signal : np.ndarray, shape (samples,)
        At 48 kHz, on the int16 scale: the image depends on it.
    front : int
        Zeros before it, in samples.

    Returns
    -------
    np.ndarray of uint8, shape (224, 224, 3)

    Examples
    --------
    >>> image = mfc_image(np.zeros(30_000), front=5_000)
    >>> image.shape, image.dtype, int(image.max())
    ((224, 224, 3), dtype('uint8'), 0)
    """
    return to_image(mfcc(pre_emphasise(pad(signal, front))))
