"""Whole kernel: queries are answered while a cell runs, completions have a budget, comms find their thread.
Spec: messaging (complete, inspect, is_complete, history, comm_info, kernel_info; custom messages); JEP 91."""
import time, uuid
from datetime import datetime

import pytest

from harness import Sub, kind, slack, wait_until

AFTER = 0.05   # seconds that a query waits for its turn
BUSY = dict(sleep="import threading\ngate = threading.Event()\nprint('started')\ngate.wait(60)",
    cpu="import threading\ngate = threading.Event()\nprint('started')\nx = 0\nwhile not gate.is_set(): x += 1")
QUERIES = dict(  # chkstyle: ignore-node (a table)
    complete    = dict(code="gat", cursor_pos=3),
    inspect     = dict(code="len", cursor_pos=3, detail_level=0),
    is_complete = dict(code="for i in x:"),
    history     = dict(hist_access_type="tail", n=2, raw=True, output=False),
    comm_info   = {},
    kernel_info = {})


@pytest.fixture(params=BUSY)
def busy(kernel, request):
    "A cell that sleeps, or computes, until the test is over."
    kernel.request("complete_request", QUERIES["complete"]).ok()  # Jedi is loaded
    with Sub(kernel) as helper:
        run = kernel.execute(BUSY[request.param], wait=False)
        kernel.sees(run, "started\n")
        yield run
        assert not run.is_done
        helper.execute("gate.set()").ok()
        kernel.wait(run).ok()


@pytest.mark.parametrize("what", QUERIES)
def test_while_busy(kernel, busy, what):
    "The reply is the right one, in its bracket, and comes while the cell runs (how fast: `tools/bench.py`). The cell's own output stays its own."
    for _ in range(5):
        run = kernel.request(f"{what}_request", QUERIES[what], timeout=5)
        assert run.status == ("incomplete" if what == "is_complete" else "ok") and run.kinds == ["busy", "idle"]
    expected = dict(complete=lambda c: "gate" in c["matches"], inspect=lambda c: c["found"], is_complete=lambda c: c["indent"] == "    ",
        history=lambda c: len(c["history"]) == 2, comm_info=lambda c: isinstance(c["comms"], dict), kernel_info=lambda c: c["implementation"] == "ipymini")
    assert expected[what](run.content), run


def test_to_a_busy_subshell(kernel):
    "The same for queries to a subshell: with its own history."
    with Sub(kernel) as sub:
        sub.execute("'input of the subshell'").ok()
        run = sub.execute(BUSY["sleep"], wait=False)
        kernel.sees(run, "started\n")
        for what in QUERIES:
            sent = time.monotonic()
            r = sub.request(f"{what}_request", QUERIES[what], timeout=5)
            assert r.status in ("ok", "incomplete") and time.monotonic() - sent < slack()
            if what == "history": assert [i for _, _, i in r.content["history"]] == ["'input of the subshell'", BUSY["sleep"]]
        assert not run.is_done
        kernel.execute("gate.set()").ok()
        kernel.wait(run).ok()


def test_order_is_kept_when_idle(kernel):
    "In quick succession a query sees what the cells before it did, and is answered in its turn."
    runs = []
    for n in range(25):
        runs.append(kernel.execute(f"before_{n} = {n}", wait=False))
        runs += [kernel.request(f"{q}_request", QUERIES[q], wait=False) for q in ("is_complete", "comm_info", "kernel_info")]
        runs.append(kernel.request("inspect_request", dict(code=f"before_{n}", cursor_pos=4, detail_level=0), wait=False))
    for r in runs: kernel.wait(r)
    assert all(r.content["found"] for r in runs if "found" in r.content)
    replied = sorted(runs, key=lambda r: r.reply["header"]["date"])
    assert [r.msg_id for r in replied] == [r.msg_id for r in runs]


def test_order_is_kept_behind_short_cells(kernel):
    "What counts is how long the running cell has run, not how many there are before the query..."
    cells = [kernel.execute(f"import time\ntime.sleep(0.01)\nshort_{n} = 1", wait=False) for n in range(20)]
    run = kernel.request("inspect_request", dict(code="short_19", cursor_pos=4, detail_level=0))
    for c in cells: kernel.wait(c).ok()
    assert run.ok().content["found"]


def test_short_cells_without_end(kernel):
    "... unless they are so many that nobody would wait for them."
    cells = [kernel.execute(f"import time\ntime.sleep(0.03)\nmany_{n} = 1", wait=False) for n in range(80)]
    run = kernel.request("is_complete_request", QUERIES["is_complete"])
    assert not cells[-1].is_done and cells[10].is_done
    for c in cells: kernel.wait(c).ok()
    assert run.content["status"] == "incomplete"


def test_completion_sees_the_cell_before(kernel):
    "As above for completions, which are made on another thread."
    for n in range(10):
        cell = kernel.execute(f"import time\ntime.sleep(0.01)\nzebra_{n} = 1", wait=False)
        run = kernel.request("complete_request", dict(code=f"zebra_{n}"[:6], cursor_pos=6), wait=False)
        kernel.wait(cell).ok()
        took = cell.reply["header"]["date"] - datetime.fromisoformat(cell.reply["metadata"]["started"])
        assert f"zebra_{n}" in kernel.wait(run).ok().content["matches"] or took.total_seconds() > AFTER, "it may overtake one that takes that long"


SLOW = """import time
class Slow:
    asked = 0
    def __dir__(self):
        Slow.asked += 1
        time.sleep(2)
        return ['attribute']
slow = Slow()"""


def test_completion_has_a_budget(start):
    "An object that takes two seconds to tell its names: cut at half a second; a cell sent behind it does not wait."
    kernel = start(env=dict(IPYMINI_COMPLETION_TIMEOUT=""))
    kernel.execute(SLOW).ok()
    wait_until(lambda: kernel.request("complete_request", dict(code="[].app", cursor_pos=6)).ok().content["matches"])
    wait_until(lambda: kernel.execute("'within' in [t.name for t in __import__('threading').enumerate()]").result == "False")  # Jedi may be at the first one still: no other begins
    sent = time.monotonic()
    run = kernel.request("complete_request", dict(code="slow.", cursor_pos=5), wait=False)
    cell = kernel.execute("'not delayed'", wait=False)
    kernel.wait(cell).ok()
    assert time.monotonic() - sent < 0.3 * slack() and not run.reply
    kernel.wait(run, 5).ok()
    assert time.monotonic() - sent < 0.9 * slack(), f"{time.monotonic() - sent:.2f} s"
    assert kernel.execute("Slow.asked >= 1").ok().result == "True"
    after = kernel.request("complete_request", dict(code="[].app", cursor_pos=6)).ok()
    assert any(m.endswith("append") for m in after.content["matches"])  # without Jedi IPython says ".append"


def test_completion_has_a_budget_while_busy(start):
    k = start(env=dict(IPYMINI_COMPLETION_TIMEOUT="0.1"))
    k.execute(SLOW).ok()
    k.request("complete_request", dict(code="[].app", cursor_pos=6)).ok()
    k.execute("while True: pass", wait=False)
    sent = time.monotonic()
    k.request("complete_request", dict(code="slow.", cursor_pos=5), timeout=5).ok()
    assert time.monotonic() - sent < 0.6 * slack()


def test_completion_without_jedi_has_a_budget(start):
    k = start(env=dict(IPYMINI_USE_JEDI="0", IPYMINI_COMPLETION_TIMEOUT=""))
    k.execute(SLOW).ok()
    sent = time.monotonic()
    run = k.request("complete_request", dict(code="slow.", cursor_pos=5), wait=False)
    assert k.execute("'not delayed'").ok().result == "'not delayed'" and time.monotonic() - sent < 0.3 * slack()
    k.wait(run, 5).ok()
    assert time.monotonic() - sent < 0.9 * slack(), f"{time.monotonic() - sent:.2f} s"


def test_newer_makes_older_moot(kernel):
    "Somebody types on: of five completions only the last is worth its time; all are replied to, in order."
    kernel.execute(SLOW).ok()
    sent = time.monotonic()
    runs = [kernel.request("complete_request", dict(code="slow.", cursor_pos=5), wait=False) for _ in range(4)]
    last = kernel.request("complete_request", dict(code="[].app", cursor_pos=6), wait=False)
    for r in (*runs, last): kernel.wait(r, 5).ok()
    took = time.monotonic() - sent
    assert any(m.endswith("append") for m in last.content["matches"])  # without Jedi IPython says ".append"
    assert took < slack(), f"{took:.2f} s for five"


# --- comms

TARGET = """import threading, asyncio
from comm import get_comm_manager
seen = []
def on_target(comm, msg):
    comm.on_msg(lambda m: (seen.append((m['content']['data'].get('n'), threading.current_thread().name)), print('got', m['content']['data'].get('n'))))
get_comm_manager().register_target('threads', on_target)"""


@pytest.fixture
def opened(kernel):
    "A subshell, and a comm opened through it."
    kernel.execute(TARGET).ok()
    with Sub(kernel) as sub:
        cid = uuid.uuid4().hex
        done(kernel, kernel.send("comm_open", dict(comm_id=cid, target_name="threads", data={}), subshell_id=sub.id))
        yield sub, cid


def done(k, run, timeout=10):
    k.pump(lambda: run.end, timeout, "idle of a comm message")
    return run


def tell(k, cid, n, sub): return k.send("comm_msg", dict(comm_id=cid, data=dict(n=n)), subshell_id=sub.id if sub else None)


def seen(k): return dict(eval(k.execute("repr(seen)").ok().result.strip('"')))


def test_comms_on_main_when_idle(kernel, opened):
    sub, cid = opened
    for n in range(5): assert done(kernel, tell(kernel, cid, n, sub)).stdout == f"got {n}\n"
    assert seen(kernel) == dict.fromkeys(range(5), "MainThread")


def test_comms_on_main_while_awaiting(kernel, opened):
    sub, cid = opened
    run = kernel.execute("wake = asyncio.Event()\nprint('started')\nawait wake.wait()", wait=False)
    kernel.sees(run, "started\n")
    for n in range(3): done(kernel, tell(kernel, cid, n, sub))
    assert not run.is_done
    sub.execute("get_ipython().kernel.shell.user_ns['wake']._loop.call_soon_threadsafe(wake.set);").ok()
    kernel.wait(run).ok()
    assert seen(kernel) == dict.fromkeys(range(3), "MainThread")


def test_comms_on_the_subshell_while_main_is_blocked(kernel, opened):
    "Within a moment, though main does not get to it; without a subshell it waits."
    sub, cid = opened
    run = kernel.execute(BUSY["sleep"], wait=False)
    kernel.sees(run, "started\n")
    waits = tell(kernel, cid, "without", None)
    sent = time.monotonic()
    done(kernel, tell(kernel, cid, "with", sub), 5)
    assert time.monotonic() - sent < 0.5 * slack() and not run.is_done and not waits.end
    sub.execute("gate.set()").ok()
    kernel.wait(run).ok()
    done(kernel, waits)
    assert seen(kernel) == {"with": f"subshell-{sub.id}", "without": "MainThread"}


def test_order_of_a_comm(kernel, opened):
    "Sent while main goes from idle to blocked to idle: each comm's messages in the order they were sent."
    sub, cid = opened
    runs, cells = [], []
    for n in range(200):
        if n % 20 == 10: cells.append(kernel.execute("import time\ntime.sleep(0.12)", wait=False))
        runs.append(tell(kernel, cid, n, sub))
    for r in runs: done(kernel, r)
    for c in cells: kernel.wait(c).ok()
    assert [n for n, _ in eval(kernel.execute("repr(seen)").ok().result.strip('"'))] == list(range(200))


def test_slider_through_a_subshell(kernel):
    "An ipywidgets slider moved through a subshell: its callback runs, also while main computes."
    code = "import ipywidgets as w, threading\ns = w.IntSlider(value=3)\ns.observe(lambda c: print('moved to', c.new, threading.current_thread().name), 'value')\ns.model_id"
    cid = kernel.execute(code, timeout=30).ok().result.strip("'")
    with Sub(kernel) as sub:
        def move(n): return kernel.send("comm_msg", dict(comm_id=cid, data=dict(method="update", state=dict(value=n), buffer_paths=[])), subshell_id=sub.id)
        moved = done(kernel, move(7))
        assert moved.stdout == "moved to 7 MainThread\n" and [kind(m) for m in moved.outputs].count("comm_msg") >= 1
        run = kernel.execute(BUSY["sleep"], wait=False)
        kernel.sees(run, "started\n")
        assert done(kernel, move(9), 5).stdout == f"moved to 9 subshell-{sub.id}\n"
        sub.execute("gate.set()").ok()
        kernel.wait(run).ok()
    assert kernel.execute("s.value").ok().result == "9"


IPYMPL = """%matplotlib widget
import matplotlib.pyplot as plt, numpy as np
fig, axes = plt.subplots(3, 3)
for ax in axes.flat: ax.plot(np.random.rand(200))
fig.canvas.model_id"""


def test_ipympl_redraws_in_a_tight_loop(start):
    "Thirty redraws asked for through a subshell while main lays the figure out again and again: no error, none lost."
    k = start()
    cid = k.execute(IPYMPL, timeout=60).ok().result.strip("'")
    with Sub(k) as sub:
        run = k.execute("print('started')\nimport time\nend = time.time() + 3\nwhile time.time() < end: fig.tight_layout()\nprint('ended')", wait=False)
        k.sees(run, "started\n")
        draw = dict(method="custom", content=dict(type="draw"))
        redraws = [k.send("comm_msg", dict(comm_id=cid, data=draw), subshell_id=sub.id) for _ in range(30)]
        for r in redraws: done(k, r, 30)
        k.wait(run, 60).ok()
        assert run.stdout.endswith("ended\n") and not run.stderr
        assert not [r for r in redraws if r.stderr or r.error], next(r for r in redraws if r.stderr or r.error)


def test_two_inspections(kernel):
    "One on main, the other overtaking: IPython's inspector is one for both, and is not asked for both at once."
    counts = """ip = get_ipython()
inspect, inside, most = ip.object_inspect_mime, [], []
def slowly(*args, **kw):
    import time
    inside.append(1)
    most.append(len(inside))
    time.sleep(0.2)
    inside.pop()
    return inspect(*args, **kw)
ip.object_inspect_mime = slowly"""
    kernel.execute(counts).ok()
    runs = [kernel.request("inspect_request", QUERIES["inspect"], wait=False) for _ in range(3)]
    for r in runs: assert kernel.wait(r).ok().content["found"]
    assert kernel.execute("del ip.object_inspect_mime\nmax(most), len(most)").ok().result == "(1, 3)"
