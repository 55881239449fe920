"""Baselines: does a simple feature with a simple classifier do as well?

All of them are fitted on a fold's training part and evaluated on its test part, like the networks.
"""

import numpy as np
import pandas as pd
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from speaker_gender.config import GENDERS, SEED
from speaker_gender.corpora.corpus import Corpus
from speaker_gender.corpora.pitches import median_pitch
from speaker_gender.images.mfc import N_FRAMES, N_MFCC
from speaker_gender.learning.dataset import load_images

SVM_IMAGES = 3_000  # its time grows with their square: at most so many training images, drawn at random


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

    The median F0 is left out where most WAVs are missing. Where F0 was not found, the training part's median replaces
    it.

    Parameters
    ----------
    corpus : Corpus
        In view 'mfc'.
    table : pd.DataFrame
        Its images, see dataset.available_images.
    folds : list of pd.Series
        See splits.

    Returns
    -------
    dict
        Name of the baseline → pd.DataFrame with columns image, gender, speaker, digit, fold, p_female.
    """
    images = load_images(corpus, table, size=(N_MFCC, N_FRAMES))
    statistics, female = mfcc_statistics(images), (table["gender"] == "female").to_numpy()
    classifiers = {
        "majority class": (DummyClassifier(strategy="most_frequent"), statistics),
        "logistic regression on MFCC statistics": (_scaled(LogisticRegression(class_weight="balanced")), statistics),
        "SVM on MFCC statistics": (_scaled(SVC(class_weight="balanced")), statistics),
    }
    available = [(corpus.folder / path).exists() for path in table["path"]]
    if np.mean(available) > 0.5:
        pitch = median_pitch(corpus, table["path"])
        threshold = _scaled(LogisticRegression(class_weight="balanced", C=np.inf))
        classifiers["median F0 (pyin), threshold"] = (threshold, np.log2(pitch.to_numpy())[:, np.newaxis])
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in classifiers}
    for number, fold in enumerate(folds, start=1):
        train, test = np.flatnonzero(fold == "train"), np.flatnonzero(fold == "test")
        for name, (classifier, features) in classifiers.items():
            chosen = train
            if "SVM" in name and len(train) > SVM_IMAGES:
                chosen = np.random.default_rng(SEED).choice(train, SVM_IMAGES, replace=False)
            features = np.where(np.isnan(features), np.nanmedian(features[chosen], axis=0), features)
            classifier.fit(features[chosen], female[chosen])
            rows = table.loc[test, ["image", "gender", "speaker", "digit"]]
            found[name].append(rows.assign(fold=number, p_female=_p_female(classifier, features[test])))
    return {name: pd.concat(parts, ignore_index=True) for name, parts in found.items()}


def pitch_in_images(corpus: Corpus, table: pd.DataFrame) -> dict[str, float]:
    """Measure how much of the pitch is left in MFC images: the share of the variance of log F0 that they explain (R²).

    Ridge regression on the statistics of a recording's coefficients, evaluated on speakers that it was not fitted on.

    Parameters
    ----------
    corpus : Corpus
        In view 'mfc'.
    table : pd.DataFrame
        Its images, see dataset.available_images.

    Returns
    -------
    dict
        R² over 'all' recordings whose F0 is known, and within 'female' and 'male'. 0 is no better than the mean, below
        0 is worse. nan where there are not two speakers.
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
    return 1 / (1 + np.exp(-classifier.decision_function(features)))  # an SVM's margin, squeezed: only its order counts
