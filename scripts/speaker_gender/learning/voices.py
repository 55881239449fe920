"""Voices to train on for people that were never heard: LibriSpeech's readers and AudioMNIST's, or synthetic ones.

Every recording is cut into the windows that a recording of your own would be cut into, and every window is made into
several images, each augmented in another way. Only data whose licence allows it is used: LibriSpeech is CC BY 4.0
(Panayotov et al., ICASSP 2015, openslr.org/12), AudioMNIST MIT, the synthetic voices are the project's own.
"""

import importlib.metadata
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm.auto import tqdm

from speaker_gender.caching import digest, file_digest
from speaker_gender.config import AUDIOMNIST, RESULTS, SEED, WORKING_RATE, smoke
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError, accepted_losses
from speaker_gender.corpora.demo import make_demo_corpus
from speaker_gender.corpora.librispeech import librispeech_recordings
from speaker_gender.images.harmonic import PARAMETERS, band_powers, to_image
from speaker_gender.sound.augmentation import VERSION as AUGMENTATION
from speaker_gender.sound.augmentation import augment
from speaker_gender.sound.reading import VERSION as READER
from speaker_gender.sound.reading import AudioError, printable, read_signal
from speaker_gender.sound.speech import speech_windows

VERSION = 1  # part of the key of the images made here: raise it when a change here changes them

N_SYNTHETIC, SYNTHETIC_SEED = 400, 7  # speakers, none of whom is in the demo corpus
SHORTEST_WORD, LONGEST_WORD = 0.3, 0.8  # seconds: what is cut out of read sentences, to be like a single word
WORD_SHARE = 0.6


class Source(NamedTuple):
    """Where training voices come from: how many recordings of a speaker are used, and images made of each window."""

    most_recordings: int
    images_per_window: int


SOURCES = {"synthetic": Source(10, 9), "audiomnist": Source(40, 9), "librispeech": Source(10, 24)}


def synthetic_recordings() -> pd.DataFrame:
    """Recordings of synthetic speakers, made when they are not there yet: source, speaker, gender, path."""
    folder = RESULTS / "shipped" / "synthetic"
    make_demo_corpus(folder, n_speakers=8 if smoke() else N_SYNTHETIC, n_repetitions=1, seed=SYNTHETIC_SEED)
    return _of_corpus(Corpus("synthetic", folder))


def audiomnist_recordings() -> pd.DataFrame:
    """The AudioMNIST recordings that are here (none without a clone beside the project), columns as above."""
    return _of_corpus(Corpus("audiomnist", AUDIOMNIST)) if AUDIOMNIST.is_dir() else pd.DataFrame()


def _of_corpus(corpus: Corpus) -> pd.DataFrame:
    table = load_recordings(corpus)
    table = table[table["here"]].sort_values("path")
    paths = [corpus.folder / path for path in table["path"]]
    return table[["speaker", "gender"]].assign(source=corpus.name, path=paths)


def training_recordings(*, synthetic_only: bool = False, synthetic_too: bool = False) -> pd.DataFrame:
    """All training recordings: source, speaker ('<source> <key>'), gender, path, stamp (of the content), part.

    One in seven speakers of each source and gender is for validation and calibration; AudioMNIST's only train.
    synthetic_too: synthetic voices beside those of people, in training only, to find out what they are good for.
    """
    readers = pd.DataFrame() if synthetic_only else librispeech_recordings()
    tables = [readers, audiomnist_recordings()] if len(readers) else [synthetic_recordings()]
    if synthetic_too and len(readers):
        tables.append(synthetic_recordings())
    table = pd.concat([table for table in tables if len(table)], ignore_index=True)
    generator = np.random.default_rng(SEED)
    table["part"] = "train"
    for (source, _), group in table.groupby(["source", "gender"]):
        speakers = generator.permutation(np.unique(group["speaker"]))
        if source == "audiomnist" or (source == "synthetic" and len(readers)):
            continue
        valid = group["speaker"].isin(speakers[: max(1, len(speakers) // 7)])
        table.loc[group.index[valid], "part"] = "valid"
    table["speaker"] = table["source"] + " " + table["speaker"]
    rank = table.groupby("speaker")["path"].rank(method="first")
    table = table[rank <= table["source"].map(lambda source: SOURCES[source].most_recordings)]
    try:
        return table.assign(stamp=table["path"].map(file_digest)).reset_index(drop=True)
    except OSError as error:
        raise CorpusError(f"{printable(error.filename)}: cannot be read ({error.strerror})") from None


def augmented_images(
    recordings: pd.DataFrame, *, sources: dict[str, Source] = SOURCES, without: str = "", n_jobs: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (images, 112, 30), and the row of `recordings` that each was made from; the same with any n_jobs.

    without: "short words", or what `augment` can do without, to find out what it is good for.
    Raises CorpusError where more recordings cannot be read than are accepted (see dataset.accepted_losses).
    """
    jobs = list(zip(recordings["path"], recordings["source"], range(len(recordings))))
    work = Parallel(n_jobs=n_jobs or os.cpu_count(), return_as="generator", batch_size=8)(
        delayed(_images_of)(path, sources[source].images_per_window, number, without) for path, source, number in jobs
    )
    images, rows, problems = [], [], []
    for number, made in enumerate(tqdm(work, "augmented images", total=len(jobs), unit="recording", leave=False)):
        if isinstance(made, str):
            problems.append(made)
        else:
            images += made
            rows += [number] * len(made)
    if len(problems) > accepted_losses():
        raise CorpusError(
            f"{problems[0]}; {len(problems)} recordings cannot be read: repair or remove them, or "
            f"ACCEPT_LOST={len(problems)}"
        )
    return np.stack(images), np.array(rows)


def _images_of(path: Path, images_per_window: int, number: int, without: str) -> list[np.ndarray] | str:
    """The images made of one recording, or why it cannot be read."""
    try:
        signal = read_signal(path, sample_rate=WORKING_RATE)
    except AudioError as error:
        return str(error)
    rng = np.random.default_rng([SEED, number])
    images = []
    for window in speech_windows(signal, sample_rate=WORKING_RATE):
        for _ in range(images_per_window):
            piece = window.signal if without == "short words" else _word_of(window.signal, rng)
            behind = np.roll(signal, int(rng.integers(len(signal))))
            images.append(to_image(band_powers(augment(piece, behind, rng, without=without))))
    return images


def _word_of(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A piece of the speech as long as a word, or all of it."""
    shortest, longest = round(SHORTEST_WORD * WORKING_RATE), round(LONGEST_WORD * WORKING_RATE)
    if len(speech) < longest or rng.random() > WORD_SHARE:
        return speech
    length = int(rng.integers(shortest, longest + 1))
    start = int(rng.integers(len(speech) - length + 1))
    return speech[start : start + length]


def images_key(recordings: pd.DataFrame, *, sources: dict[str, Source] = SOURCES, without: str = "") -> str:
    """Stands for the images that `augmented_images` makes of the recordings."""
    versions = [VERSION, READER, AUGMENTATION]
    versions += [importlib.metadata.version(name) for name in ("numpy", "scipy", "soundfile", "soxr")]
    used = {source: sources[source] for source in sorted(set(recordings["source"]))}
    return digest(recordings.astype(str).to_numpy().tolist(), used, without, PARAMETERS, versions)
