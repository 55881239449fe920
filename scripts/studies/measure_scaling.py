#!/usr/bin/env python3
"""Measure what grows with a corpus, for results/scaling.md: each step writes its figures to results/scaling.json.

    python scripts/studies/measure_scaling.py table       tables of up to 1,000,000 rows: seconds and memory
    python scripts/studies/measure_scaling.py files       as many header-only WAVs: listing and digests
    python scripts/studies/measure_scaling.py clips       a core's rate on the MP3s of Common Voice beside the project
    python scripts/studies/measure_scaling.py scheduler   batches a second that a Dask scheduler hands out
    python scripts/studies/measure_scaling.py reading     images a second from a cold cache: JPEGs and shards
    python scripts/studies/measure_scaling.py processes   training in one process and in two

`reading` and `processes` take the images of the resolved corpus.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import date

import numpy as np
import pandas as pd
import soundfile

from speaker_gender import config
from speaker_gender.caching import write_json
from speaker_gender.config import RESULTS, ROOT
from speaker_gender.corpora.audiomnist import METADATA, load_recordings
from speaker_gender.corpora.common_voice import common_voice_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError, with_stamps
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.generation import open_jpeg, plan_images
from speaker_gender.images.maps import load_maps, map_images, write_maps
from speaker_gender.images.shards import write_shard
from speaker_gender.images.views import VIEWS, encode_jpeg, shrink
from speaker_gender.learning.shards import ShardImages
from speaker_gender.learning.splits import grouped_folds, random_split
from speaker_gender.learning.training import fingerprint
from speaker_gender.parallel import in_parallel
from speaker_gender.sound.reading import read_header, read_signal

PATH = RESULTS / "scaling.json"
SIZES = (125_000, 250_000, 500_000, 1_000_000)  # recordings
A_SPEAKER = 1_000  # recordings, so that a header-only WAV has few enough names
CLIPS = 200  # of each kind that are made into images
READ = 5_000  # images that are read and decoded
BATCHES = 2_000  # that a scheduler hands out
SIZE = (32, 112)  # pixels that images are decoded to
ROUNDS = 3
SEEDS = (42, 43)


@contextmanager
def timed(seconds: dict[str, float], name: str):
    """Add the processor's seconds that the block takes to a dict; other programs' do not count."""
    started = time.process_time()
    yield
    seconds[name] = round(time.process_time() - started, 3)


def table() -> dict:
    """Processor seconds of each step and peak memory, by number of rows."""
    return {str(size): _alone(rows, size) for size in SIZES}


def files() -> dict:
    """The same of listing header-only WAVs in AudioMNIST's layout and digesting their contents."""
    return {str(size): _alone(wavs, size) for size in SIZES}


def _alone(step: Callable[[int, Path], dict], size: int) -> dict:
    """What a step finds in a new process, as memory is measured by its peak, and in a workspace of its own."""
    with tempfile.TemporaryDirectory() as folder:
        config.use(workspace=folder)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            found = pool.submit(step, size, Path(folder)).result()
    del os.environ["WORKSPACE"]
    print(f"{size:,} {step.__name__}: {found}", flush=True)
    return found


def rows(n_recordings: int, folder: Path) -> dict:
    """List, map, plan and divide the recordings of a table that gives what headers and contents would."""
    seconds: dict[str, float] = {}
    corpus = Corpus("simulated", folder, table=folder / "table.csv")
    generator = np.random.default_rng(config.SEED)
    speakers = generator.integers(0, n_recordings // 20, n_recordings)
    pd.DataFrame(
        {
            "path": [f"clips/{speaker:07}/{index:09}.mp3" for index, speaker in enumerate(speakers)],
            "speaker": [f"{speaker:016x}" for speaker in speakers],
            "gender": np.where(speakers % 4 == 0, "female", "male"),
            "samples": generator.integers(14_000, 48_000, n_recordings),
            "sample_rate": 48_000,
            "stamp": [f"{index:016x}" for index in range(n_recordings)],
        }
    ).to_csv(corpus.table, index=False)
    with timed(seconds, "listing"):
        listed = load_recordings(corpus)
    with timed(seconds, "maps"):
        maps = map_images(listed)
        write_maps(corpus, maps)
    with timed(seconds, "paddings and keys"):
        plan = plan_images(maps, with_stamps(corpus, listed))
    with timed(seconds, "reading the maps"):
        images = load_maps(corpus)
    with timed(seconds, "splits"):
        split = random_split(images["image"])
        grouped_folds(images["speaker"], images["gender"])
    with timed(seconds, "key of a training"):
        fingerprint(images.assign(stamp="0123456789abcdef"), split)
    if not len(images) == len(plan) == n_recordings:
        raise CorpusError(f"{corpus.table}: recordings were lost")
    return {"seconds": seconds, "peak_bytes": _peak()}


def wavs(n_recordings: int, folder: Path) -> dict:
    """List header-only WAVs and digest their contents."""
    seconds: dict[str, float] = {}
    corpus = _header_only(folder / "Simulated" / "data", n_recordings)
    with timed(seconds, "listing and headers"):
        listed = load_recordings(corpus)
    with timed(seconds, "digests of contents"):
        listed = with_stamps(corpus, listed)
    if listed["stamp"].isna().any() or len(listed) != n_recordings:
        raise CorpusError(f"{corpus.folder}: recordings were lost")
    return {"seconds": seconds, "peak_bytes": _peak()}


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1_024)


def _header_only(folder: Path, n_recordings: int) -> Corpus:
    """A corpus of WAVs of 16 samples: a file for each speaker, with a name for each recording."""
    metadata = {}
    for number in range(n_recordings // A_SPEAKER):
        speaker = f"{number:04}"
        metadata[speaker] = {"gender": config.GENDERS[number % 2]}
        (folder / speaker).mkdir(parents=True)
        first = folder / speaker / f"0_{speaker}_0.wav"
        soundfile.write(first, np.full(16, number / 100_000), 16_000, subtype="PCM_16")
        for index in range(1, A_SPEAKER):
            os.link(first, folder / speaker / f"{index % 10}_{speaker}_{index // 10}.wav")
    (folder / METADATA).write_text(json.dumps(metadata))
    return Corpus("simulated", folder)


def clips() -> dict:
    """Clips of Common Voice a processor second that become images, or whose headers are read, and bytes of both."""
    paths = common_voice_recordings()["path"].tolist()
    chosen = paths[:: max(len(paths) // CLIPS, 1)][:CLIPS]
    view = VIEWS["mfc"]

    def image_of(path: Path) -> bytes:
        return encode_jpeg(view.image(read_signal(path), front=0), quality=view.jpeg_quality)

    image_of(chosen[0])  # which compiles what it needs
    seconds: dict[str, float] = {}
    with timed(seconds, "images"):
        sizes = [len(image_of(path)) for path in chosen]
    with timed(seconds, "headers"):
        headers = [read_header(path) for path in chosen]
    found = {
        "n": len(chosen),
        "images_a_core_second": len(chosen) / seconds["images"],
        "headers_a_core_second": len(chosen) / seconds["headers"],
        "seconds_a_clip": float(np.mean([samples / rate for samples, rate, _ in headers])),
        "bytes_a_recording": float(np.mean([path.stat().st_size for path in chosen])),
        "bytes_an_image": float(np.mean(sizes)),
    }
    return {"clips of Common Voice": found}


def scheduler() -> dict:
    """Empty batches a second that go through a Dask scheduler to two workers on this machine."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        os.environ["CLUSTER"] = cluster.scheduler_address
        list(in_parallel(abs, range(10), batch=1))
        started = time.perf_counter()
        list(in_parallel(abs, range(BATCHES), batch=1))
        taken = time.perf_counter() - started
        del os.environ["CLUSTER"]
    return {"batches": BATCHES, "a_second": BATCHES / taken}


def reading() -> dict:
    """Images a second that one process reads and decodes from files that are not in memory, files and bytes."""
    corpus = resolve_corpus()
    names = sorted(image for image in os.listdir(corpus.images) if image.endswith(".jpg"))[:READ]
    with tempfile.TemporaryDirectory(dir=config.WORKSPACE) as temporary:
        singles, shards = Path(temporary, "jpegs"), Path(temporary, "shards")
        for folder in (singles, shards):
            folder.mkdir()
        for name in names:
            (singles / name).write_bytes((corpus.images / name).read_bytes())
        with open(shards / "train-000000.tar", "wb") as file:
            about = {"path": "59/5_59_22.wav", "speaker": "59", "gender": "female", "digit": 5}
            write_shard(file, ((name, (singles / name).read_bytes(), about) for name in names))

        def decode_singles() -> int:
            return len([shrink(open_jpeg(singles / name), SIZE) for name in names])

        def decode_shards() -> int:
            stream = ShardImages([str(path) for path in shards.iterdir()], SIZE, shuffle=False)
            return len(list(itertools.islice(stream, len(names))))

        ways: dict[str, tuple[Path, Callable[[], int]]] = {
            "jpegs, read": (singles, lambda: sum(len((singles / name).read_bytes()) for name in names)),
            "jpegs, read and decoded": (singles, decode_singles),
            "shards, read": (shards, lambda: sum(len(path.read_bytes()) for path in shards.iterdir())),
            "shards, read and decoded": (shards, decode_shards),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, (folder, work) in ways.items():
                _forget(folder)
                started = time.perf_counter()
                work()
                rates[name].append(len(names) / (time.perf_counter() - started))
        stored = {
            kind: {
                "files": len(list(folder.iterdir())),
                "bytes": sum(path.stat().st_size for path in folder.iterdir()),
                "bytes_on_disk": sum(path.stat().st_blocks * 512 for path in folder.iterdir()),
            }
            for kind, folder in (("jpegs", singles), ("shards", shards))
        }
    return {"images": len(names), "images_a_second": rates, "stored": stored}


def _forget(folder: Path) -> None:
    """Have the system drop the files' content from its cache (what it knows of their names stays)."""
    for path in folder.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def processes() -> dict:
    """Validation error and training images a second with one process and with two, of the same batches together."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    program = [str(ROOT / "scripts/studies/train_distributed.py"), "--architecture", "small", "--batch-size", "64"]
    found: dict[str, list[dict]] = {"1": [], "2": []}
    for seed, (number, launched) in itertools.product(SEEDS, (("1", []), ("2", launcher))):
        name = f"distributed_{number}_seed{seed}"
        command = [sys.executable, *launched, *program, "--epochs", "4", "--seed", str(seed), "--name", name]
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode:
            raise OSError(f"train_distributed.py: {ended.stderr.strip().splitlines()[-1]}")
        card = json.loads((resolve_corpus().results / "models" / f"{name}.json").read_text(encoding="utf-8"))
        rate = card["split"]["train"] * len(card["history"]) / card["seconds"]
        run = {"seed": seed, "error_rate": card["history"][-1]["error_rate"], "images_a_second": rate}
        found[number].append(run | {"split": card["split"]})
    return found


STEPS = {step.__name__: step for step in (table, files, clips, scheduler, reading, processes)}


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="+", choices=list(STEPS), metavar="STEP", help=f"of {', '.join(STEPS)}")
    for name in parser.parse_args().steps:
        try:
            found = STEPS[name]()
        except (CorpusError, OSError) as error:
            print(error, file=sys.stderr)
            return 1
        measured = json.loads(PATH.read_text(encoding="utf-8")) if PATH.exists() else {}
        measured[name] = {"date": date.today().isoformat(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
        measured[name]["found"] = found
        write_json(PATH, measured)
        print(f"{name}: {json.dumps(found)}")
    return 0


if __name__ == "__main__":
    run_main(main)
