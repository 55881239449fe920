#!/usr/bin/env bash
# Set-up and all checks. Arguments go to pytest.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
"$python" -m ruff check scripts tests
"$python" -m ruff format --check scripts tests
exec "$python" -m pytest -ra "$@"
