"""Counters rebuilt from the ledger: every one with its sum, however many there are (SEMANTICS §16, 19)."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from support.records import T0, call, frames

from gateway.clock import HOUR_US, MINUTE_US, SECOND_US, ManualClock
from gateway.config.redis_url import parse_redis_url
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.counters.redis_desk import RedisDesk
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.runtime.redis_seeding import LOOK_AGAIN_US, RedisSeeder
from gateway.runtime.seeding import Seeder
from gateway.storage.ports import PLATFORM
from gateway.storage.store import open_store
from gateway.tenants.model import Tenant

MANY = 10**6
LIMITS = [
    Limit("monthly", "calls", MANY, CalendarWindow("month"), Algorithm.CALENDAR),
    Limit("daily", "tokens", MANY, CalendarWindow("day"), Algorithm.CALENDAR, ("key",)),
    Limit("routed", "calls", MANY, CalendarWindow("day"), Algorithm.CALENDAR, ("route",)),
    Limit("chats", "calls", MANY, CalendarWindow("day"), Algorithm.CALENDAR, ("key",), routes=("chat",)),
    Limit("minute", "calls", MANY, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("key",)),
    Limit("hour", "calls", MANY, DurationWindow(HOUR_US), Algorithm.SLIDING),
]
KEYS = 40
NOW = T0 + 10 * MINUTE_US


async def test_every_counter_gets_its_sum_and_the_file_grows_for_them(tmp_path: Path) -> None:
    calls = [
        call(at_us, tenant=tenant, key=f"k{number}", route=route, units={"calls": 1, "tokens": number})
        for number in range(KEYS)
        for tenant in ("acme", "beta")
        for at_us, route in ((NOW - 10, "weather"), (NOW - 2 * MINUTE_US, "chat"), (NOW - 9 * HOUR_US, "chat"))
    ]
    store = await open_store("sqlite:///gateway.db", tmp_path)
    await store.ledger.post("h-0-a", frames(calls))
    clock = ManualClock(NOW)
    tenants = {name: Tenant(name, name, "pro") for name in ("acme", "beta")}
    plans = {"pro": SimpleNamespace(limits=LIMITS)}
    feed: Any = SimpleNamespace(tenants=tenants, snapshot=SimpleNamespace(plans=plans))
    counters = MmapCounterStore.open(tmp_path / "counters", clock, capacity=Capacity(8, 8, 8))
    made = await Seeder(counters, store, feed, clock, clock.now).rebuild()
    assert made == 2 * (1 + KEYS + 2 + KEYS + KEYS + 1)
    for name, tenant in tenants.items():
        for number in (0, KEYS - 1):
            bound = bind(LIMITS, {}, tenant, f"k{number}", "chat").counters(counters.now())
            used = [MANY - state.remaining for state in counters.read(bound)]
            assert used == [3 * KEYS, 2 * number, KEYS, 1, 1, 2 * KEYS], name
    assert counters.unseeded() == []
    counters.close()
    await store.close()


@pytest.mark.parametrize("seeded", [False, True])
async def test_a_rebuild_that_died_goes_on_where_it_stood(tmp_path: Path, seeded: bool) -> None:
    store = await open_store("sqlite:///gateway.db", tmp_path)
    await store.ledger.post("h-0-a", frames([call(NOW - 10, key=f"k{number}") for number in range(3)]))
    clock = ManualClock(NOW)
    counters = MmapCounterStore.open(tmp_path / "counters", clock, capacity=Capacity(64, 64, 8))
    tenant = Tenant("acme", "Acme", "pro")
    for number in range(2):  # made, and not seeded
        binding = bind(LIMITS[:1] + LIMITS[4:5], {}, tenant, f"k{number}", "weather")
        counters.reserve_now(bytes(16), binding.reservation(counters.now(), {"calls": 0}))
    if seeded:
        note = counters.unseeded()[0]
        counters.seed(note.key, [(note.start_us, 3)])
    plans = {"pro": SimpleNamespace(limits=LIMITS[:1] + LIMITS[4:5])}
    feed: Any = SimpleNamespace(tenants={"acme": tenant}, snapshot=SimpleNamespace(plans=plans))
    await Seeder(counters, store, feed, clock, clock.now).rebuild()
    for number in range(3):
        bound = bind(LIMITS[:1] + LIMITS[4:5], {}, tenant, f"k{number}", "weather").counters(counters.now())
        assert [MANY - state.remaining for state in counters.read(bound)] == [3, 1]
    counters.close()
    await store.close()


async def test_a_redis_that_is_emptied_in_its_life_is_seeded_again(tmp_path: Path, redis_url: str) -> None:
    store = await open_store("sqlite:///gateway.db", tmp_path)
    await store.ledger.post("h-0-a", frames([call(NOW - 10, key=f"k{number}") for number in range(3)]))
    clock, tenant = ManualClock(NOW), Tenant("acme", "Acme", "pro")
    plans = {"pro": SimpleNamespace(limits=LIMITS[:1])}
    feed: Any = SimpleNamespace(tenants={"acme": tenant}, snapshot=SimpleNamespace(plans=plans))
    desk = RedisDesk(parse_redis_url(redis_url), clock.now, deadline=5)
    seeder = RedisSeeder(desk, store, feed, clock, tmp_path / "notes", clock.now)
    with redis.Redis.from_url(redis_url) as client:
        for _ in range(2):
            client.flushdb()  # FLUSHALL does not change the run id
            clock.advance(LOOK_AGAIN_US)
            assert await seeder.turn(wait=False) == 1
            assert await seeder.turn(wait=False) == 0
            [state] = desk.read(bind(LIMITS[:1], {}, tenant, "k1", "weather").counters(clock.now()))
            assert MANY - state.remaining == 3
        client.flushdb()
    desk.close()
    await store.close()


async def test_a_rebuild_beside_workers_counts_nothing_twice(tmp_path: Path) -> None:
    """The store came back late: workers have counted calls since, and some of them are in the ledger."""
    store = await open_store("sqlite:///gateway.db", tmp_path)
    clock, tenant, limits = ManualClock(NOW), Tenant("acme", "Acme", "pro"), LIMITS[:1] + LIMITS[4:5]
    counters = MmapCounterStore.open(tmp_path / "counters", clock, capacity=Capacity(64, 64, 8))
    binding = bind(limits, {}, tenant, "k1", "weather")
    at_us = counters.reserve_now(bytes(16), binding.reservation(counters.now(), {"calls": 1})).at_us
    await store.ledger.post("h-0-a", frames([call(NOW - 10), call(at_us)]))
    clock.advance(SECOND_US)
    feed: Any = SimpleNamespace(
        tenants={"acme": tenant}, snapshot=SimpleNamespace(plans={"pro": SimpleNamespace(limits=limits)})
    )
    await Seeder(counters, store, feed, clock, clock.now).rebuild()
    used = [MANY - state.remaining for state in counters.read(binding.counters(counters.now()))]
    assert used == [2, 2]
    counters.close()
    await store.close()


async def test_a_host_that_starts_waits_for_what_others_have_not_shipped(tmp_path: Path, redis_url: str) -> None:
    store = await open_store("sqlite:///gateway.db", tmp_path)
    clock, tenant = ManualClock(NOW), Tenant("acme", "Acme", "pro")
    plans = {"pro": SimpleNamespace(limits=LIMITS[:1])}
    feed: Any = SimpleNamespace(tenants={"acme": tenant}, snapshot=SimpleNamespace(plans=plans))
    desk = RedisDesk(parse_redis_url(redis_url), clock.now, deadline=5)
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
        for host in ("mine", "other"):
            await store.ledger.mark_host(PLATFORM, host, NOW - SECOND_US, NOW - SECOND_US)
        seeder = RedisSeeder(desk, store, feed, clock, tmp_path / "notes", lambda: NOW, "mine")
        assert await seeder.rebuild() == 0
        assert seeder.is_fresh
        await store.ledger.post(
            "other-0-a", frames([call(NOW - 10)], "other-0-a")
        )  # it was open, or in the other's spool
        for host in ("mine", "other"):
            await store.ledger.mark_host(PLATFORM, host, NOW, NOW)
        assert await seeder.turn() == 1
        [state] = desk.read(bind(LIMITS[:1], {}, tenant, "k1", "weather").counters(clock.now()))
        assert MANY - state.remaining == 1
        client.flushdb()
    desk.close()
    await store.close()
