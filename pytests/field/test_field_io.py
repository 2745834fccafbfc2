"""Field: what clients send and threads print does not end io, and does not hold it up; text is not cut into more pieces than needed.
Reports of `print('.', end='')` in a thread, of requests with odd headers, of floods, of progress bars that leave thirty outputs. Spec: messaging."""
import json, socket, subprocess, sys, threading, time

import pytest

from harness import NO_THREADS, THREADS_AGAIN, TIMEOUT, RawClient, kind, raw_client, slack, started


# --- text of several threads

PARTIAL = """import sys, time, threading
def write():
    sys.stdout.write('abc')
    time.sleep(.2)
t = threading.Thread(target=write)
t.start()
time.sleep(.0005)
print('line')
t.join()"""


def test_a_partial_line_of_a_thread(kernel):
    "It is set aside while main prints, and leaves when nothing follows it."
    for _ in range(5): assert sorted(kernel.execute(PARTIAL).ok().stdout.replace("abc", "abc\n").split()) == ["abc", "line"]


def test_dots_of_a_pool(kernel):
    "As of a progress display: dots from threads, lines from main."
    code = """from concurrent.futures import ThreadPoolExecutor
import time
with ThreadPoolExecutor(4) as pool:
    jobs = [pool.submit(lambda: (print('.', end=''), time.sleep(.001))) for _ in range(200)]
    for i in range(100): print('line', i)"""
    text = kernel.execute(code).ok().stdout
    assert text.count(".") == 200 and text.count("line") == 100


def test_partial_lines_of_two_streams_and_of_c(kernel):
    code = """import os, sys, threading, time
def write(f, n):
    for _ in range(n):
        f.write('x')
        time.sleep(.002)
ts = [threading.Thread(target=write, args=(f, 50)) for f in (sys.stdout, sys.stderr, sys.stdout)]
for t in ts: t.start()
for i in range(50):
    os.write(1, b'c')
    print('main', file=sys.stderr)
    time.sleep(.002)
for t in ts: t.join()"""
    run = kernel.execute(code).ok()
    assert (run.stdout.count("x"), run.stdout.count("c"), run.stderr.count("x"), run.stderr.count("main")) == (100, 50, 50, 50)


# --- requests with odd headers, metadata and contents

def answer(raw, channel, frames):
    "(content of the reply, iopub's types) of a request that the checker would refuse, as its header comes back as the parent's."
    mid, found = json.loads(frames[2])["msg_id"], {channel: [], "iopub": []}
    raw.send_frames(channel, frames)
    for c in found:
        while not found[c] or (c == "iopub" and found[c][-1]["content"].get("execution_state") != "idle"):
            assert raw.sockets[c].poll(TIMEOUT*1000), f"nothing on {c}"
            parts = [json.loads(f) for f in raw.sockets[c].recv_multipart()[-4:]]
            if parts[1].get("msg_id") == mid: found[c].append(dict(type=parts[0]["msg_type"], content=parts[3]))
    return found[channel][0]["content"], [m["type"] for m in found["iopub"]]


@pytest.fixture(scope="module")
def bare():
    "A client of bare frames on a kernel whose checking client looks away."
    with started() as k:
        k.execute("1").ok()  # a kernel that still starts answers kernel_info whatever the subshell
        with raw_client(k.km.connection_file) as c: yield c


ODD = [1, 1.5, True, [], [1], {}, dict(a=1), "gone", "", [["deep"]]]


@pytest.mark.parametrize("msg_type,content", [("execute_request", dict(code="1")), ("complete_request", dict(code="pri", cursor_pos=3)), ("comm_info_request", {}),
    ("kernel_info_request", {}), ("no_such_request", {})])
def test_odd_subshell_ids(bare, msg_type, content):
    "A subshell of that name is not there: an error reply with its bracket."
    for odd in ODD:
        reply,iopub = answer(bare, "shell", bare.frames(msg_type, content, bare.header(msg_type, subshell_id=odd)))
        assert reply["status"] == "error" and reply["ename"] == "UnknownSubshellError" and iopub == ["status", "status"]


@pytest.mark.parametrize("msg_type,content", [("execute_request", dict(code="1")), ("complete_request", dict(code="pri", cursor_pos=3)), ("execute_request", dict(code="%%subshell\n1"))])
def test_odd_sessions(bare, msg_type, content):
    "Whatever a client calls its session, it is served."
    for odd in [*ODD, None]:
        assert answer(bare, "shell", bare.frames(msg_type, content, bare.header(msg_type, session=odd)))[0]["status"] == "ok"


@pytest.mark.parametrize("part", [1, 2, 3], ids=["parent_header", "metadata", "content"])
@pytest.mark.parametrize("odd", [[], [1], 1, "text", None, True], ids=str)
@pytest.mark.parametrize("channel", ["shell", "control"])
def test_parts_that_are_no_objects(kernel, raw, channel, part, odd):
    "The message is genuine: it is answered with what is wrong."
    parts = [json.dumps(o).encode() for o in (raw.header("kernel_info_request"), {}, {}, {})]
    parts[part] = json.dumps(odd).encode()
    reply,iopub = raw.request(channel, raw.frames("kernel_info_request", parts=parts))
    assert reply["content"]["status"] == "error" and "no object" in reply["content"]["evalue"]
    assert [kind(m) for m in iopub] == ["busy", "idle"]


@pytest.mark.parametrize("channel", ["shell", "control", "stdin"])
def test_odd_debug_and_stdin_messages(kernel, raw, channel):
    "Unhashable commands, values and parents, where a set or a dict could be asked for them."
    for content in (dict(command=[1], arguments=[]), dict(command={}, seq=[]), dict(value=[1]), dict(value={}), []):
        for msg_type in ("debug_request", "input_reply"):
            parts = [json.dumps(o).encode() for o in (raw.header(msg_type), dict(msg_id=[1], msg_type={}), {}, content)]
            raw.send_frames(channel, raw.frames(msg_type, parts=parts))
    while raw.recv(channel, 0.2): pass
    assert kernel.execute("1").ok().result == "1"


# --- floods

def control_beside(kernel, flood, n=10):
    "The median round trip of `n` kernel_info requests on control while `flood()` is called again and again on another thread."
    done = threading.Event()
    def run():
        while not done.is_set(): flood()
    t = threading.Thread(target=run, daemon=True)
    t.start()
    try:
        took = []
        time.sleep(0.2)  # until there is a flood
        for _ in range(n):
            began = time.monotonic()
            kernel.request("kernel_info_request", channel="control").ok()
            took.append(time.monotonic() - began)
        return sorted(took)[n//2]
    finally:
        done.set()
        t.join()


def flooded(flood_of):
    with started() as k:
        raw = RawClient(k.km.connection_file)
        try: return control_beside(k, flood_of(raw))
        finally: raw.close()


def test_control_beside_a_flood_of_garbage():
    "Unkeyed: dropped, at little cost."
    def flood_of(raw):
        frames = [b"<IDS|MSG>", b"wrong", b"{}", b"{}", b"{}", b"{}"]
        return lambda: [raw.send_frames("shell", frames) for _ in range(500)] and time.sleep(0.001)
    assert flooded(flood_of) < 0.1 * slack()


def test_control_beside_a_flood_of_requests():
    "Of those that io answers itself or hands on: control is looked at first, and between."
    def flood_of(raw):
        def flood():
            for _ in range(200): raw.send_frames("shell", raw.frames("is_complete_request", dict(code="1")))
            while raw.sockets["shell"].poll(0): raw.sockets["shell"].recv_multipart()
            while raw.sockets["iopub"].poll(0): raw.sockets["iopub"].recv_multipart()
        return flood
    assert flooded(flood_of) < 0.2 * slack()


def test_garbage_is_logged_once_a_second_a_kind(start):
    k = start()
    with raw_client(k.km.connection_file) as raw:
        for _ in range(2000): raw.send_frames("shell", [b"<IDS|MSG>", b"wrong", b"{}", b"{}", b"{}", b"{}"])
        raw.request("shell", raw.frames("kernel_info_request"))
    assert 1 <= k.log_text(1 << 20).count("wrong signature") <= 20


# --- the start

def test_a_port_in_use(start, tmp_path):
    "One line that says so, a code that is not 0, at once: it used to hang for ever."
    k = start()
    info = dict(k.km.get_connection_info(), key="k")
    path = tmp_path / "taken.json"
    path.write_text(json.dumps({n: v.decode() if isinstance(v, bytes) else v for n, v in info.items()}))
    done = subprocess.run([sys.executable, "-m", "ipymini", "-f", str(path)], capture_output=True, text=True, timeout=TIMEOUT)
    assert done.returncode == 1 and "in use" in done.stderr and "Traceback" not in done.stderr


def test_one_port_of_five_in_use(tmp_path):
    "Whichever it is."
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        for name in ("shell", "iopub", "stdin", "control", "hb"):
            path = tmp_path / f"{name}.json"
            path.write_text(json.dumps({f"{name}_port": s.getsockname()[1], "key": "k"}))
            done = subprocess.run([sys.executable, "-m", "ipymini", "-f", str(path)], capture_output=True, text=True, timeout=TIMEOUT)
            assert done.returncode == 1 and name in done.stderr


def test_greetings_are_all_different(tmp_path):
    "Two subscribers of a young kernel: no two messages bear one signature (Voila's server refused the second)."
    from ipymini.wire.sockets import Channels
    from ipymini.wire.messages import Codec, connection, endpoint
    import zmq
    codec = Codec("k")
    ch = Channels(connection("ipc", str(tmp_path / "k"), key="k"), codec, print)
    ch.bind()
    ch.greet("status", dict(execution_state="starting"))
    ch.start()
    with zmq.Context() as ctx:
        seen = []
        for _ in range(3):
            s = ctx.socket(zmq.SUB)
            s.linger,s.rcvtimeo = 0, int(TIMEOUT*1000)
            s.subscribe(b"")
            s.connect(endpoint(ch.info, "iopub"))
            seen += [s.recv_multipart() for _ in range(2)]
            s.close()
        assert len({f[f.index(b"<IDS|MSG>") + 1] for f in seen}) == 6
    assert ch.close(TIMEOUT)


# --- no thread can be started

@pytest.mark.parametrize("channel,msg_type,content", [("shell", "complete_request", dict(code="pri", cursor_pos=3)), ("control", "create_subshell_request", {}),
    ("control", "debug_request", dict(command="debugInfo", arguments={}, seq=1, type="request"))], ids=["completion", "subshell", "debugInfo"])
def test_no_thread_can_be_started(start, channel, msg_type, content):
    "An error reply (or one without matches); when threads can be started again, all works."
    k = start()
    k.execute(NO_THREADS).ok()
    run = k.wait(k.request(msg_type, content, channel, wait=False), order=False)
    assert run.content.get("status") == "error" or run.content.get("matches") == [], run
    assert k.execute("1").ok().result == "1"
    k.execute(THREADS_AGAIN).ok()
    run = k.wait(k.request(msg_type, content, channel, wait=False), order=False)
    assert run.status == "ok" if msg_type != "debug_request" else run.content["success"], run
    if msg_type == "complete_request": assert "print" in run.content["matches"]


# --- how text is cut

def streams(run): return [m for m in run.iopub if kind(m) == "stream"]


def test_two_streams_in_turns(kernel):
    "20,000 pairs: complete, in few messages, and soon."
    run = kernel.execute("import sys\nfor i in range(20_000):\n    print(i, file=sys.stderr)\n    print(i)", timeout=60).ok()
    whole = "".join(f"{i}\n" for i in range(20_000))
    assert run.stdout == run.stderr == whole
    assert len(streams(run)) < 60 * slack()


def test_two_streams_in_turns_cost_no_more_a_line_than_one(kernel):
    "In CPU time of the kernel's: it used to grow with the square."
    code = "import sys, time\nc = time.process_time()\nfor i in range({n}):\n    print(i, file=sys.stderr)\n    print(i)\nsys.stdout.flush()\ntime.process_time() - c"
    small, large = (float(kernel.execute(code.format(n=n), timeout=60).ok().result) for n in (4_000, 40_000))
    assert large < 30 * max(small, 0.01)


def test_a_few_lines_of_two_streams_keep_their_order(kernel):
    run = kernel.execute("import sys\nfor i in range(3):\n    print('out', i)\n    print('err', i, file=sys.stderr)").ok()
    assert "".join(m["content"]["text"] for m in streams(run)) == "".join(f"out {i}\nerr {i}\n" for i in range(3))


def pieces(run):
    "How many outputs a notebook has of it in which neighbours of one stream are one."
    names = [m["content"]["name"] if kind(m) == "stream" else kind(m) for m in run.outputs if not kind(m).startswith(("comm_", "update_"))]
    return sum(a != b for a, b in zip(names, [None, *names]))


def test_a_progress_bar_with_prints(kernel):
    "Bar on stderr, prints on stdout: three outputs at most as fast as that."
    run = kernel.execute("from tqdm import tqdm\nfor i in tqdm(range(30), mininterval=0): print(i)").ok()
    assert run.stdout == "".join(f"{i}\n" for i in range(30)) and pieces(run) <= 3 * slack()


COMM = """from comm import create_comm
c = create_comm(target_name='nobody')
import time"""


def test_text_is_not_cut_by_comm_messages(kernel):
    "Nor by updates of displays: they go elsewhere."
    kernel.execute(COMM).ok()
    run = kernel.execute("h = display('x', display_id=True)\nfor i in range(200):\n    print(i)\n    c.send(dict(state=dict(value=i)))\n    h.update(i)").ok()
    assert run.stdout == "".join(f"{i}\n" for i in range(200)) and len(streams(run)) <= 5
    assert [m["content"]["data"]["state"]["value"] for m in run.iopub if kind(m) == "comm_msg"] == list(range(200))


def test_text_is_cut_where_an_output_widget_begins_to_capture(kernel):
    "Its `msg_id` says to the page whose text is its own from there on."
    kernel.execute(COMM).ok()
    run = kernel.execute("print('before')\nc.send(dict(method='update', state=dict(msg_id='m')))\nprint('in it')\nc.send(dict(method='update', state=dict(msg_id='')))\nprint('after')").ok()
    assert [m["content"].get("text", "|") for m in run.iopub if kind(m) in ("stream", "comm_msg")] == ["before\n", "|", "in it\n", "|", "after\n"]


def test_text_and_messages_of_the_cell_keep_their_order(kernel):
    run = kernel.execute("print('a')\ndisplay('b')\nprint('c')\nfrom IPython.display import clear_output\nclear_output(wait=True)\nprint('d')\n'e'").ok()
    assert [kind(m) for m in run.outputs] == ["stream", "display_data", "stream", "clear_output", "stream", "execute_result"]


def test_what_a_cell_prints_is_kept_for_export(kernel):
    "At a cost that does not grow with what is kept already; up to a limit, before its values."
    kernel.execute("for i in range(50_000): print('x' * 20)\n'value'", timeout=60).ok()
    kept = "outputs = get_ipython().history_manager.outputs\nlast = outputs[max(outputs)]\n"
    run = kernel.execute(kept + "[o.output_type for o in last], sum(len(t) for t in last[0].bundle['stream'])", store_history=False).ok()
    types, size = eval(run.result)
    assert types == ["out_stream", "execute_result"] and 100_000 < size <= 1 << 17
