"""A price as plain text again: the form that is hashed into versions and stored beside an invoice.

It is CONTRACT's own form with defaults left out and numbers in their shortest writing, so that the same price has the
same version however it was written, and reading it back gives an equal price.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from decimal import Decimal
from typing import assert_never

from gateway.billing.price import AmountOff, Discount, Model, PercentOff, Price
from gateway.billing.pricing.flat import Flat
from gateway.billing.pricing.graduated import Graduated
from gateway.billing.pricing.package import Package
from gateway.billing.pricing.per_unit import PerUnit
from gateway.billing.pricing.percentage import Percentage
from gateway.billing.pricing.stairstep import Stairstep
from gateway.billing.pricing.tier import Tier
from gateway.billing.pricing.volume import Volume
from gateway.money import plain

VERSION_DIGITS = 12


def price_document(price: Price) -> dict[str, object]:
    """The price as CONTRACT writes it; every number is text."""
    document: dict[str, object] = {"type": type_of(price.model), **model_document(price.model)}
    for name, value in (
        ("name", price.name or None),
        ("meter", price.meter),
        ("currency", price.currency),
        ("included", plain(price.included) if price.included else None),
        ("minimum", _text(price.minimum)),
        ("maximum", _text(price.maximum)),
        ("discount", None if price.discount is None else _discount(price.discount)),
    ):
        if value is not None:
            document[name] = value
    if price.convert is not None:
        document["convert"] = {"divide_by": plain(price.convert.divide_by), "round": price.convert.round}
    return document


def type_of(model: Model) -> str:
    """The model's name in CONTRACT."""
    match model:
        case Flat():
            return "flat"
        case PerUnit():
            return "per_unit"
        case Graduated():
            return "graduated"
        case Volume():
            return "volume"
        case Stairstep():
            return "stairstep"
        case Package():
            return "package"
        case Percentage():
            return "percentage"
        case _:
            assert_never(model)


def model_document(model: Model) -> dict[str, object]:
    """The model's own fields, without what equals its default."""
    document: dict[str, object] = {}
    for field in fields(model):
        value = getattr(model, field.name)
        if field.name == "percent" and isinstance(model, Percentage) and model.tiers:
            continue
        if field.name == "tiers":
            unit = "percent" if isinstance(model, Percentage) else "unit"
            if value:
                document["tiers"] = [_tier(tier, unit) for tier in value]
        elif field.name == "percent" or value != field.default:
            document[field.name] = plain(value) if isinstance(value, Decimal) else value
    return document


def version(document: Mapping[str, object]) -> str:
    """The content hash of a canonical document: 12 hex digits of SHA-256 over its sorted JSON."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:VERSION_DIGITS]


def _tier(tier: Tier, unit: str) -> dict[str, object]:
    document: dict[str, object] = {"flat": plain(tier.flat)}
    if tier.up_to is not None:
        document["up_to"] = plain(tier.up_to)
    if tier.unit:
        document[unit] = plain(tier.unit)
    if tier.size is not None:
        document["size"] = plain(tier.size)
    if tier.at_zero:
        document["at_zero"] = True
    return document


def _discount(discount: Discount) -> dict[str, object]:
    periods: dict[str, object] = {} if discount.periods is None else {"periods": discount.periods}
    match discount:
        case PercentOff(percent, _):
            return {"percent": plain(percent)} | periods
        case AmountOff(amount, _):
            return {"amount": plain(amount)} | periods
        case _:
            assert_never(discount)


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)
