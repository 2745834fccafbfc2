"""Subshells room: one queue of shell requests and what they mean: a worker, a bridge, and their order. The parent subshell is one, too.

Owns the table of shell requests, and stop_on_error.
Must not know: zmq, IPython, which other subshells there are.
Threads: `put` any, `serve` the worker's own, `serve_query` the query lane's.
Spec: messaging, "Messages on the shell (ROUTER/DEALER) channel"; JEP 91."""

import logging, os, sys, time
from datetime import datetime, timezone
from types import CoroutineType

from ..request.replies import UnknownSubshellError, failure, handle, reply
from ..request.flags import flag
from ..interrupts.protect import INTERRUPT
from ..process.threads import Event, KernelThread, Overtaking
from ..request.fields import error_content
from ..request.scope import Scope, here
from .worker import Worker

log = logging.getLogger("ipymini.serve.subshells")
QUERIES = {"complete_request", "inspect_request", "is_complete_request", "history_request", "comm_info_request", "kernel_info_request"}


class Subshell:
    "Serves the shell requests put into it. `port` as of Scope; `common` is a table of handlers that are the same everywhere; `id` None: the parent."

    def __init__(self, port, common, life, elsewhere, later, id=None, bridge=None):
        self.port,self.life,self.elsewhere,self.id,self.bridge = port, life, elsewhere, id, bridge
        self.worker,self.abort_until,self.thread = Worker(self.serve, is_comm), 0.0, None
        self.waiting = Overtaking(later)
        self.newest,self.comms = {}, set()  # the last complete_request of each session; ids of the comm messages that main has handed over
        self.table = common | dict(execute_request=self.execute, complete_request=self.complete, inspect_request=self.inspect,
            is_complete_request=self.is_complete, history_request=self.history, comm_info_request=self.comm_info,
            comm_open=self.comm, comm_msg=self.comm, comm_close=self.comm)

    def put(self, msg):
        "Queue `msg`; refused if the subshell has ended. Any thread."
        if msg.type == "complete_request": self.newest[msg.session] = msg.id
        if self.id is not None and is_comm(msg): self.comms.add(msg.id)
        self.worker.put(msg)
        if self.worker.stopping and self.id is not None: self.refuse_rest()

    def refuse_rest(self):
        "Tell who still waits that the subshell is gone."
        for m in self.worker.take(lambda m: True): self.refuse(m, failure(m, UnknownSubshellError(f"no subshell {self.id!r}")))

    def close(self, done):
        "Let the subshell end when it has nothing left to serve; `done()` is called then. Any thread."
        self.worker.close(done)

    def start_thread(self, bridge_of):
        "Serve on a thread of its own; `bridge_of(worker)` makes the bridge there. Returns when it is ready; its exception if it cannot be."
        ready,failed = Event(), []
        def start():
            self.bridge = bridge_of(self.worker)
            ready.set()
        def run():
            try: self.worker.run(start)
            except BaseException as e:
                failed.append(e)  # no descriptors for its loop, for one
                log.exception("the thread of subshell %s ends", self.id)
            finally:
                self.worker.stopping = True
                ready.set()
                self.refuse_rest()
                if self.bridge: self.bridge.end()
        self.thread = KernelThread(run, f"subshell-{self.id}")
        self.thread.start()
        ready.wait()
        if failed and self.bridge is None: raise failed[0]

    def join(self, timeout):
        "Wait for the end of the subshell's thread; False if it took longer than `timeout` seconds."
        if self.thread is not None: self.thread.join(timeout)
        return self.thread is None or not self.thread.is_alive()

    # --- serving

    async def serve(self, msg):
        "Serve a request. The worker's thread."
        with Scope(self.port, msg, self) as scope:
            content = dict(status="aborted") if self.is_aborting(msg) else await self.content_of(scope)
            if self.life.forked: end_child(content)
            if self.life.signalled: content = ended(scope, content)
            self.port.drain()
            self.life.cell_ended(scope)  # before the reply, as are the aborts: a client that has seen it may send what goes the usual way
            stopped = self.stop_queued(scope, content)
            reply("shell", scope, content)
        self.comms.discard(msg.id)
        for m in stopped: self.refuse(m, dict(status="aborted"))
        if self.life.asked is not None: self.life.end_soon()

    async def content_of(self, scope):
        "The content of the reply, whatever goes wrong on the way to it."
        try:
            content = handle(self.table, scope)
            return await finish(scope, content) if isinstance(content, CoroutineType) else content
        except BaseException as e: return broken_off(scope, e)

    def overtake(self, msg):
        "Let the query lane serve `msg`, if nobody has taken it yet. On io."
        if not self.worker.claim(msg): return
        try: self.elsewhere.put(lambda: self.serve_query(msg))
        except RuntimeError:
            log.warning("the thread that answers queries cannot be started now", exc_info=True)
            self.worker.put_back([msg])

    def serve_query(self, msg):
        "Serve a query that has waited behind a cell. On the query lane."
        with Scope(self.port, msg, self) as scope: reply("shell", scope, handle(self.table | dict(complete_request=self.complete_now), scope))

    def refuse(self, msg, content):
        "Answer `msg` with `content`, in a bracket of its own. JupyterLab would show an execution_count as that of a cell that has run."
        with Scope(self.port, msg, self) as scope: reply("shell", scope, content)

    # --- stop_on_error

    def is_aborting(self, msg): return msg.type == "execute_request" and time.monotonic() < self.abort_until

    def stop_queued(self, scope, content):
        "The executes that had been received when the one of `scope` failed; those of the next IPYMINI_STOP_ON_ERROR_TIMEOUT seconds follow them."
        if scope.msg.type != "execute_request" or content["status"] != "error" or scope.is_unlocked or scope.content.get("stop_on_error") is False: return []
        self.abort_until = time.monotonic() + flag("IPYMINI_STOP_ON_ERROR_TIMEOUT")
        self.port.catch_up()
        return self.worker.take(lambda m: m.type == "execute_request")

    # --- handlers: (scope, fields of the content) -> content of the reply

    async def execute(self, scope, code, silent, store_history, user_expressions, allow_stdin, stop_on_error):
        scope.started = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        if not silent: scope.emit("execute_input", dict(code=code, execution_count=self.bridge.count))
        self.life.before_cell()
        content = dict(code=code, silent=silent, store_history=store_history, user_expressions=user_expressions)
        answer = await self.bridge.execute(content, scope.msg.metadata.get("cellId"), scope.msg.metadata)
        if self.bridge.shell.exit_now: self.life.asked = False
        return answer

    async def complete(self, scope, code, cursor_pos):
        "On the query lane, so that no cell waits for it; what comes behind it waits a moment, for the order's sake."
        return await self.worker.elsewhere(self.elsewhere, scope, lambda: self.complete_now(scope, code, cursor_pos))

    def complete_now(self, scope, code, cursor_pos):
        msg = scope.msg
        is_moot = lambda: self.newest.get(msg.session, msg.id) != msg.id  # its client has asked again
        return self.bridge.complete_within(code, clamp(cursor_pos, code), is_moot)

    def inspect(self, scope, code, cursor_pos, detail_level, omit_sections):
        return self.bridge.inspect(code, clamp(cursor_pos, code), detail_level, omit_sections)

    def is_complete(self, scope, code): return self.bridge.is_complete(code)

    def history(self, scope, **which): return self.bridge.history(**which)

    def comm_info(self, scope, target_name): return self.bridge.comm_info(target_name)

    def comm(self, scope, **ids): self.bridge.comm(scope.msg)


class KernelEnded(Exception):
    "Why a cell is an error at whose end the kernel ends by a signal: nothing that comes behind it is served."


def ended(scope, content):
    """The content of the reply to a cell during which the kernel was ended: its client would go on if it were told that all is well.
    What fails anyway tells why."""
    if scope.msg.type != "execute_request" or content["status"] != "ok": return content
    return content | dict(status="error") | show(scope, KernelEnded("SIGTERM has ended the kernel while this cell ran"))


def show(scope, e):
    "Publish the error `e` of the cell of `scope`, of which nothing has been shown; its content."
    error = error_content(type(e), e)
    error["traceback"] = [f"{error['ename']}: {error['evalue']}"]
    scope.emit("error", error)
    return error


def broken_off(scope, e):
    "The content of the reply to a request that `e` has broken off. What a cell has shown of an error, its reply tells."
    content = failure(scope.msg, e)
    return content | (scope.error or (show(scope, e) if scope.started else {}))


async def finish(scope, coro):
    "The content that `coro` comes to."
    try: return await coro
    except BaseException as e: return broken_off(scope, KeyboardInterrupt() if e.args == (INTERRUPT,) else e)  # what is cancelled at the end of a subshell


def unlock():
    "Let later cells run while the one that calls this awaits."
    scope = here()
    worker = scope.sub.worker if scope and scope.sub else None
    if worker is None or worker.task is None or scope.is_unlocked: raise RuntimeError("unlock() is for a cell that awaits, once")
    scope.is_unlocked = True
    worker.unlock()


def detour():
    "Let the cells of this client go to a new subshell until the calling cell ends; its id."
    scope = here()
    if scope is None or scope.sub is None or not scope.open: raise RuntimeError("subshell() is for a running cell")
    return scope.sub.life.detour(scope)


def is_comm(msg): return msg.type in ("comm_open", "comm_msg", "comm_close")


def clamp(cursor_pos, code): return len(code) if cursor_pos is None else max(0, min(cursor_pos, len(code)))


def end_child(content):
    "End a forked child that fell off the end of its cell, of which `content` tells: it is no kernel. As a script's it tells of an error, and by its exit code."
    code,ename,evalue = 0, content.get("ename"), content.get("evalue", "")
    if ename == "SystemExit": code = int(evalue) if evalue.isdecimal() else int(evalue not in ("", "None"))
    elif ename: code = print(*content.get("traceback", ()), sep="\n", file=sys.stderr) or 1
    for s in (sys.stdout, sys.stderr): s.flush()
    os._exit(code)
