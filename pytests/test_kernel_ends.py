"The kernel between fakes: input requests, interrupts, and what ends it."
import pytest

from fakes import FakeChannels, FakeKernel, execute, request
from ipymini.scope import Scope, current


@pytest.fixture
def make(monkeypatch):
    "Make a kernel; its cells are the `words` it is given, functions of the running scope."
    monkeypatch.setattr("ipymini.early.Channels", FakeChannels)
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
