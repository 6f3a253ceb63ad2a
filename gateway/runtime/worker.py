"""A proxy worker: composes the data plane from its adapters, accepts on its inherited socket, drains when told.

The supervisor starts it by exec of ``gateway.runtime.worker_entry``.
"""

import asyncio
import contextlib
import gc
import logging
import os
import socket

import uvloop

from gateway.clock import SystemClock
from gateway.counters.redis_desk import RedisDesk
from gateway.counters.redis_store import RedisCounterStore
from gateway.errors import StoreUnavailable
from gateway.hooks.loader import load_plugins
from gateway.proxy.from_config import settings_of
from gateway.proxy.metrics import Metrics
from gateway.proxy.server import ProxyServer
from gateway.proxy.services import Services
from gateway.runtime import counting, paths, sockets
from gateway.runtime.child import ChildSpec, read_spec, say_ready, settle_heap, stop_event, wait_for_go
from gateway.runtime.hosts_seen import HostsSeen
from gateway.runtime.listener_tls import ListenerCertificate
from gateway.runtime.logs import configure
from gateway.runtime.periodic import every
from gateway.runtime.publish import write_json
from gateway.runtime.state_feed import StateFeed
from gateway.spool.inflight import InflightTable, new_incarnation, read_host_id
from gateway.spool.recovery import recover_all
from gateway.spool.writer import SpoolWriter

logger = logging.getLogger(__name__)

FEED_INTERVAL = 0.05
METRICS_INTERVAL = 0.5
CERTIFICATE_INTERVAL = 10.0
DRAIN = 25.0
FIRST_ANSWER = 2.0


class Worker:
    """One incarnation of a worker slot: its spool, its in-flight table, its view of the state."""

    def __init__(self, spec: ChildSpec) -> None:
        self._spec = spec
        data, clock = spec.data, SystemClock()
        host = read_host_id(data)
        incarnation = new_incarnation(host, spec.slot, clock.now())
        self._feed = StateFeed(data)
        self._feed.load()
        snapshot = self._feed.snapshot
        self.host_counters = counting.open_host_counters(snapshot, clock, incarnation)
        address = counting.redis_address(snapshot)
        self.desk = RedisDesk(address) if address is not None else None
        recovering = self.desk or self.host_counters
        recovered = recover_all(paths.inflight(data), paths.spool(data), recovering, worker=spec.slot)
        for summary in recovered:
            logger.warning("recovered the calls of a worker that died", extra={"recovered": str(summary)})
        self._incarnation = incarnation
        self.shared_counters = (
            RedisCounterStore(address, incarnation, self.host_counters.now, counting.seeding_notes(data))
            if address is not None
            else None
        )
        try:
            self.inflight = InflightTable.create(paths.inflight(data), incarnation, spec.slot)
        except OSError:  # nobody recovers what has no table, and its journal would stay for ever
            self.host_counters.forget(incarnation)
            raise
        self.spool = SpoolWriter.create(
            paths.spool(data),
            incarnation,
            host,
            fsync=snapshot.spool.fsync,
            max_size=snapshot.spool.max_size,
            clock=clock,
            tally=self.inflight.tally,
            workers=snapshot.server.workers,
        )
        self.metrics = Metrics()
        self.server = ProxyServer(
            Services(
                directory=self._feed,
                counters=self.shared_counters or self.host_counters,
                inflight=self.inflight,
                spool=self.spool,
                clock=clock,
                metrics=self.metrics,
                logger=logging.getLogger("gateway.proxy"),
                registry=load_plugins(snapshot.plugins),
                secret=host,
                settings=settings_of(snapshot.server.clients),
                worker=incarnation.encode(),
                open_local=lambda: counting.open_local(self._feed.snapshot, clock),
                shares=HostsSeen(paths.run(data) / "shipper.json", snapshot.server.workers).shares,
                synced=self.spool.wait_synced if snapshot.spool.fsync == "always" else None,
            )
        )

    async def run(self) -> None:
        """Accept until told to stop, then finish what was begun."""
        loop = asyncio.get_running_loop()
        stop = stop_event(self._spec)
        listener = socket.socket(fileno=self._spec.listen[0])
        listener.setblocking(False)
        tls = ListenerCertificate(files) if (files := self._feed.snapshot.server.tls) is not None else None
        acceptor = await loop.create_server(
            self.server.protocol_factory,
            sock=listener,
            backlog=4096,
            ssl=tls.context if tls is not None else None,
            ssl_handshake_timeout=self.server.settings.head_timeout if tls is not None else None,
        )
        periodic = [
            asyncio.create_task(every(FEED_INTERVAL, self._poll_state), name="state feed"),
            asyncio.create_task(every(METRICS_INTERVAL, self._publish_metrics), name="metrics"),
        ]
        if self.shared_counters is not None:
            await self.shared_counters.until_up(FIRST_ANSWER)
        if tls is not None:
            periodic.append(asyncio.create_task(every(CERTIFICATE_INTERVAL, tls.refresh), name="certificate"))
        self._feed.acknowledge(self._spec.slot)
        settle_heap()
        say_ready(self._spec)
        await stop.wait()
        await sockets.accept_rest(listener)
        acceptor.close()
        await self.server.drain(DRAIN)
        for task in periodic:
            task.cancel()
        await asyncio.gather(*periodic, return_exceptions=True)
        await self._publish_metrics()
        self._feed.withdraw(self._spec.slot)
        self.spool.close()
        await self._leave_counters()
        self.inflight.remove()
        self.host_counters.close()

    async def _leave_counters(self) -> None:
        if self.shared_counters is not None:
            await self.shared_counters.close()
        if self.inflight.open_slots:
            return
        self.host_counters.forget(self._incarnation)
        if self.desk is not None and self.shared_counters is not None and not self.shared_counters.owed:
            with contextlib.suppress(StoreUnavailable):  # else its lease ends, and a sweep forgets it
                self.desk.forget(self._incarnation)

    async def _poll_state(self) -> None:
        before = self._feed.snapshot
        if self._feed.poll():
            if self._feed.snapshot is not before:
                self.server.swap(self._feed.snapshot)
                gc.freeze()  # as ``settle_heap``, but calls wait: nothing is collected first
            self._feed.acknowledge(self._spec.slot)

    async def _publish_metrics(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            self.host_counters.follow()
        path = paths.run(self._spec.data) / f"worker-{self._spec.slot}.json"
        own = {
            "pid": os.getpid(),
            "state_age_seconds": self._feed.age_seconds(),
            "spool_bytes": self.spool.spool_bytes,
            "spool_fill": self.spool.fill(),
            "spool_refuses": not self.spool.has_room(),
        }
        write_json(path, own | self.metrics.as_dict())


def main(remark: str) -> None:
    """Run until told to stop; ``remark`` is what is to be said of the compiled modules."""
    spec = read_spec()
    configure(spec.name, spec.log_level)
    if remark:
        logger.warning(remark)
    wait_for_go(spec)
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def serve() -> None:
            await Worker(spec).run()

        runner.run(serve())
