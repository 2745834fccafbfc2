"""The maintainer's scripts: pull request and release, dry and for real against a bare repository beside them and a gh that only writes
down what it was asked; the notebook runner against notebooks made here. Threads: the caller's. Spec: none."""
import os, shutil, subprocess, sys
from pathlib import Path
import nbformat, pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

root = Path(__file__).resolve().parents[2]
version = 'a = 1\n__version__ = "0.1.0"\nb = 2\n'

class Checkout:
    "A clone of a bare repository on main, with our scripts in it and a stand-in for gh on PATH."
    def __init__(self, tmp):
        self.dir,self.gh_log = tmp/"work",tmp/"gh.log"
        (tmp/"bin").mkdir()
        (tmp/"bin/gh").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>"{self.gh_log}"\n')
        (tmp/"bin/gh").chmod(0o755)
        who = {f"GIT_{w}_{k}": v for w in ("AUTHOR", "COMMITTER") for k,v in dict(NAME="A Tester", EMAIL="tester@example.org").items()}
        self.env = {**os.environ, **who, "PATH": f"{tmp/'bin'}{os.pathsep}{os.environ['PATH']}", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        self.git("init", "-q", "--bare", "-b", "main", str(tmp/"origin.git"), cwd=tmp)
        self.git("clone", "-q", str(tmp/"origin.git"), "work", cwd=tmp)
        self.git("switch", "-q", "-C", "main")
        (self.dir/"ipymini").mkdir()
        (self.dir/"ipymini/__init__.py").write_text(version)
        shutil.copytree(root/"tools", self.dir/"tools", ignore=shutil.ignore_patterns("__pycache__"))
        self.commit("first")
        self.git("push", "-q", "-u", "origin", "main")

    def run(self, *cmd, cwd=None): return subprocess.run(cmd, cwd=cwd or self.dir, env=self.env, text=True, capture_output=True, timeout=60)

    def git(self, *args, cwd=None):
        done = self.run("git", *args, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, message):
        self.git("add", "--all")
        self.git("commit", "-q", "-m", message)

    def tool(self, name, *args, cwd=None): return self.run(str(self.dir/"tools"/name), *args, cwd=cwd)

    def plan(self, name, *args):
        "The commands a dry run prints, after checking that it changed nothing at all, here or in origin."
        before = self.state()
        done = self.tool(name, "--dry-run", *args)
        assert done.returncode == 0, done.stderr
        assert self.state() == before and not self.gh_log.exists()
        return [line[2:] for line in done.stdout.splitlines() if line.startswith("+ ")]

    def state(self):
        files = {p.relative_to(self.dir): p.read_bytes() for p in self.dir.rglob("*") if p.is_file() and ".git" not in p.parts}
        return files, self.git("status", "--porcelain"), self.git("show-ref"), self.git("ls-remote", "origin"), self.git("symbolic-ref", "HEAD")

    def refused(self, name, *args):
        "The one line a refused call says on stderr, after checking that it changed nothing."
        before = self.state()
        done = self.tool(name, *args)
        assert done.returncode != 0 and done.stdout == "" and self.state() == before
        assert done.stderr.count("\n") == 1, done.stderr
        return done.stderr.strip()

@pytest.fixture
def repo(tmp_path): return Checkout(tmp_path)

# pull requests

def test_pr_plan(repo):
    (repo.dir/"new.txt").write_text("x")
    assert repo.plan("pr.sh", "bug", "Fix: the *second* cell's output") == [
        "git switch -c fix-the-second-cell-s-output",
        "git add --all",
        r"git commit -m Fix:\ the\ \*second\*\ cell\'s\ output",
        "git push -u origin fix-the-second-cell-s-output",
        r"gh pr create --base main --head fix-the-second-cell-s-output --title Fix:\ the\ \*second\*\ cell\'s\ output --body '' --label bug",
        "git switch main"]

def test_pr_defaults(repo):
    "Label enhancement; the message names the files changed; what is committed already is not committed again."
    for n in "dcab": (repo.dir/f"{n}.txt").write_text("x")
    plan = repo.plan("pr.sh")
    assert plan[0] == "git switch -c change-a-txt-b-txt-c-txt-and-1-more" and plan[-2].endswith("--label enhancement")
    repo.commit("Add four files")
    assert repo.plan("pr.sh") == [
        "git switch -c add-four-files",
        "git push -u origin add-four-files",
        r"gh pr create --base main --head add-four-files --title Add\ four\ files --body '' --label enhancement",
        "git switch main"]

def test_pr_branch_name_is_free_and_never_empty(repo):
    (repo.dir/"new.txt").write_text("x")
    repo.git("branch", "same")
    assert repo.plan("pr.sh", "bug", "Same!")[0] == "git switch -c same-2"
    assert repo.plan("pr.sh", "bug", "日本語")[0] == "git switch -c change"
    assert len(repo.plan("pr.sh", "bug", "long " * 40)[0]) <= len("git switch -c ") + 50

def test_pr(repo):
    "For real: the branch with the change is in origin, gh was asked for the pull request, main is as it was."
    main = repo.git("rev-parse", "main")
    (repo.dir/"sub").mkdir()
    (repo.dir/"sub/new.txt").write_text("x")
    done = repo.tool("pr.sh", "breaking", "Add a file", cwd=repo.dir/"sub")
    assert done.returncode == 0, done.stderr
    assert repo.git("ls-remote", "origin", "add-a-file").split()[0] == repo.git("rev-parse", "add-a-file")
    assert repo.git("log", "-1", "--format=%s", "add-a-file") == "Add a file"
    assert repo.git("diff", "--name-only", "main", "add-a-file") == "sub/new.txt"
    assert repo.git("rev-parse", "main") == main and repo.git("branch", "--show-current") == "main"
    asked = "pr create --base main --head add-a-file --title|Add a file|--body||--label breaking"
    assert repo.gh_log.read_text().split("\n")[:-1] == [w for part in asked.split("|") for w in (part.split(" ") if part.startswith(("pr", "--")) else [part])]

def test_pr_refuses(repo):
    assert repo.refused("pr.sh", "bug", "m") == "pr.sh: nothing to propose: no change here that origin/main does not have"
    (repo.dir/"new.txt").write_text("x")
    assert repo.refused("pr.sh", "feature") == "pr.sh: unknown label 'feature': one of enhancement, bug, documentation, breaking"
    assert repo.refused("pr.sh", "--dry-run", "feature", "m") == repo.refused("pr.sh", "feature", "m")
    assert repo.refused("pr.sh", "bug", "two", "words").startswith("pr.sh: too many arguments")
    repo.git("switch", "-q", "-c", "other")
    assert repo.refused("pr.sh", "bug", "m") == "pr.sh: not on main: git switch main first"

# releases

@pytest.mark.parametrize("part,new", [((), "0.1.1"), (("patch",), "0.1.1"), (("minor",), "0.2.0"), (("major",), "1.0.0")])
def test_release_plan(repo, part, new):
    assert repo.plan("release.sh", *part) == [
        rf"sed -i.bak -E s/\^__version__\ =\ .\*/__version__\ =\ \"{new}\"/ ipymini/__init__.py",
        "rm ipymini/__init__.py.bak",
        rf"git commit -m Release\ v{new} -- ipymini/__init__.py",
        rf"git tag -a v{new} -m Release\ v{new}",
        f"git push --atomic origin main refs/tags/v{new}"]

def test_release(repo):
    "For real: one line changed in one commit, tagged, both in origin."
    done = repo.tool("release.sh", "minor", cwd=repo.dir/"tools")
    assert done.returncode == 0, done.stderr
    assert (repo.dir/"ipymini/__init__.py").read_text() == version.replace("0.1.0", "0.2.0")
    assert repo.git("status", "--porcelain") == "" and repo.git("log", "--format=%s") == "Release v0.2.0\nfirst"
    heads = dict(reversed(line.split("\t")) for line in repo.git("ls-remote", "origin").splitlines())
    assert heads["refs/heads/main"] == heads["refs/tags/v0.2.0^{}"] == repo.git("rev-parse", "HEAD")

def test_release_refuses(repo):
    for dry in ((), ("--dry-run",)):
        assert repo.refused("release.sh", *dry, "huge") == "release.sh: unknown part 'huge': one of patch, minor, major"
        assert repo.refused("release.sh", *dry, "minor", "major").startswith("release.sh: too many arguments")
    repo.git("tag", "v0.1.1")
    assert repo.refused("release.sh") == "release.sh: the tag v0.1.1 exists already"
    (repo.dir/"new.txt").write_text("x")
    assert repo.refused("release.sh", "--dry-run", "minor").startswith("release.sh: the tree is not clean")
    repo.git("switch", "-q", "-c", "other")
    assert repo.refused("release.sh", "minor") == "release.sh: not on main: git switch main first"

def test_release_refuses_behind_origin(repo):
    repo.git("clone", "-q", str(repo.dir.parent/"origin.git"), "elsewhere", cwd=repo.dir.parent)
    repo.git("commit", "-q", "--allow-empty", "-m", "theirs", cwd=repo.dir.parent/"elsewhere")
    repo.git("push", "-q", "origin", "main", cwd=repo.dir.parent/"elsewhere")
    assert repo.refused("release.sh") == "release.sh: origin/main has commits that main has not: git pull first"

def test_release_needs_a_version(repo):
    (repo.dir/"ipymini/__init__.py").write_text("__version__ = get()\n")
    repo.commit("odd")
    assert repo.refused("release.sh").startswith("release.sh: no line like __version__")

def test_version_is_as_release_expects():
    "The real package has the line that release.sh changes."
    lines = (root/"ipymini/__init__.py").read_text().splitlines()
    assert len([n for n in lines if n.startswith('__version__ = "') and n.count(".") == 2]) == 1

# the environment of run.sh and test.sh

def setup_sh(tmp_path, code, toml="", **env):
    "Run bash `code` after sourcing setup.sh, in a frame of a checkout whose directory has a space; `toml` is added to its pyproject.toml."
    frame = tmp_path/"a checkout"
    (frame/"tools").mkdir(parents=True, exist_ok=True)
    shutil.copy(root/"tools/setup.sh", frame/"tools")
    (frame/"pyproject.toml").write_text((root/"pyproject.toml").read_text() + toml)
    keep = {k: v for k,v in os.environ.items() if k not in ("PYTHON", "VENV")}
    cmd = f'set -euo pipefail; source "{frame}/tools/setup.sh"; {code}'
    return subprocess.run(["bash", "-c", cmd, "test.sh"], env={**keep, **env}, text=True, capture_output=True, timeout=100, cwd=tmp_path)

def test_setup_refuses_a_missing_python(tmp_path):
    done = setup_sh(tmp_path, "setup lab", PYTHON="/no/such/python")
    assert done.returncode == 1 and "no Python called '/no/such/python'; set PYTHON to a Python 3.11 or newer" in done.stderr

def fake_python(path, version):
    "An interpreter's stand-in at `path`: says it is `version`, fails the check for 3.11, can do nothing else."
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\ncase "$2" in *print*) echo {version};; *) exit 1;; esac\n')
    path.chmod(0o755)
    return str(path)

def test_setup_refuses_an_old_python(tmp_path):
    done = setup_sh(tmp_path, "setup lab", PYTHON=fake_python(tmp_path/"old", "3.9"))
    assert done.returncode == 1 and "old is Python 3.9; set PYTHON to a Python 3.11 or newer" in done.stderr

def test_setup_keeps_environments_of_other_versions(tmp_path):
    "With PYTHON of another version than .venv: a directory of its own; the same with a VENV that was named: an error; without PYTHON: .venv."
    fake_python(tmp_path/"a checkout/.venv/bin/python", "3.99")
    done = setup_sh(tmp_path, 'choose_venv; echo "$venv"', PYTHON=sys.executable)
    assert done.stdout.strip() == str(tmp_path/f"a checkout/.venv-{sys.version_info[0]}.{sys.version_info[1]}")
    done = setup_sh(tmp_path, 'choose_venv; echo "$venv"', PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert done.stdout.strip() == str(tmp_path/"a checkout/.venv")
    fake_python(tmp_path/"v/bin/python", "3.99")
    done = setup_sh(tmp_path, "setup lab", PYTHON=sys.executable, VENV=str(tmp_path/"v"))
    assert done.returncode == 1 and "remove it or choose another VENV" in done.stderr

def test_setup_installs_once_until_pyproject_changes(tmp_path):
    "pip is asked once; not again for fewer extras; again when pyproject.toml has changed. (pip's stand-in writes down how it was called.)"
    venv,log = tmp_path/"v",tmp_path/"log"
    (venv/"bin").mkdir(parents=True)
    (venv/"bin/python").write_text(f'#!/bin/sh\ncase "$*" in *install*) echo "$*" >>"{log}";; -c*) exec "{sys.executable}" "$@";; esac\n')
    (venv/"bin/python").chmod(0o755)
    def calls(extras, toml=""):
        done = setup_sh(tmp_path, f"setup {extras}", toml, VENV=str(venv), PYTHON=sys.executable)
        assert done.returncode == 0, done.stderr
        return log.read_text().splitlines()
    first = calls("test,lab")
    assert first == [f"-m pip install -qq --disable-pip-version-check --editable {tmp_path}/a checkout[test,lab]", "-m ipymini install --sys-prefix"]
    assert calls("test,lab") == calls("lab") == first
    again = calls("lab", toml="# changed")
    assert len(again) == 4 and again[2].endswith("[lab]")

# run.sh and test.sh themselves, with an environment whose python writes down how it was called and exits as told

def script(tmp_path, name, *args, status=0, there=("google-chrome", "Xvfb"), **env):
    "(exit code, stdout lines, stderr, calls) of one of the two in a frame of a checkout; PATH holds what they need, no apt, and what is `there`."
    frame,bin,venv = tmp_path/"frame",tmp_path/"path",tmp_path/"venv"
    for d in (frame/"tools", bin, venv/"bin"): d.mkdir(parents=True)
    for f in ("pyproject.toml", "tools/setup.sh", f"tools/{name}"): shutil.copy(root/f, frame/f)
    for c in ("sh", "bash", "env", "dirname", "cksum", "cat", "id"): (bin/c).symlink_to(shutil.which(c))
    (bin/"python3").symlink_to(sys.executable)
    for c in there:
        (bin/c).write_text("#!/bin/sh\necho 1.0\n")
        (bin/c).chmod(0o755)
    (venv/"bin/python").write_text(f'#!/bin/sh\necho "$PWD: $*" >>"{tmp_path}/log"\ncase "$*" in "-m pytest"*|tools/run_notebook*) exit {status};; esac\n')
    (venv/"bin/python").chmod(0o755)
    done = subprocess.run([frame/"tools"/name, *args], env=dict(PATH=str(bin), VENV=str(venv), **env), cwd=tmp_path, text=True, capture_output=True, timeout=60)
    calls = (tmp_path/"log").read_text().splitlines()
    return done.returncode, done.stdout.splitlines(), done.stderr, [c.removeprefix(f"{frame}: ") for c in calls if c.startswith(f"{frame}: ")]

@pytest.mark.parametrize("status", [0, 1])
def test_test_sh(tmp_path, status):
    "From any directory: pytest gets the arguments, in the checkout; its exit code is ours; with a browser and an X server there is nothing to add."
    code,out,_,calls = script(tmp_path, "test.sh", "-k", "a and b", status=status)
    assert (code, out, calls) == (status, [], ["-m pytest -q -k a and b"])

@pytest.mark.parametrize("status", [0, 1])
@pytest.mark.parametrize(("there", "told"), [("Xvfb", "No browser: the tests that drive JupyterLab were NOT run."), ("chromium", "No Xvfb: the tests of Tk's windows were NOT run.")])
def test_test_sh_says_what_is_not_there(tmp_path, status, there, told):
    code,out,_,calls = script(tmp_path, "test.sh", status=status, there=[there])
    assert code == status and calls == ["-m pytest -q"]
    assert len(out) == 1 and out[0].startswith(told)

def test_test_sh_with_a_browser_required(tmp_path):
    code,out,err,calls = script(tmp_path, "test.sh", there=[], BROWSER_REQUIRED="1")
    assert code == 1 and err.endswith("test.sh: no browser, and BROWSER_REQUIRED is set\n") and calls == []

def test_run_sh(tmp_path):
    "JupyterLab on the tour; the arguments go to it; --allow-root for root alone."
    code,_,_,calls = script(tmp_path, "run.sh", "--port", "8899")
    as_root = "--allow-root " if os.geteuid() == 0 else ""
    assert (code, calls) == (0, [f"-m jupyter lab examples/tour.ipynb {as_root}--port 8899"])

@pytest.mark.parametrize("status", [0, 1])
def test_run_sh_headless(tmp_path, status):
    code,_,_,calls = script(tmp_path, "run.sh", "--headless", "--timeout", "9", status=status)
    assert (code, calls) == (status, ["tools/run_notebook.py examples/tour.ipynb --timeout 9"])

# the notebook runner and the kernel check

kernel_name = os.environ.get("IPYMINI_TEST_KERNEL", "ipymini")

def python_tool(name, *args):
    env = {**os.environ, "PYTHONPATH": str(root)}
    return subprocess.run([sys.executable, f"tools/{name}", *map(str, args)], cwd=root, env=env, text=True, capture_output=True, timeout=100)

def run_notebook(tmp_path, *sources, raising=(), args=("--kernel", kernel_name)):
    "Run a notebook with these code cells, those numbered in `raising` tagged raises-exception; the finished process."
    nb = new_notebook(cells=[new_markdown_cell("# A title")])
    nb.cells += [new_code_cell(s, metadata=dict(tags=["raises-exception"] if i in raising else [])) for i,s in enumerate(sources)]
    nbformat.write(nb, tmp_path/"n.ipynb")
    return python_tool("run_notebook.py", tmp_path/"n.ipynb", *args)

show = """from IPython.display import display
display({"text/plain": "a table", "text/html": "<b>x</b>"}, raw=True)"""

def test_run_notebook(tmp_path):
    "Text as it is, the names and sizes of other types, tracebacks; a tagged error is no failure; it runs where the notebook is."
    done = run_notebook(tmp_path, "import os, sys\nprint(os.getcwd())\nprint('oops', file=sys.stderr)\n2+2\n", show, "1/0", raising=[2])
    assert done.returncode == 0, done.stdout + done.stderr
    first,second,third,last = done.stdout.split("\n\n", 2)[:2] + done.stdout.split("\n\n", 2)[2].rsplit("\n\n", 1)
    assert first.startswith("In [1]:\n> import os, sys\n> print(os.getcwd())\n> print('oops', file=sys.stderr)\n> ... 2 more lines\n")
    assert {f"   {tmp_path}", " ! oops", "  4"} <= set(first.split("\n"))
    assert second.endswith("\n  a table\n  [text/html (8 characters)]")
    assert third.startswith("In [3]:\n> 1/0\n ! ---") and " ! ZeroDivisionError: division by zero" in third and "\x1b" not in third
    assert last.startswith(f"{tmp_path/'n.ipynb'} on {kernel_name}: every cell did what it should (")

def test_run_notebook_stops_at_an_error(tmp_path):
    done = run_notebook(tmp_path, "print('before')", "1/0", "print('after')")
    assert done.returncode == 1 and "before" in done.stdout and "after" not in done.stdout
    assert " ! ZeroDivisionError: division by zero" in done.stdout
    assert f"on {kernel_name}: cell 2 raised ZeroDivisionError: division by zero (" in done.stdout

def test_run_notebook_wants_the_error_it_was_promised(tmp_path):
    done = run_notebook(tmp_path, "1", raising=[0])
    assert done.returncode == 1 and "cell 1 is tagged raises-exception and raised nothing" in done.stdout

def test_run_notebook_timeout(tmp_path):
    done = run_notebook(tmp_path, "import time\ntime.sleep(60)", args=("--kernel", kernel_name, "--timeout", "1"))
    assert done.returncode == 1 and "cell 1: A cell timed out" in done.stdout

def test_run_notebook_output(tmp_path):
    "--output keeps the executed notebook."
    assert run_notebook(tmp_path, "6*7", args=("--kernel", kernel_name, "--output", tmp_path/"out.ipynb")).returncode == 0
    assert nbformat.read(tmp_path/"out.ipynb", 4).cells[1].outputs[0].data["text/plain"] == "42"

def test_run_notebook_without_a_kernel(tmp_path):
    done = run_notebook(tmp_path, "1", args=("--kernel", "no-such-kernel"))
    assert done.returncode == 1 and "no kernel called 'no-such-kernel': see `jupyter kernelspec list`" in done.stdout

def test_tour():
    "What tools/run.sh --headless runs: the tour from beginning to end, with the error that belongs to it."
    done = python_tool("run_notebook.py", "examples/tour.ipynb", "--kernel", kernel_name)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for what in ("[text/html (", "[image/png (", "[application/vnd.jupyter.widget-view+json (", "[text/latex (", "ZeroDivisionError"): assert what in done.stdout

def test_check_kernel():
    done = python_tool("check_kernel.py", kernel_name)
    assert done.returncode == 0 and done.stdout.startswith(f"{kernel_name}: ") and done.stdout.endswith(": works\n"), done.stdout + done.stderr


# the bench

@pytest.mark.parametrize("tool,args,lines", [
    ("bench.py", ["--quick", "--kernel", "floor", "--rows", "round_trip,start"], ["| start, ms |", "| round_trip, ms |"]),
    ("bench_growth.py", ["--small", "--growths", "output,clients"], ["| 100 |", "| 3 |"]),
    ("bench_imports.py", ["--top", "5"], ["| all |", "| IPython |", "| zmq |"])])
def test_bench(tool, args, lines):
    "A quick run: a figure for each row and kernel, no failure."
    done = subprocess.run([sys.executable, root/"tools"/tool, "--kernel", kernel_name, *args], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "FAILED" not in done.stdout, done.stdout + done.stderr
    for l in lines: assert any(o.startswith(l) and not o.endswith("- |") for o in done.stdout.splitlines()), done.stdout
