"""View `mfc`: the study's image of a recording, its lifted MFCCs over one second, reproduced to the byte.

int16 signal → padded to 47,998 samples → pre-emphasis → 12 lifted MFCCs × 98 frames → 224 × 224 × 3 grey levels.
Source: github.com/zhihanyang2022/gender-audio-classification; the constants below are the study's.
"""

import librosa
import numpy as np
from skimage.transform import resize

from config import RECORDING_SAMPLES, SAMPLE_RATE

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
    """How many zeros go in front of each recording so that all have 47,998 samples.

    lengths: samples of each recording, in the order of its gender's map. The study draws with numpy's legacy
    generator, seed 1 for the male list and 2 for the female one, and draws nothing where nothing is missing.
    """
    generator = np.random.RandomState(seed)
    missing = [RECORDING_SAMPLES - length for length in lengths]
    return [int(generator.randint(samples)) if samples > 0 else 0 for samples in missing]


def pad(signal: np.ndarray, front: int) -> np.ndarray:
    """The signal, shape (samples,), with `front` zeros before it and zeros after it, shape (47998,).

    A longer signal (none in AudioMNIST) is cut to the 47,998 samples that hold the most energy.
    """
    excess = len(signal) - RECORDING_SAMPLES
    if excess > 0:
        energy = np.concatenate([[0.0], np.cumsum(np.square(signal, dtype=np.float64))])
        start = int(np.argmax(energy[RECORDING_SAMPLES:] - energy[: excess + 1]))
        return signal[start : start + RECORDING_SAMPLES]
    return np.pad(signal, (front, -excess - front))


def pre_emphasise(signal: np.ndarray) -> np.ndarray:
    """y[n] = x[n] - 0.97 x[n-1], the first sample kept: lifts the high frequencies that speech has little of."""
    return np.append(signal[0], signal[1:] - PRE_EMPHASIS * signal[:-1])


def mfcc(signal: np.ndarray) -> np.ndarray:
    """Lifted MFCCs of a padded signal: 12 coefficients of the log power in 40 mel bands, shape (12, 98).

    signal: int16 values as float64 after pre-emphasis, shape (47998,). Frames of 25 ms every 10 ms, none centred.
    """
    return librosa.feature.mfcc(
        y=signal,
        sr=SAMPLE_RATE,
        n_mfcc=N_MFCC,
        dct_type=2,
        norm="ortho",
        lifter=LIFTER,
        n_fft=N_FFT,
        hop_length=HOP_LENGTH,
        window="hann",
        center=False,
        power=2.0,
        n_mels=N_MELS,
    )


def to_image(coefficients: np.ndarray) -> np.ndarray:
    """MFCCs, shape (12, 98), as the study's image, uint8 of shape (224, 224, 3), all channels equal.

    Values are grey levels as they are: below 0 is black, above 255 white. Row 0 is coefficient 0, at the top.
    """
    channels = np.repeat(coefficients[:, :, np.newaxis], 3, axis=2)
    enlarged = resize(channels, (IMAGE_SIZE, IMAGE_SIZE, 3))
    return (np.clip(enlarged, 0, 255) + 0.5).astype(np.uint8)


def mfc_image(signal: np.ndarray, *, front: int) -> np.ndarray:
    """From a recording on the int16 scale, shape (samples,), to its image, uint8 of shape (224, 224, 3)."""
    return to_image(mfcc(pre_emphasise(pad(signal, front))))
