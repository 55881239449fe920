"""Caches: used only for what they were made from, whole or not there at all."""

import json
import os

import pytest

from speaker_gender import caching
from speaker_gender.caching import cached_json, replacing, write_atomically, write_json


@pytest.fixture
def computed():
    """Counts how often it is called."""

    class Compute:
        times = 0

        def __call__(self):
            self.times += 1
            return {"value": [1, 2.5, None], "undefined": float("nan")}

    return Compute()


def test_a_result_is_computed_once_for_a_key(tmp_path, computed, capsys):
    first = cached_json(tmp_path / "x.json", {"a": (1, 2)}, computed)
    assert (
        first
        == cached_json(tmp_path / "x.json", {"a": (1, 2)}, computed)
        == {"value": [1, 2.5, None], "undefined": None}
    )
    assert computed.times == 1 and "From the cache: x.json" in capsys.readouterr().out


def test_another_key_computes_anew(tmp_path, computed):
    cached_json(tmp_path / "x.json", {"a": 1}, computed)
    cached_json(tmp_path / "x.json", {"a": 2}, computed)
    assert computed.times == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": {"a": 1}}', '"text"', "5"])
def test_a_file_that_is_not_whole_is_computed_anew(tmp_path, computed, content):
    (tmp_path / "x.json").write_text(content)
    assert cached_json(tmp_path / "x.json", {"a": 1}, computed)["value"] == [1, 2.5, None]
    assert json.loads((tmp_path / "x.json").read_text())["key"] == {"a": 1}


def test_one_switch_recomputes(tmp_path, computed, monkeypatch):
    cached_json(tmp_path / "x.json", {}, computed)
    monkeypatch.setenv("RECOMPUTE", "1")
    cached_json(tmp_path / "x.json", {}, computed)
    assert computed.times == 2


def test_what_a_run_has_computed_itself_it_does_not_compute_again(tmp_path, computed, monkeypatch):
    cached_json(tmp_path / "x.json", {}, computed)
    started = int((tmp_path / "x.json").stat().st_mtime)
    for since, times in ((started, 1), (started + 100, 2)):
        monkeypatch.setenv("RECOMPUTE", str(since))
        cached_json(tmp_path / "x.json", {}, computed)
        assert computed.times == times
    monkeypatch.setenv("RECOMPUTE", "never")
    cached_json(tmp_path / "x.json", {}, computed)
    assert computed.times == 2


def test_of_a_kind_of_files_the_newest_stay(tmp_path):
    for number in range(5):
        (tmp_path / f"x_{number}.json").write_text("")
        os.utime(tmp_path / f"x_{number}.json", (number, number))
    (tmp_path / "y.json").write_text("")
    caching.forget_oldest(tmp_path, "x_*.json", keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x_3.json", "x_4.json", "y.json"]


def test_writing_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "x"
    write_atomically(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as partial:
        partial.write_text("half of the n")
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_written_file_can_be_read_by_others_as_usual(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1})
    (tmp_path / "y").write_text("")
    assert (tmp_path / "x.json").stat().st_mode == (tmp_path / "y").stat().st_mode


def test_a_digest_depends_on_every_value():
    assert (
        caching.digest(1, {"b": 2, "a": 1})
        == caching.digest(1, {"a": 1, "b": 2})
        != caching.digest(1, {"a": 1, "b": 3})
    )
