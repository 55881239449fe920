"""Settings, and what is set for processes that work on many recordings."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from speaker_gender.config import KEPT, ROOT, Settings, find_home, settings, use

KEEP = "from speaker_gender.config import keep_freed_memory\nkeep_freed_memory()\n"
FREED_AGAIN_AND_AGAIN = """
import resource
import numpy as np
for _ in range(10):
    [np.ones(8 * 2**20, np.uint8) for _ in range(10)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc has these parameters")
@pytest.mark.parametrize("inherited", [False, True], ids=["this process", "one that it started"])
def test_freed_memory_is_kept(inherited):
    plain = {name: value for name, value in os.environ.items() if name not in KEPT} | {"PYTHONPATH": "scripts"}
    kept = plain | {name: str(size) for name, (_, size) in KEPT.items()} if inherited else plain
    faults = [
        int(subprocess.check_output([sys.executable, "-c", code], env=environment, cwd=ROOT))
        for code, environment in (
            (FREED_AGAIN_AND_AGAIN, plain),
            (FREED_AGAIN_AND_AGAIN if inherited else KEEP + FREED_AGAIN_AND_AGAIN, kept),
        )
    ]
    assert faults[1] < faults[0] / 2


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has a home folder that can be written to")
def test_what_stands_in_for_a_home_is_this_users_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda *_: False)
    homes = []
    for mode in (0o700, 0o700, 0o777):
        monkeypatch.setenv("HOME", "/nowhere")
        find_home()
        homes.append(os.environ["HOME"])
        assert Path(homes[-1]).stat().st_mode & 0o777 == 0o700
        os.chmod(homes[0], mode if len(homes) < 2 else 0o777)
    assert homes[0] == homes[1] != homes[2]


def test_settings_come_from_the_environment_and_an_empty_variable_is_none(monkeypatch):
    for variable in ("CORPUS", "CLUSTER", "WORKSPACE", "RECOMPUTE", "SMOKE"):
        monkeypatch.setenv(variable, "")
    assert settings() == Settings(resnet34_weights=settings().resnet34_weights)
    monkeypatch.setenv("WORKSPACE", "elsewhere")
    monkeypatch.setenv("SMOKE", "1")
    use(corpus="demo", recompute=None)
    assert settings().workspace == Path("elsewhere").resolve() and settings().smoke
    assert settings().corpus == "demo" and settings().recompute == ""
