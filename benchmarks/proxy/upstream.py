"""The smallest upstream: answers every GET with 100 bytes of JSON. ``python upstream.py PORT``."""

import asyncio
import sys

import uvloop

BODY = b'{"message": "%b"}' % (b"x" * 82)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Answering(asyncio.Protocol):
    """One answer per request head; requests have no body."""

    def __init__(self) -> None:
        self._pending = b""

    def connection_made(self, transport):
        self._transport = transport

    def data_received(self, data):
        data = self._pending + data
        heads = data.count(b"\r\n\r\n")
        self._pending = data[data.rfind(b"\r\n\r\n") + 4 :] if heads else data
        self._transport.write(ANSWER * heads)


async def main():
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


uvloop.run(main())
