"""Debug requests, one by one: session, breakpoints, steps, variables, sources. Field by field what JupyterLab reads.
`debug` is a session on the module's kernel. Spec: messaging, "Debug request"; Debug Adapter Protocol."""
import os, psutil, pytest
from debugging import LAB, Debug, debugging, where
from harness import wait_until

SQUARE = "def square(x):\n    y = x * x\n    return y\n"
LOOP = "total = 0\nfor i in range(10):\n    total += i\n"


@pytest.fixture
def square(debug):
    "A session in which `square` is defined and stops in its first line."
    debug.k.execute(SQUARE).ok()
    assert [(b["verified"], b["line"]) for b in debug.points(SQUARE, 2)] == [(True, 2)]
    return debug


def test_kernel_says_so(kernel):
    info = kernel.request("kernel_info_request").ok().content
    assert info["debugger"] is True and "debugger" in info["supported_features"]
    assert kernel.km.kernel_spec.metadata["debugger"] is True


def test_descriptors_of_sessions(start):
    "Many sessions leave as many descriptors open as one does; pydevd does not close its end of the connection."
    k = start()
    def count(): return psutil.Process(k.pid).num_fds()
    with debugging(k): during = count()
    wait_until(lambda: count() <= during - 2, 10, lambda: f"{count()} descriptors, of {during} in a session")
    after = count()
    for _ in range(10):
        with debugging(k) as d: d.info()
    wait_until(lambda: count() <= after, 10, lambda: f"{count()} descriptors, {after} after one session")


# --- without a session

def test_info_without_session(kernel):
    info = Debug(kernel).info()
    prefix = os.path.join(os.path.dirname(info["tmpFilePrefix"].rstrip(os.sep)), f"ipykernel_{kernel.pid}") + os.sep
    assert info == dict(isStarted=False, hashMethod="Murmur2", hashSeed=0xC70F6907, tmpFilePrefix=prefix, tmpFileSuffix=".py", breakpoints=[], stoppedThreads=[],
        richRendering=True, exceptionPaths=["Python Exceptions"], copyToGlobals=True)


def test_variables_without_session(start):
    "Neither inspectVariables nor debugInfo import debugpy."
    k = start()
    k.execute("import sys, math\na, _b, text = 1, 2, 'x' * 20\nrow = [1, [2, 3], {'k': (4,)}]\nclass C:\n    def __init__(self): self.z = 5\nc = C()\ndef f(): pass").ok()
    d = Debug(k)
    found = {v["name"]: v for v in d.ask("inspectVariables")["variables"]}
    assert set(found) == {"a", "c", "math", "row", "sys", "text", "function variables", "class variables", "protected variables"}
    assert found["a"] == dict(name="a", value="1", type="int", evaluateName="a", variablesReference=0)
    assert found["row"]["value"] == "[1, [2, 3], {'k': (4,)}]" and found["row"]["type"] == "list"

    def inside(v, **page): return d.ask("variables", variablesReference=v["variablesReference"], **page)["variables"]
    row = inside(found["row"])
    assert [(v["name"], v["value"], v["evaluateName"]) for v in row] == [("0", "1", "row[0]"), ("1", "[2, 3]", "row[1]"), ("2", "{'k': (4,)}", "row[2]")]
    assert [(v["name"], v["evaluateName"]) for v in inside(row[2])] == [("'k'", "row[2]['k']")]
    assert [v["name"] for v in inside(found["row"], start=1, count=1)] == ["1"]
    assert inside(found["row"], filter="named") == [] and len(inside(found["row"], filter="indexed")) == 3
    assert [(v["name"], v["value"], v["evaluateName"]) for v in inside(found["c"])] == [("z", "5", "c.z")]
    assert [v["name"] for v in inside(found["protected variables"])] == ["_b"]
    assert [v["name"] for v in inside(found["function variables"])] == ["f"]
    assert d.ask("richInspectVariables", variableName="a") == dict(data={"text/plain": "1"}, metadata={})
    assert d.refused("richInspectVariables", variableName="nothing") == "no variable 'nothing'"
    d.ask("modules")
    assert k.execute("'debugpy' in sys.modules or 'pydevd' in sys.modules").result == "False"


def test_variables_that_resist(kernel):
    "A variable whose repr, attributes or length fail is shown all the same."
    kernel.execute("class Bad:\n    def __repr__(self): 1/0\n    def __getattr__(self, name): raise ValueError(name)\n    def __len__(self): 1/0\n"
        "bad = Bad()\nrec = []; rec.append(rec)\nbig = list(range(100_000))\nlong = 10 ** 5000").ok()
    d = Debug(kernel)
    found = {v["name"]: v for v in d.ask("inspectVariables")["variables"]}
    assert "Bad instance" in found["bad"]["value"] and "..." in found["rec"]["value"] and len(found["big"]["value"]) < 2000
    assert found["big"]["indexedVariables"] == 100_000
    page = d.ask("variables", variablesReference=found["big"]["variablesReference"], filter="indexed", start=5000, count=3)["variables"]
    assert [v["value"] for v in page] == ["5000", "5001", "5002"]
    assert kernel.execute("del bad, rec, big, long, Bad").ok()


def test_rich_inspect_dataframe(kernel):
    kernel.execute("import pandas as pd\ndf = pd.DataFrame(dict(a=[1, 2], b=['x', 'y']))").ok()
    data = Debug(kernel).ask("richInspectVariables", variableName="df")["data"]
    assert "<table" in data["text/html"] and "text/plain" in data


@pytest.mark.parametrize("command,arguments", [("nonsense", {}), ("attach", {}), ("setBreakpoints", dict(source=dict(path="x"), breakpoints=[])),
    ("threads", {}), ("evaluate", dict(expression="1")), ("variables", dict(variablesReference=1)), ("stackTrace", dict(threadId=1)), ("dumpCell", {}),
    ("terminate", {}), ("next", dict(threadId=1)), ("copyToGlobals", dict(srcVariableName="a", dstVariableName="b", srcFrameId=1))])
def test_refused_without_session(kernel, command, arguments): Debug(kernel).refused(command, **arguments)


def test_disconnect_without_session(kernel): assert Debug(kernel).request("disconnect", restart=False)["success"]


# --- a session

def test_initialize_and_attach(kernel):
    d = Debug(kernel)
    body = d.ask("initialize", **LAB)
    assert {f["filter"] for f in body["exceptionBreakpointFilters"]} == {"raised", "uncaught", "userUnhandled"}
    assert all(body[f"supports{what}"] for what in "ConditionalBreakpoints HitConditionalBreakpoints LogPoints SetVariable ExceptionInfoRequest".split())
    assert not d.info()["isStarted"]
    d.ask("attach")
    d.event("initialized")
    assert d.info()["isStarted"]
    d.ask("configurationDone")
    d.ask("disconnect", restart=False, terminateDebuggee=False)
    d.event("terminated")
    assert not d.info()["isStarted"]
    d.none("terminated")


def test_no_warning(start):
    "Debugging brings nothing to stdout or stderr, sets no environment variable, and leaves breakpoint() alone."
    k = start()
    look = "import os, sys; set(os.environ), sys.breakpointhook is sys.__breakpointhook__"
    before = k.execute(look).result
    with debugging(k) as d:
        d.points(SQUARE, 2)
        k.execute(SQUARE).ok()
        run = d.run("square(2)")
        d.run_on(d.stop()[0])
        k.wait(run)
        assert k.execute("'pydevd' in sys.modules").result == "True"
    assert sorted(eval(k.execute(look).result)[0]) == sorted(eval(before)[0]) and eval(before)[1]
    assert [m for m in k.unsolicited if m["header"]["msg_type"] == "stream"] == [] and k.execute("1").stderr == ""
    assert "ebug" not in k.log_text()


def test_reattach(kernel):
    for _ in range(3):
        with debugging(kernel) as d:
            kernel.execute(SQUARE).ok()
            d.points(SQUARE, 2)
            run = d.run("square(3)")
            thread, frames = d.stop("breakpoint")
            assert where(frames)[0] == ("square", 2)
            d.run_on(thread)
            assert kernel.wait(run).ok().result == "9"
        assert d.info()["breakpoints"] == [] and kernel.execute("square(3)").result == "9"
        d.none("stopped")


def test_second_client_joins(square):
    "A page that is loaded again initializes and attaches again, and finds a thread stopped."
    run = square.run("square(4)")
    thread, frames = square.stop()
    info = square.info()
    assert info["isStarted"] and info["stoppedThreads"] == [thread]
    assert info["breakpoints"] == [dict(source=square.path(SQUARE), breakpoints=[dict(line=2)])]
    again = Debug(square.k).attach()
    assert where(again.frames(thread))[0] == ("square", 2) and again.locals(again.frames(thread)[0])["x"]["value"] == "4"
    again.run_on(thread)
    assert square.k.wait(run).ok().result == "16"


def test_disconnect_while_stopped(kernel):
    with debugging(kernel) as d:
        kernel.execute(SQUARE).ok()
        d.points(SQUARE, 2)
        run = d.run("square(5)")
        d.stop()
    assert kernel.wait(run).ok().result == "25"


# --- breakpoints

def test_conditions_hits_and_logs(debug):
    "Conditional, hit-count and log points; the kernel keeps them, with the lines they got."
    debug.points(LOOP, dict(line=3, condition="i == 7"))
    run = debug.run(LOOP)
    thread, frames = debug.stop()
    assert debug.value("i", frames[0]) == "7"
    assert debug.info()["breakpoints"] == [dict(source=debug.path(LOOP), breakpoints=[dict(line=3, condition="i == 7")])]
    debug.resume(run).ok()
    debug.points(LOOP, dict(line=3, hitCondition="4"))
    run = debug.run(LOOP)
    thread, frames = debug.stop()
    assert debug.value("i", frames[0]) == "3"
    debug.resume(run).ok()
    debug.points(LOOP, dict(line=3, logMessage="i is {i}"))
    assert debug.k.execute(LOOP + "").ok() and debug.k.execute("total").result == "45"
    def logged(): return "".join(e["body"]["output"] for e in debug.events if e["event"] == "output")
    debug.k.pump(lambda: all(f"i is {i}\n" in logged() for i in range(10)), what="ten lines")
    debug.points(LOOP)
    assert debug.info()["breakpoints"] == []
    debug.none("stopped")


def test_breakpoint_moves_to_a_line_with_code(debug):
    code = "a = 1\n\n# nothing here\nb = 2\n"
    set_to = debug.points(code, 3)[0]["line"]
    run = debug.run(code)
    thread, frames = debug.stop()
    assert frames[0]["line"] in (1, 4) and debug.info()["breakpoints"][0]["breakpoints"][0]["line"] in (set_to, frames[0]["line"])
    debug.resume(run).ok()


def test_empty_lines_at_the_top(debug):
    "IPython drops them; breakpoints count them."
    code = "\n\n\na = 1\nb = a + 1\n"
    debug.points(code, 5)
    run = debug.run(code)
    thread, frames = debug.stop()
    assert where(frames) == [("<module>", 5)]
    debug.resume(run).ok()
    assert debug.k.execute("\n\n%%capture out\nprint(1)").ok() and debug.k.execute("out.stdout").result == "'1\\n'"


def test_function_breakpoint(debug):
    debug.k.execute("def triple(x):\n    return 3 * x").ok()
    assert debug.ask("setFunctionBreakpoints", breakpoints=[dict(name="triple")])["breakpoints"][0]["verified"]
    run = debug.run("triple(2)")
    thread, frames = debug.stop("function breakpoint")
    assert frames[0]["name"] == "triple"
    debug.ask("setFunctionBreakpoints", breakpoints=[])
    assert debug.resume(run).result == "6"


def test_exception_breakpoints(debug):
    debug.ask("setExceptionBreakpoints", filters=["raised"])
    run = debug.run("try: 1 / 0\nexcept ZeroDivisionError: pass\n'fine'")
    thread, frames = debug.stop("exception")
    info = debug.ask("exceptionInfo", threadId=thread)
    assert "ZeroDivisionError" in info["exceptionId"] and info["description"] == "division by zero"
    debug.ask("setExceptionBreakpoints", filters=[])
    assert debug.resume(run).ok().result == "'fine'"
    assert debug.k.execute("try: 1 / 0\nexcept ZeroDivisionError: pass").ok()
    assert debug.refused("exceptionInfo", threadId=thread)


def test_uncaught_exception_in_a_cell(debug):
    debug.ask("setExceptionBreakpoints", filters=["userUnhandled"])
    run = debug.run("def bad(): raise KeyError('x')\nbad()")
    thread, frames = debug.stop("exception")
    assert frames[0]["name"] in ("bad", "<module>")
    debug.ask("setExceptionBreakpoints", filters=[])
    assert debug.resume(run).ename == "KeyError"


def test_uncaught_exception_in_a_thread(debug):
    debug.ask("setExceptionBreakpoints", filters=["uncaught"])
    code = "import threading\ndef bad():\n    raise KeyError('x')\nt = threading.Thread(target=bad); t.start(); t.join()\ntry: 1 / 0\nexcept ZeroDivisionError: pass\n'fine'"
    run = debug.run(code)
    thread, frames = debug.stop("exception")
    assert where(frames)[0] == ("bad", 3) and "KeyError" in debug.ask("exceptionInfo", threadId=thread)["exceptionId"]
    assert debug.resume(run).ok().result == "'fine'"
    debug.ask("setExceptionBreakpoints", filters=[])
    debug.none("stopped")


def test_conditions_that_fail(debug):
    "They do not stop, as debugpy has it, nor harm the cell."
    for condition in ("i == 'never'", "nothing > 3", "i / 0"):
        debug.points(LOOP, dict(line=3, condition=condition))
        assert debug.k.execute(LOOP + "total").ok().result == "45"
    debug.points(LOOP)
    debug.none("stopped")


# --- stopped

def test_steps(debug):
    "Over, in and out, across the statements of a cell; each thread id and line as a client shows them."
    code = "a = square(2)\nb = square(a)\nc = a + b\n"
    debug.k.execute(SQUARE).ok()
    debug.points(code, 1)
    run = debug.run(code)
    thread, frames = debug.stop("breakpoint")
    assert where(frames) == [("<module>", 1)] and frames[0]["source"]["path"] == debug.path(code)
    assert where(debug.step("next", thread)) == [("<module>", 2)]
    assert where(debug.step("stepIn", thread)) == [("square", 2), ("<module>", 2)]
    assert where(debug.step("next", thread)) == [("square", 3), ("<module>", 2)]
    assert where(debug.step("stepOut", thread)) == [("<module>", 2)]
    assert where(debug.step("next", thread)) == [("<module>", 3)]
    debug.resume(run).ok()
    assert debug.info()["stoppedThreads"] == [] and debug.k.execute("c").result == "20"


def test_stack_pages(square):
    run = square.run("def outer(n): return square(n) if n == 1 else outer(n - 1)\nouter(5)")
    thread, frames = square.stop()
    assert [f["name"] for f in frames] == ["square", *["outer"] * 5, "<module>"]
    page = square.ask("stackTrace", threadId=thread, startFrame=1, levels=2)
    assert [f["name"] for f in page["stackFrames"]] == ["outer", "outer"] and page["totalFrames"] == 7
    square.resume(run).ok()


def test_variables_of_a_frame(square):
    square.k.execute("number, words = 12, ['a', 'b', 'c']").ok()
    code = "def look(data):\n    n = len(data)\n    return n\n"
    square.k.execute(code).ok()
    square.points(code, 3)
    run = square.run("look({'k': list(range(300)), 'z': words})")
    thread, frames = square.stop()
    found = square.locals(frames[0])
    assert found["n"]["value"] == "2" and found["n"]["type"] == "int" and found["n"]["evaluateName"] == "n" and found["n"]["variablesReference"] == 0
    inside = square.ask("variables", variablesReference=found["data"]["variablesReference"])["variables"]
    items = next(v for v in inside if v["name"] == "'k'")
    page = square.ask("variables", variablesReference=items["variablesReference"], filter="indexed", start=10, count=2)["variables"]
    assert [v["value"] for v in page] == ["10", "11"]
    shown = square.globals(frames[0])
    assert "number" in shown and "words" in shown and not {"In", "Out", "get_ipython", "exit", "_i", "_oh"} & set(shown)
    square.resume(run).ok()


def test_names_of_a_cell_are_the_users(debug):
    "The frame of a cell has the namespace for its locals: IPython's names are hidden there and in its groups, too."
    code = "def mine(): pass\n_kept, In2 = 5, 6\nin_cell = 7\n"
    debug.points(code, 3)
    run = debug.run(code)
    thread, frames = debug.stop()
    for found in (debug.locals(frames[0]), debug.globals(frames[0])):
        assert "In2" in found and not {"In", "Out", "exit", "quit", "get_ipython", "open", "_i", "_oh", "_dh"} & set(found)
        inside = {g: {v["name"] for v in debug.ask("variables", variablesReference=found[g]["variablesReference"])["variables"]} for g in found if g.endswith(" variables")}
        assert "mine" in inside["function variables"] and not {"get_ipython", "open"} & inside["function variables"]
    debug.resume(run).ok()
    debug.k.execute("del mine, _kept, In2, in_cell").ok()


def test_console_keeps_the_streams(square):
    """An evaluation in a console prints as a cell does, and `sys.stdout` stays what it is: Python's `print` holds no reference to it, so that one that another thread
    is in would lose the object under its feet, and the process."""
    run = square.run("square(3)")
    _, frames = square.stop()
    expression = "print('from the console') or type(__import__('sys').stdout).__module__"
    assert square.ask("evaluate", expression=expression, frameId=frames[0]["id"], context="repl")["result"].startswith("'ipymini.")
    assert "from the console\n" in square.resume(run).ok().stdout


def test_change_and_evaluate(square):
    run = square.run("square(3)")
    thread, frames = square.stop()
    assert square.ask("evaluate", expression="x * 2", frameId=frames[0]["id"], context="hover")["result"] == "6"
    body = square.ask("evaluate", expression="[x, x]", frameId=frames[0]["id"], context="repl")
    assert body["result"] == "[3, 3]" and body["type"] == "list" and body["variablesReference"] > 0
    assert "NameError" in square.refused("evaluate", expression="nothing", frameId=frames[0]["id"], context="repl")
    scope = square.ask("scopes", frameId=frames[0]["id"])["scopes"][0]["variablesReference"]
    assert square.ask("setVariable", variablesReference=scope, name="x", value="7")["value"] == "7"
    assert [t["label"] for t in square.ask("completions", frameId=frames[0]["id"], text="squ", column=4)["targets"]] == ["square"]
    assert square.resume(run).ok().result == "49"


def test_rich_inspect_and_copy_to_globals(square):
    square.k.execute("import pandas as pd\ndef frame(df):\n    return len(df)\n").ok()
    code = "def frame(df):\n    return len(df)\n"
    square.k.execute(code).ok()
    square.points(code, 2)
    run = square.run("frame(pd.DataFrame(dict(a=[1, 2])))")
    thread, frames = square.stop()
    assert "<table" in square.ask("richInspectVariables", variableName="df", frameId=frames[0]["id"])["data"]["text/html"]
    assert square.refused("richInspectVariables", variableName="nothing", frameId=frames[0]["id"])
    copied = square.ask("copyToGlobals", srcVariableName="df", dstVariableName="kept", srcFrameId=frames[0]["id"])
    assert copied["type"] == "DataFrame"
    assert square.refused("copyToGlobals", srcVariableName="df", dstVariableName="no name", srcFrameId=frames[0]["id"])
    assert "kept" in square.globals(frames[-1])
    square.resume(run).ok()
    assert square.k.execute("kept.shape").result == "(2, 1)"


def test_source_and_modules(square):
    path = square.path(SQUARE)
    assert square.ask("source", source=dict(path=path)) == dict(content=SQUARE, mimeType="text/x-python")
    later = "later = 1  # é\n"
    square.k.execute(later).ok()
    assert square.ask("source", source=dict(path=square.path(later)))["content"] == later
    modules = square.ask("modules")["modules"]
    path = {m["name"]: m["path"] for m in modules}["json.decoder"]
    assert "class JSONDecoder" in square.ask("source", source=dict(path=path))["content"]
    assert len(square.ask("modules", startModule=1, moduleCount=2)["modules"]) == 2
    assert square.refused("source", source=dict(path="/nowhere.py"))


def test_threads(square):
    run = square.run("import threading\nthreading.Event().wait(0)\nsquare(2)")
    thread, _ = square.stop()
    names = {t["name"] for t in square.ask("threads")["threads"]}
    assert "MainThread" in names and not [n for n in names if n in ("io", "heartbeat", "debug") or "dap" in n or "History" in n], names
    square.resume(run).ok()


def test_pause_and_continue(debug):
    debug.k.execute("import time\ngo = True").ok()
    code = "def spin():\n    while go:\n        time.sleep(0.01)\n"
    debug.k.execute(code).ok()
    run = debug.run("print('on'); spin()")
    debug.k.sees(run, "on")
    main = next(t["id"] for t in debug.ask("threads")["threads"] if t["name"] == "MainThread")
    debug.ask("pause", threadId=main)
    thread, frames = debug.stop("pause")
    assert thread == main and frames[0]["name"] == "spin"
    debug.value("globals().update(go=False)", frames[0])
    debug.resume(run).ok()


def test_continue_when_nothing_is_stopped(debug): assert debug.ask("continue", threadId=1) == dict(allThreadsContinued=True)


def test_step_when_nothing_is_stopped(square):
    "A step is refused; it must not be left over for the next stop."
    assert square.refused("next", threadId=1)
    run = square.run("square(2)")
    thread, frames = square.stop("breakpoint")
    assert square.resume(run).result == "4"
