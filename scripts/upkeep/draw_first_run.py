#!/usr/bin/env python3
"""Draw where the first run's time goes, before it was made shorter and now, from results/benchmark.json.

    python scripts/upkeep/draw_first_run.py

Writes pngs/first_run.png, which results/README.md shows.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import json

import matplotlib.pyplot as plt

from speaker_gender.config import PNGS, RESULTS
from speaker_gender.showing.figures import use_style


def main() -> int:
    """Run the command line; returns the exit status."""
    measured = json.loads((RESULTS / "benchmark.json").read_text(encoding="utf-8"))
    use_style()
    figure, axis = plt.subplots(figsize=(8, 2))
    shades = plt.get_cmap("cividis")
    for place, name in enumerate(("notebooks_before", "notebooks")):
        start = 0
        for index, (number, (seconds, *_)) in enumerate(sorted(measured[name]["seconds_of_each"].items())):
            axis.barh(place, seconds, left=start, color=shades(index / 7), edgecolor="white")
            if seconds > 15:
                axis.text(
                    start + seconds / 2, place, number, ha="center", va="center", color="white" if index < 5 else "k"
                )
            start += seconds
        axis.text(start + 5, place, f"{start} s", va="center")
    axis.set(yticks=[0, 1], yticklabels=["before", "now"], xlabel="seconds of the first run, by notebook")
    axis.invert_yaxis()
    axis.margins(x=0.1)
    figure.savefig(PNGS / "first_run.png", metadata={"Software": None})
    return 0


if __name__ == "__main__":
    run_main(main)
