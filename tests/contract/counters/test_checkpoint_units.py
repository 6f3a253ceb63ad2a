"""What checkpoints of long calls ask of every store (SEMANTICS §5, 7): units added to the windows of the call's own
time while its reservation stays, and a look at what is left.
"""

import pytest

from gateway.clock import DAY_US, MINUTE_US
from gateway.quotas.binding import bind
from gateway.quotas.counter import CounterRequest, Reservation
from gateway.quotas.packing import pack
from gateway.tenants.model import Tenant


@pytest.mark.parametrize("kind", ["calendar", "sliding", "bucket"])
async def test_units_of_a_part_are_added_and_seen(open_store, clock, new_call, limit_of, kind):
    more = {"burst": 10} if kind == "bucket" else {}
    binding = bind([limit_of(kind, 10, **more)], {}, Tenant("acme", "Acme", "free"), "k1", "api")
    store = open_store()
    call, part, probe_id = new_call(), new_call(), new_call()
    held = binding.reservation(clock.now(), {"calls": 2})
    decision = await store.reserve(call, held)
    assert decision.admitted
    requests = tuple(CounterRequest(request.counter, 0) for request in held.requests)
    nothing = Reservation(requests, pack(requests, held.tenant), held.tenant)
    assert (await store.reserve(part, nothing)).states[0].remaining == 8
    await store.settle(part, decision.at_us, nothing, [5])
    probe = await store.reserve(probe_id, nothing)
    assert probe.admitted
    assert probe.states[0].remaining == 3
    await store.release(probe_id, probe.at_us, nothing)
    await store.settle(call, decision.at_us, held, [1])  # the final part's
    assert (await store.reserve(new_call(), nothing)).states[0].remaining == 4
    late = new_call()
    await store.reserve(late, nothing)
    await store.settle(late, decision.at_us, nothing, [6])
    used_up = await store.reserve(new_call(), nothing)
    assert not used_up.admitted or used_up.states[0].remaining == 0
    if kind != "calendar":
        clock.advance(2 * MINUTE_US)
        assert (await store.reserve(new_call(), nothing)).states[0].remaining == 10


@pytest.mark.parametrize("kind", ["calendar", "sliding"])
async def test_units_of_a_part_stay_in_the_window_of_its_call(open_store, clock, new_call, limit_of, kind):
    binding = bind([limit_of(kind, 10)], {}, Tenant("acme", "Acme", "free"), "k1", "api")
    store = open_store()
    held = binding.reservation(clock.now(), {"calls": 1})
    call = new_call()
    decision = await store.reserve(call, held)
    clock.advance(31 * DAY_US if kind == "calendar" else 59 * MINUTE_US // 60)
    part, now_held = new_call(), binding.reservation(clock.now(), {"calls": 0})
    assert (await store.reserve(part, now_held)).states[0].remaining == (10 if kind == "calendar" else 9)
    await store.settle(part, decision.at_us, now_held, [4])
    clock.advance(2 * MINUTE_US // 60)  # the call's own sub-bucket leaves, and the part with it
    assert (await store.reserve(new_call(), now_held)).states[0].remaining == 10
