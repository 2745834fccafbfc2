#!/usr/bin/env bash
# Open JupyterLab on the tour with this kernel: tools/run.sh [jupyter lab arguments].
# tools/run.sh --headless [run_notebook.py arguments]: execute the tour without a browser and print its outputs.
# PYTHON, VENV: see setup.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

tour=examples/tour.ipynb
setup lab
cd "$root"
export PATH="$venv/bin:$PATH"
if [ "${1:-}" = --headless ]; then
    shift
    exec "$venv/bin/python" tools/run_notebook.py "$tour" "$@"
fi
as_root=()
if [ "$(id -u)" = 0 ]; then as_root=(--allow-root); fi
exec "$venv/bin/python" -m jupyter lab "$tour" ${as_root[@]+"${as_root[@]}"} "$@"
