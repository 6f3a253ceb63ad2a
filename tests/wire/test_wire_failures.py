"""What happens when somebody breaks off, lies, is late, or leaves; and that each call is recorded once."""

import asyncio
import socket
import struct
from dataclasses import replace

import pytest
from support.wire import MemoryCounters, read_request

from gateway.routing.route import Meter

HOST = b"Host: api.test\r\nX-API-Key: customer-key-0123456789\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx"


def answering(data, *, linger=True):
    async def run(reader, writer):
        await read_request(reader)
        writer.write(data)
        if linger:
            await reader.read()

    return run


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: 1\r\n 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\nb\r\n\r\n",
        b"HTTP/1.1 099 Low\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
    ],
)
async def test_a_malformed_answer_is_502(gateway, upstream, answer):
    upstream.script = answering(answer)
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"upstream_malformed" in body
    [record] = await gateway.settled(1)
    assert (record.status, record.outcome, record.billable) == (502, "upstream_failed", False)


async def test_a_truncated_answer_is_never_ended_cleanly(gateway, upstream):
    for answer in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
    ):
        upstream.script = answering(answer, linger=False)
        if not gateway.spool.records:
            await gateway.start()
        client = await gateway.client()
        await client.send(GET)
        head = await client.head()
        if head.startswith(b"HTTP/1.1 200 "):  # else nothing had been passed on yet, and it is an honest 502
            assert not (await client.rest()).endswith((b"0\r\n\r\n", b"Content-Length: 10\r\n\r\nhalf......"))
    records = await gateway.settled(3)
    assert {record.outcome for record in records} == {"truncated"}
    assert not any(record.billable for record in records)


async def test_a_slow_upstream_is_504(gateway, upstream):
    upstream.script = answering(b"")
    gateway.settings = replace(gateway.settings, sweep=0.02)
    gateway.route_options = {"read_timeout_us": 100_000}
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    assert (await client.answer())[0].startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    [record] = await gateway.settled(1)
    assert record.outcome == "timeout"


async def test_a_slow_body_is_408_and_recorded(gateway, upstream):
    upstream.script = answering(b"")
    gateway.settings = replace(gateway.settings, sweep=0.02, body_timeout=0.1)
    gateway.route_options = {"read_timeout_us": 100_000}
    await gateway.start()
    client = await gateway.client()
    await client.send(POST.replace(b"Length: 1", b"Length: 9"))
    assert (await client.rest()).startswith(b"HTTP/1.1 408 ")
    await gateway.settled(1)


async def test_a_get_on_a_connection_that_died_is_sent_again_and_a_post_is_not(gateway, upstream):
    async def once(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await read_request(reader)  # and then dies without a word

    upstream.script = once
    await gateway.start()
    client = await gateway.client()
    for _ in range(2):
        await client.send(GET)
        assert (await client.answer())[1] == b"ok"
    await client.send(POST)
    assert (await client.head()).startswith(b"HTTP/1.1 502 ")
    records = await gateway.settled(3)
    assert [record.attempts for record in records] == [1, 2, 1]
    assert upstream.requests == 4


async def test_bytes_behind_an_answer_destroy_the_connection(gateway, upstream):
    upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    await gateway.start()
    client = await gateway.client()
    for _ in range(2):
        await client.send(GET)
        assert (await client.answer())[1] == b"ok"
    assert len(upstream.seen) == 2


async def test_a_client_that_leaves_frees_the_upstream(gateway, upstream):
    upstream.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    await client.head()
    assert upstream.ended == 0
    client.close()
    async with asyncio.timeout(1):
        while not upstream.ended:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    [record] = await gateway.settled(1)
    assert (record.outcome, record.status, record.response_bytes, record.billable) == ("client_left", 200, 3, True)


async def test_units_are_learnt_after_the_client_left(gateway, upstream):
    gone = asyncio.Event()

    async def run(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{")
        await gone.wait()
        writer.write(b'"tokens": 1234567}')
        await reader.read()

    upstream.script = run
    gateway.route_options = {"meters": (Meter("tokens", "json", path="tokens", estimate=1, max=10**9),)}
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    await client.head()
    client.close()
    while not any(connection.lost for connection in gateway.server.connections):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    gone.set()
    [record] = await gateway.settled(1)
    assert (record.outcome, record.units, record.flags) == ("client_left", {"tokens": 1234567}, 0)


async def test_a_half_closed_client_gets_its_answer(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    client.writer.write_eof()
    assert (await client.rest()).endswith(b"ok")


async def test_a_full_spool_refuses_and_a_broken_one_cuts_the_answer(gateway, upstream):
    await gateway.start()
    gateway.spool.full = True
    client = await gateway.client()
    await client.send(GET)
    head, body = await client.answer()
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"spool_full" in body
    assert upstream.seen == []
    gateway.spool.full = False
    gateway.spool.broken = True
    await client.send(GET)
    assert b"ok" not in await client.rest()
    assert list(gateway.inflight.slots.values()) == [["open", "reserved", "sent"]]
    assert gateway.spool.records == []
    gateway.spool.broken = False
    [record] = await gateway.settled(1)  # the append is tried again, and the slot is free
    assert (record.outcome, record.billable, record.counted) == ("interrupted", False, False)
    assert gateway.inflight.closed == [["open", "reserved", "sent", "settled", "close"]]


async def test_a_disk_that_fails_when_calls_are_served_unmetered(gateway, upstream):
    gateway.on_error = "serve"
    await gateway.start()
    gateway.spool.broken = True
    client = await gateway.client()
    await client.send(GET)
    assert (await client.answer())[1] == b"ok"
    assert (gateway.spool.records, gateway.inflight.slots, gateway.metrics.unmetered) == ([], {}, 1)


async def test_the_last_byte_waits_for_the_disk(gateway, upstream):
    await gateway.start()
    reached, durable = asyncio.Event(), asyncio.Event()

    async def synced(sequence):
        assert sequence == 1
        reached.set()
        await durable.wait()

    gateway.server.services.synced = synced
    client = await gateway.client()
    await client.send(GET)
    await asyncio.wait_for(reached.wait(), 5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(client.reader.read(1), 0.02)
    durable.set()
    assert (await client.answer())[1] == b"ok"


async def test_a_sync_that_fails_cuts_the_answer(gateway, upstream):
    await gateway.start()

    async def synced(sequence):
        raise OSError(5, "input/output error")

    gateway.server.services.synced = synced
    client = await gateway.client()
    await client.send(GET)
    assert b"ok" not in await client.rest()
    await gateway.settled(1)
    assert gateway.inflight.slots == {}


async def test_a_closed_store_refuses_and_an_open_limit_lets_pass(gateway, upstream, minute_limit):
    gateway.limits = (minute_limit(5),)
    await gateway.start()
    gateway.counters.unavailable = True
    client = await gateway.client()
    await client.send(GET)
    assert b"store_unavailable" in (await client.answer())[1]
    assert not gateway.inflight.slots
    gateway.limits = (replace(minute_limit(5), on_store_error="open"),)
    gateway.server.swap(gateway.snapshot())
    await client.send(GET)
    assert (await client.answer())[1] == b"ok"
    [record] = await gateway.settled(1)
    assert record.flags == 4


async def test_drain_finishes_what_was_begun(gateway, upstream):
    go = asyncio.Event()

    async def run(reader, writer):
        await read_request(reader)
        await go.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    upstream.script = run
    await gateway.start()
    idle, busy = await gateway.client(), await gateway.client()
    await busy.send(GET)
    while not upstream.seen:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    draining = asyncio.create_task(gateway.server.drain(5))
    await asyncio.sleep(0.02)
    go.set()
    assert (await busy.rest()).endswith(b"Connection: close\r\n\r\nok")
    idle.close()
    await draining
    assert len(gateway.spool.records) == 1


async def test_a_client_that_leaves_before_anything_was_sent_is_not_billed(gateway, upstream, minute_limit):
    """Work whose units are still to come is billed (SEMANTICS §12); here there is none."""

    class Slow(MemoryCounters):
        async def reserve(self, call_id, reservation):
            await asyncio.sleep(0.1)
            return await super().reserve(call_id, reservation)

    gateway.counters = Slow()
    gateway.limits = (minute_limit(5),)
    tokens = Meter("tokens", "json", path="usage", estimate=5, drain_us=2_000_000)
    gateway.route_options = {"meters": (Meter("calls", "constant", 1), tokens)}
    await gateway.start()
    client = await gateway.client()
    await client.send(GET)
    await asyncio.sleep(0.02)
    end = client.writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no orderly end
    client.writer.transport.abort()
    [record] = await gateway.settled(1)
    assert (record.outcome, record.billable, record.counted) == ("client_left", False, False)
    assert not upstream.requests
    assert not any(gateway.counters.totals.values())
