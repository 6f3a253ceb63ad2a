"""Stairstep: one flat amount for the whole quantity, by the tier that holds it."""

from dataclasses import dataclass

from gateway.billing.pricing.model import Step, Usage
from gateway.billing.pricing.tier import Tier, at_zero, flat_step, tier_of


@dataclass(frozen=True, slots=True)
class Stairstep:
    """Only ``flat`` of a tier counts; nothing used costs nothing unless the first tier says ``at_zero``."""

    tiers: tuple[Tier, ...]

    def rate(self, usage: Usage) -> tuple[Step, ...]:
        if not usage.quantity:
            return at_zero(self.tiers)
        return (flat_step(tier_of(self.tiers, usage.quantity)),)
