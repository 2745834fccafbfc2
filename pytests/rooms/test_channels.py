"The sockets, really bound: what comes in, what goes out in which order and when."
import os, select, subprocess, sys, threading, time

import pytest, zmq

import ipymini.wire.sockets as channels, ipymini.wire.lines as lines
from ipymini.wire.sockets import Channels
from ipymini.process.threads import raise_in
from ipymini.request.scope import Scope
from ipymini.wire.messages import PORTS, Codec, connection
from rig import WAIT, Rig, texts, until

BUSY,IDLE = dict(execution_state="busy"), dict(execution_state="idle")
FAILED = "kernel_info_reply", dict(status="error", ename="E", evalue="", traceback=[])
REPLIES = dict(shell=FAILED, control=FAILED, stdin=("input_request", dict(prompt="", password=False)))


@pytest.fixture
def start(tmp_path):
    rigs = []

    def make(transport="ipc", started=True):
        rigs.append(Rig(transport, tmp_path))
        if started: rigs[-1].ch.start()
        return rigs[-1]

    yield make
    for r in rigs: r.close()


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_round_trip(start, transport):
    "Ports that were 0 are told; each channel hears and answers."
    rig = start(transport)
    ports = [rig.info[f"{p}_port"] for p in PORTS]
    assert all(ports) and len(set(ports)) == 5
    sub = rig.sub()
    for c in ("shell", "control", "stdin"):
        s = rig.connect(c)
        rig.request(s)
        until(lambda: rig.got, f"a message on {c}")
        channel,msg = rig.got.pop()
        scope = Scope(rig.port, msg)
        mid = rig.ch.send(c, *REPLIES[c], scope)
        got = rig.recv(s)
        assert (channel, got["msg_id"], got["msg_type"], got["parent_header"]["msg_id"]) == (c, mid, REPLIES[c][0], msg.id)
        rig.ch.send("iopub", "status", BUSY, scope)
        assert rig.recv(sub)["topic"] == [b"kernel.status"]
    hb = rig.connect("hb")
    for ping in (b"ping", b"", b"x"*10_000):
        hb.send(ping)
        assert hb.recv() == ping


def test_taken_port(start, tmp_path):
    "An OSError, as the command line expects it, that says which address."
    port = start("tcp").info["shell_port"]
    ch = Channels(connection(key="k", shell_port=port), Codec("k"), print)
    with pytest.raises(OSError, match="in use"): ch.bind()


def test_welcome(start):
    "Each subscriber is welcomed, the second of a topic too; a topic that is no UTF-8 is ignored, and unsubscribing is."
    rig = start()
    first = rig.sub(b"stream.")
    second = rig.connect("iopub")
    second.subscribe(b"\xff\xfe")
    second.subscribe(b"stream.")
    welcome = rig.recv(second)
    assert (welcome["content"], welcome["parent_header"], welcome["metadata"], welcome["topic"]) == (dict(subscription="stream."), {}, {}, [b"stream."])
    assert rig.recv(first)["content"] == dict(subscription="stream.")
    first.unsubscribe(b"stream.")
    first.subscribe(b"kernel.")
    assert rig.recv(first)["content"] == dict(subscription="kernel.")


HOLDER = """
import ctypes, sys
from ipymini.wire.sockets import *
from ipymini.wire.messages import *
ch = Channels(connection(ip=sys.argv[1], transport="ipc"), Codec(), None)
ch.bind()
ch.start()
print(ch.info["hb_port"], flush=True)
sys.stdin.readline()
print("holding", flush=True)
ctypes.PyDLL(None).usleep(700_000)
print("released", flush=True)
os._exit(0)"""


def test_heartbeat_while_the_gil_is_held(tmp_path):
    "A process whose main thread is in a C function that keeps the GIL echoes all the while."
    ip = str(tmp_path/"k")
    with subprocess.Popen([sys.executable, "-c", HOLDER, ip], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p, zmq.Context() as context:
        hb = context.socket(zmq.REQ)
        hb.rcvtimeo,hb.linger = WAIT*1000, 0
        hb.connect(f"ipc://{ip}-{int(p.stdout.readline())}")
        p.stdin.write("go\n")
        p.stdin.flush()
        assert p.stdout.readline() == "holding\n"
        for n in range(10):
            hb.send(b"%d" % n)
            assert hb.recv() == b"%d" % n
        assert not select.select([p.stdout], [], [], 0)[0]  # still in the C function
        assert p.stdout.readline() == "released\n"
        hb.close()


# --- what leaves, and when

def test_order_and_joining(start):
    "One queue: neighbours of one stream and request are joined, nothing overtakes."
    rig = start(started=False)
    a,b = rig.scope("a"), rig.scope("b")
    rig.write(a, "stdout", "1")
    rig.write(a, "stdout", "2\n")
    rig.write(a, "stderr", "3")
    rig.write(a, "stdout", "4")
    rig.ch.send("iopub", "status", BUSY, a)
    rig.write(a, "stdout", "5")
    rig.write(b, "stdout", "6")
    rig.write(b, "stdout", "")
    rig.write(a, "stdout", "7")
    rig.ch.send("iopub", "status", IDLE, a)
    waiting = list(rig.ch.outbox.entries)
    rig.ch.outbox.entries.clear()
    rig.ch.start()
    sub = rig.sub()
    rig.ch.call(lambda: rig.ch.outbox.entries.extend(waiting))
    assert texts(rig, sub, 8) == [("a", "stdout", "12\n"), ("a", "stderr", "3"), ("a", "stdout", "4"), "status", ("a", "stdout", "5"), ("b", "stdout", "6"),
        ("a", "stdout", "7"), "status"]


class Late(list):
    "Texts, all of which io takes just when another is added: before it, or behind it."

    def __init__(self, texts, take, first): super().__init__(texts), setattr(self, "acts", [super().append, lambda text: take()][::-1 if first else 1])

    def append(self, text):
        for act in self.acts: act(text)


@pytest.mark.parametrize("first", [True, False])
def test_text_that_comes_while_io_takes_what_is_before_it(start, first):
    "Stand in the gap: it is added to an entry of the outbox that io has just taken. Neither lost nor told twice, nor behind what comes later."
    rig = start(started=False)
    scope,box,taken = rig.scope(), rig.ch.outbox, []
    rig.write(scope, "stdout", "1")
    late = Late(box.tail[2], lambda: taken.append(box._close(box.entries.popleft())), first)
    box.tail = box.entries[0] = (scope, "stdout", late, box.tail[3])
    rig.write(scope, "stdout", "2")
    late.acts = [super(Late, late).append]
    rig.write(scope, "stdout", "3")
    rig.ch.send("iopub", "status", IDLE, scope)
    rig.write(scope, "stdout", "4")
    assert taken == ["1" if first else "12"]
    waiting = list(box.entries)
    assert ["".join(e[2]) for e in waiting if e[0]] == ["2" if first else "", "3", "4"] and waiting[2][0] is None


def test_texts_of_one_entry(start):
    "As long as nothing comes between them, but not without end: the outbox counts entries."
    rig = start(started=False)
    a,b = rig.scope("a"), rig.scope("b")
    for n in range(100): rig.write(a, "stdout", str(n % 10))
    assert [len(e[2]) for e in rig.ch.outbox.entries] == [16] * 6 + [4]
    for scope,name in ((a, "stderr"), (b, "stderr"), (a, "stdout")): rig.write(scope, name, "x")
    rig.ch.write(a, "stdout", "another thread's", 1)
    assert [e[2] for e in list(rig.ch.outbox.entries)[7:]] == [["x"], ["x"], ["x"], ["another thread's"]]


def test_first_text_leaves_at_once_and_later_text_with_what_follows(start, monkeypatch):
    "Were the pace half a minute: a line leaves at once if none left lately; the next waits, but not longer than until anything else leaves."
    monkeypatch.setattr(lines, "PACE", 30)
    rig = start()
    sub,scope = rig.sub(), rig.scope()
    rig.write(scope, "stdout", "first\n")
    assert texts(rig, sub, 1) == [("r", "stdout", "first\n")]
    for n in range(3): rig.write(scope, "stdout", f"{n}\n")
    assert not sub.poll(100)
    rig.ch.send("iopub", "status", IDLE, scope)
    assert texts(rig, sub, 2) == [("r", "stdout", "0\n1\n2\n"), "status"]
    rig.write(scope, "stderr", "another stream has a pace of its own\n")
    assert texts(rig, sub, 1)[0][1] == "stderr"


def test_a_line_is_waited_for(start, monkeypatch):
    "print writes its text and its line end one by one: they leave together. Text without one leaves after the grace."
    monkeypatch.setattr(lines, "GRACE", 0.5)
    rig = start()
    sub,scope = rig.sub(), rig.scope()
    rig.write(scope, "stdout", "half")
    assert not sub.poll(50)
    rig.write(scope, "stdout", " whole\n")
    rig.write(scope, "stderr", "prompt: ")
    assert texts(rig, sub, 2) == [("r", "stdout", "half whole\n"), ("r", "stderr", "prompt: ")]


def test_pace(start):
    "10,000 lines over some time: complete, and no more than 25 messages a second."
    rig = start()
    sub,scope,count = rig.sub(), rig.scope(), 0
    began = time.monotonic()

    def write():
        for n in range(10_000):
            rig.write(scope, "stdout", f"{n}\n")
            if n % 100 == 0: time.sleep(0.005)
        rig.ch.send("iopub", "status", IDLE, scope)

    t = threading.Thread(target=write)
    t.start()
    text = []
    while (m := rig.recv(sub))["msg_type"] == "stream": text.append(m["content"]["text"])
    took = time.monotonic() - began
    t.join(WAIT)
    assert "".join(text) == "".join(f"{n}\n" for n in range(10_000)) and len(text) <= 25*took + 2 and took > 0.4


def test_joined_text_has_a_limit(start, monkeypatch):
    monkeypatch.setattr(lines, "JOIN", 1000)
    rig = start()
    sub,scope = rig.sub(), rig.scope()
    def at_once():
        rig.ch.outbox.entries.extend((scope, "stdout", "x"*300, 1) for _ in range(100))
        rig.ch.send("iopub", "status", IDLE, scope)
    rig.ch.call(at_once)
    sizes = []
    while (m := rig.recv(sub))["msg_type"] == "stream": sizes.append(len(m["content"]["text"]))
    assert sum(sizes) == 30_000 and max(sizes) <= 1300 and len(sizes) <= 30


@pytest.mark.parametrize("how", ["send", "write", "call"])
@pytest.mark.parametrize("held", [False, True], ids=["idle", "holding text"])
def test_put_between_drain_and_sleep(start, monkeypatch, how, held):
    "Stand in the gap: the outbox was empty, and io is not yet known to sleep. No byte is sent, and yet nothing waits."
    monkeypatch.setattr(lines, "PACE", 30)
    rig = start()
    sub,scope,called = rig.sub(), rig.scope(), threading.Event()
    acts = dict(send=lambda: rig.ch.send("iopub", "status", IDLE, scope), write=lambda: rig.write(scope, "stderr", "x\n"), call=lambda: rig.ch.state.calls.append(called.set))
    drain,gaps = rig.ch._drain, [acts[how]]

    def drain_then_act():
        wait = drain()
        if gaps and (wait is not None) == held: gaps.pop()()
        return wait

    rig.write(scope, "stdout", "1\n")
    assert texts(rig, sub, 1) == [("r", "stdout", "1\n")]
    until(lambda: rig.ch.outbox.asleep, "io to sleep")
    rig.ch._drain = drain_then_act
    rig.write(scope, "stdout", "2\n") if held else rig.ch.outbox.rouse()
    if how == "call": assert called.wait(WAIT)
    else: assert texts(rig, sub, 1 + held)[-1] == dict(send="status", write=("r", "stderr", "x\n"))[how]


# --- what comes in

def test_many_behind_one_wake(start):
    "One event may stand for many messages: all are taken, in order."
    rig = start(started=False)
    shell = rig.connect("shell")
    for n in range(500): rig.request(shell, "execute_request", dict(code=str(n)))
    rig.ch.start()
    until(lambda: len(rig.got) == 500, "500 messages")
    assert [m.content["code"] for _,m in rig.got] == [str(n) for n in range(500)]


def test_bad_frames_are_dropped(start, caplog):
    "And logged, once a kind, and never answered; the next message is served."
    rig = start()
    shell = rig.connect("shell")
    for bad in ([b"x"], [b"<IDS|MSG>"], [b"<IDS|MSG>", b"wrong", b"{}", b"{}", b"{}", b"{}"], [b""]): shell.send_multipart(bad)
    rig.request(shell)
    until(lambda: rig.got, "the good one")
    assert len(rig.got) == 1 and len([r for r in caplog.records if "dropped" in r.message]) == 3 and not shell.poll(50)


def test_no_part_of_a_message_is_left():
    "Asynchronous exceptions come out on io where it sends: a message has left whole or not at all, and so has the next."
    n, sent, whole = 500, [], [b"topic", *(b"%d" % i for i in range(5)), b"last"]
    with zmq.Context() as ctx, ctx.socket(zmq.PAIR) as out, ctx.socket(zmq.PAIR) as in_:
        out.bind("inproc://x")
        in_.connect("inproc://x")

        def send():
            while len(sent) < n:
                try:
                    channels._send(out, whole)
                    sent.append(1)
                except (KeyboardInterrupt, zmq.Again): continue

        thread = threading.Thread(target=send)
        thread.start()
        while thread.is_alive():
            raise_in(thread.ident, KeyboardInterrupt)
            while in_.poll(0): assert in_.recv_multipart() == whole
        thread.join(WAIT)
        while in_.poll(100): assert in_.recv_multipart() == whole
    assert len(sent) == n


def test_catch_up(start, monkeypatch):
    "What had reached the process is received when it returns, though no event told io of it; from io itself it does not wait for itself."
    rig = start()
    real,hidden = channels._recv, []

    def recv(s):
        if s is rig.ch.sockets["shell"] and hidden: return hidden.pop(0)
        return real(s)

    monkeypatch.setattr(channels, "_recv", recv)
    hidden += [[b"id", *rig.codec.pack("execute_request", dict(code=str(n)))[1]] for n in range(10)]
    assert rig.ch.catch_up(WAIT) and [m.content["code"] for _,m in rig.got] == [str(n) for n in range(10)]
    on_io = []
    rig.ch.call(lambda: on_io.append(rig.ch.catch_up(0)))
    assert until(lambda: on_io, "io") == [True]


def test_catch_up_gives_up(start):
    rig,gate = start(), threading.Event()
    rig.ch.call(lambda: gate.wait(WAIT))
    assert rig.ch.catch_up(0.02) is False
    gate.set()


def test_handover(start):
    "A client that comes back under its identity, before the old connection is known to be dead, gets its messages."
    rig = start("tcp")
    old = rig.connect("shell", identity=b"me")
    rig.request(old)
    until(lambda: rig.got, "the old one's request")
    new = rig.connect("shell", identity=b"me")
    rig.request(new)
    until(lambda: len(rig.got) == 2, "the new one's request")
    rig.ch.send("shell", *REPLIES["shell"], Scope(rig.port, rig.got[1][1]))
    assert rig.recv(new)["parent_header"]["msg_id"] == rig.got[1][1].id and not old.poll(50)


def test_watched_descriptors(start):
    r,w = os.pipe()
    rig,seen = start(started=False), []
    rig.ch.watch(r, lambda: seen.append(os.read(r, 100)))
    rig.ch.start()
    os.write(w, b"hi")
    assert until(lambda: seen, "the callback") == [b"hi"]
    assert rig.ch.close(WAIT)
    os.close(r)
    os.close(w)
