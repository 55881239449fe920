"""What more clips cost: the page follows from the measured rates, and measuring counts what it should."""

import copy
import json

import pytest

from speaker_gender.config import RESULTS
from studies import measure_scaling
from upkeep.write_pages import rates


@pytest.fixture
def measured():
    found = [json.loads((RESULTS / f"{name}.json").read_text()) for name in ("benchmark", "scaling")]
    cards = sorted((RESULTS / "audiomnist" / "models").glob("mfc_random_seed*.json"))
    return [*found, [json.loads(card.read_text()) for card in cards]]


def test_rates_are_those_of_one_core_and_memory_is_the_slope_over_sizes(measured):
    found = rates(*measured)
    doubled = copy.deepcopy(measured)
    for epoch in [epoch for card in doubled[2] for epoch in card["history"]]:
        epoch["seconds"] *= 2
    for one in doubled[1]["table"]["found"].values():
        one["peak_bytes"] += 10**9
    others = rates(*doubled)
    assert found["training"] == pytest.approx(2 * others["training"])
    assert found["memory"] == pytest.approx(others["memory"])
    assert found["memory_at_the_start"] + 1e9 == pytest.approx(others["memory_at_the_start"])


def test_a_million_recordings_grow_linearly_and_stay_under_four_gigabytes(measured):
    found = measured[1]["table"]["found"]
    assert found["1000000"]["peak_bytes"] < 4e9
    each = [sum(one["seconds"].values()) / int(size) for size, one in found.items()]
    assert max(each) < 1.5 * min(each)


@pytest.mark.slow
def test_rows_and_files_go_through_every_step(tmp_path, monkeypatch):
    for name in ("MAPS", "RESULTS"):
        monkeypatch.setattr(measure_scaling.config, name, tmp_path / name.lower())
    assert len(measure_scaling.rows(2_000, tmp_path)["seconds"]) == 6
    assert len(measure_scaling.wavs(2_000, tmp_path)["seconds"]) == 2
