"""Harness room: a kernel under test, its clients, and what one request brought. Every message that arrives is checked by spec.
Knows jupyter_client (manager and session), pyzmq, spec. Must not know: pytest, the kernel's insides. Threads: the test's own.
Spec: messaging. A client reads all four channels with one poller, files each message under its parent, and waits for events with a deadline."""
import hashlib, hmac, json, os, psutil, signal, tempfile, time, uuid, zmq
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from jupyter_client import BlockingKernelClient, KernelManager

from spec import check, check_order, kind

KERNEL_NAME = os.environ.get("IPYMINI_TEST_KERNEL", "ipymini")
TIMEOUT = float(os.environ.get("IPYMINI_TEST_TIMEOUT", 20))
CHANNELS = ("shell", "control", "stdin", "iopub")
DELIM = b"<IDS|MSG>"
LONGEST = "(lambda state: (state.longest, setattr(state, 'longest', (0.0, '')))[0])(get_ipython().kernel._kernel.channels.state)"

NO_THREADS = """import sys, threading
places = [vars(threading), sys.modules['ipymini.process.threads'].NAMES[0]]  # where the user's threads start, and the kernel's
kept = {n: vars(threading)[n] for n in ('_start_new_thread', '_start_joinable_thread') if n in vars(threading)}
def cannot(*args, **kwargs): raise RuntimeError("can't start new thread")
for p in places: p.update(dict.fromkeys(kept, cannot))"""
THREADS_AGAIN = "for p in places: p.update(kept)"


def wait_until(pred, timeout=TIMEOUT, what="", step=0.01):
    "Poll a fact that nothing announces (a process gone, a file there) until it is true; give it back, or fail after `timeout` seconds."
    end = time.monotonic() + timeout
    while not (res := pred()):
        assert time.monotonic() < end, f"waited {timeout} s in vain for {what or pred}"
        time.sleep(step)
    return res


def slack():
    """How much longer things take now than on an idle machine: wall to CPU time of a moment's work, or, as that moment may be a lucky one, the processes that wanted a
    CPU in the last minute for each CPU there is. Bounds of time in tests are multiplied by it."""
    wall, cpu = time.perf_counter(), time.thread_time()
    while time.thread_time() - cpu < 0.02: pass
    return max(1.0, (time.perf_counter() - wall) / 0.02, os.getloadavg()[0] / os.cpu_count())


def same(got, want):
    "Assert that two long texts are equal, telling no more than where they differ."
    if got == want: return
    i = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    raise AssertionError(f"lengths {len(got)} and {len(want)}; from {i} on: {got[i:i + 60]!r} is not {want[i:i + 60]!r}")


def line(msg):
    "One line about a message, for a failure's dump."
    text = json.dumps(msg["content"], default=str)
    return f"{msg['parent_header'].get('msg_id', '-')[-8:]} {kind(msg):<20} {text if len(text) < 200 else text[:200] + '...'}"


class Run:
    "One request and what came of it: `reply`, `iopub` (busy to idle), `late` (what its tasks and threads sent after idle), `asked` (input_requests)."
    def __init__(self, msg): self.msg, self.msg_id, self.reply, self.all, self.asked = msg, msg["header"]["msg_id"], None, [], []

    def __repr__(self):
        head, tail = f"<{self.msg['header']['msg_type']} {str(self.msg['content'])[:1000]}", f"  reply: {self.reply and line(self.reply)}>"
        return "\n".join([head, *[f"  {line(m)}" for m in self.all[-40:]], *[f"  asked: {a}" for a in self.asked], tail])

    @property
    def end(self): return next((i + 1 for i, m in enumerate(self.all) if kind(m) == "idle"), None)

    @property
    def iopub(self): return self.all[:self.end]

    @property
    def late(self): return self.all[self.end:] if self.end else []

    @property
    def content(self): return self.reply["content"]

    @property
    def status(self): return self.content["status"]

    @property
    def kinds(self): return [kind(m) for m in self.iopub]

    @property
    def outputs(self): return [m for m in self.iopub if kind(m) not in ("busy", "idle", "execute_input")]

    @property
    def is_done(self): return self.reply is not None and self.end is not None

    def of(self, *msg_types): return [m["content"] for m in self.iopub if kind(m) in msg_types]

    def text(self, name, msgs=None):
        "All text of stream `name` in `msgs` (busy to idle, if not given)."
        return "".join(m["content"]["text"] for m in (self.iopub if msgs is None else msgs) if kind(m) == "stream" and m["content"]["name"] == name)

    @property
    def stdout(self): return self.text("stdout")

    @property
    def stderr(self): return self.text("stderr")

    @property
    def late_stdout(self): return self.text("stdout", self.late)

    @property
    def results(self): return [c["data"] for c in self.of("execute_result")]

    @property
    def result(self): return self.results[0]["text/plain"] if self.results else None

    @property
    def error(self): return next(iter(self.of("error")), None)

    @property
    def ename(self): return self.error and self.error["ename"]

    @property
    def payload(self): return self.content.get("payload", [])

    def ok(self):
        "Itself, when the reply is ok; else fail with the whole story."
        assert self.status == "ok", repr(self)
        return self


class Client:
    "A client over the connection file (or its dict): sends on any channel, reads all, files what it reads. `alive` tells whether to go on waiting."
    def __init__(self, info, alive=lambda: True, log=lambda: ""):
        self.ctx = zmq.Context()
        self.ctx.setsockopt(zmq.RECONNECT_IVL, 2)  # ms; 100 by default, which a start would wait for
        self.kc = BlockingKernelClient(context=self.ctx)
        if isinstance(info, dict): self.kc.load_connection_info(info)
        else: self.kc.load_connection_file(str(info))
        self.kc.start_channels(hb=False)
        self.alive, self.log, self.runs, self.unsolicited, self.answers = alive, log, {}, [], []
        self.sockets = {getattr(self.kc, f"{c}_channel").socket: c for c in CHANNELS}
        self.poller = zmq.Poller()
        for s in self.sockets: self.poller.register(s, zmq.POLLIN)

    def close(self):
        self.kc.stop_channels()
        self.ctx.destroy(linger=0)

    def wait_ready(self, timeout=TIMEOUT):
        "Ask for kernel_info until the reply and its idle are here: then the iopub subscription stands."
        end = time.monotonic() + timeout
        while True:
            run = self.send("kernel_info_request")
            self.pump(lambda: run.reply, end - time.monotonic(), "kernel_info_reply")
            if self.arrives(lambda: run.end, 0.3): break
            assert time.monotonic() < end, self.story(f"no iopub message in {timeout} s")
        while self.poll(50): pass
        self.early = list(self.unsolicited)  # what a start publishes
        for r in [r for r in self.runs.values() if r is not run]: del self.runs[r.msg_id]  # asked too early: their brackets may be cut
        return run

    def send(self, msg_type, content=None, channel="shell", metadata=None, buffers=None, **header):
        "Send a request, wait for nothing; extra header keys by name. Gives a Run."
        msg = self.kc.session.msg(msg_type, content or {}, metadata=metadata)
        msg["header"].update(header)
        run = self.runs[msg["header"]["msg_id"]] = Run(msg)
        self.kc.session.send(getattr(self.kc, f"{channel}_channel").socket, msg, buffers=buffers)
        return run

    def poll(self, ms):
        "Read one message of each channel that has one within `ms`; whether there was any."
        ready = self.poller.poll(ms)
        for socket, _ in ready:
            msg = self.kc.session.recv(socket)[1]
            if msg is not None: self.file(msg, self.sockets[socket])  # else an answer to an input_request has read it meanwhile
        return bool(ready)

    def file(self, msg, channel):
        "Check a message and put it where it belongs; answer an input_request."
        if KERNEL_NAME != "ipymini": msg["content"].pop("engine_info", None)  # ipykernel's, for ipyparallel; in no specification
        check(msg, channel)
        run = self.runs.get(msg["parent_header"].get("msg_id"))
        if run is None: return self.unsolicited.append(msg)
        if channel == "stdin": return self.answer(run, msg)
        if channel == "iopub": return run.all.append(msg)
        assert run.reply is None, f"a second reply {line(msg)} to {run}"
        run.reply = msg

    def answer(self, run, msg):
        "Answer an input_request with the next of the answers, which may be a callable that acts instead."
        run.asked.append(msg["content"])
        assert self.answers, f"nobody expected {line(msg)}\n{run}"
        value = self.answers.pop(0)
        if callable(value): return value(msg)
        self.reply_input(msg, value)

    def reply_input(self, msg, value): self.kc.session.send(self.kc.stdin_channel.socket, "input_reply", dict(value=value), parent=msg)

    def arrives(self, pred, timeout):
        "Read messages until `pred()` is true; False when it is not within `timeout` seconds."
        end = time.monotonic() + timeout
        while not (res := pred()):
            left = end - time.monotonic()
            if left <= 0: return False
            if not self.poll(min(left, 0.5) * 1000) and not self.alive(): raise AssertionError(self.story("the kernel is dead"))
        return res

    def pump(self, pred, timeout=TIMEOUT, what="an event"):
        "Read messages until `pred()` is true; give that back, or fail with the story after `timeout` seconds."
        res = self.arrives(pred, timeout)
        assert res, self.story(f"waited {timeout:.1f} s in vain for {what}")
        return res

    def story(self, why):
        "Why, the last requests with all they brought, and the end of the kernel's log."
        runs = [repr(r) for r in list(self.runs.values())[-4:]]
        return "\n".join([why, *runs, "unsolicited:", *[f"  {line(m)}" for m in self.unsolicited[-5:]], "the kernel's log:", self.log()])

    def wait(self, run, timeout=TIMEOUT, order=True):
        "Wait for the reply and idle of a run; its bracket is checked."
        self.pump(lambda: run.is_done, timeout, f"reply and idle of {run.msg['header']['msg_type']}")
        if order:
            try: check_order(run.iopub, run.reply)
            except AssertionError as e: raise AssertionError(f"{e}\n{run}") from None
        return run

    def request(self, msg_type, content=None, channel="shell", wait=True, timeout=TIMEOUT, metadata=None, buffers=None, header_extra=None):
        "Send any request; with `wait` until it is done."
        run = self.send(msg_type, content, channel, metadata, buffers, **(header_extra or {}))
        return self.wait(run, timeout) if wait else run

    def execute(self, code, answers=None, wait=True, timeout=TIMEOUT, metadata=None, header_extra=None, **flags):
        "Execute a cell; `answers` (strings or callables) are what the user types. The flags are execute_request's."
        content = dict(code=code, silent=False, store_history=True, user_expressions={}, allow_stdin=answers is not None, stop_on_error=True) | flags
        self.answers = list(answers or [])
        run = self.request("execute_request", content, wait=wait, timeout=timeout, metadata=metadata, header_extra=header_extra)
        if wait: assert not self.answers, f"never asked for {self.answers}\n{run}"
        return run

    def sees(self, run, text, timeout=TIMEOUT):
        "Wait until the stdout of a run (late output included) holds `text`."
        return self.pump(lambda: text in run.text("stdout", run.all), timeout, f"{text!r} on stdout")


class Kernel(Client):
    "A kernel process and the first client of it; `env` is added to the tests' own, `cwd` and `extra_arguments` go to KernelManager.start_kernel."
    def __init__(self, name=None, ready=True, transport="tcp", key=None, **start):
        for again in (True, True, False):
            self._start(name, transport, key, **start)
            try:
                if ready: self.wait_ready()
                break
            except BaseException:
                taken = "Address already in use" in self.log_text()  # by anybody, after jupyter_client had found that port to be free
                self.close()
                if not (taken and again): raise

    def _start(self, name, transport, key, **start):
        self.tmp = tempfile.TemporaryDirectory(prefix="kernel-test-")
        self.log_path = Path(self.tmp.name) / "log"
        self.km = KernelManager(kernel_name=name or KERNEL_NAME, transport=transport)
        if transport == "ipc": self.km.ip = str(Path(self.tmp.name) / "ipc")
        if key is not None: self.km.session.key = key
        env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | start.pop("env", {})  # a kernel is not to know that it is tested
        self.log_file = open(self.log_path, "wb")  # open until the end: a restart uses it again
        self.km.start_kernel(stdout=self.log_file, stderr=self.log_file, env=env, **start)
        self.pid = self.km.provisioner.pid
        super().__init__(self.km.connection_file, lambda: self.process.poll() is None, self.log_text)

    @property
    def process(self): return self.km.provisioner.process

    def rss(self):
        "The kernel's resident bytes, after a collection and without what the allocator only keeps for later."
        self.execute("import ctypes, gc\ngc.collect()\nif hasattr(ctypes.CDLL(None), 'malloc_trim'): ctypes.CDLL(None).malloc_trim(0)", silent=True).ok()
        return psutil.Process(self.pid).memory_info().rss

    def rest(self, timeout=5):
        "Wait until the kernel is idle; the longest that io was at one thing since the last time, as (seconds, what)."
        run = self.execute("", silent=True, user_expressions=dict(longest=LONGEST), timeout=timeout)  # no query: those overtake a cell that is stuck
        told = run.content.get("user_expressions", {}).get("longest", {}).get("data", {}).get("text/plain")
        return eval(told) if told else (0.0, "")

    def held_up(self, timeout=2):
        "As `rest`, since the kernel began and in whatever state it is; None if it does not tell."
        if not self.km.has_kernel or not self.alive(): return None
        run = self.send("stack_request", {}, "control")
        try: told = self.arrives(lambda: run.reply, timeout)
        except AssertionError: return None  # it has ended meanwhile
        return tuple(run.content["longest"]) if told and "longest" in run.content else None

    def log_text(self, n=3000): return self.log_path.read_text(errors="replace")[-n:]

    def another(self):
        "A second client of the same kernel; the caller closes it."
        res = Client(self.km.connection_file, self.alive, self.log_text)
        res.wait_ready()
        return res

    def interrupt(self, door="signal"):
        "Interrupt as a frontend does: SIGINT to the process group, or interrupt_request on control."
        if door == "message": return self.request("interrupt_request", channel="control").ok()
        os.killpg(os.getpgid(self.pid), signal.SIGINT)

    def wait_exit(self, timeout=TIMEOUT):
        "Block until the process has ended; its exit code."
        return self.process.wait(timeout)

    def shutdown(self, restart=False, channel="control", timeout=TIMEOUT):
        "Ask for shutdown; the seconds from the request to the process's end, and the reply."
        start, run = time.monotonic(), self.send("shutdown_request", dict(restart=restart), channel)
        self.pump(lambda: run.reply, timeout, "shutdown_reply")
        self.wait_exit(timeout)
        return time.monotonic() - start, run

    def close(self):
        "End client and process, whatever state they are in."
        super().close()
        if self.km.has_kernel: self.km.shutdown_kernel(now=True)
        self.km.cleanup_resources()
        self.log_file.close()
        self.tmp.cleanup()


@contextmanager
def started(*args, **kw):
    "A kernel for the length of a `with`."
    k = Kernel(*args, **kw)
    try: yield k
    finally: k.close()


class Sub:
    "A subshell of `client`'s kernel; requests as of a client's. A context manager that deletes it."
    def __init__(self, client): self.client, self.id = client, client.request("create_subshell_request", channel="control").ok().content["subshell_id"]

    def __enter__(self): return self

    def __exit__(self, *exc): self.delete()

    def request(self, msg_type, content=None, **kw): return self.client.request(msg_type, content, header_extra=dict(subshell_id=self.id), **kw)

    def execute(self, code, *args, **kw): return self.client.execute(code, *args, header_extra=dict(subshell_id=self.id), **kw)

    def delete(self):
        "The request to delete it, done."
        return self.client.request("delete_subshell_request", dict(subshell_id=self.id), "control")


class RawClient:
    "Bare zmq sockets from a connection file, for frames no proper client sends. Signs on its own, with nothing of jupyter_client."
    def __init__(self, info):
        self.info = info if isinstance(info, dict) else json.loads(Path(info).read_text())
        self.key, self.session = self.info["key"].encode(), uuid.uuid4().hex
        self.ctx, self.identity = zmq.Context(), uuid.uuid4().bytes
        self.sockets = {c: self.connect(c) for c in ("shell", "control", "stdin", "iopub", "hb")}

    def connect(self, channel):
        types = dict(iopub=zmq.SUB, hb=zmq.REQ)
        s = self.ctx.socket(types.get(channel, zmq.DEALER))
        s.linger = 0
        if channel == "iopub": s.subscribe(b"")
        else: s.identity = self.identity
        sep = ":" if self.info["transport"] == "tcp" else "-"
        s.connect(f"{self.info['transport']}://{self.info['ip']}{sep}{self.info[f'{channel}_port']}")
        return s

    def header(self, msg_type, **kw):
        date = datetime.now(timezone.utc).isoformat()
        return dict(msg_id=uuid.uuid4().hex, username="raw", session=self.session, date=date, msg_type=msg_type, version="5.5") | kw

    def sign(self, parts): return hmac.new(self.key, b"".join(parts), hashlib.sha256).hexdigest().encode() if self.key else b""

    def frames(self, msg_type, content=None, header=None, parts=None, signature=None, buffers=()):
        "The frames of a signed message; `parts` (four byte strings) or `signature` replace what would be right."
        parts = parts or [json.dumps(o).encode() for o in (header or self.header(msg_type), {}, {}, {} if content is None else content)]
        return [DELIM, self.sign(parts) if signature is None else signature, *parts, *buffers]

    def send_frames(self, channel, frames): self.sockets[channel].send_multipart(frames)

    def recv(self, channel, timeout=TIMEOUT):
        "The next message on a channel as a checked dict (with its `idents`), or None after `timeout` seconds."
        s = self.sockets[channel]
        if not s.poll(timeout * 1000): return None
        frames = s.recv_multipart()
        i = frames.index(DELIM)
        signature, *parts = frames[i + 1:i + 6]
        assert signature == self.sign(parts), f"wrong signature {signature} on {channel}"
        header, parent_header, metadata, content = [json.loads(p) for p in parts]
        msg = dict(header=header, parent_header=parent_header, metadata=metadata, content=content, buffers=frames[i + 6:])
        return check(msg, channel) | dict(idents=frames[:i])

    def request(self, channel, frames, timeout=TIMEOUT):
        "Send a valid message's frames; its reply, and its iopub messages up to idle (in order)."
        msg_id = json.loads(frames[2])["msg_id"]
        self.send_frames(channel, frames)
        reply = self.recv(channel, timeout)
        assert reply and reply["parent_header"]["msg_id"] == msg_id, f"expected the reply to {frames[2]}, got {reply}"
        return reply, self.bracket(msg_id, timeout)

    def bracket(self, msg_id, timeout=TIMEOUT):
        "The iopub messages of one request up to its idle, checked."
        res = []
        while not res or kind(res[-1]) != "idle":
            m = self.recv("iopub", timeout)
            assert m, f"no idle for {msg_id}: {[kind(o) for o in res]}"
            if m["parent_header"].get("msg_id") == msg_id: res.append(m)
        check_order(res)
        return res

    def wait_ready(self, timeout=TIMEOUT):
        "Ask for kernel_info, on control since the shell may be busy, until its idle arrives on iopub."
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.send_frames("control", self.frames("kernel_info_request"))
            if self.recv("control", timeout) and self.recv("iopub", 0.3): break
        while self.recv("control", 0.05) or self.recv("iopub", 0.05): pass

    def close(self): self.ctx.destroy(linger=0)


@contextmanager
def raw_client(info):
    c = RawClient(info)
    try:
        c.wait_ready()
        yield c
    finally: c.close()
