"""What ipymini sends is what ipykernel sends: hundreds of probes, played on both, compared whole.
differences.md lists what differs on purpose. PARITY_SELF=1 plays ipykernel against itself, to show that the comparison itself is steady."""
import importlib, re
from contextlib import closing
from pathlib import Path
import IPython.display, pytest

from steps import as_probe
from twins import SELF, Play, value

here = Path(__file__).resolve().parent


def tables(): return {p.stem: importlib.import_module(f"probes.{p.stem}").probes for p in sorted((here/"probes").glob("[a-z]*.py"))}


def listed():
    "The ids in differences.md, each with its three texts."
    rows = [re.split(r"(?<!\\)\|", line.strip().strip("|")) for line in (here/"differences.md").read_text().split("\n") if line.startswith("| `")]
    return {r[0].strip().strip("`"): [c.strip() for c in r[1:]] for r in rows}


probes = {f"{table}-{name}": as_probe(p) for table,ps in tables().items() for name,p in ps.items()}


@pytest.fixture(scope="module")
def diffs(request):
    "The differences of all probes that are asked for, being found."
    tables = {}
    for item in request.session.items:
        name = item.callspec.params["name"] if item.path == Path(__file__) and hasattr(item, "callspec") else None
        if name: tables.setdefault(name.split("-")[0], {})[name] = probes[name]
    with closing(Play(tables)) as play: yield play.diffs


@pytest.mark.parametrize("name", probes)
def test_same(diffs, name):
    diff = diffs[name].result()
    if SELF or name not in listed(): assert not diff, "\n" + diff
    else: assert diff, f"{name} does not differ any more: take it out of differences.md"


def test_enough(): assert len(probes) >= 500


def code(): return "\n".join(s.content["code"] for p in probes.values() for s in p.steps if s.msg_type == "execute_request")


def test_every_magic():
    "Each magic of %lsmagic is run; %pastebin is not, as it would publish something."
    line,cell = value("[list(get_ipython().magics_manager.magics[kind]) for kind in ('line', 'cell')]")
    assert not {f"%{m}" for m in line if m != "pastebin"} - set(re.findall(r"(?<!%)%\w+", code()))
    assert not {f"%%{m}" for m in cell} - set(re.findall(r"%%(?:\w+|!)", code()))


def test_every_display():
    "Each class and function of IPython.display is used."
    names = {n for n in dir(IPython.display) if not n.startswith("_")}
    assert len(names) > 30 and not names - set(re.findall(r"\w+", code()))


def test_differences():
    "Few, of probes that there are, each with all that is to be said about it."
    rows = listed()
    assert len(rows) <= 25 and set(rows) <= set(probes)
    assert all(len(r) == 3 and all(r) for r in rows.values())
