"""Package: units are sold in blocks of one size, after a free quantity."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.billing.pricing.model import Step, Usage
from gateway.billing.pricing.tier import packages
from gateway.money import EXACT, ZERO


@dataclass(frozen=True, slots=True)
class Package:
    """``amount`` per package of ``size`` units; ``free`` units come off first; a started package counts (up) or not."""

    size: Decimal
    amount: Decimal
    free: Decimal = ZERO
    round: Literal["up", "down"] = "up"

    def rate(self, usage: Usage) -> tuple[Step, ...]:
        chargeable = max(ZERO, EXACT.subtract(usage.quantity, self.free))
        count = packages(chargeable, self.size, self.round)
        return (Step("packages", count, self.amount, EXACT.multiply(count, self.amount), size=self.size),)
