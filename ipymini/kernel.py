"""Kernel room: which request goes where, and the life of the kernel.

Owns the routing between subshells and lanes, the control requests, shutdown.
Must not know: zmq (`Channels` sends), IPython (`Bridge` runs), what shell requests mean (`Subshell` does).
Threads: `run` and the handlers of signals main; `route` and short control requests on io; subshells are made and ended on the control lane; debug_request on the debug lane.
Spec: messaging, "Messages on the control (ROUTER/DEALER) channel"; JEP 91 (subshells)."""

import contextlib, errno, logging, os, signal, sys, uuid
from threading import get_ident

from .process import dying
from .request.replies import UnknownSubshellError, failure, handle, reply
from .capture.patches import Capture
from .interrupts.deliver import Interrupts
from .serve.detours import MAGIC, Detours
from .process.dying import before, guarded, last_words
from .process.ending import Ending
from .process.threads import ENOUGH, Lane
from .process.life import Life, is_readable, parent_fd, watch_by_hand
from .capture.nested_loops import on_signal
from .process.processes import end_family, mark_if_possible, signal_children
from .request.scope import Port, Scope
from .interrupts.signals import Signals, stacks
from .capture.stdin import Stdin
from .serve.subshells import QUERIES, Subshell, is_comm

log = logging.getLogger("ipymini.kernel")
SUBSHELLS = {"create_subshell_request", "delete_subshell_request", "list_subshell_request"}


class Kernel:
    "The kernel that takes over from `early`. `open`, then `run`, which serves on the calling thread (the main one) until shutdown."

    def __init__(self, early):
        self.channels,self.capture,self.life = early.channels, Capture(), Life(self.end_soon, Ending(self.close))
        self.stdin,self.signals = Stdin(self.channels.send), Signals(self.channels.later)
        self.port = Port(self.channels.send, self.channels.write, self.stdin.ask, self.drain, self.channels.catch_up, self.channels.codec.session)
        Scope.nobody = Scope(self.port)
        self.control = early.table | dict(interrupt_request=self.interrupt_request, stack_request=self.stack_request, shutdown_request=self.shutdown)
        query = Lane("query", lambda f: f())
        self.lanes = dict(query=query, debug=Lane("debug", self.serve_debug, ready=False), control=Lane("control", self.serve_control, ready=False))
        self.main = Subshell(self.port, self.control, self.life, query, self.channels.later)
        self.subs = {None: self.main}
        self.detours = Detours(self.make_subshell, self.end_when_done)
        self.life.detour,self.life.cell_ended = self.detours.open, self.detours.close
        self.interrupts = Interrupts(self.channels, self.signals, self.stdin, self.capture, self.subs)

    # --- life

    def open(self):
        "Watch what has to be watched; the kernel serves from here on, though cells wait for `run`."
        fd = parent_fd()
        if fd is not None: self.channels.watch(fd, self.parent_died)
        elif int(os.environ.get("JPY_PARENT_PID") or 0): watch_by_hand(self.parent_died)
        for fd in self.capture.fds.install(): self.channels.watch(fd, self.drain)
        self.channels.watch(self.signals.fd, self.signals.came)

    def run(self, argv=(), connection_file=""):
        "Start IPython with the arguments `argv`, and serve until shutdown; sockets stay open. Main thread."
        self.main.worker.user.restore = self.signals.handlers.restore
        self.signals.handlers.held,self.signals.other = self.interrupts.held, lambda signum: on_signal(self.main.worker.loop, signum)
        self.signals.install(self.interrupts.on_nudge, SIGINT=self.interrupts.on_sigint, SIGTERM=self.on_sigterm)
        self.main.worker.run(lambda: self.start(argv, connection_file))
        for s in list(self.subs.values()): s.join(self.life.ending.left())
        if self.main.bridge: self.main.bridge.stop()
        self.signals.handlers.end()

    def close(self):
        "Let go of the user's objects, which may have something to say about that, send what has been written, and close the sockets."
        if self.main.bridge: guarded(self.main.bridge.let_go)
        for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
            with contextlib.suppress(Exception): getattr(sys, name).flush()  # whatever they are by now
        guarded(self.drain)
        self.channels.close()

    def start(self, *args):
        "Make the shell, inside the context that cells share. Main thread."
        from .bridge import Bridge
        from .ipython.compat import KernelFacade
        from .process.sealed import seal
        seal()
        self.capture.children.on_fork.append(self.forked)
        self.capture.install(self.signals.handlers.patches())
        mark_if_possible()
        bridge = Bridge(self.main.worker, KernelFacade(self))
        bridge.start(*args)
        self.main.bridge = bridge
        for lane in ("debug", "control"): self.channels.call(self.lanes[lane].open)

    def forked(self):
        "In a forked child: it is no kernel."
        self.life.forked = True
        if self.capture.debugger: self.capture.debugger.forked()
        self.signals.handlers.forked()

    def parent_died(self):
        "The descriptor that tells of the parent's end can be read; or a cell has closed it, and another one takes its place."
        fd = parent_fd()
        if fd is not None and not is_readable(fd):
            self.channels.watch(fd, self.parent_died)
            raise OSError(errno.EBADF, "the descriptor that tells of the parent's end was closed")
        log.info("the process that started this kernel is gone")
        self.life.orphan = True
        self.stop(False)

    def end_soon(self): self.channels.call(lambda: self.stop(self.life.asked))

    def on_sigterm(self, signum, frame):
        self.life.signalled = True  # at once: the cell may be at its end
        self.channels.call(lambda: self.stop(False))

    def stop(self, restart):
        "End the kernel soon: interrupt what runs, once. It has its time, as have threads and the functions of atexit: see `ending`. On io."
        if self.life.stopping: return
        self.life.stopping,self.life.restart = True, restart
        self.life.ending.begin()
        for s in list(self.subs.values()): s.worker.stop()
        self.channels.call(self.interrupts.end)  # when the reply is on its way: a subshell may be where it cannot be interrupted for a moment

    def drain(self): self.capture.fds.drain()

    # --- interrupts: `deliver` knows how

    def interrupt_request(self, scope):
        signal_children(signal.SIGINT, of_group=True)
        self.interrupts.request()
        return dict(status="ok")

    def stack_request(self, scope):
        "The stacks of all threads and tasks, as SIGUSR1 shows those of threads on the real stderr, and the longest that io was at one thing: [seconds, what]."
        text = stacks([s.worker.loop for s in list(self.subs.values()) if s.worker.loop is not None])
        return dict(status="ok", text=text, longest=self.channels.state.longest)

    # --- requests in: on io

    def route(self, channel, msg):
        "Bring `msg` to where it is served; one that cannot be brought there is answered with why."
        try: self.bring(channel, msg)
        except BaseException as e:
            if self.is_taken(msg): log.warning("after %s had been taken", msg.type, exc_info=True)  # it is served
            else: self.refuse(msg, e, channel)

    def is_taken(self, msg):
        "Whether another thread serves `msg`, or it is answered. One that still waits is taken back: who is to serve it may not have been told."
        for queue in [*(s.worker.inbox for s in list(self.subs.values())), *(lane.items for lane in self.lanes.values())]:
            if msg not in queue: continue
            try: queue.remove(msg)
            except ValueError: return True
        for s in list(self.subs.values()): s.comms.discard(msg.id)
        return msg.replied or msg.begun not in (0, get_ident())

    def bring(self, channel, msg):
        if channel == "stdin": return self.stdin.answer(msg)
        if channel == "control":
            lane = "debug" if msg.type == "debug_request" else "control" if msg.type in SUBSHELLS else None
            if lane == "debug" and self.capture.debugger: self.capture.debugger.arrived(msg.content)
            return self.lanes[lane].put(msg) if lane else self.serve_now(channel, msg)
        if self.main.bridge is None and msg.type == "kernel_info_request" and not self.main.worker.inbox: return self.serve_now(channel, msg)
        sub = self.subs.get(msg.subshell_id)
        if sub is None: self.refuse(msg, UnknownSubshellError(f"no subshell {msg.subshell_id!r}"))
        elif is_comm(msg): self.route_comm(sub, msg)
        else: self.route_shell(sub, msg)

    def route_shell(self, sub, msg):
        if msg.type == "execute_request":
            if is_alone(msg): return self.lanes["control"].put(msg)
            if sub is self.main: sub = self.detours.take(msg) or sub
        sub.put(msg)
        if msg.type in QUERIES and (sub.worker.now.number or len(sub.worker.inbox) > 1):
            sub.waiting.add(msg, lambda age: sub.worker.is_slow or age > ENOUGH, sub.overtake)

    def route_comm(self, sub, msg):
        "Comms are main's, whatever subshell they came through: plots and widgets break on other threads. Only if main is blocked, the subshell's."
        if sub.comms: return sub.put(msg)  # behind those that it has
        self.main.put(msg)
        if sub is not self.main: self.main.waiting.add(msg, lambda age: self.main.worker.is_blocked, self.hand_over)

    def hand_over(self, msg):
        """Let its subshell serve the comm message `msg`, which has waited for main too long, and all that have come for it since. The last is claimed first: should
        main take one meanwhile, all go back, order is kept, and the answer is False. On io."""
        main,sub = self.main.worker, self.subs.get(msg.subshell_id)
        rest = [m for m in list(main.inbox) if is_comm(m) and m.subshell_id == msg.subshell_id]
        claimed = [m for m in reversed(rest) if main.claim(m)]
        if sub and len(claimed) == len(rest):
            for m in reversed(claimed): sub.put(m)
            return True
        main.put_back(claimed)
        return False

    def refuse(self, msg, e, channel="shell"):
        "Answer `msg` with the error `e`, in a bracket of its own."
        with Scope(self.port, msg) as scope: reply(channel, scope, failure(msg, e))

    def serve_now(self, channel, msg):
        "Serve a request that needs no shell, where it arrived."
        with Scope(self.port, msg) as scope: reply(channel, scope, handle(self.control, scope))
        if self.life.asked is not None: self.stop(self.life.asked)

    # --- lanes

    def serve_control(self, msg):
        "Serve what makes, ends and lists subshells, and cells that want one of their own. On the control lane."
        if msg.type == "execute_request": return self.run_alone(msg)
        table = dict(create_subshell_request=self.create_subshell, delete_subshell_request=self.delete_subshell, list_subshell_request=self.list_subshell)
        with Scope(self.port, msg) as scope: reply("control", scope, handle(table, scope))

    def run_alone(self, msg):
        msg.begun = get_ident()
        try: self.detours.run_alone(msg)
        except Exception as e: self.refuse(msg, e)  # no thread can be started, for one

    def create_subshell(self, scope): return dict(status="ok", subshell_id=self.make_subshell().id)

    def make_subshell(self):
        sub = Subshell(self.port, self.control, self.life, self.lanes["query"], self.channels.later, str(uuid.uuid4()))
        sub.start_thread(lambda worker: self.main.bridge.for_subshell(worker, sub.id))
        self.subs[sub.id] = sub
        return sub

    def end_when_done(self, sub): sub.close(lambda: self.subs.pop(sub.id, None))

    def delete_subshell(self, scope, subshell_id):
        "Its thread ends when it can; what it was serving is interrupted, what was queued is refused."
        sub = self.subs.pop(subshell_id, None)
        if sub is None: raise UnknownSubshellError(f"no subshell {subshell_id!r}")
        sub.worker.stop()
        self.channels.call(lambda: self.interrupts.interrupt(sub))
        sub.refuse_rest()
        return dict(status="ok")

    def list_subshell(self, scope): return dict(status="ok", subshell_id=[s for s in list(self.subs) if s is not None])

    def serve_debug(self, msg):
        "Serve a debug_request, which may wait for debugpy. On the debug lane."
        with Scope(self.port, msg) as scope: reply("control", scope, handle(dict(debug_request=self.debug_request), scope))

    def debug_request(self, scope, **request):
        from .debug.debugger import Debugger
        if self.capture.debugger is None:
            self.capture.debugger = Debugger(self.main.bridge.shell, self.channels.send)
            self.life.before_cell = self.capture.debugger.sync
        return self.capture.debugger.request(scope, **request)

    # --- control requests

    def shutdown(self, scope, restart):
        content = dict(status="ok", restart=restart)
        scope.emit("shutdown_reply", content)  # other clients learn it here
        self.life.asked = restart
        return content


def is_alone(msg): return isinstance(msg.content, dict) and str(msg.content.get("code", "")).lstrip().partition("\n")[0].rstrip() == MAGIC


def run_kernel(early, argv=(), connection_file="", made=False):
    "Serve one kernel on what `early` has bound until it is shut down, and end the process. `made`: the file is ours. Main thread."
    if dying.stderr == [2]: dying.stderr[0] = os.dup(2)  # embedded: the command line has done it
    kernel,code = Kernel(early), 0
    ending = kernel.life.ending
    ending.acts.append(lambda: remove(connection_file, kernel.life, made))
    before.append(lambda: end_family(0.2))
    ending.open()
    try:
        kernel.open()
        early.take_over(kernel.route)
        kernel.run(argv, connection_file)
    except BaseException:  # the process ends here whatever happened
        last_words("the kernel died")
        code = 70
    if kernel.life.forked: os._exit(code)
    ending.finish(code)


def remove(connection_file, life, made):
    "Remove the file, if the kernel has made it or nobody is there any more who could, and no other kernel is to use it."
    if (made or life.orphan) and not life.restart:
        with contextlib.suppress(OSError): os.unlink(connection_file)
