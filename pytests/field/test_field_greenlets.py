"""Whole kernel: gevent or eventlet has put greenlets in the place of threads, sockets, sleep and much else of the standard library. The kernel is what it was: cells, queries,
subshells, every stop, and the end.
What a cell cannot do then, as these libraries or IPython cannot: see the last tests. Spec: none; gevent's and eventlet's documentation, "Monkey patching"."""
import os, signal
import pytest

from harness import Kernel, Sub, slack

pytestmark = pytest.mark.flaky(reruns=2)  # bounds of time, on machines of any load: repeated twice at most, and the run's closing line says so
PATCH = dict(
    gevent   = "from gevent import monkey\nmonkey.is_module_patched('os') or monkey.patch_all()\nfrom gevent import spawn",
    eventlet = "import eventlet\neventlet.patcher.is_monkey_patched('os') or eventlet.monkey_patch()\nfrom eventlet import spawn")
CELLS = dict(  # a cell, and what it says  # chkstyle: ignore-node (a table)
    value      = ("6 * 7", "42"),
    print      = ("print('hi')", "hi"),
    system     = ("!echo hi", "hi"),
    lines      = ("x = !echo hi\nx", "['hi']"),
    os_system  = ("import os\nos.system('echo hi');", "hi"),
    subprocess = ("import subprocess\nsubprocess.run(['echo', 'hi'], capture_output=True).stdout", "b'hi\\n'"),
    inherited  = ("import subprocess\nsubprocess.run(['echo', 'hi']);", "hi"),
    fork       = ("import os\npid = os.fork()\nif not pid: os._exit(3)\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])", "3"),
    thread     = ("import threading\nt = threading.Thread(target=print, args=('hi',))\nt.start()\nt.join()", "hi"),
    executor   = ("from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as e: print(e.submit(lambda: 'hi').result())", "hi"),
    greenlet   = ("import time\nspawn(print, 'hi')\ntime.sleep(0.05)", "hi"),
    await_     = ("import asyncio\nawait asyncio.sleep(0.01, 'hi')", "'hi'"),
    run        = ("import asyncio\nasyncio.run(asyncio.sleep(0.01, 'hi'))", "'hi'"))
STOPS = dict(
    loop       = "while True: pass",
    sleep      = "import time\ntime.sleep(60)",
    await_     = "import asyncio\nawait asyncio.sleep(60)",
    system     = "!sleep 60",
    subprocess = "import subprocess\nsubprocess.run(['sleep', '60'])",
    join       = "import threading, time\nt = threading.Thread(target=time.sleep, args=(60,), daemon=True)\nt.start()\nt.join()")
DOORS = "signal", "message"
QUERIES = dict(  # chkstyle: ignore-node (a table)
    complete = ("complete_request", dict(code="pri", cursor_pos=3), "matches"),
    inspect  = ("inspect_request", dict(code="print", cursor_pos=5, detail_level=0), "data"),
    history  = ("history_request", dict(hist_access_type="tail", n=1, raw=True, output=False), "history"))


@pytest.fixture(scope="module", params=PATCH)
def library(request): return request.param


@pytest.fixture(scope="module")
def shared(library):
    "A kernel for each library."
    ks = [Kernel()]
    yield ks
    ks[0].close()


@pytest.fixture
def k(kernel, library):
    kernel.execute(PATCH[library]).ok()
    return kernel


def stopped(k, code, door, **where):
    "The run of `code`, which says that it is on and is interrupted then."
    run = where.get("sub", k).execute("print('on')\n" + code, wait=False)
    k.sees(run, "on")
    k.interrupt(door)
    return k.wait(run)


def serves(k):
    "The kernel serves as ever."
    assert k.execute("6 * 7").ok().result == "42"


@pytest.mark.parametrize("what", CELLS)
def test_cell(k, what):
    "It does what it is to do."
    code,says = CELLS[what]
    run = k.execute(code).ok()
    assert says in run.stdout + str(run.result)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", STOPS)
def test_stop(k, what, door):
    "An interrupt ends it."
    assert stopped(k, STOPS[what], door).ename == "KeyboardInterrupt"
    serves(k)


@pytest.mark.parametrize("what", QUERIES)
def test_query(k, what):
    "It is answered."
    msg_type,content,has = QUERIES[what]
    assert k.request(msg_type, content).ok().content[has]


@pytest.mark.parametrize("what", QUERIES)
def test_query_behind_a_cell(k, what):
    "It is answered while a cell computes, on a thread of its own."
    msg_type,content,has = QUERIES[what]
    run = k.execute("print('on')\nwhile True: pass", wait=False)
    k.sees(run, "on")
    assert k.request(msg_type, content).ok().content[has]
    k.interrupt("message")
    assert k.wait(run).ename == "KeyboardInterrupt"


def test_input(k):
    "A cell asks its client."
    assert k.execute("input('name? ')", answers=["Ada"]).ok().result == "'Ada'"


def test_debug_request(k):
    "It is answered."
    run = k.send("debug_request", dict(type="request", seq=1, command="debugInfo", arguments={}), "control")
    k.pump(lambda: run.reply, what="debug_reply")
    assert run.content["success"]


def test_subshell(k):
    "A subshell runs cells, awaits and prints beside one that computes, and ends."
    with Sub(k) as sub:
        run = k.execute("print('on')\nwhile True: pass", wait=False)
        k.sees(run, "on")
        assert sub.execute("print('hi')\n6 * 7").ok().result == "42"
        assert sub.execute("import asyncio\nawait asyncio.sleep(0.01, 'hi')").ok().result == "'hi'"
        k.interrupt("message")
        assert k.wait(run).ename == "KeyboardInterrupt"
    serves(k)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("what", ["loop", "await_"])
def test_stop_of_a_subshell(k, what, door):
    "An interrupt ends what a subshell computes or awaits."
    with Sub(k) as sub: assert stopped(k, STOPS[what], door, sub=sub).ename == "KeyboardInterrupt"
    serves(k)


ORIGINAL = dict(  # what the libraries have kept of the standard library's own
    gevent   = "from gevent.monkey import get_original as original",
    eventlet = "from eventlet import patcher\ndef original(module, name): return getattr(patcher.original(module), name)")
HOLD = """
lock,held = get_ipython().history_manager.lock, []
def hold():
    with lock:
        held.append(True)
        original("time", "sleep")(0.5)
original("_thread", "start_new_thread")(hold, ())
while not held: pass"""


def test_locks_of_the_kernel(k, library):
    "A lock that its threads share is the system's: eventlet replaces those that it finds, and whoever waits for one of those on another thread waits for ever."
    k.execute(ORIGINAL[library] + HOLD).ok()
    with Sub(k) as sub: assert sub.execute("6 * 7").ok().result == "42"


@pytest.mark.parametrize("restart", [False, True])
def test_shutdown(start, library, restart):
    "It ends as ever, and waits for nobody."
    k = start()
    k.execute(PATCH[library]).ok()
    serves(k)
    k.shutdown(restart)
    assert k.wait_exit() == 0 and "does not wait" not in k.log_text()


@pytest.mark.parametrize("code", [STOPS["loop"], STOPS["sleep"], STOPS["await_"], STOPS["system"]], ids=["loop", "sleep", "await", "system"])
def test_shutdown_while_a_cell_runs(start, library, code):
    "It is interrupted, and the kernel ends."
    k = start()
    k.execute(PATCH[library]).ok()
    run = k.execute("print('on')\n" + code, wait=False)
    k.sees(run, "on")
    assert k.shutdown()[0] < 6 * slack()


def test_sigterm(start, library):
    "It ends the kernel."
    k = start()
    k.execute(PATCH[library]).ok()
    os.kill(k.pid, signal.SIGTERM)
    k.wait_exit()


def test_thread_is_waited_for(start, tmp_path):
    "As at the end of a script, a thread of gevent's that is no daemon comes to its end. eventlet's does not, in a script neither."
    k = start()
    k.execute(PATCH["gevent"]).ok()
    path = tmp_path / "late"
    k.execute(f"import pathlib, threading, time\ndef late():\n    time.sleep(0.3)\n    pathlib.Path({str(path)!r}).touch()\nthreading.Thread(target=late).start()").ok()
    k.shutdown()
    assert path.exists()


# --- what cannot be

@pytest.mark.parametrize("door", DOORS)
def test_script_magic(start, library, door):
    "IPython runs `%%bash` on an event loop in a thread, which is a greenlet of a thread that runs a loop: it fails, or waits until it is stopped."
    k = start()
    k.execute(PATCH[library]).ok()
    run = k.execute("%%bash\nsleep 60", wait=False)
    k.pump(lambda: "run_forever" in run.text("stderr", run.all) or run.reply, what="the loop's error")
    if not run.reply: k.interrupt(door)
    assert k.wait(run).ename in ("LoopExit", "KeyboardInterrupt")
    serves(k)


def test_sleep_of_a_subshell(start, library):
    "There the hub waits in C, where no signal reaches a thread: an interrupt ends it when it wakes. Meanwhile other cells run, and the kernel ends."
    k = start()
    k.execute(PATCH[library]).ok()
    run = Sub(k).execute("print('on')\n" + STOPS["sleep"], wait=False)
    k.sees(run, "on")
    serves(k)
    k.interrupt("message")
    serves(k)
    assert k.shutdown()[0] < 6 * slack()
