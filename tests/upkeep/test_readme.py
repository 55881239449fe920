"""README: its figures are those in results/, and what it points to is there."""

import json
import re

import pytest

from speaker_gender.config import ROOT
from upkeep import update_readme

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_figures_are_those_of_the_results():
    assert update_readme.updated(README) == README, "run python scripts/upkeep/update_readme.py"


def test_the_cards_are_those_of_the_results():
    for path, text in update_readme.cards().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python scripts/upkeep/update_readme.py"


@pytest.mark.parametrize(
    "name, path",
    [
        ("benchmark.json", ("grad_cams", "ratio", "median")),
        ("audiomnist/corpus.json", ("genders", "female", "age", "median")),
        ("audiomnist/evaluation.json", ("scores", "error_rate")),
        ("audiomnist/evaluation.json", ("centre_of_attention", "female")),
        ("audiomnist/unseen_speakers.json", ("rows", "mfc", "cost_of_leakage", "unseen")),
        ("audiomnist/unseen_speakers.json", ("variants", "all of these together", "scores", "balanced_accuracy")),
        ("audiomnist_az/unseen_speakers.json", ("rows", "harmonic", "scores", "auc")),
        ("audiomnist_az/unseen_speakers.json", ("rows", "harmonic", "gain_over_f0", "difference")),
        ("audiomnist_az/views.json", ("rows", "harmonic, the harmonics smoothed away", "gain", "difference")),
        ("shipped/gender_on_audiomnist_az.json", ("all", "recordings", "scores", "balanced_accuracy")),
        ("shipped/gender_on_audiomnist_az.json", ("all", "accuracy_of_gender", "male")),
        ("shipped/gender_on_ukrainiandigits.json", ("all", "recordings", "scores", "auc")),
        ("shipped/gender_on_common_voice.json", ("all", "recordings", "scores", "auc")),
        ("shipped/gender_on_audiomnist_az_at_8000_hz.json", ("all", "recordings", "scores", "auc")),
        ("shipped/gender_on_librispeech.json", ("all", "recordings", "scores", "auc")),
        ("shipped/gender_synthetic_on_librispeech.json", ("all", "recordings", "scores", "auc")),
    ],
)
def test_other_results_would_make_it_stale(tmp_path, monkeypatch, name, path):
    shipped = ROOT / "results" / "shipped"
    others = [shipped / "gender.safetensors", shipped / "label_issues.csv"]
    for committed in [*(ROOT / "results").rglob("*.json"), *others]:
        copy = tmp_path / committed.relative_to(ROOT / "results")
        if len(copy.relative_to(tmp_path).parts) <= 3 and "synthetic" not in copy.parts:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(committed.read_bytes())
    found = json.loads((tmp_path / name).read_text())
    *outer, last = path
    place = found
    for key in outer:
        place = place[key]
    place[last] += 1
    (tmp_path / name).write_text(json.dumps(found))
    told = [update_readme.updated(README), *update_readme.cards().values()]
    monkeypatch.setattr(update_readme, "RESULTS", tmp_path)
    assert [update_readme.updated(README), *update_readme.cards().values()] != told


@pytest.mark.parametrize("mark", ["<!-- results -->", "<!-- end of results -->"])
def test_a_missing_mark_is_said_and_nothing_is_lost(mark):
    with pytest.raises(ValueError, match="end of results"):
        update_readme.updated(README.replace(mark, ""))


def test_figures_of_another_network_are_refused(monkeypatch):
    real = update_readme.read_json

    def other(path):
        return real(path) | ({"key": "another"} if path.name == "evaluation.json" else {})

    monkeypatch.setattr(update_readme, "read_json", other)
    with pytest.raises(ValueError, match="run notebook 04"):
        update_readme.results_table()


def test_every_file_and_section_it_links_to_exists():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith("http"):
            path, _, heading = target.partition("#")
            assert (ROOT / path).exists() if path else True, target
            if path.endswith(".ipynb") and heading:
                notebook = json.loads((ROOT / path).read_text(encoding="utf-8"))
                headings = [
                    re.sub(r"^#+ ", "", line.strip()).replace(" ", "-")
                    for cell in notebook["cells"]
                    if cell["cell_type"] == "markdown"
                    for line in cell["source"]
                    if line.startswith("#")
                ]
                assert heading in headings, target


def test_the_two_commands_stand_at_the_top():
    top = README[: README.index("## ")]
    assert "bash scripts/run.sh" in top and "bash scripts/test.sh" in top
