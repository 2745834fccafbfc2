"Subshells between a fake bridge and fake channels, on their real threads: making, ending, order, and what an interrupt means to them."
import contextlib, sys, threading, time

import pytest

import ipymini.interrupts.budget as budget
from fakes import FakeChannels, FakeKernel, request
from ipymini.request.scope import Scope, current

WAIT = 10  # seconds until a wait gives up


@pytest.fixture
def make(monkeypatch):
    "Make a kernel whose control lane serves; its subshells end with the test."
    monkeypatch.setattr("ipymini.wire.early.Channels", FakeChannels)
    monkeypatch.setattr(Scope, "latest", None)
    monkeypatch.setattr(Scope, "nobody", None, raising=False)
    kernels, token = [], current.set(None)

    def make_one(**words):
        k = FakeKernel(**words)
        k.lanes["control"].open()
        kernels.append(k)
        return k

    yield make_one
    for s in [s for k in kernels for s in k.subs.values() if s.id]:
        s.worker.stop()
        assert s.join(WAIT)
    current.reset(token)


def until(pred, what="an event"):
    end = time.monotonic() + WAIT
    while not (res := pred()):
        assert time.monotonic() < end, f"waited {WAIT} s for {what}"
        time.sleep(0.001)
    return res


def lines(k, mid): return [x for x in k.out.lines() if x.split()[0] == mid]


def idle(k, *mids): until(lambda: all(f"{m} idle" in k.out.lines() for m in mids), f"idle of {mids}")


def control(k, kind, mid, **content):
    "A request on the control lane; the content of its reply."
    k.route("control", request(f"{kind}_subshell_request", mid, content_=content))
    idle(k, mid)
    return next(m.content for m in k.out if m.parent == mid and m.channel == "control")


def create(k, mid): return control(k, "create", mid)["subshell_id"]


def to(sub, code, mid): return request("execute_request", mid, subshell_id=sub, code=code)


def test_create_list_delete(make):
    k = make()
    a, b = create(k, "1"), create(k, "2")
    assert control(k, "list", "3")["subshell_id"] == [a, b]
    assert control(k, "delete", "4", subshell_id=a)["status"] == "ok" and control(k, "list", "5")["subshell_id"] == [b]
    assert lines(k, "4") == ["4 busy", "4 delete_subshell_reply ok", "4 idle"]
    assert control(k, "delete", "6", subshell_id=a)["ename"] == "UnknownSubshellError"
    assert control(k, "delete", "7")["ename"] == "BadContent"


def test_served_on_its_own_thread(make):
    "In order, in brackets, with a count of its own; main's inbox stays empty."
    seen = []
    k = make(where=lambda scope: seen.append((scope.msg.id, threading.current_thread().name, scope.sub.id)))
    a = create(k, "1")
    for m in ("x", "y"): k.route("shell", to(a, "where", m))
    idle(k, "x", "y")
    assert seen == [(m, f"subshell-{a}", a) for m in ("x", "y")] and not k.main.worker.inbox
    assert [m.content["execution_count"] for m in k.out if m.type == "execute_reply"] == [1, 2] and k.bridge.count == 1
    assert lines(k, "x") == ["x busy", "x execute_input", "x execute_reply ok", "x idle"]


def test_concurrent(make):
    "Two that wait for each other."
    barrier = threading.Barrier(2, timeout=WAIT)
    k = make(meet=lambda scope: barrier.wait() and None)
    for m, sub in dict(x=create(k, "1"), y=create(k, "2")).items(): k.route("shell", to(sub, "meet", m))
    idle(k, "x", "y")
    assert "x execute_reply ok" in k.out.lines() and "y execute_reply ok" in k.out.lines()


def test_errors_abort_their_own(make):
    gates = threading.Event()
    k = make(wait=lambda scope: gates.wait(WAIT) and None)
    a, b = create(k, "1"), create(k, "2")
    for sub, ms in ((a, "vwx"), (b, "stu")):
        for m, code in zip(ms, ("wait", "boom" if sub is a else "fine", "last")): k.route("shell", to(sub, code, m))
    gates.set()
    idle(k, *"vwxstu")
    assert [next(x for x in lines(k, m) if "reply" in x).split()[-1] for m in "vwxstu"] == ["ok", "ZeroDivisionError", "aborted", "ok", "ok", "ok"]


@pytest.mark.parametrize("when", ["before its error is shown", "after that"])
def test_broken_off(make, when):
    "An interrupt comes out in our own code, between a cell's error and the reply: the reply tells what was shown, and something has been shown."
    shown = dict(ename="ZeroDivisionError", evalue="division by zero", traceback=["tb"])
    def cell(scope):
        if when == "after that":
            scope.error = shown
            scope.emit("error", shown)
        raise KeyboardInterrupt
    k = make(cell=cell)
    k.route("shell", to(create(k, "1"), "cell", "x"))
    idle(k, "x")
    error, reply = (next(m.content for m in k.out if m.parent == "x" and m.type == t) for t in ("error", "execute_reply"))
    assert error.items() <= reply.items() and (error == shown or error == dict(ename="KeyboardInterrupt", evalue="", traceback=["KeyboardInterrupt: "]))
    assert (error == shown) == (when == "after that") and reply["status"] == "error"


def test_delete_while_it_serves(make):
    "Answered while the cell still runs; what is queued is refused; what arrives in between finds no subshell; the thread ends after the cell."
    started, gate = threading.Event(), threading.Event()
    k = make(hold=lambda scope: started.set() or gate.wait(WAIT) and None)
    a = create(k, "1")
    sub = k.subs[a]
    k.route("shell", to(a, "hold", "x"))
    assert started.wait(WAIT)
    k.route("shell", to(a, "never", "y"))
    assert control(k, "delete", "2", subshell_id=a)["status"] == "ok"
    k.route("shell", to(a, "never", "z"))
    assert [x for m in "yz" for x in lines(k, m)] == [x for m in "yz" for x in (f"{m} busy", f"{m} execute_reply UnknownSubshellError", f"{m} idle")]
    assert lines(k, "x")[-1] == "x execute_input" and sub.thread.is_alive()
    gate.set()
    assert sub.join(WAIT) and lines(k, "x")[-1] == "x idle" and sub.bridge.count is None


def tell(k, sub, n):
    "Comm message `n` through `sub`, as io receives it; its Msg."
    msg = request("comm_msg", f"m{n}", subshell_id=sub, comm_id=str(n))
    k.route("shell", msg)
    return msg


def test_comms_are_handed_over_in_order(make):
    "What waits for main goes to the subshell all at once, the others' stay; what comes before it has served them goes behind."
    k = make()
    a = create(k, "1")
    gate = threading.Event()
    k.subs[a].bridge.words["hold"] = lambda scope: gate.wait(WAIT) and None
    k.route("shell", to(a, "hold", "x"))
    first, other = tell(k, a, 0), tell(k, None, 1)
    tell(k, a, 2)
    assert [m.id for m in k.main.worker.inbox] == ["m0", "m1", "m2"]
    k.hand_over(first)
    assert list(k.main.worker.inbox) == [other]
    tell(k, a, 3)
    gate.set()
    idle(k, "m3")
    assert [n for _, n in k.subs[a].bridge.comms] == ["0", "2", "3"] and list(k.main.worker.inbox) == [other]
    tell(k, a, 4)
    assert [m.id for m in k.main.worker.inbox] == ["m1", "m4"]


def test_comms_that_main_takes_meanwhile(make):
    "Stand in the gap: main takes the first as the later ones are claimed. All the others go back, in order."
    k = make()
    a = create(k, "1")
    first, second, third = [tell(k, a, n) for n in range(3)]
    claim = k.main.worker.claim

    def claim_late(msg):
        if msg is second: claim(first)
        return claim(msg)

    k.main.worker.claim = claim_late
    k.hand_over(first)
    assert list(k.main.worker.inbox) == [second, third] and not k.subs[a].comms


def test_interrupts_while_subshells_come_and_go(make):
    "Stand in the gap: one is made, one ends, as all are being interrupted."
    k = make()
    a, b = create(k, "1"), create(k, "2")
    seen = []

    def interrupt(sub):
        seen.append(sub.id)
        if sub.id == a: create(k, "3"), control(k, "delete", "4", subshell_id=b)

    k.interrupts.interrupt = interrupt
    k.interrupts.everything()
    assert seen == [a, b, b] and len(k.subs) == 3  # b also as it is deleted


def test_put_as_it_is_deleted(make):
    "Stand in the gap: io has found the subshell, the control lane deletes it, io puts: the request is answered all the same."
    k = make()
    a = create(k, "1")
    sub = k.subs[a]
    put = sub.put

    def put_late(msg):
        control(k, "delete", "2", subshell_id=a)
        assert sub.join(WAIT)
        put(msg)

    sub.put = put_late
    k.route("shell", to(a, "x", "x"))
    idle(k, "x")
    assert any("execute_reply" in x for x in lines(k, "x"))


# --- interrupts

@pytest.fixture
def spread(make):
    "A kernel with two subshells that serve, begun one after the other; whom an interrupt hits, by name."
    gate, started, hit = threading.Event(), threading.Semaphore(0), []
    k = make(hold=lambda scope: started.release() or gate.wait(WAIT) and None)
    names = {create(k, m): m for m in ("1", "2")}
    for sub, m in names.items():
        k.route("shell", to(sub, "hold", f"hold {m}"))
        assert started.acquire(timeout=WAIT)
    k.interrupts.interrupt = lambda sub: hit.append(names[sub.id])
    yield k, hit
    gate.set()


def test_idle_main(spread):
    "The one that began last."
    k, hit = spread
    k.interrupts.spread(0)
    assert hit == ["2"]


def test_busy_main(spread):
    "Main's alone, the first time; everybody's, the second time for the same request."
    k, hit = spread
    k.interrupts.spread(5)
    assert hit == []
    k.interrupts.spread(5)
    assert hit == ["1", "2"]


def test_another_request_is_a_first_time(spread):
    k, hit = spread
    for number in (5, 6, 7): k.interrupts.spread(number)
    assert hit == []


def test_two_subshells_in_a_row(spread):
    "Main is idle both times; the second interrupt is for another request, and so a first one."
    k, hit = spread
    k.interrupts.spread(0)
    k.subs[next(s for s in k.subs if s and k.subs[s].worker.now.since == max(x.worker.now.since for x in k.subs.values()))].worker.now.number = 0
    k.interrupts.spread(0)
    assert hit == ["2", "1"]


def test_number_is_that_of_the_signal(make):
    "Stand in the gap: the cell ends between the signal and its turn on io; the interrupt is still that cell's."
    k, late = make(), []
    k.channels.call = late.append
    k.main.worker.now.number = 3
    with contextlib.suppress(KeyboardInterrupt): k.interrupts.on_sigint(2, sys._getframe())
    k.main.worker.now.number = 0
    got = []
    k.interrupts.spread = got.append
    for f in late: f()
    assert got == [3]


# --- budget

def test_budget():
    "What the call gives or raises; `Late` when its time is over or nobody wants it, and the call goes on by itself, unharmed."
    gate,ended = threading.Event(), threading.Event()
    def call():
        gate.wait(10)
        ended.set()
    assert budget.within(5, lambda: False, lambda a: a + 1, 1) == 2
    with pytest.raises(ZeroDivisionError): budget.within(5, lambda: False, lambda: 1/0)
    with pytest.raises(budget.Late) as late: budget.within(0.05, lambda: False, call)
    assert late.value.thread.is_alive() and not ended.is_set()
    with pytest.raises(budget.Late): budget.within(60, lambda: True, gate.wait, 10)
    gate.set()
    assert ended.wait(10)
