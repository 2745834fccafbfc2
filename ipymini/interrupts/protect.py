"""Protect room: whose code is interrupted, as the stack tells.

Owns the marks on functions of ours that run or wait for user code, `whose`, which reads them, and the interrupt that waits for our code to end.
Must not know: signals, threads, other rooms.
Threads: any; `whose` is called from signal handlers and takes no lock.
Spec: messaging, "Kernel interrupt"."""

import contextlib, importlib._bootstrap, logging, os, threading

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # the package
CELLS,WAITS,ROOTS = set(), set(), set()  # code objects of functions of ours
PENDING = []                             # if a thread is to be interrupted as soon as it leaves our code: its ident, and a function that gives the exception
NESTED = {}                              # the event loops that a thread's code runs inside each other, by its ident
LIB = os.path.dirname(os.path.dirname(logging.__file__))
DELICATE = {importlib._bootstrap._get_module_lock.__code__.co_filename, logging.__file__,  # files whose code takes locks that kernel threads need, too,
    contextlib.__file__,  # has entered what it does not yet know it must leave
    *(os.path.join(LIB, "asyncio", f"{name}.py") for name in ("base_events", "events", "futures", "runners", "tasks"))}  # or would lose a step of a nested loop
STDLIB,DEBUGGERS = os.path.dirname(os.__file__) + os.sep, set()  # folders; of debuggers those that are in use
WAIT = threading.Condition.wait.__code__
INTERRUPT = "interrupted by the user"    # the message of the CancelledError that an interrupt puts into an awaiting cell


def cell_code(f):
    "Mark `f` as a function of ours that calls into user code: what runs above it may be interrupted."
    CELLS.add(f.__code__)
    return f


def wait_code(f):
    "Mark `f` as one that may be interrupted itself where a cell or task has called it: it waits, or leaves nothing half done."
    WAITS.add(f.__code__)
    return f


def root_code(f):
    "Mark `f` as a function that runs an event loop, or a task: what runs above it is the loop, or the user's tasks."
    ROOTS.add(f.__code__)
    return f


def raise_pending():
    "Raise what this thread was to be interrupted with while it ran the function of ours that calls this as its last act."
    if PENDING[:1] != [threading.get_ident()]: return
    _,take = PENDING
    PENDING.clear()
    raise take()


def is_delicate(frame):
    """Is `frame` in the middle of code that an exception would leave in disorder for ever: a lock of the whole process locked, a task of a nested loop forgotten, an event
    of a debugger's never to be waited for again? Or would the exception reach nobody?"""
    return frame is not None and (frame.f_code.co_filename in DELICATE or frame.f_code is not WAIT and in_debugger(frame) or in_destructor(frame))


def in_destructor(frame):
    "Does a destructor run in `frame`, or has one called it? What comes out of that Python only shows."
    while frame is not None and frame.f_code not in CELLS:
        if frame.f_code.co_name == "__del__": return True
        frame = frame.f_back
    return False


def is_open(frame_of):
    """Can the thread whose frame `frame_of()` tells be interrupted from another one, by an exception that comes where it is? Looks twice: it may have gone on while its
    stack was read."""
    frame = frame_of()
    if frame is None: return True
    at = frame.f_lasti
    return not is_delicate(frame) and whose(frame) != "kernel" and frame_of() is frame and frame.f_lasti == at


def in_debugger(frame):
    "Is a debugger at work in `frame`, itself or with the help of the standard library? Not the code that it evaluates, a condition for one."
    if not DEBUGGERS: return False
    while frame is not None and is_stdlib(frame.f_code.co_filename): frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(tuple(DEBUGGERS))


def is_stdlib(filename): return filename.startswith(("<frozen ", STDLIB)) and "site-packages" not in filename


def package_of(frame):
    "The name of the package whose code runs in `frame`; empty if its module has no name, or one that is no text."
    name = frame.f_globals.get("__name__")
    return name.partition(".")[0] if isinstance(name, str) else ""


def whose(frame):
    """Who is interrupted in `frame`? "user": code that a cell runs, or a wait in its name. "task": the same for a task of the loop's.
    "kernel": code of ours, which must finish first. "loop": nobody, the event loop waits."""
    user = waits = False
    while frame is not None:
        code = frame.f_code
        if code in ROOTS: break
        if code in CELLS: return "user" if user or waits else "kernel"
        if code in WAITS and not waits: waits,user = True, False  # in whose name? what is further out tells
        elif code.co_filename.startswith(HERE):
            if not waits: return "kernel"
        else: user = user or package_of(frame) not in ("asyncio", "selectors")
        frame = frame.f_back
    return "task" if user else "kernel" if waits else "loop"
