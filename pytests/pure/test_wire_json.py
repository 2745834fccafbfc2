"What JSON cannot hold, and buffers of every kind: what pack makes of them."
import array, ctypes, json, sys
from collections import OrderedDict, UserDict, defaultdict, namedtuple
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction

import numpy as np, pytest

from ipymini.wire.messages import Codec, as_buffer, dumps

class Red(Enum): A = 1
class Num(IntEnum): A = 1
class Word(str, Enum): A = "a"
class Mad:
    def __repr__(self): raise RuntimeError("no")
class Plain:
    def __repr__(self): return "<plain>"
class MadList:
    def __iter__(self): raise RuntimeError("no")
    def __repr__(self): return "<mad list>"
class MadArray:
    def tolist(self): raise KeyError("no")
    def __repr__(self): return "<mad array>"
class MadKey:
    def __str__(self): raise RuntimeError("no")
    __repr__ = __str__


NAN,INF = float("nan"), float("inf")
LOCAL = datetime(2026, 1, 2, 3, 4, 5).astimezone().isoformat().replace("+00:00", "Z")
Point = namedtuple("Point", "x y")
VALUES = [  # chkstyle: ignore-node (a table)
    (None, None), (True, True), (3, 3), (1.5, 1.5), ("é\u2028\0", "é\u2028\0"), (10**30, 10**30), ((1, [2]), [1, [2]]),
    (b"\0\xff", "AP8="), (bytearray(b"ab"), "YWI="), (memoryview(b"abcd")[::2], "YWM="),
    (NAN, "nan"), (INF, "inf"), (-INF, "-inf"), ([1, dict(a=[NAN])], [1, dict(a=["nan"])]),
    (np.float64(1.5), 1.5), (np.float64("nan"), "nan"), (np.float32("inf"), "inf"), (np.float32(0.5), 0.5), (np.int64(7), 7), (np.uint8(7), 7), (np.bool_(True), True),
    (np.array([[1, 2]]), [[1, 2]]), (np.array([1.0, NAN]), [1.0, "nan"]), (np.array(3), 3), (np.array(["é"]), ["é"]), (np.complex128(1j), "1j"), (1j, "1j"),
    (array.array("i", [1, 2]), [1, 2]), (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T00:00:00Z"), (date(2026, 1, 2), "2026-01-02"),
    (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), "2026-01-02T03:00:00+02:00"), (datetime(2026, 1, 2, 3, 4, 5), LOCAL),
    ("a\ud800b", "a\ufffdb"), ("\ud83d\ude00", "\U0001f600"), ("\udc80\ud800", "\ufffd\ufffd"), ({"k\udfff": 1}, {"k\ufffd": 1}),
    ({1: 1, None: 2, True: 3, 1.5: 4}, {"1": 3, "null": 2, "1.5": 4}), ({(1, 2): 1, b"x": 2, Red.A: 3}, {"(1, 2)": 1, "b'x'": 2, "Red.A": 3}), ({NAN: 1}, {"nan": 1}),
    ({3}, [3]), (frozenset([3]), [3]), (range(3), [0, 1, 2]), (dict(a=1).keys(), ["a"]), ((i for i in "ab"), ["a", "b"]),
    (Decimal("1.5"), 1.5), (Decimal("NaN"), "nan"), (Decimal("1e400"), "inf"), (Fraction(1, 4), 0.25), (Point(1, 2), [1, 2]),
    (OrderedDict(a=1), dict(a=1)), (defaultdict(int, a=1), dict(a=1)), (UserDict(a=b"a"), dict(a="YQ==")),
    (Red.A, "<Red.A: 1>"), (Num.A, 1), (Word.A, "a"), (Plain(), "<plain>"), (Plain, repr(Plain)), ([Mad()], ["<Mad whose repr raised RuntimeError>"]),
    (MadList(), "<mad list>"), (MadArray(), "<mad array>"), ({MadKey(): 1}, "<dict whose repr raised RuntimeError>"),
    (Fraction(10**400), repr(Fraction(10**400))), (datetime.min, "datetime.datetime(1, 1, 1, 0, 0)")]


@pytest.mark.parametrize("value,want", VALUES, ids=lambda v: type(v).__name__)
def test_dumps(value, want):
    "Alone, and deep inside; strictly valid JSON and UTF-8 each time."
    def strict(constant): pytest.fail(f"{constant} is no JSON")
    assert json.loads(dumps(dict(a=value, b=[want])), parse_constant=strict) == dict(a=want, b=[want])


def test_dumps_beside_strange_things():
    "A generator can be read once only: it must not be used up by an attempt that fails later."
    assert json.loads(dumps(dict(g=(i for i in range(3)), x=Plain()))) == dict(g=[0, 1, 2], x="<plain>")


def test_dumps_long_int():
    "Python refuses to write an int of more than 4,300 digits: the message must leave all the same."
    n = 10**(sys.get_int_max_str_digits() + 10)
    assert isinstance(json.loads(dumps(dict(a=n, b=1)))["b"], int)


def test_dumps_circles_and_depth():
    ring = [1]
    ring.append(ring)
    loop = dict(a=1)
    loop["self"] = [loop]
    shared = [1]
    assert json.loads(dumps(ring)) == [1, "<circular>"] and json.loads(dumps(loop)) == dict(a=1, self=["<circular>"])
    assert json.loads(dumps([shared, shared, NAN])) == [[1], [1], "nan"]  # twice is no circle
    deep = "end"
    for _ in range(100_000): deep = [deep]
    assert json.loads(dumps(dict(a=1, deep=deep)))["a"] == 1


# --- buffers

PIECES = [b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), memoryview(bytearray(b"abcd")), memoryview(b"a-b-c-d-")[::2], array.array("B", b"abcd"),
    np.frombuffer(b"abcd", "u1"), np.frombuffer(b"abcd", "u1").reshape(2, 2), np.frombuffer(b"abcd", "<u4"), np.frombuffer(b"abcd", "<u4")[0:1].reshape(()),
    np.array([97, 98, 99, 100], "u1"), ctypes.create_string_buffer(b"abcd", 4)]


@pytest.mark.parametrize("piece", PIECES, ids=lambda p: f"{type(p).__name__}-{memoryview(p).ndim}d")
def test_buffers(piece):
    "Every kind of bytes-like arrives as its bytes."
    _,fs = Codec("k").pack("comm_msg", {}, buffers=[b"first", piece])
    assert fs[6] == b"first" and bytes(fs[7]) == b"abcd" and memoryview(fs[7]).nbytes == 4


@pytest.mark.parametrize("view", [lambda b: b, memoryview, lambda b: memoryview(b).toreadonly(), lambda b: np.frombuffer(memoryview(b).toreadonly(), "u1")],
    ids=["bytearray", "memoryview", "read-only view", "read-only array"])
def test_mutable_buffers_are_copied(view):
    "What is sent is what it was when it was sent."
    data = bytearray(b"abcd")
    sent = as_buffer(view(data))
    data[0] = 0
    assert bytes(sent) == b"abcd"


def test_bytes_are_not_copied():
    data = b"x" * 100
    assert as_buffer(data) is data


@pytest.mark.parametrize("bad", ["text", 3, None, [1]])
def test_no_buffer(bad):
    with pytest.raises(TypeError): Codec("k").pack("comm_msg", {}, buffers=[bad])
