"""Whole kernel: what a cell may be doing x the doors an interrupt comes through, with another subshell at work that must not feel it.
Spec: messaging (interrupt_request); JEP 91. A KeyboardInterrupt within half a second, and the next cell runs."""
import os, re, time

import pytest

from harness import Sub, slack

DOORS = ["signal", "message"]
WITHIN = 0.5  # seconds from the interrupt to the reply and idle
GATHER = "import asyncio, time\nasync def f():\n    while True:\n        time.sleep(0.05)\n        await asyncio.sleep(0)\nprint('started')\nawait asyncio.gather(f(), f())"
CELLS = dict(
    loop       = "print('started')\nwhile True: pass",
    sleep      = "import time\nprint('started')\ntime.sleep(30)",
    await_     = "import asyncio\nprint('started')\nawait asyncio.sleep(30)",
    await_loop = "import asyncio\nprint('started')\nawait asyncio.sleep(0)\nwhile True: pass",
    never      = "import asyncio\nprint('started')\nawait asyncio.Event().wait()",
    gather     = GATHER,
    lock       = "import threading\nl = threading.Lock()\nl.acquire()\nprint('started')\nl.acquire()",
    join       = "import threading\nstop = threading.Event()\nt = threading.Thread(target=stop.wait, args=(10,))\nt.start()\nprint('started')\nt.join()",
    subprocess = "import subprocess\nprint('started')\nsubprocess.run(['sleep', '30'])",
    system     = "print('started')\n!sleep 30",
    getoutput  = "print('started')\nfor _ in range(3): x = !sleep 30",
    deaf       = "print('started')\nfor _ in range(3): x = !trap '' INT; exec sleep 30",
    sx         = "print('started')\n%sx sleep 30",
    sx_cell    = "print('started')\nget_ipython().run_cell_magic('system', '', 'sleep 30')",
    input      = "print('started')\ninput('? ')",
    getpass    = "import getpass\nprint('started')\ngetpass.getpass()")
PDB = "def f():\n    x = 1\n    {}\n    x = 2\n    print('went on')\nprint('started')\nf()"
STOPS = dict(breakpoint="breakpoint()", pdb="import pdb; pdb.set_trace()", ipdb="from IPython.core.debugger import set_trace; set_trace()")
SUBSHELL = ["loop", "sleep", "getoutput", "await_", "await_loop", "never", "gather", "input", "getpass"]
WITNESS = "import threading\ngo_on = threading.Event()\nprint('waiting')\ngo_on.wait(30)\nfor _ in range(1000): pass\nprint('unharmed')"


@pytest.fixture
def subs(kernel):
    "The subshell that looks on, and one to be interrupted."
    with Sub(kernel) as witness, Sub(kernel) as subject: yield witness, subject


@pytest.fixture
def witness(kernel, subs):
    "A subshell in the middle of a cell, started before whatever is interrupted: at the end it has come through."
    run = subs[0].execute(WITNESS, wait=False)
    kernel.sees(run, "waiting\n", 5)
    yield subs[0]
    subs[1].execute("go_on.set()").ok()
    assert kernel.wait(run, 5).ok().stdout == "waiting\nunharmed\n"


def interrupted(k, run, door):
    "Interrupt `run` once it has started, and where it asks, asked; seconds until it is done."
    k.sees(run, "started\n", 5)
    if run.msg["content"]["allow_stdin"]: k.pump(lambda: run.asked, 5, "the question")
    sent = time.monotonic()
    k.interrupt(door)
    k.wait(run, 5)
    return time.monotonic() - sent


ASKS = dict.fromkeys(("input", "getpass"), [lambda msg: None])
def begin(who, what): return who.execute(CELLS[what], answers=ASKS.get(what), wait=False)


def fails(run, took):
    assert (run.status, run.content["ename"], run.ename) == ("error", "KeyboardInterrupt", "KeyboardInterrupt"), run
    assert took < WITHIN * slack(), f"{took:.2f} s"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", CELLS)
def test_main(kernel, witness, what, door):
    run = begin(kernel, what)
    took = interrupted(kernel, run, door)
    if what == "join": kernel.execute("stop.set()").ok()
    fails(run, took)
    assert kernel.execute("print('next')\n1 + 1").ok().stdout == "next\n"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("stop", STOPS)
def test_pdb(start, stop, door):
    "The prompt ends, and the cell with it; nothing of the function goes on."
    k = start()
    asked = []
    run = k.execute(PDB.format(STOPS[stop]), answers=[asked.append] * 9, wait=False)
    k.sees(run, "started\n", 5)
    k.pump(lambda: asked, 5, "the prompt")
    fails(run, interrupted(k, run, door))
    assert not re.search(r"\b[bp]db\.py", "\n".join(run.content["traceback"])), run  # it shows the user's line, and no prompt's
    assert "\nwent on\n" not in run.stdout and k.execute("print('next')").ok().stdout == "next\n"


@pytest.mark.parametrize("door", DOORS)
def test_post_mortem(start, door):
    "%debug ends, too."
    k, asked = start(), []
    k.execute("1/0")
    run = k.execute("print('started')\n%debug", answers=[asked.append] * 9, wait=False)
    k.pump(lambda: asked, 5, "the prompt")
    interrupted(k, run, door)
    assert k.execute("print('next')").ok().stdout == "next\n"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", SUBSHELL)
def test_subshell(kernel, witness, subs, what, door):
    "Main is idle: the interrupt is for the subshell that began last."
    run = begin(subs[1], what)
    fails(run, interrupted(kernel, run, door))
    for who in (subs[1], kernel): assert who.execute("print('next')").ok().stdout == "next\n"


TWICE = """tb = get_ipython().InteractiveTB
def again(*args, **kw):
    del tb.structured_traceback
    raise KeyboardInterrupt
tb.structured_traceback = again"""


def test_interrupt_of_an_interrupt(kernel):
    "A second one, where IPython is to show the first: it is shown all the same."
    kernel.execute(TWICE).ok()
    fails(kernel.execute("raise KeyboardInterrupt"), 0)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", ["loop", "await_", "input"])
def test_main_first(kernel, subs, what, door):
    "Both are at work: one interrupt is main's alone."
    other = begin(subs[1], "sleep")
    kernel.sees(other, "started\n", 5)
    run = begin(kernel, what)
    fails(run, interrupted(kernel, run, door))
    assert not other.is_done
    time.sleep(2.1)  # so that the next counts as a first one; nothing may happen meanwhile
    while kernel.poll(0): pass
    assert not other.is_done
    fails(other, interrupted(kernel, other, door))


SWALLOW = """import asyncio, time
async def back():
    try: await asyncio.sleep(30)
    finally: print('back ended')
task = asyncio.create_task(back())
await asyncio.sleep(0)
print('started')
while True:
    try: await asyncio.sleep(30)
    except asyncio.CancelledError:
        if task.done(): break
        print('swallowed')
print('left')"""


@pytest.mark.parametrize("door", DOORS)
def test_second_escalates(kernel, subs, door):
    "A cell that swallows the first interrupt: the second within two seconds ends all tasks, and what subshells do."
    other = begin(subs[1], "sleep")
    kernel.sees(other, "started\n", 5)
    run = kernel.execute(SWALLOW, wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt(door)
    kernel.sees(run, "swallowed\n", 5)
    assert not other.is_done
    sent = time.monotonic()
    kernel.interrupt(door)
    kernel.sees(run, "back ended\n", 1)
    kernel.wait(other, 5)
    assert other.content["ename"] == "KeyboardInterrupt" and time.monotonic() - sent < WITHIN * slack()
    if not kernel.arrives(lambda: run.is_done, 0.2): kernel.interrupt(door)
    kernel.wait(run, 5).ok()
    assert run.stdout.endswith("left\n")
    for who in (kernel, subs[1]): assert who.execute("1 + 1").ok().result == "2"


def test_second_escalates_from_a_sync_cell(kernel, subs):
    "The same for a cell that catches KeyboardInterrupt in a loop; tasks of other cells end, too."
    task = kernel.execute("import asyncio, time\ntask = asyncio.create_task(asyncio.sleep(60))").ok()
    other = begin(subs[1], "await_")
    kernel.sees(other, "started\n", 5)
    code = "n = 0\nprint('started')\nwhile n < 2:\n    try: time.sleep(30)\n    except KeyboardInterrupt:\n        n += 1\n        print('swallowed', n)"
    run = kernel.execute(code, wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt("signal")
    kernel.sees(run, "swallowed 1\n", 5)
    assert not other.is_done
    kernel.interrupt("signal")
    assert kernel.wait(run, 5).ok().stdout.endswith("swallowed 2\n")
    assert kernel.wait(other, 5).content["ename"] == "KeyboardInterrupt"
    assert kernel.execute("await asyncio.wait([task], timeout=1)\ntask.cancelled()").ok().result == "True" and task.is_done


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", ["loop", "sleep", "await_", "input"])
def test_ten_in_a_row(kernel, what, door):
    run = begin(kernel, what)
    kernel.sees(run, "started\n", 5)
    if run.msg["content"]["allow_stdin"]: kernel.pump(lambda: run.asked, 5, "the question")
    sent = [kernel.send("interrupt_request", channel="control") if door == "message" else kernel.interrupt(door) for _ in range(10)]
    kernel.wait(run, 5)
    assert run.content["ename"] == "KeyboardInterrupt"
    for r in filter(None, sent): kernel.wait(r).ok()
    kernel.request("kernel_info_request").ok()
    assert kernel.execute("print('next')").ok().stdout == "next\n"


def test_between_cells(kernel, subs):
    "With nothing to interrupt nothing happens: the cells before and after are whole, on main and on a subshell."
    for who in (kernel, subs[1]) * 5:
        for door in DOORS: kernel.interrupt(door)
        kernel.execute("", silent=True).ok()  # the signals have arrived, however busy the machine: an interrupt means what runs then
        assert who.execute("import time\ntime.sleep(0.02)\n'whole'").ok().result == "'whole'"


ARM = """import os, signal, sys
def arm(lines):
    "Send SIGINT to this process when the kernel's own code has come `lines` lines further on this thread."
    left = [lines]
    def trace(frame, event, arg):
        if '/ipymini/' not in frame.f_code.co_filename: return None
        if event == 'line':
            left[0] -= 1
            if not left[0]:
                sys.settrace(None)
                os.kill(os.getpid(), signal.SIGINT)
                return None
        return trace
    sys.settrace(trace)"""
STEPS = range(1, 700) if os.environ.get("IPYMINI_SOAK") else range(1, 700, 9)
CUT = ("ok", "error")


@pytest.mark.parametrize("code", ["1 + 1", "await asyncio.sleep(0)\nprint('x')", "1/0"], ids=["value", "await", "error"])
def test_in_every_gap(start, code):
    "A SIGINT at each line of the kernel's own way from one cell through the next: never an exception of the kernel's, never a lost message."
    k = start()
    k.execute("import asyncio\n" + ARM).ok()
    for n in STEPS:
        armed = k.execute(f"arm({n})", stop_on_error=False, wait=False)
        run, info = k.execute(code, stop_on_error=False, wait=False), k.request("kernel_info_request", wait=False)
        for r in (armed, run, info): k.wait(r, 5)
        assert armed.status in CUT and run.status in CUT and info.status in CUT, f"at line {n}: {armed} {run}"
        for r in (armed, run, info):
            assert r.status == "ok" or r.content.get("ename") in ("KeyboardInterrupt", "ZeroDivisionError"), f"at line {n}: {r}"
        while (off := k.execute("sys.settrace(None)")).status != "ok": assert off.ename == "KeyboardInterrupt", f"at line {n}: {off}"  # where the lines have led that far
        k.runs.clear()
    assert "Traceback" not in k.log_text(), k.log_text()
