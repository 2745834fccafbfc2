"""Room of the browser test: a JupyterLab of its own in temporary directories, and what a user does with it in a page.
Owns the server's process and the names of JupyterLab's elements; must not know how a kernel works, only what its user sees.
Threads: the test's own, and one that reads the server's log. Spec: none; the CSS classes are JupyterLab 4's."""
import json, os, re, subprocess, sys, threading
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Error, TimeoutError, expect

repo = Path(__file__).resolve().parents[2]
settings = {"apputils-extension/notification": dict(fetchNews="false", checkForUpdates=False), "docmanager-extension/plugin": dict(autosave=False),
    "completer-extension/manager": dict(providerTimeout=20_000)}  # Lab shows no completion that takes more than a second, as the first may on a busy machine
chromium_flags = """--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --no-default-browser-check --disable-sync
    --disable-background-networking --disable-component-update --disable-default-apps --disable-extensions""".split()

class Server:
    "JupyterLab on a free port, all that it writes below `root`; a context manager that ends it, kernels and all."
    def __init__(self, root, kernel):
        self.root, self.kernel, self.work, self.token = root, kernel, root/"work", "browser-test"
        self.log, self.url, self.up = [], "", threading.Event()
        self.work.mkdir()
        self.display_name = KernelSpecManager().get_kernel_spec(kernel).display_name
        for name, value in settings.items():
            path = root/"settings"/"@jupyterlab"/f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value))

    def __enter__(self):
        dirs = dict(JUPYTER_CONFIG_DIR="config", JUPYTER_DATA_DIR="data", JUPYTER_RUNTIME_DIR="runtime", JUPYTERLAB_SETTINGS_DIR="settings",
            JUPYTERLAB_WORKSPACES_DIR="workspaces", IPYTHONDIR="ipython")
        env = {**os.environ, **{k: str(self.root/v) for k, v in dirs.items()}}
        for k in ("JUPYTER_TOKEN", "MPLBACKEND", "JPY_PARENT_PID"): env.pop(k, None)
        args = ["lab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0", f"--ServerApp.root_dir={self.work}",
            f"--IdentityProvider.token={self.token}", "--LabApp.extension_manager=readonly", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
        self.proc = subprocess.Popen([sys.executable, "-m", "jupyter", *args], env=env, cwd=self.work, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()
        if self.up.wait(60) and self.url: return self
        self.__exit__()
        raise RuntimeError(f"JupyterLab did not start:\n{self.log_tail()}")

    def read_log(self):
        "Keep the server's log until it ends; learn its address from it."
        for line in self.proc.stdout:
            self.log.append(line)
            if not self.url and (m := re.search(r"http://127\.0\.0\.1:\d+/", line)):
                self.url = m[0]
                self.up.set()
        self.up.set()

    def __exit__(self, *exc):
        self.proc.terminate()
        try: self.proc.wait(10)
        except subprocess.TimeoutExpired: self.proc.kill()
        self.proc.wait()
        self.reader.join(5)

    def log_tail(self, n=30): return "".join(self.log[-n:])

class Lab:
    "One page with JupyterLab in it, as a user sees and handles it. A context manager that closes it and shuts its kernels down."
    def __init__(self, context, server):
        self.context, self.page, self.server, self.errors = context, context.new_page(), server, []
        self.nb = self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        self.dialog, self.kernel_name = self.page.locator(".jp-Dialog"), self.nb.locator('[data-jp-item-name="kernelName"]')
        self.cells = {}
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)

    def __enter__(self): return self

    def __exit__(self, *exc):
        sessions, headers = f"{self.server.url}api/sessions", dict(Authorization=f"token {self.server.token}")
        self.page.close()
        for s in self.context.request.get(sessions, headers=headers).json():
            response = self.context.request.delete(f"{sessions}/{s['id']}", headers=headers)
            assert response.status == 204, f"a kernel could not be shut down: {response.status} {response.text()}"

    def story(self, name):
        "What there is to see of a failure."
        path = self.server.root/f"{re.sub(r'[^a-z0-9_]+', '-', name)}.png"
        try: self.page.screenshot(path=path)
        except Error as e: path = f"none, {e}"
        return f"screenshot: {path}\nerrors in the page: {self.errors}\nthe server's log ends:\n{self.server.log_tail()}"

    def shot(self, name):
        "Keep a picture of the page in the folder IPYMINI_SCREENSHOTS, if that is set: for eyes."
        if folder := os.environ.get("IPYMINI_SCREENSHOTS"): self.page.screenshot(path=Path(folder)/f"{name}.png")

    def go(self, path=""):
        "Load JupyterLab afresh with `path` (a notebook of the root directory) open, or the launcher."
        tree = f"/tree/{path}" if path else ""
        self.page.goto(f"{self.server.url}lab{tree}?reset&token={self.server.token}", wait_until="commit")
        expect(self.page.locator("#jp-main-dock-panel")).to_be_visible(timeout=30_000)
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0, timeout=30_000)

    def write(self, name, nb):
        "Write `nb` into the root directory; from now on its cells can be named by their ids."
        nbformat.write(nb, self.server.work/name)
        self.cells = {c.id: i for i, c in enumerate(nb.cells)}

    def open(self, *sources):
        "Open a notebook with a cell for each of `sources`; wait until its kernel is idle."
        spec = dict(name=self.server.kernel, display_name=self.server.display_name, language="python")
        self.write("work.ipynb", new_notebook(cells=[new_code_cell(s) for s in sources], metadata=dict(kernelspec=spec)))
        self.go("work.ipynb")
        self.wait_idle()

    def open_plain(self, *sources):
        "Open a notebook that names no kernel; does not wait for one."
        self.write("plain.ipynb", new_notebook(cells=[new_code_cell(s) for s in sources]))
        self.go("plain.ipynb")

    def open_tour(self):
        "Open a copy of the tour, on the kernel under test; wait until that is idle."
        nb = nbformat.read(repo/"examples"/"tour.ipynb", 4)
        nb.metadata.kernelspec.update(name=self.server.kernel, display_name=self.server.display_name)
        self.write("tour.ipynb", nb)
        self.code_cells = [c.id for c in nb.cells if c.cell_type == "code"]
        self.go("tour.ipynb")
        self.wait_idle()

    def wait_status(self, status, timeout=30):
        """Wait until the notebook's toolbar says `status` of the kernel; the status bar, too, if that is idle, which the toolbar says even before there is a kernel.
        On a busy machine the status bar may stay idle while the toolbar says busy."""
        expect(self.nb.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute("data-status", status, timeout=timeout*1000)
        if status == "idle": expect(self.page.locator("#jp-bottom-panel")).to_contain_text(f"{self.server.display_name} | {status.capitalize()}", timeout=timeout*1000)

    def wait_idle(self): self.wait_status("idle")
    def wait_all_run(self):
        "Wait until every code cell of the tour has its number, in order, and the kernel is idle."
        for n, id in enumerate(self.code_cells, 1): expect(self.prompt(id)).to_have_text(f"[{n}]:", timeout=30_000)
        self.wait_idle()

    def cell(self, n): return self.nb.locator(".jp-Notebook .jp-Cell").nth(self.cells.get(n, n))
    def editor(self, n): return self.cell(n).locator(".cm-content")
    def output(self, n): return self.cell(n).locator(".jp-OutputArea-output")
    def prompt(self, n): return self.cell(n).locator(".jp-InputArea-prompt")
    def stderr(self, n):
        "What stands on red in cell `n`: its error stream and its tracebacks."
        return self.cell(n).locator('[data-mime-type="application/vnd.jupyter.stderr"]')

    def run(self, n):
        "Run cell `n` with Ctrl-Enter; does not wait."
        self.editor(n).click()
        self.press("Control+Enter")

    def type(self, n, text, *keys):
        "Type `text` at the end of cell `n`, then press `keys`."
        self.editor(n).click()
        self.press("Control+End")
        self.page.keyboard.type(text)
        self.press(*keys)

    def complete(self, n, text):
        "Type `text` at the end of cell `n` and press Tab until completions show: JupyterLab drops those that take a second, as the first may on a busy machine."
        self.type(n, text, "Tab")
        shown = self.page.locator(".jp-Completer:visible")
        for _ in range(5):
            try: return shown.first.wait_for(timeout=3000)
            except TimeoutError: self.press("Tab")

    def restart(self):
        "Restart the kernel and wait until the new one is idle."
        self.toolbar("restart")
        with self.page.expect_response(re.compile("/api/kernels/.*/restart")): self.accept("Restart Kernel?")
        self.wait_idle()

    def press(self, *keys):
        for k in keys: self.page.keyboard.press(k)

    def menu(self, name, item):
        "Choose `item` of the menu `name`."
        self.page.locator(".lm-MenuBar-item", has_text=re.compile(f"^{name}$")).click()
        self.page.locator(".lm-Menu-item", has_text=re.compile(f"^{item}")).first.click()

    def toolbar(self, item): self.nb.locator(f'[data-jp-item-name="{item}"]').locator("jp-button").click()

    def accept(self, title):
        "Accept the dialog `title`."
        expect(self.dialog.locator(".jp-Dialog-header")).to_have_text(title)
        self.dialog.locator(".jp-mod-accept").click()
        expect(self.dialog).to_have_count(0)
