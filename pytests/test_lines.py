"Pure: how text is joined on its way out, and how the lines of several threads are kept whole. Spec: messaging, `Streams (stdout, stderr, etc)`."
import time
from collections import deque

import pytest

from ipymini import lines
from ipymini.lines import Lines
from ipymini.scope import EVERYBODY, NOBODY

ROOMY = 1000.0  # seconds


class Out:
    "The outbox and what leaves it: text as (scope, name, text), messages as their name."
    def __init__(self):
        self.outbox, self.left = deque(), []
        self.lines = Lines(self.outbox)

    def put(self, *entries):
        "Text as (thread, text), for another stream (thread, text, scope, name); messages as (thread, None, name)."
        for who, text, *rest in entries: self.outbox.append((None, *rest, "", who) if text is None else (*(rest or ("s", "stdout")), text, who))
        return self

    def run(self):
        "What io does until nothing may leave any more; what has left so far."
        while self.outbox or self.lines.waits:
            if self.outbox:
                if self.lines.join(): continue
            elif self.lines.due() > 0: break
            if self.lines.held: self.left += [e for e in [self.lines.take()] if e[2]]
            elif self.outbox: self.left.append(self.outbox.popleft()[1])
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
    assert not out.lines.begun and out.outbox


def test_pieces(out, monkeypatch):
    monkeypatch.setattr(lines, "PIECE", 4)
    monkeypatch.setattr(lines, "JOIN", 4)
    assert [e[2] for e in out.put((1, "0123456789"), (0, None, "idle")).run()[:-1]] == ["0123", "4567", "89"]
