"""Where in the image the network looks: Grad-CAM, and what hiding one cepstral coefficient at a time does.

Grad-CAM weights the feature maps of a stage of the network by the gradient of the class's score (Selvaraju et al.,
arXiv:1610.02391). Whether the network needs what a map points at is measured by map_tests.deletion_curves.
"""

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


def maps_and_scores(model: torch.nn.Module, batch: torch.Tensor, stage: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a network; returns the feature maps that a stage puts out, and the scores as a function of them.

    The graph begins at the maps, so gradients reach them through a frozen body, too. Nothing is kept in the network:
    several threads may use it at once.

    Parameters
    ----------
    model : torch.nn.Module
        Of body and head, as networks.make_network makes them.
    batch : torch.Tensor, shape (images, 1, height, width)
        See batches.to_batch.
    stage : str
        A key of STAGES (ResNet-34) or SMALL_STAGES.
    """
    parts: Any = model  # body and head, by index, which nn.Module does not promise
    place = (STAGES | SMALL_STAGES)[stage] + 1
    with torch.enable_grad():
        maps = parts[0][:place](batch).detach().requires_grad_()
        return maps, parts[1](parts[0][place:](maps))


def take_apart(
    model: torch.nn.Module, image: np.ndarray, normalisation: dict, of_class: int, *, stage: str
) -> dict[str, np.ndarray]:
    """Compute the Grad-CAM of one image in its steps.

    Returns dict of str to np.ndarray of float32: activations, shape (channels, rows, columns): what the stage puts out.
    gradients, the same shape: how the class's score changes with each of them. weights, shape (channels,): the
    gradients' means. map, shape (rows, columns): the weighted sum of the activations where it is positive; not divided
    by its greatest value.

    Parameters
    ----------
    model, normalisation, stage
        See `grad_cam`.
    image : np.ndarray of uint8, shape (height, width)
    of_class : int
        Index of the class to explain: 0 female, 1 male.

    References
    ----------
    Selvaraju et al., Grad-CAM, arXiv:1610.02391, equations 1 and 2.
    """
    batch = to_batch(image[np.newaxis], normalisation).to(next(model.parameters()).device)
    activations, scores = maps_and_scores(model.eval(), batch, stage)
    (gradients,) = torch.autograd.grad(scores[0, of_class], activations)
    weights = gradients.mean(dim=(2, 3))
    cam = F.relu((weights[:, :, None, None] * activations).sum(dim=1))
    steps = {"activations": activations, "gradients": gradients, "weights": weights, "map": cam}
    return {name: tensor[0].detach().float().cpu().numpy() for name, tensor in steps.items()}


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
    device = next(model.parameters()).device
    model.eval()
    found = []
    for start in range(0, len(images), BATCH):
        batch = to_batch(images[start : start + BATCH], normalisation).to(device)
        activations, scores = maps_and_scores(model, batch, stage)
        chosen = torch.as_tensor(classes[start : start + BATCH], device=device)
        (gradients,) = torch.autograd.grad(scores.gather(1, chosen[:, None]).sum(), activations)
        weights = gradients.mean(dim=(2, 3), keepdim=True)
        maps = F.relu((weights * activations).sum(dim=1)).detach().float()
        found.append((maps / maps.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)).cpu())
    return torch.cat(found).numpy()


def cell_size(maps: np.ndarray) -> tuple[float, float]:
    """Return what one cell of the maps of MFC images covers.

    Parameters
    ----------
    maps : np.ndarray, shape (images, rows, columns)
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
