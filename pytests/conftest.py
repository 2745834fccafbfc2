"""The tests' surroundings: Jupyter's and IPython's directories in a temporary place, the repository's kernelspec, and the kernels that tests share.
`kernel` is one kernel a module; `start` starts kernels that the test may end or kill. IPYMINI_TEST_KERNEL names another kernel to test."""
import atexit, json, os, shutil, subprocess, sys, tempfile
from pathlib import Path
import pytest, zmq
from jupyter_client.channels import AsyncZMQSocketChannel

REPO = Path(__file__).resolve().parent.parent


def isolate(tmp):
    "Point Jupyter and IPython at `tmp`, with our kernelspec there, run by this very interpreter."
    spec = tmp / "share" / "kernels" / "ipymini"
    shutil.copytree(REPO / "share" / "jupyter" / "kernels" / "ipymini", spec)
    kernel = json.loads((spec / "kernel.json").read_text())
    kernel["argv"][0] = sys.executable
    (spec / "kernel.json").write_text(json.dumps(kernel, indent=1))
    dirs = dict(JUPYTER_DATA_DIR="data", JUPYTER_CONFIG_DIR="config", JUPYTER_RUNTIME_DIR="runtime", IPYTHONDIR="ipython", MPLCONFIGDIR="mpl", XDG_CACHE_HOME="cache")
    for k, d in dirs.items():
        (tmp / d).mkdir(mode=0o700)
        os.environ[k] = str(tmp / d)
    warm = "import jedi, os\nfor c in ('gnu_', 'pri', '[].app', 'import o', 'os.path.is', 'os.path.exp'): jedi.Interpreter(c, [dict(gnu_function=lambda a: a, gnu_value=1, os=os)]).complete(1, len(c))"
    subprocess.run([sys.executable, "-c", warm], check=True)  # Jedi's cache on disk: a kernel that a test kills while it writes there would break it for all
    os.environ["JUPYTER_PATH"] = str(tmp / "share")
    os.environ["IPYMINI_COMPLETION_TIMEOUT"] = "5"  # a busy machine is no reason to complete without Jedi; what the time-out does has tests of its own
    for k in ("JPY_PARENT_PID", "MPLBACKEND", "PYTHONSTARTUP"): os.environ.pop(k, None)


TMP = Path(tempfile.mkdtemp(prefix="ipymini-tests-"))
atexit.register(shutil.rmtree, TMP, ignore_errors=True)
isolate(TMP)

from debugging import debugging  # noqa: E402
from harness import Kernel, raw_client, slack  # noqa: E402 (the surroundings come first)


watched = []  # io's longest item of each whole-kernel test: (seconds, what, test)
HELD_UP = 1.0  # seconds: io never waits; on a busy machine it waits for the interpreter's lock


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter):
    "What held up io longest."
    for seconds, what, test in sorted(watched, reverse=True)[:3]: terminalreporter.write_line(f"io's longest: {seconds:.3f} s in {what} ({test})")


send = AsyncZMQSocketChannel.send


def send_and_look(channel, msg):
    """Look for messages after sending one, as zmq demands: jupyter_client does not, and may miss the one that has come (its pull request 1059).
    nbclient then waits out its time, on any kernel, after a cell whose output a widget captured."""
    send(channel, msg)
    channel.socket.get(zmq.EVENTS)


AsyncZMQSocketChannel.send = send_and_look


@pytest.fixture(scope="module")
def shared():
    "The kernel of a module in a list of one, so that a test that broke it does not break the next."
    ks = [Kernel()]
    yield ks
    ks[0].close()


@pytest.fixture
def kernel(shared, request):
    "The module's kernel, idle, with nothing unread. A test that leaves it dead or stuck fails, and the next gets a new one."
    k = shared[0]
    k.runs.clear()
    k.unsolicited.clear()
    yield k
    k.answers = []
    try: watched.append((*k.rest(), request.node.nodeid))
    except AssertionError:
        k.close()
        shared[0] = Kernel()
        raise
    look_at_io(watched[-1])


def look_at_io(item): assert item[0] < HELD_UP * slack(), f"io was held up for {item[0]:.2f} s in {item[1]}"


@pytest.fixture
def debug(kernel):
    "A debug session on the module's kernel."
    with debugging(kernel) as d: yield d


@pytest.fixture
def start(request):
    "Start kernels (arguments as Kernel's); all are ended with the test."
    ks = []

    def start_one(*args, **kw):
        ks.append(Kernel(*args, **kw))
        return ks[-1]

    yield start_one
    for k in ks:
        try: longest = k.held_up()
        finally: k.close()
        if longest: watched.append((*longest, request.node.nodeid))
    for item in watched:
        if item[2] == request.node.nodeid: look_at_io(item)


@pytest.fixture
def raw(kernel):
    "A client of bare frames on the module's kernel."
    with raw_client(kernel.km.connection_file) as c: yield c
