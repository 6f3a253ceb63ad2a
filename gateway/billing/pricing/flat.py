"""Flat: one amount per month, per year or once, whatever the usage."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.billing.pricing.model import Step, Usage

Every = Literal["month", "year", "once"]


@dataclass(frozen=True, slots=True)
class Flat:
    """``every: year`` belongs to yearly subscriptions only; ``once`` is a setup fee (CONTRACT)."""

    amount: Decimal
    every: Every = "month"

    def rate(self, usage: Usage) -> tuple[Step, ...]:
        return (Step("flat", Decimal(1), self.amount, self.amount),)
