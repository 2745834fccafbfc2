"The style checker (fastaistyle's chkstyle) has nothing to say about our Python; shell scripts parse and keep the line limit."
import subprocess, sys
from pathlib import Path
import pytest

root = Path(__file__).resolve().parents[2]
scripts = [*sorted((root/"tools").glob("*.sh")), root/".ci/run"]

def chkstyle(*paths):
    "(exit code, everything printed) of the checker over `paths`."
    cmd = [sys.executable, "-c", "import sys; from chkstyle.core import cli; sys.exit(cli())", *map(str, paths)]
    done = subprocess.run(cmd, cwd=root, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100)
    return done.returncode, done.stdout

def test_style():
    "Zero violations, and the checker did see each of the three directories."
    code,out = chkstyle("ipymini", "pytests", "tools")
    assert (code, out.strip()) == (0, "found 0 potential violation(s)"), out

@pytest.mark.parametrize("where", ["ipymini", "pytests", "tools"])
def test_checker_sees_violations(tmp_path, where):
    "A bad file is found under a directory of this name, with the project's own configuration."
    bad = tmp_path/where/"bad.py"
    bad.parent.mkdir()
    bad.write_text("import os\nif True:\n    x = 1; y = 2\n")
    code,out = chkstyle(tmp_path/where)
    assert code == 1 and "bad.py:1: unused import" in out and "semicolon" in out

@pytest.mark.parametrize("script", scripts, ids=lambda p: p.name)
def test_script_parses(script): subprocess.run(["bash", "-n", script], check=True, timeout=20)

@pytest.mark.parametrize("script", scripts, ids=lambda p: p.name)
def test_script_lines(script): assert [n for n in script.read_text().split("\n") if len(n) > 160] == []
