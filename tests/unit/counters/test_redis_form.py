"""Commands that are packed once and completed for each call are those that would be made anew."""

import pytest

from gateway.counters import redis_form as form
from gateway.counters.redis_form import Prepared
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, CalendarWindow, Limit
from gateway.tenants.model import Tenant

CALL = bytes(range(16))
LIMITS = [
    Limit("monthly", "calls", 9, CalendarWindow("month"), Algorithm.CALENDAR),
    Limit("parallel", "", 9, None, Algorithm.CONCURRENT, ("key",)),
]


@pytest.mark.parametrize("time", [b"", b"1728000000000000"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_prepared_command_is_the_whole_one(count, time):
    binding = bind(LIMITS[:count], {}, Tenant("acme", "Acme", "pro"), "k1", "r")
    prepared = Prepared.of(binding.reservation(1_728_000_000_000_000, {"calls": 1}), "epoch", "w1", time)
    reserve = (b"R", CALL, prepared.counters, time, b"99")
    assert prepared.reserve(CALL, b"99") == form.script_call(prepared.keys, reserve)
    actual = (3, 0)[:count]
    end = (b"S", CALL, prepared.counters, time, form.pack_amounts(actual), b"", b"123")
    assert prepared.end(CALL, actual, 123) == form.script_call(prepared.keys, end)
