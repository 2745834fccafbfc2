"Whose code is interrupted: stacks built by real calls, each function made in the file and module that the case names."
import functools, sys, threading, types

import pytest

from harness import wait_until
import ipymini.interrupts.protect as frames
from ipymini.interrupts.protect import HERE, cell_code, is_delicate, root_code, wait_code, whose

KINDS = dict(  # what a stack is made of: file name, module name, mark
    user=("/home/me/code.py", "code", None), cell=("/tmp/ipymini_1/2.py", "__main__", None), numpy=("/lib/numpy/core.py", "numpy.core", None),
    asyncio=("/lib/asyncio/events.py", "asyncio.events", None), selectors=("/lib/selectors.py", "selectors", None),
    nameless=("<string>", None, None), misnamed=("<string>", 7, None), ipython=("/lib/IPython/core/interactiveshell.py", "IPython.core.interactiveshell", None),
    ours=(HERE + "wire.py", "ipymini.wire.messages", None), run_cell=(HERE + "bridge.py", "ipymini.bridge", cell_code),
    ask=(HERE + "kernel.py", "ipymini.kernel", wait_code), root=(HERE + "worker.py", "ipymini.serve.worker", root_code))


@pytest.fixture(autouse=True)
def marks(monkeypatch):
    "Marks that end with the test."
    for name in ("CELLS", "WAITS", "ROOTS"): monkeypatch.setattr(frames, name, set())


def make(kind):
    "A function of that kind which calls the next of the stack; the last one asks."
    file,module,mark = KINDS[kind]
    code = compile(f"def {kind}(*rest): return rest[0](*rest[1:]) if rest else verdict()", file, "exec")  # of another name: equal codes are one mark
    scope = dict(verdict=lambda: whose(sys._getframe(1))) | ({"__name__": module} if module else {})
    exec(code, scope)
    return mark(scope[kind]) if mark else scope[kind]


def whose_of(*stack):
    "Who is interrupted in the last function of `stack`, which is given from the outermost in."
    fs = [make(k) for k in stack]
    return fs[0](*fs[1:])


STACKS = [  # chkstyle: ignore-node (a table)
    ("root asyncio selectors", "loop"), ("root asyncio", "loop"), ("root", "loop"),
    ("root asyncio ours", "kernel"), ("root asyncio ours run_cell", "kernel"), ("root asyncio ours run_cell ipython", "user"),
    ("root asyncio ours run_cell ipython cell", "user"), ("root asyncio ours run_cell ipython cell numpy", "user"),
    ("root asyncio ours run_cell nameless", "user"), ("root asyncio ours run_cell misnamed", "user"),
    ("root asyncio ours run_cell ipython cell ours", "kernel"), ("root asyncio ours run_cell ipython cell ours numpy", "kernel"),
    ("root asyncio ours run_cell ipython cell ours ask", "user"), ("root asyncio ours run_cell ipython cell ours ask user", "user"),
    ("root asyncio ours ipython", "kernel"), ("root asyncio ask", "kernel"), ("root asyncio ours ask", "kernel"), ("root asyncio ours ask numpy", "kernel"), ("root asyncio cell ask", "task"),
    ("root asyncio ours run_cell ask", "user"), ("root asyncio ours run_cell ipython cell ours ask ours", "kernel"), ("root asyncio cell ours ask ask", "task"),
    ("root asyncio user", "task"), ("root asyncio cell", "task"), ("root asyncio cell ours", "kernel"),
    ("root asyncio user asyncio selectors", "task"), ("root asyncio ours run_cell ipython cell asyncio selectors", "user"),
    ("root asyncio ours run_cell asyncio selectors", "kernel")]


@pytest.mark.parametrize("stack,want", STACKS)
def test_whose(stack, want): assert whose_of(*stack.split()) == want


def test_no_frame(): assert whose(None) == "loop"


def test_marks_are_of_the_function():
    "A mark gives back the function; another function of the same source is not marked."
    def f(): pass
    assert cell_code(f) is f and frames.CELLS == {f.__code__}
    assert types.FunctionType(f.__code__, {}).__code__ in frames.CELLS and (lambda: None).__code__ not in frames.CELLS


CODE = {name: compile(f"def {name}(then): return then()", f"{folder}/{name}.py", "exec") for name,folder in dict(evaluated="/home/me", pydevd="/lib/debugpy", get="/lib/debugpy").items()}


@pytest.mark.parametrize("stack,delicate", [("evaluated", False), ("pydevd", True), ("pydevd wait", False), ("pydevd __enter__", True), ("evaluated __enter__", False),
    ("pydevd evaluated", False), ("pydevd evaluated wait", False), ("evaluated pydevd get __enter__", True)])
def test_in_a_debugger(monkeypatch, stack, delicate):
    "A thread may be hit where a debugger lets it wait, not where that takes and gives back the locks of an event: nobody could wait for it any more."
    verdict, event = [], threading.Event()
    def ask(): verdict.append(is_delicate(sys._getframe(1)))
    lock = types.SimpleNamespace(acquire=None, release=None, __enter__=ask)
    ends = dict(wait=functools.partial(event.wait, 10), __enter__=threading.Condition(lock).__enter__)
    *names, end = stack.split() if stack.split()[-1] in ends else [*stack.split(), ""]
    monkeypatch.setattr(frames, "DEBUGGERS", {"/lib/debugpy/"})
    run = ends.get(end, ask)
    for name in reversed(names):
        scope = {}
        exec(CODE[name], scope)
        run = functools.partial(scope[name], run)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if end == "wait":
        wait_until(lambda: sys._current_frames()[thread.ident].f_code is frames.WAIT)
        verdict.append(is_delicate(sys._current_frames()[thread.ident]))
    event.set()
    thread.join(10)
    assert verdict == [delicate]
