"""Config room: IPython's own configuration, read as IPython reads it.

Owns the application object: profile, config files, extensions, startup files, and traits-style arguments from the command line.
Must not know: messages, sockets, requests.
Threads: main (or the thread that embeds the kernel).
Spec: IPython's documentation, "Introduction to IPython configuration"."""

import logging

from IPython.core.application import BaseIPythonApplication, base_aliases, base_flags
from IPython.core.history import HistoryManager
from IPython.core.profiledir import ProfileDir
from IPython.core.shellapp import InteractiveShellApp, shell_aliases, shell_flags
from traitlets import Unicode

from .shell import ZMQInteractiveShell

log = logging.getLogger("ipymini.config")


class IPKernelApp(BaseIPythonApplication, InteractiveShellApp):
    "The IPython application that a kernel is: reads ipython_config.py and ipython_kernel_config.py; its name is what those call it."
    name = "ipython-kernel"
    aliases = {**base_aliases, **shell_aliases}
    flags = {**base_flags, **shell_flags}
    classes = [ZMQInteractiveShell, ProfileDir, HistoryManager]
    connection_file = Unicode("", help="The connection file this kernel was started with.").tag(config=True)

    def __init__(self, argv=(), **kwargs):
        super().__init__(log=log, **kwargs)
        self.args = list(argv)

    def initialize(self):
        "Read the configuration. What cannot be understood warns and is left out; nothing in it ends the kernel."
        self.parse_arguments()
        try: self.init_profile_dir()
        except SystemExit: self.use_default_profile()
        cl_config = self.config.copy()
        self.init_config_files()
        try: self.load_config_file(suppress_errors=True)
        except Exception: log.warning("error in a configuration file", exc_info=True)  # it is the user's code
        self.update_config(cl_config)
        if "IPKernelApp" not in self.config: self.config.IPKernelApp.connection_file = self.connection_file  # how libraries see a notebook

    def parse_arguments(self):
        for args in _groups(self.args):
            try: self.parse_command_line(args)
            except (Exception, SystemExit) as e: log.warning("argument %s ignored: %s", " ".join(args), e)

    def use_default_profile(self):
        log.warning("profile %r not found, using the default one", self.profile)
        self.profile,self._in_init_profile_dir = "default", False
        self.init_profile_dir()

    def start_shell(self, shell):
        "Run extensions, startup files and lines in `shell`, as the configuration says."
        self.shell = shell
        self.init_path()
        self.init_gui_pylab()
        self.init_extensions()
        self.init_code()
        shell.configurables.append(self)

    def exit(self, exit_status=0): raise SystemExit(exit_status)


def _groups(args):
    "`args` one option with its value at a time, so that one that is wrong takes no other with it."
    groups = []
    for a in args:
        if a.startswith("-") or not groups or "=" in groups[-1][0] or len(groups[-1]) > 1: groups.append([a])
        else: groups[-1].append(a)
    return groups
