"""Room of the browser test of subshells: JupyterLab's subshell console, at work while the notebook's cell sleeps.
Owns what must be seen; must not know JupyterLab's elements where `lab.py` has a name for them. Threads: the test's own. Spec: JEP 91."""
import pytest, re, time

expect = pytest.importorskip("playwright.sync_api").expect

def command(lab, text):
    "Run the command called `text` from the command palette."
    lab.press("Control+Shift+C")
    box = lab.page.locator(".jp-ModalCommandPalette input:visible, .lm-CommandPalette-input:visible").first
    box.fill(text)
    lab.page.locator(".lm-CommandPalette-item:visible", has_text=re.compile(text, re.I)).first.click()

def listen(lab, msg_type):
    "A list that grows with each message of `msg_type` the page gets from a kernel."
    seen = []
    def got(frame): msg_type.encode() in (frame if isinstance(frame, bytes) else frame.encode()) and seen.append(msg_type)
    lab.page.on("websocket", lambda ws: ws.on("framereceived", got))
    return seen

def wait_seen(lab, seen, what, timeout=20):
    end = time.monotonic() + timeout
    while not seen:
        assert time.monotonic() < end, f"waited {timeout} s for {what}"
        lab.page.wait_for_timeout(20)  # playwright hands on events only inside its own calls

def test_subshell_console(lab):
    "It runs a cell in the notebook's namespace while the notebook's own cell sleeps, and tells of its subshell."
    made = listen(lab, "create_subshell_reply")
    lab.open("import threading\ngate = threading.Event()\nx = 41", "print('asleep')\ngate.wait(60)\nprint('awake')")
    lab.run(0)
    expect(lab.prompt(0)).to_have_text("[1]:")
    lab.run(1)
    expect(lab.output(1)).to_have_text(re.compile("asleep"))
    made.clear()  # those for comms
    command(lab, "New Subshell Console for Notebook")
    console = lab.page.locator(".jp-ConsolePanel")
    expect(console).to_be_visible(timeout=30_000)
    expect(console.locator(".jp-CodeConsole-banner")).to_have_text(re.compile("IPython"))
    line = console.locator(".jp-CodeConsole-input .cm-content")

    def run(code, n):
        line.click()
        lab.page.keyboard.type(code)
        lab.press("Shift+Enter")
        return console.locator(".jp-CodeConsole-content .jp-CodeCell").nth(n).locator(".jp-OutputArea-output")

    first = console.locator(".jp-CodeConsole-content .jp-CodeCell").count()
    wait_seen(lab, made, "the subshell")  # what is typed before runs in the parent
    expect(run("x + 1", first)).to_have_text("42")
    expect(run("%subshell", first + 1)).to_have_text(re.compile(r"subshell id: [0-9a-f]{8}-"))
    expect(lab.output(1)).not_to_have_text(re.compile("awake"))
    run("gate.set()", first + 2)
    expect(lab.output(1).first).to_have_text(re.compile(r"asleep\s+awake"))
    lab.wait_idle()
