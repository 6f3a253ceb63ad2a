"""A dead worker's in-flight table that is damaged or gone: what its calls held comes back (SEMANTICS §3, 19)."""

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.records import T0, call, frames

from gateway.clock import ManualClock
from gateway.config.loader import load
from gateway.counters import upkeep
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.ids import uuid7
from gateway.quotas.binding import bind
from gateway.runtime import lost_calls, paths
from gateway.runtime.lost_calls import LostCalls
from gateway.runtime.reconciliation import Reconciliation
from gateway.runtime.seeding import Seeder
from gateway.runtime.state_feed import StateFeed, StatePublisher
from gateway.spool.inflight import InflightTable
from gateway.spool.reader import SpoolReader
from gateway.spool.recovery import recover_all
from gateway.spool.writer import SpoolWriter
from gateway.storage.ports import PLATFORM
from gateway.storage.store import open_store

YAML = """\
upstreams: {a: {targets: ["http://a"]}}
routes: {weather: {match: {paths: [/]}, upstream: a}}
plans: {pro: {limits: [{name: d, max: 100, per: day}, {name: h, max: 100, per: hour}, {name: p, concurrent: 9}]}}
tenants: {acme: {plan: pro}}
"""
CAPACITY = Capacity(64, 64, 64)


class Worker:
    """Its table, its spool, its counters; ``call`` begins a call and leaves it open."""

    def __init__(self, host: "Host", name: str) -> None:
        self.host = host
        self.table = InflightTable.create(paths.inflight(host.data), name, 0, slots=8)
        self.counters = MmapCounterStore.open(host.folder / "counters", host.clock, name, capacity=CAPACITY)
        self.spool = SpoolWriter.create(
            paths.spool(host.data), name, bytes(16), fsync="interval", max_size=1 << 30, clock=host.clock,
            tally=self.table.tally, workers=1,
        )  # fmt: skip

    def call(self) -> int:
        record, held = call(self.host.clock.now()), self.host.binding.reservation(self.host.clock.now(), {"calls": 1})
        slot = self.table.open(record.id, record, held.packed)
        self.table.reserved(slot, self.counters.reserve_now(record.id, held).at_us)
        self.table.sent(slot)
        return slot

    def die(self) -> None:
        self.table.detach()
        self.spool.close()
        self.counters.close()


class Host:
    """Counters that the ledger explains: three calls of the tenant's, all shipped."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.data, self.clock = folder, folder / "data", ManualClock(T0)
        (folder / "gateway.yaml").write_text(YAML)
        publisher = StatePublisher(self.data)
        publisher.publish_config(load(folder / "gateway.yaml", {}))
        publisher.publish_state(1, [], [])
        self.feed = StateFeed(self.data)
        self.feed.load()
        self.tenant = self.feed.tenants["acme"]
        self.binding = bind(self.feed.snapshot.plans["pro"].limits, {}, self.tenant, "k1", "weather")
        for path in (paths.inflight(self.data), paths.spool(self.data)):
            path.mkdir(parents=True)

    async def begin(self) -> None:
        self.store = await open_store("sqlite:///gateway.db", self.folder)
        await self.store.tenants.sync_yaml(PLATFORM, [self.tenant], [], T0)
        await self.store.ledger.post("h-9-z", frames([call(T0 - 10) for _ in range(3)], "h-9-z"))
        self.counters = MmapCounterStore.open(self.folder / "counters", self.clock, capacity=CAPACITY)
        self.seeder = Seeder(self.counters, self.store, self.feed, self.clock, self.clock.now)
        await self.seeder.rebuild()
        self.lost = LostCalls(self.counters, self.data)
        self.clock.advance(1000)

    def recover(self) -> None:
        recover_all(paths.inflight(self.data), paths.spool(self.data), self.counters)

    def used(self) -> list[int]:
        """Of the day, of the hour, and at once."""
        states = self.counters.read(self.binding.counters(self.counters.now()))
        return [state.limit.max - state.remaining for state in states]

    async def mend(self) -> None:
        spool = SpoolReader(paths.spool(self.data))
        comparing = Reconciliation(self.feed.snapshot, self.store, spool, self.data, self.counters)
        await self.lost.mend(comparing)


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    monkeypatch.setattr(lost_calls, "LOOKS_APART_S", 0)
    host = Host(tmp_path)
    await host.begin()
    yield host
    host.counters.close()
    await host.store.close()


def _header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"damage")


def _cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(5000)


@pytest.mark.parametrize("damage", [_header, _cut, Path.unlink], ids=["header", "cut", "gone"])
async def test_counters_are_made_anew_when_no_worker_lives(
    host: Host, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    worker = Worker(host, "h-0-a")
    worker.call()
    worker.call()
    assert host.used() == [5, 5, 2]
    host.recover()
    assert host.lost.start_anew() == set(), "a worker that lives"
    worker.die()
    damage(paths.inflight(host.data) / "h-0-a.table")
    host.recover()
    assert host.used() == [5, 5, 2]
    lost = host.lost.start_anew()
    assert len(lost) == 1
    assert host.seeder.is_fresh
    await host.seeder.rebuild()
    assert host.used() == [3, 3, 0]
    assert LostCalls(host.counters, host.data).find() == lost, "who dies before this begins again"
    host.lost.forget(lost)
    assert not host.lost.find()
    said, _ = [one for one in caplog.records if one.message == lost_calls.LOST]  # one of each shipper
    assert (said.levelno, said.__dict__["incarnation"]) == (logging.ERROR, "h-0-a")


async def test_beside_workers_that_count_what_is_sure_comes_back(host: Host) -> None:
    dead, alive = Worker(host, "h-0-a"), Worker(host, "h-1-b")
    dead.call()
    dead.call()
    alive.call()
    assert host.used() == [6, 6, 3]
    dead.die()
    (paths.inflight(host.data) / "h-0-a.table").unlink()
    host.recover()
    assert host.lost.start_anew() == set()
    await host.mend()
    assert host.used() == [4, 6, 1], "a sliding window runs out by itself"
    alive.call()
    await host.mend()
    assert host.used() == [5, 7, 2]
    alive.die()
    host.recover()
    assert len(host.lost.start_anew()) == 1, "the next start makes all anew"


async def test_a_table_that_is_deleted_under_its_worker_loses_nothing(host: Host) -> None:
    worker = Worker(host, "h-0-a")
    worker.call()
    (paths.inflight(host.data) / "h-0-a.table").unlink()
    assert not host.lost.find()
    worker.die()
    assert len(host.lost.find()) == 1


async def test_of_a_recount_only_the_last_operation_is_in_doubt(host: Host) -> None:
    worker = Worker(host, "h-0-a")
    first = worker.call()
    record, held = call(T0), host.binding.reservation(T0, {"calls": 1})
    worker.table.open(record.id, record, held.packed)
    worker.counters.reserve_now(record.id, held)  # and not marked yet
    await host.mend()
    assert host.used()[2] == 2
    worker.counters.release_now(record.id, T0, held)
    other = worker.table.open(uuid7(0), call(T0), held.packed)  # not reserved yet
    upkeep.recount(host.counters, lambda last: lost_calls.held_now(paths.inflight(host.data), last))
    assert host.used()[2] == 1
    worker.table.close(other)
    worker.table.close(first)
    worker.die()
