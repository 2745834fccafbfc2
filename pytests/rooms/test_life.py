"How the kernel's life stands, and whether who started it lives."
import contextlib, os, select, subprocess, sys, time

from ipymini.process.life import Life, parent_fd

WAIT = 10
SLEEPER = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]


@contextlib.contextmanager
def child(cmd, **kw):
    "A running child, and the first line it says; it is killed at the end."
    with subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True, **kw) as p:
        try: yield p, p.stdout.readline().strip()
        finally: p.kill()


def is_readable(fd, timeout): return bool(select.select([fd], [], [], timeout)[0])


def script(code, within=20):
    "(exit code, output, seconds) of Python code in a process of its own."
    began = time.monotonic()
    head = "import os, time\nfrom ipymini.process.life import *\n"
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


def test_life_begins_well():
    life = Life()
    assert (life.asked, life.stopping, life.restart, life.forked) == (None, False, False, False)
