"""What a cell and its children write arrives where it is meant to go, whatever is done to descriptors 1 and 2, and forks are never left half done.
Spec: messaging, "Streams (stdout, stderr, etc)"; Python's documentation of os.register_at_fork."""
import contextlib, random, time
from pathlib import Path
import pytest
from harness import Sub

PYTESTS = Path(__file__).resolve().parent.parent

INTERRUPTED_FORKS = """import gc, os, signal, sys
from types import SimpleNamespace
sys.path.insert(0, {pytests!r})
from gaps import gaps, interrupted
sys.unraisablehook = lambda raised: None
def start():
    {start}
def look(frame, event, arg):
    if f'{{os.sep}}ipymini{{os.sep}}' in frame.f_code.co_filename and frame.f_code.co_name not in ('__del__', 'drain', '_publish', '_read_all', '_whose', 'read'): codes.add(frame.f_code)
codes = set()
sys.settrace(look)
start()
sys.settrace(None)
def is_pipe(fd):
    try: return os.readlink(f'/proc/self/fd/{{fd}}').startswith('pipe:')
    except OSError: return False
def state(): return signal.pthread_sigmask(signal.SIG_BLOCK, ()), [fd for fd in os.listdir('/proc/self/fd') if is_pipe(fd)]
import time
for code in codes:
    for gap in gaps(SimpleNamespace(__code__=code)): interrupted(start, gap)
before = state()
for code in codes:
    for gap in gaps(SimpleNamespace(__code__=code)): interrupted(start, gap)
end = time.time() + 5
while state() != before and time.time() < end: time.sleep(.01)
start()
print('places:', len(codes) > 3, 'left:', state() == before or (before, state()))
"""
STARTS = dict(fork="pid = os.fork()\n    if not pid: os._exit(0)\n    os.waitpid(pid, 0)", pty="import pty\n    pid, fd = pty.fork()\n    if not pid: os._exit(0)\n    os.close(fd)\n    os.waitpid(pid, 0)",
    preexec="import subprocess\n    p = subprocess.Popen(['true'], preexec_fn=int)\n    p.wait()", popen="import subprocess\n    p = subprocess.Popen(['true'])\n    p.wait()")


@pytest.mark.parametrize("how", STARTS)
def test_forks_that_are_interrupted_anywhere(start, how):
    "An interrupt at each place of the kernel's code that a fork runs: the next one is not stuck, no signal stays blocked, no descriptor open."
    run = start().execute(INTERRUPTED_FORKS.format(pytests=str(PYTESTS), start=STARTS[how]), timeout=60)
    assert run.status == "ok" and run.stdout == "places: True left: True\n", run


TO_FILE = "import os, subprocess, sys\nkept = [os.dup(n) for n in (1, 2)]\nf = os.open({path!r}, os.O_RDWR | os.O_CREAT)\n{go}\n[os.dup2(k, n) for k, n in zip(kept, (1, 2))]\nos.close(f)"
BOTH = "echo out; echo err >&2"
REDIRECTED = dict(
    run       = (f"os.dup2(f, 1)\nsubprocess.run({BOTH!r}, shell=True)", "out\n", "", "err\n"),
    stderr    = (f"os.dup2(f, 2)\nsubprocess.run({BOTH!r}, shell=True)", "err\n", "out\n", ""),
    to_stdout = (f"os.dup2(f, 1)\nsubprocess.run({BOTH!r}, shell=True, stderr=subprocess.STDOUT)", "out\nerr\n", "", ""),
    number    = (f"os.dup2(f, 1)\nsubprocess.run({BOTH!r}, shell=True, stdout=1)", "out\n", "", "err\n"),
    system    = (f"os.dup2(f, 1)\nos.system({BOTH!r})", "out\n", "", "err\n"),
    fork      = ("os.dup2(f, 1)\nimport warnings\nwarnings.simplefilter('ignore', DeprecationWarning)\npid = os.fork()\nif not pid:\n    print('out')\n    print('err', file=sys.stderr)\n    sys.stdout.flush()\n    os._exit(0)\nos.waitpid(pid, 0)", "out\n", "", "err\n"),
    joined    = (f"os.dup2(1, 2)\nsubprocess.run({BOTH!r}, shell=True)", "", "out\nerr\n", ""),
    other     = (f"subprocess.run({BOTH!r}, shell=True, stdout=kept[1])", "", "", "out\nerr\n"))


@pytest.mark.parametrize("how", REDIRECTED)
def test_children_of_a_cell_that_has_redirected_its_descriptors(kernel, tmp_path, how):
    "They write where 1 and 2 lead, as pytest's capfd has it; and to the cell again when they are put back."
    go, in_file, out, err = REDIRECTED[how]
    path = tmp_path / "f"
    run = kernel.execute(TO_FILE.format(path=str(path), go=go)).ok()
    assert (path.read_text(), run.stdout, run.stderr) == (in_file, out, err)
    assert kernel.execute(f"subprocess.run({BOTH!r}, shell=True);").ok().stdout == "out\n"


@pytest.mark.parametrize("fds", ["1", "2", "1, 2"])
def test_closed_descriptors(start, fds):
    "Children have none of those either, and the others go to the cell; Python's own prints, too."
    k = start()
    k.execute(f"import os, subprocess, sys\nfor fd in ({fds},): os.close(fd)").ok()
    run = k.execute(f"print('printed')\nprint('bad', file=sys.stderr)\nsubprocess.run({BOTH!r}, shell=True, stdin=subprocess.DEVNULL);").ok()
    assert run.stdout == "printed\n" + "out\n" * ("1" not in fds) and run.stderr.startswith("bad\n")
    assert ("err\n" in run.stderr) == ("2" not in fds)


@pytest.mark.parametrize("code", ["sys.stdout = sys.__stdout__\nprint('x')\nsys.stdout = kept", "print('x', file=sys.__stdout__)", "sys.__stdout__.write('x\\n')", "print('x', file=sys.__stderr__)",
    "import contextlib\nwith contextlib.redirect_stdout(sys.__stdout__): print('x')"])
def test_text_for_the_original_streams(kernel, code):
    "Each line at once, while the cell still runs, as at a terminal."
    cell = f"import sys, time\nkept = sys.stdout\n{code}\ninput()"
    name = "stderr" if "stderr" in code else "stdout"
    run = kernel.execute(cell, answers=[lambda msg: (kernel.pump(lambda: run_of(kernel).text(name, run_of(kernel).all) == "x\n"), kernel.reply_input(msg, ""))])
    assert run.ok().text(name) == "x\n"


def run_of(kernel): return list(kernel.runs.values())[-1]


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize("hook", ["", "\nseen = []\nget_ipython().display_pub.register_hook(lambda msg: seen.append(msg['buffers']) or msg)", "\nget_ipython().display_pub.register_hook(lambda msg: dict(msg, buffers=[b'x', b'yy']))"])
def test_buffers_of_a_display(start, update, hook):
    k = start()
    run = k.execute(f"transient = dict(display_id='i'){hook}\nget_ipython().display_pub.publish({{'text/plain': 'b'}}, buffers=[b'x', memoryview(b'yy')], transient=transient, update={update})").ok()
    msg = run.outputs[-1]
    assert msg["msg_type"] == ("update_display_data" if update else "display_data") and [bytes(b) for b in msg["buffers"]] == [b"x", b"yy"]


def test_forks_of_three_subshells_under_interrupts(start):
    "Two start shell commands for ever, a third processes, interrupts come at random: each ends what it hits, nobody waits for another's lock for ever, and the kernel serves on."
    k, r = start(), random.Random(1)
    codes = ["while True:\n    !true", "while True:\n    x = !true", "import subprocess\nwhile True: subprocess.run(['true'])"]
    with contextlib.ExitStack() as stack:
        subs = [stack.enter_context(Sub(k)) for _ in codes]
        runs = [s.execute(code, wait=False) for s, code in zip(subs, codes)]
        end, hits = time.monotonic() + 4, 0
        while time.monotonic() < end:
            k.interrupt(r.choice(["signal", "message"]))
            k.arrives(lambda: False, r.uniform(0.01, 0.2))
            for i, run in enumerate(runs):
                if run.is_done: runs[i], hits = subs[i].execute(codes[i], wait=False), hits + 1
        for _ in range(20):
            if all(run.is_done for run in runs): break
            k.interrupt("message")
            k.arrives(lambda: all(run.is_done for run in runs), 0.5)
        assert hits > 2 and not [run for run in runs if not run.is_done], runs
        assert k.execute("1 + 1").ok().result == "2"


@pytest.mark.parametrize("command", ["!true", "x = !true"])
@pytest.mark.parametrize("where", ["main", "subshell"])
def test_a_loop_of_commands_is_interrupted(kernel, where, command):
    "By one interrupt, wherever it comes: where a child has just ended well IPython takes it for an interrupt of that, and swallows it."
    with Sub(kernel) as sub:
        for _ in range(3):
            run = (kernel if where == "main" else sub).execute(f"n = 0\nwhile True:\n    {command}\n    n += 1\n    if n == 2: print('goes')", wait=False)
            kernel.sees(run, "goes\n")
            kernel.interrupt("message")
            assert kernel.wait(run, 5).ename == "KeyboardInterrupt"
