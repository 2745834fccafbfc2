"""Requests whose fields have the right names and other values than they should: the reply says what does not fit, and no traceback in the log takes that for a fault of the
kernel's. Spec: messaging, "History", "Custom Messages", "Debug request"; Debug Adapter Protocol."""
from contextlib import contextmanager
import pytest
from harness import raw_client

HUGE = 10**30
HISTORY = [  # chkstyle: ignore-node (a table): what is asked for, what the error tells
    (dict(hist_access_type="sideways"), "hist_access_type"), (dict(hist_access_type="tail", n=HUGE), "too large"), (dict(hist_access_type="tail", n=HUGE, output=True), "too large"),
    (dict(hist_access_type="range", session=HUGE), "too large"), (dict(hist_access_type="range", session=-HUGE), "too large"), (dict(hist_access_type="range", session=10**6, start=HUGE), "too large"),
    (dict(hist_access_type="range", session=10**6, stop=-HUGE), "too large"), (dict(hist_access_type="search", pattern="*", n=HUGE), "too large"),
    (dict(hist_access_type="search", pattern="\ud800"), "surrogates")]


@contextmanager
def quietly(k):
    "Inside, nothing that is logged has a traceback."
    before = len(k.log_path.read_text(errors="replace"))
    yield
    assert "Traceback" not in (text := k.log_path.read_text(errors="replace")[before:]), text


@pytest.mark.parametrize("content,why", HISTORY)
def test_history(kernel, content, why):
    with quietly(kernel), raw_client(kernel.km.connection_file) as raw:
        reply, _ = raw.request("shell", raw.frames("history_request", dict(raw=True, output=False) | content))
        assert (reply["content"]["status"], reply["content"]["ename"]) == ("error", "BadContent") and why in reply["content"]["evalue"]


def test_code_that_is_no_text(kernel):
    "A lone surrogate, as a JSON escape can have it, is invalid code."
    with quietly(kernel), raw_client(kernel.km.connection_file) as raw:
        reply, _ = raw.request("shell", raw.frames("is_complete_request", dict(code="'\ud800'")))
        assert reply["content"]["status"] == "invalid"


def test_comm_id_that_is_not_ascii(kernel):
    "It is a comm as others are."
    kernel.execute("from comm import get_comm_manager\nget_comm_manager().register_target('odd', lambda comm, msg: print('opened', comm.comm_id))").ok()
    with quietly(kernel):
        run = kernel.send("comm_open", dict(comm_id="é\U0001f600", target_name="odd", data={}))
        kernel.pump(lambda: run.end, what="the idle of comm_open")
        assert run.stdout == "opened é\U0001f600\n"
        assert "é\U0001f600" in kernel.request("comm_info_request").ok().content["comms"]


FITTING = dict(  # chkstyle: ignore-node (a table): arguments of commands, each of which is replaced by what does not fit
    dumpCell=dict(code="1"), setBreakpoints=dict(source=dict(path="/tmp/none.py"), breakpoints=[dict(line=1)], lines=[1]), source=dict(source=dict(path="/tmp/none.py"), sourceReference=0),
    modules=dict(startModule=0, moduleCount=0), pause=dict(threadId=1), stackTrace=dict(threadId=1, startFrame=0, levels=0), scopes=dict(frameId=1),
    variables=dict(variablesReference=1, filter="named", start=0, count=0), evaluate=dict(expression="1", frameId=1, context="repl"),
    copyToGlobals=dict(srcVariableName="a", dstVariableName="b", srcFrameId=1), richInspectVariables=dict(variableName="a", frameId=1),
    next=dict(threadId=1), stepIn=dict(threadId=1), stepOut=dict(threadId=1), exceptionInfo=dict(threadId=1), setVariable=dict(variablesReference=1, name="a", value="1"),
    completions=dict(text="a", column=1, frameId=1), **{"continue": dict(threadId=1)})
ODD = [["a"], {}, {"a": 1}, True, 1.5, -1, HUGE, "x"]


def misfits(arguments):
    "`arguments` with one of them, or one in it, replaced by what has another type; the name of that, too."
    for name,value in arguments.items():
        for odd in ODD:
            if type(odd) is not type(value) or isinstance(odd, int) and not 0 <= odd < 2**53: yield name, arguments | {name: odd}
        if isinstance(value, dict): yield from ((inner, arguments | {name: bad}) for inner,bad in misfits(value))
        if isinstance(value, list): yield from ((name, arguments | {name: [odd]}) for odd in ODD if type(odd) is not type(value[0]))


def asked(d, command, arguments):
    "The response to a request with any arguments, which may have the names of the test's own."
    return d.response(d.send(command, arguments))


def all_refused(d, command):
    for name,arguments in misfits(FITTING[command]): assert name in d.refused(command, **arguments), (name, arguments)


@pytest.mark.parametrize("command", FITTING)
def test_debug_arguments(debug, command):
    "In a session in which a thread is stopped, as most would be refused else; it stays stopped."
    debug.work()
    run = debug.run("work(1)")
    thread, _ = debug.stop("breakpoint")
    with quietly(debug.k): all_refused(debug, command)
    assert debug.info()["stoppedThreads"] == [thread]
    debug.resume(run).ok()


ODDITIES = [  # chkstyle: ignore-node (a table)
    ("setBreakpoints", dict(source={}, breakpoints=[dict(line=1)])), ("setBreakpoints", dict(source=dict(path=None), lines=[1])), ("setBreakpoints", dict(source=dict(path="/tmp/none.py"), breakpoints=[{}])),
    ("setBreakpoints", dict(source=dict(path="/tmp/none.py"), breakpoints=[dict(line=None)])), ("setBreakpoints", {}), ("source", dict(source=dict(path="\x00"))),
    ("source", dict(source=dict(path=None))), ("source", {}), ("dumpCell", dict(code=None)), ("dumpCell", {}), ("next", {}), ("next", dict(threadId=None)), ("next", {"self": 1}), ("debugInfo", {"self": 1}),
    ("inspectVariables", {"self": 1}), ("variables", dict(variablesReference=None)), ("evaluate", dict(expression=None)), ("pause", {}), ("copyToGlobals", dict(srcVariableName="a")),
    ("richInspectVariables", dict(variableName=None))]


@pytest.mark.parametrize("command,arguments", ODDITIES)
def test_debug_arguments_that_are_not_there(debug, command, arguments):
    "Or are null, or have the name of what is no argument, or no file can have."
    with quietly(debug.k): assert not asked(debug, command, arguments)["success"]


@pytest.mark.parametrize("command,arguments,success", [("source", dict(source=dict(path="a\ud800")), False), ("dumpCell", dict(code="'\ud800'"), True),
    ("richInspectVariables", dict(variableName="\ud800"), False), ("evaluate", dict(expression="'\ud800'"), False)])
def test_debug_arguments_that_are_no_text(debug, command, arguments, success):
    "Lone surrogates, as a JSON escape can have them."
    with quietly(debug.k), raw_client(debug.k.km.connection_file) as raw:
        reply, _ = raw.request("control", raw.frames("debug_request", dict(type="request", seq=1, command=command, arguments=arguments)))
        assert reply["content"]["success"] is success


def test_debug_argument_that_nobody_knows(debug):
    "Is passed on, whatever its name."
    debug.work()
    run = debug.run("work(1)")
    thread, frames = debug.stop("breakpoint")
    with quietly(debug.k):
        found = asked(debug, "scopes", dict(frameId=frames[0]["id"], command="next"))
        assert found["success"] and asked(debug, "stackTrace", dict(threadId=thread, command=1, future=[1]))["success"]
        assert asked(debug, "variables", dict(variablesReference=found["body"]["scopes"][0]["variablesReference"], command={}))["success"]
    debug.resume(run).ok()
