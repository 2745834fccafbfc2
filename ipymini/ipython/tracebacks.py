"""Tracebacks room: what a traceback shows of an error, and that IPython renders it in half the time.

Owns which frames are cut out, and what IPython would make anew for each traceback: pygments' colours.
Must not know: shells, who sees it.
Threads: any.
Spec: messaging, "Execution errors"."""

import functools, importlib

from ..interrupts.protect import HERE, package_of

STYLES = 16  # that are remembered


def chain(e):
    "`e`, what it came from, what it is a group of, and so on."
    seen,todo = {}, [e]
    while todo:
        e = todo.pop()
        if not isinstance(e, BaseException) or id(e) in seen: continue
        seen[id(e)] = e
        todo += [e.__cause__ or e.__context__, *(e.exceptions if isinstance(e, BaseExceptionGroup) else ())]
    return seen.values()


def has_group(e): return any(isinstance(c, BaseExceptionGroup) for c in chain(e))


def theirs(tb):
    "The part of a traceback that begins at the user's code, behind IPython's that has called it; all of it if there is none."
    first = tb
    while first is not None and package_of(first.tb_frame) == "IPython": first = first.tb_next
    return tb if first is None else first


def trim(tb):
    "Cut frames of ours out of a traceback, and the debugger's off its end: the user's line is the last (an interrupt's handler, `input`)."
    last = tb
    while tb is not None and "pydevd" not in tb.tb_frame.f_code.co_filename + tb.tb_frame.f_code.co_name:
        if not tb.tb_frame.f_code.co_filename.startswith(HERE):
            if tb is not last: last.tb_next = tb
            last = tb
        tb = tb.tb_next
    if last is not None: last.tb_next = None


def cut(tb, *modules):
    "Cut the end of a traceback that is in `modules`: of an interrupted cell it shows where that waited, not how asyncio or a prompt does so."
    last = tb
    while tb is not None:
        if package_of(tb.tb_frame) not in modules: last = tb
        tb = tb.tb_next
    if last is not None: last.tb_next = None


@functools.cache
def quicken():
    "Let what IPython makes anew for each traceback be made once: the style that marks the failing node, and its colours. Called before the first, for which IPython imports these anyway."
    load_pygments()
    import stack_data
    from pygments.formatters.terminal256 import Terminal256Formatter
    stack_data.style_with_executing_node = functools.lru_cache(STYLES)(stack_data.style_with_executing_node)
    Terminal256Formatter._setup_styles = once_a_style(Terminal256Formatter._setup_styles)


def load_pygments():
    """Import what IPython shows code with, before anybody asks it for names: at their end these modules put another object in their place, and who has waited for
    another thread's import of them is given the old one, which has no names; so once more, after this."""
    for name in ("formatters", "lexers"): importlib.import_module(f"pygments.{name}")


def once_a_style(original):
    "As `original`, Terminal256Formatter's `_setup_styles`; what it computes depends on the style and three options alone, and takes longer than all the rest of a traceback."
    known = {}
    def _setup_styles(self):
        key = type(self), self.style, self.usebold, self.useunderline, self.useitalic
        if key in known: self.style_string,self.best_match = known[key]
        else:
            original(self)
            if len(known) < STYLES: known[key] = self.style_string, self.best_match
    return _setup_styles
