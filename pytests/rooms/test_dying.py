"The last words, with one thing after the other broken under them; each in a process of its own."
import os, subprocess, sys

import pytest

import ipymini.process.dying as dying

HEAD = "import os, sys, linecache, traceback, logging, builtins\nimport ipymini.process.dying as dying\n" \
    "class Mute(Exception):\n    def __str__(self): raise RuntimeError('no')\n"
TAIL = "\ndef inner(e): raise e\ntry: inner(ERROR)\nexcept BaseException: dying.die('the thread died')\n"
BROKEN = dict(  # chkstyle: ignore-node (a table: what is broken, the exception, what is told all the same)
    nothing   = ("", "KeyError('x')", ["Traceback", "in inner", "KeyError: 'x'"]),
    linecache = ("linecache.getlines = linecache.checkcache = linecache.getline = None", "KeyError('x')", ["in inner", "KeyError: 'x'"]),
    traceback = ("traceback.TracebackException = None", "KeyError('x')", ["in inner", "KeyError: 'x'"]),
    audit     = ("def hook(*args): raise RuntimeError('audit')\nsys.addaudithook(hook)", "KeyError('x')", ["KeyError: 'x'"]),
    logging   = ("logging.getLogger = logging.Logger = None", "KeyError('x')", ["in inner", "KeyError"]),
    builtins  = ("for name in ('print', 'len', 'open', 'type', 'str', 'repr', 'isinstance'): setattr(builtins, name, None)",
        "KeyError('x')", ["KeyError"]),
    names     = ("os.write = os._exit = sys.stderr = sys.__stderr__ = None", "KeyError('x')", ["in inner", "KeyError"]),
    mute      = ("", "Mute()", ["in inner", "Mute"]),
    surrogate = ("", "KeyError('\\udc80')", ["KeyError"]),
    modules   = ("sys.modules.clear()", "KeyError('x')", ["KeyError: 'x'"]))


def script(code, **kw):
    done = subprocess.run([sys.executable, "-c", HEAD + code], capture_output=True, text=True, timeout=20, **kw)
    return done.returncode, done.stderr


@pytest.mark.parametrize("what", BROKEN)
def test_last_words(what):
    "The reason is told, as well as can be, and the code is the one that says so."
    broken,error,told = BROKEN[what]
    code,stderr = script(broken + TAIL.replace("ERROR", error))
    assert code == 70 and "[ipymini] CRITICAL | the thread died\n" in stderr, stderr
    for t in told: assert t in stderr


def test_words_go_to_the_saved_descriptor(tmp_path):
    "When 2 belongs to the cells, or to nobody."
    path = tmp_path / "log"
    for spoil in ("", "os.close(2)\n"):
        path.write_text("")
        assert script(f"dying.stderr[0] = os.open({str(path)!r}, os.O_WRONLY | os.O_APPEND)\n{spoil}dying.die('over', 3)") == (3, "")
        assert path.read_text() == "[ipymini] CRITICAL | over\n"


def test_nobody_is_there_to_be_told(): assert script("os.close(2)\ndying.die('over', 4)")[0] == 4


def test_what_is_to_be_done_before():
    "It is done, and what fails there delays nothing."
    code,stderr = script("dying.before += [lambda: 1/0, lambda: dying.say('two\\n')]\ndying.die('over', 5)")
    assert code == 5 and stderr.startswith("[ipymini] CRITICAL | over\n"
        "[ipymini] ERROR | Traceback") and stderr.endswith("ZeroDivisionError: division by zero\ntwo\n")


def test_say(monkeypatch):
    "One system call, so that the words of two threads are not torn apart."
    calls = []
    monkeypatch.setattr(dying, "write", lambda fd, data: calls.append((fd, data)))
    dying.say("a\nb\n")
    assert calls == [(dying.stderr[0], b"a\nb\n")]


def test_no_exception(): assert dying.told(None) == "" and os.path.exists(dying.__file__)
