"""Where things are, and the audio constants of the study.

What is made from a corpus lies under `WORKSPACE`. That is the project's own folder unless the environment variable of
that name gives another one (the tests use it to leave the project alone). Notebook 07 reads and writes beside itself.
"""

import ctypes
import os
import sys
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

MIB = 2**20
# What is freed, glibc keeps for the next recording or training step. It would give it back and take it again, page by
# page. glibc's parameter → its number, and bytes.
KEPT = {
    "MALLOC_TRIM_THRESHOLD_": (-1, 512 * MIB),
    "MALLOC_TOP_PAD_": (-2, 64 * MIB),
    "MALLOC_MMAP_THRESHOLD_": (-3, 32 * MIB),
}


def keep_freed_memory() -> None:
    """Set glibc's parameters that the user has not set, for this process and for those that it starts."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    for variable, (parameter, size) in KEPT.items():
        if variable not in os.environ:
            os.environ[variable] = str(size)
            if mallopt:
                mallopt(parameter, size)


keep_freed_memory()


def smoke() -> bool:
    """Whether this is the tests' quick run of the notebooks (`run_notebooks.py --smoke`): same steps, least work."""
    return os.environ.get("SMOKE") == "1"
