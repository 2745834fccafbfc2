"A kernel that was started with blocked signals, closed descriptors, in a directory that is gone, or at a terminal, starts and works."
import json, os, sys
from pathlib import Path
import pytest

BLOCK = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.valid_signals()))"
GONE = "import tempfile, shutil; d = tempfile.mkdtemp(); os.chdir(d); shutil.rmtree(d)"
TERMINAL = "import pty; m, s = pty.openpty(); os.set_inheritable(m, True); os.dup2(s, 0)"
CLOSE = "os.closerange({}, {})"
WAYS = dict(blocked=BLOCK, gone=GONE, terminal=TERMINAL,
    no_stdin=CLOSE.format(0, 1), no_stdout=CLOSE.format(1, 2), no_stderr=CLOSE.format(2, 3), none=CLOSE.format(0, 3),
    ignored="import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN); signal.signal(signal.SIGINT, signal.SIG_IGN)", all=f"{BLOCK}; {GONE}; {CLOSE.format(0, 3)}")


@pytest.fixture
def started(start):
    "Start a kernel behind a line of Python that prepares its process."
    def run(how, code):
        spec = Path(os.environ["JUPYTER_PATH"]) / "kernels" / f"outset-{how}"
        spec.mkdir(exist_ok=True)
        argv = [sys.executable, "-c", f"import os, sys; {code}; os.execv(sys.executable, [sys.executable, '-m', 'ipymini', '-f', sys.argv[1]])", "{connection_file}"]
        (spec / "kernel.json").write_text(json.dumps(dict(argv=argv, display_name=how, language="python")))
        return start(f"outset-{how}")
    return run


@pytest.mark.parametrize("how", WAYS)
def test_odd_start(started, how):
    k = started(how, WAYS[how])
    assert k.execute("import os, subprocess, sys\nprint('out')\nprint('err', file=sys.stderr)\nsubprocess.run('echo child', shell=True)\nos.getcwd() != ''").ok().stdout == "out\nchild\n"
    for cell in ("import time\nprint('on')\ntime.sleep(60)", "print('on')\nwhile True: pass", "import asyncio\nprint('on')\nawait asyncio.sleep(60)"):
        for door in ("signal", "message"):
            run = k.execute(cell, wait=False)
            k.sees(run, "on\n")
            k.interrupt(door)
            assert k.wait(run).ename == "KeyboardInterrupt"
    assert k.execute("subprocess.run(['sh', '-c', 'exit 3']).returncode").ok().result == "3"
    k.shutdown()
    assert k.wait_exit() == 0


@pytest.mark.parametrize("cell", ["!cat", "!read x", "import subprocess\nsubprocess.run(['cat'])", "import os\nos.system('cat')", "%%bash\ncat", "x = !cat",
    "import os\npid = os.fork()\nif not pid:\n    os.read(0, 1)\n    os._exit(0)\nos.waitpid(pid, 0)", "import sys\nsys.__stdin__.read()", "import os\nos.read(0, 1)"])
def test_children_at_a_terminal(started, cell):
    "They find the end of their input at once, and not the kernel's terminal."
    k = started("terminal", WAYS["terminal"])
    assert k.execute(cell, timeout=10).status == "ok"
