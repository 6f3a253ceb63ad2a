"""GETs on kept connections: a closed loop, or RATE a second with latency counted from when each was due.

``python load.py PORT CONNECTIONS REQUESTS KEYS [RATE [once]]`` prints how many, p50 and p99 in µs, and seconds. Keys
are drawn at random; with ``once`` each is used in its turn.
"""

import asyncio
import random
import sys
import time
from collections import deque

import uvloop


class Caller(asyncio.Protocol):
    """Sends the next request when the answer before it is complete."""

    def __init__(self, state):
        self._state = state
        self._seen = b""

    def connection_made(self, transport):
        self._transport = transport

    def send(self, due):
        state = self._state
        key = state.next_key()
        self._begun = due
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
        self._state.answered(self, time.perf_counter() - self._begun)

    def connection_lost(self, error):
        if not self._state.done.is_set():
            raise SystemExit(f"connection lost: {error}")


class State:
    def __init__(self, requests, keys, rate, once):
        self.requests, self.keys, self.rate = requests, keys, rate
        self.sent = 0
        self.times = []
        self.idle = deque()
        self.due = deque()
        self.random = random.Random()  # other keys in each round
        self.turn = -1
        self.once = once
        self.done = asyncio.Event()

    def next_key(self):
        if not self.once:
            return self.random.randrange(self.keys)
        self.turn += 1
        return self.turn % self.keys

    def answered(self, caller, seconds):
        self.times.append(seconds)
        if len(self.times) == self.requests:
            self.done.set()
        elif self.rate:
            caller.send(self.due.popleft()) if self.due else self.idle.append(caller)
        elif self.sent < self.requests:
            self.sent += 1
            caller.send(time.perf_counter())

    async def pace(self):
        begun = time.perf_counter()
        while self.sent < self.requests:
            now = time.perf_counter()
            while self.sent < self.requests and begun + self.sent / self.rate <= now:
                due = begun + self.sent / self.rate
                self.sent += 1
                self.idle.popleft().send(due) if self.idle else self.due.append(due)
            await asyncio.sleep(0.0005)


async def main(port, connections, requests, keys, rate=0, once=False):
    state = State(requests, keys, rate, once)
    loop = asyncio.get_running_loop()
    callers = [(await loop.create_connection(lambda: Caller(state), "127.0.0.1", port))[1] for _ in range(connections)]
    begun = time.perf_counter()
    state.idle.extend(callers)
    if rate:
        await state.pace()
    else:
        for caller in callers:
            state.sent += 1
            caller.send(time.perf_counter())
    await state.done.wait()
    seconds = time.perf_counter() - begun
    times = sorted(state.times)
    print(len(times), int(times[len(times) // 2] * 1e6), int(times[len(times) * 99 // 100] * 1e6), f"{seconds:.3f}")


uvloop.run(main(*map(int, sys.argv[1:6]), once=sys.argv[6:] == ["once"]))
