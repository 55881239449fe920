# Sourced by run.sh, test.sh and try.sh: goes to the project's root and defines `set_up .venv` (of requirements.txt) and
# `set_up .venv-try` (of requirements-try.txt). Either leaves in $python the interpreter of that virtual environment,
# with the tested versions in it. It installs only what has changed, and makes an environment again that was left
# half-made or whose Python is gone.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "$1" >&2
    exit 1
}

venv_python() { # of an environment
    if [ -x "$1/Scripts/python.exe" ]; then echo "$1/Scripts/python.exe"; else echo "$1/bin/python"; fi
}

python_version() { # 3.13; nothing where that Python does not run
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || true
}

wanted() { # what is written into an environment when it is whole
    echo "Python $(python_version "$(venv_python "$1")"), requirements $(cat requirements*.txt *.lock | cksum)"
}

is_whole() {
    [ "$(cat "$1/installed" 2>/dev/null || true)" = "$(wanted "$1")" ]
}

is_broken() { # its making was interrupted, its Python does not run, or it is another one than installed into it
    local version
    version=$(python_version "$(venv_python "$1")")
    [ -e "$1/unfinished" ] || [ -z "$version" ] || { grep -q "^Python" "$1/installed" 2>/dev/null &&
        ! grep -qF "Python $version," "$1/installed"; }
}

find_python() { # not one of an environment, which may be about to go
    local candidate candidates=(python3 python python3.14 python3.13 python3.12 python3.11)
    if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c "import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))" 2>/dev/null; then
            "$candidate" -c "import sys; print(getattr(sys, '_base_executable', sys.executable))"
            return
        fi
    done
    fail "Python 3.11 to 3.14 is needed; name it with PYTHON=/path/to/python"
}

has_gpu() {
    nvidia-smi -L >/dev/null 2>&1 || compgen -G "/dev/nvidia[0-9]*" >/dev/null
}

pip_setting() { # uv does not read pip's own settings: mirrors, and folders of wheels
    local variable
    variable=PIP_$(echo "$1" | tr 'a-z-' 'A-Z_')
    echo ${!variable:-$("$base" -m pip config get "global.$1" 2>/dev/null || true)} # unquoted: lines become words
}

find_uv() { # one that knows PyTorch's indexes: on the PATH, or else in the environment
    local uv
    uv=$(command -v uv || true)
    if [ -z "$uv" ] || ! "$uv" pip install --help 2>/dev/null | grep -q -e --torch-backend; then
        "$python" -m pip install --quiet --disable-pip-version-check "uv>=0.9" >&2 ||
            fail "uv cannot be installed into $environment; delete that folder, or install uv yourself (pip install uv)"
        uv=$(dirname "$python")/uv
    fi
    echo "$uv"
}

uv_install() { # at the tested versions
    "$uv" pip install --quiet --python "$python" --constraints requirements.lock "$@"
}

make_environment() {
    local base uv process
    if [ "$(uname -s) $(uname -m)" = "Darwin x86_64" ]; then fail "ONNX Runtime has no builds for Intel Macs"; fi
    if ! [ -w . ]; then fail "$PWD cannot be written to: copy the project to a folder that can"; fi
    process=$(cat "$environment/unfinished" 2>/dev/null || true)
    if [ -n "$process" ] && kill -0 "$process" 2>/dev/null; then
        echo "Waiting for process $process, which is making $environment …"
        while kill -0 "$process" 2>/dev/null; do sleep 1; done
        if is_whole "$environment"; then return; fi
    fi
    base=$(find_python)
    if [ -e "$environment" ] && is_broken "$environment"; then
        echo "Making $environment again: it was left half-made, or its Python has changed …"
        rm -rf "$environment"
    fi
    if ! [ -e "$environment" ]; then
        if ! "$base" -c "import ensurepip, venv" 2>/dev/null; then
            fail "$base cannot make virtual environments: install python3-venv (sudo apt install python3-venv)"
        fi
        mkdir "$environment"
        echo "*" > "$environment/.gitignore"
        echo $$ > "$environment/unfinished"
        "$base" -m venv "$environment"
    fi
    python=$(venv_python "$environment")
    use_pip_settings
    uv=$(find_uv)
    [ -e "$environment/unfinished" ] || uv_install --dry-run -r "$requirements" # ends here before anything is touched
    echo $$ > "$environment/unfinished"
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

use_pip_settings() {
    local setting
    setting=$(pip_setting index-url)
    if [ -n "$setting" ]; then export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$setting}; fi
    setting=$(pip_setting find-links)
    if [ -n "$setting" ]; then export UV_FIND_LINKS=${UV_FIND_LINKS:-${setting// /,}}; fi
    setting=$(pip_setting extra-index-url)
    if [ -n "$setting" ]; then export UV_INDEX=${UV_INDEX:-$setting} UV_INDEX_STRATEGY=unsafe-best-match; fi
    if ! [ -w "${HOME:-/nonexistent}" ]; then export UV_NO_CACHE=1; fi
}

install_with_torch() { # without a GPU, builds of PyTorch for the processor: a tenth of the size
    local backend=cpu
    if has_gpu; then backend=auto; fi
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
    PYTHONPATH=scripts "$python" -c "
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
    if ! is_whole "$environment"; then make_environment; fi
    python=$(venv_python "$environment")
    export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} # a spinning thread slows down whatever else runs
}

# What the tests of scripts/beyond_one_machine.md need; without it they are skipped, each with the reason.
add_cluster() {
    local base uv
    if [ "$(cat "$environment/cluster" 2>/dev/null || true)" = "$(wanted "$environment")" ]; then return; fi
    base=$(find_python)
    use_pip_settings
    uv=$(find_uv)
    if uv_install -r requirements-cluster.txt; then
        wanted "$environment" > "$environment/cluster"
    else
        echo "Dask and what goes with it could not be installed: their tests will be skipped"
    fi
}
