"""What recovery relies on in a counter store: a journal that tells each incarnation's last change."""

from pathlib import Path

from gateway.clock import SystemClock
from gateway.counters.mmap_store import MmapCounterStore
from gateway.quotas.counter import Bounds, Counter, CounterRequest, Reservation
from gateway.quotas.limit import Algorithm, CalendarWindow, Limit
from gateway.quotas.packing import pack, unpack
from gateway.spool.recovery import RESERVE, RecoverableCounters, actual_amounts

LIMIT = Limit("daily", "calls", 10, CalendarWindow("day"), Algorithm.CALENDAR)
COUNTER = Counter(b"k" * 16, LIMIT.algorithm, 10, 0, 0, Bounds(0, 4_000_000_000_000_000, 4_000_000_000_000_001), False, LIMIT)  # fmt: skip  # noqa: E501
REQUESTS = (CounterRequest(COUNTER, 2),)
CALL = bytes(range(16))


def test_the_journal_tells_the_last_change_of_each(tmp_path: Path) -> None:
    worker = MmapCounterStore.open(tmp_path, SystemClock(), "dead")
    other: RecoverableCounters = MmapCounterStore.open(tmp_path, SystemClock(), "living")
    assert other.last_operation("dead") is None
    decision = worker.reserve_now(CALL, Reservation(REQUESTS, pack(REQUESTS)))
    last = other.last_operation("dead")
    assert last is not None
    assert (last.call_id, last.phase, last.at_us) == (CALL, RESERVE, decision.at_us)
    restored = unpack(pack(REQUESTS))
    assert actual_amounts(restored, [{"calls": 1}, {"tokens": 9}]) == (1,)
    for _ in range(2):
        other.settle_now(CALL, decision.at_us, restored, (1,), incarnation="dead")
    last = other.last_operation("dead")
    assert last is not None
    assert (last.call_id, last.phase != RESERVE) == (CALL, True)
    assert worker.read((COUNTER,))[0].remaining == 9
    # Another process, which remembers nothing, is told by the journal too.
    third = MmapCounterStore.open(tmp_path, SystemClock(), "third")
    third.settle_now(CALL, decision.at_us, restored, (1,), incarnation="dead")
    assert worker.read((COUNTER,))[0].remaining == 9
    other.forget("dead")
    assert other.last_operation("dead") is None
