"""A small store in a temporary folder, opened by any number of workers, under a clock set by hand."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.faulty_map import FaultyMap

from gateway.clock import DAY_US, MINUTE_US, ManualClock
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.quotas.binding import Binding, bind
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.tenants.model import Tenant


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(20_000 * DAY_US)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "counters"


@pytest.fixture
def open_store(folder: Path, clock: ManualClock) -> Iterator[Callable[..., MmapCounterStore]]:
    """``open_store(incarnation="w1", capacity=…)``."""
    FaultyMap.live()
    opened: list[MmapCounterStore] = []

    def open_one(incarnation: str = "w1", capacity: Capacity | None = None) -> MmapCounterStore:
        small = capacity or Capacity(64, 64, 8)
        store = MmapCounterStore.open(folder, clock, incarnation, capacity=small, mapper=FaultyMap)
        opened.append(store)
        return store

    yield open_one
    FaultyMap.live()
    for store in opened:
        store.close()


@pytest.fixture
def all_kinds() -> list[Limit]:
    return [
        Limit("monthly", "calls", 1000, CalendarWindow("month"), Algorithm.CALENDAR),
        Limit("burst", "calls", 100, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("key",)),
        Limit("rate", "calls", 100, DurationWindow(MINUTE_US), Algorithm.BUCKET, burst=100),
        Limit("parallel", "", 100, None, Algorithm.CONCURRENT, ("key",)),
    ]


@pytest.fixture
def bind_to() -> Callable[..., Binding]:
    """``bind_to(limits, tenant="acme", key="k1")``."""

    def make(limits: list[Limit], tenant: str = "acme", key: str = "k1") -> Binding:
        return bind(limits, {}, Tenant(tenant, tenant, "pro"), key, "r", b"secret")

    return make


@pytest.fixture
def new_call() -> Callable[[], bytes]:
    return lambda: os.urandom(16)
