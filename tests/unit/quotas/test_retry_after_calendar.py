"""Retry-After of calendar windows: refused a microsecond before the stated instant and admitted at it (SEMANTICS §15).

The instants are written out, not computed: months and leap years, clock changes, anchors of day 29 to 31, five zones.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.clock import DAY_US, ManualClock
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.period import from_us, to_us
from gateway.quotas.answer import retry_after
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, CalendarWindow, Limit
from gateway.tenants.model import Tenant

BERLIN, NEW_YORK, KATHMANDU, AUCKLAND, UTC_ZONE = (
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Auckland",
    "UTC",
)

# unit, zone, anchor, cycle, a call at (UTC), the window's end (UTC), the window's length in seconds
TABLE = [
    ("second", UTC_ZONE, "", "month", "2026-02-01T10:00:00.300", "2026-02-01T10:00:01", 1),
    ("minute", KATHMANDU, "", "month", "2026-02-01T10:00:59.999999", "2026-02-01T10:01:00", 60),
    ("hour", KATHMANDU, "", "month", "2026-02-01T10:20:00", "2026-02-01T11:15:00", 3600),
    ("day", UTC_ZONE, "", "month", "2026-12-31T23:59:59", "2027-01-01T00:00:00", 86400),
    ("day", KATHMANDU, "", "month", "2026-03-01T18:14:59", "2026-03-01T18:15:00", 86400),
    ("day", BERLIN, "", "month", "2026-03-29T12:00:00", "2026-03-29T22:00:00", 23 * 3600),
    ("day", BERLIN, "", "month", "2026-10-25T12:00:00", "2026-10-25T23:00:00", 25 * 3600),
    ("day", NEW_YORK, "", "month", "2026-03-08T05:00:00", "2026-03-09T04:00:00", 23 * 3600),
    ("day", NEW_YORK, "", "month", "2026-11-01T04:00:00", "2026-11-02T05:00:00", 25 * 3600),
    ("day", AUCKLAND, "", "month", "2026-04-04T11:00:00", "2026-04-05T12:00:00", 25 * 3600),
    ("week", NEW_YORK, "", "month", "2026-03-04T12:00:00", "2026-03-09T04:00:00", 7 * 86400 - 3600),
    ("week", UTC_ZONE, "", "month", "2026-11-22T23:59:59", "2026-11-23T00:00:00", 7 * 86400),
    ("month", UTC_ZONE, "", "month", "2026-02-28T23:00:00", "2026-03-01T00:00:00", 28 * 86400),
    ("month", UTC_ZONE, "", "month", "2028-02-29T23:00:00", "2028-03-01T00:00:00", 29 * 86400),
    ("month", BERLIN, "", "month", "2026-03-15T00:00:00", "2026-03-31T22:00:00", 31 * 86400 - 3600),
    ("month", AUCKLAND, "", "month", "2026-09-10T00:00:00", "2026-09-30T11:00:00", 30 * 86400 - 3600),
    ("year", NEW_YORK, "", "month", "2028-06-01T00:00:00", "2029-01-01T05:00:00", 366 * 86400),
    ("year", KATHMANDU, "", "month", "2026-12-31T18:14:59", "2026-12-31T18:15:00", 365 * 86400),
    ("billing_period", UTC_ZONE, "2026-01-31", "month", "2026-02-10T00:00:00", "2026-02-28T00:00:00", 28 * 86400),
    ("billing_period", UTC_ZONE, "2026-01-31", "month", "2026-02-28T00:00:00", "2026-03-31T00:00:00", 31 * 86400),
    ("billing_period", UTC_ZONE, "2026-01-30", "month", "2028-02-01T00:00:00", "2028-02-29T00:00:00", 30 * 86400),
    ("billing_period", UTC_ZONE, "2026-01-29", "month", "2027-02-01T00:00:00", "2027-02-28T00:00:00", 30 * 86400),
    ("billing_period", BERLIN, "2026-01-31", "month", "2026-04-01T00:00:00", "2026-04-29T22:00:00", 30 * 86400),
    ("billing_period", AUCKLAND, "2026-05-31", "month", "2026-06-15T00:00:00", "2026-06-29T12:00:00", 30 * 86400),
    ("billing_period", NEW_YORK, "2024-02-29", "year", "2026-03-01T00:00:00", "2027-02-28T05:00:00", 365 * 86400),
    ("billing_period", KATHMANDU, "2024-02-29", "year", "2027-03-01T00:00:00", "2028-02-28T18:15:00", 366 * 86400),
    ("billing_period", BERLIN, "", "month", "2026-10-15T00:00:00", "2026-10-31T23:00:00", 31 * 86400 + 3600),
]


def instant(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("unit", "zone", "anchor", "cycle", "call", "end", "length_s"), TABLE, ids=lambda value: str(value)
)
def test_refused_before_and_admitted_at(unit, zone, anchor, cycle, call, end, length_s, tmp_path: Path):
    clock = ManualClock(instant(call))
    store = MmapCounterStore.open(tmp_path, clock, "w1", capacity=Capacity(8, 8, 8))
    limit = Limit("quota", "calls", 1, CalendarWindow(unit), Algorithm.CALENDAR)
    binding = bind([limit], {}, Tenant("t", "t", "p", timezone=zone, billing_cycle=cycle, anchor=anchor), "k", "r")

    def call_now():
        return store.reserve_now(b"c" * 16, binding.reservation(clock.now(), {"calls": 1}))

    assert call_now().admitted
    refused = call_now()
    state = refused.states[0]
    assert (refused.admitted, from_us(state.retry_us), state.reset_us) == (False, from_us(instant(end)), instant(end))
    assert state.window_us == length_s * 1_000_000
    seconds = retry_after(refused)
    assert seconds == max(1, -(-(instant(end) - refused.at_us) // 1_000_000))
    clock.advance(state.retry_us - 1 - clock.now())
    assert (call_now().admitted, retry_after(call_now())) == (False, 1)
    clock.advance(1)
    assert call_now().admitted
    store.close()


@pytest.mark.parametrize(("unit", "zone"), [("minute", UTC_ZONE), ("day", BERLIN), ("month", KATHMANDU)])
def test_bounds_are_asked_for_again_only_at_a_windows_end(unit, zone):
    limit = Limit("quota", "calls", 1, CalendarWindow(unit), Algorithm.CALENDAR)
    binding = bind([limit], {}, Tenant("t", "t", "p", timezone=zone), "k", "r")
    now = 20_000 * DAY_US + 3
    first = binding.reservation(now, {"calls": 1})
    bounds = first.requests[0].counter.bounds
    assert bounds.start_us <= now < bounds.end_us < bounds.next_end_us
    assert binding.reservation(bounds.end_us - 1, {"calls": 1}) is first
    following = binding.reservation(bounds.end_us, {"calls": 1}).requests[0].counter.bounds
    assert (following.start_us, following.end_us) == (bounds.end_us, bounds.next_end_us)
    assert binding.reservation(bounds.start_us, {"calls": 1}).requests[0].counter.bounds == bounds
