"""``on_store_error`` of a call's hard limits decides while the store is away (SEMANTICS 22)."""

import os

import pytest

from gateway.clock import DAY_US, MINUTE_US, ManualClock
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.errors import StoreUnavailable
from gateway.proxy.outage import Outage, Shares
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.tenants.model import Tenant

CLOCK = ManualClock(20_000 * DAY_US)
ACME = Tenant("acme", "Acme", "pro")


def limit(policy, mode="hard", maximum=10, name="daily"):
    return Limit(name, "calls", maximum, CalendarWindow("day"), Algorithm.CALENDAR, mode=mode, on_store_error=policy)


@pytest.fixture
def local(tmp_path):
    store = MmapCounterStore.open(tmp_path, CLOCK, capacity=Capacity(64, 64, 8))
    yield store
    store.close()


def decide(outage, *limits):
    reservation = bind(limits, {}, ACME, "k1", "r").reservation(CLOCK.now(), {"calls": 1})
    return outage.decide(os.urandom(16), reservation)


def test_hard_limits_decide_and_the_strictest_wins(local):
    outage = Outage(lambda: local, Shares, b"w1")
    assert decide(outage, limit("closed")).closed
    assert decide(outage, limit("open"), limit("closed", name="other")).closed
    assert decide(outage, limit("local"), limit("closed", name="other")).closed
    for passing in (limit("open"), limit("closed", "soft"), limit("closed", "shadow")):
        verdict = decide(outage, passing)
        assert (verdict.closed, verdict.decision) == (False, None)


def test_local_divides_the_maximum_among_hosts(local):
    outage = Outage(lambda: local, lambda: Shares(hosts=3, workers=2), b"w1")
    held = [decide(outage, limit("local", maximum=10)) for _ in range(4)]
    assert [verdict.decision.admitted for verdict in held] == [True, True, True, False]
    assert held[-1].decision.states[0].limit.max == 3
    held[0].hold.settle(bytes(16), (0,))  # it was not counted in the end
    assert decide(outage, limit("local", maximum=10)).decision.admitted
    assert decide(outage, limit("local", maximum=1, name="one")).decision.admitted is False  # the same counter


def test_local_concurrency_is_the_workers_own(local):
    at_once = Limit("parallel", "calls", 8, None, Algorithm.CONCURRENT, on_store_error="local")
    first, second = (Outage(lambda: local, lambda: Shares(2, 2), name) for name in (b"w1", b"w2"))
    assert [decide(first, at_once).decision.admitted for _ in range(3)] == [True, True, False]
    held = decide(second, at_once)
    assert held.decision.admitted
    held.hold.settle(bytes(16), (0,))


def test_only_limits_that_say_local_are_taken_there(local):
    outage = Outage(lambda: local, Shares, b"w1")
    minute = Limit("m", "calls", 5, DurationWindow(MINUTE_US), Algorithm.SLIDING, on_store_error="local")
    verdict = decide(outage, limit("open"), minute)
    assert (verdict.hold.places, [state.limit.name for state in verdict.decision.states]) == ((1,), ["m"])


def test_without_counters_of_its_own_local_is_closed():
    assert decide(Outage(None, Shares, b"w1"), limit("local")).closed

    def fails():
        raise StoreUnavailable("disk full")

    assert decide(Outage(fails, Shares, b"w1"), limit("local")).closed
