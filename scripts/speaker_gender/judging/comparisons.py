"""Predictions described and compared: an ensemble's, and those of two methods on the same speakers."""

import json

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from speaker_gender.config import SEED
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.judging.evaluation import N_BOOTSTRAP, bootstrap_over_speakers, predicted_gender, scores
from speaker_gender.learning.calibration import log_odds, probability


def describe(predictions: pd.DataFrame) -> dict:
    """Describe predictions: their counts, their scores, and 95 % intervals over speakers. A refusal counts as wrong.

    `predictions`: columns speaker, gender, p_female (missing where the method refused). Returns speakers, images,
    refused (counts), of_gender (gender → speakers, images, correct), scores (see evaluation.scores), intervals (see
    evaluation.bootstrap_over_speakers).
    """
    counted = refusals_as_errors(predictions)
    return {
        "speakers": int(predictions["speaker"].nunique()),
        "images": len(predictions),
        "refused": int(predictions["p_female"].isna().sum()),
        "of_gender": counts_of_gender(predictions),
        "scores": scores(counted),
        "intervals": bootstrap_over_speakers(counted),
    }


def counts_of_gender(predictions: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count speakers, images and correctly classified images of each gender; a refusal is not correct.

    Returns gender, if it has images → speakers, images, correct.

    Parameters
    ----------
    predictions : pd.DataFrame
        Columns speaker, gender, p_female (missing where the method refused).

    Examples
    --------
    >>> rows = {"speaker": ["12", "12", "01"], "gender": ["female", "female", "male"], "p_female": [0.9, np.nan, 0.1]}
    >>> counts_of_gender(pd.DataFrame(rows))["female"]
    {'speakers': 1, 'images': 2, 'correct': 1}
    """
    correct = (predicted_gender(predictions) == predictions["gender"]) & predictions["p_female"].notna()
    return {
        str(gender): {
            "speakers": int(group["speaker"].nunique()),
            "images": len(group),
            "correct": int(group["correct"].sum()),
        }
        for gender, group in predictions.assign(correct=correct).groupby("gender")
    }


def describe_both_ways(predictions: pd.DataFrame, doubtful: list[str]) -> dict[str, dict]:
    """Describe predictions with all speakers, and without those whose label is doubtful.

    A doubted label is not a wrong one, and to leave out men with high voices favours every method that uses pitch. So
    neither row stands alone. `predictions`: see `describe`. `doubtful`: Speakers. Returns 'all', and 'without_doubtful'
    where any of these speakers is in the predictions.
    """
    left = predictions[~predictions["speaker"].isin(doubtful)]
    without = {"without_doubtful": describe(left)} if len(left) < len(predictions) else {}
    return {"all": describe(predictions)} | without


def pooled(predictions: list[pd.DataFrame]) -> pd.DataFrame:
    """Pool several networks' predictions for the same images: p_female from the mean of their log-odds.

    `predictions`: one table a network, with the same rows. Returns the first table with the pooled p_female.
    """
    odds = np.mean([log_odds(table["p_female"].to_numpy()) for table in predictions], axis=0)
    return predictions[0].assign(p_female=probability(odds))


def fold_accuracies(predictions: pd.DataFrame) -> pd.Series:
    """Compute the share of correctly classified images in each fold.

    `predictions`: columns fold, gender, p_female. Returns index: fold.
    """
    correct = predicted_gender(predictions) == predictions["gender"]
    return correct.groupby(predictions["fold"]).mean()


def paired_difference(first: pd.DataFrame, second: pd.DataFrame, *, seed: int = SEED) -> dict:
    """Compare the balanced accuracy of two tables of predictions, paired by speaker; a refusal counts as wrong.

    Both hold images of the same speakers. The bootstrap draws speakers, within each gender, once for both. `first`,
    `second`: columns speaker, gender, p_female (missing where the method refused). `seed`: of the bootstrap. Returns
    balanced accuracy `first` and `second` (means over speakers), their `difference`, its 95 % `interval`, all in shares
    of 1, and the number of `speakers`.
    """
    accuracies = [
        (predicted_gender(table) == table["gender"]).groupby([table["gender"], table["speaker"]]).mean()
        for table in (refusals_as_errors(first), refusals_as_errors(second))
    ]
    both = pd.concat(accuracies, axis=1, keys=["first", "second"]).dropna()
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


def compare_on_same_recordings(
    first: pd.DataFrame, second: pd.DataFrame, *, on: str = "recording", seed: int = SEED
) -> dict:
    """Compare two methods on the recordings that both were given; where one refused, it is wrong.

    `first`, `second`: columns speaker, gender, p_female (missing where the method refused), and `on`. `on`: column that
    names a recording, once in each table. `seed`: of the bootstrap. Returns as `paired_difference`, with the number of
    `recordings`, and how many `first_refused` and `second_refused`. Raises ValueError where they share no recording,
    name one twice, or disagree about its speaker or gender.
    """
    columns = [on, "speaker", "gender", "p_female"]
    both = first[columns].merge(second[columns], on=on, validate="one_to_one", suffixes=("", "_second"))
    if both.empty:
        raise ValueError("the two methods have no recording in common")
    if not (both[["speaker", "gender"]].to_numpy() == both[["speaker_second", "gender_second"]].to_numpy()).all():
        raise ValueError("the two methods have other speakers or genders for the same recordings")
    one, other = both, both.assign(p_female=both["p_female_second"])
    found = paired_difference(one, other, seed=seed)
    refused = {
        f"{name}_refused": int(table["p_female"].isna().sum()) for name, table in (("first", one), ("second", other))
    }
    return found | {"recordings": len(both)} | refused


def cost_of_leakage(seen: pd.DataFrame, unseen: pd.DataFrame) -> dict:
    """Measure how much balanced accuracy falls from speakers in the training set to unseen ones.

    `seen`, `unseen`: predictions for the same speakers, by networks that were and were not trained on them. Returns
    `seen` (balanced accuracy on seen speakers) and `unseen` (on unseen ones); difference, interval and speakers as in
    `paired_difference`.
    """
    found = paired_difference(seen, unseen)
    return {"seen": found.pop("first"), "unseen": found.pop("second")} | found  # keys of committed results


def refusals_as_errors(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions in which a recording without a prediction counts as wrong, for comparison with a method that has all.

    Returns the same rows; where p_female was missing it is 0 for women and 1 for men.

    Parameters
    ----------
    predictions : pd.DataFrame
        Columns gender and p_female, missing where there is no prediction.

    Examples
    --------
    >>> table = pd.DataFrame({"gender": ["female", "male", "male"], "p_female": [float("nan"), 0.2, float("nan")]})
    >>> refusals_as_errors(table)["p_female"].tolist()
    [0.0, 0.2, 1.0]
    """
    wrong = (predictions["gender"] == "male").astype(float)
    return predictions.assign(p_female=predictions["p_female"].fillna(wrong))


def by_speaker(predictions: pd.DataFrame) -> pd.DataFrame:
    """Pool predictions by speaker: p_female from the mean log-odds of the speaker's recordings.

    `predictions`: columns speaker, gender, p_female. Returns one row a speaker; columns speaker, gender, odds (the mean
    log-odds), p_female.
    """
    odds = predictions.assign(odds=log_odds(predictions["p_female"].to_numpy()))
    found = odds.groupby(["speaker", "gender"], as_index=False)["odds"].mean()
    return found.assign(p_female=probability(found["odds"]))


def auc_of_doubtful(predictions: pd.DataFrame, doubtful: list[str]) -> float:
    """Compute the ROC AUC that would be left if only the doubtful speakers were ranked among the women.

    All other men are ranked below everyone, so what is missing to 1 is due to the doubtful labels. `predictions`:
    columns speaker, gender, p_female (nan without a prediction). `doubtful`: speakers labelled male whose label is
    doubted. Returns nan where there is one gender only.
    """
    answered = predictions.dropna(subset="p_female")
    female = answered["gender"] == "female"
    if female.nunique() < 2:
        return float("nan")
    ranks = answered["p_female"].where(female | answered["speaker"].isin(doubtful), -1.0)
    return float(roc_auc_score(female, ranks))


def in_points(gain: dict) -> str:
    """Write a paired difference in percentage points, with its 95 % interval over speakers.

    Parameters
    ----------
    gain : dict
        See `paired_difference`.

    Examples
    --------
    >>> in_points({"difference": 0.152, "interval": [0.11, 0.197]})
    '+15.2 percentage points (+11.0 to +19.7)'
    """
    low, high = gain["interval"]
    return f"{100 * gain['difference']:+.1f} percentage points ({100 * low:+.1f} to {100 * high:+.1f})"


def balanced_error(row: dict) -> tuple[float, float, float]:
    """The balanced error of a `describe` with its interval's edges, in per cent; nan where there is no interval."""
    low, high = row["intervals"]["balanced_accuracy"]
    accuracies = np.array([row["scores"]["balanced_accuracy"], high, low], float)  # None becomes nan
    error, least, most = (100 * (1 - accuracies)).tolist()
    return error, least, most


def points(gain: dict) -> tuple[float, float, float]:
    """A `paired_difference` with its interval's edges, in percentage points."""
    difference, low, high = (100 * np.array([gain["difference"], *gain["interval"]], float)).tolist()
    return difference, low, high


SHOWN_SCORES = {"balanced accuracy": "balanced_accuracy", "F1, female": "f1", "ROC AUC": "auc"}


def as_table(rows: dict[str, dict]) -> pd.DataFrame:
    """Tabulate scores with their 95 % intervals over speakers, for reading.

    `rows`: name → see `describe`. Returns one row a name; columns speakers, recordings, accuracy, balanced accuracy,
    F1, ROC AUC.
    """
    table = {
        name: {
            "speakers": row["speakers"],
            "recordings": row["images"],
            "accuracy": f"{1 - row['scores']['error_rate']:.3f}",
        }
        | {title: _with_interval(row, score) for title, score in SHOWN_SCORES.items()}
        for name, row in rows.items()
    }
    return pd.DataFrame.from_dict(table, orient="index")


def _with_interval(row: dict, score: str) -> str:
    low, high = row["intervals"][score]
    return "" if low is None else f"{row['scores'][score]:.3f} ({low:.3f} to {high:.3f})"


def load_image_sizes(corpus: Corpus) -> pd.DataFrame:
    """Load what has been compared so far.

    Returns one row a size, smallest first; columns error_rate, f1_score, images_per_second, ….
    """
    files = (corpus.results / "image_sizes").glob("*.json")
    table = pd.DataFrame.from_dict(
        {path.stem: json.loads(path.read_text(encoding="utf-8"))["result"] for path in files}, orient="index"
    )
    return table.sort_index(key=lambda names: names.map(lambda name: np.prod([int(side) for side in name.split("x")])))
