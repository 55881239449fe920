"""Where things are, what a user can set, and the audio constants of the study.

What is made from a corpus lies under `WORKSPACE`: the project's own folder, unless the environment variable of that
name gives another one (the tests use it to leave the project alone). Notebook 07 reads and writes beside itself.
"""

import ctypes
import functools
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Settings:
    """What a user can set: each field by the environment variable of its name in capitals, some by options as well.

    The environment hands them down to notebooks' kernels and worker processes. An empty variable counts as none.
    """

    corpus: str | None = None  # folder or table, see corpora.resolving; None: AudioMNIST beside the project, or `demo`
    workspace: Path = ROOT
    recompute: str = ""  # '1': use no cached result; seconds since 1970: none that is older
    accept_lost: str = "0"  # recordings that may be unreadable before generation, training and evaluation refuse
    allow_urls: str | None = None  # schemes and hosts of recordings that may be fetched: s3://bucket,https://host
    cluster: str | None = None  # address of a Dask scheduler
    smoke: bool = False  # the tests' quick run of the notebooks: the same steps, the least work
    resnet34_weights: str | None = None  # a safetensors file, or 'none' for training from scratch
    librispeech: Path = ROOT.parent / "LibriSpeech"
    common_voice: Path = ROOT.parent / "CommonVoice"
    spoken_digits: Path = ROOT.parent / "SpokenDigits" / "data"


def settings() -> Settings:
    """The settings in the environment."""
    named = {name: os.environ[name.upper()] for name in Settings.__annotations__ if os.environ.get(name.upper())}
    folders = [name for name, kind in Settings.__annotations__.items() if kind is Path and name in named]
    paths = {name: Path(named[name]).expanduser().resolve() for name in folders}
    return Settings(**named | paths | {"smoke": named.get("smoke") == "1"})  # type: ignore[arg-type]


def use(**changes: str | None) -> None:
    """Change settings of this process and of those that it starts; None leaves one as it is."""
    os.environ.update({name.upper(): value for name, value in changes.items() if value is not None})


WORKSPACE = settings().workspace
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


@functools.cache
def keep_freed_memory() -> None:
    """Set glibc's parameters that the user has not set, for this process and for those that it starts."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    for variable, (parameter, size) in KEPT.items():
        if variable not in os.environ:
            os.environ[variable] = str(size)
            if mallopt:
                mallopt(parameter, size)


def find_home() -> None:
    """Give a process whose home folder cannot be written to another one, for what numba, matplotlib and Jupyter keep.

    It lies in the temporary folder and is this user's alone: what numba keeps there is run.
    """
    if not hasattr(os, "getuid") or os.access(os.path.expanduser("~"), os.W_OK):
        return
    folder = os.path.join(tempfile.gettempdir(), f"speaker_gender_{os.getuid()}")
    try:
        os.mkdir(folder, mode=0o700)
    except FileExistsError:
        found = os.lstat(folder)
        if (found.st_uid, found.st_mode & 0o170777) != (os.getuid(), 0o040700):
            folder = tempfile.mkdtemp(prefix="speaker_gender_")
    os.environ["HOME"] = folder
