"""Where in the image the network looks: Grad-CAM, and the tests that such a picture must pass to be believed.

Grad-CAM weights the feature maps of a stage of the network by the gradient of the class's score (Selvaraju et al.,
arXiv:1610.02391). Whether the network really needs what a map points at is measured by hiding it: deletion and
insertion curves (Petsiuk et al., arXiv:1806.07421), and occlusion of one cepstral coefficient at a time.
"""

from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from speaker_gender.config import SAMPLE_RATE, SEED
from speaker_gender.images.mfc import HOP_LENGTH, N_FRAMES, N_MFCC
from speaker_gender.learning.batches import to_batch
from speaker_gender.learning.networks import Ensemble

BATCH = 256
FRACTIONS = np.linspace(0, 1, 11)  # of the image that is deleted or inserted
# Stages and their places in the body of a network (networks.make_network): ResNet's, and one of the small network.
STAGES = {"layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
SMALL_STAGES = {"third convolution": 10}


@contextmanager
def feature_maps(layer: torch.nn.Module):
    """While open, keeps the layer's output under 'maps', as a leaf of its own that gradients reach.

    Cutting the graph there lets gradients survive a frozen body, and the hook is gone when the block ends.
    """
    kept: dict[str, torch.Tensor] = {}

    def keep(_module, _inputs, output):
        kept["maps"] = output.detach().requires_grad_()
        return kept["maps"]

    handle = layer.register_forward_hook(keep)
    try:
        yield kept
    finally:
        handle.remove()


def grad_cam(
    model: torch.nn.Module, images: np.ndarray, normalisation: dict, classes: np.ndarray, *, stage: str
) -> np.ndarray:
    """Grad-CAM of each image for its class, float32 of shape (images, rows, columns) of the stage's maps, each 0…1.

    images: uint8 (images, height, width). classes: index of the class to explain, one an image. A map is divided by
    its greatest value; one that is nowhere positive stays zero. An ensemble's map is the mean of its members'.
    """
    if isinstance(model, Ensemble):
        maps = np.mean([grad_cam(member, images, normalisation, classes, stage=stage) for member in model.members], 0)
        return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
    layer, device = model[0][(STAGES | SMALL_STAGES)[stage]], next(model.parameters()).device
    model.eval()
    found = []
    with feature_maps(layer) as kept, torch.enable_grad():
        for start in range(0, len(images), BATCH):
            scores = model(to_batch(images[start : start + BATCH], normalisation).to(device))
            chosen = torch.as_tensor(classes[start : start + BATCH], device=device)
            (gradients,) = torch.autograd.grad(scores.gather(1, chosen[:, None]).sum(), kept["maps"])
            weights = gradients.mean(dim=(2, 3), keepdim=True)
            maps = F.relu((weights * kept["maps"]).sum(dim=1)).detach().float()
            found.append((maps / maps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)).cpu())
    return torch.cat(found).numpy()


def cell_size(maps: np.ndarray) -> tuple[float, float]:
    """What one cell of the maps stands for: (cepstral coefficients, milliseconds)."""
    milliseconds = N_FRAMES * HOP_LENGTH / SAMPLE_RATE * 1000
    return N_MFCC / maps.shape[1], milliseconds / maps.shape[2]


def enlarge(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps, shape (images, rows, columns), interpolated to size = (height, width)."""
    tensor = torch.from_numpy(np.ascontiguousarray(maps))[:, None]
    return F.interpolate(tensor, size=size, mode="bilinear", align_corners=False)[:, 0].numpy()


def attention_per_coefficient(maps: np.ndarray) -> np.ndarray:
    """The share of each map that lies on each of the 12 coefficients, shape (images, 12), rows summing to 1.

    A row of cells covers several coefficients or part of one and is divided among them by overlap.
    """
    per_row = maps.mean(axis=2)
    shares = per_row @ _row_overlap(maps.shape[1])
    return shares / np.clip(shares.sum(axis=1, keepdims=True), 1e-12, None)


def _row_overlap(rows: int) -> np.ndarray:
    """Shape (rows, 12): how much of each row of an image of that height lies on each coefficient, in rows."""
    row_edges, coefficient_edges = np.linspace(0, 1, rows + 1), np.linspace(0, 1, N_MFCC + 1)
    upper = np.minimum(row_edges[1:, None], coefficient_edges[None, 1:])
    lower = np.maximum(row_edges[:-1, None], coefficient_edges[None, :-1])
    return np.clip(upper - lower, 0, None) * rows


def occlude_coefficients(predict, images: np.ndarray) -> np.ndarray:
    """p_female with one coefficient hidden at a time, shape (12, images).

    predict: images → p_female. images: uint8 (images, height, width). Hidden means: replaced by the mean of those
    rows over all images, so that what remains is what every voice has in common.
    """
    overlap = _row_overlap(images.shape[1])
    background = images.mean(axis=(0, 2))[:, None]
    hidden = []
    for coefficient in tqdm(range(N_MFCC), desc="Occlusion", unit="coefficient", leave=False):
        covered = overlap[:, coefficient][:, None]
        hidden.append(predict(_to_uint8(images * (1 - covered) + background * covered)))
    return np.stack(hidden)


def deletion_and_insertion(predict, images: np.ndarray, maps: np.ndarray, classes: np.ndarray, *, seed: int = SEED):
    """How the class's probability changes as the image disappears, or appears, in the order of the map.

    Returns a dict of mean probabilities at FRACTIONS: deletion, insertion, and the same with the map's cells in random
    order (random_deletion, random_insertion). predict: images → p_female; classes: 0 female, 1 male.
    What is absent is replaced by the row's mean over all images.
    """
    size = images.shape[1:]
    generator = np.random.default_rng(seed)
    shuffled = generator.permuted(maps.reshape(len(maps), -1), axis=1).reshape(maps.shape)
    background = np.broadcast_to(images.mean(axis=(0, 2))[:, None], size)
    curves = {}
    for name, order in (("", maps), ("random_", shuffled)):
        # Cells of equal value are separated at random, not from top to bottom.
        noise = generator.uniform(0, 1e-6, order.shape).astype(order.dtype)
        ranks = np.argsort(np.argsort(-enlarge(order + noise, size).reshape(len(maps), -1), axis=1), axis=1)
        ranks = ranks.reshape(images.shape) / ranks.shape[1]
        for kind in ("deletion", "insertion"):
            probabilities = []
            for fraction in tqdm(FRACTIONS, desc=f"{name}{kind}", unit="step", leave=False):
                touched = ranks < fraction
                shown = ~touched if kind == "deletion" else touched
                p_female = predict(_to_uint8(np.where(shown, images, background)))
                probabilities.append(float(np.where(classes == 0, p_female, 1 - p_female).mean()))
            curves[name + kind] = probabilities
    return curves


def area_under(curve: list[float]) -> float:
    """Mean height of a curve over FRACTIONS (trapezoidal rule)."""
    return float(np.trapezoid(curve, FRACTIONS))


def _to_uint8(images: np.ndarray) -> np.ndarray:
    return np.clip(np.round(images), 0, 255).astype(np.uint8)
