"""Active health checks: one task per target asks its upstream's ``health`` path and tells the balancer.

Every worker asks for itself: it is the worker's own way to the target that matters.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from gateway.http.errors import MessageError
from gateway.http.response import Response, ResponseFields
from gateway.proxy.balancer import Balancer, Member
from gateway.routing.route import HealthCheck

_MAX_HEAD = 16 * 1024


class HealthChecks:
    """The checks of the present plan. ``follow`` at every swap, ``stop`` at the end."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._tasks: dict[Balancer, list[asyncio.Task[None]]] = {}

    def follow(self, balancers: Iterable[Balancer]) -> None:
        """Check the targets of these, and no others."""
        wanted = {balancer for balancer in balancers if balancer.upstream.health is not None}
        for balancer in self._tasks.keys() - wanted:
            for task in self._tasks.pop(balancer):
                task.cancel()
        for balancer in wanted - self._tasks.keys():
            self._tasks[balancer] = [
                asyncio.get_running_loop().create_task(self._check_on(balancer, member), name=f"health {member.name}")
                for member in balancer.members
            ]

    async def stop(self) -> None:
        tasks = [task for tasks in self._tasks.values() for task in tasks]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _check_on(self, balancer: Balancer, member: Member) -> None:
        check = balancer.upstream.health
        assert check is not None
        while True:
            healthy = await is_healthy(member, check)
            balancer.checked(member, healthy, check.failures)
            await asyncio.sleep(check.interval_us / 1e6)


async def is_healthy(member: Member, check: HealthCheck) -> bool:
    """Ask once, on a connection of its own: a status of 2xx or 3xx within the time is healthy."""
    pool = member.pool
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(check.timeout_us / 1e6):
            reader, writer = await asyncio.open_connection(
                pool.target.host, pool.target.port, ssl=pool.tls, server_hostname=pool.server_name, limit=_MAX_HEAD
            )
            writer.write(
                b"GET %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: gateway-health\r\nAccept: */*\r\nConnection: close\r\n\r\n"
                % (check.path.encode(), pool.authority)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            line, _, section = head[:-2].partition(b"\r\n")
            status = Response(line, ResponseFields(section), b"GET").status
    except (OSError, TimeoutError, MessageError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        return False
    finally:
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.transport.abort()
    return 200 <= status < 400
