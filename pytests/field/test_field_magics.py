"An interrupt while a magic is used for the first time, which imports it, does not break that for good."
from pathlib import Path
import pytest

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
