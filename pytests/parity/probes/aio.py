"asyncio in all its forms, context variables, threads and executors."
A = "import asyncio\n"
C = "import contextvars\nv = contextvars.ContextVar('v', default=0)\n"
T = "import threading, time\n"

AWAITS = {k: A + v for k,v in dict(sleep="await asyncio.sleep(0.01)", value="await asyncio.sleep(0, 'value')", semicolon="await asyncio.sleep(0, 1);",
    assign="x = await asyncio.sleep(0, 3)\nx", gather="await asyncio.gather(asyncio.sleep(0, 1), asyncio.sleep(0, 2))",
    gather_error="async def f(): 1/0\nawait asyncio.gather(f(), asyncio.sleep(0))",
    gather_return="async def f(): 1/0\nawait asyncio.gather(f(), return_exceptions=True)",
    for_="async def g():\n    for i in range(3): yield i\nasync for i in g(): print(i)",
    comp="async def g():\n    for i in range(3): yield i\n[i async for i in g()]",
    with_=("import contextlib\n@contextlib.asynccontextmanager\nasync def c():\n"
        "    print('in'); yield 5; print('out')\nasync with c() as x: print(x)"),
    with_error=("import contextlib\n@contextlib.asynccontextmanager\nasync def c():\n    try: yield\n"
        "    finally: print('out')\nasync with c(): 1/0"),
    task_group="async with asyncio.TaskGroup() as g:\n    a = g.create_task(asyncio.sleep(0, 1))\na.result()",
    task_group_error="async def f(): raise ValueError('in group')\ntry:\n    async with asyncio.TaskGroup() as g: g.create_task(f())\nexcept ExceptionGroup as e: print(e.exceptions)",
    timeout="async with asyncio.timeout(0.01): await asyncio.sleep(5)", wait_for="await asyncio.wait_for(asyncio.sleep(5), 0.01)",
    cancel="t = asyncio.create_task(asyncio.sleep(5))\nawait asyncio.sleep(0)\nt.cancel()\nawait t", cancelled="raise asyncio.CancelledError",
    cancelled_text="raise asyncio.CancelledError('why')", error="async def f(): raise ValueError('async')\nawait f()",
    not_awaited="async def f(): return 1\nf().close()", coroutine="async def f(): return 1\nc = f(); t = type(c).__name__; c.close(); t",
    not_awaitable="await 5", prints="for i in range(3):\n    print(i)\n    await asyncio.sleep(0.01)",
    display="display(1)\nawait asyncio.sleep(0)\ndisplay(2)", loop="asyncio.get_running_loop().is_running()",
    loop_same="asyncio.get_event_loop() is asyncio.get_running_loop()", loop_type="isinstance(asyncio.get_running_loop(), asyncio.AbstractEventLoop)",
    current_task="asyncio.current_task() is not None\nawait asyncio.sleep(0)",
    run_in="await asyncio.get_running_loop().run_in_executor(None, pow, 2, 3)", to_thread="await asyncio.to_thread(pow, 2, 3)",
    to_thread_print="await asyncio.to_thread(print, 'in thread')", queue="q = asyncio.Queue()\nawait q.put(1)\nawait q.get()",
    event="e = asyncio.Event()\nasyncio.get_running_loop().call_later(0.01, e.set)\nawait e.wait()",
    semaphore="async with asyncio.Semaphore(1): print('held')", lock="l = asyncio.Lock()\nasync with l: print(l.locked())",
    subprocess=("p = await asyncio.create_subprocess_exec('echo', 'hi', stdout=asyncio.subprocess.PIPE)\n" "(await p.communicate())[0]"),
    streams=("async def serve(r, w):\n    w.write(await r.read(3)); await w.drain(); w.close()\n"
        "s = await asyncio.start_server(serve, '127.0.0.1', 0)\n"
        "r, w = await asyncio.open_connection(*s.sockets[0].getsockname())\nw.write(b'abc')\nprint(await r.read())\n" "s.close()"),
    future=("f = asyncio.get_running_loop().create_future()\nasyncio.get_running_loop().call_soon(f.set_result, 7)\n" "await f"),
    shield="await asyncio.shield(asyncio.sleep(0, 's'))",
    as_completed="for f in asyncio.as_completed([asyncio.sleep(0.02, 'b'), asyncio.sleep(0, 'a')]): print(await f)",
    generator_exit=("async def g():\n    try: yield 1\n    finally: print('closed')\nx = g()\nprint(await anext(x))\n" "await x.aclose()"),
    system_exit="async def f(): raise SystemExit(2)\nawait f()", keyboard="await asyncio.sleep(0)\nraise KeyboardInterrupt",
    return_="await asyncio.sleep(0)\nreturn 5", magic="%time await asyncio.sleep(0)", shell="await asyncio.sleep(0)\n!echo hi",
    last_expr_all="get_ipython().ast_node_interactivity = 'all'\nawait asyncio.sleep(0, 1)\n2",
    reset_inter="get_ipython().ast_node_interactivity = 'last_expr'", await_in_function="def f(): return asyncio.sleep(0, 'from f')\nawait f()",
    await_in_fstring="f'{await asyncio.sleep(0, 1)}'", await_lambda="(lambda: asyncio.sleep(0, 2))()\nawait (lambda: asyncio.sleep(0, 2))()",
    nested_def="async def outer():\n    async def inner(): return 3\n    return await inner()\nawait outer()",
    debug_flag="asyncio.get_running_loop().get_debug()", run_nested="async def f(): return 1\nasyncio.run(f())").items()}

TASKS = dict(task_later=[A + "async def f():\n    await asyncio.sleep(0.01)\n    return 'done'\nt = asyncio.create_task(f())", "await t"],
    task_prints=[A + "async def f():\n    print('task runs')\nt = asyncio.create_task(f()); await t"],
    task_error=[A + "async def f(): 1/0\nt = asyncio.create_task(f())", "await t"],
    task_error_kept=[A + "async def f(): 1/0\nt = asyncio.create_task(f())", "await asyncio.sleep(0)", "t"], task_late_print=[A +
        "async def f(e):\n    await e.wait()\n    print('late')\ne = asyncio.Event(); t = asyncio.create_task(f(e))", "e.set(); await t"],
    task_late_display=[A + ("async def f(e):\n    await e.wait()\n    display('late')\n" "e = asyncio.Event(); t = asyncio.create_task(f(e))"),
        "e.set(); await t"], autoawait=["%autoawait", "%autoawait off", "await x", "%autoawait on", "%autoawait asyncio", "%autoawait nonsense!"],
    ensure_future=[A + "t = asyncio.ensure_future(asyncio.sleep(0, 1))", "await t"], loop_kept=[A + "loop = asyncio.get_event_loop()",
        "loop is asyncio.get_event_loop()", "import asyncio\nawait asyncio.sleep(0)\nloop is asyncio.get_running_loop()"],
    call_soon=[A + "r = []; asyncio.get_event_loop().call_soon(r.append, 1)", "await asyncio.sleep(0.01); r"],
    context_kept=[C + "v.set(1);", "v.get()"], context_await=[C + A + "v.set(2)\nawait asyncio.sleep(0)\nv.get()", "v.get()"],
    context_token=[C + "t = v.set(5)", "v.reset(t)", "v.get()"], context_task=[C + A +
        "async def f():\n    v.set(9); return v.get()\nprint(await asyncio.create_task(f()), v.get())"],
    context_copy=[C + "c = contextvars.copy_context(); c.run(v.set, 4); v.get(), c[v]"],
    decimal=["from decimal import *\ngetcontext().prec = 5", "Decimal(1) / 7"], context_thread=[C + T +
        "v.set(1)\nt = threading.Thread(target=lambda: print(v.get())); t.start(); t.join()"], two_awaits=[A + "await asyncio.sleep(0)\n1/0", "2"],
    error_after_await=[A + "await asyncio.sleep(0)\ndef f(): 1/0\nf()"], async_syntax="async def f(): return await",
    await_top_in_def="def f():\n    await g()", nest=[A + "async def f():\n    get_ipython().run_cell('1 + 1')\nawait f()"])

THREADS = dict(thread_print="t = threading.Thread(target=print, args=('x',)); t.start(); t.join()",
    thread_display="t = threading.Thread(target=display, args=('x',)); t.start(); t.join()",
    thread_err="import sys\nt = threading.Thread(target=lambda: print('e', file=sys.stderr)); t.start(); t.join()",
    thread_many="ts = [threading.Thread(target=lambda: print('same')) for i in range(5)]\nfor t in ts: t.start(); t.join()",
    thread_error="def f(): raise ValueError('in thread')\nt = threading.Thread(target=f, name='mine'); t.start(); t.join()",
    executor=("from concurrent.futures import ThreadPoolExecutor\n" "with ThreadPoolExecutor(2) as e: print(list(e.map(abs, [-1, -2])))"),
    executor_print=("from concurrent.futures import ThreadPoolExecutor\n" "with ThreadPoolExecutor(1) as e: e.submit(print, 'in pool')"),
    executor_error=("from concurrent.futures import ThreadPoolExecutor, wait\ndef f(): return 1/0\n"
        "with ThreadPoolExecutor(1) as e: list(wait([e.submit(f)]).done)[0].result()"),  # the traceback tells whether `result` had to wait
    executor_map_error="from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(1) as e: list(e.map(int, ['x']))",
    timer="t = threading.Timer(0.01, print, ['timer']); t.start(); t.join()", local="l = threading.local(); l.x = 1; l.x",
    main="threading.current_thread() is threading.main_thread(), threading.current_thread().name",
    excepthook="threading.excepthook is threading.__excepthook__",
    daemon="t = threading.Thread(target=lambda: None, daemon=True); t.start(); t.join(); t.is_alive()",
    barrier="b = threading.Barrier(2)\nt = threading.Thread(target=b.wait); t.start(); b.wait(); t.join(); 'met'",
    pool="from multiprocessing.pool import ThreadPool\nwith ThreadPool(2) as p: print(p.map(abs, [-1, -2]))",
    future_callback=("from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(1) as e: e.submit(pow, 2, 2).add_done_callback(lambda f: print(f.result()))"),
    subclass="class W(threading.Thread):\n    def run(self): print('sub')\nw = W(); w.start(); w.join()",
    thread_exit="import sys\nt = threading.Thread(target=sys.exit); t.start(); t.join()",
    run_shell="t = threading.Thread(target=lambda: print('y')); t.start(); t.join()",
    late_thread=[("e = threading.Event()\ndef f():\n    e.wait(); print('from the first cell')\n" "t = threading.Thread(target=f); t.start()"),
        "e.set(); t.join()"], signal_main="import signal\nsignal.getsignal(signal.SIGINT) is not None",
    alarm=("import signal\ndef h(*a): print('alarm')\n"
        "old = signal.signal(signal.SIGALRM, h); signal.setitimer(signal.ITIMER_REAL, 0.02)\ntime.sleep(0.1)\n"
        "signal.signal(signal.SIGALRM, old) == old"),
    background=[("from IPython.lib.backgroundjobs import BackgroundJobManager\njobs = BackgroundJobManager()\n"
        "j = jobs.new('2 + 3'); j.join(); j.result"), "jobs.status()"])


MORE = {k: [A + v[0], *v[1:]] if isinstance(v, list) else A + v for k,v in dict(
    threadsafe=("loop = asyncio.get_running_loop()\nasync def f(): return 'from another thread'\n"
        "await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(f(), loop).result())"),
    add_reader=("import os\nr, w = os.pipe()\nloop, got = asyncio.get_running_loop(), asyncio.Event()\nloop.add_reader(r, got.set)\n"
        "os.write(w, b'x')\nawait got.wait()\nloop.remove_reader(r)\nos.read(r, 9)"),
    signal_handler=("import os, signal\nloop, got = asyncio.get_running_loop(), asyncio.Event()\nloop.add_signal_handler(signal.SIGUSR1, got.set)\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\nawait got.wait()\nloop.remove_signal_handler(signal.SIGUSR1)"),
    never_retrieved=["async def f(): raise ValueError('lost')\nt = asyncio.create_task(f())\nawait asyncio.sleep(0.01)\ndel t", "'next'"],
    callback_handled=("def f():\n    try: 1/0\n    except Exception as e: print(e)\n"
        "asyncio.get_running_loop().call_soon(f)\nawait asyncio.sleep(0.01)"),
    callback_error="asyncio.get_running_loop().call_soon(lambda: 1/0)\nawait asyncio.sleep(0.01)",
    exception_handler=("loop, seen = asyncio.get_running_loop(), []\nloop.set_exception_handler(lambda loop, context: seen.append(sorted(context)))\n"
        "loop.call_soon(lambda: 1/0)\nawait asyncio.sleep(0.01)\nloop.set_exception_handler(None)\nseen"),
    never_awaited="async def f(): return 1\nf();", wait="done, rest = await asyncio.wait([asyncio.create_task(asyncio.sleep(0))])\nlen(done), len(rest)",
    wait_first=("a, b = asyncio.create_task(asyncio.sleep(0, 'a')), asyncio.create_task(asyncio.sleep(9))\n"
        "done, rest = await asyncio.wait([a, b], return_when=asyncio.FIRST_COMPLETED)\nb.cancel()\n[t.result() for t in done]"),
    barrier="b = asyncio.Barrier(2)\nawait asyncio.gather(b.wait(), b.wait())\nb.n_waiting",
    condition=("c, seen = asyncio.Condition(), []\nasync def f():\n    async with c:\n        await c.wait()\n        seen.append(1)\n"
        "t = asyncio.create_task(f())\nawait asyncio.sleep(0)\nasync with c: c.notify_all()\nawait t\nseen"),
    group_mixed=("async def f(n):\n    await asyncio.sleep(0)\n    raise ValueError(n)\n"
        "try:\n    async with asyncio.TaskGroup() as g:\n        for i in range(3): g.create_task(f(i))\n"
        "except* ValueError as e: print(len(e.exceptions))"),
    task_name="asyncio.current_task().get_name().startswith('Task-')\nawait asyncio.create_task(asyncio.sleep(0), name='mine')",
    all_tasks="len(asyncio.all_tasks())\nawait asyncio.sleep(0)", comp_set="async def g():\n    yield 1\n{i async for i in g()}, {i: i async for i in g()}",
    anext_default="async def g():\n    return\n    yield\nawait anext(g(), 'none')",
    iscoroutine="async def f(): pass\nc = f()\nr = asyncio.iscoroutine(c); c.close(); r",
    uncaught_in_with=("class C:\n    async def __aenter__(self): raise OSError('enter')\n    async def __aexit__(self, *a): pass\n" "async with C(): pass"),
    walrus="(x := await asyncio.sleep(0, 5)) + x", conditional="5 if await asyncio.sleep(0, True) else 6", subscript="[1, 2][await asyncio.sleep(0, 1)]",
    starred="print(*[await asyncio.sleep(0, i) for i in range(3)])",
    in_try="try: await asyncio.wait_for(asyncio.sleep(9), 0.01)\nexcept TimeoutError: 'late'",
    expression=["v = 1", "await asyncio.sleep(0)", "v"], keeps_names=["x = await asyncio.sleep(0, 7)", "x, _"],
    error_names=["y = 3\nawait asyncio.sleep(0)\n1/0", "y"],
    context_executor=C + "from concurrent.futures import ThreadPoolExecutor\nv.set(3)\nwith ThreadPoolExecutor(1) as e: print(e.submit(v.get).result())",
    context_to_thread=C + "v.set(6)\nawait asyncio.to_thread(v.get)",
    context_call_soon=C + ("loop = asyncio.get_running_loop()\nv.set(8)\nf = loop.create_future()\n"
        "loop.call_soon(lambda: f.set_result(v.get()))\nawait f")).items()}


def threaded(v): return T + v if isinstance(v, str) else [T + v[0], *v[1:]]


probes = {f"await_{k}": v for k,v in (AWAITS | MORE).items()} | TASKS | {k: threaded(v) for k,v in THREADS.items()}
