"""A line of a bill: what was charged or taken off, how it came about, exact and rounded."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.billing.pricing.model import Step
from gateway.money import ZERO, Money
from gateway.period import Period

LineKind = Literal[
    "fee",  # a flat amount, whatever the usage
    "usage",  # metered units at a price
    "discount",  # negative
    "minimum",  # the true-up to a minimum
    "maximum",  # negative: what goes beyond a maximum
    "billed",  # negative: what earlier lines of the same period already charged
    "credit",  # negative: unused time of a price already charged
    "proration",  # the rest of a period at a new price
    "correction",  # late usage of a period already invoiced
    "manual",  # an amount that a person put on the bill
]


@dataclass(frozen=True, slots=True)
class Line:
    """``amount`` is ``exact`` rounded to the currency; ``steps`` explain ``exact``.

    Where several lines come of one price, each rounded amount is the difference between two rounded running totals, so
    that they add up to the price's own rounded total. ``quantity`` is what the meter counted, before conversion.
    """

    kind: LineKind
    description: str
    exact: Decimal
    amount: Money
    meter: str = ""
    quantity: Decimal = ZERO
    steps: tuple[Step, ...] = ()
    period: Period | None = None
