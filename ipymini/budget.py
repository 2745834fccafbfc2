"""Budget room: a call that may take only so long.

Owns the threads it runs on. Must not know: what is called, other rooms but lane.
Threads: any may call `within`; the call itself runs on a thread of its own. One whose time is over is left to end by itself: an exception thrown
into it could break off an import in the middle, and what it was importing would stay broken.
Spec: none."""

import contextvars, threading, time

from .lane import KernelThread, hide

SLICE = 0.02  # seconds between two looks at whether the result is still wanted


class Late(TimeoutError):
    "A call's time is over; `thread` still runs it."
    def __init__(self, thread): self.thread = thread


def within(seconds, is_moot, f, *args):
    "`f(*args)`, or Late after `seconds`, or as soon as `is_moot()`; what `f` raises."
    done,box = threading.Event(), []
    def run():
        try: box.append((f(*args), None))
        except BaseException as e: box.append((None, e))  # carried over to who waits
        finally: done.set()
    thread = KernelThread(lambda context=contextvars.copy_context(): context.run(run), "within")
    hide(thread)
    thread.start()
    until = time.monotonic() + seconds
    while not done.wait(min(SLICE, max(0, until - time.monotonic()))):  # in slices: nobody tells when a newer request arrives
        if is_moot() or time.monotonic() >= until: raise Late(thread)
    value,error = box[0]
    if error: raise error
    return value
