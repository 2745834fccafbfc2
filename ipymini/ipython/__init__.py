"""The shell: IPython's InteractiveShell, with its outputs turned into messages, its history, configuration and magics, and the names that libraries look for.

IPython is here, in `capture` and in `bridge`. Knows `wire`, `interrupts`, `process`, `request`."""
