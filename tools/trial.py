"""Trial room: a kernel of the tests' harness that is used hard, and what must hold of it at the end: alive, in order, nothing left behind.
Knows pytests/ (harness, conftest's temporary directories), /proc. Must not know: what is done to the kernel. Linux only.
Threads: the caller's. Spec: messaging, "Kernel shutdown"."""
import os, re, signal, sqlite3, sys, time, uuid
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "pytests"))

import psutil  # noqa: E402

from conftest import TMP  # noqa: E402 (it points Jupyter and IPython at temporary directories)
from harness import Kernel, wait_until  # noqa: E402

OURS = re.compile(r"Traceback|\[ipymini\] (ERROR|CRITICAL)|Fatal Python error| failed\b")
MARK = "IPYMINI_TRIAL"  # an environment variable by which whatever the kernel has started is known, whoever its parent is by now
SHM = Path("/dev/shm")
END_WITHIN = 6.0  # seconds from shutdown_request to the end: jupyter_client kills after 5


def environment(pid):
    "That of a process, empty of one that is gone or only waits to be reaped."
    try: return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError: return []


def summed_up(record):
    "The first line of a record of the log and its last, without what differs from time to time."
    lines = [line for line in record.strip().splitlines() if line[:1] not in " "] or [record.strip()]
    return re.sub(r"\d+|0x[0-9a-f]+|'[^']*'|\"[^\"]*\"", "_", f"{lines[0][:100]} / {lines[-1][:150]}")


class Trial:
    "The kernel `k`, and the `faults` found with it: (kind, story) in order; `fatal` says that it is of no use to go on."
    def __init__(self, kernel="ipymini"):
        self.mark, self.faults, self.fatal, self.logged = uuid.uuid4().hex, [], False, Counter()
        self.k = Kernel(kernel, env={MARK: self.mark})
        where = self.k.execute("import ipymini\nipymini.__file__" if kernel == "ipymini" else "__import__('sys').executable").ok().result
        self.where, self.stacks_path = where.strip("'"), Path(self.k.tmp.name) / "stacks"
        self.show_stacks()
        self.history = TMP / "ipython" / "profile_default" / "history.sqlite"
        self.inode = self.history.stat().st_ino if self.history.exists() else None

    def fault(self, kind, story="", fatal=False):
        "Note a fault, and tell of the first few of its kind at once."
        self.faults.append((kind, story))
        self.fatal = self.fatal or fatal
        if sum(k == kind for k, _ in self.faults) <= 3: print(f"FAULT {kind}\n{story}".rstrip(), flush=True)

    @property
    def is_alive(self): return self.k.process.poll() is None

    def dead(self):
        log = self.k.log_text(10**7)
        told = log[log.find("Fatal Python error"):] if "Fatal Python error" in log else log[-6000:]
        if (at := told.find("Current thread")) > 0: told = told[at:]  # where it happened, before what the others did
        told = told[:8000]
        self.fault("the kernel died", f"exit code {self.k.process.poll()}; its log ends:\n{told}", fatal=True)

    # --- what the kernel's threads do

    def show_stacks(self):
        "See that SIGUSR1 makes the kernel write its stacks; kernels that do so by themselves write them on their stderr."
        caught = int(re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{self.k.pid}/status").read_text())[1], 16)
        self.says_itself = bool(caught >> signal.SIGUSR1 - 1 & 1)
        if self.says_itself: return
        code = f"__import__('faulthandler').register(__import__('signal').SIGUSR1, file=open({str(self.stacks_path)!r}, 'w'))"
        self.k.execute(code, silent=True, store_history=False).ok()

    def stacks(self):
        "What each of the kernel's threads is doing, as text."
        if not self.is_alive: return "the kernel is dead"
        path = self.k.log_path if self.says_itself else self.stacks_path
        size = path.stat().st_size
        os.kill(self.k.pid, signal.SIGUSR1)
        try: wait_until(lambda: path.stat().st_size > size, 5, "the stacks")
        except AssertionError: return "it does not tell its stacks"
        time.sleep(0.5)
        with open(path, errors="replace") as f:
            f.seek(size)
            return f.read()

    def tasks(self):
        "A line a thread of the kernel's: its id, whether it runs or sleeps, the ticks of CPU it has had, and where in the system it waits."
        lines = []
        for t in sorted(Path(f"/proc/{self.k.pid}/task").iterdir(), key=lambda t: int(t.name)):
            try: fields, place = (t / "stat").read_text().rpartition(") ")[2].split(), (t / "wchan").read_text()
            except OSError: continue  # it has just ended
            lines.append(f"{t.name} {fields[0]} {int(fields[11]) + int(fields[12])} {place}")
        return "\n".join(lines)

    def stuck(self, what, requests):
        "A request that is not answered: the whole story, with what the kernel does."
        said = self.k.log_text(6000)  # before the stacks go there, too
        before, tree = self.tasks(), [f"{p.pid} {p.name()} {p.status()}" for p in self.children()]
        flying = "\n".join(repr(r)[:2500] for r in requests[:12])
        story = f"in flight ({len(requests)}):\n{flying}\nchildren: {tree}\nstacks:\n{self.stacks()}\n"
        story += f"tasks, and half a second later:\n{before}\n{self.tasks()}\nthe kernel's log ends:\n{said}"
        self.fault(f"no answer: {what[:200]}", story, fatal=True)

    # --- what it may not leave

    def children(self):
        try: return psutil.Process(self.k.pid).children(recursive=True)
        except psutil.NoSuchProcess: return []

    def started(self):
        "All processes that the kernel has started, or their children, wherever they are now, but for itself."
        mark = f"{MARK}={self.mark}".encode()
        return [p for p in psutil.process_iter() if p.pid != self.k.pid and mark in environment(p.pid)]

    def shared_memory(self): return [n for n in os.listdir(SHM) if self.mark in n]

    def state(self):
        "Threads, descriptors and resident bytes, after a collection."
        rss = self.k.rss()
        p = psutil.Process(self.k.pid)
        return dict(threads=p.num_threads(), fds=p.num_fds(), rss=rss)

    def look_at_log(self):
        "Note what the log says of faults of the kernel's own since the last look: each kind once, with its first record."
        records = re.split(r"(?m)^(?=\[ipymini\] )", self.k.log_path.read_text(errors="replace"))
        bad = [r for r in records if OURS.search(r) and not r.rstrip().endswith("\nAlarm")]  # a cell's own timer may hit anything
        found, first = Counter(map(summed_up, bad)), {summed_up(r): r for r in reversed(bad)}
        for what in found.keys() - self.logged.keys(): self.fault(f"in the kernel's log: {what}", first[what][:4000])
        self.logged = found

    def look_at_history(self, cells):
        "The file is the same, sound, and holds each of `cells`, a dict of inputs and what is known of them. After the end."
        moved = [p.name for p in self.history.parent.glob("history-corrupt*")]
        if moved: self.fault("history moved away as corrupt", str(moved))
        if not self.history.exists(): return self.fault("no history file", str(self.history))
        if self.inode and self.history.stat().st_ino != self.inode: self.fault("another history file than at the start")
        db = sqlite3.connect(self.history)
        if (verdict := db.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]: self.fault("history is damaged", str(verdict))
        kept = {s for s, in db.execute("SELECT source_raw FROM history")}
        db.close()
        lost = [(c, what) for c, what in cells.items() if c.rstrip("\n") not in kept]
        if lost: self.fault("inputs missing in the history file", f"{len(lost)} of {len(cells)}, for example {lost[:5]}")

    def end(self):
        "Shut the kernel down in order and look at what is left: seconds it took."
        began, run = time.monotonic(), self.k.send("shutdown_request", dict(restart=False), "control")
        try:
            self.k.pump(lambda: run.reply, 10, "shutdown_reply")
            code = self.k.wait_exit(END_WITHIN + 10)
        except Exception as e: return self.fault("no clean end", f"{type(e).__name__}: {str(e)[:3000]}\n{self.stacks()}")
        took = time.monotonic() - began
        if took > END_WITHIN: self.fault("a slow end", f"{took:.1f} s")
        if code != 0: self.fault("exit code", f"{code}; the log ends:\n{self.k.log_text()}")
        try: wait_until(lambda: not self.started(), 1)
        except AssertionError: self.fault("processes left behind", str([(p.pid, p.cmdline()) for p in self.started()]))
        try: wait_until(lambda: not self.shared_memory(), 2)
        except AssertionError: self.fault("left in /dev/shm", str(self.shared_memory()))
        return took

    def close(self):
        for p in self.started(): p.kill()
        self.k.close()

    def verdict(self):
        "Print what was found; the exit code."
        kinds = Counter(kind for kind, _ in self.faults)
        for kind, n in kinds.most_common(): print(f"  {n:6} x {kind}")
        print("NOT OK" if kinds else "ok", flush=True)
        return int(bool(kinds))
