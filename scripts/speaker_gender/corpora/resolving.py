"""Which corpus runs."""

import json
import os
from dataclasses import replace
from pathlib import Path

from speaker_gender import config
from speaker_gender.caching import digest, file_digest, write_json
from speaker_gender.corpora.audiomnist import METADATA, is_audiomnist, load_speakers
from speaker_gender.corpora.corpus import Corpus, CorpusError, corpus_name
from speaker_gender.corpora.demo import make_demo_corpus
from speaker_gender.corpora.tables import SUFFIXES, is_table

RESERVED = ("demo", "shipped")  # folders of results/ that are the project's own
IDENTITY = "folder.json"  # beside a corpus's results: which folder its name stands for


def resolve_corpus(choice: str | None = None) -> Corpus:
    """Find the corpus that runs; the demo corpus is synthesised where it does not exist yet.

    Returns it in view 'mfc'. Raises CorpusError where the folder is no corpus and nothing made from it exists either.

    Parameters
    ----------
    choice : str, optional
        A path, relative to the project's root, of a folder in AudioMNIST's layout, of a table or of a folder that an
        adapter lists (see corpora.tables); or 'demo'. Without it the environment variable CORPUS decides, else
        AudioMNIST beside the project where it exists, else the demo corpus.
    """
    default = config.AUDIOMNIST if config.AUDIOMNIST.is_dir() else "demo"
    chosen: str | Path = choice or config.settings().corpus or default
    if chosen == "demo":
        folder = config.RESULTS / "demo" / "data"
        size = {"n_speakers": 12, "n_repetitions": 1} if config.settings().smoke else {}
        try:
            return Corpus("demo", make_demo_corpus(folder, **size))
        except (RuntimeError, OSError) as error:
            raise CorpusError(f"{folder}: the demo corpus cannot be made ({error})") from None
    try:
        folder = config.ROOT / Path(chosen).expanduser()
    except RuntimeError:  # ~name without such an account
        raise CorpusError(f"{chosen}: no such home folder") from None
    # What a linked table lists lies beside the link, whatever its target is called (git-annex, download caches).
    folder = Path(os.path.abspath(folder)) if folder.is_file() else folder.resolve()
    if is_table(folder):
        corpus = _table_corpus(folder)
    elif (folder / METADATA).is_file():
        corpus = Corpus("audiomnist" if is_audiomnist(folder) else corpus_name(folder), folder)
    else:
        return _without_recordings(folder)
    if load_speakers(corpus)["gender"].nunique() < 2:
        raise CorpusError(f"{folder}: speakers of one gender only; there is nothing to tell apart")
    return _with_name_of_its_own(corpus)


def _without_recordings(folder: Path) -> Corpus:
    """The corpus of which only what was made from it is here."""
    corpus = Corpus(corpus_name(folder), folder)
    if corpus.maps.is_dir():
        return _with_name_of_its_own(corpus)
    if folder.suffix.lower() in SUFFIXES:
        raise CorpusError(f"{folder}: no such table")
    raise CorpusError(f"{folder}: not a corpus in AudioMNIST's layout: no {METADATA} in it")


def _table_corpus(table: Path) -> Corpus:
    if table.is_dir():
        return Corpus(corpus_name(table), table, table=table)
    return Corpus(corpus_name(table.with_suffix("")), table.parent, table=table)


def _with_name_of_its_own(corpus: Corpus) -> Corpus:
    """The corpus, under another name where its name is taken by another folder or by the project.

    The folder that a name stands for is noted beside its results. A folder that was moved, with the same metadata, is
    the same corpus.
    """
    place = corpus.table or corpus.folder
    identity = {"folder": str(place), "metadata": _digest_of_metadata(place)}
    note = corpus.results / IDENTITY
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = None
    if corpus.name in RESERVED or (known and not _is_same(known, identity)):
        other = replace(corpus, name=f"{corpus.name}_{digest(str(place))[:6]}")
        print(f"The name {corpus.name} is taken: results of {place.name} are kept as {other.name}.")
        return other if corpus.name in RESERVED else _with_name_of_its_own(other)
    if known != identity:
        try:
            write_json(note, identity)
        except OSError:  # a project that cannot be written to says so where it writes results
            pass
    return corpus


def _is_same(known: dict, identity: dict) -> bool:
    """Whether a folder is the one that was noted, or that one moved elsewhere."""
    moved = known["metadata"] == identity["metadata"] and not Path(known["folder"]).exists()
    return known["folder"] == identity["folder"] or moved


def _digest_of_metadata(folder: Path) -> str | None:
    try:
        return file_digest(folder if folder.is_file() else folder / METADATA)
    except OSError:
        return None
