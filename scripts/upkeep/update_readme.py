#!/usr/bin/env python3
"""Write README's figures, the data card and the model card from results/, so that no number is typed twice.

    python scripts/upkeep/update_readme.py            write them
    python scripts/upkeep/update_readme.py --check    exit with 1 if one is stale

In README.md the figures stand between marks such as <!-- results -->.
"""

import argparse
import json
import math
import sys
from pathlib import Path
from statistics import mean, median, stdev

from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speaker_gender.caching import write_atomically
from speaker_gender.config import RESULTS, ROOT
from upkeep.cards import data_card, model_card

README = ROOT / "README.md"
STUDY = {"error_rate": 0.0107, "f1": 0.973}  # as the study reports them


def results_table() -> str:
    """The evaluation on AudioMNIST (notebook 04) as a Markdown table, with its conditions."""
    evaluation = read_json(RESULTS / "audiomnist" / "evaluation.json")
    card = read_json(RESULTS / "audiomnist" / "models" / f"{evaluation['name']}.json")
    if evaluation["key"] != card["key"]:
        raise ValueError(
            "results/audiomnist/evaluation.json is of another network than the card: run notebook 04 first"
        )
    scores, intervals = evaluation["scores"], evaluation["intervals"]

    def row(name: str, title: str, percent: bool) -> str:
        def shown(value: float) -> str:
            return f"{value:.2%}".replace("%", " %") if percent else f"{value:.4f}"

        low, high = intervals[name]
        study = shown(STUDY[name]) if name in STUDY else ""
        return f"| {title} | {shown(scores[name])} | {shown(low)} to {shown(high)} | {study} |"

    n_epochs, minutes = card["recipe"]["epochs"], card["seconds"] / 60
    height, width = card["image_size"]
    more = "told to name the speaker and the digit as well while it is trained, "
    told = more if card["recipe"].get("speaker_weight") else ""
    return "\n".join(
        [
            f"AudioMNIST, random split (**the same {evaluation['speakers']} speakers in training and validation**), "
            f"{card['split']['train']:,} training and {evaluation['images']:,} validation images; ResNet-34 from "
            f"{'ImageNet weights' if card['imagenet_weights'] else 'scratch'}, {n_epochs} epochs at {height} × {width} "
            f"pixels, {told}seed {evaluation['seed']}, {minutes:.0f} minutes on 2 CPU cores in "
            f"{card['precision']}:",
            "",
            "| | here | 95 % interval over speakers | the study |",
            "|---|---|---|---|",
            row("error_rate", "error rate", percent=True),
            row("f1", "F1, female positive", percent=False),
            row("balanced_accuracy", "balanced accuracy", percent=True),
            row("auc", "ROC AUC", percent=False),
            *seeds_sentence(card),
        ]
    )


def seeds_sentence(card: dict) -> list[str]:
    """Mean and spread over the networks that were trained by the same recipe from other seeds, where there are any."""
    runs = _runs_like(card, RESULTS / "audiomnist" / "models")
    if len(runs) < 2:
        return []
    return ["", f"Over {len(runs)} seeds (other splits, other initial weights): {_spread(runs)}."]


def precision_sentence() -> str:
    """How far the scores move where a machine trains in bfloat16, or where it sums in another order."""
    folder = RESULTS / "audiomnist"
    card = read_json(folder / "models" / "mfc_random_seed42.json")
    others = _runs_like(card, folder / "bfloat16")
    seeds = [run["recipe"]["seed"] for run in others]
    runs = [run for run in _runs_like(card, folder / "models") if run["recipe"]["seed"] in seeds]
    shipped = read_json(RESULTS / "shipped" / "gender.json")
    members = [{"history": history} for history in shipped["history"].values()]
    return (
        f"Seeds {' and '.join(map(str, seeds))} on AudioMNIST, random split: in {card['precision']} {_spread(runs)}; "
        f"in {others[0]['precision']} {_spread(others)}. Sums in another order end in other weights, as another seed "
        f"does, and how far that goes the seeds tell: those of AudioMNIST above, and the {len(members)} networks of "
        f"the model that ships, which differ in nothing else, with {shipped['speakers']['valid']} readers kept aside: "
        f"{_spread(members)}."
    )


def _runs_like(card: dict, folder: Path) -> list[dict]:
    """The cards in the folder of networks that were trained by the same recipe as this one's, from any seed."""
    runs = [read_json(path) for path in sorted(folder.glob("mfc_random_seed*.json"))]
    return [run for run in runs if run["recipe"] | {"seed": None} == card["recipe"] | {"seed": None}]


def _spread(runs: list[dict]) -> str:
    errors, f1 = ([run["history"][-1][score] for run in runs] for score in ("error_rate", "f1_score"))
    return (
        f"error rate {100 * mean(errors):.2f} ± {100 * stdev(errors):.2f} %, "
        f"F1 {mean(f1):.4f} ± {stdev(f1):.4f} (mean and standard deviation)"
    )


def grad_cam_sentences() -> str:
    """What notebook 04 found about where the network looks, and whether networks of other seeds look there as well."""
    evaluation = read_json(RESULTS / "audiomnist" / "evaluation.json")
    centres = [evaluation["centre_of_attention"], *evaluation["centre_of_attention_of_other_seeds"].values()]
    lower_by = [found["female"] - found["male"] for found in centres if len(found) == 2]
    places = ", ".join(f"{abs(lower):.2f} {'lower' if lower > 0 else 'higher'}" for lower in lower_by)
    agree = len({lower > 0 for lower in lower_by}) == 1
    areas = evaluation["deletion_and_insertion_areas"]
    balanced = dict(enumerate(evaluation["balanced_accuracy_with_coefficient_hidden"]))
    dearest = sorted(balanced, key=balanced.get)[:3]
    costs = ", ".join(f"{100 * (1 - balanced[coefficient]):.1f} %" for coefficient in dearest)
    nothing = 100 * (1 - evaluation["scores"]["balanced_accuracy"])
    return (
        f"The study read its maps as *female: attention slightly higher up*. The centre of attention of images called "
        f"female, against that of images called male, in {len(lower_by)} networks of different seeds (AudioMNIST, "
        f"random split): {places} (in coefficients). "
        f"{'They agree' if agree else 'They do not even agree'} on the direction. "
        f"What a map marks does count: where it is deleted first, the area under the curve is {areas['deletion']:.3f}, "
        f"in random order {areas['random_deletion']:.3f}. Hidden one at a time, coefficients "
        f"{', '.join(map(str, dearest))} cost most in one of these networks: balanced error {costs} instead of "
        f"{nothing:.1f} %."
    )


def unseen_table() -> str:
    """Balanced accuracy of people who were not in training, by corpus and by what listens (notebook 05)."""
    lines = [
        "| corpus | what listens | balanced accuracy | 95 % interval over speakers | ROC AUC |",
        "|---|---|---|---|---|",
    ]
    for name in ("audiomnist", "audiomnist_az"):
        found = read_json(RESULTS / name / "unseen_speakers.json")
        unheard = {title: row for title, row in found["rows"].items() if "heard in training" not in title}
        for title, row in unheard.items():
            lines.append(f"| {found['corpus']} | {title} | {_score_cells(row)} |")
    titles = {
        "gender_on_audiomnist_az": "**the model that ships**",
        "gender_on_audiomnist_az_at_8000_hz": "the model that ships, recordings at 8 kHz",
        "gender_on_librispeech": "the model that ships; calibrated on these readers, not trained on them",
        "gender_synthetic_on_audiomnist_az": "trained on synthetic voices only",
        "gender_synthetic_on_librispeech": "trained on synthetic voices only",
    }
    for name, title in titles.items():
        found = read_json(RESULTS / "shipped" / f"{name}.json")
        n_refused = sum(found["all"]["not_answered"].values())
        refused = f" ({n_refused} recordings refused and not counted)" if n_refused else ""
        cells = _score_cells(found["all"]["recordings"])
        lines.append(f"| {found['corpus']} | {title}{refused} | {cells} |")
        if "doubtful" in found:
            without = f"without speakers {' and '.join(found['doubtful'])}, men by label with the pitch of women"
            lines.append(f"| | {without} | {_score_cells(found['without_doubtful']['recordings'])} |")
    return "\n".join(lines)


def _score_cells(row: dict) -> str:
    low, high = row["intervals"]["balanced_accuracy"]
    balanced = f"{row['scores']['balanced_accuracy']:.1%} | {low:.1%} to {high:.1%}".replace("%", " %")
    return f"{balanced} | {row['scores']['auc']:.3f}"


def leak_sentence() -> str:
    """What the same speakers on both sides were worth, on the study's own images."""
    rows = read_json(RESULTS / "audiomnist" / "unseen_speakers.json")["rows"]
    cost = rows["mfc"]["cost_of_leakage"]
    low, high = cost["interval"]
    aucs = [rows[name]["scores"]["auc"] for name in ("mfc, speakers heard in training", "mfc")]
    return (
        f"With a shorter recipe, the same on both sides, the study's images of AudioMNIST get a balanced accuracy of "
        f"{100 * cost['heard']:.1f} % for speakers that were in training and {100 * cost['unheard']:.1f} % for those "
        f"that were not: {100 * cost['difference']:.1f} points (95 % interval over {cost['speakers']} speakers "
        f"{100 * low:.1f} to {100 * high:.1f}) less with people it has never heard. The ROC AUC, which depends on no "
        f"threshold, falls from {aucs[0]:.3f} to {aucs[1]:.3f}. (Besides, a network that is tested on other speakers "
        f"has heard only three fifths of them.)"
    )


def ceiling_sentence() -> str:
    """How far the study's images go with people who were not in training, in whatever way they are trained on."""
    variants = read_json(RESULTS / "audiomnist" / "unseen_speakers.json")["variants"]
    *tried, together = (found["scores"]["balanced_accuracy"] for found in variants.values())
    low, high = list(variants.values())[-1]["intervals"]["balanced_accuracy"]
    return (
        f"Other training did not help measurably: on the folds of AudioMNIST's paper, 12 training speakers each, "
        f"{len(tried)} networks (two sizes, mixup, longer shifts, three seeds) get between {100 * min(tried):.1f} and "
        f"{100 * max(tried):.1f} %, and all of them asked together {100 * together:.1f} % (95 % interval over "
        f"speakers {100 * low:.1f} to {100 * high:.1f})."
    )


def points(gain: dict) -> str:
    """A paired difference (see unseen_speakers.paired_difference) in points of balanced accuracy, with its interval."""
    low, high = gain["interval"]
    return f"{100 * gain['difference']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"


def gain_sentences() -> str:
    """What the harmonic view gains over others with people who were not in training, and what it owes to the pitch."""
    gains = read_json(RESULTS / "audiomnist_az" / "unseen_speakers.json")["rows"]["harmonic"]
    views = read_json(RESULTS / "audiomnist_az" / "views.json")["rows"]
    smoothed = views["harmonic, the harmonics smoothed away"]
    return (
        f"On AudioMNIST_AZ, paired by speaker, view harmonic is {points(gains['gain'])} against view mfc and "
        f"{points(gains['gain_over_f0'])} against a threshold on the median F0. It is the harmonics that count: small "
        f"networks that see the same image with its harmonics smoothed away, which leaves the envelope, get "
        f"{points(smoothed['gain'])} against the image as it is (three seeds, `scripts/studies/compare_views.py`)."
    )


def weights_of(path: Path) -> int:
    """How many numbers a safetensors file holds."""
    with safe_open(path, framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())


def shipped_sentence() -> str:
    """What the model that ships is, and what limits its figures."""
    model = RESULTS / "shipped" / "gender.safetensors"
    assessed = read_json(RESULTS / "shipped" / "gender_on_audiomnist_az.json")
    card = read_json(model.with_suffix(".json"))
    readers = read_json(RESULTS / "shipped" / "gender_on_librispeech.json")["all"]
    ablation = read_json(RESULTS / "shipped" / "ablation.json")["rows"]
    raised, plain = (ablation[name]["scores"]["balanced_accuracy"] for name in ("nothing", "raised voices"))
    right = readers["accuracy_of_gender"]
    against_f0 = read_json(RESULTS / "audiomnist_az" / "unseen_speakers.json")["shipped_against_f0"]
    return (
        f"The model that ships has {weights_of(model) / 1e6:.2f} million weights, {model.stat().st_size / 1e6:.1f} MB, "
        f"and learned from {card['speakers']['train']} speakers of LibriSpeech and AudioMNIST. Were the two doubtful "
        f"speakers the only men that it takes for women, its ROC AUC would be {assessed['auc_of_doubtful']:.3f}. With "
        f"refusals counted as wrong, the balanced accuracy is "
        f"{100 * assessed['all']['balanced_accuracy_if_refused_is_wrong']:.1f} %. Against a threshold on the median F0 "
        f"that was fitted on other speakers of the same corpus it is {points(against_f0)}, paired by speaker. What "
        f"was learned from looking at AudioMNIST_AZ is worth some points there: voices are raised in training, since "
        f"people raise them to say single words, and without that a smaller version gets {100 * plain:.1f} instead of "
        f"{100 * raised:.1f} %. It has a price: of English readers who speak as people read aloud, "
        f"{100 * right['female']:.0f} % of the women's recordings and {100 * right['male']:.0f} % of the men's are "
        f"told rightly, although it ranks them almost without error "
        f"(ROC AUC {readers['recordings']['scores']['auc']:.3f})."
    )


def speed_table() -> str:
    """What scripts/upkeep/benchmark.py measured: how many times faster each step is than its plain form."""
    measured = read_json(RESULTS / "benchmark.json")
    lines = ["| step | rate | times the plain way | range |", "|---|---|---|---|"]
    timed = {name: found for name, found in measured.items() if "seconds" in found}
    cached = timed.pop("notebooks", None)
    for found in timed.values():
        low, high = found["ratio"]["range"]
        seconds = median(found["seconds"]["pipeline"])
        rate = f"{found['n'] / seconds:,.0f} {found['unit']} a second" if found["n"] > 10 else f"{seconds:.1f} s"
        several = f"{low:.1f} to {high:.1f}" if len(found["seconds"]["pipeline"]) > 1 else "one pair"
        lines.append(f"| {found['what']} | {rate} | {found['ratio']['median']:.1f} | {several} |")
    steps_on = {}
    for found in measured.values():
        machine = f"{found['machine']['cores']} cores ({found['machine']['cpu']})"
        steps_on.setdefault(machine, []).append(found["what"])
    most = max(steps_on, key=lambda machine: len(steps_on[machine]))
    told = f"Measured without a GPU on {most}"
    told += "".join(f"; on {machine}: {', '.join(what)}" for machine, what in steps_on.items() if machine != most) + "."
    if cached:
        told += f" A second run of all notebooks, from caches, is {cached['ratio']['median']:.1f} times as fast."
    if "memory" in measured:
        sizes = [f"{name} {size / 1e9:.1f} GB" for name, size in measured["memory"]["bytes"].items()]
        told += f" Memory at its most: {', '.join(sizes)}."
    return "\n".join([*lines, "", told])


def run_times() -> str:
    """How long each notebook takes, from scripts/upkeep/benchmark.py."""
    measured = read_json(RESULTS / "benchmark.json").get("notebooks")
    if measured is None:
        return "How long they take on the demo corpus has not been measured."
    times = [f"{number} {first} s and {again} s" for number, (first, again) in measured["seconds_of_each"].items()]
    return (
        f"On the demo corpus (synthetic voices) and {measured['machine']['cores']} cores, first run and second run: "
        f"{', '.join(times)}."
    )


BLOCKS = {
    "results": results_table,
    "leak": leak_sentence,
    "ceiling": ceiling_sentence,
    "gain": gain_sentences,
    "unseen": unseen_table,
    "grad cam": grad_cam_sentences,
    "shipped": shipped_sentence,
    "speed": speed_table,
    "precision": precision_sentence,
    "run times": run_times,
}


def cards() -> dict[Path, str]:
    """The text of each card, by the file that it belongs into."""
    shipped = RESULTS / "shipped"
    model = model_card(
        read_json(shipped / "gender.json"),
        read_json(shipped / "gender_on_audiomnist_az.json"),
        read_json(shipped / "gender_on_audiomnist_az_at_8000_hz.json"),
        read_json(shipped / "gender_on_librispeech.json"),
        n_weights=weights_of(shipped / "gender.safetensors"),
    )
    return {
        RESULTS / "shipped" / "model_card.md": model,
        RESULTS / "audiomnist" / "data_card.md": data_card(read_json(RESULTS / "audiomnist" / "corpus.json")),
    }


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def updated(readme: str) -> str:
    """The README's text with fresh results between the marks of each block."""
    for name, fresh in BLOCKS.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if not 0 <= readme.find(begin) < readme.find(end):
            raise ValueError(f"README.md: {begin} … {end} is not there")
        before, _, rest = readme.partition(begin)
        _, _, after = rest.partition(end)
        readme = f"{before}{begin}\n{fresh()}\n{end}{after}"
    return readme


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    readme = README.read_text(encoding="utf-8")
    fresh = {README: updated(readme)} | cards()
    stale = [path for path, text in fresh.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if options.check:
        for path in stale:
            print(f"{path.name} is stale; run python scripts/upkeep/update_readme.py", file=sys.stderr)
        return int(bool(stale))
    for path in stale:
        write_atomically(path, fresh[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
