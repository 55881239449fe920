#!/usr/bin/env python3
"""Draw the balanced error of each method on unseen speakers, from results/*/methods.json and unseen_speakers.json.

    python scripts/upkeep/draw_errors.py

Writes pngs/errors.png, which README shows; results/README.md has the table behind it.
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
from speaker_gender.judging.baselines import F0, F0_ELSEWHERE
from speaker_gender.judging.methods import PUBLIC, SHIPPED
from speaker_gender.showing.figures import use_style

CORPORA = ("audiomnist", "audiomnist_az", "ukrainiandigits", "telephonedigits")
SEEN = "seen"
ROWS = {  # method → label; those of the corpus itself first
    SEEN: "the study's image,\nspeakers seen in training",
    "mfc": "the study's image",
    "harmonic": "an image that keeps the pitch",
    F0: "F0 threshold of this corpus",
    F0_ELSEWHERE: "F0 threshold of other corpora",
    PUBLIC: "public classifier",
    SHIPPED: "the shipped model",
}


def rows_of(corpus: str) -> tuple[str, dict[str, dict]]:
    """A corpus's title, and the description of each method that was evaluated on it."""
    if corpus == "audiomnist":
        found = json.loads((RESULTS / corpus / "unseen_speakers.json").read_text(encoding="utf-8"))
        return found["corpus"], {SEEN: found["rows"]["mfc, speakers seen in training"], "mfc": found["rows"]["mfc"]}
    found = json.loads((RESULTS / corpus / "methods.json").read_text(encoding="utf-8"))
    rows = {name: both["all"] for name, both in found["rows"].items()}
    return found["corpus"], rows | {SEEN: found["cost_of_leakage"]["mfc"]["seen_row"]}


def main() -> int:
    """Run the command line; returns the exit status."""
    use_style()
    figure, axes = plt.subplots(1, len(CORPORA), figsize=(10, 3.4), sharey=True, sharex=True, layout="constrained")
    for axis, corpus in zip(axes, CORPORA):
        title, rows = rows_of(corpus)
        for place, name in enumerate(ROWS):
            if name not in rows:
                continue
            error = 100 * (1 - rows[name]["scores"]["balanced_accuracy"])
            high, low = (100 * (1 - edge) for edge in rows[name]["intervals"]["balanced_accuracy"])
            colour = {SHIPPED: "C1", SEEN: "0.6"}.get(name, "C0")
            axis.plot([low, high], [place, place], color=colour, lw=2.5, solid_capstyle="butt")
            axis.plot(error, place, "o", color=colour)
            axis.annotate(f"{error:.1f}", (error, place), (0, 5), textcoords="offset points", ha="center", fontsize=8)
        axis.axhline(0.5, color="0.7", lw=0.8)
        axis.axhline(3.5, color="0.7", lw=0.8, ls=":")
        axis.set_title(f"{title}\n{rows['mfc']['speakers']} speakers", fontsize=10)
    figure.supxlabel("balanced error, %", fontsize=10)
    axes[0].set(yticks=range(len(ROWS)), yticklabels=ROWS.values(), ylim=(len(ROWS) - 0.5, -0.7), xlim=(0, None))
    figure.savefig(PNGS / "errors.png", metadata={"Software": None})
    return 0


if __name__ == "__main__":
    run_main(main)
