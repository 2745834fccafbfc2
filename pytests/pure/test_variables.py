"Values as a debugger's client shows them, without a debugger."
import array, collections
import pytest

from ipymini.debug.variables import Variables, shown


class Odd(dict):
    def __repr__(self): return "odd"


class Bad:
    def __repr__(self): raise KeyError


mine = type("array", (), dict(__repr__=lambda self: "mine"))()
SHOWN = [({"b": 1, "a": 2}, "{'b': 1, 'a': 2}"), ({}, "{}"), ({1: {2: {3: {4: {5: 6}}}}}, "{1: {2: {3: {4: {...}}}}}"), ({1: [{}]}, "{1: [{}]}"), (Odd(a=1), "odd"), (mine, "mine"),
    ([1, "x"], "[1, 'x']"), ((1,), "(1,)"), (collections.deque([1]), "deque([1])"), (array.array("i", [1]), "array('i', [1])"),
    (type("list", (list,), {})([1, 2]), "[1, 2]"), (10**50, str(10**50)), (b"x", "b'x'")]


@pytest.mark.parametrize("value,text", SHOWN)
def test_shown(value, text): assert shown(value) == text


def test_shown_without_repr(): assert shown(Bad()).startswith("<Bad instance at ") and shown([Bad()]).startswith("[<Bad instance at ")


def test_shown_is_bounded():
    "However much there is, at once, and a dict's first items are its first."
    text = shown({i: i for i in range(100_000, 0, -1)})
    assert text.startswith("{100000: 100000, 99999: 99999, ") and text.endswith(", 99901: 99901, ...}")
    assert len(shown(list(range(10**6)))) < 1000 and len(shown("x" * 10**6)) <= 10_000 and len(shown({1: "x" * 10**6})) <= 10_010


def test_part():
    "Pages of what is not known by a reference: by number, by name, or both."
    v, value = Variables(), {i: i for i in range(10)}
    def names(*args): return [(x["name"], x["evaluateName"]) for x in v.part(value, "d", *args)]
    assert names(None, 8) == [("8", "d[8]"), ("9", "d[9]")] and names("named", 0, 1) == [("0", "d[0]")] and names("indexed") == []
    assert [x["value"] for x in v.part([5, 6, 7], "l", "indexed", 1, 1)] == ["6"]
