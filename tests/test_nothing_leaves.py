"""Nothing leaves this machine: every connection that is made and every file that is written, as the kernel sees them.

ONNX Runtime 1.32 writes an identifier under the user's cache and looks its makers' host up within 20 s of its first
session; ORT_DISABLE_TELEMETRY, set in speaker_gender/__init__.py, is what stops it. Without that line these tests fail.
"""

import ipaddress
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from speaker_gender.config import ROOT

SECONDS = 20  # after which what is going to be sent has been tried
CACHES = (".cache/matplotlib", ".config/matplotlib", ".config/pulse")  # in the home folder; README names them
TRACED = (
    "connect,sendto,sendmsg,sendmmsg,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
)

ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
FOLDER_AND_PATH = re.compile(r'(?:\w+<([^>]*)>, )?"([^"]*)"')

EVERYTHING = f"""
import importlib, pkgutil, sys, time, urllib.request, warnings
warnings.simplefilter("ignore")
sys.path.insert(0, "scripts")
import speaker_gender
for module in pkgutil.walk_packages(speaker_gender.__path__, "speaker_gender."):
    importlib.import_module(module.name)
from speaker_gender.showing import page
from speaker_gender.classifying.classifier import default_model, load_classifier
classifier = load_classifier(default_model())
shown = page.build_page(classifier)
address = page.open_page(shown, browser=False)
assert b"Who speaks?" in urllib.request.urlopen(address).read()
print(page.analyse(classifier, page.SAMPLES[0], name="sample").answer.answer)
time.sleep({SECONDS})
shown.close(verbose=False)
"""


PROGRAMS = f"""
    strace_ 1 "{sys.executable}" "$FOLDER/everything.py" &
    everything=$!
    strace_ 2 "{sys.executable}" scripts/record_wav.py --list-devices || true # there may be none
    strace_ 3 "{sys.executable}" scripts/classify_wavs.py nbs/my_wavs/synthetic_*.wav && wait $everything
"""
NOTEBOOKS = f'strace_ 1 "{sys.executable}" scripts/run_notebooks.py --smoke'
WATCHED = [  # a script, and what it says
    pytest.param((PROGRAMS, "female"), id="programs"),
    pytest.param((NOTEBOOKS, "07_deploy_model"), id="notebooks", marks=pytest.mark.release),
]


@pytest.fixture(scope="module", params=WATCHED)
def traced(request, tmp_path_factory) -> tuple[Path, list[str]]:
    """The folder with the home and the temporary folder of what is watched, in a namespace without a network, and its
    traced system calls.
    """
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: connections and files were not watched")
    folder = tmp_path_factory.mktemp("watched")
    (folder / "home").mkdir()
    (folder / "temp").mkdir()
    (folder / "everything.py").write_text(EVERYTHING)
    steps, expected = request.param
    script = f"""
        ip link set lo up || true
        strace_() {{ strace -f -qq -y --seccomp-bpf -e trace={TRACED} -o "$FOLDER/trace.$1" "${{@:2}}"; }}
        {steps}
    """
    enclosure = ["unshare", "--net", "--map-root-user"]
    if subprocess.run([*enclosure, "true"], capture_output=True).returncode:
        enclosure = []
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_", "GRADIO_", "HF_"))
    }
    environment |= {"FOLDER": str(folder), "WORKSPACE": str(folder / "temp" / "workspace"), "RESNET34_WEIGHTS": "none"}
    environment |= {"HOME": str(folder / "home"), "TMPDIR": str(folder / "temp"), "MPLBACKEND": "agg"}
    environment.pop("MPLCONFIGDIR", None)
    ended = subprocess.run(
        [*enclosure, "bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=590
    )
    if "ptrace" in ended.stderr and "not permitted" in ended.stderr:
        pytest.skip("strace may not be used here: connections and files were not watched")
    assert ended.returncode == 0 and expected in ended.stdout, ended.stderr
    lines = [line for path in sorted(folder.glob("trace.*")) for line in path.read_text(errors="replace").splitlines()]
    assert any("connect(" in line for line in lines)  # at least those of the page to itself
    return folder, lines


@pytest.mark.slow
def test_every_connection_is_to_this_machine(traced):
    addresses = {
        first or second
        for line in traced[1]
        if re.search(r"\b(connect|send\w+)\(", line)
        for first, second in ADDRESS.findall(line)
    }
    assert addresses  # the page's own
    assert [address for address in addresses if not ipaddress.ip_address(address).is_loopback] == []


@pytest.mark.slow
def test_every_file_that_is_written_is_in_the_project_or_temporary_or_a_named_cache(traced):
    folder, lines = traced
    allowed = [ROOT, Path(sys.prefix), folder / "temp", Path("/dev"), Path("/proc")]
    allowed += [folder / "home" / cache for cache in CACHES]
    parents = [parent for path in allowed for parent in path.parents]
    outside = {path for path in map(written, lines) if path and path not in parents and not within(path, allowed)}
    assert sorted(map(str, outside)) == []


def written(line: str) -> Path | None:
    """The path that a traced call makes or opens for writing, where it does so."""
    if "openat(" in line and not re.search(r"O_WRONLY|O_RDWR|O_CREAT", line):
        return None
    if re.search(r"\b(connect|send\w+)\(|= -1 E(NOENT|EXIST|ROFS|ACCES|NOTDIR)", line):
        return None
    found = FOLDER_AND_PATH.findall(line)
    return Path(found[-1][0] or ROOT, found[-1][1]) if found else None  # of two, the new name stands last


def within(path: Path, folders: list[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
