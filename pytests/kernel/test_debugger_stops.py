"""Where a debugged kernel stops, and how it gets on from there: threads, tasks, modules, breakpoint(), interrupts, shutdown, restart.
Spec: messaging, "Debug request", "Kernel interrupt", "Kernel shutdown"."""
import os, pytest
from debugging import WORK, Debug, debugging, where
from harness import KERNEL_NAME, slack

MODULE = "def double(x):\n    y = 2 * x\n    return y\n\ndef apply(f, x):\n    z = f(x)\n    return z\n"


@pytest.fixture
def debug(debug):
    debug.work()
    return debug


@pytest.fixture
def module(kernel, tmp_path):
    "The path of a module on disk that the kernel can import, named afresh for each test."
    name = f"mod_{tmp_path.name}".replace("-", "_")
    path = tmp_path / f"{name}.py"
    path.write_text(MODULE)
    kernel.execute(f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport {name} as mod").ok()
    return str(path)


# --- threads and tasks

def test_thread(debug):
    run = debug.run("import threading\nt = threading.Thread(target=work, args=(1,), name='mine')\nt.start()\nt.join()\n'joined'")
    thread, frames = debug.stop("breakpoint")
    assert {t["id"]: t["name"] for t in debug.ask("threads")["threads"]}[thread] == "mine"
    assert where(frames)[0] == ("work", 2) and not [f for f in frames if "ipymini" in f["source"]["path"].replace(debug.info()["tmpFilePrefix"], "")]
    assert debug.resume(run).ok().result == "'joined'"


def test_thread_that_was_there_before(kernel):
    "A thread that runs when the client attaches stops as well."
    kernel.execute(WORK).ok()
    loop = "import threading\nend, begun = threading.Event(), threading.Event()\ndef spin():\n    begun.set()\n    while not end.wait(0.01): work(1)\n"
    kernel.execute(loop + "t = threading.Thread(target=spin); t.start(); begun.wait(5)").ok()
    with debugging(kernel) as d:
        d.points(WORK, 2)
        thread, frames = d.stop("breakpoint")
        assert where(frames)[:2] == [("work", 2), ("spin", 5)]
        d.points(WORK)
        d.run_on(thread)
    assert kernel.execute("end.set(); t.join(5); t.is_alive()").result == "False"


def test_executor(debug):
    run = debug.run("from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as pool: r = pool.submit(work, 4).result()\nr")
    _, frames = debug.stop("breakpoint")
    assert where(frames)[0] == ("work", 2)
    assert debug.resume(run).ok().result == "5"


def test_async_cell(debug):
    code = "import asyncio\nawait asyncio.sleep(0)\nr = work(1)\nawait asyncio.sleep(0)\nr"
    debug.points(code, 4)
    run = debug.run(code)
    thread, frames = debug.stop("breakpoint")
    assert [f["name"] for f in frames][0] == "work" and len(frames) == 2
    debug.run_on(thread)
    thread, frames = debug.stop("breakpoint")
    assert [f["line"] for f in frames] == [4]
    assert debug.resume(run).ok().result == "2"


def test_task(debug):
    "A task that runs between cells stops, and so does one that a cell awaits."
    debug.k.execute("import asyncio\nasync def later():\n    await asyncio.sleep(0.05)\n    return work(6)").ok()
    run = debug.run("t = asyncio.create_task(later())")
    thread, frames = debug.stop("breakpoint")
    assert where(frames) == [("work", 2), ("later", 4)]
    debug.resume(run)
    assert debug.k.execute("await t", wait=False) and debug.k.execute("t.result()").result == "7"


def test_forked_child_does_not_stop(debug):
    "Nobody would let it run on: its debugger is in the parent."
    code = "import multiprocessing as mp\nctx = mp.get_context('fork')\nwith ctx.Pool(1) as pool: r = pool.map(work, [1, 2])\nr"
    run = debug.run(code)
    assert debug.k.wait(run).ok().result == "[2, 3]"
    debug.none("stopped")
    run = debug.run("work(1)")
    debug.stop("breakpoint")
    assert debug.resume(run).ok().result == "2"


def test_interrupt_while_another_thread_is_stopped(debug):
    "It runs on; main, which waited for it, is interrupted."
    run = debug.run("import threading\nt = threading.Thread(target=work, args=(1,))\nt.start()\nt.join()\nthreading.Event().wait(60)")
    debug.stop("breakpoint")
    debug.k.interrupt()
    assert debug.k.wait(run, timeout=5).ename == "KeyboardInterrupt"
    debug.event("continued")
    assert debug.k.execute("t.join(5); t.is_alive()").result == "False" and debug.info()["stoppedThreads"] == []


def test_generators_and_nested_cells(debug):
    run = debug.run("[work(i) for i in range(2)]")
    for i in range(2):
        thread, frames = debug.stop("breakpoint")
        assert debug.value("n", frames[0]) == str(i)
        debug.run_on(thread)
    assert debug.k.wait(run).ok().result == "[1, 2]"


def test_subshell(debug):
    "A cell on a subshell stops, main does not, and an interrupt ends it."
    sub = dict(subshell_id=debug.k.request("create_subshell_request", channel="control").content["subshell_id"])
    run = debug.run("import threading; work(1)", header_extra=sub)
    thread, frames = debug.stop("breakpoint")
    assert {t["id"]: t["name"] for t in debug.ask("threads")["threads"]}[thread].startswith("subshell-") and where(frames)[0] == ("work", 2)
    assert where(debug.step("next", thread))[0] == ("work", 3)
    assert debug.k.execute("7 * 6").result == "42"
    debug.resume(run).ok()
    run = debug.run("work(2)\nimport time; time.sleep(60)", header_extra=sub)
    debug.stop("breakpoint")
    debug.k.interrupt()
    assert debug.k.wait(run, timeout=5).ename == "KeyboardInterrupt"
    assert debug.k.execute("3 * 3").result == "9"
    debug.k.request("delete_subshell_request", sub, "control").ok()


def test_queries_while_stopped(debug):
    "Completion, inspection and control go on while a cell is stopped."
    run = debug.run("work(2)")
    debug.stop("breakpoint")
    assert "work" in debug.k.request("complete_request", dict(code="wor", cursor_pos=3), timeout=5).ok().content["matches"]
    assert debug.k.request("inspect_request", dict(code="work", cursor_pos=4), timeout=5).ok().content["found"]
    debug.k.request("kernel_info_request", channel="control", timeout=2).ok()
    debug.resume(run).ok()


# --- modules

def test_module_and_back(debug, module):
    "A breakpoint in an imported module; stepping from cell code into it and back."
    debug.points_in(module, 2)
    run = debug.run("r = mod.double(4)\ns = r + 1\ns")
    thread, frames = debug.stop("breakpoint")
    assert where(frames) == [("double", 2), ("<module>", 1)] and frames[0]["source"]["path"] == module
    assert where(debug.step("stepOut", thread)) == [("<module>", 1)]
    assert where(debug.step("next", thread)) == [("<module>", 2)]
    assert debug.resume(run).ok().result == "9"
    debug.points_in(module)
    code = "a = 1\nr = mod.apply(work, a)\nr"
    debug.points(WORK)
    debug.points(code, 1)
    run = debug.run(code)
    thread, _ = debug.stop("breakpoint")
    debug.step("next", thread)
    assert where(debug.step("stepIn", thread)) == [("apply", 6), ("<module>", 2)]
    assert where(debug.step("stepIn", thread)) == [("work", 2), ("apply", 6), ("<module>", 2)]
    assert where(debug.step("stepOut", thread)) == [("apply", 6), ("<module>", 2)]
    assert debug.resume(run).ok().result == "2"


def test_just_my_code(debug):
    "Library frames are stepped over and not shown; kernel frames never are."
    code = "import textwrap\nr = textwrap.dedent(' a')\ns = 2\n"
    debug.points(code, 2)
    run = debug.run(code)
    thread, _ = debug.stop("breakpoint")
    assert where(debug.step("stepIn", thread)) == [("<module>", 3)]
    debug.resume(run).ok()


def test_all_code(kernel):
    with debugging(kernel, justMyCode=False) as d:
        code = "import textwrap\nr = textwrap.dedent(' a')\ns = 2\n"
        d.points(code, 2)
        run = d.run(code)
        thread, _ = d.stop("breakpoint")
        frames = d.step("stepIn", thread)
        assert [f["name"] for f in frames] == ["dedent", "<module>"] and frames[0]["source"]["path"].endswith("textwrap.py")
        d.resume(run).ok()


def test_all_code_shows_library_frames(kernel):
    with debugging(kernel, justMyCode=False) as d:
        d.work()
        run = d.run("from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(1).submit(work, 4).result()")
        _, frames = d.stop("breakpoint")
        paths = [f["source"]["path"] for f in frames]
        assert [p for p in paths if p.endswith("thread.py")] and not [p for p in paths if "/ipymini/" in p], paths
        d.resume(run).ok()


# --- breakpoint() and pdb

PDB = ["breakpoint()", "import pdb; pdb.set_trace()"]

@pytest.mark.parametrize("call", PDB)
def test_prompt_without_a_client(kernel, call):
    run = kernel.execute(f"def f():\n    x = 5\n    {call}\n    return x\nf()", answers=["p x * 2", "c"]).ok()
    assert "10" in run.stdout and run.result == "5" and run.asked[0]["prompt"].strip() in ("(Pdb)", "ipdb>")


@pytest.mark.parametrize("call", PDB)
def test_stops_there_with_a_client(debug, call):
    run = debug.run(f"def f():\n    x = 5\n    {call}\n    return x\nf()")
    thread, frames = debug.stop("breakpoint")
    assert where(frames) == [("f", 3), ("<module>", 5)] and debug.locals(frames[0])["x"]["value"] == "5"
    assert where(debug.step("next", thread))[0] == ("f", 4)
    assert debug.resume(run).ok().result == "5"


def test_breakpoint_as_the_last_statement(debug):
    run = debug.run("a = 3\nbreakpoint()")
    assert where(debug.stop("breakpoint")[1]) == [("<module>", 2)]
    debug.resume(run).ok()


def test_prompt_after_disconnect(kernel):
    with debugging(kernel): pass
    run = kernel.execute("breakpoint()", answers=["p 6 * 7", "c"]).ok()
    assert "42" in run.stdout


# --- interrupts, shutdown, restart

@pytest.mark.parametrize("door", ["signal", "message"])
def test_interrupt_while_stopped(debug, door):
    "It runs on, into KeyboardInterrupt, and the next cell stops again."
    for _ in range(3):
        run = debug.run("for i in range(100): work(i)")
        debug.stop("breakpoint")
        debug.k.interrupt(door)
        assert debug.k.wait(run, timeout=5).ename == "KeyboardInterrupt"
        assert not [f for f in ("pydevd", "adapter.py") if f in "".join(run.error["traceback"])]
        debug.event("continued")
        assert debug.info()["stoppedThreads"] == []
        debug.none("stopped")
    run = debug.run("work(1)")
    assert where(debug.stop("breakpoint")[1])[0] == ("work", 2)
    assert debug.resume(run).ok().result == "2"


def test_threads_do_not_wait_to_run_on(start):
    "Debugpy's own look five times a second whether they may; here once a minute."
    k = start()
    with debugging(k) as d:
        d.work()
        k.execute("import sys; sys.modules['pydevd'].TIMEOUT_SLOW = 60").ok()
        run = d.run("work(1)")
        thread, _ = d.stop("breakpoint")
        assert where(d.step("next", thread))[0] == ("work", 3)
        assert where(d.step("stepOut", thread))[0] == ("<module>", 1)
        d.run_on(thread)
        assert k.wait(run).ok().result == "2"
        for again in (False, True):
            run = d.run("work(1)" if again else "import threading; t = threading.Thread(target=work, args=(1,)); t.start(); t.join()")
            d.stop("breakpoint")
            if again: k.interrupt()
            else: d.run_on(thread)
            assert k.wait(run).status == ("error" if again else "ok")
        run = d.run("work(1)")
        d.stop("breakpoint")
    assert k.wait(run).ok().result == "2"


def test_interrupt_while_an_async_cell_is_stopped(debug):
    run = debug.run("import asyncio\nawait asyncio.sleep(0)\nwork(1)\nawait asyncio.sleep(60)")
    debug.stop("breakpoint")
    debug.k.interrupt()
    assert debug.k.wait(run, timeout=5).ename == "KeyboardInterrupt"
    assert debug.k.execute("'alive'").result == "'alive'"


def test_interrupt_of_an_evaluation(debug):
    "The evaluation ends, and so does the cell."
    run = debug.run("work(1)")
    _, frames = debug.stop("breakpoint")
    asked = debug.send("evaluate", dict(expression="print('begun') or __import__('time').sleep(30)", frameId=frames[0]["id"], context="repl"))
    debug.k.pump(lambda: "begun" in run.stdout + asked.stdout, what="the evaluation")
    debug.k.interrupt()
    assert not debug.response(asked, timeout=5)["success"]
    assert debug.k.wait(run, timeout=5).ename == "KeyboardInterrupt"
    assert debug.k.execute("1 + 1").result == "2"


WITHIN = """import os
from ipymini.interrupts.protect import HERE
from ipymini.request.scope import Scope
CODE = "def write(*args):\\n    if not sent: os.kill(os.getpid(), sent.append(1) or 2)\\n    original(*args)"
def interrupted():
    scope = Scope.latest
    names = dict(os=os, sent=[], original=scope.port.write)
    exec(compile(CODE, HERE + "x.py", "exec"), names)
    scope.port = scope.port._replace(write=names["write"])
    print("on")
    return "unharmed"
"""


def test_interrupt_of_our_own_code_within_an_evaluation(debug):
    "What is printed there is on its way when the signal comes; the evaluation ends, which is not yet the cell's end."
    debug.k.execute(WITHIN).ok()
    run = debug.run("work(1)")
    _, frames = debug.stop("breakpoint")
    debug.refused("evaluate", expression="interrupted()", frameId=frames[0]["id"], context="repl")
    assert debug.k.wait(run, timeout=5).ename == "KeyboardInterrupt"


def test_interrupt_of_a_traced_loop(debug):
    run = debug.run("print('on')\nwhile True: pass")
    debug.k.sees(run, "on")
    debug.k.interrupt()
    assert debug.k.wait(run, timeout=5).ename == "KeyboardInterrupt"
    run = debug.run("work(3)")
    debug.stop("breakpoint")
    assert debug.resume(run).ok().result == "4"


@pytest.mark.parametrize("restart", [False, True])
def test_shutdown_while_stopped(start, restart):
    k = start()
    d = Debug(k).attach()
    d.points(WORK, 2)
    folder = d.info()["tmpFilePrefix"]
    assert os.path.isdir(folder)
    k.execute(WORK).ok()
    k.execute("1/0")  # what IPython imports for a first traceback is not to be measured
    d.run("work(1)")
    d.stop("breakpoint")
    took, run = k.shutdown(restart)
    assert run.content == dict(status="ok", restart=restart) and took < 2 * slack()
    assert not os.path.exists(folder) and k.process.returncode == 0, "a forced end would have left with 1"


def test_restart_restores_breakpoints(start):
    "As JupyterLab asks: after a restart it initializes, attaches, dumps its cells, sets its breakpoints, and says that configuration is done."
    k = start()
    d = Debug(k).attach()
    d.work()
    k.km.restart_kernel(now=False)
    k.pid = k.km.provisioner.pid
    k.wait_ready()
    d = Debug(k)
    assert not d.info()["isStarted"] and d.info()["breakpoints"] == []
    d.attach()
    assert d.points(WORK, 2)[0]["line"] == 2
    assert d.ask("configurationDone") in (None, {})
    k.execute(WORK).ok()
    run = d.run("work(5)")
    assert where(d.stop("breakpoint")[1])[0] == ("work", 2)
    assert d.resume(run).ok().result == "6"


def test_requests_before_the_shell_is_there(start):
    "A client that attaches as soon as the sockets are there is served when the shell is."
    k = start(ready=False)
    d = Debug(k)
    runs = [d.send(*r) for r in (("debugInfo", {}), ("inspectVariables", {}), ("initialize", dict(adapterID=KERNEL_NAME)), ("attach", {}))]
    k.pump(lambda: all(r.reply for r in runs), what="four replies")
    assert [r.content["success"] for r in runs] == [True] * 4
    k.wait_ready()
    assert d.info()["isStarted"]
