"""What a debugger leaves alone: other requests, other processes, other code's speed.
Spec: messaging, "Debug request", "Kernel shutdown"."""
import json, os, psutil, pytest, signal, time
from pathlib import Path
from debugging import Debug, debugging, where
from harness import Sub, slack, wait_until


@pytest.fixture
def debug(debug):
    debug.work()
    return debug


def test_nothing_is_kept(kernel):
    "After a session what has run in it is gone: threads and what they hold, the code of cells, and what has traced them."
    k = kernel
    k.execute("import gc, sys, threading, weakref").ok()
    with debugging(k):
        for i in range(12): k.execute(f"class Held: pass\nt = threading.Thread(target=lambda: {i})\nt.held = Held()\nref = weakref.ref(t.held)\nt.start()\nt.join()\ndel t").ok()
    tracers = "len(getattr(getattr(threading.current_thread(), 'additional_info', None), 'top_level_thread_tracer_no_back_frames', ()))"
    known = """sum(len(getattr(sys.modules.get(m), n, ())) for m, n in [('_pydevd_sys_monitoring_cython', '_code_to_func_code_info_cache'),
        ('pydevd', 'global_cache_skips'), ('pydevd', 'global_cache_frame_skips'), ('pydevd', '_CACHE_FILE_TYPE')])"""
    assert k.execute("gc.collect()\nref()").ok().result is None and int(k.execute(tracers).result) < 8 and k.execute(known).result == "0"
    shells = "gc.collect()\nsum(type(x).__name__ == 'ZMQInteractiveShell' for x in gc.get_objects())"
    for _ in range(4):
        with Sub(k) as sub:
            with debugging(k): sub.execute("1/0")
            sub.execute("1")
    assert int(k.execute(shells).result) <= 3


# --- the process

def test_no_second_process_and_no_port(start):
    "The adapter is in the kernel's process, and nobody else can get at it."
    k = start()
    def listening(): return {c.laddr.port for c in psutil.Process(k.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    ports = listening()
    with debugging(k) as d:
        d.work()
        run = d.run("work(1)")
        d.stop("breakpoint")
        assert psutil.Process(k.pid).children() == [] and listening() == ports and len(ports) == 5
        d.resume(run).ok()


@pytest.mark.parametrize("frozen", ["on", "off"])
def test_no_warning_about_frozen_modules(start, kernel, frozen):
    "Nor a breakpoint that is missed, whichever way Python was started."
    spec = kernel.km.kernel_spec.to_dict()
    spec["argv"] = [spec["argv"][0], f"-Xfrozen_modules={frozen}", *spec["argv"][1:]]
    folder = Path(os.environ["JUPYTER_DATA_DIR"]) / "kernels" / f"frozen_{frozen}"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    k = start(folder.name)
    assert k.execute("import sys; sys._xoptions['frozen_modules']").result == repr(frozen)
    with debugging(k) as d:
        d.work()
        run = d.run("work(1)")
        d.stop("breakpoint")
        assert d.resume(run).ok().stderr == ""
    assert "rozen" not in k.log_text() and not [e for e in d.events if "rozen" in e["body"].get("output", "")]


def test_nothing_before_the_first_attach(start):
    "What a client asks without a session leaves code untraced, and threads as they are."
    k = start()
    look = "import sys, threading; sys.gettrace(), threading.gettrace(), getattr(sys, 'monitoring', None) and [sys.monitoring.get_tool(i) for i in range(6)], " \
        "'debugpy' in sys.modules"
    before = k.execute(look).result
    d = Debug(k)
    for command in ("debugInfo", "inspectVariables", "modules", "disconnect", "configurationDone"): d.ask(command)
    d.ask("dumpCell", code="1")
    assert k.execute(look).result == before and eval(before)[0] is None and not eval(before)[3]


def test_how_code_is_watched(kernel):
    "With sys.monitoring where Python has it, which costs less and reaches threads that run already; with nothing when the session is over."
    look = "import sys; sys.gettrace() is not None, hasattr(sys, 'monitoring') and sys.monitoring.get_tool(sys.monitoring.DEBUGGER_ID)"
    has = kernel.execute("import sys; hasattr(sys, 'monitoring')").result == "True"
    with debugging(kernel): assert kernel.execute(look).result == ("(False, 'pydevd')" if has else "(True, False)")
    assert kernel.execute(look).result == ("(False, None)" if has else "(False, False)")


# --- other requests, while debugpy is busy

def evaluating(debug, end):
    "A stopped cell, and a request that evaluates in it until the file `end` is there."
    run = debug.run("work(1)")
    _, frames = debug.stop("breakpoint")
    code = f"print('on', flush=True) or [None for i in iter(lambda: __import__('os').path.exists({str(end)!r}) or __import__('time').sleep(0.01), True)]"
    asked = debug.send("evaluate", dict(expression=code, frameId=frames[0]["id"], context="repl"))
    debug.k.sees(run, "on")
    return run, asked


def test_queries_while_an_evaluation_runs(debug, tmp_path):
    run, asked = evaluating(debug, tmp_path / "end")
    assert "work" in debug.k.request("complete_request", dict(code="wor", cursor_pos=3)).ok().content["matches"]
    assert debug.k.request("inspect_request", dict(code="work", cursor_pos=4)).ok().content["found"]
    debug.k.request("kernel_info_request", channel="control").ok()
    assert not asked.is_done
    (tmp_path / "end").touch()
    debug.response(asked)
    debug.resume(run).ok()


@pytest.mark.parametrize("door", ["request", "signal"])
def test_shutdown_while_an_evaluation_runs(start, door, tmp_path):
    k = start()
    d = Debug(k).attach()
    d.work()
    k.execute("1/0")  # what IPython imports for a first traceback is not to be measured
    evaluating(d, tmp_path / "never")
    started = time.monotonic()
    if door == "request": k.shutdown()
    else: os.kill(k.pid, signal.SIGTERM)
    k.wait_exit(5)
    assert time.monotonic() - started < 2 * slack()


def test_shutdown_with_a_thread_stopped(start):
    "Main is idle, a thread of the user's is stopped."
    k = start()
    d = Debug(k).attach()
    d.work()
    k.execute("import threading; threading.Thread(target=work, args=(1,)).start()", wait=False)
    d.stop("breakpoint")
    assert k.shutdown()[0] < 3 * slack()


def test_inspect_while_stopped_and_while_a_cell_runs(debug):
    "The names of the namespace, whatever the cell does."
    debug.k.execute("number = 41; import threading; go = threading.Event()").ok()
    run = debug.run("work(1)")
    debug.stop("breakpoint")
    def number(): return {v["name"]: v for v in debug.ask("inspectVariables")["variables"]}["number"]["value"]
    assert number() == "41" and debug.ask("richInspectVariables", variableName="number")["data"] == {"text/plain": "41"}
    debug.resume(run).ok()
    run = debug.run("number = 42\nprint('on')\ngo.wait(20)")
    debug.k.sees(run, "on")
    assert number() == "42"
    assert debug.k.request("interrupt_request", channel="control").ok() and debug.k.wait(run).ename == "KeyboardInterrupt"


# --- requests that nobody can answer

@pytest.mark.parametrize("command,arguments", [("scopes", dict(frameId=1)), ("variables", dict(variablesReference=12345)),
    ("evaluate", dict(expression="1 +", context="repl")), ("evaluate", dict(expression="x", frameId=1, context="hover")),
    ("setVariable", dict(variablesReference=1, name="x", value="1")), ("exceptionInfo", dict(threadId=1)), ("stepOut", dict(threadId=1)), ("stepIn", dict(threadId=1)),
    ("source", dict(source=dict(path="x"), sourceReference=77)), ("setBreakpoints", {}), ("setBreakpoints", dict(source={})), ("completions", dict(text="x", column=1, frameId=1)),
    ("terminate", {}), ("restart", {}), ("copyToGlobals", dict(srcVariableName="a", dstVariableName="b", srcFrameId=1)), ("richInspectVariables", {})])
def test_refused_in_a_session(debug, command, arguments):
    "Nothing is stopped: the answer says so, and at once."
    started = time.monotonic()
    debug.refused(command, **arguments)
    assert time.monotonic() - started < 3 * slack() and debug.k.execute("1 + 1").result == "2"


def test_requests_for_a_thread_that_is_not_stopped(debug):
    "One thread is stopped; what is asked of another gets its answer, and leaves nothing behind."
    debug.k.execute("import threading; end = threading.Event(); t = threading.Thread(target=end.wait, name='other'); t.start()").ok()
    run = debug.run("work(1)")
    thread, _ = debug.stop("breakpoint")
    other = next(t["id"] for t in debug.ask("threads")["threads"] if t["name"] == "other")
    assert debug.frames(other) == [], "JupyterLab asks for frames late, and has a way with none, not with a refusal"
    for command in ("exceptionInfo", "next", "stepIn", "stepOut"): assert "not stopped" in debug.refused(command, threadId=other)
    assert debug.info()["stoppedThreads"] == [thread] and where(debug.frames(thread))[0] == ("work", 2)
    debug.resume(run).ok()
    assert debug.k.execute("end.set(); t.join(5); t.is_alive()").result == "False"
    debug.none("stopped")


def test_frames_that_are_gone(debug):
    "References to a frame that runs on are refused."
    run = debug.run("work(1)")
    _, frames = debug.stop("breakpoint")
    found = debug.ask("scopes", frameId=frames[0]["id"])["scopes"]
    debug.resume(run).ok()
    debug.refused("scopes", frameId=frames[0]["id"])
    debug.refused("variables", variablesReference=found[0]["variablesReference"])
    debug.refused("evaluate", expression="n", frameId=frames[0]["id"], context="repl")


def test_capabilities_are_true(debug):
    "What `initialize` announces is there: no client is told of a request that is not served."
    body = debug.ask("initialize", clientID="test", adapterID="ipymini")
    requests = dict(supportsTerminateRequest="terminate", supportsRestartRequest="restart", supportsModulesRequest="modules", supportsSetExpression="setExpression",
        supportsStepInTargetsRequest="stepInTargets", supportsGotoTargetsRequest="gotoTargets", supportsCompletionsRequest="completions", supportsLoadedSourcesRequest="loadedSources",
        supportsExceptionInfoRequest="exceptionInfo", supportsFunctionBreakpoints="setFunctionBreakpoints", supportsDataBreakpoints="setDataBreakpoints",
        supportsRestartFrame="restartFrame", supportsStepBack="stepBack", supportsBreakpointLocationsRequest="breakpointLocations",
        supportsReadMemoryRequest="readMemory", supportsDisassembleRequest="disassemble", supportsTerminateThreadsRequest="terminateThreads", supportsCancelRequest="cancel")
    def served(command): return "knows no" not in debug.request(command).get("message", "")
    assert {c for s,c in requests.items() if body.get(s)} == {c for c in requests.values() if served(c)}


@pytest.mark.parametrize("code", ["", "import asyncio, threading; threading.Timer(0.3, print, ['on']).start(); await asyncio.sleep(1)"], ids=["idle", "awaiting"])
def test_pause_of_what_does_not_run(debug, code):
    "An idle kernel and a cell that awaits run nothing that could be paused; the event loop is not the user's, and the next cell must not stop."
    main = next(t["id"] for t in debug.ask("threads")["threads"] if t["name"] == "MainThread")
    run = debug.run(code)
    if code: debug.k.sees(run, "on")
    else:
        debug.k.wait(run)
        time.sleep(0.3)  # nothing tells when main is back in its loop
    assert "no code" in debug.refused("pause", threadId=main)
    debug.k.wait(run).ok()
    assert debug.k.execute("a = 1\nb = 2\nb").result == "2"
    debug.none("stopped")


# --- what it costs

LOOP = """def loop(n):
    t = 0
    for i in range(n):
        t += i
    return t
"""
LEFT = """import sys, threading
def left():
    "What slows code down: the trace functions of this thread and of new ones, and the events that are on for all code and for `loop`."
    found = [sys.gettrace(), sys.getprofile(), threading.gettrace()]
    if watch := getattr(sys, "monitoring", None):
        for tool in filter(watch.get_tool, range(6)): found += [watch.get_events(tool), watch.get_local_events(tool, loop.__code__)]
    return [str(x) for x in found if x]
"""

def test_nothing_left_after_disconnect(start):
    "Neither a session that ended nor what it left in code that it stopped in slows a cell down, on main or on a thread. tools/bench.py measures it."
    k = start()
    k.execute(LOOP).ok()
    k.execute(LEFT).ok()
    both = "from concurrent.futures import ThreadPoolExecutor\npool = globals().get('pool') or ThreadPoolExecutor(1)\nleft() + pool.submit(left).result()"
    assert k.execute(both).result == "[]"
    with debugging(k) as d:
        d.points(LOOP, 2)
        run = d.run("loop(5)")
        thread, _ = d.stop()
        for _ in range(3): d.step("next", thread)
        d.points(LOOP, 2)
        d.resume(run).ok()
        assert k.execute(both).result != "[]"
    assert wait_until(lambda: k.execute(both).result == "[]", 5, "nothing left")
    assert k.execute("[t.name for t in threading.enumerate() if 'pydevd' in t.name.lower()]").result == "[]"


def test_idle_after_disconnect(start):
    "Debugpy's threads, which poll, are gone."
    k = start()
    with debugging(k): pass
    def cpu(): return sum(int(open(f"/proc/{k.pid}/task/{t}/schedstat").read().split()[0]) for t in os.listdir(f"/proc/{k.pid}/task"))
    wait_until(lambda: k.execute("[t.name for t in __import__('threading').enumerate() if hasattr(t, '_kill_received')]").result == "[]", 5, "debugpy's threads")
    time.sleep(1.2)
    used = cpu()
    time.sleep(1)
    assert cpu() - used < 5e6, "nanoseconds used in an idle second"
