"For whom a thing is: the bracket of a request, and who answers when there is none."
import asyncio, contextvars, threading

import pytest

from fakes import Out, execute, request
from ipymini.request.scope import Scope, current, here
from ipymini.wire.messages import Msg


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(Scope, "latest", None)
    token = current.set(None)
    yield
    current.reset(token)


def test_bracket():
    "Busy, what happens within, idle; each with the request as its parent."
    out = Out()
    with Scope(out.port, execute("1", "a")) as scope:
        assert scope.open and current.get() is scope and here() is scope
        assert scope.emit("display_data", dict(data={}, metadata={})).startswith(out.codec.session)
        scope.write("stdout", "text")
    assert out.lines() == ["a busy", "a display_data", "a stream text", "a idle"]
    assert not scope.open and current.get() is None


@pytest.mark.parametrize("e", [ValueError, KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_idle_whatever_happens(e):
    out = Out()
    with pytest.raises(e), Scope(out.port, execute("1", "a")): raise e
    assert out.lines() == ["a busy", "a idle"] and current.get() is None


def test_idle_that_cannot_be_sent():
    "The scope is left all the same."
    out = Out()
    scope = Scope(out.port, execute("1"))
    with pytest.raises(RuntimeError), scope: scope.port = out.port._replace(send=fail)
    assert not scope.open and current.get() is None


def fail(*args): raise RuntimeError("cannot send")


def test_busy_that_cannot_be_sent():
    "The next request's scope is not inside one that never began."
    scope = Scope(Out().port._replace(send=fail), execute("1"))
    with pytest.raises(RuntimeError), scope: pytest.fail("entered")
    assert current.get() is None


def test_nothing_of_a_request_goes_before_its_busy():
    "A finalizer that the collector calls while busy is being sent, a Comm's for one, and what C code has written by then, are not this request's."
    out,seen = Out(), []
    def send(channel, msg_type, *args):
        seen.append((msg_type, here()))
        return out.send(channel, msg_type, *args)
    with Scope(out.port._replace(send=send), execute("1", "a")) as scope: scope.emit("clear_output", dict(wait=False))
    assert seen == [("status", None), ("clear_output", scope), ("status", scope)]


def test_nesting():
    "A request served within another's, as a comm message during an await."
    out = Out()
    with Scope(out.port, execute("1", "outer")) as outer:
        with Scope(out.port, request("comm_msg", "inner", comm_id="c")) as inner: assert here() is inner
        assert here() is outer and outer.open and not inner.open
    assert out.lines() == ["outer busy", "inner busy", "inner idle", "outer idle"]


def test_latest_is_the_last_execute():
    "Only executes have output of their own: a completion in between changes nothing."
    out = Out()
    assert here() is None
    with Scope(out.port, execute("1", "a")) as a: pass
    with Scope(out.port, request("complete_request", "b", code="")) as b: assert (Scope.latest, here()) == (a, b)
    assert here() is a
    with Scope(out.port, execute("2", "c")) as c: assert Scope.latest is c
    assert here() is c


def test_a_thread_without_context_belongs_to_the_latest():
    out,got = Out(), []
    with Scope(out.port, execute("1", "a")):
        with Scope(out.port, request("comm_msg", "b", comm_id="c")):
            t = threading.Thread(target=lambda: got.append(here().msg.id))
            t.start()
            t.join(5)
    assert got == ["a"]


def test_context_carries_the_scope():
    "What runs later in a copy of the context is still for the request that made the copy, after its idle too."
    out = Out()
    with Scope(out.port, execute("1", "a")): context = contextvars.copy_context()
    with Scope(out.port, execute("2", "b")): context.run(lambda: here().write("stdout", "late"))
    assert out.lines() == ["a busy", "a idle", "b busy", "a stream late", "b idle"]


def test_nobody():
    "Output that no request caused has no parent."
    out = Out()
    nobody = Scope(out.port)
    nobody.write("stderr", "x")
    assert out.lines() == ["stream x"] and out[0].parent is None and nobody.header_raw == b"{}" and nobody.idents == () and not nobody.open


def test_answers_for_whom():
    "Messages carry the request's header byte for byte; replies go to its identities; bad content is none."
    raw = b'{"msg_id":"m", "msg_type": "execute_request", "subshell_id": "s"}'
    scope = Scope(Out().port, Msg(dict(msg_id="m", msg_type="execute_request"), "content is no JSON", idents=[b"a"], header_raw=raw))
    assert (scope.header_raw, scope.idents, scope.content) == (raw, [b"a"], {})


def test_ask():
    out = Out()
    out.answers = ["line"]
    with Scope(out.port, execute("1")) as scope: assert scope.ask("? ") == "line"
