"""Worker room: one thread that serves the requests of one subshell in order.

Owns the inbox, the bell, the asyncio loop that lives on between cells, and the context that cells share. How it is interrupted is `deliver`'s.
Must not know: sockets, IPython, what a request means; it hands each message to `serve(msg)`, a coroutine function.
Threads: `put`, `claim`, `stop`, `soon`, `cancel_soon` and `frame` may be called from any, the rest runs on the worker's own.
Spec: JEP 91 (subshells); messaging, "Kernel interrupt"."""

import asyncio, contextlib, contextvars, logging, sys, threading, time, weakref
from collections import deque
from types import SimpleNamespace, coroutine

from ..interrupts.deliver import Delivery
from ..process.dying import slipped
from ..interrupts.protect import INTERRUPT, root_code, whose
from ..process.threads import PATIENCE, SHOWN, SLIPS
from ..capture.nested_loops import OURS, hide_task, refuse_to_run
from ..request.scope import current

log = logging.getLogger("ipymini.serve.worker")
BRISK = 0.001  # seconds in which an event loop that cannot run any more ends with an exception


class Worker:
    """Serves messages put into its inbox one after the other with `await serve(msg)`, on the thread that calls `run`. Those for which
    `meanwhile(msg)` are served, without awaiting anything, while a cell awaits."""

    def __init__(self, serve, meanwhile=lambda msg: False):
        self.serve,self.meanwhile,self.inbox = serve, meanwhile, deque()
        self.context,self.loop,self.task,self.server = contextvars.Context(), None, None, None
        self.ident,self.stopping,self.bell = None, False, None
        self.now = SimpleNamespace(number=0, last=0, since=0.0,  # the request being served: its number (0: none), start, ...
            aside=None, closing=None, ending=None, wake=None, attend=None, servers=weakref.WeakSet(), unlocked=weakref.WeakSet())
        self.delivery = Delivery(self)

    @property
    def user(self): return self.delivery.user

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

    @property
    def is_blocked(self): return bool(self.now.number) and self.task is None  # by a cell that does not await

    @property
    def is_slow(self): return bool(self.now.number) and time.monotonic() - self.now.since > PATIENCE

    # --- the worker's thread

    @root_code
    def run(self, ready=lambda: None):
        "Serve until `stop`. `ready()` is called when the loop exists. No exception that reaches the loop itself is ours to die of."
        self.ident = threading.get_ident()  # no thread object: gevent gives that of main another ident, and eventlet all of them
        self.loop = asyncio.new_event_loop()
        self.loop.time = time.monotonic  # whatever the user's code puts in the place of that
        asyncio.set_event_loop(self.loop)
        OURS.add(self.loop)
        refuse_to_run(self.loop)
        self.bell = asyncio.Event()
        self.context.run(ready)
        self._serve_from_now()
        slips = 0
        while not self.server.done():
            began = time.monotonic()
            try: self._run_loop()
            except (KeyboardInterrupt, SystemExit) as e:
                log.info("a task or callback ended with KeyboardInterrupt or SystemExit")
                self.delivery.astray(e)
            except BaseException:
                slips = slips + 1 if time.monotonic() - began < BRISK else 0
                slipped()
                if slips > SLIPS: raise
                if slips <= SHOWN: log.exception("out of the event loop")
        self.now.ending = self._task(self._end())
        self._end_loop()
        self.loop.close()

    def _end_loop(self):
        "Run the loop until `_end` is through, whatever callbacks raise."
        self.now.ending.add_done_callback(lambda t: self.loop.stop())
        while not self.now.ending.done():
            with contextlib.suppress(KeyboardInterrupt, SystemExit): self._run_loop()

    @root_code
    def _run_loop(self): type(self.loop).run_forever(self.loop)

    def _task(self, coro):
        "A task of the kernel's own, which `asyncio.all_tasks()` does not list, made by no task factory of the user's."
        task = asyncio.Task(coro, loop=self.loop, context=self.context)
        hide_task(task)
        return task

    async def _end(self, soon=0.3, within=2.5):
        """Let what was being served be answered: completions on their lane, `soon`, and unlocked cells, which are cancelled. Then the
        user's tasks are: as asyncio.run does it. What is cancelled already has its `finally` to do, for which it has time, `within`
        seconds; a second CancelledError would break that off."""
        cells = [t for t in self.now.unlocked if not t.done()]
        _cancel_once(cells, INTERRUPT)
        rest = [t for t in self.now.servers if t is not self.server and not t.done()]
        late = (await asyncio.wait(rest, timeout=within if cells else soon))[1] if rest else ()
        for t in late: t.cancel(INTERRUPT)
        if late: await asyncio.wait(late, timeout=soon)
        tasks = asyncio.all_tasks()
        _cancel_once(tasks)
        if tasks: await asyncio.wait(tasks, timeout=within)

    def _serve_from_now(self):
        self.server = self._task(self._serve())
        self.now.servers.add(self.server)
        self.server.add_done_callback(self._served)
        self.bell.set()

    def _served(self, task):
        "A serving task has ended: as it should, or because a cell has cancelled what `asyncio.current_task()` gave it."
        if task is not self.server: return
        if self.stopping: return self.loop.stop()
        slipped()
        log.warning("the serving task has ended; another one goes on", exc_info=None if task.cancelled() else task.exception())
        self.now.number = 0
        self._serve_from_now()

    async def _serve(self):
        me = asyncio.current_task()
        while not self.stopping:
            await self.bell.wait()
            self.bell.clear()
            while self.inbox and not self.stopping:
                await self._serve_next()
                if self.server is not me: return  # what it awaited let others go on: see `unlock`
                await give_way()  # the user's tasks have their turn between two cells
            if self.now.closing: self._close()

    async def _serve_next(self):
        try: msg = self.inbox.popleft()
        except IndexError: return  # claimed
        me,now = self.server, self.now
        now.since = time.monotonic()
        now.number = now.last = now.last + 1
        try: await self.serve(msg)
        except BaseException: log.exception("a slip in serving one message")  # costs that message, never the thread; also an asynchronous exception
        finally:
            asyncio._set_running_loop(self.loop)  # a cell may have left another one
            if self.server is me:
                now.number = 0  # first: a signal from here on is not the request's any more, which lets go of what it was to be interrupted with
                self.delivery.over()

    def unlock(self):
        "Let the next requests be served while the one that calls this awaits. It keeps its context; later ones share a copy. The worker's thread."
        if self.task is not None: self.now.unlocked.add(self.task)
        self.context,self.task,self.now.number = self.context.copy(), None, 0
        self.context.run(current.set, None)
        self._serve_from_now()

    def soon(self, f, *args):
        "Call `f(*args)` on the loop; not at all if there is none yet, or it is closed. Any thread, and signal handlers."
        if self.loop is None: return
        with contextlib.suppress(RuntimeError): self.loop.call_soon_threadsafe(f, *args, context=contextvars.Context())

    def _ring(self): self.soon(self._rung)

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
        def attend(frame):
            if whose(frame) in ("user", "task"): self.serve_meanwhile()
            elif any(map(self.meanwhile, list(self.inbox))): again()  # our own code has to finish first, and this is in the middle of it
        now = self.now
        before = now.attend, now.wake
        now.attend,now.wake = attend, wake
        try:
            self.serve_meanwhile()
            yield
        finally: now.attend,now.wake = before

    async def await_cell(self, coro):
        "Await `coro` as a task of its own, which an interrupt can cancel, in the context that all cells share."
        box = []
        task = self.task = asyncio.Task(keep_result(coro, box), loop=self.loop, context=self.context)
        self.loop.call_soon(self._rung)  # what came before the cell began to await
        try:
            try: await task
            except asyncio.CancelledError:
                if not box: raise  # else it has cancelled all tasks, itself too, and come to its end
            result,error = box[0]
            if error: raise error
            return result
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
        self.soon(self.cancel, everything)

    def cancel(self, everything):
        "As `cancel_soon`, now; on the loop."
        if everything: tasks = asyncio.all_tasks(self.loop)
        else: tasks = [self.task] if self.task is not None else [] if self.now.number else list(self.now.unlocked)
        if self.task in tasks and not self.task.get_coro().cr_running: self.delivery.done()  # one that runs, and a loop inside, feels nothing of it
        for t in tasks: t.cancel(INTERRUPT)

    def frame(self): return sys._current_frames().get(self.ident)


@root_code
async def keep_result(coro, box):
    """Put (result, exception) of `coro` into `box`. A task would not tell if it was cancelled as it ended; KeyboardInterrupt would end the loop's run, and GeneratorExit, thrown
    into who awaits the task, would close all of its coroutines from within."""
    try: box.append((await coro, None))
    except asyncio.CancelledError: raise
    except BaseException as e: box.append((None, e))


def _cancel_once(tasks, *msg):
    for t in tasks:
        if not t.cancelling(): t.cancel(*msg)


@coroutine
def give_way():
    "Let the loop do what is due, as asyncio.sleep(0) does it."
    yield


def drive(coro):
    "Run `coro`, which awaits nothing, to its end; its result."
    try: coro.send(None)
    except StopIteration as e: return e.value
    raise RuntimeError(f"{coro} awaits, where nothing can be awaited")
