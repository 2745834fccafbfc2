"""Magics room: the magics that a kernel brings itself, beside IPython's.

Owns %%background and %%subshell (as magics they only carry the help; `cell_modes` does the work), and %subshell, %connect_info, %qtconsole, %edit, %less, %more, %man, %clear, %autosave.
Must not know: sockets, requests.
Threads: the worker's that runs the cell.
Spec: IPython's documentation, "Built-in magic commands"; messaging, "Payloads (DEPRECATED)"."""

import json, os, subprocess, sys, threading

from IPython.core import magic, page
from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class
from IPython.core.magics import history
from IPython.core.magics.code import CodeMagics, InteractivelyDefined, MacroToEdit
from IPython.display import Javascript, display

from ..interrupts.protect import raise_pending
from ..request.scope import here

ALONE = "{} is the whole first line of a cell, and takes no arguments."


def cell_modes(lines):
    "Input transformer for %%background and %%subshell, which are more than magics: they say where and beside what a cell runs."
    first = {"%%background": "await __import__('ipymini').background()\n", "%%subshell": "\n"}
    head = lines[0].strip() if lines else None
    return [first[head], *lines[1:]] if head in first else lines


class MagicsManager(magic.MagicsManager):
    """IPython's, which imports many magics as they are first used, and notes before that it has: what is broken off would never be there, and is not there yet for another thread.
    So the note is the thread's own until it is true. Two threads may import the same, which changes nothing; a lock would be held while an extension runs."""
    own = threading.local()

    @property
    def _loaded_lazy(self):
        "Where IPython notes what is loaded: what this thread is about to load, too, which may ask for itself."
        noted = vars(self.own).get("noted")
        return vars(self)["_loaded_lazy"] if noted is None else noted

    def load_lazy(self, *args):
        outer = self._loaded_lazy
        noted,self.own.noted = vars(self.own).get("noted"), set(outer)
        try:
            super().load_lazy(*args)
            outer.update(self.own.noted)
        finally: self.own.noted = noted
        raise_pending()  # as this is the kernel's code, an interrupt has waited


class HistoryMagics(history.HistoryMagics):
    "IPython's, about the history of the shell that runs the cell: a subshell has its own."

    def __init__(self, main, here_shell):
        self.here_shell = here_shell
        super().__init__(main)

    @property
    def shell(self): return self.here_shell(self._main)

    @shell.setter
    def shell(self, shell): self._main = shell


@magics_class
class KernelMagics(Magics):
    "Magics of kernels."

    @property
    def connection_file(self): return self.shell.config.IPKernelApp.connection_file

    @line_cell_magic
    def subshell(self, line, cell=None):
        """Tell which subshell this is, and which there are.
        %%subshell, as the first line of a cell, runs that in a temporary subshell: at once, on a thread of its own, with the same names; for what computes.
        `from ipymini import subshell; subshell()` does it to the cells that follow, until the one that calls it ends."""
        if cell is not None: raise UsageError(ALONE.format("%%subshell"))
        scope = here()
        kernel = self.shell.kernel
        current = scope.sub.id if scope and scope.sub else None
        print(f"subshell id: {current}\nthread id: {threading.get_ident()}\nmain thread id: {threading.main_thread().ident}\npid: {os.getpid()}\n"
            f"thread count: {threading.active_count()}\nsubshell list: {kernel.subshells}")

    @cell_magic
    def background(self, line, cell):
        """As the first line of a cell: let later cells run while this one awaits. Its output stays its own.
        `from ipymini import unlock; unlock()` in a cell that awaits does the same from there on."""
        raise UsageError(ALONE.format("%%background"))

    @line_magic
    def connect_info(self, arg_s):
        "Print how other clients connect to this kernel."
        path = self.connection_file
        with open(path, encoding="utf-8") as f: info = json.load(f)
        name = os.path.basename(path)
        print(json.dumps(info, indent=2))
        print(f"\nPaste the above JSON into a file, and connect with:\n    $> jupyter <app> --existing <file>\n"
            f"or, if you are local, you can connect with just:\n    $> jupyter <app> --existing {name}\n"
            "or even just:\n    $> jupyter <app> --existing\nif this is the most recent Jupyter kernel you have started.")

    @line_magic
    def qtconsole(self, arg_s):
        "Open a Jupyter Qt console on this kernel, which outlives neither; `arg_s` is handed on to it."
        args = [sys.executable, "-m", "qtconsole", "--existing", self.connection_file, *arg_s.split()]
        subprocess.Popen(args, stdin=subprocess.DEVNULL, start_new_session=True)

    @line_magic
    def edit(self, parameter_s="", last_call=["", ""]):  # noqa: B006: IPython's own keeps the last call in there too
        "As IPython's %edit, but the client opens the editor: -p the last one again, -n LINE, -r raw input."
        opts,args = self.parse_options(parameter_s, "prn:")
        try: filename,lineno,_ = CodeMagics._find_edit_target(self.shell, args, opts, last_call)
        except (MacroToEdit, InteractivelyDefined): return print("Macros and functions of cells are edited in their cells.", file=sys.stderr)
        if filename is None: return
        self.shell.payload_manager.write_payload(dict(source="edit_magic", filename=os.path.abspath(filename), line_number=lineno))

    @line_magic
    def ed(self, parameter_s=""):
        "As %edit."
        self.edit(parameter_s)

    @line_magic
    def less(self, arg_s):
        "Show a file in the pager; Python source is highlighted."
        if not arg_s: raise UsageError("Missing filename.")
        with open(os.path.expanduser(arg_s), encoding="utf-8", errors="replace") as f: text = f.read()
        page.page(self.shell.pycolorize(text) if arg_s.endswith(".py") else text)

    @line_magic
    def more(self, arg_s):
        "As %less."
        self.less(arg_s)

    @line_magic
    def man(self, arg_s):
        "Show the manual page of a command in the pager."
        page.page(self.shell.getoutput(f"man {arg_s} | col -b", split=False))

    @line_magic
    def clear(self, arg_s):
        "Clear the terminal of clients that have one."
        self.shell.system("clear")

    @line_magic
    def autosave(self, arg_s):
        "Let the classic notebook save every `arg_s` seconds; 0 means never."
        try: interval = int(arg_s)
        except ValueError: raise UsageError(f"%autosave requires an integer, got {arg_s!r}") from None
        display(Javascript(f"IPython.notebook.set_autosave_interval({interval * 1000})"), include=["application/javascript"])
        print(f"Autosaving every {interval} seconds" if interval else "Autosave disabled")
