"""A worker process of the exactness tests: takes calls from one tenant's limits as told by its arguments.

``counting_worker.py FOLDER NAME MODE COUNT``: ``reserve`` makes COUNT calls and prints how many passed; ``churn``
reserves and settles until it is killed.
"""

import asyncio
import os
import sys
from pathlib import Path

from gateway.clock import MINUTE_US, SystemClock
from gateway.counters.layout import Capacity
from gateway.counters.mmap_store import MmapCounterStore
from gateway.quotas.binding import Binding, bind
from gateway.quotas.limit import Algorithm, CalendarWindow, DurationWindow, Limit
from gateway.tenants.model import Tenant

LIMIT = 50
LIMITS = [
    Limit("year", "calls", LIMIT, CalendarWindow("year"), Algorithm.CALENDAR),
    Limit("hours", "calls", LIMIT + 1, DurationWindow(600 * MINUTE_US), Algorithm.SLIDING, ("key",)),
    Limit("bucket", "calls", 1, DurationWindow(600_000 * MINUTE_US), Algorithm.BUCKET, burst=LIMIT + 2),
    Limit("parallel", "", LIMIT + 3, None, Algorithm.CONCURRENT),
]
CHURNED = [
    Limit("year", "calls", 10**9, CalendarWindow("year"), Algorithm.CALENDAR),
    Limit("years", "calls", 10**9, DurationWindow(6_000_000 * MINUTE_US), Algorithm.SLIDING, ("key",)),
    Limit("again", "calls", 10**9, CalendarWindow("year"), Algorithm.CALENDAR, ("key",)),
]


def binding_of(limits: list[Limit]) -> Binding:
    return bind(limits, {}, Tenant("acme", "Acme", "pro"), "k1", "r")


def open_worker(folder: Path, name: str) -> MmapCounterStore:
    return MmapCounterStore.open(folder, SystemClock(), name, capacity=Capacity(64, 64, 8), deadline_us=20_000_000)


async def reserve_many(store: MmapCounterStore, count: int) -> int:
    binding = binding_of(LIMITS)

    async def one() -> bool:
        await asyncio.sleep(0)
        reservation = binding.reservation(SystemClock().now(), {"calls": 1})
        return (await store.reserve(os.urandom(16), reservation)).admitted

    return sum(await asyncio.gather(*(one() for _ in range(count))))


def churn(store: MmapCounterStore) -> None:
    binding = binding_of(CHURNED)
    amounts = [{"calls": 3}, {"calls": 5}]
    made = [binding.reservation(SystemClock().now(), each) for each in amounts]
    number = 0
    while True:
        number += 1
        reservation, call = made[number % 2], os.urandom(16)
        decision = store.reserve_now(call, reservation)
        if number % 3 == 0:
            store.release_now(call, decision.at_us, reservation)
        elif number % 3 == 1:
            store.settle_now(call, decision.at_us, reservation, (7, 7, 7))


if __name__ == "__main__":
    _, folder, name, mode, count = sys.argv
    worker = open_worker(Path(folder), name)
    print("ready", flush=True)
    sys.stdin.readline()
    if mode == "churn":
        churn(worker)
    print(asyncio.run(reserve_many(worker, int(count))), flush=True)
