"""The two halves of a fused model, alone and together: what each predicts, and how each sees the speakers."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from speaker_gender.classifying.classification import Windows, windows_of
from speaker_gender.classifying.classifier import Classifier, load_classifier
from speaker_gender.config import GENDERS
from speaker_gender.learning.batches import to_batch
from speaker_gender.learning.calibration import probability
from speaker_gender.learning.fusion import Fusion, embed
from speaker_gender.learning.networks import load_network
from speaker_gender.sound.reading import AudioError, read_signal

IMAGE, ENCODER, BOTH = "image alone", "encoder alone", "both halves"
BATCH = 256  # windows


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
    classifier = load_classifier(model, threads=1)
    windows = [_windows(classifier, path) for path in tqdm(recordings["path"], "speech", unit="recording", leave=False)]
    of_window = np.repeat(np.arange(len(windows)), [len(some.images) for some in windows])
    images, mels = (
        np.concatenate([getattr(some, name) for some in windows if not some.reason]) for name in ("images", "mels")
    )
    odds, image_features, embeddings = _halves(model, images, mels)
    found = [
        pd.DataFrame(values).groupby(of_window).mean().reindex(range(len(windows)))
        for values in (odds, image_features, embeddings)
    ]
    names = recordings["path"].map(lambda path: f"{path.parent.name}/{path.name}")
    p_female = found[0].apply(probability).set_axis(recordings.index)
    predictions = recordings[["speaker", "gender"]].assign(recording=names).join(p_female)
    return predictions, found[1].to_numpy(np.float32), found[2].to_numpy(np.float32)


def _windows(classifier: Classifier, path: Path) -> Windows:
    try:
        return windows_of(classifier, read_signal(path, sample_rate=classifier.view.sample_rate))
    except AudioError:
        return windows_of(classifier, np.zeros(0))


def _halves(model: Path, images: np.ndarray, mels: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Of each window: calibrated log-odds of each half and of both, features of the image networks, embedding."""
    fused, card = load_network(model)
    network = cast(Fusion, fused)
    members: Any = cast(Any, network.images).members  # each of body and head, by index
    embeddings = embed(network.encoder, mels)
    scores: dict[str, list[torch.Tensor]] = {IMAGE: [], ENCODER: []}
    seen = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            batch = to_batch(images[start : start + BATCH], card["normalisation"])
            features = [member[1][:-1](member[0](batch)) for member in members]
            seen.append(torch.cat(features, dim=1))
            last = [member[1][-1](some) for member, some in zip(members, features)]
            scores[IMAGE].append(torch.stack(last).mean(dim=0))
            scores[ENCODER].append(network.heads(torch.from_numpy(embeddings[start : start + BATCH])))
    female, male = (GENDERS.index(gender) for gender in ("female", "male"))
    raw = {half: torch.cat(some).double().numpy() for half, some in scores.items()}
    odds = {half: some[:, female] - some[:, male] for half, some in raw.items()}
    odds[BOTH] = (odds[IMAGE] + odds[ENCODER]) / 2
    calibrations = {IMAGE: card["halves"]["image"], ENCODER: card["halves"]["encoder"], BOTH: card["calibration"]}
    odds = {half: line["slope"] * odds[half] + line["intercept"] for half, line in calibrations.items()}
    return odds, torch.cat(seen).numpy(), embeddings


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
