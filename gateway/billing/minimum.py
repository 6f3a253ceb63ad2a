"""A minimum over several charges: what is missing to it is a line of its own."""

from gateway.billing.proration import FULL, Share
from gateway.money import Money


def true_up(minimum: Money, charged: Money, share: Share = FULL) -> Money:
    """What is missing to the share of ``minimum``; zero if nothing is.

    The commitment is prorated and rounded by itself, then what was charged, already rounded, is taken off.
    """
    missing = share.of_money(minimum) - charged
    return max(missing, Money.zero(minimum.currency))
