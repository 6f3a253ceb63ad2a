"""Reads what a tenant's page shows, the same for the operator and for the tenant's own people."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Literal

from gateway.clock import SECOND_US
from gateway.period import Period, from_us, local_midnight, to_us
from gateway.storage.ports import Scope, UsageQuery
from gateway.storage.values import CallFilter
from gateway.tenants.model import Key, Tenant
from gateway.tenants.zones import current_month, zone_of
from gateway.ui.bill import bill_of
from gateway.ui.charts import BarChart, Point, Share, bar_chart, shares
from gateway.ui.contexts import BillView, CallList, KeyLine, TenantView
from gateway.ui.example import example_call
from gateway.ui.limits import limit_bars
from gateway.ui.services import UiServices

RECENT = 12
PAGE = 50
CHART_DAYS = 30


async def tenant_view(services: UiServices, tenant: Tenant) -> TenantView:
    """All of it, read within the tenant's own scope."""
    store, now_us = services.store, services.clock.now()
    scope = Scope(tenant.id)
    period = current_month(tenant, now_us)
    month = UsageQuery(to_us(period.start), to_us(period.end))
    keys = await store.keys.list(scope, tenant.id)
    bars, exact = await limit_bars(services, tenant, [key for key in keys if key_state(key, now_us) == "active"])
    totals = await store.ledger.totals(scope, month)
    routes = await store.ledger.breakdown(scope, month, by="route")
    snapshot = services.snapshot()
    return TenantView(
        tenant=tenant,
        plan_known=tenant.plan in snapshot.plans,
        limits=bars,
        limits_exact=exact,
        chart=await _daily(services, tenant),
        routes=_route_shares([(row.name, row.calls, row.errors) for row in routes]),
        keys=key_lines(keys, await store.keys.last_used(scope, tenant.id), now_us),
        calls=(await store.ledger.calls(scope, CallFilter(), RECENT)).rows,
        bill=await _bill(services, tenant, totals.units, period),
        month_calls=totals.calls,
        month_failed=sum(row.errors for row in routes),
        example=example_call(snapshot),
        complete_until_us=totals.complete_until_us,
    )


async def _bill(services: UiServices, tenant: Tenant, units: Mapping[str, int], month: Period) -> BillView:
    """The preview of the next invoice; for who has no subscription, ``units`` at the plan's prices."""
    found = await services.billing.so_far(Scope(tenant.id), tenant.id)
    if found is not None:
        account, composed = found
        period = composed.inputs.period
        return BillView(bill_of(composed), to_us(period.start), to_us(period.end), account.row.timezone, True)
    closed = tenant.status == "closed"  # it owes nothing more
    bill = None if closed else services.estimate(services.snapshot(), tenant, units, month)
    return BillView(bill, to_us(month.start), to_us(month.end), zone_of(tenant).key, False)


async def tenant_calls(services: UiServices, tenant: Tenant, base: str, after: str) -> CallList:
    """One page of the tenant's calls."""
    page = await services.store.ledger.calls(Scope(tenant.id), CallFilter(), PAGE, after or None)
    return CallList(page.rows, page.next or "", not after, base)


async def _daily(services: UiServices, tenant: Tenant) -> BarChart:
    now_us, zone = services.clock.now(), zone_of(tenant)
    first = from_us(now_us).astimezone(zone).date() - timedelta(days=CHART_DAYS - 1)
    query = UsageQuery(to_us(local_midnight(first, zone)), now_us + SECOND_US)
    points = []
    for row in await services.store.ledger.series(Scope(tenant.id), query, "day", zone):
        day = from_us(row.start_us).astimezone(zone)
        label = f"{day:%a} {day.day} {day:%b %Y}"
        points.append(Point(label, f"{day.day} {day:%b}", row.calls - row.errors, row.errors))
    return bar_chart("days", "Calls per day, last 30 days", points)


def _route_shares(rows: list[tuple[str, int, int]]) -> tuple[Share, ...]:
    return shares([(name or "—", "", calls, failed) for name, calls, failed in rows])


def key_state(key: Key, now_us: int) -> Literal["active", "expired", "revoked"]:
    """Whether the key opens anything now."""
    if key.revoked_us is not None and key.revoked_us <= now_us:
        return "revoked"
    return "expired" if key.expires_us is not None and key.expires_us <= now_us else "active"


def key_lines(keys: Iterable[Key], used: dict[str, int], now_us: int) -> tuple[KeyLine, ...]:
    """Keys for a table: those that work first, then in the given order."""
    lines = [key_line(key, used, now_us) for key in keys]
    return tuple(sorted(lines, key=lambda line: line.state != "active"))


def key_line(key: Key, used: dict[str, int], now_us: int) -> KeyLine:
    """One key as it may be shown."""
    return KeyLine(
        key.id,
        key.name,
        key.hint,
        key_state(key, now_us),
        key.source,
        key.expires_us,
        used.get(key.id),
        key.scopes,
        key.addresses,
        key.created_us,
    )
