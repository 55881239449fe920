"""The networks: built from a recipe, saved, loaded, and run."""

import io
import math
from pathlib import Path
from typing import cast

import numpy as np
import torch
from fastai.layers import AdaptiveConcatPool2d
from fastai.vision.learner import create_head, create_vision_model
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn
from torch.nn.functional import conv2d
from torchvision.models import resnet34

from speaker_gender.config import GENDERS
from speaker_gender.images.mel import N_FRAMES, N_MELS
from speaker_gender.learning.batches import to_batch
from speaker_gender.learning.fusion import Fusion, SpeakerEncoder
from speaker_gender.learning.fusion import make_head as make_encoder_head
from speaker_gender.learning.model_files import ModelError, checked_file, usable_card, write_model
from speaker_gender.learning.recipes import Recipe

BODY_FEATURES, BODY_STRIDE = 512, 32  # channels of ResNet-34's last map, and pixels an element of it stands for


def make_head(recipe: Recipe, n_out: int = len(GENDERS)) -> nn.Module:
    """Make fastai's head for ResNet-34, which pools over the whole image or over time only.

    In a spectrogram the height is a frequency. Pooling over it throws away at which frequency something was seen.
    `recipe`: with keep_height the head pools over time only. `n_out`: Outputs. Returns nn.Module: (n, 512, h, w) → (n,
    n_out).
    """
    if not recipe.keep_height:
        return create_head(BODY_FEATURES, n_out)
    height = math.ceil(recipe.image_size[0] / BODY_STRIDE)
    layers = create_head(2 * height * BODY_FEATURES, n_out, lin_ftrs=[128], pool=False)
    return nn.Sequential(AdaptiveConcatPool2d((height, 1)), nn.Flatten(), *layers)


def small_network(image_size: tuple[int, int], n_out: int = len(GENDERS), *, n_in: int = 1) -> nn.Sequential:
    """Make a network of four convolutions and a head that pools over time only.

    It is for view `harmonic`, where the height is a frequency, and for speakers too few for ResNet-34's 21 million
    weights: it has a hundredth of them. Like fastai's networks it has two parts, body and head. `image_size`: height
    and width in pixels. `n_out`: Outputs. `n_in`: Channels. Returns nn.Sequential: (n, n_in, h, w) → (n, n_out).
    """
    widths = (n_in, 16, 32, 64, 96)
    layers = []
    for before, width in zip(widths, widths[1:]):
        layers += [nn.Conv2d(before, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
    height = image_size[0] // 2 ** (len(widths) - 1)
    head = [AdaptiveConcatPool2d((height, 1)), nn.Flatten(), nn.Dropout(0.3)]
    head += [nn.Linear(2 * height * widths[-1], 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, n_out)]
    return nn.Sequential(nn.Sequential(*layers), nn.Sequential(*head))


class RowConv2d(nn.Conv2d):
    """A 3 × 3 convolution that leaves out, on maps of one row, what the kernel's other rows make of the padding: 0."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Convolve, shape (n, channels, h, w)."""
        if maps.shape[2] > 1:
            return super().forward(maps)
        return conv2d(maps, self.weight[:, :, 1:2], self.bias, self.stride, (0, self.padding[1]))  # type: ignore[arg-type]


def skip_padding(network: nn.Module) -> None:
    """Make a network's 3 × 3 convolutions skip the padding of maps of one row, such as ResNet-34's last ones.

    Its weights, its state and, up to rounding, what it computes stay. `network`: changed in place.
    """
    for module in network.modules():
        if type(module) is nn.Conv2d and (module.kernel_size, module.padding) == ((3, 3), (1, 1)):
            module.__class__ = RowConv2d


class Ensemble(nn.Module):
    """Networks of one kind from different seeds: the mean of their scores, shape (n, 2).

    References
    ----------
    Lakshminarayanan et al., arXiv:1612.01474.
    """

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Average the members' scores, shape (n, 2)."""
        return torch.stack([member(inputs) for member in self.members]).mean(dim=0)


def make_network(recipe: Recipe) -> nn.Module:
    """Make the recipe's network, untrained, without a Learner."""
    if recipe.architecture == "small":
        return small_network(recipe.image_size)
    network = create_vision_model(resnet34, len(GENDERS), pretrained=False, n_in=1, custom_head=make_head(recipe))
    skip_padding(network)
    return network


def save_network(network: nn.Module, card: dict, path: Path, *, onnx: bytes | None = None) -> dict:
    """Write a network's weights and its card; see model_files.write_model.

    `path`: of the safetensors file. Returns the card as written.
    """
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return write_model(path, save(tensors), card, onnx=onnx)


def load_network(path: Path) -> tuple[nn.Module, dict]:
    """Load a saved model's network, ready to predict.

    `path`: of the safetensors file. Raises ModelError for files that do not fit.
    """
    card = usable_card(path)
    try:
        network = _untrained(card)
    except (TypeError, ValueError, RuntimeError):
        raise ModelError(f"{path.with_suffix('.json')}: not a card of this project's models") from None
    load_weights(network, path, card)
    return network.eval(), card


def _untrained(card: dict) -> nn.Module:
    recipe = Recipe(**card["recipe"])
    if "seeds" not in card:
        return make_network(recipe)
    images = Ensemble([make_network(recipe) for _ in card["seeds"]])
    if "encoder" not in card:
        return images
    return Fusion(images, SpeakerEncoder(), Ensemble([make_encoder_head() for _ in card["seeds"]]))


def load_weights(network: nn.Module, path: Path, card: dict) -> None:
    """Put a saved model's weights into a network.

    `network`: changed in place. `path`: of the safetensors file. Raises ModelError for a file that does not fit.
    """
    content = checked_file(path, card)
    try:
        network.load_state_dict(load(content))
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path}: not this network's weights ({str(error).splitlines()[0]})") from None


def predict(
    model: torch.nn.Module,
    images: np.ndarray,
    normalisation: dict,
    mels: np.ndarray | None = None,
    *,
    batch_size: int = 256,
) -> np.ndarray:
    """Predict the probability of female for each image.

    Parameters
    ----------
    images : np.ndarray of uint8
        See batches.to_batch.
    normalisation : dict
        See batches.to_batch.
    mels : np.ndarray of float32, shape (images, 100, 40), optional
        Of the same speech; a Fusion needs them.

    Returns
    -------
    np.ndarray of float64, shape (images,)
        p_female.
    """
    device = next(model.parameters()).device
    model.eval().to(memory_format=torch.channels_last)  # faster on a CPU
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = slice(start, start + batch_size)
            inputs = [to_batch(images[batch], normalisation)]
            inputs += [torch.from_numpy(mels[batch])] if mels is not None else []
            scores = model(*(tensor.to(device) for tensor in inputs))
            found.append(scores.double().softmax(dim=1)[:, GENDERS.index("female")].cpu())
    return torch.cat(found).numpy()


def to_onnx(network: nn.Module, image_size: tuple[int, int]) -> bytes:
    """Export a network as an ONNX graph.

    `image_size`: height and width in pixels. Returns the bytes of an ONNX file: images, float32 (n, 1, height, width),
    normalised, and for a Fusion mels, float32 (n, 100, 40) → scores, float32 (n, 2). Those of a process's first export
    are always the same; later ones lack some of PyTorch's notes on sizes.
    """
    import onnx  # here, because only those who train the shipped model need it

    inputs = {"images": torch.zeros(2, 1, *image_size)}
    if isinstance(network, Fusion):
        inputs["mels"] = torch.zeros(2, N_FRAMES, N_MELS)
    n_images = torch.export.Dim("n_images")
    network = network.to(memory_format=torch.contiguous_format)  # training leaves another, which is another graph
    exported = torch.onnx.export(
        network.eval(),
        tuple(inputs.values()),
        input_names=list(inputs),
        output_names=["scores"],
        dynamic_shapes=({0: n_images},) * len(inputs),
        verbose=False,
    )
    graph = cast(torch.onnx.ONNXProgram, exported).model_proto  # None only where it writes a file
    for node in graph.graph.node:  # where in this machine's folders each came from
        del node.metadata_props[:]
    buffer = io.BytesIO()
    onnx.save(graph, buffer)
    return buffer.getvalue()
