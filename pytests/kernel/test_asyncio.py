"""Whole kernel: asyncio in cells: what starts a loop of its own works beside the one that runs, and what awaits goes on as before.
Spec: none; asyncio's documentation, "Runners", "Event Loop", "Coroutines and Tasks"."""
import pytest

SETUP = """import asyncio, contextvars, threading, time
async def f(x=42):
    await asyncio.sleep(0.001)
    return x
async def fails():
    await asyncio.sleep(0)
    raise ValueError('mine')"""
FORMS = dict(
    run         = "r = asyncio.run(f())",
    run_debug   = "r = asyncio.run(f(), debug=True)",
    runner      = "with asyncio.Runner() as runner: r = runner.run(f())",
    runner_loop = "with asyncio.Runner() as runner: r = runner.get_loop().run_until_complete(f())",
    twice       = "r = asyncio.run(f(40)) + asyncio.run(f(2))",
    get_loop    = "r = asyncio.get_event_loop().run_until_complete(f())",
    running     = "r = asyncio.get_running_loop().run_until_complete(f())",
    new_loop    = "loop = asyncio.new_event_loop()\nr = loop.run_until_complete(f())\nloop.close()",
    set_loop    = "loop = asyncio.new_event_loop()\nasyncio.set_event_loop(loop)\nr = loop.run_until_complete(f())\nloop.close()",
    task        = "r = asyncio.get_event_loop().run_until_complete(asyncio.get_event_loop().create_task(f()))",
    future      = "fut = asyncio.get_event_loop().create_future()\nasyncio.get_event_loop().call_later(0.001, fut.set_result, 42)\nr = asyncio.get_event_loop().run_until_complete(fut)",
    gather      = "r = sum(asyncio.get_event_loop().run_until_complete(asyncio.gather(f(40), f(2))))",
    inside      = "async def outer(): return await asyncio.gather(f(40), f(2))\nr = sum(asyncio.run(outer()))",
    wait_for    = "async def outer(): return await asyncio.wait_for(f(), 1)\nr = asyncio.run(outer())",
    timeout     = "async def outer():\n    async with asyncio.timeout(1): return await f()\nr = asyncio.run(outer())",
    group       = "async def outer():\n    async with asyncio.TaskGroup() as g: ts = [g.create_task(f(40)), g.create_task(f(2))]\n    return sum(t.result() for t in ts)\nr = asyncio.run(outer())",
    deep        = "async def outer(): return asyncio.get_running_loop()\nassert asyncio.run(outer()) is not asyncio.get_running_loop()\nr = 42",
    to_thread   = "r = asyncio.run(asyncio.to_thread(lambda: 42))",
    in_function = "def lib(): return asyncio.run(f())\nr = lib()",
    in_thread   = "import concurrent.futures\nr = concurrent.futures.ThreadPoolExecutor(1).submit(lambda: asyncio.run(f())).result(5)",
    generator   = "async def gen():\n    for i in (40, 2): yield await f(i)\nasync def outer(): return sum([i async for i in gen()])\nr = asyncio.run(outer())")
USES = dict(
    sync   = "{form}",
    asyn   = "await asyncio.sleep(0)\n{form}\nawait asyncio.sleep(0)",
    nested = "async def cell():\n    {inner}\n    return r\nr = await cell()")


@pytest.fixture
def k(kernel):
    kernel.execute(SETUP).ok()
    yield kernel
    after = kernel.execute("loop_now = asyncio.get_running_loop()\nassert await f(1) == 1\nasyncio.get_event_loop() is loop_now, asyncio.current_task() is None").ok()
    assert after.result.startswith("(True"), after
    assert not kernel.execute("print('quiet')").ok().stderr


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("form", FORMS)
def test_form(k, form, use):
    "Each way to run something to its end, in a sync cell, between two awaits, and in a coroutine that the cell awaits."
    run = k.execute(USES[use].format(form=FORMS[form], inner=FORMS[form].replace("\n", "\n    ")) + "\nr").ok()
    assert run.result == "42" and run.stderr == ""


@pytest.mark.parametrize("form", ["asyncio.run(fails())", "asyncio.get_event_loop().run_until_complete(fails())", "asyncio.Runner().run(fails())"])
@pytest.mark.parametrize("cell", ["{}", "await asyncio.sleep(0)\n{}"])
def test_error(k, form, cell):
    run = k.execute(cell.format(form))
    assert (run.content["ename"], run.content["evalue"]) == ("ValueError", "mine")


def test_still_refused_where_it_is_wrong(k):
    "asyncio.run inside asyncio.run, and a loop that runs in another thread: as asyncio has it."
    code = "async def outer():\n    c = f()\n    try: return asyncio.run(c)\n    finally: c.close()\nasyncio.run(outer())"
    assert k.execute(code).content["ename"] == "RuntimeError"
    foreign = "loop = asyncio.new_event_loop()\nt = threading.Thread(target=loop.run_forever, daemon=True)\nt.start()\nc = f()"
    k.execute(foreign).ok()
    assert k.execute("try: loop.run_until_complete(c)\nfinally: c.close()").content["ename"] == "RuntimeError"
    k.execute("loop.call_soon_threadsafe(loop.stop)\nt.join(5)\nloop.close()").ok()


def test_foreign_loops_are_left_alone(k):
    "A library's loop in a thread of its own: run_coroutine_threadsafe to it, and its own run, work as ever."
    code = "loop = asyncio.new_event_loop()\nt = threading.Thread(target=loop.run_forever)\nt.start()\nr = asyncio.run_coroutine_threadsafe(f(), loop).result(5)"
    assert k.execute(f"{code}\nloop.call_soon_threadsafe(loop.stop)\nt.join(5)\nloop.close()\nr, t.is_alive()").ok().result == "(42, False)"
    own = "got = []\ndef run():\n    loop = asyncio.new_event_loop()\n    got.append(loop.run_until_complete(f()))\n    got.append(asyncio.run(f(2)))\nt = threading.Thread(target=run)\nt.start()\nt.join(5)\ngot"
    assert k.execute(own).ok().result == "[42, 2]"


TICKS = "ticks = 0\nasync def tick():\n    global ticks\n    while True:\n        ticks += 1\n        await asyncio.sleep(0.001)\nbackground = asyncio.create_task(tick())"


def test_background_tasks(k):
    "Those from before go on after; those that start inside a nested run on our own loop go on as well."
    k.execute(TICKS).ok()
    k.execute("asyncio.run(asyncio.sleep(0.02))\nbefore = ticks").ok()
    assert k.execute("await asyncio.sleep(0.05)\nticks > before + 5, background.done()").ok().result == "(True, False)"
    code = "before = ticks\nasync def start():\n    global late\n    late = asyncio.create_task(asyncio.sleep(0.01, 'late'))\nasyncio.get_event_loop().run_until_complete(start())\nlate.done()"
    assert k.execute(code).ok().result == "False"
    assert k.execute("await late").ok().result == "'late'"
    k.execute("background.cancel();").ok()


def test_background_tasks_during_run_until_complete(k):
    "On the loop that runs the cell, other tasks have their turn meanwhile; their output is their cell's."
    first = k.execute("async def back():\n    await asyncio.sleep(0.01)\n    print('from the task')\nt = asyncio.create_task(back())").ok()
    run = k.execute("asyncio.get_event_loop().run_until_complete(t)\nprint('cell')").ok()
    k.sees(first, "from the task\n", 5)
    assert run.stdout == "cell\n"


SLEEPS = ["asyncio.run(asyncio.sleep(30))", "asyncio.get_event_loop().run_until_complete(asyncio.sleep(30))", "await asyncio.sleep(0)\nasyncio.run(asyncio.sleep(30))",
    "with asyncio.Runner() as r: r.run(asyncio.Event().wait())", "await asyncio.sleep(0)\nasyncio.get_event_loop().run_until_complete(asyncio.sleep(30))"]


def test_sleep_in_nested_run_is_interrupted(k):
    for cell in SLEEPS:
        run = k.execute(f"print('started')\n{cell}", wait=False)
        k.sees(run, "started\n", 5)
        k.interrupt("signal")
        assert k.wait(run, 5).content["ename"] == "KeyboardInterrupt", run
        assert k.execute("await f()").ok().result == "42"


def test_cleanup_runs_on_interrupt(k):
    "asyncio.run cancels its tasks: their finally clauses run."
    code = "async def main():\n    try:\n        print('started')\n        await asyncio.sleep(30)\n    finally: print('cleaned up')\nasyncio.run(main())"
    run = k.execute(code, wait=False)
    k.sees(run, "started\n", 5)
    k.interrupt("message")
    k.wait(run, 5)
    assert run.content["ename"] == "KeyboardInterrupt" and run.stdout == "started\ncleaned up\n"


@pytest.mark.parametrize("setter", ["var.set('new')", "await asyncio.sleep(0)\nvar.set('new')"], ids=["sync", "async"])
@pytest.mark.parametrize("reader", ["var.get()", "await asyncio.sleep(0)\nvar.get()", "async def get(): return var.get()\nasyncio.run(get())"], ids=["sync", "async", "run"])
def test_contextvars_last(k, setter, reader):
    k.execute("var = contextvars.ContextVar('var', default='unset')").ok()
    k.execute(setter).ok()
    assert k.execute(reader).ok().result == "'new'"


def test_contextvars_of_tasks_stay_theirs(k):
    k.execute("var = contextvars.ContextVar('var', default='unset')\nasync def task(): var.set('of the task')\nawait asyncio.create_task(task())").ok()
    assert k.execute("asyncio.run(task())\nvar.get()").ok().result == "'unset'"


def test_output_inside(k):
    "What a nested run prints, displays and asks is the cell's."
    code = "async def talk():\n    print('one')\n    await asyncio.sleep(0)\n    display('two')\n    return input('three? ')\nasyncio.run(talk())"
    run = k.execute(code, answers=["four"]).ok()
    assert run.stdout == "one\n" and run.of("display_data")[0]["data"]["text/plain"] == "'two'" and run.result == "'four'"


def test_on_a_subshell(k):
    from harness import Sub
    with Sub(k) as sub:
        for form in ("run", "get_loop", "runner", "gather"): assert sub.execute(f"{FORMS[form]}\nr").ok().result == "42"
        assert sub.execute("await f()").ok().result == "42"


def test_many_nested_runs_leave_nothing(k):
    "Neither loops nor descriptors."
    k.execute("import gc, os\nasyncio.run(f())\ngc.collect()\nbefore = len(os.listdir('/proc/self/fd'))").ok()
    run = k.execute("for _ in range(50): asyncio.run(f())\nlen(os.listdir('/proc/self/fd')) - before").ok()
    assert int(run.result) <= 0  # what interrupted runs have left, in the tests before, may be collected meanwhile
