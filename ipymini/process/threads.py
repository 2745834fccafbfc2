"""Threads room: the kernel's own threads, and lanes for requests that must not hold up others.

Owns `Lane`, a queue with a thread that starts with the first item, and `Overtaking`, which lets what has waited too long be served elsewhere.
Must not know: what a message means.
Threads: `put` from io or a worker; what is put is called on the lane's own.
Spec: none (DEV.md, "Threads")."""

import functools, logging, queue, sys, threading
from collections import deque
from time import monotonic
from types import FunctionType

from .dying import die, slipped

log = logging.getLogger("ipymini.process.threads")
PATIENCE = 0.05  # seconds that a query waits behind a cell before somebody else answers it
ENOUGH = 1.0     # seconds that it waits behind any number of short ones
SLIPS = 200      # exceptions in a row after which a loop is taken for broken ...
SHOWN = 10       # ... of which so many are logged


def private(cls):
    """A copy of the class `cls` of threading, whose methods find in NAMES what they use, and nothing that is put into their module later. Nobody finds NAMES through
    them: eventlet would put locks into it that two threads cannot share."""
    methods = {k: FunctionType(f.__code__, NAMES[0], k, f.__defaults__, f.__closure__) for k,f in vars(cls).items() if isinstance(f, FunctionType)}
    for k,f in methods.items(): f.__kwdefaults__ = getattr(cls, k).__kwdefaults__
    return type(cls.__name__, (), {k: v for k,v in vars(cls).items() if k not in ("__dict__", "__weakref__")} | methods)


NAMES = vars(threading) | dict(_trace_hook=None, _profile_hook=None),  # trace and profile functions that a cell has for new threads are not for the kernel's
for cls in (threading.Condition, threading.Event): NAMES[0][cls.__name__] = private(cls)
Event = NAMES[0]["Event"]


class KernelThread(private(threading.Thread), threading.Thread):
    "A daemon thread of the kernel's own: one of the system's, also if the user's code has put something else in the place of threads (gevent, eventlet)."
    def __init__(self, target, name): super().__init__(target=target, name=name, daemon=True)


class Lane:
    "Calls `serve(item)` for each item put, in order, on a thread of its own called `name`, from `open` on if it is not `ready`. What that raises costs the item alone."

    def __init__(self, name, serve, ready=True):
        self.name,self.serve,self.ready = name, serve, ready
        self.items,self.bell,self.thread = deque(), queue.SimpleQueue(), None

    def put(self, item):
        "Queue `item`; any thread. RuntimeError if it needs a thread, and none can be started now: then it is not queued."
        if self.thread is None and self.ready: self._start()
        self.items.append(item)
        self.bell.put(None)

    def open(self):
        "Be ready."
        self.ready = True
        if self.thread is None and self.items: self._start()

    def _start(self):
        self.thread = thread = KernelThread(self._run, self.name)
        hide(thread)
        try: thread.start()
        except BaseException:  # no thread can be started now; who comes next tries again, and serves what others have put meanwhile
            self.thread = None
            raise

    def _run(self):
        unbroken(f"the {self.name} thread", self._serve_next, lambda: threading.get_ident() == self.thread.ident)  # two may put the first items at once: one lane is enough

    def _serve_next(self):
        while self.items: self.serve(self.items.popleft())
        self.bell.get()  # here an asynchronous exception comes out of a lane that waits: no item is lost with it


class Overtaking:
    """What waits behind the cells of a worker, and may be served elsewhere once it has waited PATIENCE seconds: the oldest first, with one look at a time on io's clock
    `later`, however many wait. On io."""

    def __init__(self, later): self.later,self.queue = later, deque()

    def add(self, msg, may, serve):
        "Let `serve(msg)` see to it that `msg` is served, if it still waits when `may(seconds that it has waited)`. It gives back False if `msg` goes on waiting."
        self.queue.append((msg, monotonic() + PATIENCE, may, serve))
        if len(self.queue) == 1: self.later(PATIENCE, self._look)

    def _look(self):
        try:
            while self.queue and self._is_settled(*self.queue[0]): self.queue.popleft()
        finally:
            if self.queue:
                soon = self.queue[0][1] - monotonic()
                self.later(soon if soon > 0 else PATIENCE, self._look)

    def _is_settled(self, msg, due, may, serve):
        late = monotonic() - due
        return msg.begun or late >= 0 and may(late + PATIENCE) and serve(msg) is not False


def unbroken(what, step, goes_on):
    """Call `step()` as long as `goes_on()`. A slip costs that step alone; so does an asynchronous exception, wherever it comes out, and a trace function that raises. Only
    a loop that is itself broken (SLIPS in a row) ends the process, and says why."""
    for _ in range(SHOWN):
        try: return _steps(what, step, goes_on)
        except BaseException: continue  # an asynchronous exception between two steps, or while another one is being logged
    die(f"{what} is broken")


def _steps(what, step, goes_on):
    slips = 0
    while goes_on():
        try:
            step()
            slips = 0
        except BaseException:
            slips += 1
            slipped()
            if slips > SLIPS: die(f"{what} is broken")
            if slips <= SHOWN: log.exception("a slip on %s", what)


def hide(thread):
    "Make `thread` invisible for debuggers: it is the kernel's, not the user's."
    thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True


def is_hidden(thread): return getattr(thread, "is_pydev_daemon_thread", False)


@functools.cache
def thrower():
    "CPython's own way to raise an exception in another thread, as a function of its ident and the exception."
    import ctypes
    throw = ctypes.pythonapi.PyThreadState_SetAsyncExc
    throw.argtypes = ctypes.c_ulong, ctypes.py_object
    return throw


def raise_in(ident, exc):
    """Raise `exc` in the thread `ident`, another than the caller's, as soon as it runs Python code.
    Python 3.11 has one flag for all threads, and while it is set no function that is traced gets on: a thread that waits in C would leave it set. Our own exception
    clears it; the other thread sets it again when it takes the GIL."""
    thrower()(ident, exc)
    if sys.version_info < (3, 12): absorb()


def absorb():
    """Let a KeyboardInterrupt that `raise_in` may have left pending in this thread be over. Not with NULL for an exception: on 3.11 that sets the flag that nobody
    clears."""
    try:
        thrower()(threading.get_ident(), KeyboardInterrupt)  # replaces one that is pending
        until = monotonic() + 1
        while monotonic() < until: pass  # not for ever: a thread that this one has just made may have got it, see `unharmed`
    except KeyboardInterrupt: return
