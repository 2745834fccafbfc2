"""Whole kernel: stdout and stderr as text streams, and what C code, subprocesses and forked children write to fd 1 and 2.
Spec: messaging (stream): all of a cell's text is there before its idle, complete and in order."""
import pytest

from harness import same


def test_both_streams(kernel):
    run = kernel.execute("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.stdout.write('no newline')").ok()
    assert (run.stdout, run.stderr, run.result) == ("out\nno newline", "err\n", "10")


def test_surface(kernel):
    "What libraries ask of a text stream."
    code = """import io, sys
res = []
for name, s in (("stdout", sys.stdout), ("stderr", sys.stderr)):
    assert isinstance(s, io.TextIOBase), type(s)
    assert s.encoding.lower() == "utf-8" and isinstance(s.errors, str), (s.encoding, s.errors)
    assert s.isatty() is False and s.writable() and not s.readable() and not s.closed and not s.seekable()
    assert isinstance(s.fileno(), int) and s.name == f"<{name}>", s.name
    assert s.newlines is None and s.line_buffering in (True, False) and s.mode == "w"
    s.reconfigure(line_buffering=True, errors="replace")
    s.writelines(["a", "b\\n"])
    assert s.write("c\\u00e9\\n") == 3
    s.buffer.write("d\\u20ac\\n".encode())
    s.buffer.flush()
    s.flush()
    for bad in (b"bytes", 3, None):
        try: s.write(bad)
        except TypeError: res.append("TypeError")
    print("e", "f", sep="-", end="!\\n", file=s, flush=True)"""
    run = kernel.execute(code + "\nlen(res)").ok()
    assert run.stdout == run.stderr == "ab\ncé\nd€\ne-f!\n" and run.result == "6"


def test_redirects(kernel):
    "contextlib's redirects and an assigned stream work and end."
    code = "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as f: print('hidden')\nprint('seen')\nf.getvalue()"
    run = kernel.execute(code).ok()
    assert (run.stdout, run.result) == ("seen\n", "'hidden\\n'")


def test_capture_magic(kernel):
    assert kernel.execute("%%capture cap\nprint('caught')\ndisplay(1)\n2").ok().outputs == []
    assert kernel.execute("cap.stdout, len(cap.outputs)").ok().result == "('caught\\n', 2)"


def test_unicode(kernel):
    text = "äöü \U0001F431 \u202e \x00 \x1b[31mred\x1b[0m \r\n\t"
    assert kernel.execute(f"print({text!r}, end='')").ok().stdout == text


def test_lone_surrogate(kernel):
    "It cannot be encoded, and loses nothing of what stands around it."
    run = kernel.execute("print('before \\ud800 after')").ok()
    assert run.stdout.startswith("before ") and run.stdout.endswith(" after\n")


def test_many_lines_in_order(kernel):
    run = kernel.execute("for i in range(20_000): print(i)").ok()
    same(run.stdout, "".join(f"{i}\n" for i in range(20_000)))


def test_flush_does_not_flood(kernel):
    "Flushed prints of a busy cell are joined: far fewer messages than prints, nothing lost."
    run = kernel.execute("for i in range(5_000): print(i, flush=True)").ok()
    same(run.stdout, "".join(f"{i}\n" for i in range(5_000)))
    assert len(run.of("stream")) < 500


def test_text_leaves_while_the_cell_runs(kernel):
    "A print is seen at once, not at the end of the cell."
    run = kernel.execute("import time\nprint('now')\nfor i in range(200): time.sleep(0.05)", wait=False)
    kernel.sees(run, "now\n", 2)
    kernel.interrupt("signal")
    assert kernel.wait(run).content["ename"] == "KeyboardInterrupt"


def test_big_string(kernel):
    run = kernel.execute("print('x' * 10_000_000 + 'end')").ok()
    same(run.stdout, "x" * 10_000_000 + "end\n")


FDS = [
    "import os\nos.write(1, b'via fd\\n')", "import subprocess\nsubprocess.run(['echo', 'via fd'])", "import os\nos.system('echo via fd')",
    "!echo via fd",
    "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.puts(b'via fd')\nlibc.fflush(None)",
    "import os\nwith os.fdopen(os.dup(1), 'w') as f: f.write('via fd\\n')",
    "%%bash\necho via fd", "import subprocess\nsubprocess.Popen('sleep 0.1; echo via fd', shell=True).wait()",
    "import sys\nsys.__stdout__.write('via fd\\n')\nsys.__stdout__.flush()"]


@pytest.mark.parametrize("code", FDS)
def test_fd_1(kernel, code):
    "What is written to fd 1 is in the cell's stdout, before its idle, between what Python prints before and after."
    run = kernel.execute(f"{code};" if not code.startswith(("!", "%")) else code).ok()
    assert run.stdout.replace("\r\n", "\n") == "via fd\n"
    assert kernel.execute("1").ok().outputs[0]["content"]["data"]["text/plain"] == "1"


@pytest.mark.parametrize("code", [c for c in FDS if not c.startswith(("!", "%"))])
def test_fd_1_in_order_with_prints(kernel, code):
    run = kernel.execute(f"print('before')\n{code}\nprint('after')").ok()
    assert run.stdout == "before\nvia fd\nafter\n"


def test_fd_2(kernel):
    run = kernel.execute("import os, subprocess\nos.write(2, b'one\\n')\nsubprocess.run('echo two >&2', shell=True)\nos.system('echo three >&2');").ok()
    assert (run.stderr, run.stdout) == ("one\ntwo\nthree\n", "")


def test_fd_split_and_bad_utf8(kernel):
    "A character split over two writes arrives whole; bytes that are no UTF-8 are replaced, and nothing around them is lost."
    code = "import os, time\nb = 'é€\\n'.encode()\nfor part in (b[:1], b[1:4], b[4:]):\n    os.write(1, part)\n    time.sleep(0.05)"
    assert kernel.execute(code).ok().stdout == "é€\n"
    assert kernel.execute(r"os.write(1, b'a\xff\xfeb\n');").ok().stdout.strip("\n") in ("a\ufffd\ufffdb", "a\ufffdb")


def test_fd_big(kernel):
    "More than a pipe holds."
    run = kernel.execute("import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'for i in range(200_000): print(i)'], check=True);").ok()
    same(run.stdout, "".join(f"{i}\n" for i in range(200_000)))


def test_fd_goes_to_the_cell_that_wrote(kernel):
    runs = [kernel.execute(f"import os\nos.write(1, b'cell {i}\\n');", wait=False) for i in range(10)]
    for r in runs: kernel.wait(r)
    assert [r.stdout for r in runs] == [f"cell {i}\n" for i in range(10)]


def test_late_subprocess(kernel):
    "A subprocess that outlives its cell still gets its text to the client."
    run = kernel.execute("import subprocess\np = subprocess.Popen('sleep 0.3; echo late', shell=True)").ok()
    kernel.pump(lambda: any("late\n" in m["content"].get("text", "") for m in run.all + kernel.unsolicited), 5, "the text of the late subprocess")
    kernel.execute("p.wait()").ok()


FORK = """import os
print('before')
pid = os.fork()
if not pid:
    print('child', flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print('after')"""


def test_fork_prints_once(kernel):
    "What was printed before the fork, by the child and after it, is each there once; the child touches no socket."
    run = kernel.execute(FORK).ok()
    assert sorted(run.stdout.splitlines()) == ["after", "before", "child"] and run.stdout.startswith("before\n") and run.stdout.endswith("after\n")


PROCESSES = """import multiprocessing as mp
def f(i): print('worker', i, flush=True)
ps = [mp.get_context('fork').Process(target=f, args=(i,)) for i in range(4)]
for p in ps: p.start()
for p in ps: p.join()
[p.exitcode for p in ps]"""


def test_multiprocessing_fork(kernel):
    run = kernel.execute(PROCESSES).ok()
    assert sorted(run.stdout.splitlines()) == [f"worker {i}" for i in range(4)] and run.result == "[0, 0, 0, 0]"


def test_fork_pool(kernel):
    code = "import multiprocessing as mp\ndef sq(i): return i * i\nwith mp.get_context('fork').Pool(2) as pool: r = pool.map(sq, range(5))\nr"
    assert kernel.execute(code).ok().result == "[0, 1, 4, 9, 16]"


def test_forked_child_obeys_signals(kernel):
    "A child is no kernel: SIGTERM ends it (Pool.terminate waits for that), and SIGINT is a KeyboardInterrupt."
    code = "import os, signal, time\nr, w = os.pipe()\nif not (pid := os.fork()):\n    try:\n        os.write(w, b'.')\n        time.sleep(30)\n    except KeyboardInterrupt: os._exit(7)\n" \
        "os.read(r, 1)\nos.kill(pid, signal.{})\nos.waitpid(pid, 0)[1]"
    assert kernel.execute(code.format("SIGTERM")).ok().result == "15"
    assert kernel.execute(code.format("SIGINT")).ok().result == str(7 << 8)


def test_logging_and_warnings(kernel):
    run = kernel.execute("import logging, warnings\nlogging.getLogger('x').warning('logged')\nwarnings.warn('warned')").ok()
    assert "logged" in run.stderr and "UserWarning: warned" in run.stderr


def test_streams_survive_a_close(kernel):
    "A library that closes sys.stdout hurts itself at most."
    kernel.execute("import sys\ntry: sys.stdout.close()\nexcept Exception: pass")
    assert kernel.execute("print('still here')").ok().stdout == "still here\n"


def test_forked_child_ends_at_once(kernel):
    "SIGTERM that comes while the child is being made is not lost: Pool.terminate sends it as soon as the work is done."
    code = """import os, signal, time
def end(pid, seconds=3):
    while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0) and seconds > 0:
        time.sleep(0.005)
        seconds -= 0.005
    if ended == (0, 0): os.kill(pid, signal.SIGKILL)
    return ended[1]
ends = set()
for i in range(60):
    if (pid := os.fork()) == 0: time.sleep(30)
    time.sleep(i * 1e-5)
    os.kill(pid, signal.SIGTERM)
    ends.add(end(pid))
ends"""
    assert kernel.execute(code, timeout=60).ok().result == "{15}"
