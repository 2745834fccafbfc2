"""Comms room: the `comm` package, spoken over our iopub.

Owns our Comm class and the one CommManager, and puts both where `comm.create_comm` and `comm.get_comm_manager` find them.
Must not know: sockets, requests; it asks `scope` for whom a message is.
Threads: any for sending; incoming messages on the thread that serves the request.
Spec: messaging, "Custom Messages" (comm_open, comm_msg, comm_close)."""

import comm
from comm.base_comm import BaseComm, CommManager

from .frames import wait_code
from .scope import Scope, here


class Comm(BaseComm):
    "A comm whose messages go out for the request that sends them."

    @wait_code
    def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
        content = dict(data={} if data is None else data, comm_id=self.comm_id, **keys)
        (here() or Scope.nobody).emit(msg_type, content, metadata, buffers)


manager = CommManager()


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
    comms = {cid: dict(target_name=c.target_name) for cid,c in list(manager.comms.items()) if target_name in (None, c.target_name)}
    return dict(status="ok", comms=comms)
