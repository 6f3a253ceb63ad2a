"""The blocks of billing: who sells, when invoices are final and due, taxes, and what differs for one tenant."""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from gateway.clock import DAY_US
from gateway.config.fields import Names, Strict, Text, Token
from gateway.config.price_schema import Amount, Currency, PercentAmount
from gateway.config.units import parse_duration

MOST_GRACE_US = 20 * DAY_US
"""A draft is final before the next period ends."""


def _whole_days(value: object) -> object:
    if isinstance(value, str):
        duration = parse_duration(value)
        if duration % DAY_US:
            raise ValueError(f'expected whole days such as "14d", found "{value}"')
        return duration
    return value


def _grace(value: object) -> object:
    duration = parse_duration(value)
    if duration > MOST_GRACE_US:
        raise ValueError("is longer than 20 days: a draft must be final before the next one")
    return duration


def _prefix(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[A-Z0-9]([A-Z0-9-]{0,14}[A-Z0-9])?", value, re.ASCII):
        raise ValueError("must be 1 to 16 of A-Z, 0-9 and -, without - at the ends")
    return value


Days = Annotated[int, BeforeValidator(_whole_days)]


class TaxRateBlock(Strict):
    """One tax of a region."""

    name: Text
    percent: PercentAmount


class TaxBlock(Strict):
    """Rates by region; ``region`` is that of tenants who name none."""

    rates: Names[list[TaxRateBlock]] = {}
    region: Token | None = None
    inclusive: bool = False
    per: Literal["line", "invoice"] = "invoice"
    round_of: Literal["tax", "net"] = "tax"

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.region is not None and self.region not in self.rates:
            raise ValueError(f'there are no rates for region "{self.region}"')
        return self


class BillingBlock(Strict):
    currency: Currency
    seller: dict[str, str]
    invoice_prefix: Annotated[str, BeforeValidator(_prefix)]
    draft_grace: Annotated[int, BeforeValidator(_grace)]
    due: Days
    suspend_after: Days
    proration: Literal["second", "day"]
    tax: TaxBlock
    pdf_fonts: list[Annotated[str, Field(min_length=1)]]


class BaseFee(Strict):
    """What a subscription costs before any usage."""

    amount: Amount


class PlanBilling(Strict):
    month: BaseFee | None = None
    year: BaseFee | None = None


class TenantTax(Strict):
    """Where a tenant is taxed; ``exempt`` is the reason why not, ``id`` its tax number."""

    region: Token | None = None
    exempt: Text | None = None
    id: Text | None = None
