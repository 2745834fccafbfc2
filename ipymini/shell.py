"""Shell room: IPython's InteractiveShell with its outputs turned into Jupyter messages.

Owns the shell class, its display hook and display publisher, its payloads and pager.
Must not know: sockets, threads, requests; it asks `scope` for whom an output is.
Threads: the worker's that owns the shell; `publish` any.
Spec: messaging, "Display data", "Results", "Payloads (DEPRECATED)"."""

import asyncio, os, sys

from IPython.core import page, payloadpage
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.history import HistoryOutput
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from IPython.core.usage import default_banner
from traitlets import Any, Type, default

from .cells import cell_file
from .requests import error_content
from .scope import Scope, here
from .frames import HERE, INTERRUPT, wait_code


def out(): return here() or Scope.nobody


class Hooks:
    "Functions that see each message before it leaves, and may hold it back by returning None (ipywidgets, panel)."

    def register_hook(self, hook):
        "`hook(msg)` gets dict(header=dict(msg_type=...), content=...) and returns what to send, or None."
        self.__dict__.setdefault("_hooks", []).append(hook)

    def unregister_hook(self, hook):
        "True if `hook` was registered."
        hooks = self.__dict__.get("_hooks", [])
        found = hook in hooks
        if found: hooks.remove(hook)
        return found

    @wait_code
    def emit(self, msg_type, content):
        msg = dict(header=dict(msg_type=msg_type), msg_type=msg_type, parent_header=out().msg.header if out().msg else {}, metadata={}, content=content)
        for hook in self.__dict__.get("_hooks", ()):
            msg = hook(msg)
            if msg is None: return
        out().emit(msg_type, msg["content"])


class ZMQDisplayHook(Hooks, DisplayHook):
    "Publishes the value of a cell as execute_result."

    @property
    def prompt_count(self):
        "The number of the cell that runs, also if it is not stored: IPython alone would give its value to the cell before."
        return max(self.shell.cell_number, self.shell.execution_count - 1)

    def write_output_prompt(self): return  # the client draws the prompt

    def quiet(self):
        cell = self.shell.history_manager.input_hist_parsed[-1]
        return ";" in cell and self.semicolon_at_end_of_expression(cell)

    def write_format_data(self, format_dict, md_dict=None):
        if not format_dict: return
        self.emit("execute_result", dict(data=format_dict, metadata=md_dict or {}, execution_count=self.prompt_count))

    def finish_displayhook(self): self._is_active = False


class ZMQDisplayPublisher(Hooks, DisplayPublisher):
    "Publishes what `display` gets as display_data and update_display_data."

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **kwargs):
        "`data` and `metadata` as mime bundles, `transient` as a dict with a display_id; `update` changes what was shown under that id."
        self._validate_data(data, metadata)
        shell = self.shell
        shell.history_manager.outputs[shell.execution_count - 1].append(HistoryOutput(output_type="display_data", bundle=data))
        content = dict(data=data, metadata=metadata or {}, transient=transient or {})
        self.emit("update_display_data" if update else "display_data", content)

    def clear_output(self, wait=False):
        "Clear the cell's output, or with `wait` as soon as there is new one."
        self.emit("clear_output", {"wait": bool(wait)})


class Compiler(CachingCompiler):
    "Names a cell's code as the debugger and its clients expect: a hash of the source in a folder of this process."

    def get_code_name(self, raw_code, transformed_code, number): return cell_file(raw_code)


class ZMQInteractiveShell(InteractiveShell):
    "IPython as a kernel has it. Libraries look for this class's name."

    displayhook_class = Type(ZMQDisplayHook)
    display_pub_class = Type(ZMQDisplayPublisher)
    kernel = Any(help="What libraries know as the kernel: see compat.py.")
    cell_number,keepkernel_on_exit,exit_now,last_traceback = 0, None, False, ()
    compiler_class = Type(Compiler)

    @default("exiter")
    def _exiter_default(self): return ZMQExitAutocall(self)

    @default("banner1")
    def _banner(self): return default_banner

    def init_environment(self):
        "What programs that a cell starts should know: there is no terminal behind it, and no pager."
        os.environ["TERM"] = "xterm-color"
        defaults = dict(CLICOLOR="1", FORCE_COLOR="1", CLICOLOR_FORCE="1", PAGER="cat", GIT_PAGER="cat",
            MPLBACKEND="module://matplotlib_inline.backend_inline")
        for k,v in defaults.items(): os.environ.setdefault(k, v)

    def init_hooks(self):
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(payloadpage.page), 99)

    def ask_exit(self):
        "End the kernel when the cell is done, and tell the client."
        self.exit_now = not self.keepkernel_on_exit
        self.payload_manager.write_payload(dict(source="ask_exit", keepkernel=bool(self.keepkernel_on_exit)))

    def set_next_input(self, text, replace=False):
        "Offer `text` as the next cell, or with `replace` instead of this one; the last offer of a cell counts."
        self.payload_manager.write_payload(dict(source="set_next_input", text=text, replace=replace))

    def enable_gui(self, gui=None):
        "Only kernels with a GUI loop need more; plots in the page need none."
        if gui not in (None, "inline", "asyncio"): raise NotImplementedError(f"no event loop for {gui!r} yet; plots in the page: %matplotlib inline")
        self.active_eventloop = gui

    def get_parent(self):
        "The message that is being served, as a dict."
        msg = out().msg
        return msg.as_dict() if msg else {}

    @property
    def parent_header(self): return self.get_parent()

    def showtraceback(self, exc_tuple=None, *args, **kwargs):
        etype,value,tb = exc_tuple or sys.exc_info()
        trim(tb)
        if isinstance(value, asyncio.CancelledError) and value.args == (INTERRUPT,):
            exc_tuple = KeyboardInterrupt, KeyboardInterrupt().with_traceback(tb), tb
        super().showtraceback(exc_tuple, *args, **kwargs)

    def _format_exception_for_storage(self, exception, *args, **kwargs):
        try: return super()._format_exception_for_storage(exception, *args, **kwargs)
        except Exception: return error_content(type(exception), exception)  # IPython 9 calls str on it unprotected

    def _showtraceback(self, etype, evalue, stb):
        content = error_content(etype, evalue, stb)
        self.last_traceback = content["traceback"]
        self.displayhook.emit("error", content)

    def init_magics(self):
        super().init_magics()
        from .magics import KernelMagics
        self.register_magics(KernelMagics)


def trim(tb):
    "Cut frames of ours off the end of a traceback: the user's line is the last (an interrupt's handler, `input`)."
    last = tb
    while tb is not None:
        if not tb.tb_frame.f_code.co_filename.startswith(HERE): last = tb
        tb = tb.tb_next
    if last is not None: last.tb_next = None


InteractiveShellABC.register(ZMQInteractiveShell)
