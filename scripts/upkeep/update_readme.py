#!/usr/bin/env python3
"""Write the figures of README and results/README.md, and the cards, from results/: no number is typed twice.

    python scripts/upkeep/update_readme.py            write them
    python scripts/upkeep/update_readme.py --check    exit with 1 if one is stale

In both pages the figures stand between marks such as <!-- results -->.
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
from collections.abc import Callable
from statistics import mean, median, stdev

import pandas as pd
from safetensors import safe_open

from speaker_gender.caching import write_atomically
from speaker_gender.config import GENDERS, RESULTS, ROOT
from speaker_gender.judging.attention import ALL_NETWORKS
from speaker_gender.judging.baselines import F0, LENGTH
from speaker_gender.judging.comparisons import in_points, mel_sentence
from speaker_gender.judging.map_tests import OTHER, OWN
from upkeep.cards import data_card, model_card, names_of, share_of

README, RESULTS_PAGE = ROOT / "README.md", ROOT / "results" / "README.md"
STUDY = {"error_rate": 0.0107, "f1": 0.973}  # as the study reports them
WITHOUT_VOICE = ("majority class", LENGTH)  # methods that a speaker's pitch makes no difference to
SEEN = "speakers seen in training"  # in the titles of rows of unseen_speakers.json that are not of unseen speakers


def numbers_table() -> str:
    """The three numbers that the project is about: balanced error on seen speakers, on unseen ones, and with pitch."""
    evaluation = read_json(RESULTS / "audiomnist" / "evaluation.json")
    leak = read_json(RESULTS / "audiomnist" / "unseen_speakers.json")["rows"]["mfc"]
    methods = read_json(RESULTS / "audiomnist_az" / "methods.json")["rows"]
    pitch, without, shipped = (methods[name]["all"] for name in ("harmonic", "mfc", "the shipped model"))

    def cells(row: dict) -> str:
        low, high = row["intervals"]["balanced_accuracy"]
        error = 100 * (1 - row["scores"]["balanced_accuracy"])
        return f"**{error:.1f} %** | {100 * (1 - high):.1f} to {100 * (1 - low):.1f} %"

    return "\n".join(
        [
            "| tested on | balanced error | 95 % interval over speakers | measured on |",
            "|---|---|---|---|",
            f"| speakers in the training set, the study's images | {cells(evaluation)} | AudioMNIST, "
            f"{evaluation['images']:,} test images of {evaluation['speakers']} speakers, one network; "
            f"{100 * (1 - leak['cost_of_leakage']['seen']):.1f} % with the shorter recipe of the next row |",
            f"| unseen speakers, the same images | {cells(leak)} | AudioMNIST, {leak['images']:,} images of "
            f"{leak['speakers']} speakers, five groups |",
            f"| unseen speakers, an image that keeps the pitch | {cells(pitch)} | AudioMNIST_AZ, {pitch['images']:,} "
            f"recordings of {pitch['speakers']} speakers, five groups; a development set. The study's images get "
            f"{100 * (1 - without['scores']['balanced_accuracy']):.1f} % there, the shipped model, trained on other "
            f"corpora, {100 * (1 - shipped['scores']['balanced_accuracy']):.1f} % |",
            "",
            "*Balanced error*: the mean of the error rates of women's and of men's recordings. Chance is 50 %.",
        ]
    )


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
    return "\n".join(
        [
            f"AudioMNIST, random split (**the same {evaluation['speakers']} speakers in training and test**), "
            f"{card['split']['train']:,} training and {evaluation['images']:,} test images. ResNet-34 from "
            f"{'ImageNet weights' if card['imagenet_weights'] else 'scratch'}, {n_epochs} epochs at {height} × {width} "
            f"pixels, seed {evaluation['seed']}, {minutes:.0f} minutes on 2 busy CPU cores:",
            "",
            "| | here | 95 % interval over speakers | the study |",
            "|---|---|---|---|",
            row("error_rate", "error rate", percent=True),
            row("f1", "F1, female positive", percent=False),
            row("balanced_accuracy", "balanced accuracy", percent=True),
            row("auc", "ROC AUC", percent=False),
            "",
            seeds_sentences(card),
        ]
    )


def seeds_sentences(card: dict) -> str:
    """Mean and standard deviation over seeds, of this recipe and of that with auxiliary targets."""
    folder = RESULTS / "audiomnist" / "models"
    runs = _runs_like(card, folder)
    auxiliary = read_json(folder / "mfc_auxiliary_seed42.json")
    of_auxiliary = _runs_like(auxiliary, folder, "mfc_auxiliary_seed*.json")
    seeds = [str(run["recipe"]["seed"]) for run in of_auxiliary]
    return (
        f"Mean and standard deviation over {_seeds_of(runs)}, fresh splits of the same images: {_spread(runs)}. "
        f"With the speaker and the digit as further targets ({auxiliary['recipe']['epochs']} epochs, seeds "
        f"{', '.join(seeds)}): {_spread(of_auxiliary)}. That recipe was chosen on these splits; on unseen "
        f"speakers it was not tested."
    )


def _seeds_of(runs: list[dict]) -> str:
    seeds = [str(run["recipe"]["seed"]) for run in runs]
    return f"seeds {', '.join(seeds)}" if len(seeds) > 1 else f"seed {seeds[0]}"


def seeds_table() -> str:
    """Every network trained on AudioMNIST's random splits, a row each."""
    folder = RESULTS / "audiomnist"
    cards = [read_json(path) for path in sorted((folder / "models").glob("mfc_*_seed*.json"))]
    lines = [
        "| targets | seed | epochs | error rate | F1, female | test images | minutes | recipe chosen on this split |"
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for card in sorted(cards, key=lambda card: (card["recipe"]["speaker_weight"], card["recipe"]["seed"])):
        auxiliary, last = bool(card["recipe"]["speaker_weight"]), card["history"][-1]
        targets = "gender, speaker, digit" if auxiliary else "gender"
        lines.append(
            f"| {targets} | {card['recipe']['seed']} | {card['recipe']['epochs']} | {100 * last['error_rate']:.2f} % | "
            f"{last['f1_score']:.4f} | {card['split']['valid']:,} | {card['seconds'] / 60:.0f} | "
            f"{'yes' if auxiliary else 'no'} |"
        )
    return "\n".join(
        [
            *lines,
            "",
            "AudioMNIST, random split, the same 60 speakers in training and test. The splits of seeds 1 to 3 "
            "are fresh draws of "
            "the same images: about half of each test part was also in a test part on which the recipe was chosen.",
        ]
    )


def precision_sentence() -> str:
    """How far the scores move where a machine trains in bfloat16, or where it sums in another order."""
    folder = RESULTS / "audiomnist"
    pattern = "mfc_auxiliary_seed*.json"
    card = read_json(folder / "models" / "mfc_auxiliary_seed42.json")
    others = _runs_like(card, folder / "bfloat16", pattern)
    seeds = [run["recipe"]["seed"] for run in others]
    runs = [run for run in _runs_like(card, folder / "models", pattern) if run["recipe"]["seed"] in seeds]
    shipped = read_json(RESULTS / "shipped" / "gender.json")
    members = [{"history": history} for history in shipped["history"].values()]
    return (
        f"Seeds {' and '.join(map(str, seeds))} on AudioMNIST, random split, with auxiliary targets, mean and standard "
        f"deviation: in "
        f"{card['precision']} {_spread(runs)}; in {others[0]['precision']} {_spread(others)}. Summation in another "
        f"order gives other weights, as another seed does. The {len(members)} networks of the shipped model differ in "
        f"the seed alone; on {shipped['split']['valid']:,} augmented images of the {shipped['speakers']['valid']} "
        f"speakers who also "
        f"calibrated the model: {_spread(members)}."
    )


def _runs_like(card: dict, folder: Path, pattern: str = "mfc_random_seed*.json") -> list[dict]:
    """The cards in the folder of networks that were trained by the same recipe as this one's, from any seed."""
    runs = [read_json(path) for path in sorted(folder.glob(pattern))]
    return [run for run in runs if run["recipe"] | {"seed": None} == card["recipe"] | {"seed": None}]


def _spread(runs: list[dict]) -> str:
    errors, f1 = ([run["history"][-1][score] for run in runs] for score in ("error_rate", "f1_score"))
    if len(runs) < 2:
        return f"error rate {100 * errors[0]:.2f} %, F1 {f1[0]:.4f}"
    return f"error rate {100 * mean(errors):.2f} ± {100 * stdev(errors):.2f} %, F1 {mean(f1):.4f} ± {stdev(f1):.4f}"


def grad_cam_sentences() -> str:
    """What notebook 04 found about where networks look, and which tests their maps pass, in full."""
    evaluation = read_json(RESULTS / "audiomnist" / "evaluation.json")
    found = evaluation.get("grad_cam")
    if found is None:
        return "Not measured since the maps are grouped by true gender: run notebook 04."
    return " ".join([_attention(found), _deletion(found), _randomisation(found), _hidden(evaluation)])


def grad_cam_summary() -> str:
    """The same in short: the rows on which all networks agree, and the orders of deletion that the maps beat."""
    found = read_json(RESULTS / "audiomnist" / "evaluation.json").get("grad_cam")
    if found is None:
        return grad_cam_sentences()
    n_networks = len(found["networks"])
    rows = [row for row in found["attention"] if row["network"] == ALL_NETWORKS]
    agreed = [
        f"{row['coefficients']} ({100 * row['difference']:+.1f} percentage points)"
        for row in rows
        if row["same_direction"] == n_networks and (row["low"] > 0 or row["high"] < 0)
    ]
    orders: dict[str, list[dict]] = {}
    for row in found["deletion"]:
        if row["network"] != ALL_NETWORKS and row["order"] != OWN:
            orders.setdefault(row["order"], []).append(row)
    beaten = ", ".join(
        f"than {name} in {sum(row['above_own_low'] > 0 for row in networks)}" for name, networks in orders.items()
    )
    return (
        f"The study read its maps as *female: attention slightly higher up*. {n_networks} networks agree in the sign "
        f"of a difference only in coefficients {', '.join(agreed) or 'none'}, one row of {len(rows)}, as chance alone "
        f"often would. An image's own map finds what matters better {beaten} of {n_networks} networks."
    )


def _attention(found: dict) -> str:
    """In which rows the attention to women's images differs from that to men's, and in how many networks."""
    n_networks = len(found["networks"])
    rows = [row for row in found["attention"] if row["network"] == ALL_NETWORKS]
    shown = ", ".join(
        f"coefficients {row['coefficients']} {100 * row['difference']:+.1f} ({100 * row['low']:+.1f} to "
        f"{100 * row['high']:+.1f}; this direction in {row['same_direction']} of {n_networks})"
        for row in rows
    )
    speakers = " and ".join(f"{found['speakers'][gender]} {gender}" for gender in GENDERS)
    return (
        f"The study read its maps as *female: attention slightly higher up*. Share of attention in correctly "
        f"classified images, female minus male, in percentage points (mean of {n_networks} networks of different "
        f"seeds, 95 % interval over {speakers} speakers): {shown}."
    )


def _deletion(found: dict) -> str:
    """Whether an image's own map finds what matters better than other orders do."""
    orders = {row["order"]: row for row in found["deletion"] if row["network"] == ALL_NETWORKS}
    own = orders.pop(OWN)
    others = ", ".join(
        f"{row['area']:.3f} in the order of {name} (above the own map by {row['above_own']:+.3f}, "
        f"{row['above_own_low']:+.3f} to {row['above_own_high']:+.3f})"
        for name, row in orders.items()
    )
    return (
        f"Deletion, {found['sample']:,} images in all, paired over {own['speakers']} speakers: the area under the "
        f"curve is {own['area']:.3f} in the order of the image's own map, {others}. Smaller is better."
    )


def _randomisation(found: dict) -> str:
    """Whether maps change with the weights (Adebayo et al.)."""
    alike = {row["compared_with"]: row for row in found["randomisation"] if row["measure"] == "rank_correlation"}
    whole, other = alike["whole network"], alike[OTHER]
    return (
        f"With random weights in the whole network, the maps' rank correlation with the trained network's is "
        f"{whole['mean']:.2f} ({whole['low']:.2f} to {whole['high']:.2f}); with the map of another image it is "
        f"{other['mean']:.2f}."
    )


def _hidden(evaluation: dict) -> str:
    """Which coefficients one network needs."""
    balanced = dict(enumerate(evaluation["balanced_accuracy_with_coefficient_hidden"]))
    dearest = sorted(balanced, key=lambda coefficient: balanced[coefficient])[:3]
    costs = ", ".join(f"{100 * (1 - balanced[coefficient]):.1f} %" for coefficient in dearest)
    nothing = 100 * (1 - evaluation["scores"]["balanced_accuracy"])
    return (
        f"Hidden one at a time, coefficients {', '.join(map(str, dearest))} cost most in one of these networks: "
        f"balanced error {costs} instead of {nothing:.1f} %."
    )


def unseen_table() -> str:
    """Balanced accuracy on unseen speakers, by corpus and by method; refusals count as wrong."""
    lines = [
        "| corpus | method | speakers | recordings | balanced accuracy | 95 % interval over speakers | ROC AUC |",
        "|---|---|---|---|---|---|---|",
    ]
    found = read_json(RESULTS / "audiomnist" / "unseen_speakers.json")
    unseen = {title: row for title, row in found["rows"].items() if SEEN not in title}
    lines += [f"| {found['corpus']} | {title} | {_score_cells(row)} |" for title, row in unseen.items()]
    for name in ("audiomnist_az", "ukrainiandigits"):
        found = read_json(RESULTS / name / "methods.json")
        for title, both in found["rows"].items():
            lines += _rows_both_ways(found["corpus"], title, both, found["doubtful"])
    titles = {
        "gender_on_audiomnist_az_at_8000_hz": "the shipped model, recordings at 8 kHz",
        "gender_on_librispeech": "the shipped model; calibrated on these readers, not trained on them",
        "gender_on_common_voice": "the shipped model; calibrated on these speakers, not trained on them",
        "gender_synthetic_on_audiomnist_az": "trained on synthetic voices only",
        "gender_synthetic_on_librispeech": "trained on synthetic voices only",
    }
    for name, title in titles.items():
        found = read_json(RESULTS / "shipped" / f"{name}.json")
        lines.append(f"| {found['corpus']} | {title}{_refused(found['all'])} | {_score_cells(_part(found['all']))} |")
        if "doubtful" in found:
            cells = _score_cells(_part(found["without_doubtful"]))
            lines.append(f"| | … without {names_of(found['doubtful'])} | {cells} |")
    return "\n".join(lines)


def _rows_both_ways(corpus: str, title: str, both: dict, doubtful: list[str]) -> list[str]:
    """A method's row, and a second one without the speakers of doubtful label."""
    n_refused = both["all"].get("refused", 0)
    refused = f" ({n_refused} recordings refused, counted as wrong)" if n_refused else ""
    lines = [f"| {corpus} | {title}{refused} | {_score_cells(both['all'])} |"]
    if "without_doubtful" in both and title not in WITHOUT_VOICE:
        lines.append(f"| | … without {names_of(doubtful)} | {_score_cells(both['without_doubtful'])} |")
    return lines


def _part(assessed: dict) -> dict:
    """All recordings, refusals wrong, or the classified ones where an older assessment has no others."""
    return assessed.get("all_recordings", assessed["recordings"])


def _refused(assessed: dict) -> str:
    n_refused = sum(assessed["not_answered"].values())
    if not n_refused:
        return ""
    counted = "counted as wrong" if "all_recordings" in assessed else "not counted"
    return f" ({n_refused} recordings refused, {counted})"


def _score_cells(row: dict) -> str:
    low, high = row["intervals"]["balanced_accuracy"]
    balanced = f"{row['scores']['balanced_accuracy']:.1%} | {low:.1%} to {high:.1%}".replace("%", " %")
    return f"{row['speakers']} | {row['images']:,} | {balanced} | {row['scores']['auc']:.3f}"


def leak_sentence() -> str:
    """What the same speakers in training and test are worth, on the study's own images."""
    rows = read_json(RESULTS / "audiomnist" / "unseen_speakers.json")["rows"]
    cost = rows["mfc"]["cost_of_leakage"]
    low, high = cost["interval"]
    aucs = [rows[name]["scores"]["auc"] for name in (f"mfc, {SEEN}", "mfc")]
    return (
        f"The study's split has the same speakers in training and test. With one recipe for both, its images get a "
        f"balanced accuracy of {100 * cost['seen']:.1f} % on speakers of the training set and "
        f"{100 * cost['unseen']:.1f} % on unseen ones: {100 * cost['difference']:.1f} percentage points less (95 % "
        f"interval over {cost['speakers']} speakers {100 * low:.1f} to {100 * high:.1f}; ROC AUC {aucs[0]:.3f} and "
        f"{aucs[1]:.3f}). The second training set also holds only three fifths of the speakers."
    )


def ceiling_sentence() -> str:
    """How far the study's images go on unseen speakers, over several ways to train."""
    variants = read_json(RESULTS / "audiomnist" / "unseen_speakers.json")["variants"]
    *tried, together = (found["scores"]["balanced_accuracy"] for found in variants.values())
    low, high = list(variants.values())[-1]["intervals"]["balanced_accuracy"]
    return (
        f"Other training did not help measurably: on the folds of AudioMNIST's paper, 12 training speakers each, "
        f"{len(tried)} networks (two sizes, mixup, longer shifts, three seeds) get between {100 * min(tried):.1f} and "
        f"{100 * max(tried):.1f} %, and the ensemble of all of them {100 * together:.1f} % (95 % interval over "
        f"speakers {100 * low:.1f} to {100 * high:.1f})."
    )


def gain_sentence() -> str:
    """What an image that keeps the pitch gains on unseen speakers, and whether it is the pitch."""
    methods = read_json(RESULTS / "audiomnist_az" / "methods.json")["comparisons"]
    smoothed = read_json(RESULTS / "audiomnist_az" / "views.json")["rows"]["harmonic, the harmonics smoothed away"]
    gain = methods["harmonic compared with mfc"]["all"]
    return (
        f"View *harmonic* keeps it. On {gain['recordings']:,} recordings of {gain['speakers']} unseen speakers of "
        f"AudioMNIST_AZ, a development set, its balanced accuracy is {100 * gain['first']:.1f} %: {in_points(gain)} "
        f"compared with the study's images, {in_points(methods[f'harmonic compared with {F0}']['all'])} compared "
        f"with a threshold "
        f"on the median F0. In small networks of three seeds, smoothing the harmonics away changes it by "
        f"{in_points(smoothed['gain'])}."
    )


def owed_sentences() -> str:
    """What images that keep the pitch gain, how much of it is the pitch, and how they compare with F0, in full."""
    views = read_json(RESULTS / "audiomnist_az" / "views.json")
    lines = [
        f"| image ({views['corpus']}, small networks, {len(views['seeds'])} seeds) | speakers | recordings | balanced "
        f"accuracy | 95 % interval over speakers | ROC AUC | compared with harmonic |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {title} | {_score_cells(row)} | {in_points(row['gain'])} |" for title, row in views["rows"].items()]
    return "\n".join([*lines, "", f"{mel_sentence(views)} (`scripts/studies/compare_views.py`)", "", f0_sentences()])


def f0_sentences() -> str:
    """What the shipped model, and networks on view harmonic, gain over a threshold on the median F0."""
    sentences = []
    for name in ("audiomnist_az", "ukrainiandigits"):
        found = read_json(RESULTS / name / "methods.json")
        for title, both in found["comparisons"].items():
            if title.endswith(f"compared with {F0}"):
                gain = both["all"]
                others = ""
                if "without_doubtful" in both:
                    others = f"; without {names_of(found['doubtful'])} {in_points(both['without_doubtful'])}"
                sentences.append(
                    f"{title.partition(' compared')[0]}, {found['corpus']}: {in_points(gain)}, {gain['recordings']:,} "
                    f"recordings of {gain['speakers']} speakers{others}"
                )
    return (
        f"Compared with a threshold on the median F0 on the same recordings, refusals wrong for both: "
        f"{'. '.join(sentences)} (`scripts/studies/compare_methods.py`)."
    )


def weights_of(path: Path) -> int:
    """Count the numbers that a safetensors file holds."""
    with safe_open(path, framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())


def shipped_sentence() -> str:
    """What the shipped model is, and what limits its figures."""
    model = RESULTS / "shipped" / "gender.safetensors"
    assessed = read_json(RESULTS / "shipped" / "gender_on_audiomnist_az.json")
    card = read_json(model.with_suffix(".json"))
    doubtful = len(pd.read_csv(RESULTS / "shipped" / "label_issues.csv"))
    on_az = assessed["all"]["all_recordings"]
    women, men = (share_of(on_az["of_gender"][gender]) for gender in GENDERS)
    on_ukrainian = read_json(RESULTS / "shipped" / "gender_on_ukrainiandigits.json")["all"]["all_recordings"]
    over_f0 = [
        read_json(RESULTS / name / "methods.json")["comparisons"][f"the shipped model compared with {F0}"]["all"]
        for name in ("audiomnist_az", "ukrainiandigits")
    ]
    return (
        f"**The shipped model** ({weights_of(model) / 1e6:.2f} million weights, {model.stat().st_size / 1e6:.1f} MB) "
        f"was trained on {card['speakers']['train']:,} speakers of Common Voice, LibriSpeech, AudioMNIST and spoken "
        f"digits. "
        f"{doubtful} speakers whose label a cross-validation contradicts were left out. On two development sets, "
        f"refusals wrong, its balanced accuracy is {100 * on_az['scores']['balanced_accuracy']:.1f} % "
        f"(AudioMNIST_AZ, {on_az['images']:,} recordings of {on_az['speakers']} speakers; men {men}, women {women}) "
        f"and {100 * on_ukrainian['scores']['balanced_accuracy']:.1f} % (Ukrainian digits, {on_ukrainian['images']:,} "
        f"recordings of {on_ukrainian['speakers']} speakers): {in_points(over_f0[0])} and {in_points(over_f0[1])} "
        f"compared with a threshold on F0 that is fitted on the same corpus. [All "
        f"results](results/README.md#unseen-speakers), with "
        f"and without doubtful labels."
    )


def speed_table() -> str:
    """What scripts/upkeep/benchmark.py measured: how many times faster each step is than its baseline."""
    measured = read_json(RESULTS / "benchmark.json")
    lines = ["| step | rate | times the baseline implementation | range |", "|---|---|---|---|"]
    timed = {name: found for name, found in measured.items() if "seconds" in found}
    timed.pop("notebooks_before")
    cached = timed.pop("notebooks", None)
    for found in timed.values():
        low, high = found["ratio"]["range"]
        seconds = median(found["seconds"]["pipeline"])
        rate = f"{found['n'] / seconds:,.0f} {found['unit']} a second" if found["n"] > 10 else f"{seconds:.1f} s"
        several = f"{low:.1f} to {high:.1f}" if len(found["seconds"]["pipeline"]) > 1 else "one pair"
        lines.append(f"| {found['what']} | {rate} | {found['ratio']['median']:.1f} | {several} |")
    steps_on: dict[str, list[str]] = {}
    for found in timed.values():
        machine = f"{found['machine']['cores']} cores ({found['machine']['cpu']})"
        steps_on.setdefault(machine, []).append(found["what"])
    most = max(steps_on, key=lambda machine: len(steps_on[machine]))
    conditions = f"Measured without a GPU on {most}"
    conditions += "".join(f"; on {name}: {', '.join(what)}" for name, what in steps_on.items() if name != most) + "."
    if "training" in measured:
        conditions += f" {_training_errors(measured['training'])}"
    if cached:
        conditions += f" A second run of all notebooks, from caches, is {cached['ratio']['median']:.1f} times as fast."
    if "memory" in measured:
        sizes = [f"{name} {size / 1e9:.1f} GB" for name, size in measured["memory"]["bytes"].items()]
        conditions += f" Peak memory: {', '.join(sizes)}."
    return "\n".join([*lines, "", conditions])


def _training_errors(found: dict) -> str:
    """What the row of training does not compare: the time to an equal error."""
    reference, pipeline = (100 * median(found["validation_error"][name]) for name in ("reference", "pipeline"))
    return (
        f"Training is timed for the same images and epochs, not to the same error: the validation error is then "
        f"{reference:.1f} % by the baseline implementation and {pipeline:.1f} % by the pipeline, on other image sizes."
    )


def run_times() -> str:
    """How long each notebook takes, from scripts/upkeep/benchmark.py, and took before the first run was shortened."""
    measured = read_json(RESULTS / "benchmark.json")
    now, before = measured["notebooks"], measured["notebooks_before"]
    columns = now["columns"]
    lines = [f"| notebook | first run before | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for number, times in now["seconds_of_each"].items():
        former = before["seconds_of_each"].get(number, [""])[0]
        lines.append(f"| {number} | {former} | {' | '.join(map(str, times))} |")
    sums = [sum(times) for times in zip(*now["seconds_of_each"].values())]
    former = sum(times[0] for times in before["seconds_of_each"].values())
    return "\n".join(
        [
            *lines,
            f"| all | {former} | {' | '.join(map(str, sums))} |",
            "",
            f"Seconds on the demo corpus (synthetic voices) and {now['machine']['cores']} cores with AVX-512. Before, "
            "05 held what is now 05 and 06, and 06 was the deploy notebook. The last column is of the same machine "
            "with the libraries' code for AVX-512 switched off. A real machine with 2 cores and AVX2 only took 29 "
            f"minutes for the first run before, {29 * 60 / former:.1f} times as long as this one. It was not at hand "
            "since.",
        ]
    )


def length_sentence() -> str:
    """What the length of a recording predicts, and what remains where every image is cropped alike."""
    found = read_json(RESULTS / "audiomnist" / "duration.json")
    lines = ["| AudioMNIST, folds of its paper | speakers | recordings | balanced accuracy | 95 % interval | ROC AUC |"]
    lines += ["|---|---|---|---|---|---|"]
    lines += [f"| {title} | {_score_cells(row)} |" for title, row in found["rows"].items()]
    return "\n".join([*lines, "", "`scripts/studies/duration.py`"])


def detectors_table() -> str:
    """Errors of detectors of speech: real words refused, and sounds without speech answered."""
    rows = read_json(RESULTS / "speech_detectors.json")["rows"]
    names = list(next(iter(rows.values()))["wrong"])
    lines = [f"| sounds | recordings | {' | '.join(names)} |", "|---|---|" + "---|" * len(names)]
    for title, row in rows.items():
        wrong = " | ".join(f"{row['wrong'][name]:,}" if name in row["wrong"] else "" for name in names)
        lines.append(f"| {title} | {row['recordings']:,} | {wrong} |")
    return "\n".join([*lines, "", "Numbers of wrong answers. `scripts/studies/speech_detectors.py`"])


def changed_table() -> str:
    """What codecs and clipping cost the shipped model, on each development set."""
    found = read_json(RESULTS / "shipped" / "changed_recordings.json")
    sets = found["rows"]
    titles = []
    for corpus, rows in sets.items():
        first = next(iter(rows.values()))
        titles += [f"{corpus}, {first['images']} recordings of {first['speakers']} speakers", "refused", "difference"]
    lines = [f"| recordings | {' | '.join(titles)} |", "|---|" + "---|" * len(titles)]
    for change in next(iter(sets.values())):
        cells = []
        for rows in sets.values():
            row = rows[change]
            difference = in_points(row["difference"]).replace("percentage points ", "")
            cells += [f"{row['scores']['balanced_accuracy']:.1%}".replace("%", " %"), str(row["refused"]), difference]
        lines.append(f"| {change} | {' | '.join(cells)} |")
    explained = (
        f"Balanced accuracy of the shipped model, refusals counted as wrong, and the difference from the same "
        f"recordings as they are, in percentage points with its 95 % interval over speakers. At most {found['each']} "
        f"recordings of each speaker. Development sets (`scripts/studies/changed_recordings.py`)."
    )
    return "\n".join([*lines, "", explained])


def mixed_table() -> str:
    """Errors of the rule that finds several voices in one recording."""
    found = read_json(RESULTS / "shipped" / "mixed_recordings.json")
    cost = str(found["switch_cost"])
    kinds = list(next(iter(found["rows"].values()))["by_cost"][cost])
    lines = [f"| recordings put together from | {' | '.join(found['rows'])} |", "|---|" + "---|" * len(found["rows"])]
    for kind in kinds:
        cells = [row["by_cost"][cost][kind] for row in found["rows"].values()]
        counts = " | ".join(f"{cell['called_mixed']} of {cell['recordings']}" for cell in cells)
        lines.append(f"| {kind} | {counts} |")
    unsure = [
        band
        for row in found["rows"].values()
        for name, band in row["accuracy_in_bands"].items()
        if float(name.strip("[)").split(", ")[1]) <= found["unsure_under"]
    ]
    correct, recordings = (sum(band[field] for band in unsure) for field in ("correct", "recordings"))
    return "\n".join(
        [
            *lines,
            "",
            f"Answered *mixed*, with the cost of a change of label in use ({cost}). Under a probability of "
            f"{100 * found['unsure_under']:.0f} % the answer is *unsure*: {correct} of {recordings} such recordings "
            f"would have been correct. Development sets, on which both were chosen "
            f"(`scripts/studies/mixed_recordings.py`).",
        ]
    )


BLOCKS: dict[Path, dict[str, Callable[[], str]]] = {
    README: {
        "numbers": numbers_table,
        "results": results_table,
        "grad cam": grad_cam_summary,
        "leak": leak_sentence,
        "gain": gain_sentence,
        "shipped": shipped_sentence,
    },
    RESULTS_PAGE: {
        "seeds": seeds_table,
        "unseen": unseen_table,
        "ceiling": ceiling_sentence,
        "owed": owed_sentences,
        "length": length_sentence,
        "detectors": detectors_table,
        "changed": changed_table,
        "mixed": mixed_table,
        "grad cam in full": grad_cam_sentences,
        "speed": speed_table,
        "run times": run_times,
        "precision": precision_sentence,
    },
}


# What the shipped model was assessed on, in the order of the card's table.
ASSESSED = ("audiomnist_az", "audiomnist_az_at_8000_hz", "ukrainiandigits", "librispeech", "common_voice")


def cards() -> dict[Path, str]:
    """The text of each card, by its file."""
    shipped = RESULTS / "shipped"
    left_out = pd.read_csv(shipped / "label_issues.csv")
    model = model_card(
        read_json(shipped / "gender.json"),
        [read_json(shipped / f"gender_on_{name}.json") for name in ASSESSED],
        {str(gender): int(count) for gender, count in left_out["gender"].value_counts().items()},
        read_json(shipped / "changed_recordings.json"),
        read_json(RESULTS / "speech_detectors.json"),
        n_weights=weights_of(shipped / "gender.safetensors"),
    )
    return {
        RESULTS / "shipped" / "model_card.md": model,
        RESULTS / "audiomnist" / "data_card.md": data_card(read_json(RESULTS / "audiomnist" / "corpus.json")),
    }


def read_json(path: Path) -> dict:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def updated(page: str, blocks: dict[str, Callable[[], str]]) -> str:
    """Put fresh results between the marks of each block of a page.

    `page`: its text. `blocks`: name of the marks → what makes the text between them. Raises ValueError where a mark is
    missing.
    """
    for name, fresh in blocks.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if not 0 <= page.find(begin) < page.find(end):
            raise ValueError(f"{begin} … {end} is missing in the page")
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{fresh()}\n{end}{after}"
    return page


def pages() -> dict[Path, str]:
    """The text of README.md and of results/README.md, by the file, with fresh results."""
    return {path: updated(path.read_text(encoding="utf-8"), blocks) for path, blocks in BLOCKS.items()}


def main() -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    fresh = pages() | cards()
    stale = [path for path, text in fresh.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if options.check:
        for path in stale:
            print(f"{path.name} is stale; run python scripts/upkeep/update_readme.py", file=sys.stderr)
        return int(bool(stale))
    for path in stale:
        write_atomically(path, fresh[path])
    return 0


if __name__ == "__main__":
    run_main(main)
