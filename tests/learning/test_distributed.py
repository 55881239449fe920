"""One training in two processes (gloo): the whole batch is shared, and a run that was stopped ends like another."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import joblib
import numpy as np
import pytest
import soundfile
from conftest import buzz
from safetensors.torch import load_file

from speaker_gender import config
from speaker_gender.config import ROOT
from speaker_gender.corpora.audiomnist import METADATA
from speaker_gender.learning.distributed import share_of
from speaker_gender.learning.recipes import Recipe
from studies import generate_images, train_distributed

PROGRAM = str(ROOT / "scripts/studies/train_distributed.py")
SMALL = ["--architecture", "small", "--batch-size", "16"]
EPOCHS = "12"  # after which one process classifies every validation image correctly


def start(folder, *arguments: str) -> subprocess.Popen:
    """Two processes that train."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    own = {
        "OMP_NUM_THREADS": "1",
        "CORPUS": str(folder / "Voices"),
        "WORKSPACE": str(folder),
        "RESNET34_WEIGHTS": "none",
    }
    return subprocess.Popen(
        [sys.executable, *launcher, PROGRAM, *SMALL, *arguments],
        env=os.environ | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(program: subprocess.Popen) -> str:
    told, error = program.communicate(timeout=300)
    assert program.returncode == 0, error
    return told


def card(folder, name: str) -> dict:
    return json.loads((folder / "results/voices/models" / f"{name}.json").read_text())


def weights(folder, name: str) -> dict:
    return load_file(folder / "results/voices/models" / f"{name}.safetensors")


@pytest.fixture(scope="module")
def voices(tmp_path_factory):
    """A corpus of 160 vowels of 8 speakers, with its images and shards."""
    pytest.importorskip("accelerate", reason="accelerate is missing: requirements-cluster.txt")
    pytest.importorskip("webdataset", reason="webdataset is missing: requirements-cluster.txt")
    folder = tmp_path_factory.mktemp("voices")
    metadata = {}
    for number in range(1, 9):
        speaker, female = f"{number:02}", number % 2 == 0
        metadata[speaker] = {"gender": "female" if female else "male"}
        (folder / "Voices" / speaker).mkdir(parents=True)
        for index in range(20):
            pitch = (210 if female else 120) * 1.02 ** (number - index % 5)
            sound = buzz(pitch, seconds=0.4 + 0.01 * index, sample_rate=16_000, seed=100 * number + index)
            path = folder / "Voices" / speaker / f"{index % 10}_{speaker}_{index // 10}.wav"
            soundfile.write(path, sound, 16_000, subtype="PCM_16")
    (folder / "Voices" / METADATA).write_text(json.dumps(metadata))
    with in_this_process(folder):
        for option in ([], ["--shards"]):
            with patch.object(sys, "argv", ["generate_images.py", *option]):
                assert generate_images.main() == 0
    return folder


@contextmanager
def in_this_process(folder):
    """Programs run here, as one process does, and read and write this workspace: none has to start and import."""
    folders = {"MAPS": "maps", "MFC_DATASET": "mfc_dataset", "RESULTS": "results"}
    environment = {"CORPUS": str(folder / "Voices"), "RESNET34_WEIGHTS": "none"}
    with ExitStack() as stack:
        for name, place in folders.items():
            stack.enter_context(patch.object(config, name, folder / place))
        stack.enter_context(patch.dict(os.environ, environment))
        stack.enter_context(patch.object(joblib, "cpu_count", lambda: 1))
        yield


@pytest.fixture(scope="module")
def whole(voices):
    """What two processes come to that nothing stops."""
    assert "2 processes: error rate" in finish(start(voices, "--epochs", EPOCHS, "--name", "whole"))
    return card(voices, "whole"), weights(voices, "whole")


@pytest.mark.slow
def test_two_processes_err_as_one_does_on_the_same_batches(voices, whole, capsys):
    with in_this_process(voices), patch.object(sys, "argv", [PROGRAM, *SMALL, "--epochs", EPOCHS, "--name", "one"]):
        assert train_distributed.main() == 0
    assert "1 processes: error rate" in capsys.readouterr().out
    one, (two, of_two) = card(voices, "one"), whole
    assert one["split"] == two["split"] == {"train": 128, "valid": 32} and two["processes"] == 2
    assert len(two["history"]) == int(EPOCHS) and one["recipe"] == two["recipe"]
    assert abs(one["history"][-1]["error_rate"] - two["history"][-1]["error_rate"]) < 0.15, "of 32 images"
    assert weights(voices, "one").keys() == of_two.keys()


@pytest.mark.release
@pytest.mark.slow
def test_processes_that_are_stopped_go_on_to_the_same_weights(voices, whole):
    stopped = start(voices, "--epochs", EPOCHS, "--name", "stopped")
    checkpoint = voices / "results/voices/models/stopped.checkpoint"
    while not checkpoint.exists():
        assert stopped.poll() is None, stopped.communicate()[1]
        time.sleep(0.01)
    stopped.terminate()
    stopped.communicate(timeout=300)
    assert checkpoint.exists(), "there is something left to do"
    assert "Resumed after epoch" in finish(start(voices, "--epochs", EPOCHS, "--name", "stopped"))
    assert len(card(voices, "stopped")["history"]) == int(EPOCHS) and not checkpoint.exists()
    for name, tensor in weights(voices, "stopped").items():
        np.testing.assert_allclose(tensor, whole[1][name], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.release
@pytest.mark.slow
def test_two_processes_stream_shards(voices):
    finish(start(voices, "--epochs", "1", "--shards", "--name", "streamed"))
    assert card(voices, "streamed")["split"] == {"train": 80, "valid": 40}, "whole speakers"


def test_a_batch_is_shared_equally_or_not_at_all(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert share_of(Recipe(batch_size=64)).batch_size == 16
    with pytest.raises(ValueError, match="cannot be shared by 4 processes"):
        share_of(Recipe(batch_size=50))
