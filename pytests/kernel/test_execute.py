"""Whole kernel: execute_request with all its flags, its outputs, payloads, errors and aborts, top-level await and what goes on between cells.
Spec: messaging (execute, display_data, update_display_data, clear_output, execute_result, error, payloads)."""
import nbformat, pytest, re
from datetime import datetime, timezone

from harness import kind


def plain(traceback): return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(traceback))


def test_result(kernel):
    run = kernel.execute("6 * 7").ok()
    assert run.kinds == ["busy", "execute_input", "execute_result", "idle"]
    assert run.of("execute_input")[0]["code"] == "6 * 7" and run.result == "42"
    assert (run.payload, run.content["user_expressions"]) == ([], {})


def test_execution_count(kernel):
    "It grows by one with each stored execute, empty cells not counted, and with no other."
    def count(code, **kw): return kernel.execute(code, **kw).ok().content["execution_count"]

    n = count("1")
    assert (count("2"), count("3")) == (n + 1, n + 2)
    for flags in (dict(silent=True), dict(store_history=False)): count("4", **flags)
    assert count("5") == n + 3
    assert kernel.execute("_, In[-1], Out[%d]" % n).ok().result == "(5, '_, In[-1], Out[%d]', 1)" % n


def test_silent(kernel):
    "Nothing is counted or shown as input or result; stream text goes out, as clients rely on."
    run = kernel.execute("silently = 5\nprint('said')\n7", silent=True).ok()
    assert set(run.kinds) <= {"busy", "stream", "idle"} and run.stdout == "said\n"
    assert kernel.execute("silently").ok().result == "5"
    assert kernel.execute("In[-2]").ok().result == "'silently'"


def test_silent_error(kernel):
    run = kernel.execute("1/0", silent=True)
    assert (run.status, run.content["ename"]) == ("error", "ZeroDivisionError") and "execute_input" not in run.kinds


def test_store_history_false(kernel):
    run = kernel.execute("'not kept'", store_history=False).ok()
    assert run.result == "'not kept'" and "execute_input" in run.kinds
    assert kernel.execute("In[-2]").ok().result != repr("'not kept'")


def test_user_expressions(kernel):
    run = kernel.execute("a = 2", user_expressions=dict(good="a + 1", bad="a / 0", syntax="a +", text="'x'")).ok()
    got = run.content["user_expressions"]
    assert got["good"] == dict(status="ok", data={"text/plain": "3"}, metadata={}) and got["text"]["data"]["text/plain"] == "'x'"
    assert (got["bad"]["ename"], got["bad"]["evalue"]) == ("ZeroDivisionError", "division by zero") and got["bad"]["traceback"]
    assert got["syntax"]["ename"] == "SyntaxError"
    assert run.kinds == ["busy", "execute_input", "idle"], "user_expressions publish nothing"


def test_user_expressions_alone(kernel):
    run = kernel.execute("", silent=True, user_expressions=dict(a="1 + 1")).ok()
    assert run.content["user_expressions"]["a"]["data"]["text/plain"] == "2"


def test_no_user_expressions_after_an_error(kernel):
    run = kernel.execute("1/0", user_expressions=dict(a="1"))
    assert run.status == "error" and run.content.get("user_expressions", {}) == {}


def test_error(kernel):
    run = kernel.execute("def inner(): raise ValueError('so wrong')\ninner()")
    assert run.kinds == ["busy", "execute_input", "error", "idle"]
    for c in (run.content, run.error):
        assert (c["ename"], c["evalue"]) == ("ValueError", "so wrong")
        text = plain(c["traceback"])
        assert "inner()" in text and "ValueError: so wrong" in text


@pytest.mark.parametrize("code,ename", [
    ("def f(:", "SyntaxError"), ("  a = 1\n b = 2", "IndentationError"), ("raise KeyError('k')", "KeyError"),
    ("raise SystemExit(3)", "SystemExit"), ("undefined_name", "NameError"),
    ("raise BaseException('b')", "BaseException"), ("class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E", "E"),
    ("import sys\nsys.exit(2)", "SystemExit"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"), ("%no_such_magic", "UsageError"),
    ("raise ExceptionGroup('g', [ValueError(1)])", "ExceptionGroup"),
    ("import asyncio\nraise asyncio.CancelledError", "CancelledError"), ("def f(): f()\nf()", "RecursionError")])
def test_errors_of_all_kinds(kernel, code, ename):
    "Whatever a cell raises is told, and the kernel lives on."
    run = kernel.execute(code)
    assert (run.status, run.content["ename"]) == ("error", ename)
    assert ename == run.ename or ename in run.stderr  # IPython prints some kinds itself
    assert kernel.execute("1 + 1").ok().result == "2"


def test_stop_on_error(kernel):
    "The executes already received are aborted, in order; other requests among them are answered."
    runs = [kernel.execute(c, wait=False) for c in ("import time\ntime.sleep(0.3)\n1/0", "print('never')", "print('nor this')")]
    info = kernel.request("kernel_info_request", wait=False)
    for r in [*runs, info]: kernel.wait(r)
    assert [r.status for r in runs] == ["error", "aborted", "aborted"] and info.status == "ok"
    assert [r.kinds for r in runs[1:]] == [["busy", "idle"]] * 2
    assert kernel.execute("print('again')").ok().stdout == "again\n"


def test_stop_on_error_false(kernel):
    runs = [kernel.execute(c, wait=False, stop_on_error=s) for c, s in (("import time\ntime.sleep(0.2)\n1/0", False), ("print('goes on')", True))]
    for r in runs: kernel.wait(r)
    assert [r.status for r in runs] == ["error", "ok"] and runs[1].stdout == "goes on\n"


def test_stop_on_error_is_the_failing_ones_flag(kernel):
    "What decides is the flag of the execute that failed, not of those that wait."
    runs = [kernel.execute(c, wait=False, stop_on_error=s) for c, s in (("import time\ntime.sleep(0.2)\n1/0", True), ("print('waits')", False))]
    for r in runs: kernel.wait(r)
    assert [r.status for r in runs] == ["error", "aborted"]


def test_display(kernel):
    run = kernel.execute("from IPython.display import display, HTML\ndisplay(HTML('<b>x</b>'), metadata=dict(a=1))\ndisplay(3)\n4").ok()
    assert run.kinds == ["busy", "execute_input", "display_data", "display_data", "execute_result", "idle"]
    html, three = run.of("display_data")
    assert html["data"]["text/html"] == "<b>x</b>" and html["metadata"] == dict(a=1) and three["data"] == {"text/plain": "3"}


def test_display_raw(kernel):
    run = kernel.execute("display({'application/json': {'a': [1, None]}, 'text/plain': 'p'}, raw=True)").ok()
    assert run.of("display_data")[0]["data"] == {"application/json": dict(a=[1, None]), "text/plain": "p"}


def test_display_image(kernel):
    "PNG bytes travel as base64."
    run = kernel.execute("from IPython.display import Image\nImage(b'\\x89PNG\\r\\n\\x1a\\n' + b'0' * 30)").ok()
    assert run.results[0]["image/png"].strip().startswith("iVBORw0KGgow")


def test_update_display(kernel):
    run = kernel.execute("h = display('one', display_id=True)\nh.update('two')\ndisplay('three', display_id=h.display_id, update=True);").ok()
    assert [kind(m) for m in run.outputs] == ["display_data", "update_display_data", "update_display_data"]
    assert len({m["content"]["transient"]["display_id"] for m in run.outputs}) == 1
    assert [m["content"]["data"]["text/plain"] for m in run.outputs] == ["'one'", "'two'", "'three'"]


def test_clear_output(kernel):
    run = kernel.execute("from IPython.display import clear_output\nprint('a')\nclear_output()\nprint('b')\nclear_output(wait=True)\nprint('c')").ok()
    assert [kind(m) for m in run.outputs] == ["stream", "clear_output", "stream", "clear_output", "stream"]
    assert [c["wait"] for c in run.of("clear_output")] == [False, True] and run.stdout == "a\nb\nc\n"


def test_order_of_all_outputs(kernel):
    "What a cell emits leaves in the order it happened, whatever it is."
    code = "import sys\nfor i in range(20):\n    print('o', i)\n    print('e', i, file=sys.stderr)\n    display(i)\n    clear_output()\n1/0"
    run = kernel.execute("from IPython.display import clear_output\n" + code)
    assert [kind(m) for m in run.outputs] == ["stream", "stream", "display_data", "clear_output"] * 20 + ["error"]
    assert [m["content"]["text"] for m in run.outputs[:-1] if kind(m) == "stream"] == [t for i in range(20) for t in (f"o {i}\n", f"e {i}\n")]


@pytest.mark.parametrize("code", ["len?", "?len", "%pinfo len"])
def test_page(kernel, code):
    run = kernel.execute(code).ok()
    assert [p["source"] for p in run.payload] == ["page"]
    assert "Return the number of items in a container." in run.payload[0]["data"]["text/plain"] and run.stdout == ""


def test_page_source(kernel):
    run = kernel.execute("import textwrap\ntextwrap.dedent??").ok()
    assert "def " in plain([run.payload[0]["data"]["text/plain"]]) and run.payload[0]["source"] == "page"


def test_page_magic(kernel):
    run = kernel.execute("long_text = 'line\\n' * 50\n%page long_text").ok()
    assert run.payload[0]["source"] == "page" and "line" in run.payload[0]["data"]["text/plain"]


def test_set_next_input_once(kernel):
    "Several in one execute are one payload, the last; the next execute starts with none."
    run = kernel.execute("for i in range(3): get_ipython().set_next_input(f'x = {i}')").ok()
    assert run.payload == [dict(source="set_next_input", text="x = 2", replace=False)]
    assert kernel.execute("1").ok().payload == []


def test_load(kernel, tmp_path):
    (tmp_path / "some.py").write_text("loaded = 1\n")
    run = kernel.execute(f"%load {tmp_path}/some.py").ok()
    assert run.payload[0]["source"] == "set_next_input" and run.payload[0]["replace"] is True and "loaded = 1" in run.payload[0]["text"]


def test_edit(kernel, tmp_path):
    path = tmp_path / "edited.py"
    path.write_text("a = 1\n")
    (payload,) = kernel.execute(f"%edit {path}").ok().payload
    assert payload["source"] in ("edit", "edit_magic")  # the specification's word, and the one that qtconsole listens to
    assert payload["filename"] == str(path) and payload["line_number"] in (None, 0)  # IPython says None


def test_ask_exit(start):
    "The client is asked, and told whether the kernel is to stay."
    k = start()
    assert k.execute("exit(keep_kernel=True)").ok().payload == [dict(source="ask_exit", keepkernel=True)]
    assert k.execute("1 + 1").ok().payload == []
    assert k.execute("exit").ok().payload == [dict(source="ask_exit", keepkernel=False)]


AWAITING = """import asyncio
async def count():
    for i in range(3):
        await asyncio.sleep(0)
        yield i
print(await asyncio.sleep(0.01, 'slept'))
async with asyncio.timeout(5): pass
[i async for i in count()]"""


def test_top_level_await(kernel):
    run = kernel.execute(AWAITING).ok()
    assert (run.stdout, run.result) == ("slept\n", "[0, 1, 2]")


def test_one_loop(kernel):
    "All cells, sync or async, see the same running loop."
    ids = [kernel.execute(f"import asyncio\n{c}id(asyncio.get_running_loop())").ok().result for c in ("", "await asyncio.sleep(0)\n", "")]
    assert len(set(ids)) == 1


TASK = """import asyncio
async def work():
    for i in range(3):
        await asyncio.sleep(0.05)
        print('tick', i)
    return 'worked'
t = asyncio.create_task(work())"""


def test_task_between_cells(kernel):
    "A task goes on after its cell, prints where it was started, and its value can be awaited later."
    first = kernel.execute(TASK).ok()
    kernel.sees(first, "tick 0\n")
    second = kernel.execute("print('second')\nawait t").ok()
    assert (second.stdout, second.result) == ("second\n", "'worked'")
    assert kernel.sees(first, "tick 2\n") and first.late_stdout == "tick 0\ntick 1\ntick 2\n"


THREAD = """import threading
go = threading.Event()
def late():
    go.wait(5)
    print('late')
th = threading.Thread(target=late)
th.start()"""


def test_thread_prints_where_it_was_started(kernel):
    first = kernel.execute(THREAD).ok()
    second = kernel.execute("print('second')\ngo.set()\nth.join()").ok()
    assert kernel.sees(first, "late\n") and second.stdout == "second\n"


def test_context_vars_last(kernel):
    "A ContextVar set in a cell, sync or async, is set in the cells after it."
    kernel.execute("import asyncio, contextvars\nv = contextvars.ContextVar('v', default=0)\nv.set(1)").ok()
    assert kernel.execute("v.get()").ok().result == "1"
    assert kernel.execute("await asyncio.sleep(0.01)\nv.set(2)\nv.get()").ok().result == "2"
    assert kernel.execute("v.get()").ok().result == "2"
    assert kernel.execute("await asyncio.sleep(0)\nv.get()").ok().result == "2"


def test_dates_are_utc(kernel):
    run = kernel.execute("print(1)\ndisplay(2)\n3").ok()
    dates = [m["header"]["date"] for m in run.iopub]
    assert all(isinstance(d, datetime) and d.utcoffset().total_seconds() == 0 for d in dates) and dates[0] < dates[-1]
    assert abs((datetime.now(timezone.utc) - dates[-1]).total_seconds()) < 5


@pytest.mark.parametrize("code", ["", "   \n", "# only a comment", "pass"])
def test_nothing_to_do(kernel, code): assert [m for m in kernel.execute(code).ok().kinds if m != "execute_input"] == ["busy", "idle"]


def test_main_is_the_namespace(kernel):
    assert kernel.execute("import __main__\nmarker = 1\n__name__, __main__.marker").ok().result == "('__main__', 1)"
    assert kernel.execute("import pickle\nclass P: pass\npickle.loads(pickle.dumps(P())).__class__ is P").ok().result == "True"


def test_notebook_magic_keeps_text(kernel, tmp_path):
    "%notebook exports what cells have printed; of a cell that prints without end it keeps the beginning."
    for code in ("%reset -sf", "print('short')\n5", "for i in range(10): print('x' * 100_000, flush=True)"): kernel.execute(code).ok()
    kernel.execute(f"%notebook {tmp_path}/out.ipynb").ok()
    cells = nbformat.read(tmp_path/"out.ipynb", 4).cells[-2:]
    assert [o.get("text") or o.data["text/plain"] for o in cells[0].outputs] == ["short\n", "5"]
    text = "".join(o.text for o in cells[1].outputs)
    assert 100_000 < len(text) < 200_000 and set(text) == {"x", "\n"}


@pytest.mark.parametrize("code,result", [
    ("x = 1\ndef f():\n    x = 'local'\n    got = !echo {x} $x\n    return got\nf()", "['local local']"),
    ("def g(): return get_ipython().getoutput('echo {y}', depth=1)\ndef f():\n    y = 5\n    return g()\nf()", "['5']"),
    ("r = get_ipython().getoutput('echo a; echo b >&2; exit 3', split=False)\ntype(r).__name__, r", "('LSString', 'a\\nb\\n')"),
    ("r = !printf 'gr\\303\\274\\337e'\ntype(r).__name__, r.s", "('SList', 'grü\ufffde')")])
def test_getoutput(kernel, code, result):
    "`x = !cmd`: names of who calls, both streams in one, as IPython's own kinds of list and string."
    assert kernel.execute(code).ok().result == result


def test_getoutput_that_fails(kernel):
    "An error where the user wants one; `&` is none that could be waited for."
    assert kernel.execute("x = !sleep 1 &").ename == "OSError"
    kernel.execute("get_ipython().system_raise_on_error = True").ok()
    try:
        run = kernel.execute("x = !echo out; exit 3")
        assert run.ename == "CalledProcessError" and "status 3" in run.error["evalue"]
        assert kernel.execute("_exit_code").ok().result == "3" and kernel.execute("x = !echo a; echo b >&2\nx, _exit_code").ok().result == "(['a', 'b'], 0)"
    finally: kernel.execute("get_ipython().system_raise_on_error = False").ok()


def test_getoutput_killed(kernel):
    "A child that ends by SIGINT was interrupted, whoever sent it: what follows is not to run, as behind `!`."
    for code in ("x = !kill -INT $$", "x = !exit 130", "!kill -INT $$"): assert kernel.execute(code + "\nprint('on')").ename == "KeyboardInterrupt"
    assert kernel.execute("x = !kill -TERM $$; echo on\nx").ok().result == "[]"
