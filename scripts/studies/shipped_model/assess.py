#!/usr/bin/env python3
"""Evaluate the shipped model on every recording of a corpus, classified as `classify_wavs.py` does; write the scores.

    python scripts/studies/shipped_model/assess.py CORPUS [--model PATH] [--doubtful SPEAKER…] [--sample-rate HZ]

Writes results/shipped/<model>_on_<corpus>.json (<corpus>_at_<HZ>_hz where a rate is given): scores by recording and by
speaker, with intervals over speakers, and once more without the speakers whose label is doubtful. CORPUS may be
'librispeech'. Speakers in the model's training set are left out. Nothing here trains or chooses anything.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
from datetime import date
from typing import Any

import pandas as pd

from speaker_gender.caching import write_json
from speaker_gender.classifying.classifier import default_model
from speaker_gender.config import RESULTS, SAMPLE_RATE
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.assessment import (
    LEAST_RATE,
    by_group,
    figures,
    predict_recordings,
    unseen_readers,
    unseen_recordings,
)
from speaker_gender.judging.comparisons import auc_of_doubtful
from speaker_gender.learning.model_files import ModelError, read_card
from speaker_gender.learning.training import versions
from speaker_gender.learning.voices import left_out_speakers, training_recordings

SOURCES = {"librispeech": "LibriSpeech's readers", "common_voice": "Common Voice's speakers"}
FAMILIES = {  # of languages, by the first two letters of their code
    code: family
    for family, codes in {
        "Germanic": "en de nl sv fy",
        "Romance": "fr es it pt ca ro rm",
        "Slavic and Baltic": "ru uk pl cs sl hs lt lv",
        "Celtic": "cy br ga",
        "Turkic": "tr tt ky cv sa",
        "Uralic": "et fi hu my",
        "Indo-Iranian": "fa hi pa or as dv",
        "Semitic": "ar mt",
        "East and South-East Asian": "zh ja vi th id ta ka cn",
        "constructed": "eo ia vo",
    }.items()
    for code in codes.split()
}


def held_out(recordings: pd.DataFrame, source: str, model: Path) -> pd.DataFrame:
    """Of a source that a model was trained on, the recordings of the speakers drawn for validation.

    Doubtful labels among them are kept. Those of training speakers that were left out are not: they were chosen because
    such a model misclassifies them, and would count against it as no random speaker does.
    """
    if source not in read_card(model).get("data", {}):
        return recordings
    drawn = training_recordings(doubtful_too=True)
    valid = set(drawn.loc[drawn["part"] == "valid", "speaker"])
    return recordings[(f"{source} " + recordings["speaker"]).isin(valid)].reset_index(drop=True)


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="a folder in AudioMNIST's layout, 'demo', 'librispeech' or 'common_voice'")
    parser.add_argument("--model", type=Path, help="a safetensors file with its JSON card (default: the project's own)")
    parser.add_argument("--doubtful", nargs="*", default=[], metavar="SPEAKER", help="speakers whose label is doubtful")
    parser.add_argument("--sample-rate", type=int, metavar="HZ", help="as if recorded at this rate, such as 8000")
    options = parser.parse_args()
    if options.sample_rate and not LEAST_RATE <= options.sample_rate <= SAMPLE_RATE:
        parser.error(f"--sample-rate {options.sample_rate}: should be {LEAST_RATE} to {SAMPLE_RATE} Hz")
    try:
        model = options.model or default_model()
        if options.corpus in SOURCES:
            name, title = options.corpus, SOURCES[options.corpus]
            recordings = held_out(unseen_readers(model, name), name, model)
            doubtful = left_out_speakers() & set(f"{name} " + recordings["speaker"])
            options.doubtful = options.doubtful or sorted(speaker.removeprefix(f"{name} ") for speaker in doubtful)
        else:
            corpus = resolve_corpus(options.corpus)
            name, title, recordings = corpus.name, corpus.title, unseen_recordings(corpus, model)
        if unknown := sorted(set(options.doubtful) - set(recordings["speaker"])):
            parser.error(f"{title}: no recordings of a speaker {unknown[0]}")
        predictions = predict_recordings(model, recordings, sample_rate=options.sample_rate)
        found: dict[str, Any] = {"corpus": title, "model": model.stem}
        found |= {"date": date.today().isoformat(), "versions": versions()}
        found |= {"sample_rate": options.sample_rate} if options.sample_rate else {}
        found["all"] = figures(predictions)
        if "language" in recordings:
            families = recordings["language"].map(lambda language: FAMILIES.get(language[:2], "other"))
            found["by_language_group"] = by_group(predictions, families)
            found["by_age"] = by_group(predictions, recordings["age"])
        if options.doubtful:
            found["doubtful"] = options.doubtful
            found["auc_of_doubtful"] = auc_of_doubtful(predictions, options.doubtful)
            found["without_doubtful"] = figures(predictions[~predictions["speaker"].isin(options.doubtful)])
        at = f"_at_{options.sample_rate}_hz" if options.sample_rate else ""
        write_json(RESULTS / "shipped" / f"{model.stem}_on_{name}{at}.json", found)
    except (CorpusError, ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for part in ("all", "without_doubtful"):
        if part in found:
            scores = found[part]["recordings"]["scores"]
            accuracy = {gender: f"{share:.1%}" for gender, share in found[part]["accuracy_of_gender"].items()}
            print(
                f"{part}: balanced accuracy {scores['balanced_accuracy']:.1%}, AUC {scores['auc']:.3f}, {accuracy}, "
                f"speakers {found[part]['by_speaker']['scores']['balanced_accuracy']:.1%}, "
                f"not answered {sum(found[part]['not_answered'].values())}"
            )
    return 0


if __name__ == "__main__":
    run_main(main)
