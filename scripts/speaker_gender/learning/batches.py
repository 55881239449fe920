"""Grey images as the tensors that a network takes."""

import numpy as np
import torch


def to_batch(images: np.ndarray, normalisation: dict) -> torch.Tensor:
    """Convert images to the tensor that a network takes.

    Parameters
    ----------
    images : np.ndarray of uint8, shape (images, height, width) or (images, channels, height, width)
    normalisation : dict
        mean and std of the grey levels in 0…1, as in a model's card.

    Returns
    -------
    torch.Tensor of float32, shape (images, channels, height, width)
        Normalised; one channel for images without a channel axis.
    """
    batch = _with_channels(torch.from_numpy(np.ascontiguousarray(images))).float() / 255
    return (batch - normalisation["mean"]) / normalisation["std"]


def _with_channels(images: torch.Tensor) -> torch.Tensor:
    return images if images.ndim == 4 else images[:, None]
