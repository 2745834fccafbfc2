"""Budget room: a call that may take only so long.

Owns the thread it runs on. Must not know: what is called, other rooms but lane.
Threads: any may call `within`; the call itself runs on a thread of its own, which is stopped when its time is over.
Spec: none."""

import threading, time

from .lane import hide, raise_in

SLICE = 0.02  # seconds between two looks at whether the result is still wanted


class Stopped(BaseException):
    "Raised in a call whose time is over."


def within(seconds, is_moot, f, *args):
    "`f(*args)`, or TimeoutError after `seconds`, or as soon as `is_moot()`; what `f` raises. The call is then stopped as soon as it runs Python code."
    done,box,lock = threading.Event(), [], threading.Lock()
    def run():
        try:
            try: box.append((f(*args), None))
            except Exception as e: box.append((None, e))  # carried over to who waits
            with lock: done.set()  # from here on nobody stops this thread, or one that gets its ident
        except Stopped: done.set()
    thread = threading.Thread(target=run, name="within", daemon=True)
    hide(thread)
    thread.start()
    until = time.monotonic() + seconds
    while not done.wait(min(SLICE, max(0, until - time.monotonic()))):  # in slices: nobody tells when a newer request arrives
        if time.monotonic() < until and not is_moot(): continue
        with lock:
            if done.is_set(): break
            raise_in(thread, Stopped)
        raise TimeoutError
    value,error = box[0]
    if error: raise error
    return value
