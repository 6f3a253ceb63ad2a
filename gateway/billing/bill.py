"""The lines of a bill: fees, usage and corrections. Estimates, previews and invoices are made of nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from gateway.billing.catalog import Cycle, Plan
from gateway.billing.line import Line
from gateway.billing.price import Price
from gateway.billing.proration import FULL, Share, prorated
from gateway.billing.rating import rate
from gateway.billing.wording import charge_of
from gateway.money import EXACT, ZERO
from gateway.period import Period

CALLS = "calls"


@dataclass(frozen=True, slots=True)
class MeteredUsage:
    """Billable units per meter over a whole period, and how many events brought them.

    Where ``events`` is silent, each call brought one event; a meter without any call, one in all.
    """

    units: Mapping[str, int | Decimal]
    events: Mapping[str, int] = field(default_factory=dict)

    def quantity(self, meter: str) -> Decimal:
        return Decimal(self.units.get(meter, 0))

    def events_of(self, meter: str) -> int | None:
        """None leaves it to the rating's default."""
        calls = self.units.get(CALLS)
        return self.events.get(meter, int(calls) if calls else None)


def fee_lines(
    plan: Plan, cycle: Cycle, period: Period | None, *, renews: bool, first: bool = False, share: Share = FULL
) -> tuple[Line, ...]:
    """The flat amounts for ``period``, in advance (SEMANTICS §36); ``share`` is the part of it that is served."""
    fees = plan.fees(cycle, renews=renews, first=first)
    return tuple(line for fee in fees for line in rate(prorated(fee, share), ZERO, plan.currency, period=period).lines)


def usage_lines(plan: Plan, usage: MeteredUsage, period: Period | None, *, share: Share = FULL) -> tuple[Line, ...]:
    """What the usage of ``period`` costs, in arrears and always monthly (SEMANTICS §36)."""
    lines: list[Line] = []
    for price in plan.metered():
        quantity, events = usage.quantity(price.meter), usage.events_of(price.meter)
        lines += rate(prorated(price, share), quantity, plan.currency, events=events, period=period).lines
    return tuple(lines)


def correction_line(price: Price, currency: str, period: Period, invoiced: "Invoiced", total: Decimal) -> Line | None:
    """Late usage of a period already invoiced: what ``total`` units cost now, less what was invoiced for them.

    The whole period is rated again, so that a late unit may well lower a volume price (SEMANTICS §29). None if the
    quantity is the one invoiced.
    """
    late = EXACT.subtract(total, invoiced.quantity)
    if not late:
        return None
    rated = rate(price, late, currency, billed_quantity=invoiced.quantity, billed_amount=invoiced.amount, period=period)
    charge = rated.lines[0]
    text = f"Late usage: {charge_of(price)}"
    return replace(charge, kind="correction", description=text, exact=rated.exact, amount=rated.amount, quantity=late)


@dataclass(frozen=True, slots=True)
class Invoiced:
    """What earlier invoices charged for one price in one period, corrections included."""

    quantity: Decimal
    amount: Decimal
