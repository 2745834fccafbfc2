"""Whole kernel: how it starts, on which transports and files, and how it ends: asked, by signal, or because who started it died.
Spec: messaging (shutdown), kernels (connection files). An end is asked and done within a second, from idle and from a busy cell; one that does not care has 2.3 s."""
import json, os, psutil, pytest, re, signal, stat, subprocess, sys, time, uuid
from pathlib import Path

from harness import Client, KERNEL_NAME, Kernel, raw_client, slack, started, wait_until

BUSY = dict(  # chkstyle: ignore-node (a table, a cell a line)
    idle       = None,
    loop       = "print('started')\nwhile True: pass",
    sleep      = "import time\nprint('started')\ntime.sleep(60)",
    await_     = "import asyncio\nprint('started')\nawait asyncio.sleep(60)",
    subprocess = "import subprocess\nprint('started')\nsubprocess.run(['sleep', '60'])",
    input      = "print('started')\ninput()",
    deaf       = "print('started')\nwhile True:\n    try:\n        while True: x = 1\n    except BaseException: pass")
LONGEST = dict(deaf=4.0)  # seconds; others 1.5


def make_busy(k, what):
    "Start the cell, and wait until it runs."
    if not BUSY[what]: return
    run = k.execute(BUSY[what], answers=[lambda msg: None] if what == "input" else None, wait=False)
    k.sees(run, "started\n", 5)


def children(pid): return psutil.Process(pid).children(recursive=True)


@pytest.mark.parametrize("what", BUSY)
@pytest.mark.parametrize("channel,restart", [("control", False), ("control", True)])
def test_shutdown(start, what, channel, restart):
    k = start()
    make_busy(k, what)
    took, run = k.shutdown(restart, channel)
    assert run.ok().content["restart"] is restart
    assert took < LONGEST.get(what, 1.5) * slack(), f"{took:.2f} s"


def test_shutdown_on_shell(start):
    k = start()
    took, run = k.shutdown(channel="shell")
    assert run.ok().content["restart"] is False and took < 1.5 * slack() and k.process.returncode == 0


def test_shutdown_goes_idle(start):
    "The shutdown itself has its bracket, sent before the kernel ends."
    k = start()
    run = k.request("shutdown_request", dict(restart=False), channel="control")
    assert [m for m in run.kinds if m != "shutdown_reply"] == ["busy", "idle"]
    assert k.wait_exit(5) == 0


@pytest.mark.parametrize("what", BUSY)
def test_sigterm(start, what):
    k = start()
    make_busy(k, what)
    begin = time.monotonic()
    os.kill(k.pid, signal.SIGTERM)
    k.wait_exit(5)
    assert time.monotonic() - begin < LONGEST.get(what, 1.5) * slack()


def test_children_end_with_the_kernel(start):
    "Processes that cells started, those in sessions of their own too, do not outlive the kernel."
    k = start()
    k.execute("import subprocess\nps = [subprocess.Popen(['sleep', '60']), subprocess.Popen(['sleep', '60'], start_new_session=True)]").ok()
    procs = children(k.pid)
    assert len(procs) >= 2
    k.shutdown()
    wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in procs), 3, "the children to end")


def test_restart(start):
    "KernelManager.restart_kernel: the same connection file and client, a fresh namespace and count."
    k = start()
    k.execute("kept = 1").ok()
    k.km.restart_kernel(now=False)
    k.pid = k.km.provisioner.pid
    k.runs.clear()
    k.wait_ready()
    run = k.execute("kept")
    assert (run.content["ename"], run.content["execution_count"]) == ("NameError", 1)


def test_files_are_gone(start, tmp_path):
    "A shutdown leaves no temporary files, and of the connection file's kind only the one that it was given."
    k = start(env=dict(TMPDIR=str(tmp_path)))
    k.execute("1 + 1").ok()
    k.shutdown()
    assert not list(tmp_path.iterdir()) and Path(k.km.connection_file).exists()


LAUNCH = """import os, sys
from jupyter_client import KernelManager
km = KernelManager(kernel_name=sys.argv[1])
km.start_kernel()
km.client().start_channels()
print(km.provisioner.pid, km.connection_file, flush=True)
sys.stdin.read()
os._exit(9)"""


@pytest.mark.parametrize("what", ["idle", "loop", "sleep", "deaf"])
def test_parent_dies(what):
    "JPY_PARENT_PID: a kernel whose starter is gone ends by itself, busy or not."
    parent = subprocess.Popen([sys.executable, "-c", LAUNCH, KERNEL_NAME], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid, file = parent.stdout.readline().split()
    proc, c = psutil.Process(int(pid)), Client(file)
    try:
        c.wait_ready()
        make_busy(c, what)
        parent.kill()
        parent.wait()
        wait_until(lambda: not proc.is_running() or proc.status() == psutil.STATUS_ZOMBIE, 8, "the orphaned kernel to end")
    finally:
        c.close()
        parent.kill()
        if proc.is_running(): proc.kill()
        parent.stdin.close()
        parent.stdout.close()
        Path(file).unlink(missing_ok=True)


def test_ipc(start):
    "The ipc transport, for all channels; its sockets are gone afterwards."
    k = start(transport="ipc")
    assert k.execute("input('? ') + '!'", answers=["x"]).ok().result == "'x!'"
    sockets = list(Path(k.tmp.name).glob("ipc-*"))
    assert len(sockets) == 5
    k.shutdown()
    assert not [p for p in sockets if p.exists()]


def test_unsigned(start):
    "An empty key: messages carry no signature, and none is asked for."
    k = start(key=b"")
    assert k.execute("1 + 1").ok().result == "2"
    with raw_client(k.km.connection_file) as c:
        reply, _ = c.request("shell", c.frames("kernel_info_request"))
        assert reply["content"]["status"] == "ok" and c.sign([b"x"]) == b""


@pytest.fixture
def launch(tmp_path):
    "Start `python -m ipymini` by hand, with arguments; the process's output is in `p.log`."
    procs = []

    def launch_one(*args, **kw):
        log = tmp_path / f"log{len(procs)}"
        with open(log, "wb") as f:
            p = subprocess.Popen([sys.executable, "-m", "ipymini", *args], stdout=f, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **kw)
        p.log = log
        procs.append(p)
        return p

    yield launch_one
    for p in procs:
        p.kill()
        p.wait()


def connection_file(path, **kw):
    "Write a connection file with ports of 0; give back its path."
    ports = {f"{c}_port": 0 for c in ("shell", "iopub", "stdin", "control", "hb")}
    info = dict(transport="tcp", ip="127.0.0.1", key=uuid.uuid4().hex, signature_scheme="hmac-sha256", kernel_name="ipymini", **ports) | kw
    path.write_text(json.dumps(info))
    return path


def ports(path):
    try: info = json.loads(path.read_text())
    except ValueError: return None
    res = [info[f"{c}_port"] for c in ("shell", "iopub", "stdin", "control", "hb")]
    return res if all(res) else None


def run_one(path, p):
    "A cell through the connection file, then a shutdown."
    c = Client(path, lambda: p.poll() is None, lambda: p.log.read_text())
    try:
        c.wait_ready()
        assert c.execute("1 + 1").ok().result == "2"
        c.send("shutdown_request", dict(restart=False), "control")
        assert p.wait(5) == 0, p.log.read_text()
    finally: c.close()


def test_ports_of_zero(launch, tmp_path):
    "They are bound and written back; all else in the file stays."
    path = connection_file(tmp_path / "c.json", jupyter_session="some/notebook.ipynb")
    before = json.loads(path.read_text())
    p = launch("-f", str(path))
    got = wait_until(lambda: ports(path), 10, "the ports in the connection file")
    assert len(set(got)) == 5
    after = json.loads(path.read_text())
    assert {k: v for k, v in after.items() if not k.endswith("_port")} == {k: v for k, v in before.items() if not k.endswith("_port")}
    run_one(path, p)
    assert path.exists(), "the file was not the kernel's to delete"


def test_without_a_file(launch):
    "It makes its own (0600, in Jupyter's runtime directory), says how to attach, and takes it away at the end."
    p = launch()
    found = wait_until(lambda: re.search(r"--existing (\S+)", p.log.read_text()), 10, "how to attach")
    runtime = Path(os.environ["JUPYTER_RUNTIME_DIR"])
    path = runtime / found[1].strip("'\"")
    assert path.parent == runtime and stat.S_IMODE(path.stat().st_mode) == 0o600
    run_one(path, p)
    assert not path.exists()


IMPOSSIBLE = dict(no_json=lambda p: p.write_text("{no json"), pigeon=lambda p: p.write_text('{"transport": "carrier pigeon"}'), folder=lambda p: p.mkdir(),
    key=lambda p: p.write_text('{"key": 5}'))


@pytest.mark.parametrize("make", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_impossible_file(launch, tmp_path, make):
    "A connection file that cannot be used: a word on stderr and a code, at once."
    path = tmp_path / "c.json"
    make(path)
    p = launch("-f", str(path))
    assert p.wait(10) != 0
    log = p.log.read_text()
    assert any(w in log for w in (str(path), "transport", "key must be")) and "Traceback" not in log


def test_missing_file(launch, tmp_path):
    "A connection file that is not there yet is made."
    path = tmp_path / "c.json"
    p = launch("-f", str(path))
    run_one(wait_until(lambda: path.exists() and ports(path) and path, 10, "the connection file"), p)


def test_two_at_once():
    "Kernels side by side do not hinder each other."
    with started() as a, started() as b:
        runs = [(k, k.execute("import os\nos.getpid()", wait=False)) for k in (a, b)]
        assert [k.wait(r).ok().result for k, r in runs] == [str(a.pid), str(b.pid)]


def test_dead_kernel_is_noticed():
    "The harness itself: waiting on a kernel that dies fails at once, with its story."
    k = Kernel()
    try:
        with pytest.raises(AssertionError, match="the kernel is dead"): k.execute("import os\nos._exit(7)")
        assert k.process.returncode == 7
    finally: k.close()
