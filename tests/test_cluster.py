"""Per-recording work on a Dask cluster: a real scheduler and two worker processes on this machine, over loopback."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from speaker_gender import parallel as parallel_module
from speaker_gender.config import ROOT
from speaker_gender.corpora.audiomnist import METADATA, load_recordings
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.images.generation import generate_images
from speaker_gender.learning.voices import Source, augmented_images
from speaker_gender.parallel import ClusterError, batch_size, n_workers, parallel

OPTIONAL = ("dask", "distributed", "webdataset", "accelerate", "bokeh")  # pandas itself imports pyarrow where it is
EVERYTHING = f"""
import importlib, pkgutil, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, "scripts")
import speaker_gender, classify_wavs
for module in pkgutil.walk_packages(speaker_gender.__path__, "speaker_gender."):
    if module.name not in ("speaker_gender.cluster",):
        importlib.import_module(module.name)
from fastai.vision.all import *
print([name for name in {OPTIONAL} if name in sys.modules])
"""


@contextmanager
def started_cluster(folder: Path):
    """A scheduler and two workers of one thread; yields the address and the processes, the scheduler's first."""
    pytest.importorskip("distributed", reason="Dask is missing: requirements-cluster.txt")
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "OMP_NUM_THREADS": "1"}
    environment.pop("CLUSTER", None)
    contact, workers = folder / "scheduler.json", folder / "workers"
    local = ["--scheduler-file", str(contact), "--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", *local[:4], "--no-dashboard", "--nthreads", "1"]
    commands = [
        [sys.executable, "-m", "distributed.cli.dask_scheduler", *local, "--port", "0"],
        *[[*worker, "--no-nanny", "--local-directory", str(workers)] for _ in range(2)],
    ]
    folder.mkdir(parents=True, exist_ok=True)
    processes = []
    try:
        for command in commands:
            processes.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            deadline = time.monotonic() + 30
            while not contact.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
        address = json.loads(contact.read_text())["address"]
        wait_for_workers(address)
        yield address, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for_workers(address: str) -> None:
    import distributed

    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with started_cluster(tmp_path_factory.mktemp("cluster")) as (address, _):
        yield address


@pytest.fixture
def many(buzz_corpus, tmp_path) -> Corpus:
    """The buzzing corpus with a hundred repetitions: enough for a worker to be killed on the way."""
    folder = tmp_path / "Many" / "data"
    for wav in buzz_corpus.folder.glob("*/*_0.wav"):
        (folder / wav.parent.name).mkdir(parents=True, exist_ok=True)
        for repetition in range(100):
            os.link(wav, folder / wav.parent.name / f"{wav.stem[:-2]}_{repetition}.wav")
    shutil.copy(buzz_corpus.folder / METADATA, folder)
    return Corpus("many", folder)


def jpegs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.jpg")}


def generation(corpus: Corpus, workspace: Path, address: str) -> subprocess.Popen:
    """A program that makes a corpus's images on a cluster."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "scripts/studies/generate_images.py")],
        env=os.environ | {"CORPUS": str(corpus.folder), "WORKSPACE": str(workspace), "CLUSTER": address},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_images(folder: Path, n_images: int, program: subprocess.Popen) -> None:
    while len(list(folder.glob("*.jpg"))) < n_images:
        assert program.poll() is None, program.stderr.read()
        time.sleep(0.01)


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    return {}


@pytest.fixture
def locally(many, made) -> dict[str, bytes]:
    """The images that this process makes of the corpus, once: it is the same for each test."""
    if not made:
        generate_images(many, load_recordings(many))
        made |= jpegs(many.images)
    return made


def without_progress(stderr: str) -> list[str]:
    """The lines of an error stream, without bars that were overwritten."""
    lines = [line.split("\r")[-1].strip() for line in stderr.splitlines()]
    return [line for line in lines if line and "|" not in line]


@pytest.mark.slow
def test_a_cluster_makes_the_same_bytes_and_tells_where_its_dashboard_is(cluster, many, locally, tmp_path):
    program = generation(many, tmp_path / "there", cluster)
    told, error = program.communicate(timeout=100)
    assert program.returncode == 0, error
    assert "1,200 images made, 0 kept" in told
    assert f"Cluster {cluster}: 2 workers, 2 threads; dashboard: http://127.0.0.1:" in error
    assert "JPEGs, view mfc" in error, "progress is shown"
    assert jpegs(tmp_path / "there" / "mfc_dataset" / "many") == locally
    again = generation(many, tmp_path / "there", cluster)
    assert "0 images made, 1,200 kept" in again.communicate(timeout=100)[0]


@pytest.mark.slow
def test_a_worker_that_dies_costs_its_batch_only(many, locally, tmp_path):
    images = tmp_path / "there" / "mfc_dataset" / "many"
    with started_cluster(tmp_path / "cluster") as (address, (_, worker, _)):
        program = generation(many, tmp_path / "there", address)
        wait_for_images(images, 20, program)
        worker.kill()
        told, error = program.communicate(timeout=100)
    assert program.returncode == 0, error
    assert "1,200 images made" in told and jpegs(images) == locally
    lines = [line for journal in images.glob("made*.jsonl") for line in journal.read_text().splitlines() if line]
    times = Counter(json.loads(line)[0] for line in lines)
    assert len(times) == 1_200 and len(lines) - 1_200 <= 150, "a batch of 1,200 / (4 × 2) at most is made again"


@pytest.mark.slow
def test_the_loss_of_the_scheduler_is_one_line_and_the_same_command_goes_on(many, locally, tmp_path):
    images = tmp_path / "there" / "mfc_dataset" / "many"
    with started_cluster(tmp_path / "cluster") as (address, (scheduler, *_)):
        program = generation(many, tmp_path / "there", address)
        wait_for_images(images, 20, program)
        scheduler.kill()
        _, error = program.communicate(timeout=100)
    assert program.returncode == 1
    assert [line for line in without_progress(error) if not line.startswith("Cluster ")] == [
        f"the scheduler {address} was lost; what is finished is kept, and the same command goes on from there"
    ]
    made = len(jpegs(images))
    program = generation(many, tmp_path / "there", "")
    told, _ = program.communicate(timeout=100)
    assert f"{1_200 - made:,} images made, {made:,} kept" in told
    assert jpegs(images) == locally


@pytest.mark.slow
def test_many_files_are_classified_as_they_are_locally(cluster, buzz_corpus):
    command = [sys.executable, str(ROOT / "scripts/classify_wavs.py"), str(buzz_corpus.folder), "--json"]
    told = [
        subprocess.run(command, env=os.environ | {"CLUSTER": address}, capture_output=True, text=True, timeout=100)
        for address in ("", cluster)
    ]
    assert told[0].returncode == told[1].returncode and told[0].stdout.count("\n") == 24
    here, there = ([json.loads(line) for line in one.stdout.splitlines()] for one in told)
    for one, other in zip(here, there):  # a worker's network runs on one thread, which may round differently
        assert one.pop("p_female") == pytest.approx(other.pop("p_female"), abs=1e-6)
        assert one.pop("p_male") == pytest.approx(other.pop("p_male"), abs=1e-6)
    assert here == there


@pytest.mark.slow
def test_augmented_images_are_the_same(cluster, buzz_corpus, monkeypatch):
    wavs = sorted(buzz_corpus.folder.glob("*/*.wav"))[:8]
    recordings = pd.DataFrame({"source": "x", "speaker": "x", "gender": "male", "path": wavs})
    here = augmented_images(recordings, sources={"x": Source(10, 2)}, n_jobs=1)
    monkeypatch.setenv("CLUSTER", cluster)
    there = augmented_images(recordings, sources={"x": Source(10, 2)})
    assert len(here[0]) and all(np.array_equal(one, other) for one, other in zip(here, there))


@pytest.mark.slow
def test_an_error_in_the_work_is_the_works_own(cluster, monkeypatch):
    from joblib import delayed

    monkeypatch.setenv("CLUSTER", cluster)
    with pytest.raises(ValueError, match="invalid literal for int"):
        list(parallel(return_as="generator")(delayed(int)(text) for text in ("1", "2", "x")))
    assert list(parallel(return_as="generator")(delayed(int)(text) for text in ("1", "2"))) == [1, 2]
    assert batch_size(100, local=16) == 16 and batch_size(1_600, local=16) == 200
    assert batch_size(10**6, local=16) == parallel_module.LARGEST_BATCH


@pytest.mark.slow
def test_batches_that_kill_their_workers_are_one_line(many, tmp_path, monkeypatch):
    from joblib import delayed

    with started_cluster(tmp_path / "cluster") as (address, _):
        monkeypatch.setenv("CLUSTER", address)
        import distributed

        with distributed.Client(address, set_as_default=False) as client:
            client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
        with pytest.raises(ClusterError, match="one batch has killed 1 workers") as error:
            list(parallel(return_as="generator")(delayed(os._exit)(1) for _ in range(1)))
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_no_scheduler_is_one_line(buzz_corpus, tmp_path):
    pytest.importorskip("distributed", reason="Dask is missing: requirements-cluster.txt")
    program = generation(buzz_corpus, tmp_path, "tcp://127.0.0.1:9")
    _, error = program.communicate(timeout=100)
    assert program.returncode == 1 and len(without_progress(error)) == 1
    assert error.startswith("CLUSTER=tcp://127.0.0.1:9: no Dask scheduler there")


@pytest.mark.slow
def test_nothing_of_it_is_imported_by_those_who_do_not_ask_for_it():
    told = subprocess.run(
        [sys.executable, "-c", EVERYTHING], cwd=ROOT, capture_output=True, text=True, timeout=100, check=True
    )
    assert told.stdout.strip() == "[]"


def test_without_a_cluster_the_work_is_done_here(monkeypatch):
    monkeypatch.delenv("CLUSTER", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert [n_workers(n_items, each=100) for n_items in (0, 199, 250, 10**6)] == [1, 1, 2, 3]
    assert parallel().n_jobs == 3 and parallel(1).n_jobs == 1 and batch_size(10**6, local=16) == 16
