"""Replies room: how every request of the kernel comes to its reply, whatever goes wrong.

Owns `handle`, which calls a request's handler, and `reply`, which sends what came of it. Must not know: which requests there are, sockets, IPython.
Threads: that of the request's Scope.
Spec: messaging, "Request-Reply" and "General message format"."""

import logging

from .fields import BadContent, error_content, fields, reply_type

log = logging.getLogger("ipymini.request.replies")


class UnknownSubshellError(KeyError):
    "A request for a subshell that is not there."
    def __str__(self): return self.args[0]


def handle(table, scope):
    "Content of the reply to the request of `scope`, or a coroutine for it; whatever goes wrong is content too."
    msg = scope.msg
    try:
        scope.content = kw = fields(msg.type, msg.content)
        if msg.type not in table: raise BadContent(f"{msg.type} is not served on this channel")
        return table[msg.type](scope, **kw)
    except BaseException as e: return failure(msg, e)  # the edge of the room: even KeyboardInterrupt is only an answer


def failure(msg, e):
    "`e` as the content of an error reply to `msg`; what is a bug of ours is logged with its traceback."
    if not isinstance(e, (BadContent, UnknownSubshellError, KeyboardInterrupt)): log.exception("%s failed", msg.type)
    return dict(status="error", **error_content(type(e), e))


def reply(channel, scope, content):
    "Answer `scope` if it is a request."
    kind = reply_type(scope.msg.type)
    if kind is None: return
    metadata = None
    if scope.msg.type == "execute_request": metadata = dict(started=scope.started, dependencies_met=True, engine=scope.port.session, status=content["status"])
    scope.port.send(channel, kind, content, scope, metadata)
    scope.msg.replied = True
