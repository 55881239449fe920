"""Training voices for the shipped model: Common Voice's, LibriSpeech's and others' speakers, or synthetic ones.

Every recording is cut into the windows that classification would cut it into. Every window is made into several images,
each augmented in another way. Only data whose licence allows it is used: Common Voice is CC0 (Ardila et al., LREC
2020), LibriSpeech CC BY 4.0 (Panayotov et al., ICASSP 2015, openslr.org/12), AudioMNIST and the spoken digits MIT. The
synthetic voices are the project's own. Speakers whose label a cross-validation contradicts are left out
(studies/shipped_model/labels.py).
"""

import functools
import importlib.metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from speaker_gender.caching import digest, file_digest
from speaker_gender.config import AUDIOMNIST, RESULTS, SEED, WORKING_RATE, WORKING_SAMPLES, settings
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.common_voice import common_voice_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError, accepted_losses
from speaker_gender.corpora.demo import make_demo_corpus
from speaker_gender.corpora.librispeech import librispeech_recordings
from speaker_gender.images import mel
from speaker_gender.images.harmonic import PARAMETERS, band_powers, to_image
from speaker_gender.images.mel import mel_spectrogram
from speaker_gender.images.mfc import pad
from speaker_gender.parallel import in_parallel
from speaker_gender.sound import augmentation, speech
from speaker_gender.sound.augmentation import augment
from speaker_gender.sound.reading import VERSION as READER
from speaker_gender.sound.reading import AudioError, printable, read_signal
from speaker_gender.sound.speech import speech_windows

VERSION = 2  # part of the key of the images made here: raise it when a change here changes them

N_SYNTHETIC, SYNTHETIC_SEED = 400, 7  # speakers, none of whom is in the demo corpus
SHORTEST_WORD, LONGEST_WORD = 0.3, 0.8  # seconds: what is cut out of read sentences, to be like a single word
WORD_SHARE = 0.6
SHORT_WORDS, EVERYTHING = "short words", "augmentation"
ABLATIONS = (*augmentation.ABLATIONS, SHORT_WORDS, EVERYTHING)  # what can be left out in making the images

MOST_WINDOWS = 6  # of a recording
SPOKEN_DIGITS = settings().spoken_digits
LEFT_OUT = RESULTS / "shipped" / "label_issues.csv"  # written by studies/shipped_model/labels.py


class Source(NamedTuple):
    """How much of a source of training voices is used.

    most_recordings: of a speaker. images_per_window: of each window. of_women: how many times as many of women's, where
    they are fewer. validates: whether a seventh of the speakers is held out for validation and calibration.
    """

    most_recordings: int
    images_per_window: int
    of_women: int = 1
    validates: bool = False


SOURCES = {
    "synthetic": Source(10, 9),
    "audiomnist": Source(40, 6),
    "spoken_digits": Source(20, 6),
    "librispeech": Source(10, 8, validates=True),
    "common_voice": Source(10, 6, of_women=2, validates=True),
}


def synthetic_recordings() -> pd.DataFrame:
    """List recordings of synthetic speakers, synthesised where they do not exist yet.

    Returns columns: speaker, gender, source, path.
    """
    folder = RESULTS / "shipped" / "synthetic"
    make_demo_corpus(folder, n_speakers=8 if settings().smoke else N_SYNTHETIC, n_repetitions=1, seed=SYNTHETIC_SEED)
    return _of_corpus(Corpus("synthetic", folder))


def audiomnist_recordings() -> pd.DataFrame:
    """List the available AudioMNIST recordings (none without a clone beside the project), with the same columns."""
    return _of_corpus(Corpus("audiomnist", AUDIOMNIST)) if AUDIOMNIST.is_dir() else pd.DataFrame()


def spoken_digits_recordings() -> pd.DataFrame:
    """List the recordings of a folder in AudioMNIST's layout, $SPOKEN_DIGITS (none without it)."""
    return _of_corpus(Corpus("spoken_digits", SPOKEN_DIGITS)) if SPOKEN_DIGITS.is_dir() else pd.DataFrame()


def left_out_speakers() -> set[str]:
    """The speakers ('<source> <key>') whose label a cross-validation contradicts, as far as they have been listed."""
    try:
        return set(pd.read_csv(LEFT_OUT, dtype=str)["speaker"])
    except (OSError, ValueError, KeyError):
        return set()


def _of_corpus(corpus: Corpus) -> pd.DataFrame:
    table = load_recordings(corpus)
    table = table[table["here"]].sort_values("path")
    paths = [corpus.folder / path for path in table["path"]]
    return table[["speaker", "gender"]].assign(source=corpus.name, path=paths)


def training_recordings(
    *, synthetic_only: bool = False, synthetic_too: bool = False, doubtful_too: bool = False
) -> pd.DataFrame:
    """List all recordings for the shipped model's training, validation and calibration.

    One in seven speakers of each gender of Common Voice and LibriSpeech is held out for validation and calibration. The
    others' speakers are in the training set only. `synthetic_only`: synthetic voices alone, as without LibriSpeech.
    `synthetic_too`: synthetic voices beside real ones, in the training set only, to measure what they are worth.
    `doubtful_too`: also the speakers whose label a cross-validation contradicts. Returns columns: source, speaker
    ('<source> <key>'), gender, path, part ('train' or 'valid'), stamp (digest of the content), and where declared
    language and age (decade). Raises CorpusError where a recording cannot be read.
    """
    people = [] if synthetic_only else [librispeech_recordings(), common_voice_recordings()]
    if any(map(len, people)):
        people += [audiomnist_recordings(), spoken_digits_recordings()]
    else:
        people = []
    tables = people + ([synthetic_recordings()] if synthetic_too or not people else [])
    table = pd.concat([table for table in tables if len(table)], ignore_index=True)
    table = table.reindex(columns=["source", "speaker", "gender", "path", "language", "age"])
    generator = np.random.default_rng(SEED)
    table["part"] = "train"
    for (source, _), group in table.groupby(["source", "gender"]):
        speakers = generator.permutation(np.unique(group["speaker"]))
        if people and not SOURCES[str(source)].validates:
            continue
        valid = group["speaker"].isin(speakers[: max(1, len(speakers) // 7)])
        table.loc[group.index[valid], "part"] = "valid"
    table["speaker"] = table["source"] + " " + table["speaker"]
    if not doubtful_too:
        table = table[~table["speaker"].isin(left_out_speakers())]
    rank = table.groupby("speaker")["path"].transform(lambda paths: paths.astype(str).rank(method="first"))
    table = table[rank <= table["source"].map(lambda source: SOURCES[source].most_recordings)]
    try:
        return table.assign(stamp=table["path"].map(file_digest)).reset_index(drop=True)
    except OSError as error:
        raise CorpusError(f"{printable(error.filename)}: cannot be read ({error.strerror})") from None


def check_ablation(without: str) -> None:
    """Check the name of an ablation.

    `without`: one of ABLATIONS, or '' for none. Raises ValueError for another name, which would ablate nothing.
    """
    if without and without not in ABLATIONS:
        raise ValueError(f"no such ablation: {without!r}; there are {', '.join(ABLATIONS)}")


def augmented_images(
    recordings: pd.DataFrame, *, sources: dict[str, Source] = SOURCES, without: str = "", n_jobs: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Make augmented images and mel spectrograms of recordings; the same with any number of workers.

    Raises CorpusError where more recordings cannot be read than are accepted (see corpus.accepted_losses). Raises
    ValueError for an unknown ablation.

    Parameters
    ----------
    recordings : pd.DataFrame
        See `training_recordings`.
    without : str
        What to leave out, to measure what it is worth: one of ABLATIONS, or '' for nothing.

    Returns
    -------
    images : np.ndarray of uint8, shape (images, 112, 30)
    mels : np.ndarray of float16, shape (images, 100, 40)
        Of the same augmented speech.
    rows : np.ndarray of int, shape (images,)
        The row of `recordings` that each image was made from.
    """
    check_ablation(without)
    wanted = [
        sources[source].images_per_window * (sources[source].of_women if gender == "female" else 1)
        for source, gender in zip(recordings["source"], recordings["gender"])
    ]
    jobs = list(zip(recordings["path"], wanted, range(len(recordings))))
    make = functools.partial(_images_of, without=without)
    work = in_parallel(make, jobs, batch=8, n_jobs=n_jobs, title="augmented images")
    images: list[np.ndarray] = []
    mels: list[np.ndarray] = []
    rows: list[int] = []
    problems: list[str] = []
    for number, made in enumerate(work):
        if isinstance(made, str):
            problems.append(made)
        else:
            images += [image for image, _ in made]
            mels += [spectrum for _, spectrum in made]
            rows += [number] * len(made)
    if len(problems) > accepted_losses():
        raise CorpusError(
            f"{problems[0]}; {len(problems)} recordings cannot be read: repair or remove them, or "
            f"ACCEPT_LOST={len(problems)}"
        )
    return np.stack(images), np.stack(mels), np.array(rows)


def _images_of(job: tuple[Path, int, int], *, without: str) -> list[tuple[np.ndarray, np.ndarray]] | str:
    """Images and mel spectrograms of one recording (path, images per window, its number), or why there are none."""
    path, images_per_window, number = job
    try:
        signal = read_signal(path, sample_rate=WORKING_RATE)
    except AudioError as error:
        return str(error)
    windows = [window.signal for window in speech_windows(signal, sample_rate=WORKING_RATE)[:MOST_WINDOWS]]
    rng = np.random.default_rng([SEED, number])
    if without == EVERYTHING:
        pieces = [pad(window, (WORKING_SAMPLES - len(window)) // 2, WORKING_SAMPLES) for window in windows]
    else:
        pieces = [_augmented(window, signal, rng, without) for window in windows for _ in range(images_per_window)]
    return [(to_image(band_powers(piece)), mel_spectrogram(piece).astype(np.float16)) for piece in pieces]


def _augmented(window: np.ndarray, signal: np.ndarray, rng: np.random.Generator, without: str) -> np.ndarray:
    piece = window if without == SHORT_WORDS else _word_of(window, rng)
    behind = np.roll(signal, int(rng.integers(len(signal))))
    return augment(piece, behind, rng, without="" if without == SHORT_WORDS else without)


def _word_of(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A piece of the speech as long as a word, or all of it."""
    shortest, longest = round(SHORTEST_WORD * WORKING_RATE), round(LONGEST_WORD * WORKING_RATE)
    if len(speech) < longest or rng.random() > WORD_SHARE:
        return speech
    length = int(rng.integers(shortest, longest + 1))
    start = int(rng.integers(len(speech) - length + 1))
    return speech[start : start + length]


def images_key(recordings: pd.DataFrame, *, sources: dict[str, Source] = SOURCES, without: str = "") -> str:
    """Digest all that determines the images of `augmented_images`.

    `recordings`, `sources`, `without`: see `augmented_images`. Raises ValueError for an unknown ablation.
    """
    check_ablation(without)
    packages = [
        importlib.metadata.version(name)
        for name in ("av", "numpy", "onnxruntime", "scipy", "silero-vad", "soundfile", "soxr")
    ]
    versions = [VERSION, READER, speech.VERSION, augmentation.VERSION, *packages]
    used = {source: sources[source] for source in sorted(set(recordings["source"]))}
    made = [PARAMETERS, mel.PARAMETERS]
    return digest(recordings.astype(str).to_numpy().tolist(), used, without, made, versions)
