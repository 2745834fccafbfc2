"The fields of each request: defaults, what is missing, what has the wrong type."
import pytest

from ipymini.request.fields import FIELDS, BadContent, fields, reply_type

CURSOR = dict(code="x", cursor_pos=None)
DEFAULTS = [  # chkstyle: ignore-node (a table): message type, the least content, the fields it stands for
    ("execute_request", dict(code="x"),
        dict(code="x", silent=False, store_history=True, user_expressions={}, allow_stdin=True, stop_on_error=True)),
    ("complete_request", dict(code="x"), CURSOR), ("inspect_request", dict(code="x"), CURSOR | dict(detail_level=0, omit_sections=[])),
    ("is_complete_request", dict(code=""), dict(code="")),
    ("history_request", dict(hist_access_type="tail"), dict(hist_access_type="tail", raw=True, output=False, session=0, start=1, stop=None, n=None, pattern="*", unique=False)),
    ("comm_info_request", {}, dict(target_name=None)), ("comm_open", dict(comm_id="c", target_name="t"), dict(comm_id="c", target_name="t")),
    ("comm_msg", dict(comm_id="c"), dict(comm_id="c")), ("comm_close", dict(comm_id="c"), dict(comm_id="c")), ("shutdown_request", {}, dict(restart=False)),
    ("debug_request", dict(command="debugInfo"), dict(command="debugInfo", arguments={}, seq=0, type="request")), ("kernel_info_request", {}, {}), ("connect_request", {}, {}), ("interrupt_request", {}, {}),
    ("create_subshell_request", {}, {}), ("list_subshell_request", {}, {}), ("stack_request", {}, {}), ("delete_subshell_request", dict(subshell_id="s"), dict(subshell_id="s"))]
LEAST = {t: least for t,least,_ in DEFAULTS}
OTHERS = {str: [3, None, ["x"], b"x"], bool: ["yes", 0, 1, [], {}], int: ["3", True, 1.5, []], dict: [[], "x", 1, [["a", 1]]], list: [{}, "x", 1, ("a",)]}
EVERY = [(t, name) for t,names in FIELDS.items() for name in names]


def kind_of(want): return next(k for k in want if k is not type(None)) if isinstance(want, tuple) else want if isinstance(want, type) else type(want)


@pytest.mark.parametrize("msg_type,least,want", DEFAULTS, ids=lambda v: v if isinstance(v, str) else "")
def test_defaults(msg_type, least, want):
    "Optional fields may be missing or null; fields of the future are left out."
    assert fields(msg_type, least) == want
    assert fields(msg_type, least | {k: None for k in want if k not in least}) == want
    assert fields(msg_type, least | dict(future=1)) == want


def test_every_type_is_here(): assert set(LEAST) == set(FIELDS)


@pytest.mark.parametrize("msg_type,name", [(t, n) for t,n in EVERY if isinstance(FIELDS[t][n], type)])
def test_required(msg_type, name):
    content = {k: v for k,v in LEAST[msg_type].items() if k != name}
    with pytest.raises(BadContent, match=f"content has no '{name}'"): fields(msg_type, content)
    with pytest.raises(BadContent, match=f"'{name}' must be str, not NoneType"): fields(msg_type, content | {name: None})


@pytest.mark.parametrize("msg_type,name", EVERY)
def test_wrong_type(msg_type, name):
    "A bool is no int, and an int no bool; the error names the field and both types."
    kind = kind_of(FIELDS[msg_type][name])
    for value in (v for v in OTHERS[kind] if v is not None):
        with pytest.raises(BadContent, match=f"'{name}' must be {kind.__name__}, not {type(value).__name__}"): fields(msg_type, LEAST[msg_type] | {name: value})


@pytest.mark.parametrize("msg_type,name", EVERY)
def test_right_type(msg_type, name):
    kind = kind_of(FIELDS[msg_type][name])
    value = {str: "é", bool: True, int: -3, dict: dict(a=1), list: ["a"]}[kind]
    assert fields(msg_type, LEAST[msg_type] | {name: value})[name] == value


@pytest.mark.parametrize("content", ["content is no JSON: bad", "", [], None, 3])
def test_content_is_no_object(content):
    "What the wire says is wrong reaches the client."
    with pytest.raises(BadContent) as e: fields("execute_request", content)
    assert e.value.args == (content,)


@pytest.mark.parametrize("msg_type", ["", "nonsense_request", "execute_reply", "input_reply"])
def test_unknown_type(msg_type):
    with pytest.raises(BadContent, match=f"unknown message type '{msg_type}'"): fields(msg_type, {})


def test_defaults_are_not_shared():
    "A handler that changes its fields must not change the next request's."
    fields("execute_request", dict(code=""))["user_expressions"]["a"] = "1"
    assert fields("execute_request", dict(code=""))["user_expressions"] == {}


def test_reply_type():
    "Who asks has an answer, what nobody knows included; what is told without asking has none."
    assert [reply_type(t) for t in ("execute_request", "x_request_request", "strange")] == ["execute_reply", "x_request_reply", "strange_reply"]
    assert {reply_type(t) for t in ("comm_open", "comm_msg", "comm_close", "execute_reply", "input_reply", "status", "stream", "iopub_welcome")} == {None}
