"sys.stdout and sys.stderr as libraries know them, and for whom their text is."
import io, logging

import pytest

from fakes import Out, execute, texts
from ipymini.capture.patches import Stream
from ipymini.capture.fds import Fds
from ipymini.request.scope import Scope, current


@pytest.fixture(autouse=True)
def out(monkeypatch):
    "A port that nobody is asked through yet; what no request caused goes there too."
    out = Out()
    monkeypatch.setattr(Scope, "latest", None)
    monkeypatch.setattr(Scope, "nobody", Scope(out.port), raising=False)
    return out


def scope(out, mid): return Scope(out.port, execute("", mid))


def test_stream_surface():
    "What libraries ask of sys.stdout."
    s,e = Stream("stdout", 1, Fds()), Stream("stderr", 2, Fds())
    assert isinstance(s, io.TextIOBase) and (s.name, s.mode, s.encoding, s.errors, s.newlines, s.fileno()) == ("<stdout>", "w", "utf-8", "strict", None, 1)
    assert (e.name, e.errors, e.fileno()) == ("<stderr>", "backslashreplace", 2)
    assert s.writable() and s.line_buffering and not any([s.isatty(), s.readable(), s.seekable(), s.closed, s.write_through])
    b = s.buffer
    assert (b.name, b.mode, b.writable(), b.readable(), b.isatty(), b.fileno(), b.closed) == ("<stdout>", "wb", True, False, False, 1, False) and b.raw.writable()
    for f in (s.read, s.readline, s.detach, lambda: s.seek(0), s.tell, s.truncate):
        with pytest.raises(io.UnsupportedOperation): f()


def test_stream_writes(out):
    s = Stream("stdout", 1, Fds())
    assert (s.write("é\n"), s.write(""), s.buffer.write(b"ab"), s.buffer.write(memoryview(b"abcd").cast("H"))) == (2, 0, 2, 4)
    for bad in (b"x", None, 3):
        with pytest.raises(TypeError, match=f"must be str, not {type(bad)}"): s.write(bad)
    with pytest.raises(TypeError): s.buffer.write("x")
    s.writelines(["1", "2"])
    print("p", 3, file=s, flush=True)
    with s: print("in with", file=s)
    s.close()
    print("still open", file=s)
    assert texts(out) == [(None, "stdout", "é\nababcd12p 3\nin with\nstill open\n")] and not s.closed


def test_stream_buffer_joins_split_characters(out):
    s,data = Stream("stdout", 1, Fds()), "aé\u20ac\U0001f600".encode()
    for i in range(len(data)): s.buffer.write(data[i:i+1])
    s.buffer.write(b"\xff\xc3(")
    assert texts(out) == [(None, "stdout", "aé\u20ac\U0001f600\ufffd\ufffd(")]


def test_stream_reconfigure(out):
    s = Stream("stdout", 1, Fds())
    s.reconfigure(encoding="latin-1", line_buffering=False)
    s.buffer.write(b"\xe9")
    assert (s.encoding, s.errors, s.line_buffering) == ("iso8859-1", "strict", False)
    s.reconfigure(encoding="UTF8", errors="ignore", write_through=True)
    s.reconfigure(line_buffering=True)
    s.write("\u20ac")
    assert (s.encoding, s.errors, s.line_buffering, s.write_through) == ("utf-8", "ignore", True, True) and texts(out) == [(None, "stdout", "é\u20ac")]
    for bad in (dict(encoding="nonsense"), dict(errors="nonsense")):
        with pytest.raises(LookupError): s.reconfigure(**bad)
    assert (s.encoding, s.errors) == ("utf-8", "ignore")


def test_stream_under_other_layers(out):
    "A TextIOWrapper around the buffer, as scripts for Windows make one, and a logging handler."
    s = Stream("stderr", 2, Fds())
    wrapper = io.TextIOWrapper(s.buffer, encoding="utf-8")
    wrapper.write("wrapped é\n")
    wrapper.flush()
    del wrapper
    handler = logging.StreamHandler(s)
    handler.emit(logging.LogRecord("x", 30, "", 1, "logged", (), None))
    s.buffer.write(b"after\n")
    assert texts(out) == [(None, "stderr", "wrapped é\nlogged\nafter\n")]


def test_for_whom_text_is(out):
    "The request of the context, else the latest execute, else nobody."
    s = Stream("stdout", 1, Fds())
    s.write("0")
    with scope(out, "a"): s.write("1")
    s.write("2")
    with scope(out, "b"), scope(out, "c"):
        token = current.set(None)
        s.write("3")
        current.reset(token)
        s.write("4")
    assert texts(out) == [(None, "stdout", "0"), ("a", "stdout", "12"), ("c", "stdout", "34")]
