"""Where things are, and the audio constants of the study.

What is made from a corpus lies under `WORKSPACE`. That is the project's own folder unless the environment variable of
that name gives another one (the tests use it to leave the project alone). Notebook 07 reads and writes beside itself.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORKSPACE = Path(os.environ.get("WORKSPACE", ROOT)).expanduser().resolve()

MAPS = WORKSPACE / "maps"
MFC_DATASET = WORKSPACE / "mfc_dataset"
RESULTS = WORKSPACE / "results"
PNGS = WORKSPACE / "pngs"

MY_WAVS = WORKSPACE / "nbs" / "my_wavs"

AUDIOMNIST = ROOT.parent / "AudioMNIST" / "data"

SAMPLE_RATE = 48_000  # Hz, of AudioMNIST and of everything derived from it
RECORDING_SAMPLES = 47_998  # AudioMNIST's longest recording; the study pads all others to it

WORKING_RATE = 16_000  # Hz, at which speech is analysed and augmented
WORKING_SAMPLES = RECORDING_SAMPLES * WORKING_RATE // SAMPLE_RATE  # 15,999

GENDERS = ("female", "male")  # the classes of every model, in this order; female is the positive one

SEED = 42

# What a worker frees, glibc keeps for the next recording; to give it back and take it again, page by page, took half of
# the worker's time. It holds for processes that are started after this.
os.environ.setdefault("MALLOC_TOP_PAD_", str(64 * 2**20))
# So it did after every training step: 30,000 page faults a step of 64 images, which these two leave none of.
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(512 * 2**20))
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 * 2**20))


def smoke() -> bool:
    """Whether this is the tests' quick run of the notebooks (`run_notebooks.py --smoke`): same steps, least work."""
    return os.environ.get("SMOKE") == "1"
