"""The shipped model's baseline implementation: one script, straight from its card, with librosa and PyTorch.

    python scripts/upkeep/baseline_classifier.py MODEL WAV

Prints p(female) of a WAV of at most a second. benchmark.py times it against `classify_wavs.py`. It imports nothing from
the project and takes no shortcut, so it also checks that the project computes what it says.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import json

import librosa
import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

step = (7_600 / 60) ** (1 / 111)
edges = 60 * step ** np.arange(-1, 113)
frequency = np.fft.rfftfreq(8_192, 1 / 16_000)[:, None]
rising = (frequency - edges[:-2]) / (edges[1:-1] - edges[:-2])
falling = (edges[2:] - frequency) / (edges[2:] - edges[1:-1])
bands = np.minimum(rising, falling).clip(min=0)
bands /= bands.sum(axis=0)


def harmonic_image(signal: np.ndarray) -> np.ndarray:
    """The image of view `harmonic`, uint8 (112, 30), of a signal at 48 kHz in -1…1, shape (samples,)."""
    padded = np.zeros(47_998)
    front = max(47_998 - len(signal), 0) // 2
    padded[front : front + len(signal)] = signal[:47_998]
    resampled = librosa.resample(padded, orig_sr=48_000, target_sr=16_000, res_type="soxr_hq")[:15_999]
    frames = librosa.util.frame(resampled, frame_length=1_024, hop_length=512).T * np.hanning(1_025)[:-1]
    powers = np.abs(np.fft.rfft(frames, 8_192)) ** 2 @ bands
    level = librosa.power_to_db(powers.T, ref=np.max, amin=1e-20, top_db=70)
    return (255 * (1 + level / 70) + 0.5).astype(np.uint8)[::-1].copy()


class Pool(nn.Module):
    """Maximum and mean over time of each feature at each height, in a row."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Pool maps, shape (n, channels, h, w), to (n, 2 · channels · h)."""
        return torch.cat([maps.amax(3), maps.mean(3)], dim=1).flatten(1)


def convolution(n_in: int, n_out: int) -> list[nn.Module]:
    """Layers of one stage; they halve height and width."""
    return [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(), nn.MaxPool2d(2)]


def member() -> nn.Sequential:
    """One network of the ensemble, untrained."""
    body = nn.Sequential(*convolution(1, 16), *convolution(16, 32), *convolution(32, 64), *convolution(64, 96))
    linear = [nn.Linear(1344, 128), nn.ReLU(), nn.Identity(), nn.Linear(128, 2)]
    return nn.Sequential(body, nn.Sequential(Pool(), nn.Identity(), nn.Identity(), *linear))


def load_model(path: str) -> tuple[list[nn.Sequential], dict]:
    """Load the networks of a safetensors file, ready to predict, and its card."""
    card = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
    networks = [member() for _ in card["seeds"]]
    holder = nn.Module()
    holder.members = nn.ModuleList(networks)
    holder.load_state_dict(load_file(path))
    holder.eval()
    return networks, card


def classify(path: str, networks: list[nn.Sequential], card: dict) -> float:
    """Predict p(female) of a WAV of at most a second.

    `networks`, `card`: see `load_model`.
    """
    signal, _ = librosa.load(path, sr=48_000, dtype=np.float64)
    image = torch.from_numpy(harmonic_image(signal))[None, None].float() / 255
    with torch.no_grad():
        grey = (image - card["normalisation"]["mean"]) / card["normalisation"]["std"]
        scores = torch.stack([network(grey) for network in networks]).mean(dim=0)
    odds = float(scores[0, 0] - scores[0, 1]) * card["calibration"]["slope"] + card["calibration"]["intercept"]
    return 1 / (1 + 2.718281828459045**-odds)


if __name__ == "__main__":
    print(classify(sys.argv[2], *load_model(sys.argv[1])))
