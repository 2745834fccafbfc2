"What belongs to a cell: its file name, with the hash that JupyterLab computes, and the text that is kept of it."
import __future__, ast, gc, os, random, sys, tempfile, threading
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import ipymini.ipython.history as history_room
from ipymini.ipython.cell_names import HASH_SEED, cell_file, murmur2, prefix, own
from ipymini.ipython.shell import Compiler

VECTORS = [(b"", 0, 0), (b"", 1, 0x5BD15E36), (b"hello", 0, 0xE56129CB)]


def reference(data, seed):
    "MurmurHash2 as Austin Appleby's C does it, a byte at a time; 32-bit words."
    def mul(a, b): return a * b % 2**32
    m,h,n = 0x5BD1E995, seed ^ len(data), len(data)
    at = 0
    while n >= 4:
        k = data[at] + data[at+1]*2**8 + data[at+2]*2**16 + data[at+3]*2**24
        k = mul(k, m)
        k = mul(k ^ k // 2**24, m)
        h = mul(h, m) ^ k
        at,n = at + 4, n - 4
    if n == 3: h ^= data[at+2] * 2**16
    if n >= 2: h ^= data[at+1] * 2**8
    if n >= 1: h = mul(h ^ data[at], m)
    h = mul(h ^ h // 2**13, m)
    return h ^ h // 2**15


@pytest.mark.parametrize("data,seed,want", VECTORS)
def test_known_vectors(data, seed, want): assert murmur2(data, seed) == reference(data, seed) == want


def test_every_length_against_the_reference():
    rng = random.Random(1)
    for n in range(70):
        data,seed = rng.randbytes(n), rng.getrandbits(32)
        assert murmur2(data, seed) == reference(data, seed)
        assert 0 <= murmur2(data, HASH_SEED) < 2**32
    assert len({murmur2(bytes([b]), HASH_SEED) for b in range(256)}) == 256


@pytest.mark.parametrize("code", ["", "1", "print('é')\n", "\U0001f600", "a\ud800b"])
def test_cell_file(monkeypatch, code):
    "A file of this process's folder named by the hash of the UTF-8 source; a lone surrogate is no reason to fail."
    monkeypatch.delenv("IPYMINI_CELL_NAME", raising=False)
    data = code.encode("utf-8", "surrogatepass")
    there = os.path.exists(prefix())  # left by a killed process that had this one's number
    assert cell_file(code) == f"{prefix()}{reference(data, 0xC70F6907)}.py"
    assert prefix() == os.path.join(tempfile.gettempdir(), f"ipykernel_{os.getpid()}", "") and os.path.exists(prefix()) == there


def test_cell_name_from_the_environment(monkeypatch):
    monkeypatch.setenv("IPYMINI_CELL_NAME", "cell.py")
    assert cell_file("1") == "cell.py"
    monkeypatch.setenv("IPYMINI_CELL_NAME", "")
    assert cell_file("1").startswith(prefix())


def test_cells_are_parsed_on_several_threads(request):
    "Stand in the gap: another thread parses while this one does, which CPython 3.11 takes for an error of its own (gh-106905)."
    parsed, before = [], gc.get_threshold()
    def parse_there(phase, info):
        if phase == "start" and len(parsed) < 3 and threading.current_thread() is threading.main_thread():
            t = threading.Thread(target=lambda: parsed.append(ast.parse("1")))
            t.start()
            t.join()
    request.addfinalizer(lambda: (gc.callbacks.remove(parse_there), gc.set_threshold(*before)))
    gc.callbacks.append(parse_there)
    gc.set_threshold(100)
    tree = Compiler().ast_parse("\n".join(f"x{i} = f({i}, (a, [b, {i}]))" for i in range(200)))
    assert len(tree.body) == 200 and (parsed or sys.version_info >= (3, 12))  # later ones collect between bytecodes only


def test_own():
    "Equal code of two files is unequal, inner code too, and does the same; that of one file is equal."
    source = "def f(x):\n    'doc'\n    return [y for y in x]\ndef g(): pass\nlambda: 1"
    a, b, again = (own(compile(source, name, "exec")) for name in ("a", "b", "a"))
    assert a == again and hash(a) == hash(again) and a != b
    assert compile(source, "a", "exec") == compile(source, "b", "exec"), "else there was no need"
    names = [{}, {}]
    for code, ns in zip((a, b), names): exec(code, ns)
    (f, g), (f2, g2) = [(ns["f"], ns["g"]) for ns in names]
    assert f.__code__ != f2.__code__ and g.__code__ != g2.__code__
    assert f("ab") == ["a", "b"] and f.__doc__ == "doc" and g() is None is g.__doc__ and f.__code__.co_filename == "a" and f.__code__.co_firstlineno == 1


def test_flags_of_a_cell_are_its_thread_s():
    "Stand in the gap: a cell of another shell begins to be compiled, and ends as this one is: this one may still await. What `from __future__` imports stays, for all."
    compiler, flag, other = Compiler(), ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, ThreadPoolExecutor(1)
    before, theirs = compiler.flags, compiler.extra_flags(flag)
    other.submit(theirs.__enter__).result()
    assert compiler.flags == before
    with compiler.extra_flags(flag):
        other.submit(theirs.__exit__, None, None, None).result()
        assert compiler.flags == before | flag
        compiler("from __future__ import annotations", "f", "exec")
    assert compiler.flags == before | __future__.annotations.compiler_flag == other.submit(lambda: compiler.flags).result()
    other.shutdown()


def test_kept_text_is_bounded(monkeypatch):
    "Of all cells together only the last text is kept; the values that older ones have shown stay."
    monkeypatch.setattr(history_room, "KEPT_ALL", 10)
    monkeypatch.setattr(history_room, "PIECE", 0)
    history = SimpleNamespace(outputs=defaultdict(list))
    kept = history_room.KeptText(history)
    def cell(number, *texts):
        keep = kept.of(number)
        for name, text in texts: keep(name, text)
    cell(1, ("stdout", "abcd"), ("stderr", "e"), ("stdout", "f"))
    history.outputs[1].append("a value")
    cell(2, ("stdout", "ghi"))
    assert [len(history.outputs[n]) for n in (1, 2)] == [4, 1] and kept.size == 9
    cell(3, ("stdout", "jkl"))
    assert history.outputs[1] == ["a value"] and kept.size == 6
    cell(4, ("stdout", "x" * 100))
    assert set(history.outputs) == {1, 4} and kept.size == 100 and len(kept.cells) == 1
    cell(5, ("stdout", "y"))
    del history.outputs[5]
    cell(6, ("stdout", "z" * 20))
    assert set(history.outputs) == {1, 6} and kept.size == 20


def test_kept_pieces_are_bounded(monkeypatch):
    "A piece takes memory of its own, however short its text is."
    monkeypatch.setattr(history_room, "KEPT_ALL", 10 * history_room.PIECE)
    history = SimpleNamespace(outputs=defaultdict(list))
    kept = history_room.KeptText(history)
    for number in range(100): kept.of(number)("stdout", ".")
    assert list(history.outputs) == [*range(91, 100)]
    history.outputs.clear()
    kept.of(99)("stdout", "after %reset")
    assert len(kept.cells) == 1 and kept.size < 2 * history_room.PIECE
    many = kept.of(100)
    for i in range(1000): many(("stdout", "stderr")[i % 2], ".")
    assert len(history.outputs[100]) == history_room.KEPT // (history_room.PIECE + 1) + 1
