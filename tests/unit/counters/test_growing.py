"""More room for counters while they count: when, how much, and nothing lost by whoever dies in between."""

import pytest
from support.faulty_map import Died, FaultyMap

from gateway.clock import DAY_US, MINUTE_US
from gateway.counters.growing import Succession, one_at_a_time
from gateway.counters.layout import Capacity, Layout
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit

DAILY = Limit("daily", "calls", 100, CalendarWindow("day"), Algorithm.CALENDAR)
BURST = Limit("burst", "calls", 100, DurationWindow(MINUTE_US), Algorithm.SLIDING)
LEAST = Capacity(16, 16, 8)


@pytest.fixture
def fill(bind_to, clock, new_call):
    def fill_store(store, limit, count, prefix="t", units=1):
        for number in range(count):
            binding = bind_to([limit], tenant=f"{prefix}{number}")
            store.reserve_now(new_call(), binding.reservation(clock.now(), {"calls": units}))

    return fill_store


@pytest.mark.parametrize("limit", [DAILY, BURST])
def test_a_region_grows_before_it_warns_and_never_refuses(limit, open_store, fill, caplog):
    store, shipper = open_store(capacity=LEAST), open_store("shipper")
    for number in range(25):
        fill(store, limit, 2, f"n{number}-")
        shipper.grow(LEAST)
    used, room = store.occupancy()["small" if limit is DAILY else "sliding"]
    assert (used, room) == (50, 128)
    assert "in use" not in caplog.text


def test_what_is_over_makes_room_without_more(open_store, fill, clock):
    store = open_store(capacity=LEAST)
    fill(store, DAILY, 12)
    clock.advance(2 * DAY_US)
    fill(store, DAILY, 2, "later")
    assert store.occupancy()["small"] == (12, 16)
    assert store.grow(LEAST) == LEAST
    assert store.occupancy()["small"] == (2, 16)
    assert store.grow(LEAST) is None


def test_a_smaller_file_of_an_earlier_start_grows(open_store, fill, bind_to, clock):
    store = open_store(capacity=Capacity(8, 8, 8))
    fill(store, BURST, 3, units=7)
    later = open_store("w2", capacity=Capacity(64, 128, 16))
    assert later.grow(Capacity(64, 128, 16)) == Capacity(64, 128, 16)
    assert later.grow(Capacity(64, 128, 16)) is None
    assert store.read(bind_to([BURST], tenant="t1").counters(clock.now()))[0].remaining == 93
    assert store.occupancy()["sliding"] == (3, 128)


def test_only_one_grows_at_a_time_and_orphans_go(open_store, fill, folder):
    store, other = open_store(capacity=LEAST), open_store("w2")
    fill(store, DAILY, 12)
    (folder / "counters.7.new").write_bytes(b"died growing")
    with one_at_a_time(folder) as alone:
        assert alone
        assert other.grow(LEAST) is None
    assert other.grow(LEAST) == Capacity(32, 16, 8)
    assert sorted(path.name for path in folder.glob("counters.*")) == ["counters.2.map"]


def test_whoever_dies_growing_leaves_one_whole_generation(
    open_store, fill, bind_to, all_kinds, clock, new_call, folder
):
    write, done = 0, False
    while not done:
        store = open_store(f"w{write}", capacity=LEAST)
        binding = bind_to(all_kinds, tenant=f"t{write % 3}")
        reservation = binding.reservation(clock.now(), {"calls": 1})
        store.reserve_now(new_call(), reservation)
        before = store.read(binding.counters(clock.now()))
        FaultyMap.die_at, FaultyMap.torn = write, 0.5
        try:
            store.renew(Capacity(64, 64, 8))
            done = True
        except Died:
            pass
        FaultyMap.live()
        after = open_store("survivor")
        assert after.read(binding.counters(clock.now())) == before
        assert store.last_operation(f"w{write}") is not None
        after.forget(f"w{write}")
        assert len(list(folder.glob("*.map"))) == 1
        write += 1
    assert write > 8


def test_what_changes_while_it_is_copied_is_copied_again(open_store, fill, bind_to, all_kinds, clock, new_call, folder):
    store, other = open_store(capacity=LEAST), open_store("w2")
    reservation, call = bind_to(all_kinds).reservation(clock.now(), {"calls": 2}), new_call()
    at_us = store.reserve_now(call, reservation).at_us
    succession = Succession(other._file, folder, Layout(Capacity(32, 32, 8)), FaultyMap)
    fill(store, DAILY, 4, "new")
    store.release_now(call, at_us, reservation)  # its concurrency counter is over, and its slot another's
    rival = bind_to(all_kinds[3:], tenant="rival")
    store.reserve_now(new_call(), rival.reservation(clock.now(), {}))
    with other._locked() as now_us:
        succession.take_over(now_us)
    succession.close()
    assert store.reserve_now(new_call(), reservation).states[3].remaining == 99
    assert [state.remaining for state in store.read(bind_to(all_kinds).counters(clock.now()))] == [998, 98, 98, 99]
    assert store.read(rival.counters(clock.now()))[0].remaining == 99
    assert store._file.generation == 2


def test_starting_anew_forgets_everything_for_all_workers(open_store, fill, bind_to, clock):
    worker, shipper = open_store("w1"), open_store("shipper")
    fill(worker, DAILY, 1, units=7)
    counters = bind_to([DAILY], tenant="t0").counters(clock.now())
    before_us = worker.now()
    assert worker.read(counters)[0].remaining == 93
    assert shipper.start_anew()
    assert shipper.is_fresh
    assert worker.read(counters)[0].remaining == 100
    fill(worker, DAILY, 1, units=1)
    assert shipper.read(counters)[0].remaining == 99
    assert worker.now() > before_us
    assert [note.tenant for note in shipper.unseeded()] == ["t0"]  # waits for the ledger's sum again
