"""Room for counters: reuse of what is over, eviction of addresses, a warning at 80 %, a refusal when full."""

import pytest

from gateway.clock import DAY_US, MINUTE_US
from gateway.counters.layout import Capacity
from gateway.errors import StoreUnavailable
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit

DAILY = Limit("daily", "calls", 5, CalendarWindow("day"), Algorithm.CALENDAR)
SLIDING = Limit("burst", "calls", 5, DurationWindow(MINUTE_US), Algorithm.SLIDING)
BY_ADDRESS = Limit("callers", "calls", 1, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("address",))


@pytest.mark.parametrize(("limit", "after_us"), [(DAILY, DAY_US), (SLIDING, 62 * MINUTE_US // 60)])
def test_warns_refuses_when_full_and_reuses_what_is_over(limit, after_us, open_store, bind_to, clock, new_call, caplog):
    store = open_store(capacity=Capacity(16, 16, 8))

    def fill(prefix: str) -> None:
        for number in range(16):
            binding = bind_to([limit], tenant=f"{prefix}{number}")
            store.reserve_now(new_call(), binding.reservation(clock.now(), {"calls": 1}))
            assert ("13 of 16 in use" in caplog.text) == (number >= 12 or prefix != "a")

    fill("a")
    one_more = bind_to([limit], tenant="late")
    with pytest.raises(StoreUnavailable) as failure:
        store.reserve_now(new_call(), one_more.reservation(clock.now(), {"calls": 1}))
    assert failure.value.reason == "counters_full"
    old = bind_to([limit], tenant="a3")
    assert store.reserve_now(new_call(), old.reservation(clock.now(), {"calls": 1})).states[0].remaining == 3
    clock.advance(after_us)
    fill("b")
    assert store.occupancy()["small" if limit is DAILY else "sliding"] == (16, 16)


def test_a_refusal_for_room_takes_nothing_from_the_other_limits(open_store, bind_to, clock, new_call):
    store = open_store(capacity=Capacity(64, 8, 8))
    for number in range(8):
        binding = bind_to([SLIDING], tenant=f"t{number}")
        store.reserve_now(new_call(), binding.reservation(clock.now(), {"calls": 1}))
    both = bind_to([DAILY, SLIDING], tenant="late")
    with pytest.raises(StoreUnavailable):
        store.reserve_now(new_call(), both.reservation(clock.now(), {"calls": 1}))
    assert store.read(both.counters(clock.now()))[0].remaining == 5


def test_addresses_evict_the_one_touched_longest_ago(open_store, bind_to, clock, new_call):
    store, binding = open_store(capacity=Capacity(8, 8, 8)), bind_to([BY_ADDRESS])

    def call(number: int) -> bool:
        clock.advance(1000)
        reservation = binding.reservation(clock.now(), {"calls": 1}, f"192.0.2.{number}")
        return store.reserve_now(new_call(), reservation).admitted

    assert all(call(number) for number in range(8))
    assert not call(0)  # known
    assert call(8)  # takes the place of 0, whose refusal was no use of it
    assert not call(1)
    assert call(0)


def test_many_addresses_touch_no_tenant_counter(open_store, bind_to, clock, new_call):
    store, binding = open_store(capacity=Capacity(8, 8, 64)), bind_to([DAILY, SLIDING, BY_ADDRESS])
    for number in range(300):
        reservation = binding.reservation(clock.now(), {"calls": 0}, f"2001:db8:0:{number:x}::1")
        store.reserve_now(new_call(), reservation)
    occupancy = store.occupancy()
    assert (occupancy["small"][0], occupancy["sliding"][0]) == (1, 1)
    assert occupancy["address"][0] <= 64
