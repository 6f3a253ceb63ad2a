"""The data plane of one worker: makes connections, holds the current plan, looks at deadlines, drains."""

import asyncio
import contextlib
import re
import time

from gateway.config.snapshot import Snapshot
from gateway.hooks.registry import Registry
from gateway.proxy.call import Call
from gateway.proxy.call_ids import CallIds
from gateway.proxy.checkpoints import checkpoint, due
from gateway.proxy.connection import ClientConnection
from gateway.proxy.crowd import Crowd, close_idle
from gateway.proxy.failures import CLIENT_LEFT
from gateway.proxy.plan import Plan
from gateway.proxy.refusals import RefusalCounter
from gateway.proxy.services import Services
from gateway.proxy.stages import register_core
from gateway.proxy.targets import Targets

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}").fullmatch


class ProxyServer:
    """``loop.create_server(server.protocol_factory, …)``; ``swap`` at a reload; ``drain`` at the end."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.settings = services.settings
        self.clock = services.clock
        self.logger = services.logger
        self.metrics = services.metrics
        self.loop = asyncio.get_running_loop()
        self.ids = CallIds()
        self.refusals = RefusalCounter(services.spool, services.clock, services.logger)
        self.connections: set[ClientConnection] = set()
        self._crowd = Crowd(self.settings.max_per_address)
        self.draining = False
        self._empty: asyncio.Event | None = None
        self._watched: dict[Call, float] = {}
        self._checked: dict[Call, asyncio.Task[None]] = {}
        self._targets = Targets(self.settings, self.metrics, self.logger)
        self._means: dict[str, dict[str, float]] = {}
        self._registry: Registry = services.registry
        register_core(services.registry, services.directory, services.clock)
        self.plan = self._compile(services.directory.snapshot)
        self._targets.keep(self.plan.upstreams)
        self._sweeper = self.loop.create_task(self._sweep(), name="deadlines")

    def protocol_factory(self) -> ClientConnection:
        """A protocol for a connection that was just accepted."""
        return ClientConnection(self)

    def swap(self, snapshot: Snapshot) -> None:
        """Serve new calls by ``snapshot``; those in progress end on the one they began with."""
        self.plan = self._compile(snapshot)
        self._targets.keep(self.plan.upstreams)

    def _compile(self, snapshot: Snapshot) -> Plan:
        return Plan(
            snapshot, self._registry, self.metrics, self.settings, self._targets, self._means, self.services.secret
        )

    async def drain(self, timeout: float) -> None:
        """Finish what was begun, at most ``timeout`` seconds; then end the rest and write down what was counted."""
        self.draining = True
        for connection in list(self.connections):
            connection.drain()
        await self._until_empty(timeout)
        for connection in list(self.connections):
            connection.transport.abort()
        await self._until_empty(1.0)
        self._sweeper.cancel()
        await asyncio.gather(self._sweeper, return_exceptions=True)
        await self._targets.close()
        await asyncio.sleep(0)
        await asyncio.gather(*self._checked.values())
        await self.services.unwritten.retry()
        self.refusals.flush(everything=True)

    async def _until_empty(self, timeout: float) -> None:
        if self.connections:
            self._empty = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._empty.wait()

    # ── what connections tell and ask ────────────────────────────────────────────────────────────────────────────

    def opened(self, connection: ClientConnection) -> bool:
        """A connection was made; False when its address has too many."""
        self.connections.add(connection)
        self.metrics.open_connections += 1
        return self._crowd.enter(connection.peer) or self.plan.trusts(connection.peer)

    def closed(self, connection: ClientConnection) -> None:
        self.connections.discard(connection)
        self._crowd.leave(connection.peer)
        self.metrics.open_connections -= 1
        if self._empty is not None and not self.connections:
            self._empty.set()

    def watch(self, exchange: Call, deadline: float) -> None:
        """An exchange whose client left reads its answer on until ``deadline``."""
        self._watched[exchange] = deadline

    @staticmethod
    def request_id_ok(value: bytes) -> bool:
        """Whether a client's X-Request-Id is passed on (SEMANTICS §2)."""
        return _REQUEST_ID(value) is not None and not value.startswith(b"gk_")

    async def _sweep(self) -> None:
        """One timer for all connections: a call sets a number instead of a timer."""
        while True:
            await asyncio.sleep(self.settings.sweep)
            try:
                self._look(self.loop.time())
                self._checkpoints()
                await self.services.unwritten.retry()
            except Exception:
                self.logger.exception("sweep failed")

    def _checkpoints(self) -> None:
        now = time.monotonic()
        for connection in self.connections:
            call = connection.exchange
            if call is not None and call not in self._checked and due(call, now):
                self._checked[call] = self.loop.create_task(self._checkpoint(call))

    async def _checkpoint(self, call: Call) -> None:
        try:
            await checkpoint(call)
        except Exception:
            self.logger.exception("a checkpoint failed", extra={"call": call.call_id.hex()})
        finally:
            del self._checked[call]

    def _look(self, now: float) -> None:
        for connection in [connection for connection in self.connections if connection.deadline < now]:
            connection.on_deadline()
        for exchange, deadline in list(self._watched.items()):
            if exchange.upstream is None:
                del self._watched[exchange]
            elif deadline < now:
                exchange.upstream.fail(CLIENT_LEFT)
        self._targets.expire(now)
        if self.settings.max_idle_clients is not None:
            close_idle(self.connections, self.settings.max_idle_clients)
        self.refusals.flush()
