"""The speech in a signal: whether there is any to classify, and where it lies."""

from typing import NamedTuple

import numpy as np

from speaker_gender.config import RECORDING_SAMPLES, SAMPLE_RATE
from speaker_gender.sound.reading import INT16_FULL_SCALE

FRAME, HOP = 0.040, 0.010  # seconds


LEVEL_BAND = (80, 8_000)  # Hz: above rumble and a mains hum's fundamental, with the fricatives


PITCH_BAND = (80, 4_000)  # Hz, of the harmonics that tell voicing


PITCHES = (60, 420)  # Hz


MIN_PERIODICITY = 0.3  # of 1; noise hardly ever reaches it in three frames with one pitch, a vowel does


MAX_PITCH_STEP = 0.15  # from frame to frame; where there is no pitch it jumps about


MIN_VOICED = 3  # frames in a row


SILENCE = -72  # dBFS of the loudest frame; AudioMNIST's quietest recording has -51


ABOVE_FLOOR = 6  # dB over the recording's noise floor


VOICED_RANGE, SPEECH_RANGE = 30, 35  # dB below the loudest voiced frame


STEADY_LEVEL, STEADY_PITCH = 1, 0.02  # dB, ratio: within these a voice never keeps, and a tone does


MIN_SPEECH = 0.1  # seconds


LONGEST_GAP = 0.2  # seconds: a plosive's closure within a word is shorter


MARGIN = 0.1  # seconds of surroundings around speech, as in AudioMNIST


SHORTEST_CUT = 0.3  # seconds: no window cut from longer speech is shorter


CLIPPED_AMPLITUDE, CLIPPED_SHARE = 0.8, 0.1  # of the peak, of the speech's samples


class Window(NamedTuple):
    """A part of a recording with speech in it: where it starts (samples), and its signal, shape (samples,)."""

    start: int
    signal: np.ndarray


def find_speech(signal: np.ndarray, *, sample_rate: int) -> tuple[list[Window], str | None]:
    """The windows with speech in a recording, and why there are none: what the next two functions give, at once."""
    stretches, reason, level = _analyse_speech(signal, sample_rate=sample_rate)
    longest = RECORDING_SAMPLES * sample_rate // SAMPLE_RATE
    if reason:
        return [], reason
    if len(signal) <= longest:
        return [Window(0, signal)], None
    pieces = [piece for stretch in stretches for piece in _cut(*stretch, longest, level, sample_rate)]
    return [Window(start, signal[start:stop]) for start, stop in pieces], None


def why_not_speech(signal: np.ndarray, *, sample_rate: int) -> str | None:
    """Why a recording cannot be classified: 'too short', 'silence', 'noise only', 'clipped'; None where it can be.

    signal: on the int16 scale, shape (samples,). Only 'silence' depends on the scale (no frame above -72 dBFS). Noise
    is what is not voiced, or steady: hiss, hum, tones, clicks, and whispering, in which there is no pitch either.
    Speech or a recording under 0.1 s is too short. Clipped: a tenth of the samples of speech are near their peak.
    """
    return find_speech(signal, sample_rate=sample_rate)[1]


def speech_windows(signal: np.ndarray, *, sample_rate: int) -> list[Window]:
    """The recording in pieces of at most 47,998 samples (at 48 kHz) with speech in them, in order.

    signal: on the int16 scale, shape (samples,). A recording that is no longer than that is one window, as it is in
    training. Else each stretch of speech between pauses is one, with 0.1 s around it; a longer stretch is cut where it
    is quietest between half a window and a whole one. Empty where `why_not_speech` has a reason. Windows are views.
    """
    return find_speech(signal, sample_rate=sample_rate)[0]


def _cut(start: int, stop: int, longest: int, level: np.ndarray, sample_rate: int) -> list[tuple[int, int]]:
    """A stretch (samples) in pieces of at most `longest`, cut where `level` (dB a frame) is lowest."""
    hop_length, shortest = round(HOP * sample_rate), round(SHORTEST_CUT * sample_rate)
    pieces = []
    while stop - start > longest:
        first = -(-(start + longest // 2) // hop_length)
        last = min(start + longest, stop - shortest) // hop_length
        cut = (first + int(np.argmin(level[first : last + 1]))) * hop_length
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, stop)]


def _analyse_speech(signal: np.ndarray, *, sample_rate: int) -> tuple[list[tuple[int, int]], str | None, np.ndarray]:
    """Stretches of speech with their margins (first and last sample), why there are none, level of each frame (dB)."""
    if len(signal) < MIN_SPEECH * sample_rate:
        return [], "too short", np.empty(0)
    level, periodicity, pitch = _analyse(signal, sample_rate=sample_rate)
    if level.max() < SILENCE:
        return [], "silence", level
    floor = np.percentile(level, 10) + ABOVE_FLOOR
    voiced = _in_runs((periodicity > MIN_PERIODICITY) & (level > floor), pitch)
    if not voiced.any():
        return [], "noise only", level
    loudest = level[voiced].max()  # of the voice, because a click may be louder
    voiced &= level > loudest - VOICED_RANGE
    if _is_tone(level[voiced], pitch[voiced]):
        return [], "noise only", level

    active = level > max(floor, loudest - SPEECH_RANGE)
    cores = np.zeros(len(active), dtype=bool)  # one piece of a tenth of a second: knocks in a row are none
    for first, last in _stretches(active, longest_gap=0):
        is_long = last + 1 - first >= MIN_SPEECH / HOP
        cores[first : last + 1] = is_long and voiced[first : last + 1].sum() >= MIN_VOICED
    stretches = _stretches(active, longest_gap=round(LONGEST_GAP / HOP))
    stretches = [(first, last) for first, last in stretches if cores[first : last + 1].any()]
    if not stretches:
        return [], "too short", level
    hop_length, margin = round(HOP * sample_rate), round(MARGIN * sample_rate)
    spans = [
        (max(first * hop_length - margin, 0), min(last * hop_length + margin, len(signal))) for first, last in stretches
    ]
    peak = max(np.abs(signal[start:stop]).max() for start, stop in spans)
    n_near_peak = sum(np.sum(np.abs(signal[start:stop]) > CLIPPED_AMPLITUDE * peak) for start, stop in spans)
    clipped = n_near_peak > CLIPPED_SHARE * sum(stop - start for start, stop in spans)
    return spans, "clipped" if clipped else None, level


def _analyse(signal: np.ndarray, *, sample_rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Level (dBFS), periodicity (1: perfectly periodic) and pitch (Hz) of each frame, all of shape (frames,).

    Frame i is centred on sample i × 10 ms. Periodicity is the highest peak of the autocorrelation, divided by the
    window's own (Boersma 1993). The autocorrelation is the inverse transform of the power spectrum, here weighted by
    the root of frequency: noise that is strongest at low frequencies would look periodic otherwise.
    """
    frame_length, hop_length, n_fft = (round(seconds * sample_rate) for seconds in (FRAME, HOP, 0.064))
    window = np.hanning(frame_length + 1)[:-1]
    frequency = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    in_level = (frequency >= LEVEL_BAND[0]) & (frequency <= LEVEL_BAND[1])
    n_bins = np.searchsorted(frequency, min(PITCH_BAND[1], sample_rate / 2))  # fewer bins: a lower rate of lags
    weight = np.where(frequency >= PITCH_BAND[0], np.sqrt(frequency), 0)[:n_bins]
    lag_rate = 2 * (n_bins - 1) / n_fft * sample_rate
    lags = np.arange(int(lag_rate / PITCHES[1]) - 1, int(lag_rate / PITCHES[0]) + 2)
    of_window = np.fft.irfft(np.abs(np.fft.rfft(window, n_fft)[:n_bins]) ** 2)
    full_scale = INT16_FULL_SCALE**2 * np.sum(window**2) * n_fft / 2

    n_frames, at_a_time = len(signal) // hop_length + 1, 1_000  # 10 s: an hour's frames would not fit into memory
    level, periodicity, pitch = [], [], []
    for start in range(0, n_frames, at_a_time):
        first = start * hop_length - frame_length // 2
        last = first + (min(at_a_time, n_frames - start) - 1) * hop_length + frame_length
        piece = signal[max(first, 0) : last]
        piece = np.pad(piece, (max(-first, 0), max(last - len(signal), 0)), mode="edge")
        block = np.lib.stride_tricks.sliding_window_view(piece, frame_length)[::hop_length]
        block = (block - block.mean(axis=1, keepdims=True)) * window  # an offset would leak into every band
        power = np.abs(np.fft.rfft(block, n_fft)) ** 2
        level.append(10 * np.log10(power[:, in_level].sum(axis=1) / full_scale + 1e-20))
        autocorrelation = np.fft.irfft(power[:, :n_bins] * weight)
        normal = np.maximum(autocorrelation[:, :1], 1e-20) * of_window[lags] / of_window[0]
        height = autocorrelation[:, lags] / normal
        before, here, after = height[:, :-2], height[:, 1:-1], height[:, 2:]
        peaks = np.where((here >= before) & (here >= after), here, 0)
        periodicity.append(peaks.max(axis=1))
        pitch.append(lag_rate / lags[1:-1][peaks.argmax(axis=1)])
    return np.concatenate(level), np.concatenate(periodicity), np.concatenate(pitch)


def _in_runs(candidates: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Those of the candidate frames (bool) that follow each other in threes or more, with a pitch that moves slowly."""
    voiced = np.zeros(len(candidates), dtype=bool)
    joined = candidates[1:] & candidates[:-1] & (np.abs(np.diff(np.log(pitch))) < MAX_PITCH_STEP)
    for first, last in _stretches(joined, longest_gap=0):
        if last + 2 - first >= MIN_VOICED:
            voiced[first : last + 2] = True
    return voiced


def _stretches(active: np.ndarray, *, longest_gap: int) -> list[tuple[int, int]]:
    """First and last frame of each stretch of active frames, across gaps of up to `longest_gap` frames."""
    indices = np.flatnonzero(active)
    breaks = np.flatnonzero(np.diff(indices) > longest_gap + 1)
    if not len(indices):
        return []
    return list(zip(indices[np.r_[0, breaks + 1]].tolist(), indices[np.r_[breaks, len(indices) - 1]].tolist()))


def _is_tone(level: np.ndarray, pitch: np.ndarray) -> bool:
    """Whether most voiced frames have one level (dB) and one pitch (Hz): a hum or a beep."""
    quietest, loudest = np.percentile(level, [20, 80])
    lowest, highest = np.percentile(pitch, [20, 80])
    return loudest - quietest < STEADY_LEVEL and highest / lowest < 1 + STEADY_PITCH
