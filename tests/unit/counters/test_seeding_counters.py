"""Counters that a configuration change created get the ledger's sum, once (SEMANTICS §16)."""

import threading
from dataclasses import replace
from pathlib import Path

from gateway.clock import DAY_US, MINUTE_US, SECOND_US
from gateway.counters.seeding import Notes, describe
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit

MONTHLY = Limit("monthly", "calls", 100, CalendarWindow("month"), Algorithm.CALENDAR, ("key", "tenant"), routes=("r",))
BURST = Limit("burst", "calls", 100, DurationWindow(MINUTE_US), Algorithm.SLIDING)
BUCKET = Limit("rate", "calls", 100, DurationWindow(MINUTE_US), Algorithm.BUCKET)
CALLERS = Limit("callers", "calls", 100, DurationWindow(MINUTE_US), Algorithm.SLIDING, ("address",))
PARALLEL = Limit("parallel", "", 100, None, Algorithm.CONCURRENT)


def begin(store, binding, clock, new_call):
    return store.reserve_now(new_call(), binding.reservation(clock.now(), {"calls": 1}))


def test_new_counters_say_what_they_lack(open_store, bind_to, clock, new_call):
    store = open_store()
    clock.advance(5 * DAY_US + 7)
    decision = begin(store, bind_to([MONTHLY, BURST, BUCKET, CALLERS, PARALLEL]), clock, new_call)
    monthly, burst = store.unseeded()
    assert (monthly.tenant, monthly.key_id, monthly.route, monthly.routes) == ("acme", "k1", "", ("r",))
    assert (burst.tenant, burst.key_id, burst.route, burst.routes) == ("acme", "", "", ())
    assert (monthly.meter, monthly.algorithm) == ("calls", Algorithm.CALENDAR)
    assert monthly.created_us == burst.created_us == decision.at_us
    assert decision.states[0].reset_us - decision.states[0].window_us == monthly.start_us
    assert decision.at_us - MINUTE_US - SECOND_US < burst.start_us <= decision.at_us - MINUTE_US


def test_the_sum_is_added_once_and_to_the_window_it_belongs_to(open_store, bind_to, clock, new_call):
    store, binding = open_store(), bind_to([MONTHLY, BURST])
    begin(store, binding, clock, new_call)
    now = store.now()
    monthly, burst = store.unseeded()
    assert store.seed(monthly.key, [(monthly.start_us, 40), (monthly.start_us - 1, 50)])
    assert not store.seed(monthly.key, [(monthly.start_us, 40)])
    assert store.seed(burst.key, [(now - 59 * SECOND_US, 10), (now - 2 * SECOND_US, 20), (now - DAY_US, 30)])
    assert [state.remaining for state in store.read(binding.counters(now))] == [59, 69]
    assert store.unseeded() == []
    clock.advance(3 * SECOND_US)
    assert [state.remaining for state in store.read(binding.counters(now))] == [59, 79]
    clock.advance(57 * SECOND_US)
    assert [state.remaining for state in store.read(binding.counters(now))] == [59, 99]


def test_a_counter_made_in_the_instant_of_an_earlier_call_is_made_after_it(open_store, bind_to, clock, new_call):
    store = open_store()
    earlier = begin(store, bind_to([MONTHLY]), clock, new_call)
    later = begin(store, bind_to([BURST]), clock, new_call)
    assert store.unseeded()[1].created_us == later.at_us > earlier.at_us


def test_unknown_keys_are_not_seeded_and_torn_notes_are_passed_over(open_store, bind_to, clock, new_call, folder):
    store = open_store()
    assert not store.seed(bytes(range(16)), [(1, 1)])
    (folder / "unseeded").write_text('{"key": "00')
    begin(store, bind_to([BURST]), clock, new_call)
    assert [note.meter for note in store.unseeded()] == ["calls"]


def test_dump_shows_every_counter(open_store, bind_to, all_kinds, clock, new_call):
    store = open_store()
    store.reserve_now(new_call(), bind_to(all_kinds).reservation(clock.now(), {"calls": 4}))
    entries = {entry.algorithm: entry for entry in store.dump()}
    assert len(entries) == 4
    assert entries[Algorithm.CALENDAR].used == entries[Algorithm.SLIDING].used == 4
    assert entries[Algorithm.CONCURRENT].used == 1
    assert entries[Algorithm.BUCKET].used == 4 * MINUTE_US
    assert entries[Algorithm.SLIDING].start_us <= clock.now() - MINUTE_US
    assert not entries[Algorithm.CALENDAR].seeded
    assert entries[Algorithm.BUCKET].seeded


def test_notes_that_were_read_are_forgotten_and_those_that_came_since_are_kept(
    open_store, bind_to, clock, new_call, folder
):
    store = open_store()
    begin(store, bind_to([BURST]), clock, new_call)
    notes = store._notes
    _, size = notes.read()
    begin(store, bind_to([MONTHLY]), clock, new_call)
    first = notes.read()[0]
    notes.keep(first[:1], size)
    assert [note.algorithm for note in notes.read()[0]] == [Algorithm.SLIDING, Algorithm.CALENDAR]
    notes.keep([], size)
    assert [note.algorithm for note in notes.read()[0]] == [Algorithm.CALENDAR]
    for note in store.unseeded():
        store.seed(note.key, [])
    assert store.unseeded() == []
    assert not (folder / "unseeded").exists()


def test_a_counter_is_set_right_and_never_negative(open_store, bind_to, clock, new_call):
    store, binding = open_store(), bind_to([MONTHLY, BURST])
    begin(store, binding, clock, new_call)
    now = store.now()
    keys = [counter.key for counter in binding.counters(now)]
    assert all(store.amend(key, [(now, 4)]) and store.amend(key, [(now, -3), (now - 40 * DAY_US, 50)]) for key in keys)
    assert [state.remaining for state in store.read(binding.counters(now))] == [98, 98]
    assert all(store.amend(key, [(now, -30)]) for key in keys)
    assert [state.remaining for state in store.read(binding.counters(now))] == [100, 100]
    assert not store.amend(bytes(16), [(now, 1)])


def test_a_note_that_comes_while_the_others_are_cleared_is_kept(tmp_path, bind_to, clock, monkeypatch):
    (counter,) = bind_to([MONTHLY]).counters(clock.now())
    first = describe(counter, clock.now())
    second = replace(first, key=bytes(16))
    notes, unlink, adding = Notes(tmp_path / "notes"), Path.unlink, []

    def add_and_unlink(path):
        adding.append(threading.Thread(target=Notes(tmp_path / "notes").add, args=(second,)))
        adding[0].start()
        adding[0].join(0.3)  # without a lock it is written now, and lost
        unlink(path)

    notes.add(first)
    monkeypatch.setattr(Path, "unlink", add_and_unlink)
    notes.keep([], notes.read()[1])
    adding[0].join(10)
    assert notes.read()[0] == [second]


def test_notes_are_written_anew_where_most_are_done_with(tmp_path, bind_to, clock):
    (counter,) = bind_to([MONTHLY]).counters(clock.now())
    made = [replace(describe(counter, clock.now()), key=bytes([number] * 16)) for number in range(5)]
    notes = Notes(tmp_path / "notes")
    notes.add(*made[:4])
    _, size = notes.read()
    notes.add(made[4])
    notes.keep(made[:3], size)
    assert notes.read()[0] == made
    notes.keep(made[1:2], size)
    assert notes.read()[0] == [made[1], made[4]]
