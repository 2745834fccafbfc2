"""Whole kernel: what a cell does to the event loop and to tasks, its own and (as far as it can) the kernel's: the kernel serves on, and the cell's own result stays.
Spec: none; asyncio's documentation, "Event Loop", "Coroutines and Tasks"."""
import pytest

from harness import wait_until

LEFT = dict(  # what a cell leaves behind; the next ones run, await, are awaited, and have the kernel's loop
    cancel_all          = "import asyncio\n[t.cancel() for t in asyncio.all_tasks()]",
    cancel_all_twice    = "import asyncio\nfor _ in range(2): [t.cancel() for t in asyncio.all_tasks()]",
    cancel_all_awaiting = "import asyncio\nawait asyncio.sleep(0)\n[t.cancel() for t in asyncio.all_tasks()]\n'end'",
    cancel_current      = "import asyncio\nt = asyncio.current_task()\nt and t.cancel()",
    cancel_own          = "import asyncio\nawait asyncio.sleep(0)\nasyncio.current_task().cancel()\n'end'",
    no_running          = "import asyncio\nasyncio._set_running_loop(None)",
    other_running       = "import asyncio\nasyncio.events._set_running_loop(asyncio.new_event_loop())",
    no_running_awaiting = "import asyncio\nawait asyncio.sleep(0)\nasyncio._set_running_loop(None)",
    no_loop             = "import asyncio\nasyncio.set_event_loop(None)",
    other_loop          = "import asyncio\nasyncio.set_event_loop(asyncio.new_event_loop())",
    policy              = "import asyncio\nclass Policy(asyncio.DefaultEventLoopPolicy): pass\nasyncio.set_event_loop_policy(Policy())",
    policy_raises       = "import asyncio\nclass Policy(asyncio.DefaultEventLoopPolicy):\n    def get_event_loop(self): 1/0\nasyncio.set_event_loop_policy(Policy())",
    stop                = "import asyncio\nasyncio.get_event_loop().stop()",
    stop_soon           = "import asyncio\nloop = asyncio.get_event_loop()\nloop.call_soon(loop.stop)\nloop.call_later(0.01, loop.stop)",
    stop_awaiting       = "import asyncio\nasyncio.get_event_loop().stop()\nawait asyncio.sleep(0.01)\n'end'",
    handler_raises      = "import asyncio\ndef bad(loop, context): raise SystemExit\nloop = asyncio.get_event_loop()\nloop.set_exception_handler(bad)\nloop.call_soon(lambda: 1/0)",
    debug               = "import asyncio\nasyncio.get_event_loop().set_debug(True)",
    factory_raises      = "import asyncio\ndef bad(*args, **kw): raise RuntimeError('factory')\nasyncio.get_event_loop().set_task_factory(bad)",
    factory_exits       = "import asyncio\ndef bad(*args, **kw): raise SystemExit\nasyncio.get_event_loop().set_task_factory(bad)",
    factory_eager       = "import asyncio\nasyncio.get_event_loop().set_task_factory(getattr(asyncio, 'eager_task_factory', None))")
RAISES = ["SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()", "MemoryError()", "BaseException('mine')", "ValueError('mine')", "asyncio.CancelledError()"]
RESET = "import asyncio\nloop = asyncio.get_running_loop()\nloop.set_task_factory(None), loop.set_exception_handler(None), loop.set_debug(False), asyncio.set_event_loop_policy(None)"


@pytest.fixture
def k(kernel):
    yield kernel
    kernel.execute(RESET, silent=True).ok()


def serves(k):
    "The kernel serves as ever: a value, an await, a coroutine of one's own loop, a completion."
    assert k.execute("1 + 1").ok().result == "2"
    run = k.execute("import asyncio\nawait asyncio.sleep(0.001)\nloop = asyncio.get_running_loop()\nloop is asyncio.get_event_loop(), loop.is_running()")
    assert run.ok().result == "(True, True)"
    assert k.execute("async def f(): return 42\nasyncio.run(f())").ok().result == "42"
    assert k.request("complete_request", dict(code="asynci", cursor_pos=6)).ok()


@pytest.mark.parametrize("what", LEFT)
def test_left_behind(k, what):
    "Whatever a cell leaves behind: it has ended as it did, and the next ones are served."
    run = k.execute(LEFT[what]).ok()
    if LEFT[what].endswith("'end'"): assert run.result == "'end'"
    if "factory_" in what or what == "policy_raises":  # what the user breaks of his own is broken, and nothing else
        assert k.execute("1 + 1").ok().result == "2" and k.execute("await asyncio.sleep(0.001)\n2").ok().result == "2"
        k.execute(RESET).ok()
    serves(k)


@pytest.mark.parametrize("exc", RAISES)
@pytest.mark.parametrize("how", ["loop.call_soon(bad)", "loop.call_later(0.01, bad)", "t = loop.create_task(abad())", "fut = loop.create_future(); fut.add_done_callback(bad); fut.set_result(1)"])
def test_raises_in_the_loop(k, exc, how):
    "A callback or task that raises, anything: the next cells are served, and one that awaits meanwhile has its result."
    code = f"import asyncio\nloop = asyncio.get_running_loop()\ndef bad(*args): raise {exc}\nasync def abad(): bad()\n{how}"
    k.execute(code).ok()
    serves(k)
    assert k.execute(f"{code}\nawait asyncio.sleep(0.02)\n'end'").ok().result == "'end'"
    serves(k)


def test_gather_of_all_tasks(k):
    "Ends, as the kernel's own tasks are not among them."
    code = "import asyncio\nasync def f(): await asyncio.sleep(0.01)\nts = [asyncio.create_task(f()) for _ in range(3)]\nawait asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))\nall(t.done() for t in ts)"
    assert k.execute(code, timeout=10).ok().result == "True"


def test_all_tasks_are_the_users(k):
    "In a sync cell there are those that a cell has made; in an awaiting one its own, too, as in a script."
    k.execute("import asyncio\nt = asyncio.get_running_loop().create_task(asyncio.sleep(60))").ok()
    assert k.execute("asyncio.all_tasks() == {t}").ok().result == "True"
    assert k.execute("await asyncio.sleep(0)\nasyncio.all_tasks() == {t, asyncio.current_task()}").ok().result == "True"
    k.request("complete_request", dict(code="asynci", cursor_pos=6)).ok()
    assert k.execute("t.cancel()\nawait asyncio.wait([t])\nasyncio.all_tasks() == {asyncio.current_task()}").ok().result == "True"


def test_cancelled_tasks_are_the_users(k):
    "Who cancels all tasks cancels his own."
    k.execute("import asyncio\nt = asyncio.get_running_loop().create_task(asyncio.sleep(60))").ok()
    k.execute("[x.cancel() for x in asyncio.all_tasks()]").ok()
    assert k.execute("await asyncio.wait([t])\nt.cancelled()").ok().result == "True"


def test_a_cell_that_cancels_itself_and_awaits(k):
    "Is cancelled, as a script's main would be; the next is not."
    run = k.execute("import asyncio\nawait asyncio.sleep(0)\nasyncio.current_task().cancel()\nawait asyncio.sleep(1)\n'end'")
    assert run.content["ename"] == "CancelledError" and run.result is None
    serves(k)


def test_close_and_run_forever(k):
    "A loop that runs refuses both; nothing of it stays."
    for call in ("close()", "run_forever()"):
        assert k.execute(f"import asyncio\nasyncio.get_event_loop().{call}").content["ename"] == "RuntimeError"
        serves(k)


OUTER = "import asyncio\nouter = asyncio.get_event_loop()\n"
AGAIN = dict(  # what refuses is caught, and what comes then is refused, too; a cell goes on with its value
    idiom  = (OUTER + "try: outer.run_forever()\nfinally: outer.close()", "RuntimeError"),
    nested = (OUTER + "async def main():\n    try: outer.run_forever()\n    except RuntimeError: return 'refused'\nouter.run_until_complete(main())", "'refused'"),
    run    = (OUTER + "async def main():\n    try: outer.run_forever()\n    except RuntimeError: return 'refused'\nasyncio.run(main())", "'refused'"))


@pytest.mark.parametrize("how", AGAIN)
def test_run_forever_beside_others(k, how):
    "Python 3.13 forgets that a loop runs whose `run_forever` is called again, and lets itself be closed."
    code, what = AGAIN[how]
    run = k.execute(code)
    assert what in (run.ename, run.result)
    for _ in range(3): serves(k)


OUTER = "import asyncio\nouter = asyncio.get_event_loop()\n"
REFUSED = OUTER + "async def main():\n    try: outer.run_forever()\n    except RuntimeError: return 'refused'\n"
AGAIN = dict(idiom=OUTER + "try: outer.run_forever()\nfinally: outer.close()", nested=REFUSED + "outer.run_until_complete(main())", run=REFUSED + "asyncio.run(main())")


@pytest.mark.parametrize("how", AGAIN)
def test_run_forever_beside_others(k, how):
    "Python 3.13 forgets that a loop runs whose `run_forever` is called again, and lets it be closed."
    run = k.execute(AGAIN[how])
    assert (run.ename, run.result) == (("RuntimeError", None) if how == "idiom" else (None, "'refused'"))
    for _ in range(3): serves(k)


def test_in_a_subshell(k):
    "The same on a thread of its own."
    sub = k.request("create_subshell_request", channel="control").ok().content["subshell_id"]
    in_sub = dict(header_extra=dict(subshell_id=sub))
    for what in ("cancel_all", "cancel_all_awaiting", "no_running", "stop", "cancel_current"):
        k.execute(LEFT[what], **in_sub).ok()
        assert k.execute("import asyncio\nawait asyncio.sleep(0.001)\n1 + 1", **in_sub).ok().result == "2"
    k.request("delete_subshell_request", dict(subshell_id=sub), "control").ok()


def test_while_unlocked(start):
    "An unlocked cell goes on, and those behind it are served, when all tasks are cancelled; it is the user's, and ends."
    k = start()
    first = k.execute("import asyncio, ipymini\nipymini.unlock()\nprint('unlocked')\nawait asyncio.sleep(60)", wait=False)
    k.sees(first, "unlocked\n")
    k.execute("[t.cancel() for t in asyncio.all_tasks()]").ok()
    assert k.wait(first, 5).content["ename"] == "CancelledError"
    serves(k)


def test_shutdown_after_all_of_it(start):
    "The end comes as ever."
    k = start()
    for what in ("cancel_all", "stop_soon", "no_running", "factory_raises"): k.execute(LEFT[what]).ok()
    k.shutdown()
    assert wait_until(lambda: k.process.poll() is not None, 10, "the end") and k.process.poll() == 0
