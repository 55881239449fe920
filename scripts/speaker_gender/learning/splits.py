"""Divisions of a corpus's images into training, validation and test parts.

A split is a Series of 'train', 'valid' and 'test' in the order of the table that it divides. The random split has
the same speakers in every part. The others divide the speakers, so that no speaker is in two parts.
"""

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from speaker_gender.config import SEED

# AudioMNIST's own folds for the gender task (Becker et al., arXiv:1807.03418): five groups would not balance its
# 12 female speakers, so four groups of 3 + 3 take turns: two train, one validates, one tests.
_PAPER_GROUPS = (
    ("36 47 56", "2 44 50"),
    ("26 12 57", "25 37 45"),
    ("43 28 52", "48 53 41"),
    ("58 59 60", "7 23 38"),
)
PAPER_GROUPS = tuple(frozenset(f"{int(key):02}" for key in " ".join(group).split()) for group in _PAPER_GROUPS)
_PAPER_ORDER = ((0, 1, 2, 3), (1, 2, 3, 0), (2, 3, 0, 1), (3, 0, 1, 2))  # train, train, validate, test

VALID_FRACTION = 0.2


def random_split(images: pd.Series, *, seed: int = SEED) -> pd.Series:
    """Split images at random as the study does: 80 % train, 20 % validate, without regard to the speaker.

    The names are sorted and shuffled with numpy's legacy generator, as in the study. Which fifth of them fastai v1 then
    drew cannot be reproduced any more, so the first fifth is taken. Returns pd.Series of str: 'train' or 'valid', with
    the index of `images`.

    Parameters
    ----------
    images : pd.Series of str
        The images' names.

    Examples
    --------
    >>> split = random_split(pd.Series([f"male_{index}.jpg" for index in range(10)]))
    >>> split.value_counts().to_dict()
    {'train': 8, 'valid': 2}
    """
    names = sorted(images)
    np.random.RandomState(seed).shuffle(names)
    valid = set(names[: round(VALID_FRACTION * len(names))])
    return images.map(lambda name: "valid" if name in valid else "train").rename("part")


def split_by_speaker(speakers: pd.Series, *, train: set[str], valid: set[str], test: set[str]) -> pd.Series:
    """Split recordings by their speakers.

    Returns each recording's part; missing for other speakers. Raises ValueError for a speaker named
    in two parts.

    Parameters
    ----------
    train, valid, test : set of str
        Speakers of each part.

    Examples
    --------
    >>> split = split_by_speaker(pd.Series(["01", "12", "01", "26"]), train={"01"}, valid={"12"}, test={"26"})
    >>> split.tolist()
    ['train', 'valid', 'train', 'test']
    """
    twice = (train & valid) | (train & test) | (valid & test)
    if twice:
        raise ValueError(f"speaker {min(twice)} is in two parts of one fold")
    part = {speaker: name for name, part in (("train", train), ("valid", valid), ("test", test)) for speaker in part}
    return speakers.map(part).rename("part")


def paper_folds(speakers: pd.Series) -> list[pd.Series]:
    """Split recordings into the four folds of AudioMNIST's paper.

    Returns 12 training, 6 validation and 6 test speakers, as many of each gender; missing for the
    other 36 speakers.

    References
    ----------
    Becker et al., arXiv:1807.03418.
    """
    folds = []
    for first, second, valid, test in _PAPER_ORDER:
        folds.append(
            split_by_speaker(
                speakers,
                train=set(PAPER_GROUPS[first] | PAPER_GROUPS[second]),
                valid=set(PAPER_GROUPS[valid]),
                test=set(PAPER_GROUPS[test]),
            )
        )
    return folds


def grouped_folds(speakers: pd.Series, genders: pd.Series, *, n_folds: int = 5, seed: int = SEED) -> list[pd.Series]:
    """Split recordings into folds in which every speaker is tested once, with the genders spread evenly over them.

    Fold k tests on group k, validates on group k + 1 and trains on the rest. Raises ValueError for fewer than three
    folds, or fewer speakers of a gender than folds.

    Examples
    --------
    >>> speakers = pd.Series(["01", "02", "03", "12", "26", "28"])
    >>> genders = pd.Series(["male"] * 3 + ["female"] * 3)
    >>> for fold in grouped_folds(speakers, genders, n_folds=3):
    ...     print(sorted(speakers[fold == "test"]))
    ['01', '28']
    ['02', '12']
    ['03', '26']
    """
    if n_folds < 3:
        raise ValueError("training, validation and test need at least three folds, and as many speakers of each gender")
    gender = pd.Series(np.asarray(genders), index=np.asarray(speakers)).groupby(level=0).first().sort_index()
    if gender.value_counts().min() < n_folds:
        raise ValueError(f"{n_folds} folds need at least {n_folds} speakers of each gender")
    division = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    groups = [set(gender.index[test]) for _, test in division.split(gender.index, gender)]
    folds = []
    for index, test in enumerate(groups):
        valid = groups[(index + 1) % n_folds]
        folds.append(split_by_speaker(speakers, train=set(gender.index) - test - valid, valid=valid, test=test))
    return folds


def random_like(fold: pd.Series, *, seed: int = SEED) -> pd.Series:
    """Deal a fold's parts out to images at random: parts of the same sizes, without regard to the speaker.

    With many images of each speaker, as in AudioMNIST, all speakers are in every part. Returns with
    the index of `fold`.
    """
    return pd.Series(np.random.RandomState(seed).permutation(fold.to_numpy()), index=fold.index, name="part")
