"""How good a classifier is: scores with intervals over speakers, calibration, and where its errors are.

Predictions are a table with one row an image: gender (the label), p_female (the model's probability), speaker, digit.
Female is the positive class, as in the study.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import confusion_matrix

from speaker_gender.config import GENDERS, SEED

VERSION = 2  # part of the key of every cached statistic: raise it when a change here changes a score or an interval

N_BOOTSTRAP = 1_000
N_CALIBRATION_BINS = 10


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Count images by true and predicted gender.

    Returns pd.DataFrame of int: Rows: the true gender. Columns: the predicted one.

    Parameters
    ----------
    predictions : pd.DataFrame
        Columns gender, p_female.

    Examples
    --------
    >>> predictions = pd.DataFrame({"gender": ["female", "female", "male"], "p_female": [0.9, 0.2, 0.1]})
    >>> confusion(predictions).loc["female"].to_dict()
    {'female': 1, 'male': 1}
    """
    counts = confusion_matrix(predictions["gender"], predicted_gender(predictions), labels=list(GENDERS))
    return pd.DataFrame(counts, index=pd.Index(GENDERS, name="true"), columns=pd.Index(GENDERS, name="predicted"))


def predicted_gender(predictions: pd.DataFrame) -> np.ndarray:
    """Predict 'female' where p_female is at least 0.5, else 'male'; an array of str, one a row."""
    return np.where(predictions["p_female"] >= 0.5, "female", "male")


def scores(predictions: pd.DataFrame, weights: np.ndarray | None = None) -> dict[str, float]:
    """Score predictions; female is the positive class.

    Returns error_rate, balanced_accuracy, precision, recall, f1, auc (ROC), and ece: the expected
    calibration error, that is the mean distance of confidence and accuracy over ten bins of confidence, weighted by
    their images. nan where undefined.

    Parameters
    ----------
    predictions : pd.DataFrame
        Columns gender, p_female.
    weights : np.ndarray, shape (rows,), optional
        How often each row counts; once by default.

    References
    ----------
    Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (ece).

    Examples
    --------
    >>> predictions = pd.DataFrame({"gender": ["female", "female", "male"], "p_female": [0.9, 0.2, 0.1]})
    >>> found = scores(predictions)
    >>> found["balanced_accuracy"], found["auc"]
    (0.75, 1.0)
    """
    return _scorer(predictions)(np.ones(len(predictions)) if weights is None else weights)


def _scorer(predictions: pd.DataFrame) -> Callable[[np.ndarray], dict[str, float]]:
    """From weights of the rows to their scores, for a thousand resamples of the same rows.

    scikit-learn's functions check their arguments and sort the rows each time, which takes fifty times as long.
    """
    true = (predictions["gender"] == "female").to_numpy()
    predicted = predicted_gender(predictions) == "female"
    case = 2 * true + predicted  # 0 true negatives, 1 false positives, 2 false negatives, 3 true positives
    _, rank = np.unique(predictions["p_female"].to_numpy(), return_inverse=True)
    of_bins = _calibration(predictions)

    def ratio(part, whole):
        return float(part / whole) if whole else np.nan

    def scored(weights: np.ndarray) -> dict[str, float]:
        tn, fp, fn, tp = np.bincount(case, weights, minlength=4)
        female, male = (np.bincount(rank, weights * gender, minlength=rank.max() + 1) for gender in (true, ~true))
        males_below = np.cumsum(male) - male / 2  # one that is ranked alike is half below
        images, confidence, accuracy = of_bins(weights)
        return {
            "error_rate": ratio(fp + fn, tn + fp + fn + tp),
            "balanced_accuracy": (ratio(tp, tp + fn) + ratio(tn, tn + fp)) / 2,
            "precision": ratio(tp, tp + fp),
            "recall": ratio(tp, tp + fn),
            "f1": ratio(2 * tp, 2 * tp + fp + fn),
            "auc": ratio(female @ males_below, (tp + fn) * (tn + fp)),
            "ece": float(np.average(np.abs(confidence - accuracy), weights=images)),
        }

    return scored


def bootstrap_over_speakers(
    predictions: pd.DataFrame, *, n_resamples: int = N_BOOTSTRAP, seed: int = SEED
) -> dict[str, tuple[float, float]]:
    """Compute the 95 % percentile interval of each score by resampling speakers (not images) within each gender.

    Recordings of one speaker resemble one another. An interval that treats them as independent would be too narrow.
    `predictions`: columns speaker, gender, p_female. Returns dict of str to tuple of float: Score → (low, high).

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13 (percentile interval).
    """
    generator = np.random.default_rng(seed)
    speakers, speaker_of_row = np.unique(predictions["speaker"], return_inverse=True)
    genders = predictions.groupby("speaker")["gender"].first()[speakers].to_numpy()
    groups = [np.flatnonzero(genders == gender) for gender in GENDERS]
    resampled, scored = [], _scorer(predictions)
    for _ in range(n_resamples):
        chosen = np.concatenate([generator.choice(group, len(group)) for group in groups if len(group)])
        times_drawn = np.bincount(chosen, minlength=len(speakers))
        resampled.append(scored(times_drawn[speaker_of_row]))
    quantiles = pd.DataFrame(resampled).quantile([0.025, 0.975])
    return {str(name): (float(low), float(high)) for name, (low, high) in quantiles.items()}


def interval_over_speakers(
    values: pd.DataFrame | pd.Series, statistic: Callable[..., np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the 95 % percentile interval of a statistic of speakers, by drawing speakers within each gender.

    Parameters
    ----------
    values : pd.DataFrame or pd.Series of float
        One row a speaker, index (gender, speaker).
    statistic : callable
        Takes an array for each gender, in the order of GENDERS, and the axis of its speakers: `mean_of_speakers` or
        `female_minus_male`.

    Returns
    -------
    low, high : np.ndarray, shape (columns,)
        nan where a gender has a single speaker: one speaker says nothing about the variance over speakers.

    References
    ----------
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13 (percentile interval).
    """
    groups = [values.xs(gender, level="gender").to_numpy() for gender in _genders_of(values)]
    if not groups or min(map(len, groups)) < 2:
        unknown = np.full(values.shape[1:], np.nan)
        return unknown, unknown
    found = stats.bootstrap(
        groups, statistic, vectorized=True, axis=0, method="percentile", n_resamples=N_BOOTSTRAP, rng=SEED
    )
    return np.asarray(found.confidence_interval.low), np.asarray(found.confidence_interval.high)


def _genders_of(values: pd.DataFrame | pd.Series) -> list[str]:
    present = set(values.index.get_level_values("gender"))
    return [gender for gender in GENDERS if gender in present]


def mean_by_speaker(values: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Average images' values over the images of each speaker.

    `values`: one row an image. `images`: columns gender, speaker; the same rows, whatever their index. A speaker in
    both genders counts as two. Returns pd.DataFrame of float: Index (gender, speaker). Missing values are left out.
    """
    keys = [images[name].to_numpy() for name in ("gender", "speaker")]
    return values.groupby(keys).mean().rename_axis(["gender", "speaker"])


def mean_of_speakers(*groups: np.ndarray, axis: int = 0) -> np.ndarray:
    """Average over the speakers of all groups, each weighing the same; missing values are left out."""
    return np.nanmean(np.concatenate(groups, axis=axis), axis=axis)


def female_minus_male(female: np.ndarray, male: np.ndarray, axis: int = 0) -> np.ndarray:
    """Subtract the mean over the male speakers from that over the female ones; missing values are left out."""
    return np.nanmean(female, axis=axis) - np.nanmean(male, axis=axis)


def reliability(predictions: pd.DataFrame, weights: np.ndarray | None = None) -> pd.DataFrame:
    """Compute the reliability curve over ten bins of confidence from 0.5 to 1.

    Returns one row a bin that has images; columns confidence, accuracy, images.

    Parameters
    ----------
    predictions : pd.DataFrame
        Columns gender, p_female.
    weights : np.ndarray, shape (rows,), optional
        How often each row counts; once by default.
    """
    weights = np.ones(len(predictions)) if weights is None else weights
    images, confidence, accuracy = _calibration(predictions)(weights)
    return pd.DataFrame({"confidence": confidence, "accuracy": accuracy, "images": images})


def wilson_intervals(bins: pd.DataFrame) -> np.ndarray:
    """Compute 95 % Wilson intervals of the accuracy in each bin, as the whiskers of a plot.

    Parameters
    ----------
    bins : pd.DataFrame
        See `reliability`; columns images, accuracy.

    Returns
    -------
    np.ndarray, shape (2, bins)
        How far the interval reaches below the accuracy and above it. nan for a bin without images.

    References
    ----------
    Wilson, Journal of the American Statistical Association 22, 1927.
    """
    whiskers = np.full((2, len(bins)), np.nan)
    for place, (n_images, accuracy) in enumerate(zip(bins["images"], bins["accuracy"])):
        if n_images:
            found = stats.binomtest(round(accuracy * n_images), int(n_images)).proportion_ci(method="wilson")
            whiskers[:, place] = max(accuracy - found.low, 0), max(found.high - accuracy, 0)
    return whiskers


def _calibration(predictions: pd.DataFrame) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """From weights of the rows to images, mean confidence and accuracy of each bin of confidence with images."""
    p_female = predictions["p_female"].to_numpy()
    confidence = np.maximum(p_female, 1 - p_female)
    correct = predicted_gender(predictions) == predictions["gender"].to_numpy()
    edges = np.linspace(0.5, 1, N_CALIBRATION_BINS + 1)
    bins = np.clip(np.digitize(confidence, edges) - 1, 0, N_CALIBRATION_BINS - 1)

    def of_bins(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        images, of_confidence, of_correct = (
            np.bincount(bins, weights * values, minlength=N_CALIBRATION_BINS) for values in (1, confidence, correct)
        )
        used = images > 0
        return images[used], of_confidence[used] / images[used], of_correct[used] / images[used]

    return of_bins


def errors_by(predictions: pd.DataFrame, column: str) -> pd.DataFrame:
    """Count errors and images for each value of a column, worst first.

    `predictions`: columns gender, p_female and the one in question. `column`: such as speaker or digit. Returns a table
    of index the value. Columns: errors, images, error_rate.
    """
    wrong = predicted_gender(predictions) != predictions["gender"]
    table = predictions.assign(wrong=wrong).groupby(column)["wrong"].agg(errors="sum", images="size")
    return table.assign(error_rate=table["errors"] / table["images"]).sort_values("error_rate", ascending=False)


def most_confident_mistakes(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """Select the misclassified rows on which the model was most confident.

    `predictions`: columns gender, p_female. `count`: rows at most. Returns those rows with a column confidence (0.5…1),
    the most confident first.
    """
    wrong = predictions[predicted_gender(predictions) != predictions["gender"]]
    confidence = np.maximum(wrong["p_female"], 1 - wrong["p_female"])
    return wrong.assign(confidence=confidence).nlargest(count, "confidence")
