"""Life room: how the kernel's life stands, and whether who started it lives.

Owns the watch on the parent process, and what all rooms should know about the kernel's end.
Must not know: messages, sockets, IPython.
Threads: any; where there is no pidfd, the watch has one of its own.
Spec: messaging, "Kernel shutdown"; jupyter_client's documentation on JPY_PARENT_PID."""

import os, select, time

from .threads import KernelThread, hide


class Life:
    """How the kernel's life stands, and what happens to all subshells: `asked` to end (False, or True for a restart), `stopping`,
    `restart`, `orphan`, `signalled` to end, `forked` in a child that is no kernel; `ending` is the Ending."""

    def __init__(self, end_soon=lambda: None, ending=None):
        self.end_soon,self.before_cell,self.detour,self.cell_ended = end_soon, lambda: None, lambda scope: None, lambda scope: None
        self.asked,self.stopping,self.restart = None, False, False
        self.orphan = self.forked = self.signalled = False
        self.ending = ending


def parent_fd(pid=None):
    "A file descriptor that becomes readable when the process that started this one ends; None if there is none to watch."
    pid = int(os.environ.get("JPY_PARENT_PID") or 0) if pid is None else pid
    if pid <= 1 or not hasattr(os, "pidfd_open"): return None
    try: return os.pidfd_open(pid)
    except ProcessLookupError: return _ended()
    except OSError: return None  # an old Linux, or another one's process


def is_readable(fd):
    "Can `fd`, of `parent_fd`, be read: has the parent ended?"
    return bool(select.select([fd], (), (), 0)[0])


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
