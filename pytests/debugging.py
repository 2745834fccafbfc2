"""Debugging room: a debug client as JupyterLab is one, on a kernel of the harness. Knows the shape of DAP's responses and events, and checks it of all it sees.
Must not know: pytest, the kernel's insides. Threads: the test's own. Spec: messaging, "Debug request"; Debug Adapter Protocol."""
import os, signal
from contextlib import contextmanager
from pathlib import Path

from harness import TIMEOUT, kind, wait_until
from ipymini.ipython.cell_names import HASH_SEED, murmur2

RESPONSE = {"seq", "type", "request_seq", "success", "command"}
LAB = dict(clientID="jupyterlab", clientName="JupyterLab", adapterID="ipymini", pathFormat="path", linesStartAt1=True, columnsStartAt1=True,
    supportsVariableType=True, supportsVariablePaging=True, supportsRunInTerminalRequest=True, locale="en")


WORK = "def work(n):\n    m = n + 1\n    return m\n"


class Debug:
    "Requests and events of one kernel. `attach` first, for what needs a session."
    def __init__(self, k):
        self.k, self.seq = k, 0
        self.seen = max((e["seq"] for e in self.events), default=0)

    def send(self, command, arguments):
        self.seq += 1
        return self.k.send("debug_request", dict(type="request", seq=self.seq, command=command, arguments=arguments), "control")

    def response(self, run, timeout=TIMEOUT):
        "Wait for the response to a sent request; its bracket and its shape are checked."
        self.k.wait(run, timeout, order=False)
        asked, got = run.msg["content"], run.content
        assert run.kinds[0] == "busy" and run.kinds[-1] == "idle", run.kinds
        assert set(got) - {"message", "body"} == RESPONSE, got
        assert (got["type"], got["request_seq"], got["command"]) == ("response", asked["seq"], asked["command"]), got
        return got

    def request(self, command, **arguments): return self.response(self.send(command, arguments))

    def ask(self, command, **arguments):
        "The body of a response that must be a success."
        got = self.request(command, **arguments)
        assert got["success"], self.k.story(f"{command}: {got}")
        return got.get("body")

    def refused(self, command, **arguments):
        "The message of a response that must be a failure."
        got = self.request(command, **arguments)
        assert not got["success"] and got["message"], got
        return got["message"]

    def attach(self, **arguments):
        self.ask("initialize", **LAB)
        self.ask("attach", **arguments)
        return self

    def info(self): return self.ask("debugInfo")

    @property
    def events(self):
        "All events there were, in order."
        msgs = [m for r in self.k.runs.values() for m in r.all] + self.k.unsolicited
        return sorted((m["content"] for m in msgs if kind(m) == "debug_event"), key=lambda e: e["seq"])

    def next(self, name):
        "The next event `name` that has arrived already, or None."
        return next((e for e in self.events if e["event"] == name and e["seq"] > self.seen), None)

    def event(self, name, timeout=TIMEOUT):
        "The body of the next event `name`."
        if not self.k.arrives(lambda: self.next(name), timeout): raise AssertionError(self.k.story(f"waited {timeout} s in vain for the event {name}") + self.stacks())
        found = self.next(name)
        self.seen = found["seq"]
        return found.get("body")

    def show_stacks(self):
        "Let `stacks` tell what the kernel's threads do, without its help."
        self.k.execute(f"__import__('faulthandler').register(__import__('signal').SIGUSR1, file=open({self.stacks_path!r}, 'w'))", silent=True, store_history=False).ok()

    def stacks(self):
        "What each of the kernel's threads is doing."
        os.kill(self.k.pid, signal.SIGUSR1)
        wait_until(lambda: "_run_module_as_main" in Path(self.stacks_path).read_text(), what="the main thread, which comes last")
        return Path(self.stacks_path).read_text()

    @property
    def stacks_path(self): return os.path.join(self.k.tmp.name, "stacks")

    def none(self, name):
        "Assert that no event `name` came since the last one waited for."
        assert [e for e in self.events if e["event"] == name and e["seq"] > self.seen] == []

    # --- cells

    def path(self, code):
        "The name of a cell, as a client computes it."
        info = self.info()
        assert (info["hashMethod"], info["hashSeed"]) == ("Murmur2", HASH_SEED)
        return f"{info['tmpFilePrefix']}{murmur2(code.encode(), HASH_SEED)}{info['tmpFileSuffix']}"

    def points(self, code, *points):
        "Set breakpoints in a cell (lines, or dicts); those that the kernel has set."
        path = self.ask("dumpCell", code=code)["sourcePath"]
        assert path == self.path(code)
        return self.points_in(path, *points)

    def points_in(self, path, *points):
        wanted = [dict(line=p) if isinstance(p, int) else p for p in points]
        return self.ask("setBreakpoints", breakpoints=wanted, source=dict(path=path), sourceModified=False)["breakpoints"]

    def run(self, code, **flags): return self.k.execute(code, wait=False, **flags)

    def stop(self, reason=None):
        "Wait for a stop: (thread, frames)."
        body = self.event("stopped")
        assert reason in (None, body["reason"]), body
        return body["threadId"], self.frames(body["threadId"])

    def frames(self, thread): return self.ask("stackTrace", threadId=thread)["stackFrames"]

    def work(self):
        "Define `work(n)`, which stops in its first line."
        self.k.execute(WORK).ok()
        self.points(WORK, 2)

    def step(self, command, thread):
        "Step, and wait until the thread has stopped again: its frames."
        self.ask(command, threadId=thread)
        self.event("continued")
        return self.stop("step")[1]

    def step_or_end(self, command, thread, run):
        "Step, and wait until the thread has stopped again or the cell has ended: its frames, None if it has ended."
        self.ask(command, threadId=thread)
        self.event("continued")
        self.k.pump(lambda: run.is_done or self.next("stopped"), what="the next stop or the end")
        return None if run.is_done else self.stop("step")[1]

    def run_on(self, thread): self.ask("continue", threadId=thread)

    def resume(self, run):
        "Let all that is stopped run, and the cell end: its Run."
        for t in self.info()["stoppedThreads"]: self.run_on(t)
        return self.k.wait(run)

    def locals(self, frame):
        "The variables of a frame by name."
        scopes = self.ask("scopes", frameId=frame["id"])["scopes"]
        assert [s["name"] for s in scopes] == ["Locals", "Globals"]
        return {v["name"]: v for v in self.ask("variables", variablesReference=scopes[0]["variablesReference"])["variables"]}

    def globals(self, frame):
        scopes = self.ask("scopes", frameId=frame["id"])["scopes"]
        return {v["name"]: v for v in self.ask("variables", variablesReference=scopes[1]["variablesReference"])["variables"]}

    def value(self, expression, frame=None): return self.ask("evaluate", expression=expression, context="repl", **dict(frameId=frame["id"]) if frame else {})["result"]


def where(frames): return [(f["name"], f["line"]) for f in frames]


@contextmanager
def debugging(k, **arguments):
    "A debug session on the kernel `k`; at its end nothing is left stopped."
    d = Debug(k)
    d.show_stacks()
    d.attach(**arguments)
    try: yield d
    finally: d.ask("disconnect", restart=False, terminateDebuggee=False)
