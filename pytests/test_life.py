"What keeps the process alive and what must not outlive it; what ends or kills children runs in a process of its own."
import contextlib, os, select, signal, subprocess, sys, time

import pytest

from ipymini.life import Life, children, parent_fd, signal_children

WAIT = 10
SLEEPER = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
STUBBORN = [sys.executable, "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"]
FAMILY = [sys.executable, "-c", f"import subprocess, time; p = subprocess.Popen({SLEEPER!r}); print(p.pid, flush=True); time.sleep(60)"]


@contextlib.contextmanager
def child(cmd, **kw):
    "A running child, and the first line it says; it is killed at the end."
    with subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True, **kw) as p:
        try: yield p, p.stdout.readline().strip()
        finally: p.kill()


def is_readable(fd, timeout): return bool(select.select([fd], [], [], timeout)[0])


def is_gone(pid):
    "No such process, or one that has ended and is not yet reaped by its parent."
    try: return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError): return True


def wait_gone(pid):
    end = time.monotonic() + WAIT
    while not is_gone(pid):
        assert time.monotonic() < end, f"process {pid} still lives"
        time.sleep(0.005)  # the end of a grandchild has no event to wait for


def script(code, within=20):
    "(exit code, output, seconds) of Python code in a process of its own."
    began = time.monotonic()
    head = "import os, signal, subprocess, sys, time\nfrom ipymini.life import *\nfrom ipymini.life import end_children\n"
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, timeout=within)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout.split(), time.monotonic() - began


def test_parent_fd():
    "Readable when the process ends, and not before."
    with child(SLEEPER) as (p, _):
        fd = parent_fd(p.pid)
        assert not is_readable(fd, 0)
        p.kill()
        assert is_readable(fd, WAIT)
        p.wait()
        again = parent_fd(p.pid)
        assert is_readable(again, 0)
    for f in (fd, again): os.close(f)


def test_parent_fd_from_the_environment(monkeypatch):
    "JPY_PARENT_PID, as jupyter_client sets it; none, or one that can be nobody's, is not watched."
    for none in ("", "0", "1"):
        monkeypatch.setenv("JPY_PARENT_PID", none)
        assert parent_fd() is None
    monkeypatch.delenv("JPY_PARENT_PID")
    assert parent_fd() is None
    monkeypatch.setenv("JPY_PARENT_PID", str(os.getpid()))
    fd = parent_fd()
    assert not is_readable(fd, 0)
    os.close(fd)


def test_no_pidfd(monkeypatch):
    monkeypatch.delattr(os, "pidfd_open")
    assert parent_fd(os.getpid()) is None


def test_watch_by_hand():
    "Where there is no pidfd: the callback comes when the parent has gone."
    code = "import threading\ngone = threading.Event()\nif os.fork(): time.sleep(0.05), os._exit(0)\nwatch_by_hand(gone.set, every=0.01)\n" \
        "print(gone.wait(10), flush=True)"
    assert script(code)[:2] == (0, ["True"])


def test_children():
    "Children and grandchildren, also those of other threads than the main one."
    with child(FAMILY) as (p, grandchild), child(SLEEPER) as (q, _):
        assert {p.pid, q.pid, int(grandchild)} <= set(children()) and children(p.pid) == [int(grandchild)] and children(q.pid) == []
        os.kill(int(grandchild), signal.SIGKILL)
    assert not {p.pid, q.pid} & set(children()) and children(p.pid) == []


def test_signal_children():
    "All of them, or with of_group those that a terminal's Ctrl-C would reach."
    code = f"""
p,q = (subprocess.Popen({SLEEPER!r}, stdout=subprocess.PIPE, start_new_session=new) for new in (False, True))
for x in (p, q): x.stdout.readline()
signal_children(signal.SIGTERM, of_group=True)
print(p.wait(10), q.poll())
signal_children(signal.SIGTERM)
print(q.wait(10))"""
    assert script(code)[:2] == (0, ["-15", "None", "-15"])


def test_signal_children_that_are_gone():
    with child(SLEEPER) as (p, _):
        p.kill()
        assert is_readable(parent_fd(p.pid), WAIT)
        signal_children(signal.SIGTERM)
        assert p.wait(WAIT) == -signal.SIGKILL


@pytest.mark.parametrize("cmd,longest", [(SLEEPER, 0.15), (STUBBORN, 1.0), (FAMILY, 0.15)], ids=["willing", "stubborn", "with a child of its own"])
def test_end_children(cmd, longest):
    "Asked first; who ignores that is killed, soon. Nothing remains, of any generation."
    code = f"p = subprocess.Popen({cmd!r}, stdout=subprocess.PIPE)\nsaid = p.stdout.readline().decode().strip()\nbegan = time.monotonic()\nend_children()\n" \
        "print(time.monotonic() - began, p.pid, said if said.isdigit() else '', p.poll())"
    code,(took,*pids,_),_ = script(code)
    assert code == 0 and float(took) < longest
    for pid in pids: wait_gone(pid)


def test_leave_takes_the_children():
    "And waits for no thread of the user's, nor for exit handlers."
    code = f"""
import atexit, threading
atexit.register(print, "handler")
threading.Thread(target=time.sleep, args=(30,)).start()
p = subprocess.Popen({STUBBORN!r}, stdout=subprocess.PIPE)
p.stdout.readline()
print(p.pid, flush=True)
leave(3)"""
    code,said,took = script(code)
    assert code == 3 and len(said) == 1 and took < 5
    wait_gone(said[0])


def test_deadline():
    "The process ends though the main thread does not; `before` is called first. One that ends in time is not hurried."
    code = "Life().deadline(0.1, lambda: print('before', flush=True))\nwhile True: time.sleep(60)"
    code,said,took = script(code)
    assert (code, said) == (1, ["before"]) and took < 5
    assert script("Life().deadline(30)\nprint('done')")[:2] == (0, ["done"])


def test_life_begins_well():
    life = Life()
    assert (life.asked, life.stopping, life.restart, life.forked) == (None, False, False, False)
