"""What operators read: plans with their prices, the audit log, figures of the whole."""

from collections.abc import Mapping
from typing import Any, Literal, assert_never

from gateway.api.operation import Allowed, Call, Operation, Reply
from gateway.api.problems import NOT_FOUND
from gateway.api.resources.usage import Figures, RefusalView
from gateway.api.values import (
    Identity,
    Listed,
    Model,
    Money,
    PageQuery,
    PeriodView,
    Time,
    page_of,
    time_or_none,
    time_text,
)
from gateway.clock import DAY_US, SECOND_US
from gateway.config.catalog import plan_prices
from gateway.config.snapshot import Snapshot
from gateway.metering.rollup import quantile
from gateway.quotas.limit import CalendarWindow, DurationWindow, Limit
from gateway.storage.ports import PLATFORM, UsageQuery
from gateway.storage.values import AuditEntry, UsageSum

TOP = 10


class LimitRule(Model):
    """A limit as the plan states it; ``per`` null: calls at once."""

    name: str
    meter: str
    max: int
    per: str | None
    algorithm: Literal["calendar", "sliding", "bucket", "concurrent"]
    burst: int | None
    by: list[str]
    mode: Literal["hard", "soft", "shadow"]
    routes: list[str]


class PlanView(Model):
    """A plan of the configuration. ``prices`` are as the configuration writes them, amounts as text."""

    name: str
    version: str
    currency: str
    month: Money | None
    year: Money | None
    trial_days: int
    limits: list[LimitRule]
    prices: list[dict[str, Any]]


class PlanList(Listed[PlanView]):
    """Plans by name."""


class AuditView(Model):
    """Who did what to which object."""

    id: int
    at: Time
    actor: str
    action: str
    target: str
    tenant: str | None
    detail: dict[str, str]

    @classmethod
    def of(cls, one: AuditEntry) -> "AuditView":
        return cls(
            id=one.id, at=time_text(one.at_us), actor=one.actor, action=one.action, target=one.target,
            tenant=one.tenant, detail={name: str(value) for name, value in one.detail.items()},
        )  # fmt: skip


class AuditList(Listed[AuditView]):
    """The audit log, newest first."""


class TopTenant(Model):
    """One of those with most calls."""

    tenant: str
    total: Figures


class Latency(Model):
    """Milliseconds; null without calls."""

    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Stats(Model):
    """The last 24 hours of the whole platform."""

    period: PeriodView
    complete_until: Time | None
    total: Figures
    refusals: list[RefusalView]
    latency: Latency
    top_tenants: list[TopTenant]


async def list_plans(call: Call) -> Reply:
    snapshot = call.services.snapshot()
    plans = [plan_view(snapshot, name) for name in sorted(snapshot.plans)]
    rows, more = page_of(plans, call.query(PageQuery), Identity("name"))
    return Reply(PlanList(data=rows, next=more))


async def get_plan(call: Call) -> Reply:
    snapshot = call.services.snapshot()
    if call.params["plan"] not in snapshot.plans:
        raise NOT_FOUND
    return Reply(plan_view(snapshot, call.params["plan"]))


def plan_view(snapshot: Snapshot, name: str) -> PlanView:
    """A plan of the present configuration."""
    limits, catalog = snapshot.plans[name], plan_prices(snapshot.source, name)
    plans = snapshot.source.get("plans")
    block = plans.get(name) if isinstance(plans, Mapping) else None
    prices = block.get("prices") if isinstance(block, Mapping) else None
    month, year = catalog.monthly, catalog.yearly
    return PlanView(
        name=name,
        version=limits.version,
        currency=catalog.currency,
        month=Money.of(month, catalog.currency) if month is not None else None,
        year=Money.of(year, catalog.currency) if year is not None else None,
        trial_days=catalog.trial_days,
        limits=[_rule(limit) for limit in limits.limits],
        prices=[dict(price) for price in prices] if isinstance(prices, list | tuple) else [],
    )


def _rule(limit: Limit) -> LimitRule:
    match limit.window:
        case None:
            per: str | None = None
        case CalendarWindow(unit):
            per = unit
        case DurationWindow(length_us):
            names = {1: "second", 60: "minute", 3600: "hour", 86400: "day", 604800: "week"}
            per = names.get(length_us // SECOND_US, f"{length_us // SECOND_US}s")
        case _:
            assert_never(limit.window)
    return LimitRule.model_validate(
        {
            "name": limit.name, "meter": limit.meter, "max": limit.max, "per": per,
            "algorithm": limit.algorithm.name.lower(), "burst": limit.burst or None, "by": list(limit.by),
            "mode": limit.mode, "routes": list(limit.routes),
        }
    )  # fmt: skip


async def list_audit(call: Call) -> Reply:
    query = call.query(PageQuery)
    page = await call.services.store.audit.list(call.scope, query.limit, query.after)
    return Reply(AuditList(data=[AuditView.of(one) for one in page.rows], next=page.next))


async def get_stats(call: Call) -> Reply:
    ledger, now = call.services.store.ledger, call.now_us
    query = UsageQuery(now - DAY_US, now)
    totals = await ledger.totals(PLATFORM, query)
    errors = sum(one.errors for one in await ledger.breakdown(PLATFORM, query, by="status"))
    whole = UsageSum(
        calls=totals.calls, billable=totals.billable, errors=errors, units=totals.units,
        request_bytes=totals.request_bytes, response_bytes=totals.response_bytes,
    )  # fmt: skip
    histogram = await ledger.latency(PLATFORM, query)
    p50, p95, p99 = (_ms(histogram, part) for part in (0.5, 0.95, 0.99))
    refusals = await ledger.refusals(PLATFORM, query)
    top = await ledger.top_tenants(PLATFORM, query, TOP)
    return Reply(
        Stats(
            period=PeriodView.between(query.start_us, query.end_us),
            complete_until=time_or_none(totals.complete_until_us or None),
            total=Figures.of(whole),
            refusals=[RefusalView(code=one.code, status=one.status, count=one.count) for one in refusals],
            latency=Latency(p50_ms=p50, p95_ms=p95, p99_ms=p99),
            top_tenants=[TopTenant(tenant=one.name, total=Figures.of(one)) for one in top],
        )
    )


def _ms(histogram: tuple[int, ...], part: float) -> float | None:
    found = quantile(histogram, part)
    return None if found is None else found / 1000


_PLATFORM = Allowed("platform", "read", "platform")

OPERATIONS = (
    Operation("listPlans", "GET", "/plans", "Plans with limits and prices", _PLATFORM, list_plans, "platform", PlanList,
              query=PageQuery),
    Operation("getPlan", "GET", "/plans/{plan}", "One plan", _PLATFORM, get_plan, "platform", PlanView),
    Operation("listTenantPlans", "GET", "/tenants/{tenant}/plans", "The plans that a tenant may be on",
              Allowed("subscription", "read", "named"), list_plans, "platform", PlanList, query=PageQuery),
    Operation("listAudit", "GET", "/audit", "Who did what, newest first", Allowed("audit", "read", "either"),
              list_audit, "platform", AuditList, query=PageQuery),
    Operation("getStats", "GET", "/stats", "The last 24 hours of the whole platform", _PLATFORM, get_stats, "platform",
              Stats),
)  # fmt: skip
