"""The two halves of a fused model, alone and together: what each predicts, and how each sees the speakers."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from speaker_gender.classifying.classification import combine, windows_of
from speaker_gender.classifying.classifier import load_classifier
from speaker_gender.config import GENDERS
from speaker_gender.learning.batches import to_batch
from speaker_gender.learning.calibration import calibrated
from speaker_gender.learning.fusion import Fusion, embed
from speaker_gender.learning.networks import load_network
from speaker_gender.sound.reading import AudioError, read_signal

IMAGE, ENCODER, BOTH = "image alone", "encoder alone", "both halves"


def hear(model: Path, recordings: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Predict with each half and with both, each calibrated on its own, as `classify_recordings` does with both.

    `model`: a fused one. `recordings`: columns path (a Path), speaker, gender.

    Returns
    -------
    predictions : pd.DataFrame
        recording, speaker, gender, and p_female of IMAGE, ENCODER and BOTH, nan without speech; one row a recording.
    image_features : np.ndarray of float32, shape (recordings, features)
        What the networks on images compute before their last layer, mean over windows; nan without speech.
    embeddings : np.ndarray of float32, shape (recordings, 256)
        Of the encoder, likewise.
    """
    fused, card = load_network(model)
    network, classifier = cast(Fusion, fused), load_classifier(model, threads=1)
    members: Any = cast(Any, network.images).members  # each of body and head, by index
    rows: list[dict[str, float]] = []
    features: list[tuple[np.ndarray, np.ndarray] | None] = []
    for path in tqdm(recordings["path"], "both halves", unit="recording", leave=False):
        try:
            signal = read_signal(path, sample_rate=classifier.view.sample_rate)
        except AudioError:
            signal = np.zeros(0)
        windows = windows_of(classifier, signal)
        if windows.mels is None:
            rows.append(dict.fromkeys((IMAGE, ENCODER, BOTH), np.nan))
            features.append(None)
            continue
        images = to_batch(windows.images, card["normalisation"])
        embeddings = embed(network.encoder, windows.mels)
        with torch.inference_mode():
            scores = {IMAGE: network.images(images), ENCODER: network.heads(torch.from_numpy(embeddings))}
            seen = torch.cat([member[1][:-1](member[0](images)) for member in members], dim=1)
        scores[BOTH] = (scores[IMAGE] + scores[ENCODER]) / 2
        calibrations = {IMAGE: card["halves"]["image"], ENCODER: card["halves"]["encoder"], BOTH: card["calibration"]}
        rows.append({half: _p_female(scores[half], calibrations[half]) for half in scores})
        features.append((seen.mean(dim=0).numpy(), embeddings.mean(axis=0)))
    n_seen, n_heard = next((len(seen), len(heard)) for seen, heard in filter(None, features))
    missing = np.full(n_seen, np.nan, np.float32), np.full(n_heard, np.nan, np.float32)
    image_features, embeddings = (np.stack(some) for some in zip(*(found or missing for found in features)))
    names = recordings["path"].map(lambda path: path.name)
    predictions = recordings[["speaker", "gender"]].assign(recording=names).join(pd.DataFrame(rows, recordings.index))
    return predictions, image_features, embeddings


def _p_female(scores: torch.Tensor, calibration: dict) -> float:
    p_windows = scores.double().softmax(dim=1)[:, GENDERS.index("female")].numpy()
    return combine(calibrated(p_windows, calibration))


def of_half(predictions: pd.DataFrame, half: str) -> pd.DataFrame:
    """The predictions of one half, or of both, with the column p_female that other tables have."""
    return predictions[["recording", "speaker", "gender"]].assign(p_female=predictions[half])


def map_of_speakers(features: np.ndarray, speakers: pd.Series) -> pd.DataFrame:
    """Place speakers in two dimensions: the first two principal components of their mean features. No label is used.

    Returns columns x, y, each in standard deviations; index: speaker.
    """
    means = pd.DataFrame(features).groupby(speakers.to_numpy()).mean().dropna()
    centred = means - means.mean()
    left, sizes, _ = np.linalg.svd(centred.to_numpy(np.float64), full_matrices=False)
    places = left[:, :2] * np.sqrt(len(means))
    return pd.DataFrame(places, columns=["x", "y"], index=means.index)


def errors_by_half(predictions: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count recordings by which half is wrong alone ('none', IMAGE, ENCODER, 'each'), and of those how many BOTH is.

    A recording without speech counts as wrong.
    """
    female = predictions["gender"] == "female"
    wrong = {half: ((predictions[half] >= 0.5) != female) | predictions[half].isna() for half in (IMAGE, ENCODER, BOTH)}
    group = np.select(
        [wrong[IMAGE] & wrong[ENCODER], wrong[IMAGE], wrong[ENCODER]], ["each", IMAGE, ENCODER], default="none"
    )
    counts = pd.DataFrame({"recordings": 1, "wrong_together": wrong[BOTH].astype(int)}).groupby(group).sum()
    return {str(name): {str(column): int(n) for column, n in row.items()} for name, row in counts.iterrows()}
