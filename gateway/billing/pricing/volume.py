"""Volume: all units at the price of the one tier that holds the whole quantity."""

from dataclasses import dataclass

from gateway.billing.pricing.model import Step, Usage
from gateway.billing.pricing.tier import Tier, at_zero, steps_of, tier_of


@dataclass(frozen=True, slots=True)
class Volume:
    """Not monotonic by nature: one unit more may make all units cheaper, and late usage may lower a bill."""

    tiers: tuple[Tier, ...]

    def rate(self, usage: Usage) -> tuple[Step, ...]:
        if not usage.quantity:
            return at_zero(self.tiers)
        return steps_of(tier_of(self.tiers, usage.quantity))
