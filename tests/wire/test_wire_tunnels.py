"""Tunnels and long streams: closes, aborts, checkpoints, and the new look at key, tenant and limits."""

import asyncio
from dataclasses import replace

import msgspec
import pytest
from support.wire import KEY, read_request

from gateway.quotas.limit import Algorithm, DurationWindow, Limit
from gateway.routing.route import Meter

HOST = b"Host: api.test\r\nX-API-Key: " + KEY + b"\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
METERS = (Meter("calls", "constant", 1), Meter("in", "request_bytes", estimate=3), Meter("out", "response_bytes"))


class Peer:
    """The upstream's end of a tunnel, in the test's hands."""

    def __init__(self):
        self.ready = asyncio.Event()
        self.over = asyncio.Event()

    async def __call__(self, reader, writer):
        await read_request(reader)
        self.reader, self.writer = reader, writer
        writer.write(SWITCH)
        self.ready.set()
        await self.over.wait()


@pytest.fixture
async def tunnel(gateway, upstream):
    """Opens a tunnel; returns the client and the upstream's end."""
    peers = []

    async def opened(**options):
        gateway.route_options = {"meters": METERS} | options
        upstream.script = peer = Peer()
        peers.append(peer)
        gateway.settings = replace(gateway.settings, sweep=0.005)
        await gateway.start()
        client = await gateway.client()
        await client.send(UPGRADE)
        assert (await client.head()).startswith(b"HTTP/1.1 101 ")
        await asyncio.wait_for(peer.ready.wait(), 5)
        return client, peer

    yield opened
    for peer in peers:
        peer.over.set()


def checkpoint_now(gateway):
    gateway.server.settings = replace(gateway.server.settings, checkpoint_interval=0)


def never_again(gateway):
    gateway.server.settings = replace(gateway.server.settings, checkpoint_interval=3600)


async def until(condition):
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_bytes_and_duration_of_a_tunnel_are_measured(gateway, upstream, tunnel):
    client, peer = await tunnel(meters=(*METERS, Meter("ms", "duration")))
    await client.send(b"12345")
    assert await peer.reader.readexactly(5) == b"12345"
    peer.writer.write(b"1234567")
    peer.over.set()
    assert await client.rest() == b"1234567"
    [record] = await gateway.settled(1)
    assert (record.status, record.outcome, record.billable, record.flags) == (101, "ok", True, 0)
    assert record.units == {"calls": 1, "in": 5, "out": 7, "ms": -(-record.duration_us // 1000)}


async def test_a_client_that_stops_sending_may_read_on(gateway, tunnel):
    client, peer = await tunnel()
    client.writer.write_eof()
    assert await asyncio.wait_for(peer.reader.read(), 5) == b""
    peer.writer.write(b"last words")
    peer.over.set()
    assert await client.rest() == b"last words"
    [record] = await gateway.settled(1)
    assert (record.outcome, record.response_bytes) == ("ok", 10)


async def test_an_abort_of_either_side_is_an_abort_of_the_other(gateway, tunnel):
    client, peer = await tunnel()
    peer.writer.transport.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER
    peer.writer.transport.abort()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(client.reader.read(), 5)
    [record] = await gateway.settled(1)
    assert (record.outcome, record.billable) == ("truncated", True)
    upstream_peer = gateway.upstream.script = Peer()
    client = await gateway.client()
    await client.send(UPGRADE)
    await client.head()
    client.writer.transport.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")
    client.writer.transport.abort()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(upstream_peer.reader.read(), 5)
    upstream_peer.over.set()
    assert (await gateway.settled(2))[1].outcome == "client_left"


async def test_a_silent_tunnel_ends(gateway, tunnel):
    client, peer = await tunnel(tunnel_idle_us=20_000)
    await asyncio.wait_for(peer.reader.read(), 5)
    assert await client.rest() == b""
    await gateway.settled(1)


async def test_no_tunnel_for_who_did_not_ask(gateway, upstream):
    upstream.script = Peer()
    upstream.script.over.set()
    await gateway.start()
    for request in (b"GET / HTTP/1.1\r\n" + HOST + b"\r\n", UPGRADE.replace(b"/1.1", b"/1.0")):
        client = await gateway.client()
        await client.send(request)
        assert (await client.head()).startswith(b"HTTP/1.1 502 ")


async def test_parts_add_up_in_records_and_counters(gateway, tunnel):
    gateway.limits = (
        Limit("sent", "in", 100, DurationWindow(60_000_000), Algorithm.SLIDING),
        Limit("open", "calls", 5, None, Algorithm.CONCURRENT),
    )
    client, peer = await tunnel()
    for text in (b"12345", b"678"):
        count = len(gateway.spool.records)
        await client.send(text)
        await peer.reader.readexactly(len(text))
        peer.writer.write(text * 2)
        await client.reader.readexactly(2 * len(text))
        checkpoint_now(gateway)
        await until(lambda count=count: len(gateway.spool.records) > count)
        never_again(gateway)
    parts = list(gateway.spool.records)
    [sliding] = [total for total in gateway.counters.totals.values() if total > 1]
    assert sliding == 8 + 3  # what is recorded, and the reservation
    await client.send(b"x")
    await peer.reader.readexactly(1)
    peer.over.set()
    await client.rest()
    records = await gateway.settled(len(parts) + 1)
    assert [record.part for record in records] == [*range(1, len(records)), 0]
    assert {record.outcome for record in records[:-1]} == {"open"}
    assert len({record.id for record in records}) == len({record.at_us for record in records}) == 1
    assert [record.part_at_us for record in records] == sorted(record.part_at_us for record in records)
    for meter, total in (("calls", 1), ("in", 9), ("out", 16)):
        assert sum(record.units.get(meter, 0) for record in records) == total
        assert sum(record.quota_units.get(meter, 0) for record in records) == total
    assert sum(record.request_bytes for record in records) == 9
    assert sum(record.response_bytes for record in records) == 16
    assert sorted(gateway.counters.totals.values()) == [0, 9]
    assert "checkpoint" in gateway.inflight.closed[0]


async def test_a_part_is_due_after_so_many_bytes(gateway, upstream):
    async def run(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n")
        await reader.read()

    upstream.script = run
    gateway.settings = replace(gateway.settings, checkpoint_bytes=5, sweep=0.005)
    await gateway.start()
    client = await gateway.client()
    await client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    await until(lambda: gateway.spool.records)
    [part] = gateway.spool.records
    assert (part.part, part.response_bytes, part.status, part.billable) == (1, 5, 200, True)
    client.close()
    last = (await gateway.settled(2))[1]
    assert (last.part, last.response_bytes, last.outcome) == (0, 0, "client_left")


def revoke(gateway):
    digest, principal = next(iter(gateway.directory.principals.items()))
    revoked = msgspec.structs.replace(principal.key, revoked_us=1)
    gateway.directory.principals[digest] = replace(principal, key=revoked)


def suspend(gateway):
    digest, principal = next(iter(gateway.directory.principals.items()))
    suspended = msgspec.structs.replace(principal.tenant, status="suspended")
    gateway.directory.principals[digest] = replace(principal, tenant=suspended)


@pytest.mark.parametrize("change", [revoke, suspend, lambda gateway: gateway.directory.principals.clear()])
async def test_a_key_that_is_no_longer_good_ends_a_tunnel(gateway, tunnel, change):
    client, peer = await tunnel()
    await client.send(b"12345")
    await peer.reader.readexactly(5)
    change(gateway)
    checkpoint_now(gateway)
    assert await client.rest() == b""
    assert await asyncio.wait_for(peer.reader.read(), 5) == b""
    records = await gateway.settled(2)
    assert (records[-1].outcome, records[-1].billable, sum(record.units["in"] for record in records)) == (
        "ended",
        True,
        5,
    )


async def test_a_key_that_is_no_longer_good_ends_a_stream(gateway, upstream):
    async def run(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345")
        await reader.read()

    upstream.script = run
    gateway.settings = replace(gateway.settings, sweep=0.005)
    await gateway.start()
    client = await gateway.client()
    await client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert b"200 OK" in await client.head()
    await client.reader.readexactly(5)
    revoke(gateway)
    checkpoint_now(gateway)
    assert await client.rest() == b""
    last = (await gateway.settled(2))[-1]
    assert (last.outcome, last.status, last.billable) == ("ended", 200, True)


async def test_a_key_that_is_no_longer_good_ends_an_upload_before_its_answer(gateway, upstream):
    async def run(reader, writer):
        await reader.readuntil(b"12345")
        await reader.read()

    upstream.script = run
    gateway.settings = replace(gateway.settings, sweep=0.005)
    await gateway.start()
    client = await gateway.client()
    await client.send(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\n12345")
    await until(lambda: upstream.seen and upstream.seen[0].endswith(b"12345"))
    checkpoint_now(gateway)
    revoke(gateway)
    assert (await client.head()).startswith(b"HTTP/1.1 401 ")
    [record] = await gateway.settled(1)
    assert (record.outcome, record.part, record.billable, record.counted) == ("ended", 0, False, False)
    await until(lambda: upstream.ended == 1)


@pytest.mark.parametrize("mode", ["hard", "soft"])
async def test_a_hard_limit_that_is_used_up_ends_a_tunnel(gateway, tunnel, mode):
    gateway.limits = (Limit("sent", "in", 8, DurationWindow(60_000_000), Algorithm.SLIDING, mode=mode),)
    client, peer = await tunnel()
    await client.send(b"12345")
    await peer.reader.readexactly(5)
    checkpoint_now(gateway)
    if mode == "hard":
        assert await client.rest() == b""
        assert (await gateway.settled(2))[-1].outcome == "ended"
    else:
        await until(lambda: len(gateway.spool.records) >= 2)
        await client.send(b"678")
        assert await peer.reader.readexactly(3) == b"678"


async def test_a_used_up_limit_never_ends_an_answer(gateway, upstream):
    async def run(reader, writer):
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
        await until(lambda: len(gateway.spool.records) >= 2)
        writer.write(b"67890")
        await reader.read()

    upstream.script = run
    gateway.route_options = {"meters": METERS}
    gateway.limits = (Limit("got", "out", 3, DurationWindow(60_000_000), Algorithm.SLIDING),)
    gateway.settings = replace(gateway.settings, sweep=0.005, checkpoint_interval=0)
    await gateway.start()
    client = await gateway.client()
    await client.send(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
    assert (await client.answer())[1] == b"1234567890"
    records = await gateway.settled(3)
    assert (records[-1].outcome, sum(record.units["out"] for record in records)) == ("ok", 10)


async def test_a_store_that_fails_at_a_checkpoint_ends_nothing(gateway, tunnel):
    gateway.limits = (Limit("sent", "in", 4, DurationWindow(60_000_000), Algorithm.SLIDING),)
    client, peer = await tunnel()
    gateway.counters.unavailable = True
    checkpoint_now(gateway)
    await until(lambda: len(gateway.spool.records) >= 2)
    await client.send(b"12345")
    assert await peer.reader.readexactly(5) == b"12345"
    gateway.spool.broken = True
    await asyncio.sleep(0.02)
    gateway.spool.broken = False
    peer.over.set()
    await client.rest()
    await until(lambda: not gateway.inflight.slots)
    assert sum(record.units["in"] for record in gateway.spool.records) == 5
