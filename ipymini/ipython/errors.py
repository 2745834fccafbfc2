"""Errors room: how the error of a cell reaches its client: as one `error` message, whatever else fails while it is rendered.

Owns the shell's methods for that. Who takes the showing over (a custom exception handler, an attribute of the shell) has it. Must not know: sockets, requests.
Threads: the worker's that owns the shell.
Spec: messaging, "Execution errors"."""

import asyncio, logging, sys
from traceback import TracebackException

from IPython.core.error import UsageError

from ..interrupts.protect import INTERRUPT, cell_code
from ..request.fields import error_content
from ..request.scope import Scope, here
from .tracebacks import chain, cut, has_group, quicken, theirs, trim

log = logging.getLogger("ipymini.ipython.errors")


class ShowsErrors:
    "What an InteractiveShell does when a cell fails. Everything in there, and in the standard library, may have been replaced by that cell."
    shown = None, None  # the last exception, and the error message about it

    @cell_code
    def showtraceback(self, exc_tuple=None, filename=None, tb_offset=None, exception_only=False, running_compiled_code=False):
        info = exc_tuple or sys.exc_info()
        try: info = prepared(*info)
        except Exception: log.info("a traceback could not be cut", exc_info=True)
        special = info[0] is None or exception_only or issubclass(info[0], (SyntaxError, UsageError))
        try:
            if special: return super().showtraceback(info, filename, tb_offset, exception_only, running_compiled_code)
            etype,value,tb = self._get_exc_info(info)
            stb = rendered(self.InteractiveTB, etype, value, tb, tb_offset)
        except Exception: stb = plain(*info)
        except KeyboardInterrupt: stb = [only(*info[:2])]
        self._showtraceback(*info[:2], stb)
        if self.call_pdb: self.debugger(force=True)

    @cell_code
    def showsyntaxerror(self, *args, **kwargs):
        info = sys.exc_info()
        try: super().showsyntaxerror(*args, **kwargs)
        except Exception: self._showtraceback(*info[:2], plain(*info))

    @cell_code
    def _format_exception_for_storage(self, exception, *args, **kwargs):
        "As it was shown: to render it once more takes as long again, and may go wrong."
        shown,content = self.shown
        return dict(content) if shown is exception else error_content(type(exception), exception, plain(type(exception), exception, exception.__traceback__))

    def _showtraceback(self, etype, evalue, stb):
        content = error_content(etype, evalue, stb or ())  # an exception may render itself as None
        (here() or Scope.nobody).error = content
        self.shown = evalue, content
        self.displayhook.emit("error", content)


def prepared(etype, value, tb):
    "The exception as it is shown: without frames of ours, and KeyboardInterrupt where an interrupt has cancelled the cell."
    quicken()
    for e in chain(value): trim(e.__traceback__)
    if isinstance(value, asyncio.CancelledError) and value.args == (INTERRUPT,):
        cut(tb, "asyncio")
        return KeyboardInterrupt, KeyboardInterrupt().with_traceback(tb), tb
    if isinstance(value, KeyboardInterrupt): cut(tb, "bdb", "pdb")
    return etype, value, tb


def rendered(render, etype, value, tb, tb_offset):
    "The lines of a traceback: as the exception itself renders it, else as Python does for a group, of which IPython knows nothing, else as IPython's `render` does."
    if has_group(value): return plain(etype, value, tb)
    if hasattr(value, "_render_traceback_"): return value._render_traceback_()
    return render.structured_traceback(etype, value, tb, tb_offset=tb_offset)


def plain(etype, value, tb):
    "The lines of a traceback as Python shows it, without the frames of IPython that have called the cell; the last of them alone if that fails, too."
    try: return "".join(TracebackException(etype, value, theirs(tb)).format()).splitlines()
    except Exception: return [only(etype, value)]


def only(etype, value):
    error = error_content(etype, value)
    return f"{error['ename']}: {error['evalue']}"
