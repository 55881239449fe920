#!/usr/bin/env bash
# Set-up and all checks. Arguments go to pytest: bash scripts/test.sh -m "not slow"
# What only matters at a release is left out unless it is asked for: bash scripts/test.sh -m release
# Two processes take the files of tests in turns; -n 0 has one take them all.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh scripts/test.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up .venv
add dev
add cluster
"$python" -m ruff check scripts tests nbs
"$python" -m ruff format --check scripts tests
"$python" -m mypy
PYTHONPATH=scripts "$(dirname "$python")/lint-imports" --no-cache
exec "$python" -m pytest -ra -n 2 --dist loadfile -m "not release" "$@"
