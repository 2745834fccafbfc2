"matplotlib inline and pandas."
from steps import COUNT, cell, probe

M = "import matplotlib.pyplot as plt\n"
P = "import pandas as pd, numpy as np\n"
PLOTS = {k: ([M + v[0], *v[1:]] if isinstance(v, list) else M + v) for k,v in dict(plot="plt.plot([1, 2, 3])", plot_quiet="plt.plot([1, 2]);",
    show="plt.plot([1]); plt.show()", figure="fig, ax = plt.subplots()\nax.plot([1, 2])",
    two="plt.figure(); plt.plot([1]); plt.figure(); plt.plot([2]);",
    show_two="plt.plot([1]); plt.show()\nprint('between')\nplt.plot([2]); plt.show()", figure_value="fig = plt.figure(); plt.close(fig)\nfig",
    display="fig, ax = plt.subplots()\ndisplay(fig)\nplt.close()", error="plt.plot([1])\n1/0",
    error_after=["fig = plt.figure(); plt.plot([1])\n1/0", "1"],
    error_in_draw=[("class Bad:\n    def draw(self, r): 1/0\nfig, ax = plt.subplots()\nfrom matplotlib.artist import Artist\n"
        "class B(Artist):\n    def draw(self, r): raise ValueError('draw')\nax.add_artist(B());"), "plt.close('all')"],
    savefig="plt.plot([1]); plt.savefig('p.png'); plt.close()\nimport os; os.path.getsize('p.png') > 0",
    formats=[("%config InlineBackend.figure_formats = ['svg']\n" "import matplotlib; matplotlib.rcParams['svg.hashsalt'] = 'x'"), "plt.plot([1, 2]);",
        "%config InlineBackend.figure_formats = ['png', 'jpeg']", "plt.plot([1, 2]);", "%config InlineBackend.figure_formats = ['retina']",
        "plt.plot([1, 2]);", "%config InlineBackend.figure_formats = ['png']"], format_wrong=["%config InlineBackend.figure_formats = ['nonsense']",
            "%config InlineBackend.figure_formats = ['png']"], close_figures=["%config InlineBackend.close_figures = False", "plt.plot([1]);",
                "plt.plot([2]);", "plt.get_fignums()", "plt.close('all')", "%config InlineBackend.close_figures = True"],
    kwargs=["%config InlineBackend.print_figure_kwargs = {'bbox_inches': None}", "plt.plot([1]);",
        "%config InlineBackend.print_figure_kwargs = {'bbox_inches': 'tight'}"], rc=["%config InlineBackend.rc = {'figure.dpi': 50}",
            "%matplotlib inline", "plt.plot([1]);", "%config InlineBackend.rc = {}", "plt.rcdefaults()"],
    set_formats=[("from matplotlib_inline.backend_inline import set_matplotlib_formats, set_matplotlib_close\n"
        "set_matplotlib_formats('png', quality=90)"), "set_matplotlib_close(True)"], switch=["%matplotlib agg", "plt.plot([1]);", "plt.close('all')",
            "%matplotlib inline", "plt.plot([1]);"], backend="import matplotlib; matplotlib.get_backend()", interactive="plt.isinteractive()",
    fignums="plt.plot([1]); plt.get_fignums()", closed_after=["plt.plot([1]);", "plt.get_fignums()"],
    print_order="print('a'); plt.plot([1]); print('b')", title="plt.title('ü €'); plt.xlabel('x')", subplots="f, a = plt.subplots(2, 2); a.shape",
    clear="plt.plot([1]); plt.clf()", close_cell="plt.plot([1]); plt.close()", hist="plt.hist([1, 2, 2])", imshow="plt.imshow([[1, 2], [3, 4]])",
    scatter="plt.scatter([1], [2])", animation_repr="from matplotlib.animation import FuncAnimation\nf, a = plt.subplots(); plt.close()",
    metadata="f = plt.figure(figsize=(2, 1)); plt.plot([1]); plt.show()", in_function="def f():\n    plt.plot([1]); plt.show()\n    return 'r'\nf()",
    style="plt.style.use('ggplot'); plt.plot([1]); plt.rcdefaults()", warn="plt.plot([1], label='_x'); plt.legend();",
    many="for i in range(22): plt.figure()\nplt.close('all')",
    update="fig, ax = plt.subplots()\nh = display(fig, display_id=True)\nax.plot([1, 2]); h.update(fig)\nplt.close()",
    pylab=["%pylab inline", "plot([1]);"], figure_repr="fig = plt.figure(); plt.close(fig); repr(fig)", axes_result="plt.gca(); plt.close()",
    latex="plt.title(r'$x^2$');", configure=("from IPython.core.pylabtools import select_figure_formats, print_figure\n"
        "f = plt.figure(); r = print_figure(f, 'png')[:4]; plt.close(f); r"), async_plot="import asyncio\nplt.plot([1])\nawait asyncio.sleep(0)",
    thread_plot="import threading\nplt.plot([1]); t = threading.Thread(target=lambda: None); t.start(); t.join()",
    capture=["fig = plt.figure(); plt.close()"], ion="plt.ioff(); plt.plot([1]); plt.ion()").items()}
PANDAS = dict(  # chkstyle: ignore-node (a table)
    frame="pd.DataFrame({'a': [1, 2], 'b': ['x', None]})", series="pd.Series([1, 2], name='s')",
    index="pd.date_range('2020', periods=3)", big="pd.DataFrame(np.arange(400).reshape(100, 4))", wide="pd.DataFrame(np.arange(100).reshape(2, 50))",
    style="pd.DataFrame({'a': [1]}).style.set_uuid('u').format('{:.1f}')",
    styled_bg="pd.DataFrame({'a': [1, 2]}).style.set_uuid('u').background_gradient()", empty="pd.DataFrame()",
    multi="pd.DataFrame({('a', 'b'): [1]})", categorical="pd.Categorical(['a', 'b'])", info="pd.DataFrame({'a': [1]}).info()",
    describe="pd.DataFrame({'a': [1, 2]}).describe()", groupby="type(pd.DataFrame({'a': [1]}).groupby('a')).__name__",
    display="display(pd.DataFrame({'a': [1]}), pd.Series([1]))",
    options="with pd.option_context('display.max_rows', 4): display(pd.DataFrame({'a': range(10)}))",
    html_off="with pd.option_context('display.notebook_repr_html', False): display(pd.DataFrame({'a': [1]}))",
    schema="with pd.option_context('display.html.table_schema', True): display(pd.DataFrame({'a': [1]}))", key_error="pd.DataFrame({'a': [1]})['zz']",
    warn="s = pd.Series([1]); s.iloc[0] = 2; s", unicode="pd.DataFrame({'ü': ['€']})", plot="pd.DataFrame({'a': [1, 2]}).plot()",
    timedelta="pd.Timedelta('1d')", na="pd.NA, pd.NaT", to_html="print(pd.DataFrame({'a': [1]}).to_html())",
    complete="pd.DataFrame({'alpha': [1]}).columns")

CELLS = dict(plot_silent=[cell(M + "plt.plot([1])", silent=True), "plt.get_fignums()"],
    plot_no_store=probe(cell(M + "plt.plot([1]);", store_history=False), but=COUNT))

probes = CELLS | {f"plot_{k}": v for k,v in PLOTS.items()} | {f"pandas_{k}": P + v for k,v in PANDAS.items()}
