# Sourced by run.sh and test.sh: goes to the project's root and leaves in $python a virtual environment's
# interpreter with everything in requirements.txt, at the tested versions. Installs only what has changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv_python() {
    if [ -x .venv/Scripts/python.exe ]; then echo .venv/Scripts/python.exe; else echo .venv/bin/python; fi
}

if [ ! -x "$(venv_python)" ]; then
    base=${PYTHON:-$(command -v python3 || command -v python || true)}
    if [ -z "$base" ] || ! "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python" >&2
        exit 1
    fi
    echo "Setting up .venv …"
    "$base" -m venv .venv
fi
python=$(venv_python)
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} # a spinning thread slows down whatever else runs

wanted=$(cat requirements.txt requirements.lock | cksum)
if [ "$(cat .venv/installed 2>/dev/null || true)" != "$wanted" ]; then
    echo "Installing requirements (once, some minutes) …"
    "$python" -m pip install --quiet --disable-pip-version-check -r requirements.txt -c requirements.lock
    echo "$wanted" > .venv/installed
fi
