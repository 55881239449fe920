"""The tests of Grad-CAM, on networks and orders whose answer is known by construction."""

import numpy as np
import pandas as pd
import pytest
import torch

from speaker_gender.judging import map_tests
from speaker_gender.judging.attention import ALL_NETWORKS
from speaker_gender.judging.grad_cam import FRACTIONS, STAGES
from speaker_gender.judging.map_tests import ENERGY, OTHER, OWN, RANDOM
from speaker_gender.learning.networks import make_network
from speaker_gender.learning.recipes import Recipe

SIZE = (24, 32)
TABLE = pd.DataFrame(
    {"gender": ["female"] * 4 + ["male"] * 4, "speaker": ["12", "12", "26", "26", "01", "01", "02", "02"]}
)
RECIPE = Recipe(image_size=(12, 98))


@pytest.fixture
def images():
    """A bright square in each image, each at a place of its own."""
    made = np.zeros((8, *SIZE), np.uint8)
    for index in range(8):
        made[index, 6 * (index // 4) : 6 * (index // 4) + 6, 4 * index : 4 * index + 4] = 255
    return made


def by_square(images):
    """p_female falls with the share of the brightest pixels that is gone; the reverse for men's images."""
    left = (images > 200).sum(axis=(1, 2)) / 24
    return np.where(np.arange(len(images)) < 4, left, 1 - left)


def test_the_own_map_beats_every_other_order_where_it_is_right(images):
    maps = (images / 255).astype(np.float32)
    areas = map_tests.deletion_areas(map_tests.curves_by_speaker(by_square, images, maps, TABLE))
    assert areas.columns.tolist() == [OWN, OTHER, ENERGY, RANDOM] and len(areas) == 4
    assert (areas[OWN] < areas[RANDOM] - 0.2).all() and (areas[OWN] < areas[OTHER] - 0.2).all()
    table = map_tests.compare_orders({"a": areas, "b": areas})
    assert table.loc[("a", OWN), ["above_own", "above_own_low", "above_own_high"]].tolist() == [0, 0, 0]
    assert table.loc[("a", RANDOM), "above_own_low"] > 0 and table.loc[("a", RANDOM), "speakers"] == 4
    pd.testing.assert_frame_equal(table.loc["a"], table.loc[ALL_NETWORKS])


def test_curves_start_at_the_whole_image_and_end_at_the_background(images):
    order = np.random.default_rng(0).uniform(size=(8, 4, 8))
    curves = map_tests.deletion_curves(by_square, images, order, np.array([0] * 4 + [1] * 4))
    assert curves.shape == (8, len(FRACTIONS))
    assert (curves[:, 0] == 1).all() and (curves[:, -1] == 0).all()
    assert (np.diff(curves, axis=1) <= 0).all(), "nothing comes back"


def test_orders_are_seeded_and_as_coarse_as_the_maps(images):
    maps = np.random.default_rng(0).uniform(size=(8, 4, 8)).astype(np.float32)
    orders, again = (map_tests.deletion_orders(images, maps, seed=1) for _ in range(2))
    for name, order in orders.items():
        assert order.shape == maps.shape and np.array_equal(order, again[name])
    assert (orders[ENERGY] == orders[ENERGY][:, :1]).all(), "sound energy does not know rows"
    assert (orders[OTHER] != maps).any(axis=(1, 2)).all()


@pytest.mark.parametrize("n_images", [2, 3, 50])
def test_nobody_gets_the_own_map_as_that_of_another_image(n_images):
    other = map_tests.other_images(n_images)
    assert sorted(other) == list(range(n_images)) and (other != np.arange(n_images)).all()


def test_a_single_image_has_no_other():
    with pytest.raises(ValueError, match="two images"):
        map_tests.other_images(1)


def test_a_sample_has_the_same_number_of_each_speaker_or_all_that_there_are():
    table = pd.DataFrame({"speaker": ["01"] * 9 + ["02"] * 2 + ["03"]})
    drawn = map_tests.sample_per_speaker(table, 3)
    assert table["speaker"].iloc[drawn].value_counts().to_dict() == {"01": 3, "02": 2, "03": 1}
    assert drawn.tolist() == sorted(set(drawn)) == map_tests.sample_per_speaker(table, 3).tolist()


def test_equal_maps_are_alike_and_a_blank_one_orders_nothing():
    maps = np.random.default_rng(0).uniform(size=(3, 4, 14)).astype(np.float32)
    others = np.stack([maps[0], 1 - maps[1], np.zeros((4, 14), np.float32)])
    found = map_tests.map_similarity(maps, others, (32, 112))
    np.testing.assert_allclose(found["rank_correlation"], [1, -1, 0], atol=1e-6)
    assert found["ssim"][0] == pytest.approx(1) and found["ssim"][1:].max() < 0.9


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return make_network(RECIPE).eval()


@pytest.mark.slow
def test_randomisation_goes_from_the_head_to_the_whole_and_spares_the_original(network):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    steps = {}
    for name, randomised in map_tests.randomised_networks(network, RECIPE, seed=3):
        state = randomised.state_dict()
        steps[name] = {key for key in state if "weight" in key and not torch.equal(state[key], before[key])}
    names = ["head", "down to layer4", "down to layer3", "down to layer2", "down to layer1", "whole network"]
    assert list(steps) == names
    for above, below in zip(names, names[1:]):
        assert steps[above] < steps[below]
    assert {key.split(".")[0] for key in steps["head"]} == {"1"}
    assert (
        any(key.startswith(f"0.{STAGES['layer4']}.") for key in steps["down to layer4"])
        and "0.0.weight" in steps[names[-1]]
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.mark.slow
def test_other_weights_give_other_maps(network):
    images = np.random.default_rng(0).integers(0, 256, (8, *RECIPE.image_size), dtype=np.uint8)
    card = {"recipe": {"image_size": list(RECIPE.image_size)}, "normalisation": {"mean": 0.5, "std": 0.3}}
    found = map_tests.randomisation_test(network, card, images, TABLE, stage="layer1")
    table = map_tests.similarity_table(found)
    assert table.loc["whole network"]["mean"].max() < 0.9
    assert (table["low"] <= table["mean"]).all() and (table["mean"] <= table["high"]).all()
    assert (table["speakers"] == 4).all() and table.index.names == ["compared_with", "measure"]
