#!/usr/bin/env python3
"""Compare every method on the same recordings of unseen speakers (see speaker_gender/judging/methods.py).

    CORPUS=../AudioMNIST_AZ/data python scripts/studies/compare_methods.py

Writes results/<corpus>/methods.json and, one row a recording, methods.csv, which notebook 06 shows. Needs most of the
corpus's WAVs.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import itertools

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.judging.methods import has_enough_sound, study_methods
from speaker_gender.learning.dataset import available_images
from speaker_gender.learning.model_files import ModelError


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        corpus = resolve_corpus()
        generate_images(corpus, load_recordings(corpus))
        if not has_enough_sound(corpus, available_images(corpus, load_maps(corpus))):
            raise CorpusError(f"{corpus.folder}: too few of its WAVs are available to compare the methods")
        found = study_methods(corpus)
    except (CorpusError, ModelError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for (title, both), part in itertools.product(found["comparisons"].items(), ("all", "without_doubtful")):
        if part in both:
            gain, (low, high) = 100 * both[part]["difference"], (100 * edge for edge in both[part]["interval"])
            counts = f"{both[part]['recordings']:,} recordings of {both[part]['speakers']} speakers"
            print(f"{title}, {part}: {gain:+.1f} percentage points ({low:+.1f} to {high:+.1f}), {counts}")
    return 0


if __name__ == "__main__":
    run_main(main)
