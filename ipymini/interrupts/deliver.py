"""Deliver room: how an interrupt reaches the request that it is for.

An interrupt is a fact about a request, not an event: *request 7 of this worker is to end*. It stays wanted until it is delivered or the
request is over, and io's clock tries again.
The first try is the signal handler's, where that is. What does not work, and why:
- An exception raised in another thread at any moment: it could come out in kernel code, or between taking a lock of the whole process and
  giving it back. So the stack is read first (`protect`).
- To raise once and forget: the handler may have found kernel code, which finishes first; or the loop, which cancels the cell only at its
  next turn, before which the cell may go on and block.
- To raise again while one is on its way: the second comes out where IPython renders the first. So a delivered interrupt is no longer
  wanted.
- To hit what the debugger evaluates, and think the cell was hit: the cell's interrupt stays wanted.
- In a destructor: nobody would hear of it. If the thread stays there it is hit, and the cell's interrupt stays wanted.
- A time limit for delicate code: an import may take seconds. Only a thread that stands STAY seconds at one instruction waits for somebody
  there.
- Handlers that C code has put in with sigaction: Python cannot see them. A message sends SIGINT, so they are asked as for a signal.
Owns `decide`, each worker's `Delivery`, and `Interrupts`: which subshell is meant. Must not know: sockets, IPython, what a request means.
Threads: `on_sigint`, `on_nudge` and `Delivery.attempt` main, from signal handlers; `UserCode` the worker's own but for `hit`; the rest io.
Spec: messaging, "Kernel interrupt"."""

import contextlib, contextvars, functools, logging, threading, time
from _thread import RLock
from collections import deque

from ..request.scope import here
from .budget import LEFT, stop, stop_again
from .protect import INTERRUPT, NESTED, PENDING, in_destructor, is_delicate, is_open, wait_code, whose
from ..process.threads import absorb, raise_in, thrower

log = logging.getLogger("ipymini.interrupts.deliver")
PAUSES = 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1  # seconds between two tries; the last for ever
# seconds at one instruction after which a thread waits there; also those that a cell's task has to be cancelled, while another one
# computes
STAY = 0.1
TWICE = 2.0  # seconds within which a second interrupt of the same request means everything
LATE = 1.0   # seconds after an interrupt_request in which main comes to its signal, should another request run by then
# seconds after an interrupt in which the kernel's end is none of its own: jupyter_client and papermill interrupt before they ask for a
# shutdown
AGAIN = 1.0
LOOKS = 50   # at late calls that were interrupted, a tenth of a second apart
MAIN = threading.main_thread().ident


def decide(who, awaits, delicate, stuck, waited):
    """What to do about a thread whose stack is `who`'s (`protect.whose`): raise, cancel or later. `awaits`: its cell does; `waited`:
    seconds since the interrupt."""
    if who == "kernel" or (delicate and not stuck): return "later"
    if awaits and (who == "loop" or (who == "task" and waited < STAY)): return "cancel"  # another cell's task may give way to that
    return "raise" if who in ("user", "task") else "cancel"


class Delivery:
    """What one worker's thread is to be interrupted for: the request `wanted` (0: none), with KeyboardInterrupt or, if a signal handler
    of the user's raised one in kernel code, `exc`."""

    def __init__(self, worker):
        self.worker,self.user = worker, UserCode(worker)
        self.wanted,self.exc,self.since,self.chain = 0, None, 0.0, 0  # chain: the number of the last series of tries
        self.place,self.last = None, (0, 0.0)  # where the thread was seen in delicate code; the request delivered last, and when
        self.show = lambda exc: log.warning("an exception that reached nobody", exc_info=exc)

    @property
    def is_wanted(self): return self.wanted != 0 and self.wanted == self.worker.now.number

    def want(self, number, exc=None):
        "Let request `number` be interrupted. Any thread, and signal handlers."
        if self.wanted != number: self.since,self.place = time.monotonic(), None
        self.wanted,self.exc = number, exc

    def done(self):
        "The interrupt is delivered."
        self.last = self.worker.now.number, time.monotonic()
        self.wanted = 0
        self._forget()

    def came(self, before):
        "Has an interrupt come since `last` was `before`, or been wanted in vain, as our code ran? It counts as delivered: who asks raises KeyboardInterrupt. The worker's thread."
        if not self.is_wanted: return self.last is not before
        self.done()
        return True

    def over(self):
        "The request is over. What was still to be raised in it is shown. The worker's thread."
        self._forget()
        exc,self.exc,wanted,self.wanted = self.exc, None, self.wanted, 0
        if wanted and exc is not None: self.show_soon(exc)

    def _forget(self):
        if self.worker.ident is not None and PENDING[:1] == [self.worker.ident]: PENDING.clear()

    def decide(self, frame):
        "What to do now that the thread is in `frame`."
        delicate = is_delicate(frame)
        stuck = delicate and self._is_stuck(frame)
        return decide(whose(frame), self.worker.task is not None, delicate, stuck, time.monotonic() - self.since)

    def _is_stuck(self, frame):
        """Is the thread in delicate code where it was seen the last time, STAY seconds after the interrupt? Then it waits for somebody
        there."""
        before,self.place = self.place, (frame.f_code, frame.f_lasti)
        return before == self.place and time.monotonic() - self.since > STAY

    def attempt(self, frame, keep=False):
        "Deliver on the worker's own thread, which is in `frame`. `keep`: what is hit is not the cell, but what the debugger evaluates, or a destructor."
        PENDING.clear()
        act = self.decide(frame)
        if act == "later": PENDING[:] = threading.get_ident(), functools.partial(self.take, keep)
        elif act == "raise": raise self.take(keep)
        elif self.exc is None: self.cancel()
        else: self.over()  # the loop is no place for it

    def show_soon(self, exc):
        "Show `exc` when the loop has its turn: not in the middle of what the thread does, a signal handler for one."
        self.worker.soon(self.show, exc)

    def cancel(self): self.worker.soon(self._cancel)

    def _cancel(self):
        if self.is_wanted: self.worker.cancel(False)  # once: the second would come out where IPython renders the first

    def astray(self, e):
        "`e` has ended the loop's run. If it is the exception that was sent to user code, which began to await meanwhile, the cell is still to be interrupted."
        if not (isinstance(e, KeyboardInterrupt) and self.user.sent and self.worker.task is not None): return
        tb = e.__traceback__
        while tb.tb_next: tb = tb.tb_next
        if whose(tb.tb_frame) != "loop": return
        self.user.sent = False
        self.worker.task.cancel(INTERRUPT)

    def take(self, keep=False):
        "The exception to raise; it counts as delivered, unless `keep`."
        exc,self.exc = self.exc, None
        if not keep: self.done()
        return exc or KeyboardInterrupt()

    def attempt_idle(self, frame):
        "An interrupt while no request is served: it cancels the unlocked cells, and ends what a task computes."
        who = whose(frame)
        if who != "user": self.worker.cancel_soon()
        if who in ("user", "task") and not is_delicate(frame): raise KeyboardInterrupt

    def attempt_there(self):
        """Deliver from another thread: True if an exception is on its way, None if the cell's task will be cancelled, False if neither
        can be now."""
        act = self.decide(self.worker.frame())
        if act == "cancel": return self.cancel()
        return act == "raise" and self.user.hit(self.worker.frame)


class UserCode:
    """The stretch of a request, as a context manager, in which its thread may be hit by an asynchronous KeyboardInterrupt. Not for the
    main thread, which has signals: behind it `restore()` is called."""

    def __init__(self, worker):
        self.worker,self._lock,self.runs,self.sent = worker, (RLock(),), 0, False
        self.nap = threading.Lock()  # locked: it may sleep. No Event, as an interrupt may come out anywhere in Python code
        self.nap.acquire()
        self.restore = lambda: None

    @property
    def lock(self): return self._lock[0]  # in a tuple, where eventlet does not find it

    @property
    def is_elsewhere(self): return self.worker.ident != MAIN

    def __enter__(self):
        if not self.is_elsewhere: return
        thrower()  # what `raise_in` needs is imported here: on io, an import could have to wait for a cell's
        self.runs += 1

    def __exit__(self, *exc):
        if not self.is_elsewhere: return self.restore()
        taken = False
        while True:
            try:
                with self.lock:
                    self.runs -= not taken
                    taken = True
                    sent,self.sent = self.sent, False
                if sent: absorb()  # one that has not arrived yet is too late
                return
            except KeyboardInterrupt: continue  # it has arrived here: once only, as `runs` guards the next

    def unharmed(self):
        "A context in which no interrupt comes: CPython 3.11 gives a new thread its creator's ident at first, and it would be hit instead."
        return self.lock if self.naps() else contextlib.nullcontext()  # the lock itself: nothing is between taking it and the context

    def hit(self, frame_of):
        """Raise KeyboardInterrupt in the thread, whose frame `frame_of()` tells; False if it cannot be hit now: io tries again, and never
        waits."""
        if not self.lock.acquire(blocking=False): return False  # it starts a thread
        try:
            stuck = is_delicate(frame_of())  # or `decide` had said later
            if not self.runs or not (stuck or is_open(frame_of)): return False
            self.sent = True
            raise_in(self.worker.ident, KeyboardInterrupt)
        finally: self.lock.release()
        if self.nap.locked(): self.nap.release()  # last: who sleeps on would not hear of it,
        self.worker.soon(lambda: None)            # nor would the loop that waits, should the thread have come there, nor one that the cell runs
        for loop in NESTED.get(self.worker.ident, ())[-1:]:
            with contextlib.suppress(RuntimeError): loop.call_soon_threadsafe(lambda: None, context=contextvars.Context())
        return True

    def naps(self):
        "Does the thread that calls this run a subshell's cell?"
        return self.runs and threading.get_ident() == self.worker.ident

    @wait_code
    def sleep(self, seconds):
        "As time.sleep for a positive number, but an interrupt ends it. The worker's thread."
        until = time.monotonic() + seconds
        # once for nothing, if one has ended another sleep
        while (left := until - time.monotonic()) > 0: self.nap.acquire(timeout=min(left, threading.TIMEOUT_MAX))


def unharmed():
    "A context in which the calling thread may start another one: see `UserCode.unharmed`."
    scope = here()
    return scope.sub.worker.user.unharmed() if scope and scope.sub else contextlib.nullcontext()


class Interrupts:
    """Which of the subshells `subs` an interrupt means, and the tries until it is delivered. `channels`, `signals`, `stdin` and `capture`
    are the kernel's."""

    def __init__(self, channels, signals, stdin, capture, subs):
        self.channels,self.signals,self.stdin,self.capture,self.subs,self.main = channels, signals, stdin, capture, subs, subs[None]
        self.looks = 0  # at late calls, that are still to be made
        self.last,self.when,self.is_ending = None, 0.0, False  # what the last one meant (subshell, number of its request), and when
        # of messages whose SIGINT main has not seen yet: the request that was served as they arrived, and when
        self.asked = deque()

    @property
    def delivery(self): return self.main.worker.delivery

    # --- main: signal handlers

    def on_sigint(self, signum, frame):
        "SIGINT, of somebody's or of an interrupt_request: that means the request that ran as it arrived."
        number,told,now = self.main.worker.now.number, list(self.asked), time.monotonic()
        self.asked.clear()
        told = [n for n,when in told if n == number or now - when < LATE]
        if not told: self.channels.call(lambda: self.spread(number))
        elif number not in told: return  # its request is over
        server = self.main.worker.server
        if server is None or server.done(): return  # starting or ending
        self.delivery.want(number)
        self.try_main(frame)

    def on_nudge(self, signum, frame):
        "SIGURG: try once more what is still wanted."
        if self.delivery.is_wanted: self.attempt(frame)
        if attend := self.main.worker.now.attend: attend(frame)

    def try_main(self, frame):
        "The first try to deliver what is wanted; io makes the next ones."
        try: self.attempt(frame)
        finally:
            if self.delivery.is_wanted: self.channels.later(PAUSES[0], lambda: self.chase(self.main))

    def attempt(self, frame):
        debugger = self.capture.debugger
        place = debugger and debugger.place(frame)
        if place == "busy": return
        if place == "wait": debugger.free(self.channels.call)
        # last: a subshell that is meant must not run on before it is hit
        elif not place and debugger and debugger.stopped: self.channels.call(self.resume)
        if self.delivery.wanted: self.delivery.attempt(frame, keep=place == "work" or in_destructor(frame))
        else: self.delivery.attempt_idle(frame)

    def resume(self):
        "Let the threads run on that the debugger has stopped; not while a subshell is still to be hit. On io."
        if not any(s.worker.delivery.is_wanted for s in list(self.subs.values()) if s is not self.main): self.capture.debugger.resume()

    def held(self, exc, frame, show):
        """A signal handler of the user's has raised `exc` while main is in `frame`, where it must not come out: it does as soon as it
        may, or is shown with `show(exc)`."""
        delivery,number = self.delivery, self.main.worker.now.number
        delivery.show,is_interrupt = show, type(exc) is KeyboardInterrupt
        if not number or delivery.is_wanted or (delivery.decide(frame) != "later" and not is_interrupt): return delivery.show_soon(exc)
        delivery.want(number, None if is_interrupt else exc)
        self.try_main(frame)

    # --- io

    def request(self):
        "An interrupt_request: what a signal would be, of the request that runs now."
        number = self.main.worker.now.number
        again = self.spread(number)
        if not self.signals.handlers.is_ignored(): self.ask(number)
        elif again and number: self.pursue(self.main, number)  # the user's SIG_IGN holds for one

    def ask(self, number):
        "Send main a SIGINT that means its request `number`."
        if self.main.worker.loop is None: return
        self.asked.append((number, time.monotonic()))
        self.signals.interrupt_main()

    def spread(self, number):
        """What an interrupt means to others than main: if that is idle the subshell that began last is meant; the second one for the same
        request means all. Whether it is a second one."""
        self.stop_late()
        if self.is_ending: return True  # which means all
        now = time.monotonic()
        busy = [s for s in list(self.subs.values()) if s.worker.now.number and s is not self.main]
        target = self.main if number or not busy else max(busy, key=lambda s: s.worker.now.since)
        meant = target, number or target.worker.now.number
        again = self.last == meant and now - self.when < TWICE
        self.last,self.when = meant, now
        if again: self.everything()
        elif target is not self.main: self.interrupt(target)
        return again

    def stop_late(self):
        "Let late calls end, now. One that is interrupted may go on with what does not end either, as a completion with its next way to find names: io looks again, for a while."
        stop(*LEFT)
        if not self.looks: self.channels.later(PAUSES[-1], self.look_again)
        self.looks = LOOKS

    def look_again(self):
        self.looks = self.looks - 1 if stop_again() else 0
        if self.looks: self.channels.later(PAUSES[-1], self.look_again)

    def everything(self):
        "Interrupt every subshell and every task of the user's."
        for s in list(self.subs.values()):
            if s is not self.main: self.interrupt(s)
            if s.worker.loop is not None: s.worker.cancel_soon(everything=True)

    def end(self):
        """Interrupt all that is served, once, as the kernel ends: it has its time then, and so has what was interrupted just now, or is
        about to be: a second interrupt would break off what it does about the first."""
        self.is_ending = True
        for s in list(self.subs.values()):
            number,delivery = s.worker.now.number, s.worker.delivery
            if delivery.is_wanted or delivery.last[0] == number and time.monotonic() - delivery.last[1] < AGAIN: continue
            if s is self.main and self.asked: continue
            if number: self.pursue(s, number)
            elif s is self.main: self.ask(0)  # a task may compute

    def interrupt(self, sub):
        "Interrupt the request that the subshell `sub` serves; idle, its unlocked cells."
        number = sub.worker.now.number
        if number: self.pursue(sub, number)
        elif sub.worker.loop is not None: sub.worker.cancel_soon()

    def pursue(self, sub, number):
        "Try until request `number` of `sub` is interrupted or over."
        sub.worker.delivery.want(number)
        self.chase(sub)

    def chase(self, sub):
        "Try to deliver what is still wanted of `sub`, and again; a series of tries that is under way ends."
        delivery = sub.worker.delivery
        delivery.chain += 1
        self._again(sub, delivery.chain, 0)

    def _again(self, sub, chain, tries):
        delivery = sub.worker.delivery
        if delivery.chain != chain or not delivery.is_wanted: return
        if sub is self.main: self.signals.wake_main()
        else: self._attempt_there(sub)
        if delivery.is_wanted: self.channels.later(PAUSES[min(tries, len(PAUSES) - 1)], lambda: self._again(sub, chain, tries + 1))

    def _attempt_there(self, sub):
        debugger,worker = self.capture.debugger, sub.worker
        frame = worker.frame()
        # what is hit then is not the cell
        aside = debugger and debugger.place(frame) == "work" or in_destructor(frame)
        # once: the second would come out where IPython shows the first
        hit = worker.ident in self.stdin.interrupt(sub) or worker.delivery.attempt_there()
        if hit and not aside: worker.delivery.done()
        # now: it would run on, to its cell's end maybe, before it is hit
        if hit is not False and not aside and debugger: debugger.freed()
