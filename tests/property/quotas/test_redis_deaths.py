"""Workers that die between any two steps of a call, recoveries that die too, and sweeps by other hosts: the counters in
Redis are what the reference says, after every step.
"""

import os
import shutil
import tempfile
from pathlib import Path

import redis
from counter_model import Model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.redis_counters import PlainRedisStore
from test_redis_alike import LIMITS, PASS

from gateway.clock import DAY_US, ManualClock
from gateway.quotas.binding import bind
from gateway.quotas.packing import unpack
from gateway.tenants.model import Tenant

WORKER = st.integers(0, 1)
RESERVE = st.tuples(st.just("reserve"), WORKER, st.integers(0, 1), st.integers(0, 2), st.integers(0, 25))
END = st.tuples(st.just("end"), st.integers(0, 50), st.integers(0, 4), st.integers(0, 60))
DIE = st.tuples(
    st.just("die"), WORKER, st.booleans(), st.booleans(), st.integers(0, 4), st.integers(0, 3), st.integers(0, 40)
)
HISTORY = st.lists(st.one_of(PASS, RESERVE, RESERVE, RESERVE, END, DIE), min_size=5, max_size=30)


class World:
    """Two workers of one host, each replaced when it dies; ``calls`` are those whose end is not told."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.clock = ManualClock(20_000 * DAY_US + 12_345)
        self.model = Model()
        self.bindings = [bind(LIMITS, {}, Tenant("acme", "Acme", "pro"), key, "r") for key in ("k1", "k2")]
        self.calls: dict = {}
        self.names = 0
        self.workers = [self.open(), self.open()]

    def open(self) -> PlainRedisStore:
        self.names += 1
        now = self.clock.now
        return PlainRedisStore(self.url, f"w{self.names}", now, self.folder / "notes", now, ("acme",))

    def close(self) -> None:
        for worker in self.workers:
            worker.close()

    def reserve(self, worker: int, key: int, calls: int, tokens: int) -> None:
        call, store, now = os.urandom(16), self.workers[worker], self.clock.now()
        reservation = self.bindings[key].reservation(now, {"calls": calls, "tokens": tokens})
        decision = store.reserve_now(call, reservation)
        passes = [self.model.passes(request.counter, request.amount, now) for request in reservation.requests]
        assert [not state.violated for state in decision.states] == passes
        if decision.admitted:
            held: dict = {}
            for request in reservation.requests:
                if request.counter.key not in held:
                    held[request.counter.key] = self.model.take(request.counter, request.amount, now)
            self.calls[call] = (store.incarnation, reservation, decision.at_us, held)

    def end(self, pick: int, calls: int, tokens: int) -> None:
        if self.calls:
            call = list(self.calls)[pick % len(self.calls)]
            name, reservation, at_us, held = self.calls.pop(call)
            actual = self.bindings[0].actual(reservation, {"calls": calls, "tokens": tokens})
            [store] = [store for store in self.workers if store.incarnation == name]
            store.settle_now(call, at_us, reservation, actual)
            self.correct(reservation, held, [request.amount for request in reservation.requests], actual)

    def die(self, worker: int, reserving: bool, swept: bool, stops: int, recorded: int, tokens: int) -> None:
        """``reserving``: its last reserve was done and nobody heard; ``swept``: its lease ended before its host came
        back; ``stops``: its recovery died after so many steps; every call but each ``recorded``-th has a record.
        """
        store = self.workers[worker]
        if reserving:
            self.reserve(worker, 0, 1, 3)
        store.close()
        name, desk = store.incarnation, self.workers[1 - worker].desk
        mine = {call: one for call, one in self.calls.items() if one[0] == name}
        if swept:
            desk.sweep(name)
            for _, reservation, _, held in mine.values():
                amounts = [request.amount for request in reservation.requests]
                self.correct(reservation, held, amounts, [0] * len(amounts))
        ends = []
        for number, (call, (_, reservation, at_us, held)) in enumerate(mine.items(), 1):
            units = {} if recorded and number % recorded == 0 else {"calls": 1, "tokens": tokens}
            ends.append((call, reservation, at_us, held, self.bindings[0].actual(reservation, units)))
        for time in range(2):  # a recovery that died, and the one that went on from there
            for call, reservation, at_us, held, actual in ends[: stops if time == 0 else None]:
                kept = unpack(reservation.packed)
                if any(actual):
                    desk.settle_now(call, at_us, kept, actual, incarnation=name)
                else:
                    desk.release_now(call, at_us, kept, incarnation=name)
                if self.calls.pop(call, None) is not None:
                    taken = [0 if swept else request.amount for request in reservation.requests]
                    self.correct(reservation, held, taken, actual)
        desk.forget(name)
        self.workers[worker] = self.open()

    def correct(self, reservation, held, taken, actual) -> None:  # type: ignore[no-untyped-def]
        seen = set()
        for request, had, got in zip(reservation.requests, taken, actual, strict=True):
            if request.counter.key not in seen and got != had:
                self.model.correct(request.counter, held[request.counter.key], got - had, self.clock.now())
            seen.add(request.counter.key)

    def agree(self) -> None:
        now = self.clock.now()
        for binding in self.bindings:
            counters = binding.counters(now)
            found = [state.remaining for state in self.workers[0].read(counters)]
            assert found == [self.model.remaining(each, now) for each in counters]


@settings(
    max_examples=300 if os.environ.get("PROVE") == "1" else 15, suppress_health_check=list(HealthCheck), print_blob=True
)
@given(history=HISTORY)
def test_whoever_dies_the_counters_are_right(redis_url: str, history: list) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    folder = Path(tempfile.mkdtemp(prefix="deaths-"))
    world = World(redis_url, folder)
    try:
        for step, *arguments in history:
            world.clock.advance(10)
            if step == "pass":
                world.clock.advance(*arguments)
            else:
                getattr(world, step)(*arguments)
            world.agree()
    finally:
        world.close()
        shutil.rmtree(folder, ignore_errors=True)
