"""A network examined: its key holds all that determines the result, and the tables come back from JSON as they were."""

import numpy as np
import pandas as pd
import pytest
import torch

from speaker_gender.config import GENDERS
from speaker_gender.judging import attention, evaluation, examination, grad_cam, map_tests
from speaker_gender.judging.examination import statistics_key
from speaker_gender.learning.networks import make_network, save_network
from speaker_gender.learning.recipes import Recipe

CARD = {"key": "x", "sha256": {".safetensors": "1"}}
TABLE = pd.DataFrame(
    {
        "image": [f"image_{index}.jpg" for index in range(12)],
        "speaker": [f"{index // 3:02}" for index in range(12)],
        "gender": ["female"] * 6 + ["male"] * 6,
    }
)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 12, 98), dtype=np.uint8)


def test_whatever_determines_a_statistic_is_in_its_key(monkeypatch):
    key = statistics_key(CARD, IMAGES, TABLE, stage="layer2")
    assert key == statistics_key(CARD, IMAGES.copy(), TABLE.copy(), stage="layer2")
    others = [
        statistics_key(CARD | {"key": "y"}, IMAGES, TABLE, stage="layer2"),
        statistics_key(CARD | {"sha256": {".safetensors": "2"}}, IMAGES, TABLE, stage="layer2"),
        statistics_key(CARD, IMAGES ^ 1, TABLE, stage="layer2"),
        statistics_key(CARD, IMAGES, TABLE.assign(speaker="01"), stage="layer2"),
        statistics_key(CARD, IMAGES, TABLE.assign(gender="male"), stage="layer2"),
        statistics_key(CARD, IMAGES, TABLE, stage="layer1"),
        statistics_key(CARD, IMAGES, TABLE, stage="layer2", per_speaker=3),
    ]
    for room in (attention, evaluation, grad_cam, map_tests):
        monkeypatch.setattr(room, "VERSION", room.VERSION + 1)
        others.append(statistics_key(CARD, IMAGES, TABLE, stage="layer2"))
    monkeypatch.setattr(evaluation, "N_BOOTSTRAP", 7)
    others.append(statistics_key(CARD, IMAGES, TABLE, stage="layer2"))
    assert key not in others and all(a != b for index, a in enumerate(others) for b in others[:index])


def knows_all(network, images, normalisation):
    """Classifies every image but the first correctly."""
    p_female = (TABLE["gender"] == "female").to_numpy(float)
    return np.concatenate([[0.0], p_female[1:]]) if len(images) == len(TABLE) else np.full(len(images), 0.5)


@pytest.mark.slow
def test_a_network_is_examined_once_and_summarised(buzz_corpus, monkeypatch, capsys):
    recipe = Recipe(image_size=(12, 98))
    torch.manual_seed(2)
    card = {"key": "x", "classes": list(GENDERS), "view": "mfc", "image_size": [12, 98]}
    card |= {"normalisation": {"mean": 0.5, "std": 0.3}, "recipe": {"image_size": [12, 98]}}
    path = buzz_corpus.results / "models" / "one.safetensors"
    save_network(make_network(recipe), card, path)
    monkeypatch.setattr(examination, "predict", knows_all)
    found, again = (
        examination.examine(buzz_corpus, path, IMAGES, TABLE, stage="layer1", per_speaker=2) for _ in range(2)
    )
    assert found == again and "From the cache" in capsys.readouterr().out
    assert found["images"] == 12 and found["correct"] == 11 and found["sample"] == 8
    assert set(found["mean_maps"]) == set(GENDERS) and np.shape(found["mean_maps"]["male"]) == (3, 25)
    areas = map_tests.deletion_areas(examination.table_of(found["curves"]))
    assert areas.index.names == ["gender", "speaker"] and areas.columns[0] == map_tests.OWN and len(areas) == 4
    assert examination.table_of(found["similarities"]).columns[0] == (map_tests.OTHER, "rank_correlation")
    summary = examination.summary({"one": found, "two": found})
    assert summary["networks"] == ["one", "two"] and summary["images"] == 22 and summary["sample"] == 16
    assert {row["network"] for row in summary["attention"]} == {"one", "two", attention.ALL_NETWORKS}
    assert {row["order"] for row in summary["deletion"]} == set(areas.columns)
