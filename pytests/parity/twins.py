"""Twins room: a kernel of each kind, side by side, and one probe on both.
Knows the harness (kernel processes and clients), steps and normal. Must not know: pytest, what a probe is about.
Threads: each Twins is one thread's; Play has some.
Spec: messaging."""
import ast, difflib, os, shutil, tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from harness import Kernel, wait_until
from normal import Normal, lines
from steps import INTERRUPT, cell

SELF = bool(os.environ.get("PARITY_SELF"))  # ipykernel against itself: what differs then is the harness's fault
NAMES = ("python3", "python3" if SELF else "ipymini")
RESET = "import os; os.chdir({!r}); get_ipython().reset(new_session=True); get_ipython().user_ns.pop('os', None)"
FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a new session of the history is written for each probe
SIDE_BY_SIDE = 2  # pairs of kernels
CHATTY = ("comm_open", "comm_msg", "comm_close")  # never answered


class Twin(Kernel):
    "One kernel with an IPython directory and a working directory of its own."
    def __init__(self, name, args=(), files=None, env=None):
        self.home = Path(tempfile.mkdtemp(prefix="parity-", dir=FAST))
        for d in ("ipython/profile_default/startup", "work"): (self.home/d).mkdir(parents=True)
        for path,text in (files or {}).items():
            (self.home/path).parent.mkdir(parents=True, exist_ok=True)
            (self.home/path).write_text(text)
        own = dict(IPYTHONDIR=str(self.home/"ipython"), PYTHONHASHSEED="0") | (env or {})
        extra = [a.format(home=self.home) for a in args]
        super().__init__(name, ready=False, transport="ipc", env=own, cwd=str(self.home/"work"), extra_arguments=extra)  # ports of tcp can be taken
        self.known = {str(self.home): "<home>", self.tmp.name: "<tmp>", self.km.session.key.decode(): "<key>"}
        self.known |= {self.km.connection_file: "<connection file>", Path(self.km.connection_file).name: "<connection file>"}

    def story(self, why): return f"{self.km.kernel_name}: {super().story(why)}"

    def file(self, msg, channel):
        run = self.runs.get(msg["parent_header"].get("msg_id"))
        if run is None: self.unsolicited.append(msg)
        elif channel == "stdin": self.answer(run, msg)
        elif channel == "iopub": run.all.append(msg)
        else: run.reply = msg

    def start_step(self, step):
        self.answers = [(lambda msg: self.interrupt_asleep()) if a is INTERRUPT else a for a in step.answers or []]
        return self.send(step.msg_type, step.content, step.channel, step.metadata, step.buffers)

    def interrupt_asleep(self):
        "Interrupt as soon as the main thread waits: it may still be busy with the question."
        looks = []
        def is_asleep():
            stat = Path(f"/proc/{self.pid}/task/{self.pid}/stat").read_text().rpartition(")")[2].split()
            looks.append((stat[0], stat[11], stat[12]))  # state, and the time it has run
            return looks[-1][0] == "S" and looks[-10:] == looks[-1:] * 10
        wait_until(is_asleep, what="a sleeping main thread")
        self.interrupt()

    def finish(self, step, run):
        "Wait for what the step waits for."
        if step.seen:
            self.sees(run, step.seen)
            self.interrupt()
        if step.msg_type == "shutdown_request": return wait_until(lambda: not self.poll(200) and not self.alive(), what="the kernel's end")
        self.pump(lambda: run.end and (run.reply or step.msg_type in CHATTY), what=f"the end of {step}")
        if step.until: self.pump(lambda: step.until in "".join(m["content"].get("text", "") for m in run.all), what=f"{step.until!r} of {step}")

    def told(self, probe, runs):
        "What the steps of a probe brought, normalised."
        normal = Normal(self.known)
        res = [normal.run(r, probe.strict, bool(s.until), probe.but) for s,r in zip(probe.steps, runs)]
        self.runs.clear()
        self.unsolicited.clear()
        return res

    def close(self):
        super().close()
        shutil.rmtree(self.home, ignore_errors=True)


class Twins:
    "Both kernels; they stay up for the probes of one table."
    def __init__(self): self.table,self.kernels = None, []

    def close(self):
        for k in self.kernels: k.close()
        self.table,self.kernels = None, []

    def play(self, table, probe):
        "What the probe brought on each kernel. Kernels that it fails on, or that were its own, are not used again."
        if probe.is_fresh:
            kernels = started(args=probe.args, files=probe.files, env=probe.env)
            try: return played(kernels, probe)
            finally:
                for k in kernels: k.close()
        if table != self.table: self.close()
        if not self.kernels: self.kernels = started()
        self.table = None  # whatever state they are in, should this fail
        res = played(self.kernels, probe)
        self.table = table
        return res


def started(**wants):
    "A kernel of each kind, ready."
    kernels = [Twin(name, **wants) for name in NAMES]
    for k in kernels: k.wait_ready()
    return kernels


def reset(kernels):
    "Make the kernels as new, to be used again."
    steps = [cell(RESET.format(str(k.home/"work")), silent=True) for k in kernels]
    runs = [k.start_step(s) for k,s in zip(kernels, steps)]
    for k,s,r in zip(kernels, steps, runs): k.finish(s, r)


def played(kernels, probe):
    "What the probe brought on each kernel: each step on both at once."
    runs = [[] for _ in kernels]
    for step in probe.steps:
        for k,rs in zip(kernels, runs): rs.append(k.start_step(step))
        if step.wait:
            for k,rs in zip(kernels, runs): k.finish(step, rs[-1])
    for k,rs in zip(kernels, runs):
        for step,run in zip(probe.steps, rs):
            if not step.wait: k.finish(step, run)
    if not probe.is_fresh: reset(kernels)
    return [k.told(probe, rs) for k,rs in zip(kernels, runs)]


def value(expression):
    "The value of `expression` in ipykernel, if it is a literal."
    with closing(Twin(NAMES[0])) as k:
        k.wait_ready()
        step = cell("", silent=True, user_expressions=dict(e=expression))
        run = k.start_step(step)
        k.finish(step, run)
        return ast.literal_eval(run.reply["content"]["user_expressions"]["e"]["data"]["text/plain"])


def compared(twins, table, probe):
    "Where the kernels differ in a probe, as text; empty if they do not. What may be cut short by a busy machine gets three chances."
    for _ in range(3 if probe.is_timed else 1):
        diff = difference(*twins.play(table, probe))
        if not diff: break
    return diff


class Play:
    "Plays probes (in tables of names) on threads, tables side by side and the probes of one in turn; `diffs` holds a Future for each name."
    def __init__(self, tables):
        self.diffs,self.stopping = {name: Future() for ps in tables.values() for name in ps}, False
        self.pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        self.jobs = [self.pool.submit(self._play, table, ps) for table,ps in tables.items()]

    def _play(self, table, ps):
        with closing(Twins()) as twins:
            for name,probe in ps.items():
                if self.stopping: return
                try: self.diffs[name].set_result(compared(twins, table, probe))
                except BaseException as e: self.diffs[name].set_exception(e)  # the test's that waits for it

    def close(self):
        self.stopping = True
        self.pool.shutdown(cancel_futures=True)


def difference(a, b):
    "Where two values differ, as text; empty if they do not."
    if a == b: return ""
    return "\n".join(difflib.unified_diff(lines(a), lines(b), NAMES[0], NAMES[1], n=2, lineterm=""))
