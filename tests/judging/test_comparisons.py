"""Predictions described and compared, on small tables whose right answer is known by hand."""

import numpy as np
import pandas as pd
import pytest

from speaker_gender.judging import comparisons

NAN = float("nan")


def predictions_of(*rows, **columns):
    return pd.DataFrame(rows, columns=["recording", "speaker", "gender", "p_female"]).assign(**columns)


def four_speakers(p_female):
    """One recording of each of two women and two men."""
    names = [("a", "12", "female"), ("b", "26", "female"), ("c", "01", "male"), ("d", "02", "male")]
    return predictions_of(*[(*name, p) for name, p in zip(names, p_female)])


def test_a_refusal_is_wrong_for_whoever_refuses():
    sure, refusing = four_speakers([0.9, 0.9, 0.1, 0.1]), four_speakers([0.9, NAN, 0.1, NAN])
    found = comparisons.compare_on_same_recordings(sure, refusing)
    assert found["first"] == 1 and found["second"] == 0.5 and found["difference"] == 0.5
    assert found["first_refused"] == 0 and found["second_refused"] == 2 and found["recordings"] == 4
    other_way = comparisons.compare_on_same_recordings(refusing, sure)
    assert other_way["difference"] == -0.5 and other_way["first_refused"] == 2
    both = comparisons.compare_on_same_recordings(refusing, refusing)
    assert both["difference"] == 0 and both["interval"] == [0, 0]


def test_only_recordings_that_both_were_given_count():
    first = four_speakers([0.9, 0.9, 0.1, 0.1])
    second = pd.concat([four_speakers([0.1, 0.9, 0.1, 0.1])[1:], predictions_of(("z", "12", "female", 0.1))])
    found = comparisons.compare_on_same_recordings(first, second)
    assert found["recordings"] == found["speakers"] == 3 and found["difference"] == 0


def test_the_order_of_the_rows_does_not_matter():
    first, second = four_speakers([0.9, 0.2, 0.1, 0.1]), four_speakers([0.2, 0.9, 0.1, 0.9])
    shuffled = second.sample(frac=1, random_state=1)
    assert comparisons.compare_on_same_recordings(first, second) == comparisons.compare_on_same_recordings(
        first, shuffled
    )


@pytest.mark.parametrize(
    "second, what",
    [
        (four_speakers([0.9] * 4).assign(recording=list("wxyz")), "no recording in common"),
        (four_speakers([0.9] * 4).assign(gender="male"), "other speakers or genders"),
        (four_speakers([0.9] * 4).assign(recording="a"), "not unique"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(second, what):
    with pytest.raises(ValueError, match=what):
        comparisons.compare_on_same_recordings(four_speakers([0.9] * 4), second)


def test_speakers_weigh_the_same_whatever_their_recordings():
    """One woman has three recordings, all wrong, the other one, right: a half, not a quarter."""
    rows = [(f"a{index}", "12", "female", 0.1) for index in range(3)] + [("b", "26", "female", 0.9)]
    table = predictions_of(*rows, ("c", "01", "male", 0.1), ("d", "02", "male", 0.1))
    right = table.assign(p_female=[0.9] * 4 + [0.1] * 2)
    found = comparisons.compare_on_same_recordings(table, right)
    assert found["first"] == 0.75 and found["second"] == 1 and found["difference"] == -0.25
    assert found["interval"] == [-0.5, 0]


def test_a_description_counts_speakers_recordings_and_the_right_ones():
    found = comparisons.describe(four_speakers([0.9, NAN, 0.5, 0.1]))
    assert found["speakers"] == found["images"] == 4 and found["refused"] == 1
    assert found["of_gender"] == {
        "female": {"speakers": 2, "images": 2, "correct": 1},
        "male": {"speakers": 2, "images": 2, "correct": 1},  # 0.5 counts as female
    }
    assert found["scores"]["balanced_accuracy"] == 0.5 and found["scores"]["error_rate"] == 0.5


def test_a_refusal_is_no_man():
    """A missing probability is not at least 0.5; that must not make a man's refused recording right."""
    refused = four_speakers([0.9, 0.9, NAN, NAN])
    assert comparisons.describe(refused)["scores"]["balanced_accuracy"] == 0.5
    assert comparisons.counts_of_gender(refused)["male"]["correct"] == 0


def test_rows_stand_with_and_without_the_doubtful():
    table = four_speakers([0.9, 0.9, 0.9, 0.1])
    found = comparisons.describe_both_ways(table, ["01"])
    assert found["all"]["scores"]["balanced_accuracy"] == 0.75 and found["all"]["speakers"] == 4
    assert found["without_doubtful"]["scores"]["balanced_accuracy"] == 1 and found["without_doubtful"]["speakers"] == 3
    assert (
        set(comparisons.describe_both_ways(table, ["99"])) == set(comparisons.describe_both_ways(table, [])) == {"all"}
    )


def test_a_speaker_in_both_genders_counts_in_each():
    rows = [("a", "07", "female", 0.9), ("b", "07", "male", 0.9), ("c", "08", "male", 0.1)]
    found = comparisons.counts_of_gender(predictions_of(*rows))
    assert found["female"]["speakers"] == 1 and found["male"] == {"speakers": 2, "images": 2, "correct": 1}


def test_pooled_networks_agree_by_their_log_odds():
    one, other = four_speakers([0.9] * 4), four_speakers([0.1, 0.9, 0.5, 0.1])
    np.testing.assert_allclose(comparisons.pooled([one, other])["p_female"], [0.5, 0.9, 0.75, 0.5])


def test_auc_that_only_the_doubtful_cost():
    table = four_speakers([0.8, 0.6, 0.7, 0.9])
    assert comparisons.auc_of_doubtful(table, ["02"]) == 0.5 and comparisons.auc_of_doubtful(table, []) == 1
    assert np.isnan(comparisons.auc_of_doubtful(table[table["gender"] == "male"], ["02"]))


def test_tables_and_figures_show_counts_and_intervals():
    predictions = pd.DataFrame(
        {
            "speaker": ["01", "02", "03", "04", "04"],
            "gender": ["female", "female", "male", "male", "male"],
            "p_female": [0.9, 0.8, 0.1, 0.9, np.nan],
        }
    )
    row = comparisons.describe(predictions)
    table = comparisons.as_table({"one": row})
    assert table.loc["one", "speakers"] == 4 and table.loc["one", "recordings"] == 5
    assert table.loc["one", "balanced accuracy"].startswith("0.667 (")
    np.testing.assert_allclose(comparisons.balanced_error(row)[0], 100 - 100 * 2 / 3)
    assert (
        comparisons.balanced_error(row)[1] <= comparisons.balanced_error(row)[0] <= comparisons.balanced_error(row)[2]
    )
    np.testing.assert_allclose(comparisons.points({"difference": 0.1, "interval": [-0.05, 0.2]}), [10, -5, 20])
