"""Bodies both ways: every framing, early answers, interim answers, trailers, back-pressure, tunnels."""

import asyncio
import gzip
import resource

from support.wire import read_request

from gateway.metering.record import Flag
from gateway.routing.route import Meter

AUTH = b"X-API-Key: customer-key-0123456789\r\n"
HOST = b"Host: api.test\r\n" + AUTH


def get(path=b"/", more=b"", method=b"GET", version=b"1.1"):
    return method + b" " + path + b" HTTP/" + version + b"\r\n" + HOST + more + b"\r\n"


def script(*answers, close=False):
    """Answer requests in turn; the last answer again and again."""

    async def run(reader, writer):
        index = 0
        while await read_request(reader):
            writer.write(answers[min(index, len(answers) - 1)])
            index += 1
            if close:
                return

    return run


async def test_chunked_both_ways_with_trailers(gateway, upstream):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    upstream.answer = head + b"3;ext=1\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n"
    await gateway.start()
    client = await gateway.client()
    body = b"4\r\nwiki\r\n0\r\nX-Check: 1\r\nContent-Length: 9\r\n\r\n"
    await client.send(get(method=b"POST", more=b"Transfer-Encoding: chunked\r\n") + body)
    head = await client.head()
    assert b"Transfer-Encoding: chunked\r\n" in head
    assert b"Trailer: X-Sum\r\n" in head
    assert (
        await client.reader.readexactly(len(b"3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n"))
        == b"3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n"
    )
    assert bytes(upstream.seen[0]).endswith(b"\r\n\r\n4\r\nwiki\r\n0\r\nX-Check: 1\r\n\r\n")
    [record] = await gateway.settled(1)
    assert (record.request_bytes, record.response_bytes) == (4, 3)


async def test_head_204_and_304_have_no_body(gateway, upstream):
    upstream.script = script(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
    )
    await gateway.start()
    client = await gateway.client()
    await client.send(get(method=b"HEAD"))
    assert b"Content-Length: 99\r\n" in await client.head()
    await client.send(get())
    assert b"Content-Length: 99\r\n" in await client.head()
    await client.send(get())
    assert b"Content-Length" not in await client.head()
    assert len(upstream.seen) == 1


async def test_a_close_delimited_answer(gateway, upstream):
    upstream.script = script(b"HTTP/1.0 200 OK\r\n\r\nhello", close=True)
    await gateway.start()
    client = await gateway.client()
    await client.send(get())
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n")
    assert body == b"5\r\nhello\r\n0\r\n\r\n"
    await client.send(get(version=b"1.0"))
    rest = await client.rest()
    assert b"Transfer-Encoding" not in rest
    assert b"Connection: close\r\n" in rest
    assert rest.endswith(b"\r\n\r\nhello")


async def test_an_http_1_0_client_may_keep_the_connection(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    for _ in range(2):
        await client.send(get(version=b"1.0", more=b"Connection: keep-alive\r\n"))
        head, body = await client.answer()
        assert b"Connection: keep-alive\r\n" in head
        assert body == b"ok"
    await client.send(get(version=b"1.0"))
    assert (await client.rest()).endswith(b"Connection: close\r\n\r\nok")


async def test_headers_keep_order_case_duplicates_and_bytes(gateway, upstream):
    upstream.answer = (
        b"HTTP/1.1 200 Fine\r\nset-Cookie: a=1\r\nX-b:  \xe9 \r\nSet-Cookie: b=2\r\nset-cookie: gw_session=x\r\n"
        b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nContent-Length: 0\r\n\r\n"
    )
    await gateway.start()
    client = await gateway.client()
    await client.send(
        b"BREW //a/%2f/../b;c?x=%zz&&y HTTP/1.1\r\nhOST: api.test\r\n" + AUTH + b"X-Two: 1\r\nx-two: \xff\r\n"
        b"X_Tenant_Id: root\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: X-Drop\r\nX-Drop: 1\r\n"
        b"Proxy-Authorization: x\r\n"
        b"Cookie: a=1; gw_session=s; b=2\r\nAuthorization: Bearer upstream-token\r\nX-Leak: gk_live_abc\r\n\r\n"
    )
    head = await client.head()
    assert head.startswith(
        b"HTTP/1.1 200 Fine\r\nset-Cookie: a=1\r\nX-b:  \xe9 \r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n"
    )
    assert b"X-Hop" not in head
    seen = bytes(upstream.seen[0])
    assert seen.startswith(
        b"BREW //a/%2f/../b;c?x=%zz&&y HTTP/1.1\r\nhOST: api.test\r\nX-Two: 1\r\nx-two: \xff\r\n"
        b"Cookie: a=1; b=2\r\nAuthorization: Bearer upstream-token\r\nX-Forwarded-For: 127.0.0.1\r\n"
    )
    for gone in (b"root", b"1.2.3.4", b"X-Drop", b"Proxy-Auth", b"gk_live"):
        assert gone not in seen


async def test_expect_continue_is_relayed_and_early_hints_pass(gateway, upstream):
    async def run(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(2) == b"hi"
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await reader.read()

    upstream.script = run
    await gateway.start()
    client = await gateway.client()
    await client.send(get(method=b"POST", more=b"Content-Length: 2\r\nExpect: 100-continue\r\n"))
    assert await client.head() == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(b"hi")
    assert await client.head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert (await client.head()).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_refused_call_is_never_told_to_continue(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    await client.send(request)
    assert (await client.rest()).startswith(b"HTTP/1.1 401 ")


async def test_an_early_answer_to_an_unfinished_upload(gateway, upstream):
    async def run(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nstop")
        await asyncio.sleep(1)

    upstream.script = run
    await gateway.start()
    client = await gateway.client()
    await client.send(get(method=b"POST", more=b"Content-Length: 100000\r\n") + b"x" * 1000)
    rest = await client.rest()
    assert rest.endswith(b"Connection: close\r\n\r\nstop")
    [record] = await gateway.settled(1)
    assert record.outcome == "ok"


async def test_server_sent_events_arrive_when_sent_and_the_last_usage_counts(gateway, upstream):
    go = asyncio.Event()

    async def run(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(b'13\r\ndata: {"text":"a"}\n\r\n1\r\n\n\r\n')
        await go.wait()
        event = b'data: {"usage":{"total_tokens":42}}\n\ndata: [DONE]\n\n'
        writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(event), event))
        await reader.read()

    upstream.script = run
    gateway.route_options = {"meters": (Meter("tokens", "sse", path="usage.total_tokens", estimate=7),)}
    await gateway.start()
    client = await gateway.client()
    await client.send(get())
    await client.head()
    assert b'data: {"text":"a"}' in await client.reader.readuntil(b"\n\r\n")
    go.set()
    await client.reader.readuntil(b"0\r\n\r\n")
    [record] = await gateway.settled(1)
    assert record.units == {"tokens": 42}
    assert record.flags == 0


async def test_json_units_are_read_from_a_compressed_body_that_passes_unchanged(gateway, upstream):
    body = gzip.compress(b'{"usage": {"total_tokens": 1234}}')
    upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    gateway.route_options = {"meters": (Meter("tokens", "json", path="usage.total_tokens", estimate=7, max=5000),)}
    await gateway.start()
    client = await gateway.client()
    await client.send(get(more=b"Accept-Encoding: br, gzip;q=0.5, zstd\r\n"))
    assert (await client.answer())[1] == body
    assert b"Accept-Encoding: gzip;q=0.5\r\n" in bytes(upstream.seen[0])
    [record] = await gateway.settled(1)
    assert record.units == {"tokens": 1234}


async def test_a_usage_header_counts_and_stays_inside(gateway, upstream):
    upstream.answer = b"HTTP/1.1 200 OK\r\nX-Units: 12\r\nContent-Length: 0\r\n\r\n"
    gateway.route_options = {"meters": (Meter("units", "header", path="x-units", estimate=3),)}
    await gateway.start()
    client = await gateway.client()
    await client.send(get(more=b"X-Units: 1\r\n"))
    assert b"X-Units" not in await client.head()
    upstream.answer = b"HTTP/1.1 200 OK\r\nX-Units: -5\r\nContent-Length: 0\r\n\r\n"
    await client.send(get())
    await client.head()
    first, second = await gateway.settled(2)
    assert b"X-Units" not in bytes(upstream.seen[0])
    assert first.units == {"units": 12}
    assert second.units == {"units": 3}
    assert second.flags == 1


async def test_units_beyond_the_bound_are_missing_and_missing_may_be_nothing(gateway, upstream):
    meters = (
        Meter("units", "header", path="x-units", estimate=3, max=10, missing=0, expose=True),
        Meter("tokens", "json", path="a+b", estimate=2, max=10),
    )
    gateway.route_options = {"meters": meters}
    await gateway.start()
    client = await gateway.client()
    for units, figure in ((b"10", b"5"), (b"11", b"6"), (b"9223372036854775807", b"1e999")):
        body = b'{"a": 5, "b": %b}' % figure
        head = b"HTTP/1.1 200 OK\r\nX-Units: %b\r\nContent-Length: %d\r\n\r\n"
        upstream.answer = head % (units, len(body)) + body
        await client.send(get())
        assert b"X-Units: " + units in (await client.answer())[0]
    within, beyond, absurd = await gateway.settled(3)
    assert (within.units, within.flags) == ({"units": 10, "tokens": 10}, 0)
    assert (beyond.units, beyond.flags) == ({"units": 0, "tokens": 2}, Flag.ESTIMATED | Flag.BAD_UNITS)
    assert absurd.units == {"units": 0, "tokens": 2}


async def test_a_stalled_client_stops_a_large_download(gateway, upstream):
    sent = 0
    piece = b"x" * 65536

    async def run(reader, writer):
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * 2000))
        for _ in range(2000):
            writer.write(piece)
            await writer.drain()
            sent += len(piece)
        await reader.read()

    upstream.script = run
    await gateway.start()
    client = await gateway.client()
    client.writer.transport.pause_reading()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await client.send(get())
    await asyncio.sleep(0.3)
    stalled = sent
    assert stalled < 30_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024
    client.writer.transport.resume_reading()
    await client.head()
    total = 0
    while total < len(piece) * 2000:
        total += len(await client.reader.read(1 << 20))
    records = await gateway.settled(1)  # the rest, and a part if a sweep fell into the transfer
    assert sum(record.response_bytes for record in records) == len(piece) * 2000


async def test_an_upload_passes_whole(gateway, upstream):
    received = 0

    async def run(reader, writer):
        nonlocal received
        await reader.readuntil(b"\r\n\r\n")
        while received < 20_000_000:
            received += len(await reader._reader.read(65536))
            if received < 2_000_000:
                await asyncio.sleep(0.001)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await reader.read()

    upstream.script = run
    await gateway.start()
    client = await gateway.client()
    client.writer.write(get(method=b"PUT", more=b"Content-Length: 20000000\r\n"))
    for _ in range(200):
        client.writer.write(b"y" * 100_000)
        await client.writer.drain()
    assert (await client.answer())[1] == b"ok"
    [record] = await gateway.settled(1)
    assert record.request_bytes == 20_000_000


async def test_an_upgrade_is_a_tunnel(gateway, upstream):
    async def run(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in head
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nX: y\r\n\r\nhello"
        )
        assert await reader.readexactly(4) == b"ping"
        writer.write(b"pong")

    upstream.script = run
    await gateway.start()
    client = await gateway.client()
    await client.send(get(more=b"Connection: Upgrade\r\nUpgrade: websocket\r\n"))
    assert b"Upgrade: websocket\r\n" in await client.head()
    assert await client.reader.readexactly(5) == b"hello"
    await client.send(b"ping")
    assert await client.rest() == b"pong"
    [record] = await gateway.settled(1)
    assert (record.status, record.request_bytes, record.response_bytes) == (101, 4, 9)
