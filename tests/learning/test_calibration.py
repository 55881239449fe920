"""Calibration: overconfident answers become honest ones, and nobody changes sides for it when there is no bias."""

import numpy as np
import pandas as pd
import pytest

from speaker_gender.learning.calibration import calibrate, calibrated, log_odds, probability


def overconfident(n=4_000, *, factor=3.0, offset=0.0, seed=0):
    """Answers of which the log-odds are `factor` times what they should be, and off by `offset`."""
    rng = np.random.default_rng(seed)
    odds = np.concatenate([rng.normal(2, 2, n), rng.normal(-2, 2, n)])  # equal variances: log-odds of the class is odds
    genders = ["female"] * n + ["male"] * n
    return pd.DataFrame({"gender": genders, "p_female": probability(factor * odds + offset)})


def test_the_line_undoes_what_was_done():
    found = calibrate(overconfident(factor=3.0, offset=1.5))
    assert found["slope"] == pytest.approx(1 / 3, rel=0.05) and found["intercept"] == pytest.approx(-0.5, abs=0.1)


def test_calibrated_probabilities_are_as_often_right_as_they_say():
    answers = overconfident()
    p_female = calibrated(answers["p_female"].to_numpy(), calibrate(answers))
    sure = (p_female > 0.7) & (p_female < 0.8)
    assert (answers["gender"][sure] == "female").mean() == pytest.approx(0.75, abs=0.06)


def test_log_odds_and_probability_are_inverse_and_bear_0_and_1():
    p = np.array([0.0, 0.2, 0.5, 0.999, 1.0])
    assert np.isfinite(log_odds(p)).all()
    np.testing.assert_allclose(probability(log_odds(p)), p, atol=1e-8)


def test_the_rarer_gender_weighs_as_much():
    answers = overconfident(factor=1.0)
    few = pd.concat([answers[answers["gender"] == "male"], answers[answers["gender"] == "female"].head(200)])
    assert calibrate(few)["intercept"] == pytest.approx(calibrate(answers)["intercept"], abs=0.35)
