"The kernel between fakes: input requests, interrupts, and what ends it."
import time
from types import SimpleNamespace

import pytest

from fakes import FakeChannels, FakeKernel, boom, execute, request
from ipymini.request.scope import Scope, current


@pytest.fixture
def make(monkeypatch):
    "Make a kernel; its cells are the `words` it is given, functions of the running scope."
    monkeypatch.setattr("ipymini.wire.early.Channels", FakeChannels)
    monkeypatch.setattr(Scope, "latest", None)
    monkeypatch.setattr(Scope, "nobody", None, raising=False)
    token = current.set(None)
    yield FakeKernel
    current.reset(token)


@pytest.fixture
def k(make): return make()


def test_input(make):
    "The request goes to who asked, within the bracket; the answer is the cell's."
    def cell(scope): scope.write("stdout", scope.ask("name? ", password=True))
    k = make(cell=cell)
    send = k.stdin.send

    def send_and_reply(channel, msg_type, *args):
        mid = send(channel, msg_type, *args)
        k.route("stdin", request("input_reply", "x", parent=dict(msg_id=mid, msg_type="input_request"), value="Ada"))
        return mid

    k.stdin.send = send_and_reply
    out = k.serve_all(execute("cell", "a"))
    assert out.lines() == ["a busy", "a execute_input", "a input_request", "a stream Ada", "a execute_reply ok", "a idle"]
    ask = next(m for m in out if m.channel == "stdin")
    assert ask.content == dict(prompt="name? ", password=True) and list(ask.idents) == [b"client"]


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("channel", ["control", "shell"])
def test_shutdown(k, channel, restart):
    "The reply, on iopub too for the other clients; then stop: the clock is started, what runs is interrupted, what is queued is not begun."
    if channel == "control": k.worker.put(execute("x", "queued"))
    out = k.serve_all(request("shutdown_request", "a", restart=restart), *[execute("x", "later")] * (channel == "shell"), channel=channel)
    assert [(m.parent, m.channel, m.type) for m in out] == [("a", "iopub", "status"), ("a", "iopub", "shutdown_reply"), ("a", channel, "shutdown_reply"), ("a", "iopub", "status")]
    assert [m.content for m in out if m.type == "shutdown_reply"] == [dict(status="ok", restart=restart)]*2
    assert (k.life.stopping, k.life.restart, k.worker.stopping, k.signalled, len(k.begun)) == (True, restart, True, 1, 1)
    k.stop(False)
    assert (k.life.restart, k.signalled, len(k.begun)) == (restart, 1, 1) and not k.channels.closed
    k.close()
    assert k.channels.closed


def test_exit_in_a_cell(make):
    "As `exit` does it: the cell's own reply first, then the end."
    def leave(scope): k.bridge.shell.exit_now = True
    k = make(leave=leave)
    out = k.serve_all(execute("leave", "a"), execute("x", "b"))
    assert out.lines() == ["a busy", "a execute_input", "a execute_reply ok", "a idle"] and k.life.stopping and not k.life.restart


def test_parent_died(k):
    k.parent_died()
    assert (k.life.stopping, k.worker.stopping, k.signalled, len(k.out)) == (True, True, 1, 0)


def test_interrupt_request(k):
    "Answered where it arrived, though the main thread is busy."
    k.worker.put(execute("x", "a"))
    k.route("control", request("interrupt_request", "i"))
    assert k.out.lines() == ["i busy", "i interrupt_reply ok", "i idle"] and k.signalled == 1 and len(k.worker.inbox) == 1


def worker_of(number, last=(0, 0.0)):
    "A subshell that serves request `number`; `last`: which was interrupted last, and when."
    delivery = SimpleNamespace(is_wanted=False, last=last)
    return SimpleNamespace(worker=SimpleNamespace(now=SimpleNamespace(number=number, since=0), delivery=delivery, loop=None))


def test_stop_right_after_an_interrupt(k):
    "What has been interrupted just now is not again: it shows its traceback, or does what its `finally` says."
    hit,now = [], time.monotonic()
    k.interrupts.pursue = lambda sub, number: hit.append(sub)
    subs = [worker_of(3, (3, now)), worker_of(4, (3, now)), worker_of(3, (3, now - 5)), worker_of(0)]
    k.subs.update(enumerate(subs))
    k.interrupts.end()
    assert hit == [subs[1], subs[2]] and k.signalled == 1


def test_the_reply_leaves_before_what_runs_is_interrupted(k, monkeypatch):
    "It may take a moment until a subshell can be hit."
    calls = []
    monkeypatch.setattr(k.channels, "call", calls.append)
    k.serve_now("control", request("shutdown_request", "a", restart=False))
    assert k.signalled == 0 and len(k.begun) == 1 and any(m.type == "shutdown_reply" and m.channel == "control" for m in k.out)
    for f in calls: f()
    assert k.signalled == 1


def test_an_interrupt_while_it_ends(k):
    "The signal by which main is interrupted for the end means no others: those are interrupted already."
    hit = []
    k.stop(False)
    k.subs[1],k.interrupts.pursue,k.interrupts.everything = worker_of(3), lambda sub, number: hit.append(sub), lambda: hit.append("everything")
    for _ in range(2): k.interrupts.spread(0)
    assert hit == []


def test_sigterm_in_a_cell(make):
    "A cell that has gone well is an error all the same; one that fails tells its own; queries are answered as ever."
    def term(scope): k.on_sigterm(15, None)
    def fail(scope): return k.on_sigterm(15, None) or boom(scope)
    for word,ename in dict(term="KernelEnded", fail="ZeroDivisionError").items():
        k = make(term=term, fail=fail)
        out = k.serve_all(execute(word, "a"))
        assert out.lines() == ["a busy", "a execute_input", f"a error {ename}", f"a execute_reply {ename}", "a idle"] and k.life.stopping
    k = make()
    k.life.signalled = True
    assert k.serve_all(request("is_complete_request", "b", code="1")).lines() == ["b busy", "b is_complete_reply complete", "b idle"]
