"""Start an installed kernel by name, execute a cell and shut it down: python tools/check_kernel.py [NAME].
Threads: the caller's. Spec: messaging, "execute_request"."""
import sys
from jupyter_client.manager import run_kernel

def main(name="ipymini", timeout=60):
    "Exit code 0 if kernel `name` computes 6*7 and prints it within `timeout` seconds."
    got = []
    def hook(msg):
        if msg["msg_type"] in ("execute_result", "stream", "error"): got.append((msg["msg_type"], msg["content"]))
    with run_kernel(kernel_name=name) as kc:
        info = kc.kernel_info(reply=True, timeout=timeout)["content"]
        reply = kc.execute_interactive("print('hello')\n6*7", timeout=timeout, output_hook=hook)["content"]
    text = "".join(c["text"] for t,c in got if t == "stream")
    results = [c["data"]["text/plain"] for t,c in got if t == "execute_result"]
    ok = reply["status"] == "ok" and text == "hello\n" and results == ["42"]
    print(f"{name}: {info['implementation']} {info['implementation_version']}, Python {info['language_info']['version']}: {'works' if ok else got}")
    return 0 if ok else 1

if __name__ == "__main__": sys.exit(main(*sys.argv[1:]))
