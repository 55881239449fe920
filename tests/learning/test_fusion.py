"""The fused network: its encoder unchanged, its heads repeatable, torch and ONNX of one mind."""

import importlib.machinery

import numpy as np
import pytest
import torch
from conftest import CARD

from speaker_gender.classifying.classifier import load_classifier
from speaker_gender.learning import fusion
from speaker_gender.learning.calibration import log_odds
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import Ensemble, load_network, predict, save_network, small_network, to_onnx

SIZE = (32, 56)
FUSED = CARD | {"view": "harmonic", "seeds": [0, 1], "encoder": {"name": "x"}}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    halves = [Ensemble([make() for _ in FUSED["seeds"]]) for make in (lambda: small_network(SIZE), fusion.make_head)]
    return fusion.Fusion(halves[0], fusion.SpeakerEncoder(), halves[1]).eval()


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (5, *SIZE), dtype=np.uint8), rng.exponential(1, (5, 100, 40)).astype(np.float32)


def test_an_embedding_has_unit_length_and_nothing_below_zero(network, inputs):
    embeddings = fusion.embed(network.encoder, inputs[1].astype(np.float16))
    assert embeddings.shape == (5, 256) and embeddings.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)


def test_both_halves_count_the_same(network, inputs):
    images, mels = inputs
    by_image = log_odds(predict(network.images, images, CARD["normalisation"]))
    with torch.inference_mode():
        scores = network.heads(network.encoder(torch.from_numpy(mels))).double().numpy()
    fused = log_odds(predict(network, images, CARD["normalisation"], mels))
    np.testing.assert_allclose(fused, (by_image + scores[:, 0] - scores[:, 1]) / 2, atol=1e-5)


@pytest.mark.slow
def test_torch_and_onnx_give_the_same(network, inputs, tmp_path):
    with_onnx, without = tmp_path / "with.safetensors", tmp_path / "without.safetensors"
    save_network(network, FUSED, with_onnx, onnx=to_onnx(network, SIZE))
    save_network(network, FUSED, without)
    by_onnx, by_torch = (load_classifier(path).predict(*inputs) for path in (with_onnx, without))
    assert by_onnx == pytest.approx(by_torch, abs=1e-6) and np.ptp(by_torch) > 1e-4
    assert isinstance(load_network(without)[0], fusion.Fusion)


def test_a_model_of_another_mel_spectrogram_is_refused(network, tmp_path, monkeypatch):
    path = tmp_path / "fused.safetensors"
    save_network(network, FUSED, path)
    monkeypatch.setitem(fusion.mel.PARAMETERS, "n_mels", 41)
    with pytest.raises(ModelError, match="train it again"):
        load_network(path)


def test_a_head_learns_what_separates_embeddings_and_repeats_itself():
    rng = np.random.default_rng(0)
    female = rng.random(6_000) < 0.5
    embeddings = rng.exponential(1, (6_000, fusion.EMBEDDING)).astype(np.float32)
    embeddings[female, :40] += 1
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    heads = [fusion.train_head(embeddings, female, np.ones(6_000), seed=7) for _ in range(2)]
    for one, again in zip(*(head.state_dict().values() for head in heads)):
        assert torch.equal(one, again)
    with torch.inference_mode():
        scores = heads[0](torch.from_numpy(embeddings)).numpy()
    assert ((scores[:, 0] > scores[:, 1]) == female).mean() > 0.9


def test_without_the_encoders_package_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps resemblyzer==0.1.4"):
        fusion.pretrained_encoder()


def test_other_weights_than_those_of_the_package_are_refused(tmp_path, monkeypatch):
    (tmp_path / "pretrained.pt").write_bytes(b"other weights")
    spec = importlib.machinery.ModuleSpec("resemblyzer", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(ModelError, match="not the weights of version 0.1.4"):
        fusion.pretrained_encoder()
