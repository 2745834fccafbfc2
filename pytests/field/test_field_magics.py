"A magic that is used for the first time, which imports it: neither an interrupt nor another thread that needs it at the same time breaks that."
import os
from pathlib import Path
import pytest

from harness import Sub

PYTESTS = Path(__file__).resolve().parent.parent
FIRST = """import sys
sys.path.insert(0, {pytests!r})
from gaps import gaps, interrupted
from IPython.core import magic
ip = get_ipython()
manager = ip.magics_manager
spec = manager.magics[{kind!r}][{name!r}].spec
came = broken = 0
for f in (magic.MagicsManager.load_lazy, magic.MagicsManager._register, magic.Magics.__init__, magic.MagicsManager.find):
    for gap in gaps(f):
        for k in ('line', 'cell'):
            if {name!r} in manager.magics[k]: manager.magics[k][{name!r}] = magic.LazyMagic(manager, spec, k, {name!r})
        manager._loaded_lazy.discard(spec)
        came += interrupted(lambda: manager.find({kind!r}, {name!r}), gap)
        try: broken += isinstance(manager.find({kind!r}, {name!r}), magic.LazyMagic)
        except Exception: broken += 1
print(came > 5, broken)
"""


@pytest.mark.parametrize("kind,name", [("cell", "bash"), ("cell", "script"), ("line", "timeit"), ("line", "matplotlib"), ("line", "prun"), ("line", "history")])
def test_interrupt_of_the_first_use_of_a_magic(start, kind, name):
    "At each place where an interrupt can come out; the magic is there the next time."
    k = start()
    if k.execute(f"hasattr(get_ipython().magics_manager.magics[{kind!r}][{name!r}], 'spec')").ok().result == "False": return  # imported at the start
    assert k.execute(FIRST.format(pytests=str(PYTESTS), kind=kind, name=name)).ok().stdout == "True 0\n"
    if name == "bash": assert k.execute("%%bash\necho hi").ok().stdout == "hi\n"


BETWEEN = """import importlib, threading
ip = get_ipython()
found, real = [], importlib.import_module
def beside(): found.append(ip.find_magic({name!r}, {kind!r}))
def import_module(*args):
    if not args[0].startswith("IPython.core.magics"): return real(*args)
    importlib.import_module = real
    t = threading.Thread(target=beside)
    t.start()
    t.join(20)
    return real(*args)
importlib.import_module = import_module
mine = ip.find_magic({name!r}, {kind!r})
importlib.import_module is real, len(found), callable(mine), *map(callable, found)
"""


@pytest.mark.parametrize("kind,name", [("cell", "bash"), ("cell", "sh"), ("line", "killbgscripts"), ("cell", "timeit"), ("line", "matplotlib")])
def test_first_use_by_two_threads(start, kind, name):
    "Stand in the gap: one is about to import a magic when another thread asks for it, too."
    k = start()
    if k.execute(f"hasattr(get_ipython().magics_manager.magics[{kind!r}][{name!r}], 'spec')").ok().result == "False": return  # imported at the start
    assert k.execute(BETWEEN.format(kind=kind, name=name)).ok().result == "(True, 1, True, True)"
    if name == "bash":
        with Sub(k) as sub: assert [r.execute("%%bash\necho hi").ok().stdout for r in (k, sub)] == ["hi\n"] * 2


def test_magic_that_loads_another_one(start, tmp_path):
    "An extension asks for its own magic while it is loaded, and for another one, which a thread of it finds, too; one that fails is loaded the next time."
    (tmp_path / "extending.py").write_text(EXTENSION)
    k = start(env=dict(PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"))
    k.execute("ip = get_ipython()\nip.magics_manager.register_lazy('extended', 'extending')").ok()
    assert k.execute("%extended", stop_on_error=False).ename == "RuntimeError"
    assert k.execute("%extended").ok().stdout == "extended\n"
    assert k.execute("import extending; extending.begun, extending.found").ok().result == "(2, [True, True])"


EXTENSION = """begun, found = 0, []
def load_ipython_extension(ip):
    global begun
    begun += 1
    if begun == 1: raise RuntimeError('not yet')
    ip.magics_manager.load_lazy('extended')
    found.append(callable(ip.find_cell_magic('perl')))
    ip.register_magic_function(lambda line: print('extended'), 'line', 'extended')
    import threading
    t = threading.Thread(target=lambda: found.append(callable(ip.find_cell_magic('perl'))))
    t.start()
    t.join(20)
"""
