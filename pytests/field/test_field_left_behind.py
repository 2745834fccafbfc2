"Completions, inspections and evaluations of objects whose methods never end: at most one thread is left, it can be stopped, and the next request is answered."
import pytest
from debugging import debugging
from harness import wait_until

SPIN = "    while spinning: pass\n"
OBJECTS = dict(
    dir     = "class A:\n    def __dir__(self):\n    " + SPIN + "        return []\n",
    getattr = "class A:\n    def __getattr__(self, name):\n    " + SPIN + "        raise AttributeError(name)\n    def __dir__(self): return [self.x]\n",
    prop    = "class A:\n    @property\n    def other(self):\n    " + SPIN + "    def __dir__(self): return [str(self.other)]\n",
    keys    = "class A:\n    def _ipython_key_completions_(self):\n    " + SPIN + "        return []\n    def __getitem__(self, k): return k\n")
LEFT = """import sys, threading
len([t for t in threading.enumerate() if t.name == 'within' and 'spinning' in sys._current_frames()[t.ident].f_code.co_names])"""


@pytest.fixture
def k(start): return start(env=dict(IPYMINI_COMPLETION_TIMEOUT="1.5"))


def complete(k, code): return k.request("complete_request", dict(code=code, cursor_pos=len(code))).ok().content["matches"]


def left(k): return int(k.execute(LEFT).ok().result)


@pytest.mark.parametrize("how", OBJECTS)
def test_completion_that_never_ends(k, how):
    "Several times: at most one thread spins on, an interrupt ends that, and other completions come meanwhile."
    k.execute("import threading\nspinning = True\n" + OBJECTS[how] + "a = A()").ok()
    wait_until(lambda: complete(k, "impor"), what="Jedi")
    for _ in range(4):
        complete(k, "a[" if how == "keys" else "a.")
        assert left(k) <= 1
    wait_until(lambda: "import" in complete(k, "impor"), what="another completion")
    k.interrupt("message")
    wait_until(lambda: left(k) == 0, 5, "the end of the thread")
    wait_until(lambda: "import" in complete(k, "impor"), what="another completion")


@pytest.mark.parametrize("door", ["signal", "message"])
def test_completion_that_never_ends_is_interrupted(k, door):
    k.execute("import threading\nspinning = True\n" + OBJECTS["dir"] + "a = A()").ok()
    complete(k, "a.")
    k.interrupt(door)
    wait_until(lambda: left(k) == 0, 5, "the end of the thread")


@pytest.mark.parametrize("member", ["__repr__(self)", "__doc__(self)"])
def test_inspection_that_never_ends_beside_a_cell(k, member, tmp_path):
    "The cell goes on, other queries are answered, and so is that."
    go = tmp_path / "go"
    prop = "    @property\n" if "doc" in member else ""
    k.execute(f"import threading, os, time\nspinning = True\nclass A:\n{prop}    def {member}:\n    {SPIN}        return ''\na = A()").ok()
    run = k.execute(f"while not os.path.exists({str(go)!r}): time.sleep(.01)", wait=False)
    asked = k.request("inspect_request", dict(code="a", cursor_pos=1, detail_level=0), wait=False)
    wait_until(lambda: "import" in complete(k, "impor"), what="a completion")
    k.wait(asked)
    go.touch()
    k.wait(run).ok()
    k.interrupt("message")
    wait_until(lambda: left(k) == 0, 5, "the end of the thread")


def test_inspection_that_never_ends(k):
    "With no cell: an interrupt ends it."
    k.execute(f"import threading\nspinning = True\nclass A:\n    def __repr__(self):\n        print('on')\n    {SPIN}a = A()").ok()
    asked = k.request("inspect_request", dict(code="a", cursor_pos=1, detail_level=0), wait=False)
    k.sees(asked, "on")
    k.interrupt("message")
    k.wait(asked)
    assert k.execute("1 + 1").ok().result == "2"


def test_evaluation_that_never_ends(k):
    "In no frame, as the debugger's console asks for it: an interrupt ends the thread that is left."
    k.execute("import threading\nspinning = True\ndef f():\n" + SPIN).ok()
    with debugging(k) as d:
        d.refused("evaluate", expression="f()", context="repl")
        k.interrupt("message")
        wait_until(lambda: left(k) == 0, 5, "the end of the thread")
