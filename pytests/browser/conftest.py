"""Room of the browser's fixtures: one JupyterLab and one Chromium for all the tests here, a fresh page for each.
Owns when they start and end, what is kept of a failure, and what is said where no browser can be had. Threads: the test's own. Spec: none."""
import importlib.util, os, pytest, shutil

kernel = os.environ.get("IPYMINI_TEST_KERNEL", "ipymini")
browsers = "chromium chromium-browser google-chrome google-chrome-stable chrome".split()
chromium = next(filter(None, map(shutil.which, browsers)), None)

def missing():
    "What a browser test needs and this machine has not, or None."
    if not chromium: return f"no Chromium on the PATH (looked for {', '.join(browsers)})"
    absent = [m for m in ("playwright", "jupyterlab") if not importlib.util.find_spec(m)]
    return f"not installed: {', '.join(absent)}" if absent else None

def pytest_collection_modifyitems(items):
    here = os.path.dirname(__file__) + os.sep
    if reason := missing():
        for i in items:
            if str(i.path).startswith(here): i.add_marker(pytest.mark.skip(reason=reason))

def pytest_terminal_summary(terminalreporter):
    if reason := missing(): terminalreporter.write_line(f"BROWSER TESTS NOT RUN: {reason}", yellow=True, bold=True)

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    "Add what the page showed to the report of a failure: a screenshot's path, the page's errors, the end of the server's log."
    report = (yield).get_result()
    if not report.failed: return
    from lab import Lab
    for lab in (v for v in getattr(item, "funcargs", {}).values() if isinstance(v, Lab)): report.sections.append(("browser", lab.story(item.name)))

@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    "A JupyterLab server and a Chromium. Ended with the module: playwright's loop would be in the way of later tests' asyncio.run."
    from lab import Server, chromium_flags
    from playwright.sync_api import sync_playwright
    root = tmp_path_factory.mktemp("browser")
    with Server(root, kernel) as server, sync_playwright() as p:
        context = p.chromium.launch_persistent_context(root/"profile", executable_path=chromium, args=chromium_flags, viewport=dict(width=1280, height=900))
        context.set_default_timeout(20_000)
        with context: yield context, server

@pytest.fixture
def lab(browser):
    "A fresh page; its kernels are shut down at the end."
    from lab import Lab
    with Lab(*browser) as lab: yield lab

@pytest.fixture(scope="module")
def tour(browser):
    "The tour notebook, all of its cells run, in a page that its tests share."
    from lab import Lab
    with Lab(*browser) as lab:
        lab.open_tour()
        lab.menu("Run", "Run All Cells")
        lab.wait_all_run()
        yield lab
