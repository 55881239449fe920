"""Corpora: what is read from metadata, names and headers, and what is said where that cannot be done."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import flip_bit

from speaker_gender import config
from speaker_gender.corpora import audiomnist as corpora
from speaker_gender.corpora.audiomnist import completeness, corrections, load_recordings, load_speakers
from speaker_gender.corpora.corpus import Corpus, CorpusError, corpus_name, with_stamps
from speaker_gender.corpora.resolving import resolve_corpus


@pytest.fixture
def make_corpus(tmp_path, monkeypatch):
    """Writes a small corpus of silence: metadata as given, one WAV per path."""
    monkeypatch.setattr(config, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(config, "MAPS", tmp_path / "maps")

    def make(metadata, paths=(), *, name="Small", sample_rate=8_000):
        folder = tmp_path / name / "data"
        folder.mkdir(parents=True)
        (folder / corpora.METADATA).write_text(metadata if isinstance(metadata, str) else json.dumps(metadata))
        for path in paths:
            (folder / path).parent.mkdir(exist_ok=True)
            soundfile.write(folder / path, np.zeros(sample_rate // 2), sample_rate, subtype="PCM_16")
        return Corpus(corpus_name(folder), folder)

    return make


PAIR = {"1": {"gender": "male"}, "2": {"gender": "female"}}


def audiomnist_metadata():
    return {
        speaker: {"gender": "female" if speaker in corpora.AUDIOMNIST_FEMALE else "male"}
        for speaker in corpora.AUDIOMNIST_SPEAKERS
    }


def test_a_corpus_is_named_after_its_folder(tmp_path):
    assert corpus_name(tmp_path / "AudioMNIST" / "data") == "audiomnist"
    assert corpus_name(tmp_path / "AudioMNIST_AZ" / "data") == "audiomnist_az"
    assert corpus_name(tmp_path / "my voices") == "my_voices"
    assert corpus_name(tmp_path / "TelephoneDigits" / "recordings") == "telephonedigits", "of a table recordings.csv"


def test_the_choice_comes_first_then_the_environment_then_what_is_there(make_corpus, monkeypatch, tmp_path):
    one = make_corpus(PAIR, name="One")
    two = make_corpus(PAIR, name="Two")
    monkeypatch.setattr(config, "AUDIOMNIST", one.folder)
    monkeypatch.delenv("CORPUS", raising=False)
    assert resolve_corpus() == one
    monkeypatch.setenv("CORPUS", str(two.folder))
    assert resolve_corpus() == two
    assert resolve_corpus(str(one.folder)) == one


def test_a_relative_choice_counts_from_the_root(make_corpus, monkeypatch, tmp_path):
    corpus = make_corpus(PAIR)
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.chdir("/")
    assert resolve_corpus("Small/data") == corpus


def test_a_folder_that_is_no_corpus_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "MAPS", tmp_path / "maps")
    with pytest.raises(CorpusError, match="not a corpus in AudioMNIST's layout") as error:
        resolve_corpus(str(tmp_path))
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_dirt_in_the_metadata_is_read_and_shown(make_corpus):
    who = {"gender": "male", "recordingroom": "vr-room", "accent": "German"}
    corpus = make_corpus(
        {
            "01": who | {"age": 30},
            "02": who | {"age": "26"},
            "03": who | {"age": "1234", "recordingroom": "vr-romm"},
            "04": who | {"age": "", "accent": "german", "gender": " Female "},
            "05": {"gender": "female", "recordingroom": "Kino", "accent": "Danish", "age": "unknown"},
        }
    )
    speakers = load_speakers(corpus)
    assert speakers["age"].tolist() == [30, 26, pd.NA, pd.NA, pd.NA]
    assert speakers["room"].tolist() == ["vr-room"] * 4 + ["Kino"]
    assert speakers["accent"].tolist() == ["German"] * 4 + ["Danish"]
    assert speakers["gender"].tolist() == ["male"] * 3 + ["female"] * 2
    dirt = corrections(speakers).set_index(["speaker", "field"])["published"]
    assert dirt[("03", "age")] == "1234" and dirt[("03", "room")] == "vr-romm" and dirt[("04", "accent")] == "german"
    assert not {("01", "age"), ("02", "age"), ("05", "age")} & set(dirt.index)


def test_names_that_only_look_alike_stay_apart():
    names = pd.Series(["Spanish", "Danish", "German", "German/Spanish", "Chinese", None])
    assert corpora.unify_spelling(names).tolist()[:5] == names.tolist()[:5]


def test_names_that_are_nearly_alike_are_not_one():
    names = pd.Series(["Austrian", "Australian", "Australian", "English (UK)", "English (US)", "studio-1", "studio-2"])
    assert corpora.unify_spelling(names).tolist() == names.tolist()
    assert corpora.unify_spelling(pd.Series([None, "vr-romm", "VR-Room", "VR-Room"])).tolist()[1:] == ["VR-Room"] * 3


def test_rooms_and_accents_may_be_numbers(make_corpus):
    corpus = make_corpus({"01": {"gender": "male", "recordingroom": 12, "accent": 3}, "02": {"gender": "female"}})
    speakers = load_speakers(corpus)
    assert speakers.loc["01", "room"] == "12" and speakers.loc["01", "accent"] == "3"
    assert pd.isna(speakers.loc["02", "room"])


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("{not json", "not valid JSON"),
        ("[]", "should map each speaker"),
        ({"01": {"gender": "other"}}, "no speaker has a gender"),
    ],
)
def test_unusable_metadata_is_refused_in_one_line(make_corpus, metadata, message):
    corpus = make_corpus(metadata)
    with pytest.raises(CorpusError, match=message) as error:
        load_speakers(corpus)
    assert corpora.METADATA in str(error.value) and "\n" not in str(error.value)


def test_any_corpus_in_the_layout_is_listed(make_corpus):
    corpus = make_corpus(
        {"anna": {"gender": "female"}, "7": {"gender": "male"}},
        ["anna/3_anna_0.wav", "anna/3_anna_12.wav", "7/0_7_1.wav"],
        sample_rate=16_000,
    )
    table = load_recordings(corpus)
    assert table["path"].tolist() == ["7/0_7_1.wav", "anna/3_anna_0.wav", "anna/3_anna_12.wav"]
    assert table["gender"].tolist() == ["male", "female", "female"]
    assert table["digit"].tolist() == [0, 3, 3] and table["repetition"].tolist() == [1, 0, 12]
    assert set(table["samples"]) == {8_000} and set(table["sample_rate"]) == {16_000}
    assert set(table["encoding"]) == {"PCM_16"} and table["here"].all()
    assert completeness(table) == "All 3 WAVs are available."


def test_a_stamp_changes_with_the_content_of_a_wav_and_with_nothing_else(make_corpus):
    corpus = make_corpus({"1": {"gender": "male"}}, ["1/0_1_0.wav", "1/1_1_0.wav"])
    table = load_recordings(corpus)
    before = with_stamps(corpus, table)["stamp"]
    assert before[0] == before[1], "they hold the same silence"
    os.utime(corpus.folder / "1/0_1_0.wav", (0, 0))
    assert with_stamps(corpus, table)["stamp"].equals(before)
    flip_bit(corpus.folder / "1/0_1_0.wav", 100)
    assert with_stamps(corpus, table)["stamp"].ne(before).tolist() == [True, False]
    (corpus.folder / "1/1_1_0.wav").unlink()
    assert with_stamps(corpus, table)["stamp"].isna().tolist() == [False, True]


@pytest.mark.parametrize("name", ["seven.wav", "10_1_0.wav", "3_2_0.wav", "3_1_.wav", "x_1_0.wav"])
def test_a_wav_whose_name_does_not_parse_is_named(make_corpus, name):
    corpus = make_corpus({"1": {"gender": "male"}}, ["1/0_1_0.wav", f"1/{name}"])
    with pytest.raises(CorpusError, match="rename or remove it") as error:
        load_recordings(corpus)
    assert name in str(error.value)


def test_a_suffix_may_be_in_capitals(make_corpus):
    corpus = make_corpus({"1": {"gender": "male"}}, ["1/0_1_0.WAV"])
    assert load_recordings(corpus)["path"].tolist() == ["1/0_1_0.WAV"]


def test_a_speaker_with_recordings_but_no_metadata_is_named(make_corpus):
    corpus = make_corpus({"1": {"gender": "male"}}, ["1/0_1_0.wav", "2/0_2_0.wav"])
    with pytest.raises(CorpusError, match="speaker 2 is missing"):
        load_recordings(corpus)


def test_a_wav_that_cannot_be_read_is_listed_with_the_reason(make_corpus):
    corpus = make_corpus({"1": {"gender": "male"}}, ["1/0_1_0.wav", "1/1_1_0.wav"])
    (corpus.folder / "1/1_1_0.wav").write_text("not a sound")
    table = load_recordings(corpus).set_index("path")
    assert "is text, not sound" in table.at["1/1_1_0.wav", "problem"]
    assert pd.isna(table.at["1/0_1_0.wav", "problem"])


def test_audiomnist_is_known_in_full_whatever_is_there(make_corpus):
    corpus = make_corpus(audiomnist_metadata(), ["02/0_02_0.wav", "59/5_59_22.wav"], name="AudioMNIST")
    table = load_recordings(corpus)
    assert len(table) == 30_000 and table["here"].sum() == 2
    assert (table["gender"] == "female").sum() == 12 * 500
    assert completeness(table).startswith("2 of 30,000 WAVs are available; missing: all of 58 speakers (01 03 04 ")
    assert completeness(table).endswith("part of 2 speakers (02 59).")


def test_another_corpus_called_audiomnist_is_refused(make_corpus):
    corpus = make_corpus({"01": {"gender": "female"}}, ["01/0_01_0.wav"], name="AudioMNIST")
    with pytest.raises(CorpusError, match="not AudioMNIST's 60 speakers"):
        load_recordings(corpus)


# --- folders of people who name and write things in their own way


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_metadata_may_have_a_byte_order_mark_or_be_utf_16(make_corpus, encoding):
    corpus = make_corpus({"1": {"gender": "male"}})
    path = corpus.folder / corpora.METADATA
    path.write_bytes(path.read_text().encode(encoding))
    assert load_speakers(corpus)["gender"].tolist() == ["male"]


def test_labels_may_be_abbreviated_and_speakers_with_others_are_left_out_and_counted(make_corpus):
    labels = {"1": "M", "2": "F", "3": "Female", "4": "other", "5": None, "6": "man"}
    metadata = {key: {"gender": label} for key, label in labels.items()}
    corpus = make_corpus(metadata, [f"{key}/0_{key}_0.wav" for key in labels])
    table = load_recordings(corpus)
    assert table.set_index("speaker")["gender"].to_dict() == {"1": "male", "2": "female", "3": "female", "6": "male"}
    assert completeness(table).endswith("2 recordings of 2 speakers with another gender or none are left out.")


def test_flac_and_mp3_are_recordings_too(make_corpus):
    corpus = make_corpus({"1": {"gender": "male"}})
    (corpus.folder / "1").mkdir()
    sound = np.random.default_rng(0).normal(0, 0.1, 8_000)
    for name in ("0_1_0.flac", "1_1_0.mp3", "2_1_0.wav"):
        soundfile.write(corpus.folder / "1" / name, sound, 16_000)
    table = load_recordings(corpus)
    assert table["path"].tolist() == ["1/0_1_0.flac", "1/1_1_0.mp3", "1/2_1_0.wav"]
    assert table["problem"].isna().all() and table["samples"].between(7_900, 8_100).all()


def test_a_corpus_of_nothing_readable_is_one_line(make_corpus):
    corpus = make_corpus({"1": {"gender": "male"}}, ["1/0_1_0.wav", "1/1_1_0.wav"])
    for path in (corpus.folder / "1").iterdir():
        path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CorpusError, match="git lfs pull brings it; none of the 2 recordings can be read"):
        load_recordings(corpus)


def test_two_folders_of_one_name_do_not_share_results(make_corpus, tmp_path, capsys):
    first = make_corpus(PAIR, ["1/0_1_0.wav"], name="digits")
    elsewhere = tmp_path / "elsewhere" / "digits" / "data"
    shutil.copytree(first.folder, elsewhere)
    assert resolve_corpus(str(first.folder)).name == "digits"
    other = resolve_corpus(str(elsewhere))
    assert other.name.startswith("digits_") and "is taken" in capsys.readouterr().out
    assert resolve_corpus(str(elsewhere)) == other and resolve_corpus(str(first.folder)).name == "digits"


def test_a_corpus_that_was_moved_keeps_its_results(make_corpus, tmp_path):
    first = make_corpus(PAIR, ["1/0_1_0.wav"], name="digits")
    assert resolve_corpus(str(first.folder)).name == "digits"
    moved = tmp_path / "moved" / "digits" / "data"
    moved.parent.mkdir(parents=True)
    first.folder.rename(moved)
    assert resolve_corpus(str(moved)).name == "digits"


def test_names_without_latin_letters_are_names_and_the_projects_own_are_taken(make_corpus):
    names = {}
    for name in ("цифры", "数字", "shipped", "demo"):
        names[name] = resolve_corpus(str(make_corpus(PAIR, ["1/0_1_0.wav"], name=name).folder)).name
    assert names["цифры"] == "цифры" and names["数字"] == "数字"
    assert names["shipped"].startswith("shipped_") and names["demo"].startswith("demo_")


def test_audiomnist_is_recognised_under_another_name_and_through_a_link(make_corpus, tmp_path):
    corpus = make_corpus(audiomnist_metadata(), ["02/0_02_0.wav"], name="AudioMNIST-master")
    (tmp_path / "link").symlink_to(corpus.folder, target_is_directory=True)
    assert resolve_corpus(str(corpus.folder)).name == resolve_corpus(str(tmp_path / "link")).name == "audiomnist"
