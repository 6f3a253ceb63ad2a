"""One gateway worker with its real adapters and nothing around it.

``python gateway_worker.py PORT UPSTREAM FOLDER KEYS LIMITS ROUTES``. Keys are ``bench-key-0000000…``; with PROFILE set,
a profile is printed at SIGTERM.
"""

import asyncio
import cProfile
import logging
import os
import pstats
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

import compiled_first  # noqa: F401
import uvloop

from gateway.clock import SystemClock
from gateway.config.snapshot import Address, PlanLimits, ServerSettings, Snapshot, SpoolSettings
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.hooks.registry import Registry
from gateway.proxy.metrics import Metrics
from gateway.proxy.server import ProxyServer
from gateway.proxy.services import Services
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.routing.route import Route, Target, Upstream
from gateway.runtime.child import settle_heap
from gateway.spool.inflight import InflightTable, new_incarnation, read_host_id
from gateway.spool.writer import SpoolWriter
from gateway.tenants.model import Key, Principal, Tenant

LIMITS = (
    Limit("minute", "calls", 10**9, DurationWindow(60_000_000), Algorithm.SLIDING, ("key",)),
    Limit("day", "calls", 10**9, CalendarWindow("day"), Algorithm.CALENDAR),
    Limit("month", "calls", 10**9, CalendarWindow("month"), Algorithm.CALENDAR),
)
CAPACITY = Capacity(1 << 18, 1 << 18, 1 << 13)


class Directory:
    """Keys by digest."""

    def __init__(self, snapshot, keys):
        self.snapshot = snapshot
        tenants = [Tenant(f"t{number}", "T", "p") for number in range(max(1, keys // 10))]
        self._principals = {}
        for number in range(keys):
            digest = sha256(b"bench-key-%012d" % number).digest()
            tenant = tenants[number % len(tenants)]
            self._principals[digest] = Principal(tenant, Key(f"k{number}", tenant.id, digest))
        self.find = self._principals.get


def snapshot_of(folder, upstream_port, limits, routes):
    upstream = Upstream("up", (Target("http", "127.0.0.1", upstream_port),))
    here = Address("127.0.0.1", 0)
    others = tuple(Route(f"r{number}", upstream, (f"/r{number}/x",)) for number in range(routes - 1))
    return Snapshot(
        version=1, folder=folder, data_dir=folder, store_url="", counters_url="", counters_deadline_us=50_000,
        server=ServerSettings(here, here, None, "", 1, (), ()), spool=SpoolSettings("interval", "refuse", 1 << 34, 0),
        headers="ietf", address_mode="full", plugins=(), upstreams={},
        routes=(Route("api", upstream, ("/api",)), *others),
        plans={"p": PlanLimits("p", "v", LIMITS[:limits])}, tenants={}, keys=(), source={},
    )  # fmt: skip


async def main(port, upstream_port, folder, keys, limits, routes):
    clock = SystemClock()
    for name in ("counters", "spool", "inflight"):
        (folder / name).mkdir(exist_ok=True)
    host = read_host_id(folder)
    incarnation = new_incarnation(host, 0, clock.now())
    inflight = InflightTable.create(folder / "inflight", incarnation, 0)
    spool = SpoolWriter.create(
        folder / "spool", incarnation, host, fsync="interval", max_size=1 << 34, clock=clock, tally=inflight.tally
    )
    server = ProxyServer(
        Services(
            directory=Directory(snapshot_of(folder, upstream_port, limits, routes), keys),
            counters=MmapCounterStore.open(folder / "counters" / "counters", clock, incarnation, capacity=CAPACITY),
            inflight=inflight, spool=spool, clock=clock, metrics=Metrics(), logger=logging.getLogger("bench"),
            registry=Registry(),
        )
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server.protocol_factory, "127.0.0.1", port, backlog=4096)
    settle_heap()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    profile = cProfile.Profile(time.process_time) if os.environ.get("PROFILE") else None
    if profile:
        profile.enable()
    await stop.wait()
    if profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
    listener.close()
    await server.drain(0.1)


port, upstream_port, folder, keys, limits, routes = sys.argv[1:7]
uvloop.run(main(int(port), int(upstream_port), Path(folder), int(keys), int(limits), int(routes)))
