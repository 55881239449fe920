"""The same voice elsewhere: at another pitch, in a room, through a telephone, in noise, clipped, coded.

Works on one second of speech or less at 16 kHz. Every function takes a numpy Generator, so that a seed repeats it.
What is changed says nothing about gender: each change is drawn without looking at it, and pitch is only moved as far as
one person moves it. People who say single words to a microphone raise their voice: the medians of AudioMNIST_AZ's men
and women lie 2 and 3.5 semitones above those of LibriSpeech's readers.
"""

import numpy as np
import soxr
from scipy.signal import fftconvolve

from speaker_gender.config import WORKING_RATE, WORKING_SAMPLES

VERSION = 3  # part of the key of the images made from augmented speech: raise it when a change here changes them

RAISED = (-2, 5)  # semitones that a voice is moved by; the formants hardly move when a person speaks up
FORMANT_SCALES = (0.95, 1.05)
ENVELOPE_WINDOW, ENVELOPE_HOP, ENVELOPE_ORDER = 512, 128, 28  # samples, samples, cepstral coefficients
_WINDOW = np.hanning(ENVELOPE_WINDOW + 1)[:-1]
LINE_ENDS = (3_200, 5_500)  # Hz: of telephones, voice messages, recordings at 8 and 11 kHz
MOST_GAIN = 4.0  # nepers, of the envelope's correction in one bin
ABLATIONS = ("pitch shift", "surroundings", "telephone bandwidth")  # what `augment` can leave as it was


def augment(speech: np.ndarray, other: np.ndarray, rng: np.random.Generator, *, without: str = "") -> np.ndarray:
    """Speech as it might sound elsewhere: one second of it.

    Returns ndarray: float64, shape (15999,). Raises ValueError for an unknown ablation.

    Parameters
    ----------
    speech : ndarray
        At 16 kHz, any scale, shape (samples,).
    other : ndarray
        Other speech, which is heard faintly behind it in some cases, shape (samples,).
    rng : numpy.random.Generator
        Its seed repeats the result.
    without : str
        What is left as it was, to measure what changing it is worth: one of ABLATIONS, or '' for nothing.
    """
    if without and without not in ABLATIONS:
        raise ValueError(f"no such ablation: {without!r}; there are {', '.join(ABLATIONS)}")
    semitones, formants = rng.uniform(*RAISED), np.exp(rng.uniform(*np.log(FORMANT_SCALES)))
    if without == "pitch shift":
        semitones, formants = 0.0, 1.0
    signal = revoice(speech, pitch=2 ** (semitones / 12), formants=formants)[:WORKING_SAMPLES]
    signal = signal / (rms(signal) + 1e-9)
    missing = WORKING_SAMPLES - len(signal)
    front = int(rng.integers(missing + 1))
    padding = (front, missing - front)
    if without == "surroundings":
        return np.pad(signal, padding)
    in_silence = rng.random() < 0.5  # a recording cut short is padded with zeros; a longer one goes on in its noise
    if not in_silence:
        signal = np.pad(signal, padding)
    if rng.random() < 0.4:
        signal = reverberate(signal, rng)
    if rng.random() < 0.7:
        signal = colour(signal, rng)
    if rng.random() < 0.15:
        behind = np.resize(other, len(signal))
        signal = signal + behind / (rms(behind) + 1e-9) * decibel(-rng.uniform(8, 30))
    if rng.random() < 0.85:
        loudest = 3 if rng.random() < 0.3 else 15  # dB of speech over noise, at least
        signal = signal + noise(len(signal), rng) * decibel(-rng.uniform(loudest, 55))
    if rng.random() < 0.1:
        limit = np.quantile(np.abs(signal), rng.uniform(0.93, 0.995))
        signal = signal.clip(-limit, limit)
    if rng.random() < 0.1:
        signal = through_mu_law(signal)
    if rng.random() < 0.3 and without != "telephone bandwidth":
        signal = narrowed(signal, end=rng.uniform(*LINE_ENDS))
    return np.pad(signal, padding) if in_silence else signal


def revoice(speech: np.ndarray, *, pitch: float, formants: float) -> np.ndarray:
    """The speech at another pitch and with other formants; its length is divided by `pitch`.

    Resampling moves both by `pitch`; then each frame's spectral envelope (its liftered cepstrum) is moved back.
    `speech`: at 16 kHz, any scale, shape (samples,). `pitch`, `formants`: factors that pitch and formants are
    multiplied by. Returns ndarray: float64, shape (samples,).
    """
    moved = soxr.resample(speech, WORKING_RATE, WORKING_RATE / pitch, quality="MQ")
    ratio = formants / pitch
    if abs(ratio - 1) < 0.01:
        return moved
    spectra = _spectra(moved)
    envelope = _envelope(spectra)
    bins = np.arange(envelope.shape[1])
    source = np.minimum(bins / ratio, bins[-1])
    below = np.minimum(source.astype(int), bins[-1] - 1)
    part = source - below
    wanted = envelope[:, below] * (1 - part) + envelope[:, below + 1] * part
    return _signal_of(spectra * np.exp(np.clip(wanted - envelope, -MOST_GAIN, MOST_GAIN)), len(moved))


def whispered(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The speech without a pitch: noise with the speech's spectral envelope, frame by frame.

    `speech`: at 16 kHz, shape (samples,). `rng`: its seed repeats the result. Returns ndarray: float64 of the speech's
    shape and scale.
    """
    envelope = np.exp(_envelope(_spectra(speech)))
    return _signal_of(_spectra(rng.normal(size=len(speech))) * envelope / np.sqrt(ENVELOPE_WINDOW / 3), len(speech))


def _spectra(signal: np.ndarray) -> np.ndarray:
    """Short-time spectra of a signal, complex of shape (frames, bins), with silence before and after it."""
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(signal, ENVELOPE_WINDOW), ENVELOPE_WINDOW)
    return np.fft.rfft(frames[::ENVELOPE_HOP] * _WINDOW, axis=1)


def _signal_of(spectra: np.ndarray, n_samples: int) -> np.ndarray:
    """The signal that short-time spectra stand for, shape (n_samples,), by weighted overlap-add."""
    frames = np.fft.irfft(spectra, ENVELOPE_WINDOW, axis=1) * _WINDOW
    total, weight = np.zeros((2, n_samples + 2 * ENVELOPE_WINDOW))
    for index, frame in enumerate(frames):
        place = slice(index * ENVELOPE_HOP, index * ENVELOPE_HOP + ENVELOPE_WINDOW)
        total[place] += frame
        weight[place] += _WINDOW**2
    return (total / np.maximum(weight, 0.1))[ENVELOPE_WINDOW:-ENVELOPE_WINDOW]


def _envelope(spectra: np.ndarray) -> np.ndarray:
    """Smooth log magnitude of each frame, shape (frames, bins): its first cepstral coefficients."""
    cepstrum = np.fft.irfft(np.log(np.abs(spectra) + 1e-6), axis=1)
    quefrency = np.minimum(np.arange(ENVELOPE_WINDOW), ENVELOPE_WINDOW - np.arange(ENVELOPE_WINDOW))
    lifter = np.where(quefrency < ENVELOPE_ORDER, 0.5 + 0.5 * np.cos(np.pi * quefrency / ENVELOPE_ORDER), 0)
    return np.fft.rfft(cepstrum * lifter, axis=1).real


def reverberate(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The signal in a room: convolved with exponentially decaying noise behind a direct sound, near or far.

    `signal`: any scale, at 16 kHz, shape (samples,). `rng`: its seed repeats the result. Returns ndarray: float64,
    shape (samples,).
    """
    decay = rng.uniform(0.08, 0.7)  # seconds to -60 dB
    time = np.arange(int(min(decay, 0.6) * WORKING_RATE)) / WORKING_RATE
    response = rng.normal(size=len(time)) * 10 ** (-3 * time / decay)
    response *= decibel(-rng.uniform(-2, 18)) / np.linalg.norm(response)  # direct-to-reverberant ratio
    response[0] += 1
    return fftconvolve(signal, response)[: len(signal)]


def colour(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The signal through a microphone or a line: a tilt, a bumpy response, and a band of a telephone or better.

    `signal`: any scale, at 16 kHz, shape (samples,). `rng`: its seed repeats the result. Returns ndarray: float64,
    shape (samples,).
    """
    spectrum = np.fft.rfft(signal)
    frequency = np.fft.rfftfreq(len(signal), 1 / WORKING_RATE).clip(min=20)
    octaves = np.log2(frequency.clip(min=60) / 60)
    gain = rng.normal(0, 2) * np.log2(frequency.clip(min=80) / 1_000)
    gain += np.interp(octaves, np.linspace(0, 7.1, 8), rng.normal(0, 3, 8))
    if rng.random() < 0.25:
        gain -= 24 * np.log2(rng.uniform(60, 400) / frequency).clip(min=0)
    if rng.random() < 0.3:
        gain -= 48 * np.log2(frequency / rng.uniform(2_500, 7_500)).clip(min=0)
    return np.fft.irfft(spectrum * decibel(gain), len(signal))


def narrowed(signal: np.ndarray, *, end: float) -> np.ndarray:
    """The signal through a line of limited bandwidth: a telephone, or a recording at a low rate. Noise is cut, too.

    `signal`: any scale, at 16 kHz, shape (samples,). `end`: highest frequency that is carried, in Hz. Returns ndarray:
    float64, shape (samples,).
    """
    spectrum = np.fft.rfft(signal)
    spectrum[np.fft.rfftfreq(len(signal), 1 / WORKING_RATE) > end] = 0
    return np.fft.irfft(spectrum, len(signal))


def noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise with a random spectral tilt, with a mains hum in one of five.

    `rng`: its seed repeats the result. Returns ndarray: float64, shape (n_samples,), RMS 1.
    """
    spectrum = np.fft.rfft(rng.normal(size=n_samples))
    frequency = np.fft.rfftfreq(n_samples, 1 / WORKING_RATE)
    tilted = np.fft.irfft(spectrum * decibel(rng.uniform(-7, 1) * np.log2(frequency.clip(min=50) / 1_000)), n_samples)
    tilted /= rms(tilted)
    if rng.random() < 0.2:
        phase = 2 * np.pi * rng.choice([50, 60]) * np.arange(n_samples) / WORKING_RATE
        hum = sum(np.sin(order * phase + rng.uniform(0, 2 * np.pi)) / order for order in range(1, 6))
        tilted = tilted + hum / rms(hum) * rng.uniform(0, 2)
    return tilted / rms(tilted)


def through_mu_law(signal: np.ndarray) -> np.ndarray:
    """The signal after 8-bit µ-law coding.

    `signal`: any scale, at 16 kHz, shape (samples,). Returns ndarray: float64, shape (samples,).

    References
    ----------
    ITU-T Recommendation G.711, 1988.
    """
    peak = np.abs(signal).max() + 1e-9
    compressed = np.sign(signal) * np.log1p(255 * np.abs(signal) / peak) / np.log(256)
    coded = np.round(127 * compressed) / 127
    return np.sign(coded) * (256 ** np.abs(coded) - 1) / 255 * peak


def rms(signal: np.ndarray) -> float:
    """Root of the mean square of a signal, shape (samples,)."""
    return float(np.sqrt(np.mean(np.square(signal))))


def decibel(level):
    """The factor of amplitude that a level in dB stands for.

    Examples
    --------
    >>> decibel(-20.0)
    0.1
    """
    return 10 ** (level / 20)
