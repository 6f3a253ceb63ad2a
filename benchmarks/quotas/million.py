"""A million counters of one host: the file, a check among them, a restart, and a rebuild from the ledger.

    .venv/bin/python benchmarks/quotas/million.py [--keys 100000]

Ten limits a key: five calendar windows of two meters. The file grows as the shipper makes it grow. Times are of this
process's CPU; the rebuild's ledger is SQLite with one call of every key.
"""

import argparse
import asyncio
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gateway.clock import SystemClock
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.ids import uuid7
from gateway.metering.ports import Position
from gateway.metering.record import CallRecord
from gateway.quotas.binding import Binding, bind
from gateway.quotas.limit import Algorithm, CalendarWindow, Limit
from gateway.runtime.seeding import Seeder
from gateway.spool.reader import SpoolReader
from gateway.spool.writer import SpoolWriter
from gateway.storage.store import open_store
from gateway.tenants.model import Tenant

PLENTY = 10**12
UNITS = ("hour", "day", "week", "month", "year")
METERS = ("calls", "tokens")
LIMITS = [
    Limit(f"{meter}-{unit}", meter, PLENTY, CalendarWindow(unit), Algorithm.CALENDAR, ("key",))  # type: ignore[arg-type]
    for unit in UNITS
    for meter in METERS
]
AMOUNTS = {"calls": 1, "tokens": 7}
PER_TENANT = 100
START = Capacity(1 << 17, 8, 8)
CHECKS = 20_000


def binding_of(number: int) -> Binding:
    tenant = f"t{number // PER_TENANT}"
    return bind(LIMITS, {}, Tenant(tenant, tenant, "pro"), f"k{number}", "r")


@contextmanager
def told(what: str, per: int = 1, unit: str = "s") -> Iterator[None]:
    """Prints the CPU that a step took, divided by how many it was for."""
    begin = time.process_time()
    yield
    spent = time.process_time() - begin
    print(f"{what:<58} {spent / per * (1e6 if unit == 'µs' else 1):10.2f} {unit}", flush=True)


def memory() -> str:
    now = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return f"{now >> 20} MiB resident, {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB at most"


def fill(folder: Path, keys: int) -> None:
    """Every key calls once."""
    store = MmapCounterStore.open(folder, SystemClock(), "bench", capacity=START)
    shipper = MmapCounterStore.open(folder, SystemClock(), capacity=START)
    grown, growing, spent = [], 0.0, 0.0
    for number in range(keys):
        begin = time.process_time()
        if number % 1_000 == 0 and (room := shipper.grow(START)) is not None:
            growing += (took := time.process_time() - begin)
            grown.append(f"{room.small:,} in {took:.1f} s")
        begin = time.process_time()
        store.reserve_now(uuid7(0), binding_of(number).reservation(store.now(), AMOUNTS))
        spent += time.process_time() - begin
    counters = keys * len(LIMITS)
    size = store._file.path.stat().st_size
    print(f"{counters:,} counters: {size / counters:.0f} bytes each of file ({size >> 20} MiB); {memory()}")
    print(
        f"  {spent / counters * 1e6:.1f} µs to bind and make one; grown to {'; '.join(grown)} ({growing:.1f} s in all)"
    )
    print(f"  notes for seeding: {(folder / 'unseeded').stat().st_size / counters:.0f} bytes each")
    shipper.close()
    store.close()


def check(folder: Path, keys: int) -> None:
    """A restart, and checks of keys picked at random: the first of a key finds its entries, the next ones know them."""
    with told("opening the file"):
        store = MmapCounterStore.open(folder, SystemClock(), "bench", capacity=START)
    chosen = random.Random(4).sample(range(keys), min(keys, 2_000))
    bound = [binding_of(number).reservation(store.now(), AMOUNTS) for number in chosen]
    calls = [uuid7(0) for _ in bound]
    with told(f"first check of a key, {len(LIMITS)} limits", len(bound), "µs"):
        for call, reservation in zip(calls, bound, strict=True):
            assert store.reserve_now(call, reservation).admitted
    rounds = max(1, CHECKS // len(bound))
    with told(f"check of a random key, {len(LIMITS)} limits", rounds * len(bound), "µs"):
        for _ in range(rounds):
            for call, reservation in zip(calls, bound, strict=True):
                store.reserve_now(call, reservation)
    one = bound[0]
    with told(f"check of the same key, {len(LIMITS)} limits", CHECKS, "µs"):
        for _ in range(CHECKS):
            store.reserve_now(calls[0], one)
    store.close()


async def rebuild(folder: Path, keys: int) -> None:
    """The ledger holds a call of every key, the counters are gone."""
    clock = SystemClock()
    (folder / "spool").mkdir()
    writer = SpoolWriter.create(
        folder / "spool", "bench", bytes(16), fsync="interval", max_size=1 << 33, segment_size=1 << 26, clock=clock
    )
    for number in range(keys):
        now = clock.now()
        record = CallRecord(
            id=uuid7(now), at_us=now, tenant=f"t{number // PER_TENANT}", key=f"k{number}", route="r", method="GET",
            path="/", status=200, outcome="ok", units=AMOUNTS, quota_units=AMOUNTS, counted=True, billable=True,
        )  # fmt: skip
        writer.append(record)
    writer.close()
    store = await open_store("sqlite:///gateway.db", folder)
    reader, cursors = SpoolReader(folder / "spool"), {"bench": 0}
    while frames := reader.read(Position("bench", cursors["bench"]), 5_000, 1 << 22):
        await store.ledger.post("bench", frames)
        cursors["bench"] = frames[-1].position.sequence
    tenants = {f"t{number}": Tenant(f"t{number}", "T", "pro") for number in range(-(-keys // PER_TENANT))}
    feed: Any = SimpleNamespace(
        tenants=tenants, snapshot=SimpleNamespace(plans={"pro": SimpleNamespace(limits=LIMITS)})
    )
    counters = MmapCounterStore.open(folder / "anew", clock, capacity=START)
    begin = time.monotonic()
    with told("rebuild from the ledger, of this process"):
        made = await Seeder(counters, store, feed, clock, clock.now).rebuild()
    print(f"  {made:,} counters rebuilt in {time.monotonic() - begin:.1f} s by the clock; {memory()}")
    assert made == keys * len(LIMITS)
    for number in random.Random(5).sample(range(keys), min(keys, 200)):
        states = counters.read(binding_of(number).counters(counters.now()))
        assert [PLENTY - state.remaining for state in states] == list(AMOUNTS.values()) * len(UNITS)
    counters.close()
    await store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="million-") as temporary:
        fill(Path(temporary) / "counters", given.keys)
        check(Path(temporary) / "counters", given.keys)
        asyncio.run(rebuild(Path(temporary), given.keys))
