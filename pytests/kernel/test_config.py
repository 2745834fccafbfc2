"""Whole kernel: IPython's own configuration reaches it: profiles, both config files, startup files, extensions, exec_lines, trait arguments.
Spec: IPython's documentation (introduction to configuration). What it does not know is warned about and never ends the kernel."""
import os, pytest
from pathlib import Path


@pytest.fixture
def profile(tmp_path):
    "An IPython directory of its own: write(name, text) puts a file into the default profile."
    home = tmp_path / "ipython"

    def write(name, text):
        path = home / "profile_default" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    home.mkdir()
    write.env = dict(IPYTHONDIR=str(home))
    return write


def test_profile_is_made(start, profile):
    k = start(env=profile.env)
    assert k.execute("get_ipython().profile_dir.location").ok().result == repr(str(Path(profile.env["IPYTHONDIR"]) / "profile_default"))


@pytest.mark.parametrize("name", ["ipython_config.py", "ipython_kernel_config.py"])
def test_config_file(start, profile, name):
    profile(name, "c.InteractiveShell.ast_node_interactivity = 'all'\nc.InteractiveShellApp.exec_lines = ['from_config = 40 + 2']\n")
    k = start(env=profile.env)
    run = k.execute("from_config\n1;\n2")
    assert run.ok().content["execution_count"] == 1, "exec_lines are not counted"
    assert k.execute("get_ipython().ast_node_interactivity, from_config").ok().result == "('all', 42)"


def test_kernel_config_wins(start, profile):
    profile("ipython_config.py", "c.InteractiveShell.cache_size = 11\nc.InteractiveShell.show_rewritten_input = False")
    profile("ipython_kernel_config.py", "c.InteractiveShell.cache_size = 12")
    k = start(env=profile.env)
    assert k.execute("ip = get_ipython()\nip.cache_size, ip.show_rewritten_input").ok().result == "(12, False)"


def test_startup_files(start, profile):
    "In their order, .py and .ipy; names they define are the user's; their prints reach the client or the log and harm nothing."
    profile("startup/10-first.py", "order = ['first']\nimport math")
    profile("startup/20-second.ipy", "order.append('second')\n%matplotlib --list\nfrom_magic = %pwd")
    profile("startup/30-third.py", "order.append('third')\nprint('startup speaks')")
    k = start(env=profile.env)
    assert k.execute("order, math.floor(1.5), isinstance(from_magic, str)").ok().result == "(['first', 'second', 'third'], 1, True)"


def test_garbage_of_startup(start, profile):
    "It is looked for from the user's first code on: what was imported before is seen like anything else, but has not been searched again and again."
    profile("startup/10-look.py", "import gc\nlooks = gc.get_stats()[1]['collections']\nstate = gc.isenabled(), gc.get_freeze_count(), any(o is get_ipython() for o in gc.get_objects(2))")
    k = start(env=profile.env)
    assert k.execute("state").ok().result == "(True, 0, True)"
    assert int(k.execute("looks").ok().result) <= 3  # six where it is on


def test_broken_startup_file(start, profile):
    "Told, and passed over (IPython leaves out those behind it)."
    profile("startup/10-fine.py", "fine = 1")
    profile("startup/20-broken.py", "1/0")
    k = start(env=profile.env)
    assert k.execute("fine").ok().result == "1"
    assert "ZeroDivisionError" in k.log_text() + "".join(str(m["content"]) for m in k.unsolicited)


BROKEN = ["1/0", "def broken(:", "c.NoSuchClass.no_such_trait = 3", "c.InteractiveShell.cache_size = 'many'", "c.InteractiveShell.no_such_trait = 1"]


@pytest.mark.parametrize("text", BROKEN)
def test_broken_config_file(start, profile, text):
    profile("ipython_kernel_config.py", text)
    k = start(env=profile.env)
    assert k.execute("1 + 1").ok().result == "2"


ENDING = {"c.InteractiveShellApp.matplotlib = 'nonsense'": "'nonsense'", "c.InteractiveShellApp.gui = 'foo'": "'foo'", "c.Application.log_level = 'FOO'": "'FOO'",
    "c.InteractiveShell.colors = 'solarized'": "'solarized'", "import sys\nsys.exit(1)": "ipython_config.py", "raise KeyboardInterrupt": "ipython_config.py"}


@pytest.mark.parametrize("text,word", ENDING.items())
def test_config_file_that_would_end_it(start, profile, text, word):
    "What ends IPython is told, and the other file is read."
    profile("ipython_config.py", text)
    profile("ipython_kernel_config.py", "c.InteractiveShellApp.exec_lines = ['other = 3']")
    k = start(env=profile.env)
    assert k.execute("other").ok().result == "3"
    assert "[ipymini]" in k.log_text() and word in k.log_text()


def test_rest_of_a_config_file(start, profile):
    "One wrong line takes no other with it."
    profile("ipython_config.py", "c.InteractiveShellApp.gui = 'foo'\nc.InteractiveShellApp.exec_lines = ['kept = 3']\nc.Application.log_level = 'FOO'")
    assert start(env=profile.env).execute("kept").ok().result == "3"


def test_config_magic_tells(start, profile):
    "Only the start forgives: who sets a wrong value later is told there."
    k = start(env=profile.env)
    assert "The 'gui' trait" in k.execute("%config IPKernelApp.gui = 'foo'").ok().text("stderr")


def test_extensions(start, profile, tmp_path):
    "Loaded by name at the start; one that is missing is told, and passed over."
    (tmp_path / "our_ext.py").write_text("def load_ipython_extension(ip): ip.push(dict(extended=7))\ndef unload_ipython_extension(ip): pass")
    profile("ipython_config.py", "c.InteractiveShellApp.extensions = ['our_ext', 'no_such_ext']")
    k = start(env=profile.env | dict(PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])))
    assert k.execute("extended").ok().result == "7"
    assert "no_such_ext" in k.log_text() + "".join(str(m["content"]) for m in k.unsolicited)


def test_exec_files_and_code_to_run(start, profile, tmp_path):
    path = tmp_path / "some file.py"
    path.write_text("from_exec_file = __file__")
    profile("ipython_config.py", f"c.InteractiveShellApp.exec_files = [{str(path)!r}]\nc.InteractiveShellApp.code_to_run = 'from_code = 5'")
    k = start(env=profile.env)
    assert k.execute("print(from_exec_file, from_code)").ok().stdout == f"{path} 5\n"


def ask(k, code): return k.execute(f"ip = get_ipython()\n{code}").ok().result


@pytest.mark.parametrize("args,code,result", [
    (["--HistoryManager.hist_file=:memory:"], "ip.history_manager.hist_file", "':memory:'"),
    (["--InteractiveShell.cache_size=17"], "ip.cache_size", "17"),
    (["--InteractiveShell.ast_node_interactivity=none"], "ip.ast_node_interactivity", None),
    (["--InteractiveShellApp.exec_lines=lined=8"], "lined", "8"), (["--colors=NoColor"], "ip.colors.lower()", "'nocolor'"),
    (["--ext=storemagic"], "any('storemagic' in e for e in ip.extension_manager.loaded)", "True"),
    (["--IPCompleter.use_jedi=False"], "ip.Completer.use_jedi", "False"),
    (["--HistoryManager.enabled=False"], "ip.history_manager.enabled", "False"),
    (["--InteractiveShell.autocall=1", "--InteractiveShell.cache_size=19"], "ip.autocall, ip.cache_size", "(1, 19)")])
def test_arguments(start, profile, args, code, result):
    "Traits-style arguments after the connection file's."
    assert ask(start(env=profile.env, extra_arguments=args), code) == result


def test_profile_argument(start, profile):
    home = Path(profile.env["IPYTHONDIR"])
    (home / "profile_other").mkdir()
    (home / "profile_other" / "ipython_config.py").write_text("c.InteractiveShellApp.exec_lines = ['which = 3']")
    assert ask(start(env=profile.env, extra_arguments=["--profile=other"]), "which, ip.profile") == "(3, 'other')"


def test_arguments_win_over_files(start, profile):
    profile("ipython_kernel_config.py", "c.InteractiveShell.cache_size = 12")
    assert ask(start(env=profile.env, extra_arguments=["--InteractiveShell.cache_size=21"]), "ip.cache_size") == "21"


def test_matplotlib_argument(start, profile):
    k = start(env=profile.env, extra_arguments=["--matplotlib=inline"])
    run = k.execute("import matplotlib.pyplot as plt\nplt.plot([1, 2]);", timeout=60).ok()
    assert [set(d["data"]) & {"image/png"} for d in run.of("display_data")] == [{"image/png"}]


UNKNOWN = ["--no-such-flag", "--NoSuchClass.trait=1", "--InteractiveShell.no_such_trait=1", "--InteractiveShell.cache_size=many", "stray"]


@pytest.mark.parametrize("arg", UNKNOWN)
def test_unknown_arguments_warn(start, profile, arg):
    k = start(env=profile.env, extra_arguments=[arg])
    assert k.execute("1 + 1").ok().result == "2"
    assert arg.lstrip("-").split("=")[0].split(".")[-1] in k.log_text()


WRONG = ["--matplotlib=nonsense", "--gui=nonsense", "--pylab=nonsense", "--InteractiveShellApp.matplotlib=nonsense", "--log-level=NONSENSE", "--colors=nosuch",
    "--profile=nosuch", "--profile-dir={tmp}/nosuch", "--profile-dir={tmp}/file", "--ipython-dir={tmp}/file/nosuch"]


@pytest.mark.parametrize("arg", WRONG)
def test_wrong_arguments_warn(start, profile, tmp_path, arg):
    "The value is named; the argument before it and the configuration file count nevertheless (the file where its profile does)."
    (tmp_path / "file").write_text("no directory")
    profile("ipython_config.py", "c.InteractiveShellApp.exec_lines = ['kept = 3']")
    arg = arg.format(tmp=tmp_path)
    k = start(env=profile.env, extra_arguments=["--InteractiveShell.cache_size=17", arg])
    assert ask(k, "ip.cache_size, globals().get('kept')") == f"(17, {None if 'ipython-dir' in arg else 3})"
    assert arg.split("=")[1] in k.log_text()


def test_ipython_dir_is_made(start, profile, tmp_path):
    k = start(env=profile.env, extra_arguments=[f"--ipython-dir={tmp_path / 'new'}"])
    assert ask(k, "ip.profile_dir.location") == repr(str(tmp_path / "new" / "profile_default"))


def test_temporary_profile_goes(start, profile, tmp_path):
    "The directory that stands in for one that cannot be used is gone after the end."
    (tmp_path / "file").write_text("no directory")
    k = start(env=profile.env, extra_arguments=[f"--ipython-dir={tmp_path / 'file'}"])
    path = Path(ask(k, "ip.profile_dir.location").strip("'"))
    assert path.exists()
    k.shutdown()
    assert not path.parent.exists()


def test_connection_file_is_told(start, profile):
    "Also beside other options of the application's."
    k = start(env=profile.env, extra_arguments=["--IPKernelApp.log_level=ERROR"])
    assert ask(k, "ip.config.IPKernelApp.connection_file") == repr(k.km.connection_file)


def test_history_is_kept(start, profile):
    "What one kernel ran is there for the next."
    k = start(env=profile.env)
    for c in ("remembered = 1", "remembered + 1"): k.execute(c).ok()
    k.shutdown()
    k = start(env=profile.env)
    got = k.request("history_request", dict(hist_access_type="search", pattern="remembered*", raw=True, output=False)).ok().content["history"]
    assert [h[2] for h in got] == ["remembered = 1", "remembered + 1"]


def test_history_survives_a_locked_database(start, profile):
    "Another process holds the database: the start and the cells do not wait for it."
    import sqlite3
    start(env=profile.env).shutdown()
    with sqlite3.connect(Path(profile.env["IPYTHONDIR"]) / "profile_default" / "history.sqlite", isolation_level=None) as db:
        db.execute("begin exclusive")
        k = start(env=profile.env)
        assert k.execute("1 + 1", timeout=5).ok().result == "2"
        db.execute("rollback")


def test_use_jedi_flag(start, profile):
    "It counts more than the configuration; empty it says nothing."
    for value, want in (("0", "False"), ("1", "True"), ("", "False")):
        k = start(env=profile.env | dict(IPYMINI_USE_JEDI=value), extra_arguments=["--Completer.use_jedi=False"])
        assert ask(k, "ip.Completer.use_jedi") == want


def test_broken_jedi_cache(start, profile, tmp_path):
    "Jedi's cache on disk breaks when a process is killed that writes there; Jedi then fails at each completion."
    env = profile.env | dict(XDG_CACHE_HOME=str(tmp_path))
    start(env=env).request("complete_request", dict(code="impor", cursor_pos=5)).ok()
    broken = list(tmp_path.rglob("*.pkl"))
    assert broken
    for p in broken: p.write_bytes(b"")
    k = start(env=env)
    assert "import" in k.request("complete_request", dict(code="impor", cursor_pos=5)).ok().content["matches"]
    assert k.request("complete_request", dict(code="'impor", cursor_pos=6)).ok().content["matches"] == []


def test_experimental_completions_flag(start, profile):
    k = start(env=profile.env | dict(IPYMINI_EXPERIMENTAL_COMPLETIONS="0"))
    assert "_jupyter_types_experimental" not in k.request("complete_request", dict(code="pri", cursor_pos=3)).ok().content["metadata"]


def test_stop_on_error_timeout(start, profile):
    "IPYMINI_STOP_ON_ERROR_TIMEOUT: executes that arrive within it after an error are aborted too."
    k = start(env=profile.env | dict(IPYMINI_STOP_ON_ERROR_TIMEOUT="0.5"))
    assert k.execute("1/0").status == "error"
    assert k.execute("1").status == "aborted"
    k.arrives(lambda: False, 0.6)
    assert k.execute("1").status == "ok"


def test_unwritable_ipython_dir(start, tmp_path):
    "A home that cannot be written to is warned about; the kernel runs."
    (tmp_path / "file").write_text("no directory")
    k = start(env=dict(IPYTHONDIR=str(tmp_path / "file" / "ipython")))
    assert k.execute("1 + 1").ok().result == "2"
