"""What any speech person asks first: does a simple feature with a simple classifier do as well?

All of them are fitted on a fold's training part and asked about its test part, like the networks.
"""

import os

import librosa
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.signal import butter, sosfiltfilt
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm.auto import tqdm

from audio import AudioError, read_signal
from caching import cached_json, digest
from config import SEED
from corpus import Corpus
from dataset import load_images
from mfc import N_FRAMES, N_MFCC

PITCH_RATE, PITCHES = 16_000, (60, 420)  # Hz
PITCH_WINDOW, PITCH_HOP = 1_024, 256  # samples: 64 ms, 16 ms
PITCH_BAND = (70, 900)  # Hz; with all of the spectrum, noise hides the voicing of three in four noisy recordings
PITCH_THRESHOLDS = (2, 6)  # of pyin's beta distribution: its default (2, 18) expects cleaner sound
SVM_IMAGES = 3_000  # its time grows with their square: at most so many training images, drawn at random


def median_pitch(corpus: Corpus, table: pd.DataFrame) -> pd.Series:
    """Median F0 in Hz of each row's recording by pyin (Mauch and Dixon, ICASSP 2014), cached; nan where there is no WAV
    or nothing voiced was found."""
    here = [path for path in table["path"] if (corpus.folder / path).exists()]
    stamps = [(corpus.folder / path).stat().st_mtime_ns for path in here]
    key = {"recordings": digest(here, stamps), "pitches": PITCHES, "window": PITCH_WINDOW, "hop": PITCH_HOP}
    key |= {"band": PITCH_BAND, "thresholds": PITCH_THRESHOLDS}

    def compute() -> dict:
        work = Parallel(n_jobs=os.cpu_count(), return_as="generator", batch_size=16)(
            delayed(_pitch_of)(corpus.folder / path) for path in here
        )
        return dict(zip(here, tqdm(work, "median F0", total=len(here), unit="recording", leave=False)))

    pitches = cached_json(corpus.results / "median_pitch.json", key, compute)
    return table["path"].map(pitches).astype(float)


def _pitch_of(path) -> float | None:
    try:
        signal = read_signal(path, sample_rate=PITCH_RATE)
    except AudioError:
        return None
    band = butter(4, PITCH_BAND, "bandpass", fs=PITCH_RATE, output="sos")
    pitch, voiced, _ = librosa.pyin(
        sosfiltfilt(band, signal),
        fmin=PITCHES[0],
        fmax=PITCHES[1],
        sr=PITCH_RATE,
        frame_length=PITCH_WINDOW,
        hop_length=PITCH_HOP,
        resolution=0.25,  # semitones; with the default of 0.1 it takes several times as long
        beta_parameters=PITCH_THRESHOLDS,
    )
    return float(np.median(pitch[voiced])) if voiced.any() else None


def mfcc_statistics(images: np.ndarray) -> np.ndarray:
    """Mean and standard deviation over time of each coefficient in MFC images, shape (images, 24).

    images: uint8 (images, 12, 98). The frames of the padding, in which every coefficient is black, are left out.
    """
    levels = images.astype(np.float32)
    sounding = (levels.max(axis=1, keepdims=True) > 0).astype(np.float32)
    count = np.maximum(sounding.sum(axis=2), 1)
    mean = (levels * sounding).sum(axis=2) / count
    variance = (np.square(levels - mean[:, :, np.newaxis]) * sounding).sum(axis=2) / count
    return np.concatenate([mean, np.sqrt(variance)], axis=1)


def baseline_predictions(corpus: Corpus, table: pd.DataFrame, folds: list[pd.Series]) -> dict[str, pd.DataFrame]:
    """For each baseline the test images of all folds: image, gender, speaker, digit, fold, p_female.

    corpus: seen as 'mfc'; table: its images. Median F0 is left out where most WAVs are missing; where F0 was not found,
    the training part's median stands for it.
    """
    images = load_images(corpus, table, size=(N_MFCC, N_FRAMES))
    statistics, female = mfcc_statistics(images), (table["gender"] == "female").to_numpy()
    classifiers = {
        "majority class": (DummyClassifier(), statistics),
        "logistic regression on MFCC statistics": (_scaled(LogisticRegression(class_weight="balanced")), statistics),
        "SVM on MFCC statistics": (_scaled(SVC(class_weight="balanced")), statistics),
    }
    here = [(corpus.folder / path).exists() for path in table["path"]]
    if np.mean(here) > 0.5:
        pitch = median_pitch(corpus, table)
        threshold = _scaled(LogisticRegression(class_weight="balanced", C=np.inf))
        classifiers["median F0 (pyin), threshold"] = (threshold, np.log2(pitch.to_numpy())[:, np.newaxis])
    found = {name: [] for name in classifiers}
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


def _scaled(classifier):
    return make_pipeline(StandardScaler(), classifier)


def _p_female(classifier, features: np.ndarray) -> np.ndarray:
    if hasattr(classifier, "predict_proba"):
        return classifier.predict_proba(features)[:, 1]
    return 1 / (1 + np.exp(-classifier.decision_function(features)))  # an SVM's margin, squeezed: only its order counts
