"""Clipped recordings: so much is cut off as is said, and the figures are those that a few rows give by hand."""

import numpy as np
import pandas as pd
import pytest

from studies import clipped_recordings
from studies.clipped_recordings import clipped, draw, figures


def test_the_loudest_samples_lie_at_the_limit_and_the_others_stay():
    signal = np.array([-5.0, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5])
    np.testing.assert_array_equal(clipped(signal, share=0.2), signal.clip(-4, 4))
    np.testing.assert_array_equal(clipped(signal + 100, share=0.2), signal.clip(-4, 4))
    np.testing.assert_array_equal(clipped(signal, share=0), signal)


@pytest.mark.parametrize("share", [share for share in clipped_recordings.SHARES if share])
def test_the_share_is_that_of_the_samples(share):
    signal = clipped(np.random.default_rng(0).normal(size=10_000), share=share)
    assert np.mean(np.abs(signal) == np.abs(signal).max()) == pytest.approx(share, abs=2e-4)


def test_each_speaker_gives_so_many_recordings_or_all():
    recordings = pd.DataFrame({"speaker": ["1"] * 5 + ["2"], "path": range(6)})
    drawn = draw(recordings, 2)
    assert drawn["speaker"].tolist() == ["1", "1", "2"] and drawn["path"].is_monotonic_increasing
    pd.testing.assert_frame_equal(drawn, draw(recordings, 2))


def predictions(p_female: list[float], warned: list[bool]) -> pd.DataFrame:
    table = {"recording": list("abcd"), "speaker": list("wxyz"), "gender": ["female", "female", "male", "male"]}
    return pd.DataFrame(table | {"p_female": p_female, "warned": warned})


def test_figures_are_those_that_are_counted_by_hand():
    before = predictions([0.9, 0.8, 0.1, 0.2], [False] * 4)
    after = predictions([0.9, np.nan, 0.1, 0.7], [True, False, True, True])
    found = figures(after, before)
    assert found["scores"]["balanced_accuracy"] == 0.5 and found["difference"]["difference"] == -0.5
    assert (found["images"], found["speakers"], found["refused"], found["warned"]) == (4, 4, 1, 3)
    assert found["accuracy"] == pytest.approx(2 / 3), "of the three that are classified"
    assert found["mean_probability"] == pytest.approx((0.9 + 0.9 + 0.7) / 3)
    assert found["difference_of_classified"]["difference"] == -0.25, "one man of two; the one woman is right"
    assert figures(before, before)["difference"]["difference"] == 0
