"""Where in the image the network looks: Grad-CAM, and the tests that such a picture must pass to be believed.

Grad-CAM weights the feature maps of a stage of the network by the gradient of the class's score (Selvaraju et al.,
arXiv:1610.02391). Whether the network really needs what a map points at is measured by hiding it: deletion and
insertion curves (Petsiuk et al., arXiv:1806.07421), and occlusion of one cepstral coefficient at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from speaker_gender.config import SAMPLE_RATE
from speaker_gender.images.mfc import HOP_LENGTH, N_FRAMES, N_MFCC
from speaker_gender.learning.batches import to_batch
from speaker_gender.learning.networks import Ensemble

VERSION = 2  # part of every cache's key: raise it when a change here changes a map or a curve

BATCH = 256
FRACTIONS = np.linspace(0, 1, 11)  # of the image that is deleted
# Stages and their places in the body of a network (networks.make_network): ResNet's, and one of the small network.
STAGES = {"layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
SMALL_STAGES = {"third convolution": 10}


def stage_of(model: torch.nn.Module, stage: str) -> torch.nn.Module:
    """Return a stage of a network's body.

    Parameters
    ----------
    model : torch.nn.Module
        Of body and head, as networks.make_network makes them.
    stage : str
        A key of STAGES (ResNet-34) or SMALL_STAGES.

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    KeyError
        For an unknown stage.
    """
    parts: Any = model  # body and head, by index, which nn.Module does not promise
    return parts[0][(STAGES | SMALL_STAGES)[stage]]


@contextmanager
def hooked(layer: torch.nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Keep a layer's output and the gradient that comes back to it, for one image, while the block is open.

    Both hooks are removed when the block ends, after an error too.

    Parameters
    ----------
    layer : torch.nn.Module

    Yields
    ------
    dict
        After a forward pass 'activations', after a backward pass 'gradients' → torch.Tensor, (channels, rows, columns).
    """
    kept: dict[str, torch.Tensor] = {}

    def keep_output(_module, _inputs, output):
        kept["activations"] = output[0].detach()

    def keep_gradient(_module, _inputs, outputs):
        kept["gradients"] = outputs[0][0].detach()

    handles = [layer.register_forward_hook(keep_output), layer.register_full_backward_hook(keep_gradient)]
    try:
        yield kept
    finally:
        for handle in handles:
            handle.remove()


def take_apart(
    model: torch.nn.Module, image: np.ndarray, normalisation: dict, of_class: int, *, stage: str
) -> dict[str, np.ndarray]:
    """Compute the Grad-CAM of one image in its steps.

    Parameters
    ----------
    model : torch.nn.Module
        Of body and head; its parameters must not be frozen.
    image : np.ndarray of uint8, shape (height, width)
    normalisation : dict
        See batches.to_batch.
    of_class : int
        Index of the class to explain: 0 female, 1 male.
    stage : str
        See `stage_of`.

    Returns
    -------
    dict of str to np.ndarray of float32
        activations, shape (channels, rows, columns): what the stage puts out. gradients, the same shape: how the
        class's score changes with each of them. weights, shape (channels,): the gradients' means. map, shape (rows,
        columns): the weighted sum of the activations where it is positive; not divided by its greatest value.

    References
    ----------
    Selvaraju et al., Grad-CAM, arXiv:1610.02391, equations 1 and 2.
    """
    model.eval()
    device = next(model.parameters()).device
    with hooked(stage_of(model, stage)) as kept, torch.enable_grad():
        score = model(to_batch(image[np.newaxis], normalisation).to(device))[0, of_class]
        torch.autograd.grad(score, list(model.parameters()), allow_unused=True)  # leaves no gradient in the network
    weights = kept["gradients"].mean(dim=(1, 2))
    cam = F.relu((weights[:, None, None] * kept["activations"]).sum(dim=0))
    steps = kept | {"weights": weights, "map": cam}
    return {name: tensor.float().cpu().numpy() for name, tensor in steps.items()}


@contextmanager
def feature_maps(layer: torch.nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Keep a layer's output while the block is open, as a leaf of its own that gradients reach.

    Cutting the graph there lets gradients survive a frozen body. The hook is removed when the block ends.

    Parameters
    ----------
    layer : torch.nn.Module

    Yields
    ------
    dict
        After a forward pass: 'maps' → torch.Tensor, the output.
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
    """Compute the Grad-CAM of each image for its class.

    A map is divided by its greatest value; one that is nowhere positive stays zero. An ensemble's map is the mean of
    its members'.

    Parameters
    ----------
    model : torch.nn.Module
        Of body and head, as networks.make_network makes them, or an Ensemble.
    images : np.ndarray of uint8, shape (images, height, width)
    normalisation : dict
        See batches.to_batch.
    classes : np.ndarray of int, shape (images,)
        Index of the class to explain: 0 female, 1 male.
    stage : str
        A key of STAGES (ResNet-34) or SMALL_STAGES.

    Returns
    -------
    np.ndarray of float32, shape (images, rows, columns)
        Of the size of the stage's maps; values 0…1.

    References
    ----------
    Selvaraju et al., Grad-CAM, arXiv:1610.02391.
    """
    if isinstance(model, Ensemble):
        maps = np.mean([grad_cam(member, images, normalisation, classes, stage=stage) for member in model.members], 0)
        return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)
    layer = stage_of(model, stage)
    device = next(model.parameters()).device
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
    """Return what one cell of the maps of MFC images covers.

    Parameters
    ----------
    maps : np.ndarray, shape (images, rows, columns)

    Returns
    -------
    coefficients : float
    milliseconds : float
    """
    milliseconds = N_FRAMES * HOP_LENGTH / SAMPLE_RATE * 1000
    return N_MFCC / maps.shape[1], milliseconds / maps.shape[2]


def enlarge(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Interpolate maps bilinearly to another size.

    Parameters
    ----------
    maps : np.ndarray of float, shape (images, rows, columns)
    size : tuple of int
        Height and width.

    Returns
    -------
    np.ndarray, shape (images, height, width)
    """
    tensor = torch.from_numpy(np.ascontiguousarray(maps))[:, None]
    return F.interpolate(tensor, size=size, mode="bilinear", align_corners=False)[:, 0].numpy()


def _row_overlap(rows: int) -> np.ndarray:
    """Shape (rows, 12): how much of each row of an image of that height lies on each coefficient, in rows."""
    row_edges, coefficient_edges = np.linspace(0, 1, rows + 1), np.linspace(0, 1, N_MFCC + 1)
    upper = np.minimum(row_edges[1:, None], coefficient_edges[None, 1:])
    lower = np.maximum(row_edges[:-1, None], coefficient_edges[None, :-1])
    return np.clip(upper - lower, 0, None) * rows


def occlude_coefficients(predict, images: np.ndarray) -> np.ndarray:
    """Predict with one coefficient of the MFC images hidden at a time.

    Hidden means: replaced by the mean of those rows over all images, so that what all voices share remains.

    Parameters
    ----------
    predict : callable
        images → p_female, shape (images,).
    images : np.ndarray of uint8, shape (images, height, width)

    Returns
    -------
    np.ndarray, shape (12, images)
        p_female.
    """
    overlap = _row_overlap(images.shape[1])
    background = images.mean(axis=(0, 2))[:, None]
    hidden = []
    for coefficient in tqdm(range(N_MFCC), desc="Occlusion", unit="coefficient", leave=False):
        covered = overlap[:, coefficient][:, None]
        hidden.append(predict(_to_uint8(images * (1 - covered) + background * covered)))
    return np.stack(hidden)


def _to_uint8(images: np.ndarray) -> np.ndarray:
    return np.clip(np.round(images), 0, 255).astype(np.uint8)
