"""Load for tests that need thousands of calls: kept connections and an upstream on one event loop, no library."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

import uvloop

Result = TypeVar("Result")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def request(key: str, path: str = "/x") -> bytes:
    """A whole GET with a credential."""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n".encode()


class _Answering(asyncio.Protocol):
    def __init__(self, reached: list[bytes]) -> None:
        self._reached = reached

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Heads come whole: the gateway writes one at a time."""
        heads = [head for head in data.split(b"\r\n\r\n") if head]
        self._reached += heads
        self._transport.write(ANSWER * len(heads))  # type: ignore[attr-defined]


@dataclass
class Seen:
    """What clients were answered: how often each (label, status), and the last answer's head per status."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    heads: dict[int, bytes] = field(default_factory=dict)

    def by_status(self) -> dict[int, int]:
        """How often each status."""
        found: Counter[int] = Counter()
        for (_, status), count in self.statuses.items():
            found[status] += count
        return dict(found)


class _Client(asyncio.Protocol):
    """Sends one request after another, each when the last is answered, until there are no more."""

    def __init__(self, asked: Iterator[tuple[str, bytes]], seen: Seen, done: "asyncio.Future[None]") -> None:
        self._asked, self._seen, self._done = asked, seen, done
        self._label, self._data = "", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        length = int(lowered.rpartition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        status = int(head[9:12])
        self._seen.statuses[self._label, status] += 1
        self._seen.heads[status] = head
        self._data = b""
        if b"\r\nconnection: close" in lowered:
            self._fail(ConnectionError(f"the gateway closed after {status}"))
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or ConnectionError("the gateway closed the connection"))

    def _ask(self) -> None:
        following = next(self._asked, None)
        if following is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._label, request_bytes = following
        self._transport.write(request_bytes)  # type: ignore[attr-defined]

    def _fail(self, error: Exception) -> None:
        if not self._done.done():
            self._done.set_exception(error)


async def hammer(urls: Iterable[str], clients: int, asked: Iterable[tuple[str, bytes]]) -> Seen:
    """All of ``asked``, (label, request) each, by ``clients`` connections at once, spread over ``urls``."""
    loop, seen, shared = asyncio.get_running_loop(), Seen(), iter(asked)
    places = [(url.hostname, url.port) for url in map(urlsplit, urls)]
    done = []
    for number in range(clients):
        done.append(ended := loop.create_future())
        await loop.create_connection(lambda ended=ended: _Client(shared, seen, ended), *places[number % len(places)])  # type: ignore[misc]
    await asyncio.gather(*done)
    return seen


@asynccontextmanager
async def answering(port: int) -> AsyncIterator[list[bytes]]:
    """An upstream on ``port`` that answers every head with the same bytes; yields the heads that reached it."""
    reached: list[bytes] = []
    server = await asyncio.get_running_loop().create_server(lambda: _Answering(reached), "127.0.0.1", port)
    try:
        yield reached
    finally:
        server.close()


def run(work: Callable[[], "asyncio.Future[Result]"]) -> Result:
    """A coroutine function on a fast event loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())  # type: ignore[arg-type]
