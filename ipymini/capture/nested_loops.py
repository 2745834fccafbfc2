"""Nested loops room: `asyncio.run` and `run_until_complete` in a cell, whose thread runs a loop already.

Owns the set of our own loops, and how a second one runs while ours is blocked by the cell that calls it anyway.
Must not know: requests, IPython, other rooms but frames.
Threads: a worker's own; loops of other threads are left alone.
Spec: none; asyncio's documentation, "Runners" and "Event Loop"."""

import asyncio, contextlib, functools, weakref
from _thread import get_ident
from asyncio import events, tasks

from ..interrupts.protect import NESTED, wait_code

OURS = weakref.WeakSet()  # the loops of workers


def ours():
    "The running loop of this thread if it is one of ours, else None."
    loop = events._get_running_loop()
    return loop if loop in OURS else None


def hide_task(task):
    "Let `asyncio.all_tasks()` not list `task`: who cancels or awaits all tasks means his own."
    tasks._unregister_task(task)


def on_signal(loop, signum):
    "Let `loop` do what `add_signal_handler` has told it: the bytes of signals are the kernel's to read. Any thread."
    if signum in getattr(loop, "_signal_handlers", ()):
        with contextlib.suppress(RuntimeError): loop.call_soon_threadsafe(loop._handle_signal, signum)


def refuse_to_run(loop):
    "Let `loop.run_forever()` fail, as `loop` will run all the time: Python 3.13 fails, too, but forgets that it runs, and lets itself be closed."
    def run_forever(): raise RuntimeError("This event loop is already running")
    with contextlib.suppress(AttributeError): loop.run_forever = run_forever  # one of uvloop's has no room for it, and no need


@contextlib.contextmanager
def inside(loop):
    "Inside, this thread runs `loop`: an interrupt from another thread has to wake it."
    loops = NESTED.setdefault(get_ident(), [])
    loops.append(loop)
    try: yield
    finally:
        loops.remove(loop)
        if not loops: NESTED.pop(get_ident(), None)


@contextlib.contextmanager
def aside(loop):
    "Let `loop`, and the task that it runs, step aside: inside, this thread has no running loop."
    task = asyncio.current_task(loop)
    if task is not None: tasks._leave_task(loop, task)
    events._set_running_loop(None)
    try: yield
    finally:
        events._set_running_loop(loop)
        events.set_event_loop(loop)
        if task is not None: tasks._enter_task(loop, task)


@wait_code
def step_until(loop, future):
    "Run our own `loop` from inside itself until `future` is done; its result. Background tasks go on meanwhile."
    future = asyncio.ensure_future(future, loop=loop)
    rest = len(loop._ready)  # handles that the outer iteration still means to run: it must find as many
    with aside(loop):
        events._set_running_loop(loop)
        try:
            while not future.done(): loop._run_once()
        finally:
            while len(loop._ready) < rest: loop.call_soon(lambda: None)
    return future.result()


def may_nest(original):
    "`original` (asyncio.run, Runner.run, run_forever), which refuses to run beside a running loop, for use beside ours."
    @wait_code
    def run(*args, **kwargs):
        loop = ours()
        if loop is None: return original(*args, **kwargs)
        with aside(loop): return original(*args, **kwargs)
    return functools.wraps(original)(run)


def until_complete(original):
    "`original` (run_until_complete), also on the loop that runs the cell."
    @wait_code
    def run_until_complete(self, future):
        loop = ours()
        if loop is self: return step_until(self, future)
        with inside(self), contextlib.nullcontext() if loop is None else aside(loop): return original(self, future)
    return functools.wraps(original)(run_until_complete)


def patches():
    "(owner, name, replacement, reason) rows for capture's table."
    base,runner = asyncio.base_events.BaseEventLoop, asyncio.Runner
    why = "notebooks call it where a loop runs already"
    return [(asyncio, "run", may_nest(asyncio.run), why), (asyncio.runners, "run", may_nest(asyncio.runners.run), why),
        (runner, "run", may_nest(runner.run), why), (base, "run_until_complete", until_complete(base.run_until_complete), why)]
