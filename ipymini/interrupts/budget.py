"""Budget room: a call that may take only so long.

Owns the threads it runs on. Must not know: what is called. One whose time is over is left to end by itself, until somebody asks to `stop` it: that is done where it runs the
user's code, as an exception thrown into an import would break that off in the middle, and what it was importing would stay broken.
Threads: any may call `within` and `stop`; the call itself runs on a thread of its own.
Spec: none."""

import contextvars, sys, time

from .protect import is_delicate, is_stdlib, package_of
from ..process.threads import Event, KernelThread, hide, raise_in, thrower

TOOLS = {"IPython", "jedi", "parso", "traitlets", "debugpy"}  # what is at work for the user
LEFT = []     # threads whose time was over
SLICE = 0.02  # seconds between two looks at whether the result is still wanted


class Late(TimeoutError):
    "A call's time is over; `thread` still runs it."
    def __init__(self, thread): self.thread = thread


def within(seconds, is_moot, f, *args):
    "`f(*args)`, or Late after `seconds`, or as soon as `is_moot()`; what `f` raises."
    done,box = Event(), []
    def run():
        try: box.append((f(*args), None))
        except BaseException as e: box.append((None, e))  # carried over to who waits
        finally:
            thread.hit = None  # else its frame would keep the user's objects
            done.set()
    thread = KernelThread(lambda context=contextvars.copy_context(): context.run(run), "within")
    hide(thread)
    thread.hit = None  # the user's code that was running as the thread was told to stop
    thrower()  # imported here, not by who stops it, which may be io
    thread.start()
    until = time.monotonic() + seconds
    while not done.wait(min(SLICE, max(0, until - time.monotonic()))):  # in slices: nobody tells when a newer request arrives
        if is_moot() or time.monotonic() >= until:
            LEFT[:] = [t for t in LEFT if t.is_alive()] + [thread]
            raise Late(thread)
    value,error = box[0]
    if error: raise error
    return value


def is_users(thread):
    "Does `thread` run the user's code, or a library's that this has called, and nothing that must not be broken off?"
    top = frame = sys._current_frames().get(thread.ident)
    while frame is not None and (is_stdlib(frame.f_code.co_filename) or package_of(frame) == "ipymini"): frame = frame.f_back  # a patched time.sleep
    if frame is None or package_of(frame) in TOOLS: return False
    if is_delicate(top): return False
    while top is not None and not top.f_code.co_filename.startswith("<frozen importlib"): top = top.f_back
    return top is None


def entry(thread):
    "The first frame of what runs on `thread` and is none of IPython's or Jedi's: where they have called the user's code."
    frame,found = sys._current_frames().get(thread.ident), None
    while frame is not None and package_of(frame) not in TOOLS: found,frame = frame, frame.f_back
    return found


def stop(*threads):
    "Let those of `threads` that are late and run the user's code end, by a KeyboardInterrupt; a thread that waits in C ends when that does. Any thread."
    for t in threads:
        if not (t.is_alive() and is_users(t)): continue
        t.hit = entry(t)
        raise_in(t.ident, KeyboardInterrupt)


def stop_again():
    "As `stop`, for threads that have been stopped and went on with other code than they were in: what that does about its interrupt is not broken off. Whether there are any."
    hit = [t for t in LEFT if t.is_alive() and t.hit is not None]
    stop(*(t for t in hit if entry(t) is not t.hit))
    return bool(hit)
