"Notebooks of real length give the same outputs on ipymini as on ipykernel, cell by cell, executed as nbclient executes them."
import copy, os, tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import nbformat, pytest
from nbclient import NotebookClient

from normal import Normal, own_frames
from twins import NAMES, difference

examples = Path(__file__).resolve().parents[2]/"examples"
notebooks = {p.stem: p for p in sorted(examples.glob("*.ipynb")) if p.stem not in ("tour", "concurrency")}  # these show what only we do


def executed(path, kernel):
    "The outputs of each cell of a notebook on `kernel`, normalised."
    nb = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        env = dict(os.environ, IPYTHONDIR=f"{folder}/ipython", PYTHONHASHSEED="0")
        client = NotebookClient(nb, timeout=100, kernel_name=kernel, resources=dict(metadata=dict(path=folder)))
        client.execute(env=env)
        normal = Normal({folder: "<folder>"})
        for c in nb.cells: assert is_error(c) == ("raises-exception" in c.metadata.get("tags", [])), f"{kernel}: {c.source}"
        return [(c.source, c.get("execution_count"), [output(normal, o) for o in joined(c.get("outputs", []))]) for c in nb.cells] + [models(normal, nb)]


def is_error(cell): return any(o.output_type == "error" for o in cell.get("outputs", []))


def joined(outputs):
    "Neighbouring streams joined, and stdout before stderr: how text is cut is timing."
    res,block = [], {}
    for o in [*outputs, None]:
        if o is not None and o.output_type == "stream": block[o.name] = block.get(o.name, "") + o.text
        else:
            res += [dict(output_type="stream", name=n, text=t) for n,t in sorted(block.items(), reverse=True)]
            block = {}
            if o is not None: res.append(copy.deepcopy(dict(o)))
    return res


def output(normal, o):
    if "traceback" in o: o["traceback"] = own_frames(o["traceback"])
    return normal.value(o)


def models(normal, nb):
    "The widgets' states, in the order in which they were made."
    states = nb.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})
    return [normal.value(s) for s in states.values()]


@pytest.mark.parametrize("name", notebooks)
def test_notebook(name):
    with ThreadPoolExecutor(2) as pool: one,other = pool.map(lambda kernel: executed(notebooks[name], kernel), NAMES)
    for a,b in zip(one, other, strict=True):
        diff = difference(a, b)
        assert not diff, "\n" + diff


def test_length():
    "Ten or more, and none of them a toy."
    cells = {name: sum(c.cell_type == "code" for c in nbformat.read(p, as_version=4).cells) for name,p in notebooks.items()}
    assert len(cells) >= 10 and min(cells.values()) >= 25, cells
