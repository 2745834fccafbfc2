"""Bench room: measures Jupyter kernels against each other, side by side in one run.
    python tools/bench.py [--kernel NAME ...] [--rows start,print,...] [--rounds N] [--json FILE] [--quick] [--transport ipc]
A row is one function in `ROWS`: it gets a running `Kernel` and a size, checks everything that arrives, and returns a list of samples.
Each row in each round has a fresh process, alone on the machine; the kernels take turns, in alternating order. All samples of a row are pooled:
the table shows their median, and p99 where a row asks for it. What goes wrong is a FAILED cell with its reason, and the run goes on.
A figure of `inf` reads "never". Every request waits for reply and idle, as a client does. Memory is PSS: pages shared with other
processes (also with this client, when both run from one environment) count in part.
Must not know: sockets and processes (`bench_client` does), any kernel's own ways. Threads: one."""

import argparse, ast, compileall, json, os, platform, signal, subprocess, sys, tempfile, time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from math import inf, isinf
from pathlib import Path
from statistics import median, quantiles
from typing import Callable

from bench_client import Exchange, Failed, Kernel, Spec, TimedOut, cell, clock

FLOOR = {"start", "first_cell", "round_trip", "cells_ahead", "cpu_bound", "memory", "shutdown", "wakeups", "idle_cpu"}  # what the floor kernel can do
BASELINE = "python3"  # what ratios are to, when it takes part
NEVER = 2  # seconds until an interrupt or a control request counts as never answered
MB = 1_000_000


def expect(got, want, what):
    "Raise `Failed` at the first place where the lists (or texts) differ."
    if got == want: return
    i = next((i for i,(a,b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    n = 20 if isinstance(want, str) else 2
    raise Failed(f"{what}: {len(got)} of {len(want)} came, from number {i} on {got[i:i+n]!r}, not {want[i:i+n]!r}")

def ms(seconds): return seconds * 1000
def of_type(x, t): return [m for m in x.out if m.type == t]
def stdout(x): return "".join(m.content["text"] for m in of_type(x, "stream") if m.content["name"] == "stdout")
def result(x): return [m.content["data"]["text/plain"] for m in of_type(x, "execute_result")]

def warm(k, n=20):
    "Bring a kernel to its working temperature."
    k.ready()
    for _ in range(n): k.run("1")


# start and end

def start(k, n):
    mid = k.send("shell", "kernel_info_request")
    reply = k.wait_reply(mid)
    t1 = clock()
    if "protocol_version" not in reply.content: raise Failed(f"no kernel_info_reply: {reply}")
    return [ms(t1 - k.t0)]

def first_cell(k, n):
    k.wait_connected()  # or a quick kernel would have run the cell before iopub listens
    x = k.execute("1", 20)
    expect(result(k.checked(x)), ["1"], "results")
    return [ms(x.t1 - k.t0)]

def shutdown(k, n):
    warm(k, 1)
    t0 = clock()
    mid = k.send("control", "shutdown_request", dict(restart=False))
    k.wait_exit(10)
    t1 = clock()
    reply = k.wait_reply(mid, 2, "control")
    if reply.type != "shutdown_reply" or reply.content["status"] != "ok": raise Failed(f"no shutdown_reply: {reply}")
    if k.proc.wait(10) != 0: raise Failed(f"exit code {k.proc.returncode}: {k.log_tail()}")
    return [ms(t1 - t0)]


# cells

def round_trip(k, n):
    warm(k)
    xs = [k.execute("1") for _ in range(n)]
    for x in xs: expect(result(k.checked(x)), ["1"], "results")
    return [ms(x.t1 - x.t0) for x in xs]

def cells_ahead(k, n):
    warm(k)
    packed = [k.pack("execute_request", cell(str(i))) for i in range(n)]
    t0 = clock()
    for _,frames in packed: k.socks["shell"].send_multipart(frames)
    xs = [Exchange(mid, "execute_request", k.wait_idle(mid), k.wait_reply(mid), t0, clock()) for mid,_ in packed]
    expect([r for x in xs for r in result(k.checked(x))], [str(i) for i in range(n)], "results")
    counts = [x.reply.content["execution_count"] for x in xs]
    expect(counts, list(range(counts[0], counts[0]+n)), "execution counts")
    return [n / (xs[-1].t1 - t0)]


# output

def print_lines(k, n):
    warm(k)
    x = k.execute(f"for i in range({n}): print(i)")
    expect(stdout(k.checked(x)).splitlines(), [str(i) for i in range(n)], "lines")
    return [n / 1000 / (x.t1 - x.t0)]

def big_stdout(k, n):
    warm(k)
    k.run(f"import sys; text = ''.join(f'{{i:09d}}\\n' for i in range({n*MB//10}))")
    x = k.execute("_ = sys.stdout.write(text)")
    expect(stdout(k.checked(x)), "".join(f"{i:09d}\n" for i in range(n*MB//10)), "characters")
    return [n / (x.t1 - x.t0)]

def display(k, n):
    warm(k)
    k.run("from IPython.display import display\ndef show(i): display({'text/plain': str(i), 'text/html': f'<b>{i}</b>'}, raw=True)\nshow(0)")
    x = k.execute(f"for i in range({n}): show(i)")
    data = [m.content["data"] for m in of_type(k.checked(x), "display_data")]
    expect(data, [{"text/plain":f"{i}", "text/html":f"<b>{i}</b>"} for i in range(n)], "displays")
    return [n / (x.t1 - x.t0)]


# comms

ECHO = """
from comm import get_comm_manager
def opened(comm, msg):
    @comm.on_msg
    def echo(msg): comm.send(data=msg["content"]["data"], buffers=msg["buffers"])
get_comm_manager().register_target("bench_echo", opened)
"""

def echoes(k, n, size):
    "Seconds for each of `n` comm round trips, one after the other, with a buffer of `size` bytes (none for 0)."
    warm(k)
    k.run(ECHO)
    ident = dict(comm_id="bench-comm-1")
    mid = k.send("shell", "comm_open", dict(ident, target_name="bench_echo", data={}))
    expect([m.type for m in k.wait_idle(mid)], ["status", "status"], "messages after comm_open")
    xs = [echo(k, dict(ident, data=dict(i=i)), os.urandom(size)) for i in range(n+3)]
    for x,_ in xs: k.checked(x)
    return [x.t1 - x.t0 for x,_ in xs[3:]]

def echo(k, content, payload):
    "One comm_msg, answered: its exchange and the answer."
    buffers = [payload] if payload else []
    t0 = clock()
    mid = k.send("shell", "comm_msg", content, buffers)
    x = Exchange(mid, "comm_msg", k.wait_idle(mid), None, t0, clock())
    answers = [(m.content["data"], m.buffers) for m in of_type(x, "comm_msg")]
    expect(answers, [(content["data"], buffers)], "answers")
    return x, answers

def comm_echo_small(k, n): return [ms(o) for o in echoes(k, n, 0)]
def comm_echo_1mb(k, n): return [1 / o for o in echoes(k, n, MB)]


# queries and control

def complete(k, n):
    warm(k)
    k.run("import os")
    xs = [k.request("complete_request", dict(code="os.path.", cursor_pos=8)) for _ in range(n+3)]
    for x in xs:
        if not any(o.endswith("join") for o in k.checked(x).reply.content["matches"]): raise Failed(f"no `join`: {x.reply}")
    return [ms(x.t1 - x.t0) for x in xs[3:]]

def control_busy(k, n):
    warm(k)
    mid = k.send("shell", "execute_request", cell("print('go', flush=True)\nn = 0\nwhile True: n += 1"))
    k.wait_stream(mid, "go")
    try: xs = [k.request("kernel_info_request", timeout=NEVER, channel="control") for _ in range(n)]
    except TimedOut: return [inf]
    for x in xs: k.checked(x)
    if k.out[mid][-1].type != "stream": raise Failed(f"the busy cell ended: {k.out[mid][-1]}")
    return [ms(x.t1 - x.t0) for x in xs]

def interrupts(k, n, code):
    "Milliseconds from interrupting `code` to its error reply and idle, `n` times; the kernel must serve on after each."
    warm(k)
    k.run("import asyncio, time")
    samples = []
    for _ in range(n):
        mid = k.send("shell", "execute_request", cell(f"print('go', flush=True)\n{code}"))
        k.wait_stream(mid, "go")
        time.sleep(0.03)  # the cell has still to come from its print to the code: nothing tells when
        t0 = clock()
        k.interrupt()
        try: x = Exchange(mid, "execute_request", k.wait_idle(mid, NEVER), k.wait_reply(mid, NEVER), t0, clock())
        except TimedOut: return [*samples, inf]
        if k.checked(x, "error").reply.content["ename"] != "KeyboardInterrupt": raise Failed(f"not a KeyboardInterrupt: {x.reply}")
        expect(result(k.run("1")), ["1"], "results after an interrupt")
        samples.append(ms(x.t1 - t0))
    return samples

def interrupt_loop(k, n): return interrupts(k, n, "while True: pass")
def interrupt_sleep(k, n): return interrupts(k, n, "time.sleep(60)")
def interrupt_await(k, n): return interrupts(k, n, "await asyncio.sleep(60)")


# beside a cell

def create_subshell(k): return k.checked(k.request("create_subshell_request", channel="control")).reply.content["subshell_id"]

def subshell(k, n):
    warm(k)
    sub = create_subshell(k)
    for _ in range(20): k.run("1", subshell_id=sub)
    mid = k.send("shell", "execute_request", cell("import threading\ngo = threading.Event()\nprint('asleep', flush=True)\ngo.wait()"))
    k.wait_stream(mid, "asleep")
    out = k.out.pop(mid)
    xs = [k.execute("1", subshell_id=sub) for _ in range(n)]
    k.out[mid] = out
    k.send("shell", "execute_request", cell("go.set()"), subshell_id=sub)
    k.wait_idle(mid)
    for x in xs: expect(result(k.checked(x)), ["1"], "results")
    return [ms(x.t1 - x.t0) for x in xs]

def cpu_bound(k, n):
    warm(k)
    k.run(BURN)
    code = "import time\n" + BURN[:BURN.rindex("\n")].strip() + "\nprint(min(burn() for _ in range(15)))"
    samples = []
    for _ in range(n):
        here = float(result(k.run("min(burn() for _ in range(15))"))[0])
        bare = float(subprocess.run([k.spec.command("")[0], "-c", code], capture_output=True, text=True, check=True).stdout)
        samples.append(here / bare)
    return samples

def tqdm_steps(k, n):
    warm(k)
    k.run("import time, tqdm\ndef steps(over):\n    t = time.thread_time()\n    for i in over: sum(range(1000))\n    return time.thread_time() - t")
    x = k.run(f"pairs = []\nfor _ in range(5): pairs.append((steps(tqdm.tqdm(range({n}))), steps(range({n}))))\npairs")  # in turns: a processor's speed varies
    return [(with_it / without - 1) * 100 for with_it,without in ast.literal_eval(result(x)[0])]

def wakeups(k, n):
    warm(k)
    time.sleep(1.5)
    before = k.switches()
    time.sleep(n)
    return [(k.switches() - before) / n]


# debugger

CLIENT = dict(clientID="bench", adapterID="python", pathFormat="path", linesStartAt1=True, columnsStartAt1=True, supportsVariableType=True, locale="en")
STOPS = "def stops(x):\n    y = x + 1\n    return y\n"
BURN = """
import time
def burn():
    def call(x): return x
    t = time.thread_time()  # CPU time: what else the machine does counts less
    for i in range(200_000): int(i)
    for i in range(100_000): call(i)
    return time.thread_time() - t
min(burn() for _ in range(15))"""

def attach(k):
    "Begin a debug session: the milliseconds from initialize to the end of attach."
    t0 = clock()
    k.debug("initialize", **CLIENT)
    return ms(k.debug("attach").t1 - t0)

def stop_in_function(k):
    path = k.debug("dumpCell", code=STOPS).reply.content["body"]["sourcePath"]
    k.run(STOPS)
    set_to = k.debug("setBreakpoints", breakpoints=[dict(line=2)], source=dict(path=path), sourceModified=False)
    expect([b["verified"] for b in set_to.reply.content["body"]["breakpoints"]], [True], "breakpoints")

def debug_attach(k, n):
    warm(k)
    return [attach(k)]

def stops(k, n):
    "`n` cells that stop, and go on when the caller wants the next: (milliseconds to the stop, the stopped thread)."
    warm(k)
    attach(k)
    stop_in_function(k)
    for i in range(n):
        t0 = clock()
        mid = k.send("shell", "execute_request", cell(f"stops({i})"))
        thread = k.wait_event("stopped").content["body"]["threadId"]
        yield ms(clock() - t0), thread
        k.debug("continue", threadId=thread)
        x = k.checked(Exchange(mid, "execute_request", k.wait_idle(mid), k.wait_reply(mid), t0, clock()))
        expect(result(x), [str(i+1)], "results")

def debug_stop(k, n): return [took for took,_ in stops(k, n)]

def debug_step(k, n): return [step(k, thread) for _,thread in stops(k, n)]

def step(k, thread):
    "Milliseconds of one step in a stopped thread."
    t0 = clock()
    told = [m.content["event"] for m in of_type(k.debug("next", threadId=thread), "debug_event")]
    if "stopped" not in told: k.wait_event("stopped")
    return ms(clock() - t0)

def burnt(k): return float(result(k.run(BURN))[0])

def debug_cpu_before(k, n):
    warm(k)
    before = burnt(k)
    for command in ("debugInfo", "inspectVariables"): k.debug(command)
    return [burnt(k) / before for _ in range(n)]

def debug_cpu_attached(k, n):
    warm(k)
    before = burnt(k)
    attach(k)
    stop_in_function(k)
    return [burnt(k) / before for _ in range(n)]

def debug_cpu_after(k, n):
    warm(k)
    before = burnt(k)
    attach(k)
    stop_in_function(k)
    burnt(k)
    k.debug("disconnect", restart=False, terminateDebuggee=False)
    return [burnt(k) / before for _ in range(n)]


# what it costs to have it

def memory(k, n):
    warm(k, 1)
    return [k.pss() / 2**20]

def idle_cpu(k, n):
    warm(k)
    time.sleep(1.5)  # what is put off until after a cell (history, garbage) is not idling
    cpu0 = k.cpu()
    time.sleep(n)
    return [k.cpu() - cpu0]


@dataclass
class Row:
    "One line of the table. `n` is the size its function gets, `quick` that of a quick run; `more` is True where more is better."
    name: str
    fn: Callable
    unit: str
    n: int
    quick: int
    note: str
    more: bool = False
    p99: bool = False

ROWS = [  # chkstyle: ignore-node (a table: a row a line)
    Row("start",           start,           "ms",               1,       1, "spawn to kernel_info_reply"),
    Row("first_cell",      first_cell,      "ms",               1,       1, "spawn to the first cell's reply and idle"),
    Row("round_trip",      round_trip,      "ms",             300,     100, "execute `1`", p99=True),
    Row("cells_ahead",     cells_ahead,     "cells/s",       1200,    1000, "cells sent without waiting", more=True),
    Row("print",           print_lines,     "k lines/s", 200_000,  50_000, "`for i in range(n): print(i)`", more=True),
    Row("big_stdout",      big_stdout,      "MB/s",            50,      10, "one big string", more=True),
    Row("display",         display,         "/s",          10_000,   2_000, "displays of a small mime bundle", more=True),
    Row("comm_echo_small", comm_echo_small, "ms",             200,      50, "comm round trip", p99=True),
    Row("comm_echo_1mb",   comm_echo_1mb,   "MB/s",            50,      20, "comm round trip with a 1 MB buffer, MB each way", more=True),
    Row("complete",        complete,        "ms",              40,      10, "completion of `os.path.`", p99=True),
    Row("control_busy",    control_busy,    "ms",              50,      20, "kernel_info on control during a CPU-bound cell", p99=True),
    Row("interrupt_loop",  interrupt_loop,  "ms",              10,       3, "interrupt of `while True: pass`"),
    Row("interrupt_sleep", interrupt_sleep, "ms",              10,       3, "interrupt of `time.sleep`"),
    Row("interrupt_await", interrupt_await, "ms",              10,       3, "interrupt of `await asyncio.sleep`"),
    Row("subshell",        subshell,        "ms",             300,     100, "execute `1` on a subshell while main sleeps", p99=True),
    Row("cpu_bound",       cpu_bound,       "x",                3,       1, "CPU seconds of a computing cell, to those of bare Python"),
    Row("tqdm",            tqdm_steps,      "%",          100_000,  20_000, "what tqdm adds to steps of some 10 microseconds"),
    Row("debug_attach",    debug_attach,    "ms",               1,       1, "debugger: initialize and attach"),
    Row("debug_stop",      debug_stop,      "ms",              10,       5, "debugger: breakpoint to `stopped`, from the execute_request on"),
    Row("debug_step",      debug_step,      "ms",              10,       5, "debugger: a step, to the next `stopped`"),
    Row("debug_cpu_before", debug_cpu_before, "x",              2,       1, "CPU-bound cell after debugInfo and inspectVariables, to one before"),
    Row("debug_cpu_attached", debug_cpu_attached, "x",          2,       1, "CPU-bound cell with a session, to one before it"),
    Row("debug_cpu_after", debug_cpu_after, "x",                2,       1, "CPU-bound cell after disconnect, to one before the session"),
    Row("memory",          memory,          "MiB",              1,       1, "PSS after the first cell"),
    Row("shutdown",        shutdown,        "ms",               1,       1, "shutdown_request to exit"),
    Row("wakeups",         wakeups,         "/s",               2,       2, "context switches of an idle kernel"),
    Row("idle_cpu",        idle_cpu,        "s",                2,       2, "CPU seconds over 2 idle seconds")]


class Results:
    "Samples and failures of every row and kernel, and the table and JSON made of them."
    def __init__(self, rows, specs):
        self.rows, self.specs, self.failed = rows, specs, {}
        self.samples = defaultdict(list)  # (row, kernel): all samples
        self.base = next((o.name for o in specs if o.name == BASELINE), next((o.name for o in specs if o.is_ipykernel), None))

    def add(self, row, spec, samples): self.samples[row.name, spec.name] += samples

    def median(self, row, name):
        "None where there is no figure."
        if (row.name, name) in self.failed or not self.samples[row.name, name]: return None
        return median(self.samples[row.name, name])

    def p99(self, row, name):
        s = self.samples[row.name, name]
        return quantiles(s, n=100, method="inclusive")[98] if len(s) > 1 and not isinf(max(s)) else max(s)

    def show(self, row, name):
        m = self.median(row, name)
        if m is None: return "FAILED" if (row.name, name) in self.failed else "-"
        return figure(m) + (f" (p99 {figure(self.p99(row, name))})" if row.p99 and not isinf(m) else "")

    def ratio(self, row, name):
        "How many times better than the baseline; below 1: worse."
        own,base = self.median(row, name), self.median(row, self.base)
        if own is None or base is None: return "-"
        if not row.more: own,base = base,own  # less is better
        if own == base: return "1.00"
        return "never" if isinf(base) else "∞" if isinf(own) or not base else f"{own/base:.2f}"

    def label(self, spec): return f"{spec.name} (ipykernel)" if spec.is_ipykernel else spec.name

    def markdown(self):
        others = [o.name for o in self.specs if o.name != self.base] if self.base else []
        lines = [["row", *(self.label(o) for o in self.specs), *(f"{o} : {self.base}" for o in others), "what"]]
        lines.append(["---", *["---:"]*(len(lines[0])-2), "---"])
        for r in self.rows:
            lines.append([f"{r.name}, {r.unit}", *(self.show(r, o.name) for o in self.specs), *(self.ratio(r, o) for o in others), r.note])
        table = "\n".join("| " + " | ".join(o) + " |" for o in lines)
        return "\n".join([table, "", *self.reasons()])

    def reasons(self):
        "A line for every kernel and reason, with the rows that failed so."
        failed = defaultdict(list)
        for (row,name),why in self.failed.items(): failed[name, why].append(row)
        return [f"- FAILED {name}: {', '.join(rows)}: {why}" for (name,why),rows in failed.items()]

    def json(self):
        "A dict that JSON holds; never is null among samples and \"never\" as a median."
        return {r.name: dict(unit=r.unit, more_is_better=r.more, what=r.note, kernels={o.name: self._json(r, o.name) for o in self.specs})
            for r in self.rows}

    def _json(self, row, name):
        s,m = self.samples[row.name, name], self.median(row, name)
        if m is None: return dict(failed=self.failed.get((row.name, name), "not run"))
        d = dict(median="never" if isinf(m) else m, samples=[None if isinf(o) else o for o in s])
        return dict(d, p99=self.p99(row, name)) if row.p99 and not isinf(max(s)) else d

def figure(x): return "never" if isinf(x) else f"{x:,.0f}" if x >= 100 else f"{x:.1f}" if x >= 10 else f"{x:.2f}" if x >= 0.01 or not x else f"{x:.4f}"


def measure(row, spec, args, folder):
    "One row on one fresh kernel."
    with Kernel(spec, folder, args.transport) as k: return row.fn(k, row.quick if args.quick else row.n)

def run(rows, specs, args, folder):
    res = Results(rows, specs)
    for spec in specs: prime(res, spec, args, folder)
    for i in range(args.rounds):
        for row in rows:
            for spec in specs[::-1 if i % 2 else 1]:
                if (row.name, spec.name) in res.failed or (spec.name == "floor" and row.name not in FLOOR): continue
                progress(f"round {i+1}/{args.rounds}: {row.name}, {spec.name}")
                try: res.add(row, spec, measure(row, spec, args, folder))
                except Exception as e: res.failed[row.name, spec.name] = reason(e)  # whatever a kernel sends, the other rows go on
    progress("")
    return res

def progress(text):
    if sys.stderr.isatty(): print(f"\r{text:60}", end="" if text else "\r", file=sys.stderr, flush=True)

def prime(res, spec, args, folder):
    "Start once without measuring: makes the profile, fills caches. A kernel that cannot start fails in every row."
    try:
        with Kernel(spec, folder, args.transport) as k:
            warm(k, 1)
            with suppress(Failed, TimedOut):  # there is a row for that
                k.request("shutdown_request", dict(restart=False), 10, "control")
                k.wait_exit(10)
    except Exception as e: res.failed |= {(o.name, spec.name): f"does not start: {reason(e)}" for o in res.rows}

def reason(e): return (str(e) if isinstance(e, Failed) else repr(e)).replace("\n", " ")[:400]

def pick(names):
    "The rows whose names are, or begin with, one of the comma-separated `names`."
    picked = [r for r in ROWS if not names or any(r.name == o or r.name.startswith(o+"_") for o in names.split(","))]
    unknown = [o for o in (names or "").split(",") if o and not any(r.name == o or r.name.startswith(o+"_") for r in ROWS)]
    if unknown: sys.exit(f"no such row: {', '.join(unknown)}; there are {', '.join(r.name for r in ROWS)}")
    return picked

def find(name):
    try: return Spec.find(name)
    except (KeyError, FileNotFoundError): sys.exit(f"no kernelspec {name!r}: see `jupyter kernelspec list`, or give NAME=FOLDER")

def parse():
    p = argparse.ArgumentParser(description="Measure Jupyter kernels against each other.")
    p.add_argument("--kernel", action="append", metavar="NAME", help="a kernelspec's name, or NAME=FOLDER; repeat for more (ipymini and python3)")
    p.add_argument("--rows", help="comma-separated; a name's first words take all rows that begin so")
    p.add_argument("--rounds", type=int, help="rounds (5, or 1 when quick)")
    p.add_argument("--json", type=Path, metavar="FILE", help="write all samples here")
    p.add_argument("--quick", action="store_true", help="small sizes, one round")
    p.add_argument("--transport", choices=("tcp", "ipc"), default="tcp")
    args = p.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 5)
    return args

def compile_checkout():
    "Compile this checkout's package, as pip compiles what it installs: where Python writes no bytecode, each start would compile what has changed, 20 ms and more."
    compileall.compile_dir(Path(__file__).resolve().parents[1]/"ipymini", quiet=1)

def main():
    "Run, print the table, write the JSON. Exit code 1 if a row of any kernel but the baseline failed."
    args = parse()
    compile_checkout()
    rows,specs = pick(args.rows), [find(o) for o in args.kernel or ["ipymini", BASELINE]]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the kernel of the moment is ended
    t0 = clock()
    with tempfile.TemporaryDirectory(prefix="bench") as folder: res = run(rows, specs, args, Path(folder))
    about = dict(date=time.strftime("%Y-%m-%d"), python=platform.python_version(), cpus=os.cpu_count(), transport=args.transport, rounds=args.rounds)
    print(f"{about['date']}: Python {about['python']}, {about['cpus']} CPUs, {args.transport}, {args.rounds} rounds, {clock()-t0:.0f} s\n")
    print(res.markdown())
    if args.json: args.json.write_text(json.dumps(dict(about, baseline=res.base, rows=res.json()), indent=1, ensure_ascii=False) + "\n")
    if any(name != res.base for _,name in res.failed): sys.exit(1)

if __name__ == "__main__": main()
