"What is patched in the interpreter: for whom text is, its order, threads, forks, input; and that all of it can be undone."
import _thread, asyncio, builtins, concurrent.futures, functools, getpass, os, subprocess, sys, threading, time

import pytest
from IPython.core.error import StdinNotImplementedError

from fakes import Out, execute, texts
from gaps import gaps, interrupted
from ipymini.capture.patches import Capture
from ipymini.request.scope import Port, Scope

WAIT = 10


@pytest.fixture(autouse=True)
def out(monkeypatch):
    "A port that nobody is asked through yet; what no request caused goes there too."
    out = Out()
    monkeypatch.setattr(Scope, "latest", None)
    monkeypatch.setattr(Scope, "nobody", Scope(out.port), raising=False)
    return out


@pytest.fixture
def capture(): return Capture()


def captured(test):
    "`test` with everything patched while it runs: not as a fixture, as pytest moves the descriptors between a test's phases."
    @functools.wraps(test)
    def run(*, capture, **kw):
        capture.fds.install()
        capture.install()
        try: test(capture=capture, **kw)
        finally:
            capture.uninstall()
            capture.fds.close()
    return run


def scope(out, mid): return Scope(out.port, execute("", mid))


# --- file descriptors

@captured
def test_descriptors_belong_to_the_latest(out, capture):
    os.write(1, b"nobody's\n")
    with scope(out, "a"):
        os.write(1, b"first\n")
        os.write(2, b"second\n")
        capture.fds.drain()
    assert texts(out) == [("a", "stdout", "nobody's\nfirst\n"), ("a", "stderr", "second\n")]


@captured
def test_descriptors_join_split_characters(out, capture):
    data = "\u20ac\U0001f600".encode() + b"\xff."
    for i in range(len(data)):
        os.write(1, data[i:i+1])
        capture.fds.drain()
    assert texts(out) == [(None, "stdout", "\u20ac\U0001f600\ufffd.")]


@captured
def test_c_code_and_python_keep_their_order(capture, monkeypatch):
    "With a port as fast as the real one, 3,000 times."
    got = []
    monkeypatch.setattr(Scope, "nobody", Scope(Port(send=None, write=lambda scope, name, text, who: got.append(text), ask=None)))
    for n in range(3000):
        os.write(1, b"<%d>" % n)
        print(f"[{n}]", end="")
    text = "".join(got)
    assert text == "".join(f"<{n}>[{n}]" for n in range(3000))


def polled(p):
    while p.poll() is None: time.sleep(0.001)


@pytest.mark.parametrize("run", [
    lambda: subprocess.run(["echo", "child"], check=True), lambda: subprocess.Popen("echo child", shell=True).wait(), lambda: os.system("echo child"),
    lambda: os.waitpid(os.spawnlp(os.P_NOWAIT, "echo", "echo", "child"), 0), lambda: subprocess.check_call("echo child", shell=True),
    lambda: subprocess.Popen(["echo", "child"]).communicate(), lambda: polled(subprocess.Popen(["echo", "child"]))],
    ids=["run", "Popen.wait", "os.system", "os.waitpid", "check_call", "communicate", "Popen.poll"])
@captured
def test_a_child_that_was_waited_for_comes_first(out, capture, run):
    "What it wrote precedes what the cell prints or displays next, though that goes another way."
    with scope(out, "a") as a:
        print("before")
        run()
        a.emit("display_data", dict(data={}, metadata={}))
        run()
        print("after")
    assert texts(out) == [("a", "stdout", "before\nchild\nchild\nafter\n")]
    assert "".join(m.content.get("text", "|") for m in out if m.type != "status") == "before\nchild\n|child\nafter\n"


@captured
def test_drain_ends(capture, monkeypatch):
    "A child that writes faster than we read must not keep io from all else: stand in the gap and write whenever something was read."
    calls = []

    def write(*entry):
        calls.append(entry)
        if len(calls) < 1000: os.write(1, b"y\n"*30_000)

    monkeypatch.setattr(Scope, "nobody", Scope(Port(send=None, write=write, ask=None)))
    os.write(1, b"y\n")
    capture.fds.drain()
    assert len(calls) < 100


@captured
def test_drain_in_two_threads(capture, monkeypatch):
    "One at a time: stand in the gap between one thread's read and its write, in which another comes to drain."
    got,threads = [], []

    def write(scope, name, text, who):
        if not threads:
            os.write(1, b"2")
            threads.append(threading.Thread(target=capture.fds.drain))
            threads[0].start()
            threads[0].join(0.1)  # it must wait until we are done
        got.append(text)

    monkeypatch.setattr(Scope, "nobody", Scope(Port(send=None, write=write, ask=None)))
    os.write(1, b"1")
    capture.fds.drain()
    threads[0].join(WAIT)
    assert got == ["1", "2"]


@captured
def test_drain_waits_for_text_in_other_hands(capture, monkeypatch):
    "Stand in the gap: another thread has read the pipe empty and not yet published it. Who drains now, as a cell does at its end, must not go on before that is done."
    told,threads = [], []

    def write(scope, name, text, who):
        threads.append(threading.Thread(target=lambda: (capture.fds.drain(), told.append("drained"))))
        threads[0].start()
        threads[0].join(0.1)  # it must wait until we are done
        told.append(text)

    monkeypatch.setattr(Scope, "nobody", Scope(Port(send=None, write=write, ask=None)))
    os.write(1, b"1")
    capture.fds.drain()
    threads[0].join(WAIT)
    assert told == ["1", "drained"]


# --- threads, executors, tasks

@captured
def test_threads_belong_to_who_started_them(out, capture):
    "Also after the request, also a thread's threads and timers; one made in C belongs to the latest."
    go,done = threading.Event(), threading.Event()

    def inner():
        go.wait(WAIT)
        sys.stdout.write("from a\n")  # print writes twice: three threads may mix

    def outer():
        t = threading.Thread(target=inner)
        t.start()
        t.join(WAIT)

    with scope(out, "a"):
        threads = [threading.Thread(target=inner), threading.Thread(target=outer), threading.Timer(0, inner)]
        for t in threads: t.start()
    with scope(out, "b"):
        print("from b")
        go.set()
        for t in threads: t.join(WAIT)
        _thread.start_new_thread(lambda: (print("from C"), done.set()), ())
        assert done.wait(WAIT)
    assert sorted(texts(out)) == [("a", "stdout", "from a\n"*3), ("b", "stdout", "from C\n"), ("b", "stdout", "from b\n")]


@captured
def test_jobs_belong_to_who_submitted_them(out, capture):
    "Whoever made the pool and its threads; an exception and a result come back as ever."
    with scope(out, "a"), concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(print, "from a").result(WAIT)
        with scope(out, "b"):
            pool.submit(print, "from b").result(WAIT)
            assert list(pool.map(abs, [-1, 2])) == [1, 2]
            with pytest.raises(ZeroDivisionError): pool.submit(lambda: 1/0).result(WAIT)

            async def main(): await asyncio.to_thread(print, "from b's task")
            asyncio.run(main())
        pool.submit(print, "a again").result(WAIT)
    assert texts(out) == [("a", "stdout", "from a\n"), ("b", "stdout", "from b\nfrom b's task\n"), ("a", "stdout", "a again\n")]


@captured
def test_fork(out, capture):
    "A child's text goes through the pipe, once, whatever way it prints; the parent's state is not touched."
    forked = []
    capture.children.on_fork.append(lambda: forked.append(1))
    with scope(out, "a"):
        print("parent")
        pid = os.fork()
        if not pid:
            print("child é", flush=True)
            sys.stdout.buffer.write(b"bytes\n")
            print("error", file=sys.stderr)
            os.write(1, b"forked\n" if forked else b"no hook\n")
            os._exit(0)
        os.waitpid(pid, 0)
        print("parent again")
    assert texts(out) == [("a", "stdout", "parent\nchild é\nbytes\nforked\n"), ("a", "stderr", "error\n"), ("a", "stdout", "parent again\n")] and not forked


@captured
def test_fork_while_another_thread_drains(capture, monkeypatch):
    "The child must not inherit a lock that nobody there will release: the fork waits until the other thread is out of it."
    inside,forked = threading.Event(), threading.Event()

    def write(*entry):
        inside.set()
        forked.wait(0.2)

    monkeypatch.setattr(Scope, "nobody", Scope(Port(send=None, write=write, ask=None)))
    os.write(1, b"1")
    t = threading.Thread(target=capture.fds.drain)
    t.start()
    assert inside.wait(WAIT)
    pid = os.fork()
    if not pid: os._exit(0 if capture.fds.lock.acquire(timeout=5) else 1)
    forked.set()
    t.join(WAIT)
    assert os.waitpid(pid, 0)[1] == 0


@captured
def test_interrupted_drain(out, capture):
    "Wherever an interrupt comes out in it, on the thread of a subshell, the next drain finds no lock that nobody will release; nothing that was written is lost."
    places = gaps(capture.fds._publish)
    came = 0
    for n,gap in enumerate(places):
        os.write(1, b"%d\n" % n)
        came += interrupted(capture.fds.drain, gap)
        assert not capture.fds.lock.locked(), gap
    capture.fds.drain()
    assert came and "".join(t for *_,t in texts(out)) == "".join(f"{n}\n" for n in range(len(places)))


# --- input

@captured
def test_input(out, capture):
    asked = []
    port = out.port._replace(ask=lambda *a: asked.append(a[1:]) or "line")
    with Scope(port, execute("", allow_stdin=True)): assert (input(), input(3), getpass.getpass(), getpass.getpass("p")) == ("line",)*4
    assert asked == [("", False), ("3", False), ("Password: ", True), ("p", True)]


@pytest.mark.parametrize("f", ["input", "getpass"])
@captured
def test_no_input(out, capture, f):
    "Where the request forbids it, after its end, and where there is none."
    def ask(): input("?") if f == "input" else getpass.getpass("?")
    with pytest.raises(StdinNotImplementedError): ask()
    with Scope(out.port, execute("", allow_stdin=False)), pytest.raises(StdinNotImplementedError, match=f if f == "getpass" else "raw_input"): ask()
    with scope(out, "a"): pass
    with pytest.raises(StdinNotImplementedError): ask()


# --- the end

def patched():
    "What the table patches, as it is now."
    Pool = concurrent.futures.ThreadPoolExecutor
    return [sys.stdout, sys.stderr, builtins.input, getpass.getpass, threading.Thread.start, threading.Thread._bootstrap_inner, Pool.submit, os.system,
        os.waitpid, subprocess.Popen._handle_exitstatus]


def test_uninstall_restores_everything():
    "Each patch, and descriptors 1 and 2; no descriptor is left over."
    before,files,fds = patched(), [os.fstat(fd)[:3] for fd in (1, 2)], sorted(os.listdir("/proc/self/fd"))
    c = Capture()
    c.fds.install()
    c.install()
    during = patched()
    c.uninstall()
    c.fds.close()
    assert patched() == before and [os.fstat(fd)[:3] for fd in (1, 2)] == files and not any(a is b for a,b in zip(before, during))
    assert sorted(os.listdir("/proc/self/fd")) == fds
