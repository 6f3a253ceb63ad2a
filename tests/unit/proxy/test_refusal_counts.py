"""Refusals are counted per minute; what the spool does not take is not lost."""

import logging

from gateway.clock import MINUTE_US, ManualClock
from gateway.metering.record import RefusalCount, SpoolEntry
from gateway.proxy import refusals
from gateway.proxy.refusals import RefusalCounter

START = 1_800_000_000_000_000 // MINUTE_US * MINUTE_US


class Spool:
    """Takes entries while there is ``room``."""

    def __init__(self) -> None:
        self.room = 1000
        self.entries: list[SpoolEntry] = []

    def append(self, entry: SpoolEntry) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        self.room -= 1
        self.entries.append(entry)
        return len(self.entries)

    def has_room(self) -> bool:
        return bool(self.room)

    def sums(self) -> dict[tuple[int, str, str], int]:
        found: dict[tuple[int, str, str], int] = {}
        for one in self.entries:
            assert isinstance(one, RefusalCount)
            place = ((one.minute_us - START) // MINUTE_US, one.tenant, one.code)
            assert place not in found
            found[place] = one.count
        return found


def test_counts_wait_while_the_spool_takes_nothing() -> None:
    spool, clock = Spool(), ManualClock(START)
    counter = RefusalCounter(spool, clock, logging.getLogger("test"))
    for code in ("a", "b", "b"):
        counter.count("acme", "k", "r", code, 429)
    counter.flush()
    assert not spool.entries  # the minute is not over
    spool.room = 1
    clock.now_us += MINUTE_US
    counter.flush()
    assert spool.sums() == {(0, "acme", "a"): 1}
    counter.count("acme", "k", "r", "b", 429)
    clock.now_us += MINUTE_US
    counter.flush()
    spool.room = 1000
    counter.flush()
    assert spool.sums() == {(0, "acme", "a"): 1, (0, "acme", "b"): 2, (1, "acme", "b"): 1}
    counter.count("acme", "k", "r", "c", 429)
    counter.flush(everything=True)
    assert spool.sums()[2, "acme", "c"] == 1


def test_what_waits_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(refusals, "_MOST", 3)
    spool, clock = Spool(), ManualClock(START)
    counter = RefusalCounter(spool, clock, logging.getLogger("test"))
    for number in range(9):
        counter.count(f"t{number}", "k", "r", "limit", 429)
    counter.flush(everything=True)
    assert len(spool.entries) == 4
    assert sum(spool.sums().values()) == 9
