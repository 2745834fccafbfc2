"""Outbox room: the one queue through which all leaves, in order; any thread appends, io drains.

Owns the order of messages and text, and how long a producer waits while the client is slow. Must not know: sockets (it is handed `transmit` and `wake`), what a message means.
Threads: `put`, `write` and `wait_room` any; `drain` and `finish` io.
Spec: messaging, "Streams (stdout, stderr, etc)"; "Order is a promise" (DEV.md)."""

import logging, threading
from collections import deque
from threading import get_ident
from time import monotonic

from ..interrupts.protect import wait_code
from .lines import Lines
from ..request.scope import PASSES

log = logging.getLogger("ipymini.wire.outbox")
ROOM = 20_000    # entries beyond which producers wait
RUN = 16         # texts in one entry at most
TURN = 256       # messages that leave in one turn at most: io looks at its sockets between two
PIECE = 1 << 20  # characters in one stream message at most
AGAIN = 2        # milliseconds until a subscriber that is full is tried again: XPUB tells of no room


class Outbox:
    """Entries are (scope, stream name, [texts], thread ident) and (None, channel, frames, thread ident or EVERYBODY or PASSES). `pack(scope, name, text)` makes the frames of
    a stream message, `transmit(channel, frames)` sends some, False if a subscriber is full; `wake()` ends io's wait.

    One invariant makes `write` correct without a lock: *text is added to an entry only by the thread that made it, and counts only if the entry is the `tail` afterwards.*
    `drain` first takes the entry from being the tail, then copies its texts and deletes as many: a text that comes in between is still in the list, or its thread finds that
    the entry is the tail no more, and appends the entry once more. `put` sets the tail to None before and after it appends: no later text is added to an entry before the message."""

    def __init__(self, pack, transmit, wake):
        self.pack,self.transmit,self.wake = pack, transmit, wake
        self.entries,self.ready,self.lines = deque(), deque(), Lines()  # ready: (channel, frames) of what leaves next
        self.tail = None               # the last entry, if its thread may add text to it
        self.asleep = self.holding = False  # io waits for anything at all; for text that is held. Set by io, cleared by `wake`'s caller
        self.room = threading.Lock()   # locked while a producer waits for room
        self.is_stuck = False          # a subscriber is full
        self.thread = None             # io's, once it serves

    # --- any thread

    def put(self, channel, frames, who):
        "Append a message of the thread `who`, and wake io if it sleeps. Any thread."
        if len(self.entries) > ROOM: self.wait_room()
        if who is not PASSES: self.tail = None  # what this thread writes from here on, even if it is interrupted now ...
        self.entries.append((None, channel, frames, who))
        if who is not PASSES: self.tail = None  # ... and what others write who know of the message goes behind it
        if self.asleep or self.holding: self.rouse()

    def write(self, scope, name, text, who):
        "Append `text` of the thread `who` for the stream `name`, or add it to the last entry if that is of the same; io looks at it when its pace allows. Any thread."
        entry = tail = self.tail
        if tail is not None and tail[0] is scope and tail[3] == who and tail[1] == name and len(tail[2]) < RUN:
            tail[2].append(text)
            if self.tail is tail: return  # else io may have looked just before
        else:
            if len(self.entries) > ROOM: self.wait_room()
            entry = self.tail = scope, name, [text], who
        self.entries.append(entry)
        if self.asleep: self.rouse()

    def rouse(self):
        "Make io look. Any thread, and signal handlers."
        self.asleep = self.holding = False
        self.wake()

    @wait_code
    def wait_room(self):
        "Let a producer wait while the outbox is full: clients set the pace, memory stays bounded. KeyboardInterrupt may come out."
        if self.thread is None or get_ident() == self.thread.ident: return
        while len(self.entries) > ROOM // 2 and self.thread.is_alive():
            if not self.is_stuck: self.rouse()  # it may be holding text back
            self.room.acquire(timeout=0.2)  # a lock, as an interrupt may come out anywhere in Python code; in slices, as several may wait

    # --- io

    def drain(self):
        "Send what may leave now, TURN messages at most; milliseconds until there is more to do, None if all has left."
        entries,lines = self.entries, self.lines
        for _ in range(TURN):
            if self.ready and not self._send_ready(): return AGAIN
            if entries and not lines.is_full: self._take(entries.popleft())
            elif (due := lines.due()) is None: return None
            elif due > 0: return max(1, int(due*1000 + 0.999))
            else: self._flush()
        if lines.waits and lines.due() <= 0: self._flush()  # what passes the text by must not hold it up
        return 0

    def finish(self, seconds):
        "Send all there is, held text too; False if that took longer than `seconds`."
        until = monotonic() + seconds
        while self.entries or self.ready or self.lines.waits:
            if monotonic() > until: return False
            self.lines.hurry()
            if not self.entries: self._flush()
            if self.drain() == AGAIN: self.room.acquire(timeout=AGAIN/1000)
        return True

    def make_room(self):
        "Let those go on who wait for room, if there is some."
        if len(self.entries) <= ROOM // 2 and self.room.locked(): self.room.release()

    def _take(self, entry):
        "Take in the text, or send the message, that was at the head."
        scope,name,content,who = entry
        if scope is not None: return self._take_text(entry)
        if who is not PASSES and self.lines.waits:
            self.lines.make_way(who)
            self._flush()
        self.leave(name, content)

    def leave(self, channel, frames):
        "Send a message now, before all that is in the entries; if that cannot be, as soon as it can, in order."
        if self.ready or not self.transmit(channel, frames): self.ready.append((channel, frames))

    def _take_text(self, entry):
        scope,name,text,who = entry
        if text.__class__ is list: text = self._close(entry)
        if len(text) > PIECE: text = self._piece(entry, text)
        self.lines.add(scope, name, text, who)

    def _close(self, entry):
        "The texts of `entry` as one: see the invariant."
        if self.tail is entry: self.tail = None
        texts = entry[2]
        n = len(texts)
        text = "".join(texts[:n])
        del texts[:n]
        return text

    def _piece(self, entry, text):
        "The first piece of `text`; the others go back to the head of the entries: the client reads one while the next is made."
        scope,name,_,who = entry
        self.entries.extendleft((scope, name, text[i:i+PIECE], who) for i in reversed(range(PIECE, len(text), PIECE)))
        return text[:PIECE]

    def _flush(self):
        "Let the held text leave next."
        for segment in self.lines.take():
            try: self.leave("iopub", self.pack(*segment))
            except Exception: log.exception("text could not be sent")  # it costs neither the next one nor the message behind it

    def _send_ready(self):
        "Send what could not be sent before; False if it still cannot."
        while self.ready:
            message = self.ready.popleft()
            if not self.transmit(*message):
                self.ready.appendleft(message)
                return False
        return True
