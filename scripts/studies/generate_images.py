#!/usr/bin/env python3
"""Make the resolved corpus's JPEGs in a view, as notebook 02 does for view mfc.

    python scripts/studies/generate_images.py [--view VIEW]

Exit status: 0 when every recording has its image, 1 when some could not be read.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.generation import generate_images
from speaker_gender.images.views import VIEWS
from speaker_gender.sound.reading import printable


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--view", choices=list(VIEWS), default="mfc")
    options = parser.parse_args()
    try:
        corpus = resolve_corpus().seen_as(options.view)
        report = generate_images(corpus, load_recordings(corpus))
    except (CorpusError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{corpus.title}, view {corpus.view}: {report['made']:,} images made, {report['kept']:,} kept")
    for path, reason in report["skipped"].items():
        print(f"{printable(corpus.folder / path)}: skipped, {reason}", file=sys.stderr)
    return int(bool(report["skipped"]))


if __name__ == "__main__":
    sys.exit(main())
