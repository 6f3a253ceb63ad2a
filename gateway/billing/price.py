"""A price: one pricing model on one meter, with the modifiers of CONTRACT around it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.billing.pricing.flat import Flat
from gateway.billing.pricing.graduated import Graduated
from gateway.billing.pricing.package import Package
from gateway.billing.pricing.per_unit import PerUnit
from gateway.billing.pricing.percentage import Percentage
from gateway.billing.pricing.stairstep import Stairstep
from gateway.billing.pricing.volume import Volume
from gateway.money import DIVIDING, EXACT, ONE, ZERO, divide

Model = Flat | PerUnit | Graduated | Volume | Stairstep | Package | Percentage


@dataclass(frozen=True, slots=True)
class Conversion:
    """Metered units to priced units: divide, then round (a megabyte price over metered bytes)."""

    divide_by: Decimal
    round: Literal["up", "down", "half_up", "none"] = "none"

    def apply(self, quantity: Decimal) -> Decimal:
        """The quantity in priced units; exact, unless unrounded and without an end (a third)."""
        if self.round == "none":
            return DIVIDING.divide(quantity, self.divide_by)
        whole, rest = divide(quantity, self.divide_by)
        half = EXACT.compare(EXACT.add(rest, rest), self.divide_by) >= 0
        return EXACT.add(whole, ONE) if rest and (self.round == "up" or (self.round == "half_up" and half)) else whole


@dataclass(frozen=True, slots=True)
class PercentOff:
    """A share of the charge, from 0 to 100, in the first ``periods`` months (None: always)."""

    percent: Decimal
    periods: int | None = None


@dataclass(frozen=True, slots=True)
class AmountOff:
    """A fixed amount per period, never more than the charge, in the first ``periods`` months (None: always)."""

    amount: Decimal
    periods: int | None = None


Discount = PercentOff | AmountOff


@dataclass(frozen=True, slots=True)
class Price:
    """``currency`` None means the plan's. ``included`` counts converted units; ``minimum``/``maximum`` are per period.

    ``name`` is what a person reads on the line; empty: derived from the meter.
    """

    model: Model
    meter: str = "calls"
    currency: str | None = None
    convert: Conversion | None = None
    included: Decimal = ZERO
    discount: Discount | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    name: str = ""
