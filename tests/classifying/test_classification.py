"""From files to answers: one for each, with a reason where there is none, in a table or as JSON."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
import soundfile
import torch
from conftest import CARD
from fastai.torch_core import set_seed
from PIL import Image
from safetensors.torch import save

import classify_wavs
from speaker_gender.classifying.classification import (
    CLIPPED,
    classify_recording,
    classify_recordings,
    combine,
    windows_of,
)
from speaker_gender.classifying.classifier import SHIPPED_MODEL, load_classifier
from speaker_gender.config import ROOT
from speaker_gender.images.views import VIEWS
from speaker_gender.learning.calibration import log_odds
from speaker_gender.learning.model_files import OURS, ModelError, card_digest, write_model
from speaker_gender.learning.networks import Ensemble, load_network, make_network, predict, save_network, to_onnx
from speaker_gender.learning.recipes import Recipe
from speaker_gender.sound.reading import read_signal

RECIPE = Recipe(architecture="small", image_size=(32, 56))


@pytest.fixture(scope="module")
def network():
    """An untrained network: its answers mean nothing, but they are answers."""
    set_seed(0)
    return make_network(RECIPE)


@pytest.fixture(scope="module")
def model(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "gender.safetensors"
    save_network(network, CARD, path)
    return path


@pytest.fixture
def ours(monkeypatch):
    """Lets the ONNX graph beside any card be run, as if the card were this project's."""
    monkeypatch.setattr("speaker_gender.classifying.classifier.card_digest", lambda card: next(iter(OURS)))


def other_model(network, tmp_path, **changes):
    """The same network as another model, with some fields of its card changed."""
    path = tmp_path / "other.safetensors"
    save_network(network, CARD | changes, path)
    return path


@pytest.fixture
def wav(buzz_corpus):
    return buzz_corpus.folder / "02" / "1_02_0.wav"


def answers(capsys, *arguments):
    status = classify_wavs.main([str(argument) for argument in arguments])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_file_gets_a_gender_and_two_probabilities(model, wav, capsys):
    status, (answer,) = answers(capsys, wav, "--json", "--model", model)
    assert status == 0 and answer["file"] == str(wav)
    known = {"file", "answer", "gender", "p_female", "p_male", "seconds", "windows", "reason", "warning"}
    assert set(answer) == known | {"speaking_time", "timeline"}
    assert answer["answer"] in (answer["gender"], "unsure") and answer["warning"] is None
    (stretch,) = answer["timeline"]
    assert (stretch["start"], stretch["stop"], stretch["label"]) == (0, 0.5, answer["gender"])
    assert answer["speaking_time"][answer["gender"]] == 0.5
    assert 0 <= answer["p_female"] <= 1
    assert answer["gender"] == ("female" if answer["p_female"] >= 0.5 else "male")
    assert answer["seconds"] == 0.5 and answer["windows"] == 1 and answer["reason"] is None


def test_a_folder_means_the_sound_files_in_it(model, wav, capsys):
    (wav.parent / "notes.txt").write_text("not sound")
    status, found = answers(capsys, wav.parent, "--json", "--model", model)
    assert status == 0 and [answer["file"] for answer in found] == sorted(map(str, wav.parent.glob("*.wav")))


def test_a_file_without_an_answer_says_why_and_the_others_are_answered(model, wav, capsys, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(48_000), 48_000)
    (tmp_path / "text.wav").write_text("not sound")
    status, found = answers(
        capsys, tmp_path / "silence.wav", tmp_path / "text.wav", tmp_path / "none.wav", wav, "--json", "--model", model
    )
    assert status == 1
    assert [answer["gender"] is None for answer in found] == [True, True, True, False]
    assert found[0]["reason"] == "silence" and all(answer["reason"] for answer in found[:3])


@pytest.mark.parametrize("offset", [0, 0.3])
def test_a_clipped_recording_is_classified_with_a_warning_whatever_its_offset(model, tmp_path, offset):
    signal = read_signal(ROOT / "nbs" / "my_wavs" / "synthetic_male_nine.wav") / 32_768
    signal *= 0.6 / np.abs(signal).max()
    limit = np.quantile(np.abs(signal), 0.9)
    for name, sound in (("clipped", signal.clip(-limit, limit)), ("plain", signal)):
        soundfile.write(tmp_path / f"{name}.wav", sound + offset, 48_000)
    clipped, plain = (
        classify_recording(load_classifier(model), tmp_path / f"{name}.wav") for name in ("clipped", "plain")
    )
    assert clipped.gender and clipped.warning == CLIPPED
    assert plain.gender and plain.warning is None


def test_the_table_is_one_line_a_file(model, wav, capsys):
    assert classify_wavs.main([str(wav), str(wav.parent / "none.wav"), "--model", str(model)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "male" in lines[0] and "unreadable" in lines[1]


@pytest.mark.parametrize("arguments", [[], ["--unknown"], ["{empty}"]])
def test_wrong_usage_is_exit_status_2(tmp_path, arguments):
    with pytest.raises(SystemExit) as stopped:
        classify_wavs.main([argument.format(empty=tmp_path) for argument in arguments])
    assert stopped.value.code == 2


def test_a_folder_that_may_not_be_read_is_one_line_and_the_others_are_answered(model, wav, monkeypatch, capsys):
    def walk(folder, onerror, _walk=os.walk, **options):
        onerror(PermissionError(13, "Permission denied", str(folder / "lost+found")))
        return _walk(folder, onerror=onerror, **options)

    monkeypatch.setattr("os.walk", walk)
    assert classify_wavs.main([str(wav.parent), "--json", "--model", str(model)]) == 1
    out, err = capsys.readouterr()
    assert err == f"{wav.parent / 'lost+found'}: cannot be read (Permission denied)\n"
    assert [json.loads(line)["gender"] is not None for line in out.splitlines()] == [True] * 6


def test_a_folder_without_a_sound_file_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        classify_wavs.main([str(tmp_path)])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"{tmp_path}: no sound file there; name a sound file, or a folder that has some\n"


def test_the_scale_of_the_file_does_not_change_the_answer(model, wav, capsys, tmp_path):
    sound, rate = soundfile.read(wav)
    soundfile.write(tmp_path / "float.wav", sound, rate, subtype="FLOAT")
    soundfile.write(tmp_path / "pcm24.wav", sound, rate, subtype="PCM_24")
    _, found = answers(capsys, wav, tmp_path / "float.wav", tmp_path / "pcm24.wav", "--json", "--model", model)
    assert np.ptp([answer["p_female"] for answer in found]) < 1e-6


@pytest.mark.parametrize("view, size", [("mfc", [32, 56]), ("harmonic", [112, 30])])
def test_a_word_is_an_image_of_the_view_and_size_in_the_card(network, wav, tmp_path, view, size):
    path = other_model(network, tmp_path, view=view, image_size=size)
    classifier = load_classifier(path)
    signal = read_signal(wav, sample_rate=classifier.view.sample_rate)
    images, mels, spans, reason = windows_of(classifier, signal)
    assert mels is None
    assert reason is None and spans.tolist() == [[0, 0.5]]
    assert images.shape == (1, *size) and images.dtype == np.uint8 and images.any()
    assert not images[0, :, 0].any(), "it begins with padding"


def test_probabilities_go_through_the_calibration_in_the_card(network, model, wav, tmp_path, capsys):
    path = other_model(network, tmp_path, calibration={"slope": 0.5, "intercept": 1.0})
    _, (raw,) = answers(capsys, wav, "--json", "--model", model)
    _, (calibrated,) = answers(capsys, wav, "--json", "--model", path)
    odds = np.log(raw["p_female"] / raw["p_male"])
    assert np.log(calibrated["p_female"] / calibrated["p_male"]) == pytest.approx(0.5 * odds + 1, abs=1e-4)


@pytest.mark.slow
def test_many_files_are_answered_in_their_order_as_one_by_one(network, wav, tmp_path, monkeypatch):
    path = tmp_path / "gender.safetensors"
    save_network(network, CARD, path, onnx=to_onnx(network, RECIPE.image_size))
    monkeypatch.setattr("speaker_gender.classifying.classification.FILES_A_WORKER", 3)
    monkeypatch.setattr("joblib.cpu_count", lambda: 2)
    paths = [*sorted(wav.parent.glob("*.wav")), tmp_path / "none.wav", *sorted(wav.parent.glob("*.wav"))]
    classifier = load_classifier(path)
    assert list(classify_recordings(classifier, paths)) == [classify_recording(classifier, path) for path in paths]


def test_images_are_written_for_answered_files_only(model, wav, tmp_path, capsys):
    soundfile.write(tmp_path / "silence.wav", np.zeros(48_000), 48_000)
    folder = tmp_path / "seen"
    answers(capsys, wav, tmp_path / "silence.wav", "--json", "--model", model, "--images", folder)
    (picture,) = folder.iterdir()
    with Image.open(picture) as image:
        assert picture.name == "1_02_0.wav.png" and image.format == "PNG" and min(image.size) > 200


def test_images_that_cannot_be_written_do_not_end_the_answers(model, wav, tmp_path, capsys):
    folder = tmp_path / "seen"
    folder.write_text("a file where the images should go")
    paths = [str(path) for path in sorted(wav.parent.glob("*.wav"))[:2]]
    assert classify_wavs.main([*paths, "--json", "--model", str(model), "--images", str(folder)]) == 1
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == len(told.err.splitlines()) == 2 and str(folder) in told.err


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {"unknown": 1}},
        {"recipe": "resnet34"},
        {"view": "../mfc"},
        {"classes": ["male", "female"]},
        {"image_size": [32]},
        {"image_size": [32, 10**9]},
        {"image_size": [True, True]},
        {"recipe": {"architecture": "small", "image_size": [10**6, 30]}, "seeds": [1]},
        {"seeds": list(range(20))},
        {"normalisation": {"mean": 10**400, "std": 1}},
        {"normalisation": {"mean": 0.1, "std": 0.0}},
        {"normalisation": {"mean": "0.1", "std": 1}},
        {"calibration": {"slope": float("nan"), "intercept": 0.0}},
    ],
    ids=str,
)
def test_a_card_that_makes_no_sense_is_one_line(network, tmp_path, changes):
    path = other_model(network, tmp_path, **changes)
    with pytest.raises(ModelError, match="not a card") as error:
        load_classifier(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"key": 1}', "[" * 100_000, '{"key": "x"}'])
def test_a_card_that_is_none_is_one_line(network, tmp_path, text):
    path = other_model(network, tmp_path)
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError, match="not a"):
        load_classifier(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture, greys",
    [("small", (0, 256)), pytest.param("resnet34", (38, 44), marks=pytest.mark.slow)],  # greys that leave them unsure
)
def test_onnx_gives_the_answers_of_torch(ours, tmp_path, architecture, greys):
    recipe = replace(RECIPE, architecture=architecture)
    set_seed(0)
    network, card = make_network(recipe), CARD | {"recipe": asdict(recipe)}
    with_onnx, without = tmp_path / "with.safetensors", tmp_path / "without.safetensors"
    save_network(network, card, with_onnx, onnx=to_onnx(network, recipe.image_size))
    save_network(network, card, without)
    images = np.random.default_rng(0).integers(*greys, (9, *recipe.image_size), dtype=np.uint8)
    by_onnx, by_torch = (load_classifier(path).predict(images) for path in (with_onnx, without))
    assert by_onnx == pytest.approx(by_torch, abs=1e-6) and np.ptp(by_torch) > 1e-4


@pytest.mark.slow
def test_an_ensemble_answers_with_the_mean_of_its_members_scores_by_torch_and_by_onnx(ours, tmp_path):
    recipe, size = Recipe(architecture="small", image_size=(32, 56)), (32, 56)
    members = []
    for seed in range(3):
        set_seed(seed)
        members.append(make_network(recipe).eval())
    card = CARD | {"recipe": {"architecture": "small", "image_size": size}, "seeds": [0, 1, 2]}
    by_torch, by_onnx = tmp_path / "torch.safetensors", tmp_path / "onnx.safetensors"
    save_network(Ensemble(members), card, by_torch)
    save_network(Ensemble(members), card, by_onnx, onnx=to_onnx(Ensemble(members), size))
    images = np.random.default_rng(0).integers(0, 256, (9, *size), dtype=np.uint8)
    odds = np.mean([log_odds(predict(member, images, CARD["normalisation"])) for member in members], axis=0)
    assert np.ptp(odds) > 1e-3
    for path in (by_torch, by_onnx):
        np.testing.assert_allclose(log_odds(load_classifier(path).predict(images)), odds, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_onnx_file_tells_nothing_of_the_machine_that_made_it(network):
    assert str(ROOT).encode() not in to_onnx(network, RECIPE.image_size)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".safetensors", ".onnx"])
def test_a_model_file_that_was_tampered_with_is_refused(ours, network, tmp_path, suffix):
    path = tmp_path / "gender.safetensors"
    save_network(network, CARD, path, onnx=to_onnx(network, RECIPE.image_size))
    file = path.with_suffix(suffix)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="not the file that its card was written for"):
        load_classifier(path) if suffix == ".onnx" else load_network(path)


def test_a_model_of_another_form_of_its_view_is_refused_in_one_line(network, tmp_path, monkeypatch):
    path = tmp_path / "gender.safetensors"
    save_network(network, CARD, path)
    load_classifier(path)
    monkeypatch.setitem(VIEWS["mfc"].parameters, "n_mels", 41)
    with pytest.raises(ModelError, match="another form of view mfc; train it again") as error:
        load_classifier(path)
    assert "\n" not in str(error.value)


def test_a_strangers_onnx_graph_is_not_run(network, model, tmp_path):
    path = tmp_path / "strange.safetensors"
    save_network(network, CARD, path, onnx=b"what would take all memory")
    images = np.zeros((2, *RECIPE.image_size), np.uint8)
    assert np.array_equal(load_classifier(path).predict(images), load_classifier(model).predict(images))


def test_the_shipped_models_card_is_ours_so_that_its_graph_is_run():
    digest = card_digest(json.loads(SHIPPED_MODEL.with_suffix(".json").read_text(encoding="utf-8")))
    assert digest in OURS, "put its digest into learning/model_files.py"


@pytest.mark.parametrize("changes", [{"normalisation": {"mean": 0.1, "std": 1e-320}}, {"image_size": [1, 1]}], ids=str)
def test_a_model_that_cannot_answer_is_one_line_and_never_an_answer(network, tmp_path, wav, changes, capsys):
    assert classify_wavs.main([str(wav), str(wav), "--model", str(other_model(network, tmp_path, **changes))]) == 1
    out, err = capsys.readouterr()
    assert not out and err.startswith(str(tmp_path / "other.safetensors")) and err.count("\n") == 1


def test_an_onnx_file_that_is_none_is_one_line(ours, network, tmp_path):
    path = tmp_path / "gender.safetensors"
    save_network(network, CARD, path, onnx=b"not a network")
    with pytest.raises(ModelError, match="not a network"):
        load_classifier(path)


def test_asking_the_shipped_model_imports_neither_torch_nor_librosas_insides(wav):
    command = f"""
import sys
sys.path.insert(0, {str(ROOT / "scripts")!r})
import classify_wavs
classify_wavs.main([{str(wav)!r}])
slow = {{"torch", "fastai", "pandas", "numba", "sklearn", "scipy.fft", "scipy.special", "matplotlib", "joblib"}}
slow &= set(sys.modules)
assert not slow, slow
"""
    subprocess.run([sys.executable, "-c", command], check=True)


def test_log_odds_are_averaged():
    assert combine(np.array([0.8])) == pytest.approx(0.8)
    assert combine(np.array([0.9, 0.1])) == pytest.approx(0.5)
    assert combine(np.array([1.0, 0.4])) > 0.99


def test_a_file_that_is_no_model_is_one_line(tmp_path, wav, capsys):
    for name, content in (("none", None), ("text", b"not a model"), ("pickle", b"\x80\x04cos\nsystem\n(S'true'\ntR.")):
        path = tmp_path / f"{name}.safetensors"
        if content:
            write_model(path, content, CARD)
        with pytest.raises(ModelError) as error:
            load_classifier(path)
        assert path.name in str(error.value) and "\n" not in str(error.value)
    assert classify_wavs.main([str(wav), "--model", str(tmp_path / "none.safetensors")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    write_model(path, save({"weight": torch.zeros(3)}), CARD)
    with pytest.raises(ModelError, match="not this network's weights"):
        load_classifier(path)
