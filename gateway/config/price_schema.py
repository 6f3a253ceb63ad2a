"""One price as YAML or JSON writes it (CONTRACT, prices), and its way to the domain's ``Price``.

Amounts and quantities are decimal texts or whole numbers. A number with a fraction that YAML made a float (``0.001``
unquoted) is taken only while 15 significant digits state it exactly as written; a longer one is refused: quote it.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError

from gateway.billing.price import AmountOff, Conversion, Discount, Model, PercentOff, Price
from gateway.billing.pricing.flat import Every, Flat
from gateway.billing.pricing.graduated import Graduated
from gateway.billing.pricing.package import Package
from gateway.billing.pricing.per_unit import PerUnit
from gateway.billing.pricing.percentage import Percentage
from gateway.billing.pricing.stairstep import Stairstep
from gateway.billing.pricing.tier import Tier
from gateway.billing.pricing.volume import Volume
from gateway.money import CURRENCIES, ZERO, plain

_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?", re.ASCII)
_NUMBER_WORDS = 'a decimal number such as "0.001" (at most 20 digits before and 20 after the point)'
_FLOAT_DIGITS = 15  # IEEE 754: every decimal of up to 15 digits survives the way to a double and back


def fault(message: str) -> PydanticCustomError:
    """A fault in words that a person can act on (braces would be read as a template)."""
    return PydanticCustomError("price", "{message}", {"message": message})


def exact_decimal(value: object) -> Decimal:
    """The non-negative number that was written, or a fault; also the reader of quantities on the command line."""
    if isinstance(value, float):
        shortest = Decimal(repr(value))
        if not shortest.is_finite() or len(shortest.normalize().as_tuple().digits) > _FLOAT_DIGITS:
            raise fault("this number does not survive being read as a float: write it in quotes")
        value = plain(shortest)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        value = plain(Decimal(value)) if Decimal(value).is_finite() else ""
    if not isinstance(value, str):
        raise fault(f"must be {_NUMBER_WORDS}")
    if value.startswith("-"):
        raise fault("must not be negative")
    if not _DECIMAL.fullmatch(value):
        raise fault(f"must be {_NUMBER_WORDS}")
    return Decimal(value)


def _known_currency(value: object) -> object:
    if isinstance(value, str) and value not in CURRENCIES:
        hint = f", did you mean {value.upper()}?" if value.upper() in CURRENCIES else ""
        raise fault(f"{value!r} is not a currency of ISO 4217{hint}")
    return value


def _positive(value: Decimal) -> Decimal:
    if not value:
        raise fault("must be greater than 0")
    return value


def _percent(value: Decimal) -> Decimal:
    if value > 100:
        raise fault("must not be above 100")
    return value


Amount = Annotated[Decimal, BeforeValidator(exact_decimal)]
"""Zero or more, exact: money in major units, a quantity or a percentage."""
PositiveAmount = Annotated[Decimal, BeforeValidator(lambda value: _positive(exact_decimal(value)))]
PercentAmount = Annotated[Decimal, BeforeValidator(lambda value: _percent(exact_decimal(value)))]
Currency = Annotated[str, BeforeValidator(_known_currency)]


class Strict(BaseModel):
    """Unknown fields and loose types are faults; values never change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class TierModel(Strict):
    """A tier of ``graduated`` and ``volume``."""

    up_to: PositiveAmount | None = None
    unit: Amount = ZERO
    flat: Amount = ZERO
    size: PositiveAmount | None = None
    at_zero: bool = False

    def to_tier(self) -> Tier:
        return Tier(self.up_to, self.unit, self.flat, self.size, self.at_zero)


class StairModel(Strict):
    """A tier of ``stairstep``: its amount is ``flat``."""

    up_to: PositiveAmount | None = None
    flat: Amount
    at_zero: bool = False

    def to_tier(self) -> Tier:
        return Tier(self.up_to, flat=self.flat, at_zero=self.at_zero)


class PercentTierModel(Strict):
    """A tier of ``percentage``."""

    up_to: PositiveAmount | None = None
    percent: Amount = ZERO
    flat: Amount = ZERO
    at_zero: bool = False

    def to_tier(self) -> Tier:
        return Tier(self.up_to, self.percent, self.flat, None, self.at_zero)


AnyTier = TypeVar("AnyTier", TierModel, StairModel, PercentTierModel)


def check_tiers(tiers: list[AnyTier]) -> list[AnyTier]:
    """Ascending, only the last one open, ``at_zero`` on the first alone; raises the first fault."""
    below = ZERO
    for index, tier in enumerate(tiers):
        last = index == len(tiers) - 1
        if tier.at_zero and index:
            raise _tier_fault(index, "at_zero belongs to the first tier")
        if last and tier.up_to is not None:
            raise _tier_fault(index, "the last tier has no up_to, so that it holds any quantity")
        if not last and tier.up_to is None:
            raise _tier_fault(index, "only the last tier goes without up_to")
        if tier.up_to is not None:
            if tier.up_to <= below:
                raise _tier_fault(index, f"up_to {plain(tier.up_to)} must be above {plain(below)}")
            below = tier.up_to
    return tiers


def _tier_fault(index: int, message: str) -> PydanticCustomError:
    return PydanticCustomError("price", "tier {number}: {message}", {"number": index + 1, "message": message})


Tiers = Annotated[list[AnyTier], Field(min_length=1, max_length=1000), AfterValidator(check_tiers)]
"""A fault's context has the ``number`` of the tier, from 1."""


class ConversionModel(Strict):
    divide_by: PositiveAmount
    round: Literal["up", "down", "half_up", "none"] = "none"


class DiscountModel(Strict):
    percent: PercentAmount | None = None
    amount: Amount | None = None
    periods: Annotated[int, Field(ge=1, le=1200)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.percent is None) == (self.amount is None):
            raise fault("a discount has either percent or amount")
        return self

    def to_discount(self) -> Discount:
        if self.amount is not None:
            return AmountOff(self.amount, self.periods)
        return PercentOff(self.percent or ZERO, self.periods)


class BasePrice(Strict):
    """The modifiers that any price may add."""

    name: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    meter: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.\-]{0,63}$")] = "calls"
    currency: Currency | None = None
    convert: ConversionModel | None = None
    included: Amount = ZERO
    discount: DiscountModel | None = None
    minimum: Amount | None = None
    maximum: Amount | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise fault(f"minimum {plain(self.minimum)} is above maximum {plain(self.maximum)}")
        return self

    def model_of(self) -> Model:
        """The pricing model, without modifiers."""
        raise NotImplementedError

    def to_price(self) -> Price:
        """The domain's value."""
        convert = Conversion(self.convert.divide_by, self.convert.round) if self.convert else None
        discount = self.discount.to_discount() if self.discount else None
        return Price(
            self.model_of(), self.meter, self.currency, convert, self.included, discount, self.minimum, self.maximum,
            self.name or "",
        )  # fmt: skip


class FlatPrice(BasePrice):
    type: Literal["flat"]
    amount: Amount
    every: Every = "month"

    def model_of(self) -> Model:
        return Flat(self.amount, self.every)


class PerUnitPrice(BasePrice):
    type: Literal["per_unit"]
    unit: Amount

    def model_of(self) -> Model:
        return PerUnit(self.unit)


class GraduatedPrice(BasePrice):
    type: Literal["graduated"]
    tiers: Tiers[TierModel]

    def model_of(self) -> Model:
        return Graduated(tuple(tier.to_tier() for tier in self.tiers))


class VolumePrice(BasePrice):
    type: Literal["volume"]
    tiers: Tiers[TierModel]

    def model_of(self) -> Model:
        return Volume(tuple(tier.to_tier() for tier in self.tiers))


class StairstepPrice(BasePrice):
    type: Literal["stairstep"]
    tiers: Tiers[StairModel]

    def model_of(self) -> Model:
        return Stairstep(tuple(tier.to_tier() for tier in self.tiers))


class PackagePrice(BasePrice):
    type: Literal["package"]
    size: PositiveAmount
    amount: Amount
    free: Amount = ZERO
    round: Literal["up", "down"] = "up"

    def model_of(self) -> Model:
        return Package(self.size, self.amount, self.free, self.round)


class PercentagePrice(BasePrice):
    type: Literal["percentage"]
    percent: Amount | None = None
    fixed: Amount = ZERO
    free_units: Amount = ZERO
    free_events: Annotated[int, Field(ge=0, le=10**18)] = 0
    tiers: Tiers[PercentTierModel] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.percent is None) == (self.tiers is None):
            raise fault("a percentage has either percent or tiers")
        return self

    def model_of(self) -> Model:
        tiers = tuple(tier.to_tier() for tier in self.tiers or ())
        return Percentage(self.percent or ZERO, self.fixed, self.free_units, self.free_events, tiers)


PriceModel = Annotated[
    FlatPrice | PerUnitPrice | GraduatedPrice | VolumePrice | StairstepPrice | PackagePrice | PercentagePrice,
    Field(discriminator="type"),
]
"""For embedding in a plan. A fault's ``loc`` has the price's type after its index: it names no field."""

PRICE_MODELS: dict[str, type[BasePrice]] = {
    "flat": FlatPrice,
    "per_unit": PerUnitPrice,
    "graduated": GraduatedPrice,
    "volume": VolumePrice,
    "stairstep": StairstepPrice,
    "package": PackagePrice,
    "percentage": PercentagePrice,
}
_ADAPTER: TypeAdapter[BasePrice] = TypeAdapter(PriceModel)


def parse_price(mapping: Mapping[str, object]) -> Price:
    """The price that ``mapping`` writes; raises ``pydantic.ValidationError`` with every fault in it."""
    return _ADAPTER.validate_python(dict(mapping)).to_price()
