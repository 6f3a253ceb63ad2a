"""What every tenant used in its own running month, and what all of that is worth."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway.period import Period, to_us
from gateway.storage.ports import PLATFORM, UsageQuery
from gateway.storage.values import UsageSum
from gateway.tenants.model import Tenant
from gateway.tenants.zones import current_month
from gateway.ui.services import Bill, UiServices

BATCH = 200
EVERYBODY = 10_000_000


@dataclass(frozen=True, slots=True)
class PlatformUsage:
    """``month`` holds tenants with calls; ``revenue`` the estimates by currency, largest first, before tax.

    ``plans`` counts the tenants on each plan.
    """

    tenants: int
    plans: dict[str, int]
    month: dict[str, UsageSum]
    revenue: tuple[tuple[str, Decimal], ...]


class Bills:
    """What tenants owe, rated once for the same plan, cycle, period and units: most have not called since last time."""

    def __init__(self, services: UiServices) -> None:
        self._services = services
        self._snapshot = services.snapshot()
        self._known: dict[object, Bill | None] = {}
        self._before: dict[object, Bill | None] = {}

    def begin(self) -> None:
        """A new look at everybody: what the last one did not need is forgotten, and all of it after a reload."""
        snapshot = self._services.snapshot()
        self._before = self._known if snapshot is self._snapshot else {}
        self._snapshot, self._known = snapshot, {}

    def of(self, tenant: Tenant, units: Mapping[str, int], period: Period) -> Bill | None:
        """The estimate; None when the plan has no prices."""
        of = (tenant.plan, tenant.billing_cycle, period, *sorted(units.items()))
        for known in (self._known, self._before):
            if of in known:
                return self._known.setdefault(of, known[of])
        bill = self._known[of] = self._services.estimate(self._snapshot, tenant, units, period)
        return bill


async def platform_usage(services: UiServices, bills: Bills) -> PlatformUsage:
    """One sum a distinct month: tenants differ in zone and anchor. Closed tenants owe nothing more and are left out."""
    bills.begin()
    now_us = services.clock.now()
    by_period: dict[Period, list[Tenant]] = defaultdict(list)
    plans: dict[str, int] = defaultdict(int)
    for tenant in await _tenants(services):
        plans[tenant.plan] += 1
        by_period[current_month(tenant, now_us)].append(tenant)
    month: dict[str, UsageSum] = {}
    revenue: dict[str, Decimal] = defaultdict(Decimal)
    for period, tenants in by_period.items():
        query = UsageQuery(to_us(period.start), to_us(period.end))
        sums = {row.name: row for row in await services.store.ledger.top_tenants(PLATFORM, query, EVERYBODY)}
        for index, tenant in enumerate(tenants):
            used = sums.get(tenant.id)
            if used is not None:
                month[tenant.id] = used
            bill = bills.of(tenant, used.units if used else {}, period)
            if bill is not None:
                revenue[bill.currency] += bill.total
            if index % BATCH == BATCH - 1:
                await asyncio.sleep(0)
    ranked = sorted(revenue.items(), key=lambda item: item[1], reverse=True)
    return PlatformUsage(sum(plans.values()), plans, month, tuple(ranked))


async def _tenants(services: UiServices) -> list[Tenant]:
    found: list[Tenant] = []
    after: str | None = None
    while True:
        page = await services.store.tenants.list(PLATFORM, 500, after)
        found += [tenant for tenant in page.rows if tenant.status != "closed"]
        after = page.next
        if after is None:
            return found
