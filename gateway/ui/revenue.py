"""The estimated revenue of the running month: the sum of the tenants' own estimates, kept for a moment."""

import asyncio
from collections import defaultdict
from decimal import Decimal

from gateway.period import Period, to_us
from gateway.storage.ports import PLATFORM, UsageQuery
from gateway.tenants.model import Tenant
from gateway.ui.services import UiServices
from gateway.ui.zones import current_month

KEEP_FACTOR = 50  # computing takes at most a fiftieth of a core, however many tenants there are
KEEP_LEAST_US = 500_000
BATCH = 200

Revenue = tuple[tuple[str, Decimal], ...]


class RevenueReader:
    """One computation at a time, whose answer serves everybody who asks meanwhile."""

    def __init__(self, services: UiServices) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self._fresh_until = 0
        self._answer: tuple[Revenue, int] = ((), 0)

    async def read(self) -> tuple[Revenue, int]:
        """The amounts by currency, largest first, and the number of tenants that are not closed."""
        clock = self._services.clock
        if clock.monotonic() >= self._fresh_until:
            async with self._lock:
                if (began := clock.monotonic()) >= self._fresh_until:
                    self._answer = await self._compute()
                    took = clock.monotonic() - began
                    self._fresh_until = clock.monotonic() + max(took * KEEP_FACTOR, KEEP_LEAST_US)
        return self._answer

    async def _compute(self) -> tuple[Revenue, int]:
        snapshot, now_us = self._services.snapshot(), self._services.clock.now()
        by_period: dict[Period, list[Tenant]] = defaultdict(list)
        for tenant in await self._tenants():
            by_period[current_month(tenant, now_us)].append(tenant)
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for period, tenants in by_period.items():
            query = UsageQuery(to_us(period.start), to_us(period.end))
            rows = await self._services.store.ledger.top_tenants(PLATFORM, query, 1_000_000)
            units = {row.name: row.units for row in rows}
            for index, tenant in enumerate(tenants):
                bill = self._services.estimate(snapshot, tenant, units.get(tenant.id, {}), period)
                if bill is not None:
                    sums[bill.currency] += bill.total
                if index % BATCH == BATCH - 1:
                    await asyncio.sleep(0)
        ranked = sorted(sums.items(), key=lambda item: item[1], reverse=True)
        return tuple(ranked), sum(map(len, by_period.values()))

    async def _tenants(self) -> list[Tenant]:
        found: list[Tenant] = []
        after: str | None = None
        while True:
            page = await self._services.store.tenants.list(PLATFORM, 500, after)
            found += [tenant for tenant in page.rows if tenant.status != "closed"]
            after = page.next
            if after is None:
                return found
