"""Whenever a run is killed, the next one ends with the bytes of an undisturbed one, and nothing torn is ever used.

Each run is a process of its own, forked from one that has imported everything, and killed with SIGKILL.
"""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from speaker_gender import config
from speaker_gender.caching import ABANDONED, cached_array, cached_json
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.images import generation
from speaker_gender.images.generation import generate_images, open_jpeg
from speaker_gender.learning import checkpoints
from speaker_gender.learning.model_files import write_model
from studies import generate_images as program

pytestmark = pytest.mark.slow  # processes are started, killed and started again

ROOT = Path(__file__).resolve().parents[1]
KILLS = {"generation": 12, "caches": 20, "training": 5}


@pytest.fixture(scope="module")
def context():
    """Where runs are forked from."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        pytest.skip("processes cannot be forked on Windows")
    paths = os.pathsep.join([str(ROOT / "scripts"), str(ROOT / "tests")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)
        patch.setenv("OMP_NUM_THREADS", "1")
        server = multiprocessing.get_context("forkserver")
        server.set_forkserver_preload(["test_crashes"])
        yield server


class Run:
    """A function in a process of its own; `seconds` is how long it took, from when it began."""

    def __init__(self, context, function, *arguments):
        self.began, self._seconds = context.Event(), context.Value("d", 0)
        folders = {name: getattr(config, name) for name in ("MAPS", "MFC_DATASET", "RESULTS", "PNGS")}
        self.process = context.Process(target=in_child, args=(folders, self.began, self._seconds, function, *arguments))
        self.process.start()
        assert self.began.wait(120)

    def kill_after(self, seconds: float) -> bool:
        """Whether there was still something to kill."""
        self.process.join(seconds)
        self.process.kill()
        self.process.join()
        return self.process.exitcode != 0

    def finish(self) -> float:
        self.process.join(120)
        assert self.process.exitcode == 0
        return self._seconds.value


def in_child(folders, began, seconds, function, *arguments) -> None:
    for name, folder in folders.items():
        setattr(config, name, folder)
    began.set()
    started = time.perf_counter()
    function(*arguments)
    seconds.value = time.perf_counter() - started


def contents(*folders: Path) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".partial" and path.name != generation.JOURNAL
    }


# --- generation


def generate(corpus) -> None:
    generate_images(corpus, load_recordings(corpus), n_jobs=1)


def end_of_generation(corpus, context) -> tuple[dict[Path, bytes], float]:
    """What an undisturbed run ends with, and how long it takes; nothing of it is left."""
    seconds = Run(context, generate, corpus).finish()
    folders = (corpus.images, corpus.maps)
    end = contents(*folders)
    assert len(end) == 24 + 2, "images and maps"
    for folder in folders:
        shutil.rmtree(folder)
    return end, seconds


def test_generation_that_is_killed_while_recordings_change_ends_like_an_undisturbed_one(buzz_corpus, context):
    """Before each run all WAVs are reversed, so that every image that is there is out of date."""
    forwards = {path: path.read_bytes() for path in sorted(buzz_corpus.folder.glob("*/*.wav"))}
    states = [forwards, {path: content[:44] + content[44:][::-1] for path, content in forwards.items()}]

    def switch_to(state: int) -> None:
        for path, content in states[state].items():
            path.write_bytes(content)

    ends = []
    for state in range(2):
        switch_to(state)
        end, seconds = end_of_generation(buzz_corpus, context)
        ends.append(end)
    assert all(ends[0][path] != ends[1][path] for path in ends[0] if path.suffix == ".jpg")
    generator, killed = np.random.default_rng(0), 0
    for number in range(KILLS["generation"]):
        switch_to(number % 2)
        killed += Run(context, generate, buzz_corpus).kill_after(generator.uniform(0, seconds))
        for image in buzz_corpus.images.glob("*.jpg"):
            assert image.read_bytes() in (ends[0][image], ends[1][image])
    assert killed > 2
    switch_to(1)
    Run(context, generate, buzz_corpus).finish()
    assert contents(buzz_corpus.images, buzz_corpus.maps, buzz_corpus.results) == ends[1]


def test_what_a_killed_run_left_is_never_used_and_is_removed_a_day_later(buzz_corpus, context):
    buzz_corpus.images.mkdir(parents=True)
    left = [buzz_corpus.images / f"male_0.jpg.{number}.partial" for number in range(2)]
    for path in left:
        path.write_bytes(b"half an ima")
    os.utime(left[1], (time.time() - ABANDONED - 1,) * 2)
    Run(context, generate, buzz_corpus).finish()
    assert left[0].exists() and not left[1].exists()
    open_jpeg(buzz_corpus.images / "male_0.jpg")


def test_two_generations_at_once_do_not_harm_each_other(buzz_corpus, context):
    end, _ = end_of_generation(buzz_corpus, context)
    for run in [Run(context, generate, buzz_corpus) for _ in range(2)]:
        run.finish()
    assert contents(buzz_corpus.images, buzz_corpus.maps, buzz_corpus.results) == end
    before = (buzz_corpus.images / generation.JOURNAL).read_bytes()
    generate(buzz_corpus)
    assert (buzz_corpus.images / generation.JOURNAL).read_bytes() == before, "nothing was made again"


# --- caches


def keep_arrays(folder: Path, first: int, n_arrays: int) -> None:
    """Writes arrays and dicts, each of one number that is its key, as fast as it can."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        for number in range(first, first + n_arrays):
            cached_array(folder / "x.npy", str(number), lambda number=number: np.full(50_000, number))
            cached_json(folder / "x.json", {"key": number}, lambda number=number: {"value": [number] * 1_000})


def are_right(folder: Path) -> bool:
    """Whether whatever is cached is what its key says."""
    right = True
    if (folder / "x.key").exists():
        number = int((folder / "x.key").read_text().split()[0])
        right &= (cached_array(folder / "x.npy", str(number), lambda: np.full(50_000, number)) == number).all()
    if (folder / "x.json").exists():
        number = json.loads((folder / "x.json").read_text())["key"]["key"]
        found = cached_json(folder / "x.json", {"key": number}, lambda: {"value": [number] * 1_000})
        right &= found["value"] == [number] * 1_000
    return right


def test_a_cache_whose_writer_is_killed_holds_what_its_key_says(tmp_path, context):
    generator, killed = np.random.default_rng(0), 0
    for number in range(KILLS["caches"]):
        killed += Run(context, keep_arrays, tmp_path, 1_000 * number, 500).kill_after(generator.uniform(0, 0.05))
        assert are_right(tmp_path)
    assert killed > KILLS["caches"] / 2


def test_two_writers_of_one_cache_leave_what_its_key_says(tmp_path, context):
    runs = [Run(context, keep_arrays, tmp_path, 1_000 * number, 50) for number in range(2)]
    while any(run.process.is_alive() for run in runs):
        assert are_right(tmp_path)
    for run in runs:
        run.finish()
    assert are_right(tmp_path) and not list(tmp_path.glob("*.partial"))


# --- training


def train(corpus, name: str) -> None:
    """A tiny network on random images, four epochs."""
    import torch

    from speaker_gender.learning.recipes import Recipe
    from speaker_gender.learning.training import train_model

    torch.set_num_threads(1)
    images = np.random.default_rng(0).integers(0, 256, (48, 32, 32), dtype=np.uint8)
    names, genders = [f"{index}.jpg" for index in range(48)], ["female", "male"] * 24
    speakers = [f"{index % 8:02}" for index in range(48)]
    table = pd.DataFrame({"image": names, "path": names, "gender": genders, "speaker": speakers, "stamp": "1-1"})
    split = pd.Series(["valid" if index % 4 == 0 else "train" for index in range(48)])
    recipe = Recipe(architecture="small", image_size=(32, 32), epochs=4, batch_size=8, max_shift=0.1)
    train_model(corpus, images, table, split, recipe, name=name)


def weights(corpus, name: str) -> bytes:
    return (corpus.results / "models" / f"{name}.safetensors").read_bytes()


def test_training_that_is_killed_ends_with_the_weights_of_an_undisturbed_one(buzz_corpus, context):
    seconds = Run(context, train, buzz_corpus, "undisturbed").finish()
    generator, killed = np.random.default_rng(0), 0
    for _ in range(KILLS["training"]):
        killed += Run(context, train, buzz_corpus, "killed").kill_after(generator.uniform(0.2, 0.8) * seconds)
    assert killed
    Run(context, train, buzz_corpus, "killed").finish()
    assert weights(buzz_corpus, "killed") == weights(buzz_corpus, "undisturbed")
    for run in [Run(context, train, buzz_corpus, "twice") for _ in range(2)]:
        run.finish()
    assert weights(buzz_corpus, "twice") == weights(buzz_corpus, "undisturbed")


# --- a full disk


@pytest.fixture(params=["tmpfs", "largest file"])
def full_disk(request, tmp_path):
    """A folder with little room, and what a run there has to do first."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if request.param == "largest file":
        yield folder, limit_files
        return
    mounting = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("a file system can be mounted only by root on Linux")
    yield folder, fill_up
    subprocess.run(["umount", str(folder)], check=True)


def limit_files(folder: Path) -> None:
    import resource  # here, because Windows has none

    resource.setrlimit(resource.RLIMIT_FSIZE, (2_600, 2_600))  # some of the images are smaller and some larger


def fill_up(folder: Path) -> None:
    try:
        (folder / "large").write_bytes(bytes(100_000))
    except OSError:
        os.truncate(folder / "large", (folder / "large").stat().st_size - 12_000)


def generate_where_there_is_no_room(corpus, folder, make_full) -> None:
    make_full(folder)
    os.environ["CORPUS"], sys.argv = str(corpus.folder), ["generate_images.py"]
    with (folder.parent / "stderr").open("w") as file, redirect_stderr(file):
        assert program.main() == 1


def write_where_there_is_no_room(folder, make_full) -> None:
    make_full(folder)
    for write in (
        lambda: cached_array(folder / "x.npy", "new", lambda: np.ones(10_000)),
        lambda: cached_json(folder / "x.json", {"key": "new"}, lambda: {"value": ["new"] * 10_000}),
    ):
        with pytest.raises(OSError, match="No space left|File too large") as error:
            write()
        assert "/x." in str(error.value) and "partial" not in str(error.value) and "\n" not in str(error.value)


def save_where_there_is_no_room(folder, make_full) -> None:
    make_full(folder)
    for save in (
        lambda: write_model(folder / "x.safetensors", bytes(40_000), {"name": "new"}, onnx=b"new"),
        lambda: checkpoints.save_checkpoint(learner(50_000), folder / "x.checkpoint", "new", []),
    ):
        with pytest.raises(OSError, match="No space left|File too large") as error:
            save()
        assert "/x." in str(error.value) and "partial" not in str(error.value) and "\n" not in str(error.value)


def learner(n_weights: int) -> SimpleNamespace:
    """What a checkpoint is made of, with so many weights."""
    return SimpleNamespace(model=torch.nn.Linear(n_weights, 1), opt=SimpleNamespace(state_dict=lambda: {"state": []}))


def test_where_there_is_no_room_a_model_and_a_checkpoint_stay_as_they_were(tmp_path, context, full_disk):
    folder, make_full = full_disk
    write_model(folder / "x.safetensors", b"old", {"name": "old"}, onnx=b"old too")
    checkpoints.save_checkpoint(learner(10), folder / "x.checkpoint", "old", [])
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    Run(context, save_where_there_is_no_room, folder, make_full).finish()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "large"} == before


def test_where_there_is_no_room_generation_says_so_in_one_line_and_goes_on_later(
    buzz_corpus, context, full_disk, monkeypatch
):
    end, _ = end_of_generation(buzz_corpus, context)
    folder, make_full = full_disk
    monkeypatch.setattr(config, "MFC_DATASET", folder)
    Run(context, generate_where_there_is_no_room, buzz_corpus, folder, make_full).finish()
    said = (folder.parent / "stderr").read_bytes().decode().split("\r")[-1]  # after the progress bar
    assert said.count("\n") == 1 and ("No space left" in said or "File too large" in said)
    whole = {path.name: content for path, content in end.items()}
    assert all(path.read_bytes() == whole[path.name] for path in buzz_corpus.images.glob("*.jpg"))
    assert not list(buzz_corpus.images.glob("*.partial"))
    (folder / "large").unlink(missing_ok=True)
    if make_full is limit_files:
        Run(context, generate, buzz_corpus).finish()
        assert {path.name: path.read_bytes() for path in buzz_corpus.images.glob("*.jpg")} == {
            name: content for name, content in whole.items() if name.endswith(".jpg")
        }


def test_where_there_is_no_room_a_cache_stays_as_it_was(tmp_path, context, full_disk, capsys):
    folder, make_full = full_disk
    cached_array(folder / "x.npy", "old", lambda: np.zeros(100))
    cached_json(folder / "x.json", {"key": "old"}, lambda: {"value": "old"})
    Run(context, write_where_there_is_no_room, folder, make_full).finish()
    capsys.readouterr()
    assert np.array_equal(cached_array(folder / "x.npy", "old", lambda: None), np.zeros(100))
    assert cached_json(folder / "x.json", {"key": "old"}, dict) == {"value": "old"}
    assert capsys.readouterr().out.count("From the cache") == 2 and not list(folder.glob("*.partial"))
