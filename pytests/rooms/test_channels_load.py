"The sockets under load: big buffers, subscribers that read nothing, producers that are too fast, the end."
import os, subprocess, sys, threading, time

import numpy as np, pytest

import ipymini.wire.sockets as channels, ipymini.wire.lines as lines, ipymini.wire.outbox as outbox
from ipymini.request.scope import Scope
from rig import WAIT, Rig, texts, until

IDLE = dict(execution_state="idle")


@pytest.fixture
def start(tmp_path):
    rigs = []

    def make(transport="ipc", started=True):
        rigs.append(Rig(transport, tmp_path))
        if started: rigs[-1].ch.start()
        return rigs[-1]

    yield make
    for r in rigs: r.close()


def test_big_buffers_both_ways(start):
    "Received without a copy, and sent back as they are; big enough that zmq sends them without a copy too."
    rig = start()
    shell,sub = rig.connect("shell"), rig.sub()
    data = [os.urandom(5_000_000), b"", os.urandom(65_537)]
    shell.send_multipart(rig.codec.pack("comm_msg", dict(comm_id="c", data={}), buffers=data)[1])
    until(lambda: rig.got, "the comm_msg")
    msg = rig.got[0][1]
    assert [type(b) for b in msg.buffers] == [memoryview]*3
    rig.ch.send("iopub", "comm_msg", msg.content, Scope(rig.port, msg), buffers=msg.buffers)
    assert [bytes(b) for b in rig.recv(sub)["buffers"]] == data


def test_odd_buffers_leave(start):
    "Arrays of any shape and element size; above all they must not harm io."
    rig = start()
    sub = rig.sub()
    pieces = [np.arange(6, dtype="<u2").reshape(2, 3), np.zeros((2, 200_000), "u1"), np.array(7, "u1"), np.frombuffer(b"a", "u1").reshape(()), bytearray(b"b")]
    for p in pieces[:3]: p.flags.writeable = False
    rig.ch.send("iopub", "comm_msg", dict(comm_id="c", data={}), rig.scope(), buffers=pieces)
    assert [bytes(b) for b in rig.recv(sub)["buffers"]] == [bytes(memoryview(p).tobytes()) for p in pieces]


# --- subscribers that read nothing

def display(n): return dict(data={"text/plain": f"{n} " + "x"*2000}, metadata={}, transient={})


def numbers(rig, s, until_idle=True):
    "The numbers of the displays that come on `s`, up to the next idle."
    got = []
    while (m := rig.recv(s))["msg_type"] == "display_data": got.append(int(m["content"]["data"]["text/plain"].split()[0]))
    return got


def wait_stuck(rig):
    "Until nothing has left for a while: producers wait."
    until(lambda: rig.ch.state.stuck and time.monotonic() - rig.ch.state.stuck > 0.1, "a full subscriber")


class Producer(threading.Thread):
    "Sends `n` displays and an idle, as fast as it may; `most` is the largest outbox it saw."

    def __init__(self, rig, n):
        super().__init__(daemon=True)
        self.rig,self.n,self.most = rig, n, 0
        self.start()

    def run(self):
        for n in range(self.n):
            self.rig.ch.send("iopub", "display_data", display(n), self.rig.scope())
            self.most = max(self.most, len(self.rig.ch.outbox.entries))
        self.rig.ch.send("iopub", "status", IDLE, self.rig.scope())


def test_producer_waits_for_a_slow_subscriber(start, monkeypatch):
    "Memory stays bounded, requests are received meanwhile; when the subscriber reads again it gets everything, in order."
    monkeypatch.setattr(outbox, "ROOM", 50)
    monkeypatch.setattr(channels, "STALL", 60)
    rig = start()
    slow,control = rig.sub(rcvhwm=1), rig.connect("control")
    producer = Producer(rig, 3000)
    wait_stuck(rig)
    rig.request(control)
    until(lambda: rig.got, "a request while iopub is stuck")
    assert producer.is_alive()
    assert numbers(rig, slow) == list(range(3000))
    producer.join(WAIT)
    assert producer.most <= 52 and rig.ch.state.stuck is None


def test_printer_waits_for_a_slow_subscriber(start, monkeypatch):
    "As the producer of displays."
    monkeypatch.setattr(outbox, "ROOM", 50)
    monkeypatch.setattr(channels, "STALL", 60)
    monkeypatch.setattr(lines, "JOIN", 1000)
    rig = start()
    slow,most = rig.sub(rcvhwm=1), []
    scope,line = rig.scope(), "x" * 1000 + "\n"

    def write():
        for n in range(20_000):
            rig.write(scope, "stdout", f"{n} {line}")
            most.append(sum(len(e[2]) for e in list(rig.ch.outbox.entries)))
        rig.ch.send("iopub", "status", IDLE, scope)

    t = threading.Thread(target=write, daemon=True)
    t.start()
    wait_stuck(rig)
    assert t.is_alive()
    text = []
    while (m := rig.recv(slow))["msg_type"] == "stream": text.append(m["content"]["text"])
    t.join(WAIT)
    assert [line.split()[0] for line in "".join(text).splitlines()] == [str(n) for n in range(20_000)] and max(most) <= 52 * outbox.RUN


def test_waiting_for_a_slow_subscriber_costs_little(start, monkeypatch):
    "Neither io nor the producers run in circles while nothing can leave."
    monkeypatch.setattr(outbox, "ROOM", 50)
    rig = start()
    rig.sub(rcvhwm=1)
    Producer(rig, 3000)
    wait_stuck(rig)
    began = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - began < 0.2


def test_subscriber_that_reads_nothing_loses_only_iopub(start, monkeypatch):
    "After the stall others get all of it, and so do the shell's clients; when it reads again it is served again."
    monkeypatch.setattr(outbox, "ROOM", 50)
    monkeypatch.setattr(channels, "STALL", 0.2)
    rig = start()
    slow,fast,shell = rig.sub(rcvhwm=1), rig.sub(rcvhwm=0), rig.connect("shell")
    rig.recv(slow)  # the welcome of fast
    rig.request(shell)
    until(lambda: rig.got, "the request")
    producer = Producer(rig, 3000)
    assert numbers(rig, fast) == list(range(3000))
    producer.join(WAIT)
    rig.ch.send("shell", "kernel_info_reply", dict(status="error", ename="E", evalue="", traceback=[]), Scope(rig.port, rig.got[0][1]))
    assert rig.recv(shell)["msg_type"] == "kernel_info_reply"
    got = []
    while slow.poll(200): got.append(rig.recv(slow)["content"])
    assert 0 < len(got) < 3000 and producer.most <= 52
    assert [int(c["data"]["text/plain"].split()[0]) for c in got] == list(range(len(got)))
    rig.ch.send("iopub", "status", IDLE, rig.scope())
    assert rig.recv(slow)["content"] == IDLE
    assert rig.recv(fast)["content"] == IDLE
    monkeypatch.setattr(channels, "STALL", 60)  # from here on it is waited for as at first
    again = Producer(rig, 3000)
    wait_stuck(rig)
    assert numbers(rig, slow) == numbers(rig, fast) == list(range(3000))
    again.join(WAIT)


def test_writer_waits_for_room_not_for_the_pace(start, monkeypatch):
    "Text that io has taken to hold it for a while is no reason to stop the writer; in the end all of it is there, in few pieces."
    monkeypatch.setattr(outbox, "ROOM", 50)
    monkeypatch.setattr(lines, "PACE", 30)
    rig = start()
    sub,scope,began = rig.sub(), rig.scope(), time.monotonic()
    for n in range(2000): rig.write(scope, "stdout", f"{n}\n")
    took = time.monotonic() - began
    rig.ch.send("iopub", "status", IDLE, scope)
    text = []
    while (m := rig.recv(sub))["msg_type"] == "stream": text.append(m["content"]["text"])
    assert "".join(text) == "".join(f"{n}\n" for n in range(2000)) and len(text) <= 2 and took < 2


# --- the end

def test_close_sends_everything(start, monkeypatch):
    "Held text too; then both threads have ended, and the address is free."
    monkeypatch.setattr(lines, "PACE", 30)
    rig = start("tcp")
    rig.ch.outbox.lines.sent["stdout"] = time.monotonic()
    sub,scope = rig.sub(rcvhwm=0), rig.scope()
    for n in range(500): rig.ch.send("iopub", "display_data", display(n), scope)
    for n in range(3): rig.write(scope, "stdout", f"{n}\n")
    rig.ch.send("iopub", "status", IDLE, scope)
    for n in range(3): rig.write(scope, "stdout", f"{n}\n")
    assert rig.ch.close(WAIT) and not rig.ch.state.heart.is_alive()
    assert texts(rig, sub, 503)[500:] == [("r", "stdout", "0\n1\n2\n"), "status", ("r", "stdout", "0\n1\n2\n")]
    again = channels.Channels(rig.info, rig.codec, print)
    again.bind()
    for s in again.sockets.values(): s.close(0)


def test_close_with_a_subscriber_that_reads_nothing(start):
    "The end does not wait for it."
    rig = start()
    rig.sub(rcvhwm=1)
    producer = Producer(rig, 3000)
    until(lambda: rig.ch.state.stuck, "a stall")
    began = time.monotonic()
    assert rig.ch.close(WAIT) and time.monotonic() - began < 2
    producer.join(WAIT)
    assert not producer.is_alive()


def test_put_after_close(start, monkeypatch):
    "User threads may still print: nothing happens, nobody waits for room that will not come."
    monkeypatch.setattr(outbox, "ROOM", 50)
    rig = start()
    assert rig.ch.close(WAIT)
    producer = Producer(rig, 200)
    producer.join(WAIT)
    assert not producer.is_alive()


def test_dead_io_takes_the_process_down():
    "With its traceback: a half-alive kernel is the worst kernel. A slip in one item is none: see test_io_edges."
    code = "from ipymini.wire.sockets import *\nfrom ipymini.wire.messages import *\n" \
        "c = Channels(connection(key=''), Codec(), None)\nc.bind()\nc._turn = lambda: 1/0\nc.start()\nthreading.Event().wait(30)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert done.returncode == 70 and "ZeroDivisionError" in done.stderr and "io is broken" in done.stderr
