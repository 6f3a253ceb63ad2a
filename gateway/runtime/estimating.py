"""The estimated bill that pages show: the catalog's plan and the rating, given a configuration and a tenant."""

from collections.abc import Mapping

from gateway.billing.estimate import estimate
from gateway.config.catalog import plan_prices
from gateway.config.snapshot import Snapshot
from gateway.period import Period
from gateway.tenants.model import Tenant
from gateway.ui.services import Bill, BillLine


def estimate_bill(snapshot: Snapshot, tenant: Tenant, units: Mapping[str, int], period: Period) -> Bill | None:
    """What the period's usage costs on the tenant's plan; None when the plan is gone or has no prices."""
    try:
        plan = plan_prices(snapshot.source, tenant.plan)
    except KeyError:
        return None
    rated = estimate(plan, dict(units), period, cycle=tenant.billing_cycle)
    if not rated.lines:
        return None
    lines = tuple(BillLine(line.description, f"{line.quantity:f}", line.amount.amount) for line in rated.lines)
    return Bill(lines, rated.subtotal.amount, rated.currency)
