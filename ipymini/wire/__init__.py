"""Messages as bytes, sockets, and the outbox through which all leaves in order. zmq is here alone.

All above speaks to it through `on_msg`, `send`, `write`, `call` and `later`. Knows `interrupts`, `process`, `request`."""
