"""Debugger room: what each debug_request means.

Owns the session: its breakpoints, which threads are stopped, the numbers of replies and events. Debugpy does the debugging, behind `adapter`; what needs none is answered here.
Must not know: sockets, IPython (it is handed the shell), debugpy.
Threads: `request` on the debug lane; `on_event` on the adapter's; `place`, `sync` on those that run cells; `resume` any.
Spec: messaging, "Debug request" (JEP 47); Debug Adapter Protocol."""

import atexit, functools, inspect, itertools, keyword, linecache, logging, os, re, shutil, stat, sys, textwrap, threading, tokenize, traceback

from ..interrupts.budget import Late, within
from ..ipython.cell_names import HASH_SEED, SUFFIX, cell_file, prefix
from .adapter import Adapter, Closed
from ..interrupts.protect import whose
from ..process.threads import hide, is_hidden
from ..request.fields import BadContent, arguments as fitting
from .variables import GROUPS, PAGED, Variables, page

log = logging.getLogger("ipymini.debug.debugger")
PASSED = set("""completions setVariable setExpression setExceptionBreakpoints setFunctionBreakpoints stepInTargets gotoTargets goto threads""".split())  # debugpy answers these as they are
STEPS = {"next", "stepIn", "stepOut"}
STOPPED = STEPS | {"exceptionInfo"}  # and these too, if their thread is stopped: what is left for one that runs would be done at its next stop
HELD = {"completions", "setVariable", "setExpression", "stepInTargets", "exceptionInfo", "variables", "evaluate", "stackTrace"}  # answered by the stopped thread
LATE = "the thread runs on"
NO_FRAMES = dict(body=dict(stackFrames=[], totalFrames=0))
NOISE = re.compile("raised from within the callback set in sys.settrace")  # after an interrupt; `sync` puts it right
HISTORY = re.compile(r"_{1,3}|_i{1,3}|_i?\d+|_[iod]h")  # names of IPython's
EVALUATION = 10.0  # seconds that one in no frame may take: nobody can interrupt it
asked = []  # what `see` was called with: values from stopped frames


def see(value):
    "Take a value out of a frame; debugpy evaluates a call of this there."
    asked.append(value)


class Refused(ValueError):
    "Why a request cannot be served: the message of its response."


class Debugger:
    "Answers debug_requests about what runs in `shell` with `request`. Events leave through `send`, that of Channels."

    def __init__(self, shell, send):
        self.shell,self.send,self.adapter = shell, send, Adapter(self.on_event)
        self.seq,self.scope = itertools.count(1), None
        self.attached,self.breakpoints,self.stopped = False, {}, {}
        self.groups,self.paths = set(), {}  # references of debugpy's: to parts of the user's namespace; (frame, expression) of what can be opened
        self.variables = Variables()

    # --- requests

    def arrived(self, content):
        "A request is in the queue. One that ends the session does not wait for what a stopped thread evaluates. On io."
        if isinstance(content, dict) and content.get("command") == "disconnect": self.adapter.release(late)

    def request(self, scope, command, arguments, seq, type):
        "The DAP response to a request, whatever goes wrong."
        self.scope = scope
        try: answer = self.answer(command, arguments)
        except (Refused, Closed, BadContent) as e: answer = dict(success=False, message=str(e), body={})
        except Exception as e:  # the edge of the room
            log.exception("%s failed", command)
            answer = dict(success=False, message=f"{e.__class__.__name__}: {e}", body={})
        if not answer.get("success", True): answer["message"] = answer.get("message") or f"debugpy refuses {command}"
        told = {k: answer[k] for k in ("message", "body") if k in answer}
        return dict(seq=next(self.seq), type="response", request_seq=seq, success=answer.get("success", True), command=command, **told)

    def answer(self, command, arguments):
        own = dict(debugInfo=self.info, initialize=self.initialize, attach=self.attach, configurationDone=self.configuration_done, disconnect=self.disconnect,
            dumpCell=self.dump_cell, setBreakpoints=self.set_breakpoints, source=self.source, modules=self.modules, pause=self.pause,
            stackTrace=self.stack_trace, scopes=self.scopes, variables=self.list_variables, evaluate=self.evaluate, copyToGlobals=self.copy_to_globals,
            inspectVariables=self.inspect_variables, richInspectVariables=self.rich_inspect)
        own["continue"] = self.run_on
        arguments = fitting(arguments)
        if command in own: return call(own[command], arguments)
        if command in STOPPED: call(self.must_be_stopped, arguments)
        if command not in PASSED | STOPPED: raise Refused(f"this debugger knows no {command!r}")
        return self.adapter.request(command, arguments) if command not in STEPS else self.resumed(command, arguments)

    def must_be_stopped(self, threadId=None, **_):
        if threadId not in self.stopped: raise Refused(f"thread {threadId} is not stopped")

    def ask(self, command, /, **arguments):
        "The body of debugpy's response, Refused if it is none."
        response = self.adapter.request(command, arguments)
        if not response["success"]: raise Refused(response.get("message") or f"{command} failed")
        return response.get("body") or {}

    # --- session

    def info(self, **_):
        kept = [dict(source=source, breakpoints=[{k: p[k] for k in p if k != "id"} for p in points]) for source,points in self.breakpoints.items()]
        return dict(body=dict(isStarted=self.attached, hashMethod="Murmur2", hashSeed=HASH_SEED, tmpFilePrefix=prefix(), tmpFileSuffix=SUFFIX, breakpoints=kept,
            stoppedThreads=list(self.stopped), richRendering=True, exceptionPaths=["Python Exceptions"], copyToGlobals=True))

    def initialize(self, **arguments):
        if not self.adapter.is_open: self.adapter.open()
        response = self.adapter.request("initialize", arguments)
        response.get("body", {})["supportsTerminateRequest"] = False  # that would end the kernel: `disconnect` ends the session
        return response

    def attach(self, **arguments):
        "Attach, and tell debugpy that configuration is done: JupyterLab never does."
        for t in threading.enumerate():
            if t.name == "IPythonHistorySavingThread": hide(t)
        # One thread stops, the others run on: where pydevd stops them all, now and then one that was resumed is stopped again, and nobody is told.
        # `isOutputRedirected`: it is, by the kernel. Else pydevd exchanges sys.stdout in evaluations, while other threads print to it.
        fixed = dict(request="attach", redirectOutput=False, isOutputRedirected=True, subProcess=False, stopAllThreadsOnSuspend=False)
        response = self.adapter.request("attach", dict(dict(justMyCode=True), **arguments) | fixed)
        if not response["success"]: return response
        self.ask("configurationDone")
        self.attached = True
        keep_lines(self.shell, True)
        return response

    def configuration_done(self, **_): return {}  # it was done in `attach`

    def disconnect(self, **_):
        "End the session. The process stays: ending that is shutdown_request's."
        if self.adapter.is_open:
            self.adapter.request("disconnect", dict(restart=False, terminateDebuggee=False))
            self.adapter.close()
            self.on_event(dict(event="terminated", body={}))
        return {}

    def ended(self):
        "Forget the session."
        self.attached = False
        self.breakpoints.clear()
        self.stopped.clear()
        keep_lines(self.shell, False)

    def run_on(self, **arguments):
        if not self.stopped: return dict(body=dict(allThreadsContinued=True))  # debugpy would answer at the next stop
        return self.resumed("continue", arguments)

    def resumed(self, command, arguments):
        "The response to what lets all threads run on: from now on, as a cell may have ended before debugpy tells of it."
        before = dict(self.stopped)
        self.stopped.clear()
        response = self.adapter.request(command, arguments)
        if not response["success"]: self.stopped |= before | self.stopped  # they do not
        return response

    def pause(self, threadId, **more):
        "Stop a thread soon. Not one in which an event loop waits: it would stop in there, where nothing of the user's is to be seen."
        name = next((t["name"] for t in self.ask("threads")["threads"] if t["id"] == threadId), None)
        thread = next((t for t in threading.enumerate() if t.name == name), None)
        frame = thread and sys._current_frames().get(thread.ident)
        if frame is None or whose(frame) == "loop": raise Refused(f"thread {threadId} runs no code that could be paused")
        return self.adapter.request("pause", dict(threadId=threadId, **more))

    def on_event(self, event):
        "Note what an event says of threads, and publish it for the last request."
        body = event.get("body") or {}
        notes = dict(stopped=self.on_stopped, continued=self.on_continued, terminated=lambda **_: self.ended(), breakpoint=self.on_breakpoint)
        if event["event"] in notes: notes[event["event"]](**body)
        if event["event"] == "output" and NOISE.search(body.get("output", "")): return
        self.send("iopub", "debug_event", dict(seq=next(self.seq), type="event", event=event["event"], body=body), self.scope)

    def on_stopped(self, threadId, **body):
        if not self.stopped: self.groups, self.paths = set(), {}
        self.stopped[threadId] = body

    def on_continued(self, threadId, allThreadsContinued=True, **_):
        "Nobody waits for a thread that runs on; an interrupt may have made it."
        if allThreadsContinued: self.stopped.clear()
        else: self.stopped.pop(threadId, None)
        if not self.stopped: self.adapter.release(late)

    # --- for threads that run cells

    def sync(self): self.adapter.sync()

    def place(self, frame): return self.adapter.place(frame)

    def free(self, later):
        "Let the calling thread go, which is to be interrupted, and `later` all others that are stopped; debugpy itself will not tell of it."
        self.adapter.free()
        later(self.freed)

    def freed(self):
        self.adapter.resume()
        for thread in list(self.stopped): self.on_event(dict(event="continued", body=dict(threadId=thread, allThreadsContinued=False)))

    def resume(self):
        "Let all stopped threads run on. Any thread."
        if self.stopped: self.adapter.resume()

    def forked(self):
        "In a forked child: nobody would let it run on."
        self.attached = False
        self.adapter.forked()

    def stop_at(self, frame):
        "Stop the calling thread at `frame` if a client is attached; False if there is none. Not a thread of ours, nor one that evaluates something for the client."
        if not self.attached: return False
        if not is_hidden(threading.current_thread()) and not self.place(frame): self.adapter.stop_here(frame)  # else nobody could let it run on
        return True

    # --- sources and breakpoints

    def dump_cell(self, code, **_):
        "Write a cell where debugpy looks for it: a breakpoint in a file that is not there is none."
        path = cell_file(code)
        if not path.startswith(prefix()): raise Refused("IPYMINI_CELL_NAME calls all cells alike: their breakpoints cannot be told apart")
        make_folder(os.path.dirname(path))
        with open(path, "w", encoding="utf-8", errors="replace") as f: f.write(code)
        return dict(body=dict(sourcePath=path))

    def set_breakpoints(self, source, breakpoints=(), lines=(), **more):
        points = list(breakpoints) or [dict(line=n) for n in lines]
        if source.get("path") is None or any(p.get("line") is None for p in points): raise Refused("a breakpoint is in a line of a source that has a path")
        response = self.adapter.request("setBreakpoints", dict(source=source, breakpoints=points, **more))
        if not response["success"]: return response
        kept = [p | dict(line=b.get("line", p["line"]), id=b["id"]) for p,b in zip(points, response["body"]["breakpoints"])]
        if kept: self.breakpoints[source["path"]] = kept
        else: self.breakpoints.pop(source["path"], None)
        return response

    def on_breakpoint(self, breakpoint, **_):
        "Debugpy has seen the code and moves a breakpoint to a line that can be reached."
        for p in (p for points in self.breakpoints.values() for p in points):
            if p["id"] == breakpoint.get("id"): p["line"] = breakpoint.get("line", p["line"])

    def source(self, source=None, sourceReference=0, **_):
        path = (source or {}).get("path") or ""
        content = read(path)
        if content is not None: return dict(body=dict(content=content, mimeType="text/x-python"))
        number = (source or {}).get("sourceReference") or sourceReference
        if not number: raise Refused(f"no source of {path}")
        return dict(body=dict(self.ask("source", source=source, sourceReference=number), mimeType="text/x-python"))

    def stack_trace(self, threadId, startFrame=0, levels=0, **more):
        "The frames of a thread down to the cell: that IPython has called it need not be shown. None if it runs: JupyterLab asks late, and fails where it is refused."
        if self.attached and threadId not in self.stopped: return NO_FRAMES
        body = self.ask("stackTrace", threadId=threadId, **more)
        frames = body["stackFrames"]
        runs = [i for i,f in enumerate(frames) if f["name"] == "run_code" and f["source"].get("path", "").endswith("interactiveshell.py")]
        if runs: frames = frames[:runs[-1]]
        return dict(body=dict(stackFrames=frames[startFrame or 0:][:levels or None], totalFrames=len(frames)))

    def modules(self, startModule=0, moduleCount=0, **_):
        found = [(name, getattr(m, "__file__", None)) for name,m in sys.modules.copy().items()]
        listed = [dict(id=i, name=name, path=path) for i,(name,path) in enumerate(found) if isinstance(path, str) and path.endswith(SUFFIX)]
        return dict(body=dict(modules=listed[startModule or 0:][:moduleCount or None], totalModules=len(listed)))

    # --- variables

    def namespace(self):
        "What the user has put into the shell's namespace. A copy: a list of its items could not be made while another thread adds some."
        return {k: v for k,v in self.shell.user_ns.copy().items() if isinstance(k, str) and not self.is_hidden(k, v)}

    def is_hidden(self, name, value=None):
        "Is that IPython's, and not the user's?"
        hidden = self.shell.user_ns_hidden
        return name in hidden and (value is None or value is hidden[name]) or bool(HISTORY.fullmatch(name))

    def inspect_variables(self, **_): return dict(body=dict(variables=self.variables.show(self.namespace())))

    def scopes(self, frameId, **more):
        if not self.stopped: raise Refused("no thread is stopped")
        body = self.ask("scopes", frameId=frameId, **more)
        self.paths |= {s["variablesReference"]: (frameId, None) for s in body["scopes"]}
        return dict(body=body)

    def list_variables(self, variablesReference, filter=None, start=0, count=0, **more):
        if variablesReference in self.variables.values:
            return dict(body=dict(variables=self.variables.children(variablesReference, filter, start, count)))
        frame,path = self.paths.get(variablesReference, (None, None))
        if path and (filter or start or count):  # debugpy knows no pages, and gives the first few of many
            value = self.value(path, frame)
            if isinstance(value, PAGED): return dict(body=dict(variables=self.variables.part(value, path, filter, start, count)))
        found = self.ask("variables", variablesReference=variablesReference, **more)["variables"]
        if variablesReference in self.groups or {"In", "Out", "_oh"} <= {v["name"] for v in found}:
            found = [v for v in found if not self.is_hidden(v["name"])]
            self.groups |= {v["variablesReference"] for v in found if v["name"] in GROUPS}
        if frame is not None: self.paths |= {v["variablesReference"]: (frame, v.get("evaluateName")) for v in found if v["variablesReference"]}
        return dict(body=dict(variables=page(found, filter, start, count)))

    def rich_inspect(self, variableName, frameId=None, **_):
        "The mime bundle of a variable: of the frame, if a thread is stopped, else of the shell's namespace."
        data,metadata = self.shell.display_formatter.format(self.value(variableName, frameId))
        return dict(body=dict(data=data, metadata=metadata))

    def value(self, name, frameId):
        "What `name` is in a frame, or to the shell."
        if frameId is None or not self.stopped:
            if name not in self.shell.user_ns: raise Refused(f"no variable {name!r}")
            return self.shell.user_ns[name]
        asked.clear()
        self.ask("evaluate", expression=f"__import__('sys').modules[{__name__!r}].see({name})", frameId=frameId, context="watch")
        if not asked: raise Refused(f"no variable {name!r} there")
        return asked.pop()

    def evaluate(self, expression, frameId=None, context="repl", **more):
        "In a frame, or without one in the shell's namespace: debugpy would do it in a module of its own."
        if frameId is not None: return self.adapter.request("evaluate", dict(expression=expression, frameId=frameId, context=context, **more))
        if not self.attached: raise Closed("there is no debug session: initialize and attach first")
        try: value = within(EVALUATION, lambda: False, compute, expression, self.shell.user_ns, context)
        except Late: raise Refused(f"it takes more than {EVALUATION:.0f} seconds") from None
        except BaseException as e: raise Refused("".join(traceback.format_exception_only(e)).strip()) from None  # SystemExit, too, is only an answer
        told = self.variables.variable(expression, value, expression)
        return dict(body=dict(result="" if value is None else told["value"], type=told["type"], variablesReference=told["variablesReference"]))

    def copy_to_globals(self, srcVariableName, dstVariableName, srcFrameId, **_):
        "Give a variable of a stopped frame a name in the shell's namespace."
        for name in (srcVariableName, dstVariableName):
            if not name.isidentifier() or keyword.iskeyword(name): raise Refused(f"{name!r} is no name")
        if not self.stopped: raise Refused("no thread is stopped")
        value = self.shell.user_ns[dstVariableName] = self.value(srcVariableName, srcFrameId)
        return dict(body=self.variables.variable(dstVariableName, value, dstVariableName))


def make_folder(path):
    "Make the folder for cells, which goes with this process, or make it again if somebody has cleaned up. Refused if it is somebody else's: where files are temporary, anybody may make one, with links in it."
    try: os.mkdir(path, 0o700)
    except FileExistsError:
        found = os.lstat(path)
        if not stat.S_ISDIR(found.st_mode) or os.name == "posix" and found.st_uid != os.getuid(): raise Refused(f"{path} is not this kernel's") from None
    remove_at_end(path)


@functools.cache
def remove_at_end(path): atexit.register(shutil.rmtree, path, ignore_errors=True)


def compute(expression, names, context):
    "The value of an expression in the namespace `names`; None for statements, which a console may have executed."
    source = textwrap.dedent(expression).strip()
    try: code = compile(source, "<evaluate>", "eval")
    except SyntaxError:
        if context != "repl": raise
        return exec(source, names)
    return eval(code, names)


def call(f, arguments):
    "The method `f` with the arguments of a request; Refused if it needs others, or has one of that name itself."
    try: inspect.signature(f.__func__).bind(f.__self__, **arguments)
    except TypeError as e: raise Refused(str(e)) from None
    return f(**arguments)


def late(command):
    "What a request gets that a thread would have answered, had it not run on; None for others."
    if command == "continue": return dict(success=True, body=dict(allThreadsContinued=True))
    if command == "stackTrace": return NO_FRAMES | dict(success=True)
    return dict(success=False, message=LATE, body={}) if command in HELD else None


def read(path):
    "The source of the file `path`, or of the cell that has this name; None if there is none."
    try:
        with tokenize.open(path) as f: return f.read()
    except (OSError, SyntaxError, UnicodeDecodeError): return "".join(linecache.getlines(path)) or None
    except ValueError: return None  # no file can have that name


def keep_lines(shell, on):
    "Let IPython number a cell's lines as the client does, or with `on` false as ever: it drops empty lines at the top."
    transforms = shell.input_transformer_manager.cleanup_transforms
    for i,t in enumerate(transforms):
        if on and getattr(t, "__name__", "") == "leading_empty_lines": transforms[i] = leading_lines(t)
        elif not on and hasattr(t, "replaces"): transforms[i] = t.replaces


def leading_lines(original):
    "IPython's transform for the cells that need it: the line of a cell magic must be the first."
    def transform(lines):
        first = next((line for line in lines if line.strip()), "")
        return original(lines) if first.startswith("%%") else lines
    transform.replaces = original
    return transform
