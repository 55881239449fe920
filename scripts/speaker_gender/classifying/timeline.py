"""Who speaks when in a recording, as far as one model of two labels can say it.

A recording is cut into windows of up to a second. The most likely sequence of labels is found by the Viterbi algorithm
for two states: each window argues for a label by its log-odds, and each change of label costs SWITCH_COST of them, so
that one doubtful window changes nothing and a turn of some seconds does. results/shipped/mixed_recordings.json has the
errors of this rule on recordings put together from the development sets.
"""

from typing import NamedTuple

import numpy as np

SWITCH_COST = 3.0  # log-odds, chosen on the development sets (studies/mixed_recordings.py)
MOST_ODDS = 4.0  # log-odds that one window counts at most


class Stretch(NamedTuple):
    """A part of a recording with speech and one label: start and stop in seconds, and the probability of female.

    channel: the one, from 1 on, in which it lies; None where the channels are mixed.
    """

    start: float
    stop: float
    label: str
    p_female: float
    channel: int | None = None


def most_likely_labels(odds: np.ndarray, *, switch_cost: float = SWITCH_COST) -> np.ndarray:
    """Whether each window is female in the most likely sequence of labels.

    Returns ndarray: bool, shape (windows,).

    Parameters
    ----------
    odds : ndarray
        Log-odds of female of consecutive windows, shape (windows,).
    switch_cost : float
        Log-odds that a change of label costs.

    References
    ----------
    Viterbi, IEEE Transactions on Information Theory 13(2), 1967.

    Examples
    --------
    >>> most_likely_labels(np.array([3.0, 3.0, -1.0, 3.0])).tolist()
    [True, True, True, True]
    >>> most_likely_labels(np.array([3.0, 3.0, 3.0, -3.0, -3.0, -3.0])).tolist()
    [True, True, True, False, False, False]
    """
    if not len(odds):
        return np.zeros(0, bool)
    evidence = np.clip(odds, -MOST_ODDS, MOST_ODDS) / 2
    score = np.array([-evidence[0], evidence[0]])  # of the best sequence that ends in male, in female
    came_from = np.zeros((len(odds), 2), int)
    for index in range(1, len(odds)):
        stays, changes = score, score[::-1] - switch_cost
        came_from[index] = np.where(stays >= changes, [0, 1], [1, 0])
        score = np.maximum(stays, changes) + [-evidence[index], evidence[index]]
    labels = np.zeros(len(odds), int)
    labels[-1] = int(score[1] >= score[0])
    for index in range(len(odds) - 1, 0, -1):
        labels[index - 1] = came_from[index, labels[index]]
    return labels.astype(bool)


def merged(windows: list[Stretch]) -> list[Stretch]:
    """Neighbouring windows of one label and channel as one stretch.

    Windows are neighbours where no more than half a second lies between them. p_female is their mean, weighted by their
    lengths.
    """
    found: list[list[Stretch]] = []
    for window in windows:
        if found and found[-1][-1].label == window.label and window.start - found[-1][-1].stop <= 0.5:
            found[-1].append(window)
        else:
            found.append([window])
    return [_as_one(group) for group in found]


def _as_one(group: list[Stretch]) -> Stretch:
    lengths = [window.stop - window.start for window in group]
    p_female = float(np.average([window.p_female for window in group], weights=lengths))
    return group[0]._replace(stop=group[-1].stop, p_female=round(p_female, 4))


def speaking_time(windows: list[Stretch]) -> dict[str, float]:
    """Seconds of speech of each label."""
    seconds = {"female": 0.0, "male": 0.0}
    for window in windows:
        seconds[window.label] += window.stop - window.start
    return {label: round(value, 3) for label, value in seconds.items()}
