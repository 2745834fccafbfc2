"""Signals room: none is lost, and no handler of the user's breaks the kernel.

CPython runs a signal's handler between two bytecodes of the main thread. A signal that comes when this thread is just about to block in C, or that the system gives to
another thread, would wait there until something else wakes it. So C writes a byte for each, io reads it, and main gets SIGURG until the handler of that has run.
Handlers that a cell puts in run inside a `Guard`: what they raise comes out in user code only. After each cell what the kernel needs is its own again.
Owns the pipe of those bytes, SIGURG, `signal.signal` and `signal.getsignal`. Must not know: what a signal means.
Threads: `install`, `restore`, `forked` and guards main; `came` and the nudges io.
Spec: Python's documentation of `signal`, "Execution of Python signal handlers" and `set_wakeup_fd`; of `faulthandler`."""

import _signal, faulthandler, functools, logging, os, signal, sys, threading, traceback
from signal import SIG_DFL, SIG_IGN

from .deliver import PAUSES
from .frames import cell_code, is_delicate, whose
from .scope import Scope, current

log = logging.getLogger("ipymini.signals")
NUDGE = getattr(signal, "SIGURG", None)  # not on Windows, which has no signals to lose either
STACKS = getattr(signal, "SIGUSR1", None)


class Guard:
    "A handler of the user's for the scope that put it in. With `ours` it is one of Python's own for SIGINT, which is KeyboardInterrupt here, brought about by `ours`."

    def __init__(self, signals, handler, ours=None): self.signals,self.handler,self.ours,self.scope,self.raised = signals, handler, ours, current.get() or Scope.latest, 0

    @cell_code
    def __call__(self, signum, frame):
        signals = self.signals
        if signals.is_child: return (signal.default_int_handler if self.ours else self.handler)(signum, frame)
        if self.ours: return self.ours(signum, frame)
        try: self.handler(signum, frame)
        except BaseException as e:  # anything that the user's handler may raise
            if whose(frame) in ("user", "task") and not is_delicate(frame): raise
            self.raised += 1
            signals.held(e, frame, self.show)

    def show(self, exc):
        "Tell the cell that put the handler in what came of it: the first of all that it has raised since it was shown last."
        n,self.raised = self.raised, 0
        if not n: return
        more = f" ({n} times)" if n > 1 else ""
        log.warning("a signal handler has raised %s%s, where nobody could catch it", type(exc).__name__, more)
        (self.scope or Scope.nobody).write("stderr", "".join(traceback.format_exception(exc)) + more)


class Signals:
    "The handlers of this process; `fd` becomes readable when a signal has come, `came()` reads it. `later(seconds, f)` is io's clock."

    def __init__(self, later):
        self.later,self.held,self.other = later, lambda exc, frame, show: show(exc), lambda signum: None
        self.fd,self.write_fd = os.pipe()
        for fd in (self.fd, self.write_fd): os.set_blocking(fd, False)
        self.main,self.meant,self.mask,self.changed = None, {}, set(), set()  # changed: signals whose handlers cells have set
        self.seen,self.until,self.is_child = 0, 0, False  # how often SIGURG's handler has run, and has to
        try: self.stderr = os.dup(2)  # the terminal, also when fd 2 belongs to the cells
        except OSError: self.stderr = None

    def install(self, on_nudge, **handlers):
        "Install handlers(signum, frame) by the names of their signals; `on_nudge` is called when main is woken, for whatever reason."
        self.main = threading.get_ident()
        self.meant = {getattr(signal, name): handler for name,handler in handlers.items()}
        for signum,handler in self.meant.items(): _signal.signal(signum, handler)
        if NUDGE is None: return
        def nudged(signum, frame):
            self.seen += 1
            on_nudge(signum, frame)
        self.meant[NUDGE] = nudged
        _signal.signal(NUDGE, nudged)
        _signal.pthread_sigmask(signal.SIG_UNBLOCK, self.meant)
        self.mask = _signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.own_stacks()
        self.restore()

    def own_stacks(self):
        "Let SIGUSR1 show all stacks on the real stderr."
        if STACKS is None or self.stderr is None: return
        faulthandler.unregister(STACKS)
        faulthandler.register(STACKS, self.stderr, all_threads=True, chain=False)

    def restore(self):
        "Before and after each cell: what the kernel needs is its own again, whatever a cell has left. Handlers of other signals stay the user's. Main thread."
        meant = self.meant
        if NUDGE is None or self.is_child or threading.get_ident() != self.main: return
        for signum in (signal.SIGINT, NUDGE):
            if _signal.getsignal(signum) is not meant[signum]: _signal.signal(signum, meant[signum])
        _signal.set_wakeup_fd(self.write_fd, warn_on_full_buffer=False)
        if _signal.pthread_sigmask(signal.SIG_BLOCK, ()) != self.mask: _signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        if self.stderr is not None and not faulthandler.is_enabled(): faulthandler.enable(self.stderr)
        if self.changed: self._restore_changed()

    def _restore_changed(self):
        "The end and the stacks have to work when a cell has left SIG_DFL or SIG_IGN for them; a handler of the user's own stays."
        changed,self.changed = self.changed, set()
        term = _signal.getsignal(signal.SIGTERM)
        if not callable(term) and signal.SIGTERM in self.meant: _signal.signal(signal.SIGTERM, self.meant[signal.SIGTERM])
        if STACKS in changed and not callable(_signal.getsignal(STACKS)): self.own_stacks()

    def end(self):
        "Let SIGINT and SIGTERM do nothing any more, as the kernel ends: jupyter_client sends a second SIGTERM at half time."
        for signum in (signal.SIGINT, signal.SIGTERM): _signal.signal(signum, lambda signum, frame: None)

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
        return [(signal, "signal", self._signal(signal.signal), why), (signal, "getsignal", self._getsignal(signal.getsignal), why)]

    def _signal(self, original):
        @functools.wraps(original)
        def put(signalnum, handler):
            before = signal.getsignal(signalnum)
            original(signalnum, self._guarded(signalnum, handler))
            self.changed.add(signalnum)
            return before
        return put

    def _guarded(self, signum, handler):
        ours = self.meant.get(signum)
        if self.is_child or handler is ours: return handler
        if signum == signal.SIGINT and handler in (SIG_DFL, signal.default_int_handler): return Guard(self, handler, ours)
        return Guard(self, handler) if callable(handler) and not isinstance(handler, int) else handler

    def _getsignal(self, original):
        @functools.wraps(original)
        def getsignal(signalnum):
            handler = original(signalnum)
            return handler.handler if isinstance(handler, Guard) else handler
        return getsignal

    def is_ignored(self):
        "Has the cell that runs set SIGINT to SIG_IGN?"
        return _signal.getsignal(signal.SIGINT) == SIG_IGN

    # --- wake main

    def came(self):
        "Read what C has written, and see to it that main looks. On io."
        came = set(os.read(self.fd, 4096))
        if came & set(self.meant) - {NUDGE}: self.nudge()
        for signum in came - set(self.meant): self.other(signum)

    def nudge(self, after=0.0):
        """Wake main in `after` seconds, and until SIGURG's handler has run twice: one that was due before it has run then, too, unless it came in the middle of the
        first. Any thread, and signal handlers."""
        self.later(after, self._nudge_now)

    def nudge_again(self): self.nudge(PAUSES[0])

    def _nudge_now(self):
        is_running = self.seen < self.until
        self.until = self.seen + 2
        if not is_running: self._nudge(0)

    def _nudge(self, tries):
        if self.seen >= self.until or not self.wake_main(): return
        self.later(PAUSES[min(tries, len(PAUSES) - 1)], lambda: self._nudge(tries + 1))

    def wake_main(self):
        "Let main look whether anything is due; False if it would not, as a cell has a handler of its own there. Any thread."
        if NUDGE is None or _signal.getsignal(NUDGE) is not self.meant.get(NUDGE): return False
        signal.pthread_kill(self.main, NUDGE)
        return True

    def interrupt_main(self):
        "SIGINT for main. Any thread."
        if hasattr(signal, "pthread_kill"): signal.pthread_kill(self.main, signal.SIGINT)
        else: signal.raise_signal(signal.SIGINT)


def stacks(loops):
    "The stacks of all threads, and of all tasks of the event `loops`, as text. Reads no file, and calls nothing of the user's."
    names = {t.ident: t.name for t in threading.enumerate()}
    parts = [f"Thread {names.get(ident, '?')} ({ident}):\n{''.join(_lines(frame))}" for ident,frame in sys._current_frames().items()]
    for loop in loops:
        for task in sys.modules["asyncio"].all_tasks(loop): parts.append(f"Task {task.get_name()}:\n{''.join(_awaits(task.get_coro()))}")
    return "\n".join(parts)


def _lines(frame):
    while frame is not None:
        yield f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}\n'
        frame = frame.f_back


def _awaits(coro):
    "From what is awaited innermost out."
    found = []
    while (frame := getattr(coro, "cr_frame", None)) is not None:
        found.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}\n')
        coro = coro.cr_await
    return reversed(found)
