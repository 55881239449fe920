"""Which corpus runs."""

import os
from pathlib import Path

from speaker_gender import config
from speaker_gender.corpora.audiomnist import METADATA
from speaker_gender.corpora.corpus import Corpus, CorpusError, corpus_name
from speaker_gender.corpora.demo import make_demo_corpus


def resolve_corpus(choice: str | None = None) -> Corpus:
    """Find the corpus that runs; the demo corpus is synthesised where it does not exist yet.

    Parameters
    ----------
    choice : str, optional
        A path, relative to the project's root, or 'demo'. Without it the environment variable CORPUS decides, else
        AudioMNIST beside the project where it exists, else the demo corpus.

    Returns
    -------
    Corpus
        In view 'mfc'.

    Raises
    ------
    CorpusError
        Where the folder is no corpus and nothing made from it exists either.
    """
    default = config.AUDIOMNIST if config.AUDIOMNIST.is_dir() else "demo"
    chosen: str | Path = choice or os.environ.get("CORPUS") or default
    if chosen == "demo":
        folder = config.RESULTS / "demo" / "data"
        size = {"n_speakers": 12, "n_repetitions": 1} if config.smoke() else {}
        try:
            return Corpus("demo", make_demo_corpus(folder, **size))
        except (RuntimeError, OSError) as error:
            raise CorpusError(f"{folder}: the demo corpus cannot be made ({error})") from None
    try:
        folder = (config.ROOT / Path(chosen).expanduser()).resolve()
    except RuntimeError:  # ~name without such an account
        raise CorpusError(f"{chosen}: no such home folder") from None
    corpus = Corpus(corpus_name(folder), folder)
    if corpus.name == "demo":
        raise CorpusError(f"{folder}: the name 'demo' is taken by the embedded corpus; rename the folder")
    if not (folder / METADATA).is_file() and not corpus.maps.is_dir():
        raise CorpusError(f"{folder}: not a corpus in AudioMNIST's layout: no {METADATA} in it")
    return corpus
