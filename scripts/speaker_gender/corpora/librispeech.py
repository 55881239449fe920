"""A folder in LibriSpeech's layout: Panayotov et al., ICASSP 2015, openslr.org/12 (CC BY 4.0)."""

from pathlib import Path

import pandas as pd

from speaker_gender.config import settings
from speaker_gender.corpora.corpus import CorpusError

SPEAKERS, SUFFIXES = "SPEAKERS.TXT", (".flac", ".wav")
LIBRISPEECH = settings().librispeech


def is_librispeech(folder: Path) -> bool:
    """Whether a folder has LibriSpeech's list of readers."""
    return (folder / SPEAKERS).is_file()


def librispeech_recordings(folder: Path | None = None) -> pd.DataFrame:
    """List the recordings of a folder in LibriSpeech's layout.

    Readers without a gender in SPEAKERS.TXT are left out, and a line says so. `folder`: $LIBRISPEECH or the folder
    LibriSpeech beside the project by default. Returns columns: source ('librispeech'), speaker, gender, path. Empty
    where there is no such folder. Raises CorpusError where its SPEAKERS.TXT cannot be read.

    References
    ----------
    Panayotov et al., LibriSpeech: an ASR corpus based on public domain audio books, ICASSP 2015.
    """
    folder = folder or LIBRISPEECH
    if not folder.is_dir():
        return pd.DataFrame()
    try:
        lines = (folder / SPEAKERS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise CorpusError(f"{folder / SPEAKERS}: cannot be read; LibriSpeech comes with it") from None
    fields = [[field.strip() for field in line.split("|")] for line in lines if not line.startswith(";")]
    genders = {line[0]: {"F": "female", "M": "male"}.get(line[1]) for line in fields if len(line) > 1}
    readers = [(path.parts[-3], path) for path in sorted(folder.glob("*/*/*/*")) if path.suffix.lower() in SUFFIXES]
    if unknown := sorted({reader for reader, _ in readers if not genders.get(reader)}):
        left_out = " ".join(unknown[:10]) + (" …" if len(unknown) > 10 else "")
        print(f"{folder / SPEAKERS}: lacks the gender of {len(unknown)} readers, left out: {left_out}")
    rows = [("librispeech", reader, genders[reader], path) for reader, path in readers if genders.get(reader)]
    return pd.DataFrame(rows, columns=["source", "speaker", "gender", "path"])
