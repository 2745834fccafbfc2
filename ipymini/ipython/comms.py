"""Comms room: the `comm` package, spoken over our iopub.

Owns our Comm class and the one CommManager, and puts both where `comm.create_comm` and `comm.get_comm_manager` find them.
Must not know: sockets, requests; it asks `scope` for whom a message is.
Threads: any for sending; incoming messages on the thread that serves the request.
Spec: messaging, "Custom Messages" (comm_open, comm_msg, comm_close)."""

import logging, sys, traceback

import comm
from comm.base_comm import BaseComm, CommManager

from ..interrupts.protect import PENDING, cell_code, raise_pending, wait_code
from ..request.scope import Scope, here


log = logging.getLogger("ipymini.ipython.comms")


class Comm(BaseComm):
    "A comm whose messages go out for the request that sends them."

    @wait_code
    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        content = dict(data={} if data is None else data, comm_id=self.comm_id, **keys)
        (here() or Scope.nobody).emit(msg_type, content, metadata, buffers)
        if PENDING: raise_pending()


class Manager(CommManager):
    "The comms and targets of this kernel. What fails in a user's callback is shown to the user, not to the server's log."

    def get_comm(self, comm_id): return self.comms.get(comm_id)

    def comm_open(self, stream, ident, msg):
        "Open the comm that a client asks for; closed again if nobody here knows its target (JupyterLab probes for some) or the target fails."
        content = msg["content"]
        topic = f"comm-{content['comm_id']}".encode(errors="replace")  # BaseComm's own would have to be ASCII; nobody uses it
        new = Comm(comm_id=content["comm_id"], primary=False, target_name=content["target_name"], topic=topic)
        self.register_comm(new)
        target = self.targets.get(content["target_name"])
        if target is None: log.info("no comm target %r", content["target_name"])
        if target is None or not _guarded(f"opening comm with target: {new.target_name}", target, new, msg): new.close()

    def comm_msg(self, stream, ident, msg): self._deliver(msg, "handle_msg")

    def comm_close(self, stream, ident, msg):
        c = self._deliver(msg, "handle_close")
        self.comms.pop(msg["content"]["comm_id"], None)
        if c is not None: c._closed = True

    def _deliver(self, msg, method):
        c = self.get_comm(msg["content"]["comm_id"])
        if c is None: log.info("%s for a comm that is not there", msg["msg_type"])
        else: _guarded(f"in {msg['msg_type']} for {c.comm_id}", getattr(c, method), msg)
        return c


@cell_code
def _guarded(where, f, *args):
    "Call the user's `f`; False, and where it failed with its traceback on stderr, if it does or is interrupted."
    try: f(*args)
    except (Exception, KeyboardInterrupt) as e:
        print(f"Exception {where}\n{''.join(traceback.format_exception(type(e), e, e.__traceback__.tb_next))}", end="", file=sys.stderr)
        return False
    return True


manager = Manager()


def install():
    "Make `comm` use ours."
    comm.create_comm,comm.get_comm_manager = Comm, lambda: manager


def receive(msg):
    "Hand a comm message (Msg) to the comm or target that it names; KeyError names what is missing in its content."
    content = msg.content
    for key in dict(comm_open=("comm_id", "target_name"), comm_msg=("comm_id",), comm_close=("comm_id",))[msg.type]: content[key]
    content.setdefault("data", {})
    getattr(manager, msg.type)(None, None, msg.as_dict())


def info(target_name=None):
    "The comms there are, as the content of a comm_info_reply; those of `target_name` only if given."
    comms = {cid: dict(target_name=c.target_name) for cid,c in manager.comms.copy().items() if target_name in (None, c.target_name)}
    return dict(status="ok", comms=comms)
