"""Common Voice: a person is a client_id, in whatever language; clips of people who declared no gender are counted."""

import pytest

from speaker_gender.corpora.common_voice import common_voice_recordings, is_common_voice
from speaker_gender.corpora.corpus import CorpusError

HEADER = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent\n"


def person(number: int) -> str:
    return f"{number:016x}" + "0" * 112


@pytest.fixture
def folder(tmp_path):
    rows = {
        "de": [
            (1, "a.mp3", "twenties", "female"),
            (2, "b.mp3", "", "male"),
            (3, "c.mp3", "teens", ""),
            (4, "d.mp3", "", "other"),
            (5, "gone.mp3", "", "male"),
        ],
        "sv-SE": [(1, "e", "thirties", "female_feminine"), (6, "f.mp3", "", "male"), (6, "g.mp3", "", "female")],
    }
    for language, clips in rows.items():
        (tmp_path / language / "clips").mkdir(parents=True)
        text = HEADER
        for number, path, age, gender in clips:
            text += f'{person(number)}\t{path}\tEin "Satz\t2\t0\t{age}\t{gender}\t\n'
            if "gone" not in path:
                name = path if path.endswith(".mp3") else f"{path}.mp3"
                (tmp_path / language / "clips" / name).write_bytes(b"x")
        (tmp_path / language / "validated.tsv").write_text(text, encoding="utf-8")
    return tmp_path


def test_clips_of_people_who_declared_a_gender_are_listed_and_the_others_counted(folder, capsys):
    table = common_voice_recordings(folder)
    assert table["path"].map(lambda path: path.name).tolist() == ["a.mp3", "b.mp3", "e.mp3"]
    assert table["gender"].tolist() == ["female", "male", "female"]
    assert table["language"].tolist() == ["de", "de", "sv-SE"]
    assert table["age"].tolist()[::2] == [20, 30] and table["age"].isna().tolist() == [False, True, False]
    assert table["speaker"].iloc[0] == table["speaker"].iloc[2], "one person in two languages"
    said = capsys.readouterr().out
    assert "8 clips, left out: 2 without a gender, 2 of people who declared two, 1 not there" in said


def test_clips_converted_to_wav_are_found_and_a_line_that_broke_off_is_counted(folder, capsys):
    for clip in (folder / "de" / "clips").iterdir():
        clip.rename(clip.with_suffix(".wav"))
    with (folder / "de" / "validated.tsv").open("a", encoding="utf-8") as table:
        table.write("deadbeef")
    names = common_voice_recordings(folder)["path"].map(lambda path: path.name).tolist()
    assert names == ["a.wav", "b.wav", "e.mp3"]
    assert "validated.tsv: 1 lines broke off and are left out" in capsys.readouterr().out


def test_one_language_alone_is_a_folder_too(folder):
    assert is_common_voice(folder) and is_common_voice(folder / "de") and not is_common_voice(folder / "de" / "clips")
    assert len(common_voice_recordings(folder / "de")) == 2


def test_a_name_cannot_lead_out_of_the_folder(folder):
    table = folder / "de" / "validated.tsv"
    table.write_text(HEADER + f"{person(9)}\t../../../etc/passwd.mp3\tx\t2\t0\t\tmale\t\n")
    assert common_voice_recordings(folder / "de").empty


def test_without_a_folder_there_is_nothing(tmp_path):
    assert common_voice_recordings(tmp_path / "none").empty


def test_another_table_is_one_line(folder):
    (folder / "de" / "validated.tsv").write_text("name\tgender\nx\tmale\n")
    with pytest.raises(CorpusError, match="validated.tsv: cannot be read as Common Voice's table") as error:
        common_voice_recordings(folder)
    assert "\n" not in str(error.value)
