"What waits behind the cells of a worker: who may be served elsewhere, in which order, and what io does for it. Pure: the clock is the test's."
from types import SimpleNamespace

import pytest

import ipymini.process.threads as threads
from ipymini.process.threads import PATIENCE, Overtaking


@pytest.fixture
def clock(monkeypatch):
    "`after(seconds)` lets time pass and calls what is due by then; `timers`: what is still to be called, as (when, f)."
    c = SimpleNamespace(now=100.0, timers=[], looks=0)
    monkeypatch.setattr(threads, "monotonic", lambda: c.now)
    c.later = lambda seconds, f: c.timers.append((c.now + seconds, f))
    def after(seconds):
        until = c.now + seconds
        while c.timers and min(c.timers)[0] <= until:
            when,f = c.timers.pop(0)
            c.now, c.looks = max(c.now, when), c.looks + 1
            f()
        c.now = until
    c.after = after
    return c


def message(name): return SimpleNamespace(name=name, begun=0)


def test_one_timer_for_all(clock):
    "However many wait, for how long ever: io looks once in a while, at the oldest."
    queue,served,asked = Overtaking(clock.later), [], []
    for i in range(5000): queue.add(message(i), lambda age: asked.append(age), served.append)
    assert len(clock.timers) == 1
    clock.after(1)
    assert len(clock.timers) == 1 and clock.looks == len(asked) <= 1/PATIENCE and not served


def test_order_and_patience(clock):
    "The oldest first, each when it has waited as long; who is served meanwhile is left out; the last look is the last."
    queue,served = Overtaking(clock.later), []
    msgs = [message(i) for i in range(4)]
    for m in msgs:
        queue.add(m, lambda age: age >= PATIENCE, lambda m: served.append((m.name, clock.now)))
        clock.after(PATIENCE/5)
    msgs[2].begun = 1
    clock.after(1)
    assert served == [(i, pytest.approx(100 + PATIENCE + i*PATIENCE/5)) for i in (0, 1, 3)] and not clock.timers


def test_who_goes_on_waiting(clock):
    "Or cannot be served, as an exception tells: it is looked at again."
    queue,tries = Overtaking(clock.later), []
    def serve(m):
        tries.append(m.name)
        if len(tries) == 1: return False
        if len(tries) == 2: raise RuntimeError
    queue.add(message("a"), lambda age: True, serve)
    clock.after(PATIENCE)
    with pytest.raises(RuntimeError): clock.after(PATIENCE)
    clock.after(10*PATIENCE)
    assert tries == ["a"]*3 and not clock.timers
