"Text: print and all that writes, from Python, from C, from other processes."
from steps import cell

S = "import sys, os\n"
PY = "import subprocess, sys\n"

PRINTS = {k: S + v for k,v in dict(simple="print('a')", nothing="print()", end="print('a', end='')", sep="print(1, 2, sep='-')",
    flush="print('a', flush=True)", many="for i in range(300): print(i)", file_err="print('e', file=sys.stderr)",
    both="print('o'); print('e', file=sys.stderr)", write="n = sys.stdout.write('abc\\n')\nn", writelines="sys.stdout.writelines(['a', 'b\\n'])",
    write_int="try: sys.stderr.write(1)\nexcept TypeError: 'no'", write_empty="sys.stdout.write('')", carriage="print('a\\rb\\rc')",
    ansi="print('\\x1b[31mred\\x1b[0m')", backspace="print('ab\\b')", bell="print('\\a')", nul="print('a\\0b')", emoji="print('😀ü')",
    form="print('\\x0c')", crlf="print('a\\r\\nb')", tabs="print('a\\tb')", long="print('x' * 300_000)", unicode_lines="print('a\\u2028b\\x85c')",
    flush_call="sys.stdout.write('a'); sys.stdout.flush(); sys.stdout.write('b')", isatty="sys.stdout.isatty(), sys.stderr.isatty()",
    attributes="sys.stdout.name, sys.stderr.name, sys.stdout.encoding, sys.stdout.errors, sys.stdout.line_buffering, sys.stdout.buffer.write(b'x')",
    writable="sys.stdout.writable(), sys.stdout.readable(), sys.stdout.seekable()",
    fileno="type(sys.stdout.fileno()).__name__, sys.stdout.fileno() >= 0", closed="sys.stdout.closed", close="print('a'); sys.stdout.flush()",
    underscored="sys.__stdout__ is sys.stdout", stdin_type="sys.stdin.isatty() if sys.stdin else None",
    is_textio="import io; isinstance(sys.stdout, io.TextIOBase)", read="sys.stdout.read()", tell="sys.stdout.tell()", seek="sys.stdout.seek(0)",
    readline="sys.stdout.readline()", softspace="hasattr(sys.stdout, 'softspace')",
    pprint="import pprint; pprint.pprint({i: 'x' * 30 for i in range(5)})", print_result="print('p')\n'r'",
    err_result="print('p', file=sys.stderr)\n'r'", print_error="print('before')\n1/0", err_error="print('before', file=sys.stderr)\n1/0",
    print_object="class A:\n    def __str__(self): return 'str of A'\nprint(A(), [A])",
    print_raises="class A:\n    def __str__(self): raise ValueError\nprint(A())",
    redirect="import io, contextlib\nb = io.StringIO()\nwith contextlib.redirect_stdout(b): print('x')\nb.getvalue()",
    redirect_err=("import io, contextlib\nb = io.StringIO()\nwith contextlib.redirect_stderr(b): print('x', file=sys.stderr)\n" "b.getvalue()"),
    replaced=("import io\nold, sys.stdout = sys.stdout, io.StringIO()\nprint('gone')\ntext = sys.stdout.getvalue()\n" "sys.stdout = old\ntext"),
    tee=("class Tee:\n    def write(self, s): old.write(s.upper())\n    def flush(self): old.flush()\n"
        "old = sys.stdout\nsys.stdout = Tee()\nprint('loud')\nsys.stdout = old"), file_closed="f = open('x', 'w'); f.close()\nprint('a', file=f)",
    input_without="input()", help_="help(len)", help_text="help('keywords')",
    this="import this", excepthook="sys.excepthook(ValueError, ValueError('x'), None)",
    traceback_print="import traceback\ntry: 1/0\nexcept ZeroDivisionError: traceback.print_exc()",
    traceback_format="import traceback\ndef f(): 1/0\ntry: f()\nexcept ZeroDivisionError: print(traceback.format_exc())",
    warn="import warnings\nwarnings.warn('careful')", warn_twice="import warnings\nfor i in range(2): warnings.warn('careful')",
    warn_function="import warnings\ndef f(): warnings.warn('deprecated', DeprecationWarning, stacklevel=2)\nf()",
    warn_error=("import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('error')\n" "    warnings.warn('x')"),
    warn_ignored=("import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')\n" "    warnings.warn('x')"),
    warn_syntax="x = 1 is 1", warn_future="import warnings\nwarnings.warn('soon', FutureWarning)",
    warn_resource="import warnings; warnings.showwarning('m', UserWarning, 'f.py', 3)",
    logging_warning="import logging\nlogging.warning('careful %s', 1)", logging_info="import logging\nlogging.getLogger('x').info('hidden')",
    logging_error="import logging\nlogging.getLogger('a.b').error('bad')",
    logging_exception="import logging\ntry: 1/0\nexcept Exception: logging.getLogger('x').exception('failed')",
    logging_stream=("import logging\nl = logging.getLogger('own'); l.propagate = False; l.setLevel(10)\n"
        "h = logging.StreamHandler(); h.setFormatter(logging.Formatter('%(levelname)s %(message)s')); l.addHandler(h)\n"
        "l.debug('d'); l.info('i')\nl.removeHandler(h)"),
    logging_basic=("import logging\nlogging.basicConfig(level=logging.INFO, format='%(levelname)s:%(message)s', force=True)\n"
        "logging.info('shown')\nlogging.getLogger().handlers.clear(); logging.getLogger().setLevel(30)"),
    logging_stdout=("import logging\nl = logging.getLogger('own2'); l.propagate = False\n"
        "h = logging.StreamHandler(sys.stdout); l.addHandler(h)\nl.warning('to stdout')\nl.removeHandler(h)"),
    stdout_repr_type="type(sys.stdout).__mro__[-2].__name__", cprint="import builtins; builtins.print('x')",
    print_in_thread="import threading\nt = threading.Thread(target=print, args=('in thread',)); t.start(); t.join()",
    del_prints="class A:\n    def __del__(self): print('deleted')\na = A()\ndel a",
    generator_close="def g():\n    try: yield 1\n    finally: print('closed')\nx = g(); next(x); del x",
    atexit_reg="import atexit\nf = atexit.register(print, 'bye'); atexit.unregister(f)",
    unraisable="class A:\n    def __del__(self): 1/0\na = A()\ndel a",
    thread_error="import threading\nt = threading.Thread(target=lambda: 1/0, name='T'); t.start(); t.join()",
    flush_none="sys.stdout.flush(), sys.stderr.flush()").items()}

SHELL = dict(bang="!echo hi", bang_two="!echo a\n!echo b", bang_var="x = 'v'\n!echo $x {x}", bang_dollar="!echo $$HOME | wc -l",
    bang_assign="x = !printf 'a\\nb\\n'\nx.n, x.l, x.s", bang_fails="!exit 3", bang_code=["!exit 3", "_exit_code"],
    bang_signal=["%system kill -9 $PPID; get_ipython()", "_exit_code"], bang_err="!echo oops >&2",
    bang_missing="!no_such_command_at_all 2>/dev/null; true", bang_pipe="!printf 'b\\na\\n' | sort", bang_long="!seq 1 2000",
    bang_utf="!printf 'ü€😀\\n'", bang_bad_bytes="!printf 'a\\377b\\n'", bang_no_newline="!printf abc", bang_print="print('x')\n!echo y",
    bang_background="!echo a; (sleep 0.1; echo b)", bang_multi="!echo a \\\n  b", bang_in_for="for i in range(2):\n    !echo {i}",
    bang_in_function="def f(x):\n    !echo got {x}\nf(3)", bang_error_var="!echo {undefined_name}", bang_bang="!!printf 'a\\nb\\n'",
    bang_bang_cell="%%!\nprintf 'a\\nb\\n'", bang_tty="!test -t 1 && echo tty || echo no tty", bang_env="!echo $TERM",
    bang_ansi="!printf '\\033[31mred\\033[0m\\n'", sx="%sx echo a", sx_cell="%%sx\necho a\necho b", sc="%sc x=echo a\nx",
    sc_list="%sc -l x=echo a b\nx", system="%system echo a", getoutput="get_ipython().getoutput('echo a')",
    getoutput_nosplit="get_ipython().getoutput('echo a', split=False)", system_call="get_ipython().system('echo a')",
    system_raw=cell("get_ipython().system_raw('echo raw')", until="raw"), system_piped="get_ipython().system_piped('echo piped')",
    bash="%%bash\necho a\necho b", bash_err="%%bash\necho oops >&2", bash_out="%%bash --out x\necho a\n",
    bash_out_value=["%%bash --out x --err y\necho a; echo b >&2", "x, y"], bash_fails="%%bash\necho before\nexit 3",
    bash_no_raise="%%bash --no-raise-error\nexit 3", bash_bg=["%%bash --bg --out x\necho a", "type(x).__name__"], sh="%%sh\necho sh",
    script="%%script cat\nany text", script_missing="%%script no-such-program-here\nx", script_python="%%script python3\nprint(1 + 1)",
    python="%%python\nprint('other')", python3="%%python3\nimport sys; print('e', file=sys.stderr)", perl="%%perl -e 1\n",
    script_args="%%script python3 - a b\nimport sys; print(sys.argv)", bash_order="%%bash\nfor i in 1 2 3; do echo $i; done",
    killbgscripts="%killbgscripts")

FD = dict(os_system=cell("import os\nos.system('echo from system');", until="from system"),
    os_system_err=cell("import os\nos.system('echo oops >&2');", until="oops"), os_write=cell("import os\nos.write(1, b'direct\\n');", until="direct"),
    os_write_err=cell("import os\nos.write(2, b'direct\\n');", until="direct"),
    run=cell("import subprocess\nsubprocess.run(['echo', 'from run']);", until="from run"),
    run_captured="import subprocess\nsubprocess.run(['echo', 'x'], capture_output=True, text=True)",
    check_output="import subprocess\nsubprocess.check_output('echo x', shell=True)",
    check_fails="import subprocess\nsubprocess.check_call(['false'])", run_missing="import subprocess\nsubprocess.run(['no-such-program-here'])",
    popen=cell("import subprocess\np = subprocess.Popen(['echo', 'popen']); p.wait();", until="popen"),
    popen_pipe="import subprocess\np = subprocess.Popen(['cat'], stdin=-1, stdout=-1, text=True)\np.communicate('in')",
    faulthandler=cell("import faulthandler, sys\nfaulthandler.dump_traceback(file=sys.stderr, all_threads=False)"),
    fork=cell(("import os\npid = os.fork()\nif pid == 0:\n    os.write(1, b'child\\n')\n    os._exit(0)\n" "os.waitpid(pid, 0);"), until="child"),
    process=cell(("import multiprocessing as mp\nmp.set_start_method('fork', force=True)\n"
        "def f(): print('in child', flush=True)\np = mp.Process(target=f); p.start(); p.join()"), until="in child"),
    pool="import multiprocessing as mp\nwith mp.get_context('fork').Pool(2) as p: print(p.map(abs, [-1, -2]))",
    process_pool=("from concurrent.futures import ProcessPoolExecutor\nimport multiprocessing as mp\n"
        "with ProcessPoolExecutor(1, mp_context=mp.get_context('fork')) as e: print(e.submit(pow, 2, 3).result())"),
    ctypes=cell("import ctypes\nlibc = ctypes.CDLL(None)\nlibc.puts(b'from C'); libc.fflush(None);", until="from C"),
    os_popen="import os; os.popen('echo x').read()",
    asyncio_sub="import asyncio\np = await asyncio.create_subprocess_shell('echo x', stdout=-1)\nawait p.communicate()")

PRINTS |= {k: S + v for k,v in dict(surrogate_escaped="print('a\\udc80b')", surrogate_name="print(os.fsdecode(b'f\\xff'))",
    writelines_generator="sys.stdout.writelines(str(i) for i in range(5))",
    writelines_wrong="sys.stdout.writelines([1])", ansi_256="print('\\x1b[38;5;9m\\x1b[48;2;1;2;3mx\\x1b[0m\\x1b[2K\\x1b[1A')",
    carriage_lines="for i in range(3): print(f'{i}%', end='\\r')\nprint()",
    nested_redirect=("from contextlib import *\nimport io; b = io.StringIO()\nwith redirect_stdout(sys.stderr), redirect_stderr(b):\n"
        "    print('o'); print('e', file=sys.stderr)\nb.getvalue()"),
    redirect_file="import contextlib\nwith open('o.txt', 'w') as f, contextlib.redirect_stdout(f): print('x')\nopen('o.txt').read()",
    warn_once="import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('once')\n    for i in range(2): warnings.warn('careful')",
    warn_category="import warnings\nclass W(UserWarning): pass\nwarnings.warn('mine', W)",
    warn_source="import warnings\ndef f():\n    warnings.warn('here', stacklevel=1)\nf()",
    warn_captured="import logging, warnings\nlogging.captureWarnings(True)\nwarnings.warn('to the log')\nlogging.captureWarnings(False)",
    warn_recorded="import warnings\nwith warnings.catch_warnings(record=True) as ws: warnings.warn('kept')\n[str(w.message) for w in ws]",
    logging_critical="import logging\nlogging.critical('end')", logging_extra="import logging\nlogging.getLogger('q').warning('a %(b)s', {'b': 1})",
    logging_dict=("import logging.config\nlogging.config.dictConfig(dict(version=1,"
        " handlers=dict(h={'class': 'logging.StreamHandler', 'stream': 'ext://sys.stdout'}), loggers=dict(conf=dict(handlers=['h'], propagate=False))))\n"
        "logging.getLogger('conf').warning('configured')")).items()}
FD |= dict(dunder_stdout=cell("import sys\nprint('original', file=sys.__stdout__, flush=True)", until="original"),
    dunder_stderr=cell("import sys\nprint('original', file=sys.__stderr__, flush=True)", until="original"),
    fork_print=cell("import os\nif (pid := os.fork()) == 0:\n    print('child prints', flush=True)\n    os._exit(0)\nn = os.waitpid(pid, 0)",
        until="child prints"),
    process_error=("import multiprocessing as mp\ndef f(): raise SystemExit(3)\n"
        "p = mp.get_context('fork').Process(target=f); p.start(); p.join(); p.exitcode"),
    process_queue=("import multiprocessing as mp\nc = mp.get_context('fork'); q = c.SimpleQueue()\n"
        "p = c.Process(target=q.put, args=(5,)); p.start(); p.join(); q.get()"),
    spawn=["n = open('sp.py', 'w').write('def f(x): return x * 2\\n')", "import sys; sys.path.insert(0, '.')\nimport sp, multiprocessing as mp\n"
        "with mp.get_context('spawn').Pool(1) as p: print(p.map(sp.f, [1, 2]))", "sys.path.remove('.')"],
    spawn_local=["import multiprocessing as mp", "from concurrent.futures import ProcessPoolExecutor\n"
        "with ProcessPoolExecutor(1, mp_context=mp.get_context('spawn')) as e: print(e.submit(abs, -4).result())"],
    run_input="import subprocess\nsubprocess.run('cat', input='given', text=True, capture_output=True).stdout",
    run_timeout="import subprocess\ntry: subprocess.run(['sleep', '9'], timeout=0.05)\nexcept subprocess.TimeoutExpired: 'timed out'",
    run_no_stdin="import subprocess\nsubprocess.run(['cat'], capture_output=True).stdout",
    write_binary=cell("import os\nos.write(1, b'a\\xffb\\n');", until="b\n"))
SHELL |= dict(system_cell="%%system\necho a\necho b", bang_expand_error="!echo {1/0}", bang_unicode_var="ü = 'é'\n!echo {ü}",
    bang_quoted="!echo 'a  b' \"c\"", bang_glob="!echo *.none", bang_empty="!", bang_assign_list="a = !echo 1 2\na.fields(), a.grep('1'), a.spstr",
    bash_in="%%bash -s one two\necho $2 $1", bash_unicode="%%bash\necho ü€😀", bash_pipefail="%%bash\nset -e\nfalse\necho no",
    script_bg_kill=["%%bash --bg\nsleep 30", "%killbgscripts"],
    python2="%%script python2-not-there\n1")

probes = {f"print_{k}": v for k,v in PRINTS.items()} | SHELL | FD

