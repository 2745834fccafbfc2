"""Sockets room: every zmq socket and the one thread that owns them.

Owns shell, control and stdin (ROUTER), iopub (XPUB), the heartbeat, the wake-up pipe, and the one outbox through which all leaves in order.
Must not know: what a message means; it hands each one to `on_msg(channel, msg)` and each watched fd to its callback.
Threads: `io` owns all sockets but the heartbeat's, which a thread in C echoes; `send` and `write` may be called from any.
Spec: messaging, "Introduction" (sockets), "Heartbeat"; JEP 65 (iopub_welcome)."""

import contextlib, errno, logging, os, threading
from collections import deque
from itertools import count, repeat
from threading import get_ident
from time import monotonic

import zmq
from zmq.backend import Socket

from ..process.dying import die, slipped
from ..process.threads import KernelThread, hide, unbroken
from .outbox import Outbox
from ..request.scope import EVERYBODY, PASSES
from .messages import PORTS, BadMsg, endpoint

log = logging.getLogger("ipymini.wire.sockets")
BATCH = 32         # messages that one channel may bring in one turn: what is behind them waits until control has been looked at again
BIG = 1 << 16      # bytes from which a frame is not copied
NOBLOCK,MORE,RCVMORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE), int(zmq.RCVMORE)  # plain ints: enums cost microseconds
STALL = 5.0        # seconds that a subscriber may read nothing before it loses messages
QUIET = 1.0        # seconds between two log lines of one kind of dropped messages
FIRST = "control", "stdin", "shell"  # channels in the order in which they are looked at


class Channels:
    "The kernel's sockets, bound by `bind`; `start` serves them until `close`."

    def __init__(self, info, codec, on_msg):
        self.info,self.codec,self.on_msg = info, codec, on_msg
        self.state,self.clock,self.sockets,self.handlers,self.poller = _State(), _Clock(), {}, {}, zmq.Poller()
        self.outbox = Outbox(self._pack_text, self._transmit, self._wake)
        self.write = self.outbox.write  # as it is: the hottest call of all
        self.pipe = os.pipe()
        for fd in self.pipe: os.set_blocking(fd, False)

    def bind(self):
        "Bind every socket; ports of 0 are chosen and written into `info`. OSError if an address is taken: then nothing is left open."
        self.state.contexts = zmq.Context(), zmq.Context()
        kinds = dict(shell=zmq.ROUTER, iopub=zmq.XPUB, stdin=zmq.ROUTER, control=zmq.ROUTER, hb=zmq.ROUTER)
        try:
            for channel,kind in kinds.items(): self._bind_one(channel, kind)
        except BaseException:
            for s in self.sockets.values(): s.close(0)
            for c in self.state.contexts: c.term()
            raise

    def _bind_one(self, channel, kind):
        s = self.sockets[channel] = self.state.contexts[channel == "hb"].socket(kind)
        s.linger = 500
        options = {zmq.XPUB_VERBOSE: 1, zmq.XPUB_NODROP: 1} if kind == zmq.XPUB else {zmq.ROUTER_HANDOVER: 1, zmq.SNDHWM: 0}
        for option,value in options.items(): s.setsockopt(option, value)
        self.info[f"{channel}_port"] = _bind(s, self.info, channel)

    def start(self):
        "Serve the sockets on threads of their own; returns at once."
        self.state.thread = self.outbox.thread = KernelThread(lambda: self._guard(self._run), "io")
        self.state.heart = KernelThread(lambda s=self.sockets.pop("hb"): _echo(s), "heartbeat")
        for t in (self.state.heart, self.state.thread):
            hide(t)
            t.start()

    def watch(self, fd, callback):
        "Call `callback()` on io whenever `fd` is readable. Any thread."
        self.call(lambda: self._watch(fd, callback))

    def send(self, channel, msg_type, content, scope=None, metadata=None, buffers=None):
        "Pack a message here and now and let it leave in order; its msg_id. `scope` is whom it answers. Any thread."
        iopub = channel == "iopub"
        parent = b"{}" if scope is None else scope.header_raw
        idents = (b"kernel." + msg_type.encode(),) if iopub else scope.idents
        mid,frames = self.codec.pack(msg_type, content, parent, metadata, buffers, idents)
        who = EVERYBODY if not iopub or msg_type == "status" else PASSES if passes(msg_type, content) else get_ident()
        self.outbox.put(channel, frames, who)
        return mid

    def greet(self, msg_type, content):
        "Publish this to each subscriber for as long as nothing else has been published. Before `start`."
        self.state.greeting = msg_type, content

    def call(self, f):
        "Run `f()` on io soon; what it queues is for io's next turn. Any thread, and signal handlers."
        self.state.calls.append(f)
        self.outbox.rouse()

    def later(self, seconds, f):
        "Run `f()` on io in `seconds`. Any thread, and signal handlers."
        due = monotonic() + seconds
        self.call(lambda: self.clock.set(due, f))

    def catch_up(self, timeout=1.0):
        "Wait until io has received what had reached the process before this call; False after `timeout` seconds."
        if get_ident() == self.state.thread.ident: return True
        done = threading.Lock()  # no Event: an interrupt may come out anywhere in Python code
        done.acquire()
        self.call(lambda: self._receive_all(done.release))
        return done.acquire(timeout=timeout)

    def close(self, timeout=1.0):
        "Send what is in the outbox, close the sockets and end both threads; False if that took longer than `timeout` seconds."
        self.call(self._stop)
        self.state.thread.join(timeout)
        return not self.state.thread.is_alive()

    def _wake(self):
        try: os.write(self.pipe[1], b"!")
        except BlockingIOError: return  # the pipe is full of wake-ups already
        except OSError: die("the pipe that wakes io is closed")

    # --- io only, from here on

    def _guard(self, run):
        try: run()
        except BaseException: die("the io thread died")  # a half-alive kernel is the worst kernel

    def _stop(self): self.state.stopping = True

    def _run(self):
        self._watch(self.pipe[0], self._woken)
        self._watch(self.sockets["iopub"], self._subscription)
        for channel in FIRST: self._watch(self.sockets[channel], lambda c=channel: self._receive(c))
        self.state.order = [self.sockets[c] for c in FIRST]
        unbroken("io", self._turn, lambda: not self.state.stopping)
        self._finish()

    def _turn(self):
        "Send what may leave, wait for events, and handle some of each kind, control first."
        outbox,state = self.outbox, self.state
        wait = self._one("the outbox", self._drain)
        outbox.make_room()
        if (due := self.clock.wait()) is not None: wait = due if wait is None else min(wait, due)
        outbox.asleep,outbox.holding = wait is None, wait is not None
        if state.calls or (outbox.entries and not outbox.ready): wait = 0  # put before the flags were up: no byte was sent for it
        events = dict(self.poller.poll(wait))
        outbox.asleep = outbox.holding = False
        for s in state.order:
            if events.pop(s, None): self._one("messages", self.handlers[s])
        for s in events: self._one("an event", lambda: self._event(s))
        for _ in range(len(state.calls)): self._one("a call", state.calls.popleft())
        for f in self.clock.due(): self._one("a timer", f)

    def _one(self, what, f):
        "Call `f`: a slip in one item costs that item, never the thread."
        began = monotonic()
        try: return f()
        except BaseException: self._slip(what)  # also an asynchronous exception
        finally:
            if (took := monotonic() - began) > self.state.longest[0]: self.state.longest = took, f"{what} {f!r}"

    def _slip(self, what, *args):
        "Log the exception. If io cannot read what it has packed itself, as a cell has broken what all of Python is made of, each message would be lost: then the process ends."
        slipped()
        log.exception(f"a slip on io, in {what}", *args)
        try: self.codec.unpack(self.codec.pack("status", {})[1])
        except MemoryError: return  # it will read again when there is memory
        except BaseException: die("io can read no messages any more")

    def _watch(self, s, handler):
        self.handlers[s] = handler
        self.poller.register(s, zmq.POLLIN)

    def _event(self, s):
        "Call the handler of `s`. A descriptor that the user's code has closed is watched no more: it would be reported for ever."
        try: self.handlers[s]()
        except OSError as e:
            if e.errno == errno.EBADF: self.poller.unregister(s)
            raise

    def _woken(self):
        try: os.read(self.pipe[0], 4096)
        except BlockingIOError: return
        except OSError: die("the pipe that wakes io is closed")

    def _receive_all(self, done, rounds=100):
        "Receive what there is, a batch of each channel a turn, then call `done()`."
        more = [c for c in FIRST if self._receive(c)]
        if more and rounds: self.call(lambda: self._receive_all(done, rounds - 1))
        else: done()

    def _receive(self, channel):
        "Take up to BATCH messages that `channel` has, as many may hide behind one event; True if there may be more."
        s = self.sockets[channel]
        for _ in range(BATCH):
            try: frames = _recv(s)
            except zmq.Again: return False
            try: self._received(channel, frames)
            except BaseException: self._slip("one message on %s", channel)
        return True

    def _received(self, channel, frames):
        try: msg = self.codec.unpack(frames)
        except BadMsg as e: return self._dropped(channel, e)
        self.on_msg(channel, msg)

    def _dropped(self, channel, why):
        "Log a message that is not genuine, once a QUIET a kind: a flood of them must cost little."
        kind,now = (channel, why.args[0]), monotonic()
        last,n = self.state.dropped.get(kind, (-QUIET, 0))
        if now - last < QUIET: self.state.dropped[kind] = last, n + 1
        else:
            self.state.dropped[kind] = now, 0
            log.warning("%s: %s; dropped%s", channel, why, f", as {n} before" if n else "")

    def _subscription(self):
        "Welcome each subscriber (JEP 65)."
        while True:
            try: frame = self.sockets["iopub"].recv(zmq.NOBLOCK)
            except zmq.Again: return
            if frame[:1] != b"\x01": continue
            topic = frame[1:]
            try: content = {"subscription": topic.decode()}
            except UnicodeDecodeError: continue  # JEP 65: ignored
            self.outbox.leave("iopub", self.codec.pack("iopub_welcome", content, idents=(topic,))[1])
            if self.state.greeting: self._greet(*self.state.greeting)

    def _greet(self, msg_type, content):
        "Publish the greeting, packed anew: no two messages bear one signature."
        self.outbox.leave("iopub", self.codec.pack(msg_type, content, idents=(b"kernel." + msg_type.encode(),))[1])

    def _drain(self):
        if self.outbox.entries: self.state.greeting = None
        return self.outbox.drain()

    def _pack_text(self, scope, name, text):
        "The frames of a stream message; a cell that is stored keeps its text."
        if scope.keep: scope.keep(name, text)
        return self.codec.pack("stream", dict(name=name, text=text), scope.header_raw, idents=(b"stream." + name.encode(),))[1]

    def _transmit(self, channel, frames):
        "Send `frames`; False if a subscriber is full. After STALL seconds of that it loses messages instead."
        try: _send(self.sockets[channel], frames)
        except zmq.Again:
            self.outbox.is_stuck = True
            self.state.stuck = self.state.stuck or monotonic()
            return monotonic() - self.state.stuck > STALL and self._lose(channel, frames)
        if self.outbox.is_stuck: self.outbox.is_stuck,self.state.stuck = False, None
        return True

    def _lose(self, channel, frames):
        "Send `frames` to those subscribers that have room."
        s = self.sockets[channel]
        self._dropped(channel, BadMsg("a subscriber reads nothing, and loses messages"))
        s.setsockopt(zmq.XPUB_NODROP, 0)
        s.send_multipart(frames, zmq.NOBLOCK)
        s.setsockopt(zmq.XPUB_NODROP, 1)
        return True

    def _finish(self):
        for _ in range(len(self.state.calls)): self._one("a call", self.state.calls.popleft())
        self._one("the outbox", lambda: self.outbox.finish(0.5))
        for s in self.sockets.values(): s.close()
        for ctx in self.state.contexts: ctx.term()
        self.state.heart.join(0.5)
        if self.info["transport"] == "ipc": _unlink([endpoint(self.info, c).removeprefix("ipc://") for c in PORTS])


class _State:
    "How io stands. `calls` are appended to by any thread, `stopping` is set on io; the rest is io's own."
    def __init__(self):
        self.calls,self.stopping,self.stuck = deque(), False, None  # stuck: since when a subscriber is full
        self.thread,self.heart,self.contexts,self.order = None, None, (), ()
        self.greeting,self.dropped = None, {}  # dropped: (channel, kind) to (last logged, how many since)
        self.longest = 0.0, ""  # the longest item of a turn: seconds, what


class _Clock:
    "What io has to do later, as (due, number, f), the next first: there are few. io only."
    def __init__(self): self.queue,self.numbers = [], count()

    def set(self, due, f):
        self.queue.append((due, next(self.numbers), f))
        self.queue.sort()

    def wait(self):
        "Milliseconds until the next is due; None if there is none."
        return max(0, int((self.queue[0][0] - monotonic())*1000 + 0.999)) if self.queue else None

    def due(self):
        "Those whose time has come, in order."
        now = monotonic()
        while self.queue and self.queue[0][0] <= now: yield self.queue.pop(0)[2]


def passes(msg_type, content):
    "Can this message not change where text goes, so that text need not be cut by it? Updates, and comms but those of an Output widget that begins or ends to capture (`msg_id`)."
    if msg_type == "update_display_data": return True
    if msg_type not in ("comm_msg", "comm_open"): return False
    data = content.get("data")
    state = data.get("state") if isinstance(data, dict) else None
    return not (isinstance(state, dict) and "msg_id" in state)


def _echo(socket):
    try: zmq.proxy(socket, socket)  # in C: echoes while Python holds the GIL
    except zmq.ContextTerminated: return
    finally: socket.close(0)  # also if an asynchronous exception comes out: the context would wait for it


def _send(s, frames):
    """Send a message's frames without blocking, zmq.Again if a subscriber is full. As `send_multipart`, which takes five times as long for its checks. In one call, so that an
    asynchronous exception does not come out between two frames: what is left of a message would be taken for the beginning of the next."""
    deque(map(Socket.send, repeat(s), frames, [MORE]*(len(frames) - 1) + [NOBLOCK], [len(f) < BIG for f in frames]), 0)


def _recv(s):
    "One message's frames without blocking, zmq.Again if there is none; buffers (what follows the five parts) are not copied."
    frames = [Socket.recv(s, NOBLOCK)]
    left = None
    while Socket.get(s, RCVMORE):
        if left is None and frames[-1] == b"<IDS|MSG>": left = 5
        frames.append(Socket.recv(s, NOBLOCK) if left != 0 else Socket.recv(s, NOBLOCK, False).buffer)
        if left: left -= 1
    return frames


def _unlink(paths):
    "Remove socket files: libzmq leaves them."
    for p in paths:
        with contextlib.suppress(FileNotFoundError): os.unlink(p)


def _bind(s, info, channel):
    "Bind `s` where `info` says and return the port; 0 means any free one."
    port = info[f"{channel}_port"]
    if not port and info["transport"] == "ipc": port = next(n for n in range(1, 1 << 16) if not os.path.exists(f"{info['ip']}-{n}"))
    try: s.bind(endpoint(info, channel, port or "*"))
    except zmq.ZMQError as e: raise OSError(e.errno, f"cannot bind {channel} to {endpoint(info, channel, port)}: {e.strerror}") from None
    return port or int(s.getsockopt(zmq.LAST_ENDPOINT).rsplit(b":", 1)[1])
