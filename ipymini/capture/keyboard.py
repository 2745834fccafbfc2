"""Keyboard room: what reads from the user, and is asked of the client: sys.stdin with its `buffer`, `input`, `getpass`.

Owns what is left of a line that was read in part. Must not know: sockets, requests; it asks `scope` who is asked, and `patches` puts it in place.
Threads: any.
Spec: messaging, "Messages on the stdin (ROUTER/DEALER) channel"; io.TextIOBase, io.BufferedIOBase."""

import io, warnings

from ..request.scope import here


class Lines:
    "Reads lines, as `_next()` gives them: empty at the end of the file, after which there may be more."
    name,closed = "<stdin>", False

    def readline(self, size=-1, /):
        "The next line with its end, empty at the end of the file; `size` of it at most, if that is not negative. StdinNotImplementedError where no input is allowed."
        if size == 0: return self._rest[:0]
        line,self._rest = self._rest or self._next(), self._rest[:0]
        if 0 < size < len(line): line,self._rest = line[:size], line[size:]
        return line

    def read(self, size=-1, /):
        "All up to the end of the file; `size` of it at most, if that is not negative."
        found,size = self._rest[:0], -1 if size is None else size
        while size < 0 or len(found) < size:
            line = self.readline(size - len(found) if size >= 0 else -1)
            if not line: break
            found += line
        return found

    def close(self): return  # stays open: the next cell needs it
    def fileno(self): return 0
    def isatty(self): return False
    def readable(self): return True
    def writable(self): return False


class Keyboard(Lines, io.TextIOBase):
    "sys.stdin: each line is asked of the client's user. The end of the file is a line that is Ctrl-D alone."
    mode,encoding,errors,newlines,_rest = "r", "utf-8", "strict", None, ""

    def __init__(self): self.buffer = Bytes(self)

    def _next(self):
        try: return ask() + "\n"
        except EOFError: return ""


class Bytes(Lines, io.BufferedIOBase):
    "The `buffer` of a Keyboard: the same lines, as UTF-8."
    mode,_rest = "rb", b""

    def __init__(self, keyboard): self._keyboard = keyboard

    def _next(self): return self._keyboard.readline().encode("utf-8", "replace")

    def read1(self, size=-1, /): return self.readline(size)


def ask(prompt="", password=False):
    "The client's answer, for `input` and `getpass`. StdinNotImplementedError where the request allows no input or there is none."
    to = here()
    if to is None or not to.open or not to.content.get("allow_stdin", False): raise _no_stdin(password)
    try: return to.ask(str(prompt), password)
    except KeyboardInterrupt: raise KeyboardInterrupt("Interrupted by user") from None


def _no_stdin(password):
    from IPython.core.error import StdinNotImplementedError
    return StdinNotImplementedError(f"{'getpass' if password else 'raw_input'} was called, but this frontend does not support input requests.")


def input(prompt="", /):
    "As the builtin: the line that the client's user types."
    return ask(prompt)


def getpass(prompt="Password: ", stream=None, *, echo_char=None):
    "As getpass.getpass: a line that is not shown as it is typed."
    if stream is not None: warnings.warn("The `stream` parameter of `getpass.getpass` will have no effect when using ipymini", stacklevel=2)
    return ask(prompt, password=True)
