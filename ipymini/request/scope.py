"""Scope room: for whom is what happens now? One request's bracket, and the one ContextVar that says which request that is.

Owns `current`, the busy/idle bracket of every request, and the fallback for threads that no cell started.
Must not know: sockets, IPython; it is handed a `Port`.
Threads: any; a Scope is entered and left on one thread, but may be used from all that the request started.
Spec: messaging, "Kernel status" and "The parent header"."""

from collections import namedtuple
from contextvars import ContextVar
from threading import get_ident

from .flags import flag

current = ContextVar("ipymini_scope", default=None)
Port = namedtuple("Port", "send write ask drain catch_up session", defaults=(lambda: None, lambda: True, ""))
# send(channel, msg_type, content, scope, metadata, buffers); write(scope, stream name, text, whose); ask(scope, prompt, password); drain() what C code has written;
# catch_up() with what has reached the process; the session's id

# in place of a thread's ident: EVERYBODY: a status, reply or question, before which every thread's partial line leaves. NOBODY: text of no known thread, never set aside.
# PASSES: a message that cannot change where text goes, and is sent before text that is still held
EVERYBODY,NOBODY,PASSES = 0, -1, -2


class Scope:
    "One request being served by the subshell `sub`, as a context manager: busy on the way in, idle on the way out, whatever happens."
    __slots__ = ("msg", "port", "sub", "content", "token", "open", "started", "number", "error", "is_unlocked", "keep")
    latest = None  # the last execute that was entered: threads made in C, and what is written to fd 1 and 2, belong to it

    def __init__(self, port, msg=None, sub=None):
        self.msg,self.port,self.sub,self.open,self.started = msg, port, sub, False, None
        self.number,self.error,self.is_unlocked = 0, {}, False  # of a cell: its execution count, the content of its last error message, whether others may run
        self.keep = None  # of a cell that is stored: `keep(stream name, text)` gets its text as that leaves; on io
        if msg is not None: msg.begun = get_ident()
        self.content = msg.content if msg is not None and isinstance(msg.content, dict) else {}

    @property
    def header_raw(self): return self.msg.header_raw if self.msg else b"{}"

    @property
    def idents(self): return self.msg.idents if self.msg else ()

    def __enter__(self):
        self.token,self.open = None, True
        try:
            self.emit("status", {"execution_state": "busy"})
            self.token = current.set(self)  # not before: what a finalizer sends just now must not go before the busy
            if self.msg.type == "execute_request": Scope.latest = self
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc):
        try: self.emit("status", {"execution_state": "idle"})
        finally:
            self.open = False
            if self.token is not None: current.reset(self.token)

    def emit(self, msg_type, content, metadata=None, buffers=None):
        "Publish on iopub for this request."
        return self.port.send("iopub", msg_type, content, self, metadata, buffers)

    def write(self, name, text):
        "Publish `text` on the stream `name` (stdout or stderr); joined with its neighbours on the way out."
        self.port.write(self, name, text, get_ident())

    def ask(self, prompt, password=False):
        "The client's answer to `prompt`. StdinNotImplementedError if the request does not allow it, KeyboardInterrupt if interrupted."
        return self.port.ask(self, prompt, password)


def _if_open():
    "The context's Scope while its request is being served, then none."
    scope = current.get()
    return scope if scope is None or scope.open else None


LATEST = flag("IPYMINI_LATE_OUTPUT") == "latest"  # it gets what comes after the end of a request
started_by = _if_open if LATEST else current.get  # the Scope in whose name this is done, if any


def late(scope):
    "The request that gets what `scope` has started; None if that is the latest."
    return scope if scope.open or not LATEST else None


def here():
    "The Scope that what happens now belongs to: the context's, else the latest execute's."
    return started_by() or Scope.latest
