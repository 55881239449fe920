"""What is set for every process before anything else is imported."""

import os
import subprocess
import sys

import pytest

from speaker_gender.config import KEPT, ROOT

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
            (FREED_AGAIN_AND_AGAIN if inherited else f"import speaker_gender.config\n{FREED_AGAIN_AND_AGAIN}", kept),
        )
    ]
    assert faults[1] < faults[0] / 2
