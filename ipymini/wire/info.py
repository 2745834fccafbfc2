"""Info room: what the kernel says of itself, known before IPython is imported.

Owns the content of kernel_info_reply. Must not know: sockets, threads, other rooms.
Threads: any; pure but for reading IPython's version from its release file.
Spec: messaging, "Kernel info"."""

import functools, importlib.util, os, runpy, sys

from .. import __version__
from .messages import VERSION

FEATURES = ["kernel subshells", "debugger"]
LINKS = [("Python Reference", f"https://docs.python.org/{sys.version_info[0]}.{sys.version_info[1]}"),
    ("IPython Reference", "https://ipython.readthedocs.io/en/stable/"), ("NumPy Reference", "https://numpy.org/doc/stable/"),
    ("SciPy Reference", "https://docs.scipy.org/doc/scipy/"), ("Matplotlib Reference", "https://matplotlib.org/stable/"),
    ("SymPy Reference", "https://docs.sympy.org/latest/"), ("pandas Reference", "https://pandas.pydata.org/docs/")]


def ipython_version():
    "IPython's version, without the time that importing it takes."
    spec = importlib.util.find_spec("IPython")
    return runpy.run_path(os.path.join(spec.submodule_search_locations[0], "core", "release.py"))["version"]


def language_info():
    version = ".".join(map(str, sys.version_info[:3]))
    return dict(name="python", version=version, mimetype="text/x-python", file_extension=".py", pygments_lexer="ipython3",
        codemirror_mode=dict(name="ipython", version=sys.version_info[0]), nbconvert_exporter="python")


@functools.cache
def kernel_info():
    "Content of a kernel_info_reply."
    banner = f"Python {sys.version}\nType 'copyright', 'credits' or 'license' for more information\n" \
        f"IPython {ipython_version()} -- An enhanced Interactive Python. Type '?' for help.\nipymini {__version__}\n"
    return dict(status="ok", protocol_version=VERSION, implementation="ipymini", implementation_version=__version__, language_info=language_info(),
        banner=banner, help_links=[dict(text=t, url=u) for t,u in LINKS], supported_features=FEATURES, debugger=True)
