#!/usr/bin/env python3
"""Write README.md, results/README.md, results/scaling.md and both cards: prose from templates/, numbers from results/.

    python scripts/upkeep/write_pages.py            write them
    python scripts/upkeep/write_pages.py --check    exit with 1 if one is stale

No number is typed twice: a template names the JSON in results/ that it takes its numbers from.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import argparse
import json
import math
from collections.abc import Iterable
from statistics import mean, median, stdev

import jinja2
import numpy as np
import pandas as pd
from safetensors import safe_open

from speaker_gender.caching import write_atomically
from speaker_gender.config import RESULTS, ROOT
from speaker_gender.judging.comparisons import in_points

TEMPLATES = Path(__file__).parent / "templates"
PAGES = {  # template → page
    "README.md": ROOT / "README.md",
    "results_README.md": ROOT / "results" / "README.md",
    "scaling.md": ROOT / "results" / "scaling.md",
    "model_card.md": ROOT / "results" / "shipped" / "model_card.md",
    "data_card.md": ROOT / "results" / "audiomnist" / "data_card.md",
}
NAMED = 5  # speakers of doubtful label that are named at most; more are counted
MANY = 100  # recordings from which on a share is written in per cent


def percent(share: float, digits: int = 1) -> str:
    """Write a share of 1 in per cent.

    >>> percent(0.0617), percent(0.00617, 2)
    ('6.2 %', '0.62 %')
    """
    return f"{100 * share:.{digits}f} %"


def interval(edges: list[float], digits: int = 1) -> str:
    """Write an interval of shares in per cent.

    >>> interval([0.711, 0.857])
    '71.1 to 85.7 %'
    """
    low, high = edges
    return f"{100 * low:.{digits}f} to {100 * high:.{digits}f} %"


def number(value: float) -> str:
    """Write three significant digits.

    >>> number(0.05614), number(478.2), number(9804.8)
    ('0.0561', '478', '9,800')
    """
    return f"{float(f'{value:.3g}'):,.0f}" if value >= 100 else f"{value:.3g}"


def share_of(counts: dict | None) -> str:
    """Write how many are correctly classified: of few as counts, of many in per cent; nothing for None.

    >>> share_of({"images": 19, "correct": 16}), share_of({"images": 371, "correct": 344})
    ('16 of 19', '92.7 % of 371')
    """
    if counts is None:
        return ""
    n, correct = counts["images"], counts["correct"]
    return f"{correct} of {n}" if n < MANY else f"{percent(correct / n)} of {n:,}"


def names_of(speakers: list[str]) -> str:
    """Name the speakers whose label is doubtful, or count them where they are many.

    >>> names_of(["37", "13"])
    'speakers 13 and 37 of doubtful label'
    """
    if len(speakers) > NAMED:
        return f"{len(speakers)} speakers of doubtful label"
    *names, last = sorted(speakers)
    return f"speaker{'s' if names else ''} {', '.join(names)}{' and ' if names else ''}{last} of doubtful label"


def scores(row: dict) -> str:
    """The cells speakers, recordings, balanced accuracy, its interval and ROC AUC of a table's row."""
    balanced = row["scores"]["balanced_accuracy"], row["intervals"]["balanced_accuracy"]
    counts = f"{row['speakers']} | {row['images']:,}"
    return f"{counts} | {percent(balanced[0])} | {interval(balanced[1])} | {row['scores']['auc']:.3f}"


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table.

    >>> print(table(["step", "hours"], [["images", 2]]))
    | step | hours |
    |---|---|
    | images | 2 |
    """
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (header, *rows)]
    return "\n".join([lines[0], "|---" * len(list(header)) + "|", *lines[1:]])


def spread(runs: list[dict]) -> str:
    """Mean and standard deviation of error rate and F1 after the last epoch over several trainings."""
    errors, f1 = ([run["history"][-1][score] for run in runs] for score in ("error_rate", "f1_score"))
    return f"error rate {100 * mean(errors):.2f} ± {100 * stdev(errors):.2f} %, F1 {mean(f1):.4f} ± {stdev(f1):.4f}"


def rates(benchmark: dict, scaling: dict, trained: list[dict]) -> dict[str, float]:
    """Rates of one core, from results/benchmark.json, results/scaling.json and the cards of networks trained here.

    Returns images, classification and training (clips or images a second), planning (clips a second whose headers,
    maps, keys and splits are made), memory (bytes a recording of the process that plans) and memory_at_the_start,
    batches (a second, by a scheduler), shard (bytes of an image in a shard), and of a clip seconds, bytes and
    bytes_of_image.
    """

    def a_core_second(step: dict) -> float:
        return step["n"] / median(step["seconds"]["pipeline"]) / step["machine"]["cores"]

    clips = scaling["clips"]["found"]["clips of Common Voice"]
    sizes = {int(size): found for size, found in scaling["table"]["found"].items()}
    largest = max(sizes)
    memory, start = np.polyfit(list(sizes), [found["peak_bytes"] for found in sizes.values()], 1)
    reading = scaling["reading"]["found"]
    epochs = [sum(card["split"].values()) / epoch["seconds"] for card in trained for epoch in card["history"]]
    wrapping = (reading["stored"]["shards"]["bytes"] - reading["stored"]["jpegs"]["bytes"]) / reading["images"]
    return {
        "images": clips["images_a_core_second"],
        "classification": a_core_second(benchmark["many_files"]) / clips["seconds_a_clip"],
        "training": median(epochs) / scaling["clips"]["cores"],
        "planning": 1 / (sum(sizes[largest]["seconds"].values()) / largest + 1 / clips["headers_a_core_second"]),
        "memory": float(memory),
        "memory_at_the_start": float(start),
        "batches": scaling["scheduler"]["found"]["a_second"],
        "seconds": clips["seconds_a_clip"],
        "bytes": clips["bytes_a_recording"],
        "bytes_of_image": clips["bytes_an_image"],
        "shard": clips["bytes_an_image"] + wrapping,
    }


class Results:
    """The files of a folder of results, as templates read them."""

    def __init__(self, folder: Path):
        self.folder = folder

    def json(self, name: str) -> dict:
        """Read <name>.json."""
        return json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))

    def all_of(self, pattern: str) -> list[dict]:
        """Read every JSON file that a pattern finds, by name."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.folder.glob(pattern))]

    def counts(self, name: str, column: str) -> dict[str, int]:
        """Count a column's values in <name>.csv."""
        found = pd.read_csv(self.folder / f"{name}.csv")[column].value_counts()
        return {str(value): int(count) for value, count in found.items()}

    def weights(self, name: str) -> int:
        """Count the numbers in <name>.safetensors."""
        with safe_open(self.folder / f"{name}.safetensors", framework="numpy") as file:
            return sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())

    def megabytes(self, name: str) -> float:
        """Size of a file in MB."""
        return (self.folder / name).stat().st_size / 1e6


def render(results: Path = RESULTS) -> dict[Path, str]:
    """The text of each page, by the page, with the numbers of a folder of results."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701, as Markdown is written
    )
    environment.filters |= {
        function.__name__: function for function in (percent, interval, number, share_of, names_of, scores, spread)
    }
    environment.filters |= {"points": in_points, "median": median, "count": "{:,.0f}".format}
    environment.globals |= {"results": Results(results), "table": table, "rates": rates}
    return {page: environment.get_template(name).render() for name, page in PAGES.items()}


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    fresh = render()
    stale = [page for page, text in fresh.items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    for page in stale:
        if options.check:
            print(f"{page.relative_to(ROOT)} is stale: python scripts/upkeep/write_pages.py", file=sys.stderr)
        else:
            write_atomically(page, fresh[page])
    return int(options.check and bool(stale))


if __name__ == "__main__":
    run_main(main)
