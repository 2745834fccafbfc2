"The framing of the Debug Adapter Protocol: one byte at a time, many messages at once, what is no DAP. Where an interrupt meets a thread that debugpy has."
import functools, os, sys, threading, types

import pytest

from harness import wait_until
from ipymini.debug import adapter as dap
from ipymini.interrupts import protect as frames
from ipymini.debug.adapter import Adapter, Decoder, as_itself, encode
from ipymini.debug.debugger import Debugger

MESSAGES = [dict(seq=1, type="request", command="é\U0001f600"), dict(body={}), dict(seq=2, body=dict(text="\r\n\r\nContent-Length: 3\r\n\r\n" * 3))]


def test_encode(): assert encode(dict(a="é")) == b'Content-Length: 13\r\n\r\n{"a": "\\u00e9"}'.replace(b"13", b"15")


@pytest.mark.parametrize("size", [1, 2, 7, 50, 10_000])
def test_pieces(size):
    data, decoder, got = b"".join(map(encode, MESSAGES)), Decoder(), []
    for i in range(0, len(data), size): got += decoder.feed(data[i:i+size])
    assert got == MESSAGES and not decoder.data


def test_other_fields_are_passed_over():
    body = b'{"a": 1}'
    assert list(Decoder().feed(b"Content-Type: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))) == [dict(a=1)]


def test_big_message():
    message = dict(text="x" * 5_000_000)
    data, decoder, got = encode(message), Decoder(), []
    for i in range(0, len(data), 65536): got += decoder.feed(data[i:i+65536])
    assert got == [message]


def test_no_dap():
    with pytest.raises(ValueError, match="no Content-Length"): list(Decoder().feed(b"GET / HTTP/1.1\r\n\r\n"))


@pytest.mark.parametrize("body", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"{", b"\xff"])
def test_body_that_is_no_json(body):
    "Or is too deep for Python's parser."
    with pytest.raises(ValueError): list(Decoder().feed(b"Content-Length: %d\r\n\r\n%b" % (len(body), body)))


def test_adapter_that_sends_no_dap(monkeypatch):
    "The session ends, and who waits for a response is told."
    theirs, told = [], []
    monkeypatch.setattr(dap, "load", lambda: types.SimpleNamespace(get_global_debugger=lambda: None))
    adapter = Adapter(told.append)
    adapter._connect = theirs.append
    adapter.open()
    wait_until(lambda: theirs, 10, "the session's socket")
    answers = []
    asking = threading.Thread(target=lambda: answers.append(adapter.request("initialize", {})), daemon=True)
    asking.start()
    wait_until(lambda: adapter.waiting, 10, "the request to wait")
    theirs[0].sendall(b"Content-Length: 200000\r\n\r\n" + b"[" * 200_000)
    asking.join(10)
    assert [a["success"] for a in answers] == [False] and [e["event"] for e in told] == ["terminated"] and not adapter.is_open
    theirs[0].close()


HOME = os.path.join(os.sep, "site-packages", "debugpy")
FILES = dict(pydevd=os.path.join(HOME, "_vendored", "pydevd.py"), threading=threading.__file__, queue=os.path.join(os.path.dirname(os.__file__), "queue.py"), cell="/tmp/cell.py",
    condition="<string>")
LOOP = compile("def _do_wait_suspend(then): return then()", FILES["pydevd"], "exec")

def stack(*names):
    "A frame with others below it: functions of the file and name given as `file.name`, from the outside in. `loop` is pydevd's."
    run = sys._getframe
    for name in reversed(names):
        file, _, f = name.partition(".")
        ns = {}
        exec(LOOP if name == "loop" else compile(f"def {f}(then): return then()", FILES[file], "exec"), ns)
        run = functools.partial(PyDB._do_wait_suspend if name == "loop" else ns[f], run)
    return run()


class PyDB: exec(LOOP)


@pytest.mark.parametrize("place,names", [(None, ["cell.f"]), (None, ["cell.f", "queue.get", "threading.wait"]), ("wait", ["cell.f", "pydevd.do_wait_suspend", "loop", "threading.wait"]),
    ("work", ["cell.f", "loop", "pydevd.do_it", "cell.g"]), ("work", ["cell.f", "loop", "pydevd.do_it", "cell.g", "threading.wait"]),
    ("busy", ["cell.f", "loop", "pydevd.do_it", "threading.notify"]), ("busy", ["cell.f", "loop", "queue.get"]),
    ("busy", ["cell.f", "loop", "threading.wait", "threading.__enter__"]), ("busy", ["cell.f", "pydevd.do_wait_suspend"]),
    ("busy", ["cell.f", "pydevd.set_suspend", "queue.put", "threading.notify"]), (None, ["cell.f", "pydevd.handle_breakpoint_condition", "condition.module"])])
def test_place(monkeypatch, place, names):
    "Told that a thread has stopped, a client may interrupt it before it waits: debugpy finishes first."
    monkeypatch.setattr(frames, "DEBUGGERS", {HOME + os.sep})
    adapter = Adapter(print)
    adapter.db, adapter.pydevd = object(), types.SimpleNamespace(PyDB=PyDB)
    assert adapter.place(stack(*names)) == place


def test_thread_that_pydevd_takes_for_another():
    "It waits as itself, with what pydevd has noted of the dummy; its own queue is there before anybody learns that it has stopped, as requests go there."
    dummy, waited = types.SimpleNamespace(additional_info=["noted"], stop_reason=111), []
    db = types.SimpleNamespace(get_internal_queue_and_event=lambda name: waited.append(f"queue of {name}"))
    wait = as_itself(lambda db, thread, *args: waited.append((thread, args)), lambda thread: thread.name)
    t = threading.Thread(target=wait, args=(db, dummy, "frame", "line", None), name="it")
    t.start()
    t.join(10)
    assert waited == ["queue of it", (t, ("frame", "line", None))] and t.additional_info is dummy.additional_info and t.stop_reason == 111


def test_end_of_one_session_is_not_that_of_the_next(monkeypatch):
    "The reader of a session that is over comes to its end when the first request of the next one waits already."
    go, theirs, answers, received = threading.Event(), [], [], dap.received
    monkeypatch.setattr(dap, "load", lambda: types.SimpleNamespace(get_global_debugger=lambda: None))
    monkeypatch.setattr(dap, "received", lambda s: received(s) or go.wait(10) and b"")
    adapter = Adapter(print)
    adapter._connect = theirs.append
    adapter.open()
    late = next(t for t in threading.enumerate() if t.name == "dap-read")
    adapter.close()
    adapter.open()
    asking = threading.Thread(target=lambda: answers.append(adapter.request("initialize", {})), daemon=True)
    asking.start()
    wait_until(lambda: adapter.waiting, 10, "the request to wait")
    go.set()
    late.join(10)
    wait_until(lambda: len(theirs) == 2, 10, "the second session's socket")
    theirs[1].sendall(encode(dict(type="response", request_seq=1, success=True, body=dict(number=2))))
    asking.join(10)
    assert [a.get("body") for a in answers] == [dict(number=2)]
    adapter.close()


@pytest.mark.parametrize("command", ["continue", "next", "stepIn", "stepOut"])
def test_threads_run_from_the_request_on(command):
    "A thread may end its cell before debugpy tells that it runs; one that stops meanwhile is stopped."
    debugger = Debugger(types.SimpleNamespace(), lambda *args: None)
    def request(command, arguments):
        told.append(debugger.info()["body"]["stoppedThreads"])
        debugger.on_event(dict(event="stopped", body=dict(threadId=2, reason="breakpoint")))
        return dict(success=True, body={})
    told, debugger.adapter.request = [], request
    debugger.on_event(dict(event="stopped", body=dict(threadId=1, reason="breakpoint")))
    assert debugger.request(None, command, dict(threadId=1), 7, "request")["success"]
    assert told == [[]] and debugger.info()["body"]["stoppedThreads"] == [2]
    debugger.on_event(dict(event="continued", body=dict(threadId=1, allThreadsContinued=False)))
    assert debugger.info()["body"]["stoppedThreads"] == [2]


def test_a_new_thread_is_not_buried(monkeypatch):
    "It starts with a dummy's number, just when that is found to be dead."
    number = -7
    new = threading.Thread(target=print)
    monkeypatch.setitem(threading._active, number, threading._DummyThread.__new__(threading._DummyThread))
    def register():
        with threading._active_limbo_lock: threading._active[number] = new  # as threading does
    starting = threading.Thread(target=register)
    def frames():
        if not starting.ident: starting.start()
        starting.join(0.2)
        return {}
    monkeypatch.setattr(dap, "sys", types.SimpleNamespace(_current_frames=frames))
    dap.bury()
    starting.join(10)
    assert threading._active[number] is new


CALLS = [("sync", ()), ("place", (None,)), ("stop_here", (sys._getframe(),)), ("free", ()), ("resume", ()), ("forked", ())]


@pytest.mark.parametrize("name,args", CALLS, ids=[name for name,_ in CALLS])
def test_the_session_ends_beside(name, args):
    "Stand in the gap: whatever pydevd does for a thread that takes no part in the session, the end of that on the debug lane may have come between two of its steps."
    class Gone:
        def __getattr__(self, name): raise AttributeError("'NoneType' object has no attribute")
    adapter = Adapter(lambda event: None)
    adapter.db = adapter.pydevd = Gone()
    assert getattr(adapter, name)(*args) is None


def test_let_run_as_the_session_ends():
    "Stand in the gap: io lets all threads run, and before that is done the debug lane has disposed of pydevd's debugger."
    did = []
    dap.then_wake(lambda which: did.append(which), lambda: None)("*")
    assert did == ["*"]


@pytest.mark.parametrize("which", ["dap-read", "dap-connect"])
def test_no_thread_for_a_session(monkeypatch, which):
    "Neither thread can be started: the request has an error, there is no session, and the next one begins."
    real, names = dap.spawn, []
    def spawn(name, f):
        names.append(name)
        if name == which: raise RuntimeError("can't start new thread")
        if name == "dap-read": return real(name, f)
    monkeypatch.setattr(dap, "spawn", spawn)
    adapter = Adapter(lambda event: pytest.fail("told"))
    adapter.pydevd = types.SimpleNamespace(get_global_debugger=lambda: None)
    with pytest.raises(RuntimeError, match="can't start"): adapter.open()
    assert not adapter.is_open and names[-1] == which
    with pytest.raises(dap.Closed): adapter.request("initialize", {})
