"""Soak: four clients send requests of all kinds at once; nothing stays unanswered, no thread and no memory is left behind.
2,000 requests; with IPYMINI_SOAK=1, 100,000. The figures are printed (pytest -rP). Spec: messaging; JEP 91."""
import os, random, time, uuid

import psutil, pytest

from harness import Sub, wait_until

REQUESTS = 100_000 if os.environ.get("IPYMINI_SOAK") else 2_000
CLIENTS, FLIGHT = 4, 12  # how many clients, and how many requests of each are under way at once
SETUP = """import asyncio, gc, threading, time
from comm import get_comm_manager
def on_target(comm, msg): comm.on_msg(lambda m: comm.send(m['content']['data']))
get_comm_manager().register_target('soak', on_target)"""
CELLS = ["1 + 1", "print('x' * 100)", "await asyncio.sleep(0.001)", "time.sleep(0.002)", "1/0", "threading.Thread(target=lambda: print('thread')).start()",
    "import subprocess\nsubprocess.run(['true']);", "display('shown')", "sum(range(20_000))", "asyncio.run(asyncio.sleep(0))", "t = asyncio.create_task(asyncio.sleep(0.001))"]
QUERIES = dict(complete_request=dict(code="time.sl", cursor_pos=7), inspect_request=dict(code="len", cursor_pos=3, detail_level=0), is_complete_request=dict(code="x ="),
    history_request=dict(hist_access_type="tail", n=3, raw=True, output=False), comm_info_request={}, kernel_info_request={})


class Soaker:
    "One client that keeps FLIGHT requests under way: `step` sends the next, what is answered is counted and forgotten."
    def __init__(self, client, seed):
        self.k, self.random, self.flying, self.subs, self.comms, self.sent, self.answered = client, random.Random(seed), [], [], [], 0, {}
        self.waits = lambda r: r.msg["header"]["msg_type"].endswith("_request")
        client.answer = self.answer

    def answer(self, run, msg): self.k.reply_input(msg, "typed")

    def header(self):
        "Of the parent or of one of the subshells, also one that is just being deleted."
        sub = self.random.choice([None, *self.subs])
        return dict(subshell_id=sub) if sub else {}

    def send(self, *args, **kw):
        self.flying.append(self.k.send(*args, **kw))
        self.sent += 1

    def execute(self, code, **kw):
        content = dict(code=code, silent=False, store_history=True, user_expressions={}, allow_stdin=True, stop_on_error=False)
        self.send("execute_request", content, **kw)

    def step(self):
        what = self.random.random()
        if what < 0.50: self.execute(self.random.choice(CELLS), **self.header())
        elif what < 0.56: self.execute("input('? ')", **self.header())
        elif what < 0.78: self.send(*self.random.choice(list(QUERIES.items())), **self.header())
        elif what < 0.88: self.tell_comm()
        elif what < 0.92: self.send("create_subshell_request", {}, "control")
        elif what < 0.96 and self.subs: self.send("delete_subshell_request", dict(subshell_id=self.subs.pop(0)), "control")
        elif what < 0.98: self.send("list_subshell_request", {}, "control")
        else: self.send("interrupt_request", {}, "control")

    def tell_comm(self):
        if len(self.comms) < 3:
            self.comms.append(uuid.uuid4().hex)
            return self.send("comm_open", dict(comm_id=self.comms[-1], target_name="soak", data={}), **self.header())
        self.send("comm_msg", dict(comm_id=self.random.choice(self.comms), data=dict(n=self.sent)), **self.header())

    def is_over(self, r): return r.end and (r.reply or not self.waits(r))

    def reap(self):
        "Read what there is; count the requests that are answered, and learn of new subshells."
        while self.k.poll(0): pass
        for r in [r for r in self.flying if self.is_over(r)]:
            self.flying.remove(r)
            name = r.msg["header"]["msg_type"]
            self.answered[name] = self.answered.get(name, 0) + 1
            if name == "create_subshell_request" and r.status == "ok": self.subs.append(r.content["subshell_id"])
            if len(self.subs) > 6: self.send("delete_subshell_request", dict(subshell_id=self.subs.pop(0)), "control")
            self.k.runs.pop(r.msg_id)
        self.k.unsolicited.clear()  # the other clients', and late output

    def finish(self):
        for s in self.subs: self.send("delete_subshell_request", dict(subshell_id=s), "control")
        self.subs = []
        for c in self.comms: self.send("comm_close", dict(comm_id=c, data={}))


def settle(k, soakers, done, timeout):
    "Read for all until `done()`, and for `k`, which would lose messages if it did not; the story of who waits if nothing is answered for `timeout` seconds."
    last, n = time.monotonic(), -1
    while not done():
        for s in soakers: s.reap()
        while k.poll(0): pass
        k.unsolicited.clear()
        now = sum(sum(s.answered.values()) for s in soakers)
        if now != n: last, n = time.monotonic(), now
        waiting = [r for s in soakers for r in s.flying]
        assert time.monotonic() - last < timeout, f"{len(waiting)} unanswered, {n} answered:\n" + "\n".join(repr(r)[:6000] for r in waiting[:10]) + soakers[0].k.log()
        soakers[0].k.poll(5)


def state(k):
    k.execute("await asyncio.sleep(0.01)\ngc.collect();").ok()
    p = psutil.Process(k.pid)
    return dict(threads=p.num_threads(), rss=p.memory_info().rss, fds=p.num_fds())


def soak(k, clients, n, seed):
    "`n` requests from `clients`; what was answered, by type."
    soakers = [Soaker(c, seed + i) for i, c in enumerate(clients)]
    while sum(s.sent for s in soakers) < n:
        for s in soakers:
            while len(s.flying) < FLIGHT: s.step()
        settle(k, soakers, lambda: any(len(s.flying) < FLIGHT for s in soakers), 20)
    for finish in (lambda s: None, Soaker.finish):  # what creates answers first
        settle(k, soakers, lambda: not any(s.flying for s in soakers), 20)
        for s in soakers: finish(s)
    settle(k, soakers, lambda: not any(s.flying for s in soakers), 20)
    return {t: sum(s.answered.get(t, 0) for s in soakers) for t in sorted({t for s in soakers for t in s.answered})}


def back(k, before, interrupts):
    "The kernel's state if it has no more threads and files than it had; an interrupt in subprocess.run or asyncio.run may cost two or three: CPython does not close them."
    after = state(k)
    return after if after["threads"] <= before["threads"] and after["fds"] <= before["fds"] + 2 + interrupts//5 else None


def forget(k):
    "The kernel's resident bytes after IPython has dropped what a session keeps of each cell by design: In, Out, outputs and exceptions."
    k.execute("%reset -f").ok()
    k.execute(SETUP).ok()
    return k.rss()


@pytest.mark.timeout(120 + REQUESTS / 50)
def test_mixed_soak(start):
    "Two halves: the first fills what is bounded (signatures against replays, the sources that tracebacks show), the second leaves nothing behind."
    k = start()
    k.execute(SETUP).ok()
    k.request("complete_request", QUERIES["complete_request"]).ok()
    wait_until(lambda: k.execute("'within' in [t.name for t in threading.enumerate()]").result == "False", 30, "Jedi to have read what it needs: 10 MiB")
    clients = [k.another() for _ in range(CLIENTS)]
    try:
        soak(k, clients, min(1000, REQUESTS // 4), 100)  # caches, arenas, pools
        wait_until(lambda: state(k)["threads"] < 30, 10, "the threads of the first round to end")
        before, left = state(k), []
        for half in range(2):
            began = time.monotonic()
            answered = soak(k, clients, REQUESTS // 2, 1 + half)
            took = time.monotonic() - began
            assert sum(answered.values()) >= REQUESTS // 2
            after = wait_until(lambda: back(k, before, (1 + half) * answered["interrupt_request"]), 10, f"as many threads and files as {before}")
            left.append(forget(k))
            print(f"{sum(answered.values())} requests in {took:.0f} s, all answered: {answered}")
            print(f"before {before}, after {after}; {(after['rss'] - left[-1]) >> 10} KiB recorded, {left[-1] >> 10} without")
    finally:
        for c in clients: c.close()
    assert left[1] - left[0] < (24 << 20) + REQUESTS * 40, f"{(left[1] - left[0]) >> 10} KiB"
    assert k.execute("1 + 1").ok().result == "2"
    with Sub(k) as sub: assert sub.execute("2 + 2").ok().result == "4"
