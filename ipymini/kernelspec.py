"""Kernelspec room: makes this kernel known to Jupyter (`python -m ipymini install`).
Owns what an installed kernel.json says, its logos, and where they go. Must not know: the running kernel, zmq, IPython.
Threads: the caller's. Spec: jupyter_client documentation, "Making kernels for Jupyter" (kernel specs)."""
import argparse, json, logging, re, shutil, sys, tempfile
from pathlib import Path

here = Path(__file__).resolve().parent
valid_name = re.compile(r"[a-z0-9._\-]+", re.ASCII)  # jupyter_client's rule; it stores names in lower case
valid_key = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)

class Parser(argparse.ArgumentParser):
    "Hand a usage error back as ValueError, so that it is told in one line."
    def error(self, message): raise ValueError(message)

def arg_parser():
    p = Parser(prog="ipymini install", allow_abbrev=False, description="Make IPyMini known to Jupyter.",
        epilog="Without --user, --sys-prefix or --prefix it is installed for all users of this machine.")
    where = p.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="install for this user only")
    where.add_argument("--sys-prefix", action="store_true", help=f"install into this Python's environment ({sys.prefix})")
    where.add_argument("--prefix", metavar="DIR", help="install into DIR/share/jupyter/kernels")
    p.add_argument("--name", default="ipymini", help="directory name of the kernelspec (default: %(default)s)")
    p.add_argument("--display-name", metavar="TEXT", help="name shown to the user (default: IPyMini)")
    p.add_argument("--env", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"), help="set a variable for the kernel; repeatable")
    return p

def take_env(argv):
    "Split `argv` into the rest and its `--env KEY VALUE` pairs: argparse alone would refuse a VALUE that starts with a dash."
    rest,env,args = [],[],list(argv)
    while args:
        if args[0] == "--env" and len(args) > 2:
            env.append(args[1:3])
            args = args[3:]
        else: rest.append(args.pop(0))
    return rest, env

def parse(argv):
    "The checked options; ValueError names the first that cannot be."
    rest,env = take_env(argv)
    opts = arg_parser().parse_args(rest)
    opts.env = dict(env)
    opts.name = opts.name.lower()
    if not valid_name.fullmatch(opts.name) or opts.name in (".", ".."):
        raise ValueError(f"argument --name: {opts.name!r} is not a kernel name (ASCII letters, digits, '-', '.' and '_')")
    if opts.prefix is not None and not opts.prefix.strip(): raise ValueError("argument --prefix: the directory is empty")
    if opts.display_name is not None and not opts.display_name.strip(): raise ValueError("argument --display-name: the name is empty")
    for k,v in env:
        if not valid_key.fullmatch(k): raise ValueError(f"argument --env: {k!r} is not the name of an environment variable")
        if "\0" in v: raise ValueError(f"argument --env: the value of {k} holds a NUL")
    return opts

def resources():
    "Directory of kernel.json and the logos: the copy in the package, or a checkout's own."
    inside = here/"resources"
    return inside if inside.is_dir() else here.parent/"share/jupyter/kernels/ipymini"

def kernel_json(display_name=None, env=None):
    "What kernel.json says once installed: this very Python, whatever is on PATH when the kernel starts."
    spec = json.loads((resources()/"kernel.json").read_text(encoding="utf-8"))
    if not sys.executable: raise ValueError("this Python does not know its own executable (sys.executable is empty)")
    spec["argv"][0] = sys.executable
    if display_name: spec["display_name"] = display_name
    if env: spec["env"] = dict(env)
    return spec

def install(name="ipymini", display_name=None, env=None, user=False, prefix=None):
    "Install the kernelspec, replacing one of that name, and return its directory; OSError if the target cannot be written."
    from jupyter_client.kernelspec import KernelSpecManager
    with tempfile.TemporaryDirectory() as tmp:
        src = Path(shutil.copytree(resources(), Path(tmp)/name))
        (src/"kernel.json").write_text(json.dumps(kernel_json(display_name, env), indent=1) + "\n", encoding="utf-8")
        quiet = logging.Logger("kernelspec", logging.ERROR)  # it warns of a prefix off the search path; main says that with the remedy
        manager = KernelSpecManager(log=quiet)
        return Path(manager.install_kernel_spec(str(src), name, user=user, prefix=prefix))

def is_found(dest):
    "Whether Jupyter, as it is configured here, looks in the directory that holds `dest`."
    from jupyter_client.kernelspec import KernelSpecManager
    return dest.parent.resolve() in [Path(d).resolve() for d in KernelSpecManager().kernel_dirs]

def hint(e, opts):
    "What to do about `e`, in brackets, or nothing."
    if not isinstance(e, PermissionError): return ""
    return " (try a --prefix you may write to)" if opts.user or opts.prefix else " (try --user, --sys-prefix, or as an administrator)"

def main(argv):
    "`python -m ipymini install`: `argv` without the word install; returns the exit code."
    try: opts = parse(argv)
    except ValueError as e:
        print(f"ipymini install: error: {e}", file=sys.stderr)
        return 2
    try: dest = install(opts.name, opts.display_name, opts.env, opts.user, sys.prefix if opts.sys_prefix else opts.prefix)
    except (OSError, shutil.Error, ValueError) as e:
        print(f"ipymini install: error: cannot install {opts.name}: {e}{hint(e, opts)}", file=sys.stderr)
        return 1
    print(f"Installed kernelspec {opts.name} in {dest}")
    if not is_found(dest): print(f"Jupyter does not look there by itself: set JUPYTER_PATH={dest.parent.parent}", file=sys.stderr)
    return 0
