"""Detours room: cells that go to a temporary subshell: those behind a cell that has called `subshell()`, and those that begin with %%subshell.

Owns which clients' cells go where, and the end of temporary subshells.
Must not know: sockets, IPython, what a cell is.
Threads: `take` io; `run_alone` the control lane's; `open` and `close` a worker's own.
Spec: JEP 91 (subshells)."""

MAGIC = "%%subshell"


class Detours:
    "`make()` makes a subshell, `end(sub)` lets it go; both may be called from any thread but io."

    def __init__(self, make, end): self.make,self.end,self.by_session,self.alone = make, end, {}, {}

    def take(self, msg):
        "The subshell that `msg`, a cell without one, has to go to; None if it takes no detour. On io."
        return self.by_session.get(msg.session)

    def open(self, scope):
        "Send the cells of the client of `scope` to a new subshell, also those that wait already; its id."
        session = scope.msg.session
        if session not in self.by_session:
            sub = self.make()
            self.by_session[session],self.alone[scope] = sub, (session, sub)
            for m in scope.sub.worker.take(lambda m: m.type == "execute_request" and m.session == session): sub.put(m)
        return self.by_session[session].id

    def close(self, scope):
        "The cell of `scope` has ended: its client's cells take the usual way again. Its subshell ends when it has nothing left to do."
        if scope not in self.alone: return
        session,sub = self.alone.pop(scope)
        self.by_session.pop(session, None)
        self.end(sub)

    def run_alone(self, msg):
        "Run the cell `msg` in a subshell of its own."
        sub = self.make()
        sub.put(msg)
        self.end(sub)
