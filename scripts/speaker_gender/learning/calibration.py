"""From a network's log-odds to probabilities that mean what they say, fitted on speakers it was not trained on.

Source: Platt, Probabilistic Outputs for Support Vector Machines, 1999.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SMALLEST = 1e-9  # of a probability, before its log-odds are taken


def log_odds(p: np.ndarray) -> np.ndarray:
    """ln(p / (1 - p)) of probabilities, shape (…)."""
    p = np.clip(p, SMALLEST, 1 - SMALLEST)
    return np.log(p / (1 - p))


def probability(odds: np.ndarray) -> np.ndarray:
    """The inverse of `log_odds`."""
    return 1 / (1 + np.exp(-np.asarray(odds)))


def calibrate(predictions: pd.DataFrame) -> dict[str, float]:
    """slope and intercept of the line from raw to calibrated log-odds, with both genders weighing the same.

    predictions: one row an image, with gender and p_female.
    """
    from sklearn.linear_model import LogisticRegression  # here, because it takes a second to import

    model = LogisticRegression(C=np.inf, class_weight="balanced")
    model.fit(log_odds(predictions["p_female"].to_numpy())[:, np.newaxis], predictions["gender"] == "female")
    return {"slope": float(model.coef_[0, 0]), "intercept": float(model.intercept_[0])}


def calibrated(p_female: np.ndarray, calibration: dict[str, float]) -> np.ndarray:
    """Probabilities, shape (images,), through the line that `calibrate` found."""
    return probability(calibration["slope"] * log_odds(p_female) + calibration["intercept"])
