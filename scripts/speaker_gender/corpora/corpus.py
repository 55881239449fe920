"""A corpus, its errors, and digests of its recordings' content."""

import os
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from speaker_gender import config
from speaker_gender.caching import file_digest
from speaker_gender.sound.reading import printable


class CorpusError(ValueError):
    """A corpus that cannot be used; the message is one line that names the file and what to do."""


@dataclass(frozen=True)
class Corpus:
    """A folder in AudioMNIST's layout, in one view; its name is the key of everything made from it.

    Attributes
    ----------
    name : str
    folder : Path
    view : str
        'mfc' or 'harmonic', see images.views.VIEWS.
    """

    name: str
    folder: Path
    view: str = "mfc"

    def seen_as(self, view: str) -> "Corpus":
        """Return the same corpus in another view: other images, from the same recordings and maps."""
        return replace(self, view=view)

    @property
    def maps(self) -> Path:
        """Folder of the maps, see images.maps."""
        return config.MAPS / self.name

    @property
    def images(self) -> Path:
        """Folder of the view's JPEGs."""
        folder = config.MFC_DATASET / self.name
        return folder if self.view == "mfc" else folder / self.view

    @property
    def skipped(self) -> Path:
        """JSON file of the recordings that could not be read and have no image by others: {path: reason}."""
        return self.images / "skipped.json"

    @property
    def results(self) -> Path:
        """Folder of the results of slow steps."""
        return config.RESULTS / self.name

    @property
    def is_audiomnist(self) -> bool:
        """True for AudioMNIST itself, of which all 30,000 recordings are known even if they are not available."""
        return self.name == "audiomnist"

    @property
    def title(self) -> str:
        """The corpus's name in figures and tables."""
        return {
            "audiomnist": "AudioMNIST",
            "audiomnist_az": "AudioMNIST_AZ",
            "ukrainiandigits": "Ukrainian digits",
            "demo": "demo corpus (synthetic voices)",
        }.get(self.name, self.name)


def corpus_name(folder: Path) -> str:
    """Derive a corpus's name from its folder.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    str
        The folder's own name, or its parent's where it is just called data; lower case, letters, digits and `_`.

    Examples
    --------
    >>> corpus_name(Path("/home/me/AudioMNIST/data"))
    'audiomnist'
    """
    own = folder.name if folder.name != "data" else folder.parent.name
    return re.sub(r"\W+", "_", unicodedata.normalize("NFC", own.lower())).strip("_") or "corpus"


def with_stamps(corpus: Corpus, recordings: pd.DataFrame) -> pd.DataFrame:
    """Add a digest of each WAV's content to a table of recordings.

    Size and time of the last change would be quicker than reading everything, by threads. But they do not change with
    everything that changes a file, and do with a copy.

    Parameters
    ----------
    corpus : Corpus
    recordings : pd.DataFrame
        With a column path.

    Returns
    -------
    pd.DataFrame
        The same rows with a column `stamp`, missing where a WAV cannot be read.
    """
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        stamps = list(threads.map(_stamp, (corpus.folder / path for path in recordings["path"])))
    return recordings.assign(stamp=pd.Series(stamps, index=recordings.index))


def _stamp(path: Path) -> str | None:
    try:
        return file_digest(path) if path.is_file() else None  # a pipe would wait for ever
    except OSError:
        return None  # read_header says why


def accepted_losses() -> int:
    """Read from the environment variable ACCEPT_LOST how many recordings may be lost; 0 by default.

    Returns
    -------
    int

    Raises
    ------
    CorpusError
        Where the variable is not a number.
    """
    accepted = os.environ.get("ACCEPT_LOST", "0")
    if not accepted.isdecimal():
        raise CorpusError(f"ACCEPT_LOST={printable(accepted)}: should be a number of recordings")
    return int(accepted)
