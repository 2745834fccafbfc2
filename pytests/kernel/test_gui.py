"""Whole kernel: windows of GUI toolkits live between cells and while a cell awaits. Tk's need an X server (Xvfb); Qt's are drawn off-screen.
Spec: IPython's documentation, %gui."""
import os, shutil, subprocess
import pytest

TICKS = """ticks = 0
def tick():
    global ticks
    ticks += 1
    root.after(5, tick)
root = tkinter.Tk()
tick()"""


@pytest.fixture(scope="module")
def display():
    "The name of an X server's display, started here."
    if not shutil.which("Xvfb"): pytest.skip("no Xvfb")
    r, w = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(w), "-nolisten", "tcp"], pass_fds=[w], stderr=subprocess.DEVNULL)
    os.close(w)
    with open(r) as f: number = f.readline().strip()
    yield f":{number}"
    server.kill()
    server.wait()


def grows(k, expression):
    "Does the number grow between two cells?"
    before = int(k.execute(expression).ok().result)
    k.arrives(lambda: False, 0.3)
    return int(k.execute(expression).ok().result) > before


def test_tk(start, display):
    k = start(env=dict(DISPLAY=display))
    assert k.execute("import tkinter\n%gui tk").ok().stderr == ""
    k.execute(TICKS).ok()
    assert grows(k, "ticks")
    assert k.execute("import asyncio\nbefore = ticks\nawait asyncio.sleep(0.3)\nticks > before").ok().result == "True"
    run = k.execute("import asyncio\nroot.after(1, lambda: print('from a callback'))\nfor i in range(100): await asyncio.sleep(0.01)", timeout=10).ok()
    assert "from a callback" in run.stdout
    k.execute("%gui").ok()
    assert not grows(k, "ticks")


def test_tk_figure(start, display):
    "A plot's window opens, is redrawn after a cell changes it, and can be closed."
    k = start(env=dict(DISPLAY=display))
    assert k.execute("%matplotlib tk\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nplt.show(block=False)").ok().stderr == ""
    k.execute("drawn = 0\ndef on_draw(e):\n    global drawn\n    drawn += 1\nfig.canvas.mpl_connect('draw_event', on_draw);").ok()
    k.execute("ax.plot([1, 2]);").ok()
    k.arrives(lambda: False, 0.3)
    assert int(k.execute("drawn").ok().result) >= 1
    assert k.execute("plt.close(fig)\nplt.get_fignums()").ok().result == "[]"


def test_none(start):
    "Without a display there is a reason, and the kernel goes on."
    k = start(env=dict(DISPLAY=""))
    assert "display" in k.execute("%gui tk").ok().stderr
    assert "no event loop for 'gtk'" in k.execute("%gui gtk").ok().stderr
    assert k.execute("1 + 1").ok().result == "2"


def test_qt(start):
    k = start(env=dict(QT_QPA_PLATFORM="offscreen"))
    assert k.execute("%gui qt").ok().stderr == ""
    k.execute("from PyQt6.QtCore import QTimer\nticks = 0\ndef tick():\n    global ticks\n    ticks += 1\nt = QTimer()\nt.timeout.connect(tick)\nt.start(5)").ok()
    assert grows(k, "ticks")
    k.execute("%gui").ok()
    assert not grows(k, "ticks")
