#!/usr/bin/env python3
"""Write README's figures from results/, between its <!-- results --> marks, so that no number is typed twice.

python scripts/update_readme.py            rewrite README.md
python scripts/update_readme.py --check    exit with 1 if README.md is stale
"""

import argparse
import json
import sys

from caching import write_atomically
from config import RESULTS, ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
STUDY = {"error_rate": 0.0107, "f1": 0.973}  # as the study reports them


def results_table() -> str:
    """The evaluation on AudioMNIST (notebook 04) as a Markdown table, with its conditions."""
    evaluation = json.loads((RESULTS / "audiomnist" / "evaluation.json").read_text(encoding="utf-8"))
    card = json.loads((RESULTS / "audiomnist" / "models" / f"{evaluation['name']}.json").read_text(encoding="utf-8"))
    scores, intervals = evaluation["scores"], evaluation["intervals"]

    def row(name: str, title: str, percent: bool) -> str:
        def shown(value: float) -> str:
            return f"{value:.2%}".replace("%", " %") if percent else f"{value:.4f}"

        low, high = intervals[name]
        study = shown(STUDY[name]) if name in STUDY else ""
        return f"| {title} | {shown(scores[name])} | {shown(low)} to {shown(high)} | {study} |"

    n_epochs, minutes = card["recipe"]["epochs"], card["seconds"] / 60
    height, width = card["image_size"]
    return "\n".join(
        [
            f"AudioMNIST, random split (**the same {evaluation['speakers']} speakers in training and validation**), "
            f"{card['split']['train']:,} training and {evaluation['images']:,} validation images; ResNet-34 from "
            f"{'ImageNet weights' if card['imagenet_weights'] else 'scratch'}, {n_epochs} epochs at {height} × {width} "
            f"pixels, seed {evaluation['seed']}, {minutes:.0f} minutes on 2 CPU cores that had other work to do:",
            "",
            "| | here | 95 % interval over speakers | the study |",
            "|---|---|---|---|",
            row("error_rate", "error rate", percent=True),
            row("f1", "F1, female positive", percent=False),
            row("balanced_accuracy", "balanced accuracy", percent=True),
            row("auc", "ROC AUC", percent=False),
        ]
    )


def updated(readme: str) -> str:
    """The README's text with fresh results between the marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{results_table()}\n{END}{after}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    readme = README.read_text(encoding="utf-8")
    fresh = updated(readme)
    if options.check:
        if fresh != readme:
            print("README.md is stale; run python scripts/update_readme.py", file=sys.stderr)
        return int(fresh != readme)
    write_atomically(README, fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
