"""Scores, intervals and calibration, on predictions whose answers are known by hand or from scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from speaker_gender.judging import evaluation


def make_predictions(n_speakers=10, per_speaker=20, skill=1.0, seed=0):
    """Half of the speakers female; the logit of p_female is the truth times `skill`, plus noise."""
    generator = np.random.default_rng(seed)
    speakers = np.repeat([f"{index:02}" for index in range(n_speakers)], per_speaker)
    female = np.repeat(np.arange(n_speakers) % 2 == 0, per_speaker)
    logits = skill * np.where(female, 1, -1) + generator.normal(0, 1, len(female))
    return pd.DataFrame(
        {
            "speaker": speakers,
            "gender": np.where(female, "female", "male"),
            "digit": np.arange(len(female)) % 10,
            "p_female": 1 / (1 + np.exp(-logits)),
        }
    )


def test_scores_agree_with_scikit_learn():
    predictions = make_predictions()
    true = (predictions["gender"] == "female").to_numpy()
    said = predictions["p_female"].to_numpy() >= 0.5
    got = evaluation.scores(predictions)
    assert got["error_rate"] == pytest.approx(1 - metrics.accuracy_score(true, said))
    assert got["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, said))
    assert got["precision"] == pytest.approx(metrics.precision_score(true, said))
    assert got["recall"] == pytest.approx(metrics.recall_score(true, said))
    assert got["f1"] == pytest.approx(metrics.f1_score(true, said))
    assert got["auc"] == pytest.approx(metrics.roc_auc_score(true, predictions["p_female"]))


def test_a_weight_of_two_counts_like_the_row_twice():
    predictions = make_predictions()
    weights = np.where(predictions["speaker"] == "03", 2, 1)
    doubled = pd.concat([predictions, predictions[predictions["speaker"] == "03"]])
    assert evaluation.scores(predictions, weights) == pytest.approx(evaluation.scores(doubled))


def test_weighted_scores_with_ties_agree_with_scikit_learn():
    predictions = make_predictions(skill=0.5)
    predictions["p_female"] = predictions["p_female"].round(1)  # many ranked alike
    weights = np.random.default_rng(1).integers(0, 4, len(predictions))
    true = (predictions["gender"] == "female").to_numpy()
    said = predictions["p_female"].to_numpy() >= 0.5
    got = evaluation.scores(predictions, weights)
    assert got["auc"] == pytest.approx(metrics.roc_auc_score(true, predictions["p_female"], sample_weight=weights))
    assert got["f1"] == pytest.approx(metrics.f1_score(true, said, sample_weight=weights))
    assert got["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, said, sample_weight=weights))


def test_scores_of_one_gender_alone_say_what_is_undefined():
    predictions = make_predictions().query("gender == 'male'")
    got = evaluation.scores(predictions)
    assert np.isnan(got["auc"]) and np.isnan(got["balanced_accuracy"]) and np.isnan(got["recall"])
    assert 0 <= got["error_rate"] <= 1


def test_the_confusion_matrix_has_the_truth_in_rows():
    predictions = pd.DataFrame({"gender": ["female", "female", "male"], "p_female": [0.9, 0.1, 0.2], "speaker": "1"})
    counts = evaluation.confusion(predictions)
    assert counts.loc["female", "male"] == 1 and counts.loc["male", "female"] == 0
    assert counts.loc["female", "female"] == 1 and counts.loc["male", "male"] == 1


def test_the_interval_holds_the_score_and_is_seeded():
    predictions = make_predictions()
    first = evaluation.bootstrap_over_speakers(predictions, n_resamples=200)
    assert first == evaluation.bootstrap_over_speakers(predictions, n_resamples=200)
    for name, value in evaluation.scores(predictions).items():
        low, high = first[name]
        if name != "ece":  # resampling makes calibration look worse: noise adds to a mean of absolute values
            assert low <= value <= high


def test_the_interval_is_over_speakers_not_images():
    """Ten identical recordings of a speaker tell no more than one."""
    once = make_predictions(n_speakers=20, per_speaker=1)
    ten_times = pd.concat([once] * 10)
    a = evaluation.bootstrap_over_speakers(once, n_resamples=300)["error_rate"]
    b = evaluation.bootstrap_over_speakers(ten_times, n_resamples=300)["error_rate"]
    assert a == pytest.approx(b)


def test_a_calibrated_model_has_a_small_error_of_calibration_and_an_overconfident_one_a_large():
    generator = np.random.default_rng(0)
    p_female = generator.uniform(0, 1, 50_000)
    gender = np.where(generator.uniform(0, 1, 50_000) < p_female, "female", "male")
    calibrated = pd.DataFrame({"gender": gender, "p_female": p_female, "speaker": "1"})
    assert evaluation.scores(calibrated)["ece"] < 0.01
    overconfident = calibrated.assign(p_female=np.round(p_female))
    assert evaluation.scores(overconfident)["ece"] > 0.2


def test_errors_are_counted_by_group_and_the_surest_mistakes_come_first():
    predictions = make_predictions(skill=0.5)
    by_digit = evaluation.errors_by(predictions, "digit")
    wrong = (predictions["p_female"] >= 0.5) != (predictions["gender"] == "female")
    assert by_digit["errors"].sum() == wrong.sum() and by_digit["images"].sum() == len(predictions)
    worst = evaluation.most_confident_mistakes(predictions, 5)
    assert worst["confidence"].is_monotonic_decreasing and wrong[worst.index].all()


def of_speakers(**values):
    """Values of the speakers of each gender, as a table of one column."""
    keys = [(gender, f"{index:02}") for gender, group in values.items() for index in range(len(group))]
    index = pd.MultiIndex.from_tuples(keys, names=["gender", "speaker"])
    return pd.DataFrame({"value": np.concatenate(list(values.values()))}, index=index)


def test_speakers_are_drawn_within_their_gender():
    """Were they drawn from all, some resamples would have other shares of women and another mean."""
    low, high = evaluation.interval_over_speakers(
        of_speakers(female=[1.0] * 3, male=[0.0] * 5), evaluation.mean_of_speakers
    )
    assert low == high == pytest.approx(3 / 8)


def test_an_interval_of_two_speakers_reaches_from_one_to_the_other():
    low, high = evaluation.interval_over_speakers(of_speakers(male=[0.0, 1.0]), evaluation.mean_of_speakers)
    assert low == 0 and high == 1
    low, high = evaluation.interval_over_speakers(
        of_speakers(female=[1.0, 1.0], male=[0.0, 1.0]), evaluation.female_minus_male
    )
    assert low == 0 and high == 1


def test_one_speaker_of_a_gender_has_no_interval():
    low, high = evaluation.interval_over_speakers(
        of_speakers(female=[1.0], male=[0.0] * 5), evaluation.mean_of_speakers
    )
    assert np.isnan(low).all() and np.isnan(high).all() and low.shape == (1,)


def test_values_that_are_missing_are_left_out_of_a_speakers_mean():
    images = pd.DataFrame({"gender": "male", "speaker": ["01", "01", "02"]}, index=[7, 3, 5])
    found = evaluation.mean_by_speaker(pd.DataFrame({"value": [1.0, np.nan, 3.0]}), images)
    assert found["value"].tolist() == [1, 3] and found.index.names == ["gender", "speaker"]


def test_scores_of_one_image():
    got = evaluation.scores(pd.DataFrame({"gender": ["female"], "p_female": [0.5], "speaker": ["12"]}))
    assert got["error_rate"] == 0 and got["recall"] == got["precision"] == got["f1"] == 1, "0.5 counts as female"
    assert np.isnan(got["auc"]) and np.isnan(got["balanced_accuracy"])


def test_an_auc_of_nothing_but_ties_is_a_half():
    ties = pd.DataFrame({"gender": ["female", "male", "male"], "p_female": [0.7] * 3, "speaker": ["1", "2", "3"]})
    assert evaluation.scores(ties)["auc"] == 0.5


def test_a_tie_counts_half_in_the_auc():
    """Of the four pairs the woman is above in two, below in one, tied in one: (2 + 1/2) / 4."""
    genders = ["female", "female", "male", "male"]
    found = evaluation.scores(pd.DataFrame({"gender": genders, "p_female": [0.9, 0.4, 0.4, 0.6], "speaker": "1"}))
    assert found["auc"] == pytest.approx(2.5 / 4)


def test_a_speaker_who_is_always_wrong_counts_once_per_resample():
    """Two women, one always wrong: balanced error 1/4 on average, between 0 and 1/2 in resamples."""
    rows = [("female", "12", 0.9), ("female", "26", 0.1), ("male", "01", 0.1), ("male", "02", 0.1)]
    predictions = pd.DataFrame([row for row in rows for _ in range(5)], columns=["gender", "speaker", "p_female"])
    assert evaluation.scores(predictions)["balanced_accuracy"] == 0.75
    assert evaluation.bootstrap_over_speakers(predictions)["balanced_accuracy"] == (0.5, 1.0)


def test_wilson_intervals_are_those_of_the_textbook_and_a_bin_without_images_has_none():
    bins = pd.DataFrame({"images": [10, 0, 20], "accuracy": [0.5, np.nan, 1.0]})
    below, above = evaluation.wilson_intervals(bins)
    assert below[0] == pytest.approx(above[0]) == pytest.approx(0.2634, abs=1e-4)  # 5 of 10: 0.2366 to 0.7634
    assert np.isnan(below[1]) and np.isnan(above[1])
    assert above[2] == 0 and below[2] == pytest.approx(0.1611, abs=1e-4)  # 20 of 20: 0.8389 to 1
