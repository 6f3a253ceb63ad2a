"""The Redis script, the memory-mapped store and the reference decide alike on the same history."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import redis
from counter_model import Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.redis_counters import PlainRedisStore

from gateway.clock import DAY_US, MINUTE_US, ManualClock
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.tenants.model import Tenant

LIMITS = [
    Limit("minute", "calls", 7, CalendarWindow("minute"), Algorithm.CALENDAR),
    Limit("sliding", "calls", 5, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("key",)),
    Limit("odd", "tokens", 40, DurationWindow(1_000_037), Algorithm.SLIDING),
    Limit("bucket", "calls", 3, DurationWindow(1_000_000), Algorithm.BUCKET, ("key",), burst=4),
    Limit("slow", "tokens", 70, DurationWindow(DAY_US + 1), Algorithm.BUCKET, burst=90),
    Limit("large", "tokens", 999_999_999_989, DurationWindow(90 * DAY_US + 7), Algorithm.BUCKET, burst=10**15),
    Limit("long", "calls", 50, DurationWindow(9_000 * DAY_US + 11), Algorithm.SLIDING),
    Limit("parallel", "", 6, None, Algorithm.CONCURRENT),
    Limit("report", "calls", 2, CalendarWindow("minute"), Algorithm.CALENDAR, mode="shadow"),
    Limit("billed", "tokens", 30, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("key",), mode="soft"),
]
PASS = st.tuples(st.just("pass"), st.one_of(st.integers(0, 50_000), st.integers(0, 2 * MINUTE_US)))
RESERVE = st.tuples(st.just("reserve"), st.integers(0, 1), st.integers(0, 3), st.integers(0, 45))
END = st.tuples(st.just("end"), st.integers(0, 50), st.integers(0, 4), st.integers(0, 60))
HISTORY = st.lists(st.one_of(PASS, RESERVE, RESERVE, END), min_size=5, max_size=40)


class Worlds:
    """One history in all three."""

    def __init__(self, url: str, folder: Path) -> None:
        self.clock = ManualClock(20_000 * DAY_US + 12_345)
        self.mapped = MmapCounterStore.open(folder / "map", self.clock, "w1", capacity=Capacity(16, 16, 8))
        self.shared = PlainRedisStore(url, "w1", self.mapped.now, folder / "notes", self.clock.now, ("acme",))
        self.model = Model()
        self.bindings = [bind(LIMITS, {}, Tenant("acme", "Acme", "pro"), key, "r") for key in ("k1", "k2")]
        self.calls: list = []

    def close(self) -> None:
        self.shared.close()
        self.mapped.close()

    def reserve(self, key: int, calls: int, tokens: int) -> None:
        call = os.urandom(16)
        reservation = self.bindings[key].reservation(self.clock.now(), {"calls": calls, "tokens": tokens})
        decision, other = self.mapped.reserve_now(call, reservation), self.shared.reserve_now(call, reservation)
        assert decision == other
        now = decision.at_us
        passes = [self.model.passes(request.counter, request.amount, now) for request in reservation.requests]
        assert [not state.violated for state in other.states] == passes
        if decision.admitted:
            held: dict = {}
            for request in reservation.requests:
                if request.counter.key not in held:
                    held[request.counter.key] = self.model.take(request.counter, request.amount, now)
            self.calls.append((call, reservation, now, held))

    def end(self, pick: int, calls: int, tokens: int) -> None:
        if not self.calls:
            return
        call, reservation, at_us, held = self.calls.pop(pick % len(self.calls))
        actual = self.bindings[0].actual(reservation, {"calls": calls, "tokens": tokens})
        for store in (self.mapped, self.shared):
            store.settle_now(call, at_us, reservation, actual)
        for request, got in zip(reservation.requests, actual, strict=True):
            unit = held.pop(request.counter.key, None)
            if unit is not None and got != request.amount:
                self.model.correct(request.counter, unit, got - request.amount, self.clock.now())

    def agree(self) -> None:
        now = self.clock.now()
        for binding in self.bindings:
            counters = binding.counters(now)
            mapped, shared = self.mapped.read(counters), self.shared.read(counters)
            assert mapped == shared
            assert [state.remaining for state in shared] == [self.model.remaining(each, now) for each in counters]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
@given(history=HISTORY)
def test_all_three_decide_alike(redis_url: str, history: list) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    folder = Path(tempfile.mkdtemp(prefix="alike-"))
    worlds = Worlds(redis_url, folder)
    try:
        for step, *arguments in history:
            worlds.clock.advance(10)  # a counter is made at an instant that no call had; the stores need not bump it
            if step == "pass":
                worlds.clock.advance(*arguments)
            else:
                getattr(worlds, step)(*arguments)
            worlds.agree()
    finally:
        worlds.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("back_us", [1, 59_000_000, DAY_US])
def test_time_in_redis_never_goes_back(redis_url: str, tmp_path: Path, back_us: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    worlds = Worlds(redis_url, tmp_path)
    try:
        reservation = worlds.bindings[0].reservation(worlds.clock.now(), {"calls": 1, "tokens": 1})
        first = worlds.shared.reserve_now(os.urandom(16), reservation)
        worlds.clock.step(-back_us)
        assert worlds.shared.reserve_now(os.urandom(16), reservation).at_us >= first.at_us
        worlds.clock.step(2 * back_us + 5)
        assert worlds.shared.reserve_now(os.urandom(16), reservation).at_us == worlds.clock.now()
    finally:
        worlds.close()
