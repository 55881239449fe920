"""Where networks look in the images of women and of men: Grad-CAM averaged by speakers and compared over networks.

Only correctly classified images count, grouped by the true gender: the map of a misclassified image explains an error.
Every speaker weighs the same, however many images are correct. One network's maps are one sample of many possible
networks, so genders are compared within each of several.
"""

from typing import Any

import numpy as np
import pandas as pd

from speaker_gender.config import GENDERS
from speaker_gender.images.mfc import N_MFCC
from speaker_gender.judging.evaluation import (
    female_minus_male,
    interval_over_speakers,
    mean_by_speaker,
    predicted_gender,
)

VERSION = 1  # part of every cache's key: raise it when a change here changes a number

ALL_NETWORKS = "mean of networks"


def correct_rows(predictions: pd.DataFrame) -> np.ndarray:
    """Return the positions of the correctly classified images.

    `predictions`: columns gender, p_female.
    """
    return np.flatnonzero(predicted_gender(predictions) == predictions["gender"])


def row_names(n_rows: int) -> list[str]:
    """Name the rows of a map of MFC images by the coefficients that they cover.

    Examples
    --------
    >>> row_names(4)
    ['0–2', '3–5', '6–8', '9–11']
    >>> row_names(12)[:2]
    ['0', '1']
    """
    edges = np.linspace(0, N_MFCC, n_rows + 1)
    firsts, lasts = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int) - 1
    return [f"{first}–{last}" if last > first else f"{first}" for first, last in zip(firsts, lasts)]


def mean_maps(maps: np.ndarray, images: pd.DataFrame) -> dict[str, np.ndarray]:
    """Average maps by gender: over each speaker's images first, then over the speakers.

    Parameters
    ----------
    maps : np.ndarray, shape (images, rows, columns)
        Of correctly classified images, see grad_cam.grad_cam.
    images : pd.DataFrame
        Columns gender (the true one), speaker; a row for each map.

    Returns
    -------
    dict of str to np.ndarray, shape (rows, columns)
        Gender → mean map; a gender without images has none.
    """
    of_speakers = mean_by_speaker(pd.DataFrame(maps.reshape(len(maps), -1)), images)
    return {
        gender: of_speakers.loc[gender].to_numpy().mean(axis=0).reshape(maps.shape[1:])
        for gender in GENDERS
        if gender in of_speakers.index.get_level_values("gender")
    }


def shares_by_speaker(maps: np.ndarray, images: pd.DataFrame) -> pd.DataFrame:
    """Compute the share of a speaker's maps that lies in each row, averaged over the speaker's images.

    Returns pd.DataFrame of float: Index (gender, speaker), columns `row_names`; rows sum to 1.

    Parameters
    ----------
    maps : np.ndarray, shape (images, rows, columns)
        Of correctly classified images. A map that is nowhere positive has no shares and is left out.
    images : pd.DataFrame
        Columns gender (the true one), speaker; a row for each map.
    """
    per_row = maps.mean(axis=2, dtype=np.float64)
    whole = per_row.sum(axis=1, keepdims=True)
    shares = np.divide(per_row, whole, out=np.full(per_row.shape, np.nan), where=whole > 0)
    return mean_by_speaker(pd.DataFrame(shares, columns=row_names(maps.shape[1])), images).dropna()


def compare_genders(shares_of_networks: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Compare the attention to women's images with that to men's, in each row and in each network.

    The mean of the networks averages each speaker's shares over them first; its interval is over speakers, for these
    networks. How far networks differ is seen in their own rows. `shares_of_networks`: network → its
    `shares_by_speaker`.

    Returns
    -------
    pd.DataFrame
        Index (network, coefficients), last the mean of the networks. Columns: female and male (mean shares over
        speakers), difference (female minus male), low and high (its 95 % interval over speakers), female_speakers and
        male_speakers, same_direction (how many of the networks have a difference of this sign). Differences are nan
        in a network that has correct images of one gender only.
    """
    together = pd.concat(shares_of_networks.values()).groupby(level=["gender", "speaker"]).mean()
    tables = {name: _compared(shares) for name, shares in (shares_of_networks | {ALL_NETWORKS: together}).items()}
    table = pd.concat(tables, names=["network", "coefficients"])
    signs = np.sign(table["difference"])
    of_networks = signs.drop(ALL_NETWORKS, level="network").unstack("network")
    agreeing = [
        int((of_networks.loc[coefficients] == sign).sum()) for (_, coefficients), sign in zip(table.index, signs)
    ]
    return table.assign(same_direction=agreeing)


def _compared(shares: pd.DataFrame) -> pd.DataFrame:
    groups = {gender: shares[shares.index.get_level_values("gender") == gender] for gender in GENDERS}
    female, male = groups.values()
    low, high = interval_over_speakers(shares, female_minus_male) if len(female) and len(male) else (np.nan, np.nan)
    columns: dict[str, Any] = {"female": female.mean(), "male": male.mean()}
    columns |= {
        "difference": female.mean() - male.mean(),
        "low": low,
        "high": high,
        "female_speakers": len(female),
        "male_speakers": len(male),
    }
    return pd.DataFrame(columns, index=shares.columns)
