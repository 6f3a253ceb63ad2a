"""A worker killed in any write of a step leaves the step whole or not done, and the journal says which."""

import pytest
from support.faulty_map import Died, FaultyMap

from gateway.clock import MINUTE_US, SECOND_US


def remaining(store, binding, clock):
    return [state.remaining for state in store.read(binding.counters(clock.now()))]


@pytest.mark.parametrize("torn", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("quiet_us", [0, 3 * SECOND_US, 2 * MINUTE_US])
@pytest.mark.parametrize("phase", ["first", "reserve", "settle", "release"])
def test_all_or_nothing(phase, quiet_us, torn, open_store, bind_to, all_kinds, clock, new_call):
    write = done = 0
    while not done:
        binding = bind_to(all_kinds, tenant=f"t{write}")
        reservation, call = binding.reservation(clock.now(), {"calls": 2}), new_call()
        store = open_store("w1")
        at_us = 0
        if phase != "first":
            at_us = store.reserve_now(new_call(), reservation).at_us
        if phase in ("settle", "release"):
            at_us = store.reserve_now(call, reservation).at_us
        clock.advance(quiet_us)
        binding.reservation(clock.now(), {"calls": 2})
        before = remaining(store, binding, clock)
        FaultyMap.die_at, FaultyMap.torn = write, torn
        try:
            match phase:
                case "first" | "reserve":
                    store.reserve_now(call, reservation)
                case "settle":
                    store.settle_now(call, at_us, reservation, (7, 7, 7, 0))
                case "release":
                    store.release_now(call, at_us, reservation)
            done = True
        except Died:
            pass
        FaultyMap.live()
        store.close()
        survivor = open_store("w2")
        last = survivor.last_operation("w1")
        happened = (
            last is not None and last.call_id == call and last.phase.name.lower() == phase.replace("first", "reserve")
        )
        after = remaining(survivor, binding, clock)
        assert happened or not done
        if phase in ("settle", "release"):
            again = open_store("w1")
            again.settle_now(call, at_us, reservation, (7, 7, 7, 0) if phase == "settle" else (0, 0, 0, 0))
            final = remaining(again, binding, clock)
            assert after == (final if happened else before)
            assert final != before or quiet_us > MINUTE_US
            again.close()
        else:
            assert after == ([n - 2 for n in before[:3]] + [before[3] - 1] if happened else before)
        survivor.forget("w1")
        survivor.close()
        write += 1
    assert write >= 8


def test_a_restore_may_itself_be_killed(open_store, bind_to, all_kinds, clock, new_call):
    store, binding = open_store("w1"), bind_to(all_kinds)
    reservation = binding.reservation(clock.now(), {"calls": 2})
    store.reserve_now(new_call(), reservation)
    before = remaining(store, binding, clock)
    FaultyMap.die_at, FaultyMap.torn = 5, 0.5
    with pytest.raises(Died):
        store.reserve_now(new_call(), reservation)
    for write in range(5):
        FaultyMap.die_at = write
        with pytest.raises(Died):
            store.now()
    FaultyMap.live()
    assert remaining(store, binding, clock) == before


def test_the_journal_is_forgotten_and_its_place_used_again(open_store, bind_to, all_kinds, clock, new_call):
    store, binding = open_store("keeper"), bind_to(all_kinds[:1])
    reservation = binding.reservation(clock.now(), {"calls": 0})
    for number in range(600):
        worker = open_store(f"w{number}")
        worker.reserve_now(new_call(), reservation)
        worker.close()
        assert store.last_operation(f"w{number}") is not None
        store.forget(f"w{number}")
        assert store.last_operation(f"w{number}") is None


@pytest.mark.parametrize("write", range(1, 9))
def test_a_sub_bucket_entered_in_vain_leaves_nothing_behind(write, open_store, bind_to, all_kinds, clock, new_call):
    """A dead call may have written the cell of what was newest then; nothing may ever be subtracted for it."""
    store, binding, first = open_store("w1"), bind_to(all_kinds), new_call()
    reservation = binding.reservation(clock.now(), {"calls": 2})
    full = remaining(store, binding, clock)
    at_us = store.reserve_now(first, reservation).at_us
    clock.advance(3 * SECOND_US)
    FaultyMap.die_at = write
    with pytest.raises(Died):
        store.reserve_now(new_call(), reservation)
    FaultyMap.live()
    store.close()
    survivor = open_store("w2")
    survivor.release_now(first, at_us, reservation)
    clock.advance(2 * SECOND_US)
    happened = remaining(survivor, binding, clock)[1] != full[1]
    survivor.reserve_now(new_call(), reservation)
    held = full[1] - remaining(survivor, binding, clock)[1]
    assert held == (4 if happened else 2)
    for _ in range(57):
        clock.advance(SECOND_US)
        survivor.reserve_now(new_call(), bind_to(all_kinds).reservation(clock.now(), {"calls": 0}))
        assert full[1] - remaining(survivor, binding, clock)[1] == held
