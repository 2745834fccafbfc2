"""Worker room: one thread that serves the requests of one subshell in order.

Owns the inbox, the bell, the asyncio loop that lives on between cells, the context that cells share, and what an interrupt does here.
Must not know: sockets, IPython, what a request means; it hands each message to `serve(msg)`, a coroutine function.
Threads: `put`, `claim`, `stop` and `interrupt` may be called from any, `on_signal` from a signal handler, the rest runs on the worker's own.
Spec: JEP 91 (subshells); messaging, "Kernel interrupt"."""

import asyncio, contextlib, contextvars, logging, signal, sys, threading, time, weakref
from collections import deque
from types import SimpleNamespace

from .frames import INTERRUPT, PENDING, is_delicate, is_open, root_code, whose
from .lane import PATIENCE, absorb, raise_in, thrower
from .loops import OURS
from .scope import current

log = logging.getLogger("ipymini.worker")
STAY = 0.1  # seconds in which a thread leaves code that an exception would leave in disorder, however busy the machine, unless it waits there
LOOKS = 50  # how often it is looked, a millisecond apart, whether a thread is where it can be interrupted; then it is


class Worker:
    """Serves messages put into its inbox one after the other with `await serve(msg)`, on the thread that calls `run`. Those for which
    `meanwhile(msg)` are served, without awaiting anything, while a cell awaits."""

    def __init__(self, serve, meanwhile=lambda msg: False):
        self.serve,self.meanwhile,self.inbox = serve, meanwhile, deque()
        self.context,self.loop,self.task,self.server = contextvars.Context(), None, None, None
        self.thread,self.stopping,self.bell = None, False, None
        self.now = SimpleNamespace(number=0, last=0, repeated=0, hit=0, since=0.0,  # the request being served: its number (0: none), start, ...
            aside=None, closing=None, ending=None, wake=None, place=None, asked=0.0, servers=weakref.WeakSet(), unlocked=weakref.WeakSet())
        self.user = UserCode(self)

    # --- inbox: any thread

    def put(self, msg):
        "Queue `msg`; any thread."
        self.inbox.append(msg)
        self._ring()
        if self.now.wake: self.now.wake()

    def claim(self, msg):
        "Take `msg` out of the inbox; False if somebody else has. Any thread."
        try: self.inbox.remove(msg)
        except ValueError: return False
        return True

    def take(self, wanted):
        "Remove and return the queued messages for which `wanted(msg)`, in order; the others stay."
        return [m for m in list(self.inbox) if wanted(m) and self.claim(m)]

    def put_back(self, msgs):
        "Queue `msgs`, which were claimed, before all others; the last of them first. Any thread."
        self.inbox.extendleft(msgs)
        self._ring()

    def waits(self, msg): return msg in self.inbox

    @property
    def is_blocked(self): return bool(self.now.number) and self.task is None  # by a cell that does not await

    @property
    def is_slow(self): return bool(self.now.number) and time.monotonic() - self.now.since > PATIENCE

    # --- the worker's thread

    @root_code
    def run(self, ready=lambda: None):
        "Serve until `stop`. `ready()` is called when the loop exists. A KeyboardInterrupt that reaches the loop itself is not ours to die of."
        self.thread = threading.current_thread()
        self.loop = asyncio.new_event_loop()
        self.loop.time = time.monotonic  # whatever the user's code puts in the place of that
        asyncio.set_event_loop(self.loop)
        OURS.add(self.loop)
        self.bell = asyncio.Event()
        self.context.run(ready)
        self._serve_from_now()
        while not self.server.done():
            try: self.loop.run_forever()
            except (KeyboardInterrupt, SystemExit): log.info("a task ended with KeyboardInterrupt or SystemExit")
        self.now.ending = self.loop.create_task(self._end())
        self.loop.run_until_complete(self.now.ending)
        self.server.result()
        self.loop.close()

    async def _end(self, soon=0.3, within=2.5):
        """Let what was being served be answered: completions on their lane, `soon`, and unlocked cells, which are cancelled. Then the user's tasks are: as asyncio.run does it.
        What is cancelled already has its `finally` to do, for which it has time, `within` seconds; a second CancelledError would break that off."""
        cells = [t for t in self.now.unlocked if not t.done()]
        _cancel_once(cells, INTERRUPT)
        rest = [t for t in self.now.servers if t is not self.server and not t.done()]
        late = (await asyncio.wait(rest, timeout=within if cells else soon))[1] if rest else ()
        for t in late: t.cancel(INTERRUPT)
        if late: await asyncio.wait(late, timeout=soon)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        _cancel_once(tasks)
        if tasks: await asyncio.wait(tasks, timeout=within)

    def _serve_from_now(self):
        self.server = self.loop.create_task(self._serve(), context=self.context)
        self.now.servers.add(self.server)
        self.server.add_done_callback(lambda t: t is self.server and self.loop.stop())
        self.bell.set()

    async def _serve(self):
        me = asyncio.current_task()
        while not self.stopping:
            await self.bell.wait()
            self.bell.clear()
            while self.inbox and not self.stopping:
                await self._serve_next()
                if self.server is not me: return  # what it awaited let others go on: see `unlock`
                await asyncio.sleep(0)  # the user's tasks have their turn between two cells
            if self.now.closing: self._close()

    async def _serve_next(self):
        try: msg = self.inbox.popleft()
        except IndexError: return  # claimed
        me,now = self.server, self.now
        now.since = time.monotonic()
        now.number = now.last = now.last + 1
        if self.thread is threading.main_thread(): PENDING.clear()
        try: await self.serve(msg)
        finally:
            if self.server is me: now.number = 0

    def unlock(self):
        "Let the next requests be served while the one that calls this awaits. It keeps its context; later ones share a copy. The worker's thread."
        if self.task is not None: self.now.unlocked.add(self.task)
        self.context,self.task,self.now.number = self.context.copy(), None, 0
        self.context.run(current.set, None)
        self._serve_from_now()

    def soon(self, f, *args):
        "Call `f(*args)` on the loop; not at all if that is closed. Any thread, and signal handlers."
        with contextlib.suppress(RuntimeError): self.loop.call_soon_threadsafe(f, *args)

    def _ring(self):
        if self.loop is not None: self.soon(self._rung)

    def _rung(self):
        self.bell.set()
        if self.now.aside: self.now.aside()
        if self.task is not None: self.context.copy().run(self.serve_meanwhile)  # a copy: a nested loop may run this inside the context itself

    def serve_meanwhile(self):
        "Serve what need not wait for the cell that runs."
        while msgs := self.take(self.meanwhile):
            for msg in msgs: drive(self.serve(msg))

    @contextlib.contextmanager
    def attentive(self, wake, again):
        "Inside, on the main thread: what comes and need not wait for the cell is served at once, between two of its bytecodes. `wake()` sends SIGURG now, `again()` soon."
        def on_signal(signum, frame):
            if callable(before): before(signum, frame)
            if whose(frame) in ("user", "task"): self.serve_meanwhile()
            elif any(map(self.meanwhile, list(self.inbox))): again()  # our own code has to finish first, and this is in the middle of it
        before,woken = signal.signal(signal.SIGURG, on_signal), self.now.wake
        self.now.wake = wake
        try:
            self.serve_meanwhile()
            yield
        finally:
            self.now.wake = woken
            signal.signal(signal.SIGURG, before)

    async def await_cell(self, coro):
        "Await `coro` as a task of its own, which an interrupt can cancel, in the context that all cells share."
        task = self.task = self.loop.create_task(coro, context=self.context)
        self.loop.call_soon(self._rung)  # what came before the cell began to await
        try: return await task
        finally:
            if self.task is task: self.task = None

    async def elsewhere(self, lane, scope, f):
        "The value of `f()`, called on `lane` for the request `scope`. What comes meanwhile waits for it, but not longer than PATIENCE seconds."
        future = self.loop.create_future()
        def work():
            token = current.set(scope)
            try: value,error = f(), None
            except BaseException as e: value,error = None, e  # carried over to who waits
            finally: current.reset(token)
            self.soon(lambda: future.done() or (future.set_exception(error) if error else future.set_result(value)))
        server,late = self.server, self.loop.time() + PATIENCE
        def go_on():
            if not future.done() and self.server is server: self.unlock()
        self.now.aside = lambda: self.inbox and self.loop.call_at(late, go_on)
        self.now.aside()
        lane.put(work)
        try: return await future
        finally:
            if self.server is server: self.now.aside = None

    # --- stop and interrupt

    def close(self, done):
        "End `run` as soon as nothing is left to serve; `done()` is called before, so that nothing more comes. Any thread."
        self.now.closing = done
        self._ring()

    def _close(self):
        self.now.closing()
        if not self.inbox: self.stopping = True

    def stop(self):
        "End `run` after the request that is being served; any thread."
        self.stopping = True
        self._ring()

    def cancel_soon(self, everything=False):
        "Cancel the cell that awaits, if none runs the unlocked ones, or with `everything` all tasks of the loop; any thread, and signal handlers."
        self.soon(self._cancel, everything)

    def _cancel(self, everything):
        if everything: tasks = [t for t in asyncio.all_tasks(self.loop) if t not in (self.server, self.now.ending)]
        else: tasks = [self.task] if self.task is not None else [] if self.now.number else list(self.now.unlocked)
        if self.task in tasks and not self.task.get_coro().cr_running: self.now.hit = self.now.number  # one that runs, and a loop inside, feels nothing of it
        for t in tasks: t.cancel(INTERRUPT)

    def hit(self):
        "The request that is served has been interrupted."
        self.now.hit = self.now.number

    def on_signal(self, frame, again, later=lambda number: None, hit=None):
        """The interrupt itself, on this worker's thread. KeyboardInterrupt in user code; `again(number)` is called if our own code has to finish
        first, `later(number)` if the loop may have its turn soon enough to cancel the cell. `hit()`: what it means that it was raised."""
        now,hit = self.now, hit or self.hit
        if not PENDING: now.asked = time.monotonic()  # else it comes again
        PENDING.clear()
        if self.server is None or self.server.done(): return  # starting or ending
        who = whose(frame)
        if is_delicate(frame) and not self._stays(frame): who = "kernel"
        if who == "kernel" and now.number:
            PENDING[:],now.hit = (self.thread.ident, hit), 0
            return again(now.number)
        if who != "user" and (self.task is not None or not now.number): self.cancel_soon()
        if self.task is not None and (who == "loop" or who == "task" and now.repeated != now.number):
            now.hit = 0
            return later(now.number)  # maybe another cell's task, which does not block for long; or the cell goes on before it is cancelled, and blocks
        hit()
        if who in ("user", "task"): raise KeyboardInterrupt

    def _stays(self, frame):
        "Is the thread, which was interrupted a while ago, in `frame` where it was the last time? Then it waits for somebody there."
        before,self.now.place = self.now.place, (frame.f_code, frame.f_lasti)
        return before == self.now.place and time.monotonic() - self.now.asked > STAY

    def interrupt(self):
        "Interrupt the request that a subshell serves; idle, only the unlocked cells. False if it cannot be just now. From another thread."
        if self.now.number and (self.task is None or whose(self.frame()) != "loop"): return self.user.interrupt(self.frame)
        self.cancel_soon()
        return True

    def frame(self): return sys._current_frames().get(self.thread.ident)


class UserCode:
    "The stretch of a request, as a context manager, in which its thread may be hit by an asynchronous KeyboardInterrupt. Not for the main thread, which has signals."

    def __init__(self, worker):
        self.worker,self.lock,self.runs,self.sent = worker, threading.Lock(), 0, False
        self.nap = threading.Lock()  # locked: it may sleep. No Event, as an interrupt may come out anywhere in Python code
        self.nap.acquire()

    @property
    def is_elsewhere(self): return self.worker.thread is not threading.main_thread()

    def __enter__(self):
        if not self.is_elsewhere: return
        thrower()  # what `raise_in` needs is imported here: on io, an import could have to wait for a cell's
        self.runs += 1

    def __exit__(self, *exc):
        if not self.is_elsewhere: return
        taken = False
        while True:
            try:
                with self.lock:
                    self.runs -= not taken
                    taken = True
                    sent,self.sent = self.sent, False
                if sent: absorb(self.worker.thread)  # one that has not arrived yet is too late
                return
            except KeyboardInterrupt: continue  # it has arrived here: once only, as `runs` guards the next

    def unharmed(self):
        "A context in which no interrupt comes: CPython 3.11 gives a new thread its creator's ident at first, and it would be hit instead."
        return self.lock if self.naps() else contextlib.nullcontext()  # the lock itself: nothing is between taking it and the context

    def interrupt(self, frame_of):
        "Hit the thread, whose frame `frame_of()` tells; False if it is starting a thread, which may take long on a busy machine. From another thread, io for one."
        for left in reversed(range(LOOKS)):  # nobody tells when it leaves our code, or code that takes locks of the whole process; it does so in microseconds
            if not self.lock.acquire(timeout=0.001): return False
            try:
                if not self.runs: return True
                if not left or is_open(frame_of): return self._hit()
            finally: self.lock.release()
            time.sleep(0.001)

    def _hit(self):
        self.sent = True
        raise_in(self.worker.thread, KeyboardInterrupt)
        if self.nap.locked(): self.nap.release()  # last: who sleeps on would not hear of it
        return True

    def naps(self):
        "Does the thread that calls this run a subshell's cell?"
        return self.runs and threading.current_thread() is self.worker.thread

    def sleep(self, seconds):
        "As time.sleep for a positive number, but an interrupt ends it. The worker's thread."
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0: self.nap.acquire(timeout=min(left, threading.TIMEOUT_MAX))  # once for nothing, if one has ended another sleep


def _cancel_once(tasks, *msg):
    for t in tasks:
        if not t.cancelling(): t.cancel(*msg)


def drive(coro):
    "Run `coro`, which awaits nothing, to its end; its result."
    try: coro.send(None)
    except StopIteration as e: return e.value
    raise RuntimeError(f"{coro} awaits, where nothing can be awaited")
