"""Messages room: messages as bytes and back, and the connection file.

Owns `Msg`, `Codec` (sign, verify, pack, unpack), what JSON does with things it cannot hold, and reading and writing connection files.
Must not know: zmq, IPython, other rooms.
Threads: any; a `Codec` may pack in several threads at once, but only one thread unpacks.
Spec: messaging, "Wire protocol", "General message format" and "Connection files"."""

import base64, hashlib, hmac, itertools, json, math, numbers, os, re, time
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from functools import lru_cache

DELIM = b"<IDS|MSG>"
VERSION = "5.5"
HUGE = 10**4000
REPLAY_MEMORY = 2**15  # signatures remembered against replays, twice as many at most
DEEP = 500  # objects and lists inside each other in a message
STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
NO_BRACKETS = bytes(n for n in range(256) if n not in STEPS)
PORTS = ("shell", "iopub", "stdin", "control", "hb")
process = [os.getpid()]  # its id
if hasattr(os, "register_at_fork"): os.register_at_fork(after_in_child=lambda: process.__setitem__(0, os.getpid()))


class BadMsg(ValueError):
    "Frames that are no message of ours: dropped and logged, never answered. The first argument is one of a few kinds, by which the log is kept short."
    def __str__(self): return ": ".join(self.args)


class Msg:
    "One message: `header`, `parent_header`, `metadata`, `content` as dicts, `buffers` as memoryviews, `idents` as bytes, `header_raw` as received. `begun`: the ident of the thread that serves it, or 0."
    __slots__ = ("idents", "header", "parent_header", "metadata", "content", "buffers", "header_raw", "begun", "replied")

    def __init__(self, header, content, parent_header=None, metadata=None, buffers=(), idents=(), header_raw=None):
        self.header,self.content,self.idents = header, content, list(idents)
        self.parent_header,self.metadata,self.buffers = parent_header or {}, metadata or {}, list(buffers)
        self.header_raw,self.begun,self.replied = header_raw or dumps(header), 0, False

    @property
    def type(self): return self.header["msg_type"]

    @property
    def id(self): return self.header["msg_id"]

    @property
    def subshell_id(self):
        "The id that the header gives, as text if it is something else (then no subshell has it); None for the parent."
        of = self.header.get("subshell_id")
        return of if of is None or isinstance(of, str) else repr(of)

    @property
    def session(self): return str(self.header.get("session"))  # hashable, whatever the client sent

    def as_dict(self):
        "The message as jupyter_client and IPython's libraries know it: nested dicts, `date` as datetime."
        header = {**self.header, "date": parse_date(self.header.get("date"))}
        return dict(header=header, msg_id=self.header["msg_id"], msg_type=self.header["msg_type"], parent_header=self.parent_header,
            metadata=self.metadata, content=self.content, buffers=self.buffers)


def parse_date(text):
    "`text` as a datetime if it is an ISO 8601 date, else `text` itself."
    if not isinstance(text, str): return text
    try: return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError: return text


def b64(data): return base64.b64encode(data).decode("ascii")


def _number(obj):
    "A number of another library (numpy, Decimal, Fraction) as a Python one; NaN and infinities as their repr, as JSON has no word for them."
    if isinstance(obj, numbers.Integral): return int(obj) if abs(obj) < HUGE else hex(obj)  # Python writes no longer ones in decimal
    value = float(obj)
    return value if math.isfinite(value) else repr(value)


def _default(obj):
    "What `json` cannot hold, as something that it can; TypeError if there is no honest way."
    if isinstance(obj, (bytes, bytearray)): return b64(obj)
    if isinstance(obj, memoryview): return b64(obj.tobytes())
    if isinstance(obj, datetime): return (obj if obj.tzinfo else obj.astimezone()).isoformat().replace("+00:00", "Z")
    if isinstance(obj, date): return obj.isoformat()
    if isinstance(obj, numbers.Number) and not isinstance(obj, numbers.Complex): return float(obj)  # Decimal
    if isinstance(obj, numbers.Real): return int(obj) if isinstance(obj, numbers.Integral) else float(obj)
    if callable(getattr(obj, "tolist", None)): return obj.tolist()  # numpy arrays and scalars
    if isinstance(obj, Mapping): return dict(obj)
    if isinstance(obj, Iterable) and not isinstance(obj, Iterator): return list(obj)  # what can be read once only waits for `jsonable`
    raise TypeError(f"{type(obj).__name__} is not JSON serializable")


def jsonable(obj, path=()):
    "A deep copy of `obj` that JSON can hold whatever it was: nothing is lost without a trace, strange objects become their repr."
    if obj is None or isinstance(obj, (bool, str)): return obj
    if id(obj) in path or len(path) > 200: return "<circular>"
    path = (*path, id(obj))
    try:
        if isinstance(obj, numbers.Real): return _number(obj)
        if isinstance(obj, Mapping): return {str(k) if not isinstance(k, (bool, int, type(None))) else k: jsonable(v, path) for k,v in obj.items()}
        if isinstance(obj, (list, tuple, Iterator)): return [jsonable(o, path) for o in obj]
        return jsonable(_default(obj), path)
    except Exception: return _safe_repr(obj)  # any method of a foreign object may raise


def _safe_repr(obj):
    try: return repr(obj)
    except Exception as e: return f"<{type(obj).__name__} whose repr raised {type(e).__name__}>"


def _encoder():
    "A function of an object: its JSON. The json module's own would make its encoder anew for each, which takes longer than using it."
    from json import encoder
    if encoder.c_make_encoder is None: return json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default).encode
    encode = encoder.c_make_encoder(None, _default, encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda obj: "".join(encode(obj, 0))


_encode = _encoder()


def dumps(obj):
    "`obj` as UTF-8 JSON. Bytes become base64, NaN and infinities their repr, dates ISO 8601, lone surrogates U+FFFD, strange objects their repr."
    try: text = _encode(obj)
    except Exception: text = _encode(jsonable(obj))  # foreign objects may raise anything
    try: return text.encode()
    except UnicodeEncodeError: return paired(text).encode()


def paired(text):
    "`text` as UTF-8 can hold it: surrogates that are a pair join, lone ones become U+FFFD."
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@lru_cache(100)
def _quoted(text): return dumps(text).decode()


def too_deep(frame):
    """Is the JSON in `frame` nested more than DEEP times? Asked before it is read: near the recursion limit a collection, which may call any finalizer of the user's,
    ends the process, and with a limit that the user has raised the C stack overflows."""
    if frame.count(b"[") + frame.count(b"{") <= DEEP: return False
    brackets = STRINGS.sub(b"", frame).translate(None, NO_BRACKETS)
    return max(itertools.accumulate(map(STEPS.get, brackets)), default=0) > DEEP


def _object(frame, name):
    "The JSON object in `frame`; BadMsg if it is anything else."
    frame = bytes(frame)
    if too_deep(frame): raise BadMsg(f"{name} is nested too deep", f"more than {DEEP} times")
    try: obj = json.loads(frame)
    except (ValueError, RecursionError) as e: raise BadMsg(f"{name} is no JSON", str(e)) from None
    if not isinstance(obj, dict): raise BadMsg(f"{name} is no object", type(obj).__name__)
    return obj


def as_buffer(obj):
    "`obj` (bytes-like) as what zmq can send: views of bytes as they are; what its owner may still change, or is not contiguous, as a copy."
    if isinstance(obj, bytes): return obj
    view = memoryview(obj)
    return view if isinstance(view.obj, bytes) and view.c_contiguous else view.tobytes()


class Codec:
    "Packs and unpacks messages of one session. `key` as bytes or str, empty for unsigned; `signature_scheme` as in the connection file."

    def __init__(self, key=b"", signature_scheme="hmac-sha256", session=None, username=None):
        kind,_,digest = (signature_scheme or "").partition("-")
        if kind != "hmac" or digest not in hashlib.algorithms_available: raise ValueError(f"unknown signature_scheme {signature_scheme!r}")
        key = key.encode() if isinstance(key, str) else key
        base = hmac.new(key, digestmod=digest) if key else None
        self.base = getattr(base, "_hmac", base)  # the object in C, which is copied in half the time
        self.session = session or os.urandom(16).hex()
        self.counter,self.second = itertools.count(1), (0, "")
        self.seen,self.seen_before = set(), set()  # signatures of the last REPLAY_MEMORY messages at least
        self.tail = f'","username":{json.dumps(username or _username())},"session":{json.dumps(self.session)},"version":"{VERSION}"}}'

    def sign(self, frames):
        "Hex signature of `frames` as bytes; empty if the key is."
        if self.base is None: return b""
        h = self.base.copy()
        h.update(b"".join(frames))
        return h.hexdigest().encode()

    def header(self, msg_type):
        "(msg_id, header as JSON bytes) of a new message; the process is part of the id, so that forks never meet."
        msg_id = f"{self.session}_{process[0]}_{next(self.counter)}"
        return msg_id, f'{{"msg_id":"{msg_id}","msg_type":{_quoted(msg_type)},"date":"{self.now()}{self.tail}'.encode()

    def now(self):
        "The time as ISO 8601, UTC; what is the same for a second is made once."
        t = time.time()
        second,text = self.second
        if second != int(t): self.second = second,text = int(t), time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(t))
        return f"{text}{int((t - second)*1e6):06d}Z"

    def pack(self, msg_type, content, parent=b"{}", metadata=None, buffers=None, idents=()):
        "(msg_id, frames) of a new message; `parent` is the parent's header as it came in (bytes). TypeError if a buffer is not bytes-like."
        msg_id,header = self.header(msg_type)
        parts = [header, parent, dumps(metadata) if metadata else b"{}", dumps(content)]
        frames = [*idents, DELIM, self.sign(parts), *parts]
        if buffers: frames += [as_buffer(b) for b in buffers]
        return msg_id, frames

    def unpack(self, frames):
        "`frames` (bytes; buffers may be memoryviews) as a Msg. BadMsg if malformed, wrongly signed or seen before."
        try: i = frames.index(DELIM)
        except ValueError: raise BadMsg("no delimiter") from None
        if len(frames) < i+6: raise BadMsg("too few frames after the delimiter", str(len(frames) - i - 1))
        sig,header_raw,parent,metadata,content = frames[i+1:i+6]
        self._verify(bytes(sig), frames[i+2:i+6])
        header = _object(header_raw, "header")
        for k in ("msg_id", "msg_type"):
            if not isinstance(header.get(k), str): raise BadMsg(f"header has no {k}")
        try: parts = [_object(f, name) for f,name in ((content, "content"), (parent, "parent_header"), (metadata, "metadata"))]
        except BadMsg as e: parts = [str(e), {}, {}]  # what is wrong, as the content: the message itself is genuine and deserves an error reply
        return Msg(header, *parts, frames[i+6:], frames[:i], header_raw)

    def _verify(self, sig, parts):
        if self.base is None: return
        if not sig: raise BadMsg("unsigned message")
        if not hmac.compare_digest(sig, self.sign(parts)): raise BadMsg("wrong signature")
        sig = hash(sig)  # a third of the memory; two in 2**64 are the same
        if sig in self.seen or sig in self.seen_before: raise BadMsg("replayed message")
        self.seen.add(sig)
        if len(self.seen) > REPLAY_MEMORY: self.seen,self.seen_before = set(), self.seen


def _username():
    name = next(filter(None, map(os.environ.get, ("LOGNAME", "USER", "LNAME", "USERNAME"))), None)  # as getpass, which takes its time to import
    if name: return name
    import getpass
    try: return getpass.getuser()
    except (KeyError, OSError, ImportError): return "username"  # no passwd entry, as in many containers


def read_connection(path):
    "The connection file at `path` as a dict with defaults for what may be missing; ValueError says what is wrong with it."
    try: info = json.loads(open(path, encoding="utf-8").read())
    except (ValueError, RecursionError) as e: raise ValueError(f"connection file {path} is no JSON: {e}") from None
    if not isinstance(info, dict): raise ValueError(f"connection file {path} holds no JSON object")
    return connection(**info)


def connection(transport="tcp", ip="127.0.0.1", key=None, signature_scheme="hmac-sha256", **rest):
    "A connection dict; ports not given are 0 (to be bound), a `key` of None is made. ValueError on what cannot be."
    if transport not in ("tcp", "ipc"): raise ValueError(f"unknown transport {transport!r}: tcp and ipc are possible")
    ports = {f"{p}_port": rest.pop(f"{p}_port", 0) for p in PORTS}
    for k,v in ports.items():
        if isinstance(v, bool) or not isinstance(v, int) or not 0 <= v <= 65535: raise ValueError(f"{k} must be a port number, not {v!r}")
    key = os.urandom(32).hex() if key is None else key
    for k,v in dict(ip=ip, key=key, signature_scheme=signature_scheme).items():
        if not isinstance(v, str): raise ValueError(f"{k} must be a string, not {v!r}")
    return {**ports, "transport": transport, "ip": ip, "key": key, "signature_scheme": signature_scheme, **rest}


def write_connection(path, info):
    "Write `info` to `path` in one step, readable for its owner only."
    import tempfile
    folder = os.path.dirname(os.path.abspath(path))
    fd,tmp = tempfile.mkstemp(prefix=".kernel-", dir=folder)  # mkstemp gives mode 0600
    with os.fdopen(fd, "w", encoding="utf-8") as f: json.dump(info, f, indent=2)
    os.replace(tmp, path)


def endpoint(info, channel, port=None):
    "The zmq address of `channel` (one of PORTS) in the connection dict `info`."
    port = info[f"{channel}_port"] if port is None else port
    return f"tcp://{info['ip']}:{port}" if info["transport"] == "tcp" else f"ipc://{info['ip']}-{port}"
