"""Of several control processes over one store, one runs the jobs; another one goes on when it is gone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.clock import SECOND_US, ManualClock
from gateway.errors import StoreUnavailable
from gateway.jobs import leader as leading
from gateway.jobs.leader import LEASE_US, Leader
from gateway.jobs.scheduler import Scheduled, run_jobs
from gateway.storage.ports import Scope
from gateway.storage.store import Store, open_store


@pytest.fixture
async def stores(store_url: str, tmp_path: Path) -> AsyncIterator[list[Store]]:
    """The same store as two processes have it."""
    opened = [await open_store(store_url, tmp_path), await open_store(store_url, tmp_path)]
    yield opened
    for store in opened:
        await store.close()


async def test_one_leads_until_it_stops_renewing(stores: list[Store]) -> None:
    clock = ManualClock()
    one, other = Leader(stores[0].leases, clock, "one"), Leader(stores[1].leases, clock, "other")
    await asyncio.gather(one.renew(), other.renew())
    first, second = (one, other) if one.leads else (other, one)
    assert (first.leads, second.leads) == (True, False)
    clock.advance(LEASE_US - 1)
    await second.renew()
    assert (first.leads, second.leads) == (True, False)
    await first.renew()
    clock.advance(2)  # past the first lease: it was renewed
    await second.renew()
    assert (first.leads, second.leads) == (True, False)
    clock.advance(LEASE_US)
    assert not first.leads  # by its own clock, whether or not the store answers
    await second.renew()
    await first.renew()
    assert (first.leads, second.leads) == (False, True)


async def test_who_stops_in_order_lets_another_go_on_at_once(stores: list[Store]) -> None:
    clock = ManualClock()
    one, other = Leader(stores[0].leases, clock, "one"), Leader(stores[1].leases, clock, "other")
    await one.renew()
    keeping = asyncio.create_task(one.keep())
    await asyncio.sleep(0)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await other.renew()
    assert (one.leads, other.leads) == (False, True)


async def test_the_next_process_of_a_host_goes_on_with_its_lease(stores: list[Store]) -> None:
    clock = ManualClock()
    killed, next_one = Leader(stores[0].leases, clock, "host"), Leader(stores[1].leases, clock, "host")
    await killed.renew()
    await next_one.renew()
    assert next_one.leads


class Away:
    """A store that does not answer."""

    async def take(self, scope: Scope, name: str, holder: str, now_us: int, until_us: int) -> bool:
        raise StoreUnavailable("gone")

    async def give_up(self, scope: Scope, name: str, holder: str) -> None:
        raise StoreUnavailable("gone")


async def test_without_the_store_nobody_leads() -> None:
    clock = ManualClock()
    lonely = Leader(Away(), clock, "one")
    await lonely.renew()
    assert not lonely.leads


class Counting:
    """A job that counts its runs."""

    name = "counting"

    def __init__(self) -> None:
        self.runs = 0
        self.ran = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        self.ran.set()


async def test_jobs_run_where_the_leader_is(stores: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "RENEW_S", 0.01)
    clock = ManualClock()
    jobs = [Counting(), Counting()]
    leaders = [Leader(store.leases, clock, name) for store, name in zip(stores, "ab", strict=True)]
    await leaders[0].renew()
    tasks = [
        asyncio.create_task(run_jobs([Scheduled(job, 0.001)], leader))
        for job, leader in zip(jobs, leaders, strict=True)
    ]
    await jobs[0].ran.wait()
    assert jobs[1].runs == 0
    tasks[0].cancel()
    await asyncio.gather(tasks[0], return_exceptions=True)
    clock.advance(SECOND_US)
    await jobs[1].ran.wait()
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
