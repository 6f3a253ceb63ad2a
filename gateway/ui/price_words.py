"""Prices as sentences, for people who choose a plan: pure."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import assert_never

from gateway.billing.price import PercentOff, Price
from gateway.billing.pricing.flat import Flat
from gateway.billing.pricing.graduated import Graduated
from gateway.billing.pricing.package import Package
from gateway.billing.pricing.per_unit import PerUnit
from gateway.billing.pricing.percentage import Percentage
from gateway.billing.pricing.stairstep import Stairstep
from gateway.billing.pricing.tier import Tier
from gateway.billing.pricing.volume import Volume
from gateway.billing.wording import charge_of, grouped
from gateway.ui.formats import money

EVERY = {"month": "a month", "year": "a year", "once": "once"}


def price_words(price: Price, currency: str) -> tuple[str, ...]:
    """What is charged for, and how, one part a line: ``Calls: to 10,000 free``, ``above: $0.001 each``."""
    first, *rest = [*_model(price, currency), *_around(price, currency)]
    return (f"{charge_of(price)}: {first}", *rest)


def _model(price: Price, currency: str) -> list[str]:
    match price.model:
        case Flat(amount, every):
            return [f"{money(amount, currency)} {EVERY[every]}"]
        case PerUnit(unit):
            return [f"{money(unit, currency)} each"]
        case Graduated(tiers):
            return _tiers(tiers, currency)
        case Volume(tiers):
            return ["all by the tier that the sum reaches", *_tiers(tiers, currency)]
        case Stairstep(tiers):
            return ["one amount for the tier that the sum reaches", *_tiers(tiers, currency)]
        case Package(size, amount, free):
            first = f"{money(amount, currency)} for each {grouped(size)}"
            return [first, f"{grouped(free)} of them free"] if free else [first]
        case Percentage() as share:
            return _share(share, currency)
        case _:
            assert_never(price.model)


def _tiers(tiers: Sequence[Tier], currency: str, *, percent: bool = False) -> list[str]:
    below = (None, *tiers[:-1])
    return [f"{_range(last, tier)}{_tier(tier, currency, percent)}" for last, tier in zip(below, tiers, strict=True)]


def _range(below: Tier | None, tier: Tier) -> str:
    if tier.up_to is not None:
        return f"to {grouped(tier.up_to)} "
    return f"above {grouped(below.up_to)} " if below is not None and below.up_to is not None else ""


def _tier(tier: Tier, currency: str, percent: bool) -> str:
    parts = [f"{money(tier.flat, currency)} flat"] if tier.flat else []
    if tier.unit and percent:
        parts.append(f"{grouped(tier.unit)} %")
    elif tier.unit:
        parts.append(
            f"{money(tier.unit, currency)} {'each' if tier.size is None else f'for each {grouped(tier.size)}'}"
        )
    return " and ".join(parts) or "free"


def _share(share: Percentage, currency: str) -> list[str]:
    said = _tiers(share.tiers or (Tier(unit=share.percent),), currency, percent=True)
    if share.free_units:
        said.append(f"the first {grouped(share.free_units)} free")
    if share.fixed:
        free = f", {share.free_events:,} of them free" if share.free_events else ""
        said.append(f"{money(share.fixed, currency)} for each event{free}")
    return said


def _around(price: Price, currency: str) -> Iterable[str]:
    if price.convert is not None and price.convert.divide_by != Decimal(1):
        yield f"counted in {grouped(price.convert.divide_by)}s"
    if price.included:
        yield f"{grouped(price.included)} included"
    if price.discount is not None:
        off = price.discount
        text = f"{grouped(off.percent)} % off" if isinstance(off, PercentOff) else f"{money(off.amount, currency)} off"
        yield text if off.periods is None else f"{text} in the first {off.periods} months"
    if price.minimum is not None:
        yield f"at least {money(price.minimum, currency)} a month"
    if price.maximum is not None:
        yield f"at most {money(price.maximum, currency)} a month"
