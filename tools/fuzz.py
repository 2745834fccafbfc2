"""Fuzz room: inputs of any kind for the edges of the kernel.
    python tools/fuzz.py pure [--examples 1000000] [--seed N] [--only TARGET ...] [--share 0.02]
    python tools/fuzz.py live [--messages 100000] [--seed N] [--kernel ipymini] [--without WHAT ...]
`pure` gives them to functions, in this process: the codec, the fields of requests, the DAP decoder, connection files, and text on its way
out. Of the examples a `share` is hypothesis's, which finds small ones, the rest a mutator's, which is fast; what is counted is what has
been run. `live` is `fuzz_live`'s: messages to a kernel. Exit code 1 if there was any fault; each kind is shown with its first example.
Threads: one, but for `lines`. Spec: messaging, "Wire protocol"; Debug Adapter Protocol."""
import argparse, atexit, datetime, decimal, json, random, re, sys, tempfile, threading, time, traceback
from collections import Counter
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here))  # also where PYTHONSAFEPATH keeps it away

from fuzz_values import PYTHONS, flip, mutate, odd, text  # noqa: E402

from ipymini.debug.adapter import Decoder, encode  # noqa: E402
from ipymini.request.fields import FIELDS, BadContent, fields  # noqa: E402
from ipymini.wire.messages import DELIM, PORTS, BadMsg, Codec, connection, read_connection, too_deep  # noqa: E402

SAMPLES = dict(  # chkstyle: ignore-node (a table)
    execute_request=dict(code="1", silent=False, store_history=True, user_expressions={"a": "1"}, allow_stdin=True, stop_on_error=True),
    complete_request=dict(code="pri", cursor_pos=3), inspect_request=dict(code="len", cursor_pos=3, detail_level=0),
    history_request=dict(hist_access_type="tail", raw=True, output=False, n=3), is_complete_request=dict(code="1"),
    comm_open=dict(comm_id="a", target_name="b", data={}), comm_msg=dict(comm_id="a", data={}),
    debug_request=dict(type="request", seq=1, command="debugInfo", arguments={}), shutdown_request=dict(restart=False),
    delete_subshell_request=dict(subshell_id="a"), kernel_info_request={}, comm_info_request=dict(target_name="a"))


class Rude:
    "A foreign object: whatever is asked of it, it raises."
    def __init__(self, *names):
        for n in names: setattr(self, n, self.fail)

    def fail(self, *args, **kw): raise LookupError("rude")

    __repr__ = __str__ = __iter__ = __len__ = __float__ = __index__ = __getitem__ = fail


# --- one target: `make(r)` an input, `check(input)` raises if something else comes out than may

def some_frames(r):
    "(frames, whether to sign them again): a valid message, or one with something changed."
    msg_type = r.choice(list(SAMPLES))
    header = dict(msg_id=f"m{r.random()}", msg_type=msg_type, session="s", username="u", date="2026-01-01T00:00:00Z", version="5.5")
    parts = [header, {}, {}, SAMPLES[msg_type]]
    if r.random() < 0.6: parts = [mutate(r, p) if r.random() < 0.4 else p for p in parts]
    raw = [text(p) for p in parts]
    if r.random() < 0.3: raw = [flip(r, p) if r.random() < 0.4 else p for p in raw]
    frames = [*some_bytes(r), DELIM, KEYED.sign(raw), *raw, *some_bytes(r)]
    for _ in range(r.choice([0, 0, 0, 1, 2])):
        i = r.randrange(len(frames))
        frames[i:i + 1] = [r.choice([b"", DELIM, b"{}", r.randbytes(4)])] * r.randrange(3)
    if r.random() < 0.1: del frames[r.randrange(len(frames))]
    if r.random() < 0.1: frames.insert(r.randrange(len(frames)), r.choice(frames))
    if r.random() < 0.1: frames = [flip(r, bytes(f)) for f in frames]
    return as_received(frames)


def some_bytes(r): return [r.randbytes(r.randrange(6)) for _ in range(r.randrange(3))]


def as_received(frames):
    "As io receives them: what follows the five parts is not copied."
    i = frames.index(DELIM) + 6 if DELIM in frames else len(frames)
    return [*map(bytes, frames[:i]), *map(memoryview, frames[i:])]


def check_unpack(frames):
    for codec in (KEYED, OPEN):
        try: msg = codec.unpack(frames)
        except BadMsg: continue
        assert isinstance(msg.header, dict) and isinstance(msg.id, str) and isinstance(msg.type, str), msg.header
        assert set(msg.as_dict()) >= {"header", "content", "parent_header", "metadata", "buffers"}
        assert isinstance(msg.content, (dict, str)) and len(msg.idents) == frames.index(DELIM)


def some_object(r, depth=0):
    "What a cell may want to send."
    what = r.random()
    if what < 0.2 and depth < 5: return {r.choice(["a", "é", 1, None, "\ud800"]): some_object(r, depth + 1) for _ in range(r.randrange(4))}
    if what < 0.4 and depth < 5: return [some_object(r, depth + 1) for _ in range(r.randrange(4))]
    dates, numbers = [datetime.datetime.now(), datetime.date.today()], [decimal.Decimal("1.5"), decimal.Decimal("NaN")]
    if what < 0.5: return r.choice([*dates, *numbers, Rude(), iter([1, 2]), circle(), deep(r.randrange(2000))])
    return r.choice(PYTHONS) if what < 0.6 else odd(r)


def circle():
    res = []
    res.append(res)
    return res


def deep(n):
    res = []
    for _ in range(n): res = [res]
    return res


def some_message(r):
    buffers = [r.choice([b"", b"x" * 10, bytearray(b"abc"), memoryview(b"abcdef")[::2]]) for _ in range(r.randrange(3))]
    msg_type, metadata = r.choice([*SAMPLES, "", "\ud800", 'quo"te', "x" * 500]), r.choice([None, {}, dict(m=some_object(r))])
    return msg_type, dict(v=some_object(r)), metadata, buffers


def check_pack(message):
    "What packs unpacks again, as strict JSON: no NaN, no lone surrogates."
    msg_type, content, metadata, buffers = message
    frames = KEYED.pack(msg_type, content, b"{}", metadata, buffers)[1]
    msg = READER.unpack(frames)
    if any(map(too_deep, frames[3:6])): return  # what is nested deeper than this is not read, by us
    assert msg.type == msg_type.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert [bytes(b) for b in msg.buffers] == [bytes(b) for b in buffers]
    for part in frames[2:6]: json.loads(part.decode(), parse_constant=refuse)
    try: plain = json.loads(json.dumps(content, allow_nan=False)) == content and json.dumps(content, ensure_ascii=False).encode()
    except (TypeError, ValueError, LookupError, RecursionError): return
    assert not plain or msg.content == content, msg.content


def refuse(word): raise AssertionError(f"{word} is not JSON")


def some_content(r):
    msg_type = r.choice(list(FIELDS)) if r.random() < 0.95 else str(odd(r, False))
    sample = SAMPLES.get(msg_type, {})
    all_odd = {k: odd(r) for k in FIELDS.get(msg_type, ())}
    return msg_type, r.choice([sample, mutate(r, sample), mutate(r, mutate(r, sample)), odd(r), all_odd])


def check_fields(request):
    msg_type, content = request
    try: got = fields(msg_type, content)
    except BadContent: return
    assert list(got) == list(FIELDS[msg_type])
    for name, want in FIELDS[msg_type].items():
        kinds = want if isinstance(want, (type, tuple)) else type(want)
        assert isinstance(got[name], kinds) and (not isinstance(got[name], bool) or kinds is bool), (name, got[name])


def some_dap(r):
    "(pieces, the messages that they are, or None if there is garbage among them)."
    messages = [dict(seq=i, type="event", event="output", body=dict(output="é" * r.randrange(50))) for i in range(r.randrange(4))]
    data, broken = b"".join(map(encode, messages)), r.random() < 0.6
    length = b"Content-Length: " + r.choice([b"-", b"x", b"0", b"1_", b" ", b"9" * 5000, b"\xff"])
    if broken: data = flip(r, data) if r.random() < 0.5 else data.replace(b"Content-Length: ", length, 1)
    if broken and r.random() < 0.3:
        body = text(odd(r))
        data += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    cuts = sorted(r.randrange(len(data) + 1) for _ in range(r.randrange(6)))
    return [data[i:j] for i, j in zip([0, *cuts], [*cuts, len(data)])], None if broken else messages


def check_dap(example):
    pieces, messages = example
    decoder, got = Decoder(), []
    try:
        for p in pieces: got += decoder.feed(p)
    except ValueError:
        assert messages is None, "refused"
        return
    assert messages is None or got == messages, got


def some_connection(r):
    info = dict(transport="tcp", ip="127.0.0.1", key="k", signature_scheme="hmac-sha256", **{f"{p}_port": 0 for p in PORTS})
    changed, schemes = mutate(r, mutate(r, info)), ["hmac-", "hmac-md5", "hmac-shake_128", "hmac-sha3_512", "sha256", "hmac-sha1", "", None]
    if isinstance(changed, dict) and r.random() < 0.3: changed["signature_scheme"] = r.choice(schemes)
    return text(changed) if r.random() < 0.7 else flip(r, text(changed))


def check_connection(data):
    "From the file to a codec that signs: whatever is wrong is a ValueError."
    Path(SCRATCH.name).write_bytes(data)
    try:
        info = read_connection(SCRATCH.name)
        Codec(info["key"], info["signature_scheme"]).sign([b"a"])
        connection(**info)
    except ValueError: return


def some_writing(r):
    "What three threads write: for each a list of (stream, text) and None, a message."
    steps = [("stdout", "."), ("stdout", "\n"), ("stdout", "word "), ("stderr", "e\n"), ("stdout", "line\n"), None]
    return [r.choices(steps, k=r.randrange(25)) for _ in range(3)]


def check_lines(writing):
    "All arrives on a real socket, and what each thread has written to a stream in its order; its messages stay between the texts where they were."
    if not RIG: open_rig()
    rig, sub = RIG
    scope = rig.scope(f"r{time.monotonic()}")
    scope.open = True
    threads = [threading.Thread(target=write, args=(rig, scope, n, steps)) for n, steps in enumerate(writing)]
    for t in threads: t.start()
    for t in threads: t.join()
    rig.ch.send("iopub", "status", dict(execution_state="idle"), scope)
    got = []
    while (m := rig.recv(sub))["msg_type"] != "status":
        if m["msg_type"] == "stream": got += [(m["content"]["name"], n) for n in TOKEN.findall(m["content"]["text"])]
        else: got.append((None, m["content"]["data"]["text/plain"]))
    for n, steps in enumerate(writing):
        want = [(s and s[0], f"{n}:{i};") for i, s in enumerate(steps)]
        mine = [g for g in got if g[1].startswith(f"{n}:")]
        assert by_stream(mine) == by_stream(want), f"thread {n} wrote {want}, {mine} came"


def by_stream(items):
    "Between two messages, the texts of each stream: those of two streams may pass each other, once they change more often than the pace."
    pieces = [dict(stdout=[], stderr=[])]
    for name, token in items:
        if name: pieces[-1][name].append(token)
        else: pieces += [token, dict(stdout=[], stderr=[])]
    return pieces


def write(rig, scope, n, steps):
    for i, step in enumerate(steps):
        if step: rig.ch.write(scope, step[0], f"{n}:{i};{step[1]}", threading.get_ident())
        else: rig.ch.send("iopub", "display_data", dict(data={"text/plain": f"{n}:{i};"}, metadata={}), scope)


def open_rig():
    "The real sockets of the tests' rig, once."
    sys.path.insert(0, str(here.parent / "pytests"))
    from rig import Rig
    rig = Rig("tcp", SCRATCH.name)
    rig.ch.start()
    RIG.extend([rig, rig.sub()])
    atexit.register(rig.close)


KEYED, OPEN, READER, RIG = Codec("k"), Codec(""), Codec("k"), []
SCRATCH, TOKEN = tempfile.NamedTemporaryFile(prefix="fuzz-"), re.compile(r"\d:\d+;")
TARGETS = dict(  # chkstyle: ignore-node (a table)
    unpack=(350, some_frames, check_unpack), pack=(199, some_message, check_pack), fields=(250, some_content, check_fields),
    dap=(150, some_dap, check_dap), connection=(50, some_connection, check_connection), lines=(1, some_writing, check_lines))


def strategies():
    "Hypothesis's own way to an input of each target."
    from hypothesis import strategies as st
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.sampled_from(["@huge@", "@deep@"])
    value = st.recursive(leaves, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text(max_size=9), v, max_size=4), max_leaves=8)
    dicts = lambda keys: st.dictionaries(st.sampled_from(keys) | st.text(max_size=4), value, max_size=8)
    header = dicts(["msg_id", "msg_type", "session", "date", "version", "subshell_id"])
    parts = st.tuples(header | value, value, value, value).map(lambda ps: [text(p) for p in ps])
    parts = parts | st.lists(st.binary(max_size=20), min_size=4, max_size=4)
    signed = st.tuples(st.lists(st.binary(max_size=5), max_size=2), parts).map(lambda p: [*p[0], DELIM, KEYED.sign(p[1]), *p[1]])
    step = st.none() | st.tuples(st.sampled_from(["stdout", "stderr"]), st.sampled_from([".", "\n", "a\n", "b\nc"]))
    return dict(  # chkstyle: ignore-node (a table)
        unpack=(signed | st.lists(st.binary(max_size=9) | st.just(DELIM), max_size=9)).map(as_received),
        pack=st.tuples(st.text(max_size=9), dicts(["v"]), st.none() | dicts(["a"]), st.lists(st.binary(max_size=9), max_size=3)),
        fields=st.sampled_from(list(FIELDS)).flatmap(lambda t: st.tuples(st.just(t), dicts([*FIELDS[t], "extra"]) | value)),
        dap=st.tuples(st.lists(st.binary(max_size=30) | st.sampled_from([b"Content-Length: ", b"3", b"\r\n\r\n", b"[1]"])), st.none()),
        connection=dicts(["transport", "ip", "key", "signature_scheme", "shell_port", "hb_port"]).map(text) | st.binary(max_size=40),
        lines=st.tuples(*[st.lists(step, max_size=12)] * 3))


# --- running them

class Report:
    "What was run and what was found: each kind of exception, by where it came from, with its first input."
    def __init__(self): self.run, self.faults, self.first = Counter(), Counter(), {}

    def attempt(self, name, example, check):
        self.run[name] += 1
        try: check(example)
        except Exception as e:
            frames = traceback.extract_tb(e.__traceback__)
            at = f"{name}: {type(e).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}"
            self.faults[at] += 1
            if at not in self.first:
                self.first[at] = example
                print(f"FAULT {at}: {str(e)[:300]}\n  input: {repr(example)[:1500]}", flush=True)

    def verdict(self):
        for name, n in self.run.items(): print(f"{name:12}{n:10} examples")
        print(f"{sum(self.run.values())} examples, {sum(self.faults.values())} faults of {len(self.faults)} kinds")
        for at, n in self.faults.most_common(): print(f"  {n:6} x {at}")
        print("NOT OK" if self.faults else "ok", flush=True)
        return int(bool(self.faults))


def hypothesize(report, name, strategy, check, n, seed):
    "Hypothesis's `n` examples; failures are counted, not shrunk: what it finds is small already."
    import hypothesis as h
    quick = h.settings(max_examples=n, database=None, deadline=None, phases=[h.Phase.generate], suppress_health_check=list(h.HealthCheck))
    h.seed(seed)(quick(h.given(strategy)(lambda example: report.attempt(name, example, check))))()


def pure(examples, seed, only, share):
    report, began = Report(), time.monotonic()
    total, ways = sum(TARGETS[t][0] for t in only), strategies() if share else {}
    for name in only:
        weight, make, check = TARGETS[name]
        n, r, since = max(1, examples * weight // total), random.Random(f"{seed}:{name}"), time.monotonic()
        if share: hypothesize(report, name, ways[name], check, max(1, int(n * share)), seed)
        while report.run[name] < n: report.attempt(name, make(r), check)
        print(f"{name}: {report.run[name]} examples in {time.monotonic() - since:.1f} s", flush=True)
    print(f"in {time.monotonic() - began:.0f} s:")
    return report.verdict()


def main(argv=None):
    p = argparse.ArgumentParser(description="Inputs of any kind for the edges of the kernel.")
    sub = p.add_subparsers(dest="what", required=True)
    one = sub.add_parser("pure", help="functions of ours, in this process")
    one.add_argument("--examples", type=int, default=1_000_000)
    one.add_argument("--only", nargs="+", default=list(TARGETS), choices=list(TARGETS), metavar="TARGET", help=" ".join(TARGETS))
    one.add_argument("--share", type=float, default=0.02, help="the part that hypothesis makes")
    two = sub.add_parser("live", help="messages to a kernel")
    two.add_argument("--messages", type=int, default=100_000)
    two.add_argument("--kernel", default="ipymini")
    two.add_argument("--without", nargs="+", default=[], metavar="WHAT", help="see fuzz_live")
    for parser in (one, two): parser.add_argument("--seed", type=int, default=1)
    a = p.parse_args(argv)
    if a.what == "pure": return pure(a.examples, a.seed, a.only, a.share)
    from fuzz_live import live
    return live(a.kernel, a.messages, a.seed, a.without)


if __name__ == "__main__": sys.exit(main())
