"""A corpus, its errors, and digests of its recordings' content."""

import os
import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from speaker_gender import config
from speaker_gender.caching import file_digest
from speaker_gender.parallel import in_parallel
from speaker_gender.sound.reading import printable
from speaker_gender.sound.remote import is_url, located, url_digest

BATCH = 64  # recordings whose content a worker digests before it reports back
RECORDINGS_A_WORKER = 20_000  # fewer are digested before another process has started


class CorpusError(ValueError):
    """A corpus that cannot be used; the message is one line that names the file and what to do."""


@dataclass(frozen=True)
class Corpus:
    """A folder in AudioMNIST's layout or a table, in one view; its name is the key of everything made from it.

    Attributes
    ----------
    view : str
        'mfc' or 'harmonic', see images.views.VIEWS.
    table : Path, optional
        The CSV or Parquet file in the folder that lists the recordings, or the folder itself where an adapter lists
        them, see corpora.tables. None for AudioMNIST's layout.
    """

    name: str
    folder: Path
    view: str = "mfc"
    table: Path | None = None

    def seen_as(self, view: str) -> "Corpus":
        """Return the same corpus in another view: other images, from the same recordings and maps."""
        return replace(self, view=view)

    def source(self, path: str) -> Path | str:
        """Return where a recording lies: a path, or the URL that a table gives."""
        return located(self.folder, path)

    def has(self, path: str) -> bool:
        """Whether a recording's file exists; of one at a URL it is supposed."""
        return is_url(path) or (self.folder / path).is_file()

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
            "telephonedigits": "telephone digits",
            "commonvoice": "Common Voice",
            "librispeech": "LibriSpeech",
            "demo": "demo corpus (synthetic voices)",
        }.get(self.name, self.name)


def corpus_name(folder: Path) -> str:
    """Derive a corpus's name from its folder.

    Returns the folder's or table's own name, or its parent's where it is just called data or recordings; lower case,
    letters, digits and `_`.

    Examples
    --------
    >>> corpus_name(Path("/home/me/AudioMNIST/data"))
    'audiomnist'
    """
    own = folder.parent.name if folder.name in ("data", "recordings") else folder.name
    return re.sub(r"\W+", "_", unicodedata.normalize("NFC", own.lower())).strip("_") or "corpus"


def with_stamps(corpus: Corpus, recordings: pd.DataFrame) -> pd.DataFrame:
    """Add a digest of each WAV's content to a table of recordings.

    Size and time of the last change would be quicker than reading everything. But they do not change with everything
    that changes a file, and do with a copy. `recordings`: with a column path. Returns the same rows with a column
    `stamp`, missing where a WAV cannot be read. A table that has it already is returned as it is.
    """
    if "stamp" in recordings:
        return recordings
    sources = [corpus.source(path) for path in recordings["path"]]
    stamps = list(in_parallel(stamp_of, sources, batch=BATCH, worth=RECORDINGS_A_WORKER))
    return recordings.assign(stamp=pd.Series(stamps, index=recordings.index))


def stamp_of(path: Path | str) -> str | None:
    """Digest a recording's content, at a path or a URL; None where it cannot be read."""
    try:
        if is_url(path):
            return url_digest(str(path))
        return file_digest(Path(path)) if os.path.isfile(path) else None  # a pipe would wait for ever
    except OSError:
        return None  # read_header says why


def accepted_losses() -> int:
    """Read from the environment variable ACCEPT_LOST how many recordings may be lost; 0 by default.

    Raises CorpusError where the variable is not a number.
    """
    accepted = config.settings().accept_lost
    if not accepted.isdecimal():
        raise CorpusError(f"ACCEPT_LOST={printable(accepted)}: should be a number of recordings")
    return int(accepted)
