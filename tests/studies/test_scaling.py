"""What more clips cost: the page follows from the measured rates, and measuring counts what it should."""

import json

import pytest

from speaker_gender.config import ROOT
from studies import measure_scaling, scaling


@pytest.fixture
def measured():
    return [json.loads((ROOT / "results" / f"{name}.json").read_text()) for name in ("benchmark", "scaling")]


def test_the_page_is_the_one_that_the_figures_give(measured):
    assert (ROOT / "results" / "scaling.md").read_text(encoding="utf-8") == scaling.page(*measured)


def test_twice_the_rate_is_half_the_hours(measured):
    rate = scaling.rates(*measured)
    rows = {line.split(" | ")[0]: line for line in scaling._costs(rate).splitlines()}
    rate["images of clips"] *= 2
    halved = {line.split(" | ")[0]: line for line in scaling._costs(rate).splitlines()}
    name = "| images (MFC JPEGs), core hours"
    (one, other) = (float(table[name].split(" | ")[1]) for table in (rows, halved))
    assert one == pytest.approx(2 * other, rel=0.01)


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
