"""The shipped model's baseline implementation: one script, straight from its card, with librosa and PyTorch.

    python scripts/upkeep/baseline_classifier.py MODEL WAV

Prints p(female) of a WAV of at most a second. benchmark.py times it against `classify_wavs.py`. Of the project
it uses no more than how programs end, and takes no shortcut: so it also checks that the project computes what it says.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from speaker_gender.stopping import end_quietly

if __name__ == "__main__":
    end_quietly()  # from here on, whatever is imported

import json
from typing import Any

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


def one_second(path: str) -> np.ndarray:
    """The WAV at 16 kHz between zeros, shape (15999,)."""
    signal, _ = librosa.load(path, sr=16_000, dtype=np.float64)
    return librosa.util.fix_length(np.pad(signal, (max(15_999 - len(signal), 0) // 2, 0)), size=15_999)


def mel_spectrogram(signal: np.ndarray) -> np.ndarray:
    """What the speaker encoder takes, float32 (100, 40), of a second at -30 dBFS where it is not zero."""
    level = np.sqrt(np.sum(signal**2) / np.count_nonzero(signal))
    levelled = signal * 10 ** (-30 / 20) / level
    return librosa.feature.melspectrogram(y=levelled, sr=16_000, n_fft=400, hop_length=160, n_mels=40).T.astype("f4")


def harmonic_image(signal: np.ndarray) -> np.ndarray:
    """The image of view `harmonic`, uint8 (112, 30), of a second."""
    frames = librosa.util.frame(signal, frame_length=1_024, hop_length=512).T * np.hanning(1_025)[:-1]
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
    """One network on images, untrained."""
    body = nn.Sequential(*convolution(1, 16), *convolution(16, 32), *convolution(32, 64), *convolution(64, 96))
    linear = [nn.Linear(1344, 128), nn.ReLU(), nn.Identity(), nn.Linear(128, 2)]
    return nn.Sequential(body, nn.Sequential(Pool(), nn.Identity(), nn.Identity(), *linear))


def head() -> nn.Sequential:
    """One head on the speaker encoder's embedding, untrained."""
    linear = [nn.Linear(256, 64), nn.ReLU(), nn.Identity(), nn.Linear(64, 2)]
    return nn.Sequential(nn.BatchNorm1d(256, affine=False), nn.Identity(), *linear)


def load_model(path: str) -> tuple[dict[str, Any], dict]:
    """Load the networks of a safetensors file, ready to predict, and its card."""
    card = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf-8"))
    parts: dict[str, Any] = {
        "images.members": nn.ModuleList(member() for _ in card["seeds"]),
        "heads.members": nn.ModuleList(head() for _ in card["seeds"]),
        "encoder.lstm": nn.LSTM(40, 256, 3, batch_first=True),
        "encoder.linear": nn.Linear(256, 256),
    }
    weights = load_file(path)
    for name, part in parts.items():
        part.eval().load_state_dict(
            {key[len(name) + 1 :]: weights[key] for key in weights if key.startswith(f"{name}.")}
        )
    return parts, card


def classify(path: str, model: dict[str, Any], card: dict) -> float:
    """Predict p(female) of a WAV of at most a second.

    `model`, `card`: see `load_model`.
    """
    signal = one_second(path)
    with torch.no_grad():
        image = torch.from_numpy(harmonic_image(signal))[None, None].float() / 255
        grey = (image - card["normalisation"]["mean"]) / card["normalisation"]["std"]
        _, (states, _) = model["encoder.lstm"](torch.from_numpy(mel_spectrogram(signal))[None])
        embedding = torch.nn.functional.normalize(model["encoder.linear"](states[-1]).relu())
        by_image = torch.stack([network(grey) for network in model["images.members"]]).mean(dim=0)
        by_voice = torch.stack([network(embedding) for network in model["heads.members"]]).mean(dim=0)
    scores = (by_image + by_voice)[0] / 2
    odds = float(scores[0] - scores[1]) * card["calibration"]["slope"] + card["calibration"]["intercept"]
    return 1 / (1 + 2.718281828459045**-odds)


if __name__ == "__main__":
    print(classify(sys.argv[2], *load_model(sys.argv[1])))
