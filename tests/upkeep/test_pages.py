"""README, results page and cards: their figures are those in results/, and what they point to is there."""

import doctest
import json
import re
import shutil

import pytest

from speaker_gender.config import RESULTS, ROOT
from upkeep import write_pages
from upkeep.write_pages import PAGES, names_of, share_of

FRESH = write_pages.render()
README = FRESH[ROOT / "README.md"]


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_figures_are_those_of_the_results(page):
    assert page.read_text(encoding="utf-8") == FRESH[page], "run python scripts/upkeep/write_pages.py"


@pytest.mark.parametrize(
    "name, page",
    [
        ("audiomnist/evaluation.json", "README.md"),
        ("telephonedigits/methods.json", "README.md"),
        ("speech_detectors.json", "results_README.md"),
        ("scaling.json", "scaling.md"),
        ("shipped/gender_on_common_voice.json", "model_card.md"),
        ("audiomnist/corpus.json", "data_card.md"),
    ],
)
def test_other_results_make_a_page_stale(tmp_path, monkeypatch, name, page):
    def changed(value):
        if isinstance(value, dict):
            return {key: changed(one) for key, one in value.items()}
        if isinstance(value, list):
            return [changed(one) for one in value]
        return value if isinstance(value, str | bool | None) else 2 * value

    needed = shutil.ignore_patterns("*.npy", "*.onnx", "unseen", "data", "synthetic", "headers", "*median_pitch*")
    shutil.copytree(RESULTS, tmp_path / "results", ignore=needed)
    file = tmp_path / "results" / name
    file.write_text(json.dumps(changed(json.loads(file.read_text()))))
    monkeypatch.setattr(write_pages, "PAGES", {page: PAGES[page]})
    assert write_pages.render(tmp_path / "results") != {PAGES[page]: FRESH[PAGES[page]]}


def test_a_stale_page_is_named_and_left_alone(tmp_path, monkeypatch, capsys):
    page = tmp_path / "README.md"
    page.write_text("old")
    monkeypatch.setattr(write_pages, "ROOT", tmp_path)
    monkeypatch.setattr(write_pages, "render", lambda: {page: "new"})
    monkeypatch.setattr("sys.argv", ["write_pages.py", "--check"])
    assert write_pages.main() == 1 and page.read_text() == "old"
    assert capsys.readouterr().err == "README.md is stale: python scripts/upkeep/write_pages.py\n"
    monkeypatch.setattr("sys.argv", ["write_pages.py"])
    assert write_pages.main() == 0 and page.read_text() == "new"


def anchor(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def anchors_of(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":  # Jupyter's own
        cells = json.loads(text)["cells"]
        lines = [
            line for cell in cells if cell["cell_type"] == "markdown" for line in "".join(cell["source"]).splitlines()
        ]
        return [re.sub(r"^#+ ", "", line.strip()).replace(" ", "-") for line in lines if line.startswith("#")]
    return [anchor(re.sub(r"^#+ ", "", line)) for line in text.splitlines() if line.startswith("#")]


@pytest.mark.parametrize("page", PAGES.values(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_and_section_that_a_page_links_to_exists(page):
    text = FRESH[page]
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    for target in targets:
        if not target.startswith("http"):
            path, _, heading = target.partition("#")
            linked = page.parent / path if path else page
            assert linked.exists(), target
            assert not heading or heading in anchors_of(linked), target


@pytest.mark.parametrize("page", [*PAGES.values(), ROOT / "CONTRIBUTING.md", ROOT / "scripts/beyond_one_machine.md"])
def test_every_program_that_a_page_names_exists(page):
    named = re.findall(r"\b(?:scripts|tests|results)/[\w/]+\.(?:py|sh|md|json|csv)\b", page.read_text(encoding="utf-8"))
    missing = {name for name in named if not (ROOT / name).exists()} - {"scripts/mfc_functions.py"}  # the study's
    assert named and not missing


def test_readme_is_short_and_its_pictures_have_a_text():
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    prose = "\n".join(line for line in prose.splitlines() if not line.startswith("|"))
    prose = re.sub(r"<!--.*?-->|\]\([^)]*\)", "", prose)
    assert len(prose.split()) <= 1_100
    pictures = re.findall(r"!\[([^]]*)\]|<img [^>]*alt=\"([^\"]*)\"", README)
    assert len(pictures) >= 8 and all(len(one or other) > 20 for one, other in pictures)


def test_readme_opens_with_what_it_is_and_its_commands():
    top = README[: README.index("**Contents")]
    assert "99 % right is wrong for one unseen voice in five" in top
    assert top.index("bash scripts/run.sh") < top.index("bash scripts/test.sh") < top.index("bash scripts/try.sh")


def test_minutes_agree_everywhere():
    times = json.loads((RESULTS / "setup.json").read_text())
    assert f"{times['test']['minutes']} minutes" in README and f"{times['try']['seconds']} s" in README
    for page in ("CONTRIBUTING.md", "scripts/try.sh", "scripts/test.sh", "scripts/run.sh"):
        assert not re.search(r"\b(minutes?|hours?)\b", (ROOT / page).read_text(encoding="utf-8")), f"{page}: see README"


def test_the_examples_of_the_filters_are_true():
    assert doctest.testmod(write_pages).failed == 0


def test_doubtful_speakers_are_named_and_many_are_counted():
    assert names_of(["13"]) == "speaker 13 of doubtful label"
    assert names_of([str(number) for number in range(20)]) == "20 speakers of doubtful label"


def test_few_recordings_are_counted_and_not_put_in_per_cent():
    assert share_of({"images": 99, "correct": 99}) == "99 of 99"
    assert share_of({"images": 100, "correct": 99}) == "99.0 % of 100"
    assert share_of(None) == ""
