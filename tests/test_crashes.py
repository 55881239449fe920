"""Wherever a run is killed, the next one ends with the bytes of an undisturbed one, and nothing torn is ever used.

A file comes to its place by os.replace alone. So a run is killed, in all that matters, by one that fails from its k-th
call on, whatever is done about it.
"""

import multiprocessing
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from speaker_gender import config
from speaker_gender.caching import ABANDONED, cached_array, cached_json
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.images import generation
from speaker_gender.images.generation import generate_images, open_jpeg
from speaker_gender.learning import checkpoints
from speaker_gender.learning.model_files import ModelError, checked_file, usable_card, write_model
from studies import generate_images as program


class Killed(BaseException):
    """What no handler of errors stops."""


@contextmanager
def killed_at(monkeypatch, number: int):
    """From the file of this number on, none comes to its place any more; yields how many wanted to."""
    asked = []

    def replace(source, target):
        asked.append(target)
        if len(asked) > number:
            raise Killed
        real(source, target)

    real = os.replace
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        yield asked


def contents(*folders: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".partial" and path.name != generation.MANIFEST
    }


# --- generation


def generate(corpus) -> None:
    generate_images(corpus, load_recordings(corpus), n_jobs=1)


@pytest.fixture
def ends(buzz_corpus):
    """What undisturbed runs end with, before and after all WAVs are reversed; the WAVs of both; nothing is left."""
    forwards = {path: path.read_bytes() for path in sorted(buzz_corpus.folder.glob("*/*.wav"))}
    states = [forwards, {path: content[:44] + content[44:][::-1] for path, content in forwards.items()}]
    found = []
    for state in states:
        write(state)
        generate(buzz_corpus)
        found.append(contents(buzz_corpus.images, buzz_corpus.maps))
        shutil.rmtree(buzz_corpus.images)
        shutil.rmtree(buzz_corpus.maps)
    assert all(found[0][path] != found[1][path] for path in found[0] if path.suffix == ".jpg")
    return found, states


def write(state: dict[Path, bytes]) -> None:
    for path, content in state.items():
        path.write_bytes(content)


@pytest.mark.slow
def test_generation_that_is_killed_while_recordings_change_ends_like_an_undisturbed_one(buzz_corpus, ends, monkeypatch):
    ends, states = ends
    for number in (0, 1, 2, 3, 10, 26, 27, 28):  # maps, manifest, images, manifest
        state = number % 2
        write(states[state])
        with pytest.raises(Killed), killed_at(monkeypatch, number) as asked:
            generate(buzz_corpus)
            raise Killed  # where all images were current
        assert len(asked) > 0
        for image in buzz_corpus.images.glob("*.jpg"):
            assert image.read_bytes() in (ends[0][image], ends[1][image])
        if number % 3 == 0:
            generate(buzz_corpus)
            assert contents(buzz_corpus.images, buzz_corpus.maps) == ends[state]
    generate(buzz_corpus)
    assert contents(buzz_corpus.images, buzz_corpus.maps) == ends[state]


def test_what_a_killed_run_left_is_never_used_and_is_removed_a_day_later(buzz_corpus):
    buzz_corpus.images.mkdir(parents=True)
    left = [buzz_corpus.images / f"male_0.jpg.{number}.partial" for number in range(2)]
    for path in left:
        path.write_bytes(b"half an ima")
    os.utime(left[1], (time.time() - ABANDONED - 1,) * 2)
    generate(buzz_corpus)
    assert left[0].exists() and not left[1].exists()
    open_jpeg(buzz_corpus.images / "male_0.jpg")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be forked on Windows")
def test_two_generations_at_once_do_not_harm_each_other(buzz_corpus):
    context = multiprocessing.get_context("fork")
    runs = [context.Process(target=generate, args=(buzz_corpus,)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
        assert run.exitcode == 0
    both = contents(buzz_corpus.images, buzz_corpus.maps)
    manifest = (buzz_corpus.images / generation.MANIFEST).read_bytes()
    generate(buzz_corpus)
    assert (buzz_corpus.images / generation.MANIFEST).read_bytes() == manifest, "nothing was made again"
    shutil.rmtree(buzz_corpus.images)
    generate(buzz_corpus)
    assert contents(buzz_corpus.images, buzz_corpus.maps) == both


# --- caches, checkpoints and models


def keep(folder: Path, value: int) -> None:
    cached_array(folder / "x.npy", str(value), lambda: np.full(1_000, value))
    cached_json(folder / "x.json", {"key": value}, lambda: {"value": value})
    checkpoints.save_checkpoint(learner(10, value), folder / "x.checkpoint", str(value), [])
    write_model(folder / "x.safetensors", bytes([value]), {"key": str(value)}, onnx=bytes([value + 10]))


def learner(n_weights: int, value: int = 0) -> SimpleNamespace:
    """What a checkpoint is made of, with so many weights of a value."""
    network = torch.nn.Linear(n_weights, 1)
    torch.nn.init.constant_(network.weight, value)
    return SimpleNamespace(model=network, opt=SimpleNamespace(state_dict=lambda: {"state": []}))


def is_right(folder: Path) -> bool:
    """Whether whatever is kept is what its key says, or is known not to be usable."""
    for value in (1, 2):
        array = cached_array(folder / "x.npy", str(value), lambda value=value: np.full(1_000, value))
        kept = checkpoints.read_checkpoint(folder / "x.checkpoint", str(value))
        if (array != value).any() or (kept and (kept["model"]["weight"] != value).any()):
            return False
    try:
        card = usable_card(folder / "x.safetensors")
        both = [checked_file(folder / f"x.{suffix}", card)[0] for suffix in ("safetensors", "onnx")]
        return both == [int(card["key"]), int(card["key"]) + 10]
    except ModelError:
        return True  # it is trained again


@pytest.mark.parametrize("number", range(7))
def test_what_is_kept_is_what_its_key_says_wherever_its_writer_is_killed(tmp_path, monkeypatch, number):
    keep(tmp_path, 1)
    with pytest.raises(Killed), killed_at(monkeypatch, number):
        keep(tmp_path, 2)
        raise Killed
    assert is_right(tmp_path)


@pytest.mark.parametrize("byte", [3, 60, -1, -9])
def test_an_altered_checkpoint_is_not_resumed(tmp_path, byte):
    checkpoints.save_checkpoint(learner(100), tmp_path / "x.checkpoint", "key", [{"epoch": 0}])
    content = bytearray((tmp_path / "x.checkpoint").read_bytes())
    assert checkpoints.read_checkpoint(tmp_path / "x.checkpoint", "key")["history"] == [{"epoch": 0}]
    content[byte] ^= 1
    (tmp_path / "x.checkpoint").write_bytes(content)
    assert checkpoints.read_checkpoint(tmp_path / "x.checkpoint", "key") is None


# --- no room


@contextmanager
def small_disk(n_bytes: int):
    """Files may not become larger than this, as on a disk that is full."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: cached_array(folder / "x.npy", "new", lambda: np.ones(10_000)),
        lambda folder: cached_json(folder / "x.json", {"key": "new"}, lambda: {"value": ["new"] * 10_000}),
        lambda folder: write_model(folder / "x.safetensors", bytes(40_000), {"key": "new"}, onnx=b"new"),
        lambda folder: checkpoints.save_checkpoint(learner(50_000), folder / "x.checkpoint", "new", []),
    ],
    ids=["array", "json", "model", "checkpoint"],
)
def test_where_there_is_no_room_everything_stays_as_it_was(tmp_path, write):
    keep(tmp_path, 1)
    before = contents(tmp_path)
    with small_disk(20_000), pytest.raises(OSError, match="No space left|File too large") as error:
        write(tmp_path)
    assert "/x." in str(error.value) and "partial" not in str(error.value) and "\n" not in str(error.value)
    assert contents(tmp_path) == before and not list(tmp_path.glob("*.partial"))


def test_where_there_is_no_room_generation_says_so_in_one_line_and_goes_on_later(buzz_corpus, monkeypatch, capsys):
    monkeypatch.setenv("CORPUS", str(buzz_corpus.folder))
    monkeypatch.setattr(sys, "argv", ["generate_images.py"])
    with small_disk(2_600):  # some of the images are smaller and some larger
        assert program.main() == 1
    said = capsys.readouterr().err.split("\r")[-1]  # after the progress bar
    assert said.count("\n") == 1 and ("No space left" in said or "File too large" in said)
    assert not list(config.MFC_DATASET.rglob("*.partial"))
    assert program.main() == 0
    assert all(open_jpeg(path) for path in config.MFC_DATASET.rglob("*.jpg"))
