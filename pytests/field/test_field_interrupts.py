"""Whole kernel: signals and interrupts under what programs do to them: handlers of their own that raise, stay, or are left behind; masks, wake-up fds, faulthandler; a debugger on its way out.
Spec: messaging, "Kernel interrupt"; Python's documentation of `signal`. What a message means is what a signal means."""
import os, re, signal, time

import pytest

from debugging import debugging
from harness import NO_THREADS, THREADS_AGAIN, Sub, slack, wait_until

DOORS = ["signal", "message"]
LOOP = "print('started')\nwhile True: pass"
SLEEP = "import time\nprint('started')\ntime.sleep(30)"
AWAIT = "import asyncio\nprint('started')\nawait asyncio.sleep(30)"
CELLS = dict(loop=LOOP, sleep=SLEEP, await_=AWAIT)
LEFT = dict(  # what a cell leaves behind
    sig_dfl       = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)",
    sig_ign       = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
    default_int   = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)",
    own           = "import signal\nsignal.signal(signal.SIGINT, lambda *args: print('mine'))",
    raising       = "import signal\ndef bad(*args): raise ValueError('mine')\nsignal.signal(signal.SIGINT, bad)",
    loop_handler  = "import asyncio, signal\nasyncio.get_running_loop().add_signal_handler(signal.SIGINT, print, 'mine')",
    loop_removed  = "import asyncio, signal\nloop = asyncio.get_running_loop()\nloop.add_signal_handler(signal.SIGINT, print, 'mine')\nloop.remove_signal_handler(signal.SIGINT)",
    loop_await    = "import asyncio, signal\nawait asyncio.sleep(0)\nloop = asyncio.get_running_loop()\nloop.add_signal_handler(signal.SIGINT, print, 'mine')\nloop.remove_signal_handler(signal.SIGINT)",
    no_wakeup     = "import signal\nsignal.set_wakeup_fd(-1)",
    other_wakeup  = "import os, signal\nr, w = os.pipe()\nos.set_blocking(w, False)\nsignal.set_wakeup_fd(w)",
    masked        = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    masked_await  = "import asyncio, signal\nawait asyncio.sleep(0)\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    sigurg        = "import signal\nsignal.signal(signal.SIGURG, lambda *args: print('urgent'))",
    sigurg_dfl    = "import signal\nsignal.signal(signal.SIGURG, signal.SIG_IGN)",
    siginterrupt  = "import signal\nsignal.siginterrupt(signal.SIGINT, False), signal.siginterrupt(signal.SIGURG, False)")


def interrupted(k, code, door, who=None):
    "Interrupt the cell `code`; it ends with KeyboardInterrupt."
    run = (who or k).execute(code, wait=False)
    k.sees(run, "started\n", 5)
    k.interrupt(door)
    k.wait(run, 5)
    assert run.content.get("ename") == "KeyboardInterrupt", run


def serves(k): assert k.execute("1 + 1").ok().result == "2"


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", LEFT)
def test_left_behind(kernel, what, door):
    "Whatever a cell leaves behind: idle, the stop button does no harm, and the next cells can be stopped, several times."
    k = kernel
    k.execute(LEFT[what]).ok()
    k.interrupt(door)
    serves(k)
    for cell in (LOOP, AWAIT, SLEEP, LOOP): interrupted(k, cell, door)
    serves(k)
    assert k.execute("signal.getsignal(signal.SIGINT) is signal.default_int_handler").ok().result == "False"


@pytest.mark.parametrize("door", DOORS)
def test_own_handler_is_asked_alone(kernel, door):
    "In the cell that put it in; for a message as for a signal. The next cell is the kernel's."
    code = "import signal, time\ncame = []\nsignal.signal(signal.SIGINT, lambda *args: came.append(1))\nprint('started')\nuntil = time.monotonic() + 10\nwhile not came and time.monotonic() < until: pass\nfor _ in range(30): time.sleep(0.01)\nlen(came)"
    run = kernel.execute(code, wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt(door)
    assert kernel.wait(run, 10).ok().result == "1"
    interrupted(kernel, LOOP, door)


@pytest.mark.parametrize("door", DOORS)
def test_own_handler_of_the_loop(kernel, door):
    "As asyncio has it: `add_signal_handler` in a cell that awaits."
    code = "import asyncio, signal\ngo_on = asyncio.Event()\nasyncio.get_running_loop().add_signal_handler(signal.SIGINT, go_on.set)\nprint('started')\nawait asyncio.wait_for(go_on.wait(), 10)\n'end'"
    run = kernel.execute(code, wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt(door)
    assert kernel.wait(run, 10).ok().result == "'end'"
    interrupted(kernel, AWAIT, door)


@pytest.mark.parametrize("door", DOORS)
def test_loop_handler_of_another_signal_stays(kernel, door):
    "The wake-up fd is the kernel's again after the cell; what asyncio is to do for other signals it still does."
    kernel.execute("import asyncio, os, signal\ncame = asyncio.Event()\nasyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, came.set)").ok()
    assert kernel.execute("os.kill(os.getpid(), signal.SIGUSR2)\nawait asyncio.wait_for(came.wait(), 10)\n'came'").ok().result == "'came'"
    interrupted(kernel, AWAIT, door)
    kernel.execute("asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR2)").ok()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("handler", ["signal.SIG_DFL", "signal.default_int_handler"])
def test_default_handlers_in_the_cell_itself(kernel, handler, door):
    "Both mean what Ctrl-C means in a script, KeyboardInterrupt: the kernel does not die of it. What is asked for is what was put in."
    setting = f"import signal\nsignal.signal(signal.SIGINT, {handler})\nassert signal.getsignal(signal.SIGINT) == {handler}\n"
    for cell in CELLS.values(): interrupted(kernel, setting + cell, door)
    interrupted(kernel, LOOP, door)


@pytest.mark.parametrize("door", DOORS)
def test_ignored(kernel, door):
    "SIG_IGN holds for its cell; by message a second click within two seconds is no request any more."
    code = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('started')\ntime.sleep({})\n'end'"
    run = kernel.execute(code.format(0.5), wait=False)
    kernel.sees(run, "started\n", 5)
    kernel.interrupt(door)
    assert kernel.wait(run, 5).ok().result == "'end'"
    if door == "signal": return
    run = kernel.execute(code.format(30), wait=False)
    kernel.sees(run, "started\n", 5)
    for _ in range(2): kernel.interrupt(door)
    assert kernel.wait(run, 5).content["ename"] == "KeyboardInterrupt"


def test_shutdown_while_ignored(start, tmp_path):
    "A cell that ignores SIGINT is ended all the same, and its `finally` runs."
    k,mark = start(), tmp_path / "ended"
    run = k.execute(f"import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('started')\ntry: time.sleep(30)\nfinally: open({str(mark)!r}, 'w').close()",
        wait=False)
    k.sees(run, "started\n", 5)
    k.shutdown()
    assert k.process.poll() is not None and mark.exists()


@pytest.mark.parametrize("door", DOORS)
def test_solver(kernel, door):
    "A library that puts its handler in and the old one back, and tells its caller: it works, in each cell, and the old one is the kernel's."
    code = """import signal
def solve():
    came = []
    old = signal.signal(signal.SIGINT, lambda *args: came.append(1))
    try:
        print('started')
        n = 0
        while not came: n += 1
    finally: signal.signal(signal.SIGINT, old)
    raise KeyboardInterrupt"""
    kernel.execute(code).ok()
    for _ in range(3):
        interrupted(kernel, "solve()", door)
        interrupted(kernel, LOOP, door)


EXCEPTIONS = ["ValueError('mine')", "SystemExit(3)", "KeyboardInterrupt('mine')", "GeneratorExit('mine')", "Own('mine')"]
RAISING = "import os, re, signal, time\nclass Own(BaseException): pass\ndef bad(*args): raise {}\nsignal.signal(signal.{}, bad)\n"


@pytest.mark.parametrize("exc", EXCEPTIONS)
@pytest.mark.parametrize("name,send", [("SIGALRM", "signal.setitimer(signal.ITIMER_REAL, 0.1)"), ("SIGALRM", "signal.alarm(1)"), ("SIGCHLD", "os.posix_spawn('/bin/sleep', ['sleep', '0.1'], {})"),
    ("SIGUSR2", "import threading\nthreading.Timer(0.1, os.kill, (os.getpid(), signal.SIGUSR2)).start()")])
def test_handler_raises_after_its_cell(kernel, exc, name, send):
    "Logged, shown with the cell that set it, and nothing else happens."
    k = kernel
    run = k.execute(RAISING.format(exc, name) + send).ok()
    etype = exc.partition("(")[0]
    k.pump(lambda: etype in run.text("stderr", run.all), 10, "the exception on stderr")
    serves(k)
    k.execute(f"signal.signal(signal.{name}, signal.SIG_DFL)").ok()
    assert k.alive()


@pytest.mark.parametrize("exc", EXCEPTIONS)
def test_handler_raises_in_its_cell(kernel, exc):
    "A sync cell has the exception, as in a script. One that awaits goes on, and is told, or is interrupted by KeyboardInterrupt."
    k = kernel
    run = k.execute(RAISING.format(exc, "SIGALRM") + "signal.setitimer(signal.ITIMER_REAL, 0.1)\ntime.sleep(5)")
    assert run.content["ename"] == exc.partition("(")[0]
    run = k.execute(RAISING.format(exc, "SIGALRM") + "import asyncio\nsignal.setitimer(signal.ITIMER_REAL, 0.1)\nawait asyncio.sleep(0.5)\n'end'")
    if exc.startswith("KeyboardInterrupt"): assert run.content["ename"] == "KeyboardInterrupt"
    else: assert run.ok().result == "'end'" and exc.partition("(")[0] in run.stderr
    serves(k)


@pytest.mark.parametrize("exc", EXCEPTIONS)
def test_storm_of_a_raising_handler(start, exc):
    "Every few milliseconds, wherever the kernel is: each request gets its reply and its idle, and the kernel lives."
    k = start()
    k.execute(RAISING.format(exc, "SIGALRM") + "signal.setitimer(signal.ITIMER_REAL, 0.1, 0.0071)", stop_on_error=False)
    for n in range(25):
        for code in ("1 + 1", "print('x')", "import asyncio; await asyncio.sleep(0)"): k.wait(k.execute(code, stop_on_error=False, wait=False), 10)
        k.request("complete_request", dict(code="pri", cursor_pos=3))
        k.runs.clear()
    off = "signal.setitimer(signal.ITIMER_REAL, 0)"
    wait_until(lambda: k.execute(off, stop_on_error=False).status == "ok", 10, "the timer to end")
    serves(k)
    assert "slip" not in k.log_text(10**6), k.log_text(10**6)


ARM = """import os, signal, sys, time
def arm(lines):
    "Send SIGALRM to this process when the kernel's own code has come `lines` lines further on this thread."
    left = [lines]
    def trace(frame, event, arg):
        if '/ipymini/' not in frame.f_code.co_filename: return None
        if event == 'line':
            left[0] -= 1
            if not left[0]:
                sys.settrace(None)
                os.kill(os.getpid(), signal.SIGALRM)
                return None
        return trace
    sys.settrace(trace)
class Own(BaseException): pass
def bad(*args): raise Own('mine')
signal.signal(signal.SIGALRM, bad)"""


@pytest.mark.parametrize("code", ["1 + 1", "import asyncio\nawait asyncio.sleep(0)\nprint('x')"], ids=["value", "await"])
def test_a_raising_handler_in_every_gap(start, code):
    "At each line of the kernel's own way from one cell through the next: each request is answered, the kernel's own code is never broken off."
    k = start()
    k.execute(ARM).ok()
    for n in range(1, 500, 7):
        runs = [k.execute(f"arm({n})", stop_on_error=False, wait=False), k.execute(code, stop_on_error=False, wait=False), k.request("kernel_info_request", wait=False)]
        for r in runs: k.wait(r, 5)
        for r in runs: assert r.status == "ok" or r.content.get("ename") == "Own", f"at line {n}: {r}"
        while k.execute("sys.settrace(None)", stop_on_error=False).status != "ok": pass
        k.runs.clear()
    assert "slip" not in k.log_text(10**6), k.log_text(10**6)


@pytest.mark.parametrize("code", ["class D:\n    def __del__(self): raise KeyboardInterrupt\nd = D()\ndel d", "import weakref\nclass C: pass\nc = C()\ndef bad(ref): raise SystemExit\nr = weakref.ref(c, bad)\ndel c",
    "def g():\n    try: yield 1\n    finally: raise KeyboardInterrupt\nit = g()\nnext(it)\ndel it", "import asyncio\nasync def f(): raise SystemExit(3)\nt = asyncio.get_running_loop().create_task(f())",
    "import asyncio, sys\nasyncio.get_running_loop().call_soon(sys.exit)", "import asyncio, sys\nasyncio.get_running_loop().call_later(0.05, sys.exit, 3)"])
def test_raised_where_nobody_catches(kernel, code):
    "Destructors, weakref callbacks, finalizers, tasks and callbacks that raise what ends a script: the next cells run."
    kernel.execute(code).ok()
    serves(kernel)
    kernel.execute("import asyncio\nawait asyncio.sleep(0.1)").ok()
    serves(kernel)


# --- stacks

def test_sigusr1_shows_stacks(start):
    "On the real stderr; the kernel is unharmed, also when a cell has left the default behind, and shows tracebacks of a crash still."
    k = start()
    for before in ("pass", "import signal; signal.signal(signal.SIGUSR1, signal.SIG_DFL)", "import faulthandler; faulthandler.disable()", "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)"):
        k.execute(before).ok()
        shown = k.log_text(10**6).count("most recent call first")
        os.kill(k.pid, signal.SIGUSR1)
        wait_until(lambda: k.log_text(10**6).count("most recent call first") >= shown + 2, 10, "the stacks")
        serves(k)
    assert k.execute("import faulthandler\nfaulthandler.is_enabled()").ok().result == "True"


def test_own_sigusr1(kernel):
    "A handler of the user's stays his, from cell to cell."
    kernel.execute("import os, signal\nold = signal.signal(signal.SIGUSR1, lambda *args: print('mine'))").ok()
    assert kernel.execute("os.kill(os.getpid(), signal.SIGUSR1)").ok().stdout == "mine\n"
    kernel.execute("signal.signal(signal.SIGUSR1, signal.SIG_DFL)").ok()
    os.kill(kernel.pid, signal.SIGUSR1)
    serves(kernel)


def test_stack_request(kernel):
    "On control beside a cell that computes: the stacks of threads and tasks."
    kernel.execute("import asyncio\nasync def waits_for_ever(): await asyncio.sleep(60)\nt = asyncio.get_running_loop().create_task(waits_for_ever(), name='mine')").ok()
    run = kernel.execute("def computes():\n    while True: pass\nprint('started')\ncomputes()", wait=False)
    kernel.sees(run, "started\n")
    text = kernel.request("stack_request", channel="control").ok().content["text"]
    assert "in computes" in text and "in waits_for_ever" in text and "Task mine" in text and "Thread io" in text and "MainThread" in text
    kernel.interrupt("message")
    kernel.wait(run, 5)
    kernel.execute("t.cancel()").ok()


# --- the debugger

def test_interrupts_as_the_debugger_goes(kernel):
    "Switched on and off, while cells run and are interrupted: the kernel lives, and can be debugged after."
    k = kernel
    for n in range(6):
        with debugging(k) as d:
            run = k.execute(LOOP, wait=False)
            k.sees(run, "started\n", 5)
            k.interrupt(DOORS[n % 2])
            gone = d.send("disconnect", {})
            k.interrupt(DOORS[n % 2])
            d.response(gone, 10)
            k.wait(run, 10)
        serves(k)


IN_C = "__import__('hashlib').pbkdf2_hmac('sha256', b'a', b'b', {})"


def test_io_serves_while_an_evaluation_in_c_is_interrupted(kernel):
    "In a stopped subshell: it ends when C does, and control is answered meanwhile."
    k = kernel
    took = k.execute(f"import time\nt = time.perf_counter()\n{IN_C.format(10**5)}\ntime.perf_counter() - t").ok()
    rounds = int(4 * 10**5 / float(took.result))
    with Sub(k) as sub, debugging(k) as d:
        run = sub.execute("x = 1\nbreakpoint()\nx = 2\n", wait=False)
        frame = d.stop()[1][0]["id"]
        evaluation = d.send("evaluate", dict(expression=IN_C.format(rounds), frameId=frame, context="repl"))
        time.sleep(0.5)  # it has begun: nobody tells
        k.interrupt("message")
        sent = time.monotonic()
        for _ in range(5): k.request("kernel_info_request", channel="control", timeout=5).ok()
        assert time.monotonic() - sent < slack() and not evaluation.reply
        k.wait(run, 20)
        assert run.content["ename"] == "KeyboardInterrupt"
    serves(k)


# --- no more threads

def test_no_thread_can_be_started(start):
    "Whoever asks for what needs one is answered; when there are threads again all works."
    k = start()
    k.execute(NO_THREADS).ok()
    asked = [k.send("create_subshell_request", channel="control"), k.send("complete_request", dict(code="pri", cursor_pos=3)), k.execute("%%subshell\n1", wait=False)]
    for command in ("debugInfo", "initialize"):
        asked.append(k.send("debug_request", dict(type="request", seq=1, command=command, arguments={}), "control"))
    for r in asked: k.wait(r, 10, order=False)
    assert asked[0].status == asked[2].status == "error"
    for door in DOORS: interrupted(k, LOOP, door)
    k.execute(THREADS_AGAIN).ok()
    with Sub(k) as sub: assert sub.execute("1 + 1").ok().result == "2"
    assert "print" in k.request("complete_request", dict(code="pri", cursor_pos=3)).ok().content["matches"]
    with debugging(k): serves(k)
    for door in DOORS: interrupted(k, LOOP, door)
    k.shutdown()


def test_interrupt_and_shutdown_at_once(start):
    "As km.shutdown_kernel() does it: the reply of the cell has the frames that a single interrupt shows."
    for door in DOORS * 2:
        k = start()
        run = k.execute("def computes():\n    n = 0\n    while True: n += 1\nprint('started')\ncomputes()", wait=False)
        k.sees(run, "started\n", 5)
        if door == "message": k.send("interrupt_request", channel="control")
        else: k.interrupt(door)
        end = k.send("shutdown_request", dict(restart=False), "control")
        k.pump(lambda: run.reply and end.reply, 5, "the replies")
        text = re.sub("\x1b\\[[0-9;]*m", "", "\n".join(run.content["traceback"]))
        assert run.content["ename"] == "KeyboardInterrupt" and "computes()" in text and "n += 1" in text, run
