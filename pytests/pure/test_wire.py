"The wire: what unpack takes and refuses, what pack makes, the other half of the protocol (jupyter_client's Session), connection files."
import hashlib, hmac, json, os, stat
from datetime import datetime, timedelta, timezone

import pytest
from jupyter_client.session import Session

import ipymini.wire.messages as wire
from ipymini.wire.messages import DELIM, PORTS, BadMsg, Codec, connection, endpoint, read_connection, write_connection

SCHEMES = sorted(d for d in hashlib.algorithms_guaranteed if not d.startswith("shake"))
HEADER = dict(msg_id="m", msg_type="execute_request", session="s", username="u", date="2026-01-02T03:04:05Z", version="5.5")


def frames(*, sig=b"", header=HEADER, parent={}, metadata={}, content={}, idents=(), buffers=()):  # noqa: B006
    raw = [p if isinstance(p, bytes) else json.dumps(p).encode() for p in (header, parent, metadata, content)]
    return [*idents, DELIM, sig, *raw, *buffers]


def refused(codec, fs, why):
    with pytest.raises(BadMsg, match=why): codec.unpack(fs)


# --- unpack

@pytest.mark.parametrize("digest", SCHEMES)
def test_every_hmac_scheme(digest):
    "The signature is the HMAC of the four parts, as a plain computation says; the buffers are not signed."
    codec = Codec("key", f"hmac-{digest}")
    _,fs = codec.pack("status", dict(execution_state="busy"), buffers=[b"not signed"])
    assert fs[1].decode() == hmac.new(b"key", b"".join(fs[2:6]), digest).hexdigest()
    assert codec.unpack(fs).content == dict(execution_state="busy")


@pytest.mark.parametrize("scheme", ["", None, "hmac", "hmac-", "hmac-nonsense", "md5", "ed25519-sha256"])
def test_unknown_scheme(scheme):
    with pytest.raises(ValueError, match="signature_scheme"): Codec("key", scheme)


def test_empty_key_signs_nothing():
    codec = Codec("")
    _,fs = codec.pack("a", {})
    assert fs[1] == b"" and codec.unpack(fs).type == "a"
    assert codec.unpack(fs).type == "a"  # no signature, no replay
    assert codec.unpack(frames(sig=b"anything")).id == "m"


def test_signatures_refused():
    "Missing, wrong, of another key, over changed parts, seen before; a refused one may still come rightly signed."
    codec,other = Codec("key"), Codec("other")
    refused(codec, frames(), "unsigned")
    refused(codec, frames(sig=b"0"*64), "wrong signature")
    refused(codec, frames(sig="\xe9".encode()), "wrong signature")
    refused(codec, other.pack("a", {})[1], "wrong signature")
    _,fs = codec.pack("a", {})
    for i in range(2, 6): refused(codec, [*fs[:i], b'{"x":1}', *fs[i+1:]], "wrong signature")
    assert codec.unpack(fs).type == "a"
    refused(codec, fs, "replayed")
    refused(codec, [b"another client", *fs], "replayed")


def test_replay_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(wire, "REPLAY_MEMORY", 3)
    codec = Codec("key")
    msgs = [codec.pack("a", {})[1] for _ in range(10)]
    for fs in msgs: codec.unpack(fs)
    assert len(codec.seen | codec.seen_before) <= 7
    for fs in msgs[-3:]: refused(codec, fs, "replayed")
    assert codec.unpack(msgs[0]).type == "a"


def test_too_few_frames():
    codec = Codec("")
    refused(codec, [], "no delimiter")
    refused(codec, [b"id", b"sig", b"{}", b"{}", b"{}", b"{}"], "no delimiter")
    for n in range(5): refused(codec, [b"id", *frames()[:n+1]], f"too few frames after the delimiter: {n}")


@pytest.mark.parametrize("bad,why", [
    (b"", "no JSON"), (b"{", "no JSON"), (b"\xff\xfe\x00", "no JSON"), (b"[" * 100, "no JSON"), (b"[]", "no object: list"), (b"null", "NoneType"),
    (b"3", "int"), (b'"x"', "str")], ids=lambda v: str(v)[:12])
def test_bad_parts(bad, why):
    "Broken JSON or no object: with a good header the message is genuine, and its sender deserves an answer: what is wrong takes the content's place."
    codec = Codec("")
    refused(codec, frames(header=bad), f"header is .*{why}")
    for part,name in dict(parent="parent_header", metadata="metadata", content="content").items():
        msg = codec.unpack(frames(**{part: bad}))
        assert isinstance(msg.content, str) and why in msg.content and msg.content.startswith(f"{name} is ")
        assert isinstance(msg.metadata, dict) and isinstance(msg.parent_header, dict)


NESTED = dict(lists=lambda n: b"[" * n + b"]" * n, objects=lambda n: b'{"a":' * n + b"1" + b"}" * n, both=lambda n: b'[{"a":' * (n // 2) + b"1" + b"}]" * (n // 2),
    wide=lambda n: b"[" + b"[]," * 10_000 + b"[" * (n - 1) + b"]" * (n - 1) + b"]", begun=lambda n: b"[" * n, after_text=lambda n: b'["\\"[[[", ' + b"[" * (n - 1) + b"]" * n)


@pytest.mark.parametrize("how", NESTED)
def test_depth(how):
    "JSON that is nested too deep is not even read: near the recursion limit a finalizer that the collector calls would end the process."
    deep = NESTED[how]
    for n,refused in ((wire.DEEP, False), (wire.DEEP + 2, True), (100_000, True)): assert wire.too_deep(deep(n)) is refused
    msg = Codec("").unpack(frames(content=b'{"a":' + deep(100_000) + b"}"))
    assert msg.content == f"content is nested too deep: more than {wire.DEEP} times"


def test_brackets_in_text_are_no_depth():
    "Code has many, and strings may hold quotes and backslashes."
    text = json.dumps(dict(code="[{" * 10_000, more=['"[' * 1000, "\\" * 999 + "[" * 1000, "\\\"[" * 1000])).encode()
    assert not wire.too_deep(text) and isinstance(Codec("").unpack(frames(content=text)).content, dict)


@pytest.mark.parametrize("key", ["msg_id", "msg_type"])
@pytest.mark.parametrize("value", [None, 3, ["a"], ...])
def test_header_without_identity(key, value):
    header = {k: v for k,v in HEADER.items() if k != key} | ({} if value is ... else {key: value})
    refused(Codec(""), frames(header=header), f"header has no {key}")


def test_parts_arrive():
    "Identities, buffers (memoryviews stay what they are), metadata, parent; and the header as it came, byte for byte."
    raw = b'{ "version": "5.5", "msg_type":"execute_request","msg_id":"m", "subshell_id": "s1", "future": [1.50] }'
    view = memoryview(b"buf")
    msg = Codec("").unpack(frames(header=raw, parent=dict(msg_id="p"), metadata=dict(cellId="c"), content=dict(code="1"), idents=[b"a", b"", b"\xff"],
        buffers=[view, b""]))
    assert (msg.idents, msg.parent_header, msg.metadata, msg.content) == ([b"a", b"", b"\xff"], dict(msg_id="p"), dict(cellId="c"), dict(code="1"))
    assert msg.buffers == [view, b""] and msg.buffers[0] is view
    assert (msg.header_raw, msg.subshell_id, msg.type, msg.id) == (raw, "s1", "execute_request", "m")
    assert Codec("").pack("execute_reply", {}, msg.header_raw)[1][3] == raw


def test_as_dict_dates():
    "Libraries get datetimes; what is no date stays as it came."
    def parsed(value): return Codec("").unpack(frames(header=HEADER | dict(date=value))).as_dict()["header"]["date"]
    assert parsed("2026-01-02T03:04:05.6Z") == datetime(2026, 1, 2, 3, 4, 5, 600_000, timezone.utc)
    assert parsed("2026-01-02T03:04:05+02:00") == datetime(2026, 1, 2, 1, 4, 5, tzinfo=timezone.utc)
    assert [parsed(v) for v in ("yesterday", "", 3, None)] == ["yesterday", "", 3, None]


def test_own_headers():
    "Ids are unique and name the process; dates are UTC; session and username hold."
    codec = Codec("", session="se", username='u"\\é')
    ids = {codec.pack("a", {})[0] for _ in range(1000)}
    assert len(ids) == 1000 and all(str(os.getpid()) in i for i in ids)
    mid,fs = codec.pack('odd "type"\n', {})
    header = json.loads(fs[2])
    age = datetime.now(timezone.utc) - datetime.fromisoformat(header.pop("date").replace("Z", "+00:00"))
    assert header == dict(msg_id=mid, msg_type='odd "type"\n', username='u"\\é', session="se", version="5.5") and timedelta(0) <= age < timedelta(seconds=5)


# --- the other half of the protocol: jupyter_client's Session

CONTENTS = [  # chkstyle: ignore-node (a table)
    (dict(code="print(1)\n", silent=False), None), (dict(text="é\u2028\U0001f600\0"), None), (dict(n=[1, 1.5, True, None, {}]), None),
    (dict(data=b"\0\xff"), dict(data="AP8=")), (dict(t="a\ud800"), dict(t="a\ufffd")), (dict(t="\ud83d\ude00"), dict(t="\U0001f600"))]
KEYS = pytest.mark.parametrize("key,scheme", [(b"key", "hmac-sha256"), (b"k"*200, "hmac-sha512"), (b"key", "hmac-md5"), (b"", "hmac-sha256")])


def as_plain(m):
    "The parts of a message that both sides must agree on; the date as a datetime."
    parts = m if isinstance(m, dict) else m.as_dict()
    return {k: parts[k] for k in ("header", "msg_id", "msg_type", "parent_header", "metadata", "content")}, [bytes(b) for b in parts["buffers"]]


@KEYS
@pytest.mark.parametrize("content,_", [c for c in CONTENTS if c[1] is None], ids=repr)
def test_session_to_codec(key, scheme, content, _):
    "What jupyter_client sends arrives: content, parent, metadata, dates, subshell_id."
    session,codec = Session(key=key, signature_scheme=scheme), Codec(key, scheme)
    parent = session.msg("input_request")["header"]
    sent = session.msg("execute_request", content, parent=parent, metadata=dict(cellId="c"))
    sent["header"]["subshell_id"] = "s1"
    msg = codec.unpack([b"id", *session.serialize(sent), b"one", memoryview(b"two")])
    got,buffers = as_plain(msg)
    assert (msg.idents, buffers, msg.subshell_id) == ([b"id"], [b"one", b"two"], "s1")
    assert got["header"].pop("date") == sent["header"]["date"] and got["header"] == {k: v for k,v in sent["header"].items() if k != "date"}
    assert (got["content"], got["metadata"], got["parent_header"]["msg_id"]) == (content, dict(cellId="c"), parent["msg_id"])


@KEYS
@pytest.mark.parametrize("content,want", CONTENTS + [(dict(x=[float("nan")]), dict(x=["nan"])), (dict(x=datetime(2026, 1, 2, tzinfo=timezone.utc)), None)], ids=repr)
def test_codec_to_session(key, scheme, content, want):
    "What we send, jupyter_client verifies and reads: with its own dates, and with our parent as it came."
    session,codec = Session(key=key, signature_scheme=scheme), Codec(key, scheme)
    parent = codec.unpack(session.serialize(session.msg("execute_request", dict(code="1"))))
    mid,fs = codec.pack("comm_msg", content, parent.header_raw, dict(a=b"b"), [b"one", bytearray(b"two")], [b"id1", b"id2"])
    idents,rest = session.feed_identities(fs)
    got,buffers = as_plain(session.deserialize(rest))
    assert (idents, buffers, got["msg_id"], got["msg_type"]) == ([b"id1", b"id2"], [b"one", b"two"], mid, "comm_msg")
    assert isinstance(got["header"]["date"], datetime) and got["parent_header"] == parent.as_dict()["header"] and got["metadata"] == dict(a="Yg==")
    assert got["content"] == (content if want is None else want) or got["content"] == dict(x="2026-01-02T00:00:00Z")


def test_session_refuses_what_we_refuse():
    "Both sides see a wrong signature and a replay."
    session,codec = Session(key=b"a"), Codec("b")
    refused(codec, session.serialize(session.msg("a")), "wrong signature")
    with pytest.raises(ValueError, match="Invalid Signature"): session.deserialize(session.feed_identities(codec.pack("a", {})[1])[1])
    ours = Codec("a")
    fs = session.serialize(session.msg("a"))
    ours.unpack(fs)
    refused(ours, fs, "replayed")


# --- connection files

def write(path, info):
    path.write_text(info if isinstance(info, str) else json.dumps(info))
    return str(path)


def test_connection_file_round_trip(tmp_path):
    "Readable for its owner only, whatever was there before; nothing but the file is left."
    path,info = tmp_path/"kernel.json", connection(shell_port=5, kernel_name="ipymini", curve_publickey="x")
    path.touch(mode=0o666)
    write_connection(str(path), info)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and os.listdir(tmp_path) == ["kernel.json"]
    assert read_connection(str(path)) == info and info["shell_port"] == 5 and info["curve_publickey"] == "x"


def test_connection_file_without_fields(tmp_path):
    "What is missing has its default: any port, a new key; an empty key stays empty."
    info = read_connection(write(tmp_path/"k.json", {}))
    assert {k: v for k,v in info.items() if k != "key"} == dict(transport="tcp", ip="127.0.0.1", signature_scheme="hmac-sha256") | {f"{p}_port": 0 for p in PORTS}
    assert len(info["key"]) == 64 and read_connection(write(tmp_path/"k.json", {}))["key"] != info["key"]
    assert read_connection(write(tmp_path/"k.json", dict(key="")))["key"] == ""


BAD = {"": "no JSON", "{": "no JSON", "[1]": "no JSON object", "null": "no JSON object", '{"transport": "udp"}': "unknown transport 'udp'",
    **{f'{{"{k}": {v}}}': f"{k} must be a string" for k in ("key", "ip", "signature_scheme") for v in ("5", "true", '["a"]')},
    **{f'{{"iopub_port": {v}}}': "iopub_port must be a port number" for v in ("-1", "65536", '"8080"', "true", "1.5", "null")}}


@pytest.mark.parametrize("text,why", BAD.items())
def test_bad_connection_file(tmp_path, text, why):
    "The error says what is wrong."
    with pytest.raises(ValueError, match=why): read_connection(write(tmp_path/"k.json", text))


def test_deep_connection_file(tmp_path):
    "Too deep for Python's parser."
    with pytest.raises(ValueError, match="no JSON"): read_connection(write(tmp_path/"k.json", "[" * 100_000))


def test_no_connection_file(tmp_path):
    (tmp_path/"latin").write_bytes(b'{"key": "\xe9"}')
    with pytest.raises(ValueError, match="no JSON"): read_connection(str(tmp_path/"latin"))
    with pytest.raises(OSError): read_connection(str(tmp_path/"none"))


def test_endpoint():
    tcp,ipc = connection(ip="127.0.0.9", hb_port=7), connection("ipc", "/tmp/x", shell_port=2)
    assert (endpoint(tcp, "hb"), endpoint(tcp, "shell", "*")) == ("tcp://127.0.0.9:7", "tcp://127.0.0.9:*")
    assert (endpoint(ipc, "shell"), endpoint(ipc, "shell", 3)) == ("ipc:///tmp/x-2", "ipc:///tmp/x-3")
