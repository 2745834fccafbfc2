"""Calls that may take only so long, and what stops those that are late. Between the room and real threads.
Spec: none."""
import time

import pytest

from harness import wait_until
from ipymini.interrupts.budget import LEFT, Late, stop, stop_again, within


@pytest.fixture(autouse=True)
def none_left():
    yield
    assert wait_until(lambda: not any(t.is_alive() for t in LEFT), what="the end of all")
    LEFT.clear()


def users(source, **names):
    "What `source` defines as `f`, as a cell would."
    scope = names | dict(__name__="__main__", time=time)
    exec(source, scope)
    return scope["f"]


def late(f):
    with pytest.raises(Late) as e: within(0.05, lambda: False, f)
    return e.value.thread


def test_what_an_interrupt_brings_is_not_broken_off():
    "A clean-up that takes its time runs to its end, however often somebody looks whether the call is over."
    done = []
    f = users("def spin():\n    while True: pass\ndef f():\n    try: spin()\n    finally:\n        begun = time.monotonic()\n        while time.monotonic() < begun + 0.3: pass\n        done.append(True)", done=done)
    thread = late(f)
    stop(*LEFT)
    while thread.is_alive():
        stop_again()
        time.sleep(0.01)
    assert done == [True]


def test_who_goes_on_with_something_else_is_stopped_again():
    "As completion goes on with its next way to find names."
    g = users("def f():\n    while True: pass")
    scope = dict(__name__="jedi", g=g)  # a tool, by the name of its module
    exec("def f():\n    for _ in range(3):\n        try: g()\n        except KeyboardInterrupt: continue", scope)
    thread = late(scope["f"])
    assert not stop_again()
    stop(*LEFT)
    assert wait_until(lambda: not stop_again(), what="its end")
