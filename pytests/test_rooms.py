"""The house rules of ipymini/, read from the source alone: who may import whom, who may import what, how big a room may be.
`faults` is pure: module name and source in, complaints out. Threads: the caller's. Spec: none (DEV.md, "Rooms")."""
import ast, sys
from pathlib import Path
import pytest

here = Path(__file__).resolve().parent
house = here.parent/"ipymini"
package = house.name

# imports point down: a room may import from any line below its own
plan = """
__main__
kernel
early subshells life
bridge debugger worker channels
config
shell
capture comms history errors dap compat magics eventloops kernelspec
children keyboard signals
fds handlers
info stdin loops detours deliver variables tracebacks outbox ending
budget
lane lines
answers cells frames processes sealed
requests scope wire
flags dying outset"""
level = {room: n for n,rooms in enumerate(plan.split("\n")) for room in rooms.split()}

# neighbours on one level that may import each other, in this direction
beside = {("compat", "comms")}

# rooms that only these may import
fitters = {"kernel", "bridge", "shell"}
only_for = dict(kernelspec={"__main__"}, compat=fitters, magics=fitters, eventloops=fitters)

# third-party packages and the rooms that may import them; anything else must be of the standard library
ipython = {"bridge", "shell", "history", "errors", "config", "capture", "comms", "keyboard", "magics", "compat", "eventloops"}
homes = dict(zmq={"channels"}, IPython=ipython, comm=ipython, traitlets=ipython, matplotlib_inline=ipython, debugpy={"dap"}, ptyprocess={"shell"}, pygments={"tracebacks"}, stack_data={"tracebacks"},
    jupyter_client={"kernelspec", "__main__"}, jupyter_core={"kernelspec", "__main__"})

max_room,max_function,max_attributes = 400,40,12
func_nodes = ast.FunctionDef, ast.AsyncFunctionDef

def calls_import(node):
    "The constant name of an `import_module(name)` or `__import__(name)` call, relative names made absolute, else None."
    if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)): return None
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    if name not in ("import_module", "__import__"): return None
    target = str(node.args[0].value)
    return package + target if target.startswith(".") else target

def imported(tree):
    "(line, dotted name) of each import anywhere in `tree`; names brought in from the package itself count as its rooms."
    for node in ast.walk(tree):
        if isinstance(node, ast.Import): yield from ((node.lineno, a.name) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, [package if node.level else "", node.module or ""]))
            if base == package: yield from ((node.lineno, f"{base}.{a.name}") for a in node.names if a.name != "__version__")
            else: yield node.lineno, base
        elif name := calls_import(node): yield node.lineno, name

def rooms_of(tree): return {name.split(".")[1] for _,name in imported(tree) if name.startswith(package + ".")}

def direction_fault(room, target):
    "Why `room` may not import room `target`, or None."
    if target not in level: return f"imports {target}, which has no place in the table"
    if room not in level: return None  # complained of already; or the package itself, whose imports run late
    if room not in only_for.get(target, {room}): return f"imports {target}, which is only for {', '.join(sorted(only_for[target]))}"
    if level[room] < level[target] or (room, target) in beside: return None
    return f"imports {target}, which is {'above' if level[target] < level[room] else 'beside'} it"

def import_faults(room, tree):
    for line,name in imported(tree):
        top,_,rest = name.partition(".")
        if top == package:
            fault = direction_fault(room, rest.split(".")[0]) if rest else "imports the package: import its rooms"
            if fault: yield line, fault
        elif top in sys.stdlib_module_names: continue
        elif top not in homes: yield line, f"imports {top}, which has no home in the table"
        elif room not in homes[top]: yield line, f"imports {top}, whose home is {', '.join(sorted(homes[top]))}"

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

sources = {p.stem: p.read_text(encoding="utf-8") for p in sorted(house.glob("*.py"))}

def test_there_is_a_house(): assert "__init__" in sources and len(sources) > 1

def test_rooms_are_flat(): assert not list(house.glob("*/**/*.py")), "a room is one module of the package, not of a package inside it"

@pytest.mark.parametrize("room", sources)
def test_room(room): assert faults(room, sources[room]) == []

def test_no_cycles(): assert cycle({room: rooms_of(ast.parse(src)) - {room} for room,src in sources.items()}) is None

# the checker itself

doc = '"""A room. Threads: none. Spec: none."""\n'

def complaints(room, source): return [f.partition(" ")[2] for f in faults(room, doc + source)]

@pytest.mark.parametrize("room,source", [
    ("kernel",   "from .bridge import Bridge\nfrom . import wire, scope, compat"),
    ("bridge",   "import IPython, comm, json\nfrom IPython.core import release\nfrom . import __version__"),
    ("bridge",   "from ipymini.capture import a\nimport ipymini.scope"),
    ("channels", "import zmq, threading\nfrom zmq.utils import z85\nfrom .wire import Msg"),
    ("__main__", "from . import kernel, kernelspec"),
    ("compat",   "from . import comms"),
    ("__init__", "def run_kernel():\n    from .kernel import Kernel\n    return Kernel()"),
    ("dap",      "def client():\n    import debugpy\n    return debugpy"),
])
def test_good_room(room, source): assert complaints(room, source) == []

@pytest.mark.parametrize("room,source,what", [
    ("wire",     "from .kernel import Kernel",                    "imports kernel, which is above it"),
    ("wire",     "from . import scope",                           "imports scope, which is beside it"),
    ("comms",    "from . import compat",                          "imports compat, which is only for bridge, kernel, shell"),
    ("capture",  "from ipymini import comms",                     "imports comms, which is beside it"),
    ("capture",  "import ipymini.worker",                         "imports worker, which is above it"),
    ("bridge",   "def f():\n    from .kernel import x\n    return x", "imports kernel, which is above it"),
    ("bridge",   "import importlib\nimportlib.import_module('.kernel', 'ipymini')", "imports kernel, which is above it"),
    ("bridge",   "__import__('ipymini.kernel')",                  "imports kernel, which is above it"),
    ("bridge",   "from .channels import Channels",                "imports channels, which is beside it"),
    ("bridge",   "import ipymini",                                "imports the package: import its rooms"),
    ("bridge",   "from .cellar import wine",                      "imports cellar, which has no place in the table"),
    ("kernel",   "from . import kernelspec",                      "imports kernelspec, which is only for __main__"),
    ("worker",   "from .magics import run",                       "imports magics, which is only for bridge, kernel, shell"),
    ("__init__", "from .kernel import Kernel",                    "imports before it is called"),
    ("kernel",   "import zmq",                                    "imports zmq, whose home is channels"),
    ("wire",     "from zmq.utils import jsonapi",                 "imports zmq, whose home is channels"),
    ("worker",   "from IPython import get_ipython",               "imports IPython, whose home is bridge, capture, comms, compat, config, errors, eventloops, history, keyboard, magics, shell"),
    ("kernel",   "import comm",                                   "imports comm, whose home is bridge, capture, comms, compat, config, errors, eventloops, history, keyboard, magics, shell"),
    ("debugger", "import debugpy",                                "imports debugpy, whose home is dap"),
    ("channels", "import jupyter_client",                         "imports jupyter_client, whose home is __main__, kernelspec"),
    ("wire",     "from jupyter_core.paths import x",              "imports jupyter_core, whose home is __main__, kernelspec"),
    ("kernel",   "import tornado",                                "imports tornado, which has no home in the table"),
    ("cellar",   "x = 1",                                         "has no place in the table"),
])
def test_bad_import(room, source, what): assert complaints(room, source) == [what]

def test_docstring_is_asked_for():
    assert faults("wire", "x = 1") == ["wire:1 has no room docstring with Spec:", "wire:1 has no room docstring with Threads:"]
    assert faults("wire", '"Wire room. Threads: any."') == ["wire:1 has no room docstring with Spec:"]

def test_long_room():
    assert complaints("wire", "\n" * (max_room - 1)) == []
    assert complaints("wire", "\n" * max_room) == [f"is {max_room + 1} lines long (at most {max_room})"]

def test_long_function():
    body = lambda n: "class A:\n    async def f(self):\n" + "        x = 1\n" * (n - 1)
    assert complaints("wire", body(max_function)) == []
    assert complaints("wire", body(max_function + 1)) == [f"f is {max_function + 1} lines long (at most {max_function})"]

def class_of(n): return "class A:\n    def __init__(me):\n" + "".join(f"        me.a{i} = {i}\n" for i in range(n))

def test_many_attributes():
    assert complaints("wire", class_of(max_attributes) + "        me.a0 += 1\n        me.b.c = 2\n") == []
    names = sorted(f"a{i}" for i in range(max_attributes)) + ["z"]
    assert complaints("wire", class_of(max_attributes) + "    def g(s): s.z = 1\n") == [
        f"A has 13 attributes (at most {max_attributes}): {names}"]

@pytest.mark.parametrize("assign", ["self.z: int = 1", "self.y, (self.z, x) = 1, (2, 3)", "with open('f') as self.z: x = 1", "for self.z in (): x = 1"])
def test_every_assignment_counts(assign):
    source = "class A:\n    def f(self):\n        " + assign
    assert "z" in attributes(ast.parse(source).body[0])

def test_dataclass_fields_count():
    fields = "".join(f"    a{i}: int = 0\n" for i in range(max_attributes + 1))
    assert [c.split(":")[0] for c in complaints("wire", f"@dataclass(slots=True)\nclass A:\n{fields}")] == ["A has 13 attributes (at most 12)"]
    assert complaints("wire", f"class A:\n{fields}") == []

def test_inner_class_has_its_own_count():
    inner = "".join(f"            self.b{i} = {i}\n" for i in range(7))
    assert complaints("wire", class_of(7) + "    class B:\n        def __init__(self):\n" + inner) == []

def test_cycle_is_found():
    assert cycle(dict(a={"b"}, b={"c"}, c={"b"})) == ["b", "c", "b"]
    assert cycle(dict(a={"b", "c"}, b={"c"}, c=set())) is None
