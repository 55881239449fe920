"""Methods compared on the same recordings of a small corpus."""

import numpy as np
import pandas as pd
import pytest

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.judging import methods
from speaker_gender.judging.baselines import F0, F0_ELSEWHERE, LENGTH, f0_predictions
from speaker_gender.judging.methods import (
    PUBLIC,
    SHIPPED,
    accuracy_by_speaker,
    compare,
    load_answers,
    load_methods,
    one_table,
)
from speaker_gender.learning.dataset import available_images
from speaker_gender.learning.splits import split_by_speaker
from studies import compare_methods


def predictions_of(p_female):
    genders = ["female", "female", "male", "male"]
    speakers = ["02", "04", "01", "03"]
    recordings = [f"{speaker}/0_{speaker}_0.wav" for speaker in speakers]
    return pd.DataFrame({"recording": recordings, "speaker": speakers, "gender": genders, "p_female": p_female})


METHODS = {SHIPPED: predictions_of([0.9, 0.9, 0.1, 0.8]), F0: predictions_of([0.9, np.nan, 0.1, 0.1])}


def test_rows_and_differences_stand_with_and_without_the_doubtful():
    found = compare(METHODS, ["03"])
    assert found["rows"][F0]["all"]["refused"] == 1 and found["rows"][F0]["without_doubtful"]["speakers"] == 3
    both = found["comparisons"][f"{SHIPPED} compared with {F0}"]
    assert both["all"]["difference"] == 0 and both["without_doubtful"]["difference"] == 0.25
    assert "without_doubtful" not in compare(METHODS, [])["rows"][F0]
    assert len(found["comparisons"]) == 1, "methods that are missing are compared with none"


def test_the_table_has_a_row_a_recording_and_says_who_refused():
    table = one_table(METHODS)
    assert table.columns.tolist() == ["recording", "speaker", "gender", SHIPPED, F0] and len(table) == 4
    assert table.loc[table["recording"] == "04/0_04_0.wav", F0].isna().all()


def test_a_refusal_is_not_a_correct_prediction():
    of_speakers = accuracy_by_speaker(one_table(METHODS), F0)
    assert of_speakers.to_dict() == {("female", "02"): 1, ("female", "04"): 0, ("male", "01"): 1, ("male", "03"): 1}


@pytest.fixture
def folds(monkeypatch):
    """Two folds, and networks that need no training."""
    halves = [{"train": {"01", "02"}, "test": {"03", "04"}}, {"train": {"03", "04"}, "test": {"01", "02"}}]

    def divide(corpus, table, division):
        return [split_by_speaker(table["speaker"], valid=set(), **half) for half in halves]

    def fold_predictions(corpus, division):
        return available_images(corpus, load_maps(corpus)).assign(p_female=0.9)

    monkeypatch.setattr(methods, "divide", divide)
    monkeypatch.setattr(methods, "fold_predictions", fold_predictions)
    monkeypatch.setattr(methods, "moved_pitch", lambda corpus, table, count: {})


@pytest.mark.slow
def test_the_methods_are_compared_on_a_corpus(buzz_corpus, folds):
    generate_images(buzz_corpus, load_recordings(buzz_corpus))
    methods.study_methods(buzz_corpus)
    found, predictions = load_methods(buzz_corpus.results)
    assert found["corpus"] == buzz_corpus.title and f"{F0} compared with {LENGTH}" in found["comparisons"]
    assert len(predictions) == 24 and {"mfc", "harmonic", SHIPPED, F0, F0_ELSEWHERE} <= set(predictions)
    assert PUBLIC not in predictions and set(found["cost_of_leakage"]) == {"mfc", "harmonic"}
    assert all(buzz_corpus.has(path) for path in predictions["recording"]), "named by their path in the corpus"


def test_a_corpus_with_few_wavs_is_shown_by_what_comes_with_the_project(buzz_corpus, monkeypatch):
    generate_images(buzz_corpus, load_recordings(buzz_corpus))
    table = available_images(buzz_corpus, load_maps(buzz_corpus))
    monkeypatch.setattr(methods, "LEAST_WAVS", 3)
    assert methods.has_enough_sound(buzz_corpus, table)
    for path in table["path"][: len(table) // 2]:
        (buzz_corpus.folder / path).unlink()
    assert not methods.has_enough_sound(buzz_corpus, table)
    found, predictions = methods.methods_of(buzz_corpus, table)
    assert found["corpus"] == "AudioMNIST_AZ" and predictions["speaker"].nunique() == 59


def answers_in(folder, *lines):
    file = folder / "mine.csv"
    file.write_text("\n".join(["path,p_female", *lines]))
    return file


def test_anybodys_answers_are_taken_by_path_and_a_missing_one_is_a_refusal(tmp_path):
    recordings = METHODS[SHIPPED][["recording", "speaker", "gender"]]
    found = load_answers(answers_in(tmp_path, "01/0_01_0.wav,0.1", "02/0_02_0.wav,0.8"), recordings)
    assert found["p_female"].tolist()[::2] == [0.8, 0.1] and found["p_female"].isna().sum() == 2


@pytest.mark.parametrize(
    "lines, problem",
    [
        (["09/0_09_0.wav,0.1"], "is not in the corpus"),
        (["01/0_01_0.wav,0.1", "01/0_01_0.wav,0.2"], "given twice"),
        (["01/0_01_0.wav,yes"], "p_female, a number"),
    ],
)
def test_answers_that_are_no_answers_are_one_line(tmp_path, lines, problem):
    with pytest.raises(CorpusError, match=problem):
        load_answers(answers_in(tmp_path, *lines), METHODS[SHIPPED][["recording", "speaker", "gender"]])


@pytest.mark.slow
def test_the_committed_answers_score_as_the_study_says_without_any_sound(monkeypatch, capsys):
    folder = methods.SHOWN
    monkeypatch.setattr("sys.argv", ["compare_methods.py", "--answers", str(folder / "public_classifier.csv")])
    assert compare_methods.main() == 0
    balanced = load_methods(folder)[0]["rows"][PUBLIC]["all"]["scores"]["balanced_accuracy"]
    told = capsys.readouterr().out
    assert f"public_classifier.csv: balanced accuracy {balanced:.1%}" in told
    assert f"public_classifier.csv compared with {PUBLIC}, all: +0.0 percentage points" in told
    assert f"public_classifier.csv compared with {F0_ELSEWHERE}, without_doubtful" in told


def test_the_threshold_of_the_training_corpora_is_where_it_says():
    p_female = f0_predictions(pd.Series([100.0, 250.0, np.nan]))
    assert p_female[0] < 0.1 and p_female[1] > 0.9 and np.isnan(p_female[2])


def test_committed_results_that_are_missing_are_told_in_one_line(tmp_path):
    with pytest.raises(CorpusError, match="restore it from git"):
        load_methods(tmp_path)
