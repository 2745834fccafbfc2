"""Making the kernel known: every flag and error of `python -m ipymini install`, and the three ways that Jupyter finds and starts it.
Threads: the caller's. Spec: jupyter_client documentation, "Making kernels for Jupyter" (kernel specs)."""
import json, os, subprocess, sys, sysconfig, venv
from pathlib import Path
import pytest
from jupyter_client import kernelspec as jupyter_kernelspec
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import run_kernel
from ipymini import kernelspec

root = Path(__file__).resolve().parents[2]
source = root/"share/jupyter/kernels/ipymini"
files = {"kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"}

@pytest.fixture(autouse=True)
def jupyter(tmp_path, monkeypatch):
    "Jupyter's directories in a place of this test's own, with no kernel of ours in them yet, and searched first; the user's data directory."
    for k in ("DATA", "CONFIG", "RUNTIME"): monkeypatch.setenv(f"JUPYTER_{k}_DIR", str(tmp_path/k.lower()))
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")  # the environment that runs the tests may hold a kernelspec of ours too
    monkeypatch.setenv("PYTHONPATH", str(root))
    return tmp_path/"data"

def cli(*args, python=sys.executable, before=()):
    return subprocess.run([*before, python, "-m", "ipymini", "install", *map(str, args)], text=True, capture_output=True, timeout=60)

def installed(dest):
    "What the kernel.json in `dest` says, after checking that nothing is missing beside it and nothing is left over."
    assert {p.name for p in dest.iterdir()} == files
    for name in files - {"kernel.json"}: assert (dest/name).read_bytes() == (source/name).read_bytes()
    return json.loads((dest/"kernel.json").read_text())

def find(name): return KernelSpecManager().get_kernel_spec(name)

def ask(name, code="1+1"):
    "What kernel `name`, found and started by jupyter_client, answers to an expression."
    got = []
    def hook(msg):
        if msg["msg_type"] in ("execute_result", "error"): got.append(msg["content"])
    with run_kernel(kernel_name=name) as kc: assert kc.execute_interactive(code, timeout=60, output_hook=hook)["content"]["status"] == "ok", got
    return got[0]["data"]["text/plain"]

# what the repository holds

def test_source_kernelspec():
    assert json.loads((source/"kernel.json").read_text()) == dict(argv=["python", "-m", "ipymini", "-f", "{connection_file}"], display_name="IPyMini",
        language="python", interrupt_mode="signal", kernel_protocol_version="5.5", metadata=dict(debugger=True))

@pytest.mark.parametrize("n", [32, 64])
def test_logo_size(n):
    data = (source/f"logo-{n}x{n}.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and [int.from_bytes(data[i:i + 4], "big") for i in (16, 20)] == [n, n]

# where it goes and what it says

def test_user(jupyter):
    done = cli("--user")
    dest = jupyter/"kernels/ipymini"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Installed kernelspec ipymini in {dest}\n", "")
    expected = json.loads((source/"kernel.json").read_text())
    expected["argv"][0] = sys.executable
    assert installed(dest) == expected
    assert find("ipymini").argv[0] == sys.executable

def test_prefix(tmp_path, monkeypatch):
    "A prefix that Jupyter does not search is installed into all the same, and the remedy told works."
    done = cli("--prefix", tmp_path/"p")
    dest = tmp_path/"p/share/jupyter/kernels/ipymini"
    assert (done.returncode, done.stdout) == (0, f"Installed kernelspec ipymini in {dest}\n")
    assert done.stderr == f"Jupyter does not look there by itself: set JUPYTER_PATH={tmp_path}/p/share/jupyter\n"
    assert installed(dest)["argv"][0] == sys.executable
    monkeypatch.setenv("JUPYTER_PATH", done.stderr.strip().partition("=")[2])
    assert find("ipymini").resource_dir == str(dest)
    assert cli("--prefix", tmp_path/"p").stderr == ""

def test_relative_prefix(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert kernelspec.main(["--prefix", "p"]) == 0
    assert capsys.readouterr().out == f"Installed kernelspec ipymini in {tmp_path}/p/share/jupyter/kernels/ipymini\n"

def test_sys_prefix(tmp_path, monkeypatch):
    "Into the environment of the Python that runs it, where a Jupyter of that environment finds it; it starts that very Python."
    venv.create(tmp_path/"env", symlinks=True)
    python = tmp_path/"env/bin/python"
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), sysconfig.get_path("purelib")]))
    done = cli("--sys-prefix", python=python)
    dest = tmp_path/"env/share/jupyter/kernels/ipymini"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"Installed kernelspec ipymini in {dest}\n", "")
    assert installed(dest)["argv"][0] == str(python)
    listed = subprocess.run([python, "-m", "jupyter_client.kernelspecapp", "list", "--json"], text=True, capture_output=True, timeout=60)
    assert json.loads(listed.stdout)["kernelspecs"]["ipymini"]["resource_dir"] == str(dest)

def test_for_all_users_unless_told(tmp_path, monkeypatch):
    monkeypatch.setattr(jupyter_kernelspec, "SYSTEM_JUPYTER_PATH", [str(tmp_path/"system"), "/elsewhere"])
    assert kernelspec.main([]) == 0
    assert installed(tmp_path/"system/kernels/ipymini")["display_name"] == "IPyMini"

def test_names_and_env(jupyter):
    "A name of its own (in lower case, as jupyter_client has it), any text as display name, variables with any value."
    done = cli("--user", "--name", "My-Kernel_3.11", "--display-name", "Mine ✓ (3.11)", "--env", "OPTS", "-Xmx2g --env", "--env", "EMPTY", "", "--env", "A", "1", "--env", "A", "2")
    assert done.returncode == 0, done.stderr
    spec = installed(jupyter/"kernels/my-kernel_3.11")
    assert spec["display_name"] == "Mine ✓ (3.11)" and spec["env"] == dict(OPTS="-Xmx2g --env", EMPTY="", A="2")
    assert find("my-kernel_3.11").display_name == "Mine ✓ (3.11)"
    assert [p.name for p in (jupyter/"kernels").iterdir()] == ["my-kernel_3.11"]

def test_installing_again_replaces(jupyter):
    assert kernelspec.main(["--user", "--display-name", "Old", "--env", "A", "1"]) == 0
    (jupyter/"kernels/ipymini/leftover.txt").write_text("x")
    assert kernelspec.main(["--user"]) == 0
    spec = installed(jupyter/"kernels/ipymini")
    assert spec["display_name"] == "IPyMini" and "env" not in spec

def test_python_that_does_not_know_itself(jupyter, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", "")
    assert kernelspec.main(["--user"]) == 1
    assert "does not know its own executable" in capsys.readouterr().err and not jupyter.exists()

def test_help():
    done = cli("--help")
    assert done.returncode == 0
    for flag in ("--user", "--sys-prefix", "--prefix DIR", "--name", "--display-name", "--env KEY VALUE"): assert flag in done.stdout

# what cannot be

def refusal(capsys, *args):
    "(exit code, message) of a call that must fail in one line and print nothing else."
    code = kernelspec.main(list(map(str, args)))
    out,err = capsys.readouterr()
    assert out == "" and err.startswith("ipymini install: error: ") and err.count("\n") == 1 and err.endswith("\n")
    return code, err.removeprefix("ipymini install: error: ").strip()

@pytest.mark.parametrize("args,message", [
    ("--user --prefix p",         "argument --prefix: not allowed with argument --user"),
    ("--user --sys-prefix",       "argument --sys-prefix: not allowed with argument --user"),
    ("--prefix p --sys-prefix",   "argument --sys-prefix: not allowed with argument --prefix"),
    ("--prefix",                  "argument --prefix: expected one argument"),
    ("--prefix=",                 "argument --prefix: the directory is empty"),
    ("--name a/b",                "argument --name: 'a/b' is not a kernel name (ASCII letters, digits, '-', '.' and '_')"),
    ("--name naïve",              "argument --name: 'naïve' is not a kernel name (ASCII letters, digits, '-', '.' and '_')"),
    ("--name=",                   "argument --name: '' is not a kernel name (ASCII letters, digits, '-', '.' and '_')"),
    ("--name ..",                 "argument --name: '..' is not a kernel name (ASCII letters, digits, '-', '.' and '_')"),
    ("--display-name=",           "argument --display-name: the name is empty"),
    ("--env A",                   "argument --env: expected 2 arguments"),
    ("--env A=B 1",               "argument --env: 'A=B' is not the name of an environment variable"),
    ("--env 1A 1",                "argument --env: '1A' is not the name of an environment variable"),
    ("--env A a\0b",              "argument --env: the value of A holds a NUL"),
    ("--usr",                     "unrecognized arguments: --usr"),
    ("here",                      "unrecognized arguments: here"),
])
def test_contradictions(capsys, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    assert refusal(capsys, *args.split(" ")) == (2, message)
    assert list(tmp_path.iterdir()) == []

def test_name_is_as_jupyter_client_has_it():
    "Our rule and jupyter_client's agree (theirs lets '.' and '..' through, which are directories, not names)."
    for name in ["a", "A.b-c_9", "", " ", "a b", "a\n", "ü", "a/b", "a\\b", "ipymini", "-", "_"]:
        try: ok = bool(kernelspec.parse([f"--name={name}"]))
        except ValueError: ok = False
        assert ok == bool(jupyter_kernelspec._is_valid_kernel_name(name)) or name == "a\n"

def test_file_in_the_way(capsys, tmp_path):
    (tmp_path/"file").write_text("x")
    code,message = refusal(capsys, "--prefix", tmp_path/"file")
    assert code == 1 and message.startswith("cannot install ipymini: ") and "Not a directory" in message
    kernels = tmp_path/"p/share/jupyter/kernels"
    kernels.mkdir(parents=True)
    (kernels/"ipymini").write_text("x")
    code,message = refusal(capsys, "--prefix", tmp_path/"p")
    assert code == 1 and "File exists" in message and str(kernels/"ipymini") in message
    assert (kernels/"ipymini").read_text() == "x"

def test_link_in_the_way(capsys, tmp_path):
    "A kernelspec that is a link into somebody's checkout is not emptied."
    kernels = tmp_path/"p/share/jupyter/kernels"
    kernels.mkdir(parents=True)
    (tmp_path/"checkout").mkdir()
    (tmp_path/"checkout/kernel.json").write_text("{}")
    (kernels/"ipymini").symlink_to(tmp_path/"checkout")
    assert refusal(capsys, "--prefix", tmp_path/"p")[0] == 1
    assert (tmp_path/"checkout/kernel.json").read_text() == "{}"

# root writes everywhere, unless it gives up that right first
plain_user = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"] if os.geteuid() == 0 else []

@pytest.mark.parametrize("flag,hint", [
    ("--user",   "(try a --prefix you may write to)"),
    ("--prefix", "(try a --prefix you may write to)")])
def test_unwritable(jupyter, tmp_path, flag, hint):
    jupyter.mkdir(mode=0o555)
    done = cli(*([flag] if flag == "--user" else [flag, jupyter]), before=plain_user)
    assert done.returncode == 1 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("ipymini install: error: cannot install ipymini: [Errno 13] Permission denied: ") and done.stderr.endswith(f" {hint}\n")
    assert list(jupyter.iterdir()) == []

def test_unwritable_for_all_users(capsys, monkeypatch):
    "Without a target, the hint names the targets that need no rights."
    def refuse(self, source_dir, kernel_name, user, prefix): raise PermissionError(13, "Permission denied", "/usr/local/share/jupyter")
    monkeypatch.setattr(KernelSpecManager, "install_kernel_spec", refuse)
    assert refusal(capsys) == (1, "cannot install ipymini: [Errno 13] Permission denied: '/usr/local/share/jupyter' "
        "(try --user, --sys-prefix, or as an administrator)")

# three ways to make it known; each is found and runs

def test_way_1_our_installer():
    assert cli("--user", "--name", "mine", "--env", "IPYMINI_TEST_WAY", "one").returncode == 0
    assert find("mine").language == "python"
    assert ask("mine") == "2"
    assert ask("mine", "import os, sys; (os.environ['IPYMINI_TEST_WAY'], sys.executable)") == repr(("one", sys.executable))

def test_way_2_jupyter_kernelspec_install(jupyter):
    cmd = [Path(sys.executable).parent/"jupyter", "kernelspec", "install", source, "--user", "--name", "theirs"]
    done = subprocess.run(cmd, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert find("theirs").resource_dir == str(jupyter/"kernels/theirs")
    assert ask("theirs") == "2"

def test_way_3_jupyter_path(monkeypatch):
    monkeypatch.setenv("JUPYTER_PATH", str(root/"share/jupyter"))
    assert find("ipymini").resource_dir == str(source)
    assert ask("ipymini") == "2"
    assert ask("ipymini", "import sys; sys.executable") == repr(sys.executable)
