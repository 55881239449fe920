#!/usr/bin/env python3
"""How long does training take to the same error: as most people write it, and by the pipeline?

    python scripts/studies/same_error.py

ResNet-34 from random weights, on the same 4,000 and 1,000 of the resolved corpus's MFC JPEGs, until the first epoch
whose validation error is at most 4 %. The baseline is fastai's defaults on the JPEGs as they are (224 × 224, three
channels), for at most as many epochs. The pipeline decodes them once to the 12 × 98 values that they were made from;
the clock includes that. Every run is kept on its own. Writes results/<corpus>/same_error.json and pngs/same_error.png.
An epoch of the baseline takes minutes on two cores.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly, run_main

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from functools import partial

import numpy as np
import pandas as pd
from fastai.callback.core import CancelFitException
from fastai.torch_core import set_seed
from fastai.vision.all import Callback, ImageDataLoaders, Learner, error_rate, plt, resnet34, vision_learner

from speaker_gender.caching import cached_json, write_json
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.mfc import N_FRAMES, N_MFCC
from speaker_gender.learning.dataset import decode_images, make_dls
from speaker_gender.learning.learners import make_learner
from speaker_gender.learning.recipes import Recipe
from speaker_gender.learning.training import VERSION, fingerprint, machine
from speaker_gender.showing.figures import COLOURS, NEUTRAL, save_figure, use_style
from studies.compare_image_sizes import some_images

ERROR = 0.04  # of the validation images
PIPELINE = Recipe(image_size=(N_MFCC, N_FRAMES), epochs=8)
BASELINE_EPOCHS, BASELINE_RATE = PIPELINE.epochs, 1e-3  # as many epochs, at fastai's default rate
SEEDS, BASELINE_SEEDS = (1, 2, 3), (1,)  # of the pipeline; an epoch of the baseline takes minutes


class UntilError(Callback):
    """fastai callback that notes seconds and validation error of each epoch, and ends at ERROR."""

    order = 90  # after the Recorder

    def __init__(self, started: float):
        self.started = started
        self.epochs: list[dict[str, float]] = []

    def after_epoch(self):
        """Note the epoch; the schedule beyond the one that reaches ERROR is not needed."""
        error = float(self.recorder.values[-1][2])
        self.epochs.append({"seconds": round(time.perf_counter() - self.started, 1), "error_rate": error})
        if error <= ERROR:
            raise CancelFitException


def baseline(corpus: Corpus, table: pd.DataFrame, split: pd.Series) -> Learner:
    """A Learner as fastai's documentation makes one."""
    items = table.assign(is_valid=split == "valid")
    columns = {"fn_col": "image", "label_col": "gender", "valid_col": "is_valid"}
    dls = ImageDataLoaders.from_df(items, path=corpus.images, **columns, num_workers=0)
    return vision_learner(dls, resnet34, pretrained=False, metrics=error_rate)


def pipeline(corpus: Corpus, table: pd.DataFrame, split: pd.Series) -> Learner:
    """The pipeline's Learner, as notebook 03 uses it for a small corpus."""
    images = decode_images(corpus, table["image"].tolist(), size=PIPELINE.image_size)
    dls = make_dls(images, table["gender"], split, batch_size=PIPELINE.batch_size, max_shift=PIPELINE.max_shift)
    return make_learner(dls, PIPELINE)


def train(
    make: Callable[[Corpus, pd.DataFrame, pd.Series], Learner],
    corpus: Corpus,
    table: pd.DataFrame,
    split: pd.Series,
    *,
    epochs: int,
    rate: float,
    seed: int,
) -> dict:
    """Train until ERROR, or for all epochs: seconds from the start, and the validation error, after each epoch."""
    set_seed(seed, reproducible=True)
    noted = UntilError(time.perf_counter())
    learn = make(corpus, table, split)
    if hasattr(learn, "seed_epochs"):
        learn.seed_epochs.seed = seed
    learn.fit_one_cycle(epochs, rate, cbs=noted)
    return {"epochs": noted.epochs, "date": date.today().isoformat(), "machine": machine()}


def compare(corpus: Corpus) -> dict:
    """Every run of both, each from its cache where it was trained before; see the program's description."""
    table, split = some_images(corpus)
    baseline_recipe = {"epochs": BASELINE_EPOCHS, "learning_rate": BASELINE_RATE}
    runs = [(pipeline, seed, asdict(replace(PIPELINE, seed=seed))) for seed in SEEDS]
    runs += [(baseline, seed, baseline_recipe | {"seed": seed}) for seed in BASELINE_SEEDS]
    found: dict[str, list[dict]] = {}
    for make, seed, recipe in runs:
        key = {"images": fingerprint(table, split), "recipe": recipe, "error": ERROR, "version": VERSION}
        schedule = {"epochs": recipe["epochs"], "rate": recipe["learning_rate"], "seed": seed}
        path = corpus.results / "same_error" / f"{make.__name__}_{seed}.json"
        run = cached_json(path, key, partial(train, make, corpus, table, split, **schedule))
        found.setdefault(make.__name__, []).append(run)
    n_images = {part: int((split == part).sum()) for part in ("train", "valid")}
    about = {"corpus": corpus.title, "images": n_images, "speakers": table["speaker"].nunique()}
    return about | {"error": ERROR, "epochs": PIPELINE.epochs} | found


def draw(found: dict, corpus: Corpus) -> None:
    """Error over time of every run, as pngs/same_error.png."""
    use_style()
    figure, axis = plt.subplots(figsize=(6, 3.4))
    for way, colour, style, title in (
        ("baseline", COLOURS["female"], "s--", "fastai's defaults, 224 × 224"),
        ("pipeline", COLOURS["male"], "o-", "pipeline, 12 × 98"),
    ):
        for number, run in enumerate(found[way]):
            epochs = pd.DataFrame(run["epochs"])
            axis.plot(
                epochs["seconds"] / 60,
                100 * epochs["error_rate"],
                style,
                color=colour,
                label="_" * min(number, 1) + title,  # matplotlib leaves labels with _ out
            )
    axis.axhline(100 * ERROR, color=NEUTRAL, linestyle=":", label=f"{ERROR:.0%} error")
    axis.set(xscale="log", xlabel="minutes", ylabel="error on the validation images in %", ylim=(0, None))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.legend()
    save_figure(figure, "same_error", corpus)


def has_reached(run: dict) -> bool:
    """Whether a run has reached ERROR."""
    return run["epochs"][-1]["error_rate"] <= ERROR


def ratio(found: dict) -> dict:
    """How many times as long the baseline takes, median and range over the runs; at least, where it ended before."""
    seconds = {way: [run["epochs"][-1]["seconds"] for run in found[way]] for way in ("baseline", "pipeline")}
    ratios = np.divide.outer(seconds["baseline"], seconds["pipeline"])
    at_least = not all(map(has_reached, found["baseline"]))
    return {"median": float(np.median(ratios)), "range": [ratios.min(), ratios.max()], "at_least": at_least}


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        corpus = resolve_corpus()
        found = compare(corpus)
    except (CorpusError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if all(map(has_reached, found["pipeline"])):
        found["ratio"] = ratio(found)
    write_json(corpus.results / "same_error.json", found)
    draw(found, corpus)
    for way in ("baseline", "pipeline"):
        for run in found[way]:
            print(f"{way}: {run['epochs'][-1]['error_rate']:.1%} after {run['epochs'][-1]['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    run_main(main)
