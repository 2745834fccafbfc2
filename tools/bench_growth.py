"""Growth room: what it costs when there is more of something: cells, subshells, clients, output, kernels.
    python tools/bench_growth.py [--kernel NAME ...] [--growths cells,clients,...] [--small]
Each growth is one function: it gets a kernelspec and a size, checks what arrives, and returns figures by name; a table shows them by kernel and size.
Must not know: sockets and processes (`bench_client` does). Threads: one."""

import argparse, sys, tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench import compile_checkout, create_subshell, expect, find, figure, ms, result, stdout, warm
from bench_client import Exchange, Failed, Kernel, cell, clock


def trips(k, n=50, **header):
    "Median milliseconds of `n` round trips of `1`."
    xs = [k.execute("1", **header) for _ in range(n)]
    for x in xs: expect(result(k.checked(x)), ["1"], "results")
    return median(ms(x.t1 - x.t0) for x in xs)

def mib(n): return n / 2**20

def cells(spec, folder, n):
    "After `n` cells of a line with a value."
    with Kernel(spec, folder) as k:
        warm(k)
        for i in range(0, n, 200):
            packed = [(j, *k.pack("execute_request", cell(f"{j}"))) for j in range(i, min(i + 200, n))]
            for _,_,frames in packed: k.socks["shell"].send_multipart(frames)
            for j,mid,_ in packed: expect(result(k.checked(Exchange(mid, "execute_request", k.wait_idle(mid), k.wait_reply(mid), 0, 0))), [str(j)], "results")
        return {"round trip, ms": trips(k), "PSS, MiB": mib(k.pss())}

def subshells(spec, folder, n):
    "With `n` subshells, each of which has run a cell."
    with Kernel(spec, folder) as k:
        warm(k)
        t0 = clock()
        subs = [create_subshell(k) for _ in range(n)]
        made = ms(clock() - t0) / n
        for s in subs: k.run("1", subshell_id=s)
        return {"to make one, ms": made, "round trip on the last, ms": trips(k, subshell_id=subs[-1]), "round trip on main, ms": trips(k), "PSS, MiB": mib(k.pss())}

def clients(spec, folder, n):
    "With `n` clients connected, all of whom get all output."
    with Kernel(spec, folder) as k, ExitStack() as stack:
        warm(k)
        others = [stack.enter_context(k.subscriber()) for _ in range(n - 1)]
        trip = trips(k)
        x = k.run("for i in range(20_000): print(i)")
        expect(stdout(x).splitlines(), [str(i) for i in range(20_000)], "lines")
        for o in others: o.drain_until(x.mid)
        return {"round trip, ms": trip, "20,000 prints, ms": ms(x.t1 - x.t0), "PSS, MiB": mib(k.pss())}

def output(spec, folder, n):
    "One output of `n` kB."
    with Kernel(spec, folder) as k:
        warm(k)
        k.run(f"text = 'x' * {n * 1000}")
        x = k.run("print(text)", 120)
        expect(len(stdout(x)), n * 1000 + 1, "characters")
        return {"ms": ms(x.t1 - x.t0), "MB/s": n / 1000 / (x.t1 - x.t0), "PSS after, MiB": mib(k.pss())}

def kernels(spec, folder, n):
    "`n` kernels started at once: until each has run its first cell, and what each takes."
    with ExitStack() as stack:
        t0 = clock()
        ks = [stack.enter_context(Kernel(spec, folder)) for _ in range(n)]
        mids = []
        for k in ks:
            k.wait_connected(120)
            mids.append(k.send("shell", "execute_request", cell("1")))
        for k,mid in zip(ks, mids): expect(result(k.checked(Exchange(mid, "execute_request", k.wait_idle(mid, 120), k.wait_reply(mid, 120), 0, 0))), ["1"], "results")
        return {"all ready, ms": ms(clock() - t0), "each, ms": ms(clock() - t0) / n, "PSS each, MiB": mib(sum(k.pss() for k in ks)) / n}


GROWTHS = dict(  # the function, its sizes, and the small ones
    cells     = (cells, [10, 1000, 10_000, 100_000], [10, 200]),
    subshells = (subshells, [1, 8, 64], [1, 3]),
    clients   = (clients, [1, 8, 32], [1, 3]),
    output    = (output, [1, 1000, 100_000], [1, 100]),
    kernels   = (kernels, [1, 10, 50], [1, 2]))


def table(name, specs, sizes, folder):
    "The growth `name` as a Markdown table: a row a size, a column a kernel and figure; why it failed, in place of figures."
    fn = GROWTHS[name][0]
    found = {(n, s.name): attempt(fn, s, folder, n) for n in sizes for s in specs}
    figures = next(iter(f for f in found.values() if isinstance(f, dict)), {})
    lines = [f"**{name}**: {fn.__doc__}", "", f"| {name} | " + " | ".join(f"{s.name}: {f}" for s in specs for f in figures) + " |", "| ---: " * (len(specs)*len(figures) + 1) + "|"]
    for n in sizes:
        shown = [figure(found[n, s.name][f]) if isinstance(found[n, s.name], dict) else found[n, s.name] for s in specs for f in figures]
        lines.append(f"| {n:,} | " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"

def attempt(fn, spec, folder, n):
    try: return fn(spec, folder, n)
    except Failed as e: return f"FAILED: {e}".replace("\n", " ")[:100]

def main():
    p = argparse.ArgumentParser(description="Measure how Jupyter kernels' costs grow.")
    p.add_argument("--kernel", action="append", metavar="NAME", help="a kernelspec's name, or NAME=FOLDER; repeat for more (ipymini and python3)")
    p.add_argument("--growths", default=",".join(GROWTHS), help=f"comma-separated, of {', '.join(GROWTHS)}")
    p.add_argument("--small", action="store_true", help="small sizes only")
    args = p.parse_args()
    compile_checkout()
    specs = [find(o) for o in args.kernel or ["ipymini", "python3"]]
    if unknown := set(args.growths.split(",")) - set(GROWTHS): sys.exit(f"no such growth: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        for name in args.growths.split(","): print(table(name, specs, GROWTHS[name][1 + args.small], Path(folder)))

if __name__ == "__main__": main()
