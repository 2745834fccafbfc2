"The end of a process, each in one of its own: who has how much time, in which order, and that it comes."
import subprocess, sys, time

import pytest

from harness import slack

HEAD = """import atexit, os, signal, sys, threading, time, builtins
import ipymini.process.ending as room
from ipymini.process.ending import Ending
from concurrent.futures import ThreadPoolExecutor
def say(*args): os.write(1, (' '.join(map(str, args)) + '\\n').encode())
def later(seconds, f): threading.Thread(target=lambda: (time.sleep(seconds), f())).start()
room.WORK, room.EXITS = WORK, EXITS
e = Ending(lambda: say('closed'))
e.open()
"""


def script(code, work=5, exits=10, within=20):
    "(exit code, lines, stderr, seconds) of an end within the limits `work` and `exits`."
    began = time.monotonic()
    head = HEAD.replace("= WORK, EXITS", f"= {work}, {exits}")
    done = subprocess.run([sys.executable, "-c", head + code], capture_output=True, text=True, timeout=within)
    return done.returncode, done.stdout.splitlines(), done.stderr, time.monotonic() - began


def test_order():
    "Threads and executors, which end what they do; atexit, the last registered first; then what is to be closed."
    code = "atexit.register(say, 'first')\natexit.register(say, 'last')\nlater(0.3, lambda: say('thread'))\np = ThreadPoolExecutor(1)\n" \
        "for i in (1, 2): p.submit(lambda i=i: (time.sleep(0.01), say('job', i)))\nthreading._register_atexit(say, 'registered')\n" \
            "e.begin()\ne.finish(3)"
    assert script(code)[:3] == (3, ["registered", "job 1", "job 2", "thread", "last", "first", "closed"], "")


def test_nothing_to_wait_for():
    code,lines,err,took = script("e.finish(0)")
    assert (code, lines, err) == (0, ["closed"], "") and took < 2 * slack()


@pytest.mark.parametrize("what", ["later(60, say)", "while True: time.sleep(60)", "threading._register_atexit(time.sleep, 60)"])
def test_work_that_does_not_end(what):
    "What atexit has to do is done all the same, on another thread, and what is not waited for is said."
    code,lines,err,_ = script(f"atexit.register(say, 'bye')\ne.begin()\n{what}\ne.finish(0)", work=0.2)
    assert (code, lines) == (1, ["bye", "closed"]) and "does not wait any longer for" in err


def test_exits_that_do_not_end():
    "One that is in time is whole; the other is cut when the time of all is over."
    code,lines,err,_ = script("atexit.register(time.sleep, 60)\natexit.register(lambda: (time.sleep(0.3), say('whole')))\ne.begin()\n"
        "e.finish(0)", exits=1)
    assert (code, lines) == (1, ["whole", "closed"]) and "functions of atexit" in err


def test_a_process_that_does_not_end():
    "It is killed a good while before the last moment, and nothing is said of it: the one that keeps the kernel waiting is not the kernel."
    code,lines,err,took = script("import subprocess\nroom.KILL = 0.5\nsubprocess.Popen('trap \"\" TERM; echo deaf; sleep 60', shell=True, stdin=-1)\ntime.sleep(0.5)\ne.finish(0)")
    assert (code, lines, err) == (0, ["deaf", "closed"], "") and took < 10


def test_the_time_begins_once():
    "A second `begin`, of a second SIGTERM, gives no more of it."
    assert script("e.begin()\nsince = e.since\ntime.sleep(0.01)\ne.begin()\nsay(e.since == since, 4 < e.left(5) <= 5)\n"
        "e.finish(0)")[1] == ["True True", "closed"]


def test_last_acts_that_hang():
    "Even then there is an end."
    assert script("room.FORCE = 0.3\ne.acts.append(lambda: time.sleep(60))\ne.begin()\ne.finish(0)", exits=0.2)[:2] == (1, ["closed"])


def test_acts_that_fail():
    "Each is done, whatever the one before has raised; that is said."
    code,lines,err,_ = script("e.acts[:0] = [lambda: 1/0]\ne.finish(4)")
    assert (code, lines) == (4, ["closed"]) and "ZeroDivisionError" in err


def test_exits_that_fail():
    "As in Python: shown, and the others are called."
    code,lines,err,_ = script("atexit.register(say, 'second')\natexit.register(lambda: 1/0)\nthreading._register_atexit(lambda: [][1])\n"
        "e.finish(0)")
    assert (code, lines) == (0, ["second", "closed"]) and "ZeroDivisionError" in err and "IndexError" in err


BROKEN = dict(  # chkstyle: ignore-node (a table)
    time      = "time.sleep = time.monotonic = None",
    threading = "threading.Thread = threading._shutdown = None",
    exits     = "atexit._run_exitfuncs = os._exit = os.write = None",
    builtins_ = "for name in ('print', 'len', 'max', 'open', 'type', 'str'): setattr(builtins, name, None)",
    linecache = "import linecache; linecache.getlines = None",
    modules   = "sys.modules.clear()")


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_the_user_can_break(broken):
    "The clock and the order hang on nothing of it."
    code = f"write = os.write\natexit.register(lambda: write(1, b'bye\\n'))\ne.acts[:] = [lambda: write(1, b'closed\\n')]\n{broken}\n" \
        f"e.begin()\nwhile True: pass"
    code,lines,err,_ = script(code, work=0.2)
    assert (code, lines) == (1, ["bye", "closed"]) and "Traceback" not in err


def test_an_audit_hook_that_raises():
    "No process can be listed then, and no file opened. The end comes."
    code = "def hook(*args): raise RuntimeError('audit')\nsys.addaudithook(hook)\ne.finish(5)"
    assert script(code)[:2] == (5, ["closed"])
