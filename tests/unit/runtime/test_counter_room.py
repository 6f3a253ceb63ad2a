"""The shipper gives this host's counters more room while others count in them."""

import resource
import signal
from pathlib import Path

import pytest

from gateway.clock import SystemClock
from gateway.config.compile import compile_snapshot
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, CalendarWindow, Limit
from gateway.runtime import counting, paths
from gateway.runtime.counter_room import CounterRoom
from gateway.tenants.model import Tenant

DAILY = Limit("daily", "calls", 10, CalendarWindow("day"), Algorithm.CALENDAR)


@pytest.fixture
def snapshot(tmp_path: Path):
    return compile_snapshot({"upstreams": {}, "routes": {}}, tmp_path, 1)


@pytest.fixture
def small_file(snapshot):
    """As a version with less room made it, with one counter in use."""
    store = MmapCounterStore.open(paths.counters_file(snapshot), SystemClock(), "w1", capacity=Capacity(8, 8, 8))
    reservation = bind([DAILY], {}, Tenant("a", "a", "p"), "k", "r").reservation(store.now(), {"calls": 4})
    store.reserve_now(bytes(16), reservation)
    yield store
    assert store.reserve_now(b"1" * 16, reservation).states[0].remaining == 2
    store.close()


async def test_a_file_with_less_room_than_this_version_begins_with_grows(snapshot, small_file):
    room = CounterRoom(snapshot, SystemClock())
    assert await room.turn()
    small_file.now()
    assert small_file.occupancy()["small"] == (1, counting.capacity_of(snapshot).small)
    assert await room.turn()  # nothing more to do


async def test_a_full_disk_leaves_the_counters_as_they_are(snapshot, small_file, caplog):
    room = CounterRoom(snapshot, SystemClock())
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limit[1]))
    try:
        assert not await room.turn()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert "cannot grow" in caplog.text
    assert small_file.occupancy()["small"] == (1, 8)
    assert not await room.turn()  # for a while
    assert await CounterRoom(snapshot, SystemClock()).turn()
