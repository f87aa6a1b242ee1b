#!/usr/bin/env bash
# All checks of this folder on this machine, in at most eight minutes: bash run.sh [OPTIONS of check.py]. Needs a driver and Python 3.9 or newer.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
command -v python3 >/dev/null || { echo "run.sh: python3 is missing: install Python 3.9 or newer"; exit 1; }
exec python3 "$here/check.py" "$@"
