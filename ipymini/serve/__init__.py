"""One thread that serves one queue of shell requests in order: a subshell, of which the parent is one.

Knows `capture`, `interrupts`, `process`, `request`."""
