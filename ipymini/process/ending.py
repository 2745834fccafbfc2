"""Ending room: the time that the user's things have when the process ends, and in which order they have it.

As Python ends a script, but in bounded time: what runs is done, threads and executors are waited for, then come the functions
of `atexit`, then child processes, then what they all have written is sent, last the process is gone. jupyter_client sends SIGTERM
to the process group 2.5 s after its request, and SIGKILL after 5 s.
Owns the clock and the order. Must not know: messages, sockets, IPython.
Threads: `begin` any; `finish` main; the clock has a thread of its own, which starts before the user's code and calls nothing that
this could replace. What main is too late for, a thread does that the clock starts.
Spec: messaging, "Kernel shutdown"; Python's documentation of `atexit` and `threading` (non-daemon threads)."""

import atexit, contextlib, sys, threading
from _thread import allocate_lock, start_new_thread
from builtins import max
from os import _exit
from time import monotonic, sleep
from traceback import print_exc

from .dying import guarded, say
from .threads import KernelThread, hide
from .processes import children, end_family, with_births

WORK = 2.3    # seconds from `begin` for what runs: cells, tasks, threads and executors
EXITS = 4.5   # seconds for the functions of `atexit`
KILL = 3.5    # seconds for child processes, so that jupyter_client has not lost patience on a slow machine either
LEAST = 0.2   # seconds that they have at least
FORCE = 2.0   # seconds for the very last acts, which have limits of their own
run_exitfuncs,shutdown = atexit._run_exitfuncs, threading._shutdown


def wait_threads():
    "Wait for threads and executors, as Python does: with the `threading._shutdown` of now. gevent's gives the main thread its lock back, for which the other one would wait."
    getattr(sys.modules.get("threading"), "_shutdown", shutdown)()


def locked():
    lock = allocate_lock()
    lock.acquire()
    return lock


class Ending:
    """The end of this process: `open` early, `begin` when it is asked for, `finish` when main is done. `acts` are what is done last,
    behind the end of child processes."""

    def __init__(self, *acts):
        self.acts,self.since,self.known,self.doing = [*acts], None, (), "what runs"
        self.asked,self.done = locked(), locked()  # released when the end begins; when it is the turn of atexit
        self.turn,self.last = allocate_lock(), allocate_lock()  # of the thread that runs atexit's functions; that ends the process

    def open(self):
        "Start the clock's thread, which waits for `begin`."
        clock = KernelThread(self._watch, "deadline")
        hide(clock)
        clock.start()

    def begin(self):
        "Let the time run, from the first call on."
        self.since = self.since or monotonic()
        with contextlib.suppress(RuntimeError): self.asked.release()  # it is already

    def left(self, limit=WORK): return max(0, self.since + limit - monotonic())

    def finish(self, code):
        "End the process with `code`: nothing runs on main any more."
        self.begin()
        self.doing = "threads and executors"
        try: wait_threads()
        except BaseException: guarded(print_exc)  # a function of threading._register_atexit
        self._run_exits(code)

    def _run_exits(self, code):
        "Run the functions of `atexit`, on main or, if that comes too late, on a thread of their own, and end the process."
        if not self.turn.acquire(False): park()
        self.doing = "functions of atexit"
        self.done.release()
        guarded(self._note_children)
        guarded(run_exitfuncs)  # what they raise it has printed
        self._leave(code)

    def _note_children(self): self.known = with_births(children())

    def _watch(self):
        "The clock."
        self.asked.acquire()
        if not self.done.acquire(True, self.left(WORK)):
            self._complain()
            guarded(lambda: start_new_thread(self._run_exits, (1,)))
        sleep(self.left(EXITS))
        self._complain()
        self._leave(1)

    def _complain(self): say(f"[ipymini] WARNING | the end does not wait any longer for {self.doing}\n")

    def _leave(self, code):
        if not self.last.acquire(False): sleep(FORCE)
        else: self._last_acts()
        _exit(code)

    def _last_acts(self):
        self.doing = "child processes and the last output"
        for f in (lambda: end_family(max(LEAST, self.left(KILL)), self.known), *self.acts): guarded(f)


def park():
    "Wait for ever: another thread ends the process."
    while True: sleep(3600)
