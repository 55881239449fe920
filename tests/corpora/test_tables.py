"""Corpora as tables: whatever lists recordings with speaker and gender goes through maps, images and training."""

import json
import os
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from speaker_gender.caching import file_digest
from speaker_gender.corpora import tables
from speaker_gender.corpora.audiomnist import completeness, load_recordings, load_speakers
from speaker_gender.corpora.checks import check_corpus, inspect_recordings
from speaker_gender.corpora.corpus import Corpus, CorpusError
from speaker_gender.corpora.description import describe_corpus
from speaker_gender.corpora.resolving import resolve_corpus
from speaker_gender.images.generation import generate_images
from speaker_gender.images.maps import load_maps
from speaker_gender.learning.dataset import available_images, load_images
from speaker_gender.learning.recipes import Recipe
from speaker_gender.learning.splits import grouped_folds, random_split
from speaker_gender.learning.training import train_model
from speaker_gender.sound.remote import local_copy
from studies import generate_images as generate_images_program


@pytest.fixture
def listed(buzz_corpus) -> pd.DataFrame:
    """The buzzing corpus as the rows of a table."""
    return load_recordings(buzz_corpus)[["path", "speaker", "gender", "digit"]]


@pytest.fixture
def write(buzz_corpus):
    """Writes a table beside the recordings and resolves it as a corpus."""

    def write(table: pd.DataFrame | str, name: str = "voices.csv") -> Corpus:
        path = buzz_corpus.folder / name
        if isinstance(table, str):
            path.write_text(table)
        elif path.suffix == ".parquet":
            table.to_parquet(path)
        else:
            table.to_csv(path, index=False)
        return resolve_corpus(str(path))

    return write


def jpegs(corpus):
    return {path.name: path.read_bytes() for path in corpus.images.glob("*.jpg")}


def test_a_table_and_the_folder_that_it_lists_give_the_same_maps_and_images(buzz_corpus, listed, write):
    corpus = write(listed.sample(frac=1, random_state=0))
    assert corpus.name == "voices" and corpus.table == buzz_corpus.folder / "voices.csv"
    of_table, of_folder = load_recordings(corpus), load_recordings(buzz_corpus)
    columns = ["path", "speaker", "gender", "digit", "here", "samples", "sample_rate", "encoding"]
    pd.testing.assert_frame_equal(of_table[columns], of_folder[columns], check_dtype=False)
    assert generate_images(corpus, of_table) == generate_images(buzz_corpus, of_folder)
    assert jpegs(corpus) == jpegs(buzz_corpus)
    for gender in ("female", "male"):
        assert (corpus.maps / f"{gender}.json").read_bytes() == (buzz_corpus.maps / f"{gender}.json").read_bytes()
    columns = ["path", "speaker", "digit", "image", "gender"]
    pd.testing.assert_frame_equal(load_maps(corpus)[columns], load_maps(buzz_corpus)[columns], check_dtype=False)


@pytest.mark.slow
def test_a_table_without_digits_is_checked_described_divided_and_trained_on(listed, write, monkeypatch):
    monkeypatch.setenv("RESNET34_WEIGHTS", "none")
    corpus = write(listed.drop(columns="digit").assign(language="sv", age=30))
    recordings = load_recordings(corpus)
    assert load_speakers(corpus)["age"].tolist() == [30] * 4
    assert describe_corpus(corpus)["recordings"] == 24
    generate_images(corpus, recordings)
    assert len(check_corpus(inspect_recordings(corpus, recordings), load_maps(corpus))) == 0
    table = available_images(corpus, load_maps(corpus))
    assert table["digit"].isna().all() and (table["language"] == "sv").all()
    with pytest.raises(ValueError, match="folds"):
        grouped_folds(table["speaker"], table["gender"])
    recipe = Recipe(architecture="small", image_size=(32, 32), epochs=1, batch_size=8, speaker_weight=1.0)
    images = load_images(corpus, table, size=recipe.image_size)
    _, card = train_model(corpus, images, table, random_split(table["image"]), recipe, name="one")
    assert card["corpus"] == "voices" and len(card["history"]) == 1


def test_a_parquet_table_is_one_too(listed, write):
    pytest.importorskip("pyarrow", reason="pyarrow is missing: requirements-cluster.txt")
    corpus = write(listed.assign(age=41.0), "voices.parquet")
    recordings = load_recordings(corpus)
    assert recordings["digit"].tolist() == listed["digit"].tolist() and set(recordings["age"]) == {41}
    assert generate_images(corpus, recordings)["made"] == 24


def test_paths_may_be_absolute_or_urls_and_the_images_are_the_same(buzz_corpus, listed, write, monkeypatch):
    monkeypatch.setenv("ALLOW_URLS", "s3://other,memory://voices")
    fsspec = pytest.importorskip("fsspec", reason="fsspec is missing: requirements-cluster.txt")
    generate_images(buzz_corpus, load_recordings(buzz_corpus))
    memory = fsspec.filesystem("memory")
    for path in listed["path"]:
        memory.pipe(f"/voices/{path}", (buzz_corpus.folder / path).read_bytes())
    try:
        for name, prefix in (
            ("absolute", f"{buzz_corpus.folder}/"),
            ("file", f"file://{buzz_corpus.folder}/"),
            ("memory", "memory://voices/"),
        ):
            corpus = write(listed.assign(path=prefix + listed["path"]), f"{name}.csv")
            recordings = load_recordings(corpus)
            assert recordings["stamp"][0] == file_digest(buzz_corpus.folder / listed["path"][0])
            assert generate_images(corpus, recordings)["made"] == 24
            assert jpegs(corpus) == jpegs(buzz_corpus), name
            assert len(available_images(corpus, load_maps(corpus))) == 24
    finally:
        memory.rm("/voices", recursive=True)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux lists a process's open files")
@pytest.mark.parametrize("name", ["x.WAV", "x", "x.wav?version=2"])
def test_a_fetched_recording_is_whole_held_open_by_nothing_and_removed(tmp_path, name):
    pytest.importorskip("fsspec", reason="fsspec is missing: requirements-cluster.txt")
    (tmp_path / name).write_bytes(b"sound")
    with local_copy(f"file://{tmp_path}/{name}") as copy:
        assert copy.read_bytes() == b"sound"
        open_files = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
        assert os.path.realpath(copy) not in open_files
    assert not copy.exists()


def test_what_cannot_be_fetched_is_a_recording_with_a_problem(listed, write, monkeypatch, capsys):
    monkeypatch.setenv("ALLOW_URLS", "memory://nowhere,nosuchprotocol://x.wav")
    pytest.importorskip("fsspec", reason="fsspec is missing: requirements-cluster.txt")
    listed.loc[0, "path"] = "memory://nowhere/x.wav"
    listed.loc[1, "path"] = "nosuchprotocol://x.wav"
    listed.loc[2, "path"] = "gone.wav"
    recordings = load_recordings(write(listed))
    lost = recordings[~recordings["here"]]
    assert len(lost) == 3 and lost["stamp"].isna().all() and lost["samples"].isna().all()
    assert completeness(recordings).startswith("21 of 24 WAVs are available")
    monkeypatch.setenv("CORPUS", str(write(listed).table))
    monkeypatch.setattr(sys, "argv", ["generate_images.py"])
    assert generate_images_program.main() == 1
    assert "3 recordings are not there and have no image" in capsys.readouterr().err


def test_headers_are_kept_and_read_again_when_a_recording_changes(buzz_corpus, listed, write, monkeypatch, capsys):
    corpus = write(listed)
    load_recordings(corpus)
    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(tables, "header_of", lambda _path: pytest.fail("it is read again"))
        load_recordings(corpus)
    assert "From the cache" in capsys.readouterr().out
    shutil.copy(buzz_corpus.folder / listed["path"][23], buzz_corpus.folder / listed["path"][0])
    assert load_recordings(corpus)["samples"][0] == load_recordings(corpus)["samples"][23]


def test_nothing_is_read_where_the_table_says_it_all(listed, write, monkeypatch):
    monkeypatch.setattr(tables, "header_of", lambda _path: pytest.fail("a header is read"))
    monkeypatch.setattr("speaker_gender.corpora.corpus.stamp_of", lambda _path: pytest.fail("a content is read"))
    corpus = write(listed.assign(samples=48_000, sample_rate=48_000, stamp="etag"))
    assert load_recordings(corpus)["here"].all() and set(load_recordings(corpus)["samples"]) == {48_000}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,gender\na.wav,male\n", "has no column speaker"),
        ("path,speaker,gender\n,1,male\n", "a row without path or speaker"),
        ("path,speaker,gender\na.wav,1,other\n", "no recording has a gender"),
        ("path,speaker,gender\na.wav,1,male\na.wav,2,male\n", "lists a.wav twice"),
        ("path,speaker,gender\na.wav,1,male\nb.wav,1,female\n", "speaker 1 has two genders"),
        ("path,speaker,gender,digit\na.wav,1,male,seven\n", "column digit has seven"),
        ("path,speaker,gender,samples\na.wav,1,male,-5\n", "column samples has -5"),
        ("path,speaker,gender,samples\na.wav,1,male,99999999999999999999\n", "column samples has 9999"),
        ("path,speaker,gender,sample_rate\na.wav,1,male,0\n", "column sample_rate has 0"),
        ("path,speaker,gender\nhttp://169.254.169.254/x,1,male\n", "ALLOW_URLS=http://169.254.169.254"),
        ("path,speaker,gender\nzip://x::file:///y,1,male\n", "only if you name it"),
        ('path,speaker,gender\n"a\n.wav",1,male\n', "signs that cannot be printed"),
        ("path,speaker,gender\na.wav,1,male\nb.wav,2,female\n", "none of the 2 recordings is"),
        ('path,speaker,gender\n"a', "cannot be read as a table"),
        ("", "cannot be read as a table"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_line(write, text, message):
    with pytest.raises(CorpusError, match=message) as error:
        load_recordings(write(text))
    assert "voices.csv" in str(error.value) or "a.wav" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_that_is_not_there_is_named(buzz_corpus):
    with pytest.raises(CorpusError, match=r"none\.csv: no such table"):
        resolve_corpus(str(buzz_corpus.folder / "none.csv"))


def test_other_genders_are_left_out_and_counted_and_labels_may_be_abbreviated(listed, write):
    listed.loc[listed["speaker"] == "01", "gender"] = "nonbinary"
    listed.loc[listed["speaker"] == "02", "gender"] = "F"
    listed.loc[listed["speaker"] == "04", "gender"] = None
    recordings = load_recordings(write(listed))
    assert recordings.groupby("speaker")["gender"].first().to_dict() == {"02": "female", "03": "male"}
    assert completeness(recordings).endswith("12 recordings of 2 speakers with another gender or none are left out.")


def test_labels_and_ages_are_read_in_all_the_ways_that_common_voice_writes_them(listed, write):
    ways = {"01": ("Men", "twenties"), "02": ("female_feminine", "25.6"), "03": (" M ", "20-29"), "04": ("Women", "-1")}
    for speaker, (gender, age) in ways.items():
        listed.loc[listed["speaker"] == speaker, ["gender", "age"]] = gender, age
    speakers = load_speakers(write(listed))
    assert speakers["gender"].tolist() == ["male", "female", "male", "female"]
    assert speakers["age"].tolist() == [20, 26, pd.NA, pd.NA]


def test_a_table_may_be_tab_separated_or_a_link_and_a_name_may_hold_any_space(buzz_corpus, listed, write, tmp_path):
    (buzz_corpus.folder / "at 10\u202fAM.wav").write_bytes((buzz_corpus.folder / "01" / "0_01_0.wav").read_bytes())
    listed.loc[0, "path"] = "at 10\u202fAM.wav"
    stored = tmp_path / "a1b2c3"
    stored.write_text(listed.to_csv(index=False, sep="\t"), encoding="utf-8")
    (buzz_corpus.folder / "voices.tsv").symlink_to(stored)
    corpus = resolve_corpus(str(buzz_corpus.folder / "voices.tsv"))
    assert corpus.name == "voices" and load_recordings(corpus)["here"].all()
    assert generate_images(corpus, load_recordings(corpus))["made"] == 24


def test_a_recording_that_is_longer_than_the_table_says_is_skipped(listed, write):
    corpus = write(listed.assign(samples=1, sample_rate=48_000, stamp="etag"))
    report = generate_images(corpus, load_recordings(corpus))
    assert set(report["skipped"].values()) <= {"is longer than the table of recordings says"} and report["skipped"]


def test_speakers_of_one_gender_are_one_line(listed, write):
    with pytest.raises(CorpusError, match="speakers of one gender only"):
        write(listed[listed["gender"] == "female"])


def test_speakers_called_like_missing_values_are_speakers(listed, write):
    listed.loc[listed["speaker"] == "01", "speaker"] = "NA"
    assert "NA" in set(load_recordings(write(listed))["speaker"])


def test_maps_of_an_older_table_are_refused(listed, write):
    corpus = write(listed)
    generate_images(corpus, load_recordings(corpus))
    write(listed[1:])
    with pytest.raises(CorpusError, match="does not list .* run notebook 02"):
        load_maps(corpus)


def test_librispeech_is_a_corpus(buzz_corpus, tmp_path):
    folder = tmp_path / "Libri"
    lines = ["; ID | SEX | SUBSET"]
    for number, (speaker, sex) in enumerate((("02", "F"), ("01", "M"))):
        chapter = folder / "train-clean-100" / speaker / str(number)
        chapter.mkdir(parents=True)
        for wav in (buzz_corpus.folder / speaker).iterdir():
            shutil.copy(wav, chapter / f"{wav.stem}.flac")
        lines.append(f"{speaker} | {sex} | train-clean-100 | x")
    (folder / "SPEAKERS.TXT").write_text("\n".join(lines))
    corpus = resolve_corpus(str(folder))
    recordings = load_recordings(corpus)
    assert recordings["path"][0] == "train-clean-100/01/1/0_01_0.flac" and len(recordings) == 12
    assert generate_images(corpus, recordings)["made"] == 12


def test_common_voice_is_a_corpus_and_its_clips_are_listed_by_language(buzz_corpus, tmp_path):
    folder = tmp_path / "CommonVoice"
    for language, speakers in (("de", ("01", "02")), ("sv-SE", ("03", "04"))):
        rows = ["client_id\tpath\tage\tgender"]
        (folder / language / "clips").mkdir(parents=True)
        for speaker in speakers:
            for wav in sorted((buzz_corpus.folder / speaker).iterdir()):
                shutil.copy(wav, folder / language / "clips" / f"{wav.stem}.mp3")
                gender = "female" if int(speaker) % 2 == 0 else "male"
                rows.append(f"{speaker * 64}\t{wav.stem}.mp3\ttwenties\t{gender}")
        (folder / language / "validated.tsv").write_text("\n".join(rows))
    corpus = resolve_corpus(os.path.relpath(folder, Path(tables.__file__).resolve().parents[3]))
    assert corpus.title == "Common Voice"
    recordings = load_recordings(corpus)
    assert recordings["language"].value_counts().to_dict() == {"de": 12, "sv-SE": 12}
    assert recordings["path"][0] == "de/clips/0_01_0.mp3" and recordings["problem"].isna().all()
    assert json.loads((corpus.results / "folder.json").read_text())["folder"] == str(folder)
