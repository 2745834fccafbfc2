"A failed cell has one error message, whose content its reply repeats, whatever else is broken while it is rendered; the kernel goes on. Spec: messaging, Execution errors."
import pytest

GROUPS = dict(
    group    = "raise ExceptionGroup('g', [ValueError(1), ExceptionGroup('inner', [KeyError(2)])])",
    base     = "raise BaseExceptionGroup('b', [KeyboardInterrupt()])",
    context  = "try: raise ExceptionGroup('g', [ValueError(1)])\nexcept* ValueError: 1/0",
    cause    = "try: raise ExceptionGroup('g', [ValueError(1)])\nexcept ExceptionGroup as e: raise KeyError('k') from e",
    tasks    = "import asyncio\nasync def fails(): 1/0\nasync with asyncio.TaskGroup() as g: g.create_task(fails())",
    deep     = "def raises():\n    raise ExceptionGroup('g', [ValueError(1)])\nraises()")


def one_error(run):
    "The only output, an error; the reply has it, too."
    assert run.status == "error" and run.kinds == ["busy", "execute_input", "error", "idle"], run
    assert {k: run.content[k] for k in ("ename", "evalue", "traceback")} == run.error, run
    return "\n".join(run.error["traceback"])


@pytest.mark.parametrize("code", GROUPS.values(), ids=GROUPS)
def test_exception_group(kernel, code):
    "Rendered as Python does, without frames of the kernel and of IPython."
    text = one_error(kernel.execute(code))
    assert "Traceback (most recent call last)" in text and "ExceptionGroup" in text and "interactiveshell" not in text and "/ipymini/" not in text


RENDER = dict(
    syntax       = "1 +",
    inner_syntax = "eval('1 +')",
    render       = "class E(Exception):\n    def _render_traceback_(self): 1/0\nraise E('x')",
    str_fails    = "class E(Exception):\n    def __str__(self): 1/0\nraise E('x')",
    repr_fails   = "class E(Exception):\n    def __repr__(self): 1/0\nraise E('x')",
    group_str    = "class E(Exception):\n    def __str__(self): 1/0\nraise ExceptionGroup('g', [E('x')])",
    recursion    = "def f(): f()\nf()",
    no_traceback = "class E(Exception):\n    __traceback__ = None\nraise E('x')",
    interrupted  = "class E(Exception):\n    def _render_traceback_(self): raise KeyboardInterrupt\nraise E('x')",
    exits        = "class E(Exception):\n    def _render_traceback_(self): raise ValueError('y')\nraise E('x')")


@pytest.mark.parametrize("code", RENDER.values(), ids=RENDER)
def test_error_that_cannot_be_rendered_as_others(kernel, code): one_error(kernel.execute(code))


BROKEN = dict(
    linecache        = "import linecache\nlinecache.getlines = None",
    getline          = "import linecache\nlinecache.getline = linecache.checkcache = linecache.updatecache = None",
    traceback        = "import traceback\nfor n in list(vars(traceback)):\n    if not n.startswith('__'): setattr(traceback, n, None)",
    inspect          = "import inspect\nfor n in ('getsourcefile', 'getmodule', 'getabsfile', 'findsource', 'getsourcelines', 'unwrap'): setattr(inspect, n, None)",
    ultratb          = "import IPython.core.ultratb as u\nu.VerboseTB.structured_traceback = u.ListTB.structured_traceback = u.FormattedTB.structured_traceback = None",
    stack_data       = "import stack_data\nstack_data.FrameInfo = None",
    interactive_tb   = "get_ipython().InteractiveTB = None",
    excepthook       = "import sys\nsys.excepthook = None",
    displayhook      = "import sys\nsys.displayhook = None",
    no_stdout        = "import sys\nsys.stdout = None",
    no_stderr        = "import sys\nsys.stderr = None",
    deleted_stdout   = "import sys\ndel sys.stdout, sys.stderr",
    closed_stdout    = "import sys\nsys.stdout.close()\nsys.stderr.close()",
    print            = "import builtins\nbuiltins.print = None",
    shows            = "get_ipython().showtraceback = None",
    formatter        = "get_ipython().display_formatter = None",
    storage          = "get_ipython()._format_exception_for_storage = None",
    events           = "get_ipython().events.trigger = None",
    callback         = "def fails(*args): raise ValueError\nfor e in ('pre_execute', 'pre_run_cell'): get_ipython().events.register(e, fails)",
    pygments         = "import sys\nfor n in [n for n in sys.modules if n.startswith('pygments')]: sys.modules[n] = None",
    audit            = "import sys\ndef hook(event, args):\n    if on and event in ('open', 'compile', 'object.__getattr__', 'sys._getframe', 'exec'): raise RuntimeError(event)\non = False\nsys.addaudithook(hook)\non = True")


@pytest.mark.parametrize("how", BROKEN)
def test_error_while_something_is_broken(start, how):
    "The failing cell is answered with an error, and so are those after it; the kernel lives."
    k = start()
    k.execute(BROKEN[how])
    for _ in range(2):
        run = k.execute("1/0")
        assert run.status == "error" and run.content["ename"], run
    assert k.request("kernel_info_request", channel="control").status == "ok"
