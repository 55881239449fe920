"""Baselines: does a simple feature with a simple classifier do as well?

All of them are fitted on a fold's training part and evaluated on its test part, like the networks.
"""

import json

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from speaker_gender.config import GENDERS, ROOT, SAMPLE_RATE, SEED
from speaker_gender.corpora.audiomnist import load_recordings
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.corpora.pitches import median_pitch
from speaker_gender.images.mfc import HOP_LENGTH, N_FRAMES, N_MFCC
from speaker_gender.learning.dataset import load_images

F0 = "median F0 (pyin), threshold"  # what any speech person tries first; fitted on other speakers of the same corpus
F0_ELSEWHERE = "median F0 (pyin), threshold of the training corpora"  # what can be had without labels of the corpus
F0_THRESHOLD = ROOT / "results" / "shipped" / "f0_threshold.json"  # of studies/shipped_model/f0_threshold.py
LENGTH = "length of the recording alone"
SVM_IMAGES = 3_000  # its time grows with their square: at most so many training images, drawn at random


BLACK = 8  # grey levels: JPEG leaves up to so many in frames of padding


def sounding_frames(images: np.ndarray) -> np.ndarray:
    """Count the frames of MFC images from the first to the last that is not padding.

    Parameters
    ----------
    images : np.ndarray of uint8, shape (images, 12, 98)

    Returns
    -------
    np.ndarray of int, shape (images,)
        Frames of 10 ms; 0 for a black image.

    Examples
    --------
    >>> image = np.zeros((1, 12, 98), np.uint8)
    >>> image[0, 0, 10:40] = 200
    >>> sounding_frames(image)
    array([30])
    """
    sounding = images.max(axis=1) > BLACK
    first, behind = sounding.argmax(axis=1), sounding[:, ::-1].argmax(axis=1)
    return np.where(sounding.any(axis=1), images.shape[2] - behind - first, 0)


def lengths(corpus: Corpus, table: pd.DataFrame, images: np.ndarray) -> np.ndarray:
    """Measure the length of each recording: that of its WAV where all are available, else that of its image's sound.

    Parameters
    ----------
    corpus : Corpus
        In view 'mfc'.
    table : pd.DataFrame
        Its images, see dataset.available_images.
    images : np.ndarray of uint8, shape (images, 12, 98)

    Returns
    -------
    np.ndarray of float, shape (images,)
        Seconds. An image shows one second at most.
    """
    if all(corpus.has(path) for path in table["path"]):
        headers = load_recordings(corpus).set_index("path")
        seconds = table["path"].map(headers["samples"] / headers["sample_rate"]).to_numpy(float)
        if np.isfinite(seconds).all():
            return seconds
    return sounding_frames(images) * HOP_LENGTH / SAMPLE_RATE


def mfcc_statistics(images: np.ndarray) -> np.ndarray:
    """Compute mean and standard deviation over time of each coefficient in MFC images.

    The frames of the padding, in which every coefficient is black, are left out.

    Parameters
    ----------
    images : np.ndarray of uint8, shape (images, 12, 98)

    Returns
    -------
    np.ndarray of float32, shape (images, 24)
        12 means, then 12 standard deviations, in grey levels.
    """
    levels = images.astype(np.float32)
    sounding = (levels.max(axis=1, keepdims=True) > 0).astype(np.float32)
    count = np.maximum(sounding.sum(axis=2), 1)
    mean = (levels * sounding).sum(axis=2) / count
    variance = (np.square(levels - mean[:, :, np.newaxis]) * sounding).sum(axis=2) / count
    return np.concatenate([mean, np.sqrt(variance)], axis=1)


def baseline_predictions(corpus: Corpus, table: pd.DataFrame, folds: list[pd.Series]) -> dict[str, pd.DataFrame]:
    """Fit each baseline fold by fold and predict for the folds' test images.

    The median F0 is left out where most WAVs are missing. Where F0 was not found in a test recording, it refuses; in
    training, such recordings are left out. The length alone is no feature of a voice: it shows what the corpus gives
    away. `corpus`: In view 'mfc'. `table`: its images, see dataset.available_images. `folds`: see splits. Returns name
    of the baseline → pd.DataFrame with columns image, recording (its path in the corpus), gender, speaker, digit, fold,
    p_female (missing where the baseline refuses).
    """
    images = load_images(corpus, table, size=(N_MFCC, N_FRAMES))
    statistics = mfcc_statistics(images)
    logistic = _scaled(LogisticRegression(class_weight="balanced"))
    found = {
        "majority class": predictions_by_fold(DummyClassifier(strategy="most_frequent"), statistics, table, folds),
        "logistic regression on MFCC statistics": predictions_by_fold(logistic, statistics, table, folds),
        "SVM on MFCC statistics": predictions_by_fold(
            _scaled(SVC(class_weight="balanced")), statistics, table, folds, most=SVM_IMAGES
        ),
        LENGTH: length_predictions(corpus, table, images, folds),
    }
    available = [corpus.has(path) for path in table["path"]]
    if np.mean(available) > 0.5:
        pitch = median_pitch(corpus, table["path"])
        found[F0] = predictions_by_fold(_threshold(), np.log2(pitch.to_numpy())[:, np.newaxis], table, folds)
    return found


def length_predictions(corpus: Corpus, table: pd.DataFrame, images: np.ndarray, folds: list[pd.Series]) -> pd.DataFrame:
    """Predict gender from the length of each recording alone, by a threshold fitted fold by fold.

    `corpus`, `table`, `images`: see `lengths`. `folds`: see splits. See `baseline_predictions`.
    """
    return predictions_by_fold(_threshold(), lengths(corpus, table, images)[:, np.newaxis], table, folds)


def predictions_by_fold(
    classifier, features: np.ndarray, table: pd.DataFrame, folds: list[pd.Series], *, most: int | None = None
) -> pd.DataFrame:
    """Fit a classifier on each fold's training images and predict for its test images.

    See `baseline_predictions`.

    Parameters
    ----------
    features : np.ndarray of float, shape (images, features)
        An image with a missing one is refused, and not fitted on.
    table : pd.DataFrame
        Columns image, path, gender, speaker, digit.
    folds : list of pd.Series
        See splits.
    most : int, optional
        Training images, drawn at random, that are fitted on at most.
    """
    female, known = (table["gender"] == "female").to_numpy(), ~np.isnan(features).any(axis=1)
    parts = []
    for number, fold in enumerate(folds, start=1):
        train, test = np.flatnonzero((fold == "train") & known), np.flatnonzero(fold == "test")
        if most and len(train) > most:
            train = np.random.default_rng(SEED).choice(train, most, replace=False)
        classifier.fit(features[train], female[train])
        p_female = np.full(len(test), np.nan)
        p_female[known[test]] = _p_female(classifier, features[test[known[test]]])
        rows = table.loc[test, ["image", "gender", "speaker", "digit"]]
        parts.append(rows.assign(recording=table.loc[test, "path"], fold=number, p_female=p_female))
    return pd.concat(parts, ignore_index=True)


def fit_f0_threshold(f0: np.ndarray, female: np.ndarray) -> dict[str, float]:
    """Fit a threshold on the median F0, as `baseline_predictions` fits it in each fold.

    `f0`: median F0 of each recording in Hz, nan where none was found. `female`: whether its speaker is. Returns
    `slope` and `intercept`, so that the log-odds of female are slope · log2(F0) + intercept, and their zero, the
    `threshold` in Hz.

    Examples
    --------
    >>> f0 = np.array([100.0, 110, 130, 180, np.nan, 150, 190, 210])
    >>> found = fit_f0_threshold(f0, np.arange(8) > 3)
    >>> 150 < found["threshold"] < 180
    True
    """
    known = ~np.isnan(f0)
    scaler, logistic = _threshold().fit(np.log2(f0[known])[:, np.newaxis], female[known])
    slope = float(logistic.coef_[0, 0] / scaler.scale_[0])
    intercept = float(logistic.intercept_[0] - slope * scaler.mean_[0])
    return {"slope": slope, "intercept": intercept, "threshold": float(2 ** (-intercept / slope))}


def f0_predictions(f0: pd.Series) -> np.ndarray:
    """Predict p_female from median F0s in Hz by the threshold of the training corpora; nan where there is no F0."""
    fitted = json.loads(F0_THRESHOLD.read_text(encoding="utf-8"))
    return expit(fitted["slope"] * np.log2(f0.to_numpy(float)) + fitted["intercept"])


def _threshold():
    """A classifier of one feature: as both genders weigh the same, a threshold between their distributions."""
    return _scaled(LogisticRegression(class_weight="balanced", C=np.inf))


def pitch_in_images(corpus: Corpus, table: pd.DataFrame) -> dict[str, float]:
    """Measure how much of the pitch is left in MFC images: the share of the variance of log F0 that they explain (R²).

    Ridge regression on the statistics of a recording's coefficients, evaluated on speakers that it was not fitted on.
    `corpus`: In view 'mfc'. `table`: its images, see dataset.available_images. Returns R² over 'all' recordings whose
    F0 is known, and within 'female' and 'male'. 0 is no better than the mean, below 0 is worse. nan where there are not
    two speakers.
    """
    pitch = np.log2(median_pitch(corpus, table["path"]).to_numpy())
    known = ~np.isnan(pitch)
    statistics = mfcc_statistics(load_images(corpus, table, size=(N_MFCC, N_FRAMES)))
    parts = {"all": known} | {gender: known & (table["gender"] == gender).to_numpy() for gender in GENDERS}
    return {name: _explained(statistics[part], pitch[part], table["speaker"][part]) for name, part in parts.items()}


def _explained(features: np.ndarray, values: np.ndarray, speakers: pd.Series) -> float:
    if speakers.nunique() < 2:
        return float("nan")
    folds = GroupKFold(min(5, speakers.nunique()))
    predicted = cross_val_predict(_scaled(RidgeCV(np.logspace(-2, 4, 13))), features, values, groups=speakers, cv=folds)
    return float(r2_score(values, predicted))


def _scaled(classifier):
    return make_pipeline(StandardScaler(), classifier)


def _p_female(classifier, features: np.ndarray) -> np.ndarray:
    if hasattr(classifier, "predict_proba"):
        return classifier.predict_proba(features)[:, 1]
    return expit(classifier.decision_function(features))  # an SVM's margin, squeezed: only its order counts
