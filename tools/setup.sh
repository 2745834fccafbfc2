# Sourced by run.sh and test.sh: a virtual environment with this checkout in it (editable), made only when needed.
# PYTHON chooses the interpreter (default python3), VENV the directory (default .venv).

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"

die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }

can_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_install() {
    echo "${0##*/}: installing Debian's $*" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

choose_venv() {  # sets venv; an .venv of another Python version is left alone when PYTHON asks for this one
    local want
    python="${PYTHON:-python3}"
    want="$(version_of "$python")" || die "no Python called '$python'; set PYTHON to a Python 3.11 or newer"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "$python is Python $want; set PYTHON to a Python 3.11 or newer"
    venv="${VENV:-$root/.venv}"
    [ -x "$venv/bin/python" ] && [ -n "${PYTHON:-}" ] && [ "$(version_of "$venv/bin/python")" != "$want" ] || return 0
    [ -z "${VENV:-}" ] || die "$venv is Python $(version_of "$venv/bin/python"), not $want; remove it or choose another VENV"
    venv="$root/.venv-$want"
}

make_venv() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return
    "$python" -c 'import ensurepip' 2>/dev/null || { can_apt && apt_install python3-venv; } || die "$python cannot make environments; install python3-venv"
    echo "${0##*/}: making $venv" >&2
    "$python" -m venv "$venv"
}

setup() {  # $1: the extras; installs again only when pyproject.toml has changed since, or the checkout has moved
    local key stamp
    choose_venv
    make_venv
    venv="$(cd "$venv" && pwd -P)"
    key="$(cksum <"$root/pyproject.toml") $root"
    for stamp in "$venv"/ipymini-*"$1.stamp"; do  # test,lab holds lab too
        [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$key" ] && return
    done
    echo "${0##*/}: installing ipymini[$1] and what it needs into $venv" >&2
    "$venv/bin/python" -m pip install -qq --disable-pip-version-check --editable "$root[$1]"
    [ -f "$venv/share/jupyter/kernels/ipymini/kernel.json" ] || "$venv/bin/python" -m ipymini install --sys-prefix
    printf '%s\n' "$key" >"$venv/ipymini-$1.stamp"
}
