"""Ctrl-C: one line, at once, whatever a program is importing or doing."""

import os
import re
import signal
import subprocess
import sys

import pytest

from speaker_gender.config import ROOT
from speaker_gender.parallel import in_parallel

PROGRAMS = [path for path in (ROOT / "scripts").rglob("*.py") if '__name__ == "__main__":' in path.read_text()]
START = "import time\nfrom speaker_gender.stopping import end_quietly, run_main\nend_quietly('Stopped')\n"
PHASES = {
    "importing": "print('ready', flush=True)\ntime.sleep(60)",
    "working": "def main():\n    print('ready', flush=True)\n    time.sleep(60)\nrun_main(main)",
    "importing late": """
def main():
    try:
        print('ready', flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        raise ImportError("initialization failed")
run_main(main)""",
    "in parallel": """
from speaker_gender.parallel import in_parallel
def main():
    for _ in in_parallel(time.sleep, [0.01] + [30] * 20, batch=1, n_jobs=2):
        print('ready', flush=True)
run_main(main)""",
}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("phase", PHASES)
def test_ctrl_c_is_one_line_at_once(phase):
    process = subprocess.Popen(
        [sys.executable, "-c", START + PHASES[phase]],
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert process.stdout.readline() == "ready\n"
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (130, "\nStopped\n")


def test_joblibs_process_that_cleans_up_behind_a_stopped_program_says_nothing(monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "ignore::DeprecationWarning")
    assert list(in_parallel(int, ["1", "2", "3"], batch=1, n_jobs=2)) == [1, 2, 3]
    code = "import warnings; warnings.warn('{}: There appear to be 3 leaked semlock objects to clean up')"
    for source, is_told in (("resource_tracker", False), ("another", True)):
        told = subprocess.run([sys.executable, "-c", code.format(source)], capture_output=True, text=True, check=True)
        assert bool(told.stderr) == is_told
    assert os.environ["PYTHONWARNINGS"].startswith("ignore::DeprecationWarning,"), "what a user set stays"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_program_in_the_background_ignores_ctrl_c_and_ends_when_it_is_told_to():
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            START.replace("'Stopped'", "'Stopped', names=('SIGINT', 'SIGTERM')") + PHASES["working"],
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT / "scripts")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (130, "\nStopped\n")


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_every_program_ends_so_from_its_first_import_on(path):
    text = path.read_text(encoding="utf-8")
    if path.name in ("espeak.py", "train_on_noise.py", "baseline_classifier.py"):
        return  # started by others
    imports = re.findall(r"^(?:import|from) (\w+)", text.split('"""')[2], re.MULTILINE)
    assert set(imports[: imports.index("speaker_gender")]) <= {"sys", "pathlib"}
    assert "end_quietly(" in text and "run_main(main)" in text
