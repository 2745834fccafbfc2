"""Fields room: which fields each request has, what is wrong with a content that does not fit, and errors as content.

Owns the table of fields, their types and defaults, and the shape of errors. Must not know: what a request means, other rooms.
Threads: any; pure.
Spec: messaging, "Messages on the shell (ROUTER/DEALER) channel" and "Messages on the control (ROUTER/DEALER) channel"."""


import copy


class BadContent(ValueError):
    "What is wrong with a request: answered with an error reply."


NUMBER_OR_NONE = (int, type(None))
FIELDS = dict(  # a type: the field must be there; else its default, whose type it has
    execute_request=dict(code=str, silent=False, store_history=True, user_expressions={}, allow_stdin=True, stop_on_error=True),
    complete_request=dict(code=str, cursor_pos=NUMBER_OR_NONE),
    inspect_request=dict(code=str, cursor_pos=NUMBER_OR_NONE, detail_level=0, omit_sections=[]),
    is_complete_request=dict(code=str),
    history_request=dict(hist_access_type=str, raw=True, output=False, session=0, start=1, stop=NUMBER_OR_NONE, n=NUMBER_OR_NONE,
        pattern="*", unique=False),
    comm_info_request=dict(target_name=(str, type(None))),
    comm_open=dict(comm_id=str, target_name=str),
    comm_msg=dict(comm_id=str),
    comm_close=dict(comm_id=str),
    kernel_info_request={}, connect_request={}, interrupt_request={}, stack_request={},
    shutdown_request=dict(restart=False),
    create_subshell_request={}, delete_subshell_request=dict(subshell_id=str), list_subshell_request={},
    debug_request=dict(command=str, arguments={}, seq=0, type="request"))


def fields(msg_type, content):
    "The fields of a `msg_type` in `content`, checked and with defaults. BadContent says what does not fit; fields of the future are left out."
    if msg_type not in FIELDS: raise BadContent(f"unknown message type {msg_type!r}")
    if not isinstance(content, dict): raise BadContent(content)
    return {name: _field(name, want, content) for name,want in FIELDS[msg_type].items()}


def _field(name, want, content):
    value = content.get(name)
    required = isinstance(want, type)
    if required and name not in content: raise BadContent(f"content has no {name!r}")
    if value is None and not required: return None if isinstance(want, tuple) else copy.copy(want)
    kinds = want if isinstance(want, tuple) else (want,) if required else (type(want),)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise BadContent(f"{name!r} must be {' or '.join(k.__name__ for k in kinds if k is not type(None))}, not {type(value).__name__}")
    return value


ARGUMENTS = dict(  # of debug requests, and of what is in them: a name means the same in each command; a list has items of one type
    code=str, expression=str, context=str, filter=str, text=str, name=str, value=str, path=str, variableName=str, srcVariableName=str, dstVariableName=str,
    condition=str, hitCondition=str, logMessage=str, threadId=int, frameId=int, srcFrameId=int, variablesReference=int, sourceReference=int, targetId=int,
    line=int, column=int, start=int, count=int, startFrame=int, levels=int, startModule=int, moduleCount=int, source=dict,
    breakpoints=[dict], lines=[int], filters=[str])


def arguments(given):
    "The arguments of a debug request, without those that are null: who needs one says so. BadContent says what does not fit; those that nobody knows are left in."
    for name,value in given.items(): _fit(name, ARGUMENTS.get(name), value)
    return {name: value for name,value in given.items() if value is not None}


def _fit(name, kind, value):
    if kind is None or value is None: return
    want = list if isinstance(kind, list) else kind
    if not isinstance(value, want) or isinstance(value, bool): raise BadContent(f"{name!r} must be {want.__name__}, not {type(value).__name__}")
    if want is int and not 0 <= value < 1 << 53: raise BadContent(f"{name!r} must be from 0 to 2**53, not {value}")
    if want is dict: arguments(value)
    if want is list:
        for v in value: _fit(f"item of {name}", kind[0], "null" if v is None else v)


NOT_ASKED = {"status", "stream", "display_data", "update_display_data", "execute_input", "execute_result", "error", "clear_output", "debug_event",
    "iopub_welcome", "input_request", "comm_open", "comm_msg", "comm_close"}  # what kernels and clients tell each other without waiting for an answer


def reply_type(msg_type):
    "The type of the answer to a `msg_type`; None if it is no request. Types nobody knows are requests: whoever sent one waits."
    if msg_type in NOT_ASKED or msg_type.endswith("_reply"): return None
    return msg_type.removesuffix("_request") + "_reply"


def error_content(etype, evalue, stb=()):
    "ename, evalue and traceback of an exception, as error messages and replies have them."
    try: text = str(evalue)
    except Exception as e: text = f"<{etype.__name__} whose str raised {type(e).__name__}>"  # the user's class may do anything
    return dict(ename=etype.__name__, evalue=text, traceback=[str(s) for s in stb])
