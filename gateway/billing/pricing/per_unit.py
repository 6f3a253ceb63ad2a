"""Per unit: every unit costs the same."""

from dataclasses import dataclass
from decimal import Decimal

from gateway.billing.pricing.model import Step, Usage
from gateway.money import EXACT


@dataclass(frozen=True, slots=True)
class PerUnit:
    """``unit`` is the price of one unit and may be far below a cent: multiply first, round the line once."""

    unit: Decimal

    def rate(self, usage: Usage) -> tuple[Step, ...]:
        return (Step("units", usage.quantity, self.unit, EXACT.multiply(usage.quantity, self.unit)),)
