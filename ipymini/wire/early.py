"""Early room: what the kernel is before there is one: bound sockets, and answers to who asks whether somebody is there.

Owns what arrives meanwhile, in order. Must not know: asyncio, IPython, what other requests mean. Nothing that costs time to import.
Threads: `receive` io, the rest main.
Spec: messaging, "Kernel info" and "Connect"."""

import signal, sys

from ..request.replies import handle, reply
from .sockets import Channels
from .info import kernel_info
from ..request.scope import Port, Scope
from .messages import PORTS, Codec

SWITCH = 0.0005  # seconds a thread that computes may keep the GIL from the threads that answer meanwhile


class Early:
    "The sockets of the connection `info`, bound and served by `open`, until a kernel says `take_over`."

    def __init__(self, info):
        self.channels = Channels(info, Codec(info["key"], info["signature_scheme"]), self.receive)
        self.port,self.waiting = Port(self.channels.send, self.channels.write, None), []
        self.table = dict(kernel_info_request=lambda scope: kernel_info(), connect_request=self.connect)

    def open(self):
        "Bind and serve: from here on kernel_info, connect and the heartbeat are answered, and requests wait. OSError if an address is taken."
        sys.setswitchinterval(SWITCH)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # no interrupt may break off the imports that follow; the kernel has a handler of its own
        self.channels.bind()
        self.channels.greet("status", {"execution_state": "starting"})
        self.channels.start()

    def take_over(self, route):
        "Let `route(channel, msg)` have what waits and what comes."
        self.channels.call(lambda: self._hand_over(route))

    def _hand_over(self, route):
        self.channels.on_msg = route
        for channel,msg in self.waiting: route(channel, msg)

    def receive(self, channel, msg):
        if msg.type in self.table and channel in ("shell", "control") and not self.waiting: self.serve(channel, msg)
        else: self.waiting.append((channel, msg))

    def serve(self, channel, msg):
        with Scope(self.port, msg) as scope: reply(channel, scope, handle(self.table, scope))

    def connect(self, scope): return dict(status="ok", **{f"{p}_port": self.channels.info[f"{p}_port"] for p in PORTS})
