"""Connections to one target: kept ones first, the youngest before the others, none that sat idle too long."""

import asyncio
from collections import deque
from ipaddress import ip_address
from socket import SOCK_STREAM

from gateway.proxy.failures import CONNECT_FAILED, TARGETS_BUSY, CallFailed
from gateway.proxy.settings import Settings
from gateway.proxy.upstream import UpstreamConnection
from gateway.proxy.upstream_tls import client_context
from gateway.routing.route import Target


class Pool:
    """One target's connections. Names are resolved anew for each connection, and none is kept for ever."""

    def __init__(self, target: Target, settings: Settings) -> None:
        self.target = target
        self.url = target.url
        self._settings = settings
        self._idle: deque[UpstreamConnection] = deque()
        self.tls = client_context(target.tls) if target.scheme == "https" else None
        self.server_name = (target.tls.server_name or target.host) if self.tls else None
        default = 443 if self.tls else 80
        host = f"[{target.host}]" if ":" in target.host else target.host
        self.authority = (host if target.port == default else f"{host}:{target.port}").encode()
        self._is_address = _is_address(target.host)
        self._open: set[UpstreamConnection] = set()
        self._dialling = 0
        self._closed = False

    def take(self, now: float, *, idempotent: bool) -> UpstreamConnection | None:
        """A kept connection, or None. What is not idempotent gets only one that was used a moment ago.

        ``now`` is the loop's time.
        """
        limit = self._settings.idle_reuse if idempotent else self._settings.idle_reuse_unsafe
        oldest = now - limit
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since < oldest:
                if idempotent:
                    connection.destroy()
                    continue
                self._idle.append(connection)
                return None
            if connection.usable:
                return connection
        return None

    async def connect(self, timeout: float, most: int | None = None) -> UpstreamConnection:
        """A new connection within ``timeout`` seconds; raises ``CallFailed``.

        With ``most`` open one that sits idle makes room, and without any the call fails as ``TARGETS_BUSY``.
        """
        if most is not None and self.open >= most:
            if not self._idle:
                raise CallFailed(TARGETS_BUSY)
            self._idle.popleft().destroy()
        loop = asyncio.get_running_loop()
        self._dialling += 1
        try:
            async with asyncio.timeout(timeout):
                connection = await self._dial(loop, loop.time() + timeout)
        except (OSError, TimeoutError, UnicodeError) as error:  # the last: what can be no name
            raise CallFailed(CONNECT_FAILED) from error
        finally:
            self._dialling -= 1
        if not connection.usable:  # it was closed, or spoke, before anybody asked
            connection.destroy()
            raise CallFailed(CONNECT_FAILED)
        self._open.add(connection)
        connection.keep_until = loop.time() + self._settings.max_age
        return connection

    async def _dial(self, loop: asyncio.AbstractEventLoop, until: float) -> UpstreamConnection:
        """A connection to the first of the name's addresses that takes one; a silent one has its share of the time."""
        target = self.target
        addresses = [target.host] if self._is_address else await _addresses(loop, target)
        for left in range(len(addresses), 0, -1):
            try:
                async with asyncio.timeout((until - loop.time()) / left):
                    _, connection = await loop.create_connection(
                        lambda: UpstreamConnection(self, loop, self._settings.max_response_head),
                        addresses[-left],
                        target.port,
                        ssl=self.tls,
                        server_hostname=self.server_name,
                    )
                return connection
            except (OSError, TimeoutError):
                if left == 1:
                    raise
        raise OSError(f"{target.host} has no address")

    def keep(self, connection: UpstreamConnection) -> None:
        """The call is over and the connection can serve another."""
        now = connection.loop.time()
        if self._closed or now > connection.keep_until:
            connection.destroy()
            return
        if len(self._idle) >= self._settings.max_idle:
            self._idle.popleft().destroy()
        connection.idle_since = now
        self._idle.append(connection)

    @property
    def open(self) -> int:
        """Connections: in use, idle, and on the way."""
        return len(self._open) + self._dialling

    def forget(self, connection: UpstreamConnection) -> None:
        """The connection is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def expire(self, now: float) -> None:
        """Close what sat idle too long."""
        while self._idle and self._idle[0].idle_since < now - self._settings.idle_reuse:
            self._idle.popleft().destroy()

    def close(self) -> None:
        """Close all kept connections, and those in use when their calls end."""
        self._closed = True
        while self._idle:
            self._idle.pop().destroy()


def _is_address(host: str) -> bool:
    """Whether a host is an IP address, which no resolver need be asked for."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


async def _addresses(loop: asyncio.AbstractEventLoop, target: Target) -> list[str]:
    """All addresses of a target's name, in the resolver's order; raises ``OSError`` when it has none."""
    found = await loop.getaddrinfo(target.host, target.port, type=SOCK_STREAM)
    return list(dict.fromkeys(str(place[4][0]) for place in found))
