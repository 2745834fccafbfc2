"""Lane room: a thread for requests that must not hold up others.

Owns its queue and its thread, which starts with the first message. Must not know: what a message means.
Threads: `put` any; `serve(msg)` is called on the lane's own.
Spec: none (DEV.md, "Threads")."""

import logging, os, queue, threading

log = logging.getLogger("ipymini.lane")


class Lane:
    "Calls `serve(msg)` for each message put, in order, on a thread of its own called `name`."

    def __init__(self, name, serve): self.name,self.serve,self.queue,self.thread = name, serve, queue.SimpleQueue(), None

    def put(self, msg):
        "Queue `msg`; from one thread only (io)."
        self.queue.put(msg)
        if self.thread is None: self._start()

    def _start(self):
        self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        hide(self.thread)
        self.thread.start()

    def _run(self):
        try:
            while True: self.serve(self.queue.get())
        except BaseException:  # a half-alive kernel is the worst kernel
            log.critical("the %s thread died", self.name, exc_info=True)
            os._exit(70)


def hide(thread):
    "Make `thread` invisible for debuggers: it is the kernel's, not the user's."
    thread.pydev_do_not_trace = thread.is_pydev_daemon_thread = True
