"Interrupts of a worker: in each state it can be in, by standing there; and real signals."
import asyncio, contextlib, importlib._bootstrap, logging, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import ipymini.capture.patches as capture_room, ipymini.interrupts.deliver as deliver, ipymini.interrupts.protect as frames, ipymini.serve.worker as worker_room
from fakes import CallingWorker
from gaps import gaps, interrupted
from harness import wait_until
from ipymini.debug.adapter import unhit
from ipymini.interrupts.protect import cell_code
from ipymini.process.threads import raise_in
from ipymini.interrupts.signals import Signals


@pytest.fixture
def worker(monkeypatch):
    "A worker; marks end with the test."
    monkeypatch.setattr(frames, "CELLS", set(frames.CELLS))
    return CallingWorker()


def signal_in(worker, frame):
    "What the handler of SIGINT does on the thread of `worker`, which is in `frame`."
    number = worker.now.number
    if not number: return worker.delivery.attempt_idle(frame)
    worker.delivery.want(number)
    worker.delivery.attempt(frame)


def signalled(worker): signal_in(worker, sys._getframe(1))


WHO = [  # chkstyle: ignore-node (a table)
    # whose, awaits, delicate, stuck, waited: what to do
    ("kernel", False, False, False, 0, "later"), ("kernel", True, False, False, 9, "later"), ("kernel", False, True, True, 9, "later"),
    ("user", False, False, False, 0, "raise"), ("user", True, False, False, 0, "raise"), ("user", False, True, False, 9, "later"), ("user", False, True, True, 9, "raise"),
    ("task", False, False, False, 0, "raise"), ("task", True, False, False, 0, "cancel"), ("task", True, False, False, 9, "raise"), ("task", True, True, False, 9, "later"),
    ("loop", True, False, False, 0, "cancel"), ("loop", True, False, False, 9, "cancel"), ("loop", False, False, False, 0, "cancel")]


@pytest.mark.parametrize("who,awaits,delicate,stuck,waited,what", WHO)
def test_decide(who, awaits, delicate, stuck, waited, what): assert deliver.decide(who, awaits, delicate, stuck, waited) == what


def test_signal_in_kernel_code(worker):
    "Our own code has to finish: it is still wanted, until the request is over."
    got = []
    def serve():
        signalled(worker)
        got.append(worker.delivery.is_wanted)
    worker.serve_all(serve, lambda: got.append(worker.delivery.is_wanted))
    assert got == [True, False] and not frames.PENDING


def test_signal_in_user_code(worker):
    got = []

    @cell_code
    def cell(): user()

    def user():
        try: signalled(worker)
        except KeyboardInterrupt: got.append(worker.delivery.is_wanted)

    worker.serve_all(cell)
    assert got == [False]


def in_loop(worker, after):
    "A callback of asyncio's own in which the signal arrives, as when the loop waits; then `after()`."
    scope = dict(__name__="asyncio.events", sys=sys, signal_in=signal_in, worker=worker, after=after)
    exec("def call():\n    signal_in(worker, sys._getframe())\n    after()", scope)
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


def test_signal_as_the_cell_goes_on(worker):
    "Stand in the gap: the cancellation is on its way when the cell goes on, and may block, in a loop of its own for one. So long the interrupt is still wanted."
    got, delivery = [], worker.delivery

    async def cell():
        worker.loop.call_soon(in_loop(worker, lambda: None))
        await asyncio.sleep(0)
        got.append(delivery.is_wanted)
        try: await asyncio.sleep(30)
        except asyncio.CancelledError: got.append(delivery.is_wanted)

    worker.serve_all(lambda: worker.await_cell(cell()))
    assert got == [True, False]


def test_two_signals_cancel_once(worker):
    "Both find the loop waiting, before it has its turn: the second cancellation would come out where IPython renders the first."
    got = []

    async def cell():
        worker.loop.call_soon(in_loop(worker, in_loop(worker, lambda: None)))
        try: await asyncio.sleep(30)
        except asyncio.CancelledError: got.append("cancelled")
        await asyncio.sleep(0.005)
        got.append("shown")

    worker.serve_all(lambda: worker.await_cell(cell()))
    assert got == ["cancelled", "shown"]


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
    timers = []
    def handler(signum, frame):
        try: signal_in(worker, frame)
        finally:
            if worker.delivery.is_wanted:
                timers.append(threading.Timer(0.001, lambda: worker.delivery.is_wanted and signal.raise_signal(signal.SIGINT)))
                timers[-1].start()
    before = signal.signal(signal.SIGINT, handler)
    main = threading.main_thread().ident
    yield lambda: threading.Timer(0.02, signal.pthread_kill, (main, signal.SIGINT)).start()
    for t in timers: t.join()
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
    "A subshell's thread is not hit while it takes a lock of the whole process, or between two steps of a nested loop, unless it stays there; in our own code never."
    hits, delivery = [], worker.delivery
    monkeypatch.setattr(deliver, "raise_in", lambda ident, exc: hits.append(exc))
    exec(compile("import sys\ndef stand(): return sys._getframe()", code.__code__.co_filename, "exec"), scope := {})
    exec("import sys\ndef cell(): return sys._getframe()", free := {})
    cell = free["cell"]()
    worker.ident, worker.now.number, delivery.user.runs = threading.get_ident(), 1, 1
    worker.frame = scope["stand"]
    ours = code is frames.raise_pending
    for _ in range(2):
        delivery.want(1)
        assert delivery.attempt_there() is False and not hits
        worker.frame = lambda: cell
        assert delivery.attempt_there() is True and len(hits) == 1
        hits.clear()
        delivery.done()
        stands = scope["stand"]()
        worker.frame = lambda: stands
    delivery.want(1)
    delivery.since -= 2*deliver.STAY
    assert [delivery.attempt_there(), delivery.attempt_there()] == [False, not ours]


def test_no_exception_into_a_destructor(worker, monkeypatch):
    "What comes out there reaches nobody. If the thread stays there it is hit, and stays wanted: it is not the cell that was."
    hits, delivery = [], worker.delivery
    monkeypatch.setattr(deliver, "raise_in", lambda ident, exc: hits.append(exc))
    exec("import sys\ndef frame(): return sys._getframe()\nclass A:\n    def __del__(self): self.frame = frame()", free := {})
    a = free["A"]()
    a.__del__()
    worker.ident, worker.now.number, delivery.user.runs = threading.get_ident(), 1, 1
    worker.frame = lambda: a.frame
    assert frames.in_destructor(a.frame) and not frames.in_destructor(sys._getframe())
    delivery.want(1)
    assert delivery.attempt_there() is False and not hits
    delivery.since -= 2*deliver.STAY
    assert delivery.attempt_there() is True and len(hits) == 1


@pytest.mark.parametrize("wanted", [True, False])
def test_an_interrupt_that_came_meanwhile(worker, wanted):
    "Our code that waits for a child asks, behind it: wanted in vain, or delivered where somebody has caught it."
    worker.ident, worker.now.number, delivery = threading.get_ident(), 1, worker.delivery
    before = delivery.last
    assert not delivery.came(before)
    delivery.want(1)
    if not wanted: delivery.done()
    assert delivery.came(before) and not delivery.is_wanted and not delivery.came(delivery.last)


def test_no_exception_where_the_thread_has_gone_on(worker, monkeypatch):
    "Stand in the gap: while the stack is read the thread goes on, to where nobody has looked. It is looked again."
    hits, user = [], worker.user
    monkeypatch.setattr(deliver, "raise_in", lambda ident, exc: hits.append(exc))
    def stand(): return sys._getframe()
    one, user.runs = stand(), 1
    assert not user.hit(stand) and not hits
    assert user.hit(lambda: one) and hits == [KeyboardInterrupt]


def test_an_exception_that_comes_to_the_loop(worker):
    "Stand in the gap: the thread goes on to await after its stack was read, and so the exception comes out in the loop. The cell that awaits is what it was for."
    got = []
    def stand(): return sys._getframe()
    one = stand()

    async def cell():
        with worker.user:
            try: await worker.await_cell(asyncio.sleep(30))
            except asyncio.CancelledError as e: got.append(e.args)

    def interrupt():
        wait_until(lambda: worker.task is not None and frames.whose(worker.frame()) == "loop", what="the cell awaits")
        worker.delivery.want(worker.now.number)
        assert worker.user.hit(lambda: one)
        worker.delivery.done()

    thread = threading.Thread(target=worker.serve_all, args=(cell, lambda: got.append("next")))
    thread.start()
    interrupt()
    thread.join(20)
    assert got == [(frames.INTERRUPT,), "next"]


def test_a_handler_that_raises_as_its_request_ends(worker, monkeypatch):
    "Stand in the gap: a signal comes when what was to be raised in the request has been let go. Its handler's exception is shown, and the next request is none of it."
    got, own, forget = [], OSError("mine"), deliver.Delivery._forget
    channels = SimpleNamespace(later=lambda *args: None, call=lambda f: f())
    interrupts = deliver.Interrupts(channels, None, None, SimpleNamespace(debugger=None), {None: SimpleNamespace(worker=worker)})

    def late(delivery):
        forget(delivery)
        if not got: got.append(interrupts.held(own, sys._getframe(1), lambda exc: got.append(exc)))

    monkeypatch.setattr(deliver.Delivery, "_forget", late)
    worker.serve_all(lambda: None, lambda: got.append(frames.raise_pending()), lambda: worker.await_cell(asyncio.sleep(0)))
    assert sorted(map(str, got)) == ["None", "None", "mine"] and not frames.PENDING


def test_a_thread_that_waits_in_C_stops_no_traced_one():
    "Its exception comes when it wakes; meanwhile functions that are traced, as all are in a debug session, go on."
    lock, gone_on, came = threading.Lock(), threading.Event(), []
    def waits():
        try: lock.acquire()
        except KeyboardInterrupt as e: came.append(e)
    def traced():
        sys.settrace(lambda *args: None)
        (lambda: None)()
        gone_on.set()
    with lock:
        waiting = threading.Thread(target=waits)
        waiting.start()
        wait_until(lambda: sys._current_frames()[waiting.ident].f_code is waits.__code__, what="it waits")
        raise_in(waiting.ident, KeyboardInterrupt)
        threading.Thread(target=traced, daemon=True).start()
        assert gone_on.wait(10) and not came
    waiting.join(10)
    assert len(came) == 1


def test_interrupt_while_a_thread_starts(worker, monkeypatch):
    "Whoever interrupts does not wait: it is io."
    monkeypatch.setattr(deliver, "raise_in", lambda ident, exc: pytest.fail("hit"))
    worker.user.runs = 1
    with ThreadPoolExecutor(1) as io, worker.user.lock: assert io.submit(worker.user.hit, lambda: None).result() is False
    assert not worker.user.sent


def test_interrupt_as_a_thread_starts(worker, monkeypatch):
    "Wherever an interrupt comes out in what a cell calls to start a thread, the next one finds no lock that nobody will release."
    user,start = worker.user, capture_room._thread_start(threading.Thread.start)
    for room in (capture_room, deliver): monkeypatch.setattr(room, "here", lambda: SimpleNamespace(sub=SimpleNamespace(worker=worker)))
    worker.ident,user.runs = threading.get_ident(), 1
    enter = [contextlib._GeneratorContextManager.__enter__, contextlib.nullcontext.__enter__]
    kept,came = [], 0
    for gap in (g for f in (start, *enter) for g in gaps(f)):
        def run():
            try: start(threading.Thread(target=lambda: None))
            except KeyboardInterrupt as e:
                kept.append(e)  # as IPython does for `%debug`, with all frames
                raise
        came += interrupted(run, gap)
        assert not user.lock._is_owned(), gap
    assert came


def test_interrupt_as_the_debugger_starts_a_thread(worker, monkeypatch):
    "It waits for that thread, which at first has its creator's ident on 3.11: nobody is hit meanwhile. Also within the start of another one, whose first call is traced."
    monkeypatch.setattr(deliver, "here", lambda: SimpleNamespace(sub=SimpleNamespace(worker=worker)))
    monkeypatch.setattr(deliver, "raise_in", lambda ident, exc: pytest.fail("hit"))
    user = worker.user
    worker.ident,user.runs = threading.get_ident(), 1
    with ThreadPoolExecutor(1) as io:
        trace = unhit(lambda *idents: io.submit(user.hit, lambda: None).result())
        assert trace(1) is False
        with user.unharmed(): assert trace(1) is False
        assert io.submit(user.lock.acquire, False).result()


def test_attentive_in_kernel_code(monkeypatch):
    "Stand in the gap: the signal of a message comes while our own code runs. It is served as soon as that is over, not at the cell's end."
    ours, served = [True], []
    signals = Signals(lambda seconds, f: threading.Timer(seconds, f).start())
    async def serve(msg): served.append(msg)
    w = worker_room.Worker(serve, lambda msg: True)
    w.ident, w.loop = threading.get_ident(), asyncio.new_event_loop()
    before = {s: signal.getsignal(s) for s in (signal.SIGURG, signal.SIGINT)}
    signals.install(lambda signum, frame: w.now.attend and w.now.attend(frame), SIGINT=signal.default_int_handler)
    monkeypatch.setattr(worker_room, "whose", lambda frame: "kernel" if ours else "user")
    try:
        with w.attentive(signals.nudge, signals.nudge_again):
            w.put("msg")
            spin = time.monotonic() + 0.05
            while time.monotonic() < spin: assert not served
            ours.clear()
            wait_until(lambda: served, 5, "the message to be served")
        assert served == ["msg"]
    finally:
        for s,handler in before.items(): signal.signal(s, handler)
        signal.set_wakeup_fd(-1)
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
