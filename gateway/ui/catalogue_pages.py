"""Plans for the operator: what there is to be sold, and what a plan would cost each tenant on a month's real usage."""

from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlencode

from aiohttp import web

from gateway.billing.catalog import Plan
from gateway.config.catalog import catalog, plan_prices
from gateway.config.snapshot import Snapshot
from gateway.invoicing.office import InvoiceError, NotFound
from gateway.invoicing.what_if import Comparison
from gateway.period import add_months, from_us
from gateway.storage.ports import PLATFORM
from gateway.ui.contexts import Option
from gateway.ui.guard import Visit, may
from gateway.ui.invoice_reading import padded
from gateway.ui.keys import PLATFORM_READER, SERVICES
from gateway.ui.limits import window_words
from gateway.ui.money_contexts import CompareLine, PlanLine, PlanList, PlanPage
from gateway.ui.price_words import price_words
from gateway.ui.rendering import render

PAGE = 10
MONTHS = 3
MAX_NAME = 128


async def plans(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/plans``."""
    services = request.app[SERVICES]
    snapshot, counts = services.snapshot(), await request.app[PLATFORM_READER].on_plans()
    found = catalog(snapshot.source)
    lines = [plan_line(snapshot, plan, counts.get(name, 0)) for name, plan in found.items()]
    lines.sort(key=lambda line: (line.month is None, line.month or Decimal(0), line.name))
    page = PlanList(tuple(lines), services.managed_by(("plans",)))
    return render(request, visit, "admin/plans.html", page, "Plans")


async def plan(request: web.Request, visit: Visit) -> web.StreamResponse:
    """``/admin/plans/{plan}``, with what it would cost."""
    services, name = request.app[SERVICES], request.match_info["plan"]
    snapshot = services.snapshot()
    try:
        found = plan_prices(snapshot.source, name)
    except KeyError as error:
        raise web.HTTPNotFound from error
    counts = await request.app[PLATFORM_READER].on_plans()
    tenant, month, after = (request.query.get(field, "") for field in ("tenant", "month", "after"))
    months = _months(services.clock.now(), month)
    if any(len(text) > MAX_NAME or not text.isprintable() for text in (tenant, after)) or months is None:
        raise web.HTTPBadRequest
    chosen = next(option for option in months if option.chosen)
    rows, why_none = await _compared(request, visit, name, tenant.strip(), chosen.value, after)
    more = {key: value for key, value in (("tenant", tenant), ("month", month)) if value}
    page = PlanPage(
        line=plan_line(snapshot, found, counts.get(name, 0)),
        version=snapshot.plans[name].version if name in snapshot.plans else "",
        managed="" if name in snapshot.stored_plans else services.managed_by(("plans", name)),
        rows=tuple(_line(row) for row in rows[:PAGE]),
        next=rows[PAGE - 1].tenant if len(rows) > PAGE else "",
        first=not after,
        query=urlencode(more) + "&" if more else "",
        months=months,
        tenant=tenant,
        may_compare=may(visit.user, "invoices", "preview"),
        error=why_none,
    )
    return render(request, visit, "admin/plan.html", page, f"Plan {name}")


async def _compared(
    request: web.Request, visit: Visit, plan: str, tenant: str, month: str, after: str
) -> tuple[list[Comparison], str]:
    """The comparisons, one more than a page; or why there are none."""
    if not may(visit.user, "invoices", "preview"):
        return [], ""
    at = datetime.fromisoformat(month).replace(tzinfo=UTC) if month else None
    desk = request.app[SERVICES].billing
    try:
        return await desk.would_cost(PLATFORM, plan, tenant=tenant, at=at, limit=PAGE + 1, after=after or None), ""
    except NotFound as error:
        return [], str(error) if tenant else "Nobody has been billed yet: the first run of billing makes the catalogue."
    except InvoiceError as error:
        return [], str(error)


def _months(now_us: int, wanted: str) -> tuple[Option, ...] | None:
    """The present month (no value) and those before, by a day in their middle; None: not one of them."""
    first = from_us(now_us).date().replace(day=1)
    found = [("", "This month")]
    for back in range(1, MONTHS):
        month = add_months(first, -back)
        found.append((month.replace(day=15).isoformat(), f"{month:%B %Y}"))
    if wanted not in [value for value, _ in found]:
        return None
    return tuple(Option(value, text, value == wanted) for value, text in found)


def plan_line(snapshot: Snapshot, plan: Plan, tenants: int) -> PlanLine:
    """A plan in words."""
    limits = snapshot.plans[plan.name].limits if plan.name in snapshot.plans else ()
    month, year = (None if fee is None else padded(fee, plan.currency) for fee in (plan.monthly, plan.yearly))
    return PlanLine(
        name=plan.name,
        currency=plan.currency,
        month=month,
        year=year,
        trial_days=plan.trial_days,
        limits=tuple((limit, window_words(limit)) for limit in limits),
        prices=tuple(price_words(price, plan.currency) for price in plan.prices),
        tenants=tenants,
    )


def _line(row: Comparison) -> CompareLine:
    now, then = row.now.draft.totals.total, row.then.draft.totals.total
    more = row.difference
    return CompareLine(
        tenant=row.tenant,
        plan=row.plan,
        now=padded(now.amount, now.currency),
        currency=now.currency,
        then=padded(then.amount, then.currency),
        then_currency=then.currency,
        difference=None if more is None else padded(more, then.currency),
    )
