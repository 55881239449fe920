"""Changes of a recording that a model may be fooled by: another pitch, another speed, a whisper, a telephone, noise."""

from collections.abc import Callable

import numpy as np

from speaker_gender.config import WORKING_RATE
from speaker_gender.sound.augmentation import decibel, noise, revoice, rms, whispered

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]

TELEPHONE = (300, 3_400)  # Hz


def pitch_shifted(semitones: float) -> Change:
    """Make a change of pitch by so many semitones; the formants stay."""
    return lambda signal, _: revoice(signal, pitch=2 ** (semitones / 12), formants=1.0)


def played_at(speed: float) -> Change:
    """Make a change of speed, as of a tape: pitch and formants move together."""
    return lambda signal, _: revoice(signal, pitch=speed, formants=speed)


def through_telephone(signal: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """Cut a signal at 16 kHz to a telephone's band."""
    spectrum, frequency = np.fft.rfft(signal), np.fft.rfftfreq(len(signal), 1 / WORKING_RATE)
    low, high = TELEPHONE
    return np.fft.irfft(np.where((frequency > low) & (frequency < high), spectrum, 0), len(signal))


def in_noise(level: float) -> Change:
    """Make a change that adds noise, so many dB below the speech."""
    return lambda signal, rng: signal + noise(len(signal), rng) * rms(signal) * decibel(-level)


# Each takes speech at 16 kHz on any scale, shape (samples,), and a generator; it returns the changed speech.
CHANGES: dict[str, Change] = {
    "as it is": lambda signal, _: signal,
    "pitch 4 semitones up": pitch_shifted(4),
    "pitch 8 semitones up": pitch_shifted(8),
    "pitch 4 semitones down": pitch_shifted(-4),
    "pitch 8 semitones down": pitch_shifted(-8),
    "played 1.3 times faster": played_at(1.3),
    "played 1.3 times slower": played_at(1 / 1.3),
    "whispered": whispered,
    "through a telephone": through_telephone,
    "noise 10 dB below the speech": in_noise(10),
    "noise as loud as the speech": in_noise(0),
}
