#!/usr/bin/env bash
# Set-up of what one's own voice needs, and the page to speak into: no PyTorch, no notebooks. Where run.sh has set up
# everything, it uses that. Arguments go to app.py.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh scripts/try.sh
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
set_up .venv-try
exec "$python" scripts/app.py "$@"
