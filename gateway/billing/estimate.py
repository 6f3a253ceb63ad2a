"""The estimated bill of a period: what the pages show, made of the lines that the invoice will have."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from gateway.billing.bill import MeteredUsage, fee_lines, usage_lines
from gateway.billing.catalog import Cycle, Plan
from gateway.billing.line import Line
from gateway.money import Money
from gateway.period import Period


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
    renews: bool = False,
    first: bool = False,
) -> Estimate:
    """What ``usage`` (billable units per meter, the whole period's) costs on ``plan``, with the period's fees.

    ``events`` is that of ``MeteredUsage``. ``renews`` says that a yearly subscription's year begins in this month, so
    that its yearly fee is due; ``first`` that fees due once are.
    """
    lines = (
        *fee_lines(plan, cycle, period, renews=renews, first=first),
        *usage_lines(plan, MeteredUsage(usage, events or {}), period),
    )
    return Estimate(lines, Money.total((line.amount for line in lines), plan.currency))
