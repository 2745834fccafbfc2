"""Children room: processes that a cell forks, or starts with subprocess. What they write belongs to the request that starts them.

Owns what is taken for one child until it has it: the pipes that it writes to, and the signals that are held back meanwhile.
An interrupt (an asynchronous exception, a handler of the user's that raises) may come out behind each call in Python code, and a fork goes on all the same. So no lock is
held here; what is taken is written down in the same step in C, and given back in one that forgets it, by functions that can be called again.
Must not know: sockets, what a request means.
Threads: the one that forks or starts the child.
Spec: Python's documentation of `os.register_at_fork`."""

import _signal, contextlib, logging, os, signal
from itertools import chain, starmap
from threading import get_ident

from .fds import at_once
from ..interrupts.protect import wait_code

log = logging.getLogger("ipymini.capture.children")
HELD_BACK = signal.SIGINT, signal.SIGTERM  # while a process forks: one that came before the child is no kernel any more would be taken for the kernel's, and be lost


class Pipes:
    """Two pipes for the stdout and stderr of one new child; `writers`: what the child has of them, as soon as they are read here. `mask` is in a list, once it is known, the
    signal mask of the thread that forks."""

    def __init__(self): self.open,self.writers,self.mask,self.whole = [], (), [], False

    def make(self, fds):
        "Open them, and let `fds` read them; nothing where that has to do with 1 and 2 of the kernel."
        scope = fds.child_of()
        if scope is not None:
            self.open.extend(chain.from_iterable(starmap(os.pipe, ((), ()))))  # r, w, r, w
            fds.read_for(scope, self.open[::2])
            self.open = self.writers = self.open[1::2]
        self.whole = True

    def close(self, fds):
        "Close what the child has by now; what `fds` reads is its own."
        self.open = [fd for fd in self.open if fd not in fds.pipes]  # first: as soon as what they write to is closed, `fds` may close them
        while self.open:
            with contextlib.suppress(OSError): at_once(map(os.close, map(list.pop, (self.open,))))  # closed already if the user has done it


class Children:
    "What is done at each fork: `before`, `after` in this process and in the child `in_child`, which lets each of `streams` and `on_fork` know."

    def __init__(self, fds): self.fds,self.streams,self.on_fork,self.forks = fds, (), [], {}

    def watch(self, *streams):
        "Do it from here on. Each is called twice: the second time does what an interrupt has broken off in the first."
        self.streams = streams
        for _ in range(2): os.register_at_fork(before=self.before, after_in_parent=self.after, after_in_child=self.in_child)

    def before(self):
        "Make the pipes of the child, and hold back signals until it is no kernel any more."
        pipes = self.forks.get(get_ident())
        if pipes and pipes.whole: return
        self.after()
        pipes = self.forks[get_ident()] = Pipes()
        pipes.mask.append(_signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        _signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        pipes.make(self.fds)

    def after(self):
        pipes = self.forks.get(get_ident())
        if pipes is None: return
        pipes.close(self.fds)
        for mask in pipes.mask: _signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self.forks.pop(get_ident(), None)

    def in_child(self):
        "A forked child never touches a socket: its text goes into the pipe, which the parent reads."
        pipes = self.forks.get(get_ident())
        try:
            self.fds.forked(pipes.writers if pipes else ())
            for s in self.streams: s.forked()
            for f in self.on_fork: _guarded(f)
            for other in list(self.forks.values()): other.close(self.fds)  # also the copies of what other threads were about to give theirs
        finally: self.after()


def _guarded(f):
    try: f()
    except Exception: log.exception("in a forked child")


def popen_init(original, fds):
    "Popen's `__init__`, after which the child alone has the pipes that it writes to."
    @wait_code
    def __init__(self, *args, **kwargs):
        try: original(self, *args, **kwargs)
        finally:
            try: _give_back(self, fds)
            except KeyboardInterrupt:
                _give_back(self, fds)  # what it has broken off
                raise
    return __init__


def _give_back(popen, fds):
    pipes = popen.__dict__.get("_ipymini_pipes")
    if pipes is None: return
    pipes.close(fds)
    popen.__dict__.pop("_ipymini_pipes", None)


def popen_handles(original, fds):
    "What Popen gives a child: pipes of its own instead of ours, whether it would inherit them or was told to write there."
    def _get_handles(self, stdin, stdout, stderr):
        *rest,c2pwrite,errread,errwrite = original(self, stdin, stdout, stderr)
        kinds = [fds.kind_of(n if fd == -1 else fd) for n,fd in ((1, c2pwrite), (2, errwrite))]
        if not any(kinds): return *rest, c2pwrite, errread, errwrite
        pipes = self._ipymini_pipes = Pipes()
        pipes.make(fds)
        ours = dict(zip((1, 2), pipes.writers))
        return *rest, ours.get(kinds[0], c2pwrite), errread, ours.get(kinds[1], errwrite)
    return _get_handles
