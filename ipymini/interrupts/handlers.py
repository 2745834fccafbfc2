"""Handlers room: no signal handler of the user's breaks the kernel, and after each cell what the kernel needs is its own again.

Handlers that a cell puts in run inside a `Guard`: what they raise comes out in user code only. What C code puts in with sigaction is not
seen here.
Owns `signal.signal` and `signal.getsignal`, the mask, the wake-up fd's place, and faulthandler. Must not know: what a signal means.
Threads: main, but for `is_ignored` and `is_ours`.
Spec: Python's documentation of `signal` and `faulthandler`."""

import _signal, faulthandler, functools, logging, signal, sys, threading, traceback
from signal import SIG_DFL, SIG_IGN

from ..process import dying
from .protect import PENDING, cell_code, is_delicate, whose
from ..request.scope import Scope, current

log = logging.getLogger("ipymini.interrupts.handlers")
NUDGE = getattr(signal, "SIGURG", None)  # not on Windows, which has no signals to lose either
STACKS = getattr(signal, "SIGUSR1", None)


class Guard:
    """A handler of the user's for the scope that put it in. With `ours` it is one of Python's own for SIGINT, which is KeyboardInterrupt
    here, brought about by `ours`."""

    def __init__(self, handlers, handler, ours=None):
        self.handlers,self.handler,self.ours = handlers, handler, ours
        self.scope,self.raised = current.get() or Scope.latest, 0

    @cell_code
    def __call__(self, signum, frame):
        handlers = self.handlers
        if handlers.is_child: return (signal.default_int_handler if self.ours else self.handler)(signum, frame)
        if self.ours: return self.ours(signum, frame)
        try: self.handler(signum, frame)
        except BaseException as e:  # anything that the user's handler may raise
            if whose(frame) in ("user", "task") and not is_delicate(frame): raise
            self.raised += 1
            handlers.held(e, frame, self.show)

    def show(self, exc):
        "Tell the cell that put the handler in what came of it: the first of all that it has raised since it was shown last."
        n,self.raised = self.raised, 0
        if not n: return
        more = f" ({n} times)" if n > 1 else ""
        log.warning("a signal handler has raised %s%s, where nobody could catch it", type(exc).__name__, more)
        (self.scope or Scope.nobody).write("stderr", "".join(traceback.format_exception(exc)) + more)


class Handlers:
    """The handlers of this process. `write_fd` gets a byte for each signal. `held(exc, frame, show)` is told of what a handler of the
    user's has raised where it must not come out."""

    def __init__(self, write_fd):
        self.write_fd,self.held = write_fd, lambda exc, frame, show: show(exc)
        self.main,self.meant,self.mask,self.changed = None, {}, set(), set()  # changed: signals whose handlers cells have set
        self.is_child = False

    def install(self, **handlers):
        "Install handlers(signum, frame) by the names of their signals."
        self.main = threading.get_ident()
        self.meant = {getattr(signal, name): handler for name,handler in handlers.items() if hasattr(signal, name)}
        for signum,handler in self.meant.items(): _signal.signal(signum, handler)
        if NUDGE is None: return
        _signal.pthread_sigmask(signal.SIG_UNBLOCK, self.meant)
        self.mask = _signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.own_stacks()
        self._restore_changed()

    def own_stacks(self):
        "Let SIGUSR1 show all stacks on the real stderr."
        if STACKS is None: return
        faulthandler.unregister(STACKS)
        faulthandler.register(STACKS, dying.stderr[0], all_threads=True, chain=False)

    def restore(self):
        """After each cell: what the kernel needs is its own again, whatever a cell has left. Handlers of other signals stay the user's.
        Main thread."""
        meant = self.meant
        if NUDGE is None or self.is_child or threading.get_ident() != self.main: return
        for signum in (signal.SIGINT, NUDGE):
            if _signal.getsignal(signum) is not meant[signum]: _signal.signal(signum, meant[signum])
        if not faulthandler.is_enabled(): faulthandler.enable(dying.stderr[0])
        if self.changed: self._restore_changed()

    def _restore_changed(self):
        "The end and the stacks have to work when a cell has left SIG_DFL or SIG_IGN for them; a handler of the user's own stays."
        changed,self.changed = self.changed, set()
        _signal.set_wakeup_fd(self.write_fd, warn_on_full_buffer=False)
        _signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        term = _signal.getsignal(signal.SIGTERM)
        if not callable(term) and signal.SIGTERM in self.meant: _signal.signal(signal.SIGTERM, self.meant[signal.SIGTERM])
        if STACKS in changed and not callable(_signal.getsignal(STACKS)): self.own_stacks()

    def end(self):
        "Let SIGINT and SIGTERM do nothing any more, as the kernel ends: jupyter_client sends a second SIGTERM at half time."
        for signum in (signal.SIGINT, signal.SIGTERM): _signal.signal(signum, lambda signum, frame: None)
        PENDING.clear()

    def forked(self):
        "In a forked child signals mean what they mean to any process: Pool.terminate waits for ever for workers that ignore SIGTERM."
        self.is_child = True
        if NUDGE is None: return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    # --- signal.signal

    def patches(self):
        "(owner, name, replacement, reason) rows for capture's table."
        why = "a handler of the user's must not break the kernel, and the stop button works after the cell"
        made = dict(signal=self._signal, getsignal=self._getsignal,
            set_wakeup_fd=self._set_wakeup_fd, pthread_sigmask=self._pthread_sigmask)
        owner = sys.modules["signal"]  # the user's: this room's is sealed
        found = [(name, make, getattr(owner, name)) for name,make in made.items() if hasattr(owner, name)]
        return [(owner, name, as_of_signal(make(original), original), why) for name,make,original in found]

    def _signal(self, original):
        def put(signalnum, handler):
            before = original(signalnum, self._guarded(signalnum, handler))
            self.changed.add(signalnum)
            return unguarded(before)
        return put

    def _set_wakeup_fd(self, original):
        def put(fd, **kwargs):
            before = original(fd, **kwargs)
            self.changed.add("set_wakeup_fd")
            return -1 if before == self.write_fd else before  # who finds another one thinks of a collision, trio for one
        return put

    def _pthread_sigmask(self, original):
        def change(how, mask):
            self.changed.add("pthread_sigmask")
            return original(how, mask)
        return change

    def _guarded(self, signum, handler):
        ours = self.meant.get(signum)
        if self.is_child or handler is ours: return handler
        if signum == signal.SIGINT and handler in (SIG_DFL, signal.default_int_handler): return Guard(self, handler, ours)
        return Guard(self, handler) if callable(handler) and not isinstance(handler, int) else handler

    def _getsignal(self, original):
        def getsignal(signalnum): return unguarded(original(signalnum))
        return getsignal

    def is_ignored(self):
        "Has the cell that runs set SIGINT to SIG_IGN?"
        return _signal.getsignal(signal.SIGINT) == SIG_IGN

    def is_ours(self, signum):
        "Is the handler of `signum` the kernel's?"
        return signum in self.meant and _signal.getsignal(signum) is self.meant[signum]


def unguarded(handler): return handler.handler if isinstance(handler, Guard) else handler


def as_of_signal(new, original):
    "`new` by the names of `original`, a function of the module signal: it is pickled, and shown, as that."
    functools.update_wrapper(new, original)
    new.__module__,new.__qualname__ = "signal", original.__name__
    return new
