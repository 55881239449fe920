#!/usr/bin/env python3
"""Make the resolved corpus's JPEGs in a view, as notebook 02 does for view mfc.

    python scripts/studies/generate_images.py [--corpus DIR] [--view VIEW] [--shards]

With --shards they go into tar files of 10,000 images instead (mfc_dataset/<corpus>/shards), in three parts without
common speakers: train, valid and test. CLUSTER=tcp://host:8786 has a Dask cluster make them. The same command goes on
where it was stopped.

Exit status: 0 when every recording has its image, 1 when some could not be read.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.generation import generate_images
from speaker_gender.images.shards import generate_shards, shard_folder
from speaker_gender.images.views import VIEWS
from speaker_gender.sound.reading import printable


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", help="a folder or table, or demo (default: $CORPUS, or what is there)")
    parser.add_argument("--view", choices=list(VIEWS), default="mfc")
    parser.add_argument("--shards", action="store_true", help="tar files instead of a JPEG a recording")
    options = parser.parse_args()
    try:
        corpus = resolve_corpus(options.corpus).seen_as(options.view)
        report = make_shards(corpus) if options.shards else make_images(corpus)
    except (CorpusError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for path, reason in report["skipped"].items():
        print(f"{printable(corpus.source(path))}: skipped, {reason}", file=sys.stderr)
    if report.get("missing"):
        print(f"{report['missing']:,} recordings are not there and have no image", file=sys.stderr)
    return int(bool(report["skipped"] or report.get("missing")))


def make_images(corpus: Corpus) -> dict:
    """Make the images one JPEG a recording; see generation.generate_images."""
    report = generate_images(corpus, load_recordings(corpus))
    print(f"{corpus.title}, view {corpus.view}: {report['made']:,} images made, {report['kept']:,} kept")
    return report


def make_shards(corpus: Corpus) -> dict:
    """Make the images in shards; see shards.generate_shards."""
    from speaker_gender.learning.folds import n_folds  # here: fastai takes seconds
    from speaker_gender.learning.splits import grouped_folds

    recordings = load_recordings(corpus)
    speakers, genders = recordings["speaker"], recordings["gender"]
    try:
        parts = grouped_folds(speakers, genders, n_folds=n_folds(speakers, genders))[0]
    except ValueError as error:
        raise CorpusError(f"{corpus.title}: {error}") from None
    report = generate_shards(corpus, recordings, parts)
    print(
        f"{corpus.title}, view {corpus.view}: {report['made']:,} shards made, {report['kept']:,} kept, "
        f"{report['images']:,} images in {shard_folder(corpus)}"
    )
    return report


if __name__ == "__main__":
    run_main(main)
