"""Dying room: the last words of a process that ends against its will, whatever in the interpreter is broken by then.

Owns where the real stderr is, the words, and `die`. Must not know: other rooms, logging.
Threads: any, signal handlers too; no lock is taken. What is called here was bound before the user's code could replace it.
Spec: none (DEV.md, "Ending")."""

import builtins
from builtins import BaseException, OSError, type
from os import _exit, write
from sys import exc_info
from traceback import format_exception

stderr = [2]   # the descriptor to write to: a copy of 2, once 2 belongs to the cells
BUILTINS = vars(builtins)
NEEDED = {name: value for name,value in BUILTINS.items() if isinstance(value, type) or name in ("len", "isinstance", "getattr", "next", "iter", "min", "max", "id")}
before = []    # functions that `die` calls before it ends the process; each guarded


def say(text):
    "Write `text` to the real stderr, by one system call."
    try: write(stderr[0], text.encode("utf-8", "backslashreplace"))
    except OSError: return  # nobody is there to be told


def last_words(what):
    "Say `what` has happened, and the exception that is being handled, with as much of its traceback as can still be told."
    say(f"[ipymini] CRITICAL | {what}\n{told(exc_info()[1])}")


def die(what, code=70):
    "End the process now, with `last_words`. For who is needed and cannot go on: a half-alive kernel is the worst kernel."
    try: last_words(what)
    finally: _leave(code)


def slipped():
    "Called where an item has been lost by a slip: if a cell has replaced what all of Python is made of, the next one would be lost, too, and all the others."
    gone = [name for name,value in NEEDED.items() if BUILTINS.get(name) is not value]
    if gone: die(f"nothing works without {', '.join(gone)}, which a cell has replaced")


def _leave(code):
    try:
        for f in before: guarded(f)
    finally: _exit(code)


def guarded(f):
    "Call `f()`; what it raises is said, and over."
    try: f()
    except BaseException: say(f"[ipymini] ERROR | {told(exc_info()[1])}")


def told(e):
    "The exception `e` as Python shows it; or its names and lines alone, or only its type, if that is what still works."
    if e is None: return ""
    for tell in (_shown, _listed, _named):
        try: return tell(e)
        except BaseException: continue  # linecache is replaced, an audit hook raises, a __str__ fails: then less is told
    return "an exception that cannot be shown\n"


def _shown(e): return "".join(format_exception(type(e), e, e.__traceback__))


def _listed(e):
    lines,tb = ["Traceback (most recent call last):\n"], e.__traceback__
    while tb is not None:
        code = tb.tb_frame.f_code
        lines.append(f'  File "{code.co_filename}", line {tb.tb_lineno}, in {code.co_name}\n')
        tb = tb.tb_next
    return "".join(lines) + _named(e)


def _named(e):
    name = type.__getattribute__(type(e), "__name__")
    try: return f"{name}: {e}\n"
    except BaseException: return f"{name}\n"  # its __str__ is anybody's code
