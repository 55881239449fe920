"""Files that a user gives are data: no code can run what is in them, and no path in them leads out of its folder."""

import ast
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import CARD

from speaker_gender.answering.classifier import load_classifier
from speaker_gender.caching import cached_array
from speaker_gender.config import ROOT
from speaker_gender.corpora.corpus import CorpusError
from speaker_gender.images.maps import load_maps
from speaker_gender.learning.model_files import ModelError, write_model

CODE = sorted([*(ROOT / "scripts").glob("**/*.py"), *(ROOT / "nbs").glob("*.ipynb")])
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"}
CALLS = {
    "eval", "exec", "os.system", "os.popen", "torch.load", "joblib.load", "pd.read_pickle", "pandas.read_pickle",
    "yaml.load", "load_learner", "torch.hub.load", "ctypes.pythonapi",
}  # fmt: skip


def source(path: Path) -> str:
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    lines = [line.rstrip() for cell in cells if cell["cell_type"] == "code" for line in [*cell["source"], ""]]
    return "\n".join(line for line in lines if not line.startswith("%matplotlib"))


def dangers(text: str) -> list[str]:
    """What in a piece of Python can run code that it reads."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            found.append(node.module)
        elif isinstance(node, ast.Call):
            name, options = ast.unparse(node.func), {word.arg: ast.unparse(word.value) for word in node.keywords}
            if name in CALLS or options.get("shell") == "True":
                found.append(name)
            if name == "np.load" and options.get("allow_pickle") != "False":
                found.append("np.load without allow_pickle=False")
    return found


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_no_code_can_run_what_it_reads(path):
    allowed = {"load_learner"} if path.name == "training.py" else set()  # the project's own, which reads safetensors
    assert set(dangers(source(path))) <= allowed


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from dill import loads",
        "eval('1')",
        "import torch\ntorch.load('x')",
        "np.load('x.npy')",
        "subprocess.run('ls', shell=True)",
    ],
)
def test_the_scan_finds_what_it_looks_for(text):
    assert dangers(text)


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
