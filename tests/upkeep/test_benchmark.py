"""The benchmark: both ways of a step come to the same, and what it writes is what it measured."""

import json
import sys

import numpy as np
import pytest
import soundfile
import soxr

from speaker_gender.config import SAMPLE_RATE
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.images.generation import generate_images
from upkeep import benchmark


@pytest.fixture
def small(buzz_corpus, monkeypatch, tmp_path):
    """The buzzing corpus with its images, and a benchmark of seconds."""
    sizes = {"PAIRS": 2, "RECORDINGS": 6, "HEADERS": 40, "MAPS": 3}
    for name, size in (sizes | {"AUDIOMNIST_IMAGES": 300, "BATCHES": 1}).items():
        monkeypatch.setattr(benchmark, name, size)
    for path in buzz_corpus.folder.glob("*/*.wav"):  # the rate that the plain way need not resample
        sound, rate = soundfile.read(path)
        soundfile.write(path, soxr.resample(sound, rate, SAMPLE_RATE), SAMPLE_RATE, subtype="PCM_16")
    generate_images(buzz_corpus, load_recordings(buzz_corpus), n_jobs=1)
    (tmp_path / "work").mkdir()
    return buzz_corpus, tmp_path / "work"


def test_generation_makes_the_same_pixels_both_ways(small):
    before = {path: path.read_bytes() for path in small[0].images.iterdir()}
    found = benchmark.generation(*small)
    assert found["greatest_difference_of_a_pixel"] == 0 and found["n"] == 6
    assert len(found["seconds"]["reference"]) == len(found["seconds"]["pipeline"]) == 2
    assert {path: path.read_bytes() for path in small[0].images.iterdir()} == before, "its own images are untouched"


@pytest.mark.slow
def test_grad_cams_are_the_same_both_ways(small):
    assert benchmark.grad_cams(*small)["greatest_difference"] < 1e-3


@pytest.mark.slow
def test_the_plain_classifier_answers_as_the_project_does(small, monkeypatch):
    monkeypatch.setattr(benchmark, "in_turns", lambda reference, pipeline: {})  # each is a program that imports torch
    assert benchmark.one_file(*small)["difference_of_p_female"] < 0.01
    assert benchmark.many_files(*small)["greatest_difference_of_p_female"] < 0.01


def test_headers_are_read_of_as_many_files_as_asked(small):
    assert benchmark.headers(*small)["n"] == 40


def test_memory_is_that_of_a_program_and_its_children(small):
    holding = "x = b'1' * 200_000_000; import time; time.sleep(0.5)"
    command = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holding!r}])"
    assert 200e6 < benchmark.peak_memory([sys.executable, "-c", command], {}) < 300e6


def test_a_ratio_is_the_median_over_the_pairs_with_their_range():
    found = benchmark.ratio({"reference": [2.0, 4.0, 9.0], "pipeline": [1.0, 1.0, 3.0]})
    assert found == {"median": 3.0, "range": [2.0, 4.0]}


def test_steps_that_are_not_measured_keep_their_figures(small, monkeypatch, capsys):
    corpus, folder = small
    monkeypatch.setattr(benchmark, "RESULTS", folder)
    monkeypatch.setattr(benchmark, "resolve_corpus", lambda: corpus)
    monkeypatch.setattr("sys.argv", ["benchmark.py", "headers"])
    (folder / "benchmark.json").write_text(json.dumps({"grad_cams": {"ratio": 1}}))
    assert benchmark.main() == 0
    measured = json.loads((folder / "benchmark.json").read_text())
    assert measured["grad_cams"] == {"ratio": 1} and measured["headers"]["n"] == 40
    rates = np.divide(measured["headers"]["seconds"]["reference"], measured["headers"]["seconds"]["pipeline"])
    assert measured["headers"]["ratio"]["median"] == pytest.approx(np.median(rates))
    assert "listing WAVs" in capsys.readouterr().out
