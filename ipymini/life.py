"""Life room: what keeps the process alive, and what must not outlive it.

Owns the watch on the parent process, the deadline of a shutdown, and the kernel's child processes.
Must not know: messages, sockets, IPython.
Threads: any; the deadline has one of its own.
Spec: messaging, "Kernel shutdown"; jupyter_client's documentation on JPY_PARENT_PID."""

import contextlib, os, signal, threading, time

from .lane import KernelThread, hide


class Life:
    "How the kernel's life stands, and what happens to all subshells: `asked` to end (False, or True for a restart), `stopping`, `restart`, `orphan`, `forked` in a child that is no kernel."

    def __init__(self, end_soon=lambda: None):
        self.end_soon,self.before_cell,self.detour,self.cell_ended = end_soon, lambda: None, lambda scope: None, lambda scope: None
        self.asked,self.stopping,self.restart = None, False, False
        self.orphan = self.forked = False

    def deadline(self, seconds, before=lambda: None):
        "Leave by force in `seconds`, after `before()`, if the process still lives then."
        def run():
            time.sleep(seconds)
            before()
            leave(1)
        t = threading.Thread(target=run, name="deadline", daemon=True)
        hide(t)
        t.start()


def parent_fd(pid=None):
    "A file descriptor that becomes readable when the process that started this one ends; None if there is none to watch."
    pid = int(os.environ.get("JPY_PARENT_PID") or 0) if pid is None else pid
    if pid <= 1 or not hasattr(os, "pidfd_open"): return None
    try: return os.pidfd_open(pid)
    except ProcessLookupError: return _ended()
    except OSError: return None  # an old Linux, or another one's process


def watch_by_hand(callback, every=1.0):
    "Where there is no pidfd: call `callback` when the parent process has changed. In slices, as there is nothing to wait for."
    pid = os.getppid()
    def run():
        while os.getppid() == pid: time.sleep(every)
        callback()
    t = KernelThread(run, "parent")
    hide(t)
    t.start()


def _ended():
    "A descriptor that is readable at once."
    r,w = os.pipe()
    os.close(w)
    return r


def children(pid=None):
    "Ids of all processes below `pid` (this one), as far as /proc tells."
    pid,found = pid or os.getpid(), []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as f: found += [int(c) for c in f.read().split()]
    return found + [g for c in found for g in children(c)]


def signal_children(signum, of_group=False):
    "Send `signum` to all processes below this one; with `of_group` to those that share its process group, as a terminal would."
    for c in children():
        with contextlib.suppress(OSError):
            if not of_group or os.getpgid(c) == os.getpgrp(): os.kill(c, signum)


def end_children(within=0.2):
    "End all processes below this one: ask, and after `within` seconds insist."
    if not children(): return
    signal_children(signal.SIGTERM)
    until = time.monotonic() + within
    while children() and time.monotonic() < until:
        with contextlib.suppress(ChildProcessError): os.waitpid(-1, os.WNOHANG)
        time.sleep(0.005)  # the end of foreign processes has no event to wait for
    signal_children(signal.SIGKILL)


def leave(code):
    "End the process now, without the interpreter's own ending, which may wait for the user's threads."
    end_children()
    os._exit(code)
