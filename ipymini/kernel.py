"""Kernel room: what each request means, and the life of the kernel.

Owns the dispatch tables, replies and errors, routing, aborts, interrupts, shutdown.
Must not know: zmq (`Channels` sends), IPython (`Bridge` runs), how threads wait (`Worker` does).
Threads: `route` and control handlers on io; shell handlers on the worker's; debug_request on the debug lane.
Spec: messaging, the whole of it but debug; JEP 91 (subshell_id)."""

import asyncio, contextlib, logging, os, signal, sys, time
from datetime import datetime, timezone

from .capture import Capture
from .channels import Channels
from .info import kernel_info
from .lane import Lane
from .life import Life, leave, parent_fd, signal_children, watch_by_hand
from .requests import BadContent, error_content, fields, reply_type
from .scope import Port, Scope
from .stdin import Stdin
from .wire import PORTS, Codec
from .worker import Worker

log = logging.getLogger("ipymini.kernel")
EXIT_WITHIN = 0.7  # seconds from shutdown_request to the end of the process, whatever the user's code does


class Kernel:
    "One kernel on the connection `info`. `open`, then `run`, which serves on the calling thread (the main one) until shutdown."

    def __init__(self, info, argv=(), connection_file=""):
        self.channels = Channels(info, Codec(info["key"], info["signature_scheme"]), self.route)
        self.capture,self.worker,self.bridge = Capture(), Worker(self.serve, is_comm), None
        self.argv,self.connection_file = argv, connection_file
        self.abort_until,self.life,self.debug = 0.0, Life(), Lane("debug", self.serve_debug)
        self.stdin = Stdin(self.channels.send)
        self.port = Port(self.channels.send, self.channels.write, self.stdin.ask)
        Scope.nobody = Scope(self.port)
        control = dict(kernel_info_request=self.kernel_info, connect_request=self.connect, interrupt_request=self.interrupt_request,
            shutdown_request=self.shutdown)
        shell = control | dict(execute_request=self.execute, complete_request=self.complete, inspect_request=self.inspect,
            is_complete_request=self.is_complete, history_request=self.history, comm_info_request=self.comm_info,
            comm_open=self.comm, comm_msg=self.comm, comm_close=self.comm)
        self.tables = dict(shell=shell, control=control, debug=dict(debug_request=self.debug_request))

    # --- life

    def open(self):
        "Bind and serve: from here on kernel_info and the heartbeat are answered, and requests queue."
        self.channels.bind()
        fd = parent_fd()
        if fd is not None: self.channels.watch(fd, self.parent_died)
        elif int(os.environ.get("JPY_PARENT_PID") or 0): watch_by_hand(self.parent_died)
        for fd in self.capture.fds.install(): self.channels.watch(fd, self.drain)
        self.channels.greet("status", {"execution_state": "starting"})
        self.channels.start()

    def run(self):
        "Start IPython, serve until shutdown, and end what was opened. Main thread."
        signal.signal(signal.SIGINT, self.on_sigint)
        signal.signal(signal.SIGTERM, lambda signum, frame: self.channels.call(lambda: self.stop(False)))
        self.worker.run(self.start)
        if self.bridge: self.bridge.stop()
        self.capture.uninstall()
        self.channels.close()
        self.capture.fds.close()

    def start(self):
        "Make the shell, inside the context that cells share. Main thread."
        from .bridge import Bridge
        from .compat import KernelFacade
        self.capture.on_fork.append(self.forked)
        self.capture.install()
        bridge = Bridge(self.argv, self.connection_file, self.worker.await_cell, KernelFacade(self), self.worker.loop.call_later)
        bridge.start()
        self.bridge = bridge

    def forked(self):
        "In a forked child: it is no kernel, and signals mean to it what they mean to any process."
        self.life.forked = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Pool.terminate waits for ever for workers that ignore it
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def end_child(self):
        "End a forked child that fell off the end of its cell: it is no kernel."
        for s in (sys.stdout, sys.stderr): s.flush()
        os._exit(0)

    def parent_died(self):
        log.info("the process that started this kernel is gone")
        self.life.orphan = True
        self.stop(False)

    def stop(self, restart):
        "End the kernel soon: interrupt what runs, and leave by force if that does not help. On io."
        if self.life.stopping: return
        self.life.stopping,self.life.restart = True, restart
        self.life.deadline(EXIT_WITHIN, self.channels.close)
        self.worker.stop()
        self.interrupt()

    # --- interrupts: one function; its doors are SIGINT and interrupt_request

    def on_sigint(self, signum, frame): self.worker.on_signal(frame, again=self.interrupt_again)

    def interrupt(self):
        "Interrupt what the main thread does, as a SIGINT would; idle, nothing happens. Any thread."
        if self.worker.loop is None: return
        if hasattr(signal, "pthread_kill"): signal.pthread_kill(self.worker.thread.ident, signal.SIGINT)
        else: signal.raise_signal(signal.SIGINT)

    def interrupt_again(self, number):
        "Interrupt request `number` once more, when kernel code has had a moment to finish. From the signal handler."
        self.channels.call(lambda: self.repeat(number))

    def repeat(self, number):
        time.sleep(0.001)  # kernel code runs for microseconds; no event tells when the main thread has left it
        self.worker.repeated = number
        self.interrupt()

    def interrupt_request(self, scope):
        signal_children(signal.SIGINT, of_group=True)
        self.interrupt()
        return dict(status="ok")

    # --- requests in

    def route(self, channel, msg):
        "Bring `msg` to where it is served. On io."
        if channel == "stdin": return self.stdin.answer(msg)
        if channel == "control" and msg.type == "debug_request": return self.debug.put(msg)
        early = msg.type == "kernel_info_request" and self.bridge is None and not self.worker.inbox
        if channel == "control" or early or msg.subshell_id is not None: return self.serve_now(channel, msg)
        self.worker.put(msg)

    def serve_now(self, channel, msg):
        "Serve a request that needs no shell, where it arrived. On io."
        with Scope(self.port, msg) as scope: self.reply(channel, scope, self.handle(channel, scope))
        if self.life.asked is not None: self.stop(self.life.asked)

    def serve_debug(self, msg):
        "Serve a debug_request, which may wait for debugpy. On the debug lane."
        with Scope(self.port, msg) as scope: self.reply("control", scope, self.handle("debug", scope))

    async def serve(self, msg):
        "Serve a request of the shell channel. The worker's thread."
        with Scope(self.port, msg) as scope:
            content = self.aborted() if self.is_aborting(msg) else self.handle("shell", scope)
            if asyncio.iscoroutine(content): content = await self.finish(scope, content)
            if self.life.forked: self.end_child()
            self.drain()
            stopped = self.stop_queued(scope, content)  # before the reply: a client that has seen it may send what is not to be aborted
            self.reply("shell", scope, content)
        for m in stopped:
            with Scope(self.port, m) as scope: self.reply("shell", scope, self.aborted())
        if self.life.asked is not None: self.channels.call(lambda: self.stop(self.life.asked))

    def handle(self, channel, scope):
        "Content of the reply, or a coroutine for it; whatever goes wrong is content too."
        msg = scope.msg
        try:
            if msg.subshell_id is not None: raise UnknownSubshellError(f"no subshell {msg.subshell_id!r}")
            scope.content = kw = fields(msg.type, msg.content)
            if msg.type not in self.tables[channel]: raise BadContent(f"{msg.type} is not served on {channel}")
            return self.tables[channel][msg.type](scope, **kw)
        except BaseException as e: return failure(msg, e)  # the edge of the room: even KeyboardInterrupt is only an answer

    async def finish(self, scope, coro):
        try: return await coro
        except BaseException as e: return failure(scope.msg, e)

    def reply(self, channel, scope, content):
        "Answer `scope` if it is a request."
        kind = reply_type(scope.msg.type)
        if kind: self.channels.send(channel, kind, content, scope, self.reply_metadata(scope, content))

    def reply_metadata(self, scope, content):
        if scope.msg.type != "execute_request": return None
        return dict(started=scope.started, dependencies_met=True, engine=self.channels.codec.session, status=content["status"])

    def drain(self): self.capture.fds.drain()

    # --- stop_on_error

    def aborted(self): return dict(status="aborted")  # JupyterLab would show an execution_count as that of a cell that has run

    def is_aborting(self, msg): return msg.type == "execute_request" and time.monotonic() < self.abort_until

    def stop_queued(self, scope, content):
        "The executes that had been received when the one of `scope` failed; those of the next IPYMINI_STOP_ON_ERROR_TIMEOUT seconds follow them."
        if scope.msg.type != "execute_request" or content["status"] != "error" or scope.content.get("stop_on_error") is False: return []
        self.abort_until = time.monotonic() + float(os.environ.get("IPYMINI_STOP_ON_ERROR_TIMEOUT") or 0)
        self.channels.catch_up()
        return self.worker.take(lambda m: m.type == "execute_request")

    # --- handlers: (scope, fields of the content) -> content of the reply

    async def execute(self, scope, code, silent, store_history, user_expressions, allow_stdin, stop_on_error):
        scope.started = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
        if not silent: scope.emit("execute_input", dict(code=code, execution_count=self.bridge.count))
        content = dict(code=code, silent=silent, store_history=store_history, user_expressions=user_expressions)
        reply = await self.bridge.execute(content, scope.msg.metadata.get("cellId"), scope.msg.metadata)
        if self.bridge.shell.exit_now: self.life.asked = False
        return reply

    def complete(self, scope, code, cursor_pos): return self.bridge.complete(code, clamp(cursor_pos, code))

    def inspect(self, scope, code, cursor_pos, detail_level, omit_sections):
        return self.bridge.inspect(code, clamp(cursor_pos, code), detail_level, omit_sections)

    def is_complete(self, scope, code): return self.bridge.is_complete(code)

    def history(self, scope, **which): return self.bridge.history(**which)

    def comm_info(self, scope, target_name): return self.bridge.comm_info(target_name)

    def comm(self, scope, **ids): self.bridge.comm(scope.msg)

    def kernel_info(self, scope): return kernel_info()

    def debug_request(self, scope, **request): raise BadContent("this kernel has no debugger yet")

    def connect(self, scope): return dict(status="ok", **{f"{p}_port": self.channels.info[f"{p}_port"] for p in PORTS})

    def shutdown(self, scope, restart):
        content = dict(status="ok", restart=restart)
        scope.emit("shutdown_reply", content)  # other clients learn it here
        self.life.asked = restart
        return content


class UnknownSubshellError(KeyError):
    "A request for a subshell that is not there."
    def __str__(self): return self.args[0]


def failure(msg, e):
    "`e` as the content of an error reply to `msg`; what is a bug of ours is logged with its traceback."
    if not isinstance(e, (BadContent, UnknownSubshellError, KeyboardInterrupt)): log.exception("%s failed", msg.type)
    return dict(status="error", **error_content(type(e), e))


def is_comm(msg): return msg.type in ("comm_open", "comm_msg", "comm_close")


def clamp(cursor_pos, code): return len(code) if cursor_pos is None else max(0, min(cursor_pos, len(code)))


def run_kernel(info, argv=(), connection_file="", ready=lambda: None, made=False):
    "Serve one kernel until it is shut down, and end the process. `ready()` is called when its sockets are bound; `made`: the file is ours. Main thread."
    kernel = Kernel(info, argv, connection_file)
    kernel.open()
    ready()
    code = 0
    try: kernel.run()
    except BaseException:  # the process ends here whatever happened
        log.critical("the kernel died", exc_info=True)
        code = 70
    run_atexit()
    if (made or kernel.life.orphan) and not kernel.life.restart:
        with contextlib.suppress(OSError): os.unlink(connection_file)
    leave(code)


def run_atexit():
    import atexit
    with contextlib.suppress(Exception): atexit._run_exitfuncs()  # what it raises it has printed
