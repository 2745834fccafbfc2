"""Compat room: the names that libraries expect of a kernel, and nothing that we use ourselves.

Owns `get_ipython().kernel` and who needs what of it.
Must not know: how requests are served; it reads `Kernel` and `scope`.
Threads: any.
Spec: none; ipywidgets (get_parent, session.send), ipyparallel (session.send, iopub_socket), dask (that there is a kernel),
older notebooks (comm_manager, _parent_header, shell)."""

import contextlib, getpass, logging, sys, types
from threading import get_ident

from . import comms
from ..wire.info import kernel_info, language_info
from ..request.scope import Scope, here


def install():
    "Be `ipykernel.comm` to bokeh, panel, pyviz_comms and ipyparallel, whether ipykernel is installed or not: its own comms would find no kernel."
    for name in ("ipykernel.comm", "ipykernel.comm.comm", "ipykernel.comm.manager"):
        module = types.ModuleType(name, "The comms of ipymini.")
        module.Comm,module.BaseComm,module.CommManager = comms.Comm, comms.Comm, comms.Manager
        sys.modules.setdefault(name, module)


class SessionFacade:
    "`kernel.session`: sends messages for libraries that speak the protocol themselves (ipywidgets' Output, ipyparallel)."

    def __init__(self, session): self.session = session

    def send(self, stream, msg_or_type, content=None, parent=None, ident=None, buffers=None, metadata=None, **kwargs):
        "Publish `content` on iopub for the current request; `stream` is `kernel.iopub_socket`."
        if isinstance(msg_or_type, dict): msg_or_type,content = msg_or_type["header"]["msg_type"], msg_or_type["content"]
        return (here() or Scope.nobody).emit(msg_or_type, content, metadata, buffers)


class KernelFacade:
    "`get_ipython().kernel`."
    implementation,iopub_socket = "ipymini", "iopub"
    int_id,log_level,log = -1, 30, logging.getLogger("ipymini.user")

    def __init__(self, kernel):
        self._kernel = kernel
        self.session = SessionFacade(kernel.channels.codec.session)
        self.comm_manager = comms.manager

    @property
    def ident(self): return self.session.session
    @property
    def shell(self): return self._kernel.main.bridge.shell if self._kernel.main.bridge else None
    @property
    def subshells(self): return self._kernel.list_subshell(None)["subshell_id"]
    @property
    def user_ns(self): return self.shell.user_ns
    @property
    def execution_count(self): return self.shell.execution_count
    @property
    def language_info(self): return language_info()
    @property
    def banner(self): return self.kernel_info["banner"]
    @property
    def help_links(self): return self.kernel_info["help_links"]
    @property
    def kernel_info(self): return {k: v for k,v in kernel_info().items() if k != "status"}
    @property
    def _parent_header(self): return self.get_parent()

    def get_parent(self, channel=None):
        "The message that is being served, as a dict; of `channel` if that is given."
        scope = here()
        return scope.msg.as_dict() if scope is not None and scope.msg else {}

    def send_response(self, stream, msg_or_type, content=None, ident=None, buffers=None, track=False, header=None, metadata=None, channel=None):
        "Publish on iopub for the current request."
        return self.session.send(stream, msg_or_type, content, buffers=buffers, metadata=metadata)

    @contextlib.contextmanager
    def processing_events(self):
        """Inside, comm messages are served as they arrive, also while a cell computes, if this is the main thread: others have no signals. Gives a function that
        serves them now, on any thread that has some."""
        worker,signals = self._kernel.main.worker, self._kernel.signals
        is_main = get_ident() == worker.ident
        with worker.attentive(signals.nudge, signals.nudge_again) if is_main else contextlib.nullcontext(): yield self.do_one_iteration

    def do_one_iteration(self):
        "Serve the comm messages that have arrived for the thread that calls this, main's or a subshell's; for cells that compute for long. Other threads serve none."
        me = get_ident()
        for s in list(self._kernel.subs.values()):
            if s.worker.ident == me: s.worker.serve_meanwhile()

    def set_parent(self, ident, parent, channel="shell"):
        "What this thread or task puts out from here on is for `parent`."
        self.shell.set_parent(parent)

    def raw_input(self, prompt=""): return input(prompt)

    def getpass(self, prompt=""): return getpass.getpass(prompt)
