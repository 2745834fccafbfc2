"""Flags room: the environment variables that are the kernel's own, and what they mean when they make no sense.

Owns their names and defaults; README lists them for users. Must not know: other rooms.
Threads: any; read anew at each call, as a cell may set them (but by `scope` and `bridge`, which ask once).
Spec: none."""

import logging, os

log = logging.getLogger("ipymini.request.flags")
DEFAULTS = dict(IPYMINI_USE_JEDI=True, IPYMINI_EXPERIMENTAL_COMPLETIONS=True, IPYMINI_STOP_ON_ERROR_TIMEOUT=0.0, IPYMINI_COMPLETION_TIMEOUT=0.5,
    IPYMINI_LATE_OUTPUT="", IPYMINI_CELL_NAME="")


def flag(name):
    "The value of the environment variable `name`, of its default's type: 0, false, no and off mean no. The default if unset, empty or senseless."
    default,value = DEFAULTS[name], os.environ.get(name, "").strip()
    if not value: return default
    if isinstance(default, bool): return value.lower() not in ("0", "false", "no", "off")
    if isinstance(default, str): return value
    try: return max(0.0, float(value))
    except ValueError: log.warning("%s must be a number of seconds, not %r", name, value)
    return default
