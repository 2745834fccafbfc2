"""Outset room: what the process was given by who started it, made what a kernel needs, before anything else is opened.

Owns descriptors 0 to 2, the signal mask and the working directory at the start. Must not know: messages, sockets, IPython. Nothing that costs time to import.
Threads: main, before there are others.
Spec: none."""

import os, signal, sys

NEEDED = "SIGINT", "SIGTERM", "SIGURG", "SIGCHLD", "SIGUSR1", "SIGALRM"


def settle():
    "Open what is closed of 0, 1 and 2, unblock signals, leave a directory that is gone; nobody but the client is the keyboard. What was wrong, in words."
    return [*filter(None, (open_descriptors(), unblock_signals(), leave_deleted_directory()))]


def open_descriptors():
    "Descriptor 0 is /dev/null: children of cells read from there, and would wait for ever at a terminal. What the kernel opens must not become 1 or 2."
    closed = [fd for fd in (0, 1, 2) if not is_open(fd)]
    while (null := os.open(os.devnull, os.O_RDWR)) in (0, 1, 2): continue
    os.dup2(null, 0)
    os.close(null)
    for fd,name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, f"__{name}__") is None: stream = open(fd, "w", buffering=1, errors="backslashreplace", closefd=False)
        else: continue
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    return f"descriptors {closed} were closed" if closed else None


def is_open(fd):
    try: os.fstat(fd)
    except OSError: return False
    return True


def unblock_signals():
    "Those without which no interrupt, no end of a child and no debugger's wake-up comes; children's ends must be told."
    if not hasattr(signal, "pthread_sigmask"): return None
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {getattr(signal, name) for name in NEEDED})
    if signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN: signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return f"signals were blocked: {sorted(int(s) for s in blocked)}" if blocked else None


def leave_deleted_directory():
    try: os.getcwd()
    except OSError:
        home = os.path.expanduser("~")
        os.chdir(home if os.path.isdir(home) else os.sep)
        return f"the working directory is gone: {os.getcwd()} instead"
    return None
