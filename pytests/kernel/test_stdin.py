"""Whole kernel: input and getpass over the stdin channel, and what happens when nobody may or does answer.
Spec: messaging (stdin): input_request goes to the client that sent the execute; without allow_stdin there is none."""
import pytest

from harness import raw_client


def test_input(kernel):
    run = kernel.execute("input('name? ')", answers=["Ada"]).ok()
    assert run.asked == [dict(prompt="name? ", password=False)] and run.result == "'Ada'"


def test_input_is_nothing_but_text(kernel):
    run = kernel.execute("[input(), input(3), input('é€ ')]", answers=["", "a\nb", "\U0001F431"]).ok()
    assert [a["prompt"] for a in run.asked] == ["", "3", "é€ "] and run.result == repr(["", "a\nb", "\U0001F431"])


def test_getpass(kernel):
    run = kernel.execute("import getpass\ngetpass.getpass('secret: '), getpass.getpass()", answers=["a", "b"]).ok()
    assert run.asked == [dict(prompt="secret: ", password=True), dict(prompt="Password: ", password=True)] and run.result == "('a', 'b')"


def test_output_before_input(kernel):
    "What the cell printed is on iopub before the question is asked."
    seen = []
    run = kernel.execute("print('first')\ninput('? ')", answers=[lambda msg: seen.append(msg)], wait=False)
    kernel.sees(run, "first\n", 5)
    kernel.pump(lambda: seen, 5, "the input_request")
    kernel.reply_input(seen[0], "x")
    assert kernel.wait(run).ok().result == "'x'"


@pytest.mark.parametrize("code", ["input('? ')", "import getpass\ngetpass.getpass()"])
def test_not_allowed(kernel, code):
    run = kernel.execute(code, allow_stdin=False)
    assert (run.status, run.content["ename"]) == ("error", "StdinNotImplementedError") and run.asked == []


def test_allowed_or_not_is_each_cells_own(kernel):
    assert kernel.execute("input()", answers=["x"]).ok().result == "'x'"
    assert kernel.execute("input()", allow_stdin=False).content["ename"] == "StdinNotImplementedError"
    assert kernel.execute("input()", answers=["y"]).ok().result == "'y'"


@pytest.mark.parametrize("door", ["signal", "message"])
@pytest.mark.parametrize("code", ["input('? ')", "import getpass\ngetpass.getpass()"])
def test_interrupt_cancels_the_wait(kernel, code, door):
    run = kernel.execute(code, answers=[lambda msg: None], wait=False)
    kernel.pump(lambda: run.asked, 5, "the input_request")
    kernel.interrupt(door)
    assert kernel.wait(run, 5).content["ename"] == "KeyboardInterrupt"
    assert kernel.execute("input('again? ')", answers=["fine"]).ok().result == "'fine'"


def test_late_reply_is_not_the_next_answer(kernel):
    "A reply to a question that was interrupted does not answer the next one."
    old = []
    run = kernel.execute("input('old? ')", answers=[old.append], wait=False)
    kernel.pump(lambda: old, 5, "the input_request")
    kernel.interrupt("message")
    kernel.wait(run)
    kernel.reply_input(old[0], "stale")
    kernel.request("kernel_info_request")
    assert kernel.execute("input('new? ')", answers=["fresh"]).ok().result == "'fresh'"


def test_wrong_replies(kernel):
    "A reply without value, or with another's parent, does not end the wait in a wrong way and never stops the kernel."
    asked = []
    run = kernel.execute("input('? ')", answers=[asked.append], wait=False)
    kernel.pump(lambda: asked, 5, "the input_request")
    with raw_client(kernel.km.connection_file) as c:
        for content in ({}, dict(value=3), []): c.send_frames("stdin", c.frames("input_reply", content))
        c.send_frames("stdin", [b"no frames of ours"])
    kernel.reply_input(asked[0], "right")
    assert kernel.wait(run).status in ("ok", "error")
    assert kernel.execute("input('again? ')", answers=["fine"]).ok().result == "'fine'"


def test_input_in_a_loop(kernel):
    run = kernel.execute("n = 0\nwhile (s := input()) != 'end': n += int(s)\nn", answers=["1", "2", "3", "end"]).ok()
    assert run.result == "6" and len(run.asked) == 4


def test_pdb(kernel):
    "The debugger's prompt is an input_request; its text goes to stdout."
    run = kernel.execute("def f(a):\n    import pdb\n    pdb.set_trace()\n    return a\nf(5)", answers=["p a + 37", "c"]).ok()
    assert "42" in run.stdout and run.result == "5" and all("db" in a["prompt"] for a in run.asked)


def test_debug_magic(kernel):
    kernel.execute("def broken(x): return 1 / x\nbroken(0)")
    run = kernel.execute("%debug", answers=["p x", "q"]).ok()
    assert "ipdb" in run.asked[0]["prompt"] and "0" in run.stdout
