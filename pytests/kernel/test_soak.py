"""Soak: many starts and shutdowns leave nothing behind, and a long row of cells comes out complete and in order.
IPYMINI_SOAK=1 does 200 rounds instead of 25."""
import os, psutil
from pathlib import Path

from harness import Kernel, same, slack, wait_until

ROUNDS = 200 if os.environ.get("IPYMINI_SOAK") else 25


def files(tmp): return {str(p) for d in (os.environ["JUPYTER_RUNTIME_DIR"], tmp) for p in Path(d).rglob("*")}


def kernels(): return {p.pid for p in psutil.process_iter(["ppid"]) if p.info["ppid"] == os.getpid()}


def listening(ports):
    "Which of `ports` somebody listens on."
    return {c.laddr.port for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port in ports}


def test_starts_and_shutdowns(tmp_path):
    "Over tcp and ipc in turn, after real work: no process, no file (where Jupyter and the kernel put theirs), no port is left."
    before, procs, ports, connection_files = files(tmp_path), kernels(), set(), []
    for i in range(ROUNDS):
        k = Kernel(transport="ipc" if i % 5 == 4 else "tcp", env=dict(TMPDIR=str(tmp_path)))
        connection_files.append(k.km.connection_file)
        try:
            assert k.execute(f"import subprocess\nsubprocess.run(['echo', '{i}'])\n{i}").ok().result == str(i)
            if i % 5 != 4: ports |= {v for n, v in k.km.get_connection_info().items() if n.endswith("_port")}
            tree = psutil.Process(k.pid).children(recursive=True)
            took, _ = k.shutdown()
            assert took < 1.5 * slack() and k.process.returncode == 0, k.log_text()
            assert not [p for p in tree if p.is_running()]
        finally: k.close()
    assert kernels() == procs
    assert not listening(ports)
    assert not (files(tmp_path) - before) | set(filter(os.path.exists, connection_files))


def test_killed_kernel_leaves_no_process():
    "A kernel that is killed takes its children along."
    k = Kernel()
    try:
        k.execute("import subprocess\np = subprocess.Popen(['sleep', '60'])").ok()
        tree = psutil.Process(k.pid).children(recursive=True)
        k.km.shutdown_kernel(now=True)
        wait_until(lambda: not [p for p in tree if p.is_running() and p.status() != psutil.STATUS_ZOMBIE], 3, "the children to end")
    finally: k.close()


def test_a_thousand_executes(kernel):
    "Sent ahead in hundreds, each with prints: complete, in order, each in its own bracket."
    for base in range(0, 1000, 100):
        runs = [kernel.execute(f"for i in range(5): print({n}, i)", wait=False) for n in range(base, base + 100)]
        for n, r in enumerate(runs, base): same(kernel.wait(r).ok().stdout, "".join(f"{n} {i}\n" for i in range(5)))
        assert [r.content["execution_count"] for r in runs] == list(range(runs[0].content["execution_count"], runs[0].content["execution_count"] + 100))
        kernel.runs.clear()


def test_mixed_requests(kernel):
    "Executes, completions, inspections, history and control requests, all in flight together: none is stranded."
    history = dict(hist_access_type="tail", n=2, raw=True, output=False)
    asked = dict(complete_request=dict(code="pri", cursor_pos=3), inspect_request=dict(code="len", cursor_pos=3, detail_level=0), history_request=history,
        comm_info_request={}, is_complete_request=dict(code="1"), kernel_info_request={})
    runs = []
    for i in range(50):
        runs += [kernel.execute(f"x = {i}\nx", wait=False), kernel.request("kernel_info_request", channel="control", wait=False)]
        runs += [kernel.request(t, content, wait=False) for t, content in asked.items()]
    for r in runs: kernel.wait(r)
    assert not [r for r in runs if r.content["status"] not in ("ok", "complete")]


def test_memory_stays():
    "2,000 cells with output do not make the kernel grow without end."
    k = Kernel()
    try:
        def round_(): [k.wait(k.execute("print('x' * 1000);", store_history=False, silent=False)) for _ in range(500)]

        round_()
        first = k.rss()
        for _ in range(3):
            round_()
            k.runs.clear()
        grown = k.rss() - first
        assert grown < 8 << 20, f"{grown >> 10} KiB"
    finally: k.close()
