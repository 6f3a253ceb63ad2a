"""One connection to one Redis node: all commands of a loop turn leave in one write, answers come back in order.

A command that is not answered within the deadline ends the connection, so that nobody waits behind a frozen server;
it is opened again in the background, and until then every command fails at once (SEMANTICS §22).
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

import hiredis

from gateway.config.redis_url import RedisAddress
from gateway.counters import redis_form as form
from gateway.errors import StoreUnavailable

HANDSHAKE: Final = 1.0
PAUSES: Final[tuple[float, ...]] = (0.0, 0.05, 0.1, 0.2, 0.5)
GRACE: Final = 0.03
"""At most on top, and as long as this process was kept from its work: so, likely, was the server beside it."""
_LATE: Final = 0.005  # a timer that comes so long after its time tells of that
CLOCK_SLACK_US: Final = 5_000
_TIMES, _QUICK = 4, 0.005
_FATAL: Final[tuple[str, ...]] = (
    "NOSCRIPT",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "NOAUTH",
    "CLUSTERDOWN",
    "MOVED",
    "ASK",
    "TRYAGAIN",
)
_logger = logging.getLogger(__name__)

Reply = bytes | int | None | list[object]
Waiting = tuple["asyncio.Future[object]", float]


class RedisLink(asyncio.Protocol):
    """Reconnects until it is closed. ``epoch`` names the life of the server's data; it is empty while down."""

    def __init__(self, address: RedisAddress, on_up: Callable[["RedisLink"], None]) -> None:
        self.address = address
        self.epoch = ""
        self.cluster = False
        self._on_up = on_up
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = hiredis.Reader()
        self._waiting: deque[Waiting] = deque()
        self._out: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        self._clock_offset = 0.0
        self._closed = False
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self._error = "not connected yet"
        self._task = self._loop.create_task(self._keep(), name=f"redis {address.host}:{address.port}")

    @property
    def is_up(self) -> bool:
        return bool(self.epoch)

    def not_after(self) -> bytes:
        """The server's time, about, at which a command sent now is past its deadline."""
        return b"%d" % ((self._loop.time() + self.address.deadline + GRACE) * 1e6 + self._clock_offset + CLOCK_SLACK_US)

    def ask(self, command: bytes) -> "asyncio.Future[object]":
        """Send a command with those of this loop turn; the future has its answer. Raises ``StoreUnavailable``."""
        if not self.epoch:
            raise StoreUnavailable(f"Redis does not answer: {self._error}", "unavailable")
        return self._ask(command, self.address.deadline)

    def drop(self, reason: str) -> None:
        """End the connection; a new one is opened at once."""
        self.epoch = ""
        self._up.clear()
        self._error = reason
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._out.clear()
        waiting, self._waiting = self._waiting, deque()
        for future, _ in waiting:
            if not future.done():
                future.set_exception(StoreUnavailable(f"Redis does not answer: {reason}", "unavailable"))
        self._lost.set()

    async def close(self) -> None:
        """Let go of the connection for good."""
        self._closed = True
        self.drop("closed")
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def until_up(self, timeout: float) -> bool:
        """Wait for the connection; False when it does not come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._up.wait()
        return bool(self.epoch)

    # ── the event loop's side ────────────────────────────────────────────────────────────────────────────────────

    def data_received(self, data: bytes) -> None:
        reader, waiting = self._reader, self._waiting
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not False:
                if not waiting:
                    return self.drop("it answered what was not asked")
                future, _ = waiting.popleft()
                if isinstance(reply, hiredis.ReplyError):
                    self._refused(future, str(reply))
                elif not future.done():
                    future.set_result(reply)
        except hiredis.ProtocolError as error:
            self.drop(str(error))
        return None

    def connection_lost(self, error: Exception | None) -> None:
        if self._transport is not None:
            self.drop(str(error) if error else "it closed the connection")

    def _refused(self, future: "asyncio.Future[object]", text: str) -> None:
        if not future.done():
            future.set_exception(StoreUnavailable(f"Redis refused: {text}", "refused"))
        if text.startswith(_FATAL):
            self.drop(text)

    def _ask(self, command: bytes, within: float) -> "asyncio.Future[object]":
        loop = self._loop
        future: asyncio.Future[object] = loop.create_future()
        if not self._out:
            loop.call_soon(self._flush)
        self._out.append(command)
        deadline = loop.time() + within
        self._waiting.append((future, deadline))
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._look)
        return future

    def _flush(self) -> None:
        out = self._out
        if out and self._transport is not None:
            self._transport.write(b"".join(out))
            out.clear()

    def _look(self) -> None:
        """Whether the oldest command is past its deadline: one timer serves all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting = self._waiting
        if not waiting:
            return
        oldest, deadline = waiting[0]
        now = self._loop.time()
        if deadline > now:
            self._timer = self._loop.call_at(deadline, self._look)
        elif now - deadline < _LATE:
            self._read_once_more(oldest)
        else:
            self._timer = self._loop.call_at(min(deadline + GRACE, 2 * now - deadline), self._read_once_more, oldest)

    def _read_once_more(self, oldest: "asyncio.Future[object]", turns: int = 2) -> None:
        """A process that was kept from its work wakes to its timers first: what came meanwhile is read before."""
        if turns:
            self._loop.call_soon(self._read_once_more, oldest, turns - 1)
        elif self._transport is not None:
            self._give_up(oldest)

    def _give_up(self, oldest: "asyncio.Future[object]") -> None:
        if self._waiting and self._waiting[0][0] is oldest:
            self.drop("no answer within the deadline")
        else:
            self._look()

    # ── connecting ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _keep(self) -> None:
        failures = 0
        while not self._closed:
            self._lost.clear()
            try:
                async with asyncio.timeout(HANDSHAKE):
                    await self._connect()
            except (OSError, TimeoutError, StoreUnavailable) as error:
                self.drop(str(error) or "no answer to the greeting")
                if failures == 0:
                    _logger.warning("redis does not answer", extra={"reason": self._error})
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
                failures += 1
                continue
            if failures:
                _logger.warning("redis answers again", extra={"failures": failures})
            failures = 0
            with contextlib.suppress(StoreUnavailable):
                self._on_up(self)
            await self._lost.wait()

    async def _connect(self) -> None:
        address = self.address
        self._reader = hiredis.Reader()
        context = await asyncio.to_thread(address.context) if address.tls else None  # reads files: anew, but aside
        transport, _ = await self._loop.create_connection(lambda: self, address.host, address.port, ssl=context)
        self._transport = transport
        if address.password:
            login = [address.user.encode()] if address.user else []
            await self._ask(form.command(b"AUTH", *login, address.password.encode()), HANDSHAKE)
        if address.database:
            await self._ask(form.command(b"SELECT", b"%d" % address.database), HANDSHAKE)
        info = await self._ask(form.command(b"INFO", b"server"), HANDSHAKE)
        cluster = await self._ask(form.command(b"INFO", b"cluster"), HANDSHAKE)
        await self._ask(form.command(b"SCRIPT", b"LOAD", form.SCRIPT), HANDSHAKE)
        if not (isinstance(info, bytes) and isinstance(cluster, bytes)):
            raise StoreUnavailable("that is no Redis", "unavailable")
        await self._compare_clocks()
        self.cluster = b"cluster_enabled:1" in cluster
        self.epoch = form.epoch_of(info)
        self._up.set()

    async def _compare_clocks(self) -> None:
        """How far the server's clock leads ours, at most: of some answers the quickest tells it best.

        Too much costs a reservation that is taken back; too little would make every call late.
        """
        quickest = HANDSHAKE
        for _ in range(_TIMES):
            before = self._loop.time()
            told = await self._ask(form.command(b"TIME"), HANDSHAKE)
            took = self._loop.time() - before
            if isinstance(told, list) and took < quickest:
                quickest = took
                self._clock_offset = int(told[0]) * 1e6 + int(told[1]) - before * 1e6
            if quickest < _QUICK:
                return
