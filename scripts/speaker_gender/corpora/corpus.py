"""A corpus, the errors that one can have, and what stands for its recordings' content."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from speaker_gender import config
from speaker_gender.caching import file_digest
from speaker_gender.sound.reading import printable


class CorpusError(ValueError):
    """A corpus that cannot be used; the message is one line that says which file and what to do."""


@dataclass(frozen=True)
class Corpus:
    """A folder in AudioMNIST's layout, seen through a view; its name is the key of everything made from it."""

    name: str
    folder: Path
    view: str = "mfc"

    def seen_as(self, view: str) -> "Corpus":
        """The same corpus through another view: other images, from the same recordings and maps."""
        return replace(self, view=view)

    @property
    def maps(self) -> Path:
        return config.MAPS / self.name

    @property
    def images(self) -> Path:
        folder = config.MFC_DATASET / self.name
        return folder if self.view == "mfc" else folder / self.view

    @property
    def skipped(self) -> Path:
        """Where it is told which recordings could not be read and have no image of others' either: {path: reason}."""
        return self.images / "skipped.json"

    @property
    def results(self) -> Path:
        return config.RESULTS / self.name

    @property
    def is_audiomnist(self) -> bool:
        """True for AudioMNIST itself, of which all 30,000 recordings are known whether they are here or not."""
        return self.name == "audiomnist"

    @property
    def title(self) -> str:
        """What figures and tables call the corpus."""
        return {
            "audiomnist": "AudioMNIST",
            "audiomnist_az": "AudioMNIST_AZ",
            "demo": "demo corpus (synthetic voices)",
        }.get(self.name, self.name)


def corpus_name(folder: Path) -> str:
    """'audiomnist' for …/AudioMNIST/data: the folder's own name, or its parent's where it is just called data."""
    own = folder.name if folder.name != "data" else folder.parent.name
    return re.sub(r"\W+", "_", own.lower(), flags=re.ASCII).strip("_") or "corpus"


def with_stamps(corpus: Corpus, recordings: pd.DataFrame) -> pd.DataFrame:
    """The recordings with a column `stamp` that stands for the content of each WAV; missing where it cannot be read.

    Size and time of the last change would be quicker than reading everything, by threads, but they do not change with
    everything that changes a file, and do with a copy.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        stamps = list(threads.map(_stamp, (corpus.folder / path for path in recordings["path"])))
    return recordings.assign(stamp=stamps)


def _stamp(path: Path) -> str | None:
    try:
        return file_digest(path) if path.is_file() else None  # a pipe would wait for ever
    except OSError:
        return None  # read_header says why


def accepted_losses() -> int:
    """How many recordings may be lost, as the environment variable ACCEPT_LOST says; 0 by default."""
    accepted = os.environ.get("ACCEPT_LOST", "0")
    if not accepted.isdecimal():
        raise CorpusError(f"ACCEPT_LOST={printable(accepted)}: should be a number of recordings")
    return int(accepted)
