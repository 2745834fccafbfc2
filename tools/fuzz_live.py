"""Live room: signed messages of every type, on every channel, with anything wrong in them, to a kernel that must live on and answer.
Batch by batch: send, then kernel_info on control and on shell must be answered within PATIENCE seconds, and each genuine request must get
busy, its reply, idle. What counts as genuine: signed, a header with a msg_id and a msg_type of text, on shell or control; the rest may be
dropped (`may`), or must be (`never`).
Knows harness, trial, spec. Must not know: how the kernel is made. Threads: one. Spec: messaging; JEP 91; Debug Adapter Protocol."""
import json, random, time, uuid
from collections import Counter
from dataclasses import dataclass, field

import zmq

from trial import Trial
from harness import DELIM, RawClient
from spec import check, check_order
from fuzz_values import flip, is_strange, mutate, odd, text

WHAT = "contents headers unhashable parents buffers garbage debug interrupts idents subshells leavers".split()  # what --without takes away
BATCH, PATIENCE, DEATHS = 50, 10.0, 8
NAMES = ("a", "b", "fuzz")
CODES = [  # chkstyle: ignore-node (a table)
    "1", "print('x')", "1/0", "x = [1]", "await __import__('asyncio').sleep(0)", "display(1)", "print('x' * 10**5)", "def f(:",
    "import sys; print(sys.stderr)", "_", "%no", "!true", "", "?", "f?", "\x00", "é = 1", "raise KeyboardInterrupt",
    "[i for i in range(3)]", "__import__('threading').Thread(target=print, args=(1,)).start()", "%%bash\necho x", "input()", "\ud800",
    "#" * 10**5, "(" * 300, "raise Exception('\ud800')", "print('\ud800')"]
TARGET = """from comm import get_comm_manager
get_comm_manager().register_target('fuzz', lambda comm, msg: comm.on_msg(lambda m: comm.send(m['content']['data'])))"""
EXECUTE = dict(silent=False, store_history=True, user_expressions={}, allow_stdin=False, stop_on_error=False)
SHELL = dict(  # chkstyle: ignore-node (a table)
    execute_request=lambda r: EXECUTE | dict(code=r.choice(CODES),
        user_expressions=r.choice([{}, {}, dict(a="1 + 1", b="1/0"), {"a": odd(r)}]), silent=r.random() < 0.2,
        stop_on_error=r.random() < 0.1),
    complete_request=lambda r: dict(code=r.choice(["pri", "import o", "x.", "%t", "'", "é.", "\ud800", "a" * 5000]),
        cursor_pos=r.choice([3, 0, -1, 10**9, None])),
    inspect_request=lambda r: dict(code=r.choice(["len", "x", "", "\x00", "print("]), cursor_pos=r.choice([3, 0, -5, 99]),
        detail_level=r.choice([0, 1, 2, -1])),
    is_complete_request=lambda r: dict(code=r.choice(["1", "x =", "def f(:", "for i in x:", "\x00", "'''", "%%bash", "\ud800", "(" * 300])),
    history_request=lambda r: dict(hist_access_type=r.choice(["tail", "range", "search", "x"]), raw=True, output=r.random() < 0.5,
        n=r.choice([3, 0, -1, 10**30, None]), session=r.choice([0, -1, 5, 10**20]), start=r.choice([0, 1, -5, 10**20]),
        stop=r.choice([None, 2, -1, 10**20]), pattern=r.choice(["*", "[", "", "\ud800", "\x00", "?*" * 9]), unique=r.random() < 0.5),
    comm_info_request=lambda r: dict(target_name=r.choice(["a", "", None])), kernel_info_request=lambda r: {}, connect_request=lambda r: {},
    comm_open=lambda r: dict(comm_id=r.choice(NAMES), target_name=r.choice(["fuzz", "no"]), data=r.choice([{}, odd(r)])),
    comm_msg=lambda r: dict(comm_id=r.choice(NAMES), data=r.choice([{}, odd(r)])),
    comm_close=lambda r: dict(comm_id=r.choice(NAMES), data={}))
CONTROL = dict(  # chkstyle: ignore-node (a table)
    interrupt_request=lambda r: {}, create_subshell_request=lambda r: {},
    delete_subshell_request=lambda r: dict(subshell_id=r.choice(NAMES)), list_subshell_request=lambda r: {}, usage_request=lambda r: {},
    debug_request=lambda r: dict(type="request", seq=r.choice([1, 0, -1, 2**40]), **command(r)))
SOUND = dict(msg_id="x", msg_type="x", session="x", username="fuzz", date="2026-11-27T00:00:00.000000Z", version="5.5")  # a header
ASKING = {t for t in [*SHELL, *CONTROL] if t.endswith("_request")}  # others may get a reply
ODD_TYPES = [  # chkstyle: ignore-node (a table)
    "", "request", "_request", "execute_reply", "status", "stream", "no_such_request", "__class___request", "a" * 3000, "\ud800",
    "execute_request\x00", "input_reply", "input_request", "comm_info_reply", "x y", "é"]
SOURCE = dict(path="/tmp/no_such_cell.py")
COMMANDS = dict(  # chkstyle: ignore-node (a table)
    initialize=dict(clientID="x", adapterID="y", linesStartAt1=True, pathFormat="path"), attach={}, configurationDone={},
    disconnect=dict(restart=False, terminateDebuggee=False), dumpCell=dict(code="x = 1"),
    setBreakpoints=dict(source=SOURCE, breakpoints=[dict(line=1)], lines=[1], sourceModified=False),
    source=dict(source=SOURCE, sourceReference=0), modules=dict(startModule=0, moduleCount=3), pause=dict(threadId=1),
    stackTrace=dict(threadId=1, startFrame=0, levels=2), scopes=dict(frameId=1),
    variables=dict(variablesReference=1, start=0, count=2, filter="named"), evaluate=dict(expression="1 + 1", context="repl"),
    copyToGlobals=dict(srcVariableName="x", dstVariableName="y", srcFrameId=1), inspectVariables={},
    richInspectVariables=dict(variableName="x", frameId=None), debugInfo={}, threads={}, next=dict(threadId=1), stepIn=dict(threadId=1),
    stepOut=dict(threadId=1), exceptionInfo=dict(threadId=1), completions=dict(text="x", column=1, frameId=1),
    setVariable=dict(variablesReference=1, name="x", value="1"), setExpression=dict(expression="x", value="1"),
    setExceptionBreakpoints=dict(filters=["raised"]), setFunctionBreakpoints=dict(breakpoints=[dict(name="f")]),
    stepInTargets=dict(frameId=1), gotoTargets=dict(source=SOURCE, line=1), goto=dict(threadId=1, targetId=1), terminate={}, restart={},
    launch={}, pydevdSystemInfo={}, setDebuggerProperty={}, loadedSources={}, no_such={}, **{"": {}, "continue": dict(threadId=1)})


def command(r):
    name = r.choice(list(COMMANDS)) if r.random() < 0.6 else r.choice(["initialize", "attach", "debugInfo", "evaluate"])
    arguments = COMMANDS[name]
    return dict(command=name, arguments=mutate(r, arguments) if r.random() < 0.4 else arguments)


@dataclass
class Sent:
    "A message, what it must get (`must`, `may` or `never`), and what it has got."
    channel: str
    header: dict
    parts: list
    expect: str
    reply: dict = None
    iopub: list = field(default_factory=list)
    when: float = field(default_factory=time.monotonic)

    @property
    def states(self): return [m["content"].get("execution_state") for m in self.iopub if m["header"]["msg_type"] == "status"]

    @property
    def wants_reply(self): return self.header["msg_type"] in ASKING

    @property
    def is_done(self): return "idle" in self.states and (self.reply is not None or not self.wants_reply)

    def __repr__(self):
        got = f"{self.states} {self.reply and str(self.reply['content'])[:200]}"
        return f"{self.channel} {self.expect} {[p[:300] for p in self.parts]} got {got}"


class Live:
    "Raw clients of the kernel on trial; `sent` by msg_id is what waits for its answer."
    def __init__(self, trial, r, without):
        self.trial, self.r, self.without, self.sent, self.counts, self.slowest = trial, r, without, {}, Counter(), 0.0
        trial.k.kc.iopub_channel.socket.unsubscribe(b"")  # it reads nothing from here on
        trial.k.execute(TARGET, silent=True, wait=False)
        self.clients = [RawClient(trial.k.km.connection_file) for _ in range(2)]
        self.clients[0].wait_ready()
        self.clients[1].sockets["iopub"].unsubscribe(b"")

    def close(self):
        for c in self.clients: c.close()

    def may(self, what, chance): return what not in self.without and self.r.random() < chance

    # --- a message

    def send(self, msg_type=None, channel=None, content=None, plain=False):
        "A message of any kind, or with `plain` exactly this; what is known of it."
        r = self.r
        if not plain: channel, msg_type, content = self.choose()
        header = SOUND | dict(msg_id=f"{uuid.UUID(int=r.getrandbits(128))}", msg_type=msg_type, session=self.clients[0].session)
        parts, expect, idents, buffers = [header, {}, {}, content], "must" if channel != "stdin" else "may", [], []
        if not plain: expect, idents, buffers = self.spoil(parts, expect)
        header = parts[0]
        raw = [text(p) for p in parts]
        sent = Sent(channel, header if isinstance(header, dict) else {}, raw, expect)
        is_message = isinstance(header, dict) and isinstance(header.get("msg_id"), str) and isinstance(header.get("msg_type"), str)
        if is_message: self.sent[header["msg_id"]] = sent
        else: sent.expect = "never"
        c = self.clients[0 if plain else r.randrange(2)]
        frames = [*idents, DELIM, c.sign(raw), *raw, *buffers]
        if self.may("leavers", 0.02) and not plain: return self.send_and_leave(c, sent, frames)
        c.sockets[channel].send_multipart(frames)
        self.counts[f"{channel} {sent.expect}"] += 1
        return sent

    def choose(self):
        r, control = self.r, dict(CONTROL)
        if "debug" in self.without: del control["debug_request"]
        if "interrupts" in self.without or r.random() < 0.5: del control["interrupt_request"]
        if "subshells" in self.without: del control["create_subshell_request"]
        table, channel = (SHELL, "shell") if r.random() < 0.6 else (control, "control")
        msg_type = r.choice(list(table))
        content = table[msg_type](r)
        if self.may("contents", 0.3): content = mutate(r, content)
        if self.may("headers", 0.03): msg_type = r.choice(ODD_TYPES)
        if r.random() < 0.06: channel = r.choice(["shell", "control", "stdin"])
        return channel, msg_type, content

    def spoil(self, parts, expect):
        "Make something of the parts wrong; (what the message must get then, further idents, buffers)."
        r, header = self.r, parts[0]
        if self.may("headers", 0.15):
            for k in r.sample(["session", "username", "date", "version", "subshell_id"], r.randrange(1, 3)):
                if r.random() < 0.3: header.pop(k, None)
                else: header[k] = odd(r) if self.may("unhashable", 0.8) else r.choice(["", "x", None, 5, "\ud800", True])
            header["msg_id"] += r.choice(["", "", "\ud800", "\n", "é", " " * 300])
        if self.may("headers", 0.02): parts[0] = mutate(r, header)
        if self.may("parents", 0.06): parts[1] = odd(r)
        if self.may("parents", 0.06): parts[2] = r.choice([odd(r), dict(cellId=odd(r), deletedCells=odd(r), x=odd(r))])
        unhashable = any(isinstance(header.get(k), (list, dict)) for k in ("session", "subshell_id"))
        if unhashable or is_strange(parts[:3]) or parts[0] is not header: expect = "may"
        if is_strange(parts[0]): expect = "never"
        idents = [r.randbytes(r.randrange(5)) for _ in range(r.randrange(3))] if self.may("idents", 0.05) else []
        buffers = [r.randbytes(r.choice([0, 1, 100, 10**6])) for _ in range(r.randrange(4))] if self.may("buffers", 0.1) else []
        return expect, idents, buffers

    def send_and_leave(self, client, sent, frames):
        "From a client that is gone before the answer comes."
        s = client.ctx.socket(zmq.DEALER)
        s.linger = 1000
        s.connect(client.sockets[sent.channel].LAST_ENDPOINT.decode())
        s.send_multipart(frames)
        s.close()
        sent.expect = "may"
        self.counts["leavers"] += 1

    def throw(self):
        "Frames that are no message, or not signed by us."
        r = self.r
        channel = r.choice(["shell", "control", "stdin"])
        header = text(self.clients[0].header("kernel_info_request"))
        noise = [r.randbytes(r.randrange(50)) for _ in range(r.randrange(1, 9))]
        unsigned = [DELIM, r.choice([b"", b"0" * 64, r.randbytes(9)])]
        frames = r.choice([noise, [*unsigned, header, b"{}", b"{}", b"{}"], [DELIM] * r.randrange(1, 9), [*unsigned, flip(r, header)]])
        r.choice(self.clients).sockets[channel].send_multipart(frames)
        self.counts["garbage"] += 1

    # --- what comes back

    def receive(self, ms):
        "Take in what there is within `ms`; whether there was anything."
        poller, any_ = zmq.Poller(), False
        for c in self.clients:
            for channel in ("shell", "control", "stdin", "iopub"): poller.register(c.sockets[channel], zmq.POLLIN)
        names = {s: (c, n) for c in self.clients for n, s in c.sockets.items()}
        for s, _ in poller.poll(ms):
            while s.poll(0):
                any_ = True
                self.take(*names[s], s.recv_multipart())
        return any_

    def take(self, client, channel, frames):
        i = frames.index(DELIM)
        if frames[i + 1] != client.sign(frames[i + 2:i + 6]): return self.trial.fault("a wrong signature", str(frames)[:1000])
        try: header, parent, metadata, content = [json.loads(p) for p in frames[i + 2:i + 6]]
        except ValueError as e: return self.trial.fault("no JSON", f"{e}: {str(frames)[:1000]}")
        sent = self.sent.get(parent.get("msg_id"))
        if sent is None: return None
        msg = dict(header=header, parent_header=plain(parent), metadata=metadata, content=content)
        known = sent.header["msg_type"] in SHELL or sent.header["msg_type"] in CONTROL or channel == "iopub"
        try: check(msg, channel) if known else None
        except AssertionError as e: self.trial.fault(f"no such message: {str(e)[:100].splitlines()[0]}", f"{sent}\n{str(msg)[:1500]}")
        if sent.expect == "never": self.trial.fault("an answer to what is no message", f"{sent}\n{str(msg)[:1500]}")
        if channel == "iopub": return sent.iopub.append(msg)
        if channel == "stdin": return None
        if sent.reply: self.trial.fault("two replies", f"{sent}\n{str(msg)[:1500]}")
        sent.reply = msg
        if header["msg_type"] == "create_subshell_reply" and content["status"] == "ok": self.counts["subshells"] += 1

    def wait(self, done, timeout):
        end = time.monotonic() + timeout
        while not done() and time.monotonic() < end:
            if not self.receive(50) and not self.trial.is_alive: return self.trial.dead()
        return done()

    # --- a batch

    def batch(self, n):
        "Send so many messages, and wait for what must come."
        for _ in range(n):
            if self.may("garbage", 0.1): self.throw()
            else: self.send()
        probes = [self.send("kernel_info_request", "control", {}, plain=True)]
        end = dict(type="request", seq=1, command="disconnect", arguments={})
        if "debug" not in self.without: probes.append(self.send("debug_request", "control", end, plain=True))
        began = time.monotonic()
        if not self.wait(lambda: all(p.is_done for p in probes), PATIENCE): return self.stuck("control", probes)
        probes = [self.send("kernel_info_request", "shell", {}, plain=True)]
        if not self.wait(lambda: probes[0].is_done, PATIENCE): return self.stuck("shell", probes)
        self.slowest = max(self.slowest, time.monotonic() - began)
        must = [s for s in self.sent.values() if s.expect == "must"]
        if not self.wait(lambda: all(s.is_done for s in must), 2 * PATIENCE): return self.stuck("requests", [])
        for s in must: self.look_at(s)
        self.clean()

    def stuck(self, where, waiting):
        if not self.trial.is_alive: return None if self.trial.fatal else self.trial.dead()
        others = [s for s in self.sent.values() if s.expect == "must" and not s.is_done]
        kinds = ", ".join(sorted({s.header["msg_type"][:40] for s in others if s not in waiting or where == "requests"}))
        self.trial.stuck(f"{where} ({kinds})", [*waiting, *others][:20])

    def look_at(self, sent):
        try: check_order(sent.iopub[:[m["content"].get("execution_state") for m in sent.iopub].index("idle") + 1])
        except AssertionError as e:
            if "debug_event" not in str(e): self.trial.fault(f"order: {str(e)[:100]}", repr(sent))

    def clean(self):
        "Delete the subshells, so that there are never many."
        while self.counts["subshells"]:
            asked = self.send("list_subshell_request", "control", {}, plain=True)
            if not self.wait(lambda: asked.is_done, PATIENCE): return self.stuck("list_subshell_request", [asked])
            subs = asked.reply["content"]["subshell_id"]
            deletes = [self.send("delete_subshell_request", "control", dict(subshell_id=s), plain=True) for s in subs]
            if not self.wait(lambda: all(d.is_done for d in deletes), PATIENCE): return self.stuck("delete_subshell_request", deletes)
            self.counts["subshells"] = 0
        now = time.monotonic()
        self.sent = {i: s for i, s in self.sent.items() if now - s.when < 5}


def plain(parent):
    "A parent header as it should be: what was odd in it is an echo of ours."
    return SOUND | {k: parent[k] for k in ("msg_id", "msg_type") if parent.get(k)} if parent else parent


def live(kernel, messages, seed, without):
    "Fuzz kernels until so many messages have been sent; a kernel that dies is followed by another, a few times. The exit code."
    if set(without) - set(WHAT): raise SystemExit(f"--without takes: {' '.join(WHAT)}")
    done, deaths, faults, began, counts, slowest, trial = 0, 0, [], time.monotonic(), Counter(), 0.0, None
    while done < messages and deaths < DEATHS:
        trial = Trial(kernel)
        print(f"fuzz of {kernel} ({trial.where}), messages {done} to {messages}, seed {seed}", flush=True)
        client = Live(trial, random.Random(f"{seed}:{deaths}"), without)
        try:
            while done < messages and not trial.fatal:
                client.batch(BATCH)
                done += BATCH
                if done % (messages // 10 // BATCH * BATCH or BATCH): continue
                print(f"{done} messages in {time.monotonic() - began:.0f} s, {len(trial.faults) + len(faults)} faults", flush=True)
            trial.look_at_log()
            if not trial.fatal: print(f"the end took {trial.end() or 0:.2f} s")
        finally:
            client.close()
            trial.close()
        faults, deaths, counts, slowest = faults + trial.faults, deaths + trial.fatal, counts + client.counts, max(slowest, client.slowest)
    trial.faults = faults
    print(f"{done} messages in {time.monotonic() - began:.0f} s; batches answered within {slowest:.1f} s; {dict(counts)}; faults:")
    return trial.verdict()
