"""A corpus that is wrong is noticed, one that is right is left in peace, and nothing is changed by looking."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from conftest import buzz

from speaker_gender.corpora.audiomnist import METADATA, load_recordings
from speaker_gender.corpora.checks import check_corpus, inspect_recordings, labels_checked
from speaker_gender.images.maps import load_maps_if_written, map_images, write_maps

RATE = 16_000


def report(corpus) -> list[tuple]:
    """(check, speaker, recordings) of each row."""
    found = check_corpus(inspect_recordings(corpus, load_recordings(corpus)), load_maps_if_written(corpus))
    assert list(found.columns) == ["check", "speaker", "recordings", "what"]
    assert all(row["what"] and "\n" not in row["what"] for _, row in found.iterrows())
    return list(found[["check", "speaker", "recordings"]].itertuples(index=False, name=None))


def write(corpus, path, sound) -> None:
    soundfile.write(corpus.folder / path, sound, RATE, subtype="PCM_16")


def add_speakers(corpus, pitches: dict[str, tuple[str, float]]) -> None:
    """Adds speakers with three recordings each: key → (label, pitch in Hz)."""
    metadata = json.loads((corpus.folder / METADATA).read_text())
    for speaker, (label, pitch) in pitches.items():
        metadata[speaker] = {"gender": label}
        (corpus.folder / speaker).mkdir()
        for digit in range(3):
            sound = buzz(pitch, seconds=0.5, sample_rate=RATE, seed=1_000 * int(speaker) + digit)
            write(corpus, f"{speaker}/{digit}_{speaker}_0.wav", sound)
    (corpus.folder / METADATA).write_text(json.dumps(metadata))


def test_nothing_is_said_of_a_corpus_that_is_right_and_nothing_is_changed(buzz_corpus):
    before = {path: path.read_bytes() for path in buzz_corpus.folder.rglob("*") if path.is_file()}
    assert report(buzz_corpus) == []
    assert before == {path: path.read_bytes() for path in buzz_corpus.folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_what_was_heard_is_kept_until_a_recording_changes(buzz_corpus, capsys):
    report(buzz_corpus)
    capsys.readouterr()
    report(buzz_corpus)
    told = capsys.readouterr().out
    assert "From the cache: corpus_checks.json" in told and "From the cache: median_pitch_" in told
    write(buzz_corpus, "01/0_01_0.wav", np.zeros(8_000))
    assert report(buzz_corpus) == [("silence", "01", "01/0_01_0.wav")]


def test_a_recording_that_is_there_twice_is_found_within_a_speaker_and_across(buzz_corpus):
    shutil.copy(buzz_corpus.folder / "01/0_01_0.wav", buzz_corpus.folder / "01/1_01_1.wav")
    shutil.copy(buzz_corpus.folder / "02/2_02_0.wav", buzz_corpus.folder / "04/2_04_1.wav")
    assert report(buzz_corpus) == [
        ("duplicate", "01", "01/0_01_0.wav, 01/1_01_1.wav"),
        ("duplicate", "02 04", "02/2_02_0.wav, 04/2_04_1.wav"),
    ]


def test_a_duplicate_in_another_encoding_or_with_zeros_around_it_is_one_all_the_same(buzz_corpus):
    sound = np.round(32_768 * buzz(120, seconds=0.5, sample_rate=48_000, seed=9)).astype(np.int16)
    folder = buzz_corpus.folder / "01"
    soundfile.write(folder / "0_01_0.wav", sound, 48_000, subtype="PCM_16")
    soundfile.write(folder / "1_01_1.wav", np.pad(sound, (3_000, 500)), 48_000, subtype="PCM_16")
    soundfile.write(folder / "2_01_1.wav", sound, 48_000, subtype="PCM_24")
    assert report(buzz_corpus) == [("duplicate", "01", "01/0_01_0.wav, 01/1_01_1.wav, 01/2_01_1.wav")]


@pytest.mark.parametrize(
    "check, sound",
    [
        ("silence", np.zeros(RATE)),
        ("no speech", np.random.default_rng(0).normal(0, 0.05, RATE)),
        ("too short", buzz(120, seconds=0.05, sample_rate=RATE, seed=5)),
        ("clipped", np.clip(300 * buzz(120, seconds=0.6, sample_rate=RATE, seed=5), -1, 1)),
    ],
    ids=["silence", "no speech", "too short", "clipped"],
)
def test_a_recording_without_speech_is_named_with_the_reason(buzz_corpus, check, sound):
    write(buzz_corpus, "03/2_03_1.wav", sound)
    assert report(buzz_corpus) == [(check, "03", "03/2_03_1.wav")]


def test_recordings_that_cannot_be_read_are_named(buzz_corpus):
    for repetition in range(2):
        (buzz_corpus.folder / f"03/2_03_{repetition}.wav").write_bytes(b"")
    assert report(buzz_corpus) == [("unreadable", "03", "03/2_03_0.wav, 03/2_03_1.wav")]


def test_two_silent_recordings_are_silent_not_duplicates(buzz_corpus):
    for repetition in range(2):
        write(buzz_corpus, f"03/2_03_{repetition}.wav", np.zeros(8_000))
    assert report(buzz_corpus) == [("silence", "03", "03/2_03_0.wav, 03/2_03_1.wav")]


def test_a_speaker_in_both_genders_lists_is_found(buzz_corpus):
    maps = map_images(load_recordings(buzz_corpus))
    write_maps(buzz_corpus, maps)
    assert report(buzz_corpus) == []
    maps["female"][f"female_{len(maps['female'])}.jpg"] = maps["male"]["male_0.jpg"]
    write_maps(buzz_corpus, maps)
    ((check, speaker, _),) = report(buzz_corpus)
    assert check == "gender lists" and speaker == maps["male"]["male_0.jpg"].partition("/")[0]


def test_a_list_that_contradicts_the_metadata_is_found(buzz_corpus):
    write_maps(buzz_corpus, map_images(load_recordings(buzz_corpus)))
    metadata = json.loads((buzz_corpus.folder / METADATA).read_text())
    metadata["01"]["gender"] = "female"
    (buzz_corpus.folder / METADATA).write_text(json.dumps(metadata))
    assert ("gender lists", "01") in [row[:2] for row in report(buzz_corpus)]


VOICES = {
    **{f"{number}": ("male", 100 + 3 * number) for number in range(10, 16)},
    **{f"{number}": ("female", 160 + 3 * number) for number in range(20, 26)},
}


@pytest.mark.slow
def test_a_label_that_the_voice_contradicts_is_found_for_either_gender_and_no_other(buzz_corpus):
    add_speakers(buzz_corpus, VOICES)
    assert report(buzz_corpus) == []
    add_speakers(buzz_corpus, {"30": ("male", 230), "31": ("female", 110)})
    assert [row[:2] for row in report(buzz_corpus)] == [("gender label", "30"), ("gender label", "31")]


@pytest.mark.slow
def test_an_uncommon_voice_on_its_own_genders_side_is_left_in_peace(buzz_corpus):
    add_speakers(buzz_corpus, VOICES | {"30": ("male", 75), "31": ("female", 330)})
    assert report(buzz_corpus) == []


def test_it_is_told_of_how_many_speakers_the_label_was_checked(buzz_corpus):
    heard = inspect_recordings(buzz_corpus, load_recordings(buzz_corpus))
    assert labels_checked(heard) == "labels were compared with the pitch of 4 of 4 speakers"
    told = labels_checked(heard[heard["gender"] == "male"])
    assert told == "no label was checked: too few recordings of female speakers available"


@pytest.mark.slow
def test_of_many_recordings_of_a_speaker_the_pitch_is_tracked_in_twenty(buzz_corpus):
    for repetition in range(2, 47):
        sound = buzz(120, seconds=0.3, sample_rate=RATE, seed=repetition)
        write(buzz_corpus, f"01/0_01_{repetition}.wav", sound)
    tracked = inspect_recordings(buzz_corpus, load_recordings(buzz_corpus)).groupby("speaker")["f0"].count()
    assert tracked["01"] == 20 and tracked["02"] == 6
