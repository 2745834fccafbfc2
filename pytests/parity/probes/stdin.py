"input, getpass, pdb and %debug: questions to the user."
from steps import cell, probe

P = "def f(x):\n    y = x + 1\n    return 1 / (y - 1)\n"


def asks(code, *answers): return cell(code, answers=list(answers))


probes = dict(input=asks("input()", "x"), prompt=asks("input('name? ')", "Bob"), prompt_object=asks("input(5)", "x"),
    prompt_none=asks("input(None)", ""), empty=asks("input('? ')", ""), two=asks("a = input('a'); b = input('b'); a, b", "1", "2"),
    unicode=asks("input('ü😀')", "é€"), newline=asks("input()", "a\nb"), loop=asks("[input(i) for i in range(3)]", "a", "b", "c"),
    printed=asks("print('before')\nx = input('? ')\nprint('after', x)", "z"), error_after=asks("int(input())", "x"), not_allowed="input('? ')",
    not_allowed_caught="try: input()\nexcept Exception as e: print(type(e).__mro__[:3])", not_allowed_next=["input()", "1"],
    getpass=asks("import getpass; getpass.getpass()", "secret"), getpass_prompt=asks("from getpass import getpass\ngetpass('Key: ')", "secret"),
    getpass_stream=asks("import getpass, sys; getpass.getpass('p', sys.stderr)", "s"), getpass_not_allowed="import getpass; getpass.getpass()",
    kernel_raw_input=asks("get_ipython().kernel.raw_input('p? ')", "v"), kernel_getpass=asks("get_ipython().kernel.getpass('p? ')", "v"),
    stdin_readline="import sys; sys.stdin.readline()", ask_yes=asks("from IPython.utils.io import ask_yes_no; ask_yes_no('sure?')", "y"),
    ask_yes_wrong=asks("from IPython.utils.io import ask_yes_no; ask_yes_no('sure?', default='n')", "what", ""),
    in_function=asks("def f():\n    return input('in f ')\nf()", "x"), in_thread=asks(("import threading\nr = []\n"
        "t = threading.Thread(target=lambda: r.append(input('t? '))); t.start(); t.join()\nr"), "x"),
    wrong_args="try: input(1, 2)\nexcept TypeError: print('wrong')",
    input_no_history=[cell("x = input()", answers=["typed"], store_history=True), "In"], silent=cell("x = input('s? ')", answers=["v"], silent=True),
    multi_cell=[asks("a = input('1')", "x"), asks("b = input('2')", "y"), "a, b"],
    input_await=asks("import asyncio\nawait asyncio.sleep(0)\ninput('a? ')", "x"),
    clear_before=asks("from IPython.display import clear_output\nclear_output()\ninput('x')", "1"),
    eof=cell("try: input('e')\nexcept EOFError: 'eof'", answers=["\x04"]), debug=[P + "f(0)", asks("%debug", "y", "p x", "up", "q")],
    debug_list=[P + "f(0)", asks("%debug", "l", "w", "args", "u", "d", "q")], debug_longlist=[P + "f(0)", asks("%debug", "ll", "q")],
    debug_commands=[P + "f(0)", asks("%debug", "help", "h p", "pp [1]", "whatis x", "nonsense", "!z = 5", "z", "", "q")], debug_eval=[P + "f(0)",
        asks("%debug", "x + y", "1/0", "for i in range(2): print(i)", "x = 7", "x", "source f", "q")], debug_none=probe(asks("%debug"), fresh=True),
    debug_statement=asks("%debug x = 1", "n", "c"), debug_break=asks(P + "%debug f(3)", "b f", "c", "p x", "q"),
    debug_up=[P + "f(0)", asks("%debug", "u", "u", "d", "d", "q")], debug_where=[P + "f(0)", asks("%debug", "w", "bt", "q")],
    debug_context=[P + "f(0)", asks("%debug", "context 3", "l 1,2", "q")],
    debug_after=[P + "f(0)", asks("%debug", "q"), "1 + 1", asks("%debug", "q")], debug_chain=["try: 1/0\nexcept Exception: {}['k']",
        asks("%debug", "exceptions", "exceptions 0", "q")], debug_no_stdin=[P + "f(0)", "%debug"],
    pdb_on=["%pdb on", asks(P + "f(0)", "p x", "q"), "%pdb off"],
    set_trace=asks("import pdb\ndef g(a):\n    pdb.set_trace()\n    b = a\n    return b\ng(4)", "p a", "n", "n", "c"),
    set_trace_quit=asks("import pdb\ndef g(a):\n    pdb.set_trace()\n    return a\ng(4)", "q"),
    ip_set_trace=asks("from IPython.core.debugger import set_trace\ndef g(a):\n    set_trace()\n    return a\ng(4)", "a", "n", "r", "c"),
    step=asks(P + "import pdb; pdb.run('f(3)')", "s", "c"), runcall=asks(P + "import pdb; pdb.runcall(f, 3)", "n", "n", "c"),
    pm=[P + "f(0)", asks("import pdb; pdb.pm()", "p y", "q")],
    post_mortem=asks("import sys, pdb\ntry: 1/0\nexcept Exception as e: pdb.post_mortem(e.__traceback__)", "p 1", "q"),
    debugger_commands=asks("import pdb\ndef g():\n    pdb.set_trace()\n    for i in range(3):\n        x = i\ng()", "b 5, i == 2", "c", "p i", "cl 1",
        "c"), display_in_debug=[P + "f(0)", asks("%debug", "display x", "from IPython.display import display", "display([1])", "q")],
    debug_magic_line=[P + "f(0)", asks("%debug", "pinfo f", "pdoc f", "pdef f", "q")], debug_eof=[P + "f(0)", asks("%debug", "\x04")],
    pdb_q_next=[asks("import pdb; pdb.set_trace()\nx = 1", "q"), "'fine'"], debug_quit_words=[P + "f(0)", asks("%debug", "exit")])
