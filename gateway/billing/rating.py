"""Rating: the one function from a price and a quantity to money. Estimate, preview, invoice and `verify` all call it.

Order (SEMANTICS §35): aggregate → convert and round → allowance → tiers or packages → discount → minimum/maximum.
Every step is exact; a price's total is rounded once, half away from zero, to the currency's exponent (§34).
"""

from dataclasses import dataclass
from decimal import Decimal

from gateway.billing.discount import discount_of
from gateway.billing.line import Line, LineKind
from gateway.billing.price import PercentOff, Price
from gateway.billing.pricing.flat import Flat
from gateway.billing.pricing.model import Step, Usage, total
from gateway.billing.wording import amount_off, charge_of, percent_off
from gateway.money import EXACT, ZERO, Money, MoneyError, plain, round_amount, round_remainder, settled
from gateway.period import Period


@dataclass(frozen=True, slots=True)
class Rated:
    """What a quantity costs: ``amount`` is rounded, ``exact`` is not; the lines add up to both."""

    amount: Money
    exact: Decimal
    lines: tuple[Line, ...]

    @property
    def currency(self) -> str:
        return self.amount.currency


def rate(
    price: Price,
    quantity: Decimal | int,
    currency: str,
    *,
    billed_quantity: Decimal | int = 0,
    billed_amount: Decimal | None = None,
    events: int | None = None,
    billed_events: int | None = None,
    period: Period | None = None,
) -> Rated:
    """The cost of ``quantity`` more units after ``billed_quantity``: cost(sum) − ``billed_amount`` (CONTRACT, `rate`).

    ``billed_amount`` defaults to cost(billed), or nothing if nothing was billed; the rounded amounts are subtracted, so
    that the parts of a split period add up to the whole to the cent. ``events`` defaults to one for a quantity above
    zero. ``currency`` applies when the price names none. Raises ``MoneyError`` for a negative total quantity.
    """
    more, before = Decimal(quantity), Decimal(billed_quantity)
    new_events = int(more > 0) if events is None else events
    old_events = int(before > 0) if billed_events is None else billed_events
    after = EXACT.add(more, before)
    if before < 0 or after < 0 or new_events + old_events < 0 or old_events < 0:
        raise MoneyError("a quantity in total, like the part of it already billed, is zero or more")
    whole = cost(price, Usage(after, new_events + old_events), currency, period)
    if billed_amount is None:
        billed = cost(price, Usage(before, old_events), currency, period) if before else None
        billed_exact, billed_round = (billed.exact, billed.amount.amount) if billed else (ZERO, ZERO)
    else:
        billed_exact, billed_round = billed_amount, round_amount(billed_amount, whole.currency)
    if not billed_exact and not billed_round:
        return whole
    exact = EXACT.subtract(whole.exact, billed_exact)
    taken = Money(EXACT.minus(billed_round), whole.currency)
    text = f"Already billed{f' for {plain(before)} units' if before else ''}"
    line = Line("billed", text, EXACT.minus(billed_exact), taken, price.meter, before, (), period)
    return Rated(whole.amount + taken, exact, (*whole.lines, line))


def cost(price: Price, usage: Usage, currency: str, period: Period | None = None) -> Rated:
    """What a whole period's usage costs: the cumulative function behind every delta."""
    tally = _Tally(price, price.currency or currency, period)
    priced = Usage(chargeable(price, usage.quantity), usage.events)
    steps = price.model.rate(priced)
    if isinstance(price.model, Flat):
        tally.move("fee", charge_of(price), total(steps), steps=steps)
    else:
        tally.move("usage", charge_of(price), total(steps), quantity=usage.quantity, steps=steps)
    _discount(tally, price)
    if price.minimum is not None and tally.exact < price.minimum:
        tally.move("minimum", f"Minimum of {plain(price.minimum)} {tally.currency}", price.minimum)
    if price.maximum is not None and tally.exact > price.maximum:
        tally.move("maximum", f"Maximum of {plain(price.maximum)} {tally.currency}", price.maximum)
    return Rated(Money(tally.rounded, tally.currency), tally.exact, tuple(tally.lines))


def chargeable(price: Price, quantity: Decimal) -> Decimal:
    """The units to be priced: converted, rounded, and less the allowance, which counts converted units."""
    converted = quantity if price.convert is None else price.convert.apply(quantity)
    return max(ZERO, EXACT.subtract(converted, price.included))


def _discount(tally: "_Tally", price: Price) -> None:
    """Take the discount off. An amount off is a known sum; a percentage has to be rounded, and is so on its own."""
    if price.discount is None or not tally.exact:
        return
    left = settled(EXACT.subtract(tally.exact, discount_of(price.discount, tally.exact)))
    if isinstance(price.discount, PercentOff):
        # The discount itself rounds half away from zero (oracles BC153, BC156): an exact half cent is the customer's.
        tally.move("discount", percent_off(price.discount), left, rounded=round_remainder(left, tally.currency))
    else:
        tally.move("discount", amount_off(price.discount, tally.currency), left)


class _Tally:
    """A running total; each move appends the line that explains it."""

    def __init__(self, price: Price, currency: str, period: Period | None) -> None:
        self.currency = currency
        self.exact = ZERO
        self.rounded = ZERO
        self.lines: list[Line] = []
        self._price = price
        self._period = period

    def move(
        self,
        kind: LineKind,
        description: str,
        exact: Decimal,
        *,
        rounded: Decimal | None = None,
        quantity: Decimal = ZERO,
        steps: tuple[Step, ...] = (),
    ) -> None:
        """Move the total to ``exact``; ``rounded`` defaults to its rounding."""
        exact = settled(exact)
        new = round_amount(exact, self.currency) if rounded is None else rounded
        by = Money(EXACT.subtract(new, self.rounded), self.currency)
        line = Line(
            kind, description, EXACT.subtract(exact, self.exact), by, self._price.meter, quantity, steps, self._period
        )
        self.lines.append(line)
        self.exact, self.rounded = exact, new
