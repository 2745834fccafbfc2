"""Room of the browser tests: JupyterLab in Chromium on this kernel, as its user sees it.
Owns what must be seen; must not know JupyterLab's elements where `lab.py` has a name for them. Threads: the test's own. Spec: none."""
import pytest, re

expect = pytest.importorskip("playwright.sync_api").expect

def test_launcher_starts_kernel(lab):
    lab.go()
    name = lab.server.display_name
    card = lab.page.locator(".jp-LauncherCard:visible", has_text=name).first
    expect(card).to_be_visible()
    logo = card.locator("img")
    expect(logo).to_have_attribute("src", re.compile(f"kernelspecs/{lab.server.kernel}/"))
    lab.page.wait_for_function("img => img.complete && img.naturalWidth >= 32", arg=logo.element_handle())
    card.click()
    lab.wait_idle()
    expect(lab.kernel_name).to_have_text(name)
    lab.type(0, "6 * 7", "Control+Enter")
    expect(lab.output(0)).to_have_text("42")
    expect(lab.prompt(0)).to_have_text("[1]:")

def test_kernel_picker(lab):
    "A notebook that names no kernel gets the one chosen in the dialog."
    lab.open_plain("1 + 1")
    lab.dialog.locator("select").select_option(label=lab.server.display_name)
    lab.accept("Select Kernel")
    lab.wait_idle()
    expect(lab.kernel_name).to_have_text(lab.server.display_name)
    lab.run(0)
    expect(lab.output(0)).to_have_text("2")

def test_tour_streams_and_result(tour):
    expect(tour.output("hello").nth(0)).to_have_text(re.compile("Hello from Python"))
    expect(tour.stderr("hello")).to_have_text(re.compile("error stream"))
    expect(tour.output("hello").last).to_have_text("42")

def test_tour_table(tour):
    rows = tour.output("table").locator("table.dataframe tbody tr")
    expect(rows).to_have_count(8)
    expect(rows.nth(2)).to_have_text(re.compile(r"Earth\s*1\.00\s*1\.00"))

def test_tour_plot(tour):
    img = tour.output("plot").locator("img")
    expect(img).to_have_count(1)
    size = img.evaluate("img => img.decode().then(() => [img.naturalWidth, img.naturalHeight])")
    assert size[0] > 400 and size[1] > 200, f"the plot is {size} pixels"

def test_tour_slider_calls_back(tour):
    out = tour.output("slider")
    expect(out.locator(".widget-label").last).to_have_text("One year on Earth")
    out.locator(".noUi-handle").focus()
    tour.press("ArrowRight")
    expect(out.locator(".widget-label").last).to_have_text("A year would take 1.84 of ours")
    tour.press("ArrowRight")
    expect(out.locator(".widget-label").last).to_have_text("A year would take 2.83 of ours")
    expect(out.locator(".widget-output")).to_have_text(re.compile(r"1\.0 -> 1\.5 AU\s*1\.5 -> 2\.0 AU"))
    tour.wait_idle()

def test_tour_progress_bar(tour):
    out = tour.output("progress")
    expect(out.locator(".progress-bar-success")).to_have_attribute("style", re.compile(r"width: 100%"))
    expect(out).to_have_text(re.compile(r"orbiting:\s100%.*40/40", re.S))

def test_tour_markdown_latex_svg(tour):
    expect(tour.output("markdown").locator("strong")).to_have_text("bold")
    expect(tour.output("markdown").locator("li")).to_have_count(2)
    expect(tour.output("markdown").locator("mjx-container")).to_be_visible()
    expect(tour.output("own-repr").locator("svg circle, img")).not_to_have_count(0)

def test_tour_updates_display(tour): expect(tour.output("update")).to_have_text("Lift-off!")

def test_tour_await_and_background_task(tour):
    "What a task prints while later cells run stands in the cell that started it."
    expect(tour.output("await")).to_have_text("['Venus after 0.2 s', 'Mars after 0.1 s']")
    expect(tour.output("background")).to_have_text(re.compile(r"started.*(tick \d\s*){5}$", re.S))
    expect(tour.output("background-result")).to_have_text("'all ticks done'")

def test_tour_errors(tour):
    expect(tour.output("handled")).to_have_text(re.compile("There is no planet called 'Pluto'"))
    expect(tour.stderr("handled")).to_have_count(0)
    expect(tour.stderr("unhandled")).to_have_text(re.compile(r"ZeroDivisionError.*Traceback.*def period\(au\).*float division by zero", re.S))
    expect(tour.output("still-here")).to_have_text(re.compile("still here, with 8 planets"))

def test_tour_shell_and_subprocess(tour):
    expect(tour.output("shell")).to_have_text(re.compile("hello from the shell"))
    expect(tour.output("subprocess").filter(has_text="process")).to_have_text(re.compile("hello from another process"))
    expect(tour.output("magics")).to_have_text(re.compile("1,000 loops each"))

def test_input_is_answered_in_page(lab):
    "The kernel is busy while it asks and idle after the answer; getpass shows no letters."
    lab.open('name = input("name? ")\nprint("hello", name)', 'from getpass import getpass\nlen(getpass("secret: "))')
    box = lab.nb.locator(".jp-Stdin-input")
    lab.run(0)
    expect(lab.nb.locator(".jp-Stdin-prompt")).to_have_text("name? ")
    lab.wait_status("busy")
    box.fill("Ada")
    box.press("Enter")
    expect(lab.output(0).last).to_have_text(re.compile("^hello Ada"))
    lab.wait_idle()
    lab.run(1)
    expect(lab.nb.locator(".jp-Stdin-prompt")).to_have_text("secret: ")
    expect(box).to_have_attribute("type", "password")
    box.fill("swordfish")
    box.press("Enter")
    expect(lab.output(1).last).to_have_text("9")
    lab.wait_idle()

def test_tab_completes(lab):
    lab.open("import os", "", "")
    lab.run(0)
    expect(lab.prompt(0)).to_have_text("[1]:")
    lab.complete(1, "os.path.is")
    items = lab.page.locator(".jp-Completer:visible .jp-Completer-item")
    isfile = items.filter(has=lab.page.locator(".jp-Completer-match", has_text=re.compile("^isfile$")))
    expect(isfile).to_have_count(1)
    kind = isfile.locator(".jp-Completer-typeExtended")
    for _ in range(10):  # the first completion is made without Jedi, which knows kinds, if importing that takes long
        if kind.text_content() == "function": break
        lab.press("Escape")
        lab.complete(1, "")
    expect(kind).to_have_text("function")
    expect(items.filter(has_text=re.compile("isdir"))).not_to_have_count(0)
    isfile.click()
    expect(lab.editor(1)).to_have_text("os.path.isfile")
    lab.complete(2, "os.path.exp")
    expect(items).to_have_text([re.compile("expanduser"), re.compile("expandvars")])
    lab.press("ArrowDown", "Enter")
    expect(lab.editor(2)).to_have_text("os.path.expandvars")

def test_shift_tab_shows_docstring(lab):
    lab.open('def greet(name, loud=False):\n    "Say hello to `name`."', "")
    lab.run(0)
    expect(lab.prompt(0)).to_have_text("[1]:")
    lab.type(1, "greet(", "Shift+Tab")
    expect(lab.page.locator(".jp-Tooltip")).to_have_text(re.compile(r"greet\(name, loud=False\).*Say hello to `name`\.", re.S))

def test_pager_and_next_input(lab):
    "`?` shows the documentation below its cell; a payload puts new text into a new cell."
    lab.open("len?", 'get_ipython().set_next_input("2 * 21")')
    lab.run(0)
    expect(lab.output(0)).to_have_text(re.compile("Return the number of items in a container"))
    lab.run(1)
    expect(lab.editor(2)).to_have_text("2 * 21")
    lab.run(2)
    expect(lab.output(2)).to_have_text("42")

@pytest.mark.parametrize("code", ["while True: pass", "import time\ntime.sleep(600)", "import asyncio\nawait asyncio.sleep(600)"])
def test_interrupt_button(lab, code):
    lab.open(f'print("running")\n{code}', "'next'")
    lab.run(0)
    expect(lab.output(0)).to_have_text(re.compile("running"))
    lab.wait_status("busy")
    lab.toolbar("interrupt")
    expect(lab.stderr(0)).to_have_text(re.compile("KeyboardInterrupt"))
    lab.wait_idle()
    lab.run(1)
    expect(lab.output(1)).to_have_text("'next'")
    expect(lab.prompt(1)).to_have_text("[2]:")

def test_restart_forgets_variables(lab):
    lab.open("x = 5\nx", "x")
    lab.run(0)
    expect(lab.output(0)).to_have_text("5")
    lab.restart()
    lab.run(1)
    expect(lab.stderr(1)).to_have_text(re.compile("NameError"))
    expect(lab.prompt(1)).to_have_text("[1]:")
    lab.run(0)
    expect(lab.prompt(0)).to_have_text("[2]:")
    expect(lab.output(0)).to_have_text("5")

def test_subprocess_output_in_order(lab):
    lab.open('import os, subprocess\nprint("one")\nsubprocess.run(["echo", "two"])\nprint("three")\nos.system("echo four >&2")')
    lab.run(0)
    expect(lab.output(0).first).to_have_text(re.compile(r"^one\s+two\s+three\s*$"))
    expect(lab.stderr(0)).to_have_text(re.compile("four"))
    expect(lab.output(0).last).to_have_text("0")

def test_error_stops_run_all(lab):
    "Run All stops at the first error: the cells behind it, queued while the first took its time, are not run and get no number."
    lab.open("import time\ntime.sleep(0.5)", "1/0", "3")
    lab.menu("Run", "Run All Cells")
    expect(lab.stderr(1)).to_have_text(re.compile("ZeroDivisionError"))
    lab.wait_idle()
    expect(lab.prompt(2)).to_have_text("[ ]:")
    lab.run(2)
    expect(lab.prompt(2)).to_have_text("[3]:")
