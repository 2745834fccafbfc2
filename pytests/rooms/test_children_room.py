"""Forks and Popen with an interrupt at each place of ours where CPython lets one out: no lock stays locked, no signal blocked, no descriptor open, and text arrives.
CPython reports what a fork hook raises and forks all the same, so the hooks must put up with it."""
import os, signal, subprocess, sys
import pytest

from fakes import Out, execute, texts
from gaps import gaps, interrupted
from harness import wait_until
from ipymini.capture import children
from ipymini.capture.patches import Capture
from ipymini.capture.children import Children, Pipes
from ipymini.capture.fds import Fds
from ipymini.request.scope import Scope


@pytest.fixture
def out(monkeypatch):
    out = Out()
    monkeypatch.setattr(Scope, "latest", None)
    monkeypatch.setattr(Scope, "nobody", Scope(out.port), raising=False)
    monkeypatch.setattr(sys, "unraisablehook", lambda raised: None)
    return out


def all_gaps(*functions): return [pytest.param(g, id=f"{f.__qualname__}-{g[1]}") for f in functions for g in gaps(f)]


def state(capture): return sorted(os.listdir("/proc/self/fd")), signal.pthread_sigmask(signal.SIG_BLOCK, ()), capture.fds.lock.locked(), capture.fds.callers


def same_after(out, act):
    "Run `act()` in a captured cell; what it printed, once descriptors, signal mask and locks are what they were."
    capture = Capture()
    capture.fds.install()
    capture.install()
    try:
        before = state(capture)
        with Scope(out.port, execute("", "a")): act()
        def settled():
            capture.fds.drain()
            return state(capture) == before
        wait_until(settled, 5, lambda: (state(capture), before))
        assert not capture.children.forks
    finally:
        capture.uninstall()
        capture.fds.close()
    return "".join(text for *_,text in texts(out))


def fork():
    pid = os.fork()
    if not pid:
        try:
            print("child")
            sys.stdout.flush()
        finally: os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


FORKS = all_gaps(Children.before, Children.after, Children.in_child, Pipes.make, Pipes.close, Fds.child_of, Fds.read_for, Fds._add, Fds.kind_of, Fds.forked)


@pytest.mark.parametrize("gap", FORKS)
def test_interrupted_fork(out, gap): assert same_after(out, lambda: interrupted(fork, gap)) == "child\n"


def both(gap):
    "A command that may be interrupted before it starts, and one that is not."
    hit = []
    def run():
        p = subprocess.Popen(["echo", "x"])
        try: p.wait()
        except KeyboardInterrupt: hit.append(p.wait())
    interrupted(run, gap)
    subprocess.run(["echo", "done"], check=True)


@pytest.mark.parametrize("gap", all_gaps(Pipes.make, Pipes.close, Fds.read_for, Fds._add, Fds._remove, Fds.kind_of, children._give_back,
    children.popen_init(subprocess.Popen.__init__, None), children.popen_handles(subprocess.Popen._get_handles, None)))
def test_interrupted_popen(out, gap):
    text = same_after(out, lambda: both(gap))
    assert sorted(text.split()) in (["done"], ["done", "x"])


@pytest.mark.parametrize("gap", all_gaps(Fds.calling.__wrapped__))
def test_interrupted_system(out, gap): assert same_after(out, lambda: interrupted(lambda: os.system("echo x"), gap)) in ("", "x\n")
