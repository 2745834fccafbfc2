"""Normal room: messages without what cannot be the same in two kernels: addresses, times, ids, temporary paths, names of the implementation.
Must not know: sockets, kernels. Threads: any; pure, but for the ids that a Normal has seen.
What it takes away is in RULES and in `Normal`, and nowhere else."""
import json, re

ANSI = r"(?:\x1b\[[0-9;]*m)*"
NUMBER = r"(?<![\d,.])[\d,]+(?:\.\d+)?(?:e[-+]?\d+)?"
SPAN = rf"(?:{NUMBER}\s?(?:ns|μs|µs|us|ms|s|min|h|d)\b ?)+"
TEXT_FRAME = r'(?m)^ *File ".*/(?:<kernel>|comm)/\w+\.py", line \d+, in \w+\n(?:    .*\n)*'
RULES = [(re.compile(p), r) for p,r in [  # chkstyle: ignore-node (a table, a rule a line)
    (r"/tmp/ipy(?:kernel|mini)_\d+/", "<cells>/"),
    (r"\b(?:ipykernel|ipymini)(?:\.\w+)*\b", "<kernel>"),
    (r"ZMQInteractiveShell\((?:ShowsErrors, )?InteractiveShell\) options\n-+", "ZMQInteractiveShell options"),
    (r"\b0x[0-9a-fA-F]{5,16}\b", "0x<address>"),
    (r"(?<=object at )[0-9a-f]{8,16}\b", "<address>"),
    (r"\bTask-\d+\b", "Task-<n>"),
    (r"(?<![0-9.])[0-9.]+(?=it/s|s/it)", "<rate>"),
    (r"\d\d:\d\d&lt;\d\d:\d\d", "<spans>"),
    (r"\(\d+ times\)", "(<n> times)"),
    (r"/tmp/ipython_edit_\w+(/ipython_edit_\w+\.py)?", "<edited>"),
    (r'(?<="kernel_name": ")(python3|<kernel>)', "<kernel>"),
    (r"(thread id: |thread count: |pid: |pid=|_port\": )\d+", r"\1<n>"),
    (r"\b\d+ function calls( \(\d+ primitive calls\))?", "<n> function calls"),
    (r"(?<=List reduced from )\d+", "<n>"),  # newer Pythons profile all threads, the kernel's own too
    (r"(?m)^Tip: .*\n?", ""),
    (TEXT_FRAME, ""),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?", "<time>"),
    (rf"(CPU times: user |sys: |total: |Wall time: |Compiler : |Compiler time: ){SPAN}", r"\1<span>"),
    (rf"{SPAN} ?(±|\+/-|\+-) ?{SPAN}", r"<span> \1 <span>"),
    (rf"(?<=best of \d: ){SPAN}", "<span>"),
    (r"(?m)^The slowest run took .* times longer than the fastest\. .*\n", ""),
    (r"(?<![\d,])[\d,]+ loops? each", "<loops> each"),
    (r"(?m)^((?:  User   |  System |Wall time):) +[\d.]+ s(?:, +[\d.]+ s)?\.$", r"\1 <span>"),
    (r"(function calls?.*? in )[\d.]+ seconds", r"\1<span>"),
    (r"(?m)^( +[\d/]+ ) +\d+\.\d{3} +\d+\.\d{3} +\d+\.\d{3} +\d+\.\d{3} ", r"\1 <spans> ")]]
HEX = "[0-9a-f]"
ID = re.compile(rf"(?<![0-9a-f.])(?:{HEX}{{8}}-{HEX}{{24}}_\d+_\d+|{HEX}{{32}}|(?=[0-9]*[a-f]){HEX}{{16}}|{HEX}{{8}}(?:-{HEX}{{4}}){{3}}-{HEX}{{12}})(?!{HEX})")
OWN = {"%%background", "%%subshell"}  # magics that ipykernel has not, and completion offers
COUNTED = ("execution_count",)  # what iopub messages tell, too
KERNEL_FRAME = re.compile(rf"{ANSI}File {ANSI}\S*/(?:ipykernel|ipymini)/\w+\.py")


class Normal:
    "Normalises what one kernel sent in one probe. `known`: strings of this kernel (paths, keys) and what to call them."
    def __init__(self, known): self.known,self.ids = sorted(known.items(), key=lambda kv: -len(kv[0])), {}

    def text(self, s):
        for own,name in self.known: s = s.replace(own, name)
        s = ID.sub(lambda m: self.ids.setdefault(m[0], f"<id {len(self.ids) + 1}>"), s)
        for pattern,new in RULES: s = pattern.sub(new, s)
        return s

    def value(self, v):
        if isinstance(v, str): return self.text(v)
        if isinstance(v, dict): return {self.text(k): "<port>" if k.endswith("_port") else self.value(x) for k,x in v.items()}
        if isinstance(v, (list, tuple)): return [self.value(x) for x in v]
        return v

    def message(self, msg, strict=False, but=()):
        "What counts of a message, as a dict; the keys `but` do not, and unless `strict` not the number of a session."
        content = {k: v for k,v in msg["content"].items() if k not in but}
        content.pop("engine_info", None)  # ipykernel's, for ipyparallel; in no specification
        if "matches" in content: content["matches"] = [m for m in content["matches"] if m not in OWN]
        if "traceback" in content: content["traceback"] = own_frames(content["traceback"])
        for e in (content.get("user_expressions") or {}).values():
            if "traceback" in e: e["traceback"] = own_frames(e["traceback"])
        if "history" in content and not strict: content["history"] = [["<session>", *h[1:]] for h in content["history"]]
        metadata = {k: v for k,v in msg["metadata"].items() if k not in but}
        if "engine" in metadata: metadata["engine"] = "<engine>"
        res = dict(type=msg["header"]["msg_type"], content=self.value(content), metadata=self.value(metadata))
        if msg["buffers"]: res["buffers"] = [bytes(b).hex() for b in msg["buffers"]]
        return res

    def run(self, run, strict=False, late=False, but=()):
        "What one request brought. `late`: text that came after idle counts as if before. `but`: keys of replies that do not count."
        both = tuple(k for k in but if k in COUNTED)
        ends = run.msg["header"]["msg_type"] == "shutdown_request"  # ipykernel may be gone before its idle is
        out = [self.message(m, strict, both) for m in join_streams(run.all, strict, late) if not (ends and is_idle(m))]
        reply = self.message(run.reply, strict, but) if run.reply else None
        return dict(iopub=out, reply=reply, asked=self.value(run.asked))


def own_frames(traceback):
    "Without the frames of the kernel's code."
    return [f for f in traceback or [] if not KERNEL_FRAME.match(f)]


def is_stream(m): return m["header"]["msg_type"] == "stream"


def is_idle(m): return m["content"].get("execution_state") == "idle"


def join_streams(msgs, strict=False, late=False):
    "Messages with neighbouring text joined: how text is cut into messages is timing. Unless `strict`, so is which of stdout and stderr comes first."
    if late: msgs = [m for m in msgs if not is_idle(m)] + [m for m in msgs if is_idle(m)]
    res,block = [], {}
    for m in msgs:
        name = m["content"]["name"] if is_stream(m) else None
        if block and (name is None or (strict and name not in block)):
            res += flushed(block)
            block = {}
        if name is None: res.append(m)
        else: block.setdefault(name, []).append(m)
    return res + flushed(block)


def flushed(block):
    "One message a stream."
    return [ms[0] | dict(content=dict(name=name, text="".join(m["content"]["text"] for m in ms))) for name,ms in sorted(block.items(), reverse=True)]


def lines(value):
    "A value as lines to be compared by eye: long text is cut into its own."
    text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True, default=repr)
    return [line.replace("\\u001b", "\\e") for line in text.replace("\\n", "\\n\n").split("\n")]
