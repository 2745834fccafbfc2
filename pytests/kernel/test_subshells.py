"""Whole kernel: subshells. Each is a thread with its own shell, count and history, in the one namespace.
Spec: JEP 91; messaging (subshell_id in the header, create_subshell_request, delete_subshell_request, list_subshell_request)."""
import sqlite3, time

import psutil, pytest

from harness import Sub, same, slack, wait_until

BUSY = dict(loop="print('started')\nwhile True: pass", sleep="import time\nprint('started')\ntime.sleep(30)",
    await_="import asyncio\nprint('started')\nawait asyncio.sleep(30)", input="print('started')\ninput('? ')")
GATE = "import threading\ngate = threading.Event()"
PASS = "print('waiting')\ngate.wait(20)\n'through'"


@pytest.fixture
def sub(kernel):
    with Sub(kernel) as s: yield s


@pytest.fixture
def two(kernel):
    with Sub(kernel) as a, Sub(kernel) as b: yield a, b


def listed(k): return k.request("list_subshell_request", channel="control").ok().content["subshell_id"]


def threads(k): return {t.id for t in psutil.Process(k.pid).threads()}


# --- making and ending

def test_create_list_delete(kernel):
    before = listed(kernel)
    a, b = Sub(kernel), Sub(kernel)
    assert listed(kernel) == [*before, a.id, b.id] and a.id != b.id
    a.delete().ok()
    assert listed(kernel) == [*before, b.id]
    assert a.delete().content["ename"] == "UnknownSubshellError"
    b.delete().ok()
    assert listed(kernel) == before


def test_create_at_once(start):
    "Who has seen kernel_info_reply may create a subshell, also while IPython is being imported."
    k = start(ready=False)
    k.pump(lambda r=k.send("kernel_info_request"): r.reply, 10, "kernel_info_reply")
    made = k.send("create_subshell_request", channel="control")
    k.pump(lambda: made.reply, 10, "create_subshell_reply")
    assert made.ok().content["subshell_id"]
    k.wait_ready()
    assert k.execute("6 * 7", header_extra=dict(subshell_id=made.content["subshell_id"])).ok().result == "42"


def test_told_in_kernel_info(kernel): assert "kernel subshells" in kernel.request("kernel_info_request").ok().content["supported_features"]


@pytest.mark.parametrize("msg_type,content", [("execute_request", dict(code="1")), ("complete_request", dict(code="a", cursor_pos=1)), ("kernel_info_request", {})])
def test_unknown_id(kernel, msg_type, content):
    "Answered at once with an error in its bracket, though main is busy."
    kernel.execute(GATE).ok()
    run = kernel.execute(PASS, wait=False)
    kernel.sees(run, "waiting\n")
    lost = kernel.request(msg_type, content, header_extra=dict(subshell_id="no such subshell"), timeout=5)
    assert (lost.status, lost.content["ename"], lost.kinds) == ("error", "UnknownSubshellError", ["busy", "idle"]) and "no such subshell" in lost.content["evalue"]
    comm = kernel.send("comm_msg", dict(comm_id="c", data={}), subshell_id="no such subshell")
    kernel.pump(lambda: comm.end, 5, "idle")
    assert not run.is_done
    with Sub(kernel) as s: s.execute("gate.set()").ok()
    assert kernel.wait(run).ok().result == "'through'"


def test_subshell_magic(kernel, sub):
    def told(who): return dict(line.split(": ", 1) for line in who.execute("%subshell").ok().stdout.splitlines())
    of_sub, of_main = told(sub), told(kernel)
    assert (of_sub["subshell id"], of_main["subshell id"]) == (sub.id, "None")
    assert of_sub["thread id"] != of_main["thread id"] == of_sub["main thread id"] == of_main["main thread id"]
    assert sub.id in of_sub["subshell list"] and sub.id in of_main["subshell list"]


# --- order and concurrency

def test_concurrent_between(kernel, two):
    "Three that wait for one another: only together can they end."
    kernel.execute("import threading\nbarrier = threading.Barrier(3, timeout=10)").ok()
    runs = [who.execute("barrier.wait() >= 0", wait=False) for who in (kernel, *two)]
    assert [kernel.wait(r).ok().result for r in runs] == ["True"] * 3


def test_sequential_within(kernel, sub):
    "What is sent to one subshell runs in order, whatever the others do."
    kernel.execute("seen = []").ok()
    runs = [sub.execute(f"import time\ntime.sleep({0.02 if n % 3 == 0 else 0})\nseen.append({n})", wait=False) for n in range(30)]
    for r in runs: kernel.wait(r).ok()
    assert kernel.execute("seen == list(range(30))").ok().result == "True"


def test_counts_agree(kernel, two):
    "Interleaved at random: reply and execute_input tell the same number (the harness checks), and each subshell counts its own, without gap."
    kernel.execute("import random, time").ok()
    runs = {who: [] for who in (kernel, *two)}
    for n in range(40):
        for who, rs in runs.items(): rs.append(who.execute(f"time.sleep(random.random() / 200)\n{n}", wait=False))
    for rs in runs.values():
        counts = [kernel.wait(r).ok().content["execution_count"] for r in rs]
        assert counts == list(range(counts[0], counts[0] + 40))
        assert [r.result for r in rs] == [str(n) for n in range(40)]
        assert [r.of("execute_result")[0]["execution_count"] for r in rs] == counts
    assert [rs[0].content["execution_count"] for who, rs in runs.items() if who is not kernel] == [1, 1]


def test_shared_namespace(kernel, sub):
    sub.execute("from_sub = 1\ndef f(): return from_main").ok()
    assert kernel.execute("from_main = 2\nfrom_sub, f()").ok().result == "(1, 2)"
    assert sub.execute("from_main").ok().result == "2"


def test_own_shell(kernel, sub):
    "get_ipython() is the subshell's in the subshell, main's on main, also from functions of the other."
    kernel.execute("def mine(): return get_ipython()\nmain_shell = get_ipython()").ok()
    assert sub.execute("mine() is get_ipython() is not main_shell, mine().execution_count, type(mine()).__name__").ok().result == "(True, 2, 'ZMQInteractiveShell')"
    assert sub.execute("main_thread_has = None\nget_ipython().history_manager is not main_shell.history_manager").ok().result == "True"
    assert kernel.execute("mine() is main_shell").ok().result == "True"


def test_in_and_out_are_the_parents(kernel, sub):
    "In, Out and the _i of main stay main's; a subshell's value and input are in none of them."
    kernel.execute("'main value'").ok()
    before = kernel.execute("len(In), len(Out), _i1").ok()
    sub.execute("'sub value'").ok()
    assert sub.execute("print('nothing')\nIn[-1]").ok().result == "'len(In), len(Out), _i1'"
    run = kernel.execute("'sub value' in Out.values(), any('sub value' in i for i in In[:-1]), 'main value' in Out.values(), _i, len(In)").ok()
    n = int(before.result.strip("(").split(",")[0])
    assert run.result == f"(False, False, True, 'len(In), len(Out), _i1', {n + 1})"


def test_history_is_unique(start, tmp_path):
    "Each (session, line) is once in the database, with the input that was there; a subshell has a session of its own."
    k = start(extra_arguments=[f"--HistoryManager.hist_file={tmp_path / 'h.sqlite'}"])
    with Sub(k) as a, Sub(k) as b:
        runs = [who.execute(f"{name!r}, {n}", wait=False) for n in range(20) for name, who in dict(main=k, a=a, b=b).items()]
        for r in runs: k.wait(r).ok()
        tail = a.request("history_request", dict(hist_access_type="range", session=0, start=1, stop=3, raw=True, output=False)).ok().content["history"]
        assert [i for _, _, i in tail] == ["'a', 0", "'a', 1"]
    k.shutdown()
    with sqlite3.connect(tmp_path / "h.sqlite") as db: rows = db.execute("SELECT session, line, source FROM history").fetchall()
    assert len(rows) == len({r[:2] for r in rows}) == 60, f"{len(rows)} rows"
    sessions = {}
    for session, line, source in sorted(rows): sessions.setdefault(session, []).append(source)
    assert sorted(sessions.values()) == [[f"{name!r}, {n}" for n in range(20)] for name in ("a", "b", "main")]


def test_stop_on_error(kernel, two):
    "What waits behind an error is aborted in its own subshell; the others go on."
    kernel.execute(GATE).ok()
    queues = {who: [who.execute(PASS, wait=False)] for who in (kernel, *two)}
    for who in queues: queues[who] += [who.execute("1/0" if who is two[0] else "'fine'", wait=False), *[who.execute(f"{n}", wait=False) for n in range(3)]]
    for rs in queues.values(): kernel.sees(rs[0], "waiting\n")
    with Sub(kernel) as s: s.execute("gate.set()").ok()
    got = {who: [kernel.wait(r).status for r in rs] for who, rs in queues.items()}
    assert got == {kernel: ["ok"] * 5, two[0]: ["ok", "error", "aborted", "aborted", "aborted"], two[1]: ["ok"] * 5}
    assert two[0].execute("1 + 1").ok().result == "2"


def test_own_contexts_and_loops(kernel, two):
    "A ContextVar set in one subshell lasts there and is not seen in the other; each has a running loop of its own for its tasks."
    kernel.execute("import asyncio, contextvars\nvar = contextvars.ContextVar('var', default='unset')\nloops = []").ok()
    for who in two: who.execute("loops.append(asyncio.get_running_loop())\nawait asyncio.sleep(0)").ok()
    two[0].execute("var.set('a');").ok()
    assert [who.execute("var.get()").ok().result for who in (*two, kernel)] == ["'a'", "'unset'", "'unset'"]
    assert kernel.execute("loops.append(asyncio.get_running_loop())\nlen(set(loops))").ok().result == "3"
    first = two[1].execute("async def back():\n    await asyncio.sleep(0.05)\n    print('from the task')\ntask = asyncio.create_task(back())").ok()
    kernel.sees(first, "from the task\n", 5)
    assert kernel.execute("task.done()").ok().result == "True"


# --- output and input

def test_figure(kernel, sub):
    "An inline figure made in a subshell is shown with its cell, and leaves nothing for main's."
    code = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2])\nNone"
    kernel.execute("import matplotlib").ok()
    run = sub.execute(code, timeout=40).ok()
    shown = [c for c in run.of("display_data") if "image/png" in c["data"]]
    assert len(shown) == 1, run
    assert kernel.execute("1 + 1").ok().of("display_data") == []
    again = sub.execute("plt.plot([3, 1]);").ok()
    assert len(again.of("display_data")) == 1 and "image/png" in again.of("display_data")[0]["data"]
    assert len(kernel.execute("plt.plot([1, 3]);").ok().of("display_data")) == 1


def test_output_stays_apart(kernel, two):
    "Streams, results, displays and errors of three that run at once are each their own's."
    show = "def show(name):\n    barrier.wait()\n    for i in range(200):\n        print(name, i)\n        print(name, i, file=sys.stderr)\n    display(name)\n    return name"
    kernel.execute(f"import sys, threading\nfrom IPython.display import display\nbarrier = threading.Barrier(3, timeout=10)\n{show}").ok()
    runs = {name: who.execute(f"show({name!r})", wait=False) for name, who in dict(main=kernel, a=two[0], b=two[1]).items()}
    for name, r in runs.items():
        kernel.wait(r).ok()
        for text in (r.stdout, r.stderr): same(text, "".join(f"{name} {i}\n" for i in range(200)))
        assert r.result == repr(name) and [c["data"]["text/plain"] for c in r.of("display_data")] == [repr(name)]


def test_input_of_two_at_once(kernel, two):
    "Both wait; the answers, given in the other order, find their askers."
    held = []
    runs = [who.execute(f"input('{n}? ')", answers=[held.append, held.append], wait=False) for n, who in enumerate(two)]
    kernel.answers = [held.append, held.append]
    kernel.pump(lambda: len(held) == 2, 5, "two questions")
    assert [m["parent_header"]["subshell_id"] for m in sorted(held, key=lambda m: m["content"]["prompt"])] == [s.id for s in two]
    for m in sorted(held, key=lambda m: m["content"]["prompt"], reverse=True): kernel.reply_input(m, f"answer to {m['content']['prompt']}")
    assert [kernel.wait(r).ok().result for r in runs] == ["'answer to 0? '", "'answer to 1? '"]


def test_input_while_main_sleeps(kernel, sub):
    kernel.execute(GATE).ok()
    run = kernel.execute(PASS, wait=False)
    kernel.sees(run, "waiting\n")
    assert sub.execute("'got ' + input('? ')", answers=["it"]).ok().result == "'got it'"
    assert not run.is_done
    sub.execute("gate.set()").ok()
    kernel.wait(run).ok()


# --- deleting

@pytest.mark.parametrize("what", BUSY)
def test_delete_a_busy_one(kernel, what):
    "Answered at once; what ran is interrupted, what was queued is refused, the thread ends, the others feel nothing."
    kernel.execute("import threading").ok()
    other, sub = Sub(kernel), Sub(kernel)
    with other:
        kernel.execute(GATE).ok()
        witness = other.execute(PASS, wait=False)
        run = sub.execute(BUSY[what], answers=[lambda m: None] if what == "input" else None, wait=False)
        kernel.sees(run, "started\n", 5)
        if what == "input": kernel.pump(lambda: run.asked, 5, "the question")
        queued = [sub.execute("'never'", wait=False), sub.request("kernel_info_request", wait=False)]
        sent = time.monotonic()
        sub.delete().ok()
        assert time.monotonic() - sent < 0.5 * slack()
        for r in [run, *queued]: kernel.wait(r, 5)
        assert time.monotonic() - sent < slack()
        assert run.content["ename"] == "KeyboardInterrupt"
        assert queued[0].content["ename"] == "UnknownSubshellError" and queued[1].status in ("ok", "error")
        alive = f"any(t.name == 'subshell-{sub.id}' for t in threading.enumerate())"
        wait_until(lambda: kernel.execute(alive).ok().result == "False", 5, "the end of the thread")
        assert not witness.is_done and sub.id not in listed(kernel)
        kernel.execute("gate.set()").ok()
        assert kernel.wait(witness).ok().result == "'through'"


SHELLS = "gc.collect()\nsum(type(o).__name__ == 'ZMQInteractiveShell' for o in gc.get_objects())"

def test_many(start):
    "1 to 64 made, used and deleted: threads and memory are back."
    k = start()
    k.execute("import threading, gc").ok()

    def round_(n):
        subs = [Sub(k) for _ in range(n)]
        runs = [s.execute(f"x{i} = {i}\nx{i}", wait=False) for i, s in enumerate(subs)]
        assert [k.wait(r).ok().result for r in runs] == [str(i) for i in range(n)]
        for s in subs: s.delete().ok()
        k.runs.clear()

    for n in (1, 64, 64): round_(n)
    names = "[t.name for t in threading.enumerate() if 'subshell' in t.name]"
    wait_until(lambda: k.execute(names).ok().result == "[]", 5, "threads to end")
    first, n = k.rss(), len(threads(k))
    for i in (1, 2, 7, 31, 64, 64): round_(i)
    wait_until(lambda: k.execute(names).ok().result == "[]" and len(threads(k)) <= n, 5, f"threads to be {n} again")
    assert listed(k) == []
    wait_until(lambda: k.execute(SHELLS).ok().result == "1", 5, "all shells but one to go")  # what watches for queries looks once more
    grown = k.rss() - first
    print(f"169 subshells: {n} threads before and after, {grown >> 10} KiB more")
    assert grown < 8 << 20, f"{grown >> 10} KiB"


def test_overlapping_cells_keep_no_shell(start):
    "One begins while another runs, and ends after it: IPython, which exchanges sys.excepthook around a cell, must not put back that of a shell which is gone."
    k = start()
    subs = [Sub(k) for _ in range(2)]
    k.execute("import gc, sys, threading\nends = [threading.Event(), threading.Event()]").ok()
    runs = []
    for i, s in enumerate(subs):
        runs.append(s.execute(f"print('on')\nends[{i}].wait(10)", wait=False))
        k.sees(runs[-1], "on\n")
    for i, r in enumerate(runs):
        k.execute(f"ends[{i}].set()").ok()
        k.wait(r).ok()
    for s in subs: s.delete().ok()
    assert k.execute("sys.excepthook == get_ipython().sys_excepthook == get_ipython().excepthook").ok().result == "True"
    wait_until(lambda: k.execute(SHELLS).ok().result == "1", 5, "their shells to go")


def test_delete_one_that_completes(kernel):
    "A completion that takes longer than the subshell's thread waits for it at its end is answered all the same."
    kernel.execute("import threading\nasked, go = threading.Event(), threading.Event()\nclass Slow:\n    def __dir__(self):\n        asked.set()\n        go.wait(10)\n        return []\nslow = Slow()").ok()
    sub = Sub(kernel)
    run = sub.request("complete_request", dict(code="slow.", cursor_pos=5), wait=False)
    assert kernel.execute("asked.wait(10)").ok().result == "True"
    sub.execute("'not delayed'").ok()
    sub.delete().ok()
    assert kernel.wait(run).status == "error" and run.content["ename"] == "KeyboardInterrupt"
    kernel.execute("go.set()").ok()


SLOW_HISTORY = """import threading
asked, go, hold = threading.Event(), threading.Event(), threading.Event()
hm = get_ipython().history_manager
get_tail = hm.get_tail
def slow(*args, **kwargs):
    asked.set()
    go.wait(10)
    return list(get_tail(*args, **kwargs))
hm.get_tail = slow
"""


def test_history_is_not_closed_while_it_is_read(kernel):
    "Stand in the gap: a query reads the history of a busy subshell as that ends, and is answered after."
    sub = Sub(kernel)
    sub.execute(SLOW_HISTORY).ok()
    cell = sub.execute("hold.wait(10)", wait=False)
    run = sub.request("history_request", dict(hist_access_type="tail", n=3, raw=True, output=False), wait=False)
    assert kernel.execute("asked.wait(10)").ok().result == "True"
    sub.delete().ok()
    kernel.execute("hold.set()").ok()
    kernel.wait(cell)
    ends = f"[t.name for t in threading.enumerate() if t.name == 'subshell-{sub.id}']"
    wait_until(lambda: kernel.execute(ends).ok().result == "[]", 5, "the end of the subshell")
    kernel.execute("go.set()").ok()
    assert len(kernel.wait(run).ok().content["history"]) == 3


def test_interrupted_sleep_of_a_subshell(kernel):
    "Who catches the interrupt of one sleep sleeps on in the next."
    with Sub(kernel) as sub:
        code = "import time\ntry: print('on') or time.sleep(20)\nexcept KeyboardInterrupt: begun = time.monotonic()\ntime.sleep(0.3)\ntime.monotonic() - begun >= 0.3"
        run = sub.execute(code, wait=False)
        kernel.sees(run, "on")
        kernel.interrupt()
        assert kernel.wait(run, timeout=5).ok().result == "True"
        for bad, ename in ("-1", "ValueError"), ("'x'", "TypeError"): assert sub.execute(f"time.sleep({bad})").ename == ename
        assert sub.execute("time.sleep(0); time.sleep(True and 0.01); 'slept'").result == "'slept'"


LOOPS = dict(
    run     = "asyncio.run(asyncio.sleep(60))",
    own     = "asyncio.new_event_loop().run_until_complete(asyncio.sleep(60))",
    ours    = "asyncio.get_event_loop().run_until_complete(asyncio.sleep(60))",
    forever = "async def f(): await asyncio.Event().wait()\nasyncio.run(f())",
    deep    = "async def f(): asyncio.new_event_loop().run_until_complete(asyncio.sleep(60))\nasyncio.get_event_loop().run_until_complete(f())")


@pytest.mark.parametrize("loop", LOOPS)
def test_interrupted_loop_of_a_subshell(kernel, sub, loop):
    "One that a cell runs, and that waits, is woken: else the exception would come when its wait ends by itself."
    run = sub.execute("import asyncio\nprint('on')\n" + LOOPS[loop], wait=False)
    kernel.sees(run, "on")
    def waits(): return "in select" in kernel.request("stack_request", channel="control").content["text"].split(f"subshell-{sub.id}")[1].split("\nThread ")[0].split("ipykernel_")[0]
    wait_until(waits, what="the loop waits")
    kernel.interrupt("message")
    assert kernel.wait(run).ename == "KeyboardInterrupt"
    assert sub.execute("6 * 7").ok().result == "42"


@pytest.mark.parametrize("code,source", [("%recall 1", "set_next_input"), ("print?", "page"), ("get_ipython().set_next_input('x')", "set_next_input"), ("exit", "ask_exit"), ("%page print", "page")])
def test_payloads(kernel, sub, code, source):
    "What a cell of a subshell offers is in its own reply, not in main's next one; it ends its client at most, not the kernel."
    run = sub.execute(code).ok()
    assert [p["source"] for p in run.payload] == [source]
    assert kernel.execute("1 + 1").ok().payload == []


def test_tasks_of_a_deleted_subshell(kernel):
    "They are cancelled, and may clean up."
    with Sub(kernel) as sub:
        code = "import asyncio\nasync def work():\n    try: await asyncio.sleep(60)\n    finally: print('cleaned up')\ntask = asyncio.create_task(work())\nawait asyncio.sleep(0)"
        run = sub.execute(code).ok()
    kernel.sees(run, "cleaned up\n", 5)
    assert kernel.execute("task.cancelled()").result == "True"


def test_history_magics(kernel, sub):
    "Of its own history."
    kernel.execute("'of main'").ok()
    sub.execute("'of the subshell'").ok()
    assert sub.execute("%history").ok().stdout == "'of the subshell'\n%history\n"
    assert sub.execute("%recall 1").payload[0]["text"] == "'of the subshell'"
    assert sub.execute("%rerun 1").ok().result == "'of the subshell'"
    assert "'of main'" in kernel.execute("%history").stdout and "of the subshell" not in kernel.execute("%history").stdout
