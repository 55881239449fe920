#!/usr/bin/env python3
"""How fast the pipeline is, against the way most people would write each step, and against what the machine can do.

    python scripts/upkeep/benchmark.py                       all steps, on the corpus that is there
    python scripts/upkeep/benchmark.py generation grad_cams  these only; the figures of the others stay as they are

Reference and pipeline take turns (A B A B …) in the same run, so that whatever else the machine does slows both.
Prints a table of ratios and writes results/benchmark.json. The references are written here, as plainly as they come.
Needs a corpus with WAVs and images (notebooks 01 and 02), and half an hour on a machine that is left alone; `notebooks`
runs all of them twice and is measured only when it is named.
"""

import argparse
import importlib.util
import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from itertools import cycle, islice
from pathlib import Path
from unittest import mock

import librosa
import numpy as np
import psutil
import scipy.io.wavfile
import soundfile
import torch
from PIL import Image
from skimage.transform import resize

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speaker_gender import config
from speaker_gender.answering.classification import classify_recordings
from speaker_gender.answering.classifier import SHIPPED_MODEL, load_classifier
from speaker_gender.caching import write_json
from speaker_gender.config import GENDERS, RECORDING_SAMPLES, RESULTS, ROOT, SAMPLE_RATE, SEED
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError, with_stamps
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.generation import generate_images, plan_images
from speaker_gender.images.maps import load_maps, map_images
from speaker_gender.judging.grad_cam import STAGES, grad_cam
from speaker_gender.learning.dataset import available_images, decode_images, make_dls
from speaker_gender.learning.learners import make_learner
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.networks import make_network
from speaker_gender.learning.recipes import Recipe
from speaker_gender.learning.splits import random_split
from speaker_gender.learning.training import versions

PAIRS = 5
RECORDINGS = 1_000  # that images are made of, and that are classified
HEADERS = 30_000  # WAVs that are listed
TRAIN, VALID, EPOCHS = 800, 200, 4  # images and epochs of the training that is timed
MAPS = 128  # images that Grad-CAM explains
RUN_TIME = re.compile(r"^(\d\d)_\w+\.ipynb: (\d+) s$", re.MULTILINE)  # what run_notebooks.py prints
AUDIOMNIST_IMAGES, BATCHES = 30_000, 20  # of a training whose memory is measured; it is stopped after so many batches


def in_turns(reference: Callable[[], object], pipeline: Callable[[], object], *, pairs: int | None = None) -> dict:
    """Seconds that each took, one after the other, so many times (PAIRS by default): two lists of equal length."""
    seconds = {"reference": [], "pipeline": []}
    for _ in range(pairs or PAIRS):
        for name, work in (("reference", reference), ("pipeline", pipeline)):
            started = time.perf_counter()
            work()
            seconds[name].append(round(time.perf_counter() - started, 4))
    return seconds


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


# Each of the following measures one step: it returns what was done, how much of it (n, unit), the seconds, and
# whatever shows that both ways came to the same.


def generation(corpus: Corpus, folder: Path) -> dict:
    recordings = _recordings(corpus)
    plan = plan_images(map_images(recordings), with_stamps(corpus, recordings))
    plain, jobs = folder / "plain", list(zip(plan["path"], plan["image"], plan["front"]))
    plain.mkdir()

    def reference():
        for path, image, front in jobs:
            rate, samples = scipy.io.wavfile.read(corpus.folder / path)
            signal = samples.astype(float)
            if rate != SAMPLE_RATE:
                signal = librosa.resample(signal, orig_sr=rate, target_sr=SAMPLE_RATE)
            signal = np.pad(signal, (front, RECORDING_SAMPLES - len(signal) - front))
            signal = np.append(signal[0], signal[1:] - 0.97 * signal[:-1])
            coefficients = librosa.feature.mfcc(
                y=signal, sr=48_000, n_mfcc=12, lifter=22, n_fft=1_200, hop_length=480, center=False, n_mels=40
            )
            enlarged = resize(np.repeat(coefficients[:, :, np.newaxis], 3, axis=2), (224, 224, 3))
            Image.fromarray((np.clip(enlarged, 0, 255) + 0.5).astype(np.uint8)).save(plain / image)

    def pipeline():
        for image in corpus.images.glob("*.jpg"):
            image.unlink()
        generate_images(corpus, recordings)

    with mock.patch.multiple(config, MAPS=folder / "maps", MFC_DATASET=folder / "images"):
        reference(), pipeline()  # once before, so that everything is imported and the workers are there
        seconds = in_turns(reference, pipeline)
        made = [
            (np.asarray(Image.open(place / image), int) for place in (plain, corpus.images)) for _, image, _ in jobs
        ]
        difference = max(int(np.abs(one - other).max()) for one, other in made)
    jpegs = [(plain / image).read_bytes() for _, image, _ in jobs]
    images = [Image.open(io.BytesIO(jpeg)).convert("RGB") for jpeg in jpegs]
    encoding = seconds_of(lambda: [image.save(io.BytesIO(), format="JPEG") for image in images])
    (folder / "written").mkdir()
    writing = seconds_of(
        lambda: [(folder / "written" / str(index)).write_bytes(jpeg) for index, jpeg in enumerate(jpegs)]
    )
    taken = float(np.median(seconds["pipeline"]))
    return {
        "what": "images, from WAVs to JPEGs",
        "n": len(jobs),
        "unit": "recordings",
        "seconds": seconds,
        "greatest_difference_of_a_pixel": difference,
        "share_of_jpeg_encoding_rate_of_all_cores": encoding / os.cpu_count() / taken,
        "share_of_writing_rate": writing / taken,
    }


def training(corpus: Corpus, folder: Path) -> dict:
    from fastai.vision.all import ImageDataLoaders, Resize, error_rate, resnet34, vision_learner
    from torch.utils.flop_counter import FlopCounterMode

    table = available_images(corpus, load_maps(corpus))
    needed = (TRAIN + VALID) // 2
    if table["gender"].value_counts().min() < needed:
        raise CorpusError(f"{corpus.images}: to measure training takes {needed} images of each gender")
    table = table.groupby("gender").sample(n=needed, random_state=SEED).reset_index(drop=True)
    split = random_split(table["image"])
    errors = {"reference": [], "pipeline": []}

    def reference():
        torch.manual_seed(SEED)
        dls = ImageDataLoaders.from_df(
            table.assign(is_valid=split == "valid"),
            path=corpus.images,
            fn_col="image",
            label_col="gender",
            valid_col="is_valid",
            item_tfms=Resize(224),
            num_workers=0,
        )
        learn = vision_learner(dls, resnet34, pretrained=False, metrics=error_rate)
        fit(learn, 3e-3, "reference")

    def pipeline():
        torch.manual_seed(SEED)
        recipe = Recipe()
        images = decode_images(corpus, table["image"].tolist(), size=recipe.image_size)
        dls = make_dls(images, table["gender"], split, batch_size=recipe.batch_size, max_shift=recipe.max_shift)
        fit(make_learner(dls, recipe), recipe.learning_rate, "pipeline")

    def fit(learn, learning_rate: float, name: str):
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(EPOCHS, learning_rate)
        predicted, true = learn.get_preds()
        errors[name].append(float(error_rate(predicted, true)))

    seconds = in_turns(reference, pipeline, pairs=1)
    with FlopCounterMode(display=False) as counter:
        make_network(Recipe())(torch.zeros(2, 1, *Recipe().image_size)).sum().backward()
    operations = counter.get_total_flops() / 2 * EPOCHS * (TRAIN + VALID / 3)  # validation goes forward only
    matrix = torch.rand(2_048, 2_048)
    multiplying = min(seconds_of(lambda: matrix @ matrix) for _ in range(10))
    return {
        "what": "ResNet-34, whole epochs of training with validation",
        "n": EPOCHS * (TRAIN + VALID),
        "unit": "images",
        "seconds": seconds,
        "validation_error": errors,
        "share_of_matrix_multiplication_rate": operations / seconds["pipeline"][0] / (2 * 2_048**3 / multiplying),
    }


def grad_cams(corpus: Corpus, folder: Path) -> dict:
    from fastai.callback.hook import Hook
    from fastai.torch_core import to_detach

    recipe = Recipe()
    table = available_images(corpus, load_maps(corpus)).head(MAPS)
    images = decode_images(corpus, table["image"].tolist(), size=recipe.image_size)
    torch.manual_seed(SEED)
    network, normalisation = make_network(recipe).eval(), {"mean": 0.16, "std": 0.25}
    classes = np.arange(len(images)) % 2
    plain, batched = [], []

    def reference():
        plain.clear()
        layer = network[0][STAGES["layer2"]]
        for image, of_class in zip(images, classes):
            batch = (torch.from_numpy(image)[None, None].float() / 255 - 0.16) / 0.25
            with Hook(layer, lambda _m, _i, output: to_detach(output, cpu=False)) as forward:
                with Hook(layer, lambda _m, _i, output: output[0].clone(), is_forward=False) as backward:
                    network(batch)[0, of_class].backward()
            weights = backward.stored[0].mean(dim=(1, 2), keepdim=True)
            cam = (weights * forward.stored[0]).sum(0).clamp_min(0)
            plain.append((cam / cam.max().clamp_min(1e-12)).numpy())
            network.zero_grad()

    def pipeline():
        batched[:] = grad_cam(network, images, normalisation, classes, stage="layer2")

    reference(), pipeline()
    return {
        "what": "Grad-CAM",
        "n": len(images),
        "unit": "images",
        "seconds": in_turns(reference, pipeline),
        "greatest_difference": float(np.abs(np.subtract(plain, batched)).max()),
    }


PLAIN_CLASSIFIER = """
import json
import sys
import librosa
import numpy as np
import torch
from pathlib import Path
from safetensors.torch import load_file
from torch import nn

step = (7_600 / 60) ** (1 / 111)
edges = 60 * step ** np.arange(-1, 113)
frequency = np.fft.rfftfreq(8_192, 1 / 16_000)[:, None]
rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
bands = np.minimum(rising, falling).clip(min=0)
bands /= bands.sum(axis=0)

def harmonic_image(signal):
    padded = np.zeros(47_998)
    front = max(47_998 - len(signal), 0) // 2
    padded[front : front + len(signal)] = signal[:47_998]
    resampled = librosa.resample(padded, orig_sr=48_000, target_sr=16_000, res_type="soxr_hq")[:15_999]
    frames = librosa.util.frame(resampled, frame_length=1_024, hop_length=512).T * np.hanning(1_025)[:-1]
    powers = np.abs(np.fft.rfft(frames, 8_192)) ** 2 @ bands
    level = librosa.power_to_db(powers.T, ref=np.max, amin=1e-20, top_db=70)
    return (255 * (1 + level / 70) + 0.5).astype(np.uint8)[::-1].copy()

class Pool(nn.Module):
    def forward(self, maps):
        return torch.cat([maps.amax(3), maps.mean(3)], dim=1).flatten(1)

def convolution(n_in, n_out):
    return [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]

def member():
    body = nn.Sequential(*convolution(1, 16), *convolution(16, 32), *convolution(32, 64), *convolution(64, 96))
    linear = [nn.Linear(1344, 128), nn.ReLU(), nn.Identity(), nn.Linear(128, 2)]
    return nn.Sequential(body, nn.Sequential(Pool(), nn.Identity(), nn.Identity(), *linear))

card = json.loads(Path({model!r}).with_suffix(".json").read_text())
networks = nn.Module()
networks.members = nn.ModuleList(member() for _ in card["seeds"])
networks.load_state_dict(load_file({model!r}))
networks.eval()

def classify(path):
    signal, rate = librosa.load(path, sr=48_000, dtype=np.float64)
    image = torch.from_numpy(harmonic_image(signal))[None, None].float() / 255
    with torch.no_grad():
        grey = (image - card["normalisation"]["mean"]) / card["normalisation"]["std"]
        scores = sum(network(grey) for network in networks.members) / len(networks.members)
    odds = float(scores[0, 0] - scores[0, 1]) * card["calibration"]["slope"] + card["calibration"]["intercept"]
    return 1 / (1 + 2.718281828459045 ** -odds)

if __name__ == "__main__":
    print(classify(sys.argv[1]))
"""


def _plain_classifier(folder: Path) -> Path:
    """The script that people would write, as a file."""
    path = folder / "plain_classifier.py"
    path.write_text(PLAIN_CLASSIFIER.format(model=str(SHIPPED_MODEL)))
    return path


def one_file(corpus: Corpus, folder: Path) -> dict:
    path = str(corpus.folder / _recordings(corpus)["path"].iloc[0])
    plain = _plain_classifier(folder)
    told = {}

    def reference():
        found = subprocess.run([sys.executable, plain, path], capture_output=True, text=True, check=True)
        told["reference"] = float(found.stdout)

    def pipeline():
        command = [sys.executable, ROOT / "scripts" / "classify_wavs.py", path, "--json"]
        told["pipeline"] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)[
            "p_female"
        ]

    reference(), pipeline()
    return {
        "what": "classifying one WAV from the command line, cold",
        "n": 1,
        "unit": "WAV",
        "seconds": in_turns(reference, pipeline),
        "difference_of_p_female": abs(told["reference"] - told["pipeline"]),
    }


def many_files(corpus: Corpus, folder: Path) -> dict:
    paths = [corpus.folder / path for path in islice(cycle(_recordings(corpus)["path"]), RECORDINGS)]
    plain = _plain_classifier(folder)
    spec = importlib.util.spec_from_file_location("plain_classifier", plain)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    classifier, told = load_classifier(SHIPPED_MODEL), {}

    def reference():
        told["reference"] = [module.classify(path) for path in paths]

    def pipeline():
        told["pipeline"] = [answer.p_female for answer in classify_recordings(classifier, paths)]

    reference(), pipeline()
    seconds = in_turns(reference, pipeline)
    answered = np.array([p_female is not None for p_female in told["pipeline"]])
    difference = np.array(told["reference"])[answered] - np.array(told["pipeline"], float)[answered]
    return {
        "what": "classifying WAVs of a second, warm",
        "n": len(paths),
        "unit": "WAVs",
        "seconds": seconds,
        "greatest_difference_of_p_female": float(np.abs(difference).max()),
    }


def headers(corpus: Corpus, folder: Path) -> dict:
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
    command = [sys.executable, ROOT / "scripts" / "run_notebooks.py"]
    environment = os.environ | {"CORPUS": "demo", "WORKSPACE": str(folder)}
    runs = []

    def run():
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        runs.append({name: int(seconds) for name, seconds in RUN_TIME.findall(done.stdout)})

    seconds = in_turns(run, run, pairs=1)
    return {
        "what": "all notebooks on the demo corpus, first run and second run",
        "corpus": "demo corpus (synthetic voices)",
        "n": len(runs[0]),
        "unit": "notebooks",
        "seconds": seconds,
        "seconds_of_each": {name: [times[name] for times in runs] for name in runs[0]},
    }


TRAIN_ON_MANY = """
import sys
sys.path.insert(0, {scripts!r})
import numpy as np
import pandas as pd
from fastai.callback.core import Callback, CancelFitException
from speaker_gender.learning.dataset import make_dls
from speaker_gender.learning.splits import random_split
from speaker_gender.learning.recipes import default_recipe
from speaker_gender.learning.learners import make_learner

recipe = default_recipe({n_images})
images = np.random.default_rng(0).integers(0, 256, ({n_images}, *recipe.image_size), dtype=np.uint8)
genders = pd.Series(["female", "male"] * ({n_images} // 2))
split = random_split(pd.Series([f"{{index}}.jpg" for index in range({n_images})]))
speakers, digits = np.arange({n_images}) % 60, np.arange({n_images}) % 10
batches = {{"batch_size": recipe.batch_size, "max_shift": recipe.max_shift}}
dls = make_dls(images, genders, split, **batches, speakers=speakers, digits=digits)
learn = make_learner(dls, recipe, n_speakers=60)

class Stop(Callback):
    def after_batch(self):
        if self.iter == {batches}:
            raise CancelFitException

learn.add_cb(Stop())
with learn.no_bar(), learn.no_logging():
    learn.fit(1, recipe.learning_rate)
"""


def memory(corpus: Corpus, folder: Path) -> dict:
    """The most memory that two steps take with all their processes; what processes share is counted in each."""
    environment = {"CORPUS": "demo" if corpus.name == "demo" else str(corpus.folder), "WORKSPACE": str(folder)}
    code = TRAIN_ON_MANY.format(scripts=str(ROOT / "scripts"), n_images=AUDIOMNIST_IMAGES, batches=BATCHES)
    return {
        "what": "memory at its most",
        "bytes": {
            "generation": peak_memory(
                [sys.executable, str(ROOT / "scripts" / "studies" / "generate_images.py")], environment
            ),
            f"training on {AUDIOMNIST_IMAGES:,} images": peak_memory([sys.executable, "-c", code], environment),
        },
    }


def peak_memory(command: list[str], environment: dict[str, str]) -> int:
    """Bytes that a program and its children held at most together, looked at twenty times a second."""
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


STEPS = {
    step.__name__: step for step in (generation, training, grad_cams, one_file, many_files, headers, memory, notebooks)
}


def _recordings(corpus: Corpus):
    """Some recordings that are here and can be read."""
    recordings = load_recordings(corpus)
    usable = recordings[recordings["here"] & recordings["problem"].isna()]
    if not len(usable):
        raise CorpusError(f"{corpus.folder}: there are no WAVs in it to measure on")
    return usable.head(RECORDINGS).reset_index(drop=True)


def ratio(seconds: dict) -> dict:
    """How many times faster the pipeline is: the median over the pairs, and their range."""
    ratios = np.divide(seconds["reference"], seconds["pipeline"])
    return {"median": float(np.median(ratios)), "range": [float(ratios.min()), float(ratios.max())]}


def told(found: dict) -> str:
    """One line of what a step came to."""
    if "bytes" in found:
        return f"{found['what']}: " + ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in found["bytes"].items())
    low, high = found["ratio"]["range"]
    rate = f"{found['n'] / np.median(found['seconds']['pipeline']):,.1f} {found['unit']}/s"
    return f"{found['what']}: {found['ratio']['median']:.1f} × ({low:.1f} to {high:.1f}), {rate}"


def machine() -> dict:
    """What it was measured on."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = named[0].partition(":")[2].strip() if named else cpu
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.system()} | versions()


def main() -> int:
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
            print(told(found))
    except (CorpusError, ModelError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        print(f"{Path(str(error.cmd[1])).name} failed: {said[-1] if said else 'without a word'}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
