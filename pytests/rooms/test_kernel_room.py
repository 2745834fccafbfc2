"The kernel between a fake bridge and fake channels: requests in, the whole list of messages out."
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from fakes import FakeChannels, FakeKernel, execute, request
from ipymini.request.replies import handle
from ipymini.interrupts.deliver import AGAIN, PAUSES, Delivery
from ipymini.request.scope import Scope, current


@pytest.fixture
def make(monkeypatch):
    "Make a kernel; its cells are the `words` it is given, functions of the running scope."
    monkeypatch.setattr("ipymini.wire.early.Channels", FakeChannels)
    monkeypatch.setattr(Scope, "latest", None)
    monkeypatch.setattr(Scope, "nobody", None, raising=False)
    monkeypatch.delenv("IPYMINI_STOP_ON_ERROR_TIMEOUT", raising=False)
    token = current.set(None)
    yield FakeKernel
    current.reset(token)


@pytest.fixture
def k(make): return make()


def ok(mid, kind="execute", text=None, extra=()):
    "The lines of one request that goes well."
    mids = [f"{mid} execute_input"] * (kind == "execute") + [f"{mid} stream {text}"] * bool(text) + [f"{mid} {x}" for x in extra]
    return [f"{mid} busy", *mids, f"{mid} {kind}_reply ok", f"{mid} idle"]


def failed(mid, kind, ename): return [f"{mid} busy", f"{mid} {kind}_reply {ename}", f"{mid} idle"]


def aborted(*mids): return [x for mid in mids for x in (f"{mid} busy", f"{mid} execute_reply aborted", f"{mid} idle")]


BOOM = ["e busy", "e execute_input", "e error ZeroDivisionError", "e execute_reply ZeroDivisionError", "e idle"]
OTHERS = [  # chkstyle: ignore-node (a table)
    request("kernel_info_request", "i"), request("connect_request", "n"), request("complete_request", "c", code="ab", cursor_pos=9),
    request("inspect_request", "s", code="ab", cursor_pos=-3), request("is_complete_request", "p", code="1"),
    request("history_request", "h", hist_access_type="tail"), request("comm_info_request", "o", target_name="x")]


# --- one request

def test_execute(k):
    "Everything of one cell, in order; the reply tells when it began, and goes to who asked."
    out = k.serve_all(execute("print 1", "a"), execute("", "b", silent=True), execute("2", "c"))
    assert out.lines() == ok("a", text="print 1") + ["b busy", "b execute_reply ok", "b idle"] + ok("c", text="2")
    reply = next(m for m in out if m.channel == "shell")
    assert list(reply.idents) == [b"client"]
    assert reply.metadata.pop("started").endswith("Z") and reply.metadata == dict(dependencies_met=True, engine=k.channels.codec.session, status="ok")
    assert [m.content["execution_count"] for m in out if "execution_count" in m.content] == [1, 1, 2, 2, 2]


def test_routing_that_fails_behind_the_queuing(k, monkeypatch):
    "Nobody has been told of the message: it is taken back, and answered with the error, once. Nor is anything kept of it."
    sub = k.make_subshell()
    for s in (k.main, sub): monkeypatch.setattr(s.worker, "_ring", lambda: 1/0)
    k.route("shell", execute("1", "a"))
    k.route("shell", request("comm_msg", "b", subshell_id=sub.id, comm_id="c", data={}))
    sub.comms.add("d")
    k.route("shell", request("comm_msg", "d", subshell_id=sub.id, comm_id="c", data={}))
    assert k.out.lines("shell") == ["a execute_reply ZeroDivisionError"] and not k.main.worker.inbox and not sub.worker.inbox and not sub.comms


def test_routing_that_fails_beside_the_serving(k, monkeypatch):
    "Another thread serves it already, and answers."
    def taken(msg):
        with ThreadPoolExecutor(1) as other: other.submit(Scope, k.port, msg).result()
        1/0
    monkeypatch.setattr(k.main, "put", taken)
    k.route("shell", execute("1", "a"))
    assert k.out.lines() == []


def test_reply_of_io_that_cannot_be_sent(k, monkeypatch):
    "There is memory again when its error is answered."
    send, fails = k.port.send, [MemoryError]
    def sends(channel, *args):
        if fails and channel == "control": raise fails.pop()
        return send(channel, *args)
    monkeypatch.setattr(k, "port", k.port._replace(send=sends))
    k.route("control", request("connect_request", "n"))
    assert k.out.lines("control") == ["n connect_reply MemoryError"]


def test_other_requests(k):
    "Each with its bracket and reply; positions outside the code are brought inside."
    out = k.serve_all(*OTHERS)
    first = [x for mid,kind in dict(i="kernel_info", n="connect", c="complete", s="inspect").items() for x in ok(mid, kind)]
    assert out.lines() == first + ["p busy", "p is_complete_reply complete", "p idle"] + ok("h", "history") + ok("o", "comm_info")
    replies = {m.parent: m.content for m in out if m.channel == "shell"}
    assert replies["c"]["cursor_end"] == 2 and replies["o"]["comms"]["c"]["target_name"] == "x"
    assert replies["n"] == dict(status="ok", shell_port=1, iopub_port=2, stdin_port=3, control_port=4, hb_port=5)
    assert replies["h"]["history"] == [[0, 1, str(sorted(["hist_access_type", "raw", "output", "session", "start", "stop", "n", "pattern", "unique"]))]]


def test_what_c_code_wrote_comes_before_the_reply(make):
    def write(scope): k.pipe.append("from C")
    k = make(write=write)
    assert k.serve_all(execute("write", "a"), execute("x", "b")).lines() == ok("a", text="from C") + ok("b", text="x")


def test_an_awaiting_cell(make):
    "A comm message is served while it awaits, in a bracket of its own; then what the cell prints is the cell's again."
    def wait(scope): scope.write("stdout", "after")
    k = make(wait=wait)
    run = k.bridge.execute

    async def slow(content):
        done = asyncio.Event()
        k.bridge.comm = lambda msg: done.set()
        k.route("shell", request("comm_msg", "m", comm_id="c"))
        await done.wait()
        assert current.get().msg.id == "a"
        return await run(content)

    k.bridge.execute = lambda content, *meta: k.worker.await_cell(slow(content))
    k.worker.put(execute("wait", "a"))
    assert k.serve_all().lines() == ["a busy", "a execute_input", "m busy", "m idle", "a stream after", "a execute_reply ok", "a idle"]


# --- what is wrong with a request

def test_bad_content(k):
    "Answered with an error; for an execute that is an error as any other, for those behind it. The next request is served."
    out = k.serve_all(request("complete_request", "b", code=3), request("inspect_request", "d", code="a", detail_level="x"), request("is_complete_request", "e"),
        request("execute_request", "a", content_="content is no JSON: x"), execute("1", "c"), request("history_request", "h", hist_access_type=3))
    assert out.lines() == failed("b", "complete", "BadContent") + failed("d", "inspect", "BadContent") + failed("e", "is_complete", "BadContent") + \
        failed("a", "execute", "BadContent") + aborted("c") + failed("h", "history", "BadContent")
    evalues = {m.parent: m.content.get("evalue") for m in out if m.channel == "shell"}
    assert (evalues["a"], evalues["b"], evalues["e"]) == ("content is no JSON: x", "'code' must be str, not int", "content has no 'code'")


def test_unknown_types(k):
    "Who asks is answered; what is no request is not."
    out = k.serve_all(request("strange_request", "a"), request("execute_reply", "c"), request("status", "d"), request("is_complete_request", "b", code="1"))
    assert out.lines() == failed("a", "strange", "BadContent") + ["c busy", "c idle", "d busy", "d idle", "b busy", "b is_complete_reply complete", "b idle"]


def test_wrong_channel(k):
    "A cell cannot be run over control."
    out = k.serve_all(execute("1", "a"), request("complete_request", "b", code=""), request("kernel_info_request", "c"), channel="control")
    assert out.lines() == failed("a", "execute", "BadContent") + failed("b", "complete", "BadContent") + ok("c", "kernel_info")
    assert [m.channel for m in out if m.type.endswith("_reply")] == ["control"]*3


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_unknown_subshell(k, channel):
    "Answered at once, though a cell is queued before it."
    out = k.serve_all(execute("1", "a"), *[request("execute_request", "b", subshell_id="s1", code="1")])
    assert out.lines() == failed("b", "execute", "UnknownSubshellError") + ok("a", text="1")
    assert "s1" in next(m for m in out if m.channel == "shell").content["evalue"] and next(m for m in out if m.channel == "shell").idents


class Mad(Exception):
    def __str__(self): raise RuntimeError("no")


@pytest.mark.parametrize("e", [RuntimeError("bug"), KeyError("x"), KeyboardInterrupt(), SystemExit(3), Mad()], ids=lambda e: type(e).__name__)
def test_handler_bug(k, caplog, e):
    "Logged with its traceback, answered, idle; the next request is served. An interrupt is no bug."
    def complete(*args): raise e
    k.bridge.complete_within = complete
    out = k.serve_all(request("complete_request", "a", code=""), request("is_complete_request", "b", code=""))
    assert out.lines() == failed("a", "complete", type(e).__name__) + ["b busy", "b is_complete_reply complete", "b idle"]
    logged = [r for r in caplog.records if r.exc_info and "complete_request" in r.getMessage()]
    assert len(logged) == (0 if isinstance(e, KeyboardInterrupt) else 1)


@pytest.mark.parametrize("e", [RuntimeError("bug"), asyncio.CancelledError(), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
def test_execute_bug(make, e):
    def bug(scope): raise e
    out = make(bug=bug).serve_all(execute("bug", "a"), request("is_complete_request", "b", code=""))
    name = type(e).__name__
    assert out.lines() == ["a busy", "a execute_input", f"a error {name}", f"a execute_reply {name}", "a idle", "b busy", "b is_complete_reply complete", "b idle"]


def test_comms(k, caplog):
    "Never answered: neither good ones, nor bad content, nor a comm's failure, which is logged."
    good = [request("comm_open", "a", comm_id="c", target_name="t"), request("comm_msg", "b", comm_id="c"), request("comm_close", "d", comm_id="c")]
    out = k.serve_all(*good, request("comm_msg", "e"), request("comm_open", "f", comm_id="c"), request("comm_msg", "g", content_="content is no JSON"))
    assert out.lines() == [f"{m} {s}" for m in "abdefg" for s in ("busy", "idle")] and k.bridge.comms == [(m.type, "c") for m in good]
    assert not caplog.records
    def fail(msg): raise RuntimeError("bug")
    k.bridge.comm = fail
    handle(k.main.table, Scope(k.port, good[1]))
    assert "comm_msg failed" in caplog.text and "RuntimeError: bug" in caplog.text


def test_early_kernel_info(k):
    "While IPython is being imported: answered where it arrives, but not before what arrived before it."
    bridge,k.bridge = k.bridge, None
    k.route("shell", request("kernel_info_request", "a"))
    assert k.out.lines() == ok("a", "kernel_info")
    k.route("shell", execute("x", "b"))
    k.route("shell", request("kernel_info_request", "c"))
    assert len(k.out) == 3
    k.bridge = bridge
    assert k.serve_all().lines()[3:] == ok("b", text="x") + ok("c", "kernel_info")


# --- stop_on_error

def test_error_aborts_queued(k):
    "Executes that had been received, in order; other requests stay queued and are served."
    out = k.serve_all(execute("boom", "e"), execute("x", "a"), request("kernel_info_request", "i"), execute("y", "b"), request("comm_msg", "m", comm_id="c"))
    assert out.lines() == BOOM + aborted("a", "b") + ok("i", "kernel_info") + ["m busy", "m idle"]
    assert next(m for m in out if m.parent == "e" and m.channel == "shell").metadata["status"] == "error"
    assert next(m for m in out if m.parent == "a" and m.channel == "shell").metadata["status"] == "aborted"


@pytest.mark.parametrize("stop", [False, True, None])
def test_stop_on_error(k, stop):
    "Null stands for the default, as everywhere."
    out = k.serve_all(execute("boom", "e", stop_on_error=stop), execute("x", "a"))
    assert out.lines() == BOOM + (ok("a", text="x") if stop is False else aborted("a"))


def test_abort_only_what_came_before_the_reply(k):
    "Stand in both gaps: what io has not yet handed over when the cell fails is aborted; what is sent after the reply is seen is not."
    send = k.channels.send

    def send_then_receive(channel, msg_type, content, *args):
        mid = send(channel, msg_type, content, *args)
        if msg_type == "execute_reply" and content["status"] == "error": k.route("shell", execute("y", "b"))
        return mid

    k.channels.send = send_then_receive
    k.channels.gaps.append(lambda: k.route("shell", execute("x", "a")))
    k.main.port = k.main.port._replace(send=send_then_receive)
    assert k.serve_all(execute("boom", "e")).lines() == BOOM + aborted("a") + ok("b", text="y")


def test_each_error_aborts_its_own(k):
    "An abort lasts no longer than what was queued: the kernel serves on, and aborts again at the next error."
    out = k.serve_all(execute("boom", "e"), execute("x", "a"), request("comm_msg", "m", comm_id="c"))
    del out[:]
    k.worker = type(k.worker)(k.main.serve)  # the first has ended
    assert k.serve_all(execute("x", "a"), execute("boom", "e"), execute("y", "b")).lines() == ok("a", text="x") + BOOM + aborted("b")


@pytest.mark.parametrize("timeout,answer", [("30", "aborted"), ("0", "ok"), ("", "ok"), ("soon", "ok")])
def test_stop_on_error_timeout(k, monkeypatch, timeout, answer):
    "IPYMINI_STOP_ON_ERROR_TIMEOUT: executes that come within so many seconds of the error are aborted too, other requests are not."
    monkeypatch.setenv("IPYMINI_STOP_ON_ERROR_TIMEOUT", timeout)
    after = [execute("", "a"), request("kernel_info_request", "i")]
    take = k.worker.take

    def take_then_receive(wanted):
        msgs = take(wanted)
        while after: k.route("shell", after.pop(0))
        return msgs

    k.worker.take = take_then_receive
    assert k.serve_all(execute("boom", "e")).lines() == BOOM + (aborted("a") if answer == "aborted" else ok("a")) + ok("i", "kernel_info")


@pytest.fixture
def real(k, monkeypatch):
    "The kernel with its real interrupts; what they would send and what io's clock is to do are noted."
    monkeypatch.setattr("ipymini.kernel.signal_children", lambda *args, **kw: None)
    k.interrupts = type(k.interrupts)(k.channels, k.signals, k.stdin, k.capture, k.subs)
    k.worker.loop,k.sent = SimpleNamespace(call_soon_threadsafe=lambda f, *args, context: None), []
    k.signals.interrupt_main,k.signals.wake_main = lambda: k.sent.append("SIGINT"), lambda: k.sent.append("SIGURG")
    k.worker.server = SimpleNamespace(done=lambda: False)
    k.worker.ident = threading.get_ident()
    yield k
    k.worker.loop = None


class FakeDelivery(Delivery):
    "The real one of a worker of which nothing is there; `answers` of the tries."
    def __init__(self, *answers, number=1, since=0.0):
        self.tries,self.answers = 0, list(answers)
        now = SimpleNamespace(number=number, since=since)
        super().__init__(SimpleNamespace(now=now, ident=threading.main_thread().ident, frame=lambda: None, delivery=self, loop=None))

    def attempt_there(self):
        self.tries += 1
        return self.answers.pop(0) if self.answers else True


def test_interrupt_by_message_means_what_had_begun(real):
    "Stand in the gap: the request of main ends, and the next begins, before main comes to its signal. It is not hit, and a subshell is not either."
    k,sub = real, FakeDelivery()
    k.subs["s"] = SimpleNamespace(worker=sub.worker)
    k.worker.now.number = 5
    k.interrupt_request(None)
    k.worker.now.number = 6
    k.interrupts.on_sigint(2, None)
    assert k.sent == ["SIGINT"] and not k.worker.delivery.wanted and not sub.tries


def test_a_message_means_the_subshell_that_served_as_it_arrived(real):
    k,delivery = real, FakeDelivery()
    k.subs["s"] = SimpleNamespace(worker=delivery.worker)
    k.interrupt_request(None)
    assert delivery.tries == 1 and not delivery.is_wanted


def test_a_stopped_subshell_is_hit_before_it_may_run_on(real, monkeypatch):
    "Stand in the gap: a thread that the debugger lets go may end its cell at once."
    k,did,later = real, [], []
    delivery = FakeDelivery()
    delivery.attempt_there = lambda: not did.append("hit")
    k.subs["s"] = SimpleNamespace(worker=delivery.worker)
    k.worker.now.number = 0
    k.capture.debugger = SimpleNamespace(place=lambda frame: None, stopped={1: {}}, freed=lambda: did.append("freed"), resume=lambda: did.append("resume"))
    monkeypatch.setattr(k.channels, "call", later.append)
    k.interrupts.on_sigint(2, None)
    for f in later: f()
    assert did == ["hit", "freed", "resume"]


def test_a_question_takes_the_interrupt(real, monkeypatch):
    "A subshell whose own thread asks is hit once, there: a second KeyboardInterrupt would come out where IPython shows the first. What another of its threads asks is its own affair."
    me = threading.main_thread()
    for asking,tries in ([], 1), ([me.ident], 0), ([me.ident + 1], 1):
        delivery = FakeDelivery()
        monkeypatch.setattr(real.stdin, "interrupt", lambda s: asking)
        real.interrupts.interrupt(SimpleNamespace(worker=delivery.worker))
        assert delivery.tries == tries and not delivery.is_wanted


def test_interrupt_of_a_subshell_that_starts_a_thread(real):
    "It cannot be hit then. io's clock tries again, with longer and longer pauses, as long as it serves the same request; io itself waits for nothing."
    k = real
    delivery = FakeDelivery(*[False]*9)
    k.interrupts.interrupt(SimpleNamespace(worker=delivery.worker))
    pauses = []
    while k.channels.due:
        seconds,f = k.channels.due.pop()
        pauses.append(seconds)
        f()
    assert delivery.tries == 10 and pauses == [*PAUSES, PAUSES[-1], PAUSES[-1]] and not delivery.is_wanted
    delivery = FakeDelivery(False)
    k.interrupts.interrupt(SimpleNamespace(worker=delivery.worker))
    delivery.worker.now.number = 2
    k.channels.due.pop()[1]()
    assert delivery.tries == 1 and not k.channels.due


def test_what_the_debugger_evaluates_is_not_the_cell(real):
    "What a stopped thread evaluates is interrupted, and its cell is still to be."
    k,places = real, ["work", "work", None]
    delivery = FakeDelivery()
    k.capture.debugger = SimpleNamespace(place=lambda frame: places.pop(0), stopped={}, freed=lambda: None)
    k.interrupts.interrupt(SimpleNamespace(worker=delivery.worker))
    while k.channels.due: k.channels.due.pop()[1]()
    assert delivery.tries == 3 and not delivery.is_wanted


def test_the_end_adds_no_interrupt_to_one_that_is_being_shown(real):
    "km.shutdown_kernel() interrupts, and asks for shutdown at once: the traceback of the first is whole."
    k,delivery = real, real.worker.delivery
    k.worker.now.number = 3
    delivery.want(3)
    delivery.done()
    k.interrupts.end()
    assert not delivery.is_wanted and not k.sent
    delivery.last = 3, delivery.last[1] - 2*AGAIN
    k.interrupts.end()
    assert delivery.is_wanted and k.sent == ["SIGURG"]
