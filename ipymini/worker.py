"""Worker room: one thread that serves the requests of one subshell in order.

Owns the inbox, the bell, the asyncio loop that lives on between cells, the context that cells share, and what an interrupt does here.
Must not know: sockets, IPython, what a request means; it hands each message to `serve(msg)`, a coroutine function.
Threads: `put`, `stop` and `interrupt` may be called from any and from signal handlers, the rest runs on the worker's own.
Spec: JEP 91 (subshells); messaging, "Kernel interrupt"."""

import asyncio, contextvars, logging, threading
from collections import deque

from .frames import INTERRUPT, root_code, whose
from .loops import OURS

log = logging.getLogger("ipymini.worker")


class Worker:
    """Serves messages put into its inbox one after the other with `await serve(msg)`, on the thread that calls `run`. Those for which `meanwhile(msg)` are served, without
    awaiting anything, while a cell awaits."""

    def __init__(self, serve, meanwhile=lambda msg: False):
        self.serve,self.meanwhile,self.inbox = serve, meanwhile, deque()
        self.context,self.loop,self.task = contextvars.Context(), None, None
        self.thread,self.stopping,self.bell = None, False, None
        self.serving,self.served,self.repeated = 0, 0, 0  # the number of the request being served (0: none), of the last one, of the one to interrupt again

    def put(self, msg):
        "Queue `msg`; any thread."
        self.inbox.append(msg)
        if self.loop is not None: self._ring()

    def take(self, wanted):
        "Remove and return the queued messages for which `wanted(msg)`, in order; the others stay. The worker's thread only."
        msgs = [self.inbox.popleft() for _ in range(len(self.inbox))]  # what is put meanwhile stays behind them
        self.inbox.extendleft(m for m in reversed(msgs) if not wanted(m))
        return [m for m in msgs if wanted(m)]

    @root_code
    def run(self, ready=lambda: None):
        "Serve until `stop`. `ready()` is called when the loop exists. A KeyboardInterrupt that reaches the loop itself is not ours to die of."
        self.thread = threading.current_thread()
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        OURS.add(self.loop)
        self.bell = asyncio.Event()
        self.context.run(ready)
        server = self.loop.create_task(self._serve(), context=self.context)
        server.add_done_callback(lambda _: self.loop.stop())
        while not server.done():
            try: self.loop.run_forever()
            except (KeyboardInterrupt, SystemExit): log.info("a task ended with KeyboardInterrupt or SystemExit")
        server.result()

    async def _serve(self):
        self._ring()
        while not self.stopping:
            await self.bell.wait()
            self.bell.clear()
            while self.inbox and not self.stopping:
                self.serving = self.served = self.served + 1
                try: await self.serve(self.inbox.popleft())
                finally: self.serving = 0
                await asyncio.sleep(0)  # the user's tasks have their turn between two cells

    def _ring(self): self.loop.call_soon_threadsafe(self._rung)

    def _rung(self):
        self.bell.set()
        if self.task is not None: self.context.run(self._serve_meanwhile)

    def _serve_meanwhile(self):
        "Serve what need not wait for a cell that only awaits."
        for msg in self.take(self.meanwhile): drive(self.serve(msg))

    async def await_cell(self, coro):
        "Await `coro` as a task of its own, which an interrupt can cancel, in the context that all cells share."
        self.task = self.loop.create_task(coro, context=self.context)
        self.loop.call_soon(self._rung)  # what came before the cell began to await
        try: return await self.task
        finally: self.task = None

    def stop(self):
        "End `run` after the request that is being served; any thread."
        self.stopping = True
        if self.loop is not None: self._ring()

    def cancel_soon(self):
        "Cancel the cell that awaits; any thread, and signal handlers."
        self.loop.call_soon_threadsafe(self._cancel)

    def _cancel(self):
        if self.task is not None: self.task.cancel(INTERRUPT)

    def on_signal(self, frame, again):
        "The interrupt itself, on this worker's thread. KeyboardInterrupt in user code; `again(number)` is called if our own code has to finish first."
        meant,self.repeated = self.repeated, 0
        if self.loop is None or meant not in (0, self.serving): return  # repeated, but that request is over
        who = whose(frame)
        if who == "user": raise KeyboardInterrupt
        if self.task is not None: self.cancel_soon()
        elif self.serving and who == "kernel": again(self.serving)



def drive(coro):
    "Run `coro`, which awaits nothing, to its end; its result."
    try: coro.send(None)
    except StopIteration as e: return e.value
    raise RuntimeError(f"{coro} awaits, where nothing can be awaited")
