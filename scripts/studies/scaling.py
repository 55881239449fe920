#!/usr/bin/env python3
"""Compute what a corpus of 30 thousand, 3 million and 300 million clips costs: results/scaling.md.

    python scripts/studies/scaling.py

The rates are those of results/benchmark.json and results/scaling.json (measure_scaling.py). The prices are assumptions,
which stand in MACHINES and STORAGE below with their date.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import json
from dataclasses import dataclass

import numpy as np

from speaker_gender.caching import write_atomically
from speaker_gender.config import RESULTS
from speaker_gender.images.shards import IMAGES_A_SHARD
from speaker_gender.parallel import LARGEST_BATCH

CLIPS = (30_000, 3_000_000, 300_000_000)
NO_FILES = (
    "Header-only WAVs were listed up to AudioMNIST's 30,000 only (`headers` in results/benchmark.json). "
    "`measure_scaling.py files` does a million; the machine was too busy for it."
)
BLOCK = 4_096  # bytes that a file takes at least on most file systems
MEMORY = 64e9  # bytes of a large workstation, against which the limits are held


@dataclass(frozen=True)
class Machine:
    """A machine type and what it is assumed to cost an hour, in USD."""

    name: str
    cores: int
    price: float


PRICES_OF = "2026-11-25"  # from memory, on demand, without tax, not looked up
MACHINES = (
    Machine("AWS c7i.4xlarge, 16 vCPUs", 16, 0.714),
    Machine("AWS c7i.16xlarge, 64 vCPUs", 64, 2.856),
)
STORAGE = 0.023  # USD a GB and month, AWS S3 Standard


def rates(benchmark: dict, scaling: dict) -> dict[str, float]:
    """Collect the measured rates.

    `benchmark`: results/benchmark.json. `scaling`: results/scaling.json.

    Returns
    -------
    dict
        Recordings or images a second of one core: 'images of WAVs', 'images of clips', 'classification', 'training',
        'listing' (headers, maps, keys and splits). 'memory': bytes a recording in the process that plans,
        and 'memory at the start' without any. 'batches':
        handed out by a scheduler a second. 'seconds', 'recording', 'image': seconds and bytes of a clip and its image.
        'shard': bytes of an image in a shard.
    """
    clips, wavs = (scaling["clips"]["found"][kind] for kind in ("clips of Common Voice", "WAVs of a second"))
    sizes = {int(size): found for size, found in scaling["table"]["found"].items()}
    largest = max(sizes)
    memory, start = np.polyfit(list(sizes), [found["peak_bytes"] for found in sizes.values()], 1)
    stored, n_stored = scaling["reading"]["found"]["stored"], scaling["reading"]["found"]["images"]
    wrapping = (stored["shards"]["bytes"] - stored["jpegs"]["bytes"]) / n_stored
    return {
        "images of WAVs": wavs["images_a_core_second"],
        "images of clips": clips["images_a_core_second"],
        "classification": _a_core_second(benchmark["many_files"]) / clips["seconds_a_clip"],
        "training": _a_core_second(benchmark["training"]),
        "listing": 1 / (sum(sizes[largest]["seconds"].values()) / largest + 1 / clips["headers_a_core_second"]),
        "memory": float(memory),
        "memory at the start": float(start),
        "batches": scaling["scheduler"]["found"]["a_second"],
        "seconds": clips["seconds_a_clip"],
        "recording": clips["bytes_a_recording"],
        "image": clips["bytes_an_image"],
        "shard": clips["bytes_an_image"] + wrapping,
    }


def _a_core_second(step: dict) -> float:
    return step["n"] / float(np.median(step["seconds"]["pipeline"])) / step["machine"]["cores"]


def page(benchmark: dict, scaling: dict) -> str:
    """Write the page.

    `benchmark`, `scaling`: see `rates`. Returns Markdown.
    """
    rate = rates(benchmark, scaling)
    machine = benchmark["many_files"]["machine"]
    parts = [
        "# What more clips cost",
        "Computed by `python scripts/studies/scaling.py` from rates that were measured on one machine "
        f"({machine['cpu']}, {machine['cores']} cores). A clip is one of Common Voice's: an MP3 of "
        f"{rate['seconds']:.1f} s. [How it is run](../scripts/beyond_one_machine.md) is another page.",
        "## Time, bytes and money",
        _costs(rate),
        f"One core is taken for one vCPU. The prices are assumptions of {PRICES_OF}, from memory: "
        + "; ".join(f"{one.name}: {one.price:.3f} USD/h" for one in MACHINES)
        + f"; storage: {STORAGE} USD a GB and month. Training is one epoch of ResNet-34 on images of 32 × 112 pixels "
        "on processors. No GPU was available: its rate is not measured.",
        "## The first limit at each size",
        _limits(rate),
        "## A million recordings",
        _growth(scaling["table"]["found"], "Rows of a table that gives samples, sample rates and stamps"),
        *([_growth(scaling["files"]["found"], "WAVs of 16 samples")] if "files" in scaling else [NO_FILES]),
        "## Reading images from a cold cache",
        _reading(scaling["reading"]),
        "## One training in two processes",
        _processes(scaling["processes"]),
        "## Where the figures come from",
        _sources(scaling),
    ]
    return "\n\n".join(parts) + "\n"


def _costs(rate: dict[str, float]) -> str:
    rows = [["", *(f"{clips:,} clips" for clips in CLIPS)], ["---"] + ["---:"] * len(CLIPS)]
    steps = {
        "headers, maps, keys, splits": rate["listing"],
        "images (MFC JPEGs)": rate["images of clips"],
        "classification by the shipped model": rate["classification"],
        "training, one epoch": rate["training"],
    }
    for name, of_core in steps.items():
        rows.append([f"{name}, core hours", *(_number(clips / of_core / 3_600) for clips in CLIPS)])
    for name, size in (
        ("recordings", rate["recording"]),
        ("images as JPEG files, in blocks of 4 KiB", BLOCK * np.ceil(rate["image"] / BLOCK)),
        ("images in shards", rate["shard"]),
        ("images decoded, 32 × 112 pixels", 32 * 112),
    ):
        rows.append([f"{name}, GB", *(_number(clips * size / 1e9) for clips in CLIPS)])
    hours = sum(1 / of_core for of_core in (rate["listing"], rate["images of clips"])) / 3_600
    for one in MACHINES:
        taken = {
            "images with all before": [clips * hours / one.cores for clips in CLIPS],
            "one epoch": [clips / rate["training"] / 3_600 / one.cores for clips in CLIPS],
        }
        for name, of_machine in taken.items():
            rows.append([f"{name}, hours of {one.name}", *map(_number, of_machine)])
            rows.append([f"{name}, USD", *(_number(hour * one.price) for hour in of_machine)])
    stored = rate["recording"] + rate["shard"]
    rows.append(["recordings and shards stored, USD a month", *(_number(n * stored / 1e9 * STORAGE) for n in CLIPS)])
    return _markdown(rows)


def _limits(rate: dict[str, float]) -> str:
    few, some, many = CLIPS
    hours = {clips: clips / rate["images of clips"] / 3_600 for clips in CLIPS}
    feeds = rate["batches"] * LARGEST_BATCH / rate["images of clips"]
    plans = {clips: (rate["memory at the start"] + clips * rate["memory"]) / 1e9 for clips in CLIPS}
    decoded = {clips: clips * 32 * 112 / 1e9 for clips in CLIPS}
    return "\n".join(
        [
            f"- **{few:,}**: none. Images take {_number(hours[few])} core hours, and all of them decoded "
            f"{_number(decoded[few])} GB. A laptop does it with the defaults.",
            f"- **{some:,}**: first the processors ({_number(hours[some])} core hours of images): `CLUSTER`, or a "
            f"machine with 64 cores for {_number(hours[some] / 64)} h. Then the file system ({some:,} JPEGs): "
            f"`--shards` makes {some / IMAGES_A_SHARD:,.0f} files of them. The planning process takes about "
            f"{_number(plans[some])} GB, and decoded images {_number(decoded[some])} GB: "
            f"{'both fit' if plans[some] + decoded[some] < MEMORY / 1e9 else 'they do not both fit'} in "
            f"{MEMORY / 1e9:.0f} GB. One epoch on processors takes {_number(some / rate['training'] / 3_600)} core "
            "hours: a GPU.",
            f"- **{many:,}**: first the memory of the planning process, {_number(plans[many])} GB, as maps and table "
            f"are in one process. The table is cut into {int(np.ceil(plans[many] * 1e9 / MEMORY)):,} tables, each a "
            f"corpus of its own with its shards. Then the scheduler: at {rate['batches']:.0f} batches a second of "
            f"{LARGEST_BATCH} recordings it feeds {feeds:,.0f} cores; images then take "
            f"{_number(hours[many] / feeds)} h. Then reading: {_number(many * rate['recording'] / 1e12)} TB of "
            "recordings go over the network three times: for digests, headers and images. A table with `stamp`, "
            "`samples` and `sample_rate` saves the first two. Training streams shards, because decoded images take "
            f"{_number(decoded[many])} GB.",
        ]
    )


def _growth(found: dict[str, dict], what: str) -> str:
    sizes = sorted(map(int, found))
    steps = list(found[str(sizes[0])]["seconds"])
    rows = [["processor seconds", *(f"{size:,}" for size in sizes)], ["---"] + ["---:"] * len(sizes)]
    rows += [[step, *(f"{found[str(size)]['seconds'][step]:.1f}" for size in sizes)] for step in steps]
    total = [sum(found[str(size)]["seconds"].values()) for size in sizes]
    rows.append(["all", *(f"{seconds:.1f}" for seconds in total)])
    rows.append(["µs a recording", *(f"{1e6 * seconds / size:.0f}" for seconds, size in zip(total, sizes))])
    rows.append(["peak memory, GB", *(f"{found[str(size)]['peak_bytes'] / 1e9:.2f}" for size in sizes)])
    slopes = [1e6 * seconds / size for seconds, size in zip(total, sizes)]
    grown = f"Time a recording varies by {max(slopes) / min(slopes):.2f} × over sizes that differ by "
    grown += f"{max(sizes) / min(sizes):.0f} ×; the peak stays under {np.ceil(max(_peaks(found)) / 1e9):.0f} GB."
    return f"{what}, {sizes[-1]:,} at most.\n\n{_markdown(rows)}\n\n{grown}"


def _peaks(found: dict[str, dict]) -> list[int]:
    return [one["peak_bytes"] for one in found.values()]


def _reading(measured: dict) -> str:
    found = measured["found"]
    rows = [["", "images/s, median", "range"], ["---", "---:", "---:"]]
    for name, rate in found["images_a_second"].items():
        rows.append(
            [name.replace("jpegs", "JPEGs"), f"{np.median(rate):,.0f}", f"{min(rate):,.0f} to {max(rate):,.0f}"]
        )
    stored = found["stored"]
    told = [
        f"{kind}: {one['files']:,} files, {one['bytes'] / 1e6:.1f} MB, {one['bytes_on_disk'] / 1e6:.1f} MB on disk"
        for kind, one in stored.items()
    ]
    return (
        f"{found['images']:,} images of AudioMNIST, one process, decoded to 32 × 112 pixels. The files' contents were "
        f"dropped from the cache before each round; their names were not.\n\n{_markdown(rows)}\n\n"
        + "; ".join(told).replace("jpegs", "JPEGs")
        + "."
    )


def _processes(measured: dict) -> str:
    found = measured["found"]
    rows = [["processes", "seed", "validation error", "training images/s"], ["---:"] * 4]
    for number, runs in found.items():
        for run in runs:
            rows.append([number, str(run["seed"]), f"{run['error_rate']:.2%}", f"{run['images_a_second']:.0f}"])
    one, two = ([run["images_a_second"] for run in found[number]] for number in ("1", "2"))
    split = found["1"][0]["split"]
    error = np.mean([run["error_rate"] for runs in found.values() for run in runs])
    return (
        f"The small network, 4 epochs, batches of 64 images in all, {split['train']:,} training and "
        f"{split['valid']:,} validation images of AudioMNIST, one thread a process, gloo.\n\n{_markdown(rows)}\n\n"
        f"Two processes train {np.median(two) / np.median(one):.2f} × as fast as one. The {measured['cores']} cores "
        f"were shared with other programs (load average {measured['load']:.1f}). The standard error of an error rate "
        f"of {error:.1%} of {split['valid']:,} images is {(error * (1 - error) / split['valid']) ** 0.5:.2%}."
    )


def _sources(scaling: dict) -> str:
    told = [
        f"`{name}` of {one['date']}, load average {one['load']:.1f} on {one['cores']} cores"
        for name, one in scaling.items()
    ]
    return (
        "`scripts/upkeep/benchmark.py` (classification, training) and `scripts/studies/measure_scaling.py`: "
        + "; ".join(told)
        + ". Times of `table` and `clips` are the processor's, so other programs do not count; those of the others are "
        "the clock's. Classification is scaled from files of a second by a clip's length."
    )


def _markdown(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _number(value: float) -> str:
    """Three significant digits."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        benchmark, scaling = (
            json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in ("benchmark", "scaling")
        )
        write_atomically(RESULTS / "scaling.md", page(benchmark, scaling))
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Written: {RESULTS / 'scaling.md'}")
    return 0


if __name__ == "__main__":
    run_main(main)
