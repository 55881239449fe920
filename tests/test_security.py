"""Files that a user gives are data: no code can run what is in them, and no path in them leads out of its folder."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CARD

from speaker_gender.caching import cached_array
from speaker_gender.classifying.classifier import load_classifier
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.images.maps import load_maps
from speaker_gender.learning.model_files import ModelError, write_model


class Trap:
    """What a malicious file holds: reading it as a pickle makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("disguise", ["pickle", "torch"])
def test_a_malicious_model_is_refused_and_nothing_in_it_runs(tmp_path, disguise):
    sprung, path = tmp_path / "sprung", tmp_path / "gender.safetensors"
    if disguise == "torch":
        torch.save({"weights": Trap(sprung)}, path)
        content = path.read_bytes()
    else:
        content = pickle.dumps(Trap(sprung))
    write_model(path, content, CARD)
    with pytest.raises(ModelError):
        load_classifier(path)
    assert not sprung.exists()


def test_a_malicious_cache_is_made_again_and_nothing_in_it_runs(tmp_path):
    path, sprung = tmp_path / "images.npy", tmp_path / "sprung"
    cached_array(path, "key", lambda: np.arange(3))
    np.save(path, np.array([Trap(sprung)], dtype=object), allow_pickle=True)
    assert (cached_array(path, "key", lambda: np.arange(3)) == np.arange(3)).all()
    assert not sprung.exists()


@pytest.mark.parametrize("path", ["../../0_.._0.wav", "/etc/0_etc_0.wav", "..\\0_.._0.wav", "01/../../0_01_0.wav"])
def test_a_map_cannot_lead_out_of_the_corpus(buzz_corpus, path):
    buzz_corpus.maps.mkdir(parents=True)
    for gender in ("female", "male"):
        (buzz_corpus.maps / f"{gender}.json").write_text(json.dumps({f"{gender}_0.jpg": path}))
    with pytest.raises(CorpusError):
        load_maps(buzz_corpus)


@pytest.mark.parametrize("name", ["../female_0.jpg", "/tmp/female_0.jpg", "female_1.jpg"])
def test_a_map_cannot_name_images_outside_its_folder(buzz_corpus, name):
    buzz_corpus.maps.mkdir(parents=True)
    for gender in ("female", "male"):
        (buzz_corpus.maps / f"{gender}.json").write_text(json.dumps({name: "02/0_02_0.wav"}))
    with pytest.raises(CorpusError):
        load_maps(buzz_corpus)
