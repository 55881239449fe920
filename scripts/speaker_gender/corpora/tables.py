"""Corpora as tables: a CSV or Parquet file of recordings, or a folder in another corpus's layout.

    path,speaker,gender[,digit][,language][,age][,samples,sample_rate][,stamp]

`path` is absolute, relative to the table's folder, or a URL that fsspec knows and whose host the user has named
(`ALLOW_URLS=s3://bucket,https://host`). A gender that is neither female nor male
leaves a recording out. Where the table gives samples and sample_rate, no header is read. Where it gives a stamp (any
text that changes with the content, such as an ETag), no content is read to make one.

Another corpus needs an adapter: a function from its folder to such columns, as in librispeech.py, listed in ADAPTERS.
"""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pandas as pd

from speaker_gender.caching import cached_json, digest, forget_oldest
from speaker_gender.config import settings
from speaker_gender.corpora.common_voice import common_voice_recordings, is_common_voice
from speaker_gender.corpora.corpus import Corpus, CorpusError, with_stamps
from speaker_gender.corpora.labels import read_ages, read_genders
from speaker_gender.corpora.librispeech import is_librispeech, librispeech_recordings
from speaker_gender.parallel import in_parallel
from speaker_gender.sound import reading
from speaker_gender.sound.decoding import MAX_SECONDS, SAMPLE_RATES
from speaker_gender.sound.reading import AudioError, printable, read_header
from speaker_gender.sound.remote import is_url

SUFFIXES = (".csv", ".tsv", ".parquet")
REQUIRED = ("path", "speaker", "gender")
NUMBERS = {
    "digit": (0, 9),
    "samples": (1, MAX_SECONDS * SAMPLE_RATES[1]),
    "sample_rate": SAMPLE_RATES,
}  # least, greatest
OPTIONAL = (*NUMBERS, "age", "language", "stamp")
HEADERS = ["samples", "sample_rate", "encoding", "problem"]
BATCH = 64  # recordings whose headers a worker reads before it reports back
KEPT = 100  # such files
CHUNK = 100_000  # recordings whose headers are kept in one file, so that a run that is stopped goes on from there

Adapter = Callable[[Path], pd.DataFrame]
ADAPTERS: list[tuple[Callable[[Path], bool], Adapter]] = [
    (is_common_voice, common_voice_recordings),
    (is_librispeech, librispeech_recordings),
]


def is_table(path: Path) -> bool:
    """Whether a path is that of a table of recordings, or of a folder that an adapter lists."""
    return (path.suffix.lower() in SUFFIXES and path.is_file()) or adapter_of(path) is not None


def adapter_of(folder: Path) -> Adapter | None:
    """Find the adapter that lists a folder's recordings; None where there is none."""
    return next((adapter for fits, adapter in ADAPTERS if folder.is_dir() and fits(folder)), None)


def load_table(corpus: Corpus) -> pd.DataFrame:
    """Load the recordings that a corpus's table lists, without looking at any of them.

    `corpus`: with a table. Returns columns path, speaker, gender, digit, repetition (always missing), and those of
    OPTIONAL that the table has; sorted by path as a string. Recordings with another gender or none are left out:
    `attrs["left_out"]` counts them and their speakers. Raises CorpusError for a table that cannot be read, lacks a
    column, has a path or a number that cannot be one, lists a recording twice, or gives a speaker two genders.
    """
    table = _read(corpus)
    missing = [column for column in REQUIRED if column not in table]
    if missing:
        raise CorpusError(f"{corpus.table}: has no column {missing[0]}; a corpus has {', '.join(REQUIRED)}")
    table = table[[column for column in (*REQUIRED, *OPTIONAL) if column in table]].reset_index(drop=True)
    if table[["path", "speaker"]].isna().any(axis=None):
        raise CorpusError(f"{corpus.table}: has a row without path or speaker")
    for column in NUMBERS:
        if column in table:
            table[column] = _numbers(corpus, table[column])
    if "age" in table:
        table["age"] = read_ages(table["age"])
    odd = table["path"][~table["path"].map(_is_one_line)]
    if len(odd):
        raise CorpusError(f"{corpus.table}: a path has signs that cannot be printed: {printable(odd.iloc[0])}")
    table["path"] = [_allowed(corpus, path) for path in table["path"]]
    twice = table["path"][table["path"].duplicated()]
    if len(twice):
        raise CorpusError(f"{corpus.table}: lists {twice.iloc[0]} twice")
    gender = read_genders(table["gender"])
    left_out = table[gender.isna()]
    table = table.assign(gender=gender)[gender.notna()]
    if table.empty:
        raise CorpusError(f"{corpus.table}: no recording has a gender 'female' or 'male'")
    genders = table[["speaker", "gender"]].drop_duplicates()
    both = genders["speaker"][genders["speaker"].duplicated()]
    if len(both):
        raise CorpusError(f"{corpus.table}: speaker {both.iloc[0]} has two genders")
    if "digit" not in table:
        table["digit"] = pd.array([pd.NA] * len(table), dtype="Int64")
    table["repetition"] = pd.array([pd.NA] * len(table), dtype="Int64")
    table = table.sort_values("path", ignore_index=True)
    table.attrs["left_out"] = (len(left_out), left_out["speaker"].nunique())
    return table


def _read(corpus: Corpus) -> pd.DataFrame:
    """The table as it is: text and numbers, or what the folder's adapter lists with paths relative to the folder."""
    path = Path(corpus.table or corpus.folder)
    if adapter := adapter_of(path):
        found = adapter(path)
        if found.empty:
            raise CorpusError(f"{path}: no recordings in it")
        return found.assign(path=[os.path.relpath(recording, path) for recording in found["path"]])
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
            return table.assign(**{name: table[name].astype("str") for name in REQUIRED if name in table})
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    except ImportError:
        raise CorpusError(f"{path}: a Parquet table takes pyarrow: pip install -r requirements-cluster.txt") from None
    except (OSError, ValueError, AttributeError) as error:
        raise CorpusError(f"{path}: cannot be read as a table ({printable(str(error).splitlines()[0])})") from None


def _numbers(corpus: Corpus, column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    least, greatest = NUMBERS[str(column.name)]
    wrong = column[column.notna() & ~(numbers.between(least, greatest) & (numbers % 1 == 0))]
    if len(wrong):
        value = printable(str(wrong.iloc[0]))
        raise CorpusError(
            f"{corpus.table}: column {column.name} has {value}, which is no whole number from {least} to {greatest:,}"
        )
    return numbers.astype("Int64")


def _is_one_line(path: str) -> bool:
    """Whether a path has no control character, line break or half of a character; any kind of space may be in it."""
    return not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in path)


def _allowed(corpus: Corpus, path: str) -> str:
    """The path of a recording; of one at a URL only where it is a file, or the user has named its host.

    A stranger's table would otherwise have this machine ask any address for anything.
    """
    if not is_url(path):
        return path
    url = urlsplit(path)
    if url.scheme == "file" and not url.netloc:
        return url2pathname(url.path)
    place = printable(f"{url.scheme}://{url.netloc}")
    if "::" in path or place not in (settings().allow_urls or "").split(","):
        raise CorpusError(f"{corpus.table}: {place} is asked for recordings only if you name it: ALLOW_URLS={place}")
    return path


def table_speakers(corpus: Corpus) -> pd.DataFrame:
    """List a table's speakers, with the columns of audiomnist.load_speakers; what a table does not give is missing.

    `corpus`: with a table. Returns a table indexed by speaker, sorted. Columns: gender, age (years, Int64; of the
    speaker's first recording by path), and accent, native_speaker, origin, room, recorded, age_published,
    accent_published, room_published, all missing. Raises CorpusError: see `load_table`.
    """
    table = load_table(corpus)
    found = table.drop_duplicates("speaker").set_index("speaker").sort_index()
    speakers = found.reindex(columns=["gender", "age"]).astype({"age": "Int64"})
    for column in ("accent", "native_speaker", "origin", "room", "recorded"):
        speakers[column] = pd.Series(np.nan, index=speakers.index, dtype=object)
    for column in ("age", "accent", "room"):
        speakers[f"{column}_published"] = pd.Series(np.nan, index=speakers.index, dtype=object)
    speakers.attrs["left_out"] = []
    return speakers


def table_recordings(corpus: Corpus) -> pd.DataFrame:
    """List a table's recordings as audiomnist.load_recordings lists a folder's.

    Headers and contents are read where the table does not give what they say, in parallel; cached. `corpus`: with a
    table. Returns columns: those of `load_table`, here, samples, sample_rate (Hz), encoding, problem, stamp (digest of
    the content, missing where there is no file). Raises CorpusError: see `load_table`; and where none of the recordings
    can be read.
    """
    table = load_table(corpus)
    if {"samples", "sample_rate", "stamp"} <= set(table.columns):
        return table.assign(here=True, encoding=None, problem=None)
    left_out = table.attrs["left_out"]
    table = with_stamps(corpus, table)
    table["here"] = table["stamp"].notna()
    if not table["here"].any():
        first = printable(str(corpus.source(table["path"].iloc[0])))
        raise CorpusError(f"{first}: is not there; none of the {len(table):,} recordings is")
    if not {"samples", "sample_rate"} <= set(table.columns):
        chunks = [_headers(corpus, table[start : start + CHUNK]) for start in range(0, len(table), CHUNK)]
        table = table.drop(columns=HEADERS, errors="ignore").join(pd.concat(chunks))
    table = table.assign(**{column: None for column in HEADERS if column not in table})
    if table["samples"].isna().all():
        first = printable(str(corpus.source(table["path"].iloc[0])))
        raise CorpusError(f"{first}: {table['problem'].iloc[0]}; none of the {len(table):,} recordings can be read")
    table.attrs["left_out"] = left_out
    return table.astype({"samples": "Int64", "sample_rate": "Int64"})


def _headers(corpus: Corpus, chunk: pd.DataFrame) -> pd.DataFrame:
    """The columns HEADERS of some recordings; those that are not there have none."""
    there = chunk[chunk["here"]]
    key = {"recordings": digest(there["path"].tolist(), there["stamp"].tolist()), "reader": reading.VERSION}

    def read() -> dict:
        sources = [corpus.source(path) for path in there["path"]]
        return {"headers": list(in_parallel(header_of, sources, batch=BATCH, title="headers"))}

    path = corpus.results / "headers" / f"{digest(key)}.json"
    forget_oldest(path.parent, "*.json", keep=KEPT)
    found = pd.DataFrame(cached_json(path, key, read)["headers"], index=there.index, columns=HEADERS)
    return found.astype({"samples": "Int64", "sample_rate": "Int64"})


def header_of(path: Path | str) -> tuple:
    """Read samples, sample rate (Hz), encoding and None from a recording's header; None thrice and the problem."""
    try:
        return *read_header(path), None
    except AudioError as error:
        return None, None, None, error.problem


def recordings_in_table(corpus: Corpus, paths: list[str]) -> pd.DataFrame:
    """Look recordings up in a corpus's table.

    `corpus`: with a table. Returns columns of `load_table` but for gender; in the order of `paths`. Raises CorpusError
    for a path that the table does not list, and see `load_table`.
    """
    table = load_table(corpus).drop(columns="gender").set_index("path")
    rows = table.index.get_indexer(pd.Index(paths))
    if (rows < 0).any():
        path = paths[int(np.argmin(rows))]
        raise CorpusError(f"{corpus.table}: does not list {path}, which the maps name; run notebook 02_generate_mfc")
    return table.iloc[rows].reset_index()
