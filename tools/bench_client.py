"""Bench client room: starts one kernel as a process and speaks to it over bare zmq sockets.
Owns the process (a group of its own, ended on the way out), its connection file, and the three sockets shell, control and iopub.
Lean on purpose: while the clock runs a message costs one receive and two small `json.loads` (header and parent); content and signature
are read afterwards, in `checked`. Socket options are zmq's defaults, as in jupyter_client, but for a quick reconnect while the kernel starts.
Must not know: the rows, how a figure is reported, any kernel's own ways. Threads: one. Needs Linux (/proc, pidfd).
Spec: messaging, "The wire protocol"; "Connection files"; kernelspecs."""

import contextlib, functools, hmac, itertools, json, os, re, select, signal, socket, subprocess, sys, tempfile, time, uuid
from collections import defaultdict, namedtuple
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

import zmq
from zmq.utils.monitor import recv_monitor_message

DELIM = b"<IDS|MSG>"
SLICE = 0.1  # seconds a receive blocks before it looks at its deadline and at the process
Exchange = namedtuple("Exchange", "mid msg_type out reply t0 t1")  # one request: what came on iopub for it, its reply, seconds sent and done
clock = time.perf_counter


class Failed(Exception): "A kernel did not do what it must: lost, late or misordered messages, a wrong result, death."
class TimedOut(Failed): "Nothing came in time."


@dataclass
class Spec:
    "A kernelspec as `kernel.json` has it, and the folder it was read from."
    name: str
    folder: Path
    argv: list
    env: dict = field(default_factory=dict)
    interrupt_mode: str = "signal"

    @classmethod
    def read(cls, name, folder):
        d = json.loads((Path(folder)/"kernel.json").read_text())
        return cls(name, Path(folder).resolve(), d["argv"], d.get("env", {}), d.get("interrupt_mode", "signal"))

    @classmethod
    def find(cls, name):
        "The installed kernelspec `name`; KeyError if there is none. NAME=FOLDER is read from FOLDER; `floor` is the kernel beside this file."
        if "=" in name: return cls.read(*name.split("=", 1))
        if name == "floor": return cls(name, Path(__file__).parent, [sys.executable, str(Path(__file__).with_name("floor_kernel.py")), "-f", "{connection_file}"])
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
        try: return cls.read(name, KernelSpecManager().get_kernel_spec(name).resource_dir)
        except NoSuchKernel as e: raise KeyError(name) from e

    @property
    def is_ipykernel(self): return any("ipykernel" in o for o in self.argv)

    @property
    def python(self):
        "The interpreter for an argv that says only `python`: that of the environment the folder is in, else ours."
        env = self.folder.parents[3]/"bin"/"python" if len(self.folder.parents) > 3 else None
        return str(env) if env and self.folder.parts[-4:-1] == ("share", "jupyter", "kernels") and env.exists() else sys.executable

    def command(self, connection_file):
        names = dict(connection_file=str(connection_file), resource_dir=str(self.folder), prefix=sys.prefix)
        argv = [re.sub(r"\{(\w+)\}", lambda m: names.get(m[1], m[0]), o) for o in self.argv]
        return [self.python, *argv[1:]] if re.fullmatch(r"python[\d.]*", argv[0]) else argv


class Msg:
    "One received message. `type`, `parent_id` are read at once, `content` when asked for."
    def __init__(self, frames):
        i = frames.index(DELIM)
        self.signature, self.signed, self.buffers = frames[i+1], frames[i+2:i+6], frames[i+6:]
        self.type = json.loads(self.signed[0])["msg_type"]
        self.parent_id = (json.loads(self.signed[1]) or {}).get("msg_id")  # xeus-python says null

    @functools.cached_property
    def content(self): return json.loads(self.signed[3])

    @property
    def is_idle(self): return self.type == "status" and self.content["execution_state"] == "idle"

    def __repr__(self): return f"{self.type} {self.signed[3][:80]!r}"


class Subscriber:
    "One more client's iopub."
    def __init__(self, sock): self.sock = sock

    def drain_until(self, mid, timeout=60):
        end = clock()+timeout
        while True:
            try: m = Msg(self.sock.recv_multipart())
            except zmq.Again:
                if clock() > end: raise TimedOut(f"no idle of {mid} for another client") from None
            else:
                if m.is_idle and m.parent_id == mid: return


class Kernel:
    """A running kernel and the client to it, for use in a `with`. `t0` is the moment just before it was spawned.
    A method that waits raises `TimedOut` at its deadline (seconds from now), `Failed` when the process has died."""
    def __init__(self, spec, folder, transport="tcp"):
        self.spec, self.folder, self.transport, self.key = spec, Path(folder), transport, uuid.uuid4().hex.encode()
        self.session, self.count = uuid.uuid4().hex, 0
        self.out = defaultdict(list)  # msg_id of a request: what has come on iopub for it so far
        self.done = set()  # requests whose idle was handed out; anything that comes for them later is late

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            tmp = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self.folder, prefix="k")))
            conn = self.conn = self._write_connection(tmp)
            self.socks = dict(shell=zmq.DEALER, control=zmq.DEALER, iopub=zmq.SUB)
            context = stack.enter_context(zmq.Context())
            for o,kind in self.socks.items(): self.socks[o] = stack.enter_context(context.socket(kind))
            self.monitor = self.socks["iopub"].get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            stack.callback(self.socks["iopub"].disable_monitor)
            for o,sock in self.socks.items(): self._connect(sock, conn, o)
            self.log_file = tmp/"output.log"
            stack.callback(self._end)
            self._spawn(tmp/"connection.json")
            self.undo = stack.pop_all()
        return self

    def __exit__(self, *exc): self.undo.close()

    def _write_connection(self, tmp):
        names = [f"{o}_port" for o in ("shell", "control", "iopub", "stdin", "hb")]
        conn = dict(transport=self.transport, ip="127.0.0.1", key=self.key.decode(), signature_scheme="hmac-sha256", kernel_name=self.spec.name)
        if self.transport == "ipc": conn.update({o:i+1 for i,o in enumerate(names)}, ip=str(tmp/"sock"))
        else: conn.update(zip(names, free_ports(len(names))))
        (tmp/"connection.json").write_text(json.dumps(conn))
        (tmp/"connection.json").chmod(0o600)
        return conn

    def _connect(self, sock, conn, channel):
        sock.linger, sock.rcvtimeo, sock.sndtimeo = 0, int(SLICE*1000), 10_000
        sock.reconnect_ivl = 1  # ms; the default of 100 would be most of a start's figure
        if channel == "iopub": sock.subscribe(b"")
        sep = "-" if self.transport == "ipc" else ":"
        sock.connect(f"{self.transport}://{conn['ip']}{sep}{conn[f'{channel}_port']}")

    def _spawn(self, conn_file):
        env = {**os.environ, "IPYTHONDIR":str(self.folder/f"ipython-{self.spec.name}"), "JPY_PARENT_PID":str(os.getpid())}
        env |= {k:re.sub(r"\$\{(\w+)\}", lambda m: env.get(m[1], m[0]), v) for k,v in self.spec.env.items()}
        opts = dict(cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True)
        with self.log_file.open("wb") as log:
            self.t0 = clock()
            self.proc = subprocess.Popen(self.spec.command(conn_file), stdout=log, **opts)

    def _end(self):
        "Kill the kernel with all of its group, and wait for it."
        if not hasattr(self, "proc"): return
        with contextlib.suppress(ProcessLookupError): os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait(10)

    # sending

    def pack(self, msg_type, content, **more):
        "A request's msg_id and its frames, signed."
        self.count += 1
        mid = f"{self.session}_{self.count}"
        header = dict(msg_id=mid, msg_type=msg_type, session=self.session, username="bench", date=utc_now(), version="5.4") | more
        signed = [json.dumps(o).encode() for o in (header, {}, {}, content)]
        return mid, [DELIM, self._sign(signed), *signed]

    def _sign(self, signed): return hmac.digest(self.key, b"".join(signed), "sha256").hex().encode()

    def send(self, channel, msg_type, content=None, buffers=(), **header):
        "Send a request and return its msg_id."
        mid, frames = self.pack(msg_type, content or {}, **header)
        self.socks[channel].send_multipart([*frames, *buffers], copy=not buffers)
        return mid

    # receiving

    def _recv(self, channel, end):
        while True:
            try: return Msg(self.socks[channel].recv_multipart())
            except zmq.Again: pass
            if self.proc.poll() is not None: raise Failed(f"the kernel died with {self.proc.returncode}: {self.log_tail()}")
            if clock() > end: raise TimedOut(f"nothing on {channel} in time")

    def _pump(self, end):
        m = self._recv("iopub", end)
        if m.parent_id in self.done: raise Failed(f"came after its request's idle: {m}")
        self.out[m.parent_id].append(m)
        return m

    def wait_idle(self, mid, timeout=60):
        "Everything iopub brought for the request `mid`, in order, idle last."
        end,out = clock()+timeout, self.out[mid]
        while not (out and out[-1].is_idle): self._pump(end)
        self.done.add(mid)
        return self.out.pop(mid)

    def wait_event(self, name, timeout=10):
        "The next debug_event `name`, whoever it is for. Events may come after the idle of their request: its `debug` has said so."
        end = clock()+timeout
        while (m := self._pump(end)).type != "debug_event" or m.content["event"] != name: pass
        return m

    def debug(self, command, **arguments):
        "A debug_request, checked: the `Exchange`."
        self.count += 1
        x = self.checked(self.request("debug_request", dict(type="request", seq=self.count, command=command, arguments=arguments), channel="control"))
        self.done.discard(x.mid)
        if not x.reply.content.get("success"): raise Failed(f"{command}: {x.reply}")
        return x

    def wait_reply(self, mid, timeout=60, channel="shell"):
        m = self._recv(channel, clock()+timeout)
        if m.parent_id != mid: raise Failed(f"a reply to another request: {m}")
        return m

    def wait_stream(self, mid, text, timeout=10):
        "Block until the request `mid` has printed `text`; what came stays for `wait_idle`."
        end = clock()+timeout
        while text not in "".join(m.content["text"] for m in self.out[mid] if m.type == "stream"): self._pump(end)

    def request(self, msg_type, content=None, timeout=60, channel="shell", **header):
        "Send, and wait for both reply and idle: an `Exchange`, not checked yet. `header` is added to the message's."
        t0 = clock()
        mid = self.send(channel, msg_type, content, **header)
        out,reply = self.wait_idle(mid, timeout), self.wait_reply(mid, timeout, channel)
        return Exchange(mid, msg_type, out, reply, t0, clock())

    def execute(self, code, timeout=60, **header): return self.request("execute_request", cell(code), timeout, **header)

    def run(self, code, timeout=60, **header):
        "Execute `code`, which must succeed, checked."
        return self.checked(self.execute(code, timeout, **header))

    def checked(self, x, status="ok"):
        "The exchange itself, or `Failed`: signatures, busy and execute_input first, idle last, the reply's type and status."
        msgs = [*x.out, *([x.reply] if x.reply else [])]
        if bad := [m for m in msgs if m.signature != self._sign(m.signed)]: raise Failed(f"wrong signature: {bad[0]}")
        states = [m.content["execution_state"] for m in x.out if m.type == "status"]
        if states != ["busy", "idle"] or x.out[0].type != "status": raise Failed(f"{x.msg_type}: busy and idle expected, not {x.out[:5]}")
        if x.msg_type == "execute_request" and x.out[1].type != "execute_input": raise Failed(f"execute_input expected, not {x.out[1]}")
        if not x.reply: return x
        if x.reply.type != x.msg_type.replace("_request", "_reply"): raise Failed(f"{x.msg_type} was answered by {x.reply}")
        if x.reply.content.get("status", "ok") != status: raise Failed(f"status {status} expected: {x.reply}")
        return x

    def wait_connected(self, timeout=30):
        "Block until iopub is connected, which is also when it has subscribed."
        if not self.monitor.poll(timeout*1000): raise TimedOut(f"iopub takes no connection: {self.log_tail()}")
        recv_monitor_message(self.monitor)

    def ready(self, timeout=30):
        "Wait until the kernel answers and iopub is subscribed: its idle has been seen. As clients do, ask again until then."
        end = clock()+timeout
        while clock() < end:
            mid = self.send("shell", "kernel_info_request")
            reply = self.wait_reply(mid, timeout)
            try: out = self.wait_idle(mid, 0.2)
            except TimedOut: continue
            if out[0].is_idle: continue  # the subscription began between busy and idle: see one whole bracket
            return self.checked(Exchange(mid, "kernel_info_request", out, reply, self.t0, clock()))
        raise TimedOut("no idle on iopub")

    @contextlib.contextmanager
    def subscriber(self):
        "One more client of iopub, subscribed: a socket with `drain_until(mid)`, which reads until the idle of request `mid`."
        with zmq.Context() as context, context.socket(zmq.SUB) as sock:
            monitor = sock.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
            self._connect(sock, self.conn, "iopub")
            if not monitor.poll(10_000): raise TimedOut("iopub takes no further connection")
            sock.disable_monitor()
            yield Subscriber(sock)

    # the process

    def interrupt(self):
        "Interrupt as the kernelspec says: SIGINT to the group, or a message."
        if self.spec.interrupt_mode == "message": self.send("control", "interrupt_request")
        else: os.killpg(self.proc.pid, signal.SIGINT)

    def wait_exit(self, timeout):
        "Block until the process has ended; `TimedOut` after."
        fd = os.pidfd_open(self.proc.pid)
        try: ended = select.select([fd], [], [], timeout)[0]
        finally: os.close(fd)
        if not ended: raise TimedOut(f"still runs after {timeout} s")

    def pids(self):
        "The kernel's processes: all of its group."
        pids = []
        for o in glob("/proc/[0-9]*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                pid,rest = Path(o).read_text().split(" (", 1)
                if int(rest.rsplit(") ", 1)[1].split()[2]) == self.proc.pid: pids.append(int(pid))
        return pids

    def pss(self):
        "Proportional set size in bytes."
        text = "".join(Path(f"/proc/{o}/smaps_rollup").read_text() for o in self.pids())
        return sum(int(o)*1024 for o in re.findall(r"^Pss: +(\d+) kB", text, re.M))

    def cpu(self):
        "CPU seconds used so far, of all threads that live."
        return sum(int(Path(o).read_text().split()[0]) for p in self.pids() for o in glob(f"/proc/{p}/task/*/schedstat")) / 1e9

    def switches(self):
        "Context switches so far, of all threads that live."
        texts = [Path(o).read_text() for p in self.pids() for o in glob(f"/proc/{p}/task/*/status")]
        return sum(int(n) for t in texts for n in re.findall(r"ctxt_switches:\s+(\d+)", t))

    def log_tail(self): return self.log_file.read_text(errors="replace")[-300:].strip()


def cell(code): return dict(code=code, silent=False, store_history=True, user_expressions={}, allow_stdin=False, stop_on_error=True)
def utc_now(): return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())

PORTS = itertools.cycle(range(20_000, 32_000))  # below those that the system gives to outgoing connections: of many kernels' clients one would take another's

def free_ports(n):
    "`n` free tcp ports on loopback, none of them given out lately."
    return [next(filter(is_free, PORTS)) for _ in range(n)]

def is_free(port):
    with socket.socket() as s:
        try: s.bind(("127.0.0.1", port))
        except OSError: return False
        return True
