"""Shell room: IPython's InteractiveShell with its outputs turned into Jupyter messages.

Owns the shell class, its display hook and display publisher, its payloads and pager.
Must not know: sockets, threads, requests; it asks `scope` for whom an output is.
Threads: the worker's that owns the shell; `publish` any.
Spec: messaging, "Display data", "Results", "Payloads (DEPRECATED)"."""

import contextlib, logging, os, shlex, signal, subprocess, sys, threading, time, types

from IPython.core import page, payloadpage
from IPython.core.autocall import ZMQExitAutocall
from IPython.core.builtin_trap import BuiltinTrap
from IPython.core.compilerop import CachingCompiler
from IPython.core.display_trap import DisplayTrap
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.history import HistoryOutput
from IPython.core.interactiveshell import InteractiveShell, InteractiveShellABC
from IPython.core.payload import PayloadManager
from IPython.core.usage import default_banner
from IPython.utils.encoding import DEFAULT_ENCODING
from IPython.utils.process import process_handler, system
from IPython.utils.text import LSString, SList
from traitlets import Any, Bool, CBool, Type, default

from .cell_names import cell_file, own
from .errors import ShowsErrors
from .history import HistoryManager, SubshellHistory
from ..request.scope import Scope, current, here
from ..wire.messages import Msg
from ..interrupts.protect import PENDING, cell_code, raise_pending, wait_code

log = logging.getLogger("ipymini.ipython.shell")
INTERRUPTED = -signal.SIGINT, 128 + signal.SIGINT  # exit codes of a child that SIGINT has ended; of a shell whose child it has
ON_ITS_WAY = 0.2  # seconds that an interrupt takes to a subshell's thread, when the system has brought it to the child


def out(): return here() or Scope.nobody


class Plain(types.ModuleType):
    "The module os, but for `close` and `read`, which are the system's: those of gevent and eventlet let other greenlets run, and close later."
    close,read = os.close, os.read  # bound before the user's code
    def __getattr__(self, name): return getattr(os, name)


def spawn_plainly():
    """Let ptyprocess have a Plain os. It starts a child by closing one end of a pipe and reading the other to its end, which gevent's `close` would never bring; and an
    interrupt that comes out there, as it does in a hub, is an UnboundLocalError in IPython."""
    from ptyprocess import ptyprocess
    if ptyprocess.os is os: ptyprocess.os,ptyprocess.PtyProcess.delayafterclose = Plain("os"), NoDelay()


class NoDelay:
    """As an attribute of ptyprocess's children, the seconds that their destructor gives one to end: none to one that has ended. They would be most of what a `!cmd`
    takes, and an interrupt that comes out in a destructor reaches nobody."""

    def __get__(self, child, owner): return self if child is None else 0 if child.terminated else vars(child).get("delayafterclose", 0)

    def __set__(self, child, seconds): vars(child)["delayafterclose"] = seconds


def run_shell(cmd):
    "The exit code of `cmd` in the user's shell, at a pseudo-terminal as IPython has it, at which nobody can type: there is nothing to read."
    handler = getattr(system, "__self__", None)
    if handler is None: return system(cmd)  # on Windows
    spawn_plainly()
    sh = type("PosixShell", (type(handler),), dict(sh="/bin/sh"))()  # the user's may have another syntax
    return sh.system(f"exec {shlex.quote(handler.sh)} -c {shlex.quote(cmd)} </dev/null")


@wait_code
def finish(child): return child.communicate(), child.returncode


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
    def emit(self, msg_type, content, buffers=None):
        scope = out()
        if hooks := self.__dict__.get("_hooks"): content,buffers = self._hooked(hooks, msg_type, content, buffers, scope)
        if content is not None: scope.emit(msg_type, content, None, buffers)
        if PENDING: raise_pending()

    @cell_code
    def _hooked(self, hooks, msg_type, content, buffers, scope):
        "The content and buffers that `hooks` make of these; None if one of them keeps it."
        parent = scope.msg.header if scope.msg else {}
        msg = dict(header=dict(msg_type=msg_type), msg_type=msg_type, parent_header=parent, metadata={}, content=content, buffers=buffers or [])
        for hook in hooks:
            msg = hook(msg)
            if msg is None: return None, None
        return msg["content"], msg.get("buffers")


class ZMQShellDisplayHook(Hooks, DisplayHook):
    "Publishes the value of a cell as execute_result."

    @property
    def prompt_count(self):
        "The number of the cell that runs, also if it is not stored: IPython alone would give its value to the cell before."
        scope,last = here(), self.shell.execution_count - 1
        if scope is None: return last
        return scope.number if scope.is_unlocked else max(scope.number, last)  # more than its number, if it runs cells itself

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
    store_display_history = Bool(False, help="Keep what is displayed in memory, for %notebook to export.").tag(config=True)

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, buffers=None, **kwargs):
        "`data` and `metadata` as mime bundles, `transient` as a dict with a display_id; `update` changes what was shown under that id; `buffers` of bytes go along."
        self._validate_data(data, metadata)
        if self.store_display_history: self._store(data)
        content = dict(data=data, metadata=metadata or {}, transient=transient or {})
        self.emit("update_display_data" if update else "display_data", content, buffers)

    def _store(self, data):
        shell = self.shell
        shell.history_manager.outputs[shell.execution_count - 1].append(HistoryOutput(output_type="display_data", bundle=data))

    def clear_output(self, wait=False):
        "Clear the cell's output, or with `wait` as soon as there is new one."
        self.emit("clear_output", {"wait": bool(wait)})


class Compiler(CachingCompiler):
    """Names a cell's code as the debugger and its clients expect: a hash of the source in a folder of this process. All shells share it, and with it what `from __future__`
    a cell imports; flags that hold for one cell (`extra_flags`: it may await) are the thread's, or another cell's end would take them away."""

    def __init__(self):
        self.extra = threading.local()
        super().__init__()

    @property
    def flags(self): return self.lasting | getattr(self.extra, "flags", 0)

    @flags.setter
    def flags(self, flags): self.lasting = flags & ~getattr(self.extra, "flags", 0)

    @contextlib.contextmanager
    def extra_flags(self, flags):
        before = getattr(self.extra, "flags", 0)
        self.extra.flags = before | flags & ~self.lasting
        try: yield
        finally: self.extra.flags = before

    def get_code_name(self, raw_code, transformed_code, number): return cell_file(raw_code)

    def __call__(self, *args, **kwargs):
        code = super().__call__(*args, **kwargs)
        return own(code) if isinstance(code, types.CodeType) else code

    def ast_parse(self, *args, **kwargs):
        "As IPython's; CPython 3.11 fails now and then if another thread parses, too, and a collection lets that run (gh-106905). The next try may not."
        for _ in range(20):
            try: return super().ast_parse(*args, **kwargs)
            except SystemError as e: error = e
        raise error


class ZMQInteractiveShell(ShowsErrors, InteractiveShell):
    "IPython as a kernel has it. Libraries look for this class's name."

    displayhook_class = Type(ZMQShellDisplayHook)
    display_pub_class = Type(ZMQDisplayPublisher)
    kernel = Any(help="What libraries know as the kernel: see compat.py.")
    keepkernel_on_exit,exit_now = None, False
    subshell_id,is_storing,turns = None, False, None
    autoindent = CBool(False)  # an editor's business

    def push(self, variables, interactive=True):
        if not self.is_storing: super().push(variables, interactive)  # see SubshellHistory
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

    def init_builtins(self):
        super().init_builtins()
        self.builtin_trap = OpenBuiltinTrap(lambda: here_shell(self))

    def init_displayhook(self):
        super().init_displayhook()
        self.display_trap = OpenDisplayTrap(hook=cell_code(lambda value: here_shell(self).displayhook(value)))

    def init_traceback_handlers(self, custom_exceptions):
        super().init_traceback_handlers(custom_exceptions)
        sys.excepthook = self.excepthook = self.excepthook  # one for all shells and for good: IPython exchanges it around each cell, and cells side by side leave each other's

    def get_ipython(self):
        "The shell that runs the code which asks: a subshell's code sees its own."
        return here_shell(self)

    def init_history(self):
        self.history_manager = HistoryManager(shell=self, parent=self)
        self.configurables.append(self.history_manager)

    def init_payload(self):
        self.payload_manager = Payloads(parent=self)
        self.configurables.append(self.payload_manager)

    def init_hooks(self):
        super().init_hooks()
        self.set_hook("show_in_pager", page.as_hook(payloadpage.page), 99)

    def ask_exit(self):
        "End the kernel when the cell is done, and tell the client."
        if here_shell(self) is self: self.exit_now = not self.keepkernel_on_exit  # in a subshell its client ends
        self.payload_manager.write_payload(dict(source="ask_exit", keepkernel=bool(self.keepkernel_on_exit)))

    def system_piped(self, cmd):
        "As IPython's `!cmd`, which counts frames to find names; one that an interrupt ends is a KeyboardInterrupt."
        if cmd.rstrip().endswith("&"): raise OSError("Background processes not supported.")
        delivery = own_delivery()
        before = delivery and delivery.last
        code = self.user_ns["_exit_code"] = run_shell(self.var_expand(cmd, depth=1))
        if code == -signal.SIGINT or delivery and delivery.came(before): raise KeyboardInterrupt  # the child may have ended well just before
        if self.system_raise_on_error and code: raise subprocess.CalledProcessError(code, cmd)

    system = system_piped

    @wait_code
    def getoutput(self, cmd, split=True, depth=0):
        "As IPython's `x = !cmd`: a list of lines or with `split` false a string; one that an interrupt ends is a KeyboardInterrupt, not an empty one."
        if cmd.rstrip().endswith("&"): raise OSError("Background processes not supported.")
        strict = self.system_raise_on_error
        ended = process_handler(self.var_expand(cmd, depth=depth + 1), finish, subprocess.PIPE if strict else subprocess.STDOUT)
        if ended is None: raise KeyboardInterrupt
        texts,code = ended
        if code in INTERRUPTED:
            time.sleep(ON_ITS_WAY)  # what ended the child is for this thread, too; it ends this sleep, where later it would cut off the traceback
            raise KeyboardInterrupt
        if strict: self.user_ns["_exit_code"] = code
        if strict and code: raise subprocess.CalledProcessError(code, cmd)
        text = "".join(t.decode(DEFAULT_ENCODING, "replace") for t in texts if t)
        return SList(text.splitlines()) if split else LSString(text)

    def set_next_input(self, text, replace=False):
        "Offer `text` as the next cell, or with `replace` instead of this one; the last offer of a cell counts."
        self.payload_manager.write_payload(dict(source="set_next_input", text=text, replace=replace))

    def enable_gui(self, gui=None):
        "Let the windows of the toolkit `gui` live between cells and while one awaits; plots in the page need nothing."
        from .gui import IN_PAGE, Turns
        turns = None if gui in IN_PAGE else Turns(gui)
        if self.turns: self.turns.end()
        self.turns,self.active_eventloop = turns, gui

    def get_parent(self):
        "The message that is being served, as a dict."
        msg = out().msg
        return msg.as_dict() if msg else {}

    def set_parent(self, parent):
        "From here on, what this thread or task puts out is for `parent`, a message as `get_parent` tells it."
        current.set(scope_for(parent))

    def set_thread_parent(self, parent=None):
        "As `set_parent`, for a thread to call; without `parent` it follows the latest cell."
        current.set(scope_for(parent) if parent else None)

    def reset_thread_parent(self):
        "Let this thread's output go again to the request that started it."
        current.set(threading.current_thread().__dict__.get("_ipymini_scope"))

    @property
    def parent_header(self): return self.get_parent()

    def init_magics(self):
        super().init_magics()
        from .magics import HistoryMagics, KernelMagics, MagicsManager, cell_modes
        if hasattr(MagicsManager, "find"): self.magics_manager.__class__ = MagicsManager  # IPython makes its own; newer ones have lazy magics
        self.register_magics(HistoryMagics(self, here_shell), KernelMagics)
        self.input_transformers_cleanup.append(cell_modes)


def own_delivery():
    "The Delivery of the thread that calls this, if it serves requests."
    sub = out().sub
    return sub.worker.delivery if sub is not None and sub.worker.ident == threading.get_ident() else None


def scope_for(parent):
    "A scope for `parent`, a message as a dict; that of the latest cell itself if it is its own (ipywidgets' Output sets it back)."
    latest = Scope.latest
    if latest is not None and latest.open and latest.msg.id == parent["header"]["msg_id"]: return latest
    return Scope(out().port, Msg(dict(parent["header"], date=str(parent["header"].get("date"))), parent.get("content", {})), out().sub)


def here_shell(main):
    "The shell of the request that runs here, `main` if there is none."
    scope = here()
    return main if scope is None or scope.sub is None or scope.sub.bridge is None else scope.sub.bridge.shell


class Payloads(PayloadManager):
    "What a cell offers its client: that of the shell which runs the code, as magics, the pager and `exit` know main's only."

    def write_payload(self, data, single=True): super(Payloads, here_shell(self.parent).payload_manager).write_payload(data, single)


class OpenBuiltinTrap(BuiltinTrap):
    "IPython's builtins, in place once and for all: taken out and put in around each cell they would be gone for subshells and background tasks."

    def __init__(self, get_shell):
        super().__init__(shell=get_shell())
        self.auto_builtins["get_ipython"] = get_shell
        self.activate()

    def __enter__(self): return self

    def __exit__(self, *exc): return False


class OpenDisplayTrap(DisplayTrap):
    "sys.displayhook, in place once and for all; `hook` finds the shell that a value belongs to."

    def __init__(self, hook):
        super().__init__(hook)
        self.set()

    def __enter__(self): return self

    def __exit__(self, *exc): return False


InteractiveShellABC.register(ZMQInteractiveShell)


class SubshellHook(ZMQShellDisplayHook):
    "The display hook of a subshell: `_` is the last value of all shells, the numbered ones and `Out` are the parent's."

    def update_user_ns(self, result):
        if result is self.shell.user_ns["_oh"]: return
        self.___,self.__,self._ = self.__, self._, result
        self.shell.push(dict(_=self._, __=self.__, ___=self.___), interactive=False)


def fork_shell(main, subshell_id):
    "A shell that shares everything with `main` but its count, history, values and payloads: magics, hooks, formatters and names are one."
    sub = type(main).__new__(type(main))
    private = {"_trait_values", "_trait_notifiers", "_trait_validators", "_cross_validation_lock"}
    sub.__dict__.update({k: v for k,v in main.__dict__.items() if k not in private})
    sub._trait_values.update(main._trait_values)
    sub.subshell_id,sub.execution_count,sub.configurables = subshell_id, 1, list(main.configurables)
    sub.exit_now = False
    sub.history_manager = SubshellHistory(shell=sub, main=main.history_manager, parent=sub)
    sub.displayhook = SubshellHook(parent=sub, shell=sub, cache_size=main.cache_size)
    sub.payload_manager = type(main.payload_manager)(parent=sub)
    return sub
