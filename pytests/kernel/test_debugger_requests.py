"""Debug requests that are easy to get wrong: evaluations without a frame and those that last, pages of what debugpy cuts short, refusals that must change nothing,
breakpoints where nobody could let a thread run on, cells whose code is equal. Spec: messaging, "Debug request"; Debug Adapter Protocol."""
import pytest
from debugging import Debug, where
from harness import Sub


@pytest.fixture
def debug(debug):
    debug.work()
    return debug


def stops(d, run):
    "Where a cell stops, or None if it ends without; it has ended then."
    d.k.pump(lambda: run.is_done or d.next("stopped"), what="a stop or the end")
    if not d.next("stopped"): return d.k.wait(run).ok() and None
    frames = d.stop()[1]
    d.resume(run).ok()
    return where(frames)[0]


# --- cells whose code is equal

TWINS = dict(  # the cell with the breakpoint and another that differs in nothing that code has; a call, if it is a function
    comment=("a = 1\nb = 2\n# A", "a = 1\nb = 2\n", ""), statement=("import math\nprint(1)\nx = 7\n", "import json\nprint(1)\ny = 8\n", ""),
    function=("def f(x):\n    y = x\n    return y\n# A", "def f(x):\n    y = x\n    return y\n", "f(1)"),
    method=("class C:\n    def f(self): return [1]\n    K = 1\n# A", "class C:\n    def f(self): return [1]\n    K = 1\n", "C().f()"))


@pytest.mark.parametrize("first", ["twin", "own"])
@pytest.mark.parametrize("twins", TWINS)
def test_equal_code(debug, twins, first):
    "A breakpoint stops in its own cell only, whichever of two has run first."
    own, twin, call = TWINS[twins]
    debug.points(own, 2)
    for which in [twin, own] if first == "twin" else [own, twin, own]:
        found = [stops(debug, debug.run(code)) for code in (which, call) if code]
        assert any(found) == (which is own), (which, found)


# --- evaluations

def test_evaluate_without_a_frame(debug):
    "In the shell's namespace, stopped or not; statements too, for a console."
    def value(expression, **more): return debug.ask("evaluate", expression=expression, **more)
    debug.k.execute("number = 41").ok()
    assert value("number + 1")["result"] == "42" and value("  number")["type"] == "int"
    assert value("number = 7; other = [1, {'b': 1, 'a': 2}]", context="repl")["result"] == ""
    assert debug.k.execute("number, other").result == "(7, [1, {'b': 1, 'a': 2}])"
    got = value("other", context="watch")
    assert got["result"] == "[1, {'b': 1, 'a': 2}]"
    assert [v["value"] for v in debug.ask("variables", variablesReference=got["variablesReference"])["variables"]] == ["1", "{'b': 1, 'a': 2}"]
    assert "SyntaxError" in debug.refused("evaluate", expression="x = 1", context="watch")
    assert "ZeroDivisionError" in debug.refused("evaluate", expression="1/0") and "SystemExit" in debug.refused("evaluate", expression="exit() or __import__('sys').exit()")
    run = debug.run("work(1)")
    debug.stop("breakpoint")
    assert value("number")["result"] == "7"
    debug.resume(run).ok()


def test_evaluate_without_a_session(start):
    "Is refused, and imports no debugger."
    k = start()
    assert "no debug session" in Debug(k).refused("evaluate", expression="1")
    assert k.execute("import sys; 'debugpy' in sys.modules").result == "False"


def test_interrupt_of_an_evaluation_in_a_subshell(debug):
    "The evaluation ends, and then the cell: what it would have done next is not done."
    with Sub(debug.k) as sub:
        run = sub.execute("import time\nwork(1)\ntime.sleep(20)\n'finished'", wait=False)
        _, frames = debug.stop("breakpoint")
        asked = debug.send("evaluate", dict(expression="print('on') or [__import__('time').sleep(0.01) for i in range(3000)]", frameId=frames[0]["id"], context="repl"))
        debug.k.pump(lambda: "on" in run.stdout + asked.stdout, what="the evaluation")
        debug.k.interrupt()
        assert not debug.response(asked, timeout=5)["success"]
        assert debug.k.wait(run, timeout=5).ename == "KeyboardInterrupt" and run.result is None
        assert sub.execute("1 + 1").result == "2"


def test_disconnect_while_a_thread_evaluates(start, tmp_path):
    "Nobody can interrupt a thread of the user's: the session ends without waiting for it."
    k, end = start(), tmp_path / "end"
    d = Debug(k).attach()
    d.work()
    k.execute("import threading; t = threading.Thread(target=work, args=(1,)); t.start()").ok()
    _, frames = d.stop("breakpoint")
    wait = f"print('on', flush=True) or [None for i in iter(lambda: __import__('os').path.exists({str(end)!r}) or __import__('time').sleep(0.01), True)]"
    asked = d.send("evaluate", dict(expression=wait, frameId=frames[0]["id"], context="repl"))
    k.pump(lambda: any("on" in r.text("stdout", r.all) for r in k.runs.values()), what="the evaluation")
    over = d.send("disconnect", dict(restart=False, terminateDebuggee=False))
    assert not d.response(asked, timeout=5)["success"] and d.response(over, timeout=5)["success"]
    end.touch()
    assert k.execute("t.join(5); t.is_alive()").result == "False"
    d.attach()
    d.work()
    assert stops(d, d.run("work(1)")) == ("work", 2)


# --- breakpoints where nobody could let the thread run on

ASKS = "class R:\n    def __repr__(self):\n        breakpoint()\n        return 'shown'\nr = R()\n"


def test_breakpoint_in_what_a_debugger_shows(debug):
    "JupyterLab asks for variables itself: a breakpoint in a `__repr__` must not stop the thread that answers."
    debug.k.execute(ASKS).ok()
    assert {v["name"]: v["value"] for v in debug.ask("inspectVariables")["variables"]}["r"] == "shown"
    assert debug.ask("richInspectVariables", variableName="r")["data"] == {"text/plain": "shown"}
    run = debug.run("work(1)\nbreakpoint()")
    _, frames = debug.stop("breakpoint")
    assert debug.value("r", frames[0]) == "shown"
    for thread in debug.info()["stoppedThreads"]: debug.run_on(thread)
    assert where(debug.stop()[1])[0] == ("<module>", 2), "in a cell it stops"
    debug.resume(run).ok()


# --- refusals change nothing

@pytest.mark.parametrize("command,arguments", [("continue", {}), ("continue", dict(threadId=999)), ("next", dict(threadId=None)), ("next", dict(threadId=1, granularity="no such"))])
def test_refused_to_run_on(debug, command, arguments):
    "The thread is still stopped, and can be asked and let go."
    run = debug.run("work(1)")
    thread, _ = debug.stop("breakpoint")
    debug.refused(command, **arguments)
    assert debug.info()["stoppedThreads"] == [thread] and where(debug.frames(thread))[0] == ("work", 2)
    assert debug.resume(run).ok().result == "2"


@pytest.mark.parametrize("name", ["class", "None", "a b", "", "1", "a.b"])
def test_copy_to_no_name(debug, name):
    run = debug.run("work(1)")
    _, frames = debug.stop("breakpoint")
    for src, dst in (("n", name), (name, "copied")): debug.refused("copyToGlobals", srcVariableName=src, dstVariableName=dst, srcFrameId=frames[0]["id"])
    debug.resume(run).ok()
    assert debug.k.execute(f"'copied' in globals() or {name!r} in globals()").result == "False"


# --- pages of what debugpy cuts short

BIG = "def big():\n    l, s, d, t = list(range(100_000)), set(range(3000)), {i: str(i) for i in range(5000)}, ([1, 2], {'k': list(range(700))})\n    return len(l)\n"
PAGES = [("l", dict(filter="indexed", start=4000, count=3), ["4000", "4001", "4002"]), ("l", dict(start=99_998), ["99998", "99999"]), ("l", dict(filter="named"), []),
    ("d", dict(start=4998, count=9), ["'4998'", "'4999'"]), ("d", dict(filter="named", count=2), ["'0'", "'1'"]), ("d", dict(filter="indexed", count=2), []),
    ("s", dict(filter="indexed", start=2999, count=5), ["2999"])]


def test_pages(debug):
    "Any page of a frame's list, set or dict, also inside of others."
    debug.k.execute(BIG).ok()
    debug.points(BIG, 3)
    run = debug.run("big()")
    _, frames = debug.stop("breakpoint")
    found = debug.locals(frames[0])
    def page(v, **which): return debug.ask("variables", variablesReference=v["variablesReference"], **which)["variables"]
    assert {(n, str(w)): [v["value"] for v in page(found[n], **w)] for n, w, _ in PAGES} == {(n, str(w)): values for n, w, values in PAGES}
    inner = {v["name"]: v for v in page({v["name"]: v for v in page(found["t"])}["1"])}["'k'"]
    assert [(v["value"], v["evaluateName"]) for v in page(inner, start=698, count=5)] == [("698", "t[1]['k'][698]"), ("699", "t[1]['k'][699]")]
    debug.resume(run).ok()


# --- exceptions that a cell handles

def test_user_unhandled(debug):
    "A cell is seen to handle its exceptions also if no client has had it dumped."
    handled = "import json\ntry:\n    json.loads('{')\nexcept ValueError:\n    pass"
    debug.ask("setExceptionBreakpoints", filters=["userUnhandled"])
    assert stops(debug, debug.run(handled)) is None
    run = debug.run("1/0")
    debug.stop("exception")
    assert debug.resume(run).ename == "ZeroDivisionError"

