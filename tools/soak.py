"""Soak room: clients play stories of all kinds on one kernel for minutes; each request's bracket and order is checked, and what is left.
    python tools/soak.py [--minutes 20] [--seed N] [--kernel ipymini] [--without STORY ...] [--only STORY ...] [--rate 50] [--deadline 60]
Prints a line a minute and a table at the end; exit code 1 if there was any fault. A request that is not answered within the deadline ends
the run, with all requests in flight, the stacks of the kernel's threads and its log. The same seed gives each client the same stories; how
they meet is the machine's. First comes a warm-up, then two halves; after each all is let go, and threads, descriptors and memory are
compared. In a run of a minute or less memory is only shown. Linux only.
Must not know: how the kernel is made. Threads: one. Spec: messaging; JEP 91."""
import argparse, os, random, signal, string, sys, time
from collections import Counter, defaultdict, deque
from pathlib import Path

import zmq

sys.path.insert(0, str(Path(__file__).resolve().parent))  # also where PYTHONSAFEPATH keeps it away

from trial import Trial  # noqa: E402 (it knows where the tests' rooms are)
from harness import CHANNELS, Client, kind  # noqa: E402
from spec import check_order  # noqa: E402
from soak_stories import ALONE, FRAGILE, LEFT, LEFTOVERS, SETUP, STORIES, WILD  # noqa: E402

CLIENTS, STORIES_AT_ONCE = 3, 3
SPARE = 4          # threads more than at the start that are no fault: asyncio's own pool grows with its use
GROWTH = 10 << 20  # bytes that the second half may add
ECHO = 3.0         # seconds for which an interrupt may still hit somebody
LONGEST = 2.5      # seconds for which the slow client reads nothing: less than the kernel's patience with it
CATCH_UP = 10.0    # seconds that it reads before it pauses again: two pauses without catching up are one
SLOW_ROOM = 50     # messages that may wait in the slow client
FORGET = """import linecache
linecache.clearcache()
get_ipython().compile._filename_map.clear()"""  # what IPython records of each cell for tracebacks, and %reset leaves
CHATTER = ["comm_msg", "comm_open", "comm_close"]


class Player(Client):
    "A client that plays stories; what it sends is a Run with `sent`, `token` and `want`, and is looked at when it is done."
    def __init__(self, soak, seed):
        k = soak.trial.k
        super().__init__(k.km.connection_file, k.alive, k.log_text)
        self.soak, self.random, self.pending, self.tales, self.subs, self.stops = soak, random.Random(seed), [], [], [], []
        self.garbage = [self.raw_socket(c) for c in CHANNELS[:3]]
        self.wait_ready()

    def raw_socket(self, channel):
        s = self.ctx.socket(zmq.DEALER)
        s.linger = 0
        s.connect(getattr(self.kc, f"{channel}_channel").socket.LAST_ENDPOINT.decode())
        return s

    # --- the words of stories

    def allows(self, story): return story in self.soak.stories

    def word(self): return "".join(self.random.choices(string.ascii_lowercase, k=12))

    def where(self):
        "Now and then one of this client's subshells, also one that is just being deleted."
        return dict(subshell_id=self.random.choice(self.subs)) if self.subs and self.random.random() < 0.3 else {}

    def send(self, *args, want=None, token="", **kw):
        run = super().send(*args, **kw)
        run.sent, run.want, run.token = time.monotonic(), want or {}, token
        self.pending.append(run)
        self.soak.sent[run.msg["header"]["msg_type"]] += 1
        return run

    def execute(self, code, subshell_id=None, stop_on_error=False, plain=False, **want):
        token = self.word()
        code = code.replace("TOKEN", token) + ("" if plain or code.startswith("%%") or code.endswith("?") else f"\n# {token}")
        if code.startswith("%%"): code += "\n"
        content = dict(code=code, silent=False, store_history=True, stop_on_error=stop_on_error, allow_stdin="typed" in want)
        header = dict(subshell_id=subshell_id) if subshell_id else {}
        want = {k: v.replace("TOKEN", token) if isinstance(v, str) else v for k, v in want.items()}
        return self.send("execute_request", content, want=want, token=token, **header)

    def debug(self, command, arguments=None):
        return self.send("debug_request", dict(type="request", seq=1, command=command, arguments=arguments or {}), "control")

    def delete(self, sub):
        if sub in self.subs: self.subs.remove(sub)
        self.soak.deleted.add(sub)
        return self.send("delete_subshell_request", dict(subshell_id=sub), "control")

    def interrupt(self, door):
        "A Run for a message, else a function that is true a moment after the signal."
        k, now = self.soak.trial.k, time.monotonic()
        if door == "message":
            run = self.send("interrupt_request", {}, "control")
            self.soak.interrupts.append(run)
            return run
        self.soak.interrupts.append(now)
        if self.soak.trial.is_alive: (os.killpg if door == "group" else os.kill)(k.pid, signal.SIGINT)
        self.soak.sent["SIGINT"] += 1
        return lambda: time.monotonic() > now + 0.2

    def late(self, run):
        "Whether a run's token has come, however late; not if the cell was hit by something, or what it has left behind cancelled."
        cancelled = lambda: any(c.sent < run.over + 1 and run.sent < getattr(c, "over", time.monotonic()) for c in self.soak.cancels)
        return lambda: run.token in run.text("stdout", run.all) or run.status != "ok" or self.soak.disturbed(run) or cancelled()

    def anywhere(self, run):
        "Whether a run's token has come as output of any cell: what is written to a descriptor belongs to the one that began last."
        runs = lambda: (r for p in self.soak.players for r in p.runs.values())
        return lambda: run.status != "ok" or self.soak.disturbed(run) or any(run.token in r.text("stdout", r.all) for r in runs())

    def throw(self):
        "A few messages of garbage on each channel."
        for s in self.garbage:
            for _ in range(self.random.randrange(4)):
                frames = [self.random.randbytes(self.random.randrange(40)) for _ in range(self.random.randrange(1, 8))]
                if self.random.random() < 0.5: frames[:1] = [b"<IDS|MSG>", b"0" * 64, b"{}", b"{}", b"{}", b"{}"]
                s.send_multipart(frames)
                self.soak.sent["garbage"] += 1

    def complain(self, run, what): self.soak.trial.fault(what, repr(run)[:3000])

    # --- what comes

    def file(self, msg, channel):
        if kind(msg) == "debug_event" and msg["content"]["event"] == "stopped": self.stops.append(msg["content"]["body"]["threadId"])
        try: super().file(msg, channel)
        except AssertionError as e: self.soak.trial.fault("a message against the specification", str(e)[:2000])

    def answer(self, run, msg):
        run.asked.append(msg["content"])
        if run.want.get("typed"): self.reply_input(msg, run.want["typed"])

    def reap(self):
        "Look at what is done, and go on with the stories that waited for it."
        now = time.monotonic()
        for run in [r for r in self.pending if is_over(r)]:
            self.pending.remove(run)
            run.over = now
            self.soak.look_at(self, run)
        for tale in list(self.tales): self.go_on(tale)
        for r in [r for r in self.runs.values() if now - getattr(r, "over", now) > 20]: del self.runs[r.msg_id]
        self.unsolicited.clear()

    def begin(self, name):
        self.soak.told[name] += 1
        tale = dict(name=name, steps=STORIES[name][1](self), waits=None, since=time.monotonic())
        self.tales.append(tale)
        self.go_on(tale)

    def go_on(self, tale):
        while has_come(tale["waits"]):
            run = tale["waits"] if hasattr(tale["waits"], "msg") else None
            try: tale.update(waits=tale["steps"].send(run), since=time.monotonic())
            except StopIteration: return self.tales.remove(tale)


def is_request(run): return run.msg["header"]["msg_type"] not in CHATTER


def is_over(run): return run.end is not None and (run.reply is not None or not is_request(run))


def has_come(what):
    if what is None: return True
    return what() if callable(what) else hasattr(what, "over")


class Slow:
    "A subscriber that reads nothing for a while, again and again; it must see each request's busy and idle all the same."
    def __init__(self, client, seed):
        self.random, self.session, self.until, self.seen = random.Random(seed), client.kc.session, 0, {}
        self.socket = client.ctx.socket(zmq.SUB)
        self.socket.linger, self.socket.rcvhwm = 0, SLOW_ROOM
        self.socket.subscribe(b"")
        self.socket.connect(client.kc.iopub_channel.socket.LAST_ENDPOINT.decode())

    def read(self, all=False):
        if not all and time.monotonic() < self.until: return
        while self.socket.poll(200 if all else 0):
            parts = self.session.feed_identities(self.socket.recv_multipart())[1]
            header, parent, _, content = [self.session.unpack(p) for p in parts[1:5]]
            if header["msg_type"] == "status" and parent: self.seen.setdefault(parent["msg_id"], []).append(content["execution_state"])
        now = time.monotonic()
        if now > self.until + CATCH_UP and self.random.random() < 0.002: self.until = now + self.random.uniform(0.5, LONGEST)


class Soak:
    "The kernel on trial, its clients, and what happened: `sent` and `told` count, `interrupts` are moments or Runs."
    def __init__(self, trial, stories, seed, rate, deadline):
        self.trial, self.stories, self.rate, self.deadline = trial, stories, rate, deadline
        self.sent, self.told, self.answered, self.slowest = Counter(), Counter(), Counter(), defaultdict(lambda: (0, ""))
        self.interrupts, self.cancels, self.deleted, self.inputs, self.registered = deque(maxlen=50), deque(maxlen=50), set(), {}, []
        self.exits, self.random = str(Path(trial.k.tmp.name) / "exits"), random.Random(seed)
        Path(self.exits).touch()
        trial.k.execute(SETUP).ok()
        self.players = [Player(self, f"{seed}:{i}") for i in range(CLIENTS)]
        self.slow = Slow(self.players[0], seed) if "slow" in stories else None
        self.names = [n for n in STORIES if n in stories]

    def disturbed(self, run):
        "Whether an interrupt, or the end of its subshell, may have hit this run."
        if run.msg["header"].get("subshell_id") in self.deleted: return True
        over = getattr(run, "over", time.monotonic())
        return any(run.sent <= ended(i) + ECHO and over >= began(i) for i in self.interrupts)

    def look_at(self, player, run):
        "A run that is done: is it what it should be?"
        msg_type = run.msg["header"]["msg_type"]
        self.answered[msg_type] += 1
        self.slowest[msg_type] = max(self.slowest[msg_type], (run.over - run.sent, str(run.msg["content"])[:100]))
        if "execute_input" in run.kinds:
            where, c, hit = run.msg["header"].get("subshell_id", "main"), run.content, self.disturbed(run)
            how = "hit by an interrupt, or its subshell deleted" if hit else "left alone"
            self.inputs[run.msg["content"]["code"]] = f"{where}, {c['status']} {c.get('ename', '')}, {how}"
        as_response = msg_type == "debug_request" and "status" not in run.content
        msgs = [m for m in run.iopub if kind(m) != "debug_event"]
        while msg_type == "execute_request" and kind(msgs[1]) == "stream": del msgs[1]  # written to a descriptor, it belongs to the cell that has just begun
        try: check_order(msgs, None if as_response or not is_request(run) else run.reply)
        except AssertionError as e: player.complain(run, f"order: {str(e)[:150]}")
        if is_request(run) and not as_response: self.look_at_content(player, run)

    def look_at_content(self, player, run):
        content, want, disturbed = run.content, run.want, self.disturbed(run)
        if content["status"] == "aborted" and (disturbed or "stops" in self.stories): return
        raises = want.get("raises", {None})
        ename = content.get("ename") if content["status"] == "error" else None
        if disturbed and (ename in raises or ename or "raises" in want): return
        if ename not in raises or content["status"] not in ("ok", "error", "complete", "incomplete", "invalid", "unknown"):
            return player.complain(run, f"{run.msg['header']['msg_type']}: {content['status']} {ename}, not {raises}")
        if disturbed: return
        for name, got in dict(out=run.stdout, err=run.stderr, result=run.result or "").items():
            if want.get(name, "") not in got: player.complain(run, f"{name} is not what it should be")

    # --- the play

    def choose(self, player):
        told = {t["name"] for p in self.players for t in p.tales}
        free = [n for n in self.names if not (n in ALONE and n in told) and not (n in FRAGILE and told & WILD)]
        just_now = self.interrupts and time.monotonic() < ended(self.interrupts[-1]) + 1
        if told & FRAGILE or just_now: free = [n for n in free if n not in WILD | FRAGILE]
        return player.random.choices(free, [STORIES[n][0] for n in free])[0] if free else None

    def turn(self, ms=5):
        "Read for all, and go on."
        for p in self.players:
            while p.poll(0): pass
            p.reap()
        while self.trial.k.poll(0): pass
        self.trial.k.unsolicited.clear()
        if self.slow: self.slow.read()
        if not self.trial.is_alive: self.trial.dead()
        self.players[0].poll(ms)
        if not self.trial.fatal: self.look_for_stuck()

    def look_for_stuck(self):
        now, pending = time.monotonic(), sorted((r for p in self.players for r in p.pending), key=lambda r: r.sent)
        if pending and now - pending[0].sent > self.deadline: return self.trial.stuck(line_of(pending[0]), pending)
        for t in (t for p in self.players for t in p.tales if now - t["since"] > self.deadline + 5):
            runs = [v for v in t["steps"].gi_frame.f_locals.values() if hasattr(v, "msg")]
            return self.trial.stuck(f"the story {t['name']} waits", runs)

    def play(self, seconds, tick):
        "Stories for so long; `tick()` is called now and then."
        began, first = time.monotonic(), sum(self.sent.values())
        while (now := time.monotonic()) < began + seconds and not self.trial.fatal:
            for p in self.players:
                allowed = sum(self.sent.values()) - first < (now - began) * self.rate + 5
                if allowed and len(p.tales) < STORIES_AT_ONCE and (name := self.choose(p)): p.begin(name)
            self.turn()
            tick()

    def all_once(self):
        "Each story once, so that what is made when it is first needed is there."
        for n in self.names:
            while any(p.tales or p.pending for p in self.players) and not self.trial.fatal: self.turn()
            if not self.trial.fatal: self.players[0].begin(n)
        self.settle()
        if not self.trial.fatal: self.trial.k.execute("print('x' * 300_000)", store_history=False).ok()  # zmq's own thread for big frames

    def settle(self):
        "Let all that goes on end, and all subshells go."
        busy = lambda: any(p.tales or p.pending for p in self.players)
        while busy() and not self.trial.fatal: self.turn()
        for p in self.players:
            for sub in list(p.subs): p.delete(sub)
        while busy() and not self.trial.fatal: self.turn()

    def measure(self, before=None):
        "Threads, descriptors and memory when all is settled and IPython forgets what it records; a fault if there is more than `before`."
        self.settle()
        if self.trial.fatal: return None
        k, interrupted = self.trial.k, self.sent["interrupt_request"] + self.sent["SIGINT"]
        for code in ("%reset -f in", "%reset -f", FORGET, SETUP): k.execute(code, store_history=False).ok()
        state = self.trial.state()
        fits = lambda s: s["threads"] <= before["threads"] + SPARE and s["fds"] <= before["fds"] + 2 + interrupted // 5
        end = time.monotonic() + 20
        while before and not fits(state) and time.monotonic() < end:
            time.sleep(0.2)
            state = self.trial.state()
        if before and not fits(state):
            self.trial.fault("threads or descriptors left", f"{before} before, {state} after\n{k.execute(LEFT).stdout}")
        return state

    def finish(self):
        "What is left over at the end on purpose, the end itself, and what must have come of it."
        k, trial = self.trial.k, self.trial
        if "leftovers" in self.stories:
            for code in LEFTOVERS: k.execute(code.replace("MARK", trial.mark)).ok()
        self.settle()
        if trial.fatal: return
        if self.slow: self.look_at_slow()
        took = trial.end()
        if took is not None: print(f"the end took {took:.2f} s")
        for p in self.players:
            while p.poll(50): pass
        missing = set(self.registered) - set(Path(self.exits).read_text().split())
        if missing: trial.fault("atexit functions not called", f"{len(missing)} of {len(self.registered)}")
        came = [*self.players[0].unsolicited, *[m for r in self.players[0].runs.values() for m in r.late]]
        texts = "".join(m["content"]["text"] for m in came if kind(m) == "stream")
        lost = [w for w in self.registered if w not in texts]
        if lost: trial.fault("prints of atexit functions lost", f"{len(lost)} of {len(self.registered)}")
        trial.look_at_history(self.inputs)

    def look_at_slow(self):
        self.slow.read(all=True)
        bad = {i: states for i, states in self.slow.seen.items() if states != ["busy", "idle"]}
        log, why = self.trial.k.log_text(10**7), "loses messages"
        if bad or why in log:
            said = next((l for l in log.splitlines() if why in l), "the kernel says nothing of it")
            self.trial.fault("status lost for the slow client", f"{len(bad)} of {len(self.slow.seen)}: {[*bad.items()][:5]}\n{said}")

    def close(self):
        for p in self.players: p.close()


def began(interrupt): return getattr(interrupt, "sent", interrupt)


def ended(interrupt): return getattr(interrupt, "over", time.monotonic()) if hasattr(interrupt, "sent") else interrupt


def line_of(run): return f"{run.msg['header']['msg_type']} {str(run.msg['content'])[:200]}"


def ticker(soak, every):
    "A function that prints a line every so many seconds."
    began = last = time.monotonic()

    def tick():
        nonlocal last
        if time.monotonic() - last < every: return
        last = time.monotonic()
        flying = sum(len(p.pending) for p in soak.players)
        told = f"{soak.answered.total()} answered, {flying} in flight, {soak.sent['interrupt_request'] + soak.sent['SIGINT']} interrupts"
        print(f"{(last - began) / 60:5.1f} min: {told}, {len(soak.trial.faults)} faults", flush=True)
        soak.trial.look_at_log()
    return tick


def run(trial, soak, minutes):
    "Warm-up, two halves, the end."
    seconds, tick = minutes * 60, ticker(soak, min(60, minutes * 10))
    soak.all_once()
    soak.play(min(60, seconds * 0.15), tick)
    states = [soak.measure()]
    for _ in range(2):
        if trial.fatal: break
        soak.play(seconds * 0.425, tick)
        states.append(soak.measure(states[0]))
    trial.look_at_log()
    if trial.fatal: return states
    grown = states[2]["rss"] - states[1]["rss"]
    if grown > GROWTH and minutes > 1: trial.fault("memory", f"the second half added {grown / 2**20:.1f} MiB")
    soak.finish()
    trial.look_at_log()
    return states


def summary(soak, states, took):
    print(f"\n{'request':26}{'sent':>8}{'done':>8}{'slowest, s':>12}")
    for t, n in sorted(soak.sent.items()):
        took_longest, which = soak.slowest[t]
        print(f"{t:26}{n:8}{soak.answered.get(t, '-'):>8}{took_longest:12.2f}  {which}")
    print("stories: " + ", ".join(f"{n} {c}" for n, c in sorted(soak.told.items())))
    for when, s in zip(("warm", "half", "end"), states):
        if s: print(f"{when:5} {s['threads']} threads, {s['fds']} descriptors, {s['rss'] / 2**20:.1f} MiB")
    print(f"{sum(soak.answered.values())} requests in {took:.0f} s; {len(soak.inputs)} cells looked up in the history file; faults:")


def main(argv=None):
    known = [*STORIES, "slow", "leftovers"]
    p = argparse.ArgumentParser(description="Clients play stories of all kinds on one kernel.", epilog=f"stories: {' '.join(known)}")
    p.add_argument("--minutes", type=float, default=20)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--kernel", default="ipymini")
    p.add_argument("--without", nargs="+", default=[], choices=known, metavar="STORY", help="stories not to play")
    p.add_argument("--only", nargs="+", default=known, choices=known, metavar="STORY", help="the only stories to play")
    p.add_argument("--rate", type=float, default=50, help="requests a second")
    p.add_argument("--deadline", type=float, default=60, help="seconds that an answer may take")
    a = p.parse_args(argv)
    trial, began = Trial(a.kernel), time.monotonic()
    print(f"soak of {a.kernel} ({trial.where}), Python {sys.version.split()[0]}, {a.minutes:g} minutes, seed {a.seed}", flush=True)
    soak = Soak(trial, {s for s in a.only if s not in a.without}, a.seed, a.rate, a.deadline)
    try: states = run(trial, soak, a.minutes)
    finally:
        soak.close()
        trial.close()
    summary(soak, states, time.monotonic() - began)
    return trial.verdict()


if __name__ == "__main__": sys.exit(main())
