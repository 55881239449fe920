"""The speech in a signal: whether there is any to classify, and where it lies.

Silero VAD finds it (github.com/snakers4/silero-vad, MIT), a small recurrent network whose weights lie in the package
`silero-vad` as ONNX. ONNX Runtime runs it; the package itself is not imported, since it imports torch.
results/speech_detectors.json compares it with others.
"""

import functools
import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import soxr

from speaker_gender.config import RECORDING_SAMPLES, SAMPLE_RATE, WORKING_RATE
from speaker_gender.sound.reading import INT16_FULL_SCALE

VERSION = 4  # part of the keys of what depends on it: raise it when a change here changes what is taken for speech

FRAME, CONTEXT, STATE = 512, 64, 128  # samples at 16 kHz that the network gets at a time, and before them; its memory
FRAMES_AT_ONCE = 512  # 16 s
SILENCE_BEFORE = 0.5  # seconds
PEAK = 0.9  # of full scale: the level at which the network gets a signal; louder, drums sound like voices to it
SHIFTS = (0, FRAME // 2)  # samples: an attack that meets a frame's beginning sounds more like speech to the network
THRESHOLD, LOW_THRESHOLD = 0.6, 0.35  # probability at which speech begins, and under which it ends
SILENCE = -84  # dBFS of the loudest sample; AudioMNIST's quietest recording has -40
MIN_SECONDS = 0.1  # of a recording
MIN_SPEECH = 3  # frames in a row of a recording that is longer than a window: music has chance ones
# In a recording that is longer than a take of the recorder one stretch has to be convincing: its probabilities add up
# to as much, and if it has many frames, their mean or peak is high. Music has long ones of half a probability.
LONG_SECONDS, LEAST_SUM, MANY_FRAMES, HIGH_MEAN, HIGH_PEAK = 2.3, 2.4, 9, 0.58, 0.95
LONGEST_GAP = 0.2  # seconds: a plosive's closure within a word is shorter
MARGIN = 0.1  # seconds of surroundings around speech, as in AudioMNIST
# Of the peak, which resampling raises above where a recording was clipped; of the samples. Speech has less than 0.01.
CLIPPED_AMPLITUDE, CLIPPED_SHARE = 0.8, 0.04


class Window(NamedTuple):
    """A part of a recording with speech in it: where it starts (samples), and its signal, shape (samples,)."""

    start: int
    signal: np.ndarray


def speech_probability(signal: np.ndarray, *, sample_rate: int) -> np.ndarray:
    """Probability that somebody speaks, every 32 ms.

    `signal`: any scale, shape (samples,). Its offset is taken out and its level is normalised. `sample_rate`: In Hz.
    Returns ndarray: float32 in 0…1, shape (frames,); frame i begins at i × 32 ms.
    """
    signal = signal - signal.mean()
    if sample_rate != WORKING_RATE:
        signal = soxr.resample(signal, sample_rate, WORKING_RATE, quality="MQ")
    signal = signal * (PEAK / max(np.abs(signal).max(initial=0), 1e-9))
    return np.stack([_probability(signal, shift) for shift in SHIFTS]).mean(axis=0)


def _probability(signal: np.ndarray, shift: int) -> np.ndarray:
    """The network's probabilities where its frames begin so many samples before the signal's, shape (frames,)."""
    frames = np.zeros((-(-len(signal) // FRAME), FRAME), np.float32)
    frames.reshape(-1)[shift : shift + len(signal)] = signal[: frames.size - shift]
    before = np.zeros((len(frames), CONTEXT), np.float32)
    before[1:] = frames[:-1, -CONTEXT:]
    inputs = np.concatenate([before, frames], axis=1)
    hidden, cell = _state_of_silence()
    found = []
    for first in range(0, len(inputs), FRAMES_AT_ONCE):
        block = {"input": inputs[first : first + FRAMES_AT_ONCE], "h": hidden, "c": cell}
        probability, hidden, cell = _network().run(["speech_probs", "hn", "cn"], block)
        found.append(probability.reshape(-1))
    return np.concatenate(found)


@functools.cache
def _state_of_silence() -> tuple[np.ndarray, np.ndarray]:
    """The network's state after silence, without which its first frames are its worst."""
    silence = np.zeros((round(SILENCE_BEFORE * WORKING_RATE / FRAME), CONTEXT + FRAME), np.float32)
    empty = np.zeros((1, 1, STATE), np.float32)
    _, hidden, cell = _network().run(["speech_probs", "hn", "cn"], {"input": silence, "h": empty, "c": empty})
    return hidden, cell


@functools.cache
def _network() -> onnxruntime.InferenceSession:
    onnxruntime.disable_telemetry_events()
    package = importlib.util.find_spec("silero_vad")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("the package silero-vad is not installed: bash scripts/run.sh installs it")
    path = Path(package.submodule_search_locations[0]) / "data" / "silero_vad_16k_sequence.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # one file is too short for more
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def find_speech(signal: np.ndarray, *, sample_rate: int) -> tuple[list[Window], str | None]:
    """The windows with speech in a recording, and why there are none.

    A recording that is no longer than a second is one window, as it is in training. In a longer one each stretch of
    speech between pauses is one, with 0.1 s around it; a longer stretch is divided evenly. `signal`: on the int16
    scale, shape (samples,). `sample_rate`: In Hz.

    Returns
    -------
    windows : list of Window
        In order, each of at most 47,998 samples at 48 kHz. Their signals are views.
    reason : str or None
        'silence' (no sample above -84 dBFS), 'no speech', or 'too short' (under 0.1 s); None where there are windows.
    """
    if len(signal) < MIN_SECONDS * sample_rate:
        return [], "too short"
    if np.abs(signal - signal.mean()).max() < INT16_FULL_SCALE * 10 ** (SILENCE / 20):
        return [], "silence"
    longest = RECORDING_SAMPLES * sample_rate // SAMPLE_RATE
    fewest = MIN_SPEECH if len(signal) > longest else 1
    stretches = speech_stretches(signal, sample_rate=sample_rate, fewest=fewest)
    if not stretches:
        return [], "no speech"
    if len(signal) <= longest:
        return [Window(0, signal)], None
    edges: list[tuple[int, int]] = []
    for start, stop in stretches:
        n_windows = -(-(stop - start) // longest)
        inner = np.linspace(start, stop, n_windows + 1).round().astype(int).tolist()
        edges += zip(inner, inner[1:])
    return [Window(start, signal[start:stop]) for start, stop in edges], None


def speech_stretches(signal: np.ndarray, *, sample_rate: int, fewest: int = MIN_SPEECH) -> list[tuple[int, int]]:
    """First and last sample of each stretch of speech, with 0.1 s around it, across pauses of up to 0.2 s.

    `signal`: any scale, shape (samples,). `sample_rate`: In Hz. `fewest`: frames of 32 ms that a stretch has at least.
    Returns list of tuple of int: In order; no two overlap.
    """
    probability = speech_probability(signal, sample_rate=sample_rate)
    frame, margin, gap = (round(seconds * sample_rate) for seconds in (FRAME / WORKING_RATE, MARGIN, LONGEST_GAP))
    runs = [
        (first, last)
        for first, last in _runs(probability >= LOW_THRESHOLD)
        if last + 1 - first >= fewest and probability[first : last + 1].max() >= THRESHOLD
    ]
    is_long = len(signal) > LONG_SECONDS * sample_rate
    if is_long and not any(_is_convincing(probability[first : last + 1]) for first, last in runs):
        return []
    found: list[tuple[int, int]] = []
    for first, last in runs:
        start, stop = first * frame, min((last + 1) * frame, len(signal))
        if found and start - found[-1][1] <= gap:
            start = found.pop()[0]
        found.append((start, stop))
    edges = [0, *((stop + start) // 2 for (_, stop), (start, _) in zip(found, found[1:])), len(signal)]
    return [
        (max(start - margin, low), min(stop + margin, high))
        for (start, stop), low, high in zip(found, edges, edges[1:])
    ]


def _is_convincing(probability: np.ndarray) -> bool:
    is_high = probability.mean() >= HIGH_MEAN or probability.max() >= HIGH_PEAK
    return bool(probability.sum() >= LEAST_SUM and (len(probability) < MANY_FRAMES or is_high))


def _runs(active: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of True."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    return [(int(first), int(end) - 1) for first, end in steps.reshape(-1, 2)]


def why_not_speech(signal: np.ndarray, *, sample_rate: int) -> str | None:
    """Why a recording cannot be classified: `find_speech`'s reason, or None where it can be."""
    return find_speech(signal, sample_rate=sample_rate)[1]


def speech_windows(signal: np.ndarray, *, sample_rate: int) -> list[Window]:
    """The windows with speech in a recording: those of `find_speech`, empty where it has a reason."""
    return find_speech(signal, sample_rate=sample_rate)[0]


def is_clipped(signal: np.ndarray) -> bool:
    """Whether a recording was too loud for its microphone: many of its samples lie at its very peak.

    `signal`: any scale, shape (samples,). Its offset is taken out first.
    """
    middle = len(signal) // 2
    centred = np.abs(signal - np.partition(signal, middle)[middle])  # np.median imports numpy.ma, which takes 30 ms
    peak = centred.max(initial=0)
    return peak > 0 and float(np.mean(centred > CLIPPED_AMPLITUDE * peak)) > CLIPPED_SHARE
