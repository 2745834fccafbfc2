"""Execute a notebook on a kernel through nbclient and print what each cell gave.
Threads: the caller's. Spec: nbformat 4.5 (cell outputs)."""
import argparse, re, sys, time
from pathlib import Path
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError, CellTimeoutError
from jupyter_client.kernelspec import NoSuchKernel

ansi = re.compile(r"\x1b\[[0-9;]*m")

def indent(text, mark): return "\n".join(f"{mark} {line}".rstrip() for line in ansi.sub("", text).rstrip("\n").split("\n"))

def size(data): return len(data if isinstance(data, str) else repr(data))

def show_source(source, lines=3):
    "The first lines of a cell's source, and how many more there are."
    head = source.split("\n")
    more = len(head) - lines
    return indent("\n".join(head[:lines]), ">") + (f"\n> ... {more} more line{'s' * (more > 1)}" if more > 0 else "")

def show_data(data):
    "A mime bundle: its text, and the other types with their sizes."
    others = [f"{mime} ({size(v):,} characters)" for mime,v in data.items() if mime != "text/plain"]
    text = [indent(data["text/plain"], " ")] if "text/plain" in data else []
    return "\n".join(text + [f"  [{o}]" for o in others])

def show_output(out):
    if out.output_type == "stream": return indent(out.text, "  " if out.name == "stdout" else " !")
    if out.output_type == "error": return indent("\n".join(out.traceback) or f"{out.ename}: {out.evalue}", " !")
    return show_data(out.data)

def show_cell(cell):
    "Everything a code cell printed, displayed and raised, below its source."
    print(f"In [{cell.execution_count or ' '}]:\n{show_source(cell.source)}")
    for out in cell.outputs: print(show_output(out))
    print(flush=True)

def is_expected(cell): return "raises-exception" in cell.metadata.get("tags", [])

def run(nb, kernel, timeout, path):
    "Execute `nb` in place, in directory `path`, printing as it goes; the reason it stopped early, or None."
    client = NotebookClient(nb, timeout=timeout, kernel_name=kernel, resources=dict(metadata=dict(path=str(path))))
    with client.setup_kernel():
        for i,cell in enumerate(nb.cells):
            if cell.cell_type != "code" or not cell.source.strip(): continue
            try: client.execute_cell(cell, i)
            except CellExecutionError as e: return f"cell {i} raised {e.ename}: {e.evalue}"
            except (CellTimeoutError, DeadKernelError) as e: return f"cell {i}: {e}"
            finally: show_cell(cell)
            if is_expected(cell) and not any(o.output_type == "error" for o in cell.outputs):
                return f"cell {i} is tagged raises-exception and raised nothing"
        client.set_widgets_metadata()

def main(argv=None):
    p = argparse.ArgumentParser(description="Execute a notebook and print its outputs.")
    p.add_argument("notebook")
    p.add_argument("--kernel", help="kernel to use (default: the notebook's)")
    p.add_argument("--timeout", type=float, default=120, help="seconds a cell may take (default: %(default)s)")
    p.add_argument("--output", help="write the executed notebook to this file")
    opts = p.parse_args(argv)
    nb = nbformat.read(opts.notebook, as_version=4)
    kernel = opts.kernel or nb.metadata.get("kernelspec", {}).get("name", "ipymini")
    start = time.perf_counter()
    try: problem = run(nb, kernel, opts.timeout, Path(opts.notebook).parent)
    except NoSuchKernel as e: problem = f"no kernel called {e.name!r}: see `jupyter kernelspec list`"
    except RuntimeError as e: problem = f"the kernel did not start: {e}"
    if opts.output: nbformat.write(nb, opts.output)
    print(f"{opts.notebook} on {kernel}: {problem or 'every cell did what it should'} ({time.perf_counter() - start:.1f} s)")
    return 1 if problem else 0

if __name__ == "__main__": sys.exit(main())
