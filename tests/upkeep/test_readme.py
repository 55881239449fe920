"""README: its figures are those in results/, and what it points to is there."""

import json
import re

import pytest

from speaker_gender.config import ROOT
from speaker_gender.judging.attention import ALL_NETWORKS
from speaker_gender.judging.baselines import F0, LENGTH
from speaker_gender.judging.map_tests import ENERGY, OTHER, OWN
from upkeep import cards, update_readme

SHIPPED_OVER_F0 = f"the shipped model compared with {F0}"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_figures_are_those_of_the_results():
    for path, text in update_readme.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python scripts/upkeep/update_readme.py"


def test_the_cards_are_those_of_the_results():
    for path, text in update_readme.cards().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run python scripts/upkeep/update_readme.py"


@pytest.mark.parametrize(
    "name, path",
    [
        ("benchmark.json", ("grad_cams", "ratio", "median")),
        ("audiomnist/corpus.json", ("genders", "female", "age", "median")),
        ("audiomnist/evaluation.json", ("scores", "error_rate")),
        ("audiomnist/unseen_speakers.json", ("rows", "mfc", "cost_of_leakage", "unseen")),
        ("audiomnist/unseen_speakers.json", ("variants", "all of these together", "scores", "balanced_accuracy")),
        ("audiomnist_az/methods.json", ("rows", "harmonic", "all", "scores", "balanced_accuracy")),
        ("audiomnist/duration.json", ("rows", LENGTH, "scores", "auc")),
        ("speech_detectors.json", ("rows", "AudioMNIST, as they are", "recordings")),
        ("audiomnist_az/methods.json", ("rows", F0, "all", "scores", "auc")),
        ("audiomnist_az/methods.json", ("rows", F0, "without_doubtful", "images")),
        ("audiomnist_az/methods.json", ("rows", LENGTH, "all", "scores", "auc")),
        ("ukrainiandigits/methods.json", ("comparisons", SHIPPED_OVER_F0, "all", "difference")),
        ("ukrainiandigits/methods.json", ("comparisons", SHIPPED_OVER_F0, "without_doubtful", "difference")),
        ("audiomnist_az/views.json", ("rows", "harmonic, the harmonics smoothed away", "gain", "difference")),
        ("shipped/gender_on_audiomnist_az.json", ("all", "all_recordings", "scores", "balanced_accuracy")),
        ("shipped/gender_on_audiomnist_az.json", ("all", "all_recordings", "of_gender", "male", "correct")),
        ("shipped/gender_on_ukrainiandigits.json", ("all", "all_recordings", "scores", "auc")),
        ("shipped/gender_on_common_voice.json", ("all", "all_recordings", "scores", "auc")),
        ("shipped/gender_on_audiomnist_az_at_8000_hz.json", ("all", "all_recordings", "scores", "auc")),
        ("shipped/gender_on_librispeech.json", ("all", "all_recordings", "scores", "auc")),
        ("shipped/gender_on_common_voice.json", ("by_language_group", "Turkic", "female", "correct")),
        ("shipped/changed_recordings.json", ("rows", "Ukrainian digits", "MP3, 16 kbit/s", "difference", "difference")),
        ("shipped/changed_recordings.json", ("rows", "AudioMNIST_AZ", "as it is", "refused")),
        ("speech_detectors.json", ("rows", "no speech, all", "wrong", cards.DETECTOR)),
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
    told = [*update_readme.pages().values(), *update_readme.cards().values()]
    monkeypatch.setattr(update_readme, "RESULTS", tmp_path)
    assert [*update_readme.pages().values(), *update_readme.cards().values()] != told


@pytest.mark.parametrize("mark", ["<!-- results -->", "<!-- end of results -->"])
def test_a_missing_mark_is_said_and_nothing_is_lost(mark):
    with pytest.raises(ValueError, match="end of results"):
        update_readme.updated(README.replace(mark, ""), update_readme.BLOCKS[update_readme.README])


def test_figures_of_another_network_are_refused(monkeypatch):
    real = update_readme.read_json

    def other(path):
        return real(path) | ({"key": "another"} if path.name == "evaluation.json" else {})

    monkeypatch.setattr(update_readme, "read_json", other)
    with pytest.raises(ValueError, match="run notebook 04"):
        update_readme.results_table()


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


@pytest.mark.parametrize("page", ["README.md", "results/README.md"])
def test_every_file_and_section_it_links_to_exists(page):
    page = ROOT / page
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert len(targets) > 10
    for target in targets:
        if not target.startswith("http"):
            path, _, heading = target.partition("#")
            linked = page.parent / path if path else page
            assert linked.exists(), target
            assert not heading or heading in anchors_of(linked), target


def test_readme_is_short_and_its_pictures_have_a_text():
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    prose = "\n".join(line for line in prose.splitlines() if not line.startswith("|"))
    prose = re.sub(r"<!--.*?-->|\]\([^)]*\)", "", prose)
    assert len(prose.split()) <= 1_100
    pictures = re.findall(r"!\[([^]]*)\]|<img [^>]*alt=\"([^\"]*)\"", README)
    assert len(pictures) >= 4 and all(len(one or other) > 20 for one, other in pictures)


def test_the_commands_stand_at_the_top():
    top = README[: README.index("## ")]
    assert "bash scripts/run.sh" in top and "bash scripts/test.sh" in top


def test_a_doubtful_speaker_is_named_and_many_are_counted():
    assert cards.names_of(["37", "13"]) == "speakers 13 and 37 of doubtful label"
    assert cards.names_of(["13"]) == "speaker 13 of doubtful label"
    assert cards.names_of([str(number) for number in range(20)]) == "20 speakers of doubtful label"


def test_few_recordings_are_counted_and_not_put_in_per_cent():
    assert cards.share_of({"images": 99, "correct": 99}) == "99 of 99"
    assert cards.share_of({"images": 100, "correct": 99}) == "99.0 % of 100"
    assert cards.share_of(None) == ""


def test_the_sentences_on_grad_cam_say_in_how_many_networks_and_against_which_orders(monkeypatch):
    attention = {"network": ALL_NETWORKS, "coefficients": "6–8", "difference": 0.04, "low": 0.01, "high": 0.07}
    deletion = {"network": ALL_NETWORKS, "above_own": 0.01, "above_own_low": -0.01, "above_own_high": 0.03}
    alike = {"measure": "rank_correlation", "low": -0.1, "high": 0.1}
    found = {
        "networks": ["seed42", "seed43", "seed44"],
        "sample": 1_800,
        "speakers": {"female": 12, "male": 48},
        "attention": [attention | {"same_direction": 2}, attention | {"network": "seed42", "difference": 0.5}],
        "deletion": [deletion | {"order": name, "area": 0.3, "speakers": 60} for name in (OWN, OTHER, ENERGY)],
        "randomisation": [
            alike | {"compared_with": name, "mean": mean} for name, mean in (("whole network", 0.0), (OTHER, 0.3))
        ],
    }
    scores = {"scores": {"balanced_accuracy": 0.99}, "balanced_accuracy_with_coefficient_hidden": [0.9] * 12}
    monkeypatch.setattr(update_readme, "read_json", lambda path: scores | {"grad_cam": found})
    told = update_readme.grad_cam_sentences()
    assert "coefficients 6–8 +4.0 (+1.0 to +7.0; this direction in 2 of 3)" in told and "12 female and 48 male" in told
    assert f"in the order of {ENERGY} (above the own map by +0.010, -0.010 to +0.030)" in told and "0.00 (" in told
    monkeypatch.setattr(update_readme, "read_json", lambda path: scores)
    assert "run notebook 04" in update_readme.grad_cam_sentences()
