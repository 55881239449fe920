"""README: its figures are those in results/, and what it points to is there."""

import json
import re

import update_readme
from config import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_figures_are_those_of_the_results():
    assert update_readme.updated(README) == README, "run python scripts/update_readme.py"


def test_other_results_would_make_it_stale(tmp_path, monkeypatch):
    source = ROOT / "results" / "audiomnist"
    evaluation = json.loads((source / "evaluation.json").read_text())
    evaluation["scores"]["error_rate"] += 0.001
    (tmp_path / "audiomnist" / "models").mkdir(parents=True)
    (tmp_path / "audiomnist" / "evaluation.json").write_text(json.dumps(evaluation))
    name = f"{evaluation['name']}.json"
    (tmp_path / "audiomnist" / "models" / name).write_text((source / "models" / name).read_text())
    monkeypatch.setattr(update_readme, "RESULTS", tmp_path)
    assert update_readme.updated(README) != README


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
