"""Several targets: turns by weight, the least busy, those that fail, those that are checked."""

import asyncio
import socket
from dataclasses import replace

import pytest
from support.process import free_port
from support.wire import KEY, RawUpstream, read_request

from gateway.routing.route import Ejection, HealthCheck, Target, Upstream

HOST = b"Host: api.test\r\nX-API-Key: " + KEY + b"\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\n\r\nx"


def dead():
    """A target whose port nobody listens on."""
    return Target("http", "127.0.0.1", free_port())


def named(name):
    return b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" + name


@pytest.fixture
async def two():
    """Two upstreams that answer a and b."""
    started = [RawUpstream(), RawUpstream()]
    for upstream, name in zip(started, (b"a", b"b"), strict=True):
        upstream.answer = named(name)
        await upstream.start()
    yield started
    for upstream in started:
        await upstream.stop()


def hold(upstream, name):
    """From now on the upstream answers when the event that is returned is set."""
    release = asyncio.Event()

    async def slow(reader, writer):
        while await read_request(reader):
            await release.wait()
            writer.write(named(name))

    upstream.script = slow
    return release


async def reached(*upstreams):
    """Until each of them was asked."""
    async with asyncio.timeout(5):
        while not all(upstream.seen for upstream in upstreams):  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def route(gateway, targets, **more):
    one = gateway.route(read_timeout_us=200_000)
    return replace(one, upstream=Upstream("up", tuple(targets), 500_000, 200_000, **more))


def at(upstream, weight=1):
    return Target("http", "127.0.0.1", upstream.port, weight)


async def ask(gateway, count, request=GET):
    client = await gateway.client()
    answers = []
    for _ in range(count):
        await client.send(request)
        head, body = await client.answer()
        answers.append(body if head.startswith(b"HTTP/1.1 200") else head[9:12])
    client.close()
    return answers


async def test_turns_follow_the_weights(gateway, two):
    gateway.routes = (route(gateway, [at(two[0], 2), at(two[1])]),)
    await gateway.start()
    assert b"".join(await ask(gateway, 6)) == b"abaaba"
    assert {record.target[-5:] for record in await gateway.settled(6)} == {f"{one.port}" for one in two}


async def test_the_least_busy_is_chosen(gateway, two):
    release = hold(two[0], b"a")
    gateway.routes = (route(gateway, [at(two[0]), at(two[1])], balance="least_connections"),)
    await gateway.start()
    waiting = asyncio.ensure_future(ask(gateway, 1))
    await reached(two[0])
    assert await ask(gateway, 4) == [b"b"] * 4
    release.set()
    assert await waiting == [b"a"]


@pytest.mark.parametrize("request_bytes", [GET, POST])
async def test_a_target_that_cannot_be_reached_costs_nobody_a_call(gateway, two, request_bytes):
    gateway.routes = (route(gateway, [dead(), at(two[1])], ejection=Ejection(2, 60_000_000)),)
    await gateway.start()
    assert await ask(gateway, 6, request_bytes) == [b"b"] * 6
    records = await gateway.settled(6)
    assert sorted(record.attempts for record in records) == [1, 1, 1, 1, 2, 2]  # then it was ejected
    assert {record.outcome for record in records} == {"ok"}
    assert list(gateway.metrics.targets.values()) == [0, 1]


async def test_a_target_that_breaks_off_is_ejected_and_probed(gateway, two):
    async def breaking(reader, writer):
        await read_request(reader)

    two[0].script = breaking
    gateway.routes = (route(gateway, [at(two[0]), at(two[1])], ejection=Ejection(1, 60_000_000)),)
    await gateway.start()
    assert await ask(gateway, 3, POST) == [b"502", b"b", b"b"]
    two[0].script = two[0].answer_all
    for member in gateway.server._targets._members.values():
        member.conduct._until_us = 0  # its pause is over
    assert sorted(await ask(gateway, 4)) == [b"a", b"a", b"b", b"b"]


async def test_no_healthy_target(gateway):
    gateway.routes = (route(gateway, [dead(), dead()], ejection=Ejection(1, 60_000_000)),)
    await gateway.start()
    assert await ask(gateway, 2) == [b"502", b"503"]
    records = await gateway.settled(2)
    assert [record.outcome for record in records] == ["connect_failed", "no_target"]
    assert [record.attempts for record in records] == [1, 0]
    assert not any(record.billable for record in records)


async def test_a_single_target_is_never_ejected_for_failing(gateway):
    gateway.routes = (route(gateway, [dead()], ejection=Ejection(1, 60_000_000)),)
    await gateway.start()
    assert await ask(gateway, 3) == [b"502"] * 3


async def test_no_more_connections_to_a_target_than_it_may_have(gateway, two):
    releases = [hold(upstream, b"s") for upstream in two]
    gateway.routes = (route(gateway, [at(two[0]), at(two[1])], max_connections=1, ejection=Ejection(1, 60_000_000)),)
    await gateway.start()
    waiting = [asyncio.ensure_future(ask(gateway, 1)) for _ in range(2)]
    await reached(*two)
    assert await ask(gateway, 2) == [b"503", b"503"]
    assert [(record.outcome, record.attempts, record.billable) for record in gateway.spool.records] == [
        ("no_target", 0, False),
        ("no_target", 0, False),
    ]
    assert list(gateway.metrics.targets.values()) == [1, 1]  # a full target is no failing one
    for release in releases:
        release.set()
    assert [answer for one in waiting for answer in await one] == [b"s", b"s"]
    assert await ask(gateway, 2, POST) == [b"s", b"s"]


async def test_a_kept_connection_makes_room_where_a_call_needs_a_new_one(gateway, two):
    gateway.routes = (route(gateway, [at(two[0])], max_connections=1),)
    await gateway.start()
    assert await ask(gateway, 1) == [b"a"]
    [member] = gateway.server._targets._members.values()
    member.pool._idle[0].idle_since -= 10  # too long ago for what is not idempotent
    assert await ask(gateway, 1, POST) == [b"a"]
    assert (member.pool.open, len(two[0].seen)) == (1, 2)


async def test_a_target_that_cannot_be_reached_leaves_no_connection_counted(gateway):
    gateway.routes = (route(gateway, [dead()], max_connections=1),)
    await gateway.start()
    assert await ask(gateway, 3) == [b"502"] * 3
    [member] = gateway.server._targets._members.values()
    assert member.pool.open == 0


async def test_a_call_that_finds_a_target_full_uses_the_next_ones_kept_connection(gateway, two):
    release = hold(two[0], b"a")
    gateway.routes = (route(gateway, [at(two[0], 1000), at(two[1])], max_connections=1),)
    await gateway.start()
    waiting = asyncio.ensure_future(ask(gateway, 1))
    await reached(two[0])
    assert await ask(gateway, 6) == [b"b"] * 6
    assert len(two[1].seen) == 1
    release.set()
    assert await waiting == [b"a"]


@pytest.mark.parametrize("greeting", [b"", b"220 hello\r\n"])
async def test_a_target_that_closes_or_speaks_at_once_is_502_and_ejected(gateway, two, greeting):
    async def rude(reader, writer):
        writer.write(greeting)
        writer.close()

    two[0].script = rude
    gateway.routes = (route(gateway, [at(two[0]), at(two[1])], max_connections=1, ejection=Ejection(2, 60_000_000)),)
    await gateway.start()
    answers = await ask(gateway, 12)
    assert set(answers) <= {b"502", b"b"}  # never an error of ours
    assert answers[-6:] == [b"b"] * 6
    assert list(gateway.metrics.targets.values()) == [0, 1]
    members = gateway.server._targets._members.values()
    assert sorted(member.pool.open for member in members) == [0, 1]


@pytest.mark.parametrize("first", ["silent", "closed"])
async def test_a_name_whose_first_address_does_not_answer_is_reached_at_the_next(gateway, two, first):
    port = two[0].port
    with socket.socket() as silent:
        if first == "silent":  # its queue is full: what knocks is not answered
            silent.bind(("127.0.0.2", port))
            silent.listen(0)
            full = [socket.socket() for _ in range(2)]
            for one in full:
                one.setblocking(False)
                one.connect_ex(("127.0.0.2", port))

        async def found(host, port, **more):
            return [(2, 1, 6, "", (address, port)) for address in ("127.0.0.2", "127.0.0.2", "127.0.0.1")]

        asyncio.get_running_loop().getaddrinfo = found
        gateway.routes = (route(gateway, [Target("http", "api.internal", port)]),)
        await gateway.start()
        assert await ask(gateway, 1) == [b"a"]
        [record] = await gateway.settled(1)
        assert record.attempts == 1
        if first == "silent":
            assert record.ttfb_us > 200_000  # half of the time to connect
            for one in full:
                one.close()


async def test_active_checks_take_a_target_out_and_back(gateway, two):
    healthy = False

    async def checked(reader, writer):
        while (request := await read_request(reader)) is not None:
            if request[0].startswith(b"GET /healthz "):
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (204 if healthy else 500))
            else:
                writer.write(named(b"a"))

    two[0].script = checked
    check = HealthCheck("/healthz", interval_us=5_000, timeout_us=1_000_000, failures=2)
    gateway.routes = (route(gateway, [at(two[0])], health=check),)
    await gateway.start()

    async def until(standing):
        async with asyncio.timeout(5):
            while list(gateway.metrics.targets.values()) != [standing]:  # noqa: ASYNC110
                await asyncio.sleep(0.002)

    await until(0)
    assert await ask(gateway, 2) == [b"503", b"503"]
    healthy = True
    await until(1)
    assert await ask(gateway, 1) == [b"a"]
    gateway.routes = (route(gateway, [at(two[1])]),)
    gateway.server.swap(gateway.snapshot())
    assert await ask(gateway, 1) == [b"b"]
    assert gateway.metrics.targets == {}


async def test_a_reload_forgets_no_ejection(gateway, two):
    targets, lost = [dead(), at(two[1])], Ejection(1, 60_000_000)
    gateway.routes = (route(gateway, targets, ejection=lost),)
    await gateway.start()
    assert await ask(gateway, 2) == [b"b", b"b"]
    gateway.routes = (route(gateway, targets, ejection=lost, balance="least_connections"),)
    gateway.server.swap(gateway.snapshot())
    assert await ask(gateway, 2) == [b"b", b"b"]
    assert [record.attempts for record in await gateway.settled(4)] == [2, 1, 1, 1]
