"""Imports room: what a kernel has imported when its first cell is done, and how long each module took without those that it imported itself.
    python tools/bench_imports.py [--kernel NAME ...] [--top N]
Counted from inside, by a `sitecustomize` that is given to the kernel: what Python imports before that is not in it. Median of some starts.
Must not know: sockets and processes (`bench_client` does), any kernel's own ways. Threads: one."""

import argparse, json, tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench import compile_checkout, find, stdout, warm
from bench_client import Kernel

STARTS = 5
TIMER = """import sys, time
from importlib import _bootstrap
from threading import get_ident
found, inner, load = {}, {}, _bootstrap._load_unlocked
def timed(spec):
    "Load a module; its time less that of the modules loaded meanwhile by the same thread."
    stack,began = inner.setdefault(get_ident(), [0]), time.perf_counter()
    stack.append(0)
    try: return load(spec)
    finally:
        took = time.perf_counter() - began
        found[spec.name] = took - stack.pop()
        stack[-1] += took
_bootstrap._load_unlocked,sys.imports_timed = timed, found
"""


def imports(spec, folder):
    "Seconds by module, of one start."
    with Kernel(spec, folder) as k:
        warm(k, 1)
        return json.loads(stdout(k.run("import json, sys\nprint(json.dumps(sys.imports_timed))")))

def packages(times):
    "(number of modules, milliseconds) by top-level package."
    number,ms = Counter(), Counter()
    for name,seconds in times.items():
        number[name.partition(".")[0]] += 1
        ms[name.partition(".")[0]] += seconds * 1000
    return {name: (number[name], ms[name]) for name in ms}

def measured(spec, folder):
    "As `packages`: medians of several starts; the first, which makes the profile, does not count."
    rounds = [packages(imports(spec, folder)) for _ in range(STARTS + 1)][1:]
    return {name: (rounds[0][name][0], median(r.get(name, (0, 0))[1] for r in rounds)) for name in rounds[0]}

def table(found, top):
    "A row a package, those first that take longest in any of the kernels."
    names = sorted({n for f in found.values() for n in f}, key=lambda n: -max(f.get(n, (0, 0))[1] for f in found.values()))
    rows = {"all": {k: tuple(map(sum, zip(*f.values()))) for k,f in found.items()}}
    rows |= {n: {k: f[n] for k,f in found.items() if n in f} for n in names[:top]}
    lines = ["| package | " + " | ".join(f"{k}: modules | ms" for k in found) + " |", "| --- " + "| ---: | ---: " * len(found) + "|"]
    for name,row in rows.items(): lines.append(f"| {name} | " + " | ".join(f"{row[k][0]} | {row[k][1]:.1f}" if k in row else "- | -" for k in found) + " |")
    return "\n".join(lines)

def main():
    p = argparse.ArgumentParser(description="Measure what Jupyter kernels import.")
    p.add_argument("--kernel", action="append", metavar="NAME", help="a kernelspec's name, or NAME=FOLDER; repeat for more (ipymini and python3)")
    p.add_argument("--top", type=int, default=20, help="how many packages to show (default: %(default)s)")
    args = p.parse_args()
    compile_checkout()
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        (Path(folder)/"sitecustomize.py").write_text(TIMER)
        specs = [find(o) for o in args.kernel or ["ipymini", "python3"]]
        print(table({s.name: measured(replace(s, env=s.env | dict(PYTHONPATH=folder)), Path(folder)) for s in specs}, args.top))

if __name__ == "__main__": main()
