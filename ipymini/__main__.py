"""Main room: the command line. `python -m ipymini -f FILE` runs a kernel, `python -m ipymini install` makes it known.

Owns the kernel's own arguments; all others are IPython's and go to it. Must not know: messages, sockets, IPython.
Threads: main.
Spec: messaging and jupyter_client's documentation, "Connection files" and "Making kernels for Jupyter"."""

import sys
if __name__ == "__main__" and not sys.flags.safe_path: del sys.path[0]  # the working directory: its files must not stand in the way of the standard library; IPython puts it behind that

import faulthandler, gc, logging, os

from . import __version__
from .process import dying
from .process.outset import settle
from .wire.messages import PORTS, connection, read_connection, write_connection

USAGE = """Usage: python -m ipymini [-f CONNECTION_FILE] [options]     run a kernel
       python -m ipymini install [options]                    make it known to Jupyter (see: install --help)

Options of the kernel:
  -f FILE                 connection file to read; written if it is not there. Without it one is made in Jupyter's runtime directory
  --ip IP --transport tcp|ipc --shell N --iopub N --stdin N --control N --hb N
                          where to listen, when there is no connection file to say so
  --debug                 log everything
  --version, --help
All others are IPython's: --profile NAME, --matplotlib=inline, --HistoryManager.hist_file=:memory:, --InteractiveShell.ast_node_interactivity=all, ...
"""
ALIASES = {"-f": "file", "--f": "file", "--connection-file": "file", "--IPKernelApp.connection_file": "file", "--KernelApp.connection_file": "file",
    "--ip": "ip", "--transport": "transport", **{f"--{p}": f"{p}_port" for p in PORTS}}


def parse(argv):
    "(our own options as a dict, the arguments that are IPython's)."
    own,others,args = {}, [], iter(argv)
    for a in args:
        name,eq,value = a.partition("=")
        if name not in ALIASES: others.append(a)
        else: own[ALIASES[name]] = value if eq else next(args, "")
    return own, others


def load(own):
    "(connection dict, path, whether the file is ours to make) for the options `own`. ValueError and OSError say what is wrong."
    path = own.get("file")
    if "file" in own and not path: raise ValueError("-f needs a file")
    if path and os.path.exists(path): return read_connection(path), path, False
    ports = {k: int(v) for k,v in own.items() if k.endswith("_port")}
    path = path or os.path.join(_runtime_dir(), f"kernel-{os.getpid()}.json")
    ip = own.get("ip") or (os.path.splitext(path)[0] + "-ipc" if own.get("transport") == "ipc" else "127.0.0.1")
    return connection(own.get("transport", "tcp"), ip, **ports, kernel_name="ipymini"), path, True


def _runtime_dir():
    from jupyter_core.paths import jupyter_runtime_dir
    path = jupyter_runtime_dir()
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def log_to(stream, level):
    "Send the kernel's own log there; the root logger is the user's."
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("[ipymini] %(levelname)s | %(message)s"))
    log = logging.getLogger("ipymini")
    log.addHandler(handler)
    log.setLevel(level)
    log.propagate = False


def run(argv):
    "Run a kernel; returns only if it could not start."
    gc.disable()  # what is imported stays, and to look through it again and again takes time; `Bridge.start` enables it
    amiss = settle()
    own,others = parse(argv)
    stderr = os.fdopen(os.dup(2), "w", buffering=1, errors="backslashreplace")  # the terminal, also when fd 2 belongs to the cells
    dying.stderr[0] = stderr.fileno()
    log_to(stderr, logging.DEBUG if "--debug" in argv else logging.WARNING)
    for words in amiss: logging.getLogger("ipymini").warning(words)
    faulthandler.enable(stderr)
    from .wire.early import Early
    try:
        info,path,made = load(own)
        incomplete = made or not all(info[f"{p}_port"] for p in PORTS)
        early = Early(info)
        early.open()
        if incomplete: write_connection(path, info)
        if "file" not in own: print(f"To connect another client to this kernel, use:\n    --existing {os.path.basename(path)}", file=stderr)
        from .kernel import run_kernel  # what takes longer to import than to answer the first client
        run_kernel(early, others, os.path.abspath(path), made)
    except (OSError, ValueError) as e: print(f"ipymini: {e}", file=stderr)
    except BaseException: dying.die("the kernel cannot go on")
    gc.enable()
    return 1


def main(argv=None):
    "The command line; the exit code."
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["install"]:
        from . import kernelspec
        return kernelspec.main(argv[1:])
    if "--version" in argv: return print(__version__)
    if "-h" in argv or "--help" in argv: return print(USAGE)
    return run(argv)


if __name__ == "__main__": sys.exit(main())
