"Which frames a traceback shows, and that quicker colours are the same colours."
import pytest, subprocess, sys, types
from pygments.formatters.terminal256 import Terminal256Formatter, TerminalTrueColorFormatter
from pygments.lexers import PythonLexer
from pygments import highlight
from pygments.styles import get_style_by_name

from ipymini.ipython.tracebacks import STYLES, chain, cut, once_a_style

CODE = "@f\ndef f(x: int) -> str:\n    'text'\n    return f'{x!r}' + str(1.5)  # why\n"


def shown(formatter, **options): return highlight(CODE, PythonLexer(), formatter(**options))


def quick(formatter): return type("Quick", (formatter,), dict(_setup_styles=once_a_style(formatter._setup_styles)))


@pytest.mark.parametrize("formatter", [Terminal256Formatter, TerminalTrueColorFormatter])
def test_colours_are_the_same(formatter):
    "Whatever was computed before: each style and each option has its own."
    quicker = quick(formatter)
    for options in [dict(style=s) | o for s in ("default", "monokai", "default") for o in ({}, dict(nobold=True), dict(noitalic=True), dict(nounderline=True))]:
        assert shown(quicker, **options) == shown(formatter, **options) == shown(quicker, **options)


def test_formatters_are_apart():
    "One that inherits another's method computes its own colours."
    quicker = quick(Terminal256Formatter)
    mute = type("Mute", (quicker,), dict(_color_index=lambda self, color: 0))
    assert shown(quicker) != shown(mute) == shown(type("Mute", (Terminal256Formatter,), dict(_color_index=lambda self, color: 0)))


def test_colours_are_computed_once():
    "And for some styles only: more than a session has."
    made = []
    def setup(self): made.append(self.style) or Terminal256Formatter._setup_styles(self)
    quicker = type("Quick", (Terminal256Formatter,), dict(_setup_styles=once_a_style(setup)))
    styles = [type(f"Style{i}", (get_style_by_name("default"),), {}) for i in range(STYLES + 2)]
    for s in styles * 2: quicker(style=s)
    assert made == styles + styles[STYLES:]


def test_chain():
    "Each once, though they come from each other."
    a, b = ValueError("a"), KeyError("b")
    a.__context__, b.__cause__ = b, a
    assert list(chain(a)) == [a, b] and list(chain(None)) == []


def tb_of(*names):
    "A traceback through functions of modules of these names, from the outside in."
    def call(rest):
        ns = {} if not rest else {"__name__": rest[0]}
        exec("def call(rest, f): return f(rest) if rest else 1/0", ns)
        return ns["call"](rest[1:], call)
    try: call(names)
    except ZeroDivisionError as e: tb = e.__traceback__
    return types.SimpleNamespace(tb=tb, names=lambda: [n for n in walk(tb) if n != __name__])


def walk(tb):
    while tb is not None:
        yield tb.tb_frame.f_globals.get("__name__")
        tb = tb.tb_next


@pytest.mark.parametrize("names,left", [(["cell", "asyncio.events"], ["cell"]), (["cell", "asyncio", "cell", "bdb", "asyncio"], ["cell", "asyncio", "cell", "bdb"]),
    (["cell"], ["cell"]), (["cell", 7, "asyncio"], ["cell", 7]), (["cell", "asyncio", None], ["cell", "asyncio", None])])
def test_cut(names, left):
    "The end only, and a module's name may be anything."
    t = tb_of(*names)
    cut(t.tb, "asyncio")
    assert t.names() == left


TOGETHER = """import importlib._bootstrap, sys, threading, time
from importlib.machinery import PathFinder
from ipymini.ipython import tracebacks
waits = importlib._bootstrap._get_module_lock.__code__.co_filename
got, late = [], threading.Thread(target=lambda: load())
def load():
    tracebacks.load_pygments()
    from pygments.lexers import PythonLexer
    got.append(PythonLexer)
class Slow:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != 'pygments.lexers': return None
        spec = PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def exec_module(module):
            late.start()
            while not late.ident or sys._current_frames()[late.ident].f_code.co_filename != waits: time.sleep(0.001)
            run(module)
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Slow)
load()
late.join()
assert len(got) == 2, got"""


def test_lexers_on_two_threads():
    "Stand in the gap: a second thread wants pygments' lexers while the first one imports them, and waits for that."
    subprocess.run([sys.executable, "-c", TOGETHER], check=True, timeout=60)
