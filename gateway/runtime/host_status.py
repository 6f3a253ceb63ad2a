"""How one host does: health, readiness and metrics from what its processes publish, with no store in the way.

``python -m gateway.runtime.host_status SPEC``: on a host that runs ``serve --role proxy`` these are all that the
control listener answers; elsewhere they are a part of the control process.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from aiohttp import web

from gateway.api.health import Readiness, health_routes
from gateway.api.metrics import GatewayCollector, Published, metrics_routes
from gateway.runtime import paths
from gateway.runtime.child import ChildSpec, read_spec, say_ready, stop_event
from gateway.runtime.logs import configure
from gateway.runtime.periodic import every
from gateway.runtime.publish import read_json
from gateway.runtime.state_feed import StateFeed
from gateway.spool.writer import ALARM

FEED_INTERVAL = 0.5
FRESH_SECONDS = 3.0
SHUTDOWN = 2.0


class HostStatus:
    """Reads what the workers and the shipper of this host published lately."""

    def __init__(self, data: Path, feed: StateFeed) -> None:
        self._run = paths.run(data)
        self._feed = feed

    def workers(self) -> list[Published]:
        return _published(self._run, "worker-*.json")

    def shipper(self) -> Published:
        return next(iter(_published(self._run, "shipper.json")), {})

    def readiness(self) -> list[Readiness]:
        """Workers, shipper and spool; the store as the shipper sees it."""
        wanted, workers, shipper = self._feed.snapshot.server.workers, self.workers(), self.shipper()
        fill = max((float(worker.get("spool_fill", 0)) for worker in workers), default=0.0)
        return [
            Readiness("workers", len(workers) >= 1, f"{len(workers)} of {wanted} workers serve"),
            Readiness("shipper", bool(shipper), "the shipper does not run; records wait in the spool"),
            Readiness("spool", fill < ALARM, f"the spool is {fill:.0%} full"),
        ]

    def shipping(self) -> Readiness:
        """Whether the shipper reaches the store."""
        error = self.shipper().get("store_error", "")
        return Readiness("store", not error, "the store does not answer; calls are served from the last state")

    def routes(self, probe: Callable[[], Awaitable[list[Readiness]]]) -> list[web.RouteDef]:
        """``/healthz``, ``/readyz`` and ``/metrics``."""
        collector = GatewayCollector(self.workers, self.shipper)
        return [
            *health_routes(probe),
            *metrics_routes(collector, lambda: self._feed.snapshot.server.metrics_allow),
        ]


def _published(folder: Path, pattern: str) -> list[Published]:
    """What processes published within the last seconds; what a dead one left behind is passed over."""
    now = time.time()
    fresh = [path for path in sorted(folder.glob(pattern)) if now - path.stat().st_mtime < FRESH_SECONDS]
    return [read_json(path) for path in fresh]


async def serve(spec: ChildSpec) -> None:
    """Answer until told to stop."""
    stop = stop_event(spec)
    feed = StateFeed(spec.data)
    feed.load()
    status = HostStatus(spec.data, feed)

    async def probe() -> list[Readiness]:
        return [*status.readiness(), status.shipping()]

    async def poll() -> None:
        feed.poll()

    app = web.Application()
    app.add_routes(status.routes(probe))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN)
    await runner.setup()
    for descriptor in spec.listen:
        await web.SockSite(runner, socket.socket(fileno=os.dup(descriptor))).start()
    polling = asyncio.create_task(every(FEED_INTERVAL, poll), name="state feed")
    say_ready(spec)
    await stop.wait()
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    await runner.cleanup()


def main() -> None:
    """Process entry."""
    spec = read_spec()
    configure(spec.name, spec.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(spec))


if __name__ == "__main__":
    main()
