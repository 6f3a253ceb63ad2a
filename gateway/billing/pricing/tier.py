"""Tiers: ranges of a quantity with their own price, and the walk over those that a quantity reaches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.billing.pricing.model import Step
from gateway.money import EXACT, ONE, ZERO, divide


@dataclass(frozen=True, slots=True)
class Tier:
    """``up_to`` is inclusive; None on the last tier. ``unit`` is the price of one unit, or of a package of ``size``.

    ``flat`` is charged once when the tier is reached; at quantity zero only if the first tier says ``at_zero``.
    """

    up_to: Decimal | None = None
    unit: Decimal = ZERO
    flat: Decimal = ZERO
    size: Decimal | None = None
    at_zero: bool = False


@dataclass(frozen=True, slots=True)
class Reached:
    """A tier, what lies below it, and how much of a quantity falls into it."""

    tier: Tier
    first: Decimal
    inside: Decimal


def walk(tiers: Sequence[Tier], quantity: Decimal) -> Iterator[Reached]:
    """The tiers that ``quantity`` fills, lowest first. A boundary belongs to the tier below; zero reaches none."""
    first = ZERO
    for tier in tiers:
        if quantity <= first:
            return
        top = quantity if tier.up_to is None else min(quantity, tier.up_to)
        yield Reached(tier, first, EXACT.subtract(top, first))
        if tier.up_to is None:
            return
        first = tier.up_to


def tier_of(tiers: Sequence[Tier], quantity: Decimal) -> Reached:
    """The one tier that holds the whole ``quantity``."""
    first = ZERO
    for tier in tiers:
        if tier.up_to is None or quantity <= tier.up_to:
            return Reached(tier, first, quantity)
        first = tier.up_to
    raise ValueError(f"no tier holds {quantity}")


def packages(quantity: Decimal, size: Decimal, direction: Literal["up", "down"] = "up") -> Decimal:
    """How many packages of ``size`` hold ``quantity``: a started one counts (up) or does not (down)."""
    whole, rest = divide(quantity, size)
    return EXACT.add(whole, ONE) if rest and direction == "up" else whole


def unit_step(reached: Reached) -> Step:
    """The units of a tier at its unit price, or its packages at theirs."""
    tier = reached.tier
    count = reached.inside if tier.size is None else packages(reached.inside, tier.size)
    amount = EXACT.multiply(count, tier.unit)
    kind = "units" if tier.size is None else "packages"
    return Step(kind, count, tier.unit, amount, reached.first, tier.up_to, tier.size)


def flat_step(reached: Reached) -> Step:
    """The flat amount of a tier."""
    tier = reached.tier
    return Step("flat", Decimal(1), tier.flat, tier.flat, reached.first, tier.up_to)


def steps_of(reached: Reached) -> tuple[Step, ...]:
    """All that one reached tier charges; zero summands are left out, except that units always show."""
    return (unit_step(reached), flat_step(reached)) if reached.tier.flat else (unit_step(reached),)


def at_zero(tiers: Sequence[Tier]) -> tuple[Step, ...]:
    """The charge at quantity zero: the first tier's flat amount, if it says so (CONTRACT, `at_zero`)."""
    return (flat_step(Reached(tiers[0], ZERO, ZERO)),) if tiers[0].at_zero else ()
