"""A crash at any place of a transaction leaves nothing half-done: the next run goes on, numbers have no gap."""

from typing import Any

import pytest

from gateway.billing.numbering import check_series
from gateway.invoicing.following import BillingDesk
from gateway.storage.ports import PLATFORM

PLACES = ("subscriptions moved", "numbers taken", "rows added", "credits drawn", "before commit", "after commit")


class Crash(Exception):
    """The process is gone."""


class Faults:
    """Crashes at ``place``: the first time that it is reached, then every n-th."""

    def __init__(self, place: str, every: int) -> None:
        self.place, self.every, self.seen, self.crashes = place, every, 0, 0

    def __call__(self, place: str) -> None:
        if place == self.place:
            self.seen += 1
            if (self.seen - 1) % self.every == 0:
                self.crashes += 1
                raise Crash(place)


async def books(bench: Any) -> list[Any]:
    """Everything that was billed, without ids, which are random."""
    told = []
    for row in await bench.desk.invoices(PLATFORM, limit=1000):
        _, lines = await bench.desk.invoice(PLATFORM, row.id)
        told.append(
            (row.tenant, row.reason, row.start_us, row.end_us, row.state, row.total,
             [(line.charge, line.quantity, line.exact, line.amount) for line in lines])
        )  # fmt: skip
    return sorted(told)


async def undisturbed(bench: Any) -> None:
    for day, units in (("2025-01-05", 90), ("2025-02-05", 120), ("2025-03-05", 30)):
        await bench.call("vole", f"{day}T00:00:00", units)
        await bench.call("acme", f"{day}T00:00:00", units * 1000)


@pytest.mark.parametrize("batch", [1, 200])
@pytest.mark.parametrize("place", PLACES)
async def test_a_crash_leaves_nothing_half_done(bench: Any, place: str, batch: int) -> None:
    await undisturbed(bench)
    bench.clock.now_us = 1_746_057_600_000_000  # 1 May 2025
    faults = Faults(place, 2)
    crashing = BillingDesk(bench.store, lambda: bench.snapshot, bench.clock, faults)
    crashing.batch = batch
    for _ in range(100):
        try:
            await crashing.run()
            break
        except Crash:
            continue
    else:
        raise AssertionError("it never came to an end")
    assert faults.crashes >= 1
    rows = await bench.desk.invoices(PLATFORM, limit=1000)
    assert not check_series(row.sequence for row in rows if row.sequence)
    assert len({(row.subscription, row.start_us, row.reason) for row in rows}) == len(rows) == 8
    for row in rows:
        assert (await bench.desk.verify(PLATFORM, row.id)).holds


async def test_what_a_crashed_run_bills_is_what_an_undisturbed_one_bills(bench: Any, second: Any) -> None:
    for one, fault in ((bench, None), (second, Faults("before commit", 2))):
        await undisturbed(one)
        one.clock.now_us = 1_746_057_600_000_000
        if fault is not None:
            crashing = BillingDesk(one.store, lambda one=one: one.snapshot, one.clock, fault)
            for _ in range(100):
                try:
                    await crashing.run()
                    break
                except Crash:
                    continue
        await one.desk.run()
    assert await books(bench) == await books(second)
