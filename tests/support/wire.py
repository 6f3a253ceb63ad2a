"""A gateway on real sockets with in-memory ports, and an upstream that answers with the bytes it is told."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from pathlib import Path

from gateway.clock import SystemClock
from gateway.config.snapshot import Address, PlanLimits, ServerSettings, Snapshot, SpoolSettings
from gateway.errors import StoreUnavailable
from gateway.hooks import Registry
from gateway.metering.record import CallRecord, RefusalCount, SpoolEntry
from gateway.proxy.metrics import Metrics
from gateway.proxy.server import ProxyServer
from gateway.proxy.services import Services
from gateway.proxy.settings import Settings
from gateway.quotas.counter import Decision, LimitState, Reservation
from gateway.quotas.limit import Limit
from gateway.routing.route import Meter, Route, Target, Upstream
from gateway.tenants.model import Key, Principal, Tenant

KEY = b"customer-key-0123456789"


class MemoryDirectory:
    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.principals: dict[bytes, Principal] = {}

    def put(self, key: bytes, principal: Principal) -> None:
        self.principals[sha256(key).digest()] = principal

    def find(self, digest: bytes) -> Principal | None:
        return self.principals.get(digest)


class MemoryCounters:
    """Plain totals by counter, windows that never end."""

    def __init__(self) -> None:
        self.totals: dict[bytes, int] = {}
        self.unavailable = False
        self.clock = SystemClock()

    def now(self) -> int:
        return self.clock.now()

    async def reserve(self, call_id: bytes, reservation: Reservation) -> Decision:
        if self.unavailable:
            raise StoreUnavailable("the store is down")
        at_us = self.now()
        states = []
        for request in reservation.requests:
            used = self.totals.get(request.counter.key, 0)
            violated = used + request.amount > request.counter.max
            remaining = max(0, request.counter.max - used - request.amount)
            retry = at_us + 1_500_000 if violated else 0
            states.append(
                LimitState(
                    request.counter.limit, remaining, at_us + 60_000_000, violated, retry, request.counter.window_us
                )
            )
        if any(state.violated for state in states):
            return Decision(False, at_us, tuple(states))
        for request in reservation.requests:
            self.totals[request.counter.key] = self.totals.get(request.counter.key, 0) + request.amount
        return Decision(True, at_us, tuple(states))

    async def settle(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None:
        for request, amount in zip(reservation.requests, actual, strict=True):
            self.totals[request.counter.key] += amount - request.amount

    async def release(self, call_id: bytes, at_us: int, reservation: Reservation) -> None:
        await self.settle(call_id, at_us, reservation, [0] * len(reservation.requests))

    async def count(self, call_id: bytes, at_us: int, reservation: Reservation, actual: Sequence[int]) -> None:
        for request, amount in zip(reservation.requests, actual, strict=True):
            self.totals[request.counter.key] = self.totals.get(request.counter.key, 0) + amount


class MemoryInflight:
    def __init__(self) -> None:
        self.slots: dict[int, list[str]] = {}
        self.closed: list[list[str]] = []
        self._next = 0

    def open(self, call_id: bytes, record: CallRecord, reservation: bytes) -> int:
        self._next += 1
        self.slots[self._next] = ["open"]
        return self._next

    def reserved(self, slot: int, at_us: int, taken: bool = True) -> None:
        self.slots[slot].append("reserved" if taken else "let pass")

    def sent(self, slot: int) -> None:
        self.slots[slot].append("sent")

    def checkpoint(self, slot: int, record: CallRecord) -> None:
        self.slots[slot].append("checkpoint")

    def settled(self, slot: int) -> None:
        self.slots[slot].append("settled")

    def close(self, slot: int) -> None:
        self.closed.append([*self.slots.pop(slot), "close"])


class MemorySpool:
    def __init__(self) -> None:
        self.entries: list[SpoolEntry] = []
        self.full = False
        self.broken = False

    def append(self, entry: SpoolEntry) -> int:
        if self.broken:
            raise OSError(28, "no space left on device")
        self.entries.append(entry)
        return len(self.entries)

    def has_room(self) -> bool:
        return not self.full

    @property
    def records(self) -> list[CallRecord]:
        return [entry for entry in self.entries if isinstance(entry, CallRecord)]

    @property
    def refusals(self) -> list[RefusalCount]:
        return [entry for entry in self.entries if isinstance(entry, RefusalCount)]


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawUpstream:
    """Runs a script per connection; ``seen`` holds all bytes that arrived, per connection."""

    def __init__(self) -> None:
        self.seen: list[bytearray] = []
        self.script: Script = self.answer_all
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.ended = 0
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recorded = _Recording(reader, bytearray())
        self.seen.append(recorded.bytes)
        try:
            await self.script(recorded, writer)  # type: ignore[arg-type]
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.ended += 1
            writer.close()

    async def answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every request with ``answer``, request bodies read by Content-Length or chunked."""
        while await read_request(reader):
            writer.write(self.answer)

    @property
    def requests(self) -> int:
        return sum(bytes(data).count(b" HTTP/1.1\r\n") for data in self.seen)


class _Recording:
    def __init__(self, reader: asyncio.StreamReader, data: bytearray) -> None:
        self._reader = reader
        self.bytes = data

    async def readuntil(self, separator: bytes) -> bytes:
        try:
            data = await self._reader.readuntil(separator)
        except asyncio.IncompleteReadError as error:
            self.bytes += error.partial
            raise
        self.bytes += data
        return data

    async def readexactly(self, size: int) -> bytes:
        data = await self._reader.readexactly(size)
        self.bytes += data
        return data

    async def read(self, size: int = -1) -> bytes:
        data = await self._reader.read(size)
        self.bytes += data
        return data


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes] | None:
    """One request's head and raw body; None at the connection's end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        body = b""
        while True:
            size = await reader.readuntil(b"\r\n")
            body += size
            if int(size, 16) == 0:
                while True:
                    line = await reader.readuntil(b"\r\n")
                    body += line
                    if line == b"\r\n":
                        return head, body
            body += await reader.readexactly(int(size, 16) + 2)
    if b"content-length:" in lower:
        length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
        return head, await reader.readexactly(length)
    return head, b""


class RawClient:
    """A client that sends bytes and reads bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes, *, byte_by_byte: bool = False) -> None:
        if not byte_by_byte:
            self.writer.write(data)
            await self.writer.drain()
            return
        self.writer.get_extra_info("socket").setsockopt(6, 1, 1)
        for index in range(len(data)):
            self.writer.write(data[index : index + 1])
            await asyncio.sleep(0)

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body by Content-Length or chunked (raw)."""
        head = await self.head()
        lower = head.lower()
        if b"content-length:" in lower:
            length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
            return head, await asyncio.wait_for(self.reader.readexactly(length), 5)
        if b"transfer-encoding: chunked" in lower:
            return head, await asyncio.wait_for(self.reader.readuntil(b"0\r\n\r\n"), 5)
        return head, b""

    async def rest(self) -> bytes:
        try:
            return await asyncio.wait_for(self.reader.read(), 5)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self.writer.close()


class Gateway:
    """The gateway under test, with its ports laid open."""

    def __init__(self, upstream: RawUpstream) -> None:
        self.upstream = upstream
        self.registry = Registry()
        self.counters = MemoryCounters()
        self.inflight = MemoryInflight()
        self.spool = MemorySpool()
        self.metrics = Metrics()
        self.settings = Settings(hold=0.05)
        self.route_options: dict[str, object] = {}
        self.limits: tuple[Limit, ...] = ()
        self.routes: tuple[Route, ...] = ()
        self.headers = "ietf"
        self.on_error = "refuse"
        self.trusted: tuple[str, ...] = ()
        self.targets: tuple[Target, ...] = ()

    def route(self, name: str = "api", paths: Sequence[str] = ("/",), **fields: object) -> Route:
        targets = self.targets or (Target("http", "127.0.0.1", self.upstream.port),)
        connect_us, read_us = fields.pop("connect_timeout_us", 500_000), fields.pop("read_timeout_us", 5_000_000)
        upstream = Upstream("up", targets, connect_us, read_us)  # type: ignore[arg-type]
        fields.setdefault("meters", (Meter("calls", "constant", 1),))
        return Route(name, upstream, tuple(paths), **fields)  # type: ignore[arg-type]

    def snapshot(self) -> Snapshot:
        routes = self.routes or (self.route(**self.route_options),)  # type: ignore[arg-type]
        here = Address("127.0.0.1", 0)
        return Snapshot(
            version=1, folder=Path(), data_dir=Path(), store_url="", counters_url="", counters_deadline_us=50_000,
            server=ServerSettings(here, here, None, "", 1, self.trusted, ()),
            spool=SpoolSettings("interval", self.on_error, 1 << 30, 0), headers=self.headers, address_mode="full",
            plugins=(), upstreams={}, routes=routes, plans={"free": PlanLimits("free", "v1", self.limits)},
            tenants={}, keys=(), source={},
        )  # fmt: skip

    async def start(self) -> None:
        self.directory = MemoryDirectory(self.snapshot())
        tenant = Tenant("acme", "Acme", "free")
        self.directory.put(KEY, Principal(tenant, Key("k1", "acme", sha256(KEY).digest())))
        self.server = ProxyServer(
            Services(
                directory=self.directory, counters=self.counters, inflight=self.inflight, spool=self.spool,
                clock=SystemClock(), metrics=self.metrics, logger=logging.getLogger("test"), registry=self.registry,
                settings=self.settings,
            )
        )  # fmt: skip
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self.server.protocol_factory, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._listener.close()
        await self.server.drain(0.02)

    async def client(self) -> RawClient:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        return RawClient(reader, writer)

    async def settled(self, records: int) -> list[CallRecord]:
        """Wait until so many records are there and no slot is open."""
        async with asyncio.timeout(5):
            while len(self.spool.records) < records or self.inflight.slots:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        return self.spool.records
