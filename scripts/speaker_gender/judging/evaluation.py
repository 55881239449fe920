"""How good a classifier is: scores with intervals over speakers, calibration, and where it goes wrong.

Predictions are a table with one row an image: gender (what is true), p_female (what the model says), speaker, digit.
Female is the positive class, as in the study.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from speaker_gender.config import GENDERS, SEED

N_BOOTSTRAP = 1_000
N_CALIBRATION_BINS = 10


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Counts of images: rows the true gender, columns the predicted one."""
    counts = confusion_matrix(predictions["gender"], predicted_gender(predictions), labels=list(GENDERS))
    return pd.DataFrame(counts, index=pd.Index(GENDERS, name="true"), columns=pd.Index(GENDERS, name="predicted"))


def predicted_gender(predictions: pd.DataFrame) -> np.ndarray:
    return np.where(predictions["p_female"] >= 0.5, "female", "male")


def scores(predictions: pd.DataFrame, weights: np.ndarray | None = None) -> dict[str, float]:
    """error_rate, balanced_accuracy, precision, recall, f1 and auc of female, and ece; nan where undefined.

    weights: how often each row counts, once by default.
    """
    return _scorer(predictions)(np.ones(len(predictions)) if weights is None else weights)


def _scorer(predictions: pd.DataFrame) -> Callable[[np.ndarray], dict[str, float]]:
    """From weights of the rows to their scores, for a thousand resamples of the same rows.

    scikit-learn's functions check their arguments and sort the rows each time, which takes fifty times as long.
    """
    true = (predictions["gender"] == "female").to_numpy()
    said = predicted_gender(predictions) == "female"
    case = 2 * true + said  # 0 true negatives, 1 false positives, 2 false negatives, 3 true positives
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
    """95 % percentile interval of each score, from resampling speakers (not images) within each gender.

    Recordings of one person resemble one another; an interval that treats them as independent would be too narrow.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13 (percentile interval).
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
    return {name: (float(low), float(high)) for name, (low, high) in quantiles.items()}


def interval_of_mean(
    values: np.ndarray, *, n_resamples: int = N_BOOTSTRAP, seed: int = SEED
) -> tuple[np.ndarray, np.ndarray]:
    """95 % bootstrap interval (low, high) of the mean over speakers. values: one row a speaker, shape (speakers, …)."""
    drawn = np.random.default_rng(seed).integers(0, len(values), (n_resamples, len(values)))
    low, high = np.quantile(np.asarray(values)[drawn].mean(axis=1), [0.025, 0.975], axis=0)
    return low, high


def expected_calibration_error(predictions: pd.DataFrame, weights: np.ndarray | None = None) -> float:
    """Mean distance of confidence and accuracy over ten bins of confidence, weighted by their images.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
    """
    return scores(predictions, weights)["ece"]


def reliability(predictions: pd.DataFrame, weights: np.ndarray | None = None) -> pd.DataFrame:
    """The reliability curve: confidence, accuracy and number of images in each bin of confidence from 0.5 to 1.

    weights: how often each row counts, once by default. Bins without images are left out.
    """
    weights = np.ones(len(predictions)) if weights is None else weights
    images, confidence, accuracy = _calibration(predictions)(weights)
    return pd.DataFrame({"confidence": confidence, "accuracy": accuracy, "images": images})


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
    """Errors, images and error rate for each value of a column such as speaker or digit, worst first."""
    wrong = predicted_gender(predictions) != predictions["gender"]
    table = predictions.assign(wrong=wrong).groupby(column)["wrong"].agg(errors="sum", images="size")
    return table.assign(error_rate=table["errors"] / table["images"]).sort_values("error_rate", ascending=False)


def most_confident_mistakes(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """The wrongly classified rows of which the model was surest, with its confidence."""
    wrong = predictions[predicted_gender(predictions) != predictions["gender"]]
    confidence = np.maximum(wrong["p_female"], 1 - wrong["p_female"])
    return wrong.assign(confidence=confidence).nlargest(count, "confidence")
