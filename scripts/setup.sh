# Sourced by run.sh, test.sh and try.sh: goes to the project's root and defines `set_up .venv` (of requirements.txt) and
# `set_up .venv-try` (of requirements-try.txt). Either leaves in $python the interpreter of that virtual environment,
# with the tested versions in it. uv makes it, and brings a Python where the system's is too old. What has not changed
# is not installed again; what was left half-made is made again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset PIP_USER PIP_TARGET PIP_PREFIX PIP_REQUIRE_VIRTUALENV # they would have packages put elsewhere
unset PYTHONSAFEPATH PYTHONHOME                             # these would hide the project's modules, or Python's own
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}          # a spinning thread slows down whatever else runs

fail() {
    echo "$1" >&2
    exit 1
}

venv_python() { # of an environment
    if [ -x "$1/Scripts/python.exe" ]; then echo "$1/Scripts/python.exe"; else echo "$1/bin/python"; fi
}

python_of() { # its version, such as 3.13; nothing where it does not run or is too old or too new
    "$(venv_python "$1")" -c "import sys; (3, 11) <= sys.version_info < (3, 15) and print('%d.%d' % sys.version_info[:2])" \
        2>/dev/null || true
}

wanted() { # what is written into an environment when it is whole
    echo "Python $(python_of "$1"), requirements $(cat requirements*.txt *.lock | cksum)"
}

is_whole() {
    [ -f "$1/installed" ] && [ "$(cat "$1/installed")" = "$(wanted "$1")" ]
}

# Held through an open file, the lock goes with the process, however that ends. Git Bash has no such locks.
lock() {
    { exec 9> .setup.lock; } 2>/dev/null || fail "$PWD cannot be written to: copy the project to a folder that can"
    if command -v flock >/dev/null; then
        flock -n 9 || { echo "Waiting for another set-up of this project …" && flock 9; }
    else
        python3 -c "import fcntl; fcntl.flock(9, fcntl.LOCK_EX)" 2>/dev/null || true
    fi
}

unlock() {
    exec 9>&-
}

find_uv() { # one that knows PyTorch's indexes: on the PATH, or else in a folder of its own
    local candidate
    for candidate in "$(command -v uv || true)" .uv/bin/uv .uv/Scripts/uv.exe; do
        if [ -x "$candidate" ] && "$candidate" pip install --help 2>/dev/null | grep -q -e --torch-backend; then
            uv=$candidate
            return
        fi
    done
    for candidate in ${PYTHON:-python3 python}; do
        if "$candidate" -c "import ensurepip, venv" 2>/dev/null; then
            "$candidate" -m venv --clear .uv
            uv=$(dirname "$(venv_python .uv)")/uv
            "$(venv_python .uv)" -m pip install --no-user --quiet --disable-pip-version-check "uv>=0.9" && return
            fail "uv cannot be installed from the package index: is it reached? (or install uv yourself: pip install uv)"
        fi
    done
    fail "uv or a Python with venv is needed (sudo apt install python3-venv, or name one with PYTHON=/path/to/python)"
}

use_pip_settings() { # uv does not read pip's own: a mirror of the package index, and folders of wheels
    local setting
    setting=${PIP_INDEX_URL:-$("$(venv_python "$environment")" -m pip config get global.index-url 2>/dev/null || true)}
    if [ -n "$setting" ]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$setting}; fi
    if [ -n "${PIP_FIND_LINKS:-}" ]; then export UV_FIND_LINKS=${UV_FIND_LINKS:-${PIP_FIND_LINKS// /,}}; fi
    if ! [ -w "${HOME:-/nonexistent}" ]; then export UV_NO_CACHE=1; fi
}

uv_install() { # at the tested versions
    "$uv" pip install --quiet --python "$(venv_python "$environment")" --constraints requirements.lock "$@"
}

make_environment() {
    if [ "$(uname -s) $(uname -m)" = "Darwin x86_64" ]; then fail "ONNX Runtime has no builds for Intel Macs"; fi
    find_uv
    if [ -e "$environment/unfinished" ] || [ -z "$(python_of "$environment")" ]; then
        if [ -e "$environment" ]; then echo "Making $environment again: it was left half-made, or its Python is gone …"; fi
        "$uv" venv --quiet --seed --clear --python "${PYTHON:->=3.11,<3.15}" "$environment" ||
            fail "Python 3.11 to 3.14 is needed; name it with PYTHON=/path/to/python"
    fi
    use_pip_settings
    if [ -e "$environment/installed" ]; then uv_install --dry-run -r "$requirements"; fi # ends here before it is touched
    touch "$environment/unfinished"
    if [ "$requirements" = requirements.txt ]; then
        echo "Installing requirements (once, some minutes) …"
        install_with_torch
    else
        echo "Installing requirements (once, about a minute) …"
        uv_install -r "$requirements"
        uv_install --no-deps silero-vad # its network is used, but not its code, which needs PyTorch
    fi
    warm_up
    wanted "$environment" > "$environment/installed"
    rm "$environment/unfinished"
}

install_with_torch() { # without a GPU, builds of PyTorch for the processor: a tenth of the size
    local backend=cpu
    if nvidia-smi -L >/dev/null 2>&1 || compgen -G "/dev/nvidia[0-9]*" >/dev/null; then backend=auto; fi
    if UV_HTTP_RETRIES=0 uv_install --dry-run --reinstall --no-deps --torch-backend "$backend" torch torchvision \
        2>/dev/null; then
        uv_install -r requirements.txt --torch-backend "$backend"
    else
        echo "PyTorch's own index cannot be reached: taking its default builds, on Linux 5 GB larger"
        uv_install -r requirements.txt
    fi
}

# What numba keeps of its compiling is wrong for ever once two processes have written it at the same time.
warm_up() {
    echo "Compiling what librosa needs …"
    PYTHONPATH=scripts "$(venv_python "$environment")" -c "
import librosa, numpy
from speaker_gender.sound.pitch import pitch_track
signal = numpy.sin(numpy.arange(16_000) / 20)
pitch_track(signal)
librosa.feature.rms(y=signal)
librosa.feature.mfcc(y=signal)"
}

set_up() {
    environment=$1
    requirements=requirements${environment#.venv}.txt
    if [ "$environment" != .venv ] && is_whole .venv; then environment=.venv; fi
    if ! is_whole "$environment"; then
        lock
        is_whole "$environment" || make_environment # another set-up may have made it meanwhile
        unlock
    fi
    python=$(venv_python "$environment")
}

# Requirements of checks, and of scripts/beyond_one_machine.md, whose tests are skipped without them.
add() { # NAME: of requirements-NAME.txt
    if [ "$(cat "$environment/$1" 2>/dev/null || true)" = "$(wanted "$environment")" ]; then return; fi
    lock
    find_uv
    use_pip_settings
    if uv_install -r "requirements-$1.txt"; then
        wanted "$environment" > "$environment/$1"
    else
        echo "requirements-$1.txt could not be installed"
    fi
    unlock
}
