"""The estimated bill of a tenant: the preview of its invoice, or, without a subscription, its plan on its month."""

from collections.abc import Mapping
from decimal import Decimal

from gateway.billing.estimate import estimate
from gateway.billing.line import Line
from gateway.config.catalog import plan_prices
from gateway.config.snapshot import Snapshot
from gateway.invoicing.composing import Composed
from gateway.money import plain
from gateway.period import Period
from gateway.tenants.model import Tenant
from gateway.ui.services import Bill, BillLine


def estimate_bill(snapshot: Snapshot, tenant: Tenant, units: Mapping[str, int], period: Period) -> Bill | None:
    """What ``units`` of ``period`` cost on the tenant's plan; None when the plan is unknown or has no prices."""
    try:
        plan = plan_prices(snapshot.source, tenant.plan)
    except KeyError:
        return None
    if not plan.metered() and not plan.fees(tenant.billing_cycle):
        return None
    found = estimate(plan, dict(units), period, cycle=tenant.billing_cycle)
    return Bill(tuple(map(_line, found.lines)), found.subtotal.amount, found.currency)


def bill_of(composed: Composed) -> Bill | None:
    """The same for an invoice that is in no book, with its credits and taxes; None when nothing is on it."""
    totals, inside = composed.draft.totals, " (inside)" if composed.inputs.rules.inclusive else ""
    if not composed.charged:
        return None
    lines = [_line(one.line) for one in composed.charged]
    if totals.credited.amount:
        lines.append(BillLine("Credits", "", -totals.credited.amount))
    lines += [BillLine(f"{t.rate.name} {plain(t.rate.percent)} %{inside}", "", t.amount.amount) for t in totals.taxes]
    return Bill(tuple(lines), totals.total.amount, totals.total.currency)


def _line(line: Line) -> BillLine:
    return BillLine(
        line.description,
        _quantity(line.quantity, line.meter) if line.kind in ("usage", "correction") else "",
        line.amount.amount,
    )


def _quantity(quantity: Decimal, meter: str) -> str:
    text = f"{quantity:,f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {meter}"
