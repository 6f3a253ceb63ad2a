"""Which limits bind a caller, by which counters, and what a reservation keeps for a recovery."""

from dataclasses import replace

import pytest

from gateway.clock import DAY_US, HOUR_US, MINUTE_US
from gateway.errors import GatewayError
from gateway.quotas.binding import MAX_LIMITS, address_scope, bind
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.quotas.packing import pack, unpack
from gateway.tenants.model import Tenant

ACME = Tenant("acme", "Acme", "pro")
NOW = 20_000 * DAY_US
MONTHLY = Limit("monthly", "calls", 100, CalendarWindow("month"), Algorithm.CALENDAR)
BURST = Limit("burst", "calls", 10, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("key",))


def key_of(limit, tenant=ACME, key="k1", route="r"):
    return bind([limit], {}, tenant, key, route).reservation(NOW, {"calls": 1, "tokens": 1}).requests[0].counter.key


def test_only_limits_of_the_route_and_of_the_calls_meters_apply():
    here, there = replace(MONTHLY, name="here", routes=("r",)), replace(MONTHLY, name="there", routes=("x",))
    tokens = replace(MONTHLY, name="tokens", meter="tokens")
    parallel = Limit("parallel", "", 2, None, Algorithm.CONCURRENT)
    binding = bind([here, there, tokens, parallel], {}, ACME, "k1", "r")
    requests = binding.reservation(NOW, {"calls": 3}).requests
    assert [(request.counter.limit.name, request.amount) for request in requests] == [("here", 3), ("parallel", 1)]
    assert binding.actual(binding.reservation(NOW, {"calls": 3}), {"calls": 4, "tokens": 9}) == (4, 0)


def test_an_override_replaces_the_maximum_and_keeps_the_counter():
    plain, own = (bind([MONTHLY], overrides, ACME, "k1", "r") for overrides in ({}, {"monthly": {"max": 7}, "no": {}}))
    first, second = (binding.reservation(NOW, {"calls": 1}).requests[0].counter for binding in (plain, own))
    assert (first.max, second.max, second.limit.max) == (100, 7, 7)
    assert first.key == second.key


def test_identity_is_scope_meter_algorithm_window_routes_and_nothing_else():
    same = [MONTHLY, replace(MONTHLY, name="x", max=3, mode="soft", on_store_error="open")]
    assert len({key_of(limit) for limit in same}) == 1
    hour = DurationWindow(HOUR_US)
    others = [
        MONTHLY,
        replace(MONTHLY, meter="tokens"),
        replace(MONTHLY, window=CalendarWindow("day")),
        replace(MONTHLY, window=hour),
        replace(MONTHLY, window=hour, algorithm=Algorithm.SLIDING),
        replace(MONTHLY, window=hour, algorithm=Algorithm.BUCKET),
        replace(MONTHLY, window=None, algorithm=Algorithm.CONCURRENT),
        replace(MONTHLY, routes=("r",)),
        replace(MONTHLY, routes=("r", "s")),
        replace(MONTHLY, by=("key",)),
        replace(MONTHLY, by=("route",)),
        replace(MONTHLY, by=("key", "route")),
    ]
    assert len({key_of(limit) for limit in others}) == len(others)
    assert key_of(replace(MONTHLY, routes=("s", "r"))) == key_of(replace(MONTHLY, routes=("r", "s")))
    by_key, by_route = replace(MONTHLY, by=("key",)), replace(MONTHLY, by=("route",))
    assert key_of(by_key, key="a") != key_of(by_key, key="b")
    assert key_of(by_key, route="a", key="a") == key_of(by_key, route="r", key="a")
    assert key_of(by_key, key="a") != key_of(by_route, route="a")
    assert (
        key_of(MONTHLY, Tenant("b", "b", "pro"))
        != key_of(MONTHLY)
        != key_of(MONTHLY, Tenant("acme", "", "", "Asia/Tokyo"))
    )


def test_the_reservation_is_the_same_object_while_nothing_changes():
    binding = bind([MONTHLY, BURST], {}, ACME, "k1", "r")
    first = binding.reservation(NOW, {"calls": 1})
    assert binding.reservation(NOW + DAY_US, {"calls": 1}) is first
    assert binding.reservation(NOW, {"calls": 2}) is not first
    assert bind([], {}, ACME, "k1", "r").reservation(NOW, {"calls": 1}).requests == ()


def test_addresses_have_their_own_reservations_and_few_are_remembered():
    binding = bind([MONTHLY, replace(BURST, by=("address",))], {}, ACME, "k1", "r", b"secret")
    one, two = (binding.reservation(NOW, {"calls": 1}, address) for address in ("192.0.2.1", "192.0.2.2"))
    assert binding.reservation(NOW, {"calls": 1}, "192.0.2.1") is one
    assert one.requests[0].counter.key == two.requests[0].counter.key
    assert one.requests[1].counter.key != two.requests[1].counter.key
    assert one.requests[1].counter.volatile
    assert one.requests[1].counter.scope is None
    for number in range(2000):
        binding.reservation(NOW, {"calls": 1}, f"2001:db8:{number:x}::1")
    assert len(binding._recent) <= 256
    assert binding.reservation(NOW, {"calls": 2}, "192.0.2.1").requests[0].amount == 2


def test_an_address_is_a_keyed_hash():
    assert address_scope("192.0.2.1", b"a") != address_scope("192.0.2.1", b"b")
    assert address_scope("2001:db8::1", b"a") == address_scope("2001:0db8:0::ffff", b"a")
    assert address_scope("::ffff:192.0.2.1", b"a") == address_scope("192.0.2.1", b"a")
    assert address_scope("nonsense\udcff", b"a") != address_scope("", b"a")


def test_too_many_limits_are_refused():
    with pytest.raises(ValueError, match="at most"):
        bind([replace(MONTHLY, name=f"l{number}") for number in range(MAX_LIMITS + 1)], {}, ACME, "k1", "r")


def test_a_packed_reservation_holds_what_settling_needs():
    limits = [MONTHLY, BURST, replace(BURST, name="rate", algorithm=Algorithm.BUCKET, burst=5, by=("address",))]
    made = bind(limits, {}, ACME, "k1", "r").reservation(NOW, {"calls": 3}, "192.0.2.1")
    again = unpack(made.packed)
    assert len(made.packed) < 100 * len(limits)
    assert again.packed == made.packed == pack(again.requests, "acme")
    for before, after in zip(made.requests, again.requests, strict=True):
        assert after.amount == 3
        assert replace(after.counter, limit=before.counter.limit, scope=before.counter.scope) == before.counter
        assert (after.counter.limit.name, after.counter.limit.meter) == (before.counter.limit.name, "calls")
    assert unpack(b"").requests == ()


@pytest.mark.parametrize("junk", [b"\x00", b"\xff" * 20, b"\x92\x02\x90", b"\x92\x01\x91\x90"])
def test_what_is_no_reservation_is_refused(junk):
    with pytest.raises(GatewayError):
        unpack(junk)
