"""Whole kernel: cells that let others run: `unlock`, `subshell`, %%background, %%subshell. Each keeps its parent, its bracket and its count.
Spec: messaging ("Kernel status", "The parent header"); JEP 91."""
from pathlib import Path

import nbformat, pytest

from harness import Sub, slack

BEGIN = dict(
    unlock     = "import asyncio, ipymini\nipymini.unlock()\nprint('begun')\nawait gate.wait()\nprint('ended')\n'A'",
    background = "%%background\nprint('begun')\nawait gate.wait()\nprint('ended')\n'A'")
BUSY = "import time\nfrom ipymini import subshell\nprint(subshell())\nwhile not done: time.sleep(0.005)\nprint('ended')\n'A'"


@pytest.fixture
def k(kernel):
    "The kernel with a gate that is shut, and no subshell left behind."
    kernel.execute("import asyncio, threading, time\ngate, done = asyncio.Event(), []").ok()
    yield kernel
    kernel.execute("gate.set(); done.append(1)").ok()
    kernel.pump(lambda: not listed(kernel), 5, "the temporary subshells to end")


def listed(k): return k.request("list_subshell_request", channel="control").content["subshell_id"]


def begun(k, how):
    run = k.execute(BEGIN[how], wait=False)
    k.sees(run, "begun\n", 5)
    return run


@pytest.mark.parametrize("how", BEGIN)
def test_later_cells_run_meanwhile(k, how):
    a = begun(k, how)
    b = k.execute("print('B')\n'B'").ok()
    assert b.stdout == "B\n" and b.result == "'B'" and not a.is_done
    k.execute("gate.set()").ok()
    assert k.wait(a).ok().stdout == "begun\nended\n" and a.result == "'A'"
    assert b.content["execution_count"] == a.content["execution_count"] + 1


@pytest.mark.parametrize("how", BEGIN)
def test_many_at_once(k, how):
    "Ten that wait for each other, each with a name and a result of its own."
    runs = [begun(k, how) for _ in range(10)]
    assert not any(r.is_done for r in runs)
    k.execute("gate.set()").ok()
    assert [k.wait(r).ok().result for r in runs] == ["'A'"] * 10
    assert len({r.content["execution_count"] for r in runs}) == 10


def test_displays_errors_and_tasks_keep_their_cell(k):
    a = k.execute("%%background\nprint('begun')\nt = asyncio.create_task(asyncio.sleep(0))\nawait gate.wait()\ndisplay('shown')\nimport sys\nprint('err', file=sys.stderr)\n1/0", wait=False)
    k.sees(a, "begun\n", 5)
    b = k.execute("display('B')\nx = 5").ok()
    k.execute("gate.set()").ok()
    assert k.wait(a).status == "error" and a.ename == "ZeroDivisionError" and "shown" in str(a.of("display_data")) and a.stderr == "err\n"
    assert [o["data"]["text/plain"] for o in b.of("display_data")] == ["'B'"] and b.error is None


def test_its_error_aborts_nobody(k):
    "Others were free to run: it does not matter to them how it ends."
    a = k.execute("%%background\nprint('begun')\nawait gate.wait()\n1/0", wait=False)
    k.sees(a, "begun\n", 5)
    later = [k.execute(code, wait=False) for code in ("gate.set()\ntime.sleep(0.05)", "await asyncio.sleep(0.05)", "'last'")]
    assert [k.wait(r).status for r in (a, *later)] == ["error", "ok", "ok", "ok"]


def test_names_and_contexts(k):
    "What it assigns is there for others at once, and what they assign for it. Context variables that it sets are its own."
    a = k.execute("%%background\nimport contextvars\nv = contextvars.ContextVar('v', default=0)\nv.set('a')\nx = 1\nprint('begun')\nawait gate.wait()\n(x, v.get())", wait=False)
    k.sees(a, "begun\n", 5)
    assert k.execute("x, v.set('b')\nx").ok().result == "1"
    k.execute("x = 2\ngate.set()").ok()
    assert k.wait(a).ok().result == "(2, 'a')" and k.execute("v.get()").ok().result == "'b'"


def test_only_where_something_is_awaited(k):
    for code in ("import ipymini\nipymini.unlock()", "import ipymini\nawait asyncio.sleep(0)\nipymini.unlock()\nipymini.unlock()"):
        run = k.execute(code)
        assert run.ename == "RuntimeError" and "unlock() is for a cell that awaits, once" in run.error["evalue"]
    run = k.execute("import ipymini\nt = threading.Thread(target=lambda: err.append(attempt()))\nerr = []\ndef attempt():\n"
        "    try: ipymini.unlock()\n    except RuntimeError as e: return str(e)\nt.start()\nt.join()\nerr")
    assert "once" in run.ok().result


def test_a_syntax_error_in_it(k):
    run = k.execute("%%background\nawait (")
    assert run.ename in ("SyntaxError", "_IncompleteInputError") and k.execute("1 + 1").ok().result == "2"


@pytest.mark.parametrize("door", ["signal", "message"])
def test_interrupt_means_the_cell_that_keeps_others_waiting(k, door):
    a = begun(k, "background")
    b = k.execute("print('B')\nwhile True: pass", wait=False)
    k.sees(b, "B\n", 5)
    k.interrupt(door)
    assert k.wait(b, 5).ename == "KeyboardInterrupt" and not a.is_done
    k.execute("gate.set()").ok()
    assert k.wait(a).ok().result == "'A'"


@pytest.mark.parametrize("door", ["signal", "message"])
def test_interrupt_with_nothing_else_running(k, door):
    "Then it is what the user wants to stop: a notebook shows no other as running."
    a, b = begun(k, "background"), begun(k, "unlock")
    k.interrupt(door)
    assert [k.wait(r, 5).ename for r in (a, b)] == ["KeyboardInterrupt"] * 2
    assert k.execute("1 + 1").ok().result == "2"


def test_shutdown_while_one_waits(start):
    k = start()
    k.execute("import asyncio\ngate = asyncio.Event()").ok()
    a = begun(k, "background")
    took, _ = k.shutdown()
    assert took < slack()
    k.arrives(lambda: a.is_done, 1)
    assert a.reply is None or a.status == "error"


# --- cells in another subshell

def test_subshell_takes_the_next_cells(k):
    "A cell that computes, and those behind it on another thread; when it has ended, main's again."
    a = k.execute(BUSY, wait=False)
    where = "threading.current_thread().name"
    b = [k.execute(where, wait=False) for _ in range(3)]
    assert len({k.wait(r).ok().result for r in b}) == 1 and "subshell-" in b[0].result and not a.is_done
    assert listed(k) == [a.text("stdout", a.all).strip()]
    k.execute("done.append(1)").ok()
    assert k.wait(a).ok().result == "'A'" and k.execute(where).ok().result == "'MainThread'"
    k.pump(lambda: not listed(k), 5, "the temporary subshell to end")


def test_subshell_is_for_its_own_client(k):
    a = k.execute(BUSY, wait=False)
    k.pump(lambda: a.text("stdout", a.all), 5, "a subshell")
    other = k.another()
    try:
        run = other.execute("threading.current_thread().name", wait=False)
        assert "subshell-" in k.execute("threading.current_thread().name").ok().result
        assert not other.arrives(lambda: run.is_done, 0.1)
        k.execute("done.append(1)").ok()
        assert other.wait(run).ok().result == "'MainThread'"
    finally: other.close()
    k.wait(a).ok()


def test_subshell_twice(k):
    run = k.execute("from ipymini import subshell\nsubshell() == subshell()").ok()
    assert run.result == "True"
    k.pump(lambda: not listed(k), 5, "the temporary subshell to end")


def test_subshell_outside_a_cell(k):
    code = "import ipymini, contextvars\nerr = []\ndef attempt():\n    try: ipymini.subshell()\n    except RuntimeError as e: err.append(str(e))\n"
    k.execute(code + "t = threading.Timer(0.05, attempt)\nt.start();").ok()
    assert k.execute("t.join()\nerr").ok().result == "['subshell() is for a running cell']"


def test_subshell_magic(k):
    "Beside a main that computes; the subshell is gone afterwards."
    a = k.execute("print('begun')\nwhile not done: pass", wait=False)
    k.sees(a, "begun\n", 5)
    b = k.execute("%%subshell\nprint(threading.current_thread().name)\ny = 7\ny").ok()
    assert b.stdout.startswith("subshell-") and b.result == "7" and not a.is_done
    k.execute("%%subshell\ndone.append(1)").ok()
    assert k.wait(a).ok() and k.execute("y").ok().result == "7"
    k.pump(lambda: not listed(k), 5, "the temporary subshells to end")


def test_subshell_magic_asks_and_fails(k):
    assert k.execute("%%subshell\ninput('? ')", answers=["typed"]).ok().result == "'typed'"
    assert k.execute("%%subshell\n1/0").ename == "ZeroDivisionError"
    assert k.execute("1 + 1").ok().result == "2"


def test_subshell_magic_in_a_subshell(k):
    "A cell that was sent through a subshell has a temporary one, too: it does not wait for that subshell's cells."
    with Sub(k) as sub:
        a = sub.execute("print('begun')\nwhile not done: time.sleep(0.005)", wait=False)
        k.sees(a, "begun\n", 5)
        b = sub.execute("%%subshell\nz = 8\nthreading.current_thread().name").ok()
        assert b.result.startswith("'subshell-") and sub.id not in b.result and not a.is_done
        k.execute("done.append(1)").ok()
        k.wait(a).ok()
        assert sub.execute("z").ok().result == "8"
        k.pump(lambda: listed(k) == [sub.id], 5, "the temporary subshell to end")


@pytest.mark.parametrize("magic,what", [("%%background", "later cells run"), ("%%subshell", "temporary subshell"), ("%subshell", "which subshell this is")])
def test_help_of_magics(k, magic, what):
    k.execute("globals().pop('subshell', None)").ok()  # as a name it would come first
    run = k.execute(f"{magic}?").ok()
    assert what in run.content["payload"][0]["data"]["text/plain"] and not listed(k)
    assert what in k.request("inspect_request", dict(code=magic, cursor_pos=4)).ok().content["data"]["text/plain"]


@pytest.mark.parametrize("start,magics", [("%%backg", {"%%background"}), ("%%subsh", {"%%subshell"}), ("%subsh", {"%subshell", "%%subshell"}), ("backg", {"%%background"})])
def test_completion_of_magics(k, start, magics): assert magics <= set(k.request("complete_request", dict(code=start, cursor_pos=len(start))).ok().content["matches"])


@pytest.mark.parametrize("magic", ["background", "subshell"])
@pytest.mark.parametrize("code", ["%%{} x\nprint('ran')", "get_ipython().run_cell_magic('{}', '', 'print(1)')"])
def test_not_how_they_are_used(k, magic, code):
    "They are the first line of a cell, alone. Anything else is refused, and runs nothing."
    run = k.execute(code.format(magic))
    assert run.ename == "UsageError" or f"%%{magic} is the whole first line of a cell" in run.stderr, run
    assert not run.stdout


def test_modes_in_a_subshell(k):
    "Where cells of a subshell run, %%background lets that subshell's later cells run, and only those."
    with Sub(k) as sub:
        sub.execute("gate2 = asyncio.Event()").ok()
        a = sub.execute("%%background\nprint('begun')\nawait gate2.wait()\nthreading.current_thread().name", wait=False)
        k.sees(a, "begun\n", 5)
        sub.execute("gate2.set()").ok()
        assert k.wait(a).ok().result == repr(f"subshell-{sub.id}")


def test_example(start):
    "The cells of examples/concurrency.ipynb, all sent at once as JupyterLab's Run All does."
    k = start()
    nb = nbformat.read(Path(__file__).parents[2]/"examples"/"concurrency.ipynb", as_version=4)
    runs = [k.execute(c.source, wait=False) for c in nb.cells if c.cell_type == "code"]
    download, beside, waits, ready, alone, long, short = [k.wait(r).ok() for r in runs]
    assert download.stdout == "".join(f"download {i}\n" for i in range(5)) and download.result == "'downloaded'"
    assert beside.stdout == "this cell did not wait for the one above\n" and beside.result == "45"
    assert waits.stdout == "waiting for somebody to be ready, half a second at most\nsomebody was\n" and not ready.outputs
    assert alone.stdout == "on subshell\n" and alone.result == str(sum(i * i for i in range(300_000)))
    assert long.stdout == "answers while this cell computed: 1\n" and not short.outputs
    ended = [r.msg_id for r in sorted((download, beside), key=lambda r: r.reply["header"]["date"])]
    assert ended == [beside.msg_id, download.msg_id]
