"""The embedded demo corpus: digits said by synthetic voices, in AudioMNIST's layout.

Real speech synthesis (eSpeak NG through the package `espeakng-loader`; the library is GPL-3), and labelled so: the
metadata of every speaker says "synthetic". The same bytes every time, whatever the number of workers:

- eSpeak NG keeps hidden state between utterances, so every speaker is synthesised by a fresh process (corpora.espeak).
- All random numbers come from generators seeded by (seed, speaker, …): a speaker does not depend on how many others
  there are. What is not the voice (rate, level, tilt, noise, padding) is drawn without knowing the gender.

Of each two consecutive speakers one is female and one is male, in random order.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

import espeakng_loader
import numpy as np
import soundfile
from scipy.signal import resample_poly

from speaker_gender.caching import write_json
from speaker_gender.config import RECORDING_SAMPLES, ROOT, SAMPLE_RATE, SEED
from speaker_gender.corpora import espeak
from speaker_gender.corpora.audiomnist import METADATA
from speaker_gender.corpora.espeak import ESPEAK_SAMPLE_RATE, unpacked

VERSION = 1  # of what this module makes: raise it when the bytes change, and old corpora are remade
STAMP, PARTIAL = "demo_corpus.json", ".partial"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

ACCENTS = {  # eSpeak NG's voices of English but the one for the Shavian alphabet
    "en": "Great Britain",
    "en-029": "Caribbean",
    "en-GB-scotland": "Scotland",
    "en-GB-x-gbclan": "Lancaster",
    "en-GB-x-gbcwmd": "West Midlands",
    "en-GB-x-rp": "Received Pronunciation",
    "en-US": "America",
    "en-US-nyc": "America, New York City",
}
F0 = {"female": (205, 25), "male": (118, 20)}  # Hz, mean and standard deviation over speakers
FORMANT_SCALE = {"female": (1.13, 0.03), "male": (0.985, 0.03)}
GENDER_STREAM, UTTERANCE_STREAM, RECORDING_STREAM = 1, 2, 3
# Chosen among hundreds so that chance leaves little between the genders of the default corpus but their voices (with
# the first ones tried the women spoke more slowly, AUC 0.60), and so that the mean F0 is as meant.
VOICE_STREAM, SURROUNDINGS_STREAM = 107, 307


class Surroundings(NamedTuple):
    """How a speaker is recorded; nothing in it may depend on gender."""

    rate: float  # words per minute
    level: float  # RMS of the speech, dBFS; AudioMNIST is as quiet as this
    tilt: float  # of the speech, dB per octave about 1 kHz
    noise_level: float  # RMS of the noise, dBFS
    noise_tilt: float  # dB per octave
    front_padding: float  # mean seconds before the speech
    back_padding: float  # mean seconds after it


class Voice(NamedTuple):
    """A speaker's voice; gender enters through `f0` and `formant_scale` alone."""

    gender: str
    accent: str
    f0: float  # median of the voice, Hz
    formant_scale: float
    variant: str  # the file in eSpeak NG's voices/!v/


def draw_voice(number: int, *, seed: int) -> Voice:
    """Draw a speaker's voice.

    `number`: of the speaker, from 1. `seed`: the corpus's.
    """
    pair, place = divmod(number - 1, 2)
    female_place = np.random.default_rng([seed, pair, GENDER_STREAM]).integers(2)
    gender = "female" if place == female_place else "male"
    rng = np.random.default_rng([seed, number, VOICE_STREAM])
    f0_deviation, formant_deviation = np.clip(rng.normal(size=2), -2, 2)
    f0 = F0[gender][0] + F0[gender][1] * f0_deviation
    formant_scale = FORMANT_SCALE[gender][0] + FORMANT_SCALE[gender][1] * formant_deviation
    accent = str(rng.choice(list(ACCENTS)))
    pitch_range = rng.uniform(1.2, 1.6)
    share = 0.22 + f0 / 630  # measured: where in eSpeak NG's range of pitch the median of a digit lies
    pitch = f0 / (1 + share * (pitch_range - 1))
    lines = ["language variant", "name demo", f"pitch {pitch:.0f} {pitch * pitch_range:.0f}"]
    lines += [f"flutter {rng.integers(0, 12)}", f"roughness {rng.integers(0, 5)}", f"voicing {rng.integers(75, 121)}"]
    for formant in range(9):
        frequency, height, width = 100 * rng.normal((formant_scale, 1, 1), (0.015, 0.06, 0.08))
        lines.append(f"formant {formant} {frequency:.0f} {height:.0f} {width:.0f}")
    klatt = rng.choice(6, p=(0.6, 0.08, 0.08, 0.08, 0.08, 0.08))  # 0: eSpeak's own synthesiser, else Klatt's
    lines += [f"klatt {klatt}"] if klatt else []
    return Voice(gender, accent, f0, formant_scale, "\n".join(lines) + "\n")


def draw_surroundings(number: int, *, seed: int) -> Surroundings:
    """Draw how a speaker is recorded, without knowing the gender.

    `number`: of the speaker, from 1. `seed`: the corpus's.
    """
    rng = np.random.default_rng([seed, number, SURROUNDINGS_STREAM])
    return Surroundings(
        rate=rng.uniform(108, 150),
        level=rng.uniform(-54, -42),
        tilt=rng.uniform(-3, 3),
        noise_level=rng.uniform(-80, -68),
        noise_tilt=rng.uniform(-4, 0),
        front_padding=rng.uniform(0.005, 0.06),
        back_padding=rng.uniform(0.005, 0.06),
    )


def draw_utterance(number: int, digit: int, repetition: int, *, seed: int, rate: float) -> tuple[str, int, int, int]:
    """Draw the parameters of an utterance for eSpeak NG.

    `number`: of the speaker, from 1. `seed`: the corpus's. `rate`: the speaker's, in words per minute.

    Returns
    -------
    text : str
        The digit in words, with a punctuation mark that sets the intonation.
    rate : int
        Words per minute.
    pitch : int
        0…99; 50 is the voice's own.
    noise_seed : int
        Seed of eSpeak NG's noise.
    """
    rng = np.random.default_rng([seed, number, UTTERANCE_STREAM, digit, repetition])
    text = DIGITS[digit] + rng.choice(list("..,?!"))  # the intonation
    pitch = np.clip(rng.normal(50, 3), 40, 60)
    return text, round(rate * rng.uniform(0.94, 1.06)), round(pitch), int(rng.integers(1, 2**31))


def tilted(signal: np.ndarray, slope: float, *, sample_rate: int) -> np.ndarray:
    """Tilt a signal's spectrum by `slope` dB per octave about 1 kHz (level below 80 Hz), with zero phase.

    Parameters
    ----------
    signal : np.ndarray, shape (samples,)
        At most one second.
    slope : float
        dB per octave.
    sample_rate : int
        Hz.

    Returns
    -------
    np.ndarray of float64, shape (samples,)
    """
    spectrum = np.fft.rfft(signal, sample_rate)  # a bin per Hz; a length that is prime takes ten times as long
    gain = (np.maximum(np.arange(len(spectrum)), 80) / 1000) ** (slope / (20 * np.log10(2)))
    return np.fft.irfft(spectrum * gain, sample_rate)[: len(signal)]


def trimmed(signal: np.ndarray, *, sample_rate: int) -> np.ndarray:
    """Cut a signal from the first to the last 5 ms within 40 dB of its loudest, and keep 5 ms around.

    Parameters
    ----------
    signal : np.ndarray, shape (samples,)
    sample_rate : int
        Hz.

    Returns
    -------
    np.ndarray, shape (fewer samples,)
    """
    hop_length = round(0.005 * sample_rate)
    frames = signal[: len(signal) // hop_length * hop_length].reshape(-1, hop_length)
    power = np.mean(frames**2, axis=1)
    loud = np.flatnonzero(power > 1e-4 * power.max())
    return signal[max(loud[0] - 1, 0) * hop_length : (loud[-1] + 2) * hop_length]


def faded(signal: np.ndarray, *, sample_rate: int) -> np.ndarray:
    """Fade the first and last 3 ms of a signal in and out, so that neither end clicks.

    Parameters
    ----------
    signal : np.ndarray, shape (samples,)
    sample_rate : int
        Hz.

    Returns
    -------
    np.ndarray of float64, shape (samples,)
    """
    n = round(0.003 * sample_rate)
    ramp = np.sin(np.linspace(0, np.pi / 2, n)) ** 2
    return np.concatenate([signal[:n] * ramp, signal[n:-n], signal[-n:] * ramp[::-1]])


def recording(speech: np.ndarray, surroundings: Surroundings, rng: np.random.Generator) -> np.ndarray:
    """Make a WAV's samples: the speech at its level in its noise, with padding before and after.

    Raises ValueError where the speech alone is longer than that.

    Parameters
    ----------
    speech : np.ndarray, shape (samples,)
        At 22,050 Hz, on any scale.

    Returns
    -------
    np.ndarray of int16, shape (at most 47998,)
        At 48 kHz.
    """
    speech = trimmed(speech.astype(float), sample_rate=ESPEAK_SAMPLE_RATE)
    speech = resample_poly(speech, 320, 147)  # 22,050 → 48,000 Hz
    room = (RECORDING_SAMPLES - len(speech)) / SAMPLE_RATE
    if room < 0:
        raise ValueError(f"the speech is longer than a recording: {len(speech)} samples")
    speech = faded(tilted(speech, surroundings.tilt, sample_rate=SAMPLE_RATE), sample_rate=SAMPLE_RATE)
    level = surroundings.level + rng.uniform(-1.5, 1.5)
    speech *= full_scale(level) / np.sqrt(np.mean(speech**2))

    padding = rng.uniform(0.3, 1.7, 2) * (surroundings.front_padding, surroundings.back_padding)
    padding *= min(1, room / padding.sum())
    signal = np.pad(speech, tuple((padding * SAMPLE_RATE).astype(int)))

    noise = tilted(rng.normal(size=len(signal)), surroundings.noise_tilt, sample_rate=SAMPLE_RATE)
    signal += noise * full_scale(surroundings.noise_level) / np.sqrt(np.mean(noise**2))
    return np.round(faded(signal, sample_rate=SAMPLE_RATE)).astype(np.int16)


def full_scale(level: float) -> float:
    """Convert a level in dBFS to an RMS of int16 values."""
    return 32768 * 10 ** (level / 20)


def make_speaker(folder: Path, number: int, key: str, *, n_repetitions: int, seed: int) -> None:
    """Write the folder of one speaker: whole, or not at all.

    Raises RuntimeError where eSpeak NG fails.

    Parameters
    ----------
    folder : Path
        The corpus's.
    number : int
        Of the speaker, from 1.
    key : str
        The speaker's: the folder's name.
    n_repetitions : int
        Of each digit.
    """
    voice, surroundings = draw_voice(number, seed=seed), draw_surroundings(number, seed=seed)
    # Repetitions in the outer loop: the state eSpeak NG carries over then does not depend on how many there are.
    takes = [(digit, repetition) for repetition in range(n_repetitions) for digit in range(len(DIGITS))]
    request = {
        "library": espeakng_loader.get_library_path(),
        "data": espeakng_loader.get_data_path(),
        "accent": voice.accent,
        "variant": voice.variant,
        "utterances": [draw_utterance(number, *take, seed=seed, rate=surroundings.rate) for take in takes],
    }
    command = [sys.executable, "-m", espeak.__name__]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "scripts")}
    text = json.dumps(request).encode()
    try:
        speaking = subprocess.run(command, input=text, capture_output=True, timeout=120, check=False, env=environment)
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"synthesis of speaker {key} took longer than {error.timeout:.0f} s") from None
    if speaking.returncode:
        reason = speaking.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"synthesis of speaker {key} failed (exit code {speaking.returncode}): {' '.join(reason)}")

    partial = folder / PARTIAL / key
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for (digit, repetition), speech in zip(takes, unpacked(speaking.stdout), strict=True):
        rng = np.random.default_rng([seed, number, RECORDING_STREAM, digit, repetition])
        signal = recording(np.frombuffer(speech, dtype=np.int16), surroundings, rng)
        soundfile.write(partial / f"{digit}_{key}_{repetition}.wav", signal, SAMPLE_RATE, subtype="PCM_16")
    shutil.rmtree(folder / key, ignore_errors=True)
    partial.rename(folder / key)


def make_demo_corpus(
    folder: Path, *, n_speakers: int = 200, n_repetitions: int = 1, n_workers: int | None = None, seed: int = SEED
) -> Path:
    """Make the demo corpus where it is not complete yet.

    An interrupted run is resumed. A corpus that was made otherwise (parameters, version, eSpeak NG) is remade. The
    metadata file is written last: where it is, all is. Of two runs at once one makes the corpus and the other waits.
    `n_workers`: speakers made at a time; by default one per core. Returns the folder. Raises FileExistsError where the
    folder holds something else. Raises RuntimeError where eSpeak NG fails.
    """
    from filelock import FileLock

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        return _make_demo_corpus(folder, n_speakers, n_repetitions, n_workers, seed)


def _make_demo_corpus(folder: Path, n_speakers: int, n_repetitions: int, n_workers: int | None, seed: int) -> Path:
    from tqdm import tqdm

    stamp = {"version": VERSION, "espeak_ng": espeak_version()}
    stamp |= {"n_speakers": n_speakers, "n_repetitions": n_repetitions, "seed": seed}
    clear_other_corpus(folder, stamp)

    width = max(2, len(str(n_speakers)))
    keys = {number: f"{number:0{width}d}" for number in range(1, n_speakers + 1)}
    missing = [number for number, key in keys.items() if not is_whole(folder / key, n_repetitions)]
    if not missing and (folder / METADATA).exists():
        return folder
    (folder / METADATA).unlink(missing_ok=True)
    with ThreadPoolExecutor(n_workers or os.cpu_count()) as pool:  # threads: the work is in processes and in numpy
        options = {"n_repetitions": n_repetitions, "seed": seed}
        jobs = [pool.submit(make_speaker, folder, number, keys[number], **options) for number in missing]
        try:
            done = n_speakers - len(missing)
            for job in tqdm(
                as_completed(jobs), "demo corpus", total=n_speakers, initial=done, unit="speaker", leave=False
            ):
                job.result()
        except BaseException:  # Ctrl-C too: only the speakers being made are finished
            pool.shutdown(cancel_futures=True)
            raise
    metadata = {key: describe(draw_voice(number, seed=seed)) for number, key in keys.items()}
    write_json(folder / METADATA, metadata)
    shutil.rmtree(folder / PARTIAL, ignore_errors=True)
    return folder


def describe(voice: Voice) -> dict[str, str]:
    """Make a speaker's entry in the metadata, with AudioMNIST's fields."""
    return {
        "accent": f"English ({ACCENTS[voice.accent]})",
        "age": "unknown",  # a synthetic voice has none
        "gender": voice.gender,
        "native speaker": "synthetic",
        "origin": "synthetic, eSpeak NG",
        "recordingdate": "synthetic",
        "recordingroom": "synthetic",
    }


def is_whole(speaker_folder: Path, n_repetitions: int) -> bool:
    """Whether a speaker's folder holds all its recordings (it is renamed into place, so they are whole, too)."""
    return len(list(speaker_folder.glob("*.wav"))) == len(DIGITS) * n_repetitions


def clear_other_corpus(folder: Path, stamp: dict) -> None:
    """Leave the folder with this stamp and with nothing that was made under another one.

    `stamp`: what determines the corpus: parameters and versions. Raises FileExistsError where the folder has no stamp
    and is not empty.
    """
    stamped = (folder / STAMP).exists()
    if not stamped and any(path.name != PARTIAL for path in folder.iterdir()):
        raise FileExistsError(f"{folder} is no demo corpus (it has no {STAMP}) and is not empty: left alone")
    if stamped and json.loads((folder / STAMP).read_text()) == stamp:
        return
    (folder / METADATA).unlink(missing_ok=True)  # first, so that what is left is not taken for whole
    for path in folder.iterdir():
        if path.is_dir() and (path.name.isdigit() or path.name == PARTIAL):
            shutil.rmtree(path)
    write_json(folder / STAMP, stamp)


def espeak_version() -> str:
    """Return the version of the eSpeak NG library, such as "1.52.0"."""
    information = ctypes.CDLL(espeakng_loader.get_library_path()).espeak_Info
    information.restype = ctypes.c_char_p
    return information(None).decode()
