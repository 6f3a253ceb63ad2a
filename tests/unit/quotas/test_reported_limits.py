"""Limits on what events report: what adds up is used up at its maximum, a level is over above it."""

import pytest

from gateway.clock import DAY_US, ManualClock
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.quotas.answer import limit_fields, retry_after, violated_policies
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, CalendarWindow, Limit
from gateway.quotas.reported import judged
from gateway.tenants.model import Tenant

CALLS = Limit("calls", "calls", 100, CalendarWindow("day"), Algorithm.CALENDAR)
START_US = 20_000 * DAY_US


def limit(kind, mode="hard"):
    return Limit("seats", "seats", 5, CalendarWindow("day"), Algorithm.CALENDAR, mode=mode, reported=kind)


@pytest.fixture
def store(tmp_path):
    store = MmapCounterStore.open(tmp_path, ManualClock(START_US + 1000), "w1", capacity=Capacity(8, 8, 8))
    yield store
    store.close()


@pytest.mark.parametrize(
    ("kind", "told", "passes", "left"),
    [("flow", 0, True, 5), ("flow", 4, True, 1), ("flow", 5, False, 0), ("flow", 9, False, 0),
     ("level", 0, True, 5), ("level", 5, True, 0), ("level", 6, False, 0), ("level", 4, True, 1)],
)  # fmt: skip
def test_calls_pass_while_there_is_room(store, kind, told, passes, left):
    binding = bind([CALLS, limit(kind)], {}, Tenant("acme", "Acme", "p"), "k1", "r")
    assert binding.reported
    for counter in binding.counters(store.now()):
        if counter.limit.reported:
            store.put(counter, 3)
            store.put(counter, told)
    reservation = binding.reservation(store.now(), {"calls": 1})
    for number in range(3):
        decision = judged(store.reserve_now(bytes([number]) * 16, reservation))
        assert decision.admitted is passes
        assert [state.remaining for state in decision.states] == [99 - number, left]
    assert violated_policies(decision) == ([] if passes else ["seats"])
    assert retry_after(decision) == (None if passes else 86_400)
    assert b"seats" in dict(limit_fields(decision.states, decision.at_us, "ietf"))[b"RateLimit"]


def test_a_soft_one_flags_and_a_shadow_one_does_nothing(store):
    for mode, flags in (("soft", 16), ("shadow", 0)):
        binding = bind([limit("level", mode)], {}, Tenant(mode, mode, "p"), "k1", "r")
        store.put(binding.counters(store.now())[0], 6)
        decision = judged(store.reserve_now(bytes(16), binding.reservation(store.now(), {"calls": 1})))
        assert (decision.admitted, decision.flags) == (True, flags)


def test_a_new_window_begins_with_nothing(store):
    binding = bind([limit("flow")], {}, Tenant("acme", "Acme", "p"), "k1", "r")
    store.put(binding.counters(store.now())[0], 5)
    store._clock.advance(DAY_US)
    assert judged(store.reserve_now(bytes(16), binding.reservation(store.now(), {"calls": 1}))).admitted
