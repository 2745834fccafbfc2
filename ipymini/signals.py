"""Signals room: none of them is lost.

CPython runs a signal's handler between two bytecodes of the main thread. A signal that comes when this thread is just about to block in C, or that the system gives to
another thread, would wait there until something else wakes it. So C writes a byte for each, io reads it, and main is nudged: by a signal that means nothing.
Owns the pipe of those bytes, and SIGURG. Must not know: what a signal means.
Threads: `install` and `forked` main, `came` io, the nudges a lane of their own.
Spec: Python's documentation of `signal`, "Execution of Python signal handlers" and `set_wakeup_fd`."""

import os, signal, threading, time

from .lane import Lane

NUDGES = 0.002, 0.01, 0.05, 0.2  # seconds after a signal
NUDGE = getattr(signal, "SIGURG", None)  # not on Windows, which has no signals to lose either


class Signals:
    "The handlers of this process; `fd` becomes readable when a signal has come, `came()` reads it."

    def __init__(self):
        self.fd,self.write_fd = os.pipe()
        for fd in (self.fd, self.write_fd): os.set_blocking(fd, False)
        self.lane = Lane("nudge", self.nudge)

    def install(self, on_nudge, **handlers):
        "Install handlers(signum, frame) by the names of their signals; `on_nudge` is called when main is woken, for whatever reason."
        self.main,self.meant = threading.get_ident(), {getattr(signal, name) for name in handlers}
        for name,handler in handlers.items(): signal.signal(getattr(signal, name), handler)
        if NUDGE is None: return
        signal.signal(NUDGE, on_nudge)
        signal.set_wakeup_fd(self.write_fd, warn_on_full_buffer=False)

    def forked(self):
        "In a forked child signals mean what they mean to any process: Pool.terminate waits for ever for workers that ignore SIGTERM."
        if NUDGE is None: return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def came(self):
        "Read what C has written, and see to it that main looks. On io."
        if self.meant & set(os.read(self.fd, 4096)): self.lane.put(None)

    def nudge(self, _):
        last = 0
        for seconds in NUDGES:
            time.sleep(seconds - last)
            self.wake_main()
            last = seconds

    def wake_main(self, surely=False):
        "Let main look whether anything is due; `surely`: some more times, as this signal may be lost, too. Any thread."
        if NUDGE is None: return
        signal.pthread_kill(self.main, NUDGE)
        if surely: self.wake_soon()

    def wake_soon(self):
        "Let main look a few times from now on, not at once: also for a handler that runs on main itself."
        if self.lane.queue.empty(): self.lane.put(None)
