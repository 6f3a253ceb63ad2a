"""What every pricing model is: a pure function from a quantity to the steps of its charge."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from gateway.money import EXACT, ZERO


@dataclass(frozen=True, slots=True)
class Usage:
    """What is rated: ``quantity`` units, after conversion and allowance, that arrived in ``events`` events.

    Both are cumulative over the period. Only percentages look at the events.
    """

    quantity: Decimal
    events: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One summand of a charge: ``quantity`` at ``unit`` is ``amount``, exact and in major units.

    ``first`` and ``up_to`` bound the tier: more than ``first``, at most ``up_to`` (None: open). ``size`` is the units
    in a package where ``quantity`` counts packages.
    """

    kind: str
    quantity: Decimal
    unit: Decimal
    amount: Decimal
    first: Decimal | None = None
    up_to: Decimal | None = None
    size: Decimal | None = None


class PriceModel(Protocol):
    """One way to price a quantity."""

    def rate(self, usage: Usage) -> tuple[Step, ...]:
        """The steps of the charge for a whole period's usage; their amounts add up to its cost."""
        ...


def total(steps: tuple[Step, ...]) -> Decimal:
    """The exact sum of the steps."""
    amount = ZERO
    for step in steps:
        amount = EXACT.add(amount, step.amount)
    return amount
