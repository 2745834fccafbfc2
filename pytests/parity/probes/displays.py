"display(), the display classes, repr methods, mime bundles, updates and clear_output."
from steps import SHOWN_ERROR, all_but, cell

PNG = "import base64\npng = base64.b64decode('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==')\n"
D = "from IPython.display import *\n"


def shown(code): return D + code


CLASSES = {k: shown(v) for k,v in dict(html="HTML('<b>x</b>')", html_display="display(HTML('<b>x</b>'))", markdown="Markdown('**x**')",
    latex="Latex(r'$x$')", math="Math(r'x^2')", svg="SVG('<svg></svg>')", javascript="Javascript('1 + 1')",
    javascript_lib="Javascript('1', lib=['https://a.b/c.js'], css=['https://a.b/c.css'])", json="JSON(dict(a=[1]))",
    json_root="JSON(dict(a=1), expanded=True, root='r')", geojson="GeoJSON(dict(type='Point', coordinates=[0, 0]))",
    geojson_layers="GeoJSON(dict(type='Point'), url_template='u', layer_options=dict(a=1))", pretty="Pretty('plain')",
    iframe="IFrame('https://a.b', 10, 20, x=1)", iframe_extras="IFrame('https://a.b', 10, 20, extras=['loading=lazy'])",
    code="Code('x = 1', language='python')", code_repr="print(repr(Code('x = 1', language='python')))", progress="ProgressBar(4)",
    progress_html="ProgressBar(4)._repr_html_()", text_display="TextDisplayObject('x')", html_warn="HTML('<iframe src=x></iframe>')",
    data_type="HTML(1)", metadata="HTML('x', metadata=dict(a=1))", youtube="YouTubeVideo('abc', start=3, allow_autoplay=True)",
    vimeo="VimeoVideo('1')", scribd="ScribdDocument('1')", audio="import numpy as np\nAudio(np.zeros(8), rate=8)",
    audio_url="Audio(url='https://a.b/c.wav')", audio_wrong="Audio([1.0, 2.0])", video_url="Video('https://a.b/c.mp4')",
    video_embed="Video(b'abc', embed=True, mimetype='video/mp4', width=3)", video_missing="Video('/none.mp4', embed=True)",
    filelink="open('f.txt', 'w').close(); FileLink('f.txt')", filelink_missing="FileLink('none.txt')",
    filelinks="import os; os.makedirs('d', exist_ok=True); open('d/f.txt', 'w').close(); FileLinks('d')", image_url="Image(url='https://a.b/c.png')",
    image_missing="Image('/none.png')", image_svg_wrong="Image('x.svg')", file_html="open('f.html', 'w').write('<i>f</i>')\nHTML(filename='f.html')").items()}

IMAGES = {k: PNG + shown(v) for k,v in dict(image="Image(png)", image_size="Image(png, width=10, height=20)", image_retina="Image(png, retina=True)",
    image_meta="Image(png, metadata=dict(a=1), alt='alt')", image_unconfined="Image(png, unconfined=True)",
    image_html="Image(png, embed=False, url='u')._repr_html_()", display_png="display_png(png, raw=True)",
    image_file="open('i.png', 'wb').write(png)\nImage('i.png')", image_format="Image(png, format='png')", image_bad="Image(b'nothing')",
    image_display="display(Image(png), Image(png))").items()}

CALLS = {k: shown(v) for k,v in dict(nothing="display()", none="display(None)", many="display(1, 'a', [2])", result="display(1)\n2",
    raw="display({'text/plain': 'raw', 'text/html': '<b>raw</b>'}, raw=True)",
    raw_metadata="display({'text/plain': 'x'}, metadata={'text/plain': {'a': 1}}, raw=True)", raw_wrong="display('x', raw=True)",
    raw_json="display({'application/json': {'a': [1, None]}}, raw=True)",
    raw_custom="display({'application/x.custom+json': {'a': 1}, 'text/plain': 'p'}, raw=True)", raw_bytes="display({'image/png': b'abc'}, raw=True)",
    raw_empty="display({}, raw=True)", include="display(HTML('x'), include=['text/plain'])", include_none="display(HTML('x'), include=['image/png'])",
    exclude="display(HTML('x'), exclude=['text/plain'])", exclude_all="display(1, exclude=['text/plain'])",
    metadata="display(HTML('x'), metadata={'text/html': {'isolated': True}})", transient="display(1, transient={'a': 1})",
    transient_id="display(1, transient={'display_id': 'x'})", display_id="display(1, display_id='one')",
    display_id_true="h = display(1, display_id=True)\nh.update(2)\nh.display(3)", handle="h = DisplayHandle('hid')\nh.display('a')\nh.update('b')\nh",
    handle_repr="print(display(1, display_id='x'))", update="display('a', display_id='u')\nupdate_display('b', display_id='u')",
    update_unknown="update_display('b', display_id='new')", update_true="display('b', display_id='z', update=True)",
    update_without="display('b', update=True)", two_ids="a = display(1, display_id=True); b = display(2, display_id=True)\na.update(3); b.update(4)",
    clear="clear_output()", clear_wait="print('a')\nclear_output(wait=True)\nprint('b')", clear_between="display(1)\nclear_output()\ndisplay(2)",
    clear_many="for i in range(3):\n    clear_output(wait=True)\n    print(i)", publish="publish_display_data({'text/plain': 'p'}, {'a': 1})",
    publish_source="publish_display_data({'text/plain': 'p'}, source='s')",
    publish_transient="publish_display_data({'text/plain': 'p'}, transient={'display_id': 'k'})", publish_wrong="publish_display_data('nothing')",
    publish_empty="publish_display_data({})", publish_update="publish_display_data({'text/plain': 'p'}, transient={'display_id': 'k'}, update=True)",
    display_html="display_html('<b>x</b>', raw=True)", display_html_object="display_html(HTML('x'))",
    display_markdown="display_markdown('**x**', raw=True)", display_svg="display_svg('<svg/>', raw=True)",
    display_latex="display_latex('$x$', raw=True)", display_json="display_json({'a': 1}, raw=True)",
    display_javascript="display_javascript('1', raw=True)", display_pretty="display_pretty('x')", display_jpeg="display_jpeg(b'x', raw=True)",
    display_pdf="display_pdf(b'x', raw=True)", progress_loop="for i in ProgressBar(3): pass",
    progress_set="p = ProgressBar(3)\np.display()\np.progress = 2", set_formats="set_matplotlib_formats", builtin_display="display.__module__",
    text_order="print('a')\ndisplay('b')\nprint('c')\ndisplay('d')",
    err_order="import sys\nprint('a', file=sys.stderr)\ndisplay('b')\nprint('c', file=sys.stderr)", type_="display(int)",
    type_html="class A:\n    def _repr_html_(self): return 'x'\ndisplay(A)", many_displays="for i in range(50): display(i)",
    big="display('x' * 300_000)", kwargs="display(1, foo=2)", in_loop="for o in [1, HTML('a'), 'b']: display(o)",
    in_function="def f():\n    display('in f')\n    return 1\nf()", datetime=("import datetime\n"
        "display({'application/json': {'d': datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)}}, raw=True)"),
    not_json=("display({'application/json': {'a': float('nan')}}, raw=True)\n" "display({'application/json': {'a': object}}, raw=True)"),
    tuple_json="display({'application/json': (1, 2)}, raw=True)", int_keys="display({'application/json': {1: 2}}, raw=True)",
    surrogate="display('\\ud800')", raw_surrogate="display({'text/plain': 'a\\ud800b'}, raw=True)", capture=("with __import__('IPython').utils.capture.capture_output() as c:\n    print('a')\n    display('b')\n"
        "c.show()\nprint(len(c.outputs))")).items()}


def reprs(body): return "class A:\n    def __repr__(self): return 'plain A'\n" + "".join(f"    {line}\n" for line in body.split("\n"))


METHODS = {k: reprs(v) + "A()" for k,v in dict(repr_html="def _repr_html_(self): return '<b>h</b>'",
    repr_markdown="def _repr_markdown_(self): return '**m**'", repr_svg="def _repr_svg_(self): return '<svg/>'",
    repr_latex="def _repr_latex_(self): return '$l$'", repr_json="def _repr_json_(self): return {'a': 1}",
    repr_json_meta="def _repr_json_(self): return {'a': 1}, {'expanded': True}", repr_javascript="def _repr_javascript_(self): return '1'",
    repr_png="def _repr_png_(self): return b'png'", repr_png_text="def _repr_png_(self): return 'cG5n'",
    repr_png_meta="def _repr_png_(self): return b'png', {'width': 3}", repr_jpeg="def _repr_jpeg_(self): return b'jpeg'",
    repr_pdf="def _repr_pdf_(self): return b'pdf'", repr_none="def _repr_html_(self): return None",
    repr_several="def _repr_html_(self): return 'h'\ndef _repr_latex_(self): return '$l$'", repr_wrong_type="def _repr_html_(self): return 5",
    repr_raises="def _repr_html_(self): return 1/0", repr_not_implemented="def _repr_html_(self): raise NotImplementedError",
    repr_several_one_raises="def _repr_html_(self): return 1/0\ndef _repr_latex_(self): return '$l$'",
    plain_raises="def __repr__(self): raise ValueError('no repr')", plain_wrong="def __repr__(self): return 3",
    plain_raises_html="def __repr__(self): raise ValueError('no repr')\ndef _repr_html_(self): return 'h'",
    pretty_raises="def _repr_pretty_(self, p, cycle): 1/0", pretty_group=("def _repr_pretty_(self, p, cycle):\n    with p.group(2, 'A(', ')'):\n"
        "        for i in range(30): p.text(str(i)); p.breakable()"),
    bundle="def _repr_mimebundle_(self, include=None, exclude=None): return {'text/html': 'h', 'text/plain': 'p'}",
    bundle_meta="def _repr_mimebundle_(self, include=None, exclude=None): return {'text/html': 'h'}, {'text/html': {'a': 1}}",
    bundle_kwargs="def _repr_mimebundle_(self, **kw): return {'text/plain': str(sorted(kw))}", bundle_raises="def _repr_mimebundle_(self, **kw): 1/0",
    bundle_none="def _repr_mimebundle_(self, **kw): return None", bundle_bytes="def _repr_mimebundle_(self, **kw): return {'image/png': b'abc'}",
    bundle_empty="def _repr_mimebundle_(self, **kw): return {}",
    bundle_and_html="def _repr_mimebundle_(self, **kw): return {'text/html': 'bundle'}\ndef _repr_html_(self): return 'method'",
    ipython_display="def _ipython_display_(self): print('shown itself')", ipython_display_kw="def _ipython_display_(self, **kw): display('x', **kw)",
    ipython_display_raises="def _ipython_display_(self): 1/0", ipython_display_nested="def _ipython_display_(self): display(1); display(2)",
    getattr_all="def __getattr__(self, name): return 'anything'",
    getattr_callable="def __getattr__(self, name): return lambda *a, **k: 'called ' + name",
    getattr_raises="def __getattr__(self, name): raise RuntimeError(name)",
    lying_class="_ipython_canary_method_should_not_exist_ = 1\ndef _repr_html_(self): return 'h'",
    repr_prints="def _repr_html_(self):\n    print('printed')\n    return 'h'", repr_exits="def _repr_html_(self): raise SystemExit",
    static="@staticmethod\ndef _repr_html_(): return 'static'", repr_str_subclass="def _repr_html_(self): return type('S', (str,), {})('sub')",
    repr_keyboard="def _repr_html_(self): raise KeyboardInterrupt", bundle_not_dict="def _repr_mimebundle_(self, **kw): return 5",
    bundle_display="def _repr_mimebundle_(self, **kw): return {'text/plain': 'p'}\n_repr_html_ = None").items()}

F = "ip = get_ipython(); f = ip.display_formatter.formatters"
FORMATTERS = dict(for_type=[F, "f['text/html'].for_type(int, lambda n: f'<b>{n}</b>')", "5", "f['text/html'].pop(int)", "5"], for_type_plain=[F,
    "f['text/plain'].for_type(dict, lambda d, p, cycle: p.text('a dict'))", "{}", "f['text/plain'].pop(dict)"], for_type_by_name=[F,
        "f['text/html'].for_type_by_name('fractions', 'Fraction', lambda x: 'frac')", "import fractions; fractions.Fraction(1, 2)",
        "_ = f['text/html'].pop('fractions.Fraction', None); f['text/html'].pop(fractions.Fraction, None) is None"], formatter_raises=[F,
            "_ = f['text/html'].for_type(complex, lambda n: 1/0)", "1j", "_ = f['text/html'].pop(complex)"], active_types=[F,
                "ip.display_formatter.active_types", "ip.display_formatter.active_types = ['text/plain']",
                "from IPython.display import HTML; HTML('x')", "ip.display_formatter.active_types = list(f)"],
    format_call=[F, "ip.display_formatter.format([1])"], mimebundle_formatter=[F,
        "ip.display_formatter.mimebundle_formatter.for_type(bytes, lambda o, **kw: {'text/html': 'bytes'})", "b'x'",
        "_ = ip.display_formatter.mimebundle_formatter.pop(bytes)"], ipython_display_formatter=[F,
            "ip.display_formatter.ipython_display_formatter.for_type(bytes, lambda o: print('bytes shown'))", "b'x'",
            "_ = ip.display_formatter.ipython_display_formatter.pop(bytes)"], max_seq=[F, "f['text/plain'].max_seq_length = 3", "list(range(9))",
                "f['text/plain'].max_seq_length = 1000"], updates_other_cell=["h = display('first', display_id='d1')", "h.update('second')",
                    "from IPython.display import update_display\nupdate_display('third', display_id='d1')"],
    hook=[("ip = get_ipython()\nseen = []\ndef hook(msg):\n"
        "    seen.append(msg['header']['msg_type'] if 'header' in msg else msg['msg_type'])\n    return msg\n" "ip.display_pub.register_hook(hook)"),
        "display(1)", "ip.display_pub.unregister_hook(hook), ip.display_pub.unregister_hook(hook), seen"],
    hook_swallows=["ip = get_ipython()\nip.display_pub.register_hook(swallow := lambda msg: None)", "display(1)\n2",
        "ip.display_pub.unregister_hook(swallow)", "display(3)"],
    hook_changes=[("def change(msg):\n    msg['content']['data']['text/plain'] = 'changed'\n    return msg\n"
        "get_ipython().display_pub.register_hook(change)"), "display(1)", "get_ipython().display_pub.unregister_hook(change)"],
    displayhook_type="type(get_ipython().displayhook).__name__, type(get_ipython().display_pub).__name__",
    output_capture=["from IPython.utils.capture import capture_output",
        "with capture_output() as cap:\n    print('a'); display(1); 2\n    import sys; print('e', file=sys.stderr)",
        "cap.stdout, cap.stderr, [o.data for o in cap.outputs]", "cap()", "cap.outputs[0]"],
    redirect_display=[("import io, contextlib\nb = io.StringIO()\nwith contextlib.redirect_stdout(b):\n"
        "    print('in'); display('out')\nb.getvalue()")])

CLASSES |= {k: shown(v) for k,v in dict(object_plain="o = DisplayObject('x')\no", object_reload="o = HTML('<b>1</b>'); o.reload(); o.data",
    object_url="DisplayObject(url='http://127.0.0.1:9/none')", latex_display="display(Latex('$x$'), Math('y'))", pretty_lines="Pretty('a\\nb')",
    svg_wrapped="SVG('<?xml version=\"1.0\"?><g><svg width=\"1\"></svg></g>')", json_text="JSON('[1, 2]')", json_wrong="JSON(5)",
    json_list="JSON([1, None, {'a': True}])",
    code_text="Code('def f(): pass')", code_file="n = open('c.py', 'w').write('x = 1')\nCode(filename='c.py')",
    code_url_lang="Code('SELECT 1', language='sql')",
    audio_bytes="Audio(b'abc', rate=8, embed=True)", audio_autoplay="Audio(url='https://a.b/c.wav', autoplay=True, element_id='one')",
    audio_rate="Audio([0, 1])",
    audio_stereo="import numpy as np\nAudio(np.zeros((2, 4)), rate=8)",
    audio_normalize="import numpy as np\nAudio(np.array([0.5, 1.0]), rate=8, normalize=False)",
    video_attributes="Video('https://a.b/c.mp4', width=1, height=2, html_attributes='loop')", video_base64="Video('YWJj', embed=True)",
    video_file="n = open('v.mp4', 'wb').write(b'abc')\nVideo('v.mp4')",
    filelink_prefix="n = open('g.txt', 'w').close()\nFileLink('g.txt', url_prefix='p/', result_html_prefix='a ', result_html_suffix=' b')",
    filelinks_flat="import os; os.makedirs('e/f', exist_ok=True); open('e/f/g.txt', 'w').close(); FileLinks('e', recursive=False)",
    filelinks_file="FileLinks('none.txt')",
    progress_plain="p = ProgressBar(2)\nprint(p)\nrepr(p)", progress_iter="list(ProgressBar(2))", iframe_src="IFrame('https://a.b?x=1', '100%', 20, y=2)",
    html_url="HTML(url='http://127.0.0.1:9/none')", image_nothing="Image()", javascript_file="n = open('j.js', 'w').write('2')\nJavascript(filename='j.js')",
    markdown_file="n = open('m.md', 'w').write('# M')\nMarkdown(filename='m.md')", text_wrong="TextDisplayObject(5)",
    handle_update_raw="h = DisplayHandle()\nh.display({'text/plain': 'a'}, raw=True)\nh.update({'text/plain': 'b'}, raw=True)").items()}
METHODS["failing_repr"] = METHODS["repr_raises"]
all_but(SHOWN_ERROR, CLASSES, "image_missing", "image_svg_wrong")
all_but(SHOWN_ERROR, METHODS, "repr_raises", "repr_several_one_raises", "plain_raises", "plain_wrong", "plain_raises_html", "pretty_raises", "bundle_raises",
    "ipython_display_raises")
all_but(SHOWN_ERROR, FORMATTERS, "formatter_raises")

probes = CLASSES | IMAGES | {f"call_{k}": v for k,v in CALLS.items()} | METHODS | FORMATTERS
probes["cell_update"] = ["display(1, display_id='a')", cell("from IPython.display import update_display; update_display(2, display_id='a')", silent=True)]
