"""The billing job looks often and works seldom: when something is due, changed, or failed a while ago."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.billing_bench import Bench, opened, us

from gateway.jobs.billing import BillingJob
from gateway.storage.ports import PLATFORM


@pytest.fixture
async def bench(tmp_path: Path, store_url: str) -> AsyncIterator[Bench]:
    async with opened(tmp_path, store_url) as made:
        yield made


class Watched(BillingJob):
    """Counts what it does."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench.desk)
        self.bench, self.runs = bench, 0

    async def second(self, at: str) -> int:
        """One round at a time; returns how many runs there were until now."""
        run, desk = self.bench.desk.run, self.bench.desk

        async def counted(*arguments: object) -> object:
            self.runs += 1
            return await run()

        desk.run = counted  # type: ignore[method-assign,assignment]
        self.bench.clock.now_us = us(at)
        try:
            await self.run()
        finally:
            desk.run = run  # type: ignore[method-assign]
        return self.runs


async def test_it_works_when_something_is_due_or_changed(bench: Bench) -> None:
    job = Watched(bench)
    assert await job.second("2025-02-01T00:00:00") == 1  # the first: all that was due since January
    for second in range(1, 10):
        assert await job.second(f"2025-02-01T00:00:0{second}") == 1
    bench.configure()
    assert await job.second("2025-02-01T00:00:10") == 2  # another configuration
    await bench.store.tenants.set_status(PLATFORM, "vole", "suspended", bench.clock.now(), "admin")
    assert await job.second("2025-02-01T00:00:11") == 3  # a tenant
    assert await job.second("2025-02-01T00:00:12") == 3
    assert await job.second("2025-02-01T01:00:00") == 4  # a draft's grace is over
    assert {row.state for row in await bench.desk.invoices(PLATFORM, tenant="vole")} == {"paid"}


async def test_what_failed_is_tried_again_after_a_while_and_holds_up_nobody(bench: Bench) -> None:
    job = Watched(bench)
    await job.second("2025-01-31T00:00:00")
    query = "UPDATE subscriptions SET timezone = 'Nowhere/Land' WHERE tenant = 'vole'"
    await bench.execute(query)
    ran = await job.second("2025-03-02T00:00:00")
    assert ran == 2
    assert len(await bench.invoices("acme")) > 1
    assert len(await bench.invoices("vole")) == 0
    while await job.second("2025-03-02T00:00:01") > ran:
        ran += 1  # until its own changes are seen
    assert await job.second("2025-03-02T00:00:30") == ran
    await bench.execute("UPDATE subscriptions SET timezone = 'UTC' WHERE tenant = 'vole'")
    assert await job.second("2025-03-02T00:01:10") == ran + 1
    assert len(await bench.invoices("vole")) > 0
