"""Whole kernel: stdin as an object: what programs read from sys.stdin is asked of the client, as `input` and `getpass` are.
Spec: messaging ("Messages on the stdin channel"); io.TextIOBase."""
import pytest

from harness import Sub

NOT_ALLOWED = "StdinNotImplementedError"


@pytest.mark.parametrize("code,answers,result", [
    ("sys.stdin.readline()", ["one"], "'one\\n'"),
    ("sys.stdin.readline(), sys.stdin.readline()", ["one", ""], "('one\\n', '\\n')"),
    ("sys.stdin.readline()", ["\x04"], "''"),
    ("sys.stdin.readlines()", ["one", "two", "\x04"], "['one\\n', 'two\\n']"),
    ("sys.stdin.read()", ["one", "two", "\x04"], "'one\\ntwo\\n'"),
    ("[l for l in sys.stdin]", ["a", "b", "\x04"], "['a\\n', 'b\\n']"),
    ("next(sys.stdin)", ["first"], "'first\\n'"),
    ("sys.stdin.readline(2), sys.stdin.readline(9), sys.stdin.readline()", ["abcde", "next"], "('ab', 'cde\\n', 'next\\n')"),
    ("sys.stdin.read(3), sys.stdin.readline()", ["abcde"], "('abc', 'de\\n')"),
    ("sys.stdin.readline()", ["grüße ✓ 😀"], "'grüße ✓ 😀\\n'"),
    ("sys.stdin.buffer.readline()", ["grüße"], r"b'gr\xc3\xbc\xc3\x9fe\n'"),
    ("sys.stdin.buffer.readline(3), sys.stdin.buffer.read(2), sys.stdin.buffer.readline()", ["aü", "", "\x04"], r"(b'a\xc3\xbc', b'\n\n', b'')"),
    ("sys.stdin.buffer.read()", ["one", "two", "\x04"], r"b'one\ntwo\n'"),
    ("sys.stdin.read(1), sys.stdin.buffer.readline(), sys.stdin.readline()", ["ab", "next"], r"('a', b'b\n', 'next\n')"),
    ("list(sys.stdin.buffer), sys.stdin.buffer.readlines()", ["a", "b", "\x04", "\x04"], r"([b'a\n', b'b\n'], [])"),
    ("b = bytearray(3)\nsys.stdin.buffer.readinto(b), b", ["ab"], r"(3, bytearray(b'ab\n'))"),
    ("import io\nio.TextIOWrapper(sys.stdin.buffer, encoding='latin-1').readline(), sys.stdin.buffer.readline()", ["ü", "on"], r"('Ã¼\n', b'on\n')"),
    ("with sys.stdin as s, sys.stdin.buffer as b: r = s.readline(), b.readline()\nlist(sys.stdin), r", ["a", "b", "\x04"], r"([], ('a\n', b'b\n'))")])
def test_reading(kernel, code, answers, result):
    run = kernel.execute(f"import sys\n{code}", answers=answers).ok()
    assert run.result == result and all(a == dict(prompt="", password=False) for a in run.asked)


def test_for_line_in_stdin(kernel):
    "Each line is there as soon as it is typed."
    run = kernel.execute("import sys\nfor line in sys.stdin: print('got', line.strip())", answers=["a", "b", "\x04"]).ok()
    assert run.stdout == "got a\ngot b\n" and len(run.asked) == 3


def test_reading_goes_on_after_the_end(kernel):
    "An end of file ends one loop, not the keyboard."
    assert kernel.execute("import sys\nlist(sys.stdin), sys.stdin.readline()", answers=["a", "\x04", "b"]).ok().result == "(['a\\n'], 'b\\n')"


@pytest.mark.parametrize("prompt,text", [("3", "3"), ("None", "None"), ("[1]", "[1]"), ("object.__name__", "object"), ("''", "")])
def test_input_of_anything(kernel, prompt, text):
    run = kernel.execute(f"input({prompt})", answers=["x"]).ok()
    assert run.asked == [dict(prompt=text, password=False)] and run.result == "'x'"


def test_input_errors(kernel):
    "As the builtin's: end of file, too many arguments, a prompt that cannot be shown."
    assert kernel.execute("input()", answers=["\x04"]).content["ename"] == "EOFError"
    assert kernel.execute("input(1, 2)").content["ename"] == "TypeError"
    assert kernel.execute("class Bad:\n    def __str__(self): raise ValueError('no text')\ninput(Bad())", answers=[]).content["ename"] == "ValueError"


def test_getpass(kernel):
    "With and without echo_char; to any stream; nothing of it is in the output."
    run = kernel.execute("from getpass import getpass\n[getpass(), getpass('P: '), getpass('Q: ', echo_char='*'), getpass(prompt='R: ', stream=None)]", answers=list("abcd")).ok()
    assert run.result == "['a', 'b', 'c', 'd']"
    assert run.asked == [dict(prompt=p, password=True) for p in ("Password: ", "P: ", "Q: ", "R: ")] and not run.stdout + run.stderr
    assert kernel.execute("getpass()", answers=["\x04"]).content["ename"] == "EOFError"


@pytest.mark.parametrize("code", ["input()", "getpass.getpass()", "sys.stdin.readline()", "next(sys.stdin)", "sys.stdin.read()", "sys.stdin.buffer.read()"])
def test_not_allowed(kernel, code):
    "At once, where the client takes no questions; the next cell runs."
    run = kernel.execute(f"import sys, getpass\n{code}", timeout=5)
    assert run.content["ename"] == NOT_ALLOWED and "does not support input" in run.content["evalue"]
    assert kernel.execute("1 + 1").ok().result == "2"


def test_surface(kernel):
    "What programs look at before they read."
    code = "import sys, io\ns = sys.stdin\n(s.isatty(), s.readable(), s.writable(), s.seekable(), s.closed, s.encoding.lower(), s.name, s is sys.__stdin__, isinstance(s, io.TextIOBase))"
    assert kernel.execute(code).ok().result == "(False, True, False, False, False, 'utf-8', '<stdin>', False, True)"
    code = "b = s.buffer\n(b.isatty(), b.readable(), b.writable(), b.seekable(), b.closed, b.name, b.mode, b.fileno(), isinstance(b, io.BufferedIOBase), b is s.buffer)"
    assert kernel.execute(code).ok().result == "(False, True, False, False, False, '<stdin>', 'rb', 0, True, True)"
    assert kernel.execute("s.write('x')").content["ename"] in ("UnsupportedOperation", "OSError")


def test_pdb_and_code(kernel):
    "Modules that read lines of their own: cmd, code, fileinput."
    run = kernel.execute("import cmd, sys\nclass C(cmd.Cmd):\n    def do_say(self, arg): print('said', arg)\n    def do_EOF(self, arg): return True\nC().cmdloop()", answers=["say hi", "\x04"]).ok()
    assert "said hi\n" in run.stdout
    run = kernel.execute("import fileinput\n[l for l in fileinput.input('-')]", answers=["x", "y", "\x04"]).ok()
    assert run.result == "['x\\n', 'y\\n']"


@pytest.mark.parametrize("read", ["input('? ')", "sys.stdin.readline().strip()", "getpass.getpass('? ')"])
def test_from_threads(kernel, read):
    "Of a running cell; two at once get an answer each."
    code = f"import sys, getpass, threading\ngot = []\nts = [threading.Thread(target=lambda: got.append({read})) for _ in range(2)]\n[t.start() for t in ts]\n[t.join() for t in ts]\nsorted(got)"
    run = kernel.execute(code, answers=["a", "b"]).ok()
    assert run.result == "['a', 'b']" and len(run.asked) == 2


def test_from_a_subshell(kernel):
    with Sub(kernel) as sub: assert sub.execute("import sys\nsys.stdin.readline()", answers=["x"]).ok().result == "'x\\n'"


@pytest.mark.parametrize("door", ["signal", "message"])
def test_interrupted(kernel, door):
    run = kernel.execute("import sys\nsys.stdin.readline()", answers=[lambda msg: kernel.interrupt(door)])
    assert run.content["ename"] == "KeyboardInterrupt"
    assert kernel.execute("sys.stdin.readline()", answers=["fresh"]).ok().result == "'fresh\\n'"


def test_subprocesses_do_not_wait(kernel):
    "A child that reads gets an end of file, not the kernel's own stdin."
    assert kernel.execute("import subprocess\nsubprocess.run(['cat'], timeout=5).returncode", timeout=10).ok().result == "0"
