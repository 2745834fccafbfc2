"""Room of the debugger in the browser: JupyterLab's bug icon, gutter, panels and buttons on this kernel, as its user sees them.
Owns the names of the debugger's elements; must not know how a kernel debugs. Threads: the test's own. Spec: none; the CSS classes are JupyterLab 4's."""
import pytest, re

expect = pytest.importorskip("playwright.sync_api").expect

ADD = "import pandas as pd\ndef add(a, b):\n    c = a + b\n    frame = pd.DataFrame(dict(x=[a, b, c]))\n    return twice(c)"
TWICE = "def twice(n):\n    m = n * 2\n    return m"
CALL = "r = add(1, 2)\nr + 1"


class Debugger:
    "What a user sees of the debugger in the page `lab`."
    def __init__(self, lab):
        self.lab, self.page = lab, lab.page
        self.bug, self.sidebar = lab.nb.locator(".jp-DebuggerBugButton"), self.page.locator("#jp-debugger-sidebar")
        self.frames, self.names = self.sidebar.locator(".jp-DebuggerCallstackFrame"), self.sidebar.locator(".jp-DebuggerVariables-name:visible")
        self.points = self.sidebar.locator(".jp-DebuggerBreakpoint")

    def on(self):
        expect(self.bug).to_have_attribute("title", "Enable Debugger")
        self.bug.click()
        expect(self.bug).to_have_attribute("title", "Disable Debugger")
        expect(self.sidebar).to_be_visible()
        return self

    def off(self):
        self.bug.click()
        expect(self.bug).to_have_attribute("title", "Enable Debugger")

    def toggle(self, cell, line):
        "Click into the gutter of `cell` at `line`."
        gutter = self.lab.cell(cell).locator(".cm-breakpoint-gutter > .cm-gutterElement")
        before = self.points.count()
        gutter.nth(line).click()  # the first is an invisible one that gives the gutter its width
        expect(self.points).not_to_have_count(before)

    def stops(self, *frames):
        "Wait until the call stack shows `frames`, as name:line from the inside out."
        for i, f in enumerate(frames):
            name, line = f.split(":")
            expect(self.frames.nth(i).locator(".jp-DebuggerCallstackFrame-name")).to_have_text(name)
            expect(self.frames.nth(i).locator(".jp-DebuggerCallstackFrame-location")).to_have_text(re.compile(f":{line}$"))
        expect(self.frames).to_have_count(len(frames))

    def press(self, command): self.sidebar.locator(f'jp-button[data-command="debugger:{command}"]').click()

    def variable(self, name): return self.sidebar.locator("jp-tree-item", has=self.page.locator(".jp-DebuggerVariables-name", has_text=re.compile(f"^{name}$"))).last

    def shows(self, name, value): expect(self.variable(name).locator(".jp-DebuggerVariables-detail").first).to_have_text(value)

    def scope(self, name): self.sidebar.locator('select[aria-label="Scope"]').select_option(name)

    def marked(self, cell): return self.lab.cell(cell).locator(".jp-DebuggerEditor-highlight")


@pytest.fixture
def dbg(lab):
    "A notebook of three cells, two of them run, and the debugger on."
    lab.open(ADD, TWICE, CALL)
    for n in (0, 1):
        lab.run(n)
        expect(lab.prompt(n)).to_have_text(f"[{n + 1}]:")
    yield Debugger(lab).on()
    assert [e for e in lab.errors if "ebug" in e] == []


def stopped(dbg):
    "Stop in the third line of `add`, from another cell."
    dbg.toggle(0, 3)
    dbg.lab.run(2)
    dbg.stops("add:3", "<module>:1")
    return dbg


def finished(dbg, result="7"):
    "Let the cell end."
    dbg.press("continue")
    expect(dbg.frames).to_have_count(0)
    expect(dbg.lab.output(2)).to_have_text(result)
    dbg.lab.wait_idle()


def test_bug_icon_and_globals(dbg):
    dbg.lab.type(2, "\nshown = 12", "Control+Enter")
    dbg.shows("shown", "12")
    dbg.variable("function variables").click()
    expect(dbg.names).to_have_text([re.compile(n) for n in ("function variables", "add", "twice", "pd", "r", "shown")])
    dbg.lab.shot("globals")
    dbg.off()


def test_breakpoint_is_hit_from_another_cell(dbg):
    stopped(dbg)
    dbg.shows("a", "1")
    dbg.shows("b", "2")
    expect(dbg.marked(0)).to_have_text(re.compile("c = a \\+ b"))
    expect(dbg.frames.nth(0)).to_have_text(re.compile(r"Cell \[1\]:3"))
    expect(dbg.points).to_have_text(re.compile(r"Cell \[1\]"))
    dbg.lab.shot("breakpoint")
    finished(dbg)


def test_steps(dbg):
    "Over, in, out, and on, with the line marked."
    stopped(dbg)
    dbg.press("next")
    dbg.stops("add:4", "<module>:1")
    dbg.shows("c", "3")
    dbg.press("next")
    dbg.stops("add:5", "<module>:1")
    dbg.press("stepIn")
    dbg.stops("twice:2", "add:5", "<module>:1")
    expect(dbg.marked(1)).to_have_text(re.compile("m = n"))
    dbg.shows("n", "3")
    dbg.lab.shot("stepped-in")
    dbg.press("stepOut")
    dbg.stops("add:5", "<module>:1")
    dbg.press("next")
    dbg.stops("<module>:[12]")  # the line of the call once more, where the interpreter tells
    finished(dbg)


def test_frames_of_the_call_stack(dbg):
    "Choosing an outer frame shows its variables."
    stopped(dbg)
    dbg.frames.nth(1).click()
    expect(dbg.frames.nth(1)).to_have_class(re.compile("selected"))
    dbg.shows("pd", re.compile("module"))
    expect(dbg.names.filter(has_text=re.compile("^(In|Out|exit|quit)"))).to_have_count(0)
    dbg.lab.shot("outer-frame")
    finished(dbg)


def test_variables_table_and_rich_view(dbg):
    stopped(dbg)
    dbg.press("next")
    dbg.stops("add:4", "<module>:1")
    dbg.press("next")
    dbg.stops("add:5", "<module>:1")
    item = dbg.variable("frame")
    item.hover()
    item.locator(".jp-DebuggerVariables-renderVariable").first.click()
    view = dbg.page.locator(".jp-VariableRendererPanel table.dataframe")
    expect(view.locator("tbody tr")).to_have_count(3)
    expect(view).to_have_text(re.compile(r"x\s*0\s*1\s*1\s*2\s*2\s*3"))
    dbg.lab.shot("dataframe")
    dbg.sidebar.locator("jp-button.jp-TableView-Button").click()
    grid = dbg.sidebar.locator(".jp-DebuggerVariables-grid")
    expect(grid).to_be_visible()
    dbg.lab.shot("table")
    dbg.sidebar.locator("jp-button.jp-TreeView-Button").click()
    dbg.shows("c", "3")
    finished(dbg)


def test_evaluate(dbg):
    "JupyterLab empties its variables then, and fills them only at the next stop: it asks for those of new frames. New ids for the old ones would take the focus away."
    stopped(dbg)
    dbg.press("evaluate")
    console = dbg.page.locator(".jp-DebuggerEvaluateConsole, .jp-CodeConsole").last
    for code in ("a * 100 + b", "b = b * 50", "b + 3"):
        console.locator(".jp-CodeConsole-input .cm-content").click()
        dbg.page.keyboard.type(code)
        dbg.lab.press("Shift+Enter")
    expect(console).to_have_text(re.compile("102.*103", re.S))
    dbg.lab.shot("evaluate")
    dbg.press("next")
    dbg.stops("add:4", "<module>:1")
    dbg.shows("b", "100")
    dbg.press("continue")
    expect(dbg.lab.output(2)).to_have_text("203")


def test_copy_to_globals(dbg):
    stopped(dbg)
    dbg.variable("b").locator(".jp-DebuggerVariables-name").click(button="right")
    dbg.page.locator(".lm-Menu-item", has_text="Copy Variable to Globals").click()
    dbg.scope("Globals")
    dbg.shows("b", "2")
    dbg.lab.shot("copied-to-globals")
    finished(dbg)
    dbg.toggle(0, 3)
    dbg.lab.type(2, "\nb * 21", "Control+Enter")
    expect(dbg.lab.output(2)).to_have_text("42")


def test_kernel_sources(dbg):
    sources = dbg.sidebar.locator(".jp-DebuggerKernelSource-source")
    expect(sources.first).to_be_visible()
    dbg.sidebar.locator(".jp-Debugger-KernelSources-Filter input").fill("json.decoder")
    expect(sources.filter(has_text="json.decoder")).to_have_count(1)
    sources.filter(has_text="json.decoder").click()
    expect(dbg.page.locator(".jp-FileEditor, .jp-DebuggerEditor, .jp-MainAreaWidget", has_text="Implementation of JSONDecoder").first).to_be_visible()
    dbg.lab.shot("kernel-source")


def test_pause_on_exceptions(dbg):
    dbg.sidebar.locator("jp-button.jp-PauseOnExceptions").click()
    dbg.page.locator(".lm-Menu-item", has_text=re.compile("^raised$", re.I)).click()
    dbg.lab.type(2, "\n1 / 0", "Control+Enter")
    dbg.stops("<module>:3")
    dbg.lab.shot("exception")
    dbg.press("continue")
    expect(dbg.lab.stderr(2).last).to_have_text(re.compile("ZeroDivisionError"))


def test_disable_lets_the_cell_go_on(dbg):
    stopped(dbg)
    dbg.off()
    expect(dbg.lab.output(2)).to_have_text("7")
    dbg.lab.run(2)
    expect(dbg.lab.prompt(2)).to_have_text("[4]:")
    dbg.lab.shot("disabled")


def test_restart_restores(dbg):
    "After a restart the debugger is on and the breakpoint is where it was."
    stopped(dbg)
    finished(dbg)
    dbg.lab.restart()
    expect(dbg.bug).to_have_attribute("title", "Disable Debugger")
    for n in (0, 1): dbg.lab.run(n)
    expect(dbg.lab.prompt(1)).to_have_text("[2]:")
    dbg.lab.run(2)
    dbg.stops("add:3", "<module>:1")
    dbg.shows("a", "1")
    dbg.lab.shot("restarted")
    finished(dbg)


def test_page_is_loaded_again_while_stopped(dbg):
    "The new page finds the session, the breakpoint and the stopped thread."
    stopped(dbg)
    dbg.lab.toolbar("save")
    dbg.page.reload()
    expect(dbg.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=30_000)
    again = Debugger(dbg.lab)
    expect(again.bug).to_have_attribute("title", "Disable Debugger", timeout=30_000)
    again.stops("add:3", "<module>:1")
    dbg.lab.shot("loaded-again")
    paused = dbg.page.locator(".jp-DebuggerPausedOverlay")
    paused.locator('button[title="Continue"]').click()
    expect(paused).not_to_be_visible()
    expect(again.frames).to_have_count(0)


def test_interrupt_while_stopped(dbg):
    stopped(dbg)
    dbg.lab.toolbar("interrupt")
    expect(dbg.lab.stderr(2).last).to_have_text(re.compile("KeyboardInterrupt"))
    expect(dbg.frames).to_have_count(0)
    dbg.lab.run(2)
    dbg.stops("add:3", "<module>:1")
    finished(dbg)
