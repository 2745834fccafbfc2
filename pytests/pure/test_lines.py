"Pure: how text is joined on its way out, and how the lines of several threads are kept whole. The real outbox, between a fake socket and a fake codec. Spec: messaging, `Streams (stdout, stderr, etc)`."
import random, re, time

import pytest

from ipymini.wire import lines, outbox
from ipymini.wire.outbox import Outbox
from ipymini.request.scope import EVERYBODY, NOBODY, PASSES

ROOMY = 1000.0  # seconds


class Out:
    "An outbox and what leaves it: text as (scope, name, text), messages as their name."
    def __init__(self):
        self.left = []
        self.box = Outbox(lambda *text: text, self.transmit, lambda: None)
        self.lines, self.is_full = self.box.lines, False

    def transmit(self, channel, frames):
        if not self.is_full: self.left.append(frames)
        return not self.is_full

    def put(self, *entries):
        "Text as (thread, text), for another stream (thread, text, scope, name); messages as (thread, None, name)."
        for who, text, *rest in entries:
            if text is None: self.box.put("iopub", rest[0], who)
            else: self.box.write(*(rest or ("s", "stdout")), text, who)
        return self

    def run(self):
        "What has left when nothing may leave any more."
        while self.box.drain() == 0: pass
        return self.left

    @property
    def text(self): return "".join(e[2] for e in self.run() if not isinstance(e, str) and e[:2] == ("s", "stdout"))


@pytest.fixture
def out(monkeypatch):
    "Nothing leaves only because time goes by."
    for name in ("GRACE", "PACE", "CROWD"): monkeypatch.setattr(lines, name, ROOMY)
    o = Out()
    o.lines.main, o.lines.sent = 1, dict.fromkeys(("stdout", "stderr"), time.monotonic())
    return o


def later(out, monkeypatch):
    "Now all that had to wait has waited long enough."
    for name in ("GRACE", "PACE"): monkeypatch.setattr(lines, name, 0)
    return out.run()


def test_neighbours_join(out):
    assert out.put((1, "a"), (1, "\n"), (1, "b\n"), (0, None, "idle")).run() == [("s", "stdout", "a\nb\n"), "idle"]


def test_streams_and_requests_do_not_join(out):
    out.put((1, "a\n"), (1, "b\n", "s", "stderr"), (1, "c\n", "t", "stdout"), (0, None, "idle"))
    assert out.run() == [("s", "stdout", "a\n"), ("s", "stderr", "b\n"), ("t", "stdout", "c\n"), "idle"]


def test_one_thread_keeps_its_order(out):
    out.put((1, "a"), (1, "e", "s", "stderr"), (1, "b"), (1, None, "display"), (1, "c"), (0, None, "idle"))
    assert out.run() == [("s", "stdout", "a"), ("s", "stderr", "e"), ("s", "stdout", "b"), "display", ("s", "stdout", "c"), "idle"]


def test_a_line_torn_apart(out):
    "2 and 3 write between the words of 1."
    out.put((1, "o"), (1, "ne"), (2, "two"), (3, "three\n"), (1, "\n"), (2, "\n"), (0, None, "idle"))
    assert out.run() == [("s", "stdout", "three\none\ntwo\n"), "idle"]


def test_a_line_around_another_threads_display(out):
    assert out.put((1, "o"), (2, None, "display"), (1, "ne\n"), (0, None, "idle")).run() == ["display", ("s", "stdout", "one\n"), "idle"]


def test_a_line_around_another_threads_stream(out):
    out.put((1, "o"), (2, "err\n", "s", "stderr"), (2, "t"), (1, "ne\n"), (2, "wo\n"), (0, None, "idle"))
    assert out.text == "one\ntwo\n"


def test_own_messages_come_after_what_was_begun(out):
    out.put((1, "o"), (2, "two\n"), (1, None, "display"), (1, "ne\n"), (0, None, "idle"))
    assert out.run() == [("s", "stdout", "two\no"), "display", ("s", "stdout", "ne\n"), "idle"]


def test_the_end_waits_for_nobody(out):
    assert out.put((1, "o"), (2, "t"), (0, None, "idle")).run()[-1] == "idle" and out.text in ("ot", "to")


def test_foreign_text_stays_where_it_is(out):
    "What C code and children write belongs behind what Python has printed before, also on the same line."
    assert out.put((1, "o"), (NOBODY, "ne\n"), (NOBODY, "t"), (1, "wo\n"), (EVERYBODY, None, "idle")).text == "one\ntwo\n"


def test_what_is_set_aside_waits_for_its_end_only_so_long(out, monkeypatch):
    assert out.put((1, "o"), (2, "two\n")).run() == [] and out.lines.begun
    assert later(out, monkeypatch) == [("s", "stdout", "two\n"), ("s", "stdout", "o")]
    assert out.put((1, "ne\n")).run()[2:] == [("s", "stdout", "ne\n")]


def test_a_stream_that_never_ends_does_not_hold_back_a_line(out, monkeypatch):
    monkeypatch.setattr(lines, "JOIN", 10)
    monkeypatch.setattr(outbox, "RUN", 1)
    out.put((1, "o"), *[(2, "two\n")] * 3)
    assert not out.run()[0][2].startswith("o") and out.lines.begun
    monkeypatch.setattr(lines, "PACE", 0)
    out.put(*[(2, "two\n")] * 9).run()
    assert out.text.count("otwo") == 1 and not out.lines.begun


def test_threads_other_than_main_get_more_time_for_a_line(out, monkeypatch):
    monkeypatch.setattr(lines, "GRACE", 0)
    out.lines.sent["stdout"] = -ROOMY*9
    out.put((2, "two")).run()
    assert out.lines.due() > ROOMY/2
    out.lines.take()
    out.lines.sent["stdout"] = -ROOMY*9
    out.put((1, "one")).run()
    assert out.left[-1] == ("s", "stdout", "one")


def test_hurry(out):
    out.put((1, "o"), (2, "t")).run()
    out.lines.hurry()
    assert not out.lines.begun and out.lines.held


def test_pieces(out, monkeypatch):
    monkeypatch.setattr(outbox, "PIECE", 4)
    monkeypatch.setattr(lines, "JOIN", 4)
    assert [e[2] for e in out.put((1, "0123456789"), (0, None, "idle")).run()[:-1]] == ["0123", "4567", "89"]


# --- two streams in turns

def in_turns(n): return [(1, f"{i}\n", "s", name) for i in range(n) for name in ("stdout", "stderr")]


def test_a_few_lines_keep_their_order(out):
    assert out.put(*in_turns(2), (0, None, "idle")).run() == [("s", "stdout", "0\n"), ("s", "stderr", "0\n"), ("s", "stdout", "1\n"), ("s", "stderr", "1\n"), "idle"]


def test_streams_that_outrun_the_pace_are_joined(out):
    "One message a stream, nothing lost, each in its order; and after that the order of a few lines is kept again."
    whole = "".join(f"{i}\n" for i in range(1000))
    assert out.put(*in_turns(1000), (0, None, "idle")).run() == [("s", "stdout", whole), ("s", "stderr", whole), "idle"]
    assert out.put(*in_turns(1)).box.finish(1) and out.left[3:] == [("s", "stdout", "0\n"), ("s", "stderr", "0\n")]


def test_requests_that_print_in_turns_are_joined(out):
    out.put(*[(1, f"{i}\n", f"scope {i % 3}", "stdout") for i in range(30)], (0, None, "idle"))
    assert [e[0] for e in out.run()[:-1]] == ["scope 0", "scope 1", "scope 2"] and out.left[0][2] == "".join(f"{i}\n" for i in range(0, 30, 3))


def test_lines_of_threads_stay_whole_where_streams_are_joined(out):
    for i in range(30): out.put((1, "o"), (2, "t"), (1, "err\n", "s", "stderr"), (1, "ne\n"), (2, "wo\n"))
    assert out.put((0, None, "idle")).text.replace("one\n", "").replace("two\n", "") == ""


def test_a_partial_line_among_joined_streams_is_not_lost(out):
    out.put(*in_turns(20), (2, "half"), (1, "x\n"))
    assert out.box.finish(1) and "half" in out.text and out.text.count("x\n") == 1


# --- messages that pass

def test_text_is_not_cut_by_what_cannot_change_where_it_goes(out):
    out.put((1, "a\n"), (PASSES, None, "comm"), (1, "b\n"), (PASSES, None, "update"), (1, "c\n"), (1, None, "display"))
    assert out.run() == ["comm", "update", ("s", "stdout", "a\nb\nc\n"), "display"]


def test_messages_that_pass_do_not_hold_up_text(out, monkeypatch):
    "However many of them there are."
    monkeypatch.setattr(lines, "PACE", 0)
    monkeypatch.setattr(outbox, "TURN", 4)
    assert out.put((1, "a\n"), *[(PASSES, None, "comm")]*10).run().index(("s", "stdout", "a\n")) <= 4


# --- a subscriber that is full

def test_order_is_kept_while_nothing_can_be_sent(out):
    out.is_full = True
    out.put((1, "a\n"), (1, "b\n", "s", "stderr"), (1, None, "display"), (1, "c\n")).run()
    out.put((PASSES, None, "comm"), (0, None, "idle")).run()
    assert out.left == []
    out.is_full = False
    assert out.run() == [("s", "stdout", "a\n"), ("s", "stderr", "b\n"), "display", "comm", ("s", "stdout", "c\n"), "idle"]


def test_a_message_that_cannot_be_sent_at_all_costs_itself_alone(out):
    "What `transmit` raises goes to io's guard; the next turn goes on behind it."
    def transmit(channel, frames):
        if frames == "bad": raise ValueError
        return Out.transmit(out, channel, frames)
    out.box.transmit = transmit
    out.is_full = True
    out.put((0, None, "good"), (0, None, "bad"), (0, None, "last")).run()
    out.is_full = False
    for _ in range(3):
        try: out.run()
        except ValueError: continue
    assert out.left == ["good", "last"]


# --- anything

class Story:
    "Random texts and messages of three threads, and what must be true of what leaves: nothing is lost, each thread's text of a stream keeps its order, and its place among its messages."
    def __init__(self, out, seed): self.out, self.random, self.n, self.said = out, random.Random(seed), 0, []

    def step(self):
        self.n += 1
        what, who = self.random.random(), self.random.randint(1, 3)
        if what < 0.75: return self.say(who, self.random.choice("st"), self.random.choice(["stdout", "stderr"]), self.random.choice(["", "", "\n"]))
        if what < 0.85: return self.tell(self.random.choice([who, EVERYBODY, PASSES]))
        if what < 0.95: return self.out.box.drain()
        self.out.is_full = not self.out.is_full

    def say(self, who, scope, name, end):
        text = f"<{self.n}>{end}"
        self.said.append((who, scope, name, text.strip()))
        self.out.put((who, text, scope, name))

    def tell(self, who):
        self.said.append((who, None, None, f"message {self.n}"))
        self.out.put((who, None, f"message {self.n}"))

    def places(self):
        "Where in all that has left each thing stands: (message, place in its text)."
        self.out.is_full = False
        assert self.out.box.finish(10)
        texts = [(e, None, None) if isinstance(e, str) else (e[2], *e[:2]) for e in self.out.left]
        assert sum(len(t) for t,scope,_ in texts if scope) == sum(len(m) for m in re.findall(r"<\d+>\n?", "".join(t for t,scope,_ in texts if scope)))
        found = {}
        for i,(text,scope,name) in enumerate(texts):
            for m in re.finditer(r"<\d+>|message \d+", text): found.setdefault(m[0], []).append((i, m.start(), scope, name))
        return found


@pytest.mark.parametrize("seed", range(60))
def test_anything(seed, monkeypatch):
    monkeypatch.setattr(lines, "PACE", 0.001)
    monkeypatch.setattr(lines, "FEW", 3)
    monkeypatch.setattr(outbox, "RUN", 3)
    story = Story(Out(), seed)
    for _ in range(400): story.step()
    found = story.places()
    assert all(len(found.get(what, ())) == 1 for *_,what in story.said), "lost, or told twice"
    where = {what: found[what][0] for *_,what in story.said}
    assert all(where[what][2:] == (scope, name) for _,scope,name,what in story.said if scope)
    for key in {s[:3] for s in story.said if s[1]}:
        mine = [where[what] for *k,what in story.said if tuple(k) == key]
        assert mine == sorted(mine), f"{key} in disorder"
    messages = [where[what] for who,scope,_,what in story.said if not scope]
    assert messages == sorted(messages)
    for i,(who,scope,_,what) in enumerate(story.said):
        if scope or who == PASSES: continue
        before = [where[w] for w2,s,_,w in story.said[:i] if s and (who == EVERYBODY or w2 == who)]
        after = [where[w] for w2,s,_,w in story.said[i+1:] if s and (who == EVERYBODY or w2 == who)]
        assert max(before, default=(-1,)) < where[what] < min(after, default=(10**9,)), f"{what} of {who} has left its place"
