import gzip
import zlib

import pytest

from gateway.metering.extract import body_reader
from gateway.metering.units import header_units, whole_units
from gateway.routing.route import Meter

JSON = Meter("tokens", "json", path="usage.total_tokens")
SSE = Meter("tokens", "sse", path="usage.total_tokens")


def read(meters, data, codings=(), scan=1 << 20, size=7):
    reader = body_reader(meters, codings, scan)
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    return reader.units()


def test_json():
    assert read([JSON], b'{"usage": {"total_tokens": 9}}') == {"tokens": 9}
    assert read([Meter("n", "json", path="$.a.1.b")], b'{"a": [0, {"b": 3.0}]}') == {"n": 3}
    for bad in (b"", b"[", b'{"usage": {"total_tokens": -1}}', b'{"usage": {"total_tokens": "9"}}', b'{"usage": 1}',
                b'{"usage": {"total_tokens": true}}', b'{"usage": {"total_tokens": 1.5}}', b"[" * 100_000):  # fmt: skip
        assert read([JSON], bad, size=1 << 16) == {}
    assert read([JSON], b'{"usage": {"total_tokens": 9}}', scan=10) == {}


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_compressed(size):
    text = b'{"usage": {"total_tokens": 9}, "x": "%b"}' % (b"y" * 5000)
    raw = zlib.compressobj(wbits=-15)
    for data, coding in (
        (gzip.compress(text), b"gzip"),
        (zlib.compress(text), b"deflate"),
        (raw.compress(text) + raw.flush(), b"deflate"),
    ):
        assert read([JSON], data, [coding], size=size) == {"tokens": 9}
    assert read([JSON], b"not gzip at all", [b"gzip"], size=size) == {}
    assert body_reader([JSON], [b"br"], 100) is None


@pytest.mark.parametrize("size", [1, 3, 10_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_server_sent_events(size, end):
    lines = [b'data: {"x": 1}', b"", b": ping", b"event: usage", b'data: {"usage":', b'data:  {"total_tokens": 7}}',
             b"", b'data: {"usage": {"total_tokens": 12}}', b"", b'data: {"usage": null}', b"",
             b"data: [DONE]", b""]  # fmt: skip
    assert read([SSE], end.join(lines) + end, size=size) == {"tokens": 12}


def test_an_event_stream_of_the_second_form():
    meter = Meter("tokens", "sse", path="message.usage.input_tokens+usage.output_tokens")
    text = (
        b'event: message_start\ndata: {"message":{"usage":{"input_tokens":25,"output_tokens":1}}}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":8}}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta","usage":{"output_tokens":15}}\n\n'
    )
    assert read([meter], text) == {"tokens": 40}
    either = Meter("tokens", "sse", path="usage.total_tokens|message.usage.input_tokens+usage.output_tokens")
    assert read([either], text) == {"tokens": 40}
    assert read([either], b'data: {"usage":{"total_tokens":3}}\n\n') == {"tokens": 3}


def test_a_huge_event_costs_no_memory():
    reader = body_reader([SSE], [], 1 << 20)
    for _ in range(100):
        reader.feed(b"data: " + b"x" * 100_000)
    reader.feed(b'\n\ndata: {"usage":{"total_tokens":3}}\n\n')
    assert reader.units() == {"tokens": 3}


def test_figures():
    assert header_units(b"12") == 12
    for bad in (None, b"", b"-1", b"1.5", b"+1", b"1e3", b"9" * 20, b"\xc2\xb2"):
        assert header_units(bad) is None
    assert whole_units(1 << 63) is None
