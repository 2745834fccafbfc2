"""The package: its version, and `run_kernel`. Nothing that costs time to import.
Must not know: anything that would make `import ipymini` slow. Threads: none. Spec: none."""
__version__ = "0.1.0"


def run_kernel(info, argv=(), connection_file=""):
    "Serve a kernel on the connection dict `info` until it is shut down, and end the process. Main thread."
    from .kernel import run_kernel
    run_kernel(info, argv, connection_file)
