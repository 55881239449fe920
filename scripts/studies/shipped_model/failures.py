#!/usr/bin/env python3
"""Which recordings does the shipped model misclassify most surely, how do they look, and what do its halves say?

    python scripts/studies/shipped_model/failures.py CORPUS…

Of each named corpus (development sets) whose methods.csv is in results/, the recordings that are furthest on the wrong
side, one a speaker. Writes results/shipped/failures.csv and pngs/failures.png, which notebook 06 shows.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse

import numpy as np
import pandas as pd
from fastai.vision.all import plt

from speaker_gender.caching import write_atomically
from speaker_gender.classifying.classification import windows_of
from speaker_gender.classifying.classifier import SHIPPED_MODEL, load_classifier
from speaker_gender.config import PNGS, RESULTS
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.pitches import median_pitch
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.halves import BOTH, ENCODER, IMAGE, hear
from speaker_gender.judging.methods import SHIPPED, load_methods
from speaker_gender.showing.figures import COLOURS, draw_image, use_style
from speaker_gender.sound.reading import read_signal

EACH = 5  # recordings of a corpus


def most_surely_wrong(corpus: Corpus) -> pd.DataFrame:
    """The recordings that are furthest on the wrong side, one a speaker, the worst first.

    Returns columns corpus, recording, speaker, gender, F0 (median, Hz), and p_female of each half and of both.
    """
    _, predictions = load_methods(RESULTS / corpus.name)
    female = predictions["gender"] == "female"
    wrongness = np.where(female, 0.5 - predictions[SHIPPED], predictions[SHIPPED] - 0.5)
    wrong = predictions.assign(wrongness=wrongness).query("wrongness > 0").sort_values("wrongness", ascending=False)
    chosen = wrong.drop_duplicates("speaker").head(EACH).reset_index(drop=True)
    heard, *_ = hear(SHIPPED_MODEL, chosen.assign(path=chosen["recording"].map(corpus.source)))
    return pd.DataFrame(
        {
            "corpus": corpus.title,
            **{name: chosen[name] for name in ("recording", "speaker", "gender")},
            "F0": median_pitch(corpus, chosen["recording"]).round(1),
            **{half: heard[half].round(4) for half in (IMAGE, ENCODER, BOTH)},
        }
    )


def draw(found: pd.DataFrame, corpora: list[Corpus]) -> None:
    """The image of each recording's first window with speech, a row for each corpus, as pngs/failures.png."""
    use_style()
    classifier = load_classifier(SHIPPED_MODEL)
    figure, axes = plt.subplots(len(corpora), EACH, figsize=(11, 2.5 * len(corpora)), squeeze=False, sharey=True)
    for row, corpus in zip(axes, corpora):
        rows = found[found["corpus"] == corpus.title]
        for axis, (_, one) in zip(row, rows.iterrows()):
            signal = read_signal(corpus.source(one["recording"]), sample_rate=classifier.view.sample_rate)
            draw_image(axis, windows_of(classifier, signal).images[0], view="harmonic")
            pitch = "no F0" if np.isnan(one["F0"]) else f"F0 {one['F0']:.0f} Hz"
            title = f"{one['gender']}, {pitch}\np(female): images {one[IMAGE]:.2f}, encoder {one[ENCODER]:.2f}"
            axis.set_title(title, fontsize=7, color=COLOURS[one["gender"]])
            axis.label_outer()
        row[0].set_ylabel(f"{corpus.title}\nHz")
    figure.savefig(PNGS / "failures.png", metadata={"Software": None})


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", metavar="CORPUS", help="folders in AudioMNIST's layout, or tables")
    options = parser.parse_args()
    try:
        corpora = [resolve_corpus(choice) for choice in options.corpora]
        found = pd.concat([most_surely_wrong(corpus) for corpus in corpora], ignore_index=True)
        draw(found, corpora)
    except (CorpusError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    write_atomically(RESULTS / "shipped" / "failures.csv", found.to_csv(index=False))
    print(found.to_string())
    return 0


if __name__ == "__main__":
    run_main(main)
