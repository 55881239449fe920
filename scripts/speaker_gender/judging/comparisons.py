"""Predictions described and compared: several networks' together, two methods on the same speakers."""

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from speaker_gender.config import SEED
from speaker_gender.judging.evaluation import N_BOOTSTRAP, bootstrap_over_speakers, predicted_gender, scores
from speaker_gender.learning.calibration import log_odds, probability


def describe(predictions: pd.DataFrame) -> dict:
    """speakers and images of some predictions, their scores, and 95 % intervals over speakers."""
    return {
        "speakers": int(predictions["speaker"].nunique()),
        "images": len(predictions),
        "scores": scores(predictions),
        "intervals": bootstrap_over_speakers(predictions),
    }


def pooled(answers: list[pd.DataFrame]) -> pd.DataFrame:
    """Several networks' predictions for the same images as those of one: p_female from the mean of their log-odds."""
    odds = np.mean([log_odds(predictions["p_female"].to_numpy()) for predictions in answers], axis=0)
    return answers[0].assign(p_female=probability(odds))


def fold_accuracies(predictions: pd.DataFrame) -> pd.Series:
    """Share of images told rightly in each fold."""
    right = predicted_gender(predictions) == predictions["gender"]
    return right.groupby(predictions["fold"]).mean()


def paired_difference(first: pd.DataFrame, second: pd.DataFrame, *, seed: int = SEED) -> dict:
    """How much higher the balanced accuracy of the first predictions is than that of the second, in shares.

    Paired by speaker: both hold images of the same speakers, and the bootstrap draws speakers, within each gender,
    once for both. Returns first, second, difference, its 95 % interval and the number of speakers.
    """
    rights = [
        (predicted_gender(table) == table["gender"]).groupby([table["gender"], table["speaker"]]).mean()
        for table in (first, second)
    ]
    both = pd.concat(rights, axis=1, keys=["first", "second"]).dropna()
    generator = np.random.default_rng(seed)
    drawn = []
    for _, group in both.groupby(level="gender"):
        chosen = generator.integers(0, len(group), (N_BOOTSTRAP, len(group)))
        drawn.append((group["first"] - group["second"]).to_numpy()[chosen].mean(axis=1))
    means = both.groupby(level="gender").mean().mean()
    return {
        "first": float(means["first"]),
        "second": float(means["second"]),
        "difference": float(means["first"] - means["second"]),
        "interval": [float(edge) for edge in np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])],
        "speakers": len(both),
    }


def cost_of_leakage(heard: pd.DataFrame, unheard: pd.DataFrame) -> dict:
    """How much balanced accuracy falls from speakers that were heard in training to speakers that were not.

    Returns heard, unheard, difference, interval and speakers as `paired_difference` does.
    """
    found = paired_difference(heard, unheard)
    return {"heard": found.pop("first"), "unheard": found.pop("second")} | found


def by_speaker(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row a speaker: gender, and p_female from the mean log-odds of the speaker's recordings."""
    odds = predictions.assign(odds=log_odds(predictions["p_female"].to_numpy()))
    found = odds.groupby(["speaker", "gender"], as_index=False)["odds"].mean()
    return found.assign(p_female=probability(found["odds"]))


def auc_of_doubtful(predictions: pd.DataFrame, doubtful: list[str]) -> float:
    """ROC AUC that would be left if the doubtful speakers alone were taken for women, ranked as they are.

    All other men are put below everybody, so what is missing to 1 is owed to the doubtful labels.
    """
    answered = predictions.dropna(subset="p_female")
    female = answered["gender"] == "female"
    if female.nunique() < 2:
        return float("nan")
    ranks = answered["p_female"].where(female | answered["speaker"].isin(doubtful), -1.0)
    return float(roc_auc_score(female, ranks))
