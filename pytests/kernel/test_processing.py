"""Whole kernel: a cell that computes for long lets comms through: do_one_iteration, processing_events.
Spec: messaging (custom messages); none for the two names, which libraries know from other kernels (jupyter_ui_poll)."""
import uuid

import pytest

from harness import Sub

TARGET = """import threading, time
from comm import get_comm_manager
seen = []
def on_target(comm, msg): comm.on_msg(lambda m: (seen.append(threading.current_thread().name), print('got', m['content']['data'])))
get_comm_manager().register_target('busy', on_target)
kernel = get_ipython().kernel"""
POLL = "end = time.time() + 10\nprint('started')\nwhile len(seen) < {n} and time.time() < end:\n    {poll}\n    time.sleep(0.001)\nprint('seen', len(seen))"


def opened(k):
    k.execute(TARGET).ok()
    cid = uuid.uuid4().hex
    run = k.send("comm_open", dict(comm_id=cid, target_name="busy", data={}))
    k.pump(lambda: run.end, 5, "idle")
    return cid


def tell(k, cid, n, **header): return k.send("comm_msg", dict(comm_id=cid, data=n), **header)


def test_do_one_iteration(kernel):
    "What has arrived is served, in its own bracket, with its own output; what the cell prints stays the cell's."
    cid = opened(kernel)
    run = kernel.execute(POLL.format(n=3, poll="kernel.do_one_iteration()"), wait=False)
    kernel.sees(run, "started\n")
    told = [tell(kernel, cid, n) for n in range(3)]
    kernel.wait(run, 15).ok()
    assert run.stdout == "started\nseen 3\n"
    for n, t in enumerate(told):
        kernel.pump(lambda t=t: t.end, 5)
        assert t.stdout == f"got {n}\n" and t.kinds[0] == "busy"
    assert kernel.execute("set(seen)").ok().result == "{'MainThread'}"


def test_do_one_iteration_without_any(kernel): assert kernel.execute("get_ipython().kernel.do_one_iteration()\n'on'").ok().result == "'on'"


def test_processing_events(kernel):
    "Inside the block comms are served while the cell computes, with no call of its own; after it they wait again."
    cid = opened(kernel)
    code = "with kernel.processing_events():\n    " + POLL.format(n=3, poll="sum(range(100))").replace("\n", "\n    ")
    run = kernel.execute(code, wait=False)
    kernel.sees(run, "started\n")
    told = [tell(kernel, cid, n) for n in range(3)]
    kernel.wait(run, 15).ok()
    assert run.stdout == "started\nseen 3\n"
    for n, t in enumerate(told):
        kernel.pump(lambda t=t: t.end, 5)
        assert t.stdout == f"got {n}\n"
    after = kernel.execute("print('started')\ntime.sleep(0.3)\nprint('seen', len(seen))", wait=False)
    kernel.sees(after, "started\n")
    late = tell(kernel, cid, 3)
    assert kernel.wait(after).ok().stdout == "started\nseen 3\n"
    kernel.pump(lambda: late.end, 5)
    assert late.stdout == "got 3\n"


def test_processing_events_ends_with_an_error(kernel):
    "A cell that fails inside the block leaves it."
    cid = opened(kernel)
    assert kernel.execute("with kernel.processing_events(): 1/0").content["ename"] == "ZeroDivisionError"
    told = tell(kernel, cid, 0)
    kernel.pump(lambda: told.end, 5)
    assert kernel.execute("seen").ok().result == "['MainThread']"


def test_only_comms(kernel):
    "Executes and other requests keep their turn."
    opened(kernel)
    run = kernel.execute("for _ in range(200):\n    kernel.do_one_iteration()\n    time.sleep(0.001)\nprint('first')", wait=False)
    second = kernel.execute("print('second')", wait=False)
    kernel.wait(second).ok()
    assert run.is_done and run.stdout == "first\n"


def test_from_a_subshell(kernel):
    "do_one_iteration on a subshell's thread serves what waits there, and takes nothing from main's."
    cid = opened(kernel)
    with Sub(kernel) as sub:
        assert sub.execute("get_ipython().kernel.do_one_iteration()\n'on'").ok().result == "'on'"
        told = tell(kernel, cid, 0, subshell_id=sub.id)
        kernel.pump(lambda: told.end, 5)
        assert kernel.execute("seen").ok().result == "['MainThread']"


@pytest.mark.parametrize("poll", ["kernel.do_one_iteration()", "with kernel.processing_events() as serve: serve()"])
@pytest.mark.parametrize("where", ["subshell", "thread"])
def test_other_threads_leave_mains_queue(kernel, where, poll):
    "What waits for main, which computes, is served by nobody else."
    cid = opened(kernel)
    kernel.execute("go_on = threading.Event()").ok()
    many = f"for _ in range(20):\n    {poll}\n"
    with Sub(kernel) as sub:
        run = kernel.execute("print('started')\nwhile not go_on.is_set(): time.sleep(0.001)", wait=False)
        kernel.sees(run, "started\n")
        told = tell(kernel, cid, 0)
        if where == "subshell": code = many + "seen"
        else: code = "def work():\n    " + many.replace("\n", "\n    ") + "got.append(1)\ngot = []\nt = threading.Thread(target=work)\nt.start()\nt.join()\ngot.pop(), seen"
        assert sub.execute(code).ok().result == dict(subshell="[]", thread="(1, [])")[where]
        sub.execute("go_on.set()").ok()
        kernel.wait(run).ok()
        kernel.pump(lambda: told.end, 5)
        assert kernel.execute("seen").ok().result == "['MainThread']"


@pytest.mark.parametrize("poll", ["kernel.do_one_iteration()", "serve()"])
def test_subshells_serve_their_own(kernel, poll):
    "A comm message that came through a subshell, and was handed to it as main computes, is served while the subshell's cell computes, too."
    cid = opened(kernel)
    kernel.execute("go_on = threading.Event()").ok()
    with Sub(kernel) as sub:
        main = kernel.execute("print('started')\nwhile not go_on.is_set(): time.sleep(0.001)", wait=False)
        kernel.sees(main, "started\n")
        run = sub.execute("with kernel.processing_events() as serve:\n    " + POLL.format(n=2, poll=poll).replace("\n", "\n    "), wait=False)
        kernel.sees(run, "started\n")
        told = [tell(kernel, cid, n, subshell_id=sub.id) for n in range(2)]
        assert kernel.wait(run, 15).ok().stdout == "started\nseen 2\n"
        for n, t in enumerate(told):
            kernel.pump(lambda t=t: t.end, 5)
            assert t.stdout == f"got {n}\n"
        assert sub.execute(f"go_on.set()\nset(seen) == {{'subshell-{sub.id}'}}").ok().result == "True"
        kernel.wait(main).ok()


def test_processing_events_in_each_other(kernel):
    "The end of the inner block is not that of the outer one."
    cid = opened(kernel)
    code = "with kernel.processing_events():\n    with kernel.processing_events(): pass\n    " + POLL.format(n=1, poll="sum(range(100))").replace("\n", "\n    ")
    run = kernel.execute(code, wait=False)
    kernel.sees(run, "started\n")
    told = tell(kernel, cid, 0)
    assert kernel.wait(run, 15).ok().stdout == "started\nseen 1\n"
    kernel.pump(lambda: told.end, 5)
    late = kernel.execute("print('started')\ntime.sleep(0.3)\nprint('seen', len(seen))", wait=False)
    kernel.sees(late, "started\n")
    told = tell(kernel, cid, 1)
    assert kernel.wait(late).ok().stdout == "started\nseen 1\n"
    kernel.pump(lambda: told.end, 5)
