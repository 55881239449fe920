"""Every method's predictions for the same recordings of unseen speakers, and how far the methods differ.

Baselines and networks of both views are evaluated on the speaker-disjoint folds of notebook 05, and the shipped model,
which none of these speakers trained. A recording that a method refuses (no speech, no F0) counts as wrong. Every row
stands with all speakers and without those whose pitch contradicts their label. Differences are paired by speaker.
"""

import json
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from speaker_gender.caching import write_atomically, write_json
from speaker_gender.classifying.classifier import SHIPPED_MODEL
from speaker_gender.config import ROOT, settings
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.checks import contradicted_speakers
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.pitches import median_pitch
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.judging.assessment import predict_recordings, unseen_recordings
from speaker_gender.judging.baselines import F0, LENGTH, baseline_predictions, pitch_in_images
from speaker_gender.judging.comparisons import compare_on_same_recordings, cost_of_leakage, describe_both_ways
from speaker_gender.judging.moved_pitch import RECORDINGS, moved_pitch
from speaker_gender.learning.dataset import available_images
from speaker_gender.learning.folds import divide, fold_predictions, n_folds
from speaker_gender.learning.training import versions

SHIPPED = "the shipped model"
SHOWN = ROOT / "results" / "audiomnist_az"  # methods.json and methods.csv of it come with the project
LEAST_WAVS = 10  # of a speaker, to count; 3 in a smoke run
COMPARED = ((SHIPPED, F0), ("harmonic", F0), ("harmonic", "mfc"), (SHIPPED, "harmonic"), (F0, LENGTH))


def has_enough_sound(corpus: Corpus, table: pd.DataFrame) -> bool:
    """Whether most WAVs of a corpus are available, of enough speakers of each gender for its folds.

    `table`: its images, see dataset.available_images.
    """
    available = table[[corpus.has(path) for path in table["path"]]]
    if len(available) <= len(table) / 2:
        return False
    of_speakers = available.groupby(["gender", "speaker"]).size()
    enough = (of_speakers >= (3 if settings().smoke else LEAST_WAVS)).groupby(level="gender").sum()
    return len(enough) == 2 and enough.min() >= n_folds(table["speaker"], table["gender"])


def predictions_of_methods(corpus: Corpus) -> dict[str, pd.DataFrame]:
    """Predict for the recordings of a corpus's folds by every method.

    `corpus`: In view 'mfc', with its images and most of its WAVs. Returns method → columns recording, speaker, gender,
    p_female (missing where the method refuses).
    """
    table = available_images(corpus, load_maps(corpus))
    found = baseline_predictions(corpus, table, divide(corpus, table, "grouped"))
    names = table.set_index("image")["path"].map(lambda path: PurePosixPath(path).name)
    for view in ("mfc", "harmonic"):
        generate_images(corpus.seen_as(view), load_recordings(corpus))
        predictions = fold_predictions(corpus.seen_as(view), "grouped")
        found[view] = predictions.assign(recording=predictions["image"].map(names))
    recordings = unseen_recordings(corpus, SHIPPED_MODEL)
    recordings = recordings[[path.name in set(found["mfc"]["recording"]) for path in recordings["path"]]]
    found[SHIPPED] = predict_recordings(SHIPPED_MODEL, recordings.reset_index(drop=True))
    return found


def study_methods(corpus: Corpus) -> dict:
    """Compare the methods on a corpus; write results/<corpus>/methods.json and, one row a recording, methods.csv.

    `corpus`: see `has_enough_sound`. Returns corpus (title), date, versions, doubtful (speakers), rows and comparisons
    (see `compare`), cost_of_leakage of view harmonic, pitch_in_images (see baselines), moved_pitch (see moved_pitch).
    """
    found = predictions_of_methods(corpus)
    table = available_images(corpus, load_maps(corpus))
    pitches = table.assign(f0=median_pitch(corpus, table["path"]))
    doubtful = contradicted_speakers(pitches)
    compared: dict[str, Any] = {"corpus": corpus.title, "date": date.today().isoformat(), "versions": versions()}
    compared |= {"doubtful": doubtful} | compare(found, doubtful)
    seen = fold_predictions(corpus.seen_as("harmonic"), "random")
    compared["cost_of_leakage"] = cost_of_leakage(seen, found["harmonic"])
    compared["pitch_in_images"] = pitch_in_images(corpus, table)
    compared["moved_pitch"] = moved_pitch(corpus, table, count=RECORDINGS // 4 if corpus.name == "demo" else RECORDINGS)
    write_atomically(corpus.results / "methods.csv", one_table(found).to_csv(index=False))
    write_json(corpus.results / "methods.json", compared)
    return compared


def methods_of(corpus: Corpus, table: pd.DataFrame) -> tuple[dict, pd.DataFrame]:
    """Compare the methods on a corpus, or load AudioMNIST_AZ's where it has too little sound.

    `table`: its images, see dataset.available_images.

    Returns
    -------
    found : dict
        See `study_methods`; found['corpus'] says whose it is.
    predictions : pd.DataFrame
        One row a recording: recording, speaker, gender, and each method's p_female.
    """
    folder = SHOWN
    if has_enough_sound(corpus, table):
        study_methods(corpus)
        folder = corpus.results
    return load_methods(folder)


def load_methods(folder: Path) -> tuple[dict, pd.DataFrame]:
    """Load what `study_methods` wrote into a folder. Raises CorpusError where it is missing or damaged."""
    try:
        found = json.loads((folder / "methods.json").read_text(encoding="utf-8"))
        predictions = pd.read_csv(folder / "methods.csv", dtype={"recording": str, "speaker": str, "gender": str})
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"{folder}: methods.json or methods.csv cannot be read ({error}); restore it from git"
        ) from None
    return found, predictions


def accuracy_by_speaker(predictions: pd.DataFrame, method: str) -> pd.Series:
    """Compute the share of each speaker's recordings that a method classifies correctly; a refusal is not correct.

    `predictions`: see `methods_of`. `method`: a column of it. Returns index (gender, speaker).
    """
    p_female = predictions[method]
    correct = ((p_female >= 0.5) == (predictions["gender"] == "female")) & p_female.notna()
    return correct.groupby([predictions["gender"], predictions["speaker"]]).mean()


def compare(found: dict[str, pd.DataFrame], doubtful: list[str]) -> dict[str, dict]:
    """Describe each method, and compare pairs of them on the same recordings.

    `found`: see `predictions_of_methods`. `doubtful`: speakers whose label is doubtful. Returns rows: method →
    comparisons.describe_both_ways. comparisons: '<first> compared with <second>' → all and without_doubtful, see
    comparisons.compare_on_same_recordings.
    """
    rows = {name: describe_both_ways(predictions, doubtful) for name, predictions in found.items()}
    comparisons: dict[str, dict] = {}
    for first, second in COMPARED:
        if first in found and second in found:
            one, other = found[first], found[second]
            both = {"all": compare_on_same_recordings(one, other)}
            if doubtful:
                sure = (table[~table["speaker"].isin(doubtful)] for table in (one, other))
                both["without_doubtful"] = compare_on_same_recordings(*sure)
            comparisons[f"{first} compared with {second}"] = both
    return {"rows": rows, "comparisons": comparisons}


def one_table(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Put all methods' predictions side by side: recording, speaker, gender, then a column of p_female a method."""
    tables = [
        predictions.set_index(["recording", "speaker", "gender"])["p_female"].rename(name)
        for name, predictions in found.items()
    ]
    return pd.concat(tables, axis=1).sort_index().reset_index().round(6)
