"""Clients that read slowly or not at all: they cost themselves, never another call or the worker's memory."""

import asyncio
import socket

from support.wire import KEY, RawClient

from gateway.proxy.aborting import acknowledged

GET = b"GET /big HTTP/1.1\r\nHost: api.test\r\nX-API-Key: " + KEY + b"\r\n\r\n"
UNKNOWN = b"GET / HTTP/1.1\r\nHost: api.test\r\nX-API-Key: nobodys-key-0123456789\r\n\r\n"


async def until(condition):
    """Wait until it holds; the test's own timeout ends what never does."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_last_piece_that_waits_for_its_client_leaves_the_connection_to_others(gateway, upstream):
    piece = b"x" * 60_000

    async def run(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(piece) + piece)

    upstream.script = run
    await gateway.start()
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before the window is agreed on
    small.connect(("127.0.0.1", gateway.port))
    small.setblocking(False)
    slow, other = RawClient(*await asyncio.open_connection(sock=small)), await gateway.client()
    slow.writer.transport.pause_reading()
    await until(lambda: len(gateway.server.connections) == 2)
    for connection in gateway.server.connections:
        connection.transport.set_write_buffer_limits(high=0)
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    await slow.send(GET)
    await gateway.settled(1)  # complete for the upstream, and most of it still here
    assert any(connection.write_paused for connection in gateway.server.connections)
    await other.send(GET)
    assert (await asyncio.wait_for(other.answer(), 5))[1] == piece
    assert len(upstream.seen) == 1  # by the same connection
    slow.writer.transport.resume_reading()
    assert (await slow.answer())[1] == piece


async def test_who_reads_no_answers_gets_no_more(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    client.writer.transport.pause_reading()
    many = 30_000
    client.writer.write(UNKNOWN * many)
    (connection,) = gateway.server.connections
    before = -1
    while connection.served > before:
        before = connection.served
        await asyncio.sleep(0.1)
    assert connection.write_paused
    assert 0 < connection.served < many
    assert connection.transport.get_write_buffer_size() < 1 << 20
    client.writer.transport.resume_reading()
    text = b""
    for _ in range(many):
        while b"\r\n\r\n" not in text:
            text += await client.reader.read(1 << 20)
        head, _, text = text.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(text) < length:
            text += await client.reader.read(1 << 20)
        assert head.startswith(b"HTTP/1.1 401 ")
        text = text[length:]


async def test_who_never_reads_is_cut_off(gateway, upstream):
    await gateway.start()
    client = await gateway.client()
    client.writer.transport.pause_reading()
    client.writer.write(UNKNOWN * 30_000)
    (connection,) = gateway.server.connections
    await until(lambda: connection.write_paused)
    assert connection.deadline < float("inf")

    def cut():
        connection.on_deadline()
        return connection.transport.is_closing()

    await until(cut)  # not at once where the kernel still took of it
    await until(lambda: not gateway.server.connections)


async def test_who_reads_slowly_is_not_cut_off(gateway, upstream):
    upstream.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000)
    await gateway.start()
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    small.connect(("127.0.0.1", gateway.port))
    small.setblocking(False)
    loop = asyncio.get_running_loop()
    await until(lambda: gateway.server.connections)
    (connection,) = gateway.server.connections
    connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    await loop.sock_sendall(small, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    await until(lambda: connection.write_paused)
    received = asked = 0
    while data := await loop.sock_recv(small, 4096):
        received += len(data)
        if connection.write_paused and acknowledged(connection.transport) > connection._taken:
            asked += 1
            connection.on_deadline()
            assert gateway.server.loop.time() < connection.deadline < float("inf")
    assert asked
    assert received > 1_000_000
    small.close()


async def test_pipelined_requests_are_read_no_faster_than_they_are_answered(gateway, upstream):
    held = []

    async def run(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            held.extend(len(one._buffer) for one in gateway.server.connections)
            writer.write(upstream.answer)

    upstream.script = run
    await gateway.start()
    client = await gateway.client()
    many = 250
    client.writer.write(GET.replace(b"/big", b"/" + b"x" * 7000) * many + GET)
    for _ in range(many + 1):
        assert (await client.answer())[1] == b"ok"
    assert len(held) == many + 1
    assert max(held) < 400_000  # what waits when reading stops, and one read


async def test_an_upstream_that_has_not_taken_a_body_gets_no_other_call(gateway, upstream):
    async def run(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            (connection,) = gateway.server.connections
            connection.exchange.upstream.pause_writing()  # as if there were bytes that it does not read
            writer.write(upstream.answer)

    upstream.script = run
    await gateway.start()
    client = await gateway.client()
    for _ in range(2):
        await client.send(GET)
        assert (await client.answer())[1] == b"ok"
    assert len(upstream.seen) == 2


async def test_an_upstream_that_takes_a_body_slowly_is_given_the_time(gateway, upstream):
    deadlines = []

    async def run(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        (connection,) = gateway.server.connections
        taking = connection.exchange.upstream
        taking.pause_writing()
        taking._taken -= 1  # as if it had taken a byte since
        for _ in range(2):
            connection.on_deadline()
            deadlines.append(connection.deadline)
        await reader.read()

    upstream.script = run
    await gateway.start()
    client = await gateway.client()
    await client.send(b"POST / HTTP/1.1\r\nHost: api.test\r\nX-API-Key: " + KEY + b"\r\nContent-Length: 9\r\n\r\nx")
    assert (await client.answer())[0].startswith(b"HTTP/1.1 504 ")
    assert deadlines[0] < float("inf")
