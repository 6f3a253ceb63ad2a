"""The memory-mapped store and the reference decide alike on any history: clock steps, restarts, deaths at any write."""

import os
import shutil
import tempfile
from pathlib import Path

from counter_model import Model, Unit
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.faulty_map import Died, FaultyMap

from gateway.clock import DAY_US, MINUTE_US, ManualClock
from gateway.counters.growing import Succession
from gateway.counters.layout import Capacity, Layout, Phase
from gateway.counters.mmap_store import MmapCounterStore
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.tenants.model import Tenant

LIMITS = [
    Limit("minute", "calls", 7, CalendarWindow("minute"), Algorithm.CALENDAR),
    Limit("sliding", "calls", 5, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("key",)),
    Limit("odd", "tokens", 40, DurationWindow(1_000_037), Algorithm.SLIDING),
    Limit("bucket", "calls", 3, DurationWindow(1_000_000), Algorithm.BUCKET, ("key",), burst=4),
    Limit("parallel", "", 6, None, Algorithm.CONCURRENT),
    Limit("report", "calls", 2, CalendarWindow("minute"), Algorithm.CALENDAR, mode="shadow"),
    Limit("billed", "tokens", 30, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("key",), mode="soft"),
]


class CounterMachine(RuleBasedStateMachine):
    """Two workers' stores on one file; ``open_calls`` hold what each admitted call took."""

    @initialize()
    def start(self) -> None:
        FaultyMap.live()
        self.folder = Path(tempfile.mkdtemp(prefix="counters-"))
        self.clock = ManualClock(20_000 * DAY_US + 12_345)
        self.model = Model()
        self.stores = {}
        self.open_calls = {}
        self.last_us = 0
        tenant = Tenant("acme", "Acme", "pro")
        self.bindings = [bind(LIMITS, {}, tenant, key, "r") for key in ("k1", "k2")]
        self.growing = None
        for name in ("w1", "w2", "w3"):
            self.open(name)

    def open(self, name: str) -> None:
        self.stores[name] = MmapCounterStore.open(
            self.folder, self.clock, name, capacity=Capacity(16, 16, 8), mapper=FaultyMap
        )

    def teardown(self) -> None:
        FaultyMap.live()
        for store in getattr(self, "stores", {}).values():
            store.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(microseconds=st.one_of(st.integers(0, 50_000), st.integers(0, 2 * MINUTE_US)))
    def pass_time(self, microseconds: int) -> None:
        self.clock.advance(microseconds)

    @rule(microseconds=st.integers(-3 * MINUTE_US, MINUTE_US))
    def step_clock(self, microseconds: int) -> None:
        self.clock.step(microseconds)

    @rule(name=st.sampled_from(["w1", "w2"]))
    def restart(self, name: str) -> None:
        self.stores[name].close()
        self.open(name)

    @rule()
    def new_generation(self) -> None:
        self.give_up_growing()
        assert self.stores["w1"].renew() == self.stores["w1"]._file.layout.capacity

    @rule()
    def begin_to_grow(self) -> None:
        """Everything else goes on while a new generation is being filled."""
        self.give_up_growing()
        self.growing = self.stores["w3"].now() and Succession(
            self.stores["w3"]._file, self.folder, Layout(Capacity(32, 64, 8)), FaultyMap
        )

    @precondition(lambda self: self.growing)
    @rule()
    def end_growing(self) -> None:
        store = self.stores["w3"]
        with store._locked() as at_us:
            if store._file is self.growing._old:
                self.growing.take_over(at_us)
        self.give_up_growing()
        store.now()

    @rule(write=st.integers(0, 60), torn=st.sampled_from([0.0, 0.5, 1.0]))
    def die_growing(self, write: int, torn: float) -> None:
        self.give_up_growing()
        FaultyMap.die_at, FaultyMap.torn = write, torn
        try:
            self.stores["w3"].renew(Capacity(64, 32, 16))
        except Died:
            pass
        finally:
            FaultyMap.live()
        self.restart("w3")

    def give_up_growing(self) -> None:
        if self.growing:
            self.growing.close()
        self.growing = None

    @rule(name=st.sampled_from(["w1", "w2"]), key=st.integers(0, 1), calls=st.integers(0, 3), tokens=st.integers(0, 45))
    def reserve(self, name: str, key: int, calls: int, tokens: int) -> None:
        call, reservation = self.ask(key, calls, tokens)
        decision = self.stores[name].reserve_now(call, reservation)
        now = decision.at_us
        assert now >= self.last_us
        self.last_us = now
        passes = [self.model.passes(r.counter, r.amount, now) for r in reservation.requests]
        hard = [r.counter.limit.mode == "hard" for r in reservation.requests]
        assert decision.admitted == all(ok for ok, counts in zip(passes, hard, strict=True) if counts)
        assert [state.violated for state in decision.states] == [not ok for ok in passes]
        for state, request in zip(decision.states, reservation.requests, strict=True):
            self.check_retry(state, request, now)
        if decision.admitted:
            self.count(call, reservation, now)
        for state, request in zip(decision.states, reservation.requests, strict=True):
            assert state.remaining == self.model.remaining(request.counter, now), request

    @precondition(lambda self: self.open_calls)
    @rule(name=st.sampled_from(["w1", "w2"]), pick=st.integers(0), calls=st.integers(0, 4), tokens=st.integers(0, 60))
    def settle(self, name: str, pick: int, calls: int, tokens: int) -> None:
        call, actual = self.ending(pick, calls, tokens)
        reservation, at_us, _ = self.open_calls[call]
        self.stores[name].settle_now(call, at_us, reservation, actual)
        self.correct(call, actual, self.stores[name].now())

    @precondition(lambda self: self.open_calls)
    @rule(name=st.sampled_from(["w1", "w2"]), pick=st.integers(0))
    def release(self, name: str, pick: int) -> None:
        call, _ = self.ending(pick, 0, 0)
        reservation, at_us, _ = self.open_calls[call]
        self.stores[name].release_now(call, at_us, reservation)
        self.correct(call, (0,) * len(reservation.requests), self.stores[name].now())

    @rule(
        write=st.integers(0, 40),
        torn=st.sampled_from([0.0, 0.5, 1.0]),
        key=st.integers(0, 1),
        calls=st.integers(0, 2),
        tokens=st.integers(0, 20),
    )
    def die_reserving(self, write: int, torn: float, key: int, calls: int, tokens: int) -> None:
        call, reservation = self.ask(key, calls, tokens)
        self.die(write, torn, lambda store: store.reserve_now(call, reservation))
        last = self.stores["w1"].last_operation("w1")
        if last is not None and last.call_id == call:
            assert last.phase is Phase.RESERVE
            self.count(call, reservation, last.at_us)

    @precondition(lambda self: self.open_calls)
    @rule(
        write=st.integers(0, 40), torn=st.sampled_from([0.0, 0.5, 1.0]), pick=st.integers(0), tokens=st.integers(0, 60)
    )
    def die_settling(self, write: int, torn: float, pick: int, tokens: int) -> None:
        call, actual = self.ending(pick, 1, tokens)
        reservation, at_us, _ = self.open_calls[call]
        self.die(write, torn, lambda store: store.settle_now(call, at_us, reservation, actual))
        self.stores["w1"].settle_now(call, at_us, reservation, actual)  # its recovery repeats it: once is once
        self.correct(call, actual, self.stores["w1"].now())

    @invariant()
    def counters_agree(self) -> None:
        if not getattr(self, "stores", None):
            return
        now = self.stores["w2"].now()  # nothing moves the clocks between this and the reading
        for binding in self.bindings:
            for state, counter in zip(
                self.stores["w2"].read(binding.counters(now)), binding.counters(now), strict=True
            ):
                assert state.remaining == self.model.remaining(counter, now), counter

    def ask(self, key: int, calls: int, tokens: int):  # type: ignore[no-untyped-def]
        amounts = {"calls": calls, "tokens": tokens}
        return os.urandom(16), self.bindings[key].reservation(self.clock.now(), amounts)

    def ending(self, pick: int, calls: int, tokens: int) -> tuple[bytes, tuple[int, ...]]:
        call = list(self.open_calls)[pick % len(self.open_calls)]
        reservation = self.open_calls[call][0]
        return call, self.bindings[0].actual(reservation, {"calls": calls, "tokens": tokens})

    def die(self, write: int, torn: float, step) -> None:  # type: ignore[no-untyped-def]
        FaultyMap.die_at, FaultyMap.torn = write, torn
        try:
            step(self.stores["w1"])
        except Died:
            pass
        finally:
            FaultyMap.live()
        self.restart("w1")

    def count(self, call: bytes, reservation, at_us: int) -> None:  # type: ignore[no-untyped-def]
        held: dict[bytes, Unit] = {}
        for request in reservation.requests:
            if request.counter.key not in held:
                held[request.counter.key] = self.model.take(request.counter, request.amount, at_us)
        self.open_calls[call] = (reservation, at_us, held)

    def correct(self, call: bytes, actual: tuple[int, ...], now_us: int) -> None:
        reservation, _, held = self.open_calls.pop(call)
        for request, got in zip(reservation.requests, actual, strict=True):
            unit = held.pop(request.counter.key, None)
            if unit is not None and got != request.amount:
                self.model.correct(request.counter, unit, got - request.amount, now_us)

    def check_retry(self, state, request, now: int) -> None:  # type: ignore[no-untyped-def]
        counter, cost = request.counter, request.amount
        if not state.violated:
            assert state.retry_us == 0
        elif state.retry_us == -1:
            assert cost > (counter.burst if counter.algorithm is Algorithm.BUCKET else counter.max)
        elif counter.algorithm is not Algorithm.CONCURRENT:
            assert self.model.passes(counter, cost, state.retry_us)
            assert not self.model.passes(counter, cost, state.retry_us - 1)


CounterMachine.TestCase.settings = settings(
    max_examples=600 if os.environ.get("PROVE") == "1" else 60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
TestCounterMachine = CounterMachine.TestCase
