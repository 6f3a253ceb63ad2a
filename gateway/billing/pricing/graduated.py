"""Graduated: each unit at the price of the tier it falls into; a tier's flat amount when the tier is reached."""

from dataclasses import dataclass

from gateway.billing.pricing.model import Step, Usage
from gateway.billing.pricing.tier import Tier, at_zero, steps_of, walk


@dataclass(frozen=True, slots=True)
class Graduated:
    """Without flats and packages the cost is continuous: crossing a boundary changes the next unit's price only."""

    tiers: tuple[Tier, ...]

    def rate(self, usage: Usage) -> tuple[Step, ...]:
        if not usage.quantity:
            return at_zero(self.tiers)
        return tuple(step for reached in walk(self.tiers, usage.quantity) for step in steps_of(reached))
