"""Signals room: none of them is lost.

CPython runs a signal's handler between two bytecodes of the main thread. A signal that comes when this thread is just about to block in
C, or that the system gives to
another thread, would wait there until something else wakes it. So C writes a byte for each, io reads it, and main gets SIGURG until the
handler of that has run.
Owns the pipe of those bytes, and SIGURG. Must not know: what a signal means.
Threads: `install` main, `came` and the nudges io.
Spec: Python's documentation of `signal`, "Execution of Python signal handlers" and `set_wakeup_fd`."""

import os, signal, sys, threading

from .deliver import PAUSES
from .handlers import NUDGE, Handlers


class Signals:
    """`fd` becomes readable when a signal has come, `came()` reads it; `other(signum)` is told of those that are not the kernel's.
    `later(seconds, f)` is io's clock, `handlers` those of this process."""

    def __init__(self, later):
        self.later,self.other = later, lambda signum: None
        self.fd,write_fd = os.pipe()
        for fd in (self.fd, write_fd): os.set_blocking(fd, False)
        self.handlers = Handlers(write_fd)
        self.seen,self.until = 0, 0  # how often SIGURG's handler has run, and has to

    def install(self, on_nudge, **handlers):
        "Install handlers(signum, frame) by the names of their signals; `on_nudge` is called when main is woken, for whatever reason."
        def nudged(signum, frame):
            self.seen += 1
            on_nudge(signum, frame)
        self.handlers.install(SIGURG=nudged, **handlers)

    def came(self):
        "Read what C has written, and see to it that main looks. On io."
        came = set(os.read(self.fd, 4096))
        meant = set(self.handlers.meant)
        if came & meant - {NUDGE}: self.nudge()
        for signum in came - meant: self.other(signum)

    def nudge(self, after=0.0):
        """Wake main in `after` seconds, and until SIGURG's handler has run twice: one that was due before it has run then, too, unless it
        came in the middle of the first. Any thread, and signal handlers."""
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
        if not self.handlers.is_ours(NUDGE): return False
        signal.pthread_kill(self.handlers.main, NUDGE)
        return True

    def interrupt_main(self):
        "SIGINT for main. Any thread."
        if hasattr(signal, "pthread_kill"): signal.pthread_kill(self.handlers.main, signal.SIGINT)
        else: signal.raise_signal(signal.SIGINT)


def stacks(loops):
    "The stacks of all threads, and of all tasks of the event `loops`, as text. Reads no file, and calls nothing of the user's."
    names = {ident: t.name for ident,t in threading._active.copy().items()}  # `enumerate` takes a lock
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
