"""The soak and the fuzz, a few seconds of each as a user would start them: they find nothing, and say so; and they do find what is there.
Threads: the caller's. Spec: none."""
import os, subprocess, sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.flaky(reruns=2)  # bounds of time, on machines of any load: repeated twice at most, and the run's closing line says so
TOOLS = Path(__file__).resolve().parents[2] / "tools"
sys.path.append(str(TOOLS))
import fuzz  # noqa: E402


def tool(name, *args):
    "(exit code, all it has printed) of a tool, in an environment that knows nothing of these tests."
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "JUPYTER_", "IPYTHON"))}
    done = subprocess.run([sys.executable, TOOLS / name, *args], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    return done.returncode, done.stdout


@pytest.mark.timeout(320)
def test_soak():
    "All stories once, and then some."
    code, told = tool("soak.py", "--minutes", "0.1")
    assert code == 0 and told.endswith("\nok\n"), told[-20_000:]


def test_fuzz_pure():
    code, told = tool("fuzz.py", "pure", "--examples", "5000")
    assert code == 0 and told.endswith("\nok\n") and "5000 examples, 0 faults" in told, told[-10_000:]


@pytest.mark.timeout(320)
def test_fuzz_live():
    code, told = tool("fuzz.py", "live", "--messages", "2000")
    assert code == 0 and told.endswith("\nok\n"), told[-20_000:]


@pytest.mark.parametrize("target", fuzz.TARGETS)
def test_fuzz_counts_and_finds(target, monkeypatch, capsys):
    "Each way to an input, a check that fails: counted, told once a kind, and an exit code that says so."
    weight, make, _ = fuzz.TARGETS[target]
    monkeypatch.setitem(fuzz.TARGETS, target, (weight, make, lambda example: 1/0))
    assert fuzz.pure(100, 1, [target], 0.2) == 1
    told = capsys.readouterr().out
    assert "100 examples, 100 faults of 1 kinds" in told and told.count(f"FAULT {target}: ZeroDivisionError") == 1
