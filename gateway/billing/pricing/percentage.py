"""Percentage: a share of the quantity, which is an amount in the price's currency, and a fixed fee per event."""

from dataclasses import dataclass
from decimal import Decimal

from gateway.billing.pricing.model import Step, Usage
from gateway.billing.pricing.tier import Reached, Tier, at_zero, flat_step, walk
from gateway.money import EXACT, ZERO


@dataclass(frozen=True, slots=True)
class Percentage:
    """``percent`` of the units beyond ``free_units``, and ``fixed`` for each event beyond ``free_events``.

    With ``tiers`` each unit pays the percent of the tier it falls into (a tier's ``unit`` is then a percent), and a
    tier's flat amount is due when the tier is reached. No units, no charge: an event of nothing costs nothing.
    """

    percent: Decimal = ZERO
    fixed: Decimal = ZERO
    free_units: Decimal = ZERO
    free_events: int = 0
    tiers: tuple[Tier, ...] = ()

    def rate(self, usage: Usage) -> tuple[Step, ...]:
        if not usage.quantity:
            return at_zero(self.tiers) if self.tiers else ()
        chargeable = max(ZERO, EXACT.subtract(usage.quantity, self.free_units))
        return self._shares(chargeable) + self._fees(max(0, usage.events - self.free_events))

    def _shares(self, chargeable: Decimal) -> tuple[Step, ...]:
        if self.tiers and not chargeable:
            return at_zero(self.tiers)
        tiers = self.tiers or (Tier(unit=self.percent),)
        steps: list[Step] = []
        for reached in walk(tiers, chargeable):
            steps.append(_share(reached))
            if reached.tier.flat:
                steps.append(flat_step(reached))
        return tuple(steps)

    def _fees(self, events: int) -> tuple[Step, ...]:
        if not self.fixed or not events:
            return ()
        return (Step("events", Decimal(events), self.fixed, EXACT.multiply(Decimal(events), self.fixed)),)


def _share(reached: Reached) -> Step:
    percent = reached.tier.unit
    amount = EXACT.multiply(reached.inside, percent).scaleb(-2, EXACT)
    return Step("percent", reached.inside, percent, amount, reached.first, reached.tier.up_to)
