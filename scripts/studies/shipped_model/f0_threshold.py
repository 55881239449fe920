#!/usr/bin/env python3
"""Fit a threshold on the median F0 to the recordings that the shipped model was trained on.

    python scripts/studies/shipped_model/f0_threshold.py

A user has no labelled recordings of the corpus at hand, so this is the baseline that a shipped model has to beat.
Writes results/shipped/f0_threshold.json, which judging/methods.py evaluates. Takes ten minutes on one core.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

from datetime import date

from speaker_gender.caching import digest, write_json
from speaker_gender.config import RESULTS
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.pitches import median_pitch
from speaker_gender.judging.baselines import F0_THRESHOLD, fit_f0_threshold
from speaker_gender.learning.training import versions
from speaker_gender.learning.voices import training_recordings


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        recordings = training_recordings()
        recordings = recordings[recordings["part"] == "train"]
        corpus = Corpus("shipped", RESULTS / "shipped")  # whose cache keeps the pitches; the paths are absolute
        f0 = median_pitch(corpus, recordings["path"].astype(str))
        found = fit_f0_threshold(f0.to_numpy(), (recordings["gender"] == "female").to_numpy())
    except (CorpusError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    about = {
        "speakers": int(recordings["speaker"].nunique()),
        "recordings": len(recordings),
        "without_f0": int(f0.isna().sum()),
        "sources": sorted(set(recordings["source"])),
        "stamps": digest(sorted(recordings["stamp"])),
        "date": date.today().isoformat(),
        "versions": versions(),
    }
    write_json(F0_THRESHOLD, found | about)
    print(f"female from {found['threshold']:.1f} Hz; {len(recordings):,} recordings, {about['speakers']:,} speakers")
    return 0


if __name__ == "__main__":
    run_main(main)
