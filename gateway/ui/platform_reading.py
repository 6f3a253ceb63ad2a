"""Reads what the operator's own pages show."""

from urllib.parse import quote

from gateway.clock import DAY_US, HOUR_US, SECOND_US
from gateway.metering.rollup import quantile
from gateway.period import calendar_period, from_us, to_us
from gateway.storage.ports import PLATFORM, Scope, UsageQuery
from gateway.storage.values import CallFilter
from gateway.ui.charts import BarChart, Point, bar_chart, shares
from gateway.ui.contexts import CallList, Overview, RouteLine, TenantLine, TenantList
from gateway.ui.example import example_call
from gateway.ui.revenue import RevenueReader
from gateway.ui.services import UiServices
from gateway.ui.zones import UTC_ZONE, current_month

TOP = 8
RECENT = 10
PAGE = 50


async def overview(services: UiServices, revenue: RevenueReader) -> Overview:
    """The last 24 hours and the month so far."""
    ledger, now_us = services.store.ledger, services.clock.now()
    day = UsageQuery(now_us - DAY_US, now_us + SECOND_US)
    month_period = calendar_period(from_us(now_us), "month", UTC_ZONE)
    month = UsageQuery(to_us(month_period.start), to_us(month_period.end))
    routes = await ledger.breakdown(PLATFORM, day, by="route")
    amounts, tenants = await revenue.read()
    top = await ledger.top_tenants(PLATFORM, month, TOP)
    return Overview(
        calls=sum(row.calls for row in routes),
        failed=sum(row.errors for row in routes),
        refused=sum(row.count for row in await ledger.refusals(PLATFORM, day)),
        p95_us=quantile(await ledger.latency(PLATFORM, day), 0.95),
        revenue=amounts,
        complete_until_us=await ledger.complete_until(PLATFORM),
        tenants=tenants,
        chart=await _hourly(services),
        top=shares(
            [(row.name, f"/admin/tenants/{quote(row.name, safe='')}", row.calls, row.errors) for row in top if row.name]
        ),
        routes=shares([(row.name or "—", "", row.calls, row.errors) for row in routes[:TOP]]),
        recent=(await ledger.calls(PLATFORM, CallFilter(), RECENT)).rows,
        example=example_call(services.snapshot()),
    )


async def _hourly(services: UiServices) -> BarChart:
    now_us = services.clock.now()
    start_us = now_us - now_us % HOUR_US - 23 * HOUR_US
    points = []
    for row in await services.store.ledger.series(PLATFORM, UsageQuery(start_us, now_us + SECOND_US), "hour", UTC_ZONE):
        hour = from_us(row.start_us)
        label = f"{hour:%a} {hour.day} {hour:%b}, {hour:%H}:00–{hour:%H}:59 UTC"
        points.append(Point(label, f"{hour:%H}:00", row.calls - row.errors, row.errors))
    return bar_chart("hours", "Calls per hour, last 24 hours (UTC)", points)


async def tenant_list(services: UiServices, after: str) -> TenantList:
    """One page of tenants, by id, each with the calls of its month."""
    now_us = services.clock.now()
    page = await services.store.tenants.list(PLATFORM, PAGE, after or None)
    calls = []
    for tenant in page.rows:
        month = current_month(tenant, now_us)
        query = UsageQuery(to_us(month.start), to_us(month.end))
        calls.append((await services.store.ledger.totals(Scope(tenant.id), query)).calls)
    largest = max(calls, default=0) or 1
    rows = tuple(TenantLine(t, n, n * 1000 // largest) for t, n in zip(page.rows, calls, strict=True))
    return TenantList(rows, page.next or "", not after)


async def route_list(services: UiServices) -> tuple[RouteLine, ...]:
    """The routes of the running configuration with their last 24 hours."""
    now_us = services.clock.now()
    rows = await services.store.ledger.breakdown(PLATFORM, UsageQuery(now_us - DAY_US, now_us + SECOND_US), by="route")
    seen = {row.name: row for row in rows}
    return tuple(
        RouteLine(route, seen[route.name].calls, seen[route.name].errors)
        if route.name in seen
        else RouteLine(route, 0, 0)
        for route in services.snapshot().routes
    )


async def all_calls(services: UiServices, after: str) -> CallList:
    """One page of everybody's calls."""
    page = await services.store.ledger.calls(PLATFORM, CallFilter(), PAGE, after or None)
    return CallList(page.rows, page.next or "", not after, "/admin/calls")
