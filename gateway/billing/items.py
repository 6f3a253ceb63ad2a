"""What an invoice is made of: items that hold all that decides their lines. The same item, the same lines, for ever.

An invoice stores its items; `verify` takes their lines again and compares. ``charge`` names what a line is for, so that
a later correction or credit finds what was really charged.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import assert_never
from zoneinfo import ZoneInfo

from gateway.billing.bill import MeteredUsage
from gateway.billing.catalog import Cycle, Plan
from gateway.billing.line import Line
from gateway.billing.periods import served
from gateway.billing.price import Price
from gateway.billing.pricing.flat import Flat
from gateway.billing.proration import By, Share, prorated, share_from
from gateway.billing.rating import rate
from gateway.billing.wording import charge_of
from gateway.money import EXACT, ZERO, Money, round_amount
from gateway.period import Period, to_us


@dataclass(frozen=True, slots=True)
class Charged:
    """A line, and what it is for."""

    charge: str
    line: Line


@dataclass(frozen=True, slots=True)
class FeeItem:
    """The flat amounts of a plan in advance, from ``since`` to the end of ``month``, or of ``year`` for yearly ones.

    ``since`` after the month's start means that only the rest is served. ``first``: fees due once are due too, and a
    yearly fee although the year began earlier. ``change``: the rest follows another plan in the same period.
    """

    plan: Plan
    cycle: Cycle
    quantity: int
    month: Period
    year: Period
    since: datetime
    age: int
    zone: ZoneInfo
    first: bool = False
    change: bool = False
    by: By = "second"


@dataclass(frozen=True, slots=True)
class UsageItem:
    """Usage of ``served`` (a part of ``month``, or all of it) in arrears; ``age`` counts the subscription's months.

    ``aggregates`` says which meters events from outside count too, and how: it is needed to count again.
    """

    plan: Plan
    month: Period
    served: Period
    age: int
    zone: ZoneInfo
    usage: MeteredUsage
    aggregates: Mapping[str, str] = field(default_factory=dict)
    by: By = "second"


@dataclass(frozen=True, slots=True)
class Billed:
    """What earlier lines charged for one price of a usage item."""

    quantity: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class CorrectionItem:
    """Late usage: the item as it is now, and what was invoiced for each of its charges (SEMANTICS §29)."""

    item: UsageItem
    billed: dict[str, Billed] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CreditItem:
    """The unused rest, from ``at``, of what was really charged for ``period`` (SEMANTICS §37)."""

    charge: str
    name: str
    charged: Money
    period: Period
    at: datetime
    zone: ZoneInfo
    by: By = "second"


@dataclass(frozen=True, slots=True)
class ManualItem:
    """An amount that a person put on the bill; negative gives."""

    charge: str
    description: str
    amount: Money


Item = FeeItem | UsageItem | CorrectionItem | CreditItem | ManualItem


def lines_of(item: Item) -> tuple[Charged, ...]:
    """The lines of an item."""
    match item:
        case FeeItem():
            return _fees(item)
        case UsageItem():
            return _usage(item)
        case CorrectionItem():
            return _corrections(item)
        case CreditItem():
            return _credit(item)
        case ManualItem(charge, description, amount):
            return (Charged(charge, Line("manual", description, amount.amount, amount.rounded())),)
        case _:
            assert_never(item)


def seats(plan: Plan, quantity: int) -> Plan:
    """The plan's own fee is per seat; other prices are not."""
    if quantity == 1:
        return plan
    times = Decimal(quantity)
    monthly, yearly = (None if fee is None else EXACT.multiply(fee, times) for fee in (plan.monthly, plan.yearly))
    return replace(plan, monthly=monthly, yearly=yearly)


def at_age(price: Price, age: int) -> Price:
    """The price in the subscription's month ``age`` (0: the first): a discount for some periods has its end."""
    discount = price.discount
    if discount is None or discount.periods is None or age < discount.periods:
        return price
    return replace(price, discount=None)


def _fees(item: FeeItem) -> tuple[Charged, ...]:
    plan = seats(item.plan, item.quantity)
    renews = item.first or item.change or item.year.start == item.month.start
    found: list[Charged] = []
    for place, price in enumerate(plan.fees(item.cycle, renews=renews, first=item.first)):
        assert isinstance(price.model, Flat)
        whole = item.year if price.model.every == "year" else item.month
        period = Period(max(item.since, whole.start), whole.end)
        once = price.model.every == "once"
        share = served(whole, item.since, None, item.zone, item.by)
        lines = rate(prorated(at_age(price, item.age), share), ZERO, plan.currency, period=period).lines
        charge = f"{'once' if once else 'fee'}/{to_us(item.since)}/{place}"
        found += [Charged(charge, _fee_line(line, item, once)) for line in lines]
    return tuple(found)


def _fee_line(line: Line, item: FeeItem, once: bool) -> Line:
    if line.kind != "fee":
        return line
    text = line.description if item.quantity == 1 or once else f"{line.description} × {item.quantity}"
    if item.change and not once:
        return replace(line, kind="proration", description=f"Remaining time of {text}")
    return replace(line, description=text)


def _usage(item: UsageItem) -> tuple[Charged, ...]:
    share = usage_share(item)
    found: list[Charged] = []
    for charge, price in usage_charges(item):
        quantity, events = item.usage.quantity(price.meter), item.usage.events_of(price.meter)
        rated = rate(prorated(price, share), quantity, item.plan.currency, events=events, period=item.served)
        found += [Charged(charge, line) for line in rated.lines]
    return tuple(found)


def usage_share(item: UsageItem) -> Share:
    """The part of the month that the item serves."""
    return served(item.month, item.served.start, item.served.end, item.zone, item.by)


def usage_charges(item: UsageItem) -> tuple[tuple[str, Price], ...]:
    """The metered prices of the item, each under the name of its charge."""
    start = to_us(item.served.start)
    return tuple((f"usage/{start}/{place}", at_age(price, item.age)) for place, price in enumerate(item.plan.metered()))


def _corrections(correction: CorrectionItem) -> tuple[Charged, ...]:
    """The whole period is rated again, so that a late unit may well lower a volume price (SEMANTICS §29)."""
    item, found = correction.item, list[Charged]()
    share = usage_share(item)
    for charge, price in usage_charges(item):
        total, events = item.usage.quantity(price.meter), item.usage.events_of(price.meter)
        billed = correction.billed.get(charge, Billed(ZERO, ZERO))
        late = EXACT.subtract(total, billed.quantity)
        if not late:
            continue
        part = prorated(price, share)
        rated = rate(part, total, item.plan.currency, billed_amount=billed.amount, events=events, period=item.served)
        steps = rated.lines[0].steps
        text = f"Late usage: {charge_of(price)}"
        line = Line("correction", text, rated.exact, rated.amount, price.meter, late, steps, item.served)
        found.append(Charged(charge, line))
    return tuple(found)


def _credit(item: CreditItem) -> tuple[Charged, ...]:
    share = share_from(item.period, item.at, item.zone, item.by)
    exact = EXACT.minus(share.of(item.charged.amount))
    if not exact:
        return ()
    amount = Money(round_amount(exact, item.charged.currency), item.charged.currency)
    left = Period(min(max(item.at, item.period.start), item.period.end), item.period.end)
    return (Charged(item.charge, Line("credit", f"Unused time of {item.name}", exact, amount, period=left)),)
