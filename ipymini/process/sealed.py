"""Sealed room: what kernel threads use of other modules stays what it was before the first cell, and what they log never raises.

A cell may put anything in the place of `time.sleep` or `json.loads` (so do `unittest.mock` and freezegun) or of `len`, clear a module, or add a logging handler that
fails. So in the rooms that the kernel cannot do without each module of the standard library, and zmq, is replaced by a copy of its names, what is built in becomes a global
of the room, and each logger has a guard around it.
Owns which rooms. Must not know: what they do. The rooms that patch, or that speak with IPython, are not sealed: they mean the modules that the user has.
Threads: `seal` main, before the user's code; a Journal any.
Spec: none (DEV.md, "What a cell can break, and what happens")."""

import builtins, sys
from sys import exc_info
from types import ModuleType

from . import dying

ROOMS = """kernel request.fields request.flags request.replies request.scope process.dying process.ending process.life process.processes process.threads
    interrupts.budget interrupts.deliver interrupts.handlers interrupts.protect interrupts.signals wire.lines wire.messages wire.outbox wire.sockets
    capture.children capture.fds capture.stdin serve.detours serve.subshells serve.worker""".split()
OPEN = "sys",  # its stdout, stderr and modules are those that the user has now


class Journal:
    "A logger whose methods do not raise: what handlers, filters or record factories of the user's keep from being logged is said on the real stderr instead."

    def __init__(self, log):
        self.log = log
        for level in range(10, 60, 10): log.isEnabledFor(level)  # which takes a lock of logging's for the first time, and remembers

    def debug(self, *args, **kw): self._tell("debug", args, kw)
    def info(self, *args, **kw): self._tell("info", args, kw)
    def warning(self, *args, **kw): self._tell("warning", args, kw)
    def error(self, *args, **kw): self._tell("error", args, kw)
    def critical(self, *args, **kw): self._tell("critical", args, kw)
    def exception(self, *args, **kw): self._tell("exception", args, kw)

    def _tell(self, level, args, kw):
        e = exc_info()[1]
        try: getattr(self.log, level)(*args, **kw)
        except BaseException: dying.say(f"[ipymini] {level.upper()} | {_text(*args)}\n{dying.told(e)}and it could not be logged: {dying.told(exc_info()[1])}")


def _text(msg, *args):
    try: return msg % args if args else msg
    except Exception: return msg  # what is in `args` may be anybody's


def seal(package="ipymini"):
    "Give the ROOMS copies of the modules that they use, Python's built-in names for their own, and journals for their loggers."
    built_in,copies = vars(builtins), {}
    for room in ROOMS:
        names = vars(sys.modules[f"{package}.{room}"])
        modules = {k: v for k,v in names.items() if isinstance(v, ModuleType) and v.__name__ not in OPEN and v.__name__.partition(".")[0] != package}
        for name,module in modules.items(): names[name] = copies.get(module) or copies.setdefault(module, _copy(module))
        names |= {k: built_in[k] for k in built_in.keys() - names.keys()}
        if "log" in names and not isinstance(names["log"], Journal): names["log"] = Journal(names["log"])


def _copy(module):
    res = ModuleType(module.__name__)
    vars(res).update(vars(module))
    return res
