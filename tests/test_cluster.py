"""Per-recording work on a Dask cluster: a real scheduler and two worker processes on this machine, over loopback."""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest

from speaker_gender import parallel
from speaker_gender.config import ROOT
from speaker_gender.corpora.audiomnist import METADATA, load_recordings
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.images.generation import generate_images
from speaker_gender.learning.voices import Source, augmented_images
from speaker_gender.parallel import ClusterError, in_parallel, n_workers
from studies import generate_images as generation_program

OPTIONAL = ("dask", "distributed", "webdataset", "accelerate", "bokeh")  # pandas itself imports pyarrow where it is
EVERYTHING = f"""
import importlib, pkgutil, sys, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, "scripts")
import speaker_gender, classify_wavs
for module in pkgutil.walk_packages(speaker_gender.__path__, "speaker_gender."):
    importlib.import_module(module.name)
from fastai.vision.all import *
print([name for name in {OPTIONAL} if name in sys.modules])
"""


def process_number(seconds: float) -> int:
    """The worker that does this work, after some time."""
    time.sleep(seconds)
    return os.getpid()


@contextmanager
def started(program: str, folder: Path, *options: str):
    """A scheduler or a worker as a process, killed at the end."""
    pytest.importorskip("distributed", reason="Dask is missing: requirements-cluster.txt")
    paths = os.pathsep.join([str(ROOT / "scripts"), str(ROOT / "tests")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CLUSTER": ""}
    command = [sys.executable, "-m", f"distributed.cli.dask_{program}", "--scheduler-file", str(folder / "scheduler")]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def started_worker(folder: Path):
    options = ["--no-dashboard", "--nthreads", "1", "--no-nanny", "--local-directory", str(folder / "workers")]
    return started("worker", folder, *options)


@contextmanager
def started_cluster(folder: Path, *, n_workers: int = 2):
    """A scheduler and workers of one thread; yields the address and the processes, the scheduler's first."""
    distributed = pytest.importorskip("distributed", reason="Dask is missing: requirements-cluster.txt")
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scheduler = started("scheduler", folder, "--port", "0", "--dashboard-address", "127.0.0.1:0")
        processes = [stack.enter_context(scheduler)]
        while not (folder / "scheduler").exists():
            assert processes[0].poll() is None
            time.sleep(0.05)
        processes += [stack.enter_context(started_worker(folder)) for _ in range(n_workers)]
        address = json.loads((folder / "scheduler").read_text())["address"]
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(n_workers, timeout=300)
        yield address, processes


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
    told, error = program.communicate(timeout=300)
    assert program.returncode == 0, error
    assert "1,200 images made, 0 kept" in told
    assert f"Cluster {cluster}: 2 workers, 2 threads; dashboard: http://127.0.0.1:" in error
    assert "JPEGs, view mfc" in error, "progress is shown"
    assert jpegs(tmp_path / "there" / "mfc_dataset" / "many") == locally
    again = generation(many, tmp_path / "there", cluster)
    assert "0 images made, 1,200 kept" in again.communicate(timeout=300)[0]


@pytest.mark.release
@pytest.mark.slow
def test_a_worker_that_dies_costs_its_batch_only(many, locally, tmp_path):
    images = tmp_path / "there" / "mfc_dataset" / "many"
    with started_cluster(tmp_path / "cluster") as (address, (_, worker, _)):
        program = generation(many, tmp_path / "there", address)
        wait_for_images(images, 20, program)
        worker.kill()
        told, error = program.communicate(timeout=300)
    assert program.returncode == 0, error
    assert "1,200 images made" in told and jpegs(images) == locally


@pytest.mark.slow
def test_the_loss_of_the_scheduler_is_one_line_and_the_same_command_goes_on(many, locally, tmp_path):
    images = tmp_path / "there" / "mfc_dataset" / "many"
    with started_cluster(tmp_path / "cluster") as (address, (scheduler, *_)):
        program = generation(many, tmp_path / "there", address)
        wait_for_images(images, 200, program)
        scheduler.kill()
        _, error = program.communicate(timeout=300)
    assert program.returncode == 1
    assert [line for line in without_progress(error) if not line.startswith("Cluster ")] == [
        f"the scheduler {address} was lost; what is finished is kept, and the same command goes on from there"
    ]
    program = generation(many, tmp_path / "there", "")
    told, _ = program.communicate(timeout=300)
    assert "images made" in told and " 0 kept" not in told
    assert jpegs(images) == locally


@pytest.mark.slow
@pytest.mark.parametrize("call", ["Future.result", "Future.exception", "Client.submit", "Client.nthreads"])
@pytest.mark.parametrize("error", ["CommClosedError", "FutureCancelledError", "ClosedClientError"])
def test_the_loss_is_one_line_at_whichever_call_it_shows(cluster, monkeypatch, call, error):
    monkeypatch.setenv("CLUSTER", cluster)
    list(in_parallel(int, ["1"], batch=1))  # connected
    from distributed import client, comm

    kind = getattr(client, error, None) or getattr(comm, error)

    def lost(*_, **__):
        raise kind("key", "reason") if error == "FutureCancelledError" else kind("in <TCP (closed)>: reset by peer")

    name, method = call.split(".")
    monkeypatch.setattr(getattr(client, name), method, lost)
    with pytest.raises(ClusterError, match=f"^the scheduler {cluster} was lost; what is finished is kept"):
        list(in_parallel(int, ["1", "x" if method == "exception" else "2"], batch=1))


@pytest.mark.slow
def test_many_files_are_classified_as_they_are_locally(cluster, buzz_corpus):
    command = [sys.executable, str(ROOT / "scripts/classify_wavs.py"), str(buzz_corpus.folder), "--json"]
    told = [
        subprocess.run(command, env=os.environ | {"CLUSTER": address}, capture_output=True, text=True, timeout=300)
        for address in ("", cluster)
    ]
    assert told[0].returncode == told[1].returncode and told[0].stdout.count("\n") == 24
    here, there = ([json.loads(line) for line in one.stdout.splitlines()] for one in told)
    for one, other in zip(here, there):  # a worker's network runs on one thread, which may round differently
        assert one.pop("p_female") == pytest.approx(other.pop("p_female"), abs=1e-6)
        assert one.pop("p_male") == pytest.approx(other.pop("p_male"), abs=1e-6)
    assert here == there


@pytest.mark.release
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
    monkeypatch.setenv("CLUSTER", cluster)
    with pytest.raises(ValueError, match="invalid literal for int"):
        list(in_parallel(int, ["1", "2", "x"], batch=1))
    assert list(in_parallel(int, [str(number) for number in range(1_000)], batch=1)) == list(range(1_000))


@pytest.mark.release
@pytest.mark.slow
def test_one_worker_of_one_thread_does_all_the_work_and_those_that_come_later_help(tmp_path, monkeypatch):
    with started_cluster(tmp_path / "cluster", n_workers=1) as (address, processes):
        monkeypatch.setenv("CLUSTER", address)
        assert set(in_parallel(process_number, [0] * 20, batch=1)) == {processes[1].pid}
        work = in_parallel(process_number, [0.05] * 200, batch=1)
        next(work)
        with started_worker(tmp_path / "cluster") as another:
            assert set(work) == {processes[1].pid, another.pid}


@pytest.mark.slow
def test_batches_that_kill_their_workers_are_one_line(tmp_path, monkeypatch):
    with started_cluster(tmp_path / "cluster") as (address, _):
        monkeypatch.setenv("CLUSTER", address)
        import distributed

        with distributed.Client(address, set_as_default=False) as client:
            client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))
        with pytest.raises(ClusterError, match="one batch has killed 1 workers") as error:
            list(in_parallel(os._exit, [1], batch=1))
    assert "\n" not in str(error.value)


def test_no_scheduler_is_one_line(buzz_corpus, monkeypatch, capsys):
    pytest.importorskip("distributed", reason="Dask is missing: requirements-cluster.txt")
    monkeypatch.setenv("CORPUS", str(buzz_corpus.folder))
    monkeypatch.setenv("CLUSTER", "tcp://127.0.0.1:9")
    monkeypatch.setattr(parallel, "WAIT_FOR_SCHEDULER", 0.1)
    monkeypatch.setattr(sys, "argv", ["generate_images.py"])
    assert generation_program.main() == 1
    error = capsys.readouterr().err
    assert len(without_progress(error)) == 1 and error.startswith("CLUSTER=tcp://127.0.0.1:9: no Dask scheduler there")


@pytest.mark.release
@pytest.mark.slow
def test_nothing_of_it_is_imported_by_those_who_do_not_ask_for_it():
    told = subprocess.run(
        [sys.executable, "-c", EVERYTHING], cwd=ROOT, capture_output=True, text=True, timeout=300, check=True
    )
    assert told.stdout.strip() == "[]"


def test_without_a_cluster_the_work_is_done_here(monkeypatch):
    monkeypatch.delenv("CLUSTER", raising=False)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 3)
    assert [n_workers(n_items, worth=100) for n_items in (0, 199, 250, 10**6)] == [1, 1, 2, 3]
    assert list(in_parallel(int, [str(number) for number in range(100)], batch=7, n_jobs=2)) == list(range(100))
    with pytest.raises(ValueError, match="invalid literal"):
        list(in_parallel(int, ["1", "x"] * 50, batch=7, n_jobs=2))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen here")
def test_only_the_processors_that_it_may_use_are_counted():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    code += "from speaker_gender.parallel import n_workers; print(n_workers(10**6, worth=1))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "1"
