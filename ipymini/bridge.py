"""Bridge room: an IPython shell behind plain methods, content in and content out.

Owns the shell, and what execute, complete, inspect, history and is_complete mean to it.
Must not know: sockets, message headers, status, who asks. A user's error is data here, never an exception that leaves.
Threads: the worker's that owns it; completions, and queries that overtake, the query lane's.
Spec: messaging, "Messages on the shell (ROUTER/DEALER) channel"."""

import asyncio, atexit, contextlib, gc, logging, os, sys, threading, warnings
from threading import get_ident

from IPython.core.async_helpers import _asyncio_runner
from IPython.core.completer import ProvisionalCompleterWarning, rectify_completions
from IPython.utils.tokenutil import token_at_cursor

from .ipython import comms, compat
from .ipython.config import IPKernelApp
from .request.fields import BadContent, error_content
from .ipython.errors import ShowsErrors
from .interrupts.budget import Late, is_users, stop, within
from .request.flags import flag
from .request.scope import Scope, here
from .ipython.shell import ZMQInteractiveShell, fork_shell
from .ipython.tracebacks import load_pygments
from .interrupts.protect import INTERRUPT, cell_code
from .ipython.history import KeptText

log = logging.getLogger("ipymini.bridge")
abandoned = []       # coroutines that cannot be run to their end; closed, they would show a GeneratorExit
COLD = 0.8           # seconds that the first completion may take, which imports Jedi: JupyterLab waits for a second; Jedi is ready for the next one then
INSPECTION = 5.0     # seconds for an inspection beside a cell
MOMENT = 0.02        # seconds that a completion which is told to end has for that
INSPECTING = threading.Lock()  # all shells have one inspector, which keeps in itself what it writes to


def allow_provisional():
    """Let IPython's completion API be used. Its own context manager puts all warning filters back when it ends: what a cell on another thread
    has set meanwhile would be lost, and what one puts back would turn this into an error."""
    ours = "ignore", None, ProvisionalCompleterWarning, None, 0
    if warnings.filters[:1] != [ours]: warnings.filterwarnings("ignore", category=ProvisionalCompleterWarning)


def begin_collecting():
    "Enable the garbage collector, as the user's code begins: what there is by now counts as old at once, unseen."
    gc.freeze()
    gc.unfreeze()
    gc.enable()


class Bridge:
    "One shell. `start` first, on the worker's thread."

    def __init__(self, worker, kernel=None, app=None, shell=None):
        self.worker,self.kernel,self.app,self.shell = worker, kernel, app, shell
        self.streams = dict(stdout=sys.stdout, stderr=sys.stderr)  # put back if a cell deletes them
        self.kept = None  # text that the parent's cells print
        self.late = []  # threads of completions that have taken too long

    def start(self, argv=(), connection_file=""):
        "Make the shell as IPython's configuration says, and run what that wants run at startup."
        comms.install()
        compat.install()
        self.app = IPKernelApp.instance(argv=list(argv), connection_file=connection_file)
        self.app.initialize()
        self.shell = self.app.forgive(self._make_shell)
        self.kept = KeptText(self.shell.history_manager)
        self.shell.displayhook.topic = b"execute_result"
        if os.environ.get("IPYMINI_USE_JEDI", "").strip(): self.shell.Completer.use_jedi = flag("IPYMINI_USE_JEDI")
        atexit.unregister(self.shell.atexit_operations)  # it would take their names from threads that still run: see `let_go`
        atexit.register(self.end_history)
        begin_collecting()
        self.app.start_shell(self.shell)

    def _make_shell(self):
        app = self.app
        return ZMQInteractiveShell.instance(parent=app, profile_dir=app.profile_dir, user_ns=app.user_ns, kernel=self.kernel)

    def for_subshell(self, worker, subshell_id):
        "A bridge for `worker` with a shell of its own in this one's namespace. `worker`'s thread."
        return Bridge(worker, self.kernel, self.app, fork_shell(self.shell, subshell_id))

    @property
    def count(self): return self.shell.execution_count  # the number of the next cell

    # --- execute

    async def execute(self, content, cell_id=None, cell_meta=None):
        "Content of the execute_reply to `content`. The worker's thread."
        shell,scope = self.shell, here() or Scope.nobody
        code,silent = content["code"], content.get("silent", False)
        store = content.get("store_history", not silent) and not silent
        shell.exit_now = False
        scope.number = shell.execution_count - silent
        known = len(shell.history_manager.input_hist_raw) if store else None
        if store and self.kept: scope.keep = self.kept.of(scope.number)
        try:
            with self.worker.user: result = await self._run(code, dict(store_history=store, silent=silent, cell_id=cell_id, cell_meta=cell_meta))
        except (KeyboardInterrupt, asyncio.CancelledError):
            if store: self._keep_input(code, known)
            return self._interrupted()
        except Exception as e:
            if store: self._keep_input(code, known)
            return self._failed(e)
        if store: shell.history_manager.save_soon()
        err = result.error_before_exec or result.error_in_exec
        if isinstance(err, asyncio.CancelledError) and err.args == (INTERRUPT,): err = KeyboardInterrupt()
        if isinstance(err, KeyboardInterrupt) and not scope.error: return self._interrupted()  # twice: where IPython was to show the first it says so on stderr
        if err is not None: return self._reply(as_shown(type(err), err))
        return self._reply(dict(status="ok"), self._expressions(content.get("user_expressions") or {}))

    def _keep_input(self, code, known):
        "Store the input of a cell at which IPython was broken off, if it has not: there were `known` before, and with its number it has been published."
        shell,hm,number = self.shell, self.shell.history_manager, here().number
        if not code or code.isspace(): return
        shell.execution_count = max(shell.execution_count, number + 1)
        with contextlib.suppress(KeyboardInterrupt):  # another one: the cell has ended already
            if len(hm.input_hist_raw) == known: hm.store_inputs(number, code, code)
        hm.save_soon()

    def _interrupted(self):
        "The reply to a cell that was interrupted in IPython's code, before or after the user's."
        self.shell.showtraceback((KeyboardInterrupt, KeyboardInterrupt(), None))
        return self._reply(as_shown(KeyboardInterrupt, ""))

    def _failed(self, e):
        "The reply to a cell at which IPython itself, or something a library put into it, failed; maybe what shows errors."
        try: self.shell.showtraceback()
        except Exception: ShowsErrors.showtraceback(self.shell)
        return self._reply(as_shown(type(e), e))

    def _reply(self, content, user_expressions=None):
        for name,stream in self.streams.items(): sys.__dict__.setdefault(name, stream)  # without them no thread can be started
        shell = self.shell
        payload = shell.payload_manager.read_payload()
        shell.payload_manager.clear_payload()
        return dict(status="error") | content | dict(execution_count=here().number, user_expressions=user_expressions or {}, payload=payload)

    async def _run(self, code, flags):
        "IPython's ExecutionResult of `code`: straight through if it awaits nothing, else as a task of the worker's loop."
        shell,exc = self.shell, None
        try: cell = transform(shell, code)
        except Exception: cell,exc = code, sys.exc_info()  # input transformers are anybody's
        is_async = shell.should_run_async(code, transformed_cell=cell, preprocessing_exc_tuple=exc)
        if "run_cell" in vars(shell) or (is_async and shell.loop_runner is not _asyncio_runner): return run_cell(shell, code, flags)
        coro = shell.run_cell_async(code, transformed_cell=cell, preprocessing_exc_tuple=exc, **flags)
        return await self._run_async(coro, flags["silent"]) if is_async else run_sync(shell, coro, flags["silent"])

    async def _run_async(self, coro, silent):
        result = None
        try:
            result = await self.worker.await_cell(coro)
            return result
        finally: run_events(self.shell, result, silent)

    @cell_code
    def _expressions(self, expressions): return self.shell.user_expressions(expressions)

    # --- questions

    def complete_within(self, code, cursor_pos, is_moot=lambda: False):
        """Content of a complete_reply after at most IPYMINI_COMPLETION_TIMEOUT seconds: without Jedi if that takes longer (and then a fifth more), without matches
        if a newer request makes it moot."""
        nothing = dict(status="ok", matches=[], cursor_start=cursor_pos, cursor_end=cursor_pos, metadata={})
        if is_moot(): return nothing
        completer,budget = self.shell.Completer, flag("IPYMINI_COMPLETION_TIMEOUT")
        use_jedi,first = completer.use_jedi, max(COLD, budget) if "jedi" not in sys.modules else budget
        late = list(self._late())
        if len(late) > 1: return nothing
        if use_jedi and not late:  # Jedi is no good for two threads at once
            try: found = within(first, is_moot, self._complete_if_well, code, cursor_pos)
            except Late as e:
                self.late.append(e.thread)
                if is_moot() or is_users(e.thread): return nothing  # without Jedi, the user's code would take as long
            else:
                if found: return found
        completer.use_jedi = False
        try: return within(budget/5 if use_jedi else budget, is_moot, self.complete, code, cursor_pos)
        except Late as e:
            if late: stop(e.thread)  # one that is left behind is enough
            self.late.append(e.thread)
            return nothing
        finally: completer.use_jedi = use_jedi

    def _late(self):
        "Threads of completions that are still at it, after a moment to end."
        stop(*self.late)
        for t in self.late: t.join(MOMENT)
        self.late = [t for t in self.late if t.is_alive()]
        return self.late

    def _complete_if_well(self, code, cursor_pos):
        """As `complete`; None if Jedi has failed, which to IPython is the same as finding nothing: its cache on disk breaks when a process is
        killed that writes there."""
        found = self.complete(code, cursor_pos)
        if found["matches"] or not self.shell.Completer.use_jedi: return found
        try: sys.modules["jedi"].Interpreter(code[:cursor_pos], [self.shell.user_ns]).complete()
        except Exception: return None
        return found

    @cell_code
    def complete(self, code, cursor_pos):
        "Content of a complete_reply; positions in Unicode characters."
        if not flag("IPYMINI_EXPERIMENTAL_COMPLETIONS"): return self._complete_plain(code, cursor_pos)
        allow_provisional()
        found = list(rectify_completions(code, self.shell.Completer.completions(code, cursor_pos)))
        start,end = (found[0].start, found[0].end) if found else (cursor_pos, cursor_pos)
        types = [dict(start=c.start, end=c.end, text=c.text, type=c.type, signature=c.signature) for c in found]  # JupyterLab reads these
        return dict(status="ok", matches=[c.text for c in found], cursor_start=start, cursor_end=end, metadata=dict(_jupyter_types_experimental=types))

    def _complete_plain(self, code, cursor_pos):
        line_start = code.rfind("\n", 0, cursor_pos) + 1
        line_end = code.find("\n", cursor_pos)
        line = code[line_start:line_end if line_end >= 0 else len(code)]
        text,matches = self.shell.complete("", line, cursor_pos - line_start)
        return dict(status="ok", matches=matches, cursor_start=cursor_pos - len(text), cursor_end=cursor_pos, metadata={})

    def inspect(self, *args):
        "Content of an inspect_reply about the name at the cursor; Late if that takes too long on another thread than the worker's, where no interrupt could end it."
        return self._inspect(*args) if get_ident() == self.worker.ident else within(INSPECTION, lambda: False, self._inspect, *args)

    @cell_code
    def _inspect(self, code, cursor_pos, detail_level=0, omit_sections=()):
        name = token_at_cursor(code, cursor_pos)
        load_pygments()
        alone = INSPECTING.acquire(timeout=1)  # longer only what the user's own code does
        try: data = self.shell.object_inspect_mime(name, detail_level=detail_level, omit_sections=omit_sections)
        except KeyError: return dict(status="ok", found=False, data={}, metadata={})
        finally:
            if alone: INSPECTING.release()
        if not self.shell.enable_html_pager: data.pop("text/html", None)
        return dict(status="ok", found=True, data=data, metadata={})

    def is_complete(self, code):
        "Content of an is_complete_reply."
        try: status,indent = self.shell.check_complete(code)
        except UnicodeError: status,indent = "invalid", None  # half of a surrogate pair, which no compiler takes
        return dict(status=status) | (dict(indent=indent) if status == "incomplete" else {})

    def history(self, hist_access_type, raw=True, output=False, session=0, start=1, stop=None, n=None, pattern="*", unique=False):
        "Content of a history_reply: entries are (session, line, input) or with `output` (session, line, (input, output))."
        hm = self.shell.history_manager
        kinds = dict(tail=lambda: hm.get_tail(10 if n is None else n, raw=raw, output=output, include_latest=True),
            range=lambda: hm.get_range(session, start, stop, raw=raw, output=output),
            search=lambda: hm.search(pattern, raw=raw, output=output, n=n, unique=unique))
        if hist_access_type not in kinds: raise BadContent(f"hist_access_type must be one of {', '.join(kinds)}, not {hist_access_type!r}")
        number = {0: hm.session_number}  # IPython calls the current session 0 in ranges
        try: return dict(status="ok", history=[(number.get(s, s), line, inp) for s,line,inp in kinds[hist_access_type]()])
        except (OverflowError, UnicodeEncodeError) as e: raise BadContent(f"no database has that: {e}") from None

    @cell_code
    def comm(self, msg):
        "Hand a comm message to its comm."
        comms.receive(msg)

    def comm_info(self, target_name=None): return comms.info(target_name)

    def stop(self):
        "Write the history; the shell is not used afterwards."
        try: self.shell.history_manager.stop()
        except Exception: log.warning("the history could not be written", exc_info=True)  # it is in the user's hands, and must not hold up an end

    def end_history(self):
        "End the session in the history database."
        hm,self.shell.history_manager = self.shell.history_manager, None  # first: a forced end calls this beside a late main
        if hm is None: return
        hm.end_session()
        hm.close()

    def let_go(self):
        "Do what else IPython does at exit: it lets go of the user's objects, open files among them. Only daemon threads still run, of whose missing names nobody wants to read."
        threading.excepthook = lambda args: None
        self.end_history()
        self.shell.atexit_operations()

    def end(self):
        "End what a subshell's shell keeps open: its history."
        self.shell.history_manager.close()


@cell_code
def transform(shell, code): return shell.transform_cell(code)


@cell_code
def run_cell(shell, code, flags):
    "The cell through IPython's own front door: for shells whose `run_cell` a library replaced, and for loops that are not asyncio's."
    return shell.run_cell(code, **flags)


@cell_code
def run_sync(shell, coro, silent):
    "Drive `coro`, a run_cell_async that awaits nothing, to its end."
    result = None
    try:
        coro.send(None)
        abandoned.append(coro)
        raise RuntimeError(f"{coro.__name__!r} needs a real async loop")  # as IPython's own runner says: `return` outside a function, and await
    except StopIteration as e:
        result = e.value
        return result
    finally: run_events(shell, result, silent)


def as_shown(etype, evalue):
    "An error as content, with the lines that have been shown of it."
    return error_content(etype, evalue, here().error.get("traceback", ()))


@cell_code
def run_events(shell, result, silent):
    scope = here() or Scope.nobody
    error = scope.error
    shell.events.trigger("post_execute")
    if not silent: shell.events.trigger("post_run_cell", result)
    scope.error = error  # the cell's own, not that of a callback
