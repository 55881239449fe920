#!/usr/bin/env python3
"""Which detector finds speech where somebody speaks, and only there?

    python scripts/studies/speech_detectors.py CORPUS… [--no-speech FOLDER…] [--each N]

Every recording of the corpora is speech: a detector that finds none in it refuses it. So are the same recordings
changed: trimmed tightly, levelled strongly, with an offset, at 8 kHz, in noise, clipped, whispered; and vowels that are
held or sung. In the folders (Debian's packages of sounds for drums, games and desktops were used) there is no speech: a
detector that finds speech there answers what it should not. Writes results/speech_detectors.json. WebRTC's detector is
measured where `webrtcvad-wheels` is installed.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import functools
import importlib.util
from collections.abc import Callable
from datetime import date

import numpy as np
import soxr
from scipy.signal import lfilter

from speaker_gender.caching import write_json
from speaker_gender.config import RESULTS, SEED, WORKING_RATE
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.learning.training import versions
from speaker_gender.parallel import in_parallel
from speaker_gender.sound.augmentation import noise, rms, whispered
from speaker_gender.sound.files import sound_files
from speaker_gender.sound.reading import INT16_FULL_SCALE, AudioError, read_pieces
from speaker_gender.sound.speech import MIN_SECONDS, why_not_speech

SPOKEN = "audio-channel"  # the desktop sounds of this name are spoken words
WEBRTC_FRAME = 320  # samples at 16 kHz: 20 ms
WEBRTC_LEAST = 5  # frames
FORMANTS = ((700, 80), (1_200, 90), (2_600, 120))  # Hz: frequency and bandwidth, of [a]
N_VOWELS = 60


def silero(signal: np.ndarray) -> bool:
    """The detector in use."""
    return why_not_speech(signal, sample_rate=WORKING_RATE) is None


def webrtc(signal: np.ndarray, *, mode: int) -> bool:
    """WebRTC's detector, with the level normalised and half a second of silence around."""
    import webrtcvad

    signal = signal - signal.mean()
    peak = max(np.abs(signal).max(), 1e-9)
    padded = np.pad(signal * (0.9 * INT16_FULL_SCALE / peak), WORKING_RATE // 2).astype("<i2")
    detector = webrtcvad.Vad(mode)
    frames = padded[: len(padded) // WEBRTC_FRAME * WEBRTC_FRAME].reshape(-1, WEBRTC_FRAME)
    return sum(detector.is_speech(frame.tobytes(), WORKING_RATE) for frame in frames) >= WEBRTC_LEAST


def detectors() -> dict[str, Callable[[np.ndarray], bool]]:
    """Name → whether a signal at 16 kHz holds speech."""
    found: dict[str, Callable[[np.ndarray], bool]] = {"Silero VAD (in use)": silero}
    if importlib.util.find_spec("webrtcvad"):
        found |= {f"WebRTC VAD, mode {mode}": functools.partial(webrtc, mode=mode) for mode in (1, 3)}
    return found


def trimmed(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """From the first to the last 10 ms within 20 dB of the loudest."""
    hop = WORKING_RATE // 100
    level = np.sqrt(np.mean(signal[: len(signal) // hop * hop].reshape(-1, hop) ** 2, axis=1))
    loud = np.flatnonzero(level > level.max() / 10)
    return signal[loud[0] * hop : (loud[-1] + 1) * hop]


def levelled(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Divided by its level in 20 ms: nothing is left of the word's envelope."""
    centred = signal - signal.mean()
    power = np.convolve(centred**2, np.ones(320) / 320, "same")
    return 3_000 * centred / (np.sqrt(power) + 1e-4 * np.abs(centred).max() + 1e-9)


def at_8_khz(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Through a sample rate of 8 kHz."""
    return soxr.resample(soxr.resample(signal, WORKING_RATE, 8_000), 8_000, WORKING_RATE)


def in_noise(signal: np.ndarray, rng: np.random.Generator, *, ratio: float) -> np.ndarray:
    """White noise so many dB below the recording."""
    centred = signal - signal.mean()
    return centred + rng.normal(size=len(centred)) * rms(centred) * 10 ** (-ratio / 20)


def clipped(signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The fifth of the samples that is loudest is cut off."""
    centred = signal - signal.mean()
    limit = np.quantile(np.abs(centred), 0.8)
    return centred.clip(-limit, limit)


CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "as they are": lambda signal, rng: signal,
    "trimmed": trimmed,
    "levelled": levelled,
    "trimmed and levelled": lambda signal, rng: levelled(trimmed(signal, rng), rng),
    "offset of 0.3 of full scale": lambda signal, rng: signal + 0.3 * INT16_FULL_SCALE,
    "8 kHz": at_8_khz,
    **{f"noise {ratio} dB below": functools.partial(in_noise, ratio=ratio) for ratio in (20, 10, 5, 0)},
    "clipped": clipped,
    "whispered": lambda signal, rng: whispered(signal, rng),
}


def vowel(rng: np.random.Generator, *, sung: bool) -> np.ndarray:
    """A held vowel of 0.5 to 2 s, or a sung note with vibrato, at 16 kHz."""
    time = np.arange(int(rng.uniform(0.5, 2) * WORKING_RATE)) / WORKING_RATE
    pitch = rng.uniform(90, 260) * np.ones(len(time))
    if sung:
        pitch *= 1 + 0.02 * np.sin(2 * np.pi * 5.5 * time)
    pulses = np.diff(np.floor(np.cumsum(pitch) / WORKING_RATE), prepend=0)
    signal = lfilter([1], [1, -0.97], pulses)
    for frequency, bandwidth in FORMANTS:
        radius, angle = np.exp(-np.pi * bandwidth / WORKING_RATE), 2 * np.pi * frequency / WORKING_RATE
        signal = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], signal)
    ramp = np.minimum(1, np.minimum(time, time[::-1]) / 0.05)
    return 5_000 * ramp * signal / np.abs(signal).max() + noise(len(signal), rng)


def found_in(job: tuple[int, Path], *, change: str) -> dict[str, bool] | None:
    """Detector → whether it finds speech in a file's first minute; None for one that cannot be read or is too short."""
    number, path = job
    try:
        signal = next(read_pieces(path, sample_rate=WORKING_RATE, report=[]))[: 60 * WORKING_RATE]
    except AudioError:
        return None
    if len(signal) < MIN_SECONDS * WORKING_RATE:
        return None
    signal = CHANGES[change](signal, np.random.default_rng([SEED, number]))
    return {name: detect(signal) for name, detect in detectors().items()}


def shares(found: list[dict[str, bool] | None], *, speech: bool) -> dict:
    """recordings, and of each detector how many it gets wrong."""
    measured = [row for row in found if row is not None]
    return {
        "recordings": len(measured),
        "wrong": {name: sum(row[name] != speech for row in measured) for name in detectors()},
    }


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="folders in AudioMNIST's layout")
    parser.add_argument("--no-speech", nargs="*", type=Path, default=[], metavar="FOLDER", help="without speech")
    parser.add_argument("--each", type=int, default=100, help="recordings of each corpus that are changed")
    options = parser.parse_args()
    jobs: dict[str, tuple[list[Path], str]] = {}
    try:
        for choice in options.corpora:
            corpus = resolve_corpus(choice)
            table = load_recordings(corpus)
            paths = [corpus.folder / path for path in table.loc[table["here"], "path"]]
            jobs[f"{corpus.title}, as they are"] = (paths, "as they are")
            for change in list(CHANGES)[1:]:
                some = paths[:: max(len(paths) // options.each, 1)]
                before = jobs.get(f"words, {change}", ([], change))[0]
                jobs[f"words, {change}"] = (before + some, change)
        silent = {folder.name: sound_files([folder])[0] for folder in options.no_speech}
    except (CorpusError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    rows: dict[str, dict] = {}
    for name, (paths, change) in jobs.items():
        rows[name] = shares(_run(paths, change, name), speech=True)
    for kind, sung in (("held vowels", False), ("sung notes", True)):
        rng = np.random.default_rng(SEED)
        signals = [vowel(rng, sung=sung) for _ in range(N_VOWELS)]
        made = [{name: detect(signal) for name, detect in detectors().items()} for signal in signals]
        rows[f"{kind}, synthetic"] = shares(list(made), speech=True)
    nothing_said = []
    for name, paths in silent.items():
        paths = [path for path in paths if SPOKEN not in path.name]
        found = _run(paths, "as they are", name)
        nothing_said += found
        rows[f"no speech, {name}"] = shares(found, speech=False)
    if nothing_said:
        rows["no speech, all"] = shares(nothing_said, speech=False)
    found_here = {"date": date.today().isoformat(), "versions": versions(), "rows": rows}
    write_json(RESULTS / "speech_detectors.json", found_here)
    for name, row in rows.items():
        print(f"{name} ({row['recordings']}): " + ", ".join(f"{who} {n} wrong" for who, n in row["wrong"].items()))
    return 0


def _run(paths: list[Path], change: str, title: str) -> list[dict[str, bool] | None]:
    find = functools.partial(found_in, change=change)
    return list(in_parallel(find, list(enumerate(paths)), batch=4, title=title))


if __name__ == "__main__":
    run_main(main)
