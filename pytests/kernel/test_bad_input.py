"""Whole kernel: whatever arrives, the kernel lives on. Frames that are no message get no answer; a request that cannot be done gets an error.
Spec: messaging (the wire protocol). Sent as bare frames, with signatures made here."""
import json, pytest, zmq

from harness import DELIM, RawClient, kind, raw_client

CHANNELS = ["shell", "control"]


def assert_silent(raw, channel):
    "No answer, no iopub message, and a valid request right behind is answered: the kernel has seen the bad frames by then."
    reply, iopub = raw.request(channel, raw.frames("kernel_info_request"), 5)
    assert reply["content"]["status"] == "ok" and [kind(m) for m in iopub] == ["busy", "idle"]
    assert raw.recv(channel, 0.1) is None and raw.recv("iopub", 0) is None


def parts(raw, **kw):
    "The four JSON parts of a kernel_info_request, any of them replaced by bytes."
    res = dict(header=json.dumps(raw.header("kernel_info_request")).encode(), parent=b"{}", metadata=b"{}", content=b"{}") | kw
    return list(res.values())


BAD_FRAMES = dict(  # chkstyle: ignore-node (a table, a case a line)
    no_delimiter     = lambda r: [b"a", b"b", b"c", b"d", b"e", b"f"],
    one_empty        = lambda r: [b""],
    only_delimiter   = lambda r: [DELIM],
    two_delimiters   = lambda r: [DELIM, DELIM],
    too_few          = lambda r: r.frames("kernel_info_request")[:-1],
    only_signature   = lambda r: r.frames("kernel_info_request")[:2],
    wrong_signature  = lambda r: r.frames("kernel_info_request", signature=b"0" * 64),
    other_key        = lambda r: r.frames("kernel_info_request", signature=r.sign([b"something else"])),
    no_signature     = lambda r: r.frames("kernel_info_request", signature=b""),
    short_signature  = lambda r: r.frames("kernel_info_request", signature=r.sign(parts(r))[:10]),
    odd_signature    = lambda r: r.frames("kernel_info_request", signature="é€".encode() + b"\xff\x00"),
    changed_content  = lambda r: [*r.frames("execute_request", dict(code="1"))[:-1], b'{"code": "2"}'],
    broken_header    = lambda r: r.frames("x", parts=parts(r, header=b"{")),
    not_utf8         = lambda r: r.frames("x", parts=parts(r, header=b'{"msg_id": "\xff"}')),
    header_is_a_list = lambda r: r.frames("x", parts=parts(r, header=b"[]")),
    header_is_null   = lambda r: r.frames("x", parts=parts(r, header=b"null")),
    header_is_empty  = lambda r: r.frames("x", parts=parts(r, header=b"{}")),
    header_no_msg_id = lambda r: r.frames("x", parts=parts(r, header=b'{"msg_type": "kernel_info_request"}')),
    header_no_type   = lambda r: r.frames("x", parts=parts(r, header=b'{"msg_id": "a"}')),
    header_odd_types = lambda r: r.frames("x", parts=parts(r, header=b'{"msg_id": [], "msg_type": {}}')))


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("what", BAD_FRAMES)
def test_bad_frames(raw, what, channel):
    "What is no message at all is dropped, without an answer."
    raw.send_frames(channel, BAD_FRAMES[what](raw))
    assert_silent(raw, channel)


@pytest.mark.parametrize("channel", CHANNELS)
def test_replay(raw, channel):
    "A message seen before, byte for byte, is not served twice."
    frames = raw.frames("kernel_info_request")
    raw.request(channel, frames)
    raw.send_frames(channel, frames)
    assert_silent(raw, channel)


def test_replayed_execute(raw):
    frames = raw.frames("execute_request", dict(code="replayed = globals().get('replayed', 0) + 1"))
    raw.request("shell", frames)
    for _ in range(3): raw.send_frames("shell", frames)
    reply, _ = raw.request("shell", raw.frames("execute_request", dict(code="", silent=True, user_expressions=dict(n="replayed"))))
    assert reply["content"]["user_expressions"]["n"]["data"]["text/plain"] == "1"


def test_replay_on_another_channel(raw):
    frames = raw.frames("kernel_info_request")
    raw.request("shell", frames)
    raw.send_frames("control", frames)
    assert_silent(raw, "control")


EXECUTE = dict(code="1", silent=False, store_history=True, user_expressions={}, allow_stdin=False, stop_on_error=True)
BAD_CONTENT = [  # chkstyle: ignore-node (a table, some cases a line)
    ("execute_request", []), ("execute_request", None), ("execute_request", "text"), ("execute_request", 3), ("execute_request", {}),
    ("execute_request", dict(code=None)), ("execute_request", dict(code=3)), ("execute_request", dict(code=["1"])),
    ("execute_request", EXECUTE | dict(user_expressions=[1])), ("execute_request", EXECUTE | dict(user_expressions=dict(a=1))),
    ("complete_request", {}), ("complete_request", dict(code="a", cursor_pos="1")), ("complete_request", dict(code=1, cursor_pos=1)),
    ("inspect_request", {}), ("inspect_request", dict(code="a", cursor_pos=[])), ("is_complete_request", {}), ("is_complete_request", dict(code=1)),
    ("history_request", {}), ("history_request", dict(hist_access_type="sideways", raw=True, output=False)),
    ("history_request", dict(hist_access_type="tail", n="x", raw=True, output=False)),
    ("comm_info_request", []), ("no_such_request", {}), ("no_such_request", []), ("_private_request", {}), ("__init___request", {})]


def assert_error(reply, iopub, msg_type):
    assert reply["header"]["msg_type"] == msg_type.replace("_request", "_reply")
    assert reply["content"]["status"] == "error" and reply["content"]["ename"]
    assert [kind(m) for m in (iopub[0], iopub[-1])] == ["busy", "idle"] and not {"execute_result"} & {kind(m) for m in iopub}


@pytest.mark.parametrize("msg_type,content", BAD_CONTENT)
def test_bad_content(raw, msg_type, content):
    "A signed request that cannot be done: busy, an error reply with ename and evalue, idle."
    frames = raw.frames(msg_type)
    body = json.dumps(content).encode()
    frames = raw.frames(msg_type, parts=[*frames[2:5], body])
    if msg_type == "execute_request" and isinstance(content, dict) and content.get("user_expressions") == dict(a=1):
        reply, iopub = raw.request("shell", frames, 5)
        assert reply["content"]["status"] in ("ok", "error") and kind(iopub[-1]) == "idle"
    else: assert_error(*raw.request("shell", frames, 5), msg_type)
    assert_silent(raw, "shell")


@pytest.mark.parametrize("msg_type,content", [
    ("no_such_request", {}), ("interrupt_request", []), ("shutdown_request", []), ("shutdown_request", dict(restart="maybe")),
    ("debug_request", []), ("execute_request", {})])
def test_bad_content_on_control(raw, msg_type, content):
    "The same on control; no shutdown that is none ends the kernel."
    assert_error(*raw.request("control", raw.frames(msg_type, content), 5), msg_type)
    assert_silent(raw, "control")


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("content", [b'{"a": ', b"", b"nul", b"\xff\xfe", b"[" * 100_000 + b"]" * 100_000])
def test_broken_content(raw, channel, content):
    "Signed, with a good header, but the content cannot be read: whoever asks is told."
    assert_error(*raw.request(channel, raw.frames("kernel_info_request", parts=parts(raw, content=content)), 5), "kernel_info_request")
    assert_silent(raw, channel)


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("part", ["parent", "metadata"])
def test_broken_parent_or_metadata(raw, channel, part):
    "The same: the message is genuine, as its signature tells."
    assert_error(*raw.request(channel, raw.frames("kernel_info_request", parts=parts(raw, **{part: b"nul"})), 5), "kernel_info_request")
    assert_silent(raw, channel)


def test_out_of_range_cursor(raw):
    "Positions beyond the code, or before it, are taken to its ends."
    for pos in (10_000, -5):
        for t in ("complete_request", "inspect_request"):
            reply, _ = raw.request("shell", raw.frames(t, dict(code="pri", cursor_pos=pos, detail_level=0)), 5)
            assert reply["content"]["status"] == "ok"


def test_bad_comm_content(raw):
    "Comm messages have no reply: a bracket, and no harm."
    for t in ("comm_open", "comm_msg", "comm_close"):
        for content in ({}, [], dict(comm_id=3), dict(comm_id="c", target_name=[], data={})):
            frames = raw.frames(t, content)
            raw.send_frames("shell", frames)
            raw.bracket(json.loads(frames[2])["msg_id"], 5)
    assert_silent(raw, "shell")


def test_unsolicited_replies(raw):
    "Replies sent to the kernel, and input_replies that nobody waits for, change nothing."
    for t in ("execute_reply", "status", "input_reply"): raw.send_frames("shell", raw.frames(t, dict(status="ok", value="x")))
    raw.send_frames("stdin", raw.frames("input_reply", dict(value="x")))
    raw.send_frames("stdin", [b"junk"])
    reply, _ = raw.request("control", raw.frames("kernel_info_request"), 5)
    assert reply["content"]["status"] == "ok"
    while raw.recv("shell", 0.2): pass  # an error reply in kind is as good as silence
    reply, _ = raw.request("shell", raw.frames("execute_request", EXECUTE), 5)
    assert reply["content"]["status"] == "ok"


def test_big_message(raw):
    "50 MB in the content and 50 MB in buffers, and a cell of 5 MB (which IPython reads many times)."
    raw.send_frames("shell", frames := raw.frames("comm_msg", dict(comm_id="none", data=dict(big="y" * 50_000_000)), buffers=[b"z" * 50_000_000]))
    raw.bracket(json.loads(frames[2])["msg_id"], 30)
    big = "x = '" + "y" * 5_000_000 + "'"
    reply, iopub = raw.request("shell", raw.frames("execute_request", EXECUTE | dict(code=big, user_expressions=dict(n="len(x)"))), 30)
    assert reply["content"]["user_expressions"]["n"]["data"]["text/plain"] == "5000000" and len(iopub[1]["content"]["code"]) == len(big)


def test_big_junk(raw):
    raw.send_frames("shell", [b"j" * 50_000_000])
    assert_silent(raw, "shell")


def test_many_identities(raw):
    "A request through a proxy has more than one identity; the reply gets them all back."
    frames = raw.frames("kernel_info_request")
    raw.send_frames("shell", [b"hop one", b"hop two", *frames])
    reply = raw.recv("shell", 5)
    assert reply["idents"] == [b"hop one", b"hop two"]
    raw.bracket(json.loads(frames[2])["msg_id"])


def test_client_disappears(kernel):
    "A client that goes away with a cell running, output pouring and an input waiting; another goes on."
    for code in ("for i in range(20_000): print(i)", "import time\ntime.sleep(0.3)\nprint('x')"):
        gone = RawClient(kernel.km.connection_file)
        gone.wait_ready()
        gone.send_frames("shell", gone.frames("execute_request", EXECUTE | dict(code=code)))
        assert gone.recv("iopub", 5)
        gone.close()
        assert kernel.execute("1 + 1").ok().result == "2"


def test_client_disappears_with_a_question(kernel):
    "Nobody can answer any more: an interrupt frees the kernel."
    gone = RawClient(kernel.km.connection_file)
    gone.wait_ready()
    gone.send_frames("shell", gone.frames("execute_request", EXECUTE | dict(code="input('? ')", allow_stdin=True, stop_on_error=False)))
    assert gone.recv("stdin", 5)["content"]["prompt"] == "? "
    gone.close()
    kernel.interrupt("message")
    assert kernel.execute("1 + 1").ok().result == "2"


def test_client_that_does_not_read(kernel):
    "A subscriber that never reads does not keep a cell from its end."
    c = RawClient(kernel.km.connection_file)
    c.sockets["iopub"].setsockopt(zmq.RCVHWM, 1)
    c.wait_ready()
    try: assert kernel.execute("for i in range(3000): display(i)", timeout=60).ok().kinds.count("display_data") == 3000
    finally: c.close()


def test_handover(kernel):
    "A client that comes back with the identity of a connection that still stands takes it over."
    with raw_client(kernel.km.connection_file) as old:
        new = RawClient(kernel.km.connection_file)
        new.sockets["shell"].close()
        new.identity = old.identity
        new.sockets["shell"] = new.connect("shell")
        try:
            new.wait_ready()
            assert new.request("shell", new.frames("kernel_info_request"))[0]["content"]["status"] == "ok"
        finally: new.close()
