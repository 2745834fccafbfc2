"The framing of the Debug Adapter Protocol: one byte at a time, many messages at once, what is no DAP."
import pytest

from ipymini.dap import Decoder, encode

MESSAGES = [dict(seq=1, type="request", command="é\U0001f600"), dict(body={}), dict(seq=2, body=dict(text="\r\n\r\nContent-Length: 3\r\n\r\n" * 3))]


def test_encode(): assert encode(dict(a="é")) == b'Content-Length: 13\r\n\r\n{"a": "\\u00e9"}'.replace(b"13", b"15")


@pytest.mark.parametrize("size", [1, 2, 7, 50, 10_000])
def test_pieces(size):
    data, decoder, got = b"".join(map(encode, MESSAGES)), Decoder(), []
    for i in range(0, len(data), size): got += decoder.feed(data[i:i+size])
    assert got == MESSAGES and not decoder.data


def test_other_fields_are_passed_over():
    body = b'{"a": 1}'
    assert list(Decoder().feed(b"Content-Type: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))) == [dict(a=1)]


def test_big_message():
    message = dict(text="x" * 5_000_000)
    data, decoder, got = encode(message), Decoder(), []
    for i in range(0, len(data), 65536): got += decoder.feed(data[i:i+65536])
    assert got == [message]


def test_no_dap():
    with pytest.raises(ValueError, match="no Content-Length"): list(Decoder().feed(b"GET / HTTP/1.1\r\n\r\n"))
