"""Channels room: every zmq socket and the one thread that owns them.

Owns shell, control and stdin (ROUTER), iopub (XPUB), the heartbeat, the wake-up pipe, and the one outbox through which all leaves in order.
Must not know: what a message means; it hands each one to `on_msg(channel, msg)` and each watched fd to its callback.
Threads: `io` owns all sockets but the heartbeat's, which a thread in C echoes; `send` and `write` may be called from any.
Spec: messaging, "Introduction" (sockets), "Heartbeat"; JEP 65 (iopub_welcome)."""

import contextlib, logging, os, threading, time
from collections import deque
from threading import get_ident

import zmq
from zmq.backend import Socket

from .frames import wait_code
from .lane import hide
from .lines import RUN, Lines
from .scope import EVERYBODY
from .wire import PORTS, BadMsg, endpoint

log = logging.getLogger("ipymini.channels")
ROOM = 20_000      # outbox entries beyond which producers wait
BIG = 1 << 16      # bytes from which a frame is not copied
NOBLOCK,MORE,RCVMORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE), int(zmq.RCVMORE)  # plain ints: enums cost microseconds
STALL = 5.0        # seconds that a subscriber may read nothing before it loses messages


class Channels:
    "The kernel's sockets, bound by `bind`; `start` serves them until `close`."

    def __init__(self, info, codec, on_msg):
        self.info,self.codec,self.on_msg = info, codec, on_msg
        self.outbox,self.stuck = deque(), None
        self.lines = Lines(self.outbox)
        self.state,self.sockets,self.handlers,self.poller = _State(), {}, {}, zmq.Poller()
        self.pipe = os.pipe()
        for fd in self.pipe: os.set_blocking(fd, False)

    def bind(self):
        "Bind every socket; ports of 0 are chosen and written into `info`. OSError if an address is taken."
        self.state.contexts = zmq.Context(), zmq.Context()
        kinds = dict(shell=zmq.ROUTER, iopub=zmq.XPUB, stdin=zmq.ROUTER, control=zmq.ROUTER, hb=zmq.ROUTER)
        for channel,kind in kinds.items():
            s = self.sockets[channel] = self.state.contexts[channel == "hb"].socket(kind)
            s.linger = 500
            options = {zmq.XPUB_VERBOSE: 1, zmq.XPUB_NODROP: 1} if kind == zmq.XPUB else {zmq.ROUTER_HANDOVER: 1, zmq.SNDHWM: 0}
            for option,value in options.items(): s.setsockopt(option, value)
            self.info[f"{channel}_port"] = _bind(s, self.info, channel)

    def start(self):
        "Serve the sockets on threads of their own; returns at once."
        self.state.thread = threading.Thread(target=self._guard, args=(self._run,), name="io", daemon=True)
        self.state.heart = threading.Thread(target=_echo, args=(self.sockets.pop("hb"),), name="heartbeat", daemon=True)
        for t in (self.state.heart, self.state.thread): hide(t), t.start()

    def watch(self, fd, callback):
        "Call `callback()` on io whenever `fd` is readable. Any thread."
        self.call(lambda: self._watch(fd, callback))

    def send(self, channel, msg_type, content, scope=None, metadata=None, buffers=None):
        "Pack a message here and now and let it leave in order; its msg_id. `scope` is whom it answers. Any thread."
        iopub = channel == "iopub"
        parent = b"{}" if scope is None else scope.header_raw
        idents = (b"kernel." + msg_type.encode(),) if iopub else scope.idents
        mid,frames = self.codec.pack(msg_type, content, parent, metadata, buffers, idents)
        self.put((None, channel, frames, get_ident() if iopub and msg_type != "status" else EVERYBODY))
        return mid

    def greet(self, msg_type, content):
        "Publish this to each subscriber for as long as nothing else has been published. Before `start`."
        self.state.greeting = self.codec.pack(msg_type, content, idents=(b"kernel." + msg_type.encode(),))[1]

    def put(self, entry):
        "Append the outbox entry (None, channel, frames, ident of the thread or EVERYBODY), and wake io if it sleeps. Any thread."
        if len(self.outbox) > ROOM: self.wait_room()
        self.lines.tail = None  # what this thread writes from here on, even if it is interrupted now ...
        self.outbox.append(entry)
        self.lines.tail = None  # ... and what others write who know of the message goes behind it
        if self.state.asleep or self.state.holding: self.wake()

    def write(self, scope, name, text, who):
        """Append the `text` of the thread `who` for the stream `name` to the outbox, or to its last entry if that is of the same; io looks at it when its pace allows.
        Any thread."""
        entry = tail = self.lines.tail
        if tail is not None and tail[0] is scope and tail[3] == who and tail[1] == name and len(tail[2]) < RUN:
            tail[2].append(text)
            if self.lines.tail is tail: return  # else io may have looked just before
        else:
            if len(self.outbox) > ROOM: self.wait_room()
            entry = self.lines.tail = scope, name, [text], who
        self.outbox.append(entry)
        if self.state.asleep: self.wake()

    def wake(self):
        "Make io look at the outbox and the calls. Any thread, and signal handlers."
        self.state.asleep = self.state.holding = False
        try: os.write(self.pipe[1], b"!")
        except BlockingIOError: return  # the pipe is full of wake-ups already

    def call(self, f):
        "Run `f()` on io soon. Any thread, and signal handlers."
        self.state.calls.append(f)
        self.wake()

    def catch_up(self, timeout=1.0):
        "Wait until io has received what had reached the process before this call; False after `timeout` seconds."
        if threading.current_thread() is self.state.thread: return True
        done = threading.Event()
        self.call(lambda: (self._receive_all(), done.set()))
        return done.wait(timeout)

    @wait_code
    def wait_room(self):
        "Let a producer wait while the outbox is full: clients set the pace, memory stays bounded. KeyboardInterrupt may come out."
        if threading.current_thread() is self.state.thread: return
        while len(self.outbox) > ROOM // 2 and self.state.thread.is_alive():
            if self.stuck is None: self.wake()  # it may be holding text back
            self.state.room.acquire(timeout=0.2)  # a lock, as an interrupt may come out anywhere in Python code; in slices, as several may wait

    def close(self, timeout=1.0):
        "Send what is in the outbox, close the sockets and end both threads; False if that took longer than `timeout` seconds."
        self.call(self._stop)
        self.state.thread.join(timeout)
        return not self.state.thread.is_alive()

    # --- io only, from here on

    def _guard(self, run):
        try: run()
        except BaseException:  # a half-alive kernel is the worst kernel
            log.critical("the io thread died", exc_info=True)
            os._exit(70)

    def _stop(self): self.state.stopping = True

    def _run(self):
        self._watch(self.pipe[0], self._woken)
        self._watch(self.sockets["iopub"], self._subscription)
        for channel in ("control", "stdin", "shell"): self._watch(self.sockets[channel], lambda c=channel: self._receive(c))
        while not self.state.stopping:
            wait = self._drain()
            if len(self.outbox) <= ROOM // 2 and self.state.room.locked(): self.state.room.release()
            self.state.asleep,self.state.holding = wait is None, wait is not None
            if self.state.calls or (self.outbox and self.stuck is None): wait = 0  # put before the flags were up: no byte was sent for it
            events = self.poller.poll(wait)
            self.state.asleep = self.state.holding = False
            for s,_ in events: self.handlers[s]()
            self._run_calls()
        self._finish()

    def _watch(self, s, handler):
        self.handlers[s] = handler
        self.poller.register(s, zmq.POLLIN)

    def _woken(self):
        try: os.read(self.pipe[0], 4096)
        except BlockingIOError: return

    def _run_calls(self):
        while self.state.calls: self.state.calls.popleft()()

    def _receive_all(self):
        for c in ("control", "stdin", "shell"): self._receive(c)

    def _receive(self, channel):
        "Take every message that `channel` has; many may hide behind one event."
        s = self.sockets[channel]
        while True:
            try: frames = _recv(s)
            except zmq.Again: return
            try: msg = self.codec.unpack(frames)
            except BadMsg as e: log.warning("%s: %s; dropped", channel, e)
            else: self.on_msg(channel, msg)

    def _subscription(self):
        "Welcome each subscriber (JEP 65)."
        while True:
            try: frame = self.sockets["iopub"].recv(zmq.NOBLOCK)
            except zmq.Again: return
            if frame[:1] != b"\x01": continue
            topic = frame[1:]
            try: content = {"subscription": topic.decode()}
            except UnicodeDecodeError: continue  # JEP 65: ignored
            self._transmit("iopub", self.codec.pack("iopub_welcome", content, idents=(topic,))[1])
            if self.state.greeting: self._transmit("iopub", self.state.greeting)

    def _drain(self):
        "Send what may leave now; milliseconds until there is more to do for held text or a full subscriber, None if all has left."
        outbox,lines = self.outbox, self.lines
        if outbox: self.state.greeting = None
        while outbox or lines.waits:
            if outbox:
                if lines.join(): continue
            elif (due := lines.due()) > 0: return max(1, int(due*1000 + 0.999))
            if lines.held: ok = self._flush()
            else: ok = not outbox or self._transmit(*outbox.popleft()[1:3])
            if not ok: return 2
        return None

    def _flush(self):
        "Send the held text; False if a subscriber is full."
        scope,name,text = self.lines.take()
        if not text: return True
        if scope.keep: scope.keep(scope.number, name, text)
        frames = self.codec.pack("stream", dict(name=name, text=text), scope.header_raw, idents=(b"stream." + name.encode(),))[1]
        return self._transmit("iopub", frames)

    def _transmit(self, channel, frames):
        "Send `frames`; False, and back at the head of the outbox, if a subscriber is full. After STALL seconds of that it loses messages instead."
        try: _send(self.sockets[channel], frames)
        except zmq.Again:
            self.stuck = self.stuck or time.monotonic()
            if time.monotonic() - self.stuck > STALL: return self._lose(channel, frames)
            self.outbox.appendleft((None, channel, frames, EVERYBODY))
            return False
        self.stuck = None
        return True

    def _lose(self, channel, frames):
        "Send `frames` to those subscribers that have room."
        s = self.sockets[channel]
        s.setsockopt(zmq.XPUB_NODROP, 0)
        s.send_multipart(frames, zmq.NOBLOCK)
        s.setsockopt(zmq.XPUB_NODROP, 1)
        return True

    def _finish(self):
        self._run_calls()
        until = time.monotonic() + 0.5
        while (self.outbox or self.lines.waits) and time.monotonic() < until:
            self.lines.hurry()
            if self.lines.held and not self.outbox: self._flush()
            if self._drain() is not None and self.stuck: time.sleep(0.002)  # XPUB reports no POLLOUT for a full subscriber
        for s in self.sockets.values(): s.close()
        for ctx in self.state.contexts: ctx.term()
        self.state.heart.join(0.5)
        if self.info["transport"] == "ipc": _unlink([endpoint(self.info, c).removeprefix("ipc://") for c in PORTS])


class _State:
    "What the threads tell each other: flags are set by one and read by others, each a single bytecode."
    def __init__(self):
        self.asleep,self.holding,self.stopping = False, False, False
        self.calls,self.room = deque(), threading.Lock()
        self.thread,self.heart,self.greeting,self.contexts = None, None, None, ()


def _echo(socket):
    try: zmq.proxy(socket, socket)  # in C: echoes while Python holds the GIL
    except zmq.ContextTerminated: socket.close(0)


def _send(s, frames):
    "Send a message's frames without blocking, zmq.Again if a subscriber is full. As `send_multipart`, which takes five times as long for its checks."
    *first,last = frames
    for f in first: Socket.send(s, f, MORE, len(f) < BIG)
    Socket.send(s, last, NOBLOCK, len(last) < BIG)


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
