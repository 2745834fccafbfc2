"Comms in both directions, and ipywidgets."
from steps import comm_close, comm_msg, comm_open, probe, raw

K = "from comm import create_comm, get_comm_manager\n"
T = K + """got = []
def target(c, msg):
    got.append(('open', msg['content']['data'], c.comm_id))
    c.on_msg(lambda m: got.append(('msg', m['content']['data'], [bytes(b) for b in m['buffers']])))
    c.on_close(lambda m: got.append(('close', m['content']['data'])))
get_comm_manager().register_target('t', target)"""
E = T.replace("got.append(('open'", "c.send({'echo': msg['content']['data']}, buffers=[b'xyz']); print('opened'); got.append(('open'")

COMMS = dict(open=K + "c = create_comm(target_name='front', data={'a': 1})", open_buffers=K +
    "c = create_comm(target_name='front', data={'a': 1}, metadata={'m': 2}, buffers=[b'abc', b''])",
    open_id=K + "c = create_comm(target_name='front', comm_id='mine'); c.comm_id", send=[K + "c = create_comm(target_name='front')",
        "c.send({'x': [1, None]})", "c.send('text', metadata={'k': 1}, buffers=[b'1', bytearray(b'2'), memoryview(b'3')])", "c.close({'bye': 1})"],
    send_nothing=[K + "c = create_comm(target_name='front')", "c.send()"],
    close_twice=[K + "c = create_comm(target_name='front')", "c.close(); c.close()"],
    delete=[K + "c = create_comm(target_name='front')", "del c", "1"],
    send_closed=[K + "c = create_comm(target_name='front'); c.close()", "c.send(1)"], from_front=[T, comm_open("t", "f1", {"a": 1}),
        comm_msg("f1", {"b": 2}, buffers=[b"buf"]), comm_close("f1", {"c": 3}), "got"],
    echo=[E, comm_open("t", "f2", {"a": 1}), comm_msg("f2", {"x": 1}), comm_close("f2")], unknown=probe(comm_open("no_such_target", "f3"),
        comm_msg("no-such-comm"), comm_close("no-such-comm")), callback_prints=[K +
            ("def target(c, msg): c.on_msg(lambda m: print('msg', m['content']['data']))\n" "get_comm_manager().register_target('p', target)"),
            comm_open("p", "f4"), comm_msg("f4", "data"), comm_close("f4")], callback_displays=[K +
                "def target(c, msg): c.on_msg(lambda m: display('shown'))\nget_comm_manager().register_target('d', target)", comm_open("d", "f5"),
                comm_msg("f5"), comm_close("f5")], callback_raises=probe(K +
                    "def target(c, msg): c.on_msg(lambda m: 1/0)\nget_comm_manager().register_target('r', target)", comm_open("r", "f6"),
                    comm_msg("f6"), comm_close("f6"), "1"), target_raises=probe(K +
                        "def target(c, msg): raise ValueError('target')\nget_comm_manager().register_target('tr', target)", comm_open("tr", "f7")),
    comm_info=[T, comm_open("t", "f8"), raw("comm_info_request"), raw("comm_info_request", target_name="t"),
        raw("comm_info_request", target_name="none"), comm_close("f8"), raw("comm_info_request", target_name="t")],
    info_own=[K + "c = create_comm(target_name='front9', comm_id='own9')", raw("comm_info_request", target_name="front9"), "c.close()"],
    on_msg_own=[K + ("c = create_comm(target_name='front', comm_id='own1')\n" "c.on_msg(lambda m: c.send({'again': m['content']['data']}))"),
        comm_msg("own1", {"q": 1}), "c.close()"], msg_keys=[K +
            ("def target(c, msg): print(sorted(msg), sorted(msg['content']), msg['metadata'], msg['buffers'])\n"
                "get_comm_manager().register_target('k', target)"), comm_open("k", "f10", metadata=dict(meta=1), buffers=[b"b"]), comm_close("f10")],
    manager="from comm import get_comm_manager\nget_ipython().kernel.comm_manager is get_comm_manager()",
    register_twice=[T, T, comm_open("t", "f11"), "len(got)", comm_close("f11")], unregister=[T, "get_comm_manager().unregister_target('t', target)"],
    in_thread=[K + ("import threading\ndef f():\n    c = create_comm(target_name='front'); c.send(1); c.close()\n"
        "t = threading.Thread(target=f); t.start(); t.join()")], comm_class=("from comm.base_comm import BaseComm; from comm import create_comm\n"
            "c = create_comm(target_name='x'); isinstance(c, BaseComm), c.primary, c.target_name"),
    not_json=K + "c = create_comm(target_name='x')\nc.send({'d': 1.5, 't': (1, 2), 'n': None})",
    target_name_string=[K + "get_comm_manager().register_target('imported', 'os.getcwd')", "get_comm_manager().unregister_target('imported', None)"],
    msg_order=[K + "def target(c, msg):\n    for i in range(5): c.send(i)\nget_comm_manager().register_target('o', target)", comm_open("o", "f13"),
        comm_close("f13")], open_in_error=K + "c = create_comm(target_name='x')\n1/0",
    big_buffer=K + "c = create_comm(target_name='x', buffers=[b'x' * 200_000])", numpy_buffer=K +
    "import numpy as np\nc = create_comm(target_name='x', buffers=[np.arange(3, dtype='u1')])",
    ipykernel_comm=("import warnings; warnings.simplefilter('ignore')\nfrom ipykernel.comm import Comm\n"
        "c = Comm(target_name='old', data={'a': 1}); c.send(2); c.close()"))

W = "import ipywidgets as w\n"
WIDGETS = {k: ([W + v[0], *v[1:]] if isinstance(v, list) else W + v) for k,v in dict(slider="w.IntSlider(value=3)",
    slider_set=["s = w.IntSlider()", "s.value = 7", "s.value"], button="w.Button(description='b')", html="w.HTML('<b>x</b>')", text="w.Text('t')",
    checkbox="w.Checkbox(True)", dropdown="w.Dropdown(options=['a', 'b'])", hbox="w.HBox([w.Label('a'), w.Label('b')])",
    tab="t = w.Tab([w.Label('x')]); t.set_title(0, 'T'); t", display="display(w.Label('x'))",
    observe=["s = w.IntSlider()\ns.observe(lambda c: print(c['old'], c['new']), 'value')", "s.value = 4"],
    link="a = w.IntSlider(); b = w.IntSlider()\nl = w.link((a, 'value'), (b, 'value'))\na.value = 5\nb.value",
    jslink="a = w.IntSlider(); b = w.IntSlider()\nw.jslink((a, 'value'), (b, 'value'))",
    output=["o = w.Output()\no", "with o: print('in output'); display(5)", "o.outputs"], output_append=["o = w.Output()",
        "o.append_stdout('a\\n'); o.append_display_data(5); o.append_stderr('e')", "o.outputs", "o.clear_output()", "o.outputs"],
    output_error=["o = w.Output()", "with o: 1/0", "'on'"], output_decorator=["o = w.Output()", "@o.capture()\ndef f(): print('captured')\nf()"],
    interact=["@w.interact(x=(0, 5))\ndef f(x=2): print('x is', x); return x * 2"],
    interactive=["i = w.interactive(lambda a: a + 1, a=(0, 3))", "i.children[0].value = 2", "i.result"],
    interact_fixed="w.interact(lambda a, b: (a, b), a=True, b=w.fixed(3))", progress="p = w.IntProgress(max=3)\nfor i in range(3): p.value = i\np",
    image="w.Image(value=b'png', format='png')", file_upload="w.FileUpload()", color="w.ColorPicker(value='red')",
    date="import datetime; w.DatePicker(value=datetime.date(2020, 1, 1))", play="w.Play()", accordion="w.Accordion([w.Label('a')], titles=('t',))",
    grid="w.GridBox([w.Label('a')], layout=w.Layout(grid_template_columns='1fr 1fr'))",
    layout="w.Button(layout=w.Layout(width='50px'), style={'button_color': 'red'})", validate="s = w.IntSlider(max=5); s.value = 9; s.value",
    wrong="w.IntSlider(value='x')", repr="print(w.IntSlider(value=2))", close=["b = w.Button()", "b.close()", "b"],
    close_all=["w.Widget.close_all()"], send="b = w.Button(); b.send({'custom': 1}, buffers=[b'x'])",
    hold="s = w.IntSlider()\nwith s.hold_sync():\n    s.value = 1; s.value = 2",
    hold_trait="s = w.IntRangeSlider()\nwith s.hold_trait_notifications(): s.value = (1, 2)",
    selection="w.SelectMultiple(options=range(3), value=[1])", valid="w.Valid(True)", controller="w.Controller()",
    tqdm="from tqdm.notebook import tqdm\nfor i in tqdm(range(3), mininterval=0): pass",
    box_children="b = w.VBox(); b.children = [w.Label('new')]; b", state="sorted(w.IntSlider().get_state())[:5]").items()}
FRONT = dict(click=[W + "b = w.Button()\nb.on_click(lambda b: print('clicked'))\nb.comm.comm_id = b.comm.comm_id",
    ("from comm import get_comm_manager\n" "old = b.comm.comm_id; get_comm_manager().comms['btn1'] = get_comm_manager().comms.pop(old); 1"),
    comm_msg("btn1", dict(method="custom", content=dict(event="click")))], click_error=probe(W + "b = w.Button()\nb.on_click(lambda b: 1/0)",
        "from comm import get_comm_manager\nget_comm_manager().comms['btn2'] = b.comm; 1",
        comm_msg("btn2", dict(method="custom", content=dict(event="click")))),
    update_front=[W + "s = w.IntSlider()\ns.observe(lambda c: print('moved to', c['new']), 'value')",
        "from comm import get_comm_manager\nget_comm_manager().comms['sl1'] = s.comm; 1",
        comm_msg("sl1", dict(method="update", state=dict(value=42), buffer_paths=[])), "s.value"], update_wrong=probe(W + "s = w.IntSlider()",
            "from comm import get_comm_manager\nget_comm_manager().comms['sl2'] = s.comm; 1",
            comm_msg("sl2", dict(method="update", state=dict(value="wrong"), buffer_paths=[])), "s.value"), request_state=[W + "s = w.IntSlider()",
                "from comm import get_comm_manager\nget_comm_manager().comms['sl3'] = s.comm; 1", comm_msg("sl3", dict(method="request_state"))],
    request_states=[W + "w.Widget.close_all()", comm_open("jupyter.widget.control", "ctl1", dict(), metadata=dict(version="1.0.0")),
        comm_msg("ctl1", dict(method="request_states"))],
    output_click=[W + "o = w.Output(); b = w.Button()\n@b.on_click\ndef f(b):\n    with o: print('in o')",
        "from comm import get_comm_manager\nget_comm_manager().comms['btn3'] = b.comm; 1",
        comm_msg("btn3", dict(method="custom", content=dict(event="click"))), "o.outputs"],
    interact_front=[W + "i = w.interactive(lambda a: print('a', a), a=(0, 9)); i.children[0].value",
        "from comm import get_comm_manager\nget_comm_manager().comms['in1'] = i.children[0].comm; 1",
        comm_msg("in1", dict(method="update", state=dict(value=7), buffer_paths=[]))])

def targets(name, body): return f"{K}def target(c, msg): {body}\nget_comm_manager().register_target('{name}', target)"


COMMS |= dict(close_raises=[targets("cr", "c.on_close(lambda m: 1/0)"), comm_open("cr", "f14"), comm_close("f14"), "len(get_comm_manager().comms)"],
    own_callback_raises=[K + "c = create_comm(target_name='front', comm_id='own2')\nc.on_msg(lambda m: {}['no'])",
        comm_msg("own2", {"q": 1}, buffers=[b"x"]), "c.close()"],
    front_buffers=[targets("fb", "c.on_msg(lambda m: c.send(len(m['buffers']), buffers=m['buffers']))"), comm_open("fb", "f15", buffers=[b"open"]),
        comm_msg("f15", buffers=[b"", b"ab", bytes(range(256))]), comm_close("f15", buffers=[b"bye"])],
    callback_exec=[targets("ce", "c.on_msg(lambda m: get_ipython().run_cell('print(5); 6'))"), comm_open("ce", "f17"), comm_msg("f17"), comm_close("f17"), "1"],
    callback_state=["n = 0\ndef more(m):\n    global n\n    n += m['content']['data']", targets("cs", "c.on_msg(more)"),
        comm_open("cs", "f18"), comm_msg("f18", 2), comm_msg("f18", 3), "n", comm_close("f18")],
    info_no_target=raw("comm_info_request", target_name=""),
    metadata_front=[T, comm_open("t", "f19", metadata=dict(a=1)), comm_msg("f19", {"b": 2}, metadata=dict(c=3)), "got", comm_close("f19")],
    same_id_twice=[T, comm_open("t", "f20"), comm_open("t", "f20"), comm_msg("f20", 1), "got", comm_close("f20")])
WIDGETS |= {k: [W + v[0], *v[1:]] if isinstance(v, list) else W + v for k,v in dict(interact_manual="w.interact_manual(lambda a: print(a), a=(0, 3))",
    output_wait=["o = w.Output()",
        "with o:\n    print(1)\n    from IPython.display import clear_output\n    clear_output(wait=True)\n    print(2)", "o.outputs"],
    output_nested=["a, b = w.Output(), w.Output()", "with a:\n    print('a')\n    with b: print('b')\n    print('a again')", "a.outputs, b.outputs"],
    output_err=["import sys\no = w.Output()", "with o: print('e', file=sys.stderr)", "o.outputs"],
    output_result=["o = w.Output()", "with o:\n    5", "o.outputs"],
    output_thread=["import threading\no = w.Output()",
        "def f():\n    o.append_stdout('from a thread')\nt = threading.Thread(target=f); t.start(); t.join()", "o.outputs"],
    output_plot=["import matplotlib.pyplot as plt\no = w.Output()", "with o:\n    plt.plot([1]); plt.show()", "len(o.outputs)"],
    button_programmatic="b = w.Button()\nb.on_click(lambda b: print('by code'))\nb.click()",
    observe_error="s = w.IntSlider()\ns.observe(lambda c: 1/0, 'value')\ns.value = 3",
    observe_display="s = w.IntSlider()\ns.observe(lambda c: display(c['new']), 'value')\ns.value = 3",
    own_class="from traitlets import Unicode\nclass M(w.DOMWidget):\n    _view_name = Unicode('V').tag(sync=True)\nM()",
    interact_error="@w.interact(x=(0, 3))\ndef f(x): 1/0", interactive_output="s = w.IntSlider(3)\nw.interactive_output(lambda x: print('x', x), dict(x=s))",
    bytes_trait="i = w.Image(value=b'a'); i.value = b'bc'").items()}

probes = COMMS | {f"widget_{k}": v for k,v in WIDGETS.items()} | {f"front_{k}": v for k,v in FRONT.items()}
