#!/usr/bin/env python3
"""What the shipped model owes to what: trained with one thing left out at a time, and asked about a corpus.

    python scripts/studies/shipped_model/ablate.py CORPUS

The corpus is one that the model has not heard. Each is trained as train_shipped_model.py does it, but with two seeds
and a third of the images, shown more often, and asked twice: about the recordings as they are, and about the same at
8 kHz. Writes results/shipped/ablation.json; resumes after Ctrl-C.
"""

import argparse
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from speaker_gender.answering.assessment import ask, figures, unheard_recordings
from speaker_gender.caching import write_json
from speaker_gender.config import RESULTS, SEED
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.comparisons import paired_difference
from speaker_gender.learning import voices
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.training import versions
from studies.shipped_model import train

RECIPE = replace(train.RECIPE, epochs=4)
SEEDS = train.SEEDS[:2]
SOURCES = {
    name: source._replace(images_per_window=source.images_per_window // 3) for name, source in voices.SOURCES.items()
}
NARROW_RATE = 8_000  # Hz
LEFT_OUT = {  # what is left out → how
    "nothing": {},
    "raised voices": {"without": "another voice"},
    "rooms, lines and noise": {"without": "surroundings"},
    "narrow lines": {"without": "narrow lines"},
    "pieces as short as a word": {"without": "short words"},
    "half of the speakers": {"share": 1 / 2},
    "three quarters of the speakers": {"share": 1 / 4},
    "nothing, synthetic voices added": {"synthetic_too": True},
}


def fewer_speakers(recordings: pd.DataFrame, share: float) -> pd.DataFrame:
    """The recordings of a share of the training speakers of each gender, and all of the validation speakers."""
    generator = np.random.default_rng(SEED)
    train = recordings[recordings["part"] == "train"]
    kept = set()
    for _, speakers in train.groupby("gender")["speaker"]:
        kept.update(generator.permutation(np.unique(speakers))[: round(share * speakers.nunique())])
    return recordings[recordings["speaker"].isin(kept) | (recordings["part"] != "train")].reset_index(drop=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="a folder in AudioMNIST's layout")
    options = parser.parse_args()
    rows, asked, as_it_is = {}, None, None
    try:
        corpus = resolve_corpus(options.corpus)
        for name, how in LEFT_OUT.items():
            recordings = voices.training_recordings(synthetic_too=how.get("synthetic_too", False))
            recordings = fewer_speakers(recordings, how["share"]) if "share" in how else recordings
            file = "without_" + name.replace(" ", "_").replace(",", "")
            card = train.train(
                recordings,
                file,
                recipe=RECIPE,
                seeds=SEEDS,
                sources=SOURCES,
                without=how.get("without", ""),
            )
            model = train.FOLDER / f"{file}.safetensors"
            if asked is None:  # of speakers that the model of all of them has not heard
                asked = unheard_recordings(corpus, model)
            answers, narrow = (ask(model, asked, sample_rate=rate) for rate in (None, NARROW_RATE))
            as_it_is = answers if as_it_is is None else as_it_is
            both = answers["p_female"].notna() & as_it_is["p_female"].notna()
            rows[name] = figures(answers)["recordings"] | {
                "training_speakers": card["speakers"]["train"],
                "difference": paired_difference(answers[both], as_it_is[both]),
                "at_8_khz": figures(narrow)["recordings"],
            }
            print(
                f"without {name}: balanced accuracy {rows[name]['scores']['balanced_accuracy']:.1%}, "
                f"AUC {rows[name]['scores']['auc']:.3f}, "
                f"at 8 kHz {rows[name]['at_8_khz']['scores']['balanced_accuracy']:.1%}"
            )
        about = {"corpus": corpus.title, "seeds": SEEDS, "date": date.today().isoformat(), "versions": versions()}
        write_json(RESULTS / "shipped" / "ablation.json", about | {"rows": rows})
    except (CorpusError, ModelError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
