"""Reads what the operator's own pages show."""

from urllib.parse import quote

from gateway.clock import DAY_US, HOUR_US, SECOND_US
from gateway.metering.rollup import quantile, quarter_of
from gateway.period import from_us
from gateway.storage.ports import PLATFORM, UsageQuery
from gateway.storage.values import CallFilter
from gateway.tenants.zones import UTC_ZONE
from gateway.ui.charts import BarChart, Point, bar_chart, shares
from gateway.ui.contexts import CallList, Overview, RouteLine, TenantLine, TenantList
from gateway.ui.example import example_call
from gateway.ui.kept import Kept
from gateway.ui.platform_usage import Bills, platform_usage
from gateway.ui.services import UiServices

TOP = 8
RECENT = 10
PAGE = 50


class PlatformReader:
    """The readings that are kept."""

    def __init__(self, services: UiServices) -> None:
        self._services = services
        bills = Bills(services)
        self._usage = Kept(services.clock, lambda: platform_usage(services, bills), self._version)
        self._overview = Kept(services.clock, self._read_overview, self._version)

    async def close(self) -> None:
        """End what is being read."""
        await self._overview.close()
        await self._usage.close()

    async def overview(self) -> Overview:
        """The last 24 hours and the month so far."""
        return await self._overview.get()

    async def tenants(self, after: str, search: str = "") -> TenantList:
        """One page of tenants, by id, each with the calls of its month."""
        page = await self._services.store.tenants.list(PLATFORM, PAGE, after or None, search=search)
        month = (await self._usage.get()).month
        calls = [month[tenant.id].calls if tenant.id in month else 0 for tenant in page.rows]
        largest = max(calls, default=0) or 1
        rows = tuple(TenantLine(t, n, n * 1000 // largest) for t, n in zip(page.rows, calls, strict=True))
        return TenantList(rows, page.next or "", not after, search)

    async def on_plans(self) -> dict[str, int]:
        """How many tenants are on each plan."""
        return (await self._usage.get()).plans

    async def _version(self) -> int:
        """Moves with the ledger, with a reload, and with the window that the figures are of."""
        sequence = await self._services.store.ledger.posting_sequence(PLATFORM)
        return hash((sequence, self._services.snapshot().version))

    async def _read_overview(self) -> Overview:
        services, now_us = self._services, self._services.clock.now()
        ledger, day = services.store.ledger, _last_day(now_us)
        routes = await ledger.breakdown(PLATFORM, day, by="route")
        usage = await self._usage.get()
        top = sorted(usage.month.values(), key=lambda row: (-row.calls, row.name))[:TOP]
        return Overview(
            calls=sum(row.calls for row in routes),
            failed=sum(row.errors for row in routes),
            refused=sum(row.count for row in await ledger.refusals(PLATFORM, day)),
            p95_us=quantile(await ledger.latency(PLATFORM, day), 0.95),
            revenue=usage.revenue,
            complete_until_us=await ledger.complete_until(PLATFORM),
            tenants=usage.tenants,
            chart=await _hourly(services),
            top=shares([(r.name, f"/admin/tenants/{quote(r.name, safe='')}", r.calls, r.errors) for r in top]),
            routes=shares([(row.name or "—", "", row.calls, row.errors) for row in routes[:TOP]]),
            recent=(await ledger.calls(PLATFORM, CallFilter(), RECENT)).rows,
            example=example_call(services.snapshot()),
        )


def _last_day(now_us: int) -> UsageQuery:
    """24 hours, from the start of a quarter hour: rollups answer all but its end."""
    return UsageQuery(quarter_of(now_us - DAY_US), now_us + SECOND_US)


async def _hourly(services: UiServices) -> BarChart:
    now_us = services.clock.now()
    start_us = now_us - now_us % HOUR_US - 23 * HOUR_US
    points = []
    for row in await services.store.ledger.series(PLATFORM, UsageQuery(start_us, now_us + SECOND_US), "hour", UTC_ZONE):
        hour = from_us(row.start_us)
        label = f"{hour:%a} {hour.day} {hour:%b}, {hour:%H}:00–{hour:%H}:59 UTC"
        points.append(Point(label, f"{hour:%H}:00", row.calls - row.errors, row.errors))
    return bar_chart("hours", "Calls per hour, last 24 hours (UTC)", points)


async def route_list(services: UiServices) -> tuple[RouteLine, ...]:
    """The routes of the running configuration with their last 24 hours."""
    now_us = services.clock.now()
    rows = await services.store.ledger.breakdown(PLATFORM, _last_day(now_us), by="route")
    seen, health = {row.name: row for row in rows}, services.targets()
    return tuple(
        RouteLine(route, seen[route.name].calls, seen[route.name].errors, health)
        if route.name in seen
        else RouteLine(route, 0, 0, health)
        for route in services.snapshot().routes
    )


async def all_calls(services: UiServices, after: str) -> CallList:
    """One page of everybody's calls."""
    page = await services.store.ledger.calls(PLATFORM, CallFilter(), PAGE, after or None)
    return CallList(page.rows, page.next or "", not after, "/admin/calls")
