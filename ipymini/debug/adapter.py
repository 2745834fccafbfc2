"""Adapter room: the framing of the Debug Adapter Protocol, and the client of debugpy's adapter in this very process.

Owns `encode` and `Decoder` (pure), and `Adapter`: debugpy's import, its threads, its tracing, and the socketpair to it. The only room that knows debugpy and pydevd.
Must not know: Jupyter messages, IPython, what a command means.
Threads: `request`, `open` and `close` on the debug lane; events on a reader of its own; `sync`, `stop_here` and `place` on threads that run cells; `resume` any.
Spec: Debug Adapter Protocol, "Base Protocol"."""

import atexit, contextlib, functools, importlib, json, linecache, logging, os, queue, socket, sys, threading

from ..interrupts.deliver import unharmed
from ..interrupts.protect import DEBUGGERS, HERE, in_debugger, wait_code
from ..process.threads import KernelThread, hide

log = logging.getLogger("ipymini.debug.adapter")
SETTINGS = dict(  # what pydevd reads from the environment while it is imported
    PYDEVD_USE_SYS_MONITORING="1",             # from Python 3.12 on: quicker, and threads that run already stop, too
    PYDEVD_DISABLE_FILE_VALIDATION="1",        # no warning about frozen modules: nobody steps into them
    PYDEVD_IPYTHON_COMPATIBLE_DEBUGGING="1")   # each statement of a cell is a frame of its own: steps go on in the next one
CACHES = ("global_cache_skips", "global_cache_frame_skips", "_CACHE_FILE_TYPE", "NORM_PATHS_CONTAINER", "NORM_PATHS_AND_BASE_CONTAINER",
    "_code_to_func_code_info_cache")  # of pydevd's modules: what they know of code and file names
KEPT_TRACERS = 4  # of a thread, the last: frames that still run may have them
MANY = 500        # threads that pydevd has met in a session before those that have ended are looked for
set_local_events = sys.monitoring.set_local_events if hasattr(sys, "monitoring") else None


def encode(message):
    "The bytes of a DAP message."
    data = json.dumps(message).encode()
    return b"Content-Length: %d\r\n\r\n%b" % (len(data), data)


class Decoder:
    "DAP messages out of bytes that come in pieces."

    def __init__(self): self.data,self.want = bytearray(), None

    def feed(self, piece):
        "The messages that `piece` completes, in order. ValueError if it is not DAP."
        self.data += piece
        while (message := self._next()) is not None: yield message

    def _next(self):
        if self.want is None: self._header()
        if self.want is None or len(self.data) < self.want: return None
        body = bytes(self.data[:self.want])
        del self.data[:self.want]
        self.want = None
        try: return json.loads(body)
        except RecursionError as e: raise ValueError(f"JSON too deep: {e}") from None

    def _header(self):
        end = self.data.find(b"\r\n\r\n")
        if end < 0: return
        fields = dict(line.split(b":", 1) for line in bytes(self.data[:end]).split(b"\r\n") if b":" in line)
        if b"Content-Length" not in fields: raise ValueError(f"no Content-Length in {bytes(self.data[:end])!r}")
        self.want = int(fields[b"Content-Length"])
        del self.data[:end + 4]


class Closed(ConnectionError):
    "The adapter is not open, or went away."


def beside(f):
    "As the method `f`, for threads that take no part in the session: it may end meanwhile, and what fails for that is only logged."
    @functools.wraps(f)
    def call(*args):
        try: return f(*args)
        except Exception:  # the edge of debugpy's room
            log.info("%s fails, as a debug session ends", f.__name__, exc_info=True)
    return call


class Adapter:
    "The adapter and the way to it. `on_event(event)` is called for each of its events, in order, on the reader's thread."

    def __init__(self, on_event):
        self.on_event,self.pydevd,self.db,self.socket = on_event, None, None, None
        self.seq,self.waiting,self.sending = 0, {}, threading.Lock()
        self.session = 0  # the number of the last one
        self.codes = {}  # the code objects that sys.monitoring was told to watch, by id

    @property
    def is_open(self): return self.socket is not None

    def open(self):
        "Import debugpy, if that is still to be done, and connect to it; what goes wrong with that ends the next request."
        self.pydevd = self.pydevd or load()
        if self.pydevd.get_global_debugger() is not None: raise Closed("debugpy is in use in this process already")
        self.socket,theirs = socket.socketpair()
        self.session += 1
        self.waiting = {}
        try:
            spawn("dap-read", functools.partial(self._read, self.socket, self.waiting))
            spawn("dap-connect", functools.partial(self._connect, theirs))
        except RuntimeError:  # no thread can be started: there is no session, and the next one may begin
            ours,self.socket = self.socket, None
            for s in (ours, theirs): s.close()
            raise

    def _connect(self, theirs):
        """Start pydevd as `debugpy.listen(..., in_process_debug_adapter=True)` does, but on `theirs`: that listens on a TCP port, which anybody on this machine may use.
        Stay until pydevd's threads have ended, which do not close it, and close it."""
        with theirs:
            try: db = self._start(theirs)
            except Exception: return log.exception("debugpy does not start")  # whatever it cannot do here: the reader sees the end, and tells who waits
            for t in (db.writer, db.reader): t.join()

    def _start(self, theirs):
        pydevd = self.pydevd
        pydevd.PyDB.create_wait_for_connection_thread = lambda db: self._begin(db)
        hidden = os.path.dirname(sys.modules["debugpy"].__file__) + os.sep, HERE
        pydevd.settrace(host="127.0.0.1", port=0, suspend=False, block_until_connected=False, wait_for_ready_to_run=False, notify_stdin=False,
            dont_trace_start_patterns=hidden, dont_trace_end_patterns=("debugpy_launcher.py",))
        db = self.db = pydevd.get_global_debugger()
        atexit.unregister(pydevd.stoptrace)  # waits half a second for debugpy's threads: no kernel has that long to end
        db.initialize_network(theirs, terminate_on_socket_close=False)
        return db

    def _begin(self, db):
        "Instead of listening. What pydevd has cached of code it compares with `mtime`, which starts at 0 in each session: with the breakpoints of the last one."
        db.mtime = self.session % 2000 << 20  # a 32-bit number
        if self.is_monitoring: sys.monitoring.set_local_events = self._watch

    def _watch(self, tool, code, events):
        "As sys.monitoring.set_local_events; pydevd does not tell it when a session is over."
        self.codes[id(code)] = code
        set_local_events(tool, code, events)

    def _read(self, ours, waiting):
        "All of one session, the requests that wait for its responses too: its end may come when the next one has begun."
        decoder = Decoder()
        try:
            while (data := received(ours)) and ours is self.socket:
                for message in decoder.feed(data): self._received(message, waiting)
        except ValueError: log.exception("debugpy sends what is no DAP")
        if ours is self.socket:  # it went, we did not send it away
            self.close()
            self._happened(dict(event="terminated", body={}))
        release(waiting, lambda command: dict(success=False, message="the debugger has ended"))

    def _received(self, message, waiting):
        if message["type"] == "event": return self._happened(message) if message["event"] != "terminated" else None  # told once, at the end
        command,box = waiting.pop(message.get("request_seq"), (None, None))
        if box: box.put(message)  # else it was released

    def _happened(self, event):
        try: self.on_event(event)
        except Exception: log.exception("debug event %s", event)  # the edge of the room: requests still want their responses

    def request(self, command, arguments):
        "The adapter's response to `command`. Blocks until it is there, or until `release`. Closed if there is no adapter."
        ours,box = self.socket, queue.SimpleQueue()
        if command == "threads": bury()
        if ours is None: raise Closed("there is no debug session: initialize and attach first")
        with self.sending:
            self.seq += 1
            self.waiting[self.seq] = command, box
            try: ours.sendall(encode(dict(seq=self.seq, type="request", command=command, arguments=arguments)))
            except OSError: raise Closed("the debugger has ended") from None
        return box.get()

    def release(self, answer):
        "Answer who waits for a response with `answer(command)`, unless that is None. Any thread."
        release(self.waiting, answer)

    def close(self):
        "End the session: threads run on, untraced, and debugpy's own threads end."
        ours,self.socket = self.socket, None
        db,self.db = self.pydevd.get_global_debugger(), None
        if db is not None:
            db.dispose_and_kill_all_pydevd_threads(wait=False)
            wake(db)
            self._untrace()
            db._running_thread_ids.clear()  # or what has traced a thread would keep this session, its threads, what has traced those, the one before ...
            self._forget_threads()
            self._forget_code()
        ours.shutdown(socket.SHUT_RDWR)
        ours.close()

    def _untrace(self):
        "Give all threads their full speed back; on Python 3.11 with their next call, as only the thread itself can end its tracing there."
        if self.is_monitoring: return self._unwatch()
        tracing = self.pydevd.pydevd_tracing
        tracing.restore_sys_set_trace_func()
        threading.settrace(None)
        if hasattr(threading, "settrace_all_threads"): threading.settrace_all_threads(None)
        elif len(sys._current_frames()) > 1: tracing.set_trace_to_threads(untrace, create_dummy_thread=False)

    def _forget_threads(self, more_than=0):
        "Let go of the threads that have ended, and of what they hold: pydevd keeps all that it has met."
        met = sys.modules["_pydevd_bundle.pydevd_constants"]._thread_id_to_thread_found
        if len(met) <= more_than: return
        for key,t in met.copy().items():
            if t.ident is not None and not t.is_alive(): met.pop(key, None)

    def _forget_code(self):
        "Let go of the code that was run, and its file names, of which each cell has its own: pydevd keeps what it knows of them."
        modules = [self.pydevd, sys.modules["pydevd_file_utils"]]
        if self.is_monitoring: modules.append(sys.modules[self.pydevd.pydevd_sys_monitoring.stop_monitoring.__module__])
        for cache in (vars(m)[name] for m in modules for name in CACHES if name in vars(m)): cache.clear()

    def _unwatch(self):
        "Code that had a breakpoint or was stepped through would stay at half its speed."
        tool,codes,sys.monitoring.set_local_events = sys.monitoring.DEBUGGER_ID, self.codes, set_local_events
        if sys.monitoring.get_tool(tool) != "pydevd": return
        sys.monitoring.set_events(tool, 0)
        for code in list(codes.values()): set_local_events(tool, code, 0)
        codes.clear()
        self.pydevd.pydevd_sys_monitoring.stop_monitoring(all_threads=True)

    @property
    def is_monitoring(self): return self.pydevd.PYDEVD_USE_SYS_MONITORING

    # --- threads that run cells

    @beside
    def sync(self):
        "Trace the calling thread if there is a session, and leave it alone if there is none. An exception out of pydevd, as an interrupt is, ends tracing."
        if self.db is None: return
        bury()
        self._forget_threads(MANY)
        if not self.is_monitoring: self._drop_tracers()
        self.db.enable_tracing()

    def _drop_tracers(self):
        "Let go of what has traced the calling thread before: pydevd keeps an object for each cell, as long as the thread lives."
        tracers = getattr(getattr(threading.current_thread(), "additional_info", None), "top_level_thread_tracer_no_back_frames", None)
        if tracers: del tracers[:-KEPT_TRACERS]

    @beside
    def stop_here(self, frame):
        "Stop the calling thread at `frame`, as at a breakpoint."
        db,thread = self.db, threading.current_thread()
        db.enable_tracing()  # a thread that pydevd has not met yet cannot be left alone
        db.disable_tracing()  # or pydevd would stop in its own waiting: this is no callback of the interpreter's, in which nothing is traced
        try:
            db.set_suspend(thread, self.pydevd.CMD_SET_BREAK, suspend_requested=True)  # with sys.monitoring steps from here would not stop else
            db.do_wait_suspend(thread, frame, "line", None)
        finally:
            if self.db is db: db.enable_tracing()

    @beside
    def place(self, frame):
        """What is the calling thread doing, interrupted in `frame`, if the debugger has stopped it? "wait": just that. "work": what it evaluates. "busy": something
        that must not be interrupted, as is all that debugpy does before and after, and around what it evaluates. None: it is not stopped."""
        if self.db is None: return None
        names,inner,loop = [], frame, self.pydevd.PyDB._do_wait_suspend.__code__
        while frame is not None and frame.f_code is not loop:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        if frame is None: return "busy" if in_debugger(inner) else None
        if set(names) == {"wait"} and inner.f_code.co_filename == threading.__file__: return "wait"  # not where threading takes its locks and gives them back
        return "work" if "do_it" in names and not in_debugger(inner) else "busy"

    @beside
    def free(self):
        "Let the calling thread, which waits, not be stopped any more."
        run_thread = sys.modules["_pydevd_bundle.pydevd_thread_lifecycle"].internal_run_thread
        run_thread(threading.current_thread(), self.pydevd.set_additional_thread_info)

    @beside
    def forked(self):
        "In a forked child, which has the tracing, and none of the threads."
        db,self.db,self.socket = self.db, None, None
        if db is None: return
        self._untrace()
        sys.settrace(None)

    @beside
    def resume(self):
        "Let all threads run that the debugger holds. Any thread."
        if self.db is not None: self.pydevd.PyDevdAPI().request_resume_thread("*")


def release(waiting, answer):
    "Take those out of `waiting`, seq to (command, box), for whom `answer(command)` is not None, and give it to them."
    for seq,(command,box) in waiting.copy().items():
        response = answer(command)
        if response is not None and waiting.pop(seq, None): box.put(response)


def untrace(frame, event, arg): sys.settrace(None)


def load():
    "Import debugpy's pydevd; the environment and `sys.breakpointhook` stay as they are."
    before,hook = set(os.environ), sys.breakpointhook
    try:
        for k,v in SETTINGS.items(): os.environ.setdefault(k, v)
        importlib.import_module("debugpy._vendored.force_pydevd")
    finally:
        sys.breakpointhook = hook
        for k in set(os.environ) - before: del os.environ[k]
    DEBUGGERS.add(os.path.dirname(sys.modules["debugpy"].__file__) + os.sep)
    processor = sys.modules["_pydevd_bundle.pydevd_process_net_command_json"].PyDevJsonCommandProcessor
    processor.process_net_command_json = answering(processor.process_net_command_json)
    pydevd = sys.modules["pydevd"]
    pydevd.PyDB.do_wait_suspend = as_itself(pydevd.PyDB.do_wait_suspend, pydevd.get_current_thread_id)
    pydevd.PyDB.collect_try_except_info = seeing_cells(pydevd.PyDB.collect_try_except_info)
    pydevd.pydevd_tracing.set_trace_to_threads = unhit(pydevd.pydevd_tracing.set_trace_to_threads)
    api = sys.modules["_pydevd_bundle.pydevd_api"]
    for name in ("internal_step_in_thread", "resume_threads"): setattr(api, name, then_wake(getattr(api, name), pydevd.get_global_debugger))
    return pydevd


def answering(original):
    "As pydevd's `process_net_command_json`; what that fails to do it only logs, and its client would wait for ever."
    def process(self, db, message, *args, **kwargs):
        try: return original(self, db, message, *args, **kwargs)
        except Exception as e:  # the edge of debugpy's room
            log.info("debugpy fails to serve %s", message, exc_info=True)
            request = json.loads(message)
            told = dict(type="response", request_seq=request["seq"], command=request["command"], success=False, message=f"{e.__class__.__name__}: {e}", body={})
            db.writer.add_command(sys.modules["_pydevd_bundle.pydevd_net_command"].NetCommand(0, 0, told, is_json=True))
    return process


def as_itself(original, id_of):
    """As pydevd's `do_wait_suspend`, on the thread that calls it: pydevd may have taken a dummy of the same number for that, and requests, which find the real one, would wait for ever.
    So its queue of requests is made before anybody learns of the stop: two threads that ask for it first, at once, get two, and what is put into the other one is lost."""
    @wait_code
    def do_wait_suspend(self, thread, *args, **kwargs):
        real = threading.current_thread()
        self.get_internal_queue_and_event(id_of(real))
        if real is not thread: real.additional_info,real.stop_reason = thread.additional_info, thread.stop_reason
        return original(self, real, *args, **kwargs)
    return do_wait_suspend


def unhit(original):
    "As pydevd's `set_trace_to_threads`, which starts a thread and waits for it: no interrupt hits that one, for which its creator would wait for ever."
    def set_trace_to_threads(*args, **kwargs):
        with unharmed(): return original(*args, **kwargs)
    return set_trace_to_threads


def seeing_cells(original):
    "As pydevd's `collect_try_except_info`, which reads in a function's file what it handles: also in a cell, which is no file until a client has it dumped."
    def collect(self, code):
        source = "" if os.path.exists(code.co_filename) else "".join(linecache.getlines(code.co_filename))
        numbers = [n for *_,n in code.co_lines() if n]
        try: found = sys.modules["_pydevd_bundle.pydevd_collect_bytecode_info"].collect_try_except_info_from_contents(source, code.co_filename)
        except SyntaxError: found = ()
        return [x for x in found if numbers and min(numbers) <= x.try_line <= max(numbers)] or original(self, code)
    return collect


def then_wake(original, get_db):
    "As `original`, which lets threads of pydevd's run on: they learn it at once, not when they look again, 0.2 seconds later."
    def let_run(*args, **kwargs):
        original(*args, **kwargs)
        db = get_db()
        if db is not None: wake(db)  # else the session has ended meanwhile, and nobody is held
    return let_run


def wake(db):
    "Let the threads that `db` holds look whether they may run on. Not from a signal handler, which may have found one of them in an event's lock."
    for event in list(db._thread_events.values()): event.set()


def bury():
    "Forget the dummies that pydevd makes of dying threads, in which the destructors of thread locals run last."
    with threading._active_limbo_lock:  # or a thread that starts just now with a dead one's number would be forgotten
        for ident,t in threading._active.copy().items():
            if isinstance(t, threading._DummyThread) and ident not in sys._current_frames(): threading._active.pop(ident, None)


def spawn(name, f):
    "Run `f()` on a thread that debuggers do not see."
    t = KernelThread(f, name)
    hide(t)
    t.start()


def received(s):
    "What the socket `s` has next; nothing at its end."
    with contextlib.suppress(OSError): return s.recv(1 << 16)
