"""Who speaks when: a doubtful window changes nothing, a turn of some seconds does, and other programs can read it."""

import csv
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from praatio import textgrid

import classify_wavs
from speaker_gender.classifying.classification import answer_of, classify_recording, classify_signal
from speaker_gender.classifying.classifier import SHIPPED_MODEL, load_classifier
from speaker_gender.classifying.exports import write_timeline
from speaker_gender.classifying.timeline import Stretch, merged, most_likely_labels, speaking_time
from speaker_gender.config import ROOT, SAMPLE_RATE
from speaker_gender.sound.reading import read_signal

VOICES = ROOT / "nbs" / "my_wavs"
FEMALE, MALE = VOICES / "synthetic_female_seven.wav", VOICES / "synthetic_male_nine.wav"


def turns(*paths, words: int = 4) -> np.ndarray:
    """Each voice says its word so many times, with pauses of 0.6 s, after the other; all at one level."""
    pause = np.random.default_rng(0).normal(0, 2, round(0.6 * SAMPLE_RATE))
    parts = []
    for path in paths:
        signal = read_signal(path)
        parts += [signal * 5_000 / np.abs(signal).max(), pause] * words
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(SHIPPED_MODEL)


@pytest.fixture(scope="module")
def dialogue(tmp_path_factory):
    path = tmp_path_factory.mktemp("dialogue") / "a dialogue.wav"
    soundfile.write(path, turns(FEMALE, MALE) / 32_768, SAMPLE_RATE)
    return path


def brute_force(odds, switch_cost):
    """The best of all sequences of labels."""
    n = len(odds)
    sequences = (np.arange(2**n)[:, np.newaxis] >> np.arange(n)) % 2
    scores = ((2 * sequences - 1) * np.clip(odds, -4, 4) / 2).sum(axis=1)
    scores -= switch_cost * (np.diff(sequences, axis=1) != 0).sum(axis=1)
    return sequences[scores.argmax()].astype(bool)


@pytest.mark.parametrize("seed", range(20))
def test_the_labels_are_the_best_of_all_sequences(seed):
    rng = np.random.default_rng(seed)
    odds, cost = rng.normal(0, 3, rng.integers(1, 10)), rng.uniform(0, 4)
    np.testing.assert_array_equal(most_likely_labels(odds, switch_cost=cost), brute_force(odds, cost))


def test_without_windows_there_are_no_labels():
    assert most_likely_labels(np.zeros(0)).shape == (0,)


def test_neighbours_of_one_label_are_one_stretch():
    windows = [Stretch(0, 1, "male", 0.1), Stretch(1, 1.5, "male", 0.4), Stretch(3, 4, "male", 0.2)]
    assert merged(windows) == [Stretch(0, 1.5, "male", 0.2), Stretch(3, 4, "male", 0.2)]
    assert speaking_time(windows) == {"female": 0, "male": 2.5}


@pytest.mark.parametrize(
    "p_female, labels, answer",
    [(0.9, {"female"}, "female"), (0.1, {"male"}, "male"), (0.55, {"female"}, "unsure"), (0.5, {"a", "b"}, "mixed")],
)
def test_an_answer_is_a_label_or_says_that_it_is_none(p_female, labels, answer):
    assert answer_of(p_female, labels) == answer


def test_two_voices_in_one_file_are_mixed_and_each_has_its_time(classifier, dialogue):
    answer = classify_recording(classifier, dialogue)
    assert answer.answer == "mixed" and answer.windows >= 8
    assert {stretch.label for stretch in answer.timeline} == {"female", "male"}
    half = 4 * (0.617 + 0.6)
    assert all(stretch.label == ("female" if stretch.stop < half else "male") for stretch in answer.timeline)
    assert all(seconds > 2 for seconds in answer.speaking_time.values())


@pytest.mark.parametrize("path", [FEMALE, MALE], ids=["female", "male"])
def test_one_voice_is_not_mixed_however_long_it_speaks(classifier, path):
    answer = classify_signal(classifier, turns(path, words=10), sample_rate=48_000, file="x")
    assert answer.answer == answer.gender and answer.windows >= 10


def test_a_timeline_is_read_by_other_programs(classifier, dialogue, tmp_path):
    answer = classify_recording(classifier, dialogue)
    for form in ("csv", "textgrid"):
        write_timeline(answer, tmp_path / form, form=form)
    write_timeline(answer, tmp_path / "a dialogue.wav.gender.rttm", form="rttm")
    with (tmp_path / "csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["start"]), row["label"]) for row in rows] == [(s.start, s.label) for s in answer.timeline]
    lines = [line.split() for line in (tmp_path / "a dialogue.wav.gender.rttm").read_text().splitlines()]
    assert {len(line) for line in lines} == {10} and {line[1] for line in lines} == {"a_dialogue.wav"}
    assert [float(line[3]) + float(line[4]) for line in lines] == pytest.approx([s.stop for s in answer.timeline])
    tier = textgrid.openTextgrid(str(tmp_path / "textgrid"), includeEmptyIntervals=False).getTier("gender")
    assert [entry.label for entry in tier.entries] == [stretch.label for stretch in answer.timeline]


def test_the_command_line_writes_timelines_beside_files_or_into_a_folder(dialogue, tmp_path, capsys):
    assert classify_wavs.main([str(dialogue), "--timeline", "textgrid", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["answer"] == "mixed"
    assert dialogue.with_name("a dialogue.wav.gender.TextGrid").exists()
    folder = tmp_path / "timelines"
    assert classify_wavs.main([str(dialogue), "--timeline", "csv", "--timeline-folder", str(folder), "--csv"]) == 0
    assert [path.name for path in folder.iterdir()] == ["a dialogue.wav.gender.csv"]
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert row["answer"] == "mixed" and float(row["female_seconds"]) > 2


def test_folders_are_searched_through_and_what_is_no_sound_is_named(tmp_path, capsys):
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    for path in (deep / "seven.WAV", tmp_path / "._seven.wav", tmp_path / ".hidden.wav"):
        path.write_bytes(FEMALE.read_bytes())
    (tmp_path / "notes.docx").write_text("notes")
    assert classify_wavs.main([str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["file"] == str(deep / "seven.WAV")
    assert err == f"{tmp_path / 'notes.docx'}: not a sound file, left out\n"


def test_where_there_is_no_sound_file_the_others_are_named_too(tmp_path, capsys):
    (tmp_path / "notes.docx").write_text("notes")
    with pytest.raises(SystemExit) as stopped:
        classify_wavs.main([str(tmp_path)])
    err = capsys.readouterr().err
    first, last = err.splitlines()
    assert stopped.value.code == 2 and first.startswith(f"{tmp_path / 'notes.docx'}: not a sound file")
    assert last.startswith(f"{tmp_path}: no sound file there")


def test_a_timeline_that_cannot_be_written_is_one_line_and_the_answer_is_there(tmp_path, capsys):
    folder = tmp_path / "timelines"
    folder.write_text("a file where the folder should be")
    assert classify_wavs.main([str(FEMALE), "--timeline", "csv", "--timeline-folder", str(folder), "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["gender"] == "female"
    assert err.startswith(str(folder)) and "cannot be written" in err and err.count("\n") == 1 and "Errno" not in err


def test_files_of_one_name_get_timelines_of_their_own(tmp_path, capsys):
    paths = [
        tmp_path / "a" / "talk.wav",
        tmp_path / "b" / "talk.wav",
        tmp_path / "2_talk.wav",
        tmp_path / "c" / "TALK.wav",
    ]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(FEMALE.read_bytes())
    folder = tmp_path / "timelines"
    arguments = ["--timeline", "rttm", "--timeline-folder", str(folder)]
    assert classify_wavs.main([*map(str, paths), *arguments]) == 0
    written = sorted(folder.iterdir())
    assert len(written) == len({path.name.lower() for path in written}) == 4
    assert len({path.read_text().split()[1] for path in written}) == 4, "RTTM calls each by a name of its own"


def test_names_of_many_files_take_no_time_that_grows_with_their_square():
    files = [Path(f"{number // 2}/{number % 2}.wav") for number in range(40_000)]
    started = time.process_time()
    names = classify_wavs._file_names(files)
    assert time.process_time() - started < 2 and len(set(names)) == 40_000


@pytest.mark.skipif(os.name == "nt", reason="Windows allows few of these names")
@pytest.mark.parametrize(
    "name", ["caf\udce9.wav", "x" * 237 + ".wav", "ü" * 120 + ".wav"], ids=["Latin-1", "long", "wide"]
)
@pytest.mark.parametrize("form", ["csv", "rttm", "textgrid"])
def test_a_timeline_is_written_whatever_the_files_name(tmp_path, capsys, name, form):
    (tmp_path / name).write_bytes(FEMALE.read_bytes())
    arguments = ["--timeline", form, "--timeline-folder", str(tmp_path / "timelines")]
    assert classify_wavs.main([str(tmp_path / name), *arguments]) == 0 and not capsys.readouterr().err
    (timeline,) = (tmp_path / "timelines").iterdir()
    assert "female" in timeline.read_text(encoding="utf-8")
    assert classify_wavs.main([str(tmp_path / name), "--timeline", form]) == 0, "beside it, too"


@pytest.mark.skipif(os.name == "nt", reason="Windows allows few of these names")
def test_no_cell_of_a_table_is_a_formula_and_names_read_back_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = ["=1+1.wav", "+x.wav", "-x.wav", "@x.wav", "\tx.wav", "plain.wav", "'=x.wav"]
    for name in names:
        Path(name).write_bytes(FEMALE.read_bytes())
    assert classify_wavs.main(["--csv", "--", *names]) == 0
    cells = [row["file"] for row in csv.DictReader(capsys.readouterr().out.splitlines())]
    assert [Path(cell) for cell in cells] == [Path(name) for name in names]
    assert not [cell for cell in cells if cell[0] in "=+-@\t"] and cells[5] == "plain.wav"


def test_what_goes_wrong_with_one_file_is_its_answer(tmp_path, monkeypatch, capsys):
    def blocks(sound):
        raise ZeroDivisionError("of a library")

    (tmp_path / "0.wav").write_bytes(FEMALE.read_bytes())
    soundfile.write(tmp_path / "1.mp3", turns(FEMALE) / 32_768, SAMPLE_RATE)
    monkeypatch.setattr("speaker_gender.sound.decoding.Ffmpeg.blocks", blocks)
    assert classify_wavs.main([str(tmp_path), "--json"]) == 1
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert answers[0]["gender"] and answers[1]["reason"] == "cannot be read (ZeroDivisionError: of a library)"


@pytest.mark.slow
def test_a_file_that_is_cut_off_has_its_picture_and_the_next_one_is_answered(tmp_path, capsys):
    (tmp_path / "0.wav").write_bytes(FEMALE.read_bytes()[:-20_000])
    (tmp_path / "1.wav").write_bytes(MALE.read_bytes())
    assert classify_wavs.main([str(tmp_path), "--json", "--images", str(tmp_path / "seen")]) == 0
    cut, whole = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert cut["warning"].startswith("is cut short") and (cut["gender"], whole["gender"]) == ("female", "male")
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == ["0.wav.png", "1.wav.png"]
