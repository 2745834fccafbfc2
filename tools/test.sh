#!/usr/bin/env bash
# Run the tests: tools/test.sh [pytest arguments]. Needs a Python 3.11 or newer; makes all else itself.
# PYTHON, VENV: see setup.sh. BROWSER_REQUIRED=1 fails where no browser can be had.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

find_browser() {
    local b
    for b in chromium chromium-browser google-chrome google-chrome-stable; do
        if "$b" --version >/dev/null 2>&1; then echo "$b"; return; fi
    done
    return 1
}

setup test,lab
if ! find_browser >/dev/null && can_apt; then apt_install chromium fonts-dejavu-core || true; fi
if ! command -v Xvfb >/dev/null && can_apt; then apt_install xvfb libegl1 || true; fi  # windows: Tk in an X server, Qt without
browser="$(find_browser)" || browser=""
if [ -z "$browser" ] && [ -n "${BROWSER_REQUIRED:-}" ]; then die "no browser, and BROWSER_REQUIRED is set"; fi

cd "$root"
export PATH="$venv/bin:$PATH"
status=0
"$venv/bin/python" -m pytest -q "$@" || status=$?
if [ -z "$browser" ]; then
    echo "No browser: the tests that drive JupyterLab were NOT run. Install one (Debian: apt-get install chromium) and run again."
fi
if ! command -v Xvfb >/dev/null; then
    echo "No Xvfb: the tests of Tk's windows were NOT run. Install it (Debian: apt-get install xvfb libegl1) and run again."
fi
exit $status
