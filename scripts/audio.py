"""From a sound file to the signal that every image is made from: mono, one sample rate, on the scale of int16.

The scale matters: the study's images were made from int16 values, and the zeroth cepstral coefficient moves by
hundreds when the same sound arrives as floats in -1…1. Every encoding therefore ends on the same scale here.
"""

from pathlib import Path

import numpy as np
import soundfile
import soxr

from config import SAMPLE_RATE

INT16_FULL_SCALE = 32_768


class AudioError(ValueError):
    """A sound file that cannot be read; the message is one line that names the file."""


def read_header(path: Path) -> tuple[int, int, str]:
    """(samples, sample rate in Hz, encoding such as 'PCM_16') of a sound file, without reading its sound.

    Raises AudioError where there is no readable, non-empty sound file.
    """
    try:
        header = soundfile.info(path)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: not a readable sound file ({_reason(error)})") from None
    if header.frames < 1:
        raise AudioError(f"{path}: holds no sound")
    return header.frames, header.samplerate, header.subtype


def read_signal(path: Path, *, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """The recording as float64, shape (samples,), mono at `sample_rate`, on the int16 scale (±32,768).

    Channels are averaged; another rate is resampled (soxr, very high quality). 16-bit mono at `sample_rate`
    comes back as exactly its integer values. Raises AudioError for a file that cannot be read.
    """
    try:
        signal, own_rate = soundfile.read(path, dtype="float64", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: not a readable sound file ({_reason(error)})") from None
    if not len(signal):
        raise AudioError(f"{path}: holds no sound")
    signal = signal.mean(axis=1) * INT16_FULL_SCALE
    if not np.isfinite(signal).all():
        raise AudioError(f"{path}: holds samples that are not finite numbers")
    return soxr.resample(signal, own_rate, sample_rate, quality="VHQ") if own_rate != sample_rate else signal


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()).rstrip(".")
