"""Stories room: what the clients of the soak do. A story is a generator that yields what it waits for: a Run, or a function that tells
whether it has come.
Knows `Player`'s words (execute, send, ask, ...). Must not know: how stories are chosen, played and judged. Threads: the caller's.
Spec: messaging; JEP 91; Debug Adapter Protocol. To add one, write a generator function and give it a line in STORIES."""
SETUP = """import asyncio, atexit, contextlib, gc, multiprocessing, os, signal, subprocess, sys, threading, time, warnings
from concurrent.futures import ThreadPoolExecutor
from comm import get_comm_manager
from IPython.display import clear_output, display
warnings.filterwarnings('ignore', category=DeprecationWarning)
def on_target(comm, msg): comm.on_msg(lambda m: comm.send(m['content']['data']))
get_comm_manager().register_target('soak', on_target)
class Alarm(Exception): pass
def alarm(*args): raise Alarm
def hold(n): return n if n <= 0 else hold(n - 1)
class Bad:
    def __repr__(self): raise RuntimeError('no repr')
"""
# (code, what must come of it); TOKEN stands for a word that is another each time. %timeit goes through the namespace, to which another
# subshell may add a name meanwhile
SYNC = [  # chkstyle: ignore-node (a table)
    ("1 + 1", dict(result="2")), ("print('TOKEN')", dict(out="TOKEN")), ("print('TOKEN', file=sys.stderr)", dict(err="TOKEN")),
    ("sum(range(20_000));", {}), ("for i in range(20): print(i, 'TOKEN'); print(i, file=sys.stderr)", dict(out="19 TOKEN", err="19")),
    ("time.sleep(0.01)", {}), ("x = 'TOKEN'\nx", dict(result="'TOKEN'")), ("print('x' * 300_000, 'TOKEN')", dict(out="TOKEN")),
    ("%time hold(10)", {}), ("len?", {}), ("%timeit -n1 -r1 hold(3)", dict(raises={None, "RuntimeError"})), ("a, b = 'TOKEN', 2\na", dict(result="'TOKEN'")),
    ("import json\njson.dumps(dict(a='TOKEN'))", dict(result="TOKEN")),
    ("with open(os.devnull) as f: print(f.read(), 'TOKEN')", dict(out="TOKEN")), ("gc.collect();", {}),
    ("sys.stdout.write('TOKEN')\nsys.stdout.flush()", dict(out="TOKEN")), ("Out;", {}), ("get_ipython().set_next_input('x = 1')", {})]
FAILING = [  # chkstyle: ignore-node (a table)
    ("1/0", "ZeroDivisionError"), ("def f(:", "SyntaxError"), ("raise SystemError('TOKEN') from ValueError('x')", "SystemError"),
    ("try: 1/0\nexcept ZeroDivisionError: no_such_name", "NameError"), ("await no_such_name", "NameError"),
    ("assert False, 'TOKEN'", "AssertionError"), ("%no_such_magic", "UsageError"), ("raise StopIteration", "StopIteration"),
    ("raise GeneratorExit", "GeneratorExit"), ("import no_such_module_TOKEN", "ModuleNotFoundError"),
    ("class E(Exception):\n    def __str__(self): raise KeyError('x')\nraise E", "E"), ("raise asyncio.CancelledError", "CancelledError"),
    ("subprocess.run(['false'], check=True)", "CalledProcessError")]
AWAITING = [  # chkstyle: ignore-node (a table)
    ("await asyncio.sleep(0.02)\nprint('TOKEN')", dict(out="TOKEN")),
    ("await asyncio.gather(*[asyncio.sleep(0.01, i) for i in range(5)])", dict(result="[0, 1, 2, 3, 4]")),
    ("asyncio.run(asyncio.sleep(0.01, 'TOKEN'))", dict(result="'TOKEN'")),
    ("asyncio.get_event_loop().run_until_complete(asyncio.sleep(0, 'TOKEN'))", dict(result="'TOKEN'")),
    ("await asyncio.to_thread(print, 'TOKEN')", dict(out="TOKEN")), ("async with asyncio.timeout(5): await asyncio.sleep(0.01)", {}),
    ("p = await asyncio.create_subprocess_exec('echo', 'TOKEN', stdout=-1)\n(await p.communicate())[0].decode()", dict(result="TOKEN")),
    ("q = asyncio.Queue()\nt = asyncio.create_task(q.put('TOKEN'))\nawait q.get()", dict(result="'TOKEN'"))]
CHILDREN = [  # chkstyle: ignore-node (a table)
    ("!echo TOKEN", dict(out="TOKEN")), ("os.system('echo TOKEN')", dict(out="TOKEN")),
    ("subprocess.run(['echo', 'TOKEN']);", dict(out="TOKEN")), ("subprocess.run('echo TOKEN >&2', shell=True);", dict(err="TOKEN")),
    ("%%bash\necho TOKEN", dict(out="TOKEN")), ("x = !echo TOKEN\nx[0]", dict(result="'TOKEN'")),
    ("%%sh\nfalse", dict(raises={"CalledProcessError"})), ("subprocess.check_output(['echo', 'TOKEN']).decode()", dict(result="TOKEN")),
    ("os.write(1, b'TOKEN\\n');", dict(anywhere=True)), ("subprocess.Popen(['sleep', '0.2']).wait()", {}),
    ("%%python\nprint('TOKEN')", dict(out="TOKEN")), ("%sx echo TOKEN", dict(result="TOKEN"))]
FORKS = [  # chkstyle: ignore-node (a table)
    ("pid = os.fork()\nif pid == 0:\n    print('TOKEN', flush=True)\n    os._exit(0)\nos.waitpid(pid, 0);", dict(out="TOKEN")),
    ("pid = os.fork()\nif pid: os.waitpid(pid, 0)\nprint('TOKEN')", dict(out="TOKEN")),
    ("pid = os.fork()\nif pid == 0: 1/0\nos.waitpid(pid, 0);", {}),
    ("p = multiprocessing.get_context('fork').Process(target=print, args=('TOKEN',))\np.start()\np.join()", dict(out="TOKEN")),
    ("with multiprocessing.get_context('fork').Pool(2) as p: r = p.map(abs, [-1, -2])\nr", dict(result="[1, 2]"))]
EOF = [("!cat", {}), ("!read x", {}), ("subprocess.run(['cat']);", {}), ("os.system('cat');", {})]  # what reads stdin finds its end
DISPLAYS = [  # chkstyle: ignore-node (a table)
    ("display('TOKEN')", {}), ("h = display('TOKEN', display_id=True)\nh.update('again')", {}),
    ("clear_output()\nprint('TOKEN')", dict(out="TOKEN")), ("Bad()", {}),
    ("display({'text/html': '<b>TOKEN</b>', 'text/plain': 'TOKEN'}, raw=True)", {}),
    ("get_ipython().display_pub.publish({'text/plain': 'TOKEN'}, buffers=[b'x' * 1000])", {}), ("for i in range(100): display(i)", {})]
THREADS = ["threading.Thread(target=print, args=('TOKEN',)).start()", "threading.Timer(0.1, print, ('TOKEN',)).start()",
    "with ThreadPoolExecutor(4) as e: list(e.map(print, ['a', 'b', 'TOKEN']))",
    "threading.Thread(target=lambda: (time.sleep(0.2), print('TOKEN', file=sys.stdout))).start()"]
WORDS = """def write():
    for i in range(30): print('.', end='')
    print('TOKEN')
ts = [threading.Thread(target=write) for _ in range(3)]
for t in ts: t.start()
print('main')
for t in ts: t.join()"""
TASKS = ["t = asyncio.create_task(asyncio.sleep(0.3))\nt.add_done_callback(lambda t: print('TOKEN'))",
    "async def later():\n    await asyncio.sleep(0.2)\n    print('TOKEN')\nt = asyncio.create_task(later())",
    "asyncio.get_event_loop().call_later(0.2, print, 'TOKEN')",
    "async def fails():\n    print('TOKEN')\n    1/0\nt = asyncio.create_task(fails())"]
LONG = ["time.sleep(8)", "while time.time() < end: pass", "await asyncio.sleep(8)", "subprocess.run(['sleep', '8']).check_returncode()",
    "threading.Event().wait(8)", "with ThreadPoolExecutor(1) as e: e.submit(time.sleep, 0.2).result(); time.sleep(8)",
    "asyncio.run(asyncio.sleep(8))", "try: time.sleep(8)\nfinally: print('finally')"]
HANDLERS = ["signal.signal(signal.SIGINT, signal.default_int_handler);", "signal.signal(signal.SIGUSR2, lambda *a: None);",
    "signal.signal(signal.SIGINT, lambda *a: None);",
    "signal.signal(signal.SIGALRM, alarm)\nsignal.setitimer(signal.ITIMER_REAL, 0.05)",
    "loop = asyncio.get_running_loop()\nloop.add_signal_handler(signal.SIGINT, print)\nloop.remove_signal_handler(signal.SIGINT)"]
LEFT = """import threading, os
for t in threading.enumerate(): print(t)
for f in os.listdir('/proc/self/fd'):
    with contextlib.suppress(OSError): print(f, os.readlink(f'/proc/self/fd/{f}'))"""  # what there is, to be shown where there is too much
QUERIES = dict(  # chkstyle: ignore-node (a table)
    complete_request=[dict(code="time.sl", cursor_pos=7), dict(code="os.path.", cursor_pos=8), dict(code="import o", cursor_pos=8)],
    is_complete_request=[dict(code="x ="), dict(code="x")],
    inspect_request=[dict(code="len", cursor_pos=3, detail_level=0), dict(code="hold", cursor_pos=2, detail_level=1)],
    kernel_info_request=[{}], comm_info_request=[{}, dict(target_name="soak")],
    history_request=[dict(hist_access_type="tail", n=3, raw=True, output=False),
        dict(hist_access_type="search", pattern="*TOKEN*", n=3, raw=True, output=False, unique=True),
        dict(hist_access_type="range", session=0, start=1, stop=4, raw=True, output=True)])
LAB = dict(  # chkstyle: ignore-node (a table)
    clientID="jupyterlab", clientName="JupyterLab", adapterID="ipymini", pathFormat="path", linesStartAt1=True, columnsStartAt1=True,
    supportsVariableType=True)


def one_of(table):
    def story(p):
        code, want = p.random.choice(table)
        run = yield p.execute(code, **p.where(), **want)
        if "anywhere" in want: yield p.anywhere(run)
    return story


def failing(p):
    code, ename = p.random.choice(FAILING)
    yield p.execute(code, raises={ename}, **p.where())


def recursion(p): yield p.execute("hold(10**5)", raises={"RecursionError"}, **p.where())  # IPython takes seconds to show it


def stop_on_error(p):
    "What is queued behind a failing cell is aborted."
    yield p.execute("time.sleep(0.02)\n1/0", raises={"ZeroDivisionError"}, stop_on_error=True)


def thread(p):
    "A thread's output comes under its cell, also when that is over."
    run = yield p.execute(p.random.choice(THREADS), **p.where())
    yield p.late(run)


def words(p):
    "Threads that write parts of lines, beside each other."
    yield p.execute(WORDS, out="TOKEN", **p.where())


def task(p):
    "A task that is left behind prints later; or fails, or is never done."
    run = yield p.execute(p.random.choice(TASKS))
    yield p.late(run)


def cancel(p):
    "Whoever cancels or awaits all tasks means his own."
    code = p.random.choice(["[t.cancel() for t in asyncio.all_tasks()];", "await asyncio.gather(*OTHERS, return_exceptions=True);"])
    code = code.replace("OTHERS", "(asyncio.all_tasks() - {asyncio.current_task()})")
    run = p.execute(code, raises={"CancelledError", "KeyboardInterrupt", None})
    p.soak.cancels.append(run)
    yield run


def flood(p): yield p.execute("for i in range(3000): print(i, 'TOKEN')\nfor i in range(50): display(i)", out="2999 TOKEN", **p.where())


def ask(p):
    "A question, answered or interrupted."
    code = p.random.choice(["input('? ')", "__import__('getpass').getpass('? ')", "print(sys.stdin.readline())"])
    if p.random.random() < 0.7 or not p.allows("interrupts"): return (yield p.execute(code, typed="TOKEN", **p.where()))
    run = p.execute(code, typed=None, raises={"KeyboardInterrupt", None})
    yield lambda: run.asked or run.is_done
    yield p.interrupt("message")
    yield run


def interrupt(p):
    "Something long is interrupted, by a signal or by a message, and ends; other cells that run meanwhile may end, too."
    where = p.where()
    raises = {"KeyboardInterrupt", "CalledProcessError", "CancelledError", *([None] if where else [])}
    run = p.execute("end = time.time() + 8\nprint('TOKEN begins')\n" + p.random.choice(LONG), raises=raises, **where)
    yield lambda: f"{run.token} begins" in run.stdout or run.is_done
    if where: return (yield from delete_or_wait(p, run))
    yield p.interrupt(p.random.choice(["message", "signal", "group"]))
    yield run


def delete_or_wait(p, run):
    "The subshell of a cell that runs is deleted."
    sub = run.msg["header"]["subshell_id"]
    yield p.delete(sub) if sub in p.subs else run
    yield run


def interrupt_anything(p): yield p.interrupt(p.random.choice(["message", "signal", "group"]))


def query(p):
    msg_type = p.random.choice(list(QUERIES))
    yield p.send(msg_type, p.random.choice(QUERIES[msg_type]), **p.where())


def busy_queries(p):
    "All queries beside a busy cell; none waits for its end."
    run = p.execute("time.sleep(0.5)")
    asked = [p.send(t, p.random.choice(cs)) for t, cs in QUERIES.items()]
    yield lambda: all(r.is_done for r in asked)
    yield run


def comm(p):
    "A comm that echoes."
    id, where = p.word(), p.where()
    opened = p.send("comm_open", dict(comm_id=id, target_name="soak", data={}), **where)
    yield opened
    runs = [p.send("comm_msg", dict(comm_id=id, data=dict(n=i)), buffers=[b"x"] * i, **where) for i in range(3)]
    yield lambda: all(r.end for r in runs)
    for i, r in enumerate(runs):
        if [c["data"] for c in r.of("comm_msg")] != [dict(n=i)] and not any(map(p.soak.disturbed, [opened, r])):
            p.complain(r, "a comm message without its echo")
    yield p.send("comm_close", dict(comm_id=id, data={}), **where)


def subshell(p):
    "Made, used, listed and deleted, sometimes in the middle of a cell."
    if len(p.subs) > 3: return (yield p.delete(p.subs[0]))
    made = yield p.send("create_subshell_request", {}, "control")
    if made.status != "ok": return
    sub = made.content["subshell_id"]
    p.subs.append(sub)
    runs = [p.execute(c, **w, subshell_id=sub) for c, w in p.random.sample(SYNC + CHILDREN, 3)]
    yield p.send("list_subshell_request", {}, "control")
    if p.random.random() < 0.5: yield lambda: all(r.is_done for r in runs)
    if p.random.random() < 0.7 and sub in p.subs: yield p.delete(sub)
    yield lambda: all(r.is_done for r in runs)


def detour(p): yield p.execute("%%subshell\nprint('TOKEN')", out="TOKEN")


def control(p):
    for t in ("kernel_info_request", "connect_request", "list_subshell_request"): yield p.send(t, {}, "control")


def debug(p):
    "A session: a breakpoint, a stop, a look around, on; sometimes the session ends while the cell is stopped."
    code = f"def work(n):\n    m = n + 1\n    return m\nwork({p.random.randrange(10**6)})"
    yield p.debug("initialize", LAB)
    if not (yield p.debug("attach")).content["success"]: return (yield p.debug("disconnect"))
    dumped = yield p.debug("dumpCell", dict(code=code))
    source = dict(path=dumped.content["body"]["sourcePath"])
    yield p.debug("setBreakpoints", dict(source=source, breakpoints=[dict(line=2)], sourceModified=False))
    p.stops.clear()
    run = p.execute(code, plain=True)
    yield lambda: p.stops or run.is_done
    if p.stops and p.random.random() < 0.9: yield from look_around(p, p.stops[0])
    yield p.debug("disconnect", dict(restart=False, terminateDebuggee=False))
    yield run


def look_around(p, thread):
    frames = (yield p.debug("stackTrace", dict(threadId=thread))).content.get("body", {}).get("stackFrames", [])
    yield p.debug("debugInfo")
    if frames:
        scopes = (yield p.debug("scopes", dict(frameId=frames[0]["id"]))).content
        for s in scopes.get("body", {}).get("scopes", []): yield p.debug("variables", dict(variablesReference=s["variablesReference"]))
        yield p.debug("evaluate", dict(expression="n * 2", frameId=frames[0]["id"], context="repl"))
    yield p.debug("inspectVariables")
    if p.random.random() < 0.5: yield p.debug("next", dict(threadId=thread))
    yield p.debug("continue", dict(threadId=thread))


def handlers(p):
    "A cell with signal handlers of its own, which it leaves behind."
    run = p.execute(p.random.choice(HANDLERS), raises={"Alarm", "RuntimeError", None})
    if "ITIMER" in run.msg["content"]["code"]: p.soak.interrupts.append(run)  # whoever runs then may be hit
    yield run


def shm(p):
    code = "from multiprocessing.shared_memory import SharedMemory\ns = SharedMemory(create=True, size=1000)\ns.close()\ns.unlink()"
    yield p.execute(code)


def at_exit(p):
    "What is registered here must have been done at the end."
    word = p.word()
    run = yield p.execute(f"atexit.register(lambda: (print('{word}'), open({p.soak.exits!r}, 'a').write('{word}\\n')));")
    if run.status == "ok": p.soak.registered.append(word)


def garbage(p):
    "Frames that are no message, or not signed by us: no answer, and no harm."
    p.throw()
    yield p.send("kernel_info_request", {}, "control")


LEFTOVERS = [  # chkstyle: ignore-node (a table)
    "p = subprocess.Popen(['sleep', '1000'])", "os.system('sleep 1000 &');", "os.system('setsid sleep 1000 &');", "%%bash --bg\nsleep 1000",
    "subprocess.Popen('trap \"\" TERM; sleep 1000', shell=True);",
    "from multiprocessing.shared_memory import SharedMemory\nkept = SharedMemory('MARK', create=True, size=1000)",
    "t = threading.Thread(target=time.sleep, args=(0.5,))\nt.start()", "ThreadPoolExecutor(1).submit(time.sleep, 0.5);"]
STORIES = dict(  # chkstyle: ignore-node (a table)
    cells=(22, one_of(SYNC)), errors=(6, failing), stops=(1, stop_on_error), recursion=(0.1, recursion), awaits=(8, one_of(AWAITING)),
    threads=(5, thread), words=(2, words), tasks=(4, task), cancel=(1, cancel), children=(6, one_of(CHILDREN)), eof=(1, one_of(EOF)),
    forks=(2, one_of(FORKS)), displays=(5, one_of(DISPLAYS)), flood=(1, flood), input=(3, ask), interrupts=(3, interrupt),
    anytime=(2, interrupt_anything), queries=(10, query), busy=(2, busy_queries), comms=(5, comm), subshells=(4, subshell),
    detours=(1, detour), control=(4, control), debug=(2, debug), handlers=(1, handlers), shm=(1, shm), atexit=(1, at_exit),
    garbage=(3, garbage))
ALONE = {"debug"}               # one at a time
WILD = {"interrupts", "anytime", "input"}
FRAGILE = {"forks", "handlers"}  # not beside the wild: CPython's own pools and handlers do not stand an interrupt
