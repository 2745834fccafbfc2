"""Whole kernel: an end has time for the user's things (finally, atexit, threads, executors, child processes), takes no longer than
they need, and leaves nothing behind.
Spec: messaging, "Kernel shutdown". The clients here look at what comes until the process is gone, as JupyterLab does."""
import os, random, signal, subprocess, sys, time
from pathlib import Path

import psutil, pytest
from harness import Client, KERNEL_NAME, Sub, slack, wait_until
from jupyter_client import KernelManager

pytestmark = pytest.mark.flaky(reruns=2)  # bounds of time, on machines of any load: repeated twice at most, and the run's closing line says so

WHOLE = dict(  # chkstyle: ignore-node (a table: a cell that is over when the end comes, and what is still printed)
    atexit       = ("import atexit, time\natexit.register(lambda: (time.sleep(1.5), print('whole')))", "whole\n"),
    exits        = ("import atexit\natexit.register(print, 'second')\natexit.register(print, 'first')", "first\nsecond\n"),
    thread       = ("import threading, time\nthreading.Thread(target=lambda: (time.sleep(1.2), print('whole'))).start()", "whole\n"),
    chain        = ("import threading, time\ndef f(n):\n    time.sleep(0.2)\n    print(n)\n"
        "    if n: threading.Thread(target=f, args=(n - 1,)).start()\nthreading.Thread(target=f, args=(2,)).start()", "2\n1\n0\n"),
    pool         = ("import time\nfrom concurrent.futures import ThreadPoolExecutor\np = ThreadPoolExecutor(1)\n"
        "for i in range(4): p.submit(lambda i=i: (time.sleep(0.3), print(i)))", "0\n1\n2\n3\n"),
    processes    = ("import select\nfrom concurrent.futures import ProcessPoolExecutor\nimport multiprocessing as mp\n"
        "p = ProcessPoolExecutor(1, mp.get_context('fork'))\nf = p.submit(select.select, [], [], [], 0.7)\n"
                    "f.add_done_callback(lambda f: print('whole', f.exception()))", "whole None\n"),
    registered   = ("import threading, time\nthreading._register_atexit(lambda: (time.sleep(1), print('whole')))", "whole\n"),
    before       = ("import atexit, threading, time\natexit.register(print, 'exit')\n"
        "threading.Thread(target=lambda: (time.sleep(0.5), print('thread'))).start()", "thread\nexit\n"),
    task         = ("import asyncio\nasync def f():\n    try: await asyncio.sleep(60)\n    finally:\n        await asyncio.sleep(1)\n"
        "        print('whole')\nt = asyncio.create_task(f())\nawait asyncio.sleep(0)", "whole\n"),
    deleted      = ("class A:\n    def __del__(self): print('deleted')\na = A()", "deleted\n"),
    child        = ("import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', '''import signal, sys, time\ndef bye(*args):\n"
        "    time.sleep(1)\n    print('whole', flush=True)\n    sys.exit()\n"
                    "signal.signal(signal.SIGTERM, bye)\nprint('ready', flush=True)\ntime.sleep(60)'''])", "whole\n"))
RUNNING = dict(  # chkstyle: ignore-node (a table: a cell that runs when the end comes)
    finally_ = "import time\nprint('started')\ntry: time.sleep(60)\nfinally:\n    time.sleep(1.2)\n    print('whole')",
    with_    = "import contextlib, time\n@contextlib.contextmanager\ndef f():\n    try: yield\n    finally:\n        time.sleep(1.2)\n"
        "        print('whole')\nprint('started')\nwith f():\n    while True: x = 1",
    awaits   = "import asyncio\nprint('started')\ntry: await asyncio.sleep(60)\nfinally:\n    await asyncio.sleep(1.2)\n    print('whole')",
    gathers  = "import asyncio\nasync def f():\n    try: await asyncio.sleep(60)\n    finally:\n        await asyncio.sleep(1.2)\n"
        "        print('whole')\nprint('started')\nawait asyncio.gather(f())",
    unlocked = "import asyncio, ipymini\nprint('started')\nipymini.unlock()\ntry: await asyncio.sleep(60)\nfinally:\n"
        "    await asyncio.sleep(1.2)\n    print('whole')",
    exits    = "import atexit, time\natexit.register(print, 'whole')\nprint('started')\nwhile True:\n    try:\n"
        "        while True: time.sleep(0.001)\n    except BaseException: pass")
LEFT = dict(  # chkstyle: ignore-node (a table: what starts a process that sleeps {m} seconds, in some way)
    popen      = "import subprocess\np = subprocess.Popen(['sleep', '{m}'])",
    session    = "import subprocess\np = subprocess.Popen(['sleep', '{m}'], start_new_session=True)",
    background = "%%bash --bg\nsleep {m}",
    system     = "import os\nos.system('sleep {m} &')",
    bang       = "!sh -c 'setsid sleep {m} > /dev/null 2>&1 & sleep 0.2'",
    daemon     = "import os\nif not os.fork():\n    os.setsid()\n    if not os.fork(): os.execvp('sleep', ['sleep', '{m}'])\n"
        "    os._exit(0)\nos.wait();",
    bare       = "import os\nif not os.fork():\n    os.setsid()\n    if not os.fork(): os.execve('/bin/sleep', ['sleep', '{m}'], {{}})\n"
        "    os._exit(0)\nos.wait();",
    forked     = "import os, sys\nif not os.fork():\n    os.setsid()\n"
        "    if not os.fork(): os.execvp('sh', ['sh', '-c', 'while true; do sleep {m}; done'])\n    os._exit(0)\nos.wait();",
    shell      = "import atexit, subprocess\np = subprocess.Popen('sleep {m} & wait', shell=True)\natexit.register(p.kill)",
    deaf       = "import subprocess\np = subprocess.Popen(['sh', '-c', 'trap \"\" TERM; sleep {m}'])",
    grandchild = "import subprocess\np = subprocess.Popen(['sh', '-c', '(trap \"\" TERM; sleep {m}) & wait'])")


@pytest.fixture
def mark():
    "Seconds for which no other process of this machine sleeps; who does so at the end of the test is killed."
    text = f"9{random.randrange(10**8):08}.25"
    yield text
    for p in sleepers(text): p.kill()


def sleepers(mark):
    "Processes that are told to sleep `mark` seconds, and have not ended."
    living = (p for p in psutil.process_iter(["cmdline", "status"]) if p.info["status"] != psutil.STATUS_ZOMBIE)
    return [p for p in living if mark in " ".join(p.info["cmdline"] or ())]


def until_gone(k, timeout=20):
    "Read what comes until the process is gone, and what had been sent by then."
    end = time.monotonic() + timeout
    while k.process.poll() is None:
        k.poll(20)
        assert time.monotonic() < end, k.story("the kernel does not end")
    while k.poll(100): pass


def shutdown(k, **kw):
    "Ask for shutdown, and read until the process is gone; seconds until the reply and until the end."
    begin = time.monotonic()
    run = k.send("shutdown_request", dict(restart=False) | kw, "control")
    k.pump(lambda: run.reply, what="shutdown_reply")
    replied = time.monotonic() - begin
    until_gone(k)
    return replied, time.monotonic() - begin


def text(run): return run.text("stdout", run.all)


@pytest.mark.parametrize("what", WHOLE)
def test_what_still_runs_is_done(start, what):
    """Threads, jobs, tasks, functions of atexit, child processes have their time, and what they print arrives; the reply to the
    request waits for none."""
    k = start()
    cell,printed = WHOLE[what]
    run = k.execute(cell)
    if what == "child": k.sees(run, "ready\n")
    replied,took = shutdown(k)
    assert text(run).removeprefix("ready\n") == printed and k.process.returncode == 0, k.story("lost")
    assert replied < 0.5 * slack() and took < 4 * slack()


@pytest.mark.parametrize("what", RUNNING)
def test_running_cell(start, what):
    "It is interrupted once, and what it does then is whole; a cell that does not care ends with the process, and atexit has its turn."
    k = start()
    run = k.execute(RUNNING[what], wait=False)
    k.sees(run, "started\n")
    shutdown(k)
    assert text(run) == "started\nwhole\n", k.story("lost")
    if what != "exits": assert run.ename == "KeyboardInterrupt" and run.status == "error" and "finally" not in run.stderr


def test_cells_of_subshells(start):
    "As those of main."
    k = start()
    sub = Sub(k)
    run = sub.execute(RUNNING["finally_"], wait=False)
    k.sees(run, "started\n")
    shutdown(k)
    assert text(run) == "started\nwhole\n" and run.ename == "KeyboardInterrupt"


def test_display_in_atexit(start):
    "It arrives, with the latest cell, as does what goes to stderr and to descriptor 1."
    k = start()
    first = k.execute("import atexit, os, sys\ndef bye():\n    display('shown')\n    print('bad', file=sys.stderr)\n"
        "    os.write(1, b'raw')\natexit.register(bye)").ok()
    last = k.execute("1").ok()
    shutdown(k)
    assert first.late == [] and [m["content"]["data"] for m in last.late if m["msg_type"] == "display_data"] == [{"text/plain": "'shown'"}]
    assert last.text("stderr", last.late) == "bad\n" and text(last) == "raw"


def test_errors_in_atexit_are_shown(start):
    k = start()
    run = k.execute("import atexit, threading\natexit.register(print, 'on')\natexit.register(lambda: 1/0)\n"
        "threading._register_atexit(lambda: [][1])").ok()
    shutdown(k)
    assert text(run) == "on\n" and "ZeroDivisionError" in run.text("stderr", run.all) and "IndexError" in run.text("stderr", run.all)


def test_daemon_threads_say_nothing_about_their_end(start):
    "Their names are gone when IPython lets go of them: no NameError is shown for that, and they have them as long as atexit runs."
    k = start()
    run = k.execute("import atexit, threading, time\ndef f():\n    while True: time.sleep(0.0001)\n"
        "t = threading.Thread(target=f, daemon=True)\nt.start()\n"
        "atexit.register(lambda: (time.sleep(0.2), print(t.is_alive())))").ok()
    shutdown(k)
    assert text(run) == "True\n" and run.text("stderr", run.all) == "" and "Error" not in k.log_text()


def test_a_file_that_nobody_closed(start, tmp_path):
    "What was written to it is in it, as at the end of a script; and in what stands for stdout."
    k = start()
    k.execute(f"import sys\nf = open({str(tmp_path / 'a')!r}, 'w')\nf.write('abc')\nsys.stdout = open({str(tmp_path / 'b')!r}, 'w')\n"
        f"print('x')").ok()
    shutdown(k)
    assert [(tmp_path / n).read_text() for n in "ab"] == ["abc", "x\n"]


@pytest.mark.parametrize("what", ["idle", "awaits", "computes"])
def test_second_sigterm(start, what):
    "jupyter_client sends one to the process group at half time: it changes nothing, also where a cell has left SIGTERM to the system."
    k = start()
    cell = "import atexit, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_DFL)\ndef bye():\n    print('begins', flush=True)\n" \
        "    time.sleep(1.5)\n    print('whole')\natexit.register(bye)\n"
    more = dict(idle="", awaits="print('on')\nimport asyncio\nawait asyncio.sleep(60)", computes="print('on')\nwhile True: x = 1")[what]
    run = k.execute(cell + more, wait=not more)
    if more: k.sees(run, "on\n")
    k.send("shutdown_request", dict(restart=False), "control")
    k.sees(run, "begins\n")
    os.killpg(os.getpgid(k.pid), signal.SIGTERM)
    until_gone(k)
    assert text(run).endswith("begins\nwhole\n") and k.process.returncode == 0


@pytest.mark.parametrize("end", ["shutdown_kernel", "restart_kernel"])
def test_jupyter_client_ends_it(end):
    "`KernelManager.shutdown_kernel` and `restart_kernel`: a handler of 3 s is whole; no SIGKILL is needed."
    km = KernelManager(kernel_name=KERNEL_NAME)
    km.start_kernel()
    c = Client(km.connection_file)
    try:
        c.wait_ready()
        path = Path(km.connection_file + ".whole")
        c.execute(f"import atexit, pathlib, time\natexit.register(lambda: (time.sleep(3), pathlib.Path({str(path)!r}).touch()))").ok()
        process = km.provisioner.process
        getattr(km, end)()
        assert path.exists() and process.returncode in (0, None)
        path.unlink()
    finally:
        c.close()
        if km.has_kernel: km.shutdown_kernel(now=True)


@pytest.mark.parametrize("by", ["exit", "sigterm", "shell", "parent"])
def test_each_way_to_end(start, by):
    "`exit` in a cell, SIGTERM, a shutdown_request on shell, the end of the process that started it: the same time for all."
    parent = subprocess.Popen(["sleep", "600"])
    try:
        k = start(**dict(independent=True, env=dict(JPY_PARENT_PID=str(parent.pid))) if by == "parent" else {})
        run = k.execute("import atexit, time\natexit.register(lambda: (time.sleep(1.2), print('whole')))").ok()
        if by == "exit": run = k.execute("exit")
        if by == "sigterm": os.kill(k.pid, signal.SIGTERM)
        if by == "shell": k.send("shutdown_request", dict(restart=False))
        if by == "parent": parent.kill()
        until_gone(k)
        assert text(run) == "whole\n"
    finally:
        parent.kill()
        parent.wait()


@pytest.mark.parametrize("what", ["computes", "sleeps", "awaits", "in_c"])
def test_interrupt_and_shutdown_at_once(start, what):
    "`KernelManager.shutdown_kernel`, and papermill when its time is over: the cell's traceback arrives, as a single interrupt shows it."
    cells = dict(computes="def inner():\n    while True: x = 1\nprint('started')\ninner()", sleeps="import time\n"
        "def inner(): time.sleep(60)\nprint('started')\ninner()",
        awaits="import asyncio\nasync def inner(): await asyncio.sleep(60)\nprint('started')\nawait inner()",
        in_c="import time\ndef inner():\n    for i in range(10**9): sum(range(10**6))\nprint('started')\ninner()")
    for door in ("message", "signal") * 3:
        k = start()
        run = k.execute(cells[what], wait=False)
        k.sees(run, "started\n")
        if door == "message": k.send("interrupt_request", channel="control")
        else: os.killpg(os.getpgid(k.pid), signal.SIGINT)
        shutdown(k)
        assert run.ename == "KeyboardInterrupt" and run.status == "error" and run.stderr == "", k.story(door)
        assert any("inner" in line for line in run.error["traceback"]), k.story(door)
        k.close()


@pytest.mark.parametrize("what", LEFT)
def test_nothing_is_left(start, mark, what):
    "Processes of all kinds: of other sessions and groups, without a parent, deaf to SIGTERM, of a shell that atexit kills."
    k = start()
    k.execute(LEFT[what].format(m=mark)).ok()
    wait_until(lambda: sleepers(mark), what="the process to be there")
    if what in ("deaf", "grandchild"): time.sleep(0.2)  # until the shell has set its trap, which nothing tells
    shutdown(k)
    assert not sleepers(mark)


def test_killed_by_its_own_thread(start, mark):
    "Where a thread that the kernel needs dies, its processes are not left either."
    k = start()
    k.execute(LEFT["daemon"].format(m=mark)).ok()
    wait_until(lambda: sleepers(mark), what="the process to be there")
    k.execute("import ipymini.process.dying as d\nd.die('as a test wants it')", wait=False)
    assert k.wait_exit() == 70 and not sleepers(mark) and "as a test wants it" in k.log_text()


def test_what_a_script_waits_for(start, mark):
    "`os.wait` in a cell sees the processes that the cell has started, and no daemon that has lost its parent."
    k = start()
    run = k.execute(LEFT["daemon"].format(m=mark) + "\ntry: os.wait()\nexcept ChildProcessError as e: print('none')")
    assert run.ok().stdout == "none\n"
    shutdown(k)
    assert not sleepers(mark)


SHARED = dict(  # chkstyle: ignore-node (a table: what makes something that the resource tracker knows)
    memory     = "s = SharedMemory(create=True, size=1000)",
    manager    = "from multiprocessing.managers import SharedMemoryManager\nm = SharedMemoryManager()\nm.start()\ns = m.ShareableList([1])",
    forkserver = "s = SharedMemory(create=True, size=1000)\n"
        "p = mp.get_context('forkserver').Process(target=select.select, args=([], [], [], 60), daemon=True)\np.start()",
    semaphore  = "s = mp.get_context('fork').Semaphore()\nt = SharedMemory(create=True, size=1000)\n"
        "p = mp.get_context('fork').Process(target=select.select, args=([], [], [], 60), daemon=True)\np.start()")


@pytest.mark.parametrize("how", SHARED)
def test_shared_memory_is_gone(start, how):
    "The resource tracker has its time to clean up, whatever keeps its pipe open."
    k = start()
    names = "import multiprocessing as mp, os, select\nfrom multiprocessing.shared_memory import SharedMemory\n" \
        "before = set(os.listdir('/dev/shm'))\n"
    run = k.execute(names + SHARED[how] + "\nprint(*set(os.listdir('/dev/shm')) - before)").ok()
    tree = psutil.Process(k.pid).children(recursive=True)
    shutdown(k)
    made = run.stdout.split()
    assert made and tree and not set(made) & set(os.listdir("/dev/shm"))
    assert not [p for p in tree if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


BROKEN = dict(  # chkstyle: ignore-node (a table: what a cell breaks)
    builtins_ = "for name in ('print', 'open', 'any', 'all', 'sum', 'sorted', 'repr', 'hasattr'): setattr(builtins, name, None)",
    os_       = "for name in ('_exit', 'kill', 'listdir', 'open', 'close', 'dup2', 'readlink', 'waitpid'): setattr(os, name, None)",
    linecache = "import linecache\nlinecache.getlines = None",
    streams   = "sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = None",
    atexit    = "atexit._run_exitfuncs = atexit.register = atexit.unregister = None")


@pytest.mark.parametrize("what", BROKEN)
def test_what_a_cell_can_break(start, mark, what):
    "The end comes all the same, in time, with atexit, and without the processes."
    k = start()
    path = Path(k.tmp.name) / "whole"
    k.execute(f"import atexit, builtins, os, subprocess, sys, threading, time\np = subprocess.Popen(['sleep', '{mark}'])\n"
        f"fd = os.open({str(path)!r}, os.O_CREAT | os.O_WRONLY)\n"
        "atexit.register(lambda write=os.write: write(fd, b'x'))").ok()
    k.execute("try:\n    for i in range(1): exec('''" + BROKEN[what] + "''')\nfinally: pass\nwhile True:\n    try:\n"
        "        while True: x = 1\n    except BaseException: pass", wait=False)
    time.sleep(0.3)  # the cell says nothing: what it breaks may be the streams
    begin = time.monotonic()
    os.kill(k.pid, signal.SIGTERM)
    k.wait_exit()
    assert time.monotonic() - begin < 5 * slack() and path.read_bytes() == b"x" and not sleepers(mark)


LAST_WORDS = dict(  # chkstyle: ignore-node (a table)
    linecache = "import linecache\nlinecache.getlines = None\n1/0",
    audit     = "import sys\ndef hook(*args): raise RuntimeError('audit')\nsys.addaudithook(hook)\n1/0",
    logging   = "import linecache, logging\nlinecache.getlines = logging.Logger._log = None\n1/0")


@pytest.mark.parametrize("what", LAST_WORDS)
def test_last_words(start, what):
    "It goes on, or ends with the reason on the real stderr; never without a word."
    k = start()
    run = k.execute(LAST_WORDS[what], wait=False)
    end = time.monotonic() + 5
    while k.process.poll() is None and time.monotonic() < end and run.reply is None: k.poll(20)
    assert k.process.poll() is None or "[ipymini] CRITICAL | the kernel died" in k.log_text(), k.log_text()


def test_sigterm_as_the_last_act(start):
    "The client is told that the kernel ends: else nbclient would run the next cell, and wait for it."
    for cell in ("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)", "import signal\nsignal.raise_signal(signal.SIGTERM)"):
        k = start()
        run = k.execute(cell, wait=False)
        until_gone(k)
        assert run.status == "error" and run.content["ename"] == run.ename in ("KernelEnded", "KeyboardInterrupt"), k.story(cell)
        if run.ename == "KernelEnded": assert "SIGTERM" in run.content["evalue"]


def test_nothing_to_wait_for(start):
    "Then there is no wait: not for daemon threads, idle pools, tasks, subshells or what has ended."
    k = start()
    k.execute("import asyncio, subprocess, threading, time\nfrom concurrent.futures import ThreadPoolExecutor\n"
        "p = ThreadPoolExecutor(2)\np.submit(len, '').result()\n"
        "t = threading.Thread(target=time.sleep, args=(60,), daemon=True)\nt.start()\nsubprocess.run(['true'])\n"
        "task = asyncio.create_task(asyncio.sleep(60))\nawait asyncio.sleep(0)").ok()
    Sub(k).execute("1").ok()
    assert shutdown(k)[1] < 0.8 * slack()
    assert sys.platform != "linux" or k.process.returncode == 0
