"""Processes room: the kernel's child processes, their children and theirs: which they are, and how they end.

Owns the mark by which they are known, signals to them, and their end, with which the kernel leaves nothing behind.
Must not know: messages, threads, other rooms.
Threads: any. What is called here was bound before the user's code could replace it.
Spec: proc(5), getrlimit(2); multiprocessing, "Contexts and start methods" (the resource tracker and the fork server end with
their input)."""

import contextlib, os, signal
from builtins import any, filter, int, map, set, str
from os import close, dup2, getpgid, getpgrp, getpid, kill, listdir, lstat, open as open_fd, read, readlink, waitpid
from time import monotonic, sleep

MOMENT = 0.3  # seconds that a process has to clean up once its input has ended, when those are killed that kept it open
LOOK = 0.25   # seconds between two looks at which processes there are, while the known ones are waited for
mine = {}     # of the process that has marked itself: its pid, its mark (None: it could not), and `has_waited()` for a child, ever


def mark():
    """Mark this process, and so all that it starts from now on: by a limit that nobody comes near, on the CPU time of a real-time
    process. A process has its limits from the one that starts it, whatever it does later with its parents, session, group and
    environment. PR_SET_CHILD_SUBREAPER would do the same, but the kernel would be given other people's zombies to reap, and
    `os.wait` of the user's would see and wait for processes that it has not started."""
    import resource
    usage,whose = resource.getrusage, resource.RUSAGE_CHILDREN
    value = 1 << 62 | (int(monotonic() * 1e6) & (1 << 40) - 1) << 22 | getpid()
    mine.update(pid=getpid(), mark=None, has_waited=lambda: usage(whose).ru_maxrss > 0)
    hard = resource.getrlimit(resource.RLIMIT_RTTIME)[1]
    resource.setrlimit(resource.RLIMIT_RTTIME, (value, hard))
    mine["mark"] = b"%d" % value


def mark_if_possible():
    """As `mark`. Where the system does not let it, who has lost his parent is known by the process group, if this process leads one;
    not in a session of his own."""
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError): mark()


def children(pid=None):
    "Ids of all processes below `pid` (this one), as far as /proc tells; ended ones that nobody has reaped are among them."
    pid,found = pid or getpid(), []
    with contextlib.suppress(OSError):
        for task in listdir(f"/proc/{pid}/task"): found += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
    return found + [g for c in found for g in children(c)]


def signal_children(signum, of_group=False):
    "Send `signum` to all processes below this one; with `of_group` to those that share its process group, as a terminal would."
    for c in children():
        with contextlib.suppress(OSError):
            if not of_group or getpgid(c) == getpgrp(): kill(c, signum)


def family(known=()):
    "All living processes that come from this one, as (pid, time of birth); of `known` those that still live, too."
    below = children()
    pids = set(below)
    if mine and mine["pid"] == getpid() and (below or mine["has_waited"]()): pids |= _relatives()  # else there has never been a child
    return set(_living(with_births(pids))) | set(_living(known))


def with_births(pids): return [(p, _born(p)) for p in pids]


def end_family(within, known=()):
    """End all processes of the `family`, which have `within` seconds for it. They are asked (SIGTERM), and those that read what this
    one writes see the end of it, which is what the trackers and servers of multiprocessing wait for; then they are killed, the
    latter last."""
    begun,readers,late = monotonic(), set(), within + MOMENT
    for signum,until,spared in ((signal.SIGTERM, within, set()), (signal.SIGKILL, late, readers), (signal.SIGKILL, late + MOMENT, set())):
        told = set()
        while rest := family(known):
            new = rest - told - spared
            for p in new: _tell(p, signum)
            if signum == signal.SIGTERM: readers |= _end_input(new)
            told |= new
            _wait_gone(rest, min(begun + until, monotonic() + LOOK))
            if monotonic() >= begun + until: break
        if not rest: return


def _tell(process, signum):
    with contextlib.suppress(OSError): kill(process[0], signum)


def _wait_gone(processes, until):
    "Wait for the end of `processes`, of which there is no event: they may be others' children."
    pause = 0.001
    while (processes := _living(processes)) and monotonic() < until:
        _reap()
        sleep(pause)
        pause = min(0.02, pause * 1.5)
    _reap()


def _reap():
    with contextlib.suppress(ChildProcessError):
        while waitpid(-1, os.WNOHANG)[0]: continue


def _living(processes): return [p for p in processes if p[1] is not None and _born(p[0]) == p[1]]


def _born(pid):
    "When the process was born, in ticks: together with its id, that is it and no later one. None if it has ended."
    try: fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError: return None
    return None if fields[0] in (b"Z", b"X") else fields[19]


def _relatives():
    "Ids of the other processes that come from this one, whoever their parents are now."
    pids,found = map(int, filter(str.isdecimal, listdir("/proc"))), set()
    for pid in pids:
        with contextlib.suppress(OSError):
            if pid != mine["pid"] and _is_relative(pid): found.add(pid)
    return found


def _is_relative(pid): return mine["mark"] in _read(f"/proc/{pid}/limits") if mine["mark"] else getpgid(pid) == mine["pid"]


def _end_input(processes):
    "Give up this process's ends of the pipes that it alone writes and one of `processes` reads; which of them do."
    ours = _pipes("self")
    both = {link for link,_,reads in ours if reads}  # our own, of which a forked child has both ends, too
    read_by = {p: {link for link,_,reads in _pipes(p[0]) if reads} - both for p in processes}
    ends = {fd: link for link,fd,_ in ours if fd > 2 and any(link in links for links in read_by.values())}
    if not ends: return set()
    null = open_fd(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    for fd in ends:
        with contextlib.suppress(OSError): dup2(null, fd, False)  # not closed: who has it will do that, and be told if it cannot
    return {p for p,links in read_by.items() if links & set(ends.values())}


def _pipes(pid):
    "(pipe, descriptor, whether it is the end for reading) of each end of a pipe that the process has."
    found = []
    with contextlib.suppress(OSError):
        for fd in listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                path = f"/proc/{pid}/fd/{fd}"
                link = readlink(path)
                if link.startswith("pipe:"): found.append((link, int(fd), bool(lstat(path).st_mode & 0o400)))
    return found


def _read(path):
    "The bytes of a file of /proc."
    fd,parts = open_fd(path, os.O_RDONLY | os.O_CLOEXEC), []
    try:
        while part := read(fd, 1 << 16): parts.append(part)
    finally: close(fd)
    return b"".join(parts)
