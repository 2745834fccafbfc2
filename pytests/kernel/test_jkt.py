"""jupyter_kernel_test's suite, all of it, with every sample filled in.
Its KernelTests and IopubWelcomeTests start the kernel by name; the names of the samples are theirs."""
import jupyter_kernel_test

from harness import KERNEL_NAME


class TestKernel(jupyter_kernel_test.KernelTests):
    kernel_name                  = KERNEL_NAME
    language_name                = "python"
    file_extension               = ".py"
    code_hello_world             = "print('hello, world')"
    code_stderr                  = "import sys\nprint('oops', file=sys.stderr)"
    completion_samples           = [dict(text="zi", matches={"zip"}), dict(text="isinst", matches={"isinstance"}), dict(text="import unittest.moc"),
        dict(text="%timei")]
    complete_code_samples        = ["1", "print('hello, world')", "def f(x):\n    return x * 2\n\n\n", "%timeit 1", "!ls", "await f()", ""]
    incomplete_code_samples      = ["print('''hello", "def f(x):\n    x * 2", "f(1,", "for i in range(3):", "if 1:\n    try:"]
    invalid_code_samples         = ["import = 7q", "'unclosed", "def f(x) return x", "1 +* 2"]
    code_page_something          = "zip?"
    code_generate_error          = "raise ValueError('on purpose')"
    code_execute_result          = [dict(code="6 * 7", result="42"), dict(code="[1, 'a', None]", result="[1, 'a', None]"),
        dict(code="from IPython.display import HTML; HTML('<b>x</b>')", result="<b>x</b>", mime="text/html")]
    code_display_data            = [dict(code="from IPython.display import HTML, display; display(HTML('<b>test</b>'))", mime="text/html"),
        dict(code="from IPython.display import Math, display; display(Math('\\\\frac{1}{2}'))", mime="text/latex"),
        dict(code="from IPython.display import Markdown, display; display(Markdown('**x**'))", mime="text/markdown"),
        dict(code="from IPython.display import JSON, display; display(JSON(dict(a=1)))", mime="application/json")]
    code_history_pattern         = "6?* 7"
    supported_history_operations = ("tail", "range", "search")
    code_inspect_sample          = "zip"
    code_clear_output            = "from IPython.display import clear_output; clear_output()"


class TestIopubWelcome(jupyter_kernel_test.IopubWelcomeTests):
    kernel_name           = KERNEL_NAME
    support_iopub_welcome = True


def test_every_sample_is_filled_in():
    "An empty sample skips its test: there is none."
    theirs = [k for k, v in vars(jupyter_kernel_test.KernelTests).items() if not k.startswith("_") and isinstance(v, (str, list, tuple))]
    empty = [k for k in theirs if not getattr(TestKernel, k)]
    assert not empty and set(theirs) <= set(vars(TestKernel)), empty

