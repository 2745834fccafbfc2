"""Values room: odd things to put where something else is expected, and their JSON. Pure. Threads: any.
Spec: RFC 8259 (JSON), and what Python's json takes beyond it."""
import json

HUGE, DEEP, TWICE = "@huge@", "@deep@", "@twice@"  # words that `text` turns into JSON that `json.dumps` cannot write
WRITTEN = {HUGE: "9" * 5000, DEEP: "[" * 100_000 + "]" * 100_000, TWICE: '{"a": 1, "a": [2]}'}
PLAIN = [  # chkstyle: ignore-node (a table)
    None, True, False, 0, -1, 1, 2**31, 2**63, -2**64, 10**30, 1.5, -0.0, 1e308, "", "a", "x" * 3000, "\x00", "é\u2028", "\U0001f600",
    "\n",
    "../..", "%s{}$", [], {}, [[]], {"": {}}, [1, "a"], {"a": 1}]
STRANGE = [float("nan"), float("inf"), -float("inf"), "\ud800", "\udfff x", HUGE, DEEP, TWICE, {"\ud800": 1}]
PYTHONS = [  # chkstyle: ignore-node (a table)
    set(), {1, 2}, b"bytes", bytearray(b"x"), memoryview(b"mv"), 1j, object, print, range(3), (1, 2), {(1, 2): 3}, {None: 1, True: 2},
    {1.5: 2}, 10**5000, frozenset({3})]


def odd(r, strange=True):
    "A value of any kind, sometimes of several levels."
    if r.random() < 0.15: return [odd(r, strange) for _ in range(r.randrange(4))]
    if r.random() < 0.15: return {str(odd(r, False))[:20]: odd(r, strange) for _ in range(r.randrange(4))}
    return r.choice(PLAIN + STRANGE) if strange else r.choice(PLAIN)


def text(value):
    "JSON of `value`, with NaN, escaped lone surrogates, numbers and depths that no parser likes; bytes."
    res = json.dumps(value)
    for word, written in WRITTEN.items(): res = res.replace(f'"{word}"', written)
    return res.encode()


def is_strange(value):
    "Whether a JSON parser may refuse the JSON of `value`."
    return any(w in repr(value) for w in (HUGE, DEEP))


def mutate(r, value):
    "A dict with one or two of its entries gone, replaced or added; a list too; other values replaced."
    if not isinstance(value, dict) or r.random() < 0.1: return odd(r)
    res = dict(value)
    for _ in range(r.randrange(1, 3)):
        key = r.choice([*res, "extra"])
        what = r.random()
        if what < 0.2: res.pop(key, None)
        elif what < 0.4 and isinstance(res.get(key), dict): res[key] = mutate(r, res[key])
        elif what < 0.5 and isinstance(res.get(key), str): res[key] = flip_text(r, res[key])
        else: res[key] = odd(r)
    return res


def flip_text(r, s):
    i = r.randrange(len(s) + 1)
    return s[:i] + r.choice(["", "\x00", "(", "é", "\ud800", "\n", "'", "\\", s[i:]]) + s[i + r.randrange(2):]


def flip(r, data):
    "Bytes with a few bits turned, bytes gone or added."
    data = bytearray(data)
    for _ in range(r.randrange(1, 4)):
        i = r.randrange(len(data) + 1)
        what = r.random()
        if what < 0.6 and i < len(data): data[i] ^= 1 << r.randrange(8)
        elif what < 0.8: del data[i:i + r.randrange(1, 9)]
        else: data[i:i] = r.randbytes(r.randrange(1, 9))
    return bytes(data)
