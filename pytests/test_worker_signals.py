"Interrupts of a worker: in each state it can be in, by standing there; and real signals."
import asyncio, contextlib, importlib._bootstrap, logging, signal, sys, threading, time
from types import SimpleNamespace

import pytest

import ipymini.capture as capture_room, ipymini.frames as frames, ipymini.worker as worker_room
from fakes import CallingWorker
from gaps import gaps, interrupted
from harness import wait_until
from ipymini.frames import cell_code
from ipymini.signals import Signals


@pytest.fixture
def worker(monkeypatch):
    "A worker; marks end with the test."
    monkeypatch.setattr(frames, "CELLS", set(frames.CELLS))
    return CallingWorker()


def signalled(worker, again): worker.on_signal(sys._getframe(1), again)


def test_signal_before_run(worker): signalled(worker, lambda number: pytest.fail("again"))


def test_signal_in_kernel_code(worker):
    "Our own code has to finish: once more, later."
    again = []
    def serve(): signalled(worker, again.append)
    worker.serve_all(serve)
    assert len(again) == 1


def test_signal_in_user_code(worker):
    got = []

    @cell_code
    def cell(): user()

    def user():
        try: signalled(worker, lambda number: pytest.fail("again"))
        except KeyboardInterrupt: got.append("interrupted")

    worker.serve_all(cell)
    assert got == ["interrupted"]


def in_loop(worker, after, again=lambda number: pytest.fail("again"), later=lambda number: None):
    "A callback of asyncio's own in which the signal arrives, as when the loop waits; then `after()`."
    scope = dict(__name__="asyncio.events", sys=sys, on_signal=worker.on_signal, again=again, later=later, after=after)
    exec("def call():\n    on_signal(sys._getframe(), again, later)\n    after()", scope)
    return scope["call"]


def test_signal_while_idle(worker):
    "Nothing happens, and the next message is served as ever."
    got = []
    def next_one(): worker.put(lambda: got.append(worker.stop()))
    worker.run_guarded(lambda: worker.loop.call_later(0.001, in_loop(worker, next_one)))
    assert got == [None]


def test_signal_while_awaiting(worker):
    "The cell's task is cancelled with the interrupt's own message; what another task awaits is not; the next cell is not."
    got = []

    async def other():
        await asyncio.sleep(0.003)
        got.append("other task")

    async def cell():
        got.append(worker.loop.create_task(other()))
        worker.loop.call_soon(in_loop(worker, lambda: None))
        try: await asyncio.sleep(30)
        except asyncio.CancelledError as e: got.append(e.args)

    async def next_cell():
        await asyncio.sleep(0.005)
        got.append("next")

    worker.serve_all(lambda: worker.await_cell(cell()), lambda: worker.await_cell(next_cell()))
    assert got[1:] == [(frames.INTERRUPT,), "other task", "next"] and worker.task is None


@pytest.mark.parametrize("again", [False, True])
def test_signal_as_the_cell_goes_on(worker, again):
    "Stand in the gap: the cancellation is on its way when the cell goes on, and may block, in a loop of its own for one. So long the interrupt has not hit it, and is to come again."
    got, asked, now = [], [], worker.now

    async def cell():
        if again: now.repeated = now.number  # the first one had found code of ours
        worker.loop.call_soon(in_loop(worker, lambda: None, later=asked.append))
        await asyncio.sleep(0)
        got.append((asked == [now.number], now.hit == now.number))
        try: await asyncio.sleep(30)
        except asyncio.CancelledError: got.append(now.hit == now.number)

    worker.serve_all(lambda: worker.await_cell(cell()))
    assert got == [(True, False), True]


def test_signal_as_the_cell_ends(worker):
    "Stand in the gap: the cancellation is on its way when the cell ends by itself; the cell behind it must not be hit."
    got = []

    async def cell(name):
        if name == "first": worker.cancel_soon()
        got.append(name)

    worker.serve_all(*[lambda n=n: worker.await_cell(cell(n)) for n in ("first", "second")], lambda: worker.await_cell(asyncio.sleep(0.001)))
    assert got == ["first", "second"]


def test_cancel_soon_while_idle(worker, caplog):
    "Nobody awaits: nothing happens, asyncio has nothing to complain of."
    worker.serve_all(worker.cancel_soon, lambda: None)
    assert not caplog.records


CELLS = dict(loop="while True: pass", sleep="import time; time.sleep(30)", wait="import threading; threading.Event().wait(30)",
    select="import select; select.select([], [], [], 30)")


@pytest.fixture
def sigint(worker):
    "The handler that the kernel installs, and a thread that sends the signal once the test says so."
    again = lambda number: threading.Timer(0.001, signal.raise_signal, (signal.SIGINT,)).start()  # noqa: E731
    before = signal.signal(signal.SIGINT, lambda signum, frame: worker.on_signal(frame, again))
    main = threading.main_thread().ident
    yield lambda: threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGINT)).start()
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("code", CELLS.values(), ids=CELLS)
def test_real_signal_in_a_sync_cell(worker, sigint, code):
    "A loop, a sleep, a lock, a system call: each ends at once."
    took = []

    @cell_code
    def cell(): exec(compile(code, "<cell>", "exec"), {"__name__": "__main__"})

    def serve():
        start = time.monotonic()
        sigint()
        with pytest.raises(KeyboardInterrupt): cell()
        took.append(time.monotonic() - start)

    worker.serve_all(serve)
    assert took[0] < 5


def test_real_signal_in_an_awaiting_cell(worker, sigint):
    async def cell():
        sigint()
        await asyncio.sleep(30)

    async def served():
        with pytest.raises(asyncio.CancelledError, match=frames.INTERRUPT): await worker.await_cell(cell())

    start = time.monotonic()
    worker.serve_all(served)
    assert time.monotonic() - start < 5


DELICATE = (importlib._bootstrap._get_module_lock, logging.Handler.acquire, asyncio.BaseEventLoop._run_once, contextlib._GeneratorContextManager.__enter__,
    frames.raise_pending)


@pytest.mark.parametrize("code", DELICATE, ids=lambda f: f.__qualname__)
def test_no_exception_into_delicate_code(worker, monkeypatch, code):
    "A subshell's thread is not hit while it takes a lock of the whole process, between two steps of a nested loop, or in our own code, unless it stays there."
    hits, places = [], []
    monkeypatch.setattr(worker_room, "raise_in", lambda thread, exc: hits.append(len(places)))
    exec(compile("import sys\ndef stand(): return sys._getframe()", code.__code__.co_filename, "exec"), scope := {})
    for still, looks in ((0, 1), (3, 4), (10**6, 49)):
        def frame_of(): return places.append(1) or (scope["stand"]() if len(places) <= still else None)
        places.clear()
        worker.user.runs = 1
        worker.user.interrupt(frame_of)
        assert hits.pop() == looks


def test_no_exception_where_the_thread_has_gone_on(worker, monkeypatch):
    "Stand in the gap: while the stack is read the thread goes on, to where nobody has looked. It is looked again."
    hits, ticks = [], iter(range(100))
    monkeypatch.setattr(worker_room, "raise_in", lambda thread, exc: hits.append(next(ticks)))
    def stand(): return sys._getframe()
    one = stand()
    worker.user.runs = 1
    worker.user.interrupt(lambda: stand() if next(ticks) < 6 else one)
    assert hits == [8]  # three times another frame at the second look, then the same one at both


def test_interrupt_while_a_thread_starts(worker, monkeypatch):
    "Whoever interrupts does not wait: it may be io."
    monkeypatch.setattr(worker_room, "raise_in", lambda thread, exc: pytest.fail("hit"))
    worker.user.runs = 1
    with worker.user.lock: assert worker.user.interrupt(lambda: None) is False
    assert not worker.user.sent


def test_interrupt_as_a_thread_starts(worker, monkeypatch):
    "Wherever an interrupt comes out in what a cell calls to start a thread, the next one finds no lock that nobody will release."
    user,start = worker.user, capture_room._thread_start(threading.Thread.start)
    monkeypatch.setattr(capture_room, "here", lambda: SimpleNamespace(sub=SimpleNamespace(worker=worker)))
    worker.thread,user.runs = threading.current_thread(), 1
    enter = [contextlib._GeneratorContextManager.__enter__, contextlib.nullcontext.__enter__]
    kept,came = [], 0
    for gap in (g for f in (start, *enter) for g in gaps(f)):
        def run():
            try: start(threading.Thread(target=lambda: None))
            except KeyboardInterrupt as e:
                kept.append(e)  # as IPython does for `%debug`, with all frames
                raise
        came += interrupted(run, gap)
        assert not user.lock.locked(), gap
    assert came


def test_attentive_in_kernel_code(monkeypatch):
    "Stand in the gap: the signal of a message comes while our own code runs. It is served as soon as that is over, not at the cell's end."
    ours, served, signals = [True], [], Signals()
    async def serve(msg): served.append(msg)
    w = worker_room.Worker(serve, lambda msg: True)
    w.thread, w.loop, signals.main = threading.current_thread(), asyncio.new_event_loop(), threading.get_ident()
    monkeypatch.setattr(worker_room, "whose", lambda frame: "kernel" if ours else "user")
    with w.attentive(lambda: signals.wake_main(surely=True), signals.wake_soon):
        w.put("msg")
        spin = time.monotonic() + 0.05
        while time.monotonic() < spin: assert not served
        ours.clear()
        wait_until(lambda: served, 5, "the message to be served")
    assert served == ["msg"]
    w.loop.close()


def test_attentive_while_it_serves():
    "What comes while another message is served has its turn behind that."
    served = []
    async def serve(msg):
        served.append(msg)
        if msg == "first": w.inbox.append("second")
    w = worker_room.Worker(serve, lambda msg: True)
    w.inbox.append("first")
    w.serve_meanwhile()
    assert served == ["first", "second"]
