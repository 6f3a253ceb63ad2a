"""Answers of an upstream that lies, stutters or says too much: whole, byte by byte, and fuzzed.

A client gets the answer as sent, or a 502, or a connection that ends early; never a byte of it as the next answer.
"""

import asyncio

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.wire import Gateway, RawUpstream, read_request

HOST = b"Host: api.test\r\nX-API-Key: customer-key-0123456789\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BAD = {
    "cl-and-te": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "double-cl": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    "cl-list": OK + b"Content-Length: 1, 1\r\n\r\nx",
    "cl-sign": OK + b"Content-Length: +1\r\n\r\nx",
    "cl-empty": OK + b"Content-Length:\r\n\r\nx",
    "cl-absurd": OK + b"Content-Length: 9999999999999999999\r\n\r\nx",
    "te-on-1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te-gzip": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "te-twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space-before-colon": OK + b"Content-Length : 1\r\n\r\nx",
    "obs-fold": OK + b"X: 1\r\n 2\r\n\r\n",
    "bare-lf": OK + b"X: a\nY: b\r\n\r\n",
    "bare-cr": OK + b"X: a\rY: b\r\n\r\n",
    "nul": OK + b"X: a\0\r\n\r\n",
    "no-colon": OK + b"nonsense\r\n\r\n",
    "empty-name": OK + b": x\r\n\r\n",
    "status-2-digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status-4-digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status-0": b"HTTP/1.1 099 Low\r\n\r\n",
    "version": b"HTTP/2 200 OK\r\n\r\n",
    "lower-version": b"http/1.1 200 OK\r\n\r\n",
    "no-version": b"200 OK\r\n\r\n",
    "ctl-in-reason": b"HTTP/1.1 200 O\x01K\r\n\r\n",
    "unasked-101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "bad-interim": b"HTTP/1.1 103 Early\r\nX : 1\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
}
CUT = {  # the head was right, so it may be on its way to the client
    "chunk-size": CHUNKED + b"zz\r\nab\r\n0\r\n\r\n",
    "chunk-size-sign": CHUNKED + b"+2\r\nab\r\n0\r\n\r\n",
    "chunk-size-huge": CHUNKED + b"f" * 17 + b"\r\nab",
    "chunk-lf": CHUNKED + b"2\nab\r\n0\r\n\r\n",
    "chunk-end": CHUNKED + b"2\r\nabc\r\n0\r\n\r\n",
    "chunk-extension-lf": CHUNKED + b"2;a\nb\r\nab\r\n0\r\n\r\n",
    "trailer": CHUNKED + b"2\r\nab\r\n0\r\nbad trailer\r\n\r\n",
}


def first_answers(answer, cuts=(), *, byte_by_byte=False, close=False):
    """A script: the first request of all gets ``answer`` in pieces, every other one ``SECOND``."""
    first = [True]

    async def run(reader, writer):
        while await read_request(reader):
            if not first[0]:
                writer.write(SECOND)
                continue
            first[0] = False
            position = 0
            for size in [1] * len(answer) if byte_by_byte else [*cuts, len(answer)]:
                writer.write(answer[position : position + size])
                await writer.drain()
                await asyncio.sleep(0)
                position += size
            if close:
                return

    return run


@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("name", BAD)
async def test_a_malformed_answer_is_502_and_its_connection_is_given_up(gateway, upstream, name, byte_by_byte):
    upstream.script = first_answers(BAD[name], byte_by_byte=byte_by_byte)
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    head, body = await client.answer()
    while head.startswith(b"HTTP/1.1 103 "):
        head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"\r\nDate: " in head
    assert b"upstream_malformed" in body
    await client.send(GET)
    assert (await client.answer())[1] == b"second"
    assert len(upstream.seen) == 2
    records = await gateway.settled(2)
    assert [(record.status, record.billable) for record in records] == [(502, False), (200, True)]


@pytest.mark.parametrize("byte_by_byte", [False, True], ids=["whole", "bytes"])
@pytest.mark.parametrize("name", CUT)
async def test_a_body_that_breaks_is_never_ended_cleanly(gateway, upstream, name, byte_by_byte):
    upstream.script = first_answers(CUT[name], byte_by_byte=byte_by_byte)
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    if (await client.head()).startswith(b"HTTP/1.1 200 "):  # else nothing had been passed on yet: an honest 502
        assert not (await client.rest()).endswith(b"0\r\n\r\n")
    [record] = await gateway.settled(1)
    assert (record.outcome, record.billable) == ("truncated", False)


GOOD = (
    OK + b"Content-Length: 5\r\nX-A: b\r\n\r\nfirst",
    CHUNKED + b"3\r\nfir\r\n2;ext=1\r\nst\r\n0\r\nX-Trailer: t\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nfirst",
    OK + b"Connection: close\r\n\r\nfirst",
    b"HTTP/1.1 204 No Content\r\n\r\n",
)
PIECES = st.sampled_from(
    [b"\r\n", b"\n", b"\r", b" ", b":", b"\0", b"0\r\n\r\n", b"3\r\nabc\r\n", b"Content-Length: 3\r\n",
     b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"\x80", b"x", b"\r\n\r\n",
     b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", SECOND]
)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    answer=st.sampled_from(GOOD), pieces=st.lists(PIECES, max_size=4), at=st.integers(0, 90),
    cuts=st.lists(st.integers(1, 60), max_size=6), close=st.booleans(),
)  # fmt: skip
def test_no_byte_of_an_answer_becomes_the_next_one(answer, pieces, at, cuts, close):
    """h11 reads what the client gets: one whole answer or a broken one, and then only the second."""
    asyncio.run(_fuzz(answer[:at] + b"".join(pieces) + answer[at:], cuts, close))


async def _fuzz(answer, cuts, close):
    upstream = RawUpstream()
    upstream.script = first_answers(answer, cuts, close=close)
    await upstream.start()
    gateway = Gateway(upstream)
    gateway.route_options = {"read_timeout_us": 30_000}  # an answer that never ends is 504, or cut
    gateway.settings = type(gateway.settings)(hold=0.05, sweep=0.01)
    await gateway.start()
    try:
        client = await gateway.client()
        reader = h11.Connection(h11.CLIENT)
        first = await _answer(client, reader)
        assert first is None or first[0] in (200, 204, 502, 504)
        if first is not None and reader.our_state is h11.DONE and reader.their_state is h11.DONE:
            reader.start_next_cycle()
            second = await _answer(client, reader)
            if upstream.requests > 1:  # else the gateway gave the first one up (504) before it was read
                assert second == (200, b"second")
                assert not reader.trailing_data[0]
        client.close()
        records = await gateway.settled(1)
        assert len({record.id for record in records}) == len(records)
    finally:
        await gateway.stop()
        await upstream.stop()


async def _answer(client, reader):
    """(status, body) as h11 understands it; None when the connection ended before the answer did."""
    fields = [("Host", "api.test"), ("X-API-Key", "customer-key-0123456789")]
    await client.send(reader.send(h11.Request(method="GET", target="/", headers=fields)))
    reader.send(h11.EndOfMessage())
    status, body = 0, b""
    while True:
        try:
            event = reader.next_event()
        except h11.RemoteProtocolError:
            assert reader.their_state is h11.ERROR
            return None
        if event is h11.NEED_DATA:
            try:
                reader.receive_data(await asyncio.wait_for(client.reader.read(65536), 5))
            except ConnectionResetError:
                return None
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, body
        elif isinstance(event, h11.ConnectionClosed):
            return None
