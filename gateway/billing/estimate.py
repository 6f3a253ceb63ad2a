"""The estimated bill of a period: what the pages show, by the same function that makes the invoice."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway.billing.catalog import Cycle, Plan
from gateway.billing.line import Line
from gateway.billing.rating import rate
from gateway.money import Money
from gateway.period import Period

CALLS = "calls"


@dataclass(frozen=True, slots=True)
class Estimate:
    """Lines and their sum, before credits and tax."""

    lines: tuple[Line, ...]
    subtotal: Money

    @property
    def currency(self) -> str:
        return self.subtotal.currency


def estimate(
    plan: Plan,
    usage: Mapping[str, int | Decimal],
    period: Period | None = None,
    *,
    cycle: Cycle = "month",
    events: Mapping[str, int] | None = None,
    renews: bool = True,
    first: bool = False,
) -> Estimate:
    """What ``usage`` (billable units per meter, the whole period's) costs on ``plan``.

    ``events`` says how many calls or events brought a meter's units; by default the number of calls, and for a meter
    without any, one. ``renews`` and ``first`` are those of ``Plan.fees``.
    """
    lines: list[Line] = []
    for price in (*plan.fees(cycle, renews=renews, first=first), *plan.metered()):
        quantity = Decimal(usage.get(price.meter, 0))
        brought = events_of(price.meter, usage, events or {})
        lines += rate(price, quantity, plan.currency, events=brought, period=period).lines
    return Estimate(tuple(lines), Money.total((line.amount for line in lines), plan.currency))


def events_of(meter: str, usage: Mapping[str, int | Decimal], events: Mapping[str, int]) -> int | None:
    """How many events brought a meter's units; None leaves it to the rating's default."""
    if meter in events:
        return events[meter]
    calls = usage.get(CALLS)
    return int(calls) if calls else None
