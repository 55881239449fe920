#!/usr/bin/env python3
"""How fast the pipeline is, compared with a baseline implementation of each step and with what the machine can do.

    python scripts/upkeep/benchmark.py                       all steps, on the resolved corpus
    python scripts/upkeep/benchmark.py generation grad_cams  these only; the figures of the others stay as they are

Baseline ("reference" in the results) and pipeline take turns (A B A B …) in the same run, so that other work on the
machine slows both. The baselines stand here and in baseline_classifier.py. Prints a table of ratios and writes
results/benchmark.json. Needs a corpus with WAVs and images (notebooks 01 and 02), and half an hour on an idle machine.
`notebooks` runs all of them three times and is measured only when it is named.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import io
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import date
from itertools import cycle, islice
from unittest import mock

import librosa
import numpy as np
import pandas as pd
import psutil
import scipy.io.wavfile
import soundfile
import torch
from fastai.callback.hook import Hook
from fastai.torch_core import to_detach
from PIL import Image
from skimage.transform import resize

from speaker_gender import config
from speaker_gender.caching import write_json
from speaker_gender.classifying.classification import classify_recordings
from speaker_gender.classifying.classifier import SHIPPED_MODEL, load_classifier
from speaker_gender.config import GENDERS, RECORDING_SAMPLES, RESULTS, ROOT, SAMPLE_RATE, SEED
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError, with_stamps
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.generation import generate_images, plan_images
from speaker_gender.images.maps import load_maps, map_images
from speaker_gender.judging.grad_cam import STAGES, grad_cam
from speaker_gender.learning.dataset import available_images, decode_images
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import make_network
from speaker_gender.learning.recipes import Recipe
from speaker_gender.learning.training import machine
from upkeep import baseline_classifier

PAIRS = 5
RECORDINGS = 1_000  # that images are made of, and that are classified
HEADERS = 30_000  # WAVs that are listed
MAPS = 128  # images that Grad-CAM explains
# Older processors lack AVX-512. The libraries' code for it is switched off by these.
WITHOUT_AVX512 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
RUN_TIME = re.compile(r"^(\d\d)_\w+\.ipynb: (\d+) s$", re.MULTILINE)  # what run_notebooks.py prints
AUDIOMNIST_IMAGES, BATCHES = 30_000, 20  # of a training whose memory is measured; it is stopped after so many batches
TRAIN_ON_NOISE = Path(__file__).with_name("train_on_noise.py")


def in_turns(reference: Callable[[], object], pipeline: Callable[[], object], *, pairs: int | None = None) -> dict:
    """Time two ways of a step, one after the other, several times.

    `reference`, `pipeline`: called without arguments. `pairs`: how often; PAIRS by default. Returns 'reference' and
    'pipeline' → list of seconds, of equal length.
    """
    seconds: dict[str, list[float]] = {"reference": [], "pipeline": []}
    for _ in range(pairs or PAIRS):
        for name, work in (("reference", reference), ("pipeline", pipeline)):
            started = time.perf_counter()
            work()
            seconds[name].append(round(time.perf_counter() - started, 4))
    return seconds


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# Each of the following measures one step: it returns what was done, how much of it (n, unit), the seconds, and how far
# the two results differ.


def generation(corpus: Corpus, folder: Path) -> dict:
    """Images from WAVs: librosa and scikit-image, one recording at a time, compared with `generate_images`."""
    recordings = _recordings(corpus)
    plan = plan_images(map_images(recordings), with_stamps(corpus, recordings))
    baseline, jobs = folder / "baseline", list(zip(plan["path"], plan["image"], plan["front"]))
    baseline.mkdir()

    def reference():
        for path, image, front in jobs:
            _baseline_image(corpus.folder / path, front).save(baseline / image)

    def pipeline():
        for image in corpus.images.glob("*.jpg"):
            image.unlink()
        generate_images(corpus, recordings)

    with mock.patch.multiple(config, MAPS=folder / "maps", MFC_DATASET=folder / "images"):
        reference(), pipeline()  # once before, so that everything is imported and the workers are there
        seconds = in_turns(reference, pipeline)
        made = [
            (np.asarray(Image.open(place / image), int) for place in (baseline, corpus.images)) for _, image, _ in jobs
        ]
        difference = max(int(np.abs(one - other).max()) for one, other in made)
    encoding, writing = _encoding_and_writing([(baseline / image).read_bytes() for _, image, _ in jobs], folder)
    taken = float(np.median(seconds["pipeline"]))
    return {
        "what": "images, from WAVs to JPEGs",
        "n": len(jobs),
        "unit": "recordings",
        "seconds": seconds,
        "greatest_difference_of_a_pixel": difference,
        "share_of_jpeg_encoding_rate_of_all_cores": encoding / (os.cpu_count() or 1) / taken,
        "share_of_writing_rate": writing / taken,
    }


def _baseline_image(path: Path, front: int) -> Image.Image:
    rate, samples = scipy.io.wavfile.read(path)
    signal = samples.astype(float)
    if rate != SAMPLE_RATE:
        signal = librosa.resample(signal, orig_sr=rate, target_sr=SAMPLE_RATE)
    signal = np.pad(signal, (front, RECORDING_SAMPLES - len(signal) - front))
    signal = np.append(signal[0], signal[1:] - 0.97 * signal[:-1])
    coefficients = librosa.feature.mfcc(
        y=signal, sr=48_000, n_mfcc=12, lifter=22, n_fft=1_200, hop_length=480, center=False, n_mels=40
    )
    enlarged = resize(np.repeat(coefficients[:, :, np.newaxis], 3, axis=2), (224, 224, 3))
    return Image.fromarray((np.clip(enlarged, 0, 255) + 0.5).astype(np.uint8))


def _encoding_and_writing(jpegs: list[bytes], folder: Path) -> tuple[float, float]:
    """Seconds that it takes one core to encode these images alone, and to write their files alone."""
    images = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in jpegs]
    written = folder / "written"
    written.mkdir()

    def encode():
        for image in images:
            image.save(io.BytesIO(), format="JPEG")

    def write():
        for index, jpeg in enumerate(jpegs):
            (written / str(index)).write_bytes(jpeg)

    return seconds_of(encode), seconds_of(write)


def grad_cams(corpus: Corpus, folder: Path) -> dict:
    """Grad-CAM: one image at a time with fastai's hooks, compared with batches."""
    recipe = Recipe()
    table = available_images(corpus, load_maps(corpus)).head(MAPS)
    images = decode_images(corpus, table["image"].tolist(), size=recipe.image_size)
    torch.manual_seed(SEED)
    network, normalisation = make_network(recipe).eval(), {"mean": 0.16, "std": 0.25}
    classes = np.arange(len(images)) % 2
    layer = network.get_submodule(f"0.{STAGES['layer2']}")
    single: list[np.ndarray] = []
    batched: list[np.ndarray] = []

    def reference():
        single.clear()
        for image, of_class in zip(images, classes):
            batch = (torch.from_numpy(image)[None, None].float() / 255 - 0.16) / 0.25
            with Hook(layer, lambda _m, _i, output: to_detach(output, cpu=False)) as forward:
                with Hook(layer, lambda _m, _i, output: output[0].clone(), is_forward=False) as backward:
                    network(batch)[0, of_class].backward()
            weights = backward.stored[0].mean(dim=(1, 2), keepdim=True)
            cam = (weights * forward.stored[0]).sum(0).clamp_min(0)
            single.append((cam / cam.max().clamp_min(1e-12)).numpy())
            network.zero_grad()

    def pipeline():
        batched[:] = grad_cam(network, images, normalisation, classes, stage="layer2")

    reference(), pipeline()
    return {
        "what": "Grad-CAM",
        "n": len(images),
        "unit": "images",
        "seconds": in_turns(reference, pipeline),
        "greatest_difference": float(np.abs(np.subtract(single, batched)).max()),
    }


def one_file(corpus: Corpus, folder: Path) -> dict:
    """One WAV from the command line: baseline_classifier.py compared with classify_wavs.py, imports included."""
    path = str(corpus.folder / _recordings(corpus)["path"].iloc[0])
    p_female = {}

    def reference():
        command = [sys.executable, str(baseline_classifier.__file__), str(SHIPPED_MODEL), path]
        p_female["reference"] = float(_output_of(command))

    def pipeline():
        command = [sys.executable, str(ROOT / "scripts" / "classify_wavs.py"), path, "--json"]
        p_female["pipeline"] = json.loads(_output_of(command))["p_female"]

    reference(), pipeline()
    return {
        "what": "classifying one WAV from the command line, cold",
        "n": 1,
        "unit": "WAV",
        "seconds": in_turns(reference, pipeline),
        "difference_of_p_female": abs(p_female["reference"] - p_female["pipeline"]),
    }


def _output_of(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def many_files(corpus: Corpus, folder: Path) -> dict:
    """Many WAVs in one process, everything loaded: the baseline one by one, compared with `classify_recordings`."""
    paths = [corpus.folder / path for path in islice(cycle(_recordings(corpus)["path"]), RECORDINGS)]
    model, card = baseline_classifier.load_model(str(SHIPPED_MODEL))
    classifier = load_classifier(SHIPPED_MODEL)
    p_female: dict[str, list[float | None]] = {}

    def reference():
        p_female["reference"] = [baseline_classifier.classify(str(path), model, card) for path in paths]

    def pipeline():
        p_female["pipeline"] = [answer.p_female for answer in classify_recordings(classifier, paths)]

    reference(), pipeline()
    seconds = in_turns(reference, pipeline)
    both = np.array([p_female["reference"], p_female["pipeline"]], float)
    return {
        "what": "classifying WAVs of a second, warm",
        "n": len(paths),
        "unit": "WAVs",
        "seconds": seconds,
        "greatest_difference_of_p_female": float(np.nanmax(np.abs(both[0] - both[1]))),  # nan: not answered
    }


def headers(corpus: Corpus, folder: Path) -> dict:
    """As many WAVs as AudioMNIST has: soundfile's header of each, compared with `load_recordings`."""
    wavs = [(corpus.folder / path) for path in _recordings(corpus)["path"]]
    names = [
        f"{speaker:02}/{digit}_{speaker:02}_{take}.wav"
        for speaker in range(60)
        for digit in range(10)
        for take in range(50)
    ]
    genders = {f"{speaker:02}": {"gender": GENDERS[speaker % 2]} for speaker in range(60)}
    large = Corpus("large", folder / "large")
    for name, wav in zip(names[:HEADERS], cycle(wavs)):
        (large.folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.link(wav, large.folder / name) if wav.stat().st_dev == folder.stat().st_dev else (
            large.folder / name
        ).symlink_to(wav)
    (large.folder / "audioMNIST_meta.txt").write_text(json.dumps(genders))

    def reference():
        for path in sorted(large.folder.glob("*/*.wav")):
            soundfile.info(path)

    def pipeline():
        load_recordings(large)

    reference(), pipeline()
    seconds, n = in_turns(reference, pipeline), len(load_recordings(large))
    return {"what": "listing WAVs and reading their headers", "n": n, "unit": "WAVs", "seconds": seconds}


def notebooks(corpus: Corpus, folder: Path) -> dict:
    """All notebooks on the demo corpus: first run, second run from caches, first run without AVX-512."""
    command = [sys.executable, str(ROOT / "scripts" / "run_notebooks.py")]
    runs: list[dict[str, int]] = []

    def run(workspace: str = "with all instructions", **settings: str):
        environment = os.environ | {"CORPUS": "demo", "WORKSPACE": str(folder / workspace)} | settings
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        runs.append({name: int(seconds) for name, seconds in RUN_TIME.findall(done.stdout)})

    seconds = in_turns(run, run, pairs=1)
    run("without AVX-512", **WITHOUT_AVX512)
    return {
        "what": "all notebooks on the demo corpus, first run and second run",
        "corpus": "demo corpus (synthetic voices)",
        "n": len(runs[0]),
        "unit": "notebooks",
        "seconds": seconds,
        "columns": ["first run", "second run", "first run without AVX-512"],
        "seconds_of_each": {name: [times[name] for times in runs] for name in runs[0]},
    }


def memory(corpus: Corpus, folder: Path) -> dict:
    """Peak memory of two steps with all their processes; memory that processes share is counted in each."""
    environment = {"CORPUS": "demo" if corpus.name == "demo" else str(corpus.folder), "WORKSPACE": str(folder)}
    generate = [sys.executable, str(ROOT / "scripts" / "studies" / "generate_images.py")]
    train = [sys.executable, str(TRAIN_ON_NOISE), str(AUDIOMNIST_IMAGES), str(BATCHES)]
    return {
        "what": "memory at its most",
        "bytes": {
            "generation": peak_memory(generate, environment),
            f"training on {AUDIOMNIST_IMAGES:,} images": peak_memory(train, environment),
        },
    }


def peak_memory(command: list[str], environment: dict[str, str]) -> int:
    """Measure the most memory that a program and its children hold together, sampled twenty times a second.

    `environment`: added to this process's. Returns bytes. Raises subprocess.CalledProcessError where the program fails.
    """
    most = 0
    with psutil.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as program:
        while program.poll() is None:
            try:
                family = [program, *program.children(recursive=True)]
                most = max(most, sum(member.memory_info().rss for member in family))
            except psutil.NoSuchProcess:  # one of them has just ended
                pass
            time.sleep(0.05)
    if program.returncode:
        raise subprocess.CalledProcessError(program.returncode, command)
    return most


STEPS = {step.__name__: step for step in (generation, grad_cams, one_file, many_files, headers, memory, notebooks)}


def _recordings(corpus: Corpus) -> pd.DataFrame:
    """Some recordings whose WAVs are available and readable."""
    recordings = load_recordings(corpus)
    usable = recordings[recordings["here"] & recordings["problem"].isna()]
    if not len(usable):
        raise CorpusError(f"{corpus.folder}: no WAVs in it to measure on")
    return usable.head(RECORDINGS).reset_index(drop=True)


def ratio(seconds: dict) -> dict:
    """Compute how many times faster the pipeline is: the median over the pairs, and their range."""
    ratios = np.divide(seconds["reference"], seconds["pipeline"])
    return {"median": float(np.median(ratios)), "range": [float(ratios.min()), float(ratios.max())]}


def summary(found: dict) -> str:
    """One line: the figures of a step."""
    if "bytes" in found:
        return f"{found['what']}: " + ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in found["bytes"].items())
    low, high = found["ratio"]["range"]
    rate = f"{found['n'] / np.median(found['seconds']['pipeline']):,.1f} {found['unit']}/s"
    return f"{found['what']}: {found['ratio']['median']:.1f} × ({low:.1f} to {high:.1f}), {rate}"


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"of {', '.join(STEPS)}")
    options = parser.parse_args()
    unknown = set(options.steps) - set(STEPS)
    if unknown:
        parser.error(f"no such step: {', '.join(sorted(unknown))}")
    path = RESULTS / "benchmark.json"
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    try:
        corpus = resolve_corpus()
        for name in options.steps or [step for step in STEPS if step != "notebooks"]:
            with tempfile.TemporaryDirectory() as folder:
                found = STEPS[name](corpus, Path(folder))
            if "seconds" in found:
                found["ratio"] = ratio(found["seconds"])
            about = {"corpus": corpus.title, "date": date.today().isoformat(), "machine": machine()}
            measured[name] = about | found
            write_json(path, measured)
            print(summary(found))
    except (CorpusError, ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or "").strip().splitlines()
        print(f"{Path(str(error.cmd[1])).name} failed: {lines[-1] if lines else 'no message'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    run_main(main)
