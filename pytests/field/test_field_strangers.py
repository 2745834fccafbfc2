"Whole kernel: what people do with their libraries, as somebody tries it who has not seen the kernel's code."
import time

from harness import KERNEL_NAME, slack, wait_until


def ended(k):
    "All that reached the client, as one text, after a shutdown and the process's end."
    k.send("shutdown_request", dict(restart=False), "control")
    wait_until(lambda: not k.poll(20) and k.process.poll() is not None)
    while k.poll(50): pass
    return "".join(r.text("stdout", r.all) + r.text("stderr", r.all) for r in k.runs.values())


def test_an_idle_kernel_that_gevent_has_patched_ends_at_once(start):
    "Python ends with the `threading._shutdown` of then: gevent has put its own there, which gives the main thread its lock back."
    k = start()
    k.execute("from gevent import monkey\nmonkey.patch_all()").ok()
    began = time.monotonic()
    ended(k)
    assert time.monotonic() - began < 2 * slack() and "does not wait" not in k.log_text()


def test_threads_whose_names_are_taken_at_the_end_say_nothing(start):
    "A daemon thread runs on until the process is gone, and finds no globals any more: no traceback of that in the notebook."
    k = start()
    k.execute("""import threading, time
class A:
    def __del__(self, sleep=time.sleep): sleep(0.3)
a = A()
def f(sleep=time.sleep):
    while True:
        sleep(0.001)
        a
threading.Thread(target=f, daemon=True).start()""").ok()
    assert "NameError" not in ended(k)


def test_writing_of_the_history_that_meets_its_end(start):
    "Stand in the gap: the lane knows which shells there are when main closes the history, which has written all."
    k = start()
    k.execute("h = get_ipython().history_manager\nshells = list(h.shells)\nh.close()\nfor s in shells: s.writeout_cache()").ok()
    assert k.log_text() == ""


def test_a_forced_end_has_a_quiet_log(start):
    "The end that comes while main is still in a function of atexit, and wakes it, closes the history once: no `closed database`, no traceback."
    k = start()
    k.execute("import multiprocessing as mp\nq = mp.get_context('fork').Queue()\np = mp.get_context('fork').Process(target=q.get)\np.start()").ok()
    ended(k)
    if KERNEL_NAME == "ipymini": assert k.log_text().splitlines() == ["[ipymini] WARNING | the end does not wait any longer for functions of atexit"]
