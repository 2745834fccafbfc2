"The shell as code sees it: attributes, events, hooks, transformers; startup and configuration."
from steps import COUNT, cell, probe

G = "ip = get_ipython()\n"
ATTRS = {k: G + v for k,v in dict(kernel_attrs=("sorted(n for n in ('shell', 'session', 'iopub_socket', 'comm_manager', 'get_parent', 'send_response', 'user_ns"
    "', 'execution_count', 'banner', 'language_info', 'implementation', 'raw_input', 'getpass', 'ident', 'log', 'se"
    "t_parent', 'kernel_info', 'help_links') if hasattr(ip.kernel, n))"), kernel_shell="ip.kernel.shell is ip",
    kernel_count="ip.kernel.execution_count", language_info="sorted(ip.kernel.language_info.items())", kernel_banner_type="type(ip.banner).__name__",
    class_name="type(ip).__name__", instance=("from IPython.core.interactiveshell import InteractiveShell\n"
        "InteractiveShell.initialized(), InteractiveShell.instance() is ip"),
    get_ipython_same="import IPython; IPython.get_ipython() is ip, get_ipython() is ip", config_app="'IPKernelApp' in ip.config",
    config_keys="sorted(ip.config)", has_trait="ip.has_trait('kernel'), ip.has_readline if hasattr(ip, 'has_readline') else None",
    parent_header="sorted(ip.parent_header), sorted(ip.parent_header['header']) if 'header' in ip.parent_header else 0",
    get_parent="sorted(ip.get_parent()), ip.get_parent()['content']['code']",
    get_parent_kernel="ip.kernel.get_parent()['header']['msg_type'], ip.kernel.get_parent('shell')['msg_type']",
    send_response="ip.kernel.send_response(ip.kernel.iopub_socket, 'stream', {'name': 'stdout', 'text': 'sent'});",
    send_display="ip.kernel.send_response(ip.kernel.iopub_socket, 'display_data', {'data': {'text/plain': 'd'}, 'metadata': {}, 'transient': {}});",
    session_send=("ip.kernel.session.send(ip.kernel.iopub_socket, 'stream', {'name': 'stderr', 'text': 'sent'}, parent=ip.kernel.get_parent())\n"
        "1"), colors="ip.colors", xmode="ip.xmode", autocall="ip.autocall", autoindent="ip.autoindent",
    profile="ip.profile, ip.profile_dir.location.endswith('profile_default')", ipython_dir="ip.ipython_dir.endswith('ipython')",
    pager_hook="ip.hooks.show_in_pager.chain[0][1].__name__ if hasattr(ip.hooks.show_in_pager, 'chain') else ''",
    prompts="hasattr(ip, 'prompts'), ip.separate_in", display_page="ip.display_page", enable_html_pager="ip.enable_html_pager",
    simple_prompt="hasattr(ip, 'simple_prompt')", readline="ip.has_trait('history_length')", exiter="type(ip.exiter).__name__",
    ns_table="sorted(ip.ns_table)", user_module="ip.user_module.__name__, __name__ in __import__('sys').modules",
    builtin_trap="ip.builtin_trap.auto_builtins.keys()",
    magics_kernel=("sorted(n for n in ip.magics_manager.magics['line'] if n in ('connect_info', 'qtconsole', 'less', 'more', 'man'"
        ", 'clear', 'autosave', 'edit', 'ed', 'subshell', 'pip', 'conda'))"),
    magic_lists="sorted(set(ip.magics_manager.magics['line']) - {'subshell'})", magic_cells="sorted(set(ip.magics_manager.magics['cell']) - {'background', 'subshell'})",
    environ="import os; [os.environ.get(k) for k in ('TERM', 'CLICOLOR', 'FORCE_COLOR', 'CLICOLOR_FORCE', 'PAGER', 'GIT_PAGER', 'MPLBACKEND')]",
    environ_keys=("import os; sorted(k for k in os.environ if k.startswith(('IPY', 'JPY', 'JUPYTER', 'PYDEVD', 'KERNEL')) and k !"
        "= 'PYDEVD_USE_FRAME_EVAL')"), sys_flags="import sys; sys.flags.interactive, hasattr(sys, 'ps1'), sys.argv[1:2]",
    sys_path="import sys; sys.path[0]", modules="import sys; '__main__' in sys.modules, sys.modules['__main__'] is ip.user_module",
    main_dict="import __main__; __main__.__dict__ is globals()", pickled="import pickle\nclass P: pass\ntype(pickle.loads(pickle.dumps(P()))) is P",
    signals="import signal; signal.getsignal(signal.SIGINT).__class__.__name__ in ('method', 'function', 'builtin_function_or_method')",
    recursion_limit="import sys; sys.getrecursionlimit()",
    warnings_filters="import warnings; any(f[0] == 'default' and f[2] is DeprecationWarning for f in warnings.filters)",
    locale_="import locale; locale.getpreferredencoding(False)", cwd="import os; os.getcwd()", enable_gui_none="ip.enable_gui(None)",
    check_complete="ip.check_complete('if 1:')", transform="ip.transform_cell('%pwd\\n!ls\\nx?')", expand="x = 5\nip.var_expand('a $x {x+1}')",
    mktemp="type(ip.mktempfile('x')).__name__", object_find="ip._ofind('ip').found", inspect_text="ip.object_inspect_text('len')",
    getoutput_type="type(ip.getoutput('echo a')).__name__", run_line_unknown="ip.run_line_magic('nothing', '')",
    find_magic="ip.find_line_magic('time') is not None, ip.find_magic('nope')",
    define_magic="ip.register_magic_function(lambda l: 'mm ' + l, 'line', 'mm')\nip.run_line_magic('mm', 'x')",
    define_macro="ip.define_macro('mac', 'print(\"macro\")')\nip.user_ns['mac']", set_trait="ip.autocall = 5",
    del_var="q = 1\nip.del_var('q'); 'q' in globals()", history_class="type(ip.history_manager).__name__",
    sys_excepthook="import sys; sys.excepthook.__name__", stdin_none="import sys; sys.stdin is None", atexit_ops="callable(ip.atexit_operations)",
    tempfiles="ip.tempfiles, ip.tempdirs", version="import IPython; IPython.version_info[0] >= 9",
    show_usage="type(ip.show_usage).__name__ if hasattr(ip, 'show_usage') else None", alias_list="sorted(n for n, c in ip.alias_manager.aliases)",
    meta="ip.meta", trio="ip.loop_runner.__class__.__name__", should_run="ip.should_run_async('await x'), ip.should_run_async('1')",
    showindent="hasattr(ip, 'showindentationerror')", excepthook_set="ip.sys_excepthook.__name__ if hasattr(ip, 'sys_excepthook') else None").items()}

R = "ip = get_ipython(); log = []\n"
HOOKS = dict(events=[R + ("fs = {}\nfor name in ('pre_execute', 'pre_run_cell', 'post_execute', 'post_run_cell'):\n"
    "    fs[name] = (lambda name: lambda *a: log.append((name, len(a))))(name)\n" "    ip.events.register(name, fs[name])"), "log.append('cell')",
    cell("log.append('silent')", silent=True), "1/0", "for n, f in fs.items(): ip.events.unregister(n, f)\nlog"], pre_run_info=[R +
        ("def pre(info): print('pre', info.raw_cell, info.store_history, info.silent, info.shell_futures)\n"
            "ip.events.register('pre_run_cell', pre)"), "1 + 1", "ip.events.unregister('pre_run_cell', pre)"], post_result=probe(R +
                ("def post(r): print('post', r.result, r.error_in_exec, r.error_before_exec, r.execution_count, r.success)\n"
                    "ip.events.register('post_run_cell', post)"), "5", "1/0", "1 +", cell("6", store_history=False),
                "ip.events.unregister('post_run_cell', post)", but=COUNT), event_raises=[R +
                    "def bad(info): raise ValueError('in event')\nip.events.register('pre_run_cell', bad)", "1",
                    "ip.events.unregister('pre_run_cell', bad)"],
    post_raises=[R + "def bad(r): raise ValueError('in post')\nip.events.register('post_run_cell', bad)", "1",
        "ip.events.unregister('post_run_cell', bad)"],
    post_display=[R + "def post(r): display('from post')\nip.events.register('post_run_cell', post)", "1",
        "ip.events.unregister('post_run_cell', post)"],
    post_print=[R + "def post(): print('from post_execute')\nip.events.register('post_execute', post)", "1", "1/0",
        "ip.events.unregister('post_execute', post)"], event_unknown=R + "ip.events.register('no_such', print)",
    event_list="sorted(get_ipython().events.callbacks)", await_events=[R +
        "import asyncio\ndef post(r): print('post', r.result)\nip.events.register('post_run_cell', post)", "await asyncio.sleep(0, 3)",
        "ip.events.unregister('post_run_cell', post)"], cleanup_transform=[R +
            "def up(lines): return [l.replace('EIGHT', '8') for l in lines]\nip.input_transformers_cleanup.append(up)", "EIGHT",
            "ip.input_transformers_cleanup.remove(up)"], post_transform=[R +
                "def up(lines): return [l.replace('NINE', '9') for l in lines]\nip.input_transformers_post.append(up)", "NINE", "In[-1]",
                "ip.input_transformers_post.remove(up)"], transform_syntax=[R +
                    ("def bad(lines):\n    if any('REJECT' in l for l in lines): raise SyntaxError('rejected')\n"
                        "    return lines\nip.input_transformers_post.append(bad)"), "REJECT", "ip.input_transformers_post.remove(bad)", "1"],
    ast_transform=[R + ("import ast\nclass Neg(ast.NodeTransformer):\n"
        "    def visit_Constant(self, n): return ast.Constant(-n.value) if isinstance(n.value, int) else n\n" "ip.ast_transformers.append(Neg())"),
        "5", "ip.ast_transformers.clear()", "5"], ast_raises=[R +
            ("import ast\nclass Bad(ast.NodeTransformer):\n    def visit_Constant(self, n): raise ValueError('ast')\n"
                "ip.ast_transformers.append(Bad())"), "5", "ip.ast_transformers", "6"], ast_reject=[R +
                    ("import ast\nfrom IPython.core.error import InputRejected\nclass No(ast.NodeTransformer):\n"
                        "    def visit_Constant(self, n):\n        if n.value == 13: raise InputRejected('unlucky')\n"
                        "        return n\nip.ast_transformers.append(No())"), "13", "ip.ast_transformers.clear()"],
    show_in_pager=probe(R + "ip.set_hook('show_in_pager', lambda self, *a, **k: print('my pager'), 0)", "len?", fresh=True),
    editor_hook=[R + "ip.set_hook('editor', lambda self, f, n=0, *a: print('edit'))"], hook_unknown=R + "ip.set_hook('no_such_hook', print)",
    push_var=[R + "ip.push({'zz': 1}, interactive=False)", "zz", "%who"], runner=[R + "%autoawait"],
    custom_display_pub=[R + "ip.display_pub.publish({'text/plain': 'direct'}, metadata={'m': 1})"],
    clear_output_pub=[R + "ip.display_pub.clear_output(True)"], is_publishing=[R + "ip.display_pub.is_publishing"], showtraceback_patched=[R +
        ("def mine(self, *a, **k): print('patched')\n" "ip.showtraceback, old = __import__('types').MethodType(mine, ip), ip.showtraceback"), "1/0",
        "del ip.showtraceback", "1/0"], run_cell_patched=[R +
            ("old = ip.run_cell\ndef mine(raw, *a, **k):\n    print('before'); return old(raw, *a, **k)\n" "ip.run_cell = mine"), "5",
            "del ip.run_cell", "6"], namespace_hidden=[R + "'ip' in ip.user_ns_hidden", "ip.user_ns_hidden['get_ipython'] is get_ipython"],
    extension=[R + "ip.extension_manager.loaded >= {'storemagic'}"])

KC = "ipython/profile_default/ipython_kernel_config.py"
IC = "ipython/profile_default/ipython_config.py"
START = "ipython/profile_default/startup/"
STARTUP = dict(startup_file=probe("from_startup", "_ih", files={START + "00-a.py": "from_startup = 5\n"}),
    startup_ipy=probe("x", files={START + "10-b.ipy": "x = %pwd\nx = len(x) > 0\n"}), startup_order=probe("order",
        files={START + "01.py": "order = [1]\n", START + "02.py": "order.append(2)\n"}), startup_error=probe("1", files={START + "00.py": "1/0\n"}),
    startup_print=probe("1", files={START + "00.py": "print('at startup')\n"}),
    config_colors=probe("1/0", files={IC: "c.InteractiveShell.colors = 'NoColor'\n"}),
    config_xmode=probe("1/0", files={IC: "c.InteractiveShell.xmode = 'Plain'\n"}),
    config_interactivity=probe("1\n2", files={IC: "c.InteractiveShell.ast_node_interactivity = 'all'\n"}),
    config_exec_lines=probe("a, b", files={IC: "c.InteractiveShellApp.exec_lines = ['a = 1', 'b = a + 1']\n"}), config_exec_files=probe("e",
        files={IC: "c.InteractiveShellApp.exec_files = ['run.py']\n", "work/run.py": "e = 8\n"}),
    config_extensions=probe("get_ipython().extension_manager.loaded >= {'autoreload'}",
        files={IC: "c.InteractiveShellApp.extensions = ['autoreload']\n"}),
    config_kernel_file=probe("1/0", files={KC: "c.ZMQInteractiveShell.colors = 'NoColor'\n"}),
    config_inline=probe("%config InlineBackend.figure_formats", "import matplotlib.pyplot as plt; plt.plot([1]);",
        files={KC: "c.InlineBackend.figure_formats = {'svg'}\nc.InlineBackend.rc = {'svg.hashsalt': 'x'}\n"}),
    config_plain=probe("1.23456", files={IC: "c.PlainTextFormatter.float_precision = '%.2f'\n"}), config_json=probe("1\n2",
        files={"ipython/profile_default/ipython_config.json": '{"InteractiveShell": {"ast_node_interactivity": "all"}}'}), config_history=probe("1",
            "get_ipython().history_manager.enabled", files={IC: "c.HistoryManager.enabled = False\n"}), config_cache=probe("get_ipython().cache_size",
                "Out", "_", files={IC: "c.InteractiveShell.cache_size = 0\n"}),
    config_aliases=probe("%hello", files={IC: "c.AliasManager.user_aliases = [('hello', 'echo hello')]\n"}),
    config_automagic=probe("pwd", "%automagic", files={IC: "c.InteractiveShell.automagic = False\n"}), config_hide=probe("%who",
        files={IC: "c.InteractiveShellApp.exec_lines = ['hidden = 1']\nc.InteractiveShellApp.hide_initial_ns = False\n"}),
    config_autocall=probe("len 'abc'", files={IC: "c.InteractiveShell.autocall = 1\nc.InteractiveShell.show_rewritten_input = False\n"}),
    config_import=probe("1", files={IC: "import os\nc.InteractiveShell.logstart = False\n"}), arg_colors=probe("1/0", args=("--colors=NoColor",)),
    arg_trait=probe("1\n2", args=("--InteractiveShell.ast_node_interactivity=all",)), arg_hist=probe("1", "get_ipython().history_manager.hist_file",
        args=("--HistoryManager.hist_file=:memory:",)), arg_pylab=probe("%matplotlib", args=("--matplotlib=inline",)),
    arg_ext=probe("'autoreload' in get_ipython().extension_manager.loaded", args=("--ext=autoreload",)), arg_code=probe("y", args=("-c", "y = 3")),
    arg_cache=probe("1", "Out", args=("--cache-size=0",)), arg_profile=probe("get_ipython().profile",
        args=("--profile-dir={home}/ipython/profile_x",), files={"ipython/profile_x/startup/README": ""}),
    env_pythonstartup=probe("'ps' in globals()", files={"work/ps.py": "ps = 1\n"}, env=dict(PYTHONSTARTUP="ps.py")),
    fresh_first=probe("In, Out, _, __, ___", fresh=True), fresh_names=probe("sorted(k for k in globals())", fresh=True),
    fresh_modules=probe("import sys; [m for m in ('numpy', 'matplotlib', 'pandas') if m in sys.modules]", fresh=True),
    env_noterm=probe("import os; os.environ['TERM']", env=dict(TERM="dumb")),
    env_warnings=probe("import warnings; warnings.warn('w', DeprecationWarning)", env=dict(PYTHONWARNINGS="always")))

probes = ATTRS | HOOKS | STARTUP
