"""Stdin room: questions to the client's user, and the answers that find their way back.

Owns the questions that wait. Must not know: sockets (it is handed `send`), IPython, what is done with an answer.
Threads: `ask` on the thread that asks, `answer` on io.
Spec: messaging, "Messages on the stdin (ROUTER/DEALER) channel"."""

import logging, queue, threading

from ..interrupts.protect import wait_code

log = logging.getLogger("ipymini.capture.stdin")


class Ask:
    "One wait for an input_reply; `mid` is the id of its input_request once that is sent, `thread` the ident of who asks."
    def __init__(self, scope): self.scope,self.box,self.mid,self.thread,self.ending = scope, queue.SimpleQueue(), None, threading.get_ident(), [True]

    def end(self):
        "Decide how it ends: True for the first who calls this, with an answer or an interrupt."
        try: return self.ending.pop()
        except IndexError: return False

    @wait_code
    def wait(self):
        "The first answer that names this question as its parent, or none at all."
        while True:
            parent,value = self.box.get()
            if parent not in (None, self.mid): continue
            if value is None or not self.end(): raise KeyboardInterrupt
            return value


class Stdin:
    "Sends input_requests with `send` (that of Channels) and hands each input_reply to who waits for it."

    def __init__(self, send): self.send,self.asks = send, []

    @wait_code
    def ask(self, scope, prompt, password):
        "Ask the client of `scope` for a line and wait for it. EOFError for an end of file, KeyboardInterrupt if interrupted."
        ask = Ask(scope)
        self.asks.append(ask)
        try:
            ask.mid = self.send("stdin", "input_request", dict(prompt=prompt, password=password), scope)
            value = ask.wait()
        finally: self.asks.remove(ask)
        if value == "\x04": raise EOFError
        return value

    def interrupt(self, sub):
        "Fail the questions that the subshell `sub` waits for with KeyboardInterrupt; the idents of the threads that it hits. Any thread."
        hit = [a for a in list(self.asks) if a.scope.sub is sub and a.end()]
        for a in hit: a.box.put((None, None))
        return [a.thread for a in hit]

    def answer(self, msg):
        "Hand an input_reply to the question it names as its parent; if it names none, to the last of its subshell."
        value = msg.content.get("value") if isinstance(msg.content, dict) else None
        if msg.type != "input_reply" or not isinstance(value, str): return log.warning("no input_reply with a value; dropped")
        parent = msg.parent_header.get("msg_id") if msg.parent_header.get("msg_type") == "input_request" else None
        asks = list(self.asks)
        if parent is None: takers = [a for a in asks if a.scope.msg.subshell_id == msg.subshell_id][-1:] or asks[-1:]
        else: takers = [a for a in asks if a.mid in (parent, None)]  # who does not know its id yet will see
        if not takers: log.warning("nobody waits for this input_reply; dropped")
        for a in takers: a.box.put((parent, value))
