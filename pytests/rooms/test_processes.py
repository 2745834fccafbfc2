"The kernel's processes: which they are and how they end. What ends processes runs in a process of its own, which is their ancestor."
import os, select, signal, subprocess, sys

import pytest

from harness import slack, wait_until
from ipymini.process.processes import children, signal_children

WAIT = 10
SLEEPER = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(60)"]
STUBBORN = [sys.executable, "-c", "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('ready', flush=True)\ntime.sleep(60)"]
FAMILY = [sys.executable, "-c", f"import subprocess, time; p = subprocess.Popen({SLEEPER!r}); print(p.pid, flush=True); time.sleep(60)"]
CAREFUL = [sys.executable, "-c", "import signal, sys, time\ndef bye(*args):\n    time.sleep(0.5)\n    print('bye', flush=True)\n"
    "    sys.exit()\n"
    "signal.signal(signal.SIGTERM, bye)\nprint('ready', flush=True)\ntime.sleep(60)"]
READER = [sys.executable, "-c", "import signal, sys, time\nfor s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, signal.SIG_IGN)\n"
    "print('ready', flush=True)\n"
    "sys.stdin.read()\ntime.sleep(0.1)\nprint('cleaned', flush=True)"]
DAEMON = "if os.fork(): os.wait()\nelse:\n    os.setsid()\n    pid = os.fork()\n    if pid: print(pid, flush=True)\n" \
    "    else: os.execve(sys.executable, ['x', '-c', 'import time; time.sleep(60)'], {})\n" \
    "    os._exit(0)\n"


class Child(subprocess.Popen):
    "A running child, which is killed at the end, and the first line it `said`."
    def __init__(self, cmd, **kw):
        super().__init__(cmd, stdout=subprocess.PIPE, text=True, **kw)
        self.said = self.stdout.readline().strip()

    def __exit__(self, *exc):
        self.kill()
        return super().__exit__(*exc)


def is_gone(pid):
    "No such process, or one that has ended and is not yet reaped by its parent."
    try: return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError): return True


def wait_gone(pid): wait_until(lambda: is_gone(pid), WAIT, f"the end of process {pid}", 0.005)


def script(code, within=20):
    "The words that Python code in a process of its own prints."
    head = "import os, signal, subprocess, sys, time\nfrom ipymini.process.processes import *\n" \
        "def start(cmd, **kw):\n    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, text=True, **kw)\n" \
            "    p.said = p.stdout.readline().strip()\n    return p\n"
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, timeout=within)
    assert not done.stderr and not done.returncode, done.stderr
    return done.stdout.split()


def test_children():
    "Children and grandchildren, also those of other threads than the main one."
    with Child(FAMILY) as p, Child(SLEEPER) as q:
        assert {p.pid, q.pid, int(p.said)} <= set(children()) and children(p.pid) == [int(p.said)] and children(q.pid) == []
        os.kill(int(p.said), signal.SIGKILL)
    assert not {p.pid, q.pid} & set(children()) and children(p.pid) == []


def test_signal_children():
    "All of them, or with of_group those that a terminal's Ctrl-C would reach."
    code = f"""
p,q = (start({SLEEPER!r}, start_new_session=new) for new in (False, True))
signal_children(signal.SIGTERM, of_group=True)
print(p.wait(10), q.poll())
signal_children(signal.SIGTERM)
print(q.wait(10))"""
    assert script(code) == ["-15", "None", "-15"]


def test_signal_children_that_are_gone():
    with Child(SLEEPER) as p:
        p.kill()
        fd = os.pidfd_open(p.pid)
        assert select.select([fd], [], [], WAIT)[0]
        os.close(fd)
        signal_children(signal.SIGTERM)
        assert p.wait(WAIT) == -signal.SIGKILL


@pytest.mark.parametrize("cmd,longest", [(SLEEPER, 0.3), (STUBBORN, 1.2), (FAMILY, 0.3)], ids=["willing", "stubborn", "family"])
def test_end(cmd, longest):
    "Asked first; who ignores that is killed, when the time is over. Nothing remains, of any generation, and nothing is waited for in vain."
    code = f"p = start({cmd!r})\nbegan = time.monotonic()\nend_family(0.5)\n" \
        f"print(time.monotonic() - began, p.pid, p.said if p.said.isdigit() else '')"
    took,*pids = script(code)
    assert float(took) < longest * slack()
    for pid in pids: wait_gone(pid)


def test_a_handler_has_the_time_it_needs(): assert script(f"p = start({CAREFUL!r})\nend_family(10)\nprint(p.stdout.read())") == ["bye"]


@pytest.mark.parametrize("within", [10, 0.0])
def test_end_of_input(within):
    """What ignores SIGTERM and reads from this process, as the resource tracker of multiprocessing does, sees the end of that and
    is not killed before it has cleaned up."""
    assert script(f"p = start({READER!r}, stdin=subprocess.PIPE)\nend_family({within})\nprint(p.stdout.read())") == ["cleaned"]


def test_end_of_input_behind_a_stubborn_one():
    "It comes when the last who keeps it open is killed; then there is a moment to clean up."
    code = f"""
p = start({READER!r}, stdin=subprocess.PIPE)
os.set_inheritable(p.stdin.fileno(), True)
q = start({STUBBORN!r}, close_fds=False)
end_family(0.2)
print(p.stdout.read(), is_none if (is_none := q.poll()) else '')"""
    assert script(code) == ["cleaned"]


def test_own_pipes_stay_open():
    "Of which a forked child has both ends: the kernel's threads wake each other by such."
    code = "r,w = os.pipe()\npid = os.fork()\nif not pid: time.sleep(60)\nend_family(0.5)\nprint(os.write(w, b'!'), os.read(r, 1))"
    assert script(code) == ["1", "b'!'"]


def test_daemons():
    "Of another session, without a parent or an environment: known by the mark."
    pid = script("mark()\n" + DAEMON + "end_family(0.5)")
    assert len(pid) == 1
    wait_gone(pid[0])


def test_known_before():
    "Where no mark can be: who was listed while its parent lived."
    code = f"p = start({FAMILY!r})\nknown = with_births(children())\np.kill()\np.wait()\nprint(p.said, children())\nend_family(0.5, known)"
    pid,_ = script(code)
    wait_gone(pid)


def test_others_stay():
    "Processes of the same user, group and session, and another one that has got the id of a known one."
    with Child(SLEEPER) as p:
        assert script(f"mark()\nos.system('true')\nend_family(0.1, [({p.pid}, b'1')])\nprint('over')") == ["over"]
        assert p.poll() is None


def test_no_mark_where_the_system_lets_none():
    "Who has lost his parent is known by the process group."
    code = "import resource\ndef refuse(*args): raise ValueError('not allowed')\nresource.setrlimit = refuse\nos.setsid()\n" \
        "mark_if_possible()\nprint(mine['mark'])\n" \
        "os.system('sleep 60 > /dev/null & echo $!')\nend_family(0.5)"
    none,pid = script(code)
    assert none == "None"
    wait_gone(pid)


def test_a_forked_child_ends_its_own_only():
    "The mark is that of the process which has made it; a child has it, too."
    code = "mark()\npid = os.fork()\nif not pid:\n    end_family(0.1)\n    os._exit(5)\n" \
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    assert script(code) == ["5"]


def test_wait_sees_own_children_only():
    "`os.wait` of the user's ends with the last child that it has started, whatever daemons there are."
    code = "mark()\n" + DAEMON.replace("os.wait()", "pass") + "time.sleep(0)\nprint(bool(os.wait()))\ntry: os.wait()\n" \
        "except ChildProcessError: print('none')\nend_family(0.5)"
    assert script(code)[1:] == ["True", "none"]


def test_nothing_was_ever_started():
    "Then no look is taken at all the processes of the machine."
    assert script("import ipymini.process.processes as p\nmark()\np._relatives = None\nend_family(1)\nprint(family())") == ["set()"]


def test_broken_names():
    "What the user's code replaces is of no matter."
    code = f"mark()\np = start({SLEEPER!r})\nimport builtins, os\nprint(p.pid, flush=True)\nkeep = os.close\n" \
        "for name in ('kill', 'listdir', 'open', 'read', 'waitpid', 'readlink', 'lstat', 'getpid'): setattr(os, name, None)\n" \
            "time.sleep = time.monotonic = None\n" \
        "for name in ('open', 'len', 'int', 'set', 'map', 'any'): setattr(builtins, name, None)\nend_family(0.5)\nos._exit(0)"
    wait_gone(script(code)[0])


def test_the_end_of_input_is_no_error():
    "Of who has the pipe here: he can write to it, and close it."
    code = f"p = start({READER!r}, stdin=subprocess.PIPE)\nend_family(5)\nprint('x', file=p.stdin)\np.stdin.close()\nprint(p.stdout.read())"
    assert script(code) == ["cleaned"]
