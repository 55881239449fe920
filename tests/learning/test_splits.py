"""Splits: seeded, complete, and with no speaker in two parts where that is what they promise."""

import pandas as pd
import pytest

from speaker_gender.corpora.audiomnist import AUDIOMNIST_FEMALE, AUDIOMNIST_SPEAKERS
from speaker_gender.learning.splits import grouped_folds, paper_folds, random_split, split_by_speaker

SPEAKERS = pd.Series([speaker for speaker in AUDIOMNIST_SPEAKERS for _ in range(5)])
GENDERS = SPEAKERS.map(lambda speaker: "female" if speaker in AUDIOMNIST_FEMALE else "male")


def speakers_in(fold, part):
    return set(SPEAKERS[fold == part])


def is_disjoint(fold):
    train, valid, test = (speakers_in(fold, part) for part in ("train", "valid", "test"))
    return not (train & valid or train & test or valid & test)


def test_the_random_split_is_the_studys_size_and_seeded():
    names = pd.Series([f"male_{index}.jpg" for index in range(30_000)])
    split = random_split(names)
    assert split.value_counts().to_dict() == {"train": 24_000, "valid": 6_000}
    assert split.equals(random_split(names)) and not split.equals(random_split(names, seed=43))


def test_the_random_split_does_not_depend_on_the_order_of_the_images():
    names = pd.Series([f"male_{index}.jpg" for index in range(100)])
    backwards = names[::-1]
    assert random_split(backwards).sort_index().equals(random_split(names))


def test_the_papers_folds_hold_12_6_and_6_speakers_balanced():
    folds = paper_folds(SPEAKERS)
    assert len(folds) == 4 and all(is_disjoint(fold) for fold in folds)
    for fold in folds:
        for part, count in (("train", 12), ("valid", 6), ("test", 6)):
            assert len(speakers_in(fold, part)) == count
            assert len(speakers_in(fold, part) & AUDIOMNIST_FEMALE) == count // 2


def test_the_papers_first_and_third_fold_are_as_published():
    first, _, third, _ = paper_folds(SPEAKERS)
    assert speakers_in(first, "train") == set("36 47 56 26 12 57 02 44 50 25 37 45".split())
    assert speakers_in(first, "valid") == set("43 28 52 48 53 41".split())
    assert speakers_in(first, "test") == set("58 59 60 07 23 38".split())
    assert speakers_in(third, "train") == set("43 28 52 58 59 60 48 53 41 07 23 38".split())
    assert speakers_in(third, "test") == set("26 12 57 25 37 45".split())


def test_each_of_the_papers_test_speakers_is_tested_once():
    tested = [speaker for fold in paper_folds(SPEAKERS) for speaker in speakers_in(fold, "test")]
    assert len(tested) == len(set(tested)) == 24


def test_grouped_folds_test_every_speaker_once_with_genders_spread_evenly():
    folds = grouped_folds(SPEAKERS, GENDERS)
    assert len(folds) == 5 and all(is_disjoint(fold) and fold.notna().all() for fold in folds)
    tested = [speaker for fold in folds for speaker in speakers_in(fold, "test")]
    assert sorted(tested) == list(AUDIOMNIST_SPEAKERS)
    assert {len(speakers_in(fold, "test") & AUDIOMNIST_FEMALE) for fold in folds} <= {2, 3}


def test_grouped_folds_are_seeded():
    again = grouped_folds(SPEAKERS, GENDERS)
    assert all(one.equals(other) for one, other in zip(grouped_folds(SPEAKERS, GENDERS), again))
    other_seed = grouped_folds(SPEAKERS, GENDERS, seed=1)
    assert not all(one.equals(other) for one, other in zip(again, other_seed))


def test_a_speaker_in_two_parts_is_refused():
    with pytest.raises(ValueError, match="speaker 01 is in two parts"):
        split_by_speaker(SPEAKERS, train={"01", "02"}, valid={"03"}, test={"01"})


def test_more_folds_than_speakers_of_a_gender_are_refused():
    with pytest.raises(ValueError, match="13 speakers of each gender"):
        grouped_folds(SPEAKERS, GENDERS, n_folds=13)
