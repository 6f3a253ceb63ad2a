"""Credits: a balance drawn down by charges in a fixed order, and the credit note for unused time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway.billing.proration import Share
from gateway.billing.tax import tax_on
from gateway.money import Money, round_amount


@dataclass(frozen=True, slots=True)
class Grant:
    """Money that a tenant may still use. ``expires`` None: never."""

    id: str
    remaining: Money
    created: datetime
    priority: int = 0
    expires: datetime | None = None

    def usable(self, at: datetime) -> bool:
        return self.remaining.amount > 0 and (self.expires is None or at < self.expires)


@dataclass(frozen=True, slots=True)
class Draw:
    """How much of one grant a charge took."""

    grant: str
    amount: Money


def draw(charge: Money, grants: Sequence[Grant], at: datetime) -> tuple[Money, tuple[Draw, ...]]:
    """What of ``charge`` is left to pay, and what each grant gave.

    Order: priority, then the one that expires first, then the oldest (oracle BC181).
    """
    left, draws = charge, []
    for grant in sorted((grant for grant in grants if grant.usable(at)), key=_order):
        if left.amount <= 0:
            break
        taken = min(left, grant.remaining)
        draws.append(Draw(grant.id, taken))
        left -= taken
    return left, tuple(draws)


def _order(grant: Grant) -> tuple[int, bool, datetime, datetime, str]:
    return grant.priority, grant.expires is None, grant.expires or grant.created, grant.created, grant.id


@dataclass(frozen=True, slots=True)
class CreditNoteTotals:
    """Positive amounts; ``total`` is rounded subtotal plus rounded tax."""

    subtotal: Money
    tax: Money
    total: Money


def credit_for_unused(charged: Money, share: Share, tax_percent: Decimal) -> CreditNoteTotals:
    """The credit note for the unused share of a charge; the tax is taken on the unrounded subtotal (oracle BC066)."""
    exact = share.of(charged.amount)
    subtotal = Money(round_amount(exact, charged.currency), charged.currency)
    tax = tax_on(exact, tax_percent, charged.currency)
    return CreditNoteTotals(subtotal, tax, subtotal + tax)
