"""Bad requests, whole and byte by byte: a 4xx, a closed connection, and nothing at the upstream."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.wire import Gateway, RawUpstream

AUTH = b"X-API-Key: customer-key-0123456789\r\n"
HOST = b"Host: api.test\r\n" + AUTH

BAD = {
    "cl-and-te": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "double-cl": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "cl-list": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1, 1\r\n\r\nx",
    "cl-plus": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: +1\r\n\r\nx",
    "cl-minus": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\nx",
    "cl-hex": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 0x1\r\n\r\nx",
    "cl-empty": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: \r\n\r\nx",
    "te-twice": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-identity": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: identity\r\n\r\n",
    "te-gzip-chunked": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "te-xchunked": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "te-on-1.0": b"POST / HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-with-tab": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
    "obs-fold": b"GET / HTTP/1.1\r\n" + HOST + b"X-A: 1\r\n 2\r\n\r\n",
    "fold-first": b"GET / HTTP/1.1\r\n X: 1\r\n" + HOST + b"\r\n",
    "bare-lf": b"GET / HTTP/1.1\n" + HOST + b"\r\n",
    "bare-lf-in-field": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\nY: b\r\n\r\n",
    "bare-lf-all": b"GET / HTTP/1.1\nHost: api.test\n\n",
    "bare-cr": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rY: b\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "space-before-colon": b"GET / HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n",
    "te-space-before-colon": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "no-colon": b"GET / HTTP/1.1\r\n" + HOST + b"nonsense\r\n\r\n",
    "empty-name": b"GET / HTTP/1.1\r\n" + HOST + b": x\r\n\r\n",
    "no-host": b"GET / HTTP/1.1\r\n" + AUTH + b"\r\n",
    "two-hosts": b"GET / HTTP/1.1\r\nHost: a\r\n" + HOST + b"\r\n",
    "bad-host": b"GET / HTTP/1.1\r\nHost: a b\r\n" + AUTH + b"\r\n",
    "host-userinfo": b"GET / HTTP/1.1\r\nHost: x@api.test\r\n" + AUTH + b"\r\n",
    "absolute-other": b"GET http://evil.test/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "absolute-userinfo": b"GET http://api.test@evil.test/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "connect": b"CONNECT api.test:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "version": b"GET / HTTP/1.2\r\n" + HOST + b"\r\n",
    "version-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "lower-version": b"GET / http/1.1\r\n" + HOST + b"\r\n",
    "two-spaces": b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n",
    "tab-in-line": b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "space-in-target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n",
    "backslash": b"GET /a\\..\\b HTTP/1.1\r\n" + HOST + b"\r\n",
    "no-slash": b"GET x HTTP/1.1\r\n" + HOST + b"\r\n",
    "http-0.9": b"GET /\r\n\r\n",
    "method": b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n",
    "chunk-size": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    "chunk-size-0x": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nab\r\n0\r\n\r\n",
    "chunk-size-sign": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n+2\r\nab\r\n0\r\n\r\n",
    "chunk-size-space": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2 \r\nab\r\n0\r\n\r\n",
    "chunk-size-huge": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 17 + b"\r\nab",
    "chunk-lf": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n",
    "chunk-end": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    "chunk-extension-lf": b"POST / HTTP/1.1\r\n"
    + HOST
    + b"Transfer-Encoding: chunked\r\n\r\n2;a\nb\r\nab\r\n0\r\n\r\n",
    "trailer": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n",
}


@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_is_refused_and_reaches_nobody(gateway, upstream, name, byte_by_byte):
    await gateway.start()
    client = await gateway.client()
    await client.send(BAD[name] + b"GET /smuggled HTTP/1.1\r\n" + HOST + b"\r\n", byte_by_byte=byte_by_byte)
    answer = await client.rest()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b'"code": "malformed"' in answer
    assert upstream.seen == []
    assert gateway.spool.records == []


async def test_sizes(gateway, upstream):
    gateway.route_options = {"options": {"max_body": 10}}
    await gateway.start()
    for request, status in (
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", b"414"),
        (b"GET /" + b"a" * 9000, b"414"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 200 + b"\r\n", b"431"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 11\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", b"413"),
    ):
        client = await gateway.client()
        await client.send(request)
        assert (await client.head()).startswith(b"HTTP/1.1 " + status)
    assert upstream.seen == []


async def test_an_absolute_target_that_agrees_goes_on_in_origin_form(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    await client.send(b"GET http://API.test:80/a%2Fb?c HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (await client.answer())[1] == b"ok"
    assert bytes(upstream.seen[0]).startswith(b"GET /a%2Fb?c HTTP/1.1\r\nHost: api.test\r\n")


async def test_a_slow_head_is_408(gateway, upstream):
    gateway.settings = replace(gateway.settings, head_timeout=0.15, sweep=0.02)
    await gateway.start()
    client = await gateway.client()
    await client.send(b"GET / HTTP/1.1\r\nHo")
    assert (await client.rest()).startswith(b"HTTP/1.1 408 ")


async def test_a_head_that_ends_with_the_connection_is_not_waited_for(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    await client.send(b"GET / HTTP/1.1\r\nHost: api.test\r\nx\r\n")
    client.writer.write_eof()
    assert await client.rest() == b""


GOOD = b"GET /ok HTTP/1.1\r\n" + HOST + b"\r\n"
PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b" ", b":", b"\0", b"\t", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n",
     b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n", b"Host: other\r\n", b"GET / HTTP/1.1\r\n",
     b"POST /p HTTP/1.1\r\n", b"Connection: close\r\n", b"x", b"\x80", HOST]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prefix=st.lists(PIECES, max_size=8), cuts=st.lists(st.integers(1, 60), max_size=6), at=st.integers(0, 90))
def test_one_request_in_is_one_request_out_or_a_refusal(prefix, cuts, at):
    """Whatever is mixed into a good request, the upstream sees no more requests than the client got answers for."""
    asyncio.run(_fuzz(GOOD[:at] + b"".join(prefix) + GOOD[at:], cuts))


async def _fuzz(data, cuts):
    upstream = RawUpstream()
    await upstream.start()
    gateway = Gateway(upstream)
    await gateway.start()
    try:
        client = await gateway.client()
        position = 0
        for cut in cuts:
            await client.send(data[position : position + cut])
            await asyncio.sleep(0)
            position += cut
        await client.send(data[position:])
        client.writer.write_eof()
        answers = await client.rest()
        statuses = [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]]
        passed = sum(status == b"200" for status in statuses)
        assert upstream.requests <= passed + (1 if not statuses else 0)
        assert all(status in (b"200", b"400", b"401", b"404", b"408") for status in statuses)
        assert all(status == b"200" for status in statuses[:-1] if status != b"401")
        client.close()
    finally:
        await gateway.stop()
        await upstream.stop()


@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "bytes"])
async def test_empty_lines_before_a_request_are_ignored_in_any_segmentation(gateway, upstream, byte_by_byte):
    await gateway.start()
    client = await gateway.client()
    for count in (1, 2, 3):
        await client.send(b"\r\n" * count + b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", byte_by_byte=byte_by_byte)
        assert (await client.answer())[0].startswith(b"HTTP/1.1 200 ")
    assert len(await gateway.settled(3)) == 3
