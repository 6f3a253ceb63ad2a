"""Usage: sums over a period, over time, by key, route, meter or status; twelve months back; limits; refusals."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from gateway.api.operation import Allowed, Call, Operation, Reply, SelfKey
from gateway.api.problems import ApiError, FieldError
from gateway.api.services import LimitState
from gateway.api.values import Count, GivenTime, Model, PeriodView, Query, Time, time_or_none
from gateway.clock import DAY_US
from gateway.config.accounts import event_aggregates
from gateway.period import Period, calendar_period, from_us, to_us
from gateway.storage.ports import PLATFORM, Scope, UsageQuery
from gateway.storage.values import UsageSum
from gateway.tenants.model import Tenant
from gateway.tenants.zones import UTC_ZONE, current_month, zone_of

MAX_SPAN_US = 400 * DAY_US
MAX_HOURS_US = 32 * DAY_US
MONTHS = 12


class Figures(Model):
    """Sums. ``units`` are billable, per meter; ``errors`` are calls answered 5xx."""

    calls: Count
    billable: Count
    errors: Count
    units: dict[str, Count]
    request_bytes: Count
    response_bytes: Count

    @classmethod
    def of(cls, sum: UsageSum) -> "Figures":
        return cls(
            calls=sum.calls, billable=sum.billable, errors=sum.errors, units=dict(sum.units),
            request_bytes=sum.request_bytes, response_bytes=sum.response_bytes,
        )  # fmt: skip


class Usage(Model):
    """What was used in a period. ``complete_until``: everything before it is counted; later figures may grow."""

    period: PeriodView
    complete_until: Time | None
    total: Figures


class UsageBucket(Model):
    """One hour, day or month."""

    period: PeriodView
    total: Figures


class UsageSeries(Model):
    """Usage over time, without holes."""

    period: PeriodView
    data: list[UsageBucket]


class UsageShare(Model):
    """What one key, route, meter or status class had of it."""

    name: str
    total: Figures


class UsageBreakdown(Model):
    """Usage by ``by``, most first."""

    period: PeriodView
    by: Literal["key", "route", "meter", "status"]
    data: list[UsageShare]


class LimitView(Model):
    """A limit's live use. ``scope`` is "tenant", or which key or route; ``resets_at`` is when room returns."""

    name: str
    meter: str
    scope: str
    window: str
    mode: Literal["hard", "soft", "shadow"]
    used: Count
    max: Count
    remaining: Count
    resets_at: Time | None

    @classmethod
    def of(cls, one: LimitState) -> "LimitView":
        return cls(
            name=one.name, meter=one.meter, scope=one.scope, window=one.window, mode=one.mode, used=max(one.used, 0),
            max=one.max, remaining=max(one.max - one.used, 0), resets_at=time_or_none(one.reset_us),
        )  # fmt: skip


class Limits(Model):
    """Every limit of the tenant, one entry for each key or route where a limit counts by these."""

    data: list[LimitView]


class RefusalView(Model):
    """How many calls were refused with one code."""

    code: str
    status: int
    count: Count


class Refusals(Model):
    """Refused calls by code; these are no records and cost nothing."""

    period: PeriodView
    data: list[RefusalView]


class SpanQuery(Query):
    """``[start, end)``; without ``start`` the month under way, or the one in which ``end`` lies."""

    start: GivenTime | None = None
    end: GivenTime | None = None
    key: str = Field("", max_length=128)
    route: str = Field("", max_length=64)


class SeriesQuery(SpanQuery):
    """The same, by hour (up to 32 days) or day."""

    bucket: Literal["hour", "day"] = "day"


class BreakdownQuery(SpanQuery):
    """The same, by what."""

    by: Literal["key", "route", "meter", "status"] = "route"


def span(call: Call, query: SpanQuery) -> UsageQuery:
    """The period asked for."""
    now = call.now_us
    month = _month(call.tenant_or_none, now if query.end is None else query.end - 1)
    start = to_us(month.start) if query.start is None else query.start
    end = (to_us(month.end) if query.start is None else max(now, start)) if query.end is None else query.end
    if end < start:
        raise ApiError("invalid", errors=(FieldError("end", "lies before start"),))
    if end - start > MAX_SPAN_US:
        raise ApiError("invalid", errors=(FieldError("end", "a period has 400 days at most"),))
    return UsageQuery(start, end, query.key, query.route)


async def get_usage(call: Call) -> Reply:
    return Reply(await _usage(call, call.scope, call.tenant_or_none, span(call, call.query(SpanQuery))))


async def get_series(call: Call) -> Reply:
    query = call.query(SeriesQuery)
    wanted = span(call, query)
    if query.bucket == "hour" and wanted.end_us - wanted.start_us > MAX_HOURS_US:
        raise ApiError("invalid", errors=(FieldError("bucket", "hours are for 32 days at most"),))
    zone = zone_of(call.tenant_or_none) if call.tenant_or_none else UTC_ZONE
    rows = await call.services.store.ledger.series(call.scope, wanted, query.bucket, zone)
    data = [UsageBucket(period=PeriodView.between(one.start_us, one.end_us), total=Figures.of(one)) for one in rows]
    return Reply(UsageSeries(period=PeriodView.between(wanted.start_us, wanted.end_us), data=data))


async def get_breakdown(call: Call) -> Reply:
    query = call.query(BreakdownQuery)
    wanted = span(call, query)
    rows = await call.services.store.ledger.breakdown(call.scope, wanted, query.by)
    data = [UsageShare(name=one.name, total=Figures.of(one)) for one in rows]
    period = PeriodView.between(wanted.start_us, wanted.end_us)
    return Reply(UsageBreakdown(period=period, by=query.by, data=data))


async def get_history(call: Call) -> Reply:
    months: list[Period] = []
    period = _month(call.tenant, call.now_us)
    for _ in range(MONTHS):
        months.append(period)
        period = _month(call.tenant, to_us(period.start - timedelta(microseconds=1)))
    spans = [(to_us(month.start), to_us(month.end)) for month in reversed(months)]
    data = []
    for one in await call.services.store.ledger.periods(call.scope, spans):
        await _add_events(call, call.scope, call.tenant, one)
        data.append(UsageBucket(period=PeriodView.between(one.start_us, one.end_us), total=Figures.of(one)))
    return Reply(UsageSeries(period=PeriodView(start=data[0].period.start, end=data[-1].period.end), data=data))


async def _add_events(call: Call, scope: Scope, tenant: Tenant, sum: UsageSum) -> None:
    """What came from outside, beside what calls used."""
    aggregates = event_aggregates(call.services.snapshot().source)
    if aggregates:
        found = await call.services.store.events.quantities(scope, aggregates, tenant.id, sum.start_us, sum.end_us)
        for meter, quantity in found.items():
            sum.units[meter] = sum.units.get(meter, 0) + quantity


async def get_refusals(call: Call) -> Reply:
    wanted = span(call, call.query(SpanQuery))
    rows = await call.services.store.ledger.refusals(call.scope, wanted)
    data = [RefusalView(code=one.code, status=one.status, count=one.count) for one in rows]
    return Reply(Refusals(period=PeriodView.between(wanted.start_us, wanted.end_us), data=data))


async def get_limits(call: Call) -> Reply:
    return Reply(await _limits(call, call.tenant))


async def self_usage(call: Call) -> Reply:
    assert call.principal is not None
    tenant = call.principal.tenant
    call.tenant_or_none = tenant
    return Reply(await _usage(call, Scope(tenant.id), tenant, span(call, call.query(SpanQuery))))


async def self_limits(call: Call) -> Reply:
    assert call.principal is not None
    return Reply(await _limits(call, call.principal.tenant, call.principal.key.id))


async def _usage(call: Call, scope: Scope, tenant: Tenant | None, wanted: UsageQuery) -> Usage:
    store = call.services.store
    complete_until_us = await store.ledger.complete_until(PLATFORM)  # before the sums: it promises too little at most
    (sum,) = await store.ledger.periods(scope, [(wanted.start_us, wanted.end_us)], wanted.key, wanted.route)
    if tenant is not None and not (wanted.key or wanted.route):  # events come without a key or route
        await _add_events(call, scope, tenant, sum)
    return Usage(
        period=PeriodView.between(wanted.start_us, wanted.end_us),
        complete_until=time_or_none(complete_until_us or None),
        total=Figures.of(sum),
    )


async def _limits(call: Call, tenant: Tenant, only_key: str = "") -> Limits:
    """Live figures from the counters; of a tenant's key its own and the tenant's."""
    now = call.now_us
    keys = await call.services.store.keys.list(Scope(tenant.id), tenant.id)
    living = [key for key in keys if key.revoked_us is None and (key.expires_us or now + 1) > now]
    chosen = [key for key in living if not only_key or key.id == only_key]
    return Limits(data=[LimitView.of(one) for one in call.services.limits(tenant, chosen)])


def _month(tenant: Tenant | None, at_us: int) -> Period:
    return current_month(tenant, at_us) if tenant else calendar_period(from_us(at_us), "month", UTC_ZONE)


_EITHER, _TENANT = Allowed("usage", "read", "either"), Allowed("usage", "read")

OPERATIONS = (
    Operation("getUsage", "GET", "/usage", "Usage of a period", _EITHER, get_usage, "usage", Usage, query=SpanQuery),
    Operation("getUsageSeries", "GET", "/usage/series", "Usage by hour or day", _EITHER, get_series, "usage",
              UsageSeries, query=SeriesQuery),
    Operation("getUsageBreakdown", "GET", "/usage/breakdown", "Usage by key, route, meter or status", _EITHER,
              get_breakdown, "usage", UsageBreakdown, query=BreakdownQuery),
    Operation("getUsageHistory", "GET", "/usage/history", "The last twelve months", _TENANT, get_history, "usage",
              UsageSeries),
    Operation("getRefusals", "GET", "/usage/refusals", "Refused calls by code", _EITHER, get_refusals, "usage",
              Refusals, query=SpanQuery),
    Operation("getLimits", "GET", "/limits", "Live use of every limit, and when room returns", _TENANT, get_limits,
              "usage", Limits),
    Operation("selfUsage", "GET", "/self/usage", "Usage of the tenant whose key asks", SelfKey(), self_usage, "self",
              Usage, query=SpanQuery),
    Operation("selfLimits", "GET", "/self/limits", "Limits that bind the key that asks", SelfKey(), self_limits, "self",
              Limits),
)  # fmt: skip
