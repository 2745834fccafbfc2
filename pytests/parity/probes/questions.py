"is_complete, inspect and complete, at awkward cursor positions too; history in all modes."
from steps import COUNT, all_but, cell, complete, history, inspect, is_complete, probe, raw

COMPLETE = {f"is_complete_{k}": is_complete(v) for k,v in dict(one="1", empty="", blank="  ", newline="\n", paren="f(1,", string="'''a",
    colon="if 1:", block="if 1:\n  a = 1", block_done="if 1:\n  a = 1\n", else_="if 1:\n    a\nelse:", def_="def f():",
    def_body="def f():\n    return 1\n\n", class_="class A:", decorator="@deco", for_="for i in x:\n    pass", try_="try:\n    1", invalid="1 +* 2",
    invalid_two="a b", unclosed="'abc", backslash="a = 1 + \\", comment="# x", colon_comment="if 1: # x", magic="%time", cell_magic="%%time\nx",
    cell_magic_done="%%time\nx\n", cell_magic_one="%%time", shell="!ls", question="len?", await_="await x", async_="async def f():",
    lambda_="lambda:", dict_="{'a': [", nested="f(g(h(", match_="match x:", semicolon="a = 1;", unicode="ü = '€'", tabs="if 1:\n\tx", prompt=">>> 1",
    ellipsis="...", nul="a\0", dedent="if 1:\n    a\nb", indent_error="  1\n 2", return_="return 1", with_="with a as b:", fstring="f'{",
    raw="r'''\\", continuation="a = (1 +\n     2", closed="a = (1 +\n     2)", windows="if 1:\r\n  a").items()}

I = """import os, json
class A:
    'Doc of A.'
    x = 1
    def m(self, a, b=2):
        'Doc of m.'
        return a
    @property
    def p(self): 'prop doc'
a = A()
d = {'key one': 1, 'k2': {'inner': 2}}
def func(first, second=2, *rest, key=None): 'Doc of func.'
"""
INSPECT = {f"inspect_{k}": [I, v] for k,v in dict(name=inspect("func|"), start=inspect("|func"), middle=inspect("fu|nc"), call=inspect("func(|"),
    call_args=inspect("func(1, |"), nested=inspect("func(len(|"), after_call=inspect("func(1)|"), attr=inspect("a.m|"), attr_start=inspect("a|.m"),
    method_call=inspect("a.m(|"), module=inspect("os|"), module_attr=inspect("os.path|.join"), module_func=inspect("os.path.join|"),
    builtin=inspect("len|"), builtin_call=inspect("len(|)"), missing=inspect("nothing|"), missing_attr=inspect("a.nothing|"), empty=inspect("|"),
    space=inspect("func |"), number=inspect("12|"), string=inspect("'abc|'"), keyword=inspect("for|"), class_=inspect("A|"), instance=inspect("a|"),
    property_=inspect("a.p|"), value=inspect("d|"), item=inspect("d['k2']|"), level1=inspect("func|", level=1), class_level1=inspect("A|", level=1),
    builtin_level1=inspect("len|", level=1), multi=inspect("x = 1\nfunc|\ny = 2"), magic=inspect("%timeit|"), cell_magic=inspect("%%timeit|"),
    magic_args=inspect("%time func|"), comment=inspect("# func|"), end=raw("inspect_request", code="func", cursor_pos=99, detail_level=0),
    operator=inspect("a +| func"), line_end=inspect("func(\n|"), unicode=inspect("'😀'; func|"), omit=inspect("func|", omit_sections=["docstring"]),
    lambda_=inspect("(lambda x: x)|"), display=inspect("display|")).items()}

TAB = {f"tab_{k}": [I, v] for k,v in dict(name=complete("fun|"), start=complete("|"), attr=complete("a.|"), attr_part=complete("a.m|"),
    middle=complete("a.m|xyz"), before=complete("|a.m"), module=complete("os.pat|"), import_=complete("import js|"),
    from_=complete("from os import pat|"), from_path=complete("from os.path import jo|"), keyword=complete("impor|"), builtin=complete("prin|"),
    dict_key=complete("d['k|"), dict_key_double=complete('d["|'), dict_nested=complete("d['k2']['|"), kwarg=complete("func(sec|"),
    kwarg_none=complete("func(|"), magic=complete("%ti|"), magic_none=complete("%alias_|"), cell_magic=complete("%%ti|"),
    magic_arg=complete("%cd /us|"), config=complete("%config Inline|"), config_trait=complete("%config InlineBackend.fig|"),
    colors=complete("%colors l|"), xmode=complete("%xmode V|"), shell=complete("!ech|"), path=complete("open('/us|"), path_space=complete("'/usr/|'"),
    none=complete("zzzqqq|"), second=complete("x = 1\nfun|"), first=complete("fun|\nx = 1"), unicode=complete("'ü€😀'; fun|"),
    latex=complete("\\alph|"), latex_exact=complete("\\alpha|"), unicode_name=complete("\\GREEK SMALL LETTER ALPH|"), back=complete("\\α|"),
    in_string=complete("'fun|'"), in_comment=complete("# fun|"), after_dot_space=complete("a. |"), call_result=complete("json.dumps(1).sta|"),
    literal=complete("'abc'.upp|"), list_=complete("[1].app|"), indented=complete("if 1:\n    fun|"), global_=complete("A().x.bit_l|"),
    private=complete("a.__cl|"), under=complete("_i|"), continued=complete("a.\\\n    m|"), multi_paren=complete("func(\n    sec|"),
    class_=complete("class B(A|"), lambda_=complete("lambda q: fun|"), async_=complete("await fun|"), fstring=complete("f'{fun|"),
    decorator=complete("@fun|"), semicolon=complete("x = 1; fun|"), star=complete("from os import *; fun|"), dunder=complete("__nam|"),
    error=complete("a = = fun|")).items()}
CUSTOM = dict(tab_custom=[("class K:\n    def _ipython_key_completions_(self): return ['one', 'two']\n"
    "    def __getitem__(self, k): return k\n    def __dir__(self): return ['dyn_a', 'dyn_b']\nk = K()"), complete("k['|"), complete("k.|")],
    tab_raises=[("class R:\n    def __dir__(self): raise RuntimeError\n    def __getattr__(self, n): raise RuntimeError\n" "r = R()"),
        complete("r.|")], tab_hook=[("def matcher(ip, event): return ['hooked']\n"
            "get_ipython().set_hook('complete_command', matcher, str_key='%hooked')"), complete("%hooked |")],
    tab_custom_matcher=[("def m(text): return ['from_matcher'] if text.startswith('fro') else []\n"
        "get_ipython().Completer.custom_matchers.append(m)"), complete("from_m|"), "get_ipython().Completer.custom_matchers.clear()"],
    tab_jedi_off=["get_ipython().Completer.use_jedi = False", I, complete("a.|"), complete("func(se|"), "get_ipython().Completer.use_jedi = True"],
    tab_shell_complete=[I, "get_ipython().complete('fun')", "get_ipython().Completer.complete(line_buffer='a.m', cursor_pos=3)"],
    tab_greedy=["%config IPCompleter.greedy = True", I, complete("d['k2']|"), complete("[a][0].|"), "%config IPCompleter.greedy = False"],
    tab_all=["get_ipython().Completer.limit_to__all__", "import types\nmod = types.ModuleType('mod'); mod.a1 = 1; mod.b1 = 2; mod.__all__ = ['a1']",
        complete("mod.|")], inspect_raises=[("class R:\n    def __getattr__(self, n): raise RuntimeError('no')\n"
            "    def __repr__(self): raise RuntimeError\nr = R()"), inspect("r|")],
    inspect_mime=["class M:\n    def _repr_mimebundle_(self, **kw): return {'text/plain': 'm'}\nm = M()", inspect("m|")],
    inspect_wrapped=[("import functools\ndef deco(f):\n    @functools.wraps(f)\n    def w(*a): return f(*a)\n    return w\n@deco\n"
        "def g(x): 'doc of g'"), inspect("g|"), inspect("g(|", level=1)], inspect_html=["get_ipython().enable_html_pager = True", I, inspect("func|"),
            "get_ipython().enable_html_pager = False"],
    inspect_signature=["class S:\n    def __init__(self, q, w=1): pass\n    def __call__(self, z): pass\ns = S(1)", inspect("S(|"), inspect("s(|")])

H = ["a = 1", "b = 'two'", "a + 1", "1/0", "%pwd;"]
HISTORY = {f"history_{k}": [*H, v] for k,v in dict(tail=history("tail", n=3), tail_output=history("tail", n=3, output=True),
    tail_raw=history("tail", n=2, raw=False), tail_one=history("tail", n=1), range=history("range", session=0, start=1, stop=3),
    range_all=history("range", session=0, start=0, stop=100), range_output=history("range", session=0, start=1, stop=5, output=True),
    range_cooked=history("range", session=0, start=1, stop=9, raw=False), range_none=history("range", session=0, start=50, stop=60),
    range_other=history("range", session=99999, start=1, stop=3), range_open=history("range", session=0, start=2, stop=None),
    search=history("search", pattern="a + 1", n=1), search_unique=history("search", pattern="a + *", n=5, unique=True),
    search_none=history("search", pattern="nothing like it", n=5), search_output=history("search", pattern="a + 1", n=1, output=True)).items()}
HISTORY["history_session"] = probe(*HISTORY["history_range"], strict=True)
ACCESS = dict(history_access=[*H, "list(get_ipython().history_manager.get_range(output=True))"],
    history_tail=[*H, "[x[1:] for x in get_ipython().history_manager.get_tail(3, include_latest=True)]"],
    history_strings=[*H, "get_ipython().extract_input_lines('1-3')"], history_hist=[*H, "get_ipython().history_manager.input_hist_raw"],
    history_parsed=["%pwd;", "!echo x", "get_ipython().history_manager.input_hist_parsed"],
    history_output_hist=["1", "'b'", "get_ipython().history_manager.output_hist"], history_outputs=["5", "display(6)", "1/0",
        "{k: [o.output_type for o in v] for k, v in get_ipython().history_manager.outputs.items()}",
        "get_ipython().history_manager.exceptions.keys()"], history_not_stored=probe(cell("hidden = 1", store_history=False),
            history("range", session=0, start=0, stop=10), but=COUNT),
    history_silent=[cell("hidden = 1", silent=True), history("range", session=0, start=0, stop=10)], history_written=["x = 1",
        "get_ipython().history_manager.writeout_cache()", "[r[2] for r in get_ipython().history_manager.search('x = 1', n=1)]"],
    history_save=["x = 1", "get_ipython().history_manager.end_session()", "get_ipython().history_manager.new_session()", "1"],
    history_enabled=["get_ipython().history_manager.enabled, get_ipython().history_manager.hist_file.endswith('history.sqlite')"],
    history_repeat=["y = 1", "y = 1", "y = 1", history("tail", n=3)],
    history_multi=["a = 1\nb = 2\na + b", history("tail", n=1), history("tail", n=1, output=True)], history_unicode=["'ü€😀'", history("tail", n=1)])

probes = COMPLETE | INSPECT | TAB | CUSTOM | HISTORY | ACCESS
# types as far as jedi gets in its time
all_but(("metadata",), probes, "tab_start", "tab_before", "tab_kwarg_none", "tab_after_dot_space", "tab_from_", "tab_from_path", "tab_import_")
