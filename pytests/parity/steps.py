"""Steps room: the words that probes are written in. A probe is one or more steps; a step is one request, and what the user does meanwhile.
Must not know: kernels, sockets, pytest. Threads: any; pure."""
from dataclasses import dataclass, field, replace

INTERRUPT = object()  # among answers: the user interrupts the kernel instead of answering


@dataclass
class Step:
    "One request. `answers`: what the user types; `seen`: interrupt when this is on stdout; `until`: wait for this text, also after idle."
    msg_type: str
    content: dict
    channel: str = "shell"
    answers: list = None
    seen: str = None
    until: str = None
    wait: bool = True
    metadata: dict = None
    buffers: list = None


@dataclass
class Probe:
    "Steps, and the kernel that they want: `fresh` for one of its own; `args` and `files` (in the IPython directory) and `env` for its start."
    steps: list
    fresh: bool = False
    args: tuple = ()
    files: dict = field(default_factory=dict)
    env: dict = field(default_factory=dict)
    strict: bool = False  # the order of stdout and stderr counts as well, and the numbers of sessions
    but: tuple = ()  # keys of replies that do not count here, as one listed probe tells how they differ

    @property
    def is_timed(self):
        "Does it complete? That may be cut short on a busy machine: a kernel gives it half a second, and Jedi what it takes."
        return any(s.msg_type == "complete_request" for s in self.steps)

    @property
    def is_fresh(self): return bool(self.fresh or self.args or self.files or self.env)


EXECUTE = dict(silent=False, store_history=True, user_expressions={}, stop_on_error=True)


def cell(code, answers=None, seen=None, until=None, wait=True, metadata=None, **flags):
    "Execute `code`; further arguments are fields of the execute_request."
    content = dict(code=code, allow_stdin=answers is not None) | EXECUTE | flags
    return Step("execute_request", content, answers=answers, seen=seen, until=until, wait=wait, metadata=metadata)


def raw(msg_type, channel="shell", metadata=None, buffers=None, **content): return Step(msg_type, content, channel, metadata=metadata, buffers=buffers)


def at(code):
    "`code` without its first | and where that was: the cursor."
    pos = code.index("|")
    return code[:pos] + code[pos + 1:], pos


def complete(code):
    code,pos = at(code)
    return raw("complete_request", code=code, cursor_pos=pos)


def inspect(code, level=0, **kw):
    code,pos = at(code)
    return raw("inspect_request", code=code, cursor_pos=pos, detail_level=level, **kw)


def is_complete(code): return raw("is_complete_request", code=code)


def history(kind, **kw): return raw("history_request", **(dict(hist_access_type=kind, raw=True, output=False) | kw))


def comm_open(target, comm_id, data=None, **kw): return raw("comm_open", comm_id=comm_id, target_name=target, data=data or {}, **kw)


def comm_msg(comm_id, data=None, **kw): return raw("comm_msg", comm_id=comm_id, data=data or {}, **kw)


def comm_close(comm_id, data=None, **kw): return raw("comm_close", comm_id=comm_id, data=data or {}, **kw)


SHOWN_ERROR = ("status", "ename", "evalue", "traceback")  # but: see displays-failing_repr
COUNT = ("execution_count",)  # but: see results-empty


def probe(*steps, **wants): return Probe([as_step(s) for s in steps], **wants)


def all_but(keys, table, *names):
    "In the probes of `table` called `names`, the replies' `keys` do not count."
    for n in names: table[n] = replace(as_probe(table[n]), but=keys)


def as_step(s): return s if isinstance(s, Step) else cell(s)


def as_probe(p):
    "A probe from what tables hold: a Probe, a cell's code, a step, or a list of those."
    if isinstance(p, Probe): return p
    return probe(*p) if isinstance(p, list) else probe(p)
