"""Lines room: text on its way out. What belongs together is joined, and a line that two threads' words would tear apart is kept whole.

Owns the text that waits for more of it. Must not know: sockets, messages, the outbox; it is given text and asked for it.
Threads: io only. Pure but for the clock.
Spec: messaging, "Streams (stdout, stderr, etc)"."""

import threading
from time import monotonic

from ..request.scope import EVERYBODY, NOBODY

GRACE = 0.002    # seconds that text without a line end waits for the rest of its line
PACE = 0.05      # seconds between two messages of one stream while nothing else has to leave; that a line waits for its end where several threads write
CROWD = 1.0      # seconds for which threads that were seen to write between each other's words are expected to do so again
JOIN = 1 << 18   # characters at which joining stops
FEW = 8          # changes between streams within one PACE up to which their order is kept; more are joined a stream


class Segment:
    "Text of one stream and request that waits to leave; the thread `who` wrote the last of it, in `parts` from number `own` on."
    __slots__ = ("scope", "name", "parts", "size", "since", "who", "own")

    def __init__(self, scope, name, who):
        self.scope,self.name,self.who = scope, name, who
        self.parts,self.size,self.since,self.own = [], 0, monotonic(), 0

    def add(self, text):
        self.parts.append(text)
        self.size += len(text)

    def append(self, other):
        "Take the text of the segment `other`, of the same stream, in."
        self.own = len(self.parts) + other.own
        self.parts += other.parts
        self.size += other.size
        self.who = other.who

    def cut(self):
        "Take away and return what comes after the last line end, as far as it is the last thread's own."
        text = ""
        while len(self.parts) > self.own and not self.parts[-1].endswith("\n"):
            head,end,tail = self.parts.pop().rpartition("\n")
            text = tail + text
            if end: self.parts.append(head + end)
        self.size -= len(text)
        return text


class Lines:
    """Takes text in with `add`, and gives it away with `take`: as soon as a message has to go behind it, or when it is `due`. `who`: a thread's ident, NOBODY or
    EVERYBODY (see scope). Segments leave in order; streams that change more than FEW times within a PACE have one segment each until the next `take`."""

    def __init__(self):
        self.held,self.size = [], 0  # segments in order, and the characters in them
        self.merged = {}             # (scope, stream name) to its segment, once the streams have outrun the pace
        self.begun = {}              # (scope, stream name, thread) to (text, since): lines between whose words another thread's came
        self.sent,self.crowd = dict(stdout=0.0, stderr=0.0), 0.0
        self.main = threading.main_thread().ident

    @property
    def waits(self): return bool(self.held or self.begun)

    @property
    def is_full(self): return self.size >= JOIN

    def add(self, scope, name, text, who):
        "Take `text` in. A part of what each print costs, so it calls as little as it can."
        held = self.held
        s = held[-1] if held else None
        if s is None or s.scope is not scope or s.name != name: s = self._segment(scope, name, who)
        if s.who != who: self._turn(s, who)
        n = len(text)
        s.parts.append(text)
        s.size += n
        self.size += n

    def make_way(self, who):
        "See that what the thread `who` has begun (EVERYBODY: all threads) leaves with the next `take`: a message of that thread goes behind it."
        if self.held: self._set_aside(self.held[-1], who)
        if self.begun: self._release(PACE, who)

    def due(self):
        "Seconds until what waits may leave if nothing comes behind it; None if nothing waits."
        if not self.held:
            if not self.begun or (left := self._release(PACE)): return left if self.begun else None
        if self.is_full: return 0
        soonest = min(max(self.sent.get(s.name, 0) + PACE, s.since) for s in self.held)
        return max(soonest, self.held[-1].since + self._grace()) - monotonic()

    def _grace(self):
        "Seconds that the last segment's line is waited for."
        last = self.held[-1]
        if self.merged or not last.parts or last.parts[-1].endswith("\n"): return 0
        return GRACE if last.who == self.main and monotonic() > self.crowd else PACE

    def take(self):
        "All that is held, as a list of (scope, stream name, text); without what was set aside."
        held,self.held,self.merged,self.size = self.held, [], {}, 0
        taken = [(s.scope, s.name, "".join(s.parts)) for s in held if s.size]
        now = monotonic()
        for _,name,_ in taken: self.sent[name] = now
        if self.begun: self._release(PACE)
        return taken

    def hurry(self):
        "Let all that was set aside leave with the next `take`."
        self._release(0)

    def _segment(self, scope, name, who):
        "The segment that text of this stream goes to, where that is not the last one."
        last = self.held[-1] if self.held else None
        if self.merged or len(self.held) >= FEW: return self._merge(scope, name, who)
        if last: self._set_aside(last, who)
        return self._new(scope, name, who)

    def _new(self, scope, name, who):
        s = Segment(scope, name, who)
        self.held.append(s)
        if self.begun: self._resume(s)
        return s

    def _merge(self, scope, name, who):
        "As `_segment`, with one segment a stream."
        if not self.merged:
            for s in self.held:
                first = self.merged.setdefault((s.scope, s.name), s)
                if first is not s: first.append(s)
            self.held = list(self.merged.values())
        key = scope, name
        if key not in self.merged: self.merged[key] = self._new(scope, name, who)
        return self.merged[key]

    def _turn(self, s, who):
        "Another thread writes on in `s`: what was set aside of its line goes before its text."
        self._set_aside(s, who)
        s.who,s.own = who, len(s.parts)
        if self.begun: self._resume(s)

    def _set_aside(self, s, who):
        "Keep the line that the last thread of `s` has begun until its end comes, if what comes next is another thread's, `who`."
        if s.who == who or s.who <= 0 or who <= 0 or not (text := s.cut()): return
        now = monotonic()
        self.size -= len(text)
        self.begun[s.scope, s.name, s.who] = text, now
        self.crowd = now + CROWD
        s.who = NOBODY

    def _resume(self, s):
        "Put what was set aside of the line that the thread of `s` goes on with back into it."
        text,_ = self.begun.pop((s.scope, s.name, s.who), ("", 0))
        if not text: return
        s.add(text)
        self.size += len(text)

    def _release(self, patience, who=None):
        """Let what was set aside more than `patience` seconds ago leave with the next `take`, and all that the thread `who` has begun (EVERYBODY: all). Seconds
        until there is more to release; zero if some was."""
        now,released,soonest = monotonic(), False, patience
        for key,(text,since) in list(self.begun.items()):
            if who in (key[2], EVERYBODY) or now - since >= patience:
                del self.begun[key]
                self.add(key[0], key[1], text, NOBODY)
                released = True
            else: soonest = min(soonest, patience - (now - since))
        return 0 if released else soonest
