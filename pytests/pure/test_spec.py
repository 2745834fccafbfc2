"Tests of the spec checker itself: good messages pass, and each single fault is refused with the name of the field."
import copy, pytest
from datetime import datetime, timezone

from spec import check, check_order

NOW = "2026-01-02T03:04:05.678901Z"


def header(msg_type, **kw): return dict(msg_id="m1", username="u", session="s", date=NOW, msg_type=msg_type, version="5.5", **kw)


def msg(msg_type, parent="execute_request", **content):
    return dict(header=header(msg_type), parent_header=header(parent) if parent else {}, metadata={}, content=content, buffers=[])


def status(state, parent="execute_request"): return msg("status", parent, execution_state=state)


def inp(n=1): return msg("execute_input", code="1", execution_count=n)


def ok(n=1): return msg("execute_reply", status="ok", execution_count=n, payload=[], user_expressions={})


ERR = dict(ename="E", evalue="v", traceback=["a"])
INFO = dict(status="ok", protocol_version="5.5", implementation="x", implementation_version="1", banner="b", help_links=[dict(text="t", url="u")],
    language_info=dict(name="python", version="3", mimetype="text/x-python", file_extension=".py"), supported_features=["kernel subshells"])

GOOD = [  # chkstyle: ignore-node (a table, some messages a line)
    (status("busy"), "iopub"), (status("starting", None), "iopub"), (inp(), "iopub"), (ok(), "shell"),
    (msg("stream", name="stdout", text="x"), "iopub"), (msg("stream", None, name="stderr", text=""), "iopub"),
    (msg("display_data", data={"text/plain": "x", "application/json": dict(a=1)}, metadata={}, transient={}), "iopub"),
    (msg("update_display_data", data={"text/html": "x"}, metadata={}, transient=dict(display_id="d")), "iopub"),
    (msg("execute_result", data={"text/plain": "x"}, metadata={}, execution_count=3), "iopub"),
    (msg("error", **ERR), "iopub"), (msg("clear_output", wait=True), "iopub"), (msg("iopub_welcome", None, subscription=""), "iopub"),
    (msg("comm_open", comm_id="c", target_name="t", data={}, target_module=None), "iopub"), (msg("comm_msg", comm_id="c", data=[1]), "shell"),
    (msg("comm_close", comm_id="c", data={}), "iopub"),
    (msg("input_request", prompt="? ", password=False), "stdin"), (msg("input_reply", None, value="x"), "stdin"),
    (msg("execute_reply", status="error", execution_count=1, user_expressions={}, payload=[], **ERR), "shell"),
    (msg("execute_reply", status="aborted", execution_count=1), "shell"),
    (msg("execute_reply", status="ok", execution_count=1, payload=[dict(source="page", data={"text/plain": "x"}, start=0)],
        user_expressions=dict(a=dict(status="ok", data={"text/plain": "1"}, metadata={}), b=dict(status="error", **ERR))), "shell"),
    (msg("kernel_info_reply", "kernel_info_request", **INFO), "control"),
    (msg("complete_reply", "complete_request", status="ok", matches=["a"], cursor_start=0, cursor_end=1, metadata={}), "shell"),
    (msg("inspect_reply", "inspect_request", status="ok", found=False, data={}, metadata={}), "shell"),
    (msg("history_reply", "history_request", status="ok", history=[[1, 2, "a"], [1, 3, ["a", None]]]), "shell"),
    (msg("is_complete_reply", "is_complete_request", status="incomplete", indent="    "), "shell"),
    (msg("is_complete_reply", "is_complete_request", status="complete"), "shell"),
    (msg("comm_info_reply", "comm_info_request", status="ok", comms=dict(c=dict(target_name="t"))), "shell"),
    (msg("shutdown_reply", "shutdown_request", status="ok", restart=False), "control"),
    (msg("interrupt_reply", "interrupt_request", status="ok"), "control"),
    (msg("strange_reply", "strange_request", status="error", **ERR), "shell"),
    (msg("complete_reply", "complete_request", status="error", **ERR), "shell")]

EXECUTE = dict(code="1", silent=False, store_history=True, user_expressions={}, allow_stdin=False, stop_on_error=True)
REQUESTS = [  # chkstyle: ignore-node (a table, some messages a line)
    msg("execute_request", None, **EXECUTE), msg("kernel_info_request", None),
    msg("history_request", None, output=False, raw=True, hist_access_type="tail", n=3),
    msg("inspect_request", None, code="a", cursor_pos=0, detail_level=1), msg("is_complete_request", None, code="a"),
    msg("shutdown_request", None, restart=True)]


@pytest.mark.parametrize("m,channel", GOOD, ids=lambda v: v["header"]["msg_type"] if isinstance(v, dict) else v)
def test_good(m, channel): assert check(m, channel) is m


@pytest.mark.parametrize("m", REQUESTS, ids=lambda m: m["header"]["msg_type"])
def test_good_request(m): assert check(m, "shell") is m


def spoil(m, path, value):
    "A copy of message `m` with `value` at the dotted `path`; `...` deletes it."
    m = copy.deepcopy(m)
    *head, last = path.split("/")
    at = m
    for k in head: at = at[int(k) if isinstance(at, list) else k]
    if value is ...: del at[last]
    else: at[last] = value
    return m


INFO_MSG = msg("kernel_info_reply", "kernel_info_request", **INFO)
HIST = msg("history_reply", "history_request", status="ok", history=[[1, 2, "a"]])
RESULT = msg("execute_result", data={"text/plain": "x"}, metadata={}, execution_count=3)
PAGE = msg("execute_reply", status="ok", execution_count=1, payload=[dict(source="page", data={"text/plain": "x"}, start=0)])

# the message, the path of the fault, what stands there (`...`: nothing), what the error names
BAD = [  # chkstyle: ignore-node (a table, some cases a line)
    *[(ok(), f"header/{k}", ..., f"header.{k}") for k in ("msg_id", "username", "session", "date", "msg_type", "version")],
    (ok(), "header/msg_id", 3, "header.msg_id"), (ok(), "header/msg_id", "", "header.msg_id"), (ok(), "header/date", "yesterday", "header.date"),
    (ok(), "header/date", "2026-01-02T03:04:05", "header.date"), (ok(), "header/version", "five", "header.version"),
    (ok(), "header/extra", 1, "header: unknown"),
    (ok(), "header/msg_type", "no_such_type", "in no table"), (ok(), "parent_header", {}, "parent_header"),
    (ok(), "parent_header/session", ..., "parent_header.session"),
    (ok(), "parent_header/msg_type", "complete_request", "answers a"), (ok(), "metadata", None, "metadata"),
    (ok(), "metadata/x", float("nan"), "metadata.x"),
    (ok(), "content", [], "content"), (ok(), "content/status", ..., "content.status"), (ok(), "content/status", "fine", "content.status"),
    (ok(), "content/execution_count", ..., "execution_count"), (ok(), "content/execution_count", "1", "execution_count"),
    (ok(), "content/execution_count", True, "execution_count"),
    (ok(), "content/matches", [], "unknown keys"), (ok(), "content/payload", [dict(a=1)], "payload[0]"),
    (ok(), "content/user_expressions", dict(a=1), "user_expressions[a]"),
    (ok(), "buffers", ["text"], "buffers[0]"), (PAGE, "content/payload/0/start", ..., "payload[0].start"),
    (PAGE, "content/payload/0/data", {}, "text/plain"),
    (status("busy"), "content/execution_state", "dead", "execution_state"), (status("busy"), "parent_header", {}, "parent_header"),
    (status("starting", None), "parent_header", header("execute_request"), "parent_header"), (inp(), "content/code", ..., "content.code"),
    (inp(), "parent_header", {}, "parent_header"),
    (msg("stream", name="stdout", text="x"), "content/name", "stdlog", "content.name"),
    (msg("stream", name="stdout", text="x"), "content/text", None, "content.text"),
    (RESULT, "content/data", {"text/html": "x"}, "text/plain"), (RESULT, "content/data", {"text": "x"}, "no MIME type"),
    (RESULT, "content/data", {"text/plain": ["x"]}, "text/plain"),
    (RESULT, "content/data", {"text/plain": "x", "application/json": float("inf")}, "not JSON"),
    (RESULT, "content/metadata", ..., "content.metadata"),
    (msg("update_display_data", data={}, metadata={}, transient=dict(display_id="d")), "content/transient", {}, "display_id"),
    (msg("error", **ERR), "content/traceback", "a", "traceback"), (msg("error", **ERR), "content/traceback", [1], "traceback[0]"),
    (msg("error", **ERR), "content/status", "error", "unknown keys"),
    (msg("clear_output", wait=True), "content/wait", 1, "content.wait"),
    (msg("iopub_welcome", None, subscription=""), "content/subscription", ..., "subscription"),
    (msg("execute_reply", status="error", execution_count=1, **ERR), "content/ename", ..., "ename"),
    (msg("execute_reply", status="aborted", execution_count=1), "content/ename", "E", "unknown"),
    (INFO_MSG, "content/language_info", ..., "language_info"), (INFO_MSG, "content/language_info", dict(name="python"), "language_info.version"),
    (INFO_MSG, "content/help_links", [dict(text="t")], "help_links[0].url"),
    (INFO_MSG, "content/supported_features", "subshells", "supported_features"), (HIST, "content/history", [[1, 2]], "history[0]"),
    (HIST, "content/history", [["1", 2, "a"]], "history[0][0]"),
    (msg("is_complete_reply", "is_complete_request", status="complete"), "content/indent", "", "indent"),
    (msg("is_complete_reply", "is_complete_request", status="incomplete", indent=""), "content/indent", ..., "indent"),
    (msg("comm_open", comm_id="c", target_name="t", data={}), "content/target_name", ..., "target_name"),
    (msg("comm_msg", comm_id="c", data={}), "content/comm_id", ..., "comm_id"),
    (msg("input_request", prompt="?", password=False), "content/password", 0, "password"),
    (msg("comm_info_reply", "comm_info_request", status="ok", comms={}), "content/comms", dict(c={}), "target_name"),
    (msg("strange_reply", "strange_request", status="error", **ERR), "content/status", "ok", "content.status")]


@pytest.mark.parametrize("m,path,value,names", BAD)
def test_bad(m, path, value, names):
    with pytest.raises(AssertionError) as e: check(spoil(m, path, value))
    assert names in str(e.value)


@pytest.mark.parametrize("m,channel", [(ok(), "iopub"), (status("busy"), "shell"), (msg("input_request", prompt="", password=True), "shell")])
def test_wrong_channel(m, channel):
    with pytest.raises(AssertionError, match="has no place on"): check(m, channel)


OUT = msg("stream", name="stdout", text="x")
BUSY, IDLE = status("busy"), status("idle")
ABORTED = msg("execute_reply", status="aborted", execution_count=1)


GOOD_ORDER = [([BUSY, inp(), OUT, IDLE], ok()), ([BUSY, IDLE], ABORTED), ([BUSY, OUT, IDLE], None), ([BUSY, inp(3), RESULT, IDLE], ok(3))]


@pytest.mark.parametrize("msgs,reply", GOOD_ORDER)
def test_good_order(msgs, reply): check_order(msgs, reply)


def other(m): return spoil(m, "parent_header/msg_id", "m2")


def at(m, second): return spoil(m, "header/date", datetime(2026, 1, 1, 0, 0, second, tzinfo=timezone.utc))


@pytest.mark.parametrize("msgs,reply,why", [
    ([], None, "nothing"), ([inp(), BUSY, IDLE], None, "busy is not first"), ([BUSY, inp(), IDLE, OUT], None, "idle is not last"),
    ([BUSY, BUSY, IDLE], None, "busy came 2"),
    ([BUSY, IDLE, IDLE], None, "idle came 2"), ([BUSY, OUT, inp(), IDLE], None, "execute_input"),
    ([BUSY, inp(), inp(), IDLE], None, "execute_input"), ([BUSY, other(OUT), IDLE], None, "one request"),
    ([BUSY, inp(1), IDLE], ok(2), "execution_count"), ([BUSY, inp(), IDLE], other(ok()), "another request"),
    ([BUSY, inp(), IDLE], ABORTED, "aborted"), ([at(BUSY, 1), inp(), at(IDLE, 3)], at(ok(), 4), "outside"),
    ([at(BUSY, 2), inp(), at(IDLE, 3)], at(ok(), 1), "outside"),
    ([BUSY, inp(), msg("error", **ERR), IDLE], msg("execute_reply", status="error", execution_count=1, ename="X", evalue="", traceback=[]), "ename")])
def test_bad_order(msgs, reply, why):
    with pytest.raises(AssertionError, match=why): check_order(msgs, reply)
