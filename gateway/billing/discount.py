"""Discounts: a share of a charge, or a fixed amount that never exceeds it."""

from decimal import Decimal
from typing import assert_never

from gateway.billing.price import AmountOff, Discount, PercentOff
from gateway.money import EXACT, Money, round_amount


def discount_of(discount: Discount, charge: Decimal) -> Decimal:
    """The exact reduction of ``charge``, from zero to the whole of it."""
    match discount:
        case PercentOff(percent, _):
            return EXACT.multiply(charge, percent).scaleb(-2, EXACT)
        case AmountOff(amount, _):
            return min(amount, charge)
        case _:
            assert_never(discount)


def rounded_discount(discount: Discount, charge: Money) -> Money:
    """The reduction as its own line shows it: rounded where it arises, half away from zero."""
    return Money(round_amount(discount_of(discount, charge.amount), charge.currency), charge.currency)
