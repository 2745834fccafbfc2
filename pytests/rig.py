"""Rig room: the real `Channels` between real sockets, for the tests of that room.
Knows zmq, channels, wire, spec. Must not know: pytest, the kernel. Threads: the test's own.
Spec: messaging, "Introduction" (sockets)."""
import threading, time
from types import SimpleNamespace

import zmq

from fakes import execute
from ipymini.wire.sockets import Channels
from ipymini.request.scope import Scope
from ipymini.wire.messages import Codec, connection, endpoint

from spec import check

WAIT = 10  # seconds until a wait gives up


def until(pred, what):
    end = time.monotonic() + WAIT
    while not (res := pred()):
        assert time.monotonic() < end, f"waited {WAIT} s for {what}"
        time.sleep(0.002)
    return res


class Rig:
    "Channels that serve, and clients of them; `got` is what came in."

    def __init__(self, transport, folder):
        self.info = connection(transport, "127.0.0.1" if transport == "tcp" else f"{folder}/k", key="k")
        self.got,self.context,self.clients = [], zmq.Context(), []
        self.ch = Channels(self.info, Codec("k"), lambda *m: self.got.append(m))
        self.ch.bind()
        self.codec,self.codecs,self.port = Codec("k"), {}, SimpleNamespace(send=self.ch.send, write=self.ch.write)

    def connect(self, channel, **options):
        "A client's socket on `channel`, which knows after WAIT seconds that nothing comes."
        s = self.context.socket(dict(iopub=zmq.SUB, hb=zmq.REQ).get(channel, zmq.DEALER))
        for k,v in (dict(rcvtimeo=WAIT*1000, linger=0) | options).items(): setattr(s, k, v)
        s.connect(endpoint(self.info, channel))
        self.clients.append(s)
        return s

    def sub(self, topic=b"", **options):
        "A subscriber, welcomed."
        s = self.connect("iopub", **options)
        s.subscribe(topic)
        assert self.recv(s)["content"] == dict(subscription=topic.decode())
        return s

    def recv(self, s):
        "The next message on `s`, checked."
        m = self.codecs.setdefault(s, Codec("k")).unpack(s.recv_multipart())  # each client knows what it has seen
        return check(m.as_dict() | dict(topic=m.idents))

    def request(self, s, mtype="kernel_info_request", content=None): s.send_multipart(self.codec.pack(mtype, content or {})[1])

    def scope(self, mid="r"): return Scope(self.port, execute("", mid))

    def write(self, scope, name, text): self.ch.write(scope, name, text, threading.main_thread().ident)

    def close(self):
        assert self.ch.state.thread is None or not self.ch.state.thread.is_alive() or self.ch.close(5)
        if self.ch.state.thread is None:  # never started: its sockets would be closed by the garbage collector, on some thread, which waits for them
            for s in self.ch.sockets.values(): s.close(0)
        for s in self.clients: s.close(0)
        self.context.term()


def texts(rig, s, n):
    "What `n` streams messages tell: (parent, stream, text); other messages as their type."
    ms = [rig.recv(s) for _ in range(n)]
    return [(m["parent_header"]["msg_id"], *m["content"].values()) if m["msg_type"] == "stream" else m["msg_type"] for m in ms]
