"Inputs reach IPython's history database, and it stays the same file, whatever subshells, forks and other processes do meanwhile. Spec: messaging, History."
import sqlite3
from contextlib import closing
import pytest
from harness import Sub, raw_client, wait_until


@pytest.fixture
def db(tmp_path): return tmp_path / "ipython" / "profile_default" / "history.sqlite"


@pytest.fixture
def k(start, tmp_path):
    "A kernel with a history of its own."
    (tmp_path / "ipython").mkdir()
    return start(env=dict(IPYTHONDIR=str(tmp_path / "ipython")))


def inputs(db):
    with closing(sqlite3.connect(db)) as c: return [line for line, in c.execute("SELECT source_raw FROM history ORDER BY session, line")]


def reaches(db, *lines): wait_until(lambda: set(lines) <= set(inputs(db)), 10, lambda: f"{lines} in {inputs(db)}")


def test_same_file_after_subshells(k, db):
    "Six with cells, whose history is asked for while they run and end."
    k.execute("first = 1").ok()
    before = db.stat().st_ino
    for n in range(4):
        subs, asked = [Sub(k) for _ in range(6)], []
        for i,s in enumerate(subs):
            s.execute(f"n{n}_{i} = 1").ok()
            asked += [s.request("history_request", dict(hist_access_type=t, n=5, raw=True, output=False, pattern="*"), wait=False) for t in ("tail", "search")]
            asked.append(s.request("complete_request", dict(code="pri", cursor_pos=3), wait=False))
        for s in subs: s.delete()
        for run in asked: k.wait(run)
    assert db.stat().st_ino == before and [p.name for p in db.parent.glob("history*")] == ["history.sqlite"]
    reaches(db, "first = 1", *(f"n{n}_{i} = 1" for n in range(4) for i in range(6)))
    assert "SQLite" not in k.log_text()


@pytest.mark.parametrize("call", ["get_tail(3)", "search('*')", "get_range(1)", "get_session_info(1)", "get_last_session_id()", "writeout_cache()", "get_tail(3, output=True)"])
def test_history_of_a_subshell_that_has_ended(k, db, call):
    "A call that comes too late finds no closed database, which IPython would take for a corrupt one."
    with Sub(k) as sub: sub.execute("hm = get_ipython().history_manager").ok()
    k.execute("import time\nend = time.monotonic() + 10\nimport threading\nwhile any(t.name.startswith('subshell') for t in threading.enumerate()) and time.monotonic() < end: time.sleep(.01)").ok()
    before = db.stat().st_ino
    k.execute(f"found = hm.{call}; found = found if isinstance(found, (int, tuple, type(None))) else list(found)").ok()
    assert db.stat().st_ino == before and [p.name for p in db.parent.glob("history*")] == ["history.sqlite"]


def test_locked_database_is_not_corrupt(k, db):
    "Another process writes to it for longer than SQLite waits: the file stays, a history_request is answered, and the inputs arrive later."
    k.execute("get_ipython().history_manager.db.execute('PRAGMA busy_timeout = 100');").ok()
    before = db.stat().st_ino
    with closing(sqlite3.connect(db, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        k.execute("while_locked = 1").ok()
        for kind in ("tail", "search"): k.request("history_request", dict(hist_access_type=kind, n=5, raw=True, output=False, pattern="*"))
        k.execute("%history -g nothing")
        other.execute("ROLLBACK")
    k.execute("later = 1").ok()
    assert db.stat().st_ino == before and [p.name for p in db.parent.glob("history*")] == ["history.sqlite"]
    reaches(db, "while_locked = 1", "later = 1")


FORKS = dict(fork="import os\npid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)", pool="import multiprocessing as mp\nwith mp.get_context('fork').Pool(1) as p: p.map(abs, [1])",
    preexec="import subprocess\nsubprocess.run(['true'], preexec_fn=int)", pty="import os, pty\npid, fd = pty.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)",
    child="import os\npid = os.fork()\nif not pid:\n    try: list(get_ipython().history_manager.search('*'))\n    finally: os._exit(0)\nos.waitpid(pid, 0)")


@pytest.mark.parametrize("how", FORKS)
def test_inputs_after_a_fork(k, db, how):
    "Of the main shell, and of a subshell that was there before."
    with Sub(k) as sub:
        sub.execute("before = 1").ok()
        k.execute(FORKS[how]).ok()
        k.execute("after = 1").ok()
        sub.execute("beside = 1").ok()
        reaches(db, "before = 1", "after = 1", "beside = 1")


def test_inputs_after_a_fork_in_a_subshell(k, db):
    with Sub(k) as sub:
        sub.execute(FORKS["fork"]).ok()
        sub.execute("after = 1").ok()
        k.execute("main = 1").ok()
        reaches(db, "after = 1", "main = 1")


def test_input_is_written_while_the_next_cell_runs(k, db, tmp_path):
    "A kernel that is killed in a long cell has kept the cells before it, and that cell itself."
    go = tmp_path / "go"
    k.execute("x = 1").ok()
    cell = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(.01)"
    run = k.execute(cell, wait=False)
    reaches(db, "x = 1")
    go.touch()
    k.wait(run).ok()


def test_inputs_of_a_busy_subshell_at_the_end(k, db):
    "One whose cell does not let itself be interrupted."
    sub = Sub(k)
    sub.execute("kept = 1").ok()
    k.sees(sub.execute("import time\nprint('on')\nwhile True:\n    try: time.sleep(1)\n    except KeyboardInterrupt: pass", wait=False), "on")
    k.shutdown()
    k.wait_exit()
    assert "kept = 1" in inputs(db)


def test_history_without_a_file_of_its_own(start, tmp_path):
    "Several kernels on one database, one of which holds its lock for as long as it likes."
    env = dict(IPYTHONDIR=str(tmp_path))
    a, b = start(env=env), start(env=env)
    db = tmp_path / "profile_default" / "history.sqlite"
    for n in range(5):
        for k in (a, b): k.execute(f"{'ab'[k is b]}{n} = 1").ok()
    reaches(db, *(f"{c}{n} = 1" for c in "ab" for n in range(5)))
    assert [p.name for p in db.parent.glob("history*")] == ["history.sqlite"]


@pytest.mark.parametrize("code", ["s = '\ud800'", "s = '\udfff\ud83d\ude00'", "s = '\x00'"])
def test_input_that_is_no_text(k, db, code):
    "A lone surrogate, which UTF-8 cannot hold, is kept as U+FFFD, a pair of them as what it means, and nothing that is written together with it is lost."
    k.execute("before = 1").ok()
    with raw_client(k.km.connection_file) as raw: raw.request("shell", raw.frames("execute_request", dict(code=code)))
    k.execute("after = 1").ok()
    found = k.request("history_request", dict(hist_access_type="search", pattern="*", n=9, raw=True, output=False)).ok().content["history"]
    told = code.replace("\ud83d\ude00", "\U0001f600").replace("\ud800", "\ufffd").replace("\udfff", "\ufffd")
    assert [line for *_,line in found] == ["before = 1", told, "after = 1"]
    assert "history" not in k.log_text()


@pytest.mark.parametrize("stored", ["2**70, 'number = 1'", "7, object()"])
def test_input_that_the_database_cannot_hold(k, db, stored):
    "A library stores something odd: all else is written."
    k.execute("before = 1").ok()
    k.execute(f"get_ipython().history_manager.db_input_cache.append(({stored}, 'odd = 1'))").ok()
    k.execute("after = 1").ok()
    reaches(db, "before = 1", "after = 1", "odd = 1")


def test_output_that_is_no_text(k, db):
    "IPython's option to keep outputs, too."
    k.execute("get_ipython().history_manager.db_log_output = True\nclass Odd:\n    def __repr__(self): return '\\ud800'").ok()
    k.execute("Odd()").ok()
    k.execute("'an output'").ok()
    tail = dict(hist_access_type="search", pattern="'an*", n=9, raw=True, output=True)
    wait_until(lambda: [out for *_,(_,out) in k.request("history_request", tail).ok().content["history"]] == ["'an output'"], 10, "the output")


BROKEN = """ip = get_ipython()
def broken(real):
    def call(*args, **kw):
        if {where!r} != 'trigger' or args[0] == 'pre_run_cell':
            {undo}
            raise {error}
        return real(*args, **kw)
    return call
"""
WAYS = dict(  # where IPython is broken off before it stores the input, and how that is arranged and undone
    transformer=("ip.input_transformers_cleanup.append(broken(None))", "ip.input_transformers_cleanup.pop()"),
    should_run_async=("ip.should_run_async = broken(ip.should_run_async)", "del ip.should_run_async"),
    trigger=("ip.events.trigger = broken(ip.events.trigger)", "del ip.events.trigger"))


ERRORS = "KeyboardInterrupt", "__import__('asyncio').CancelledError", "ValueError"


@pytest.mark.parametrize("where", WAYS)
def test_input_of_a_cell_that_is_broken_off(k, db, where):
    "Stand in the gap: after its input has been published, and before IPython stores it. It has that number, and no other cell has."
    how, undo = WAYS[where]
    for s in (k, Sub(k)):
        for error in ERRORS:
            before = s.execute(BROKEN.format(where=where, undo=undo, error=error)).ok().content["execution_count"]
            for n,code in enumerate(["lost = 1", "import asyncio\nawait asyncio.sleep(0)"]):
                s.execute(how).ok()
                run, after = s.execute(code, stop_on_error=False), s.execute("after = 1").ok()
                number = before + 3*n + 2
                assert (run.status, run.content["execution_count"], after.content["execution_count"]) == ("error", number, number + 1)
                found = s.request("history_request", dict(hist_access_type="tail", n=2, raw=True, output=False)).ok().content["history"]
                assert [(line, source) for _,line,source in found] == [(number, code), (number + 1, "after = 1")]
    reaches(db, code, "after = 1")


def test_interrupt_while_an_input_is_stored(k, db):
    "Stand in the gap: it comes between two lines of IPython's that belong together."
    k.execute("import os, signal\nhm = get_ipython().history_manager\nclass Re:\n    def match(self, text):\n        del hm._exit_re\n        os.kill(os.getpid(), signal.SIGINT)").ok()
    k.execute("hm._exit_re = Re()").ok()
    assert k.execute("kept = 1", stop_on_error=False).ename == "KeyboardInterrupt"
    k.execute("after = 1").ok()
    found = k.request("history_request", dict(hist_access_type="tail", n=2, raw=True, output=False)).ok().content["history"]
    assert [source for *_,source in found] == ["kept = 1", "after = 1"]
    reaches(db, "kept = 1", "after = 1")
