"The edges of io: a slip in one item costs that item; what is queued while io works is for its next turn; control first. Real sockets."
import threading, time

import pytest

from ipymini.wire import sockets as channels
from ipymini.wire.sockets import Channels
from ipymini.wire.messages import Codec, connection
from rig import WAIT, Rig, until


@pytest.fixture
def rig(tmp_path):
    r = Rig("ipc", tmp_path)
    yield r
    r.close()


def served(rig):
    "Does io still receive?"
    n, shell = len(rig.got), rig.connect("shell")
    rig.request(shell)
    return until(lambda: len(rig.got) > n, "a request")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError, RecursionError])
def test_a_slip_in_one_message(rig, error, caplog):
    "Whatever `on_msg` raises: the next message of the same batch is served."
    def on_msg(channel, msg):
        if msg.content.get("bad"): raise error
        rig.got.append((channel, msg))
    rig.ch.on_msg = on_msg
    shell = rig.connect("shell")
    for bad in (True, False): rig.request(shell, "x_request", dict(bad=bad))
    rig.ch.start()
    assert until(lambda: rig.got, "the good one") and "a slip on io" in caplog.text and served(rig)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_slip_in_a_call_a_timer_and_a_watched_descriptor(rig, error):
    import os
    def fail(): raise error
    r, w = os.pipe()
    rig.ch.start()
    rig.ch.watch(r, lambda: (os.read(r, 1), fail()))
    os.write(w, b"x")
    rig.ch.call(fail)
    rig.ch.later(0, fail)
    done = threading.Event()
    rig.ch.later(0.01, done.set)
    assert done.wait(WAIT) and served(rig)
    assert rig.ch.close(WAIT)
    for fd in (r, w): os.close(fd)


def test_a_slip_in_what_leaves(rig):
    "A text that cannot be packed, a message that cannot be sent."
    rig.ch.start()
    sub, scope = rig.sub(), rig.scope()
    scope.keep = lambda name, text: 1/0 if "bad" in text else None
    rig.write(scope, "stdout", "bad\n")
    rig.ch.send("iopub", "status", dict(execution_state="busy"), scope)
    rig.ch.outbox.put("iopub", [object()], 1)
    rig.ch.outbox.put("nowhere", [b"x"], 1)
    rig.ch.send("iopub", "status", dict(execution_state="idle"), scope)
    assert [rig.recv(sub)["content"]["execution_state"] for _ in range(2)] == ["busy", "idle"]


def test_what_a_call_queues_is_for_the_next_turn(rig):
    "A call that queues itself again and again does not keep io from its sockets."
    rig.ch.start()
    stop = []
    def again():
        if not stop: rig.ch.call(again)
    rig.ch.call(again)
    try: assert served(rig)
    finally: stop.append(True)


def test_control_comes_first_and_a_batch_at_a_time(rig):
    shell, control = rig.connect("shell"), rig.connect("control")
    for n in range(200): rig.request(shell, "x_request", dict(n=n))
    for n in range(50): rig.request(control, "y_request", dict(n=n))
    until(lambda: all(rig.ch.sockets[c].poll(0) for c in ("shell", "control")), "both to have come")
    time.sleep(0.05)  # zmq's own threads bring the rest; nobody tells
    rig.ch.start()
    until(lambda: len(rig.got) == 250, "all")
    got = [c for c,_ in rig.got]
    assert got[:channels.BATCH] == ["control"]*channels.BATCH and got.index("shell") == channels.BATCH
    assert len(got) - 1 - got[::-1].index("control") < 2*channels.BATCH + 50 - channels.BATCH  # the rest of control came before the second batch of shell
    for name in ("shell", "control"): assert [m.content["n"] for c,m in rig.got if c == name] == sorted(m.content["n"] for c,m in rig.got if c == name)


def test_later(rig):
    "In the order in which they are due, those of one moment in the order in which they were set; io sleeps until then."
    rig.ch.start()
    seen, done = [], threading.Event()
    for n,seconds in enumerate((0.06, 0.02, 0.04, 0.02)): rig.ch.later(seconds, lambda n=n: seen.append(n))
    rig.ch.later(0.1, done.set)
    began = time.monotonic()
    assert done.wait(WAIT) and seen == [1, 3, 2, 0] and time.monotonic() - began >= 0.09


def test_a_flood_of_calls_and_prints_does_not_hold_up_what_is_due(rig, monkeypatch):
    "A turn ends after so many messages, though producers are as fast as io."
    monkeypatch.setattr("ipymini.wire.outbox.TURN", 4)
    rig.ch.start()
    scope, stop = rig.scope(), []
    def produce():
        while not stop: rig.ch.send("iopub", "status", dict(execution_state="busy"), scope)
    ts = [threading.Thread(target=produce) for _ in range(3)]
    for t in ts: t.start()
    try: assert served(rig)
    finally:
        stop.append(True)
        for t in ts: t.join()


def test_garbage_does_not_fill_the_log(rig, caplog):
    rig.ch.start()
    shell = rig.connect("shell")
    for _ in range(500): shell.send_multipart([b"x"])
    assert served(rig) and 1 <= sum("no delimiter" in r.message for r in caplog.records) < 10


def test_nothing_stays_open_where_one_address_is_taken(rig, tmp_path):
    "Contexts can be ended, which waits for every socket."
    rig.ch.start()
    taken = connection("tcp", "127.0.0.1", key="k")
    first = Channels(taken, Codec("k"), print)
    first.bind()
    other = Channels(connection("tcp", "127.0.0.1", key="k", hb_port=taken["hb_port"]), Codec("k"), print)
    with pytest.raises(OSError, match="hb"): other.bind()
    assert all(c.closed for c in other.state.contexts)
    for s in first.sockets.values(): s.close(0)


def test_longest_item_is_known(rig):
    rig.ch.start()
    done = threading.Event()
    def slow():
        time.sleep(0.05)
        done.set()
    rig.ch.call(slow)
    assert done.wait(WAIT) and served(rig)
    assert rig.ch.state.longest[0] >= 0.05 and "slow" in rig.ch.state.longest[1]
