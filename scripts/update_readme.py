#!/usr/bin/env python3
"""Write README's figures from results/, between its marks such as <!-- results -->, so that no number is typed twice.

python scripts/update_readme.py            rewrite README.md
python scripts/update_readme.py --check    exit with 1 if README.md is stale
"""

import argparse
import json
import sys

from caching import write_atomically
from config import RESULTS, ROOT

README = ROOT / "README.md"
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


def unseen_table() -> str:
    """Balanced accuracy of people who were not in training, by corpus and by what listens (notebook 05)."""
    lines = [
        "| corpus | what listens | balanced accuracy | 95 % interval over speakers | ROC AUC |",
        "|---|---|---|---|---|",
    ]
    for name in ("audiomnist", "audiomnist_az"):
        found = json.loads((RESULTS / name / "unseen_speakers.json").read_text(encoding="utf-8"))
        unheard = {title: row for title, row in found["rows"].items() if "heard in training" not in title}
        for title, row in unheard.items():
            lines.append(f"| {found['corpus']} | {title} | {_score_cells(row)} |")
    for path in sorted((RESULTS / "shipped").glob("*_on_audiomnist_az.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        title = {"gender": "**the model that ships**", "gender_synthetic": "the same, trained on synthetic voices only"}
        refused = f"({sum(found['all']['not_answered'].values())} recordings refused and not counted)"
        cells = _score_cells(found["all"]["recordings"])
        lines.append(f"| {found['corpus']} | {title[found['model']]} {refused} | {cells} |")
        without = f"without speakers {' and '.join(found['doubtful'])}, whose labels are doubtful"
        lines.append(f"| | {without} | {_score_cells(found['without_doubtful']['recordings'])} |")
    return "\n".join(lines)


def _score_cells(row: dict) -> str:
    low, high = row["intervals"]["balanced_accuracy"]
    balanced = f"{row['scores']['balanced_accuracy']:.1%} | {low:.1%} to {high:.1%}".replace("%", " %")
    return f"{balanced} | {row['scores']['auc']:.3f}"


def leak_sentence() -> str:
    """What the same speakers on both sides were worth, on the study's own images."""
    rows = json.loads((RESULTS / "audiomnist" / "unseen_speakers.json").read_text(encoding="utf-8"))["rows"]
    cost = rows["mfc"]["cost_of_leakage"]
    low, high = cost["interval"]
    sentence = (
        f"The same recipe on AudioMNIST's images gets a balanced accuracy of {cost['heard']:.1%} for speakers that "
        f"were in training and {cost['unheard']:.1%} for those that were not: the leak of speakers is worth "
        f"{cost['difference']:.1%} (95 % interval over {cost['speakers']} speakers {low:.1%} to {high:.1%})."
    )
    return sentence.replace("%", " %").replace("95  %", "95 %")


BLOCKS = {"results": results_table, "leak": leak_sentence, "unseen": unseen_table}


def updated(readme: str) -> str:
    """The README's text with fresh results between the marks of each block."""
    for name, fresh in BLOCKS.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, _, rest = readme.partition(begin)
        _, _, after = rest.partition(end)
        readme = f"{before}{begin}\n{fresh()}\n{end}{after}"
    return readme


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
