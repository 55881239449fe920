#!/usr/bin/env bash
# Set-up and the main job: runs all notebooks, in order, on the corpus that is there. Arguments go to run_notebooks.py.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh scripts/run.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up .venv
exec "$python" scripts/run_notebooks.py "$@"
