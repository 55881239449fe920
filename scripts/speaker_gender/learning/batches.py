"""Grey images as the tensors that a network takes."""

import numpy as np
import torch


def to_batch(images: np.ndarray, normalisation: dict) -> torch.Tensor:
    """Images, uint8 (images, height, width), as a network takes them: float32 (images, 1, height, width), normalised.

    Those of several channels, uint8 (images, channels, height, width), keep them.
    normalisation: mean and std of the grey levels in 0…1, as a model's card gives them.
    """
    batch = _with_channels(torch.from_numpy(np.ascontiguousarray(images))).float() / 255
    return (batch - normalisation["mean"]) / normalisation["std"]


def _with_channels(images: torch.Tensor) -> torch.Tensor:
    return images if images.ndim == 4 else images[:, None]
