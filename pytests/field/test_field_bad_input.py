"""Whole kernel: what a cell can break. Each probe is a cell that does harm, and what comes of it: the kernel goes on and does all that a kernel does, or it ends at once
and the real stderr says why. Never is it half alive: no request without an answer, no shutdown that hangs. DEV.md has the table, "What a cell can break, and what happens"."""
import signal, subprocess
import pytest

from harness import NO_THREADS, THREADS_AGAIN, Kernel, slack, started, wait_until

pytestmark = pytest.mark.flaky(reruns=2)  # bounds of time, on machines of any load: repeated twice at most, and the run's closing line says so
WITHIN = 5  # seconds for anything here: a kernel that needs longer is taken for one that hangs
ENV = dict(IPYMINI_USE_JEDI="0")  # Jedi takes a second to import, and is not what is tested


def limit(): return WITHIN * slack()


# --- what a kernel does: each of these must go well after a probe that it survives

def cell(k): assert k.execute("print('alive', 6*7)", timeout=limit()).ok().stdout == "alive 42\n"


def error(k):
    "An error is shown, and is the reply's."
    run = k.execute("1/0", timeout=limit(), stop_on_error=False)
    assert run.ename == run.content["ename"] == "ZeroDivisionError"


def awaiting(k): assert k.execute("import asyncio\nprint(await asyncio.sleep(0.01, 'slept'))", timeout=limit()).ok().stdout == "slept\n"


def interrupt(k):
    run = k.execute("print('begun', flush=True)\nwhile True: pass", wait=False, stop_on_error=False)
    k.sees(run, "begun", limit())
    k.interrupt("message")
    assert k.wait(run, limit()).content["ename"] == "KeyboardInterrupt"


def stop(k):
    "As `interrupt`, but the error may be another one: how it is shown is imported when the first is."
    run = k.execute("print('begun', flush=True)\nwhile True: pass", wait=False, stop_on_error=False)
    k.sees(run, "begun", limit())
    k.interrupt("message")
    assert k.wait(run, limit(), order=False).status == "error"


def control(k): k.request("kernel_info_request", channel="control", timeout=limit()).ok()


def junk(k):
    "What is no message is logged, whatever has become of logging."
    for channel in ("shell", "control", "stdin"): getattr(k.kc, f"{channel}_channel").socket.send_multipart([b"junk"])
    control(k)


def complete(k):
    found = k.request("complete_request", dict(code="a_name_of_mi", cursor_pos=12), timeout=limit()).ok().content["matches"]
    assert "a_name_of_mine" in found


def beside(k):
    "A query that overtakes a cell, and a subshell's cell while main computes."
    run = k.execute("print('begun', flush=True)\nimport itertools\nfor i in itertools.count():\n    if done or i > 10**10: break", wait=False)
    k.sees(run, "begun", limit())
    assert k.request("is_complete_request", dict(code="1"), timeout=limit()).status == "complete"
    subshell(k, "done = True\nprint('from beside')")
    k.wait(run, limit()).ok()
    k.execute("done = False", timeout=limit()).ok()


def subshell(k, code="print('from beside')"):
    made = k.request("create_subshell_request", channel="control", timeout=limit()).ok().content["subshell_id"]
    assert k.execute(code, header_extra=dict(subshell_id=made), timeout=limit()).ok().stdout == "from beside\n"
    k.request("delete_subshell_request", dict(subshell_id=made), "control", timeout=limit()).ok()


def child(k):
    run = k.execute("import subprocess\nsubprocess.run(['echo', 'a child']).returncode", timeout=limit())
    assert run.ok().result == "0" and run.stdout == "a child\n"


def debug(k):
    run = k.send(*REQUESTS["debug"])
    assert k.wait(run, limit(), order=False).content["success"]


def shutdown(k):
    "In time and of its own accord."
    k.shutdown(timeout=limit())
    assert k.process.returncode == 0 and "died" not in k.log_text(), (k.process.returncode, k.log_text())


ALL = cell, error, awaiting, junk, control, complete, debug, subshell, interrupt, beside, child, cell, shutdown


def checked(k, checks=ALL):
    for check in checks:
        try: check(k)
        except (AssertionError, subprocess.TimeoutExpired) as e: raise AssertionError(f"{check.__name__}: {e}\n{k.log_text()}") from None


# --- the least: never half alive

EXECUTE = dict(code="print(1)", silent=False, store_history=True, user_expressions={}, allow_stdin=False, stop_on_error=False)
REQUESTS = dict(  # chkstyle: ignore-node (a table, a request a line)
    cell      = ("execute_request", EXECUTE, "shell"),
    info      = ("kernel_info_request", {}, "control"),
    complete  = ("complete_request", dict(code="a", cursor_pos=1), "shell"),
    interrupt = ("interrupt_request", {}, "control"),
    subshell  = ("create_subshell_request", {}, "control"),
    debug     = ("debug_request", dict(command="debugInfo", seq=1, type="request", arguments={}), "control"),
    error     = ("execute_request", EXECUTE | dict(code="1/0"), "shell"),
    again     = ("execute_request", EXECUTE, "shell"),
    shutdown  = ("shutdown_request", dict(restart=False), "control"))


def wrong(k, names=tuple(REQUESTS), patient=False):
    """The names of the requests that get anything but a good answer, as a set; None if the kernel ends, and says why on stderr. A request without an answer, or an end
    without a word, fails the test. `patient` clients ask twice: what they have asked on a connection that was closed is lost."""
    found = set()
    try:
        for name in names:
            msg_type,content,channel = REQUESTS[name]
            run = k.send(msg_type, content, channel)
            if not (patient and k.arrives(lambda run=run: run.reply, 1)): run = k.send(msg_type, content, channel) if patient else run
            k.pump(lambda run=run: run.reply, limit(), f"an answer to {name}")
            if run.content.get("status") == "error" and run.content["ename"] != "ZeroDivisionError": found.add(name)
        if names[-1] == "shutdown":
            k.wait_exit(limit())
            assert k.process.returncode == 0, k.log_text()
        return found
    except AssertionError:
        if k.alive(): raise
        assert k.log_text().strip(), f"ended with {k.process.returncode}, and has not said why"
        return None


@pytest.fixture(scope="module")
def one():
    "A kernel for many probes, as a list of one or none: a probe that cannot be undone takes it away."
    ks = []
    yield ks
    for k in ks: k.close()


def undone(ks, harm, undo, may=()):
    "Do `harm` to a kernel of `ks`, ask for everything, and undo it. The requests that went wrong, which must be among `may`; None if the kernel has ended."
    k = ks.pop() if ks else Kernel(env=ENV)
    try:
        k.execute(harm, wait=False, stop_on_error=False)
        bad = wrong(k, tuple(REQUESTS)[:-1])
        if bad is not None and "cell" not in bad and k.execute(undo, stop_on_error=False, timeout=limit()).status == "ok": ks.append(k)
        elif bad is not None: wrong(k, ("info", "shutdown"))
        assert bad is None or bad <= set(may), f"wrong: {bad}"
        return bad
    finally:
        if k not in ks: k.close()


# --- descriptors: what of the kernel's has a number differs

@pytest.mark.parametrize("fd", [0, 1, 2, *range(3, 46, 2)])
def test_closed_descriptor(fd):
    "A cell closes one of the process's descriptors: the kernel goes on, or says why not; a standard stream is nothing to die of."
    with started(env=ENV) as k:
        k.execute(f"import os, stat\nif {fd} < 3 or not stat.S_ISSOCK(os.fstat({fd}).st_mode): os.close({fd})", wait=False)  # a socket's end is a client's
        said = wrong(k, patient=fd > 2)
        assert said == set() or fd > 2


@pytest.mark.parametrize("code", ["os.closerange(3, 1000)", "os.closerange(0, 1000)",
    "n = os.open('/dev/null', os.O_RDWR)\nfor fd in range(3, 60): os.dup2(n, fd)"])
def test_closed_descriptors(code):
    "All descriptors at once, closed or replaced: also the real stderr, so that no word can be said. libzmq ends the process at once, with SIGABRT."
    with started(env=ENV) as k:
        k.execute(f"import os\n{code}", wait=False)
        assert k.wait_exit(limit()) == -signal.SIGABRT


def test_replaced_standard_descriptors():
    "dup2 over 0, 1 and 2, as daemons do it: the kernel does not notice."
    with started(env=ENV) as k:
        k.execute("import os\nn = os.open('/dev/null', os.O_RDWR)\nfor fd in range(3): os.dup2(n, fd)\na_name_of_mine, done = 1, False").ok()
        checked(k, [c for c in ALL if c is not child])


# --- names and modules, replaced

QUERIES,CELLS = "complete subshell debug", "cell error again"
MAY = {n: QUERIES for n in "time.monotonic threading.Lock threading.Event threading.Condition threading.Thread threading.excepthook collections.deque datetime.datetime".split()}
MAY |= {n: f"{QUERIES} {CELLS} interrupt" for n in "contextlib.suppress os.getpid os.urandom os.stat os.environ asyncio.CancelledError linecache.getlines linecache.checkcache".split()}
MAY |= {n: f"{QUERIES} {CELLS}" for n in "linecache.cache contextvars.copy_context sys.exc_info sys._getframe sys.displayhook sys.modules weakref.WeakSet warnings.warn warnings.filters re.compile".split()}
NAMES = """time.sleep time.monotonic time.time time.perf_counter time.strftime time.gmtime json.dumps json.loads json.encoder.c_make_encoder
threading.Thread threading.Lock threading.RLock threading.Event threading.Condition threading.current_thread threading.get_ident threading.main_thread threading.excepthook
threading.enumerate queue.SimpleQueue collections.deque collections.OrderedDict contextlib.suppress contextlib.contextmanager contextlib.nullcontext
contextvars.copy_context contextvars.Context contextvars.ContextVar hmac.new hmac.compare_digest hashlib.sha256 signal.signal signal.pthread_kill signal.raise_signal
signal.set_wakeup_fd signal.pthread_sigmask signal.SIGINT signal.SIGURG select.epoll select.select os.write os.read os.pipe os.getpid os.kill os.close os.dup os.dup2 os.urandom
os.set_blocking os.getppid os._exit os.waitpid os.unlink os.stat os.listdir os.environ zmq.NOBLOCK zmq.Again zmq.Poller zmq.Context zmq.XPUB_NODROP zmq.POLLIN zmq.ZMQError
uuid.uuid4 functools.wraps itertools.count asyncio.Event asyncio.current_task asyncio.all_tasks asyncio.get_running_loop asyncio.iscoroutine asyncio.CancelledError asyncio.wait
asyncio.Task asyncio.Future asyncio.new_event_loop asyncio.sleep logging.getLogger logging.raiseExceptions traceback.print_exc traceback.format_exception linecache.getlines
linecache.checkcache linecache.cache sys.exc_info sys._getframe sys._current_frames sys.stdout sys.stderr sys.stdin sys.displayhook sys.excepthook sys.unraisablehook sys.path
sys.meta_path sys.path_hooks sys.modules sys.argv sys.__stderr__ copy.copy datetime.datetime types.SimpleNamespace weakref.WeakSet warnings.warn warnings.filters
atexit._run_exitfuncs gc.collect re.compile ast.parse codecs.lookup io.open ctypes.pythonapi subprocess.Popen IPython.get_ipython ipymini.wire.messages.json""".split()


def replacing(name):
    owner,_,attr = name.rpartition(".")
    return f"import sys, {owner}\nowner = sys.modules['{owner}']\nold = owner.{attr}\nowner.{attr} = None", f"owner.{attr} = old"


@pytest.mark.parametrize("name", NAMES)
def test_name_of_a_module(one, name):
    "A name of a module is None: what the kernel needs of it, it has taken before. What IPython needs fails, and only that."
    undone(one, *replacing(name), MAY.get(name, "").split())


BUILTINS = """len isinstance print open getattr hasattr callable type str dict list set tuple map next iter min max any all range zip sorted reversed super id repr object
BaseException Exception KeyboardInterrupt IndexError ValueError __import__ __build_class__ compile exec""".split()


@pytest.mark.parametrize("name", BUILTINS)
def test_builtin(one, name): undone(one, *replacing(f"builtins.{name}"), REQUESTS)


@pytest.mark.parametrize("code", ["builtins.__dict__.clear()", "for n in list(vars(builtins)): setattr(builtins, n, None)", "builtins.len = lambda o: 1/0",
    "builtins.isinstance = lambda *a: True"])
def test_builtins(one, code): undone(one, f"import builtins\nold = dict(vars(builtins))\n{code}", "vars(builtins).update(old)", REQUESTS)


MODULES = """time json json.encoder json.decoder threading queue collections contextlib contextvars hmac signal select selectors os posixpath functools itertools asyncio asyncio.events
asyncio.base_events asyncio.tasks logging traceback linecache types weakref gc re ast tokenize codecs io ctypes zmq zmq.sugar.poll zmq.error IPython.core.interactiveshell
IPython.core.history traitlets.traitlets sys""".split()


@pytest.mark.parametrize("name", MODULES)
def test_module(one, name):
    "All names of a module are gone: what it holds itself cannot work any more, and what needs that."
    undone(one, f"import sys, {name}\nowner = sys.modules['{name}']\nold = dict(vars(owner))\nvars(owner).clear()", "vars(owner).update(old)", REQUESTS)


@pytest.mark.parametrize("code", ["sys.modules.clear()", "for m in list(sys.modules.values()):\n    if m is not sys.modules['__main__']: vars(m).clear()",
    "sys.path.clear()\nsys.meta_path.clear()\nsys.path_hooks.clear()\nsys.path_importer_cache.clear()"])
def test_import_system(code):
    with started(env=ENV) as k:
        k.execute(f"import sys\n{code}", wait=False, stop_on_error=False)
        wrong(k)


# --- harm that the kernel does not notice: everything works afterwards

HARMLESS = dict(  # chkstyle: ignore-node (a table, a probe a line)
    root_handler_raises  = "import logging\nclass H(logging.Handler):\n    def handle(self, r): raise ValueError('handler')\nlogging.getLogger().addHandler(H())",
    our_handler_raises   = "import logging\nclass H(logging.Handler):\n    def handle(self, r): raise ValueError('handler')\nlogging.getLogger('ipymini').addHandler(H())",
    our_handler_exits    = "import logging\nclass H(logging.Handler):\n    def handle(self, r): raise SystemExit\nlogging.getLogger('ipymini').addHandler(H())",
    our_handler_recurses = "import logging\nlog = logging.getLogger('ipymini')\nclass H(logging.Handler):\n    def emit(self, r): print(r), log.warning('x')\nlog.addHandler(H())",
    filter_raises        = "import logging\nlogging.getLogger('ipymini.wire.sockets').addFilter(lambda r: 1/0)",
    no_handlers          = "import logging\nlogging.getLogger('ipymini').handlers.clear()",
    logging_disabled     = "import logging\nlogging.disable()",
    record_factory       = "import logging\nlogging.setLogRecordFactory(lambda *a, **k: 1/0)",
    debug_logging        = "import logging\nlogging.basicConfig(level=0, force=True)\nlogging.getLogger('ipymini').setLevel(1)\nlogging.getLogger('ipymini').propagate = True",
    lock_of_logging      = "import logging\nlogging._acquireLock() if hasattr(logging, '_acquireLock') else logging._lock.acquire()",
    gc_off               = "import gc\ngc.disable()",
    gc_callback_raises   = "import gc\ngc.callbacks.append(lambda *a: 1/0)\ngc.collect()",
    unraisablehook       = "import sys\ndef h(*a): raise SystemExit\nsys.unraisablehook = h\nclass A:\n    def __del__(self): 1/0\ndel A",
    excepthooks          = "import sys, threading\ndef h(*a): raise SystemExit\nsys.excepthook = threading.excepthook = h\nthreading.Thread(target=lambda: 1/0).start()",
    trace_raises         = "import sys\ndef t(*a): raise ValueError('trace')\nsys.settrace(t)",
    trace_prints         = "import sys\ndef t(*a): print(end='')\nsys.settrace(t)",
    profile_raises       = "import sys\ndef t(*a): raise ValueError('profile')\nsys.setprofile(t)",
    trace_threads        = "import threading\ndef t(*a): raise ValueError('trace')\nthreading.settrace(t)",
    profile_threads      = "import threading\ndef t(*a): raise ValueError('profile')\nthreading.setprofile(t)",
    profile_prints       = "import sys, threading\ndef t(*a): print(end='')\nsys.setprofile(t)\nthreading.setprofile(t)",
    trace_all_threads    = "import threading\ndef t(*a): raise ValueError('trace')\ngetattr(threading, 'settrace_all_threads', threading.settrace)(t)",
    profile_all_threads  = "import threading\ndef t(*a): raise ValueError('profile')\ngetattr(threading, 'setprofile_all_threads', threading.setprofile)(t)",
    switch_interval      = "import sys\nsys.setswitchinterval(1000)",
    alarm                = "import signal\nsignal.signal(signal.SIGALRM, lambda *a: 1/0)\nsignal.setitimer(signal.ITIMER_REAL, .02, .01)\nimport time\nend = time.monotonic() + .3\n"
                           "try:\n    while time.monotonic() < end: pass\nfinally:\n    for _ in range(99):\n        try: signal.setitimer(signal.ITIMER_REAL, 0)\n        except ZeroDivisionError: pass",
    interrupt_main       = "import _thread, threading, time\nthreading.Timer(.05, _thread.interrupt_main).start()\ntime.sleep(20)",
    exits_in_threads     = "import sys, threading, os\nthreading.Thread(target=sys.exit).start()",
    removed_directory    = "import os, tempfile\nd = tempfile.mkdtemp()\nos.chdir(d)\nos.rmdir(d)",
    no_environment       = "import os\nos.environ.clear()",
    ascii_streams        = "import sys, locale\nlocale.setlocale(locale.LC_ALL, 'C')\nsys.stdout.reconfigure(encoding='ascii')\nprint('\\u20ac')",
    codec_errors         = "import codecs\ncodecs.register_error('replace', lambda e: 1/0)\ncodecs.register_error('surrogatepass', lambda e: 1/0)",
    thread_names         = "import threading\nfor t in threading.enumerate(): t.name = t.daemon = None if t is None else t.name",
    int_limit            = "import sys\nsys.set_int_max_str_digits(640)",
    asyncgen_hooks       = "import sys\nsys.set_asyncgen_hooks(firstiter=lambda g: 1/0)",
    loop_handler         = "import asyncio\nloop = asyncio.get_running_loop()\nloop.set_exception_handler(lambda *a: 1/0)\nloop.call_soon(lambda: 1/0)",
    loop_exits           = "import asyncio, sys\nloop = asyncio.get_running_loop()\nfor e in (SystemExit, KeyboardInterrupt, GeneratorExit, BaseException):\n"
                           "    def f(e=e): raise e\n    loop.call_soon(f)",
    loop_debug           = "import asyncio\nloop = asyncio.get_running_loop()\nloop.set_debug(True)\nloop.slow_callback_duration = 0",
    loop_factory         = "import asyncio\nloop = asyncio.get_running_loop()\nloop.set_task_factory(lambda *a, **k: 1/0)",
    loop_stopped         = "import asyncio\nasyncio.get_running_loop().stop()",
    policy               = "import asyncio, warnings\nwarnings.simplefilter('ignore')\nasyncio.set_event_loop_policy(None)\nasyncio.set_event_loop(None)",
    warnings_are_errors  = "import warnings\nwarnings.simplefilter('error')",
    masked_signals       = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    strange_errors       = "class E(Exception):\n    def __str__(self): raise SystemExit\n    __repr__ = __str__\nraise E",
    strange_names        = "class M(type):\n    __name__ = property(lambda c: 1/0)\nclass E(Exception, metaclass=M): pass\nraise E",
    odd_errors           = "raise BaseException",
    generator_exit       = "raise GeneratorExit",
    stop_iteration       = "raise StopIteration",
    cancelled            = "import asyncio\nraise asyncio.CancelledError",
    strange_repr         = "class R:\n    def __repr__(self): raise KeyboardInterrupt\nR()",
    strange_display      = "class R:\n    def __getattribute__(self, name): raise SystemExit\nR()",
    stack                = "def f(): f()\nf()")


BUT = dict(lock_of_logging=[debug])  # an import that asks for a logger waits for the cell's lock, as it would in a script


@pytest.mark.parametrize("name", HARMLESS)
def test_goes_on(name):
    with started(env=ENV) as k:
        k.execute("a_name_of_mine, done = 1, False").ok()
        k.execute(HARMLESS[name], timeout=limit(), stop_on_error=False)
        checked(k, [c for c in ALL if c not in BUT.get(name, ())])


# --- asynchronous exceptions

EACH = """import ctypes, threading, time
for t in threading.enumerate():
    if t is not threading.main_thread(): ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(t.ident), ctypes.py_object({}))"""


@pytest.mark.parametrize("exc", ["KeyboardInterrupt", "SystemExit", "MemoryError"])
def test_asynchronous_exception(exc):
    "Each thread of the kernel is hit, once every one that starts with its first request is there, and again."
    with started(env=ENV) as k:
        k.execute("a_name_of_mine, done = 1, False").ok()
        checked(k, [c for c in ALL if c is not shutdown])
        for _ in range(3):
            k.execute(EACH.format(exc), timeout=limit()).ok()
            cell(k), control(k)
        checked(k)


# --- limits: an error while they hold, and all is well as soon as they are lifted

LIMITS = dict(  # chkstyle: ignore-node (a table, a limit a line)
    descriptors = ("resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/proc/self/fd')) - 1, hard('NOFILE')))", "NOFILE"),
    memory      = ("resource.setrlimit(resource.RLIMIT_AS, (int(open('/proc/self/statm').read().split()[0])*4096 + 300_000, hard('AS')))", "AS"),
    files       = ("resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard('FSIZE')))", "FSIZE"),
    threads     = (NO_THREADS, None))
LIFT = THREADS_AGAIN


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("name", LIMITS)
def test_limit(name, warm):
    "What needs what cannot be had fails; interrupts and control work; all works again afterwards. Also in a kernel whose threads have not begun yet."
    code,which = LIMITS[name]
    with started(env=ENV) as k:
        k.execute("import _thread, os, resource, threading\na_name_of_mine, done = 1, False\ndef hard(name): return resource.getrlimit(getattr(resource, f'RLIMIT_{name}'))[1]").ok()
        if warm: checked(k, [c for c in ALL if c is not shutdown])
        k.execute(code, timeout=limit()).ok()
        for _ in range(2): assert wrong(k, tuple(REQUESTS)[:-1]) is not None
        checked(k, [cell, control, stop])
        k.execute(f"resource.setrlimit(resource.RLIMIT_{which}, (hard('{which}'),)*2)" if which else LIFT, timeout=limit()).ok()
        checked(k)


@pytest.mark.parametrize("name", LIMITS)
def test_shutdown_within_a_limit(name):
    with started(env=ENV) as k:
        k.execute("import _thread, os, resource, threading\ndef hard(name): return resource.getrlimit(getattr(resource, f'RLIMIT_{name}'))[1]").ok()
        k.execute(LIMITS[name][0], timeout=limit()).ok()
        shutdown(k)


def test_recursion_limit():
    "So low that no cell can run: each gets an error reply, and the rest works."
    with started(env=ENV) as k:
        k.execute("import sys\ndef depth(f):\n    return 0 if f is None else 1 + depth(f.f_back)\nfor n in range(10, 1000):\n    try: sys.setrecursionlimit(n)\n"
            "    except RecursionError: continue\n    break", timeout=limit(), stop_on_error=False)
        wrong(k)


def test_audit_hook_that_raises():
    "It cannot be taken away again: cells fail from here on, and are told so."
    with started(env=ENV) as k:
        k.execute("import sys\nsys.addaudithook(lambda *a: 1/0)", timeout=limit(), stop_on_error=False)
        assert wrong(k, tuple(REQUESTS)[:-1]) is not None
        k.shutdown(timeout=limit())


# --- signals

NOTHING = {"SIGCHLD", "SIGCONT", "SIGURG", "SIGWINCH", "SIGPIPE", "SIGXFSZ", "SIGUSR1"}


def test_signals_that_mean_nothing():
    with started(env=ENV) as k:
        k.execute("a_name_of_mine, done = 1, False").ok()
        for s in sorted(NOTHING): k.execute(f"import os, signal\nos.kill(os.getpid(), signal.{s})", timeout=limit()).ok()
        checked(k)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGALRM", "SIGUSR2", "SIGSEGV", "SIGABRT", "SIGFPE", "SIGQUIT"])
def test_signals_that_kill(name):
    "What would end any process ends this one, as its exit code says; of a crash, faulthandler tells."
    with started(env=ENV) as k:
        k.execute(f"import os, signal\nos.kill(os.getpid(), signal.{name})", wait=False)
        wait_until(lambda: not k.alive(), limit(), "the end")
        assert k.process.returncode == -getattr(signal, name)
        if name in ("SIGSEGV", "SIGABRT", "SIGFPE"): assert "Fatal Python error" in k.log_text(10**6)


# --- files in the way

@pytest.mark.parametrize("name", ["json", "asyncio", "zmq", "IPython", "logging", "traceback"])
def test_module_in_the_way(tmp_path, name):
    "A file in the working directory that is named like a module the kernel needs."
    (tmp_path/f"{name}.py").write_text("1/0")
    with started(env=ENV | dict(PYTHONSAFEPATH=""), cwd=str(tmp_path)) as k:
        k.execute("a_name_of_mine, done = 1, False").ok()
        checked(k)
