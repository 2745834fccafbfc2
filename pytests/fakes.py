"""Fakes room: what the lower floors of the tests put in the place of sockets (`Out`, `FakeChannels`) and of IPython (`FakeBridge`).
Knows wire, scope, worker and kernel, and spec: each message that a fake is handed is packed, unpacked and checked against the specification.
Must not know: zmq, IPython, pytest. Threads: the test's own; `Out` is a list, which any may append to.
Spec: messaging."""

import asyncio, threading
from collections import namedtuple
from types import SimpleNamespace

from ipymini.wire.early import Early
from ipymini.kernel import Kernel
from ipymini.request.scope import Port, Scope
from ipymini.wire.messages import Codec, Msg
from ipymini.serve.worker import Worker

from spec import check, kind

DATE = "2026-01-02T03:04:05.678901Z"
Sent = namedtuple("Sent", "channel type parent content metadata buffers idents")


def request(msg_type, mid="r", metadata=None, parent=None, subshell_id=None, idents=(b"client",), **content):
    "A request as the codec hands it over; `parent` is its parent_header. A key `content_` stands for a content that is no object."
    header = dict(msg_id=mid, username="u", session="s", date=DATE, msg_type=msg_type, version="5.5")
    if subshell_id is not None: header["subshell_id"] = subshell_id
    return Msg(header, content.pop("content_", content), parent, metadata, (), idents)


def execute(code, mid="r", **content): return request("execute_request", mid, code=code, **content)


class Out(list):
    "The port below as a list of `Sent`: what would have left, in order. `ask` answers from `answers`."

    def __init__(self):
        self.codec,self.answers = Codec("key"), []
        self.port = Port(send=self.send, write=self.write, ask=lambda scope, prompt, password: self.answers.pop(0))

    def send(self, channel, msg_type, content, scope=None, metadata=None, buffers=None):
        "As Channels.send; what the specification would refuse fails here."
        mid,frames = self.codec.pack(msg_type, content, scope.header_raw if scope else b"{}", metadata, buffers)
        m = self.codec.unpack(frames)
        check(dict(header=m.header, parent_header=m.parent_header, metadata=m.metadata, content=m.content, buffers=m.buffers), channel)
        self.append(Sent(channel, msg_type, m.parent_header.get("msg_id"), m.content, m.metadata, m.buffers, scope.idents if scope else ()))
        return mid

    def write(self, scope, name, text, who): return self.send("iopub", "stream", dict(name=name, text=text), scope)

    def lines(self, *channels):
        "What was sent, a short line a message: parent, kind, status or text; only that on `channels` if given."
        return [line(m) for m in self if not channels or m.channel in channels]


def line(m):
    "`m` (Sent) in a few words."
    word = kind(dict(header=dict(msg_type=m.type), content=m.content))
    more = m.content.get("ename") or m.content.get("text") or (m.content.get("status") if m.channel != "iopub" else None)
    return " ".join(filter(None, [m.parent, word, more]))


def texts(out):
    "(parent, stream, text) of the streams, neighbours joined."
    res = []
    for m in (m for m in out if m.type == "stream"):
        who = m.parent, m.content["name"]
        if res and res[-1][:2] == who: res[-1] = (*who, res[-1][2] + m.content["text"])
        else: res.append((*who, m.content["text"]))
    return res


class FakeChannels(Out):
    "Channels without sockets: calls run at once, as if io had been waiting for them. `catch_up` runs what a test puts into `gaps`."

    def __init__(self, info, codec, on_msg):
        super().__init__()
        self.info,self.on_msg,self.gaps,self.closed,self.due = info, on_msg, [], False, []
        self.state = SimpleNamespace(thread=threading.current_thread())

    def call(self, f): f()

    def later(self, seconds, f): self.due.append((seconds, f))

    def catch_up(self, timeout=1.0):
        while self.gaps: self.gaps.pop(0)()
        return True

    def close(self, timeout=1.0): self.closed = True


class FakeBridge:
    "A shell that knows a few words as code: each a function of `words`, called with the running scope; other code is echoed as stdout."

    def __init__(self, out, **words):
        self.out,self.words,self.count,self.comms,self.shell = out, words, 1, [], SimpleNamespace(exit_now=False)

    async def execute(self, content, cell_id=None, cell_meta=None):
        from ipymini.request.scope import current
        code,n = content["code"], self.count
        if content["store_history"] and not content["silent"]: self.count += 1
        base = dict(status="ok", execution_count=n, user_expressions={}, payload=[])
        if code in self.words: return base | (self.words[code](current.get()) or {})
        if code: current.get().write("stdout", code)
        return base

    def complete_within(self, code, cursor_pos, is_moot): return dict(status="ok", matches=[code], cursor_start=0, cursor_end=cursor_pos, metadata={})

    def inspect(self, code, cursor_pos, detail_level, omit_sections): return dict(status="ok", found=False, data={}, metadata={})

    def is_complete(self, code): return dict(status="complete")

    def history(self, **which): return dict(status="ok", history=[[0, 1, str(sorted(which))]])

    def comm_info(self, target_name): return dict(status="ok", comms={"c": dict(target_name=target_name or "t")})

    def comm(self, msg): self.comms.append((msg.type, msg.content["comm_id"]))

    def for_subshell(self, worker, subshell_id): return FakeBridge(self.out, **self.words)

    def let_go(self): return

    def end(self): self.count = None


ERROR = dict(status="error", ename="ZeroDivisionError", evalue="division by zero", traceback=["tb"])


def boom(scope):
    "A cell that fails, as the bridge tells it."
    scope.emit("error", {k: ERROR[k] for k in ("ename", "evalue", "traceback")})
    return ERROR


class FakeKernel(Kernel):
    """The real kernel between the fakes; interrupts and the begin of the end are noted instead of done to the test's process. `pipe` is what
    C code has written."""

    def __init__(self, **words):
        super().__init__(Early(dict(key="k", signature_scheme="hmac-sha256", transport="tcp", ip="127.0.0.1",
            shell_port=1, iopub_port=2, stdin_port=3, control_port=4, hb_port=5)))
        self.out,self.signalled,self.begun,self.pipe = self.channels, 0, [], []
        self.bridge = FakeBridge(self.out, boom=boom, **words)
        self.interrupts.ask,self.interrupts.pursue = self.note_signal, lambda sub, number: sub is self.main and self.note_signal(number)
        self.life.ending = SimpleNamespace(begin=lambda: self.begun.append(True))

    bridge = property(lambda self: self.main.bridge, lambda self, bridge: setattr(self.main, "bridge", bridge))
    worker = property(lambda self: self.main.worker, lambda self, worker: setattr(self.main, "worker", worker))

    def note_signal(self, number): self.signalled += 1

    def drain(self):
        while self.pipe: (Scope.latest or Scope.nobody).write("stdout", self.pipe.pop(0))

    def serve_all(self, *msgs, channel="shell"):
        "Receive `msgs` on `channel`, serve until nothing is queued; what was sent."
        for m in msgs: self.route(channel, m)
        serve = self.main.serve

        async def serve_one(msg):
            await serve(msg)
            if not self.worker.inbox: self.worker.stop()

        self.worker.serve = serve_one
        if self.worker.inbox:
            self.worker.run()
            self.worker.loop.close()
            asyncio.set_event_loop(None)
        return self.out


def scope_of(out, msg=None): return Scope(out.port, msg or execute(""))


class CallingWorker(Worker):
    "The real worker with functions as messages: each is called, and what it gives back is awaited if it can be."

    def __init__(self, meanwhile=lambda msg: False): super().__init__(self.call, meanwhile)

    async def call(self, msg):
        res = msg()
        if asyncio.iscoroutine(res): await res

    def serve_all(self, *msgs):
        "Serve `msgs` and whatever they put, until nothing is left."
        def last():
            if self.inbox: self.put(last)
            else: self.stop()
        for m in (*msgs, last): self.put(m)
        self.run_guarded()

    def run_guarded(self, ready=lambda: None, within=10):
        "As `run`; a worker that hangs fails the test after `within` seconds. Its loop is closed at the end."
        hung = []
        timer = threading.Timer(within, lambda: (hung.append(self.ident), self.stop(), self.cancel_soon()))
        timer.start()
        try: self.run(ready)
        finally:
            timer.cancel()
            self.loop.close()
            asyncio.set_event_loop(None)
        assert not hung, f"the worker served for more than {within} s"
