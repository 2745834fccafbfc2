"""Variables room: the user's variables as a debugger's client shows them, without a debugger.

Owns what is shown of a namespace, in which groups, the values as text, and the references to what can be opened.
Must not know: debugpy, IPython (it is handed namespaces), who asks.
Threads: the debug lane. What it looks at may change meanwhile, so it works on copies of containers.
Spec: Debug Adapter Protocol, "Variables Request" and type "Variable"."""

import contextlib, itertools, reprlib, types

FIRST = 1 << 30  # references count up from here; debugpy's from 1
MOST = 1000      # children shown of one value, when the client does not ask for a page
FUNCTIONS = types.FunctionType, types.BuiltinFunctionType, types.MethodType
PLAIN = type(None), bool, int, float, complex, str, bytes, type, types.ModuleType, *FUNCTIONS  # nothing to open
ARRAYS = list, tuple, set, frozenset
PAGED = dict, *ARRAYS
GROUPS = "special variables", "function variables", "class variables", "protected variables"

KNOWN = {f"builtins.{t}" for t in "tuple list set frozenset dict str int".split()} | {"array.array", "collections.deque"}  # to reprlib, but it goes by the last part alone


class Text(reprlib.Repr):
    "Values as text of bounded length, dicts in their own order."

    def repr1(self, x, level):
        kind = type(x)
        return super().repr1(x, level) if f"{kind.__module__}.{kind.__qualname__}" in KNOWN else self.repr_instance(x, level)

    def repr_dict(self, x, level):
        if not x or level <= 0: return "{...}" if x else "{}"
        first = list(itertools.islice(x.items(), self.maxdict + 1))  # at once, as others may change it
        shown = [f"{self.repr1(k, level - 1)}: {self.repr1(v, level - 1)}" for k,v in first[:self.maxdict]]
        return "{" + ", ".join(shown + ["..."]*(len(first) > self.maxdict)) + "}"


text = Text()
text.maxlevel,text.maxstring,text.maxother,text.maxlong = 4, 10_000, 10_000, 10_000
for kind in "dict list tuple set frozenset deque array".split(): setattr(text, f"max{kind}", 100)


class Group(dict):
    "Variables under one heading."


class Variables:
    "Hands out references to values, valid until the next `show`."

    def __init__(self): self.values,self.numbers = {}, itertools.count(FIRST)

    def show(self, names):
        "The variables of a namespace, given as a dict without what is not the user's."
        self.values.clear()
        groups,plain = {g: Group() for g in GROUPS}, {}
        for name,value in names.items(): groups.get(group(name, value), plain)[name] = value
        heads = [dict(name=g, value="", type="", evaluateName=g, variablesReference=self.refer(v, "")) for g,v in groups.items() if v]
        return heads + [self.variable(name, value, name) for name,value in sorted(plain.items())]

    def refer(self, value, path):
        "A number for what can be opened, 0 for what cannot."
        if isinstance(value, PLAIN) or not sizes(value)[0] + sizes(value)[1]: return 0
        number = next(self.numbers)
        self.values[number] = value, path
        return number

    def variable(self, name, value, path):
        "DAP's Variable for `value`, which the expression `path` evaluates to."
        named,indexed = sizes(value)
        more = dict(indexedVariables=indexed, namedVariables=named) if indexed > MOST else {}
        return dict(name=name, value=shown(value), type=type(value).__name__, evaluateName=path, variablesReference=self.refer(value, path), **more)

    def children(self, variablesReference, filter=None, start=0, count=0, **_):
        "The variables under a reference; those that are `filter` (indexed or named), `count` from `start` on."
        return self.part(*self.values[variablesReference], filter, start, count)

    def part(self, value, path, filter=None, start=0, count=0):
        "As `children`, of `value`, which the expression `path` evaluates to."
        found = indexed(value, path) if filter == "indexed" else named(value, path) if filter == "named" else both(value, path)
        start,count = start or 0, count or MOST
        return [self.variable(*v) for v in itertools.islice(found, start, start + count)]


def group(name, value):
    "The heading under which a variable goes, None for those that are shown at once."
    if name.startswith("__") and name.endswith("__"): return GROUPS[0]
    if isinstance(value, FUNCTIONS): return GROUPS[1]
    if isinstance(value, type): return GROUPS[2]
    return GROUPS[3] if name.startswith("_") else None


def shown(value):
    "`value` as text, of bounded length."
    try: return text.repr(value)
    except Exception as e: return f"<{type(value).__name__} whose repr raised {type(e).__name__}>"  # the user's class may do anything


def sizes(value):
    "How many children `value` has by name, and by number."
    try: return (len(value), 0) if isinstance(value, dict) else (len(fields(value)), len(value) if isinstance(value, ARRAYS) else 0)
    except Exception: return 0, 0  # as above


def fields(value):
    "Attributes that `value` itself holds, as a dict: no property is run, and no `__getattr__`."
    found = {}
    for name,slot in ((n, s) for c in type(value).__mro__ for n,s in vars(c).items() if isinstance(s, types.MemberDescriptorType)):
        with contextlib.suppress(AttributeError): found[name] = slot.__get__(value)
    with contextlib.suppress(AttributeError): found |= object.__getattribute__(value, "__dict__")
    return found


def indexed(value, path):
    if not isinstance(value, ARRAYS): return
    for i,v in enumerate(list(value)): yield str(i), v, f"{path}[{i}]" if isinstance(value, (list, tuple)) else f"list({path})[{i}]"


def named(value, path):
    if isinstance(value, Group): yield from ((name, v, name) for name,v in sorted(value.items()))
    elif isinstance(value, dict): yield from ((shown(k), v, f"{path}[{k!r}]") for k,v in dict.copy(value).items())
    else: yield from ((name, v, f"{path}.{name}") for name,v in sorted(fields(value).items()))


def both(value, path): return itertools.chain(named(value, path), indexed(value, path))


def page(variables, filter=None, start=0, count=0):
    "The part of a list of DAP's Variables that a client asks for: debugpy gives all."
    if filter: variables = [v for v in variables if v["name"].isdigit() == (filter == "indexed")]
    return variables[start or 0:][:count or None]
