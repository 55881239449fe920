"""Every method's predictions for the same recordings of unseen speakers, and how far the methods differ.

Baselines and networks of both views are evaluated on the speaker-disjoint folds of notebook 05. So are three methods
that no speaker of the corpus trained: the shipped model, a threshold on F0 fitted on its training corpora, and a
public classifier, where its answers are in results/<corpus>/public_classifier.csv. A recording that a method refuses
(no speech, no F0) counts as wrong. Every row stands with all speakers and without those whose pitch contradicts their
label. Differences are paired by speaker.
"""

import json
from datetime import date
from pathlib import Path
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
from speaker_gender.judging.baselines import (
    F0,
    F0_ELSEWHERE,
    LENGTH,
    baseline_predictions,
    f0_predictions,
    pitch_in_images,
)
from speaker_gender.judging.comparisons import (
    compare_on_same_recordings,
    cost_of_leakage,
    describe,
    describe_both_ways,
)
from speaker_gender.judging.moved_pitch import RECORDINGS, moved_pitch
from speaker_gender.learning.dataset import available_images
from speaker_gender.learning.folds import divide, fold_predictions, n_folds
from speaker_gender.learning.training import versions

SHIPPED = "the shipped model"
PUBLIC = "the public classifier"
SHOWN = ROOT / "results" / "audiomnist_az"  # methods.json and methods.csv of it come with the project
LEAST_WAVS = 10  # of a speaker, to count; 3 in a smoke run
COMPARED = (
    (SHIPPED, F0),
    ("harmonic", F0),
    ("harmonic", "mfc"),
    (SHIPPED, "harmonic"),
    (F0, LENGTH),
    (SHIPPED, F0_ELSEWHERE),
    (SHIPPED, PUBLIC),
    (PUBLIC, F0),
    (PUBLIC, F0_ELSEWHERE),
)


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

    `corpus`: In view 'mfc', with its images and most of its WAVs. Returns method → columns recording (its path in the
    corpus), speaker, gender, p_female (missing where the method refuses).
    """
    table = available_images(corpus, load_maps(corpus))
    found = baseline_predictions(corpus, table, divide(corpus, table, "grouped"))
    paths = table.set_index("image")["path"]
    for view in ("mfc", "harmonic"):
        generate_images(corpus.seen_as(view), load_recordings(corpus))
        predictions = fold_predictions(corpus.seen_as(view), "grouped")
        found[view] = predictions.assign(recording=predictions["image"].map(paths))
    tested = table[table["path"].isin(found["mfc"]["recording"])].rename(columns={"path": "recording"})
    tested = tested[["recording", "speaker", "gender"]].reset_index(drop=True)
    found[F0_ELSEWHERE] = tested.assign(p_female=f0_predictions(median_pitch(corpus, tested["recording"])))
    recordings = unseen_recordings(corpus, SHIPPED_MODEL)
    names = {corpus.source(path): path for path in tested["recording"]}
    recordings = recordings.assign(recording=recordings["path"].map(names)).dropna(subset="recording")
    recordings = recordings.reset_index(drop=True)
    found[SHIPPED] = predict_recordings(SHIPPED_MODEL, recordings).assign(recording=recordings["recording"])
    answers = ROOT / "results" / corpus.name / "public_classifier.csv"
    if answers.is_file():
        found[PUBLIC] = load_answers(answers, tested)
    return found


def load_answers(file: Path, recordings: pd.DataFrame) -> pd.DataFrame:
    """Load anybody's answers for the recordings of a corpus.

    `file`: a CSV with the columns path (in the corpus) and p_female. `recordings`: columns recording, speaker, gender.
    Returns the recordings with p_female, missing where the file has none: such a recording is refused. Raises
    CorpusError for other columns, and for a path that is given twice or is not in the corpus.
    """
    answers = pd.read_csv(file, dtype={"path": str})
    if not {"path", "p_female"} <= set(answers) or not pd.api.types.is_numeric_dtype(answers["p_female"]):
        raise CorpusError(f"{file}: needs the columns path and p_female, a number")
    wrong = answers["path"].duplicated() | ~answers["path"].isin(recordings["recording"])
    if wrong.any():
        raise CorpusError(f"{file}: {answers.loc[wrong, 'path'].iloc[0]} is given twice or is not in the corpus")
    return recordings.assign(p_female=recordings["recording"].map(answers.set_index("path")["p_female"]))


def study_methods(corpus: Corpus) -> dict:
    """Compare the methods on a corpus; write results/<corpus>/methods.json and, one row a recording, methods.csv.

    `corpus`: see `has_enough_sound`. Returns corpus (title), date, versions, doubtful (speakers), rows and comparisons
    (see `compare`), cost_of_leakage (see below), pitch_in_images (see baselines), moved_pitch (see moved_pitch).
    cost_of_leakage: view → see comparisons.cost_of_leakage, and seen_row, the description of the predictions on seen
    speakers. They are those of a network trained on as many images as that of the first fold, dealt at random.
    """
    found = predictions_of_methods(corpus)
    table = available_images(corpus, load_maps(corpus))
    pitches = table.assign(f0=median_pitch(corpus, table["path"]))
    doubtful = contradicted_speakers(pitches)
    compared: dict[str, Any] = {"corpus": corpus.title, "date": date.today().isoformat(), "versions": versions()}
    compared |= {"doubtful": doubtful} | compare(found, doubtful)
    seen = {view: fold_predictions(corpus.seen_as(view), "random") for view in ("mfc", "harmonic")}
    compared["cost_of_leakage"] = {
        view: cost_of_leakage(predictions, found[view]) | {"seen_row": describe(predictions)}
        for view, predictions in seen.items()
    }
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


def compare(
    found: dict[str, pd.DataFrame], doubtful: list[str], pairs: tuple[tuple[str, str], ...] = COMPARED
) -> dict[str, dict]:
    """Describe each method, and compare pairs of them on the same recordings.

    `found`: see `predictions_of_methods`. `doubtful`: speakers whose label is doubtful. `pairs`: of methods. Returns
    rows: method → comparisons.describe_both_ways. comparisons: '<first> compared with <second>' → all and
    without_doubtful, see comparisons.compare_on_same_recordings.
    """
    rows = {name: describe_both_ways(predictions, doubtful) for name, predictions in found.items()}
    comparisons: dict[str, dict] = {}
    for first, second in pairs:
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
