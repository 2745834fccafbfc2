"""Whole kernel: output goes to the cell that started the work, in any mixture, also when that cell has long ended.
Spec: messaging (the parent header). Every line arrives, whole, with the right parent."""
import re

import pytest

from harness import Sub, kind

# what a cell may start work with: each prints "early" when it starts and "late" after `go` is set, in a later cell
STARTS = dict(
    thread   = "t = threading.Thread(target=work)\nt.start()",
    nested   = "t = threading.Thread(target=lambda: (inner := threading.Thread(target=work), inner.start(), inner.join()))\nt.start()",
    timer    = "t = threading.Timer(0.01, work)\nt.start()",
    executor = "pool = concurrent.futures.ThreadPoolExecutor(1)\nf = pool.submit(work)\nt = pool",
    map      = "pool = concurrent.futures.ThreadPoolExecutor(1)\nf = pool.map(lambda n: work(), [1])\nt = pool",
    subclass = "class T(threading.Thread):\n    def run(self): work()\nt = T()\nt.start()",
    to_thread= "task = asyncio.create_task(asyncio.to_thread(work))\nt = Awaited()",
    run_in   = "task = asyncio.ensure_future(asyncio.get_running_loop().run_in_executor(None, work))\nt = Awaited()",
    task     = "task = asyncio.create_task(awork())\nt = Awaited()",
    callback = "asyncio.get_running_loop().call_later(0.01, say, 'early')\nasyncio.get_running_loop().call_later(0.02, lambda: asyncio.ensure_future(rest()))\nt = Awaited()",
    logger   = "t = threading.Thread(target=lambda: (log.warning('early'), go.wait(20), log.warning('late')))\nt.start()",
    done     = "f = concurrent.futures.Future()\nf.add_done_callback(lambda _: None)\nt = threading.Thread(target=lambda: (f.set_result(1), work()))\nt.start()")
SETUP = """import asyncio, concurrent.futures, logging, sys, threading, time
class Out:
    def write(self, s): return sys.stdout.write(s)
    def flush(self): sys.stdout.flush()
log = logging.getLogger('routing')
log.handlers[:] = [logging.StreamHandler(Out())]
log.propagate = False
def say(*args): print(*args)
def work():
    say('early')
    assert go.wait(20)
    say('late')
async def rest():
    while not go.is_set(): await asyncio.sleep(0.005)
    say('late')
async def awork():
    say('early')
    await rest()
class Awaited:
    def join(self): pass"""


@pytest.mark.parametrize("what", STARTS)
def test_goes_to_the_cell_that_started_it(kernel, what):
    kernel.execute(SETUP).ok()
    first = kernel.execute(f"go = threading.Event()\n{STARTS[what]}\nawait asyncio.sleep(0)").ok()
    kernel.sees(first, "early\n", 5)
    others = [kernel.execute(f"print('other {n}')\nawait asyncio.sleep(0.005)").ok() for n in range(3)]
    last = kernel.execute("go.set()\nawait asyncio.sleep(0.05)\nprint('last')").ok()
    kernel.sees(first, "late\n", 5)
    assert first.text("stdout", first.all) == "early\nlate\n"
    assert [o.text("stdout", o.all) for o in others] == [f"other {n}\n" for n in range(3)] and last.text("stdout", last.all) == "last\n"


def test_displays_of_threads(kernel):
    "display, update_display and clear_output of a thread whose cell has ended."
    kernel.execute("import threading\nfrom IPython.display import display, clear_output").ok()
    code = "go = threading.Event()\ndef work():\n    assert go.wait(20)\n    h = display('one', display_id=True)\n    h.update('two')\n    clear_output(wait=True)\n    print('done')"
    first = kernel.execute(f"{code}\nt = threading.Thread(target=work)\nt.start()").ok()
    last = kernel.execute("go.set()\nt.join()").ok()
    kernel.sees(first, "done\n", 5)
    assert [m["header"]["msg_type"] for m in first.late] == ["display_data", "update_display_data", "clear_output", "stream"]
    assert last.outputs == []


def test_errors_of_threads_and_tasks(kernel):
    "A thread's and a task's unhandled errors are told to the cell that started them."
    kernel.execute("import threading, asyncio").ok()
    first = kernel.execute("go = threading.Event()\nt = threading.Thread(target=lambda: (go.wait(20), 1/0))\nt.start()").ok()
    kernel.execute("go.set()\nt.join()").ok()
    kernel.pump(lambda: "ZeroDivisionError" in first.text("stderr", first.all), 5, "the traceback")


def test_subprocess_in_a_cell(kernel):
    "What a child writes while its cell runs is the cell's, in order with the cell's own."
    code = "import subprocess\nprint('one')\nsubprocess.run(['echo', 'two'])\nprint('three')\nsubprocess.run('echo four >&2', shell=True);"
    run = kernel.execute(code).ok()
    assert run.stdout == "one\ntwo\nthree\n" and run.stderr == "four\n"
    assert kernel.execute("print('next')").ok().stdout == "next\n"


def test_raw_threads_go_to_the_latest_cell(kernel):
    "A thread that threading does not know, as C code makes them."
    kernel.execute("import _thread, threading\ngo, done = threading.Event(), threading.Event()\ndef work():\n    go.wait(20)\n    print('raw')\n    done.set()").ok()
    first = kernel.execute("_thread.start_new_thread(work, ());").ok()
    last = kernel.execute("go.set()\ndone.wait(5)").ok()
    assert last.stdout == "raw\n" and first.stdout == first.late_stdout == ""


def test_c_made_threads_go_to_the_latest_cell(kernel):
    "A thread made by C code that calls back into Python."
    code = """import ctypes, threading
done = threading.Event()
@ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
def work(arg):
    print('from C')
    done.set()
libc = ctypes.CDLL(None)
def start():
    t = ctypes.c_ulong()
    libc.pthread_create(ctypes.byref(t), None, work, None)
    libc.pthread_detach(t)"""
    kernel.execute(code).ok()
    assert kernel.execute("start()\ndone.wait(5)").ok().stdout == "from C\n"


# --- set_parent and friends, as libraries use them

THREAD = "import threading\ngo, done = threading.Event(), threading.Event()\ndef work():\n    print('origin')\n    {before}\n    started.set()\n    go.wait(20)\n    {after}\n    print('late')\n    done.set()"


def routed(k, before="pass", after="pass"):
    "Start a thread in one cell and let it go on in another; the runs of both."
    k.execute(THREAD.format(before=before, after=after)).ok()
    first = k.execute("started = threading.Event()\nthreading.Thread(target=work).start()\nstarted.wait(5)").ok()
    last = k.execute("last_parent = get_ipython().get_parent()\ngo.set()\ndone.wait(5)\nprint('last')").ok()
    return first, last


def test_get_parent(kernel):
    "The message that is being served: of the cell, of the thread that it started."
    run = kernel.execute("p = get_ipython().get_parent()\nprint(p['header']['msg_id'], p['header']['msg_type'], p['content']['code'][:5])").ok()
    assert run.stdout == f"{run.msg_id} execute_request p = g\n"
    assert kernel.execute("get_ipython().parent_header == get_ipython().kernel.get_parent()").ok().result == "True"


def test_set_thread_parent_to_latest(kernel):
    first, last = routed(kernel, before="get_ipython().set_thread_parent()")
    assert first.text("stdout", first.all) == "origin\n" and sorted(last.stdout.split()) == ["last", "late"]


def test_set_thread_parent_to_a_message(kernel):
    first, last = routed(kernel, after="get_ipython().set_thread_parent(last_parent)")
    assert first.text("stdout", first.all) == "origin\n" and sorted(last.stdout.split()) == ["last", "late"]


def test_reset_thread_parent(kernel):
    first, last = routed(kernel, before="get_ipython().set_thread_parent()", after="get_ipython().reset_thread_parent()")
    kernel.sees(first, "late\n", 5)
    assert last.stdout == "last\n"


def test_set_parent(kernel):
    "As panel and ipywidgets use it: a callback's output is sent to a cell of before."
    first = kernel.execute("parent = get_ipython().get_parent()").ok()
    code = "def work():\n    get_ipython().set_parent(parent)\n    print('to the first')\nimport threading\nt = threading.Thread(target=work)\nt.start()\nt.join()\nprint('own')"
    last = kernel.execute(code).ok()
    kernel.sees(first, "to the first\n", 5)
    assert last.stdout == "own\n"


def test_in_a_subshell(kernel):
    "Work started in a subshell's cell: its output goes there, also after that subshell is gone."
    kernel.execute(SETUP).ok()
    with Sub(kernel) as sub:
        first = sub.execute("go = threading.Event()\nt = threading.Thread(target=work)\nt.start()").ok()
        kernel.sees(first, "early\n", 5)
    kernel.execute("go.set()\nt.join()").ok()
    kernel.sees(first, "late\n", 5)


CROWD = """import asyncio, sys, threading
from IPython.display import display
def crowd(who, threads, tasks, n):
    def thread(t):
        for i in range(n):
            print(f'<{who}|thread {t}|{i}>' + '.' * (i % 50))
            if i % 10 == 0: display({'text/plain': f'<{who}|thread {t}|display {i}>'}, raw=True)
            if i % 15 == 0: print(f'<{who}|thread {t}|err {i}>', file=sys.stderr)
    async def task(t):
        for i in range(n):
            print(f'<{who}|task {t}|{i}>')
            if i % 10 == 0: display({'text/plain': f'<{who}|task {t}|display {i}>'}, raw=True)
            await asyncio.sleep(0)
    ts = [threading.Thread(target=thread, args=(t,)) for t in range(threads)]
    for t in ts: t.start()
    tasks = [asyncio.create_task(task(t)) for t in range(tasks)]
    return ts, tasks"""


def test_a_crowd(kernel):
    "16 threads, 8 tasks and 3 subshells print and display at once: every line arrives, whole, with the right parent."
    n = 100
    kernel.execute(CROWD).ok()
    with Sub(kernel) as a, Sub(kernel) as b, Sub(kernel) as c:
        parts = dict(main=(kernel, 10, 5), a=(a, 2, 1), b=(b, 2, 1), c=(c, 2, 1))
        code = "ts_{0}, tasks_{0} = crowd('{0}', {1}, {2}, {3})\nawait asyncio.gather(*tasks_{0})"
        runs = {who: sub.execute(code.format(who, threads, tasks, n), wait=False) for who, (sub, threads, tasks) in parts.items()}
        for r in runs.values(): kernel.wait(r, 60).ok()
        for who in parts: kernel.execute(f"[t.join() for t in ts_{who}];").ok()

    for who, (_, threads, tasks) in parts.items():
        workers = [f"thread {t}" for t in range(threads)] + [f"task {t}" for t in range(tasks)]
        run, expected = runs[who], len(workers) * n
        lines = run.text("stdout", run.all).splitlines()
        pattern = re.compile(r"<(\w+)\|((?:thread|task) \d+)\|(\d+)>(\.*)")
        # print writes its text and its newline apart: neighbours may share a line, but no text is torn
        found = pattern.findall("\n".join(lines))
        assert {f[0] for f in found} == {who} and len(found) == expected
        for w in workers: assert [int(i) for _, name, i, _ in found if name == w] == list(range(n)), w
        assert all(len(dots) == int(i) % 50 for _, name, i, dots in found if name.startswith("thread"))
        displays = [m["content"]["data"]["text/plain"] for m in run.all if m["header"]["msg_type"] == "display_data"]
        assert sorted(displays) == sorted(f"<{who}|{w}|display {i}>" for w in workers for i in range(0, n, 10))
        errs = re.findall(r"<\w+\|thread \d+\|err \d+>", run.text("stderr", run.all))
        assert sorted(errs) == sorted(f"<{who}|thread {t}|err {i}>" for t in range(threads) for i in range(0, n, 15))


def test_whole_lines(kernel):
    "A line that two threads print at once stays a line: text and newline arrive together."
    kernel.execute("import threading\ndef show(c):\n    for _ in range(300): print(c * 30)").ok()
    run = kernel.execute("ts = [threading.Thread(target=show, args=(c,)) for c in 'abcd']\n[t.start() for t in ts]\n[t.join() for t in ts];").ok()
    lines = run.stdout.splitlines()
    assert sorted(lines) == sorted(c * 30 for c in "abcd" for _ in range(300))


@pytest.mark.parametrize("option", ["latest", "", "own"])
def test_late_output(start, option):
    "IPYMINI_LATE_OUTPUT=latest: what threads, tasks and jobs print and display once their cell has ended goes to the latest one; before, and without the option, to their own."
    k = start(env=dict(IPYMINI_LATE_OUTPUT=option))
    a = k.execute("""import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
go, done = threading.Event(), []
def work(who):
    print(who, "early")
    go.wait(10)
    print(who, "late")
    display(who)
async def task():
    print("task early")
    while not go.is_set(): await asyncio.sleep(0.001)
    print("task late")
    display("task")
t, job = threading.Thread(target=work, args=("thread",)), ThreadPoolExecutor().submit(work, "job")
t.start()
task = asyncio.create_task(task())
await asyncio.sleep(0.01)""").ok()
    b = k.execute("go.set()\nawait task\nt.join()\njob.result()").ok()
    k.execute("1").ok()
    late, early = [f"{w} late" for w in ("job", "task", "thread")], [f"{w} early" for w in ("job", "task", "thread")]
    there = b if option == "latest" else a
    assert sorted(a.text("stdout", a.all).splitlines()) == sorted(early + late * (there is a))
    assert sorted(b.text("stdout", b.all).splitlines()) == late * (there is b)
    assert sorted(m["content"]["data"]["text/plain"] for m in there.all if kind(m) == "display_data") == ["'job'", "'task'", "'thread'"]
