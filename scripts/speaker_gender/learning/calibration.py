"""Calibration: from a network's log-odds to probabilities that mean what they say.

It is fitted on speakers that the network was not trained on. Source: Platt, Probabilistic Outputs for Support Vector
Machines, 1999.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

SMALLEST = 1e-9  # of a probability, before its log-odds are taken


def log_odds(p: np.ndarray) -> np.ndarray:
    """Convert probabilities to log-odds, ln(p / (1 - p)).

    Parameters
    ----------
    p : array_like, shape (…)
        Clipped to 1e-9…1 - 1e-9, so that the result is finite.

    Returns
    -------
    np.ndarray of float64, shape (…)

    Examples
    --------
    >>> log_odds(np.array([0.5, 0.9])).round(3)
    array([0.   , 2.197])
    """
    p = np.clip(p, SMALLEST, 1 - SMALLEST)
    return np.log(p / (1 - p))  # scipy.special would take longer to import than a file takes to classify


def probability(odds: np.ndarray) -> np.ndarray:
    """Convert log-odds to probabilities: the inverse of `log_odds`.

    Parameters
    ----------
    odds : array_like, shape (…)
        Log-odds.

    Returns
    -------
    np.ndarray of float64, shape (…)

    Examples
    --------
    >>> float(probability(0.0))
    0.5
    >>> probability(log_odds(np.array([0.2, 0.7]))).round(3)
    array([0.2, 0.7])
    """
    return 1 / (1 + np.exp(-np.clip(odds, -700, 700)))


def calibrate(predictions: pd.DataFrame) -> dict[str, float]:
    """Fit the line from raw to calibrated log-odds, with both genders weighing the same.

    `predictions`: one row an image, with gender and p_female. Returns slope and intercept.
    """
    from sklearn.linear_model import LogisticRegression  # here, because it takes a second to import

    model = LogisticRegression(C=np.inf, class_weight="balanced")
    model.fit(log_odds(predictions["p_female"].to_numpy())[:, np.newaxis], predictions["gender"] == "female")
    return {"slope": float(model.coef_[0, 0]), "intercept": float(model.intercept_[0])}


def calibrated(p_female: np.ndarray, calibration: dict[str, float]) -> np.ndarray:
    """Apply the line of `calibrate` to probabilities.

    Parameters
    ----------
    p_female : np.ndarray, shape (images,)
    calibration : dict
        slope and intercept.

    Returns
    -------
    np.ndarray of float64, shape (images,)
    """
    return probability(calibration["slope"] * log_odds(p_female) + calibration["intercept"])
