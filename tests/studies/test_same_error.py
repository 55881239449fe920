"""Training to the same error: a run ends with the first epoch that reaches it, and is trained once."""

import json
from dataclasses import replace

import pytest

from speaker_gender import config
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.images.generation import generate_images
from studies import same_error


@pytest.mark.slow
def test_each_run_ends_at_the_error_and_is_kept(buzz_corpus, monkeypatch, capsys, tmp_path):
    generate_images(buzz_corpus, load_recordings(buzz_corpus), n_jobs=1)
    monkeypatch.setattr(config, "PNGS", tmp_path)
    monkeypatch.setattr(same_error, "SEEDS", (1, 2))
    monkeypatch.setattr(same_error, "BASELINE_EPOCHS", 2)
    small = {"architecture": "small", "image_size": (32, 98), "epochs": 3, "batch_size": 8}
    monkeypatch.setattr(same_error, "PIPELINE", replace(same_error.PIPELINE, **small))
    monkeypatch.setattr(same_error, "ERROR", 1.0)
    found = same_error.compare(buzz_corpus)
    assert [len(run["epochs"]) for run in found["pipeline"] + found["baseline"]] == [1, 1, 1]
    assert not same_error.ratio(found)["at_least"]
    again = json.loads(json.dumps(found))
    assert same_error.compare(buzz_corpus) == again and capsys.readouterr().out.count("From the cache") == 3
    monkeypatch.setattr(same_error, "ERROR", -1.0)
    found = same_error.compare(buzz_corpus)
    assert [len(run["epochs"]) for run in found["pipeline"] + found["baseline"]] == [3, 3, 2]
    seconds = [epoch["seconds"] for epoch in found["pipeline"][0]["epochs"]]
    assert seconds == sorted(seconds)
    assert same_error.ratio(found)["at_least"] and not any(map(same_error.has_reached, found["pipeline"]))
    same_error.draw(found, buzz_corpus)
