"""scripts/setup.sh with stand-ins for Python, uv and nvidia-smi: nothing is downloaded, and what can go wrong does."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from speaker_gender.config import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins are shell scripts")

# A Python whose environments hold a copy of it, and that installs uv only. Programs are handed on to a real one.
PYTHON = """#!/bin/sh
case "$*" in
    "-m venv "*)
        mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/bin/pip"
        if [ -n "$VENV_HANGS" ]; then touch "$VENV_HANGS"; sleep 60; fi ;;
    "-c import ensurepip"*) [ -z "$NO_VENV" ] ;;
    "-c import sys; print(getattr"*) command -v "$0" ;;
    "-c import sys; print("*) echo "VERSION" ;;
    "-m pip install "*) cp "$(command -v uv-to-install)" "$(dirname "$0")/uv" ;;
    "-m pip config get global.extra-index-url") [ -n "$MIRROR" ] && echo "$MIRROR" ;;
    "-m pip config "*) exit 1 ;;
    "-c"*librosa*) echo "compiled" >> "$LOG" ;;
    *) exec REAL "$@" ;;
esac
"""
UV = """#!/bin/sh
if [ "$*" = "pip install --help" ]; then echo " --torch-backend <TORCH_BACKEND>"; exit; fi
echo "uv $* [$UV_INDEX]" >> "$LOG"
case "$*" in *--torch-backend*) [ -z "$NO_TORCH_INDEX" ] ;; esac
"""


class Project:
    """A copy of the scripts, with programs of its own on the PATH."""

    def __init__(self, folder: Path):
        self.folder, self.programs, self.log = folder / "project", folder / "bin", folder / "log"
        (self.folder / "scripts").mkdir(parents=True)
        self.programs.mkdir()
        for name in ("requirements.txt", "requirements-try.txt", "requirements.lock"):
            shutil.copy(ROOT / name, self.folder)
        for name in ("setup.sh", "run.sh", "try.sh", "test.sh"):
            shutil.copy(ROOT / "scripts" / name, self.folder / "scripts")
        for name in ("run_notebooks.py", "app.py"):
            (self.folder / "scripts" / name).write_text("import sys; print('started', *sys.argv[1:])")
        self.program("python3", python())
        self.program("uv-to-install", UV)

    def program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def environment(self, **variables: str) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}
        path = f"{self.programs}:/usr/bin:/bin"
        return own | {"PATH": path, "LOG": str(self.log), "HOME": str(self.folder.parent)} | variables

    def run(self, *command: str, **variables: str) -> tuple[int, str, list[str]]:
        """Exit status, output, and what uv was asked to do."""
        self.log.unlink(missing_ok=True)
        ended = subprocess.run(
            command or ("bash", "scripts/run.sh", "01"),
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
        )
        done = self.log.read_text().splitlines() if self.log.exists() else []
        return ended.returncode, ended.stdout + ended.stderr, done

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


def python(version: str = "3.11") -> str:
    return PYTHON.replace("VERSION", version).replace("REAL", sys.executable)


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def no_gpu():
    if list(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi", path="/usr/bin:/bin"):
        pytest.skip("this machine has an NVIDIA GPU")


def test_a_first_run_installs_builds_for_the_processor_and_starts(project, no_gpu):
    status, output, done = project.run()
    assert (status, output.splitlines()[-1]) == (0, "started 01")
    install = next(line for line in done if "--dry-run" not in line)
    assert "-r requirements.txt" in install and "--constraints requirements.lock" in install
    assert "--torch-backend cpu" in install
    assert done[-1] == "compiled"
    assert (project / ".venv/installed").read_text().startswith("Python 3.11, requirements ")
    assert (project / ".venv/.gitignore").read_text() == "*\n"
    assert not (project / ".venv/unfinished").exists()


def test_a_second_run_installs_nothing_and_changed_requirements_are_installed(project):
    project.run()
    status, output, done = project.run()
    assert (status, output, done) == (0, "started 01\n", [])
    with (project / "requirements.lock").open("a") as lock:
        lock.write("# newer\n")
    status, output, done = project.run()
    assert status == 0 and "again" not in output
    assert any("-r requirements.txt" in line and "--dry-run" not in line for line in done)


def test_without_pytorchs_index_the_default_builds_are_taken_and_it_says_so(project):
    status, output, done = project.run(NO_TORCH_INDEX="1")
    assert status == 0
    assert "PyTorch's own index cannot be reached" in output
    assert all("--torch-backend" not in line for line in done if "--dry-run" not in line)


def test_with_a_gpu_uv_chooses_the_builds(project):
    project.program("nvidia-smi", "#!/bin/sh\necho GPU 0\n")
    _, _, done = project.run()
    assert any("-r requirements.txt --torch-backend auto" in line for line in done)


def test_a_uv_on_the_path_is_used_unless_it_is_too_old(project):
    project.program("uv", UV)
    project.run()
    assert not (project / ".venv/bin/uv").exists()
    shutil.rmtree(project / ".venv")
    project.program("uv", "#!/bin/sh\n[ $2 = install ] && echo old\n")
    status, _, done = project.run()
    assert status == 0 and (project / ".venv/bin/uv").exists() and done


def test_uv_gets_the_mirror_that_pip_was_given_unless_it_has_its_own(project):
    for variables, used in (({}, "mirror"), ({"UV_INDEX": "https://own.example"}, "own")):
        status, _, done = project.run(MIRROR="https://mirror.example", **variables)
        assert status == 0 and all(f"[https://{used}.example]" in line for line in done if line.startswith("uv"))
        shutil.rmtree(project / ".venv")


def test_what_ctrl_c_left_half_made_is_made_again(project, tmp_path):
    hangs = tmp_path / "hangs"
    first = subprocess.Popen(
        ["bash", "scripts/run.sh"],
        cwd=project.folder,
        env=project.environment(VENV_HANGS=str(hangs)),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job's children ignore it
    )
    while not hangs.exists():
        time.sleep(0.01)
    deadline = time.monotonic() + 10
    while first.poll() is None and time.monotonic() < deadline:  # a shell may be between two programs
        os.killpg(first.pid, signal.SIGINT)
        time.sleep(0.1)
    assert first.returncode
    assert (project / ".venv/bin/python").exists() and not (project / ".venv/installed").exists()
    status, output, done = project.run()
    assert status == 0 and "started" in output and done
    assert [line for line in output.splitlines() if ".venv again" in line]


def test_another_terminal_that_is_installing_is_waited_for(project):
    project.run()
    stamp = (project / ".venv/installed").read_text()
    (project / ".venv/installed").unlink()
    other = subprocess.Popen(["sleep", "60"])
    (project / ".venv/unfinished").write_text(f"{other.pid}\n")
    waiting = subprocess.Popen(
        ["bash", "scripts/run.sh"], cwd=project.folder, env=project.environment(), stdout=subprocess.PIPE, text=True
    )
    assert f"Waiting for process {other.pid}" in waiting.stdout.readline()
    time.sleep(1)
    assert waiting.poll() is None
    (project / ".venv/installed").write_text(stamp)
    (project / ".venv/unfinished").unlink()
    other.kill()
    other.wait()
    assert waiting.communicate(timeout=20)[0] == "started\n"


@pytest.mark.parametrize("change", ["upgraded", "gone"])
def test_an_environment_whose_python_changed_is_made_again(project, change):
    project.run()
    if change == "upgraded":
        project.program("python3", python("3.13"))
        shutil.copy(project.programs / "python3", project / ".venv/bin/python")
    else:
        (project / ".venv/bin/python").unlink()
        (project / ".venv/bin/python").symlink_to("/nonexistent/python3")
    (project / ".venv/left_over").touch()
    status, output, _ = project.run()
    assert status == 0 and output.count("Making .venv again") == 1
    assert not (project / ".venv/left_over").exists()
    assert project.run()[1] == "started 01\n"


def test_a_failed_install_is_not_taken_for_a_whole_one(project):
    project.program("uv-to-install", UV.replace("case", "exit 1\ncase"))
    assert project.run()[0] != 0
    assert not (project / ".venv/installed").exists()
    project.program("uv-to-install", UV)
    assert project.run()[0] == 0


def test_a_whole_environment_stays_when_what_is_new_cannot_be_had(project):
    project.run()
    (project / ".venv/bin/uv").write_text(UV.replace("case", "exit 1\ncase"))
    project.program("uv-to-install", UV.replace("case", "exit 1\ncase"))
    with (project / "requirements.lock").open("a") as lock:
        lock.write("# newer\n")
    assert project.run()[0] != 0
    assert (project / ".venv/installed").exists() and not (project / ".venv/unfinished").exists()


def test_debian_without_venv_gets_one_line(project):
    status, output, _ = project.run(NO_VENV="1")
    assert status == 1 and len(output.splitlines()) == 1 and "python3-venv" in output
    assert not (project / ".venv").exists()


def test_no_python_that_can_be_used_gets_one_line(project):
    project.program("python3", "#!/bin/sh\nexit 1\n")
    status, output, _ = project.run(PYTHON="python3")
    assert (status, output) == (1, "Python 3.11 to 3.14 is needed; name it with PYTHON=/path/to/python\n")


def test_a_project_that_cannot_be_written_to_gets_one_line(project):
    enclosure = ("unshare", "--mount", "--map-root-user", "sh", "-c")
    if shutil.which("unshare") is None or project.run(*enclosure, "true")[0]:
        pytest.skip("no mount namespace can be made here")
    read_only = "mount --bind . . && mount -o remount,ro,bind . && cd ../project && bash scripts/run.sh"
    status, output, _ = project.run(*enclosure, read_only)
    assert status == 1 and len(output.splitlines()) == 1 and "cannot be written to" in output


@pytest.mark.parametrize("script", ["run.sh", "try.sh"])
def test_sh_does_as_well_as_bash(project, script):
    status, output, _ = project.run("sh", f"scripts/{script}", "01")
    assert (status, output.splitlines()[-1]) == (0, "started 01")


def test_trying_ones_voice_installs_no_pytorch_into_a_folder_of_its_own(project):
    status, output, done = project.run("bash", "scripts/try.sh")
    assert (status, output.splitlines()[-1]) == (0, "started")
    assert any("-r requirements-try.txt" in line for line in done)
    assert any("--no-deps silero-vad" in line for line in done)
    assert not any("torch" in line for line in done) and not (project / ".venv").exists()
    assert project.run("bash", "scripts/try.sh")[1] == "started\n"


def test_trying_ones_voice_uses_the_whole_environment_where_there_is_one(project):
    project.run()
    assert project.run("bash", "scripts/try.sh") == (0, "started\n", [])
    assert not (project / ".venv-try").exists()


def names(text: str) -> set[str]:
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "-r "))]
    return {re.split(r"[<>=~! ;]", line)[0].lower().replace("_", "-") for line in lines}


def test_the_lock_holds_every_requirement_but_none_of_cudas_packages():
    locked = names((ROOT / "requirements.lock").read_text())
    assert names((ROOT / "requirements.txt").read_text()) | names((ROOT / "requirements-try.txt").read_text()) <= locked
    assert not [name for name in locked if name.startswith(("nvidia-", "cuda-", "triton"))]
    assert not names((ROOT / "requirements-try.txt").read_text()) & {"torch", "fastai", "jupyter", "silero-vad"}


def test_the_lock_fits_this_python():
    """Every version is an exact one, and those that are installed here are of the lock."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line)
        assert [part.operator for part in requirement.specifier] == ["=="]
        if requirement.marker is None or requirement.marker.evaluate():
            try:
                assert version(requirement.name) in requirement.specifier
            except PackageNotFoundError:
                continue
