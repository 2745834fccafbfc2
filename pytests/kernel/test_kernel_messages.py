"""Whole kernel: every request but execute, on shell and control, and what iopub says at a start.
Spec: messaging (kernel_info, connect, complete, inspect, is_complete, history, interrupt, shutdown), JEP 65 (iopub_welcome)."""
import json, pytest, re, sys
from pathlib import Path

from harness import KERNEL_NAME, raw_client, started
from spec import kind


@pytest.mark.parametrize("channel", ["shell", "control"])
def test_kernel_info(kernel, channel):
    info = kernel.request("kernel_info_request", channel=channel).ok().content
    lang = info["language_info"]
    assert info["protocol_version"].startswith("5.")
    assert (lang["name"], lang["file_extension"], lang["mimetype"]) == ("python", ".py", "text/x-python")
    assert lang["version"] == ".".join(map(str, sys.version_info[:3]))
    assert "Python" in info["banner"] and "IPython" in info["banner"]
    assert info["help_links"] and all(h["url"].startswith("http") for h in info["help_links"])
    assert isinstance(info["supported_features"], list)
    if KERNEL_NAME == "ipymini": assert info["implementation"] == "ipymini"


def test_connect(kernel):
    "connect_reply tells the ports of the connection file."
    file = json.loads(Path(kernel.km.connection_file).read_text())
    content = kernel.request("connect_request").ok().content
    assert {k: v for k, v in content.items() if k != "status"} == {k: v for k, v in file.items() if k.endswith("_port")}


def complete(k, code, pos=None): return k.request("complete_request", dict(code=code, cursor_pos=len(code) if pos is None else pos)).ok().content


def test_complete_attribute(kernel):
    kernel.execute("import os").ok()
    c = complete(kernel, "x = os.path.spli")
    code = "x = os.path.spli"
    texts = [code[:c["cursor_start"]] + m for m in c["matches"]]
    assert {"x = os.path.split", "x = os.path.splitext"} <= set(texts)
    assert c["cursor_end"] == len(code)


def test_complete_name_of_the_user(kernel):
    kernel.execute("zebra_crossing = 1").ok()
    c = complete(kernel, "print(zebra_cr)\nmore = 1", 14)
    assert c["matches"] == ["zebra_crossing"] and (c["cursor_start"], c["cursor_end"]) == (6, 14)


def test_complete_counts_characters(kernel):
    "cursor_pos is in unicode characters; an astral one is one character."
    kernel.execute("zebra_crossing = 1").ok()
    code = "'\U0001F431', zebra_cr"
    c = complete(kernel, code)
    assert c["matches"] == ["zebra_crossing"] and (c["cursor_start"], c["cursor_end"]) == (5, len(code))


def test_complete_magic(kernel): assert "%timeit" in complete(kernel, "%timei")["matches"]


def test_complete_nothing(kernel): assert complete(kernel, "no_such_name_anywhere_")["matches"] == []


def test_complete_types(kernel):
    "IPython's experimental types, as JupyterLab shows them: one entry a match, each with its range, text and type."
    kernel.execute("def gnu_function(a): return a\ngnu_value = 1").ok()
    c = complete(kernel, "gnu_")
    types = c["metadata"]["_jupyter_types_experimental"]
    assert {t["text"] for t in types} == set(c["matches"]) == {"gnu_function", "gnu_value"}
    assert all(t["start"] == 0 and t["end"] == 4 for t in types)
    assert {t["text"]: t["type"] for t in types}["gnu_function"] == "function"


def inspect(k, code, pos=None, level=0):
    "The content of an inspect_reply, and its text without colours."
    c = k.request("inspect_request", dict(code=code, cursor_pos=len(code) if pos is None else pos, detail_level=level)).ok().content
    return c, re.sub(r"\x1b\[[\d;]*m", "", c["data"].get("text/plain", ""))


SOURCE = 'def inspected(a, b=2):\n    "Docs of inspected."\n    secret_body = a + b\n    return secret_body'


def test_inspect(kernel):
    kernel.execute(SOURCE).ok()
    c, text = inspect(kernel, "inspected")
    assert c["found"] and "Docs of inspected." in text and "(a, b=2)" in text and "secret_body" not in text


def test_inspect_source(kernel):
    kernel.execute(SOURCE).ok()
    c, text = inspect(kernel, "inspected", level=1)
    assert c["found"] and "secret_body = a + b" in text


def test_inspect_inside_a_call(kernel):
    kernel.execute(SOURCE).ok()
    c, text = inspect(kernel, "y = inspected(1, ", 17)
    assert c["found"] and "Docs of inspected." in text


def test_inspect_not_found(kernel):
    c, _ = inspect(kernel, "no_such_name_anywhere")
    assert (c["found"], c["data"], c["metadata"]) == (False, {}, {})


@pytest.mark.parametrize("code,status,indent", [
    ("1 + 1", "complete", None), ("for i in range(3):\n    print(i)\n\n", "complete", None), ("for i in range(3):", "incomplete", "    "),
    ("f(1,", "incomplete", None),
    ("class A:\n    def f(self):", "incomplete", " " * 8), ("x = '''abc", "incomplete", None), ("import = 7", "invalid", None),
    ("'unclosed", "invalid", None),
    ("%timeit 1", "complete", None), ("!ls", "complete", None), ("await f()", "complete", None), ("", "complete", None)])
def test_is_complete(kernel, code, status, indent):
    c = kernel.request("is_complete_request", dict(code=code)).content
    assert c["status"] == status
    if indent is not None: assert c["indent"] == indent


def history(k, **kw): return k.request("history_request", dict(output=False, raw=True) | kw).ok().content["history"]


def test_history_tail(kernel):
    codes = ["tail_a = 1", "tail_a + 1", "%matplotlib --list"]
    for c in codes: kernel.execute(c).ok()
    last = history(kernel, hist_access_type="tail", n=3)
    assert [h[2] for h in last] == codes
    session, line = last[0][:2]
    assert [h[:2] for h in last] == [[session, line + i] for i in range(3)]


def test_history_output(kernel):
    "The outputs of this session are at hand; those in the database are only with IPython's db_log_output."
    n = kernel.execute("40 + 2").ok().content["execution_count"]
    assert history(kernel, hist_access_type="tail", n=1, output=True)[0][2] == ["40 + 2", None]
    assert history(kernel, hist_access_type="range", session=0, start=n, stop=n + 1, output=True)[0][2] == ["40 + 2", "42"]


def test_history_transformed(kernel):
    kernel.execute("%time pass").ok()
    assert "run_line_magic" in history(kernel, hist_access_type="tail", n=1, raw=False)[0][2]


def test_history_range(kernel):
    for i in range(4): kernel.execute(f"ranged = {i}").ok()
    session, line, _ = history(kernel, hist_access_type="tail", n=1)[0]
    got = history(kernel, hist_access_type="range", session=session, start=line - 2, stop=line)
    assert got == [[session, line - 2, "ranged = 1"], [session, line - 1, "ranged = 2"]]
    assert [h[2] for h in history(kernel, hist_access_type="range", session=0, start=line - 2, stop=line)] == ["ranged = 1", "ranged = 2"]


def test_history_search(kernel):
    for c in ("searched = 1", "searched = 2", "searched = 1", "other = 1"): kernel.execute(c).ok()
    search = dict(hist_access_type="search", pattern="searched*")
    assert [h[2] for h in history(kernel, **search)] == ["searched = 1", "searched = 2", "searched = 1"]
    assert sorted(h[2] for h in history(kernel, **search, unique=True)) == ["searched = 1", "searched = 2"]
    assert [h[2] for h in history(kernel, **search, n=2)] == ["searched = 2", "searched = 1"]
    assert history(kernel, hist_access_type="search", pattern="no?such*thing") == []


def test_history_leaves_out_what_was_not_stored(kernel):
    kernel.execute("stored_here = 1").ok()
    kernel.execute("not_stored_here = 1", store_history=False).ok()
    assert history(kernel, hist_access_type="tail", n=1)[0][2] == "stored_here = 1"


def test_interrupt_when_idle(kernel):
    "Both doors do no harm to an idle kernel."
    for _ in range(3):
        kernel.interrupt("message")
        kernel.interrupt("signal")
        assert kernel.execute("1 + 1").ok().result == "2"


def test_order_of_many(kernel):
    "Requests sent without waiting are answered in the order they were sent, each in its bracket. A query may overtake a cell that takes long on a busy machine."
    runs = []
    for i in range(20):
        runs.append(kernel.execute(f"print({i})", wait=False))
        runs.append(kernel.request("kernel_info_request", wait=False))
    for r in runs: kernel.wait(r)
    assert "".join(r.stdout for r in runs) == "".join(f"{i}\n" for i in range(20))
    for kind in (runs[::2], runs[1::2]):
        dates = [r.reply["header"]["date"] for r in kind]
        assert dates == sorted(dates)


def test_headers(kernel):
    "The kernel has one session, a fresh msg_id for each message, and gives parents back whole."
    run = kernel.execute("print(1)", metadata=dict(cellId="abc"), header_extra=dict(username="someone")).ok()
    msgs = [run.reply, *run.iopub]
    assert len({m["header"]["session"] for m in msgs}) == 1 and len({m["header"]["msg_id"] for m in msgs}) == len(msgs)
    for m in msgs:
        for k in ("msg_id", "username", "session", "msg_type"): assert m["parent_header"][k] == run.msg["header"][k]


def test_starting_is_first():
    "A start publishes `starting` once, before all else but the welcome. It is early: a subscriber sees it only if it is quick, so try some."
    for _ in range(30):
        with started() as k: kinds = [kind(m) for m in k.early]
        if "starting" in kinds: break
    assert kinds.count("starting") == 1 and [m for m in kinds if m not in ("iopub_welcome", "stream")][0] == "starting", kinds


def test_welcome_for_each_subscriber(kernel):
    "JEP 65: each subscription, the second client's too, is welcomed."
    with raw_client(kernel.km.connection_file) as c:
        for topic in (b"kernel", b"caf\xc3\xa9"):
            c.sockets["iopub"].subscribe(topic)
            msg = c.recv("iopub", 5)
            assert msg and (kind(msg), msg["content"]["subscription"]) == ("iopub_welcome", topic.decode())
    k2 = kernel.another()
    try: assert "iopub_welcome" in [kind(m) for m in k2.unsolicited]
    finally: k2.close()


def test_second_client(kernel):
    "Two clients: each gets its own replies, both see all of iopub, and input goes to who asked."
    k2 = kernel.another()
    try:
        r1, r2 = kernel.execute("print('first')", wait=False), k2.execute("print('second', input())", answers=["typed"], wait=False)
        k2.wait(r2)
        kernel.wait(r1)
        assert (r1.stdout, r2.stdout) == ("first\n", "second typed\n")
        kernel.pump(lambda: "second typed\n" in [m["content"].get("text") for m in kernel.unsolicited], 5, "the other's output")
        kernel.pump(lambda: (kind(m := kernel.unsolicited[-1]), m["parent_header"]["msg_id"]) == ("idle", r2.msg_id), 5, "the other's idle")
    finally: k2.close()


def test_heartbeat(kernel):
    "The heartbeat echoes any frames, also while a cell holds the interpreter."
    with raw_client(kernel.km.connection_file) as c:
        hb = c.sockets["hb"]
        run = kernel.execute("import time\nend = time.time() + 0.5\nwhile time.time() < end: pass", wait=False)
        for i in range(5):
            hb.send_multipart([b"ping", b"%d" % i])
            assert hb.poll(2000) and hb.recv_multipart() == [b"ping", b"%d" % i]
        kernel.wait(run)
