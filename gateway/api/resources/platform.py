"""What operators read: plans with their prices, the audit log, figures of the whole."""

from pydantic import Field

from gateway.api.operation import Allowed, Call, Operation, Reply
from gateway.api.resources.usage import Figures, RefusalView
from gateway.api.values import (
    GivenTime,
    Listed,
    Model,
    PageQuery,
    PeriodView,
    Time,
    time_or_none,
    time_text,
)
from gateway.clock import DAY_US
from gateway.metering.rollup import QUARTER_US, quantile
from gateway.storage.audit import AuditFilter
from gateway.storage.ports import PLATFORM, UsageQuery
from gateway.storage.values import AuditEntry

TOP = 10


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


class AuditQuery(PageQuery):
    """``action`` is one (``key.created``), or with a dot at its end a kind (``key.``)."""

    actor: str = Field("", max_length=128)
    action: str = Field("", max_length=64)
    target: str = Field("", max_length=128)
    since: GivenTime | None = None
    until: GivenTime | None = None


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
    """The last 24 hours of the whole platform, from the full quarter hour before."""

    period: PeriodView
    complete_until: Time | None
    total: Figures
    refusals: list[RefusalView]
    latency: Latency
    top_tenants: list[TopTenant]


async def list_audit(call: Call) -> Reply:
    query = call.query(AuditQuery)
    wanted = AuditFilter(query.actor, query.action, query.target, query.since, query.until)
    page = await call.services.store.audit.list(call.scope, query.limit, query.after, wanted)
    return Reply(AuditList(data=[AuditView.of(one) for one in page.rows], next=page.next))


async def get_stats(call: Call) -> Reply:
    ledger, now = call.services.store.ledger, call.now_us
    query = UsageQuery((now - DAY_US) // QUARTER_US * QUARTER_US, now)  # from a quarter hour: its start reads no rows
    complete_until_us = await ledger.complete_until(PLATFORM)
    (whole,) = await ledger.periods(PLATFORM, [(query.start_us, query.end_us)])
    histogram = await ledger.latency(PLATFORM, query)
    p50, p95, p99 = (_ms(histogram, part) for part in (0.5, 0.95, 0.99))
    refusals = await ledger.refusals(PLATFORM, query)
    top = await ledger.top_tenants(PLATFORM, query, TOP)
    return Reply(
        Stats(
            period=PeriodView.between(query.start_us, query.end_us),
            complete_until=time_or_none(complete_until_us or None),
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
    Operation("listAudit", "GET", "/audit", "Who did what, newest first", Allowed("audit", "read", "either"),
              list_audit, "platform", AuditList, query=AuditQuery),
    Operation("getStats", "GET", "/stats", "The last 24 hours of the whole platform", _PLATFORM, get_stats, "platform",
              Stats),
)  # fmt: skip
