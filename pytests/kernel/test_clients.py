"""Clients as users have them, doing real work: jupyter console in a terminal, nbclient, nbconvert --execute and papermill.
Each starts (or attaches to) the kernel in its own way; what they show and write is compared."""
import json, nbformat, os, pexpect, pytest, re, subprocess, sys
from itertools import groupby
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from harness import KERNEL_NAME, TIMEOUT


def notebook(*cells):
    "A notebook of code cells; a (source, tag) pair is a tagged one."
    def cell(c):
        source, tags = (c, []) if isinstance(c, str) else (c[0], [c[1]])
        return new_code_cell(source, metadata=dict(tags=tags) if tags else {})

    meta = dict(kernelspec=dict(name=KERNEL_NAME, display_name=KERNEL_NAME, language="python"))
    return new_notebook(cells=[new_markdown_cell("# A title"), *map(cell, cells)], metadata=meta)


def shown(cell):
    "A cell's outputs in short: the text of each run of one stream, the plain text of results, the names of errors."
    res = []
    for name, outs in groupby(cell.outputs, lambda o: o.get("name") or id(o)):
        outs = list(outs)
        res.append("".join(o["text"] for o in outs) if "text" in outs[0] else outs[0].get("ename") or outs[0]["data"]["text/plain"])
    return res


WORK = ("import sys\nprint('hello')\nprint('oops', file=sys.stderr)", "x = 6 * 7\nx",
    "display({'text/html': '<b>h</b>', 'text/plain': 'h'}, raw=True)", "import asyncio\nawait asyncio.sleep(0.01, 'slept')",
    "!echo from the shell", ("1/0", "raises-exception"), "import time\nfor i in range(3):\n    print(i)\n    time.sleep(0.05)",
    "h = display('a', display_id='d')", "_ = display('b', display_id='d', update=True)",
    "from IPython.display import clear_output\nprint('gone')\nclear_output()\nprint('stays')")
SHOWN = [["hello\n", "oops\n"], ["42"], ["h"], ["'slept'"], ["from the shell\n"], ["ZeroDivisionError"], ["0\n1\n2\n"], ["'b'"], [], ["stays\n"]]


def outputs(nb): return [shown(c) for c in nb.cells if c.cell_type == "code"]


def test_nbclient(tmp_path):
    nb = notebook(*WORK)
    NotebookClient(nb, timeout=60, resources=dict(metadata=dict(path=str(tmp_path)))).execute()
    assert [[t.replace("\r\n", "\n") for t in o] for o in outputs(nb)] == SHOWN
    assert [c.execution_count for c in nb.cells if c.cell_type == "code"] == list(range(1, len(WORK) + 1))
    nbformat.validate(nb)


def test_nbclient_error_stops(tmp_path):
    nb = notebook("a = 1", "raise RuntimeError('stop here')", "print('never')")
    with pytest.raises(CellExecutionError, match="stop here"): NotebookClient(nb, timeout=60).execute()
    assert outputs(nb) == [[], ["RuntimeError"], []]


def test_nbclient_allow_errors():
    nb = notebook("raise RuntimeError('go on')", "print('after')")
    NotebookClient(nb, timeout=60, allow_errors=True).execute()
    assert outputs(nb) == [["RuntimeError"], ["after\n"]]


def test_nbclient_input_is_not_allowed():
    with pytest.raises(CellExecutionError, match="StdinNotImplementedError"): NotebookClient(notebook("input('? ')"), timeout=60).execute()


def test_nbclient_timeout_interrupts():
    nb = notebook("import time\ntime.sleep(60)", "print('after')")
    NotebookClient(nb, timeout=1, interrupt_on_timeout=True, allow_errors=True).execute()
    assert outputs(nb) == [["KeyboardInterrupt"], ["after\n"]]


def test_nbclient_notices_a_death():
    with pytest.raises(DeadKernelError): NotebookClient(notebook("import os\nos._exit(1)"), timeout=60).execute()


def test_nbclient_output_widget():
    "An ipywidgets Output captures what is printed within it: nbclient answers comms, and the state is kept in the notebook."
    nb = notebook("import ipywidgets as w\nout = w.Output()\nout", "with out: print('captured')\nprint('outside')")
    NotebookClient(nb, timeout=60).execute()
    assert outputs(nb)[1] == ["outside\n"]
    states = nb.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"].values()
    assert [s["state"]["outputs"][0]["text"] for s in states if s["model_name"] == "OutputModel"] == ["captured\n"]


def run(*args, cwd, ok=True):
    "Run a Jupyter command of this environment; its stdout, failing with its stderr."
    p = subprocess.run([sys.executable, "-m", *args], cwd=cwd, capture_output=True, text=True, timeout=120)
    assert (p.returncode == 0) == ok, p.stdout + p.stderr
    return p.stdout + p.stderr


def test_nbconvert(tmp_path):
    nb = notebook("print('in ' + 'html')", "display({'text/html': '<i>it' + 'alic</i>', 'text/plain': 'p'}, raw=True)")
    nbformat.write(nb, tmp_path / "in.ipynb")
    run("nbconvert", "--to", "html", "--execute", "in.ipynb", cwd=tmp_path)
    html = (tmp_path / "in.html").read_text()
    assert "in html" in html and "<i>italic</i>" in html


def test_nbconvert_error(tmp_path):
    nbformat.write(notebook("1/0"), tmp_path / "bad.ipynb")
    assert "ZeroDivisionError" in run("nbconvert", "--to", "notebook", "--execute", "bad.ipynb", cwd=tmp_path, ok=False)


def test_papermill(tmp_path):
    nb = notebook(("a = 1\nb = 'x'", "parameters"), "print(a * 2, b)", "import os\nprint(os.getcwd())")
    nbformat.write(nb, tmp_path / "in.ipynb")
    (tmp_path / "work").mkdir()
    run("papermill", "in.ipynb", "out.ipynb", "-p", "a", "21", "-p", "b", "from papermill", "--cwd", "work", cwd=tmp_path)
    out = nbformat.read(tmp_path / "out.ipynb", 4)
    assert outputs(out)[-2:] == [["42 from papermill\n"], [f"{tmp_path / 'work'}\n"]]
    assert [c.metadata.papermill.status for c in out.cells if c.cell_type == "code"] == ["completed"] * 4


def test_papermill_error(tmp_path):
    nbformat.write(notebook("print('before')", "1/0", "print('never')"), tmp_path / "in.ipynb")
    assert "ZeroDivisionError" in run("papermill", "in.ipynb", "out.ipynb", cwd=tmp_path, ok=False)
    ran = [c for c in nbformat.read(tmp_path / "out.ipynb", 4).cells if c.cell_type == "code" and "papermill-error-cell-tag" not in c.metadata.tags]
    assert [c.metadata.papermill.status for c in ran] == ["completed", "failed", "pending"]


@pytest.fixture
def console(kernel):
    "jupyter console --existing on the module's kernel, in a terminal of 120 columns; `say` types a line, `see` waits for a text."
    env = os.environ | dict(TERM="xterm", PROMPT_TOOLKIT_NO_CPR="1", NO_COLOR="1")
    plain = ["--ZMQTerminalInteractiveShell.highlighting_style=bw", "--ZMQTerminalInteractiveShell.true_color=False"]
    args = ["-m", "jupyter_console", "--existing", kernel.km.connection_file, *plain]
    p = pexpect.spawn(sys.executable, args, env=env, encoding="utf-8", timeout=TIMEOUT, dimensions=(40, 120))

    def see(text):
        "Wait for `text`, whatever colours and cursor moves the terminal puts between its characters."
        gap = r"(?:\x1b\[[\d;?]*[a-zA-Z])*"
        p.expect(gap.join(re.escape(c) for c in text))

    def say(text): p.send(text + "\r")

    p.see, p.say = see, say
    yield p
    p.close(force=True)


def test_console(console, kernel):
    "Execute, see a result, stdout and an error, answer an input, complete with Tab, and leave; the kernel stays."
    console.see("In [")
    console.say("value = 6 * 7")
    console.see("In [")
    console.say("value + 100")
    console.see("142")
    console.say("print('pri' + 'nted')")
    console.see("printed")
    console.say("1/0")
    console.see("ZeroDivisionError")
    console.say("name = input('who are you? ')")
    console.see("who are you?")
    console.say("Ada")
    console.see("In [")
    console.say("'hello ' + name")
    console.see("hello Ada")
    console.say("long_name_of_mine = 'completed'")
    console.see("In [")
    console.send("long_name_of_m\t")
    console.see("long_name_of_mine")
    console.send("\r")
    console.see("'completed'")
    assert kernel.execute("name, value").ok().result == "('Ada', 42)"
    console.say("exit(keep_kernel=True)")
    console.expect(pexpect.EOF)
    assert kernel.execute("1 + 1").ok().result == "2"


def test_console_interrupt(console, kernel):
    "A cell that the console waits for is interrupted from elsewhere: the console shows it and goes on."
    console.see("In [")
    console.say("import time; print('run' + 'ning'); time.sleep(60)")
    console.see("running")
    kernel.interrupt("message")
    console.see("KeyboardInterrupt")
    console.say("'and ' + 'on'")
    console.see("and on")


def test_run_by_name():
    "jupyter run executes a script's code on the kernel."
    args = [sys.executable, "-m", "jupyter_client.runapp", "--kernel", KERNEL_NAME]
    p = subprocess.run(args, input="print(6 * 7)", capture_output=True, text=True, timeout=60)
    assert "42" in p.stdout, p.stdout + p.stderr


def test_kernelspec_is_listed():
    p = subprocess.run([sys.executable, "-m", "jupyter_client.kernelspecapp", "list", "--json"], capture_output=True, text=True, timeout=60)
    assert KERNEL_NAME in json.loads(p.stdout)["kernelspecs"]
