"""The file itself: format, generations, what is set aside, a full disk, entries that are damaged."""

import os
import resource
import signal
import subprocess
import sys

import pytest

from gateway.clock import HOUR_US, MINUTE_US
from gateway.counters import layout as at
from gateway.counters.layout import Capacity, Layout
from gateway.counters.lock import FileLock
from gateway.counters.mmap_store import MmapCounterStore
from gateway.errors import StoreUnavailable


def test_is_preallocated_and_private(open_store, folder):
    store = open_store()
    path = folder / "counters.1.map"
    assert store.is_fresh
    assert path.stat().st_size == Layout(Capacity(64, 64, 8)).size
    assert path.stat().st_blocks * 512 >= path.stat().st_size
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert not open_store("w2").is_fresh


@pytest.mark.parametrize(
    ("place", "damage"), [(0, b"NOTOURS\0"), (8, b"\x63"), (12, b"\x21"), (at.STATIC.size, b"\0\1\2\3")]
)
def test_an_unknown_or_damaged_file_is_set_aside(place, damage, open_store, folder, bind_to, all_kinds, clock, caplog):
    store, binding = open_store(), bind_to(all_kinds)
    store.reserve_now(os.urandom(16), binding.reservation(clock.now(), {"calls": 1}))
    store.close()
    with (folder / "counters.1.map").open("r+b") as file:
        file.seek(place)
        file.write(damage)
    store = open_store()
    assert store.is_fresh
    assert "set aside" in caplog.text
    names = sorted(path.name for path in folder.iterdir())
    assert names[0].startswith("counters.1.map.aside.")
    assert "counters.2.map" in names
    assert store.read(binding.counters(clock.now()))[0].remaining == 1000


def test_a_cut_file_is_set_aside(open_store, folder):
    open_store().close()
    os.truncate(folder / "counters.1.map", 10_000)
    assert open_store().is_fresh


def test_a_damaged_entry_is_put_out_of_use_and_counted_anew(open_store, bind_to, all_kinds, clock, new_call, caplog):
    store, binding = open_store(), bind_to(all_kinds)
    reservation = binding.reservation(clock.now(), {"calls": 5})
    store.reserve_now(new_call(), reservation)
    offset = store._offset(reservation.requests[0].counter)
    store._map[offset + 40 : offset + 48] = (900).to_bytes(8, "little")
    again = open_store("w2")
    assert again.reserve_now(new_call(), reservation).states[0].remaining == 995
    assert "damaged counter" in caplog.text
    assert [note.meter for note in again.unseeded()].count("calls") == 2


def test_a_settlement_never_makes_a_damaged_entry_good(open_store, bind_to, all_kinds, clock, new_call):
    store, call = open_store(), new_call()
    reservation = bind_to(all_kinds).reservation(clock.now(), {"calls": 5})
    decision = store.reserve_now(call, reservation)
    offset = store._offset(reservation.requests[0].counter)
    store._map[offset + 40 : offset + 48] = (900).to_bytes(8, "little")
    store.settle_now(call, decision.at_us, reservation, (6, 6, 6, 0))
    assert store.reserve_now(new_call(), reservation).states[0].remaining == 995


async def test_a_call_let_pass_is_counted_where_windows_have_moved_on(open_store, bind_to, all_kinds, clock, new_call):
    store, binding = open_store(), bind_to(all_kinds)
    reservation = binding.reservation(clock.now(), {"calls": 1})
    await store.count(new_call(), store.now(), reservation, (3, 3, 3, 0))  # nothing is there: the ledger's to add
    assert [state.remaining for state in store.read(binding.counters(clock.now()))] == [1000, 100, 97, 100]
    assert [note.meter for note in store.unseeded()] == ["calls", "calls"]
    clock.advance(5 * MINUTE_US)
    await store.count(new_call(), store.now(), reservation, (3, 3, 3, 0))
    assert [state.remaining for state in store.read(binding.counters(clock.now()))] == [997, 97, 97, 100]


@pytest.mark.parametrize("fate", ["deleted", "set aside", "damaged"])
def test_a_file_that_lost_its_name_is_left_by_all(fate, open_store, folder, bind_to, all_kinds, clock, new_call):
    stores = [open_store(), open_store("w2")]
    reservation, same = (bind_to(all_kinds).reservation(clock.now(), {"calls": 1}) for _ in range(2))
    open_call, at_us = new_call(), stores[1].reserve_now(new_call(), same).at_us
    stores[0].reserve_now(open_call, reservation)
    [path] = folder.glob("counters.*.map")
    if fate == "deleted":
        path.unlink()
    elif fate == "set aside":
        path.rename(path.with_name("aside"))
    else:
        stores[0]._map[:4] = b"what"
    clock.advance(1)
    stores.append(open_store("w3"))  # as a worker that is started again
    if fate != "damaged":  # that one is told by who sets it aside, before anything is counted in the new one
        stores[0].follow()
    takers = zip(stores, (reservation, same, reservation), strict=True)
    decisions = [store.reserve_now(new_call(), asked) for store, asked in takers]
    assert [one.states[0].remaining for one in decisions] == [999, 998, 997]
    stores[0].release_now(open_call, at_us, reservation)  # nothing of it is in the new file
    assert stores[1].read([same.requests[0].counter])[0].remaining == 997


def test_a_new_generation_is_followed_and_keeps_what_counts(open_store, folder, bind_to, all_kinds, clock, new_call):
    store, other, binding = open_store(), open_store("w2"), bind_to(all_kinds)
    reservation, call = binding.reservation(clock.now(), {"calls": 3}), new_call()
    first = store.reserve_now(call, reservation)
    other.renew(Capacity(256, 128, 16))
    assert [path.name for path in folder.glob("*.map")] == ["counters.2.map"]
    assert store.last_operation("w1").call_id == call
    second = store.reserve_now(new_call(), reservation)
    assert [state.remaining for state in second.states] == [994, 94, 94, 98]
    store.release_now(call, first.at_us, reservation)
    assert other.read(binding.counters(clock.now()))[0].remaining == 997


def test_a_rebuild_that_does_not_fit_changes_nothing(open_store, folder, bind_to, all_kinds, clock, new_call):
    store = open_store()
    for number in range(20):
        binding = bind_to(all_kinds[:1], tenant=f"t{number}")
        store.reserve_now(new_call(), binding.reservation(clock.now(), {"calls": 1}))
    with pytest.raises(StoreUnavailable):
        store.renew(Capacity(8, 8, 8))
    assert [path.name for path in folder.glob("*.map")] == ["counters.1.map"]
    assert store.read(binding.counters(clock.now()))[0].remaining == 999


def test_an_orphan_of_an_interrupted_rebuild_is_removed(open_store, folder):
    store = open_store()
    orphan = folder / "counters.2.map"
    orphan.write_bytes((folder / "counters.1.map").read_bytes())
    open_store("w2")
    assert not orphan.exists()
    store.now()


def test_a_full_disk_is_said_at_opening(folder, clock):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limit[1]))
    try:
        with pytest.raises(StoreUnavailable) as failure:
            MmapCounterStore.open(folder, clock)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert failure.value.reason == "disk_full"
    assert not list(folder.glob("counters.*"))


def test_another_boot_keeps_the_counts_and_never_goes_back(open_store, bind_to, all_kinds, clock, new_call):
    store, binding = open_store(), bind_to(all_kinds)
    before = store.reserve_now(new_call(), binding.reservation(clock.now(), {"calls": 1})).at_us
    store._map[at.BOOT_AT : at.BOOT_AT + 16] = bytes(16)
    store.close()
    clock.monotonic_us = 17
    clock.step(-HOUR_US)
    store = open_store()
    assert store.now() == before
    clock.advance(1000)
    assert store.now() == before + 900
    assert store.read(binding.counters(clock.now()))[0].remaining == 999


def test_a_stuck_holder_is_not_waited_for_longer_than_the_deadline(
    open_store, folder, bind_to, all_kinds, clock, new_call
):
    store = open_store()
    holder = FileLock(folder / "lock")
    holder.acquire()
    assert store.now() == clock.now()  # the time is told all the same
    reservation = bind_to(all_kinds).reservation(clock.now(), {"calls": 1})
    with pytest.raises(StoreUnavailable) as failure:
        store.reserve_now(new_call(), reservation)
    assert failure.value.reason == "lock_timeout"
    holder.close()
    assert store.reserve_now(new_call(), reservation).admitted


def test_the_lock_of_a_killed_process_is_free(open_store, folder):
    store = open_store()
    code = (
        "import sys; from pathlib import Path; from gateway.counters.lock import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "lock")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"held\n"
    child.kill()
    child.communicate()
    store.now()


def test_capacities_are_powers_of_two():
    for wrong in (0, 7, 100, 1 << 25):
        with pytest.raises(ValueError, match="power of two"):
            Capacity(small=wrong)
    with pytest.raises(ValueError, match="4 GiB"):
        Layout(Capacity(1 << 24, 1 << 24, 8))
