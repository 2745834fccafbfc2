"""The package: its version, `run_kernel`, and what cells may call. Nothing that costs time to import.
Must not know: anything that would make `import ipymini` slow. Threads: `unlock` and `subshell` a cell's own. Spec: none."""
__version__ = "0.1.0"


def run_kernel(info, argv=(), connection_file=""):
    "Serve a kernel on the connection dict `info` until it is shut down, and end the process. Main thread."
    from .wire.early import Early
    early = Early(info)
    early.open()
    from .kernel import run_kernel
    run_kernel(early, argv, connection_file)


def unlock():
    "Let later cells run while this one awaits. For cells that await; RuntimeError elsewhere. Each keeps its own output, busy and idle."
    from .serve.subshells import unlock
    unlock()


async def background():
    "What `%%background` stands for: `unlock`, as something to await."
    unlock()


def subshell():
    "Send the cells that this client runs from here on to a temporary subshell, until this cell ends; its id."
    from .serve.subshells import detour
    return detour()
