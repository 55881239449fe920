"""Which files are heard: those that were named or lie in folders, links included; what is left out is said."""

import os

import pytest

from speaker_gender.sound.files import sound_files


def made(folder, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(found) -> list[str]:
    return [path.name for path in found]


def test_telephones_suffixes_are_found_and_own_timelines_are_not_named(tmp_path):
    made(
        tmp_path, "a.3ga", "b.MPGA", "c.tta", "c.tta.gender.csv", "a.3ga.gender.TextGrid", "d.gender.rttm", "notes.csv"
    )
    sounds, others, unreadable = sound_files([tmp_path])
    assert names(sounds) == ["a.3ga", "b.MPGA", "c.tta"] and names(others) == ["notes.csv"] and not unreadable


def test_a_pattern_that_no_shell_has_replaced_is_one(tmp_path):
    made(tmp_path, "b.wav", "a.wav", "c.txt", "[x].wav", "x.wav")
    assert names(sound_files([tmp_path / "*.wav"])[0]) == ["[x].wav", "a.wav", "b.wav", "x.wav"]
    assert names(sound_files([tmp_path / "[x].wav"])[0]) == ["[x].wav"], "a file's name is no pattern"
    assert names(sound_files([tmp_path / "*.flac"])[0]) == ["*.flac"], "which is then answered as not there"


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_linked_folders_are_searched_once_even_in_a_circle(tmp_path):
    made(tmp_path, "disk/a.wav", "own/b.wav")
    (tmp_path / "own" / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "own" / "circle").symlink_to(tmp_path / "own")
    (tmp_path / "disk" / "back").symlink_to(tmp_path / "own")
    assert names(sound_files([tmp_path / "own"])[0]) == ["b.wav", "a.wav"]


def test_a_folder_that_cannot_be_read_is_said_and_the_others_are_searched(tmp_path, monkeypatch):
    made(tmp_path, "a.wav", "lost+found/b.wav", "rest/c.wav")
    scan = os.scandir

    def refuse(folder):
        if str(folder).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr("os.scandir", refuse)
    sounds, _, (error,) = sound_files([tmp_path])
    assert names(sounds) == ["a.wav", "c.wav"] and error.filename == str(tmp_path / "lost+found")
