"""Proration: a price for part of a period, by second or by local day, and the two lines of a change (SEMANTICS §37)."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from gateway.billing.line import Line
from gateway.billing.price import AmountOff, Price
from gateway.billing.pricing.flat import Flat
from gateway.billing.pricing.package import Package
from gateway.billing.pricing.percentage import Percentage
from gateway.money import DIVIDING, EXACT, ZERO, Money, round_amount, settled
from gateway.period import Period

By = Literal["second", "day"]


@dataclass(frozen=True, slots=True)
class Share:
    """``part`` of ``whole``, both whole numbers of seconds or days, from nothing to all."""

    part: int
    whole: int

    def __post_init__(self) -> None:
        if not 0 <= self.part <= self.whole or not self.whole:
            raise ValueError(f"{self.part} of {self.whole} is no share")

    def of(self, amount: Decimal) -> Decimal:
        """The share of an amount: multiplied first, divided once."""
        return settled(DIVIDING.divide(EXACT.multiply(amount, Decimal(self.part)), Decimal(self.whole)))

    def of_money(self, money: Money) -> Money:
        """The rounded share of money."""
        return Money(round_amount(self.of(money.amount), money.currency), money.currency)


FULL = Share(1, 1)


def share_from(period: Period, at: datetime, zone: ZoneInfo, by: By = "second") -> Share:
    """What is left of ``period`` at ``at``; before its start all of it, after its end nothing.

    By day, the day of the change counts as left, and both bounds are local midnights: [15, 31) of [1, 31) is 16 of 30.
    """
    at = min(max(at, period.start), period.end)
    if by == "second":
        return Share((period.end - at) // timedelta(seconds=1), period.seconds)
    first, day, end = (moment.astimezone(zone).date() for moment in (period.start, at, period.end))
    return Share((end - day).days, (end - first).days)


def change_lines(
    charged: Money, new_price: Decimal, share: Share, left: Period, *, old_name: str, new_name: str
) -> tuple[Line, ...]:
    """The two lines of a change in mid-period, each rounded on its own; an empty one is left out.

    ``charged`` is what was really charged for the whole period, discounts taken off: the credit can never exceed it.
    """
    credit, charge = EXACT.minus(share.of(charged.amount)), share.of(new_price)
    lines = (
        _line("credit", f"Unused time of {old_name}", credit, charged.currency, left),
        _line("proration", f"Remaining time of {new_name}", charge, charged.currency, left),
    )
    return tuple(line for line in lines if line.exact)


def _line(kind: Literal["credit", "proration"], text: str, exact: Decimal, currency: str, left: Period) -> Line:
    return Line(kind, text, exact, Money(round_amount(exact, currency), currency), period=left)


def prorated(price: Price, share: Share) -> Price:
    """The price for a part of a period.

    What is due or granted per period shrinks: recurring fees, allowances, fixed discounts, minimum and maximum. Prices
    per unit, tiers and fees due once do not. Free events round up.
    """
    model, discount = price.model, price.discount
    match model:
        case Flat() if model.every != "once":
            model = replace(model, amount=share.of(model.amount))
        case Package():
            model = replace(model, free=share.of(model.free))
        case Percentage():
            events = share.of(Decimal(model.free_events)).to_integral_value(rounding=ROUND_CEILING)
            model = replace(model, free_units=share.of(model.free_units), free_events=int(events))
        case _:
            pass
    return replace(
        price,
        model=model,
        included=share.of(price.included),
        discount=replace(discount, amount=share.of(discount.amount)) if isinstance(discount, AmountOff) else discount,
        minimum=None if price.minimum is None else share.of(price.minimum),
        maximum=None if price.maximum is None else share.of(price.maximum),
    )


def net(lines: tuple[Line, ...], currency: str) -> Money:
    """The sum of the lines' rounded amounts."""
    return Money.total((line.amount for line in lines), currency) if lines else Money(ZERO, currency)
