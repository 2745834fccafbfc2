"""Floor room: a kernel of `exec` and the protocol, nothing else: what the bench measures other kernels against, as no kernel in Python can be quicker.
    python tools/floor_kernel.py -f connection.json
Owns one thread, four sockets and the heartbeat's. Must not know: IPython, threads, asyncio, what goes wrong. No users: no interrupts, comms, queries or input.
Threads: one, and the heartbeat's in C. Spec: messaging, "The wire protocol", "Execute", "Kernel info"."""
import ast, hashlib, hmac, json, os, sys, threading, traceback, zmq

DELIM = b"<IDS|MSG>"
INFO = dict(status="ok", protocol_version="5.3", implementation="floor", implementation_version="0", banner="",
    language_info=dict(name="python", version=sys.version.split()[0], mimetype="text/x-python", file_extension=".py"))


class Floor:
    def __init__(self, path):
        with open(path) as f: self.info = json.load(f)
        self.base = hmac.new(self.info["key"].encode(), digestmod=hashlib.sha256)
        self.ctx, self.count, self.names, self.sent, self.parent = zmq.Context(), 0, {}, 0, b"{}"
        kinds = dict(shell=zmq.ROUTER, control=zmq.ROUTER, stdin=zmq.ROUTER, iopub=zmq.XPUB, hb=zmq.ROUTER)
        self.socks, self.heard = {c: self.bind(c, k) for c, k in kinds.items()}, False
        threading.Thread(target=zmq.proxy, args=(self.socks["hb"],) * 2, daemon=True).start()

    def bind(self, channel, kind):
        s = (zmq.Context() if channel == "hb" else self.ctx).socket(kind)
        s.sndhwm = 0
        sep = ":" if self.info["transport"] == "tcp" else "-"
        s.bind(f"{self.info['transport']}://{self.info['ip']}{sep}{self.info[f'{channel}_port']}")
        return s

    def send(self, channel, msg_type, content, idents=()):
        self.sent += 1
        header = f'{{"msg_id":"{self.sent}","msg_type":"{msg_type}","username":"","session":"floor","date":"2020-01-01T00:00:00Z","version":"5.3"}}'.encode()
        parts = [header, self.parent, b"{}", json.dumps(content).encode()]
        h = self.base.copy()
        for p in parts: h.update(p)
        self.socks[channel].send_multipart([*idents, DELIM, h.hexdigest().encode(), *parts])

    def publish(self, msg_type, content): self.send("iopub", msg_type, content, (msg_type.encode(),))

    def run(self):
        poller = zmq.Poller()
        for c in ("control", "shell"): poller.register(self.socks[c], zmq.POLLIN)
        names = {self.socks[c]: c for c in ("control", "shell")}
        while True:
            for s, _ in poller.poll(): self.serve(names[s], s.recv_multipart())

    def serve(self, channel, frames):
        i = frames.index(DELIM)
        self.parent = frames[i+2]
        kind, content = json.loads(self.parent)["msg_type"], json.loads(frames[i+5])
        if kind == "execute_request": self.heard = self.heard or self.socks["iopub"].recv()  # or the first cell's output might leave before anybody is subscribed
        self.publish("status", dict(execution_state="busy"))
        reply = getattr(self, kind.removesuffix("_request"))(**content)
        self.send(channel, kind.removesuffix("_request") + "_reply", reply, frames[:i])
        self.publish("status", dict(execution_state="idle"))
        if kind == "shutdown_request": self.end()

    def kernel_info(self): return INFO

    def shutdown(self, restart): return dict(status="ok", restart=restart)

    def end(self):
        for c in ("shell", "control", "stdin", "iopub"): self.socks[c].close(500)
        self.ctx.term()  # when all has left
        os._exit(0)

    def execute(self, code, **flags):
        self.count += 1
        self.publish("execute_input", dict(code=code, execution_count=self.count))
        out, sys.stdout = sys.stdout, self
        try: self.exec(ast.parse(code))
        except Exception as e:
            content = dict(ename=type(e).__name__, evalue=str(e), traceback=traceback.format_exc().splitlines())
            self.publish("error", content)
            return dict(content, status="error", execution_count=self.count)
        finally: sys.stdout = out
        return dict(status="ok", execution_count=self.count, user_expressions={}, payload=[])

    def exec(self, tree):
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<cell>", "exec"), self.names)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), self.names) if last else None
        if value is not None: self.publish("execute_result", dict(data={"text/plain": repr(value)}, metadata={}, execution_count=self.count))

    def write(self, text): self.publish("stream", dict(name="stdout", text=text))

    def flush(self): return


if __name__ == "__main__": Floor(sys.argv[sys.argv.index("-f") + 1]).run()
