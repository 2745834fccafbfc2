"""Whole kernel: comm_open, comm_msg, comm_close and comm_info in both directions, with buffers.
Spec: messaging (custom messages): no reply, but a bracket; an unknown target is answered with comm_close."""
import uuid

from harness import kind

TARGET = """from comm import get_comm_manager
seen = []
def on_target(comm, msg):
    def on_msg(m):
        seen.append(m["content"]["data"])
        print("got", m["content"]["data"])
        comm.send(dict(echo=m["content"]["data"]), buffers=[bytes(b)[::-1] for b in m["buffers"]])
    comm.on_msg(on_msg)
    comm.on_close(lambda m: seen.append("closed"))
    seen.append(msg["content"]["data"])
    comm.send(dict(hello=1), metadata=dict(m=2))
get_comm_manager().register_target("echo", on_target)"""


REGISTER = "from comm import get_comm_manager\n"
CREATE = "from comm import create_comm\n"


def wait_bracket(k, run):
    "A comm message has no reply: wait for its idle."
    k.pump(lambda: run.end, 10, "the idle of a comm message")
    assert run.reply is None
    assert (run.kinds[0], run.kinds[-1], run.kinds.count("busy"), run.kinds.count("idle")) == ("busy", "idle", 1, 1)
    return run


def comm(k, msg_type, buffers=None, channel="shell", **content): return wait_bracket(k, k.send(msg_type, content, channel, buffers=buffers))


def opened(k, target="echo", **data):
    k.execute(TARGET).ok()
    cid = uuid.uuid4().hex
    return cid, comm(k, "comm_open", comm_id=cid, target_name=target, data=data)


def infos(k, **content): return k.request("comm_info_request", content).ok().content["comms"]


def test_open_from_the_client(kernel):
    cid, run = opened(kernel, first=1)
    assert run.outputs[0]["content"] == dict(comm_id=cid, data=dict(hello=1)) and run.outputs[0]["metadata"] == dict(m=2)
    assert kernel.execute("seen").ok().result == "[{'first': 1}]"


def test_msg_and_output(kernel):
    "A handler's prints and messages belong to the comm_msg, with buffers kept; text is not cut by comm messages, which may be sent before it."
    cid, _ = opened(kernel)
    run = comm(kernel, "comm_msg", comm_id=cid, data=dict(a=[1, None]), buffers=[b"abc", b"", b"\x00\xff"])
    assert sorted(kind(m) for m in run.outputs) == ["comm_msg", "stream"] and run.stdout == "got {'a': [1, None]}\n"
    echo = next(m for m in run.outputs if kind(m) == "comm_msg")
    assert echo["content"]["data"] == dict(echo=dict(a=[1, None])) and [bytes(b) for b in echo["buffers"]] == [b"cba", b"", b"\xff\x00"]


def test_big_buffers(kernel):
    cid, _ = opened(kernel)
    data = bytes(range(256)) * 4096 * 8
    run = comm(kernel, "comm_msg", comm_id=cid, data={}, buffers=[data])
    assert bytes(run.outputs[-1]["buffers"][0]) == data[::-1]


def test_unknown_target(kernel):
    "The other side is told at once that its comm is closed; the error is told too."
    cid = uuid.uuid4().hex
    run = comm(kernel, "comm_open", comm_id=cid, target_name="no such target", data={})
    assert [m["content"]["comm_id"] for m in run.outputs if kind(m) == "comm_close"] == [cid]
    assert cid not in infos(kernel)


def test_unknown_comm(kernel):
    "Messages for a comm that is not there do nothing but go busy and idle."
    for t in ("comm_msg", "comm_close"): comm(kernel, t, comm_id="no such comm", data={})
    assert kernel.execute("1 + 1").ok().result == "2"


def test_close_from_the_client(kernel):
    cid, _ = opened(kernel)
    assert cid in infos(kernel)
    comm(kernel, "comm_close", comm_id=cid, data={})
    assert cid not in infos(kernel) and kernel.execute("seen[-1]").ok().result == "'closed'"


def test_handler_that_fails(kernel):
    "An error in a handler is told, and neither comm nor kernel suffers."
    kernel.execute(REGISTER + "get_comm_manager().register_target('bad', lambda comm, msg: comm.on_msg(lambda m: 1/0))").ok()
    cid = uuid.uuid4().hex
    comm(kernel, "comm_open", comm_id=cid, target_name="bad", data={})
    run = comm(kernel, "comm_msg", comm_id=cid, data={})
    assert "ZeroDivisionError" in run.stderr + str(run.error)
    assert cid in infos(kernel)


def test_target_that_fails(kernel):
    "A target that raises while opening closes the comm."
    kernel.execute(REGISTER + "get_comm_manager().register_target('worse', lambda comm, msg: 1/0)").ok()
    cid = uuid.uuid4().hex
    run = comm(kernel, "comm_open", comm_id=cid, target_name="worse", data={})
    assert "comm_close" in run.kinds and cid not in infos(kernel)


def test_open_from_the_kernel(kernel):
    run = kernel.execute(CREATE + "c = create_comm(target_name='ours', data=dict(a=1), metadata=dict(b=2), buffers=[b'xy'])\nprint(c.comm_id)").ok()
    msg = run.outputs[0]
    cid = run.stdout.strip()
    assert kind(msg) == "comm_open" and (msg["content"]["comm_id"], msg["content"]["target_name"], msg["content"]["data"]) == (cid, "ours", dict(a=1))
    assert msg["metadata"]["b"] == 2 and [bytes(b) for b in msg["buffers"]] == [b"xy"]
    assert infos(kernel)[cid] == dict(target_name="ours") and cid in infos(kernel, target_name="ours") and infos(kernel, target_name="others") == {}
    got = kernel.execute("got = []\nc.on_msg(lambda m: got.append((m['content']['data'], [bytes(b) for b in m['buffers']])))\nc.send(dict(x=1))").ok()
    assert got.of("comm_msg") == [dict(comm_id=cid, data=dict(x=1))]
    comm(kernel, "comm_msg", comm_id=cid, data=dict(y=2), buffers=[b"in"])
    assert kernel.execute("got").ok().result == "[({'y': 2}, [b'in'])]"
    assert kernel.execute("c.close()").ok().of("comm_close")[0]["comm_id"] == cid
    assert cid not in infos(kernel)


def test_unserialisable_data(kernel):
    "What JSON cannot hold does not lose the message, nor stop what follows."
    odd = "(float('nan'), b'bytes', datetime.datetime(2026, 1, 2), {1: 2}, object)"
    run = kernel.execute(CREATE + f"import datetime\nc = create_comm(target_name='odd', data={{}})\nfor d in {odd}: c.send(dict(d=d))\nc.close()").ok()
    assert len(run.of("comm_msg")) == 5 and len(run.of("comm_close")) == 1


def test_buffers_of_all_kinds(kernel):
    buffers = "[b'a', bytearray(b'b'), memoryview(b'cd')[1:], array.array('i', [1])]"
    code = f"import array\nc = create_comm(target_name='b', data={{}})\nc.send({{}}, buffers={buffers})"
    sent = [m for m in kernel.execute(CREATE + code).ok().outputs if kind(m) == "comm_msg"][0]
    assert [bytes(b) for b in sent["buffers"]] == [b"a", b"b", b"d", b"\x01\x00\x00\x00"]


def test_widget(kernel):
    "An ipywidgets slider: its models are comms, and a frontend's update reaches its callback."
    code = "import ipywidgets as w\ns = w.IntSlider(value=3)\ns.observe(lambda c: print('moved to', c.new), 'value')\ndisplay(s)\nprint(s.model_id)"
    run = kernel.execute(code).ok()
    assert len(run.of("comm_open")) == 3 and all(c["target_name"] == "jupyter.widget" for c in run.of("comm_open"))
    cid = run.stdout.strip()
    assert run.of("display_data")[0]["data"]["application/vnd.jupyter.widget-view+json"]["model_id"] == cid
    moved = comm(kernel, "comm_msg", comm_id=cid, data=dict(method="update", state=dict(value=7), buffer_paths=[]))
    assert moved.stdout == "moved to 7\n" and kernel.execute("s.value").ok().result == "7"


def test_comm_while_awaiting(kernel):
    "A comm message is handled while a cell awaits, and belongs to itself."
    cid, _ = opened(kernel)
    code = "import asyncio\nfor _ in range(400):\n    if {'while': 'awaiting'} in seen: break\n    await asyncio.sleep(0.01)\nprint('ended', len(seen))"
    run = kernel.execute(code, wait=False)
    kernel.pump(lambda: "execute_input" in run.kinds, 5, "the cell to run")
    during = comm(kernel, "comm_msg", comm_id=cid, data={"while": "awaiting"})
    kernel.wait(run).ok()
    assert run.stdout == "ended 2\n" and during.stdout == "got {'while': 'awaiting'}\n"


def test_no_input(kernel):
    "A comm's callback cannot ask: clients show questions of cells only, and the kernel would wait for ever."
    kernel.execute(REGISTER + "def target(comm, msg): input('? ')\nget_comm_manager().register_target('asks', target)", answers=[]).ok()
    run = comm(kernel, "comm_open", comm_id=uuid.uuid4().hex, target_name="asks", data={})
    assert "StdinNotImplementedError" in run.stderr and not run.asked
