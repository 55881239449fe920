"""Which corpus runs."""

import os
from pathlib import Path

from speaker_gender import config
from speaker_gender.corpora.audiomnist import METADATA
from speaker_gender.corpora.corpus import Corpus, CorpusError, corpus_name
from speaker_gender.corpora.demo import make_demo_corpus


def resolve_corpus(choice: str | None = None) -> Corpus:
    """The corpus that runs: `choice` or `$CORPUS` (a path, or 'demo'), else AudioMNIST beside the project, else demo.

    A relative path counts from the project's root. The demo corpus is synthesised when it is not there yet.
    Raises CorpusError where the folder is no corpus and nothing made from it is there either.
    """
    choice = choice or os.environ.get("CORPUS") or ("demo" if not config.AUDIOMNIST.is_dir() else config.AUDIOMNIST)
    if choice == "demo":
        folder = config.RESULTS / "demo" / "data"
        size = {"n_speakers": 12, "n_repetitions": 1} if config.smoke() else {}
        try:
            return Corpus("demo", make_demo_corpus(folder, **size))
        except (RuntimeError, OSError) as error:
            raise CorpusError(f"{folder}: the demo corpus cannot be made ({error})") from None
    try:
        folder = (config.ROOT / Path(choice).expanduser()).resolve()
    except RuntimeError:  # of somebody who has no account here
        raise CorpusError(f"{choice}: there is no such home folder") from None
    corpus = Corpus(corpus_name(folder), folder)
    if corpus.name == "demo":
        raise CorpusError(f"{folder}: the name 'demo' is taken by the embedded corpus; rename the folder")
    if not (folder / METADATA).is_file() and not corpus.maps.is_dir():
        raise CorpusError(f"{folder}: not a corpus in AudioMNIST's layout: there is no {METADATA} in it")
    return corpus
