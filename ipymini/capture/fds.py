"""Fds room: what is written past Python, to file descriptors 1 and 2, by C code and by child processes.

Owns the pipes that stand for 1 and 2, and the reading of these and of children's.
Must not know: sockets, what a request means; it asks `scope` whose a child is.
Threads: `drain` any (one at a time); `install`, `uninstall` and `close` main; `read_for` the thread that starts a child; `forked` a child's.
Spec: messaging, "Streams (stdout, stderr, etc)"."""

import codecs, contextlib, fcntl, functools, os, select, threading
from collections import deque
from itertools import chain, repeat

from ..interrupts.protect import wait_code
from ..request.scope import NOBODY, Scope, late, started_by

READ = 1 << 16       # bytes
PIPE_SIZE = 1 << 20  # what C code may write while it holds the GIL before it blocks
NAMES = "stdout", "stderr"
at_once = functools.partial(deque, maxlen=0)  # run an iterator over functions of C to its end in one step: no interrupt comes out in the middle


class Pipe:
    "The read end `fd` of a pipe whose text belongs to the stream `name` of the request `scope`, to that of the latest cell if that is None."

    def __init__(self, fd, name, scope=None):
        self.fd,self.name,self.scope,self.ended = fd, name, scope, False
        self.decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        os.set_blocking(fd, False)

    def read(self):
        "What can be read now, as text; empty if there is nothing, or nothing more, and then it has `ended`."
        text = ""
        while not text and not self.ended:
            try: data = os.read(self.fd, READ)
            except BlockingIOError: return ""
            text,self.ended = self.decode(data, final=not data), not data
        return text


def nothing(timeout): return ()


class Fds:
    """File descriptors 1 and 2, turned into pipes: what C code writes belongs to the latest cell. A child process gets pipes of its own, as it belongs to the request that
    starts it and may outlive it. `callers`: requests whose `os.system` runs, which cannot have any."""

    def __init__(self):
        self.saved,self.pipes,self.lock,self.epoll,self.callers,self.own = {}, {}, threading.Lock(), None, [], {}
        self.ready = nothing  # of a time-out: is there anything to read? epoll's own method where there is one, as prints ask it: a third of select's time

    def install(self):
        "Put the pipes in place; the descriptors that become readable when there is anything to `drain`."
        if hasattr(select, "epoll"): self.epoll = select.epoll()
        self.ready = self.epoll.poll if self.epoll is not None else lambda timeout: select.select(self.pipes, (), (), timeout)[0]
        for fd,name in zip((1, 2), NAMES):
            with contextlib.suppress(OSError): self.saved[fd] = os.dup(fd)  # closed at birth, as of a daemon
            r,w = os.pipe()
            with contextlib.suppress(OSError, AttributeError): fcntl.fcntl(w, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
            os.dup2(w, fd)
            os.close(w)
            self.own[fd] = os.stat(fd)
            self._add(Pipe(r, name))
        return list(self.pipes) if self.epoll is None else [self.epoll.fileno()]

    def _add(self, *pipes):
        fds = [p.fd for p in pipes]
        watch = () if self.epoll is None else map(self.epoll.register, fds, repeat(select.EPOLLIN))
        at_once(chain(map(self.pipes.__setitem__, fds, pipes), watch))

    def _remove(self, pipe):
        "Its last writer has closed it."
        fd = pipe.fd,
        unwatch = () if self.epoll is None else map(self.epoll.unregister, fd)
        at_once(chain(map(self.pipes.pop, fd), unwatch, map(os.close, fd)))

    def child_of(self):
        "The request whose child is about to be made, if its text is to be read here; else None."
        return started_by() if self.own and self.epoll is not None else None

    def read_for(self, scope, readers):
        "Read the pipes `readers`, of a child's stdout and stderr, for the request `scope`. Any thread."
        self._add(*(Pipe(r, name, scope) for r,name in zip(readers, NAMES)))

    def kind_of(self, fd):
        "Which of 1 and 2 the descriptor `fd` is, also under another number; None if it is something else: the user's own, or closed."
        with contextlib.suppress(OSError):
            stat = os.fstat(fd)
            return next((n for n,own in self.own.items() if os.path.samestat(stat, own)), None)

    def forked(self, writers):
        "In a child, which writes to its `writers`, unless it was given something else already (forkpty, dup2). Nobody reads here, and its own children share what it has."
        ours = dict(zip((1, 2), writers))
        for fd in (1, 2):
            if (w := ours.get(self.kind_of(fd))) is not None: os.dup2(w, fd)
        self.own,self.pipes,self.ready,self.lock = {}, {}, nothing, threading.Lock()  # another thread may have had the lock

    def uninstall(self):
        "Let 1 and 2 be what they were; what is in the pipes is published."
        self.drain()
        for fd,old in self.saved.items():
            os.dup2(old, fd)
            os.close(old)
        self.saved,self.own = {}, {}

    def close(self):
        "Close the pipes; nobody reads them any more."
        with self.lock:
            for fd in self.pipes: os.close(fd)
            self.pipes,self.ready = {}, nothing
            if self.epoll is not None: self.epoll.close()

    @wait_code
    def drain(self):
        "Publish what is in the pipes, without waiting. Any thread."
        try: is_due = self.ready(0) or self.lock.locked()  # locked: another thread may have read what it has not published yet
        except OSError: is_due,self.ready = False, nothing  # a cell has closed epoll: what C code writes is lost, and nothing else
        if is_due: self._publish()

    @contextlib.contextmanager
    def calling(self):
        "Inside, what comes to 1 and 2 belongs to the request that calls this."
        scope = started_by()
        try:
            self.callers.append(scope)
            yield
        finally:
            if scope in self.callers: self.callers.remove(scope)

    def _publish(self):
        taken = []
        try:
            taken.extend(map(self.lock.acquire, (True,), (1,)))  # in one step: an interrupt may come out behind any call, and would leave it locked
            if taken == [True]: self._read_all()
        finally:
            if taken == [True]: self.lock.release()

    def _read_all(self):
        for pipe in list(self.pipes.values()):
            to = self._whose(pipe)
            for _ in range(PIPE_SIZE // READ):  # not for ever, should somebody write without end
                if text := pipe.read(): to.port.write(to, pipe.name, text, NOBODY)
                else: break
            if pipe.ended: self._remove(pipe)

    def _whose(self, pipe):
        to = late(pipe.scope) if pipe.scope else next(filter(None, reversed(self.callers)), None)
        return to or Scope.latest or Scope.nobody
