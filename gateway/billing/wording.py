"""Words for people: how lines and their steps read on a bill."""

from decimal import Decimal

from gateway.billing.price import AmountOff, PercentOff, Price
from gateway.billing.pricing.flat import Flat
from gateway.billing.pricing.model import Step
from gateway.money import plain


def grouped(number: Decimal) -> str:
    """``1234567.5`` as ``1,234,567.5``; more than 20 decimals, as an endless quotient has, end in an ellipsis."""
    return grouped_text(plain(number))


def grouped_text(text: str) -> str:
    """The same of a number that is text already, its decimals kept as they are."""
    whole, dot, fraction = text.removeprefix("-").partition(".")
    sign = "-" if text.startswith("-") else ""
    return f"{sign}{int(whole):,}{dot}{fraction[:20]}{'…' if fraction[20:] else ''}"


def charge_of(price: Price) -> str:
    """What a price charges for, in a line's words."""
    if price.name:
        return price.name
    if isinstance(price.model, Flat):
        return {"month": "Monthly fee", "year": "Yearly fee", "once": "One-time fee"}[price.model.every]
    return price.meter[:1].upper() + price.meter[1:].replace("_", " ")


def percent_off(discount: PercentOff) -> str:
    return f"Discount of {plain(discount.percent)} %"


def amount_off(discount: AmountOff, currency: str) -> str:
    return f"Discount of {plain(discount.amount)} {currency}"


def describe_step(step: Step, currency: str) -> str:
    """One summand: ``10,001 to 100,000: 90,000 × 0.001 USD``."""
    price = f"{plain(step.unit)} {currency}"
    match step.kind:
        case "flat":
            text = f"{price} flat"
        case "percent":
            text = f"{plain(step.unit)} % of {grouped(step.quantity)} {currency}"
        case "packages":
            size = f" of {grouped(step.size)}" if step.size is not None else ""
            text = f"{grouped(step.quantity)} packages{size} × {price}"
        case "events":
            text = f"{grouped(step.quantity)} events × {price}"
        case _:
            text = f"{grouped(step.quantity)} × {price}"
    return f"{_range(step)}{text}"


def _range(step: Step) -> str:
    """The tier in words, if there is more than one: up to its bound, or above the one below."""
    if step.first is None or (not step.first and step.up_to is None):
        return ""
    if step.up_to is None:
        return f"above {grouped(step.first)}: "
    return f"above {grouped(step.first)} to {grouped(step.up_to)}: " if step.first else f"to {grouped(step.up_to)}: "
