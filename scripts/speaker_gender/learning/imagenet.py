"""torchvision's ImageNet weights of ResNet-34, where they are available."""

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torchvision.models import ResNet34_Weights

from speaker_gender.caching import file_digest
from speaker_gender.config import settings
from speaker_gender.learning.model_files import ModelError
from speaker_gender.learning.recipes import Recipe

WEIGHTS = ResNet34_Weights.IMAGENET1K_V1


def named_weights(recipe: Recipe) -> list[str]:
    """Digest the file of ImageNet weights that the environment variable RESNET34_WEIGHTS names, for keys.

    Returns one digest; empty where no file is named or the recipe does not use it. Raises ModelError where
    the file cannot be read.
    """
    choice = settings().resnet34_weights
    if choice in (None, "none") or settings().smoke or recipe.architecture != "resnet34":
        return []
    try:
        return [file_digest(Path(choice))]
    except OSError as error:
        raise ModelError(f"{choice}: cannot be read ({error.strerror})") from None


def imagenet_state() -> dict[str, torch.Tensor] | None:
    """Load torchvision's ImageNet weights of ResNet-34.

    The environment variable RESNET34_WEIGHTS can name a safetensors file with the same tensors, or be 'none'. Returns
    dict of str to torch.Tensor, or None: None, said in one line, where the weights are not available. Raises ModelError
    where the named file is not a safetensors file.
    """
    choice = settings().resnet34_weights
    if choice == "none" or settings().smoke:
        print("RESNET34_WEIGHTS=none or a smoke run: training from scratch.")
        return None
    if choice:
        try:
            return load_file(choice)
        except (OSError, SafetensorError) as error:
            raise ModelError(f"{choice}: not a safetensors file ({error})") from None
    if not (Path(torch.hub.get_dir()) / "checkpoints" / Path(WEIGHTS.url).name).exists():
        print("Downloading ImageNet weights of ResNet-34 from PyTorch (87 MB); RESNET34_WEIGHTS=none does without.")
    try:
        with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):  # torch.hub prints this machine's paths
            return WEIGHTS.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (URLError, OSError, RuntimeError):
        print("ImageNet weights of ResNet-34 cannot be downloaded here: training from scratch.")
        return None
