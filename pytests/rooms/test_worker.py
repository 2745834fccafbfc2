"One worker with its real loop: order, tasks, contexts, stop. Its messages are functions."
import asyncio, contextvars, threading
from types import SimpleNamespace

import pytest

from fakes import CallingWorker
from ipymini.serve.worker import drive

WAIT = 10  # seconds until a wait gives up


@pytest.fixture
def worker(): return CallingWorker()


def in_thread(worker):
    "Run `worker` on a thread of its own; the thread, when the worker is ready."
    ready = threading.Event()
    t = threading.Thread(target=worker.run, args=(ready.set,), daemon=True)
    t.start()
    assert ready.wait(WAIT)
    return t


def test_order(worker):
    got = []
    def first(): worker.put(lambda: got.append("put while busy"))
    worker.serve_all(first, *[lambda n=n: got.append(n) for n in range(100)])
    assert got == [*range(100), "put while busy"]


def test_put_before_run_and_from_threads(worker):
    "Nothing is lost, each thread's order is kept."
    got,done = [], threading.Event()
    worker.put(lambda: got.append("early"))
    t = in_thread(worker)
    threads = [threading.Thread(target=lambda k=k: [worker.put(lambda n=n: got.append((k, n))) for n in range(500)]) for k in range(4)]
    for x in threads: x.start()
    for x in threads: x.join(WAIT)
    worker.put(done.set)
    assert done.wait(WAIT)
    assert got[0] == "early" and len(got) == 2001 and all([n for k2,n in got[1:] if k2 == k] == list(range(500)) for k in range(4))
    worker.stop()
    t.join(WAIT)
    assert not t.is_alive()


def test_put_while_the_loop_is_being_made(worker, monkeypatch):
    "Stand in the gap: io receives the first request while the worker starts."
    got = []
    monkeypatch.setattr(asyncio, "set_event_loop", lambda loop: loop and worker.put(lambda: got.append("in the gap")))
    worker.serve_all()
    assert got == ["in the gap"]


def test_stop_while_the_loop_is_being_made(worker, monkeypatch):
    monkeypatch.setattr(asyncio, "set_event_loop", lambda loop: loop and worker.stop())
    worker.run_guarded()


def test_stop_before_run(worker):
    worker.stop()
    worker.put(lambda: pytest.fail("served after stop"))
    worker.run_guarded()


def test_tasks_go_on_between_messages(worker):
    "A task that a message starts has its turn before the next message, and runs on while the worker is idle."
    steps,done = [], threading.Event()

    async def task():
        steps.append("turn")
        for _ in range(5): await asyncio.sleep(0.001)
        worker.put(done.set)

    t = in_thread(worker)
    worker.put(lambda: steps.append(worker.loop.create_task(task())))
    worker.put(lambda: steps.append("next"))
    assert done.wait(WAIT) and steps[1:] == ["turn", "next"]
    worker.stop()
    t.join(WAIT)
    assert not t.is_alive()


def test_contexts_last(worker):
    "What one message sets, sync or in an awaited cell, the next sees; nothing leaks to the caller of run."
    var,got = contextvars.ContextVar("var", default=0), []

    async def cell():
        got.append(var.get())
        await asyncio.sleep(0)
        var.set(2)

    worker.serve_all(lambda: var.set(1) and None, lambda: worker.await_cell(cell()), lambda: got.append(var.get()))
    assert got == [1, 2] and var.get() == 0


def test_take(worker):
    "The wanted ones in order, the others stay in order; what is put meanwhile stays behind them."
    for n in range(6): worker.put(n)

    def wanted(n):
        if len(worker.inbox) < 8: worker.put(f"meanwhile {n}")
        return n in (1, 4)

    assert worker.take(wanted) == [1, 4]
    assert [n for n in worker.inbox if isinstance(n, int)] == [0, 2, 3, 5] and isinstance(worker.inbox[-1], str)
    assert list(worker.inbox)[:4] == [0, 2, 3, 5]


def comm_worker(): return CallingWorker(meanwhile=lambda msg: msg.__name__ == "comm")


def test_meanwhile():
    "What need not wait is served while a cell awaits, in order; the cell that it wakes goes on; other messages stay in order behind it."
    got,worker = [], comm_worker()

    async def cell():
        event = asyncio.Event()
        def other(): got.append("other")
        def comm(): got.append("comm")
        def last(): event.set()
        last.__name__ = "comm"
        for m in (other, comm, comm, other, last): worker.put(m)
        await event.wait()
        got.append("cell")

    worker.serve_all(lambda: worker.await_cell(cell()))
    assert got == ["comm", "comm", "cell", "other", "other"]


def test_order_when_no_cell_awaits():
    "Between cells, and during a sync one, nothing overtakes."
    got,worker = [], comm_worker()
    def other(): got.append("other")
    def comm(): got.append("comm")

    def cell():
        for m in (other, comm, other, comm): worker.put(m)
        got.append("cell")

    worker.serve_all(cell)
    assert got == ["cell", "other", "comm", "other", "comm"]


def test_meanwhile_that_came_before_the_cell_began():
    "A client sends both at once: the message is there before the cell awaits it, and no bell rings any more."
    got,event,worker = [], asyncio.Event(), comm_worker()
    def comm(): event.set()

    async def cell():
        await asyncio.wait_for(event.wait(), 1)
        got.append("cell")

    worker.put(lambda: worker.await_cell(cell()))
    worker.put(comm)
    worker.serve_all()
    assert got == ["cell"]


def test_drive():
    async def result(): return 3
    async def waits(): await asyncio.sleep(0)
    assert drive(result()) == 3
    with pytest.raises(RuntimeError, match="nothing can be awaited"): drive(waits())


def test_stop_while_idle(worker):
    t = in_thread(worker)
    worker.stop()
    t.join(WAIT)
    assert not t.is_alive()


def test_stop_while_busy_and_awaiting(worker):
    "The request that is being served is finished; those behind it are not begun."
    got = []

    async def cell():
        worker.stop()
        await asyncio.sleep(0.001)
        got.append("finished")

    worker.put(lambda: worker.await_cell(cell()))
    worker.put(lambda: got.append("begun"))
    worker.run_guarded()
    assert got == ["finished"]


def test_interrupt_of_everything_when_all_is_done(worker):
    "Stand in the gap: shutdown interrupts all, and the loop is told of it when the worker has just served its last."
    def last():
        worker.server.add_done_callback(lambda t: worker.cancel_soon(everything=True))
        worker.stop()
    worker.put(last)
    worker.run_guarded()


@pytest.mark.parametrize("e", [KeyboardInterrupt, SystemExit])
def test_interrupted_task_while_stopping(worker, e):
    "As above, with a task of the user's that the shutdown's interrupt hits in between: the request still gets its end."
    got = []
    def task(): raise e

    async def cell():
        worker.stop()
        worker.loop.call_soon(task)
        await asyncio.sleep(0.001)
        got.append("finished")

    worker.put(lambda: worker.await_cell(cell()))
    worker.run_guarded()
    assert got == ["finished"]


@pytest.mark.parametrize("e", [KeyboardInterrupt, SystemExit, ValueError])
def test_task_that_raises_does_not_end_the_loop(worker, e):
    "Neither a callback nor a task; what is served goes on, and the next message is."
    got = []
    async def task(): raise e

    def raises(): raise e

    async def cell():
        worker.loop.set_exception_handler(lambda loop, context: None)
        got.append(worker.loop.create_task(task()))
        worker.loop.call_soon(raises)
        await asyncio.sleep(0.001)
        got.append("cell")

    worker.serve_all(lambda: worker.await_cell(cell()), lambda: got.append("next"))
    assert got[1:] == ["cell", "next"] and isinstance(got[0].exception(), e)


@pytest.mark.parametrize("e", [ZeroDivisionError, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_serve_that_raises(worker, caplog, e):
    "A slip in serving one message costs that message, never the thread; it is logged."
    got = []
    def bug(): raise e("bug")
    worker.serve_all(bug, lambda: got.append("went on"))
    assert got == ["went on"] and "a slip in serving one message" in caplog.text


def test_end_while_something_is_served_elsewhere(worker):
    "A lane that takes longer than the worker waits for it at its end: who awaits it is told, and may still answer."
    gate,got = threading.Event(), []
    lane = SimpleNamespace(put=lambda work: threading.Thread(target=lambda: gate.wait(WAIT) and work()).start())

    async def complete():
        try: await worker.elsewhere(lane, None, lambda: got.append("served"))
        except asyncio.CancelledError: got.append("cancelled")

    def after(): worker.stop()  # it waits no longer than a moment for what is before it
    try: worker.serve_all(complete, after)
    finally: gate.set()
    assert got == ["cancelled"]
