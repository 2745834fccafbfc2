"""The house rules of ipymini/, read from the source alone: who may import whom, who may import what, how big a room may be.
`faults` is pure: module name and source in, complaints out. Threads: the caller's. Spec: none (DEV.md, "Rooms")."""
import ast, sys
from pathlib import Path
import pytest

here = Path(__file__).resolve().parents[1]
house = here.parent/"ipymini"
package = house.name

# imports point down: a wing may import from any line below its own
floors = """
__main__
kernel
bridge kernelspec
debug
ipython serve
capture wire
interrupts
process request"""
# and so do they inside a wing: from any group (between two bars) behind a room's own
wings = dict(  # chkstyle: ignore-node (a table)
    debug      = "debugger | adapter variables",
    ipython    = "config | shell | compat history errors magics | comms gui tracebacks cell_names",
    serve      = "subshells detours | worker",
    capture    = "patches | children keyboard nested_loops stdin | fds",
    wire       = "early | sockets | outbox info | lines messages",
    interrupts = "signals | deliver handlers | budget | protect",
    process    = "ending life | threads processes sealed | dying outset",
    request    = "replies | fields scope | flags")
floor = {wing: n for n,names in enumerate(floors.split("\n")) for wing in names.split()}
level = {f"{wing}.{room}": (floor[wing], n) for wing,groups in wings.items() for n,names in enumerate(groups.split("|")) for room in names.split()}
level |= {room: (n, 0) for room,n in floor.items() if room not in wings}

# rooms that only these may import
fitters = {"kernel", "bridge", "ipython.shell"}
only_for = {"kernelspec": {"__main__"}, "ipython.compat": fitters, "ipython.magics": fitters, "ipython.gui": fitters}

# third-party packages and the wings that may import them; anything else must be of the standard library
ipython = {"ipython", "bridge", "capture"}
homes = dict(zmq={"wire"}, IPython=ipython, comm=ipython, traitlets=ipython, matplotlib_inline=ipython, debugpy={"debug"}, ptyprocess={"ipython"}, pygments={"ipython"},
    stack_data={"ipython"}, jupyter_client={"kernelspec", "__main__"}, jupyter_core={"kernelspec", "__main__"})

max_room,max_function,max_attributes = 400,40,12
func_nodes = ast.FunctionDef, ast.AsyncFunctionDef

def calls_import(node):
    "The constant name of an `import_module(name)` or `__import__(name)` call, relative names made absolute, else None."
    if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)): return None
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    if name not in ("import_module", "__import__"): return None
    target = str(node.args[0].value)
    return package + target if target.startswith(".") else target

def base_of(room, node):
    "Absolute dotted name of what an ImportFrom in `room` names before its `import`."
    if not node.level: return node.module
    parts = [package, *room.split(".")]
    return ".".join([*parts[:len(parts) - node.level], *filter(None, [node.module])])

def imported(room, tree):
    "(line, dotted name) of each import anywhere in `tree`; names brought in from the package or a wing count as rooms."
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): yield from ((node.lineno, a.name) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = base_of(room, node)
            if base == package or base.removeprefix(package + ".") in wings:
                yield from ((node.lineno, f"{base}.{a.name}") for a in node.names if a.name != "__version__")
            else: yield node.lineno, base
        elif name := calls_import(node): yield node.lineno, name

def rooms_of(room, tree): return {name.partition(".")[2] for _,name in imported(room, tree) if name.startswith(package + ".")}

def wing_of(room): return room.partition(".")[0]

def direction_fault(room, target):
    "Why `room` may not import room `target`, or None."
    if target not in level: return f"imports {target}, which has no place in the table"
    if room not in level: return None  # complained of already; or the package itself, whose imports run late
    if room not in only_for.get(target, {room}): return f"imports {target}, which is only for {', '.join(sorted(only_for[target]))}"
    (f,n),(g,m) = level[room], level[target]
    if f < g or (wing_of(room) == wing_of(target) and n < m): return None
    return f"imports {target}, which is {'above' if (g, m) < (f, n) and (g < f or wing_of(room) == wing_of(target)) else 'beside'} it"

def import_faults(room, tree):
    for line,name in imported(room, tree):
        top,_,rest = name.partition(".")
        if top == package:
            fault = direction_fault(room, rest) if rest else "imports the package: import its rooms"
            if fault: yield line, fault
        elif top in sys.stdlib_module_names: continue
        elif top not in homes: yield line, f"imports {top}, which has no home in the table"
        elif wing_of(room) not in homes[top]: yield line, f"imports {top}, whose home is {', '.join(sorted(homes[top]))}"

def late_faults(room, tree):
    "The package itself imports its rooms only when called: everybody imports the package first."
    if room != "__init__": return
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, func_nodes) for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in inside: yield node.lineno, "imports before it is called"

def docstring_faults(tree):
    doc = ast.get_docstring(tree) or ""
    for word in ("Threads:", "Spec:"):
        if word not in doc: yield 1, f"has no room docstring with {word}"

def length_faults(source, tree):
    n = len(source.splitlines())
    if n > max_room: yield n, f"is {n} lines long (at most {max_room})"
    for f in ast.walk(tree):
        if not isinstance(f, func_nodes): continue
        n = f.end_lineno - f.lineno + 1
        if n > max_function: yield f.lineno, f"{f.name} is {n} lines long (at most {max_function})"

def is_dataclass(cls):
    named = [d.func if isinstance(d, ast.Call) else d for d in cls.decorator_list] + cls.bases
    return any((n.attr if isinstance(n, ast.Attribute) else getattr(n, "id", "")) in ("dataclass", "NamedTuple") for n in named)

def own_nodes(cls):
    "Nodes of `cls`, without those of classes inside it."
    todo = list(cls.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.ClassDef): continue
        yield node
        todo.extend(ast.iter_child_nodes(node))

def attributes(cls):
    "Names that `cls` sets on self anywhere, and its fields if it is a dataclass."
    selves = {f.args.args[0].arg for f in cls.body if isinstance(f, func_nodes) and f.args.args}
    names = {n.attr for n in own_nodes(cls) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)
        and isinstance(n.value, ast.Name) and n.value.id in selves}
    if is_dataclass(cls): names |= {n.target.id for n in cls.body if isinstance(n, ast.AnnAssign)}
    return names

def attribute_faults(tree):
    for cls in ast.walk(tree):
        if not isinstance(cls, ast.ClassDef): continue
        names = attributes(cls)
        if len(names) > max_attributes: yield cls.lineno, f"{cls.name} has {len(names)} attributes (at most {max_attributes}): {sorted(names)}"

def faults(room, source):
    "Every complaint about `source` as room `room`, as 'room:line what' strings."
    tree = ast.parse(source)
    found = [*import_faults(room, tree), *late_faults(room, tree), *docstring_faults(tree), *length_faults(source, tree), *attribute_faults(tree)]
    if room not in level and room != "__init__": found.append((1, "has no place in the table"))
    return [f"{room}:{line} {what}" for line,what in sorted(found)]

def cycle(graph):
    "A cycle of rooms in `graph` (room to the rooms it imports) as a list that ends where it starts, or None."
    done = set()
    def visit(room, path):
        if room in path: return path[path.index(room):] + [room]
        if room in done: return None
        found = next(filter(None, (visit(r, [*path, room]) for r in sorted(graph.get(room, ())))), None)
        done.add(room)
        return found
    return next(filter(None, (visit(r, []) for r in sorted(graph))), None)

def name_of(path): return ".".join(path.relative_to(house).with_suffix("").parts)

sources = {name_of(p): p.read_text(encoding="utf-8") for p in sorted(house.rglob("*.py")) if p.name != "__init__.py" or p.parent == house}

def test_there_is_a_house(): assert "__init__" in sources and len(sources) > 1

def test_all_have_a_place(): assert set(sources) == set(level) | {"__init__"}

@pytest.mark.parametrize("wing", wings)
def test_wing(wing):
    "A wing says what it is, and does nothing: who imports a room of it pays for that alone."
    tree = ast.parse((house/wing/"__init__.py").read_text(encoding="utf-8"))
    assert len(tree.body) == 1 and ast.get_docstring(tree)

@pytest.mark.parametrize("room", sources)
def test_room(room): assert faults(room, sources[room]) == []

def test_no_cycles(): assert cycle({room: rooms_of(room, ast.parse(src)) - {room} for room,src in sources.items()}) is None

# the checker itself

doc = '"""A room. Threads: none. Spec: none."""\n'

def complaints(room, source): return [f.partition(" ")[2] for f in faults(room, doc + source)]

@pytest.mark.parametrize("room,source", [
    ("kernel",         "from .bridge import Bridge\nfrom .wire import messages\nfrom .ipython import compat"),
    ("bridge",         "import IPython, comm, json\nfrom IPython.core import release\nfrom . import __version__"),
    ("bridge",         "from ipymini.capture.patches import a\nimport ipymini.request.scope"),
    ("wire.sockets",   "import zmq, threading\nfrom zmq.utils import z85\nfrom .messages import Msg\nfrom ..request import scope"),
    ("wire.info",      "from .. import __version__"),
    ("__main__",       "from . import kernel, kernelspec"),
    ("ipython.compat", "from . import comms"),
    ("__init__",       "def run_kernel():\n    from .kernel import Kernel\n    return Kernel()"),
    ("debug.adapter",  "def client():\n    import debugpy\n    return debugpy"),
])
def test_good_room(room, source): assert complaints(room, source) == []

ipython_homes = "imports IPython, whose home is bridge, capture, ipython"

@pytest.mark.parametrize("room,source,what", [
    ("wire.messages",   "from ..kernel import Kernel",                  "imports kernel, which is above it"),
    ("wire.messages",   "from . import lines",                          "imports wire.lines, which is beside it"),
    ("wire.messages",   "from ..capture import fds",                    "imports capture.fds, which is beside it"),
    ("wire.messages",   "from .sockets import Channels",                "imports wire.sockets, which is above it"),
    ("ipython.comms",   "from . import compat",                         "imports ipython.compat, which is only for bridge, ipython.shell, kernel"),
    ("capture.patches", "from ipymini.ipython import comms",            "imports ipython.comms, which is above it"),
    ("capture.fds",     "import ipymini.serve.worker",                  "imports serve.worker, which is above it"),
    ("bridge",          "def f():\n    from .kernel import x\n    return x", "imports kernel, which is above it"),
    ("bridge",          "import importlib\nimportlib.import_module('.kernel', 'ipymini')", "imports kernel, which is above it"),
    ("bridge",          "__import__('ipymini.kernel')",                 "imports kernel, which is above it"),
    ("ipython.shell",   "from ..serve.worker import Worker",            "imports serve.worker, which is beside it"),
    ("bridge",          "import ipymini",                               "imports the package: import its rooms"),
    ("bridge",          "from .cellar import wine",                     "imports cellar, which has no place in the table"),
    ("kernel",          "from . import kernelspec",                     "imports kernelspec, which is only for __main__"),
    ("serve.worker",    "from ..ipython.magics import run",             "imports ipython.magics, which is only for bridge, ipython.shell, kernel"),
    ("__init__",        "from .kernel import Kernel",                   "imports before it is called"),
    ("kernel",          "import zmq",                                   "imports zmq, whose home is wire"),
    ("serve.worker",    "from zmq.utils import jsonapi",                "imports zmq, whose home is wire"),
    ("serve.worker",    "from IPython import get_ipython",              ipython_homes),
    ("kernel",          "import comm",                                  ipython_homes.replace("IPython", "comm")),
    ("bridge",          "import debugpy",                               "imports debugpy, whose home is debug"),
    ("wire.sockets",    "import jupyter_client",                        "imports jupyter_client, whose home is __main__, kernelspec"),
    ("wire.messages",   "from jupyter_core.paths import x",             "imports jupyter_core, whose home is __main__, kernelspec"),
    ("kernel",          "import tornado",                               "imports tornado, which has no home in the table"),
    ("cellar",          "x = 1",                                        "has no place in the table"),
])
def test_bad_import(room, source, what): assert complaints(room, source) == [what]

def test_docstring_is_asked_for():
    assert faults("wire.messages", "x = 1") == ["wire.messages:1 has no room docstring with Spec:", "wire.messages:1 has no room docstring with Threads:"]
    assert faults("wire.messages", '"Messages room. Threads: any."') == ["wire.messages:1 has no room docstring with Spec:"]

def test_long_room():
    assert complaints("wire.messages", "\n" * (max_room - 1)) == []
    assert complaints("wire.messages", "\n" * max_room) == [f"is {max_room + 1} lines long (at most {max_room})"]

def test_long_function():
    body = lambda n: "class A:\n    async def f(self):\n" + "        x = 1\n" * (n - 1)
    assert complaints("wire.messages", body(max_function)) == []
    assert complaints("wire.messages", body(max_function + 1)) == [f"f is {max_function + 1} lines long (at most {max_function})"]

def class_of(n): return "class A:\n    def __init__(me):\n" + "".join(f"        me.a{i} = {i}\n" for i in range(n))

def test_many_attributes():
    assert complaints("wire.messages", class_of(max_attributes) + "        me.a0 += 1\n        me.b.c = 2\n") == []
    names = sorted(f"a{i}" for i in range(max_attributes)) + ["z"]
    assert complaints("wire.messages", class_of(max_attributes) + "    def g(s): s.z = 1\n") == [
        f"A has 13 attributes (at most {max_attributes}): {names}"]

@pytest.mark.parametrize("assign", ["self.z: int = 1", "self.y, (self.z, x) = 1, (2, 3)", "with open('f') as self.z: x = 1", "for self.z in (): x = 1"])
def test_every_assignment_counts(assign):
    source = "class A:\n    def f(self):\n        " + assign
    assert "z" in attributes(ast.parse(source).body[0])

def test_dataclass_fields_count():
    fields = "".join(f"    a{i}: int = 0\n" for i in range(max_attributes + 1))
    assert [c.split(":")[0] for c in complaints("wire.messages", f"@dataclass(slots=True)\nclass A:\n{fields}")] == ["A has 13 attributes (at most 12)"]
    assert complaints("wire.messages", f"class A:\n{fields}") == []

def test_inner_class_has_its_own_count():
    inner = "".join(f"            self.b{i} = {i}\n" for i in range(7))
    assert complaints("wire.messages", class_of(7) + "    class B:\n        def __init__(self):\n" + inner) == []

def test_cycle_is_found():
    assert cycle(dict(a={"b"}, b={"c"}, c={"b"})) == ["b", "c", "b"]
    assert cycle(dict(a={"b", "c"}, b={"c"}, c=set())) is None
