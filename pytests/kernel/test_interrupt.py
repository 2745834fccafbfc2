"""Whole kernel: interrupts through both doors, SIGINT and interrupt_request, of everything a cell may be doing.
Spec: messaging (interrupt_request). An interrupted cell answers with KeyboardInterrupt at once, and the next one runs as if nothing had been."""
import os, pytest, signal, time

from harness import slack

DOORS = ["signal", "message"]
BUSY = dict(
    loop       = "print('started')\nwhile True: pass",
    sleep      = "import time\nprint('started')\ntime.sleep(30)",
    await_     = "import asyncio\nprint('started')\nawait asyncio.sleep(30)",
    never      = "import asyncio\nprint('started')\nawait asyncio.Event().wait()",
    gather     = "import asyncio\nasync def f():\n    while True: await asyncio.sleep(0.01)\nprint('started')\nawait asyncio.gather(f(), f())",
    lock       = "import threading\nl = threading.Lock()\nl.acquire()\nprint('started')\nl.acquire()",
    join       = "import threading, time\nth = threading.Thread(target=lambda: time.sleep(3), daemon=True)\nth.start()\nprint('started')\nth.join()",
    subprocess = "import subprocess\nprint('started')\nsubprocess.run(['sleep', '30'])",
    system     = "print('started')\n!sleep 30",
    printing   = "print('started')\ni = 0\nwhile True:\n    print(i, flush=True)\n    i += 1",
    nested     = "def f(n):\n    while True:\n        try: g(n)\n        finally: n += 1\ndef g(n):\n    while n >= 0: pass\nprint('started')\nf(0)")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", BUSY)
def test_interrupt(kernel, what, door):
    run = kernel.execute(BUSY[what], wait=False)
    kernel.sees(run, "started\n", 5)
    sent = time.monotonic()
    kernel.interrupt(door)
    kernel.wait(run, 5)
    took = time.monotonic() - sent
    if what != "system": assert (run.status, run.content["ename"], run.ename) == ("error", "KeyboardInterrupt", "KeyboardInterrupt")
    assert took < slack(), f"{took:.2f} s"
    assert kernel.execute("print('next')\n1 + 1").ok().stdout == "next\n"


@pytest.mark.parametrize("door", DOORS)
def test_caught(kernel, door):
    "The cell's own except KeyboardInterrupt catches it."
    code = "import time\ntry:\n    print('started')\n    time.sleep(30)\nexcept KeyboardInterrupt: print('caught')\nprint('on')"
    run = kernel.execute(code, wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt(door)
    assert kernel.wait(run, 5).ok().stdout == "started\ncaught\non\n"


def test_traceback_shows_the_users_line(kernel):
    run = kernel.execute("def where_it_was():\n    print('started')\n    while True: pass\nwhere_it_was()", wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt("signal")
    text = "\n".join(kernel.wait(run).content["traceback"])
    assert "where_it_was" in text and "ipymini" not in text.replace("ipymini-tests", "")


def test_traceback_shows_what_was_awaited(kernel):
    "Where the user's code waited, in whatever depth, and nothing of how asyncio does that."
    run = kernel.execute("import asyncio\nasync def waits_here():\n    print('started')\n    await asyncio.sleep(30)\nawait waits_here()", wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt("message")
    text = "\n".join(kernel.wait(run).content["traceback"])
    assert "waits_here" in text and "asyncio/" not in text and "KeyboardInterrupt" in text


@pytest.mark.parametrize("door", DOORS)
def test_queued_executes_are_aborted(kernel, door):
    "An interrupt is an error: what waits behind it is aborted, and what is sent later runs."
    run = kernel.execute(BUSY["sleep"], wait=False)
    queued = [kernel.execute("print('never')", wait=False) for _ in range(2)]
    kernel.sees(run, "started\n", 5)
    kernel.interrupt(door)
    for r in [run, *queued]: kernel.wait(r, 5)
    assert [r.status for r in (run, *queued)] == ["error", "aborted", "aborted"]
    assert kernel.execute("print('later')").ok().stdout == "later\n"


@pytest.mark.parametrize("door", DOORS)
def test_background_tasks_live_on(kernel, door):
    "An interrupt ends the cell that runs, not the tasks that others started."
    task = "import asyncio\nev = asyncio.Event()\nasync def back():\n    await ev.wait()\n    print('still here')\nt = asyncio.create_task(back())"
    first = kernel.execute(task).ok()
    run = kernel.execute(BUSY["await_"], wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt(door)
    assert kernel.wait(run, 5).content["ename"] == "KeyboardInterrupt"
    kernel.execute("ev.set()\nawait t").ok()
    kernel.sees(first, "still here\n", 5)


def test_many_interrupts(kernel):
    "A user who presses the button again and again hurts nothing."
    run = kernel.execute(BUSY["sleep"], wait=False)
    kernel.sees(run, "started\n", 5)
    for _ in range(5): kernel.interrupt("signal")
    kernel.wait(run, 5)
    for _ in range(5): kernel.interrupt("message")
    for i in range(20):
        os.kill(kernel.pid, signal.SIGINT)
        run = kernel.execute(f"{i}")
        assert run.status in ("ok", "error") and (run.status == "ok" or run.content["ename"] == "KeyboardInterrupt")
    assert kernel.execute("1 + 1").ok().result == "2"


def test_interrupt_between_cells(kernel):
    "An interrupt that comes when the kernel is idle does not hit the next cell."
    for _ in range(10):
        kernel.interrupt("message")
        assert kernel.execute("import time\ntime.sleep(0.02)\n'whole'").ok().result == "'whole'"


def test_control_answers_while_busy(kernel):
    "kernel_info on control is answered while a cell holds the shell."
    run = kernel.execute(BUSY["loop"], wait=False)
    kernel.sees(run, "started\n", 5)
    start = time.monotonic()
    kernel.request("kernel_info_request", channel="control", timeout=5).ok()
    assert time.monotonic() - start < slack()
    kernel.interrupt("message")
    kernel.wait(run, 5)


def test_c_code_is_interrupted_when_it_returns(kernel):
    "A C function cannot be broken off; the interrupt hits when it is back, not the cell after."
    run = kernel.execute("print('started')\nx = sum(range(30_000_000))\nwhile True: pass", wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt("signal")
    assert kernel.wait(run, 10).content["ename"] == "KeyboardInterrupt"
    assert kernel.execute("1 + 1").ok().result == "2"


LOCK = """import importlib._bootstrap as b, functools, operator, select, signal, types
real, released = b._imp, []
taken = map(operator.call, [functools.partial(signal.raise_signal, signal.SIGINT), functools.partial(select.select, [], [], [], {})])
b._imp = types.SimpleNamespace(**vars(real) | dict(acquire_lock=functools.partial(list, taken), release_lock=functools.partial(released.append, 1)))
try: b._get_module_lock('some.module')
finally: b._imp = real
while True: pass"""


@pytest.mark.parametrize("seconds", [0, 0.01])
def test_lock_of_all_imports(kernel, seconds):
    """Stand in the gap: the signal has come when a cell has just taken the lock that all imports of the process need, and comes again while it has not got on.
    It is given back before the interrupt."""
    assert kernel.execute(LOCK.format(seconds)).ename == "KeyboardInterrupt"
    assert kernel.execute("len(released) > 0").ok().result == "True"


WAITS = """import logging, threading
handler, taken, go = logging.Handler(), threading.Event(), threading.Event()
def hold():
    with handler.lock:
        taken.set()
        go.wait(20)
threading.Thread(target=hold).start()
taken.wait()
print('started')
handler.acquire()"""


@pytest.mark.parametrize("how", ["signal", "message"])
def test_wait_in_code_that_is_left_alone(kernel, how):
    "What takes locks that kernel threads need, too, is not interrupted on its way; if it waits there for somebody it is."
    run = kernel.execute(WAITS, wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt(how)
    assert kernel.wait(run, 5).content["ename"] == "KeyboardInterrupt"
    kernel.execute("go.set()").ok()


LOST = """import signal, threading, time
lock = threading.Lock()
lock.acquire()
def elsewhere():
    time.sleep(0.05)
    signal.pthread_kill(threading.get_ident(), signal.{})
threading.Thread(target=elsewhere).start()
lock.acquire()"""


def test_signal_that_wakes_nobody(kernel):
    "As one that comes when main is just about to block: its handler runs all the same."
    sent = time.monotonic()
    assert kernel.execute(LOST.format("SIGINT")).ename == "KeyboardInterrupt" and time.monotonic() - sent < slack()
    assert kernel.execute("1 + 1").ok().result == "2"


def test_sigterm_that_wakes_nobody(start):
    k = start()
    k.execute(LOST.format("SIGTERM"), wait=False)
    assert k.wait_exit(2) == 0


SPIN = """import comm, os
def spin(m=None):
    os.write(1, b'started\\n')
    while True: pass
def transform(lines): return spin() if 'TRANSFORM' in lines[0] else lines
get_ipython().input_transformers_cleanup.append(transform)
comm.get_comm_manager().register_target('spin', lambda c, m: c.on_msg(spin))
"""
CALLED = dict(  # code of the user's that IPython or we call
    repr        = "class R:\n    def __repr__(self): spin()\nR()",
    html        = "class R:\n    def _repr_html_(self): spin()\nR()",
    itself      = "class R:\n    def _ipython_display_(self): spin()\nR()",
    awaiting    = "import asyncio\nawait asyncio.sleep(0)\nclass R:\n    def __repr__(self): spin()\nR()",
    transformer = "# TRANSFORM\n1",
    hook        = "pub = get_ipython().display_pub\npub.register_hook(spin)\ntry: display(1)\nfinally: pub.unregister_hook(spin)")


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", CALLED)
def test_interrupt_of_what_is_called(kernel, what, door):
    "Code of the user's that is called by ours: it must not count as ours, which is let finish first."
    kernel.execute(SPIN).ok()
    run = kernel.execute(CALLED[what], wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt(door)
    assert kernel.wait(run, 5).ename == "KeyboardInterrupt"
    assert kernel.execute("1 + 1").result == "2"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("cell", ["", "import asyncio\nprint('on')\nawait asyncio.sleep(30)", "with get_ipython().kernel.processing_events():\n    import time\n    print('on')\n    time.sleep(30)"],
    ids=["idle", "awaiting", "processing"])
def test_interrupt_of_a_comm_callback(kernel, cell, door):
    "It ends, and the user is told."
    kernel.execute(SPIN).ok()
    run = kernel.execute(cell, wait=False)
    if cell: kernel.sees(run, "on\n", 5)
    kernel.send("comm_open", dict(comm_id=f"c{door}", target_name="spin", data={}))
    msg = kernel.send("comm_msg", dict(comm_id=f"c{door}", data={}))
    kernel.pump(lambda: any("started" in r.text("stdout", r.all) for r in (msg, run)), 5, "the callback")
    kernel.interrupt(door)
    kernel.pump(lambda: msg.end, 5, "the callback's end")
    assert "KeyboardInterrupt" in msg.stderr
    if not run.is_done: kernel.interrupt(door)
    kernel.wait(run, 5)
    assert kernel.execute("1 + 1").result == "2"


def test_interrupt_of_a_call_at_the_prompt(kernel):
    "Of pdb: what it calls ends, and it asks again or ends."
    kernel.execute(SPIN).ok()
    run = kernel.execute("breakpoint()\n1", answers=["spin()", "q", "q"], wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt()
    kernel.wait(run, 5)
    assert kernel.execute("1 + 1").result == "2"
