"""Transfer: a speaker encoder that was trained on thousands of speakers, joined with the networks on images.

The encoder is GE2E's (Wan et al., arXiv:1710.10467) as the package resemblyzer ships it (Apache-2.0): three LSTM
layers and a linear one make an embedding of a second of speech. It stays as it is. Small heads learn gender from its
embeddings of augmented speech, and their scores are averaged with those of the networks on images.
"""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import torch
from fastai.torch_core import set_seed
from torch import nn

from speaker_gender.config import GENDERS
from speaker_gender.images import mel
from speaker_gender.learning.model_files import ModelError

VERSION = 1  # part of every model's key: raise it when a change here changes the weights

EMBEDDING, LAYERS, HIDDEN = 256, 3, 64  # features, LSTM layers, units of a head
EPOCHS, BATCH, LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 6, 256, 1e-3, 1e-2, 0.3  # of the heads
INSTALL = "pip install --no-deps resemblyzer==0.1.4"
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"  # of the package's weights


class SpeakerEncoder(nn.Module):
    """The encoder: mel spectrograms, shape (n, frames, 40) → embeddings of unit length, shape (n, 256)."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(mel.N_MELS, EMBEDDING, LAYERS, batch_first=True)
        self.linear = nn.Linear(EMBEDDING, EMBEDDING)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """Embed the last layer's last state."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(self.linear(hidden[-1]).relu())


class Fusion(nn.Module):
    """Both halves: the mean of the scores of networks on images and of heads on the encoder's embeddings, (n, 2)."""

    def __init__(self, images: nn.Module, encoder: SpeakerEncoder, heads: nn.Module):
        super().__init__()
        self.images, self.encoder, self.heads = images, encoder, heads

    def forward(self, images: torch.Tensor, mels: torch.Tensor) -> torch.Tensor:
        """Average the halves' scores."""
        return (self.images(images) + self.heads(self.encoder(mels))) / 2


def make_head() -> nn.Sequential:
    """Make a head: standardised embeddings, one hidden layer, two scores."""
    layers = [nn.BatchNorm1d(EMBEDDING, affine=False), nn.Dropout(DROPOUT), nn.Linear(EMBEDDING, HIDDEN)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, len(GENDERS)))


def pretrained_encoder() -> SpeakerEncoder:
    """Load the weights in the installed package resemblyzer, none of whose code is run.

    Raises ModelError where the package is not installed, or its file is another one.
    """
    package = importlib.util.find_spec("resemblyzer")
    if package is None or package.origin is None:
        raise ModelError(f"the speaker encoder is missing, which only training needs: {INSTALL}")
    path = Path(package.origin).with_name("pretrained.pt")
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    if found != SHA256:
        raise ModelError(f"{path}: not the weights of version 0.1.4; {INSTALL}")
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]  # noqa: TID251  tensors alone
    encoder = SpeakerEncoder()
    encoder.load_state_dict({name: state[name] for name in encoder.state_dict()})
    return encoder.eval()


def embed(encoder: SpeakerEncoder, mels: np.ndarray) -> np.ndarray:
    """Embed mel spectrograms, shape (n, frames, 40), of any float type; float32 (n, 256)."""
    with torch.inference_mode():
        batches = np.split(mels, range(BATCH, len(mels), BATCH))
        return np.concatenate([encoder(torch.from_numpy(batch.astype(np.float32))).numpy() for batch in batches])


def train_head(embeddings: np.ndarray, female: np.ndarray, weights: np.ndarray, *, seed: int) -> nn.Sequential:
    """Train a head by AdamW at a rate that falls to zero; the same head again from the same seed.

    Parameters
    ----------
    embeddings : np.ndarray of float32, shape (n, 256)
    female : np.ndarray of bool, shape (n,)
    weights : np.ndarray of float, shape (n,)
        Of each embedding in the loss.
    """
    set_seed(seed, reproducible=True)
    head = make_head()
    targets = np.where(female, GENDERS.index("female"), GENDERS.index("male"))
    tensors = [torch.from_numpy(values) for values in (embeddings, targets, weights.astype(np.float32))]
    n_batches = max(len(embeddings) // BATCH, 1)
    optimiser = torch.optim.AdamW(head.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=EPOCHS * n_batches)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(embeddings)).tensor_split(n_batches):
            batch, target, weight = (tensor[chosen] for tensor in tensors)
            losses = nn.functional.cross_entropy(head(batch), target, reduction="none")
            optimiser.zero_grad()
            (weight * losses).mean().backward()
            optimiser.step()
            schedule.step()
    return head.eval()
