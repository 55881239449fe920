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

# A Python that installs uv only. Programs are handed on to a real one.
PYTHON = """#!/bin/sh
case "$*" in
    "-c import ensurepip"*) [ -z "$NO_VENV" ] ;;
    "-m venv --clear "*) mkdir -p "$4/bin" && cp "$(command -v python3)" "$4/bin/python" ;;
    "-m pip install "*uv*) cp "$(command -v uv-to-install)" "$(dirname "$0")/uv" ;;
    "-m pip config "*) exit 1 ;;
    "-c"*version_info*) [ -n "VERSION" ] && echo VERSION ;;
    "-c"*librosa*) echo "compiled" >> "$LOG" ;;
    *) exec REAL "$@" ;;
esac
"""
UV = """#!/bin/sh
case "$*" in
    "pip install --help") echo " --torch-backend <TORCH_BACKEND>"; exit ;;
    "venv "*) for last; do :; done; [ -z "$NO_PYTHON" ] || exit 2
        mkdir -p "$last/bin" && cp "$(command -v python3)" "$last/bin/python" ;;
esac
echo "uv $* [$UV_DEFAULT_INDEX]" >> "$LOG"
case "$*" in
    *"-r requirements.txt"*) if [ -n "$HANGS" ]; then touch "$HANGS"; exec sleep 60; fi; [ -z "$NO_INDEX" ] ;;
    *--torch-backend*) [ -z "$NO_TORCH_INDEX" ] ;;
esac
"""


class Project:
    """A copy of the scripts, with programs of its own on the PATH."""

    def __init__(self, folder: Path):
        self.folder, self.programs, self.log = folder / "project", folder / "bin", folder / "log"
        (self.folder / "scripts").mkdir(parents=True)
        self.programs.mkdir()
        for path in (*ROOT.glob("requirements*"), *(ROOT / "scripts").glob("*.sh")):
            shutil.copy(path, self.folder / path.relative_to(ROOT))
        for name in ("run_notebooks.py", "app.py"):
            (self.folder / "scripts" / name).write_text("import sys; print('started', *sys.argv[1:])")
        self.program("python3", PYTHON.replace("VERSION", "3.11").replace("REAL", sys.executable))
        self.program("uv-to-install", UV)

    def program(self, name: str, text: str) -> None:
        path = self.programs / name
        path.write_text(text)
        path.chmod(0o755)

    def start(self, *command: str, **variables: str) -> subprocess.Popen:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "PYTHON"))}
        own |= {"PATH": f"{self.programs}:/usr/bin:/bin", "LOG": str(self.log), "HOME": str(self.folder.parent)}
        return subprocess.Popen(
            command or ("bash", "scripts/run.sh", "01"),
            cwd=self.folder,
            env=own | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *command: str, **variables: str) -> tuple[int, str, list[str]]:
        """Exit status, output, and what uv was asked to do."""
        self.log.unlink(missing_ok=True)
        process = self.start(*command, **variables)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output, self.log.read_text().splitlines() if self.log.exists() else []

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def no_gpu():
    if list(Path("/dev").glob("nvidia[0-9]*")) or shutil.which("nvidia-smi", path="/usr/bin:/bin"):
        pytest.skip("this machine has an NVIDIA GPU")


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)


def test_a_first_run_installs_builds_for_the_processor_and_starts(project, no_gpu):
    status, output, done = project.run(PIP_USER="1", PIP_TARGET="/elsewhere", PYTHONSAFEPATH="1")
    assert (status, output.splitlines()[-1]) == (0, "started 01")
    assert "uv venv --quiet --seed --clear --python >=3.11,<3.15 .venv" in done[0]
    install = next(line for line in done if "-r requirements.txt" in line)
    assert "--constraints requirements.lock" in install and "--torch-backend cpu" in install
    assert done[-1] == "compiled"
    assert (project / ".venv/installed").read_text().startswith("Python 3.11, requirements ")
    assert not (project / ".venv/unfinished").exists()


def test_a_second_run_installs_nothing_and_changed_requirements_are_installed(project):
    project.run()
    assert project.run() == (0, "started 01\n", [])
    with (project / "requirements.lock").open("a") as lock:
        lock.write("# newer\n")
    status, output, done = project.run()
    assert status == 0 and "again" not in output and not any("uv venv" in line for line in done)
    assert any("-r requirements.txt" in line and "--dry-run" not in line for line in done)


def test_without_pytorchs_index_the_default_builds_are_taken_and_it_says_so(project):
    status, output, done = project.run(NO_TORCH_INDEX="1")
    assert status == 0 and "PyTorch's own index cannot be reached" in output
    assert any("-r requirements.txt" in line and "--torch-backend" not in line for line in done)


def test_with_a_gpu_uv_chooses_the_builds(project):
    project.program("nvidia-smi", "#!/bin/sh\n")
    assert any("--torch-backend auto" in line for line in project.run()[2])


@pytest.mark.parametrize("too_old", [False, True])
def test_a_uv_on_the_path_is_used_unless_it_is_too_old(project, too_old):
    project.program("uv", UV.replace("--torch-backend <", "<") if too_old else UV)
    assert project.run()[0] == 0
    assert (project / ".uv").exists() == too_old


def test_uv_gets_the_mirror_that_pip_was_given_unless_it_has_its_own(project):
    assert project.run(PIP_INDEX_URL="https://mirror/simple")[2][-2].endswith("[https://mirror/simple]")
    shutil.rmtree(project / ".venv")
    done = project.run(PIP_INDEX_URL="https://mirror/simple", UV_DEFAULT_INDEX="https://own/simple")[2]
    assert done[-2].endswith("[https://own/simple]")


def test_what_was_killed_half_made_is_made_again_and_the_lock_goes_with_its_holder(project, tmp_path):
    process = project.start(HANGS=str(tmp_path / "hangs"))
    wait_for(tmp_path / "hangs", process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert (project / ".venv/unfinished").exists()
    (project / ".venv/unfinished").write_text("1\n")  # an earlier version wrote there whom to wait for
    status, output, _ = project.run()
    assert status == 0 and "Making .venv again" in output and "Waiting" not in output


def test_three_at_once_install_once(project, tmp_path):
    first = project.start(HANGS=str(tmp_path / "hangs"))
    wait_for(tmp_path / "hangs", first)
    others = [project.start() for _ in range(2)]
    for other in others:
        assert "Waiting for another set-up" in other.stdout.readline()
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    for other in others:
        assert other.communicate(timeout=300)[0].endswith("started 01\n") and other.returncode == 0
    assert project.log.read_text().count("compiled") == 1


def test_an_environment_whose_python_is_gone_is_made_again(project):
    project.run()
    (project / ".venv/bin/python").unlink()
    status, output, done = project.run()
    assert status == 0 and "Making .venv again" in output and done[-1] == "compiled"


def test_a_failed_install_is_not_taken_for_a_whole_one_and_a_whole_one_stays(project):
    assert project.run(NO_INDEX="1")[0] != 0 and not (project / ".venv/installed").exists()
    assert project.run()[0] == 0
    with (project / "requirements.lock").open("a") as lock:
        lock.write("# newer\n")
    assert project.run(NO_INDEX="1")[0] != 0
    assert (project / ".venv/installed").exists() and not (project / ".venv/unfinished").exists()


def test_what_is_missing_is_one_line(project):
    status, output, _ = project.run(NO_VENV="1")
    assert status == 1 and len(output.splitlines()) == 1 and "python3-venv" in output
    status, output, _ = project.run(NO_PYTHON="1")
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


@pytest.mark.parametrize("made_by, environment", [("try.sh", ".venv-try"), ("run.sh", ".venv")])
def test_one_command_is_the_python_of_whichever_environment_there_is(project, made_by, environment):
    project.run("bash", f"scripts/{made_by}")
    assert project.run("bash", "scripts/py.sh", "scripts/app.py", "7") == (0, "started 7\n", [])
    status, output, _ = project.run("bash", "scripts/py.sh", "-c", "import sys; print(sys.argv)")
    assert status == 0
    assert [path.name for path in project.folder.glob(".venv*")] == [environment]


def names(text: str) -> set[str]:
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "-r "))]
    return {re.split(r"[<>=~! ;]", line)[0].lower().replace("_", "-") for line in lines}


def test_the_lock_holds_every_requirement_but_none_of_cudas_packages():
    locked = names((ROOT / "requirements.lock").read_text())
    own_version = ROOT / "requirements-train.txt"  # of one package, installed without what it requires
    assert all(names(path.read_text()) <= locked for path in ROOT.glob("requirements*.txt") if path != own_version)
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
