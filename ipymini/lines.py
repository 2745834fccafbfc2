"""Lines room: text on its way out. What belongs together is joined, and a line that two threads' words would tear apart is kept whole.

Owns the text that waits for more of it. Must not know: sockets; messages are entries of the outbox that it does not look into.
Threads: io only, but the outbox, a deque, is appended to by any.
Spec: messaging, "Streams (stdout, stderr, etc)"."""

import threading, time

from .scope import EVERYBODY, NOBODY

GRACE = 0.002    # seconds that text without a line end waits for the rest of its line
PACE = 0.05      # seconds between two messages of one stream while nothing else has to leave; that a line waits for its end where several threads write
CROWD = 1.0      # seconds for which threads that were seen to write between each other's words are expected to do so again
JOIN = 1 << 18   # characters at which joining stops
PIECE = 1 << 20  # characters in one stream message at most
RUN = 16         # texts in one entry of the outbox at most


class Held:
    "Text of one stream and request that waits for more of it; the thread `who` wrote the last of it."
    __slots__ = ("scope", "name", "parts", "size", "since", "who")

    def __init__(self, scope, name, who): self.scope,self.name,self.parts,self.size,self.since,self.who = scope, name, [], 0, time.monotonic(), who

    def add(self, text):
        self.parts.append(text)
        self.size += len(text)

    def cut(self):
        "Take away and return what comes after the last line end."
        text = ""
        while self.parts and not self.parts[-1].endswith("\n"):
            head,end,tail = self.parts.pop().rpartition("\n")
            text = tail + text
            if end: self.parts.append(head + end)
        self.size -= len(text)
        return text


class Lines:
    """The text at the head of `outbox`, whose entries are (scope, stream name, text or list of texts, who) and (None, ..., who): `join` takes it in, `take` gives it
    away when nothing continues it or when it is `due`. `who` is a thread's ident, NOBODY or EVERYBODY (see scope)."""

    def __init__(self, outbox):
        self.tail = None  # the last entry of the outbox, if it is a list of texts: its thread may add to it, and looks afterwards whether it still is the last
        self.outbox,self.held,self.begun = outbox, None, {}  # begun: lines between whose words another thread's came
        self.sent,self.crowd,self.main = dict(stdout=0.0, stderr=0.0), 0.0, threading.main_thread().ident

    @property
    def waits(self): return self.held is not None or bool(self.begun)

    def join(self):
        "Move text from the head of the outbox to the held text, as far as it continues it; True if the head is another one now."
        outbox,held = self.outbox, self.held
        scope,name,_,who = outbox[0]
        if scope is None: return self._make_way(who)
        if held is None:
            self.held = held = Held(scope, name, who)
            if self.begun: held.add(self._begun(outbox[0]))
        elif scope is not held.scope or name != held.name: return self._make_way(who)
        if held.who != who: self._turn(outbox[0])
        if held.size >= JOIN: return False
        self._take_in(scope, name, who)
        return True

    def _take_in(self, scope, name, who):
        "The text at the head, as far as it is of this stream and thread. A third of what a print costs, so it calls as little as it can."
        parts,size,pop = self.held.parts, self.held.size, self.outbox.popleft
        try:
            while size < JOIN:
                entry = pop()
                of,stream,text,writer = entry
                if of is not scope or writer != who or stream != name:
                    self.outbox.appendleft(entry)
                    break
                if text.__class__ is list: text = self._close(entry)
                if len(text) > PIECE: text = self._piece(entry, text)
                parts.append(text)
                size += len(text)
        except IndexError: return  # the outbox is empty
        finally: self.held.size = size

    def due(self):
        "Seconds until what waits may leave if nothing comes behind it."
        held,now = self.held, time.monotonic()
        if held is None: return self._release(PACE)
        if held.size >= JOIN: return 0
        grace = GRACE if held.who == self.main and now > self.crowd else PACE
        return max(self.sent[held.name] + PACE, held.since if held.parts[-1].endswith("\n") else held.since + grace) - now

    def take(self):
        "The held text: (scope, stream name, text). The text is empty if all of it was set aside."
        held,self.held = self.held, None
        if self.begun: self._release(PACE)
        if held.size: self.sent[held.name] = time.monotonic()
        return held.scope, held.name, "".join(held.parts)

    def hurry(self):
        "Put all that was set aside back at the head of the outbox."
        self._release(0)

    def _close(self, entry):
        "The texts of `entry` as one. Should its thread add another at this very moment, it finds that the entry is the last no more, and appends it again."
        if self.tail is entry: self.tail = None
        texts = entry[2]
        n = len(texts)
        text = "".join(texts[:n])
        del texts[:n]
        return text

    def _piece(self, entry, text):
        "The first piece of `text`; the others go back to the head of the outbox: the client reads one while the next is made."
        scope,name,_,who = entry
        self.outbox.extendleft((scope, name, text[i:i+PIECE], who) for i in reversed(range(PIECE, len(text), PIECE)))
        return text[:PIECE]

    def _turn(self, entry):
        "Another thread writes on: `entry` is its text, and what was set aside of its line goes before that."
        self._set_aside(entry[3])
        if self.begun: self.held.add(self._begun(entry))

    def _set_aside(self, who):
        "Keep the line that the held text's last thread has begun until its end comes, if what comes next is another thread's, `who`."
        held,now = self.held, time.monotonic()
        if held.who > 0 and who > 0 and (text := held.cut()): self.begun[held.scope, held.name, held.who],self.crowd = (text, now), now + CROWD
        held.who = who

    def _begun(self, entry):
        "What was set aside of the line that `entry` continues; empty if nothing was."
        return self.begun.pop((entry[0], entry[1], entry[3]), ("", 0))[0]

    def _make_way(self, who):
        "See that what the thread `who` has begun goes before what is at the head of the outbox, a message or another stream's text. True if the head is another one now."
        if self.held and self.held.who != who: self._set_aside(who)
        return bool(self.begun) and self._release(PACE, who) <= 0

    def _release(self, patience, who=None):
        """Put what was set aside more than `patience` seconds ago back at the head of the outbox, and all that the thread `who` has begun (EVERYBODY: all). Seconds
        until there is more to release; zero if some was."""
        now,released,soonest = time.monotonic(), False, patience
        for key,(text,since) in list(self.begun.items()):
            if who in (key[2], EVERYBODY) or now - since >= patience:
                del self.begun[key]
                self.outbox.appendleft((key[0], key[1], text, NOBODY))
                released = True
            else: soonest = min(soonest, patience - (now - since))
        return 0 if released else soonest
