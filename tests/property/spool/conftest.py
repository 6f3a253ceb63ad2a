"""A worker that dies after any number of steps, and what is left of it to look at."""

import os
import random
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from gateway.clock import SystemClock
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.ids import uuid7
from gateway.metering.ports import Position
from gateway.metering.record import CallRecord, decode
from gateway.quotas.counter import Bounds, Counter, CounterRequest, Reservation
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.quotas.packing import pack
from gateway.spool.inflight import InflightTable
from gateway.spool.reader import SpoolReader
from gateway.spool.recovery import recover_all
from gateway.spool.writer import SpoolWriter

HOST = bytes(range(16))
FAR = 4_000_000_000_000_000
DAY = Limit("daily", "calls", 1000, CalendarWindow("day"), Algorithm.CALENDAR)
TOKENS = Limit("tokens", "tokens", 100_000, DurationWindow(3_600_000_000), Algorithm.SLIDING)
COUNTERS = (
    Counter(b"a" * 16, DAY.algorithm, DAY.max, 0, 0, Bounds(0, FAR, FAR + 1), False, DAY),
    Counter(b"b" * 16, TOKENS.algorithm, TOKENS.max, 3_600_000_000, 0, None, False, TOKENS),
)
_REQUESTS = (CounterRequest(COUNTERS[0], 1), CounterRequest(COUNTERS[1], 500))
RESERVATION = Reservation(_REQUESTS, pack(_REQUESTS))


def die() -> NoReturn:
    """Stop here as ``kill -9`` does: nothing is cleaned up."""
    os._exit(0)


def in_child(work: Callable[[], None]) -> None:
    """Run in a process of its own that ends by ``_exit``, with nothing cleaned up; fails if ``work`` failed."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@dataclass
class Scene:
    """One host's data directory."""

    root: Path
    calls: dict[bytes, bool] = field(default_factory=dict)  # call id: whether it counts

    def store(self, incarnation: str = "") -> MmapCounterStore:
        capacity = Capacity(small=64, sliding=16, address=8)
        return MmapCounterStore.open(self.root / "counters", SystemClock(), incarnation, capacity=capacity)

    def noted(self, what: str) -> set[bytes]:
        path = self.root / what
        data = path.read_bytes() if path.exists() else b""
        return {data[at : at + 16] for at in range(0, len(data), 16)}

    def note(self, what: str, call_id: bytes) -> None:
        fd = os.open(self.root / what, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(fd, call_id)
        os.close(fd)

    def run_worker(self, incarnation: str, schedule: list[int], die_after: int) -> None:
        """Serve calls, one step of ``schedule[i]``'s call at a time, and die after ``die_after`` steps."""
        (self.root / "inflight").mkdir(exist_ok=True)
        ids = [uuid7(1_795_000_000_000_000) for _ in range(max(schedule) + 1)]
        for number, call_id in enumerate(ids):
            self.calls[call_id] = number % 3 != 2

        def work() -> None:
            table = InflightTable.create(self.root / "inflight", incarnation, 0, slots=16)
            options = {"fsync": "interval", "max_size": 1 << 22, "segment_size": 1 << 16}
            writer = SpoolWriter.create(
                self.root / "spool", incarnation, HOST, clock=SystemClock(), tally=table.tally, **options
            )  # type: ignore[arg-type]
            store = self.store(incarnation)
            calls = [self.call(table, writer, store, call_id) for call_id in ids]
            left = die_after
            for number in schedule:
                for together in calls[number]:
                    if left == 0:
                        die()
                    left -= 1
                    if not together:
                        break

        in_child(work)

    def call(
        self, table: InflightTable, writer: SpoolWriter, store: MmapCounterStore, call_id: bytes
    ) -> Iterator[bool]:
        """One call's steps. True: the worker does nothing else before the next one."""
        counts = self.calls[call_id]
        record = CallRecord(id=call_id, at_us=1, route="r", method="GET", path="/", units={"calls": 1, "tokens": 500})
        yield False
        slot = table.open(call_id, record, RESERVATION.packed)
        yield False
        decision = store.reserve_now(call_id, RESERVATION)
        yield True
        table.reserved(slot, decision.at_us)
        yield False
        table.sent(slot)
        yield True
        self.note("reached", call_id)
        yield False
        record.at_us, record.outcome, record.counted, record.billable = decision.at_us, "ok", counts, counts
        record.units = {"calls": 1, "tokens": 123}
        record.quota_units = record.units if counts else {}
        writer.append(record)
        yield True
        if counts:
            store.settle_now(call_id, decision.at_us, RESERVATION, (1, 123))
        else:
            store.release_now(call_id, decision.at_us, RESERVATION)
        yield True
        table.settled(slot)
        yield False
        self.note("delivered", call_id)
        yield True
        table.close(slot)
        yield False

    def recover(self, die_after: int = -1) -> int:
        """Recover everything; die after so many steps. Returns how many steps there were if it lived."""
        steps = self.root / "steps"
        steps.write_bytes(b"")

        def work() -> None:
            taken = 0

            def on_step(step: str) -> None:
                nonlocal taken
                if taken == die_after:
                    die()
                taken += 1
                self.note("steps", step.ljust(16).encode())

            recover_all(self.root / "inflight", self.root / "spool", self.store("other-1-x"), on_step=on_step)

        in_child(work)
        return steps.stat().st_size // 16

    def records(self) -> list[CallRecord]:
        reader = SpoolReader(self.root / "spool")
        found: list[CallRecord] = []
        for incarnation in reader.incarnations():
            position = Position(incarnation, 0)
            while frames := reader.read(position, 100):
                position = frames[-1].position
                entries = [decode(frame.payload) for frame in frames]
                found += [entry for entry in entries if isinstance(entry, CallRecord)]
        assert reader.take_damage() == []
        return found

    def used(self) -> tuple[int, ...]:
        store = self.store()
        states = store.read(COUNTERS)
        store.close()
        return tuple(counter.max - state.remaining for counter, state in zip(COUNTERS, states, strict=True))

    def check(self) -> None:
        """The promises: delivered ⊆ recorded, reached ⊆ recorded, once, and counters = records."""
        records = self.records()
        ids = [record.id for record in records]
        assert len(ids) == len(set(ids))
        assert self.noted("delivered") <= set(ids)
        assert self.noted("reached") <= set(ids)
        assert {record.id for record in records if record.outcome == "interrupted"}.isdisjoint(self.noted("delivered"))
        counted = [record.quota_units for record in records if record.counted]
        assert self.used() == tuple(sum(units[meter] for units in counted) for meter in ("calls", "tokens"))
        assert not list((self.root / "inflight").glob("*.table"))


@pytest.fixture
def new_scene(tmp_path: Path) -> Callable[[], Scene]:
    numbers = iter(range(100_000))

    def make() -> Scene:
        root = tmp_path / str(next(numbers))
        root.mkdir()
        return Scene(root)

    return make


@pytest.fixture
def new_schedule() -> Callable[[random.Random, int], list[int]]:
    def make(chance: random.Random, calls: int) -> list[int]:
        schedule = [number for number in range(calls) for _ in range(8)]
        chance.shuffle(schedule)
        return schedule

    return make
