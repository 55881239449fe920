"""Methods compared on the same recordings of a small corpus."""

import numpy as np
import pandas as pd
import pytest

from speaker_gender.answering.classifier import SHIPPED_MODEL
from speaker_gender.judging.baselines import F0, LENGTH
from speaker_gender.learning.splits import split_by_speaker
from studies import compare_methods
from studies.compare_methods import SHIPPED, compare, one_table


def predictions_of(p_female):
    genders = ["female", "female", "male", "male"]
    recordings = [f"0_{speaker}_0.wav" for speaker in ("02", "04", "01", "03")]
    speakers = [name[2:4] for name in recordings]
    return pd.DataFrame({"recording": recordings, "speaker": speakers, "gender": genders, "p_female": p_female})


METHODS = {SHIPPED: predictions_of([0.9, 0.9, 0.1, 0.8]), F0: predictions_of([0.9, np.nan, 0.1, 0.1])}


def test_rows_and_differences_stand_with_and_without_the_doubtful():
    found = compare(METHODS, ["03"])
    assert found["rows"][F0]["all"]["refused"] == 1 and found["rows"][F0]["without_doubtful"]["speakers"] == 3
    both = found["comparisons"][f"{SHIPPED} compared with {F0}"]
    assert both["all"]["difference"] == 0 and both["without_doubtful"]["difference"] == 0.25
    assert "without_doubtful" not in compare(METHODS, [])["rows"][F0]
    assert len(found["comparisons"]) == 1, "methods that are missing are compared with none"


def test_the_table_has_a_row_a_recording_and_says_who_refused():
    table = one_table(METHODS)
    assert table.columns.tolist() == ["recording", "speaker", "gender", SHIPPED, F0] and len(table) == 4
    assert table.loc[table["recording"] == "0_04_0.wav", F0].isna().all()


@pytest.mark.slow
def test_the_program_compares_on_a_corpus(buzz_corpus, monkeypatch, capsys):
    assert SHIPPED_MODEL.exists()
    monkeypatch.setattr(compare_methods, "resolve_corpus", lambda: buzz_corpus)
    halves = [{"train": {"01", "02"}, "test": {"03", "04"}}, {"train": {"03", "04"}, "test": {"01", "02"}}]
    monkeypatch.setattr(
        compare_methods,
        "divide",
        lambda corpus, table, division: [split_by_speaker(table["speaker"], valid=set(), **half) for half in halves],
    )
    monkeypatch.setattr("sys.argv", ["compare_methods.py", "--without-networks"])
    assert compare_methods.main() == 0
    assert f"{F0} compared with {LENGTH}, all:" in capsys.readouterr().out
    table = pd.read_csv(buzz_corpus.results / "methods.csv")
    assert len(table) == 24 and (buzz_corpus.results / "methods.json").exists()
