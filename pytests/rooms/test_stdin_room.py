"Questions to the user between a thread that asks and the io thread that gets the answers: each answer finds its question."
import signal, threading

import pytest

from fakes import Out, execute, request
from ipymini.request.scope import Scope
from ipymini.capture.stdin import Ask, Stdin

WAIT = 10


def input_reply(value, mid=None):
    parent = dict(msg_id=mid, msg_type="input_request") if mid else {}
    return request("input_reply", "x", parent=parent, value=value)


class Asked(Stdin):
    "The real room; as the input_request leaves, the replies that `makers` make of its id arrive: the asker does not know the id yet."

    def __init__(self, *makers):
        self.out,self.makers = Out(), makers
        super().__init__(self.send_and_reply)

    def send_and_reply(self, channel, msg_type, content, scope):
        mid = self.out.send(channel, msg_type, content, scope)
        for make in self.makers: self.answer(make(mid))
        return mid

    def question(self, prompt="? ", password=False): return self.ask(Scope(self.out.port, execute("", "a")), prompt, password)


def test_answer():
    "The request says what is asked, and goes to who runs the cell."
    s = Asked(lambda mid: input_reply("Ada", mid))
    assert s.question("name? ", password=True) == "Ada" and s.asks == []
    assert s.out.lines() == ["a input_request"] and s.out[0].content == dict(prompt="name? ", password=True) and list(s.out[0].idents) == [b"client"]


def test_reply_without_parent():
    "Some clients name none: it is for the last who asked."
    assert Asked(lambda mid: input_reply("line")).question() == "line"


def test_stale_replies_are_dropped():
    "Those to an older input_request, also if they come before the new one's id is known."
    s = Asked(lambda mid: input_reply("stale", "an older one"), lambda mid: input_reply("right", mid))
    assert s.question() == "right" and s.asks == []


def test_what_is_no_answer_is_dropped(caplog):
    "Nobody asked; no value, or none that is text; no input_reply at all."
    s = Asked()
    for bad in (input_reply("nobody asked"), input_reply(3), request("input_reply"), request("input_reply", content_="no JSON"), request("status", value="x")): s.answer(bad)
    assert len([r for r in caplog.records if "dropped" in r.getMessage()]) == 5


def test_replies_find_who_asked():
    "Two that wait at once, answered in the order that the client likes."
    mids,got,sent = [], {}, threading.Semaphore(0)
    s = Asked(lambda mid: mids.append(mid) or sent.release() or input_reply(3))
    ts = [threading.Thread(target=lambda p=p: got.update({p: s.question(p)}), daemon=True) for p in ("one", "two")]
    for t in ts:
        t.start()
        assert sent.acquire(timeout=WAIT)
    for prompt,mid in (("two", mids[1]), ("one", mids[0])): s.answer(input_reply(f"to {prompt}", mid))
    for t in ts: t.join(WAIT)
    assert got == dict(one="to one", two="to two") and s.asks == []


def test_end_of_file():
    s = Asked(lambda mid: input_reply("\x04", mid))
    with pytest.raises(EOFError): s.question()
    assert s.asks == []


def test_interrupted_question_is_forgotten():
    "An interrupt while it waits; the reply that comes later is not the next question's."
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    mids,main = [], threading.main_thread().ident
    timer = threading.Timer(0.05, signal.pthread_kill, (main, signal.SIGINT))
    s = Asked(lambda mid: mids.append(mid) or timer.start() or input_reply(3))
    try:
        with pytest.raises(KeyboardInterrupt): s.question()
    finally: signal.signal(signal.SIGINT, before)
    assert s.asks == []
    s.answer(input_reply("late", mids[0]))
    s.makers = [lambda mid: input_reply("new", mid)]
    assert s.question() == "new"


def test_interrupt_tells_whom_it_hits():
    "The threads that wait for the subshell's questions, each once, whatever is answered then."
    hit = []
    s = Asked(lambda mid: hit.extend([s.interrupt("another"), s.interrupt(None), s.interrupt(None)]) or input_reply("late", mid))
    with pytest.raises(KeyboardInterrupt): s.question()
    assert hit == [[], [threading.get_ident()], []] and s.asks == []


def test_interrupt_as_the_answer_is_taken(monkeypatch):
    "Stand in the gap: it comes when the answer has been decided for. It hits nobody here, and the answer counts."
    s,real,hit = Asked(lambda mid: input_reply("first", mid)), Ask.end, []

    def end(ask):
        monkeypatch.setattr(Ask, "end", real)
        first = ask.end()
        hit.append(s.interrupt(None))
        return first

    monkeypatch.setattr(Ask, "end", end)
    assert s.question() == "first" and hit == [[]]


def test_question_that_cannot_be_sent_is_forgotten():
    def fail(*args): raise TypeError("cannot pack")
    s = Stdin(fail)
    with pytest.raises(TypeError): s.ask(Scope(Out().port, execute("")), "?", False)
    assert s.asks == []
