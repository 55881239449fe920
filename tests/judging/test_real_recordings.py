"""The shipped model on real recordings, where the development sets lie beside the project: as good as committed."""

import json

import pytest

from speaker_gender.classifying.classifier import SHIPPED_MODEL
from speaker_gender.config import ROOT
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.judging.assessment import figures, predict_recordings, unseen_recordings

# Folder → recordings, speakers, and the least balanced accuracy, refusals wrong, that is still this model.
SETS = {"AudioMNIST_AZ": (1_162, 59, 0.92), "UkrainianDigits": (879, 88, 0.94)}
TOLERANCE = 0.005  # another processor sums in another order; a recording near the threshold may change sides


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_it_is_as_accurate_as_its_committed_figures_say(name):
    folder = ROOT.parent / name / "data"
    if not folder.is_dir():
        pytest.skip(f"{name} is not beside the project: the accuracy on its recordings was not checked")
    corpus = resolve_corpus(str(folder))
    found = figures(predict_recordings(SHIPPED_MODEL, unseen_recordings(corpus, SHIPPED_MODEL)))
    n_recordings, n_speakers, least = SETS[name]
    if (found["all_recordings"]["images"], found["all_recordings"]["speakers"]) != (n_recordings, n_speakers):
        pytest.skip(f"{folder}: other recordings than those of the committed figures")
    committed = SHIPPED_MODEL.with_name(f"gender_on_{corpus.name}.json")
    expected = json.loads(committed.read_text(encoding="utf-8"))["all"]["balanced_accuracy_if_refused_is_wrong"]
    measured = found["all_recordings"]["scores"]["balanced_accuracy"]
    assert measured == pytest.approx(found["balanced_accuracy_if_refused_is_wrong"])
    assert measured == pytest.approx(expected, abs=TOLERANCE) and measured > least
