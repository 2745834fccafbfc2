"""Config room: IPython's own configuration, read as IPython reads it.

Owns the application object: profile, config files, extensions, startup files, and traits-style arguments from the command line.
Must not know: messages, sockets, requests.
Threads: main (or the thread that embeds the kernel).
Spec: IPython's documentation, "Introduction to IPython configuration"."""

import contextlib, logging, os, re, sqlite3, sys, tempfile, threading

from IPython.core.application import BaseIPythonApplication, base_aliases, base_flags
from IPython.core.history import HistoryManager
from IPython.core.profiledir import ProfileDir, ProfileDirError
from IPython.core.shellapp import InteractiveShellApp, shell_aliases, shell_flags
from IPython.utils.PyColorize import theme_table
from traitlets import TraitError, Unicode
from traitlets.config.configurable import Configurable
from traitlets.config.loader import ArgumentError, Config, PyFileConfigLoader

from .shell import ZMQInteractiveShell

log = logging.getLogger("ipymini.ipython.config")
KNOWN = {"InlineBackend", "IPythonKernel", "KernelApp", "Session", "ZMQInteractiveShell"}  # read by classes that come later, or by other kernels


class ConfigFile(PyFileConfigLoader):
    "A configuration file. One that wants to end the process fails as any other that is wrong: traitlets tells, and reads the next."

    def load_config(self):
        try: return super().load_config()
        except (SystemExit, KeyboardInterrupt) as e: raise RuntimeError(f"the configuration file raised {e!r}") from e


class IPKernelApp(BaseIPythonApplication, InteractiveShellApp):
    "The IPython application that a kernel is: reads ipython_config.py and ipython_kernel_config.py; its name is what those call it."
    name = "ipython-kernel"
    aliases = {**base_aliases, **shell_aliases}
    flags = {**base_flags, **shell_flags}
    classes = [ZMQInteractiveShell, ProfileDir, HistoryManager]
    python_config_loader_class = ConfigFile
    connection_file = Unicode("", help="The connection file this kernel was started with.").tag(config=True)

    def __init__(self, argv=(), **kwargs):
        super().__init__(log=log, **kwargs)
        self.args = list(argv)

    def initialize(self):
        "Read the configuration. What cannot be understood warns and is left out; nothing in it ends the kernel."
        self.parse_arguments()
        self.init_profile_dir()
        self.cli_config = self.config.copy()  # traitlets has that of the last argument only, also if it was ignored
        try:
            self.init_config_files()
            self.load_config_file(suppress_errors=True)
        except Exception: log.warning("error in a configuration file", exc_info=True)  # it is the user's code
        self.update_config(self.cli_config)
        self.check_colors()
        self.free_history()
        self.config.IPKernelApp.setdefault("connection_file", self.connection_file)  # how libraries see a notebook

    def parse_arguments(self):
        for args in _groups(self.args):
            try: self.parse_command_line(args)
            except (Exception, SystemExit) as e: log.warning("argument %s ignored: %s", " ".join(args), e)
            if self.extra_args: log.warning("argument %s ignored: not an option", " ".join(self.extra_args))
            self.warn_unknown(self.cli_config)

    def warn_unknown(self, config):
        "Warn of sections that no class reads: traitlets itself takes them in silence."
        for name in set(config) - KNOWN - {c.__name__ for c in subclasses(Configurable)}:
            log.warning("argument %s.%s ignored: no class of that name", name, ", ".join(config[name]))

    def update_config(self, config):
        "Take `config` over without what is wrong in it; once there is a shell, whose `%config` this is, that is an error."
        update = super().update_config
        if self.shell is None: self.forgive(lambda: update(config), config)
        else: update(config)

    def forgive(self, f, config=None):
        "`f()`, again without what `config` (else all of it) gets wrong for as long as it does; TraitError if it is not the configuration."
        while True:
            try: return f()
            except TraitError as e:
                if not self.drop(str(e), self.config if config is None else config): raise

    def drop(self, error, config):
        "Take the trait that `error` complains of out of `config`; False if it is not in there."
        found = re.search(r"The '(\w+)' trait", error)
        sections = [s for s in config.values() if found and isinstance(s, Config) and found[1] in s]
        for s in sections: log.warning("configuration ignored: %s (%r)", error, s.pop(found[1]))
        return bool(sections)

    def check_colors(self):
        "Leave out colours that IPython has no theme for: it would end at an assertion."
        for name in ("InteractiveShell", "ZMQInteractiveShell"):
            colors = self.config.get(name, {}).get("colors", "neutral")
            if str(colors).lower() not in theme_table: log.warning("configuration ignored: no colors %r", self.config[name].pop("colors"))

    def free_history(self):
        "Keep the history in memory if its database is locked or slow: IPython would wait for it, and then take it for corrupt."
        own = self.config.get("HistoryManager", {})
        path = own.get("hist_file") or os.path.join(self.profile_dir.location, "history.sqlite")
        if own.get("enabled") is False or path == ":memory:" or is_writable(path): return
        log.warning("history database %s is locked or cannot be written: this session's history stays in memory", path)
        self.config.HistoryManager.hist_file = ":memory:"

    def init_profile_dir(self):
        "Find or make the profile; if it cannot be used the default one, and in the last resort one in a temporary directory."
        for fall_back in (self.use_default_profile, self.use_temporary_folder):
            try:
                os.makedirs(self.ipython_dir, exist_ok=True)
                return super().init_profile_dir()
            except (ProfileDirError, OSError) as e: log.warning("profile %r in %s cannot be used: %s", self.profile, self.ipython_dir, e)
            fall_back()
        super().init_profile_dir()

    def use_default_profile(self):
        self.config.get("ProfileDir", {}).pop("location", None)
        self.profile = "default"

    def use_temporary_folder(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ipymini-")  # removed at exit
        self.config.IPKernelApp.ipython_dir = self.ipython_dir = self.folder.name

    def start_shell(self, shell):
        "Run extensions, startup files and lines in `shell`, as the configuration says."
        self.shell = shell
        self.init_path()
        self.init_gui_pylab()
        self.init_extensions()
        self.init_code()
        shell.configurables.append(self)

    def init_path(self):
        "The working directory comes after the standard library, as in IPython; `python -m` had put it first."
        if sys.path and sys.path[0] == os.getcwd(): del sys.path[0]
        super().init_path()

    def exit(self, exit_status=0):
        "Raise what traitlets or IPython would end the process for, so that its caller here can go on without it."
        error = sys.exc_info()[1]
        raise error if isinstance(error, (TraitError, ArgumentError, ProfileDirError)) else SystemExit(exit_status)


def subclasses(cls): return {s for c in cls.__subclasses__() for s in {c, *subclasses(c)}}


def is_writable(path, within=0.5):
    "Can the sqlite database at `path` be written to within so many seconds? Asked on a thread, as a file system may not answer."
    answer = []
    def ask():
        try:
            with contextlib.closing(sqlite3.connect(path, timeout=within)) as db: answer.append(db.execute("begin immediate"))
        except sqlite3.DatabaseError as e: answer.extend([] if "locked" in str(e) or "unable to open" in str(e) else [e])  # corrupt: IPython's to mend
    t = threading.Thread(target=ask, daemon=True)
    t.start()
    t.join(within)
    return bool(answer)


def _groups(args):
    "`args` one option with its value at a time, so that one that is wrong takes no other with it."
    groups = []
    for a in args:
        if a.startswith("-") or not groups or "=" in groups[-1][0] or len(groups[-1]) > 1: groups.append([a])
        else: groups[-1].append(a)
    return groups
