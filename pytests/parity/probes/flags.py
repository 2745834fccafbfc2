"Flags of execute_request, user_expressions, payloads, and what clients may send."
from steps import COUNT, all_but, cell, comm_close, comm_msg, comm_open, probe, raw


def ue(**kw): return dict(user_expressions=kw)


OFFERS = """from comm import get_comm_manager
def target(c, msg): c.on_msg(lambda m: get_ipython().set_next_input('from a callback'))
get_comm_manager().register_target('offers', target)"""
probes = dict(payload_comm=[OFFERS, comm_open("offers", "o1"), comm_msg("o1"), "1", "2", comm_close("o1")],
    silent=[cell("print('s'); 1", silent=True), "get_ipython().execution_count", "In"], silent_error=[cell("1/0", silent=True), "1"],
    silent_display=cell("display(1)", silent=True), silent_result=cell("5", silent=True),
    silent_store=[cell("6", silent=True, store_history=True), "In, Out"], silent_syntax=cell("1 +", silent=True),
    silent_expressions=cell("x = 1", silent=True, **ue(x="x")), silent_empty=cell("", silent=True),
    no_store=[cell("7", store_history=False), "_", "In", "get_ipython().execution_count"], no_store_error=[cell("1/0", store_history=False), "2"],
    no_store_twice=[cell("a = 1; a", store_history=False), cell("a + 1", store_history=False), "a"], no_store_empty=cell("", store_history=False),
    no_store_tb=["1", cell("1/0", store_history=False)], no_store_display=cell("display(1)", store_history=False),
    expressions=cell("x = 4", **ue(a="x + 1", b="'text'", c="[1] * 3")), expression_error=cell("x = 4", **ue(a="1/0", b="undefined", c="x")),
    expression_syntax=cell("1", **ue(a="1 +")), expression_rich=cell("from IPython.display import HTML", **ue(h="HTML('<b>')")),
    expression_print=cell("1", **ue(a="print('in expr')")), expression_none=cell("1", **ue(a="None")),
    expression_display=cell("1", **ue(a="display(1)")), expression_on_error=cell("1/0", **ue(a="1")), expression_empty=cell("1", **ue(a="")),
    expression_statement=cell("1", **ue(a="x = 1")), expression_only=cell("", **ue(a="1 + 1")), expression_magic=cell("1", **ue(a="%pwd")),
    expression_await=cell("1", **ue(a="await x")), expression_underscore=["5", cell("6", **ue(a="_"))],
    expression_repr_raises=cell("class A:\n    def __repr__(self): 1/0", **ue(a="A()")), expression_exit=cell("1", **ue(a="exit")),
    expression_walrus=[cell("1", **ue(a="(q := 3)")), "q"], expression_int=raw("execute_request", code="1", user_expressions={"a": "2"}),
    expression_keys=cell("1", **ue(**{"b c": "1", "ü": "2"})), stop_on_error=["1/0", "'fine'"],
    no_stop=[cell("import time; time.sleep(.2); 1/0", wait=False, stop_on_error=False), cell("'runs'", wait=False)],
    aborted=probe(cell("import time; time.sleep(.3); 1/0", wait=False), cell("'aborted'", wait=False), cell("'aborted'", wait=False, **ue(a="1"))),
    stop_syntax=probe(cell("import time; time.sleep(.3)", wait=False), cell("1 +", wait=False), cell("'aborted'", wait=False)),
    minimal=raw("execute_request", code="1"), extra=cell("1", unknown_flag=True), code_unicode=cell("'ü€😀'"), code_long=cell("x = 1\n" * 2000),
    code_windows="a = 1\r\nb = 2\r\na + b", code_mac="a = 1\rb = 2\ra", code_bom="\ufeff1 + 1", code_tabs="\t1",
    cell_id=cell("1", metadata=dict(cellId="c-1")), cell_meta=cell("1", metadata=dict(cellId="c", tags=["a"], custom={"k": [1]})),
    cell_id_hook=[cell(("ip = get_ipython()\nseen = []\n"
        "def pre(info): seen.append((info.cell_id, info.store_history, info.silent, info.raw_cell))\n" "ip.events.register('pre_run_cell', pre)"),
        metadata=dict(cellId="x1")), cell("2", metadata=dict(cellId="x2")), cell("3", silent=True),
        "ip.events.unregister('pre_run_cell', pre); seen"], payload_next="get_ipython().set_next_input('x = 1')",
    payload_replace="get_ipython().set_next_input('x = 1', replace=True)",
    payload_two="get_ipython().set_next_input('a'); get_ipython().set_next_input('b')",
    payload_page="from IPython.core import page; page.page('paged text')",
    payload_page_html="from IPython.core import page; page.page({'text/plain': 'p', 'text/html': '<b>p</b>'})",
    payload_page_start="from IPython.core.payloadpage import page; page('a\\nb\\nc', start=1)",
    payload_own="get_ipython().payload_manager.write_payload(dict(source='mine', data=1))",
    payload_two_sources=("get_ipython().payload_manager.write_payload(dict(source='a'))\n"
        "get_ipython().payload_manager.write_payload(dict(source='b'))"), payload_wrong="get_ipython().payload_manager.write_payload('x')",
    payload_on_error="get_ipython().set_next_input('x')\n1/0",
    payload_read="get_ipython().set_next_input('x'); get_ipython().payload_manager.read_payload()",
    payload_cleared=["get_ipython().set_next_input('x')", "1"], payload_silent=[cell("get_ipython().set_next_input('x')", silent=True), "1"],
    run_cell_nested="get_ipython().run_cell('1 + 1')", run_cell_nested_error="get_ipython().run_cell('1/0')\n'went on'",
    run_cell_store=["r = get_ipython().run_cell('5', store_history=True)", "r.result, r.success, r.execution_count", "In, Out"],
    run_cell_silent="get_ipython().run_cell('print(1)', silent=True)", run_cell_repr="print(get_ipython().run_cell('x = 1'))",
    run_code="get_ipython().run_code(compile('y = 2', 'f', 'exec')); y", ex="get_ipython().ex('z = 3'); z", ev="get_ipython().ev('1 + 2')",
    run_cell_magics="get_ipython().run_cell('%pwd\\n!echo hi')",
    run_cell_await="get_ipython().run_cell('import asyncio')\nget_ipython().run_cell_async", run_line="get_ipython().run_line_magic('time', 'pass')",
    safe_execfile=["open('s.py', 'w').write('q = 5\\n1/0\\n');", "get_ipython().safe_execfile('s.py', get_ipython().user_ns)", "q"],
    safe_run_module="get_ipython().safe_run_module('this_no', {})",
    execution_count=["get_ipython().execution_count", "get_ipython().execution_count = 40", "1", "2"],
    push="get_ipython().push(dict(pushed=1)); pushed", drop="v = 1\nget_ipython().drop_by_id(dict(v=v)); 'v' in globals()",
    system_exit_payload="raise SystemExit", keep_kernel="get_ipython().keepkernel_on_exit", exit_=probe("exit", fresh=True),
    quit_=probe("quit()", fresh=True), exit_call=probe("print('a')\nexit()\nprint('b')", fresh=True),
    exit_keep=probe("exit(keep_kernel=True)", "1 + 1", fresh=True), quit_keep=probe("quit(True)", "1", fresh=True),
    exit_repr="repr(exit), type(exit).__name__", exit_function=probe("def f(): exit()\nf()\nprint('on')", fresh=True),
    magic_exit=probe("%exit", fresh=True), exit_silent=probe(cell("exit()", silent=True), fresh=True), kernel_info=raw("kernel_info_request"),
    comm_info=raw("comm_info_request"), connect=raw("connect_request"), interrupt_idle=probe(raw("interrupt_request", channel="control"), "1"),
    shutdown=probe(raw("shutdown_request", channel="control", restart=False), fresh=True),
    shutdown_restart=probe(raw("shutdown_request", channel="control", restart=True), fresh=True),
    list_subshell=raw("list_subshell_request", channel="control"))
all_but(COUNT, probes, "no_store", "no_store_error", "no_store_twice", "no_store_empty", "no_store_tb", "no_store_display", "run_cell_store",
    "expression_only", "execution_count")
all_but(("started",), probes, "stop_syntax")
