"""Patches room: everything that is patched in the interpreter, in one table, and undone by `uninstall`.

Owns sys.stdout and sys.stderr, and the context of threads and executors.
Must not know: sockets, what a request means. It asks `scope` for whom a thing is.
Threads: `Stream` methods any; install and uninstall main.
Spec: messaging, "Streams (stdout, stderr, etc)"."""

import bdb, builtins, codecs, functools, getpass, importlib, io, os, subprocess, sys, threading, time
from importlib.machinery import PathFinder
from threading import get_ident
from time import perf_counter

from . import keyboard, nested_loops
from .children import Children, popen_handles, popen_init
from .fds import Fds
from ..interrupts.deliver import unharmed
from ..interrupts.protect import PENDING, cell_code, raise_pending, wait_code
from ..process.threads import is_hidden
from ..request.scope import Scope, current, here, started_by

LONGEST_SWITCH = 0.02  # seconds that a thread may keep the GIL from those that wait for it
QUIET = 1.5e-6       # seconds since a stream's last write in which C code can have written too: its text goes first


class Stream(io.TextIOBase):
    "sys.stdout or sys.stderr: a complete text stream whose text goes to the client of the request that prints."

    def __init__(self, name, fd, fds):
        self.name,self._fd,self._fds,self.mode = f"<{name}>", fd, fds, "w"
        self._encoding,self._errors = "utf-8", "backslashreplace" if name == "stderr" else "strict"
        self.line_buffering,self.write_through,self._in_child = True, False, False
        self._buffer,self.write = _Bytes(self), _writer(name, fds)

    @property
    def buffer(self): return self._buffer
    @property
    def encoding(self): return self._encoding
    @property
    def errors(self): return self._errors
    @property
    def newlines(self): return None

    def forked(self):
        "From here on this is the stream of a child: its text goes into the pipe."
        self._in_child,self._line = True, ""
        self.write = self._write_child

    def _write_child(self, s):
        "Write whole lines at once: other children write to the same pipe."
        lines,end,self._line = (self._line + s).rpartition("\n")
        if end: self._write_fd(lines + end)
        return len(s)

    def _write_fd(self, text):
        data = text.encode(self._encoding, "replace")
        while data: data = data[os.write(self._fd, data):]

    def writelines(self, lines):
        for line in lines: self.write(line)

    @wait_code
    def flush(self):
        if not self._in_child:
            self._fds.drain()
            return raise_pending() if PENDING else None
        line,self._line = self._line, ""
        self._write_fd(line)

    def close(self): self.flush()  # stays open: the next cell needs it, and so do loggers

    def fileno(self): return self._fd
    def isatty(self): return False
    def readable(self): return False
    def writable(self): return True
    def seekable(self): return False

    def reconfigure(self, *, encoding=None, errors=None, newline=None, line_buffering=None, write_through=None):
        "As of io.TextIOWrapper; the encoding is that of `buffer` and of forked children, messages are always Unicode."
        if encoding is not None: self._encoding = codecs.lookup(encoding).name
        if errors is not None: codecs.lookup_error(errors)
        elif encoding is not None: errors = "strict"
        self._errors = errors or self._errors
        if line_buffering is not None: self.line_buffering = bool(line_buffering)
        if write_through is not None: self.write_through = bool(write_through)
        self._buffer = _Bytes(self)

    def __repr__(self): return f"<ipymini.Stream name={self.name!r} encoding={self.encoding!r}>"


def _writer(name, fds):
    "The `write` of the stream `name`: the hottest function there is, so its names are local and it calls as little as it can."
    last = 0.0

    @wait_code
    def write(s):
        "Publish `s`; its length. TypeError if it is no str."
        nonlocal last
        if not isinstance(s, str): raise TypeError(f"write() argument must be str, not {type(s)}")
        if not s: return 0
        if s != "\n":  # the end of a print, right behind its text
            now = perf_counter()
            if now - last > QUIET: fds.drain()
            last = now
        to = started_by() or Scope.latest or Scope.nobody
        to.port.write(to, name, s, get_ident())
        if PENDING: raise_pending()
        return len(s)
    return write


class _Bytes(io.BufferedIOBase):
    "The `buffer` of a Stream: bytes in, text out; characters split between two writes are joined, bad bytes replaced."

    def __init__(self, stream):
        self.raw = self
        self._stream,self._decode = stream, codecs.getincrementaldecoder(stream.encoding)("replace").decode

    def write(self, data):
        view = memoryview(data)
        self._stream.write(self._decode(view.tobytes()))
        return view.nbytes

    def flush(self): self._stream.flush()
    def fileno(self): return self._stream.fileno()
    def writable(self): return True
    def isatty(self): return False
    @property
    def name(self): return self._stream.name
    @property
    def mode(self): return "wb"


def _in_scope(f, of):
    "`f`, run for the request `of`."
    def run(*args, **kwargs):
        __tracebackhide__ = True  # IPython leaves such frames out of tracebacks
        token = current.set(of)
        try: return f(*args, **kwargs)
        finally: current.reset(token)
    return run


def _sleep(original):
    @wait_code
    def sleep(seconds, /):
        "As time.sleep; on the thread of a subshell an interrupt ends it, as a signal does on the main thread."
        to = current.get()
        if to is None or to.sub is None or not to.sub.worker.user.naps() or not (isinstance(seconds, (int, float)) and seconds > 0): return original(seconds)
        to.sub.worker.user.sleep(seconds)
    return sleep


def _thread_start(original):
    def start(self):
        self._ipymini_scope = None if is_hidden(self) else here()  # a debugger's threads belong to nobody
        with unharmed(): original(self)
    return start


def _thread_bootstrap(original):
    def _bootstrap_inner(self):
        threading._active[threading.get_ident()] = self  # now: pydevd would take a dead thread's dummy that has its number for this one, or make one, and never resume it
        current.set(self.__dict__.get("_ipymini_scope"))
        try: original(self)
        finally: self.__dict__.pop("_ipymini_scope", None)  # whoever keeps the thread keeps no request by that
    return _bootstrap_inner


def _executor_submit(original):
    def submit(self, fn, /, *args, **kwargs):
        to = here()
        return original(self, fn if to is None else _in_scope(fn, to), *args, **kwargs)
    return submit


class _Interrupted(BaseException):
    "A KeyboardInterrupt at the prompt of a debugger: IPython's Pdb would take that one for its own, and ask again at the next line."


@cell_code
def _cmdloop(self):
    "The prompt of a debugger, once: an interrupt ends it and the cell. Pdb's own would ask again, for ever."
    self.allow_kbdint = True
    try: self.cmdloop()
    except KeyboardInterrupt: raise _Interrupted from None
    self.allow_kbdint = False


def _interaction(original):
    def interaction(self, *args, **kwargs):
        __tracebackhide__ = True
        try: original(self, *args, **kwargs)
        except _Interrupted:
            sys.settrace(None)
            raise KeyboardInterrupt from None
    return interaction


class Ipdb:
    "Finder of pdb and of IPython's debugger: as soon as the latter is there, its Pdb is what `import pdb` finds."

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in ("pdb", "IPython.core.debugger"): return None
        spec = PathFinder.find_spec(name, path)
        run = spec.loader.exec_module
        def exec_module(module):
            run(module)
            ipdb = importlib.import_module("IPython.core.debugger")  # half of it, if it is what imports pdb
            if not hasattr(ipdb, "InterruptiblePdb"): return
            for cls in (ipdb.Pdb, ipdb.InterruptiblePdb): cls._cmdloop = _cmdloop
            if ipdb.Pdb.interaction.__module__ != __name__: ipdb.Pdb.interaction = _interaction(ipdb.Pdb.interaction)
            sys.modules["pdb"].Pdb,sys.modules["pdb"].set_trace = ipdb.InterruptiblePdb, ipdb.set_trace
        spec.loader.exec_module = exec_module
        return spec


def _then_drain(original, drain):
    "`original`, after which what the child that it waited for wrote is on its way: before anything the cell prints next."
    @wait_code
    def wait(*args, **kwargs):
        try: return original(*args, **kwargs)
        finally: drain()
    return wait


def _calling(original, fds):
    "`os.system`: what the command writes is its caller's, as far as one can tell."
    @wait_code
    def system(*args, **kwargs):
        with fds.calling(): return original(*args, **kwargs)
    return system


def _switch_interval(original):
    @functools.wraps(original)
    def setswitchinterval(interval, /): original(min(interval, LONGEST_SWITCH))
    return setswitchinterval


class Capture:
    "All patches; `install` puts them in place, `uninstall` undoes them."

    def __init__(self):
        self.fds,self.undo,self.debugger = Fds(), [], None
        self.children = Children(self.fds)

    def install(self, more=()):
        "Patch the interpreter, also as the rows `more` say; `fds` is installed on its own, before. Main thread, once."
        drain,Popen = self.fds.drain, subprocess.Popen
        out,err = (Stream(n, fd, self.fds) for n,fd in (("stdout", 1), ("stderr", 2)))
        self.children.watch(out, err)
        from concurrent.futures import ThreadPoolExecutor
        table = [  # where, name, what, why
            (sys, "stdout", out, "prints go to the client"),
            (sys, "stderr", err, "as do errors and warnings"),
            (sys, "stdin", keyboard.Keyboard(), "the client is the keyboard"),
            (builtins, "input", keyboard.input, "the same, with a prompt"),
            (getpass, "getpass", keyboard.getpass, "the same, unseen"),
            (threading.Thread, "start", _thread_start(threading.Thread.start), "a thread belongs to the request that starts it"),
            (threading.Thread, "_bootstrap_inner", _thread_bootstrap(threading.Thread._bootstrap_inner), "and prints there: the first thing it runs"),
            (ThreadPoolExecutor, "submit", _executor_submit(ThreadPoolExecutor.submit), "a job belongs to the request that submits it"),
            (bdb.Bdb, "set_trace", self._set_trace(bdb.Bdb.set_trace), "with a debug client attached, breakpoint() and pdb stop there"),
            (os, "system", _calling(_then_drain(os.system, drain), self.fds), "what the child wrote comes before what the cell prints next"),
            (os, "waitpid", _then_drain(os.waitpid, drain), "the same"),
            (Popen, "_handle_exitstatus", _then_drain(Popen._handle_exitstatus, drain), "the same; subprocess calls it when a child is reaped"),
            (Popen, "_get_handles", popen_handles(Popen._get_handles, self.fds), "a child belongs to the request that starts it"),
            (Popen, "__init__", popen_init(Popen.__init__, self.fds), "and alone has the pipes that it writes to"),
            (time, "sleep", _sleep(time.sleep), "a subshell's thread has no signals"),
            (sys, "setswitchinterval", _switch_interval(sys.setswitchinterval), "a cell that computes must not keep the GIL from the threads that answer meanwhile"),
            (sys, "meta_path", [Ipdb, *sys.meta_path], "pdb is IPython's, as it is everywhere else in IPython"),
            *nested_loops.patches(), *more]
        for stream in filter(None, (sys.__stdout__, sys.__stderr__)): stream.reconfigure(line_buffering=True)  # as at a terminal: who prints there is seen at once
        for owner,name,new,_ in table:
            self.undo.append((owner, name, getattr(owner, name)))
            setattr(owner, name, new)

    def _set_trace(self, original):
        def set_trace(pdb, frame=None):
            frame,pdb.nosigint = frame or sys._getframe(1), True  # else `continue` takes SIGINT away from the kernel
            if not (self.debugger and self.debugger.stop_at(frame)): original(pdb, frame)
        return set_trace

    def uninstall(self):
        for owner,name,old in reversed(self.undo): setattr(owner, name, old)
        self.undo.clear()
        self.fds.uninstall()
