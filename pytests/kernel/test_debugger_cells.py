"""Which code a debugger stops in: the names of cells, every kind of code in them, and breakpoints that change while it runs.
`debug` is a session on the module's kernel. Spec: messaging, "Debug request"; Debug Adapter Protocol."""
import os, shutil

import pytest
from debugging import Debug, debugging, where

NAMES = """# é \U0001f600
%matplotlib --list
def names():
    import sys, linecache, traceback
    try: 1 / 0
    except ZeroDivisionError as e: told = traceback.extract_tb(e.__traceback__)[0]
    code = sys._getframe().f_code
    return code.co_filename, told.filename, told.line, linecache.getline(code.co_filename, 8)

x = !echo 1
r = names()
"""


# --- names

@pytest.mark.parametrize("dumped", [False, True])
def test_names_agree(debug, dumped):
    "Code object, traceback, linecache, debugger and client call a cell the same, also if there are magics in it and letters that are not ASCII."
    path = debug.path(NAMES)
    if dumped: assert debug.points(NAMES, 8)[0]["line"] == 8
    run = debug.run(NAMES)
    if dumped:
        _, frames = debug.stop("breakpoint")
        assert where(frames) == [("names", 8), ("<module>", 11)] and {f["source"]["path"] for f in frames} == {path}
    debug.resume(run).ok()
    line = next(o for o in NAMES.splitlines() if "return" in o)
    assert eval(debug.k.execute("r").result) == (path, path, "try: 1 / 0", line + "\n")
    assert debug.ask("source", source=dict(path=path))["content"] == NAMES if dumped else "def names()" in debug.ask("source", source=dict(path=path))["content"]


def test_traceback_of_a_debugged_cell(debug):
    "The line that raised is shown, and none of the debugger's."
    code = "\n\ndef bad(x):\n    y = x\n    return y / 0\n\nbad(1)"
    debug.points(code, 4)
    run = debug.run(code)
    debug.stop("breakpoint")
    told = "".join(debug.resume(run).error["traceback"])
    assert "return" in told and "pydevd" not in told and "ipymini/" not in told


def test_cells_of_one_name(start):
    "IPYMINI_CELL_NAME calls all cells the same: there is no telling breakpoints apart, and no file of that name is written."
    k = start(env=dict(IPYMINI_CELL_NAME="cell.py"))
    assert "IPYMINI_CELL_NAME" in Debug(k).refused("dumpCell", code="1")
    assert k.execute("import os; os.path.exists('cell.py')").result == "False"


def test_folder_of_somebody_else(start, tmp_path):
    "What is not ours is not written into: anybody may make a folder in /tmp, with links in it."
    k = start(env=dict(TMPDIR=str(tmp_path)))
    d = Debug(k)
    folder = d.info()["tmpFilePrefix"].rstrip("/")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / folder).symlink_to(tmp_path / "elsewhere")
    assert d.refused("dumpCell", code="1")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_folder_that_somebody_removed(start):
    "As those who clean up temporary files do, in a kernel that lives for long."
    d = Debug(start())
    path = d.ask("dumpCell", code="1")["sourcePath"]
    shutil.rmtree(os.path.dirname(path))
    assert d.ask("dumpCell", code="1")["sourcePath"] == path and os.path.exists(path)
    d.k.shutdown()
    assert not os.path.exists(os.path.dirname(path))


# --- kinds of code

KINDS = [  # the cell, the line to stop at, the name of the frame there
    ("class A:\n    x = 1\n    y = x + 1\n", 3, "A"),
    ("class A:\n    def f(self):\n        return 1\nA().f()", 3, "f"),
    ("def gen():\n    yield 1\n    yield 2\nlist(gen())", 3, "gen"),
    ("f = lambda x: (\n    x + 1)\nf(1)", 2, "<lambda>"),
    ("import functools\ndef deco(f):\n    @functools.wraps(f)\n    def inner(*a):\n        return f(*a)\n    return inner\n@deco\ndef g(x):\n    return x\ng(1)", 9, "g"),
    ("def outer():\n    def inner():\n        return 5\n    return inner()\nouter()", 3, "inner"),
    ("try:\n    1/0\nexcept ZeroDivisionError:\n    x = 1\n", 4, "<module>"),
    ("with open('/dev/null') as f:\n    x = f.read()\n", 2, "<module>"),
    ("for i in range(2):\n    if i:\n        x = i\n", 3, "<module>"),
    ("%%capture out\nprint(1)", None, None),
    ("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 1\nawait asyncio.gather(f(), asyncio.sleep(0))", 4, "f"),
    ("import asyncio\nasync def g():\n    yield 1\n    await asyncio.sleep(0)\n    yield 2\n[x async for x in g()]", 5, "g"),
    ("x = 5; x", 1, "<module>"),
    ("1 + 1", 1, "<module>"),
    ("%time y = 6\nx = 2\n", 2, "<module>")]

@pytest.mark.parametrize("code,line,name", [k for k in KINDS if k[1]], ids=range(len([k for k in KINDS if k[1]])))
def test_kinds_of_code(debug, code, line, name):
    debug.points(code, line)
    run = debug.run(code)
    assert where(debug.stop("breakpoint")[1])[0] == (name, line)
    debug.points(code)
    debug.resume(run).ok()


def test_cell_that_runs_again(debug):
    "The same source, run twice, stops twice; the first line counts too."
    code = "a = 1\nb = 2\n"
    debug.points(code, 1)
    for _ in range(3):
        run = debug.run(code)
        assert where(debug.stop("breakpoint")[1]) == [("<module>", 1)]
        debug.resume(run).ok()


def test_continue_from_the_call_to_what_it_calls(debug):
    "The first breakpoint in the call, the second in what it calls; variables are asked for at each, as JupyterLab does."
    code = "b = 89\n\ndef sq(x):\n    return x * x\n\nsq(b)"
    debug.points(code, 4, 6)
    run = debug.run(code)
    for top in (("<module>", 6), ("sq", 4)):
        thread, frames = debug.stop("breakpoint")
        assert where(frames)[0] == top
        for f in frames: debug.locals(f)
        debug.run_on(thread)
    assert debug.k.wait(run).ok().result == "7921"


@pytest.mark.parametrize("mine", [True, False])
@pytest.mark.parametrize("code", ["a = 1\nb = 2", "def f():\n    return 1\nf()", "import asyncio\nawait asyncio.sleep(0)\nb = 2"], ids=["plain", "call", "async"])
def test_step_off_the_end(kernel, mine, code):
    "The cell ends: no step goes on in IPython or the kernel, whether or not library code counts."
    with debugging(kernel, justMyCode=mine) as d:
        d.points(code, code.count("\n") + 1)
        run = d.run(code)
        thread, frames = d.stop("breakpoint")
        while frames := d.step_or_end("next", thread, run): assert {f["source"]["path"] for f in frames} == {d.path(code)}
        assert frames is None and run.ok()
        assert d.k.execute("40 + 2").result == "42"
        d.none("stopped")


# --- async: steps

def test_steps_over_await(debug):
    "A step over an await stops in the next line, though the loop has run other things meanwhile."
    code = "import asyncio\na = 1\nawait asyncio.sleep(0.01)\nb = a + 1\nb"
    debug.points(code, 2)
    run = debug.run(code)
    thread, frames = debug.stop("breakpoint")
    assert [f["line"] for f in frames] == [2]
    assert [f["line"] for f in debug.step("next", thread)] == [3]
    assert [f["line"] for f in debug.step("next", thread)] == [4]
    assert debug.resume(run).result == "2"


def test_steps_into_a_coroutine_and_back(debug):
    code = "import asyncio\nasync def f(x):\n    y = x + 1\n    await asyncio.sleep(0.01)\n    return y\nr = await f(2)\ns = r\ns"
    debug.points(code, 6)
    run = debug.run(code)
    thread, frames = debug.stop("breakpoint")
    assert [f["line"] for f in frames] == [6]
    frames = debug.step("stepIn", thread)
    assert where(frames)[0] == ("f", 3) and [f["line"] for f in frames] == [3, 6]
    assert where(debug.step("next", thread))[0] == ("f", 4)
    assert where(debug.step("next", thread))[0] == ("f", 5)
    assert debug.locals(debug.frames(thread)[0])["y"]["value"] == "3"
    frames = debug.step("stepOut", thread)
    assert [f["line"] for f in frames] in ([6], [7])
    assert debug.resume(run).result == "3"


def test_two_tasks(debug):
    "Each task that comes by stops, with its own variables."
    code = "import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return n\nawait asyncio.gather(*map(f, range(3)))"
    debug.points(code, 4)
    run = debug.run(code)
    seen = []
    for _ in range(3):
        thread, frames = debug.stop("breakpoint")
        seen.append(debug.locals(frames[0])["n"]["value"])
        debug.run_on(thread)
    assert sorted(seen) == ["0", "1", "2"] and debug.k.wait(run).ok().result == "[0, 1, 2]"


# --- breakpoints that change

SPIN = "def spin():\n    n = 0\n    while go:\n        n += 1\n        m = n\n    return n\n"

@pytest.fixture
def spinning(debug):
    "A cell whose function has run for a while when the test begins."
    debug.k.execute("go = True\n" + SPIN).ok()
    run = debug.run("print('on')\nspin() > 0")
    debug.k.sees(run, "on")
    yield debug, "go = True\n" + SPIN, run
    if not run.is_done: debug.k.interrupt()
    debug.k.wait(run)


def test_breakpoint_set_while_it_runs(spinning):
    "Set, moved and taken away while the function runs, in the very loop."
    d, code, run = spinning
    for line in (5, 6, 5):
        d.points(code, line)
        thread, frames = d.stop("breakpoint")
        assert where(frames) == [("spin", line), ("<module>", 2)]
        d.points(code)
        d.run_on(thread)
    d.points(code, dict(line=5, condition="n % 1000 == 0"))
    thread, frames = d.stop("breakpoint")
    assert int(d.value("n", frames[0])) % 1000 == 0
    d.value("globals().update(go=False)", frames[0])
    assert d.resume(run).ok().result == "True"


def test_breakpoint_set_while_stopped(debug):
    "A breakpoint further down in the frame that is stopped, and one in its caller."
    code = "def f():\n    a = 1\n    b = 2\n    c = 3\n    return c\nr = f()\ns = r\n"
    debug.points(code, 2)
    run = debug.run(code)
    thread, _ = debug.stop("breakpoint")
    debug.points(code, 4, 7)
    debug.run_on(thread)
    assert where(debug.stop("breakpoint")[1])[0] == ("f", 4)
    debug.run_on(thread)
    assert where(debug.stop("breakpoint")[1]) == [("<module>", 7)]
    debug.resume(run).ok()


# --- many at once

def test_two_threads_stop_at_once(debug):
    "Each is told and shown by itself; a step of one lets the others run, as DAP has it."
    debug.work()
    run = debug.run("from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(2) as pool: r = list(pool.map(work, [1, 2]))\nr")
    stops = [debug.stop("breakpoint") for _ in range(2)]
    first, second = [t for t,_ in stops]
    assert sorted([first, second]) == sorted(debug.info()["stoppedThreads"]) and first != second
    assert sorted(debug.locals(f[0])["n"]["value"] for _,f in stops) == ["1", "2"]
    debug.ask("next", threadId=second)
    thread, frames = debug.stop("step")
    assert thread == second and where(frames)[0] == ("work", 3)
    def continued(): return {e["body"]["threadId"] for e in debug.events if e["event"] == "continued"}
    debug.k.pump(lambda: {first, second} <= continued(), what="the news that both have run on")
    assert debug.info()["stoppedThreads"] == [second] and debug.frames(first) == []
    debug.run_on(second)
    assert debug.k.wait(run).ok().result == "[2, 3]"


def test_main_and_a_subshell_stop_at_once(debug):
    "One `continue` is for all threads, as DAP has it."
    sub = dict(subshell_id=debug.k.request("create_subshell_request", channel="control").content["subshell_id"])
    debug.work()
    runs = [debug.run("work(1)"), debug.run("import asyncio\nawait asyncio.sleep(0)\nwork(2)", header_extra=sub)]
    stops = [debug.stop("breakpoint") for _ in range(2)]
    assert sorted(debug.locals(f[0])["n"]["value"] for _,f in stops) == ["1", "2"]
    for _,frames in stops: assert len(frames) == 2 and not [f for f in frames if "/ipymini/" in f["source"]["path"]]
    debug.run_on(stops[0][0])
    assert [debug.k.wait(r).ok().result for r in runs] == ["2", "3"]
    for _ in stops: debug.event("continued")  # the cells may end before the news that they run
    assert debug.info()["stoppedThreads"] == []
    debug.k.request("delete_subshell_request", sub, "control").ok()


def test_delete_of_a_subshell_that_is_stopped(debug):
    sub = dict(subshell_id=debug.k.request("create_subshell_request", channel="control").content["subshell_id"])
    debug.work()
    run = debug.run("work(1)\nimport time; time.sleep(60)", header_extra=sub)
    debug.stop("breakpoint")
    debug.k.request("delete_subshell_request", sub, "control", timeout=5).ok()
    assert debug.k.wait(run, timeout=5).ename == "KeyboardInterrupt"
    assert debug.info()["stoppedThreads"] == []


@pytest.mark.parametrize("call", ["breakpoint()", "import pdb; pdb.set_trace()"])
def test_breakpoint_call_in_a_thread(debug, call):
    code = f"import threading\ndef f():\n    x = 5\n    {call}\n    y = x\nt = threading.Thread(target=f); t.start(); t.join()\n'joined'"
    run = debug.run(code)
    thread, frames = debug.stop("breakpoint")
    assert where(frames)[0] == ("f", 4) and where(debug.step("next", thread))[0] == ("f", 5)
    assert debug.resume(run).ok().result == "'joined'"
