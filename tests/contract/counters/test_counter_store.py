"""What every counter store promises (SEMANTICS 13–16, 19–20)."""

import pytest

from gateway.clock import MINUTE_US, SECOND_US
from gateway.counters.seeding import Notes, describe
from gateway.quotas.answer import refusal_code, retry_after, violated_policies
from gateway.quotas.counter import DecisionFlag

KINDS = ["calendar", "sliding", "bucket", "concurrent"]


@pytest.fixture
def take(open_store, new_call, clock):
    """``take(binding, units)``: one call's decision on a store of its own opening."""
    store = open_store()

    def one(binding, units=1, on=store, address=""):
        return on.reserve_now(new_call(), binding.reservation(clock.now(), {"calls": units, "tokens": units}, address))

    one.store = store
    return one


@pytest.mark.parametrize("kind", KINDS)
def test_admits_exactly_the_maximum(kind, take, limit_of, bind_to):
    binding = bind_to([limit_of(kind, 5)])
    decisions = [take(binding) for _ in range(8)]
    assert [decision.admitted for decision in decisions] == [True] * 5 + [False] * 3
    assert [decision.states[0].remaining for decision in decisions] == [4, 3, 2, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", KINDS)
def test_two_workers_share_one_counter(kind, take, open_store, limit_of, bind_to):
    binding, other = bind_to([limit_of(kind, 5)]), open_store("w2")
    assert sum(take(binding, on=store).admitted for store in (take.store, other) * 5) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_release_gives_everything_back_once(kind, open_store, new_call, clock, limit_of, bind_to):
    store, binding, call = open_store(), bind_to([limit_of(kind, 3)]), new_call()
    reservation = binding.reservation(clock.now(), {"calls": 1})
    decision = store.reserve_now(call, reservation)
    store.reserve_now(new_call(), reservation)
    for _ in range(3):
        store.release_now(call, decision.at_us, reservation)
    assert store.read(binding.counters(clock.now()))[0].remaining == 2


@pytest.mark.parametrize("kind", ["calendar", "sliding", "bucket"])
@pytest.mark.parametrize("actual", [0, 3, 10, 25])
def test_settle_replaces_the_estimate_once(kind, actual, open_store, new_call, clock, limit_of, bind_to):
    store, binding, call = open_store(), bind_to([limit_of(kind, 20, meter="tokens")]), new_call()
    reservation = binding.reservation(clock.now(), {"tokens": 10})
    decision = store.reserve_now(call, reservation)
    for _ in range(2):
        store.settle_now(call, decision.at_us, reservation, binding.actual(reservation, {"tokens": actual}))
    assert store.read(binding.counters(clock.now()))[0].remaining == max(0, 20 - actual)
    assert store.reserve_now(new_call(), binding.reservation(clock.now(), {"tokens": 1})).admitted == (actual < 20)


def test_a_refused_call_costs_nothing_in_any_window(take, limit_of, bind_to, clock):
    limits = [limit_of("sliding", 10), limit_of("calendar", 10), limit_of("bucket", 2), limit_of("concurrent", 9)]
    binding = bind_to(limits)
    assert [take(binding).admitted for _ in range(6)] == [True, True, False, False, False, False]
    states = take.store.read(binding.counters(clock.now()))
    assert [state.remaining for state in states] == [8, 8, 0, 7]


def test_every_violated_limit_is_named_and_the_longest_wait_counts(take, limit_of, bind_to):
    limits = [limit_of("sliding", 1), limit_of("calendar", 1), limit_of("bucket", 5)]
    binding = bind_to(limits)
    take(binding)
    decision = take(binding)
    assert violated_policies(decision) == ["sliding", "calendar"]
    assert retry_after(decision) == -(-(decision.states[1].reset_us - decision.at_us) // SECOND_US)


def test_a_refusal_states_no_window_beyond_its_retry_after(take, limit_of, bind_to, clock):
    """draft-ietf-httpapi-ratelimit-headers-11 §6: Retry-After is not before the end of the stated window."""
    binding = bind_to([limit_of("sliding", 2)])
    take(binding)
    clock.advance(SECOND_US * 20)
    take(binding)
    decision = take(binding)
    (state,) = decision.states
    assert not decision.admitted
    assert state.reset_us == state.retry_us < decision.at_us + state.window_us


@pytest.mark.parametrize("kind", ["calendar", "sliding", "bucket"])
def test_retry_is_the_first_instant_of_admission(kind, take, limit_of, bind_to, clock):
    binding = bind_to([limit_of(kind, 3)])
    for _ in range(3):
        take(binding)
        clock.advance(1_234_567)
    retry_us = take(binding).states[0].retry_us
    clock.advance(retry_us - 1 - clock.now())
    assert not take(binding).admitted
    clock.advance(1)
    decision = take(binding)
    assert (decision.admitted, decision.at_us) == (True, retry_us)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cost_above_the_maximum_never_passes(kind, take, limit_of, bind_to):
    decision = take(bind_to([limit_of(kind, 5 if kind != "concurrent" else 0)]), 6)
    assert (decision.admitted, retry_after(decision), refusal_code(decision)) == (False, None, "cost_exceeds_limit")


def test_a_concurrency_refusal_says_one_second(take, limit_of, bind_to):
    binding = bind_to([limit_of("concurrent", 1)])
    take(binding)
    assert retry_after(take(binding)) == 1


def test_a_soft_limit_passes_and_is_flagged_and_a_shadow_limit_only_reports(take, limit_of, bind_to):
    soft, shadow = limit_of("calendar", 1, mode="soft"), limit_of("sliding", 1, mode="shadow")
    binding = bind_to([soft, shadow])
    assert take(binding).flags == 0
    decision = take(binding)
    assert decision.admitted
    assert decision.flags == DecisionFlag.OVERAGE
    assert [state.violated for state in decision.states] == [True, True]
    assert take(bind_to([shadow])).flags == 0


def test_a_new_maximum_applies_to_the_next_call_and_keeps_what_was_used(take, limit_of, bind_to):
    before, after = bind_to([limit_of("calendar", 2)]), bind_to([limit_of("calendar", 3, name="other")])
    assert [take(before).admitted for _ in range(3)] == [True, True, False]
    assert [take(after).admitted for _ in range(2)] == [True, False]


@pytest.mark.parametrize("kind", ["calendar", "sliding"])
def test_a_counter_taken_away_is_made_anew_and_awaits_the_ledgers_sum(kind, take, tmp_path, limit_of, bind_to, clock):
    binding, other = bind_to([limit_of(kind, 5)]), bind_to([limit_of(kind, 5, by=("key",))])
    desk = getattr(take.store, "desk", take.store)
    assert [take(one).states[0].remaining for one in (binding, other, binding, other)] == [4, 4, 3, 3]
    notes = Notes(next(tmp_path.glob("**/unseeded")))
    before = len(notes.read()[0])
    desk.drop(binding.counters(clock.now()))
    desk.drop(bind_to([limit_of(kind, 5)], tenant="b").counters(clock.now()))  # never counted
    anew = take(binding)
    assert [anew.states[0].remaining, take(other).states[0].remaining] == [4, 2]
    (note,) = notes.read()[0][before:]
    assert (note.key, note.created_us) == (binding.counters(clock.now())[0].key, anew.at_us)


@pytest.mark.parametrize("kind", ["calendar", "sliding"])
def test_a_call_begun_before_its_counter_was_made_anew(kind, take, new_call, clock, limit_of, bind_to):
    binding, store = bind_to([limit_of(kind, 100)]), take.store
    desk, counters = getattr(store, "desk", store), binding.counters(clock.now())
    calls = [(new_call(), binding.reservation(clock.now(), {"calls": 20})) for _ in range(3)]
    times = [store.reserve_now(*call).at_us for call in calls]
    clock.advance(SECOND_US)
    desk.drop(counters)
    created = take(binding, 10).at_us
    (first, early), (second, late), (third, released) = calls
    store.settle_now(first, times[0], early, (25,))  # its record is the ledger's to add
    store.release_now(third, times[2], released)  # the new counter holds nothing of it
    assert store.read(counters)[0].remaining == 90
    note = describe(counters[0], created)
    rows = [(times[0], 25)]
    assert desk.seed(note, None, rows) if desk is not store else store.seed(note.key, rows)
    store.settle_now(second, times[1], late, (30,))  # the ledger did not have it yet
    assert store.read(counters)[0].remaining == 100 - 10 - 25 - 30


def test_limits_that_share_a_counter_increment_it_once(take, open_store, new_call, clock, limit_of, bind_to):
    wide, narrow = limit_of("calendar", 10, name="wide"), limit_of("calendar", 4, name="narrow", mode="soft")
    binding = bind_to([wide, narrow])
    decision = take(binding)
    assert [state.remaining for state in decision.states] == [9, 3]
    reservation = binding.reservation(clock.now(), {"calls": 1})
    call = new_call()
    first = take.store.reserve_now(call, reservation)
    take.store.release_now(call, first.at_us, reservation)
    assert take.store.read(binding.counters(clock.now()))[0].remaining == 9


def test_scopes_are_apart(take, limit_of, bind_to):
    limit = limit_of("sliding", 1, by=("key",))
    bindings = [bind_to([limit], key=key, tenant=tenant) for key in ("k1", "k2") for tenant in ("a", "b")]
    assert all(take(binding).admitted for binding in bindings)
    assert not any(take(binding).admitted for binding in bindings)


def test_addresses_are_apart_and_ipv6_counts_by_64(take, limit_of, bind_to):
    binding = bind_to([limit_of("sliding", 1, by=("address",))])
    addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1", "::ffff:192.0.2.1", "x"]
    admitted = [take(binding, address=address).admitted for address in addresses]
    assert admitted == [True, True, True, False, True, False, True]


def test_a_calendar_window_starts_from_zero_and_settles_in_its_own(open_store, new_call, clock, limit_of, bind_to):
    store, binding = open_store(), bind_to([limit_of("calendar", 10, meter="tokens")])
    reservation, call = binding.reservation(clock.now(), {"tokens": 5}), new_call()
    before = store.reserve_now(call, reservation)
    clock.advance(31 * 24 * 60 * MINUTE_US)
    later = binding.reservation(clock.now(), {"tokens": 1})
    assert later is not reservation
    assert store.reserve_now(new_call(), later).states[0].remaining == 9
    store.settle_now(call, before.at_us, reservation, (50,))
    assert store.read(binding.counters(clock.now()))[0].remaining == 9


def test_the_store_picks_the_window_by_its_own_time(open_store, new_call, clock, limit_of, bind_to):
    store, binding = open_store(), bind_to([limit_of("calendar", 1)])
    reservation = binding.reservation(clock.now(), {"calls": 1})
    assert store.reserve_now(new_call(), reservation).admitted
    assert not store.reserve_now(new_call(), reservation).admitted
    clock.advance(reservation.requests[0].counter.bounds.end_us - clock.now())
    assert store.reserve_now(new_call(), reservation).admitted  # a reservation made before the bound


def test_time_never_goes_back_and_a_forward_step_is_taken_at_once(open_store, clock):
    store = open_store()
    start = store.now()
    clock.step(-3600 * SECOND_US)
    clock.advance(10 * SECOND_US)
    assert store.now() == start + 9 * SECOND_US
    assert open_store("w2").now() == start + 9 * SECOND_US
    clock.step(2 * 3600 * SECOND_US)
    assert store.now() == clock.now()


async def test_the_port_itself(open_store, new_call, clock, limit_of, bind_to):
    store, binding, call = open_store(), bind_to([limit_of("sliding", 2), limit_of("concurrent", 1)]), new_call()
    reservation = binding.reservation(clock.now(), {"calls": 1})
    decision = await store.reserve(call, reservation)
    assert not (await store.reserve(new_call(), reservation)).admitted
    await store.settle(call, decision.at_us, reservation, binding.actual(reservation, {"calls": 1}))
    second = new_call()
    again = await store.reserve(second, reservation)
    assert again.admitted
    await store.release(second, again.at_us, reservation)
    assert [state.remaining for state in store.read(binding.counters(clock.now()))] == [1, 1]
