"""One request: what its content may hold, for whom output is, busy to idle, and its reply.

The lowest wing, with `process`: knows no other. Pure but for the ContextVar of `scope`."""
