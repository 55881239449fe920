"""Grad-CAM on networks whose answer is known by construction, and the tests that a map must pass."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from speaker_gender.images.mfc import N_MFCC
from speaker_gender.judging import grad_cam
from speaker_gender.learning.networks import Ensemble, make_network
from speaker_gender.learning.recipes import Recipe

NORMALISATION = {"mean": 0.0, "std": 1.0}
SIZE = (24, 32)


class Halves(nn.Module):
    """Scores: how bright the upper half of the first map is, and the lower half of the second."""

    def __init__(self):
        super().__init__()
        self.mask = torch.zeros(1, 2, *SIZE)
        self.mask[:, 0, : SIZE[0] // 2] = 1
        self.mask[:, 1, SIZE[0] // 2 :] = 1

    def forward(self, maps):
        return 20 * (maps * self.mask).mean(dim=(2, 3))


def brightness() -> nn.Sequential:
    """Female if the upper half is bright, male if the lower half is; its body has stages where ResNet has them."""
    layer = nn.Conv2d(1, 2, 1, bias=False)
    layer.weight.data = torch.tensor([[[[1.0]]], [[[1.0]]]])
    body = nn.Sequential(*[nn.Identity() for _ in range(5)], layer, nn.Identity(), nn.Identity())
    return nn.Sequential(body, Halves())


def predict(model):
    def p_female(images):
        with torch.inference_mode():
            batch = torch.from_numpy(images)[:, None].float() / 255
            return model(batch).softmax(dim=1)[:, 0].numpy()

    return p_female


@pytest.fixture
def images():
    """Eight images; the upper half of the first four and the lower half of the others is bright at the left."""
    made = np.full((8, *SIZE), 10, np.uint8)
    made[:4, :12, :16] = 250
    made[4:, 12:, :16] = 250
    return made


CLASSES = np.array([0] * 4 + [1] * 4)


def test_the_map_points_at_what_raises_the_score(images):
    maps = grad_cam.grad_cam(brightness(), images, NORMALISATION, CLASSES, stage="layer2")
    assert maps.shape == (8, *SIZE) and maps.min() >= 0 and maps.max() == pytest.approx(1)
    assert maps[0, :12, :16].mean() > 5 * maps[0, :12, 16:].mean()


def test_maps_do_not_depend_on_the_batch(images, monkeypatch):
    whole = grad_cam.grad_cam(brightness(), images, NORMALISATION, CLASSES, stage="layer2")
    monkeypatch.setattr(grad_cam, "BATCH", 3)
    assert np.allclose(whole, grad_cam.grad_cam(brightness(), images, NORMALISATION, CLASSES, stage="layer2"))


def test_a_frozen_body_has_the_same_maps_and_no_gradient_is_left_behind(images):
    model, frozen = brightness(), brightness()
    for parameter in frozen.parameters():
        parameter.requires_grad_(False)
    free = grad_cam.grad_cam(model, images, NORMALISATION, CLASSES, stage="layer2")
    assert np.array_equal(free, grad_cam.grad_cam(frozen, images, NORMALISATION, CLASSES, stage="layer2"))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_ensembles_map_is_the_mean_of_its_members(images):
    sharp, blurred = brightness(), brightness()
    blurred[0][5] = nn.Sequential(blurred[0][5], nn.AvgPool2d(9, 1, 4))
    one, other, both = (
        grad_cam.grad_cam(model, images, NORMALISATION, CLASSES, stage="layer2")
        for model in (sharp, blurred, Ensemble([sharp, blurred]))
    )
    mean = (one + other) / 2
    assert not np.allclose(one, other)
    np.testing.assert_allclose(both, mean / mean.max(axis=(1, 2), keepdims=True), rtol=1e-6)


def test_threads_may_explain_with_one_network_at_once(images):
    model = brightness()

    def explain(index: int) -> np.ndarray:
        part = slice(index, index + 1)
        return grad_cam.grad_cam(model, images[part], NORMALISATION, CLASSES[part], stage="layer2")

    alone = [explain(index) for index in range(8)]
    with ThreadPoolExecutor(10) as pool:
        together = list(pool.map(explain, [*range(8)] * 10))
    assert all(np.array_equal(found, alone[number % 8]) for number, found in enumerate(together))


def test_rows_that_straddle_coefficients_are_divided_by_overlap():
    overlap = grad_cam._row_overlap(32)
    assert overlap.shape == (32, 12) and np.allclose(overlap.sum(axis=1), 1)
    assert np.allclose(overlap.sum(axis=0), 32 / 12)
    assert overlap[2, 0] == pytest.approx(2 / 3) and overlap[2, 1] == pytest.approx(1 / 3)


def test_hiding_a_coefficient_changes_the_answer_only_if_it_is_used(images):
    model = brightness()
    model[1].mask = torch.zeros_like(model[1].mask)
    model[1].mask[:, 0, 4:6] = 1  # coefficient 2 of 12 on 24 rows
    told = predict(model)
    hidden = grad_cam.occlude_coefficients(told, images)
    changed = np.abs(hidden - told(images)).max(axis=1) > 1e-3
    assert changed.tolist() == [coefficient == 2 for coefficient in range(N_MFCC)]


def test_a_cell_is_said_in_coefficients_and_milliseconds():
    assert grad_cam.cell_size(np.zeros((1, 4, 14))) == pytest.approx((3, 70))


@pytest.mark.parametrize("of_class", [0, 1])
def test_taken_apart_it_is_the_same_map(of_class):
    torch.manual_seed(0)
    network = make_network(Recipe(image_size=(12, 98)))
    image = np.random.default_rng(0).integers(0, 256, (12, 98), dtype=np.uint8)
    steps = grad_cam.take_apart(network, image, NORMALISATION, of_class, stage="layer1")
    assert steps["activations"].shape == steps["gradients"].shape == (64, 3, 25) and steps["weights"].shape == (64,)
    np.testing.assert_allclose(steps["weights"], steps["gradients"].mean(axis=(1, 2)), rtol=1e-4, atol=1e-9)
    by_hand = np.maximum(np.einsum("c,cij->ij", steps["weights"], steps["activations"]), 0)
    np.testing.assert_allclose(steps["map"], by_hand, atol=1e-6 * by_hand.max())
    whole = grad_cam.grad_cam(network, image[None], NORMALISATION, np.array([of_class]), stage="layer1")[0]
    np.testing.assert_allclose(steps["map"] / max(steps["map"].max(), 1e-12), whole, atol=1e-4)  # one of them is blank
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_stage_that_a_network_does_not_have_is_an_error(images):
    with pytest.raises(KeyError):
        grad_cam.grad_cam(brightness(), images, NORMALISATION, CLASSES, stage="layer9")
