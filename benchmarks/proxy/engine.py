"""The engine alone: no sockets, no other process. CPU per exchange, and of head parsing beside httptools.

``python benchmarks/proxy/engine.py [PROFILE]``. Kernel and socket I/O are the difference to ``run.py``.
"""

import asyncio
import cProfile
import logging
import pstats
import sys
import time
from pathlib import Path

import httptools
import uvloop

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent.parent / "tests")]

from support.wire import KEY, Gateway, RawUpstream  # noqa: E402

from gateway.http.request import Request, RequestFields  # noqa: E402

GET = (
    b"GET /api/v1/items?page=1 HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key: " + KEY + b"\r\n"
    b"User-Agent: load/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\r\n"
)
BODY = b'{"message": "%b"}' % (b"x" * 82)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class FakeTransport:
    """Takes what is written and calls back."""

    def __init__(self, on_write):
        self.write = on_write

    def is_closing(self):
        return False

    def get_extra_info(self, name):
        return ("127.0.0.1", 1) if name == "peername" else None

    def can_write_eof(self):
        return True

    def nothing(self):
        """Pause, resume, abort, close."""

    pause_reading = resume_reading = abort = close = write_eof = nothing


class Bench:
    """A closed loop of one client connection."""

    async def run(self, count):
        loop = asyncio.get_running_loop()
        gateway = Gateway(RawUpstream())
        await gateway.start()
        server = gateway.server
        gateway.spool.append = lambda entry: 1
        gateway.inflight.open = lambda call, record, packed: 1
        for name in ("reserved", "sent", "settled", "close"):
            setattr(gateway.inflight, name, lambda *ignored: None)
        upstream_writes = []

        async def connect(factory, *ignored, **options):
            connection = factory()
            connection.connection_made(FakeTransport(upstream_writes.append))
            connection.transport.write = lambda data: loop.call_soon(connection.data_received, ANSWER)
            return connection.transport, connection

        pool = server.plan.match(b"api.example.com", b"GET", b"/").value.balancer.members[0].pool
        from gateway.proxy.upstream import UpstreamConnection

        kept = UpstreamConnection(pool, loop, 65536)
        kept.connection_made(FakeTransport(lambda data: loop.call_soon(kept.data_received, ANSWER)))
        kept.used = 1
        kept.keep_until = float("inf")
        pool.keep(kept)
        done = asyncio.Event()
        left = count
        client = server.protocol_factory()

        def answered(data):
            nonlocal left
            left -= 1
            if left:
                loop.call_soon(client.data_received, GET)
            else:
                done.set()

        client.connection_made(FakeTransport(answered))
        await asyncio.sleep(0)
        begun = time.process_time()
        client.data_received(GET)
        await done.wait()
        return (time.process_time() - begun) / count * 1e6


class Nothing:
    """httptools' callbacks, none of which does anything."""

    def __init__(self):
        self.headers = []

    def on_url(self, url):
        self.url = url

    def on_header(self, name, value):
        self.headers.append((name, value))

    def on_message_complete(self):
        self.done = True


def parse_own():
    """What a connection does with a section that it has not seen."""
    line_end = GET.find(b"\r\n")
    end = GET.find(b"\r\n\r\n")
    Request(GET[:line_end], RequestFields(GET[line_end + 2 : end + 2]))


FIELDS = RequestFields(GET[GET.find(b"\r\n") + 2 : GET.find(b"\r\n\r\n") + 2])


def parse_repeated():
    """What it does with a section that it has."""
    line_end = GET.find(b"\r\n")
    end = GET.find(b"\r\n\r\n")
    assert GET[line_end + 2 : end + 2] == FIELDS.section
    Request(GET[:line_end], FIELDS)


def parse_httptools():
    """The same head through llhttp, before any meaning is looked for."""
    protocol = Nothing()
    parser = httptools.HttpRequestParser(protocol)
    parser.feed_data(GET)
    parser.get_method()
    parser.should_keep_alive()


def best(function, count=20_000, rounds=5):
    """The least CPU time of a call over some rounds, in µs."""
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(count):
            function()
        times.append((time.process_time() - begun) / count * 1e6)
    return min(times)


def main():
    logging.disable()
    print(f"loop alone {best(lambda: None):.2f} µs")
    for function in (parse_own, parse_repeated, parse_httptools):
        print(f"{function.__name__:16} {best(function):6.2f} µs")
    if len(sys.argv) > 1:
        profile = cProfile.Profile()
        profile.enable()
        uvloop.run(Bench().run(20_000))
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return
    rounds = [uvloop.run(Bench().run(20_000)) for _ in range(5)]
    print(f"exchange         {min(rounds):6.2f} µs (no limits, ports in memory)")


main()
