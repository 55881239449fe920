#!/usr/bin/env bash
# The Python of the environment that run.sh made, or else of try.sh's, which is made where there is neither:
# bash scripts/py.sh scripts/classify_wavs.py nbs/my_wavs
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh scripts/py.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up .venv-try
exec "$python" "$@"
