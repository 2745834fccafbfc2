"""Whole kernel: child processes. What they write is the cell's that started them, whatever runs meanwhile and also after it has ended; how a forked child ends.
Spec: messaging, "Streams (stdout, stderr, etc)". The races are held open by files that a child waits for."""
import pytest
from harness import Sub, wait_until

HOLD = "import asyncio, multiprocessing as mp, os, subprocess, sys, threading\nhold = 'while [ ! -e {go} ]; do sleep 0.01; done; echo late; echo bad >&2'\n" \
    "def forked():\n    import time\n    while not os.path.exists('{go}'): time.sleep(0.01)\n    print('late')\n    print('bad', file=sys.stderr)\n"
STARTS = dict(
    popen   = "p = subprocess.Popen(hold, shell=True)",
    streams = "p = subprocess.Popen(hold, shell=True, stdout=sys.stdout, stderr=sys.stderr)",
    swapped = "p = subprocess.Popen(hold.replace('>&2', '>&3').replace('echo late', 'echo late >&2').replace('>&3', ''), shell=True, stdout=sys.stderr, stderr=sys.stdout)",
    aio     = "p = await asyncio.create_subprocess_shell(hold)",
    thread  = "t = threading.Thread(target=lambda: subprocess.run(hold, shell=True))\nt.start()",
    fork    = "p = mp.get_context('fork').Process(target=forked)\np.start()",
    task    = "async def work(): await (await asyncio.create_subprocess_shell(hold)).wait()\nt = asyncio.create_task(work())\nawait asyncio.sleep(0)")


@pytest.mark.parametrize("how", STARTS)
def test_child_that_outlives_its_cell(kernel, tmp_path, how):
    go = tmp_path / "go"
    first = kernel.execute(HOLD.format(go=go) + STARTS[how]).ok()
    last = kernel.execute("print('next')").ok()
    go.touch()
    kernel.pump(lambda: "late\n" in first.text("stdout", first.all) and "bad\n" in first.text("stderr", first.all), what="what the child writes")
    assert last.late == [] and last.outputs[0]["content"]["text"] == "next\n"


def test_child_while_a_subshell_runs(kernel, tmp_path):
    "The subshell's cell is the latest; the child is of the one that waits for it. In order with what that prints."
    go = tmp_path / "go"
    with Sub(kernel) as sub:
        first = kernel.execute(HOLD.format(go=go) + "print('before')\nsubprocess.run(hold, shell=True)\nprint('after')", wait=False)
        kernel.sees(first, "before\n")
        other = sub.execute(f"print('other')\nopen({str(go)!r}, 'w').close()\nimport subprocess\nsubprocess.run(['echo', 'mine']);").ok()
        assert kernel.wait(first).ok().stdout == "before\nlate\nafter\n" and first.stderr == "bad\n"
        assert other.stdout == "other\nmine\n" and other.late == []


def test_os_system_while_a_subshell_runs(kernel, tmp_path):
    go = tmp_path / "go"
    with Sub(kernel) as sub:
        first = kernel.execute(HOLD.format(go=go) + "print('before')\nos.system(hold)\nprint('after')", wait=False)
        kernel.sees(first, "before\n")
        other = sub.execute(f"open({str(go)!r}, 'w').close()").ok()
        assert kernel.wait(first).ok().stdout == "before\nlate\nafter\n" and first.stderr == "bad\n" and other.late == other.outputs == []


def test_nothing_is_left_of_children(kernel):
    "No descriptor, also of those that could not be started, whose output went elsewhere, or that wrote more than a pipe holds."
    def count(): return int(kernel.execute("import os; len(os.listdir('/proc/self/fd'))").result)
    code = """import os, subprocess, sys, warnings
warnings.filterwarnings('ignore', message='.*fork')
for i in range(20):
    subprocess.run(['true'])
    subprocess.run(['echo', 'x'], stdout=subprocess.PIPE)
    subprocess.run(['echo', 'x'], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
    try: subprocess.run(['/no/such/program'])
    except FileNotFoundError: pass
    if not (pid := os.fork()): os._exit(0)
    os.waitpid(pid, 0)
subprocess.run([sys.executable, '-c', 'print("y" * 1_000_000)'])"""
    kernel.execute(code).ok()
    before = count()
    run = kernel.execute(code).ok()
    assert run.stdout == "y" * 1_000_000 + "\n" and run.stderr == ""
    wait_until(lambda: count() == before, 5, "the descriptors to be what they were")


def test_stderr_to_stdout(kernel):
    code = "import subprocess\nsubprocess.run('echo one; echo two >&2', shell=True, stderr=subprocess.STDOUT);"
    run = kernel.execute(code).ok()
    assert (run.stdout, run.stderr) == ("one\ntwo\n", "")


def test_terminal_of_a_forked_child(kernel):
    "What a child has been given instead of 1 and 2 stays: a pseudo-terminal, as pexpect makes it."
    run = kernel.execute("import os, pty\npid, fd = pty.fork()\nif not pid:\n    os.write(1, b'tty' if os.isatty(1) else b'none')\n    os._exit(0)\nos.read(fd, 10)").ok()
    assert run.result == "b'tty'" and run.stdout == ""


@pytest.mark.parametrize("end,code,shown", [("1/0", 1, "ZeroDivisionError"), ("raise SystemExit(3)", 3, ""), ("raise SystemExit", 0, ""), ("import sys; sys.exit('why')", 1, ""), ("print('fell off')", 0, "")])
def test_end_of_a_forked_child(kernel, end, code, shown):
    "As a script's: with its exit code, and its traceback on stderr."
    run = kernel.execute(f"import os\npid = os.fork()\nif not pid:\n    {end}\nelse:\n    status = os.waitpid(pid, 0)[1]\npid and os.waitstatus_to_exitcode(status)").ok()
    assert run.result == str(code) and shown in run.stderr and ("fell off" in run.stdout) == ("fell off" in end)


def test_late_output_of_a_child(start, tmp_path):
    "With IPYMINI_LATE_OUTPUT=latest it goes to the latest cell, as that of threads does."
    k, go = start(env=dict(IPYMINI_LATE_OUTPUT="latest")), tmp_path / "go"
    first = k.execute(HOLD.format(go=go) + STARTS["popen"]).ok()
    last = k.execute(f"print('next')\nopen({str(go)!r}, 'w').close()\np.wait();").ok()
    assert last.stdout == "next\nlate\n" and last.stderr == "bad\n" and first.late == []
