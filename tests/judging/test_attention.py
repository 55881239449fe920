"""Attention of the genders, on maps whose shares are known by hand."""

import numpy as np
import pandas as pd
import pytest

from speaker_gender.judging import attention


def images_of(*rows):
    return pd.DataFrame(rows, columns=["gender", "speaker"])


def map_in_row(row, *, strength=1.0):
    """Four rows of cells, two columns; all of the map in one row."""
    made = np.zeros((4, 2), np.float32)
    made[row] = strength
    return made


def test_only_correctly_classified_images_count():
    predictions = pd.DataFrame({"gender": ["female", "female", "male", "male"], "p_female": [0.5, 0.49, 0.5, 0.49]})
    assert attention.correct_rows(predictions).tolist() == [0, 3]


def test_every_speaker_weighs_the_same_however_many_images_are_correct():
    maps = np.stack([map_in_row(0)] * 3 + [map_in_row(2)])
    images = images_of(*[("female", "12")] * 3, ("female", "26"))
    mean = attention.mean_maps(maps, images)
    assert set(mean) == {"female"}, "a gender without images has no map"
    np.testing.assert_allclose(mean["female"][:, 0], [0.5, 0, 0.5, 0])
    shares = attention.shares_by_speaker(maps, images)
    np.testing.assert_allclose(shares.loc[("female", "12")], [1, 0, 0, 0])
    np.testing.assert_allclose(shares.loc[("female", "26")], [0, 0, 1, 0])
    assert shares.columns.tolist() == ["0–2", "3–5", "6–8", "9–11"]


def test_a_single_image_is_its_own_mean():
    one = np.random.default_rng(0).uniform(size=(1, 4, 14)).astype(np.float32)
    mean = attention.mean_maps(one, images_of(("male", "01")))
    np.testing.assert_allclose(mean["male"], one[0], rtol=1e-6)
    shares = attention.shares_by_speaker(one, images_of(("male", "01")))
    assert len(shares) == 1 and shares.to_numpy().sum() == pytest.approx(1)


def test_a_strong_map_weighs_no_more_in_the_shares_than_a_weak_one_and_a_blank_one_not_at_all():
    maps = np.stack([map_in_row(0, strength=1), map_in_row(1, strength=0.01), map_in_row(3, strength=0)])
    shares = attention.shares_by_speaker(maps, images_of(*[("male", "01")] * 3))
    np.testing.assert_allclose(shares.loc[("male", "01")], [0.5, 0.5, 0, 0])


def test_a_speaker_all_of_whose_maps_are_blank_is_left_out():
    maps = np.stack([map_in_row(0), np.zeros((4, 2), np.float32)])
    shares = attention.shares_by_speaker(maps, images_of(("male", "01"), ("male", "02")))
    assert shares.index.tolist() == [("male", "01")]


def test_a_speaker_with_images_in_both_genders_counts_in_each_with_these_only():
    """Labels of two genders for one speaker are an error of a corpus; they must not be mixed into one mean."""
    maps = np.stack([map_in_row(0), map_in_row(3)])
    shares = attention.shares_by_speaker(maps, images_of(("female", "07"), ("male", "07")))
    assert shares.loc[("female", "07"), "0–2"] == shares.loc[("male", "07"), "9–11"] == 1


def network_of(rows):
    """Shares of speakers all of whose attention is in one row: (gender, speaker) → row."""
    maps = np.stack([map_in_row(row) for row in rows.values()])
    return attention.shares_by_speaker(maps, images_of(*rows))


WOMEN, MEN = [("female", "12"), ("female", "26")], [("male", "01"), ("male", "02")]


def test_networks_that_disagree_do_not_average_each_other_away_unseen():
    up = network_of(dict.fromkeys(WOMEN, 0) | dict.fromkeys(MEN, 3))
    down = network_of(dict.fromkeys(WOMEN, 3) | dict.fromkeys(MEN, 0))
    table = attention.compare_genders({"a": up, "b": down})
    assert table.loc[("a", "0–2"), "difference"] == 1 and table.loc[("b", "0–2"), "difference"] == -1
    assert table.loc[(attention.ALL_NETWORKS, "0–2"), "difference"] == 0
    assert table.loc[("a", "0–2"), "same_direction"] == 1
    assert table.loc[("a", "0–2"), ["low", "high"]].tolist() == [1, 1], "speakers do not differ here"


def test_a_speaker_without_a_correct_image_in_one_network_counts_with_the_others():
    whole = network_of(dict.fromkeys(WOMEN, 0) | dict.fromkeys(MEN, 3))
    table = attention.compare_genders({"a": whole, "b": whole.drop(("female", "26"))})
    assert table.loc[("b", "0–2"), "female_speakers"] == 1 and table.loc[("a", "0–2"), "female_speakers"] == 2
    assert np.isnan(table.loc[("b", "0–2"), "low"]), "no interval from one woman"
    assert table.loc[(attention.ALL_NETWORKS, "0–2"), "female_speakers"] == 2
    assert table.loc[(attention.ALL_NETWORKS, "0–2"), "same_direction"] == 2


def test_the_interval_of_the_difference_is_over_speakers():
    mixed = network_of({WOMEN[0]: 0, WOMEN[1]: 3} | dict.fromkeys(MEN, 3))
    row = attention.compare_genders({"a": mixed}).loc[("a", "0–2")]
    assert row["difference"] == 0.5 and row["low"] == 0 and row["high"] == 1


def test_rows_that_do_not_divide_twelve_are_named_by_all_coefficients_they_touch():
    assert attention.row_names(8)[:2] == ["0–1", "1–2"] and attention.row_names(1) == ["0–11"]


def test_a_network_without_a_correct_image_of_one_gender_has_no_difference():
    shares = pd.DataFrame(
        {"0–5": [0.25, 0.75]},
        index=pd.MultiIndex.from_tuples([("male", "01"), ("male", "02")], names=["gender", "speaker"]),
    )
    row = attention.compare_genders({"one": shares}).loc[("one", "0–5")]
    assert row["male"] == 0.5 and row["male_speakers"] == 2 and row["female_speakers"] == 0
    assert row[["female", "difference", "low", "high"]].isna().all() and row["same_direction"] == 0
