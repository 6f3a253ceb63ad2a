"""A closed loop of GETs on kept connections.

``python load.py PORT CONNECTIONS REQUESTS KEYS`` prints how many, p50 and p99 in µs.
"""

import asyncio
import random
import sys
import time

import uvloop


class Caller(asyncio.Protocol):
    """Sends the next request when the answer before it is complete."""

    def __init__(self, state):
        self._state = state
        self._seen = b""

    def connection_made(self, transport):
        self._transport = transport
        self._next()

    def _next(self):
        state = self._state
        if state.left <= 0:
            self._transport.close()
            return
        state.left -= 1
        key = state.random.randrange(state.keys)
        self._begun = time.perf_counter()
        self._transport.write(
            b"GET /api/v1/items?page=1 HTTP/1.1\r\nHost: api.example.com\r\nX-API-Key: bench-key-%012d\r\n"
            b"User-Agent: load/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n\r\n" % key
        )

    def data_received(self, data):
        data = self._seen + data
        if not data.endswith(b'"}'):
            self._seen = data
            return
        self._seen = b""
        if not data.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"unexpected answer: {data[:80]!r}")
        self._state.times.append(time.perf_counter() - self._begun)
        self._next()

    def connection_lost(self, error):
        self._state.open -= 1
        if not self._state.open:
            self._state.done.set()


class State:
    def __init__(self, connections, requests, keys):
        self.left = requests
        self.open = connections
        self.keys = keys
        self.times = []
        self.random = random.Random(7)
        self.done = asyncio.Event()


async def main(port, connections, requests, keys):
    state = State(connections, requests, keys)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(state), "127.0.0.1", port)
    await state.done.wait()
    times = sorted(state.times)
    print(len(times), int(times[len(times) // 2] * 1e6), int(times[len(times) * 99 // 100] * 1e6))


uvloop.run(main(*map(int, sys.argv[1:5])))
