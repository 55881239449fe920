"""Methods compared on the same recordings of a small corpus."""

import numpy as np
import pandas as pd
import pytest

from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.judging import methods
from speaker_gender.judging.baselines import F0, LENGTH
from speaker_gender.judging.methods import SHIPPED, accuracy_by_speaker, compare, load_methods, one_table
from speaker_gender.learning.dataset import available_images
from speaker_gender.learning.splits import split_by_speaker


def predictions_of(p_female):
    genders = ["female", "female", "male", "male"]
    recordings = [f"0_{speaker}_0.wav" for speaker in ("02", "04", "01", "03")]
    speakers = [name[2:4] for name in recordings]
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
    assert table.loc[table["recording"] == "0_04_0.wav", F0].isna().all()


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
    assert len(predictions) == 24 and {"mfc", "harmonic", SHIPPED, F0} <= set(predictions)


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


def test_committed_results_that_are_missing_are_told_in_one_line(tmp_path):
    with pytest.raises(CorpusError, match="restore it from git"):
        load_methods(tmp_path)
