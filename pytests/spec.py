"""Spec room: what a Jupyter message must look like, as pure functions over one message or the messages of one request.
Knows only the messaging specification (protocol 5.5, JEP 65, JEP 91). Must not know: sockets, kernels, pytest. Threads: any.
Spec: jupyter_client's "Messaging in Jupyter". Keys that the specification does not name are refused, unless it leaves the place open."""
import math, re
from datetime import datetime

HEADER_KEYS = ("msg_id", "username", "session", "date", "msg_type", "version")
OPEN = ...  # in a schema: further keys may follow


class opt:
    "A key that may be missing; when it is there its value is checked."
    def __init__(self, rule): self.rule = rule


def fail(where, why): raise AssertionError(f"{where}: {why}")


def need(ok, where, why):
    if not ok: fail(where, why)


def check_value(rule, value, where):
    "Check one value: `rule` is a type, a tuple of types, a set of allowed values, [rule] for a list, a dict schema or a callable(value, where)."
    if isinstance(rule, set): need(isinstance(value, (str, int)) and value in rule, where, f"{value!r} is none of {sorted(rule)}")
    elif isinstance(rule, dict): check_keys(rule, value, where)
    elif isinstance(rule, list):
        need(isinstance(value, list), where, f"expected a list, got {value!r}")
        for i, v in enumerate(value): check_value(rule[0], v, f"{where}[{i}]")
    elif rule is int: need(isinstance(value, int) and not isinstance(value, bool), where, f"expected int, got {value!r}")
    elif isinstance(rule, (type, tuple)): need(isinstance(value, rule), where, f"expected {rule}, got {value!r}")
    else: rule(value, where)


def check_keys(schema, obj, where):
    "Check a dict against `schema`: each named key, none missing, none unknown (unless the schema holds OPEN)."
    need(isinstance(obj, dict), where, f"expected an object, got {obj!r}")
    for k, rule in schema.items():
        if k is OPEN: continue
        if isinstance(rule, opt):
            if k in obj: check_value(rule.rule, obj[k], f"{where}.{k}")
        elif k not in obj: fail(f"{where}.{k}", f"missing (there are {sorted(obj)})")
        else: check_value(rule, obj[k], f"{where}.{k}")
    unknown = [] if OPEN in schema else sorted(set(obj) - set(schema))
    need(not unknown, where, f"unknown keys {unknown}")


def any_value(value, where): pass


def none_or_str(value, where): need(value is None or isinstance(value, str), where, f"expected str or null, got {value!r}")


def version(value, where): need(isinstance(value, str) and re.match(r"\d+\.\d+", value), where, f"expected a version such as 5.5, got {value!r}")


def count(value, where): need(type(value) is int and value >= 0, where, f"expected an execution count, got {value!r}")


def mimebundle(value, where):
    "MIME types to JSON values; text and images are strings."
    need(isinstance(value, dict), where, f"expected a mimebundle, got {value!r}")
    for k, v in value.items():
        need(re.fullmatch(r"[\w.+-]+/[\w.+-]+(;.*)?", k), where, f"{k!r} is no MIME type")
        if k.startswith(("text/", "image/")): need(isinstance(v, str), f"{where}[{k}]", f"expected str, got {v!r}")


def result_bundle(value, where):
    mimebundle(value, where)
    need("text/plain" in value, where, f"an execute_result has text/plain (there are {sorted(value)})")


def evaluated(value, where):
    "One value of `user_expressions`: a bundle or an error."
    need(isinstance(value, dict), where, f"expected an object, got {value!r}")
    if value.get("status") == "error": check_keys(ERROR_REPLY, value, where)
    else: check_keys(dict(status={"ok"}, data=mimebundle, metadata=dict), value, where)


def user_expressions(value, where):
    need(isinstance(value, dict), where, f"expected an object, got {value!r}")
    for k, v in value.items(): evaluated(v, f"{where}[{k}]")


PAYLOADS = dict(  # chkstyle: ignore-node (a table, a type a line)
    page           = dict(source={"page"}, data=mimebundle, start=int),
    set_next_input = dict(source={"set_next_input"}, text=str, replace=bool),
    edit           = dict(source={"edit"}, filename=str, line_number=int),
    ask_exit       = dict(source={"ask_exit"}, keepkernel=bool))


def payload(value, where):
    need(isinstance(value, dict) and isinstance(value.get("source"), str), where, f"a payload has a source, got {value!r}")
    if value["source"] in PAYLOADS: check_keys(PAYLOADS[value["source"]], value, where)
    if value["source"] == "page": need("text/plain" in value["data"], where, "a page has text/plain")


def history_item(value, where):
    "(session, line_number, input) or (session, line_number, (input, output))."
    need(isinstance(value, list) and len(value) == 3, where, f"expected three items, got {value!r}")
    check_value(int, value[0], f"{where}[0]")
    check_value(int, value[1], f"{where}[1]")
    if isinstance(value[2], str): return
    need(isinstance(value[2], list) and len(value[2]) == 2, f"{where}[2]", f"expected input or (input, output), got {value[2]!r}")
    check_value(str, value[2][0], f"{where}[2][0]")
    none_or_str(value[2][1], f"{where}[2][1]")


def comms(value, where):
    need(isinstance(value, dict), where, f"expected an object, got {value!r}")
    for k, v in value.items(): check_keys(dict(target_name=str), v, f"{where}[{k}]")


ERROR       = dict(ename=str, evalue=str, traceback=[str])
ERROR_REPLY = dict(status={"error"}, **ERROR)
ABORTED     = dict(status={"aborted", "abort"})
DISPLAY     = dict(data=mimebundle, metadata=dict, transient=opt(dict))
COMM        = dict(comm_id=str, data=any_value)
COMM_OPEN   = dict(comm_id=str, target_name=str, data=dict, target_module=opt(none_or_str))
INSPECT     = dict(code=str, cursor_pos=int, detail_level=opt({0, 1}))
PORTS       = dict(shell_port=int, iopub_port=int, stdin_port=int, hb_port=int, control_port=int)
LANGUAGE    = dict(name=str, version=str, mimetype=str, file_extension=str, pygments_lexer=opt(str), codemirror_mode=opt((str, dict)),
    nbconvert_exporter=opt(str))
KERNEL_INFO = dict(protocol_version=version, implementation=str, implementation_version=str, language_info={**LANGUAGE, OPEN: True}, banner=str,
    help_links=opt([dict(text=str, url=str)]), supported_features=opt([str]), debugger=opt(bool))
EXECUTE     = dict(code=str, silent=opt(bool), store_history=opt(bool), user_expressions=opt(dict), allow_stdin=opt(bool), stop_on_error=opt(bool),
    cell_meta=opt(dict))
HISTORY     = dict(output=bool, raw=bool, hist_access_type={"range", "tail", "search"}, session=opt(int), start=opt(int), stop=opt(int), n=opt(int),
    pattern=opt(str), unique=opt(bool))

# what the extra keys of a reply are, beside the error's or the aborted reply's own
EXTRA = dict(execute_reply=dict(execution_count=opt(count), payload=opt([payload]), user_expressions=opt(user_expressions)),
    shutdown_reply=dict(restart=opt(bool)))

OK_REPLY = dict(  # chkstyle: ignore-node (a table, a type a line)
    execute_reply     = dict(execution_count=count, payload=opt([payload]), user_expressions=opt(user_expressions)),
    inspect_reply     = dict(found=bool, data=mimebundle, metadata=dict),
    complete_reply    = dict(matches=[str], cursor_start=int, cursor_end=int, metadata=dict),
    history_reply     = dict(history=[history_item]),
    connect_reply     = PORTS,
    comm_info_reply   = dict(comms=comms),
    kernel_info_reply = KERNEL_INFO,
    shutdown_reply    = dict(restart=bool),
    interrupt_reply   = dict(),
    stack_reply       = dict(text=str, longest=list),
    create_subshell_reply = dict(subshell_id=str),
    delete_subshell_reply = dict(),
    list_subshell_reply   = dict(subshell_id=[str]))

IOPUB = dict(  # chkstyle: ignore-node (a table, a type a line)
    status              = dict(execution_state={"starting", "busy", "idle"}),
    execute_input       = dict(code=str, execution_count=count),
    stream              = dict(name={"stdout", "stderr"}, text=str),
    display_data        = DISPLAY,
    update_display_data = dict(data=mimebundle, metadata=dict, transient=dict(display_id=str)),
    execute_result      = dict(execution_count=count, data=result_bundle, metadata=dict, transient=opt(dict)),
    error               = ERROR,
    clear_output        = dict(wait=bool),
    comm_open           = COMM_OPEN,
    comm_msg            = COMM,
    comm_close          = COMM,
    debug_event         = dict(seq=int, type={"event"}, event=str, body=opt(dict)),
    iopub_welcome       = dict(subscription=str))

REQUEST = dict(  # chkstyle: ignore-node (a table, a type a line)
    execute_request     = EXECUTE,
    inspect_request     = INSPECT,
    complete_request    = dict(code=str, cursor_pos=int),
    history_request     = HISTORY,
    is_complete_request = dict(code=str),
    connect_request     = dict(),
    comm_info_request   = dict(target_name=opt(none_or_str)),
    kernel_info_request = dict(),
    shutdown_request    = dict(restart=bool),
    interrupt_request   = dict(),
    stack_request       = dict(),
    create_subshell_request = dict(),
    delete_subshell_request = dict(subshell_id=str),
    list_subshell_request   = dict(),
    debug_request           = {OPEN: True},
    usage_request           = dict(),
    comm_open=COMM_OPEN, comm_msg=COMM, comm_close=COMM)

STDIN    = dict(input_request=dict(prompt=str, password=bool), input_reply=dict(value=str))
FREE     = dict(debug_reply={OPEN: True}, usage_reply={OPEN: True})
PARENTED = {"execute_input", "execute_result", "input_request"}  # these always belong to a request


def is_complete_reply(content, where):
    "The one reply whose status is its answer; an indent belongs to `incomplete` alone."
    status = content.get("status")
    if status == "error": return check_keys(ERROR_REPLY, content, where)
    check_keys(dict(status={"complete", "incomplete", "invalid", "unknown"}, indent=opt(str)), content, where)
    need(("indent" in content) == (status == "incomplete"), f"{where}.indent", f"has no place in, or is missing from, {content!r}")


def reply_content(msg_type, content, where):
    "Check the content of a reply: ok as its type says, error and aborted as they are for all."
    need(isinstance(content.get("status"), str), f"{where}.status", f"missing in {content!r}")
    status = content["status"]
    if msg_type == "is_complete_reply": return is_complete_reply(content, where)
    if status == "ok": return check_keys(dict(status={"ok"}, **OK_REPLY[msg_type]), content, where)
    check_keys({**(ERROR_REPLY if status == "error" else ABORTED), **EXTRA.get(msg_type, {})}, content, where)


def json_clean(value, where):
    "JSON has no NaN and no infinities, and its keys are strings."
    if isinstance(value, float): need(math.isfinite(value), where, f"{value} is not JSON")
    elif isinstance(value, dict):
        for k, v in value.items():
            check_value(str, k, f"{where} key")
            json_clean(v, f"{where}.{k}")
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value): json_clean(v, f"{where}[{i}]")


def date(value, where):
    "An aware datetime (as jupyter_client parses it) or an ISO 8601 string with its offset."
    if isinstance(value, str):
        try: value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError: fail(where, f"{value!r} is no ISO 8601 date")
    need(isinstance(value, datetime) and value.tzinfo, where, f"expected a date with its offset, got {value!r}")


def check_header(header, where="header"):
    schema = dict.fromkeys(HEADER_KEYS, str)
    check_keys({**schema, "date": date, "version": version, "subshell_id": opt(none_or_str)}, header, where)
    for k in ("msg_id", "session", "msg_type"): need(header[k], f"{where}.{k}", "is empty")


def channels(msg_type):
    "The channels that a message of this type may travel on."
    if msg_type in STDIN: return {"stdin"}
    if msg_type.startswith("comm_"): return {"shell", "control", "iopub"}
    if msg_type == "shutdown_reply": return {"shell", "control", "iopub"}  # published too, so that the other clients hear of it (qtconsole listens)
    return {"iopub"} if msg_type in IOPUB else {"shell", "control"}


def check_content(msg_type, content, where="content"):
    need(isinstance(content, dict), where, f"expected an object, got {content!r}")
    json_clean(content, where)
    if msg_type in OK_REPLY or msg_type == "is_complete_reply": return reply_content(msg_type, content, where)
    # a request that no table knows is answered all the same, in kind
    if msg_type.endswith("_reply") and msg_type not in FREE and msg_type not in STDIN: return check_keys(ERROR_REPLY, content, where)
    schema = IOPUB.get(msg_type) or STDIN.get(msg_type) or FREE.get(msg_type) or REQUEST.get(msg_type)
    if schema is None and msg_type not in REQUEST: fail("header.msg_type", f"{msg_type!r} is in no table of the specification")
    check_keys(schema or {}, content, where)


def check_parent(msg):
    "A reply, and what a request caused, names its parent; a welcome and `starting` have none."
    parent, msg_type = msg["parent_header"], msg["header"]["msg_type"]
    if parent: check_header(parent, "parent_header")
    is_reply = msg_type.endswith("_reply") and msg_type != "input_reply"
    state = msg["content"].get("execution_state") if msg_type == "status" else None
    if is_reply or msg_type in PARENTED or state in ("busy", "idle"): need(parent, "parent_header", f"is empty in a {msg_type}")
    if msg_type == "iopub_welcome" or state == "starting": need(not parent, "parent_header", f"has no place in {msg_type} {state or ''}")
    if is_reply and parent:
        wanted = parent["msg_type"].replace("_request", "_reply")
        need(msg_type == wanted, "header.msg_type", f"{msg_type} answers a {parent['msg_type']}")


def check(msg, channel=None):
    "Raise AssertionError naming the field when `msg` (and, if given, its `channel`) is not as the specification says; give back `msg`."
    need(isinstance(msg, dict), "message", f"expected a dict, got {msg!r}")
    for k in ("header", "parent_header", "metadata", "content"): need(isinstance(msg.get(k), dict), k, f"expected an object, got {msg.get(k)!r}")
    try:
        check_header(msg["header"])
        msg_type = msg["header"]["msg_type"]
        json_clean(msg["metadata"], "metadata")
        check_content(msg_type, msg["content"])
        check_parent(msg)
        for i, b in enumerate(msg.get("buffers", [])): need(isinstance(b, (bytes, memoryview)), f"buffers[{i}]", f"expected bytes, got {type(b)}")
        if channel: need(channel in channels(msg_type), "header.msg_type", f"a {msg_type} has no place on {channel}")
    except AssertionError as e: raise AssertionError(f"{e}\n  in {msg['header'].get('msg_type')}: {brief(msg['content'])}") from None
    return msg


def brief(content, n=400):
    text = repr(content)
    return text if len(text) <= n else f"{text[:n]}... ({len(text)} characters)"


def kind(msg):
    "A word for a message: its type, or the state of a status."
    return msg["content"]["execution_state"] if msg["header"]["msg_type"] == "status" else msg["header"]["msg_type"]


def one_request(msgs):
    ids = {m["parent_header"].get("msg_id") for m in msgs}
    need(len(ids) == 1, "parent_header.msg_id", f"expected one request's messages, got those of {ids}")
    return msgs[0]["parent_header"]["msg_type"]


def check_order(msgs, reply=None):
    """Check the iopub messages of one request, up to its idle: busy first, for an execute then execute_input, idle last, each once.
    With the `reply`: that it was made within the bracket, and that all agree on the execution count. An aborted request has its bracket only."""
    need(msgs, "iopub", "nothing was published")
    msg_type, kinds = one_request(msgs), [kind(m) for m in msgs]
    need(kinds[0] == "busy", "iopub", f"busy is not first: {kinds}")
    need(kinds[-1] == "idle", "iopub", f"idle is not last: {kinds}")
    for k in ("busy", "idle"): need(kinds.count(k) == 1, "iopub", f"{k} came {kinds.count(k)} times: {kinds}")
    if "execute_input" in kinds:
        need(msg_type == "execute_request", "iopub", f"execute_input for a {msg_type}")
        need(kinds.index("execute_input") == 1 and kinds.count("execute_input") == 1, "iopub", f"execute_input is not second and single: {kinds}")
    if reply is not None: check_reply(msgs, kinds, reply)


def check_reply(msgs, kinds, reply):
    "The reply belongs to the bracket's request, lies in it in time, and tells the same execution count and error."
    parent, content = msgs[0]["parent_header"], reply["content"]
    need(reply["parent_header"]["msg_id"] == parent["msg_id"], "reply.parent_header.msg_id", "is another request's")
    if content["status"] in ("aborted", "abort"): need(kinds == ["busy", "idle"], "iopub", f"an aborted request published {kinds}")
    dates = [m["header"]["date"] for m in (msgs[0], reply, msgs[-1])]
    if all(isinstance(d, datetime) for d in dates): need(dates == sorted(dates), "header.date", f"the reply is outside busy and idle: {dates}")
    if parent["msg_type"] != "execute_request": return
    counts = {m["content"]["execution_count"] for m in [*msgs, reply] if "execution_count" in m["content"]}
    need(len(counts) <= 1, "content.execution_count", f"the messages of one execute tell {sorted(counts)}")
    errors = [m for m in msgs if kind(m) == "error"]
    if errors and content["status"] == "error":
        need(errors[-1]["content"]["ename"] == content["ename"], "content.ename", f"{errors[-1]['content']['ename']} and {content['ename']}")
