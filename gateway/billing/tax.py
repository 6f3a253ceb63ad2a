"""Tax on rounded lines: on top or inside, rounded per line or per invoice, as recorded with it (SEMANTICS §34)."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gateway.money import DIVIDING, EXACT, ZERO, Money, round_amount, settled

Per = Literal["line", "invoice"]
RoundOf = Literal["tax", "net"]


@dataclass(frozen=True, slots=True)
class TaxRate:
    """One tax of a region. ``percent`` of the net amount, also where prices include it."""

    name: str
    percent: Decimal


@dataclass(frozen=True, slots=True)
class TaxRules:
    """How a tenant's invoices are taxed; stored with each invoice, because a cent can hang on it.

    ``inclusive``: amounts contain the tax, which is then rounded itself (``tax``) or is what the rounded net leaves
    (``net``). ``exempt`` names the reason and turns every tax off.
    """

    rates: tuple[TaxRate, ...] = ()
    inclusive: bool = False
    per: Per = "invoice"
    round_of: RoundOf = "tax"
    exempt: str = ""


@dataclass(frozen=True, slots=True)
class TaxLine:
    """One tax on ``base`` (the net amount, or the gross one if inclusive)."""

    rate: TaxRate
    base: Money
    amount: Money


def tax_on(base: Decimal, percent: Decimal, currency: str) -> Money:
    """Tax on top of an exact net amount, rounded."""
    return Money(round_amount(EXACT.multiply(base, percent).scaleb(-2, EXACT), currency), currency)


def tax_inside(
    gross: Decimal, percent: Decimal, currency: str, round_of: RoundOf = "tax", others: Decimal = ZERO
) -> Money:
    """The part of ``gross`` that is tax of ``percent``; ``others`` is the sum of further rates inside it."""
    divisor = EXACT.add(EXACT.add(Decimal(100), percent), others)
    exact = settled(DIVIDING.divide(EXACT.multiply(gross, percent), divisor))
    if round_of == "tax":
        return Money(round_amount(exact, currency), currency)
    return Money(EXACT.subtract(gross, round_amount(EXACT.subtract(gross, exact), currency)), currency)


def taxes(amounts: Sequence[Money], rules: TaxRules, currency: str) -> tuple[TaxLine, ...]:
    """One line per rate over an invoice's rounded line amounts."""
    if rules.exempt:
        return ()
    base = Money.total(amounts, currency)
    parts = list(amounts) if rules.per == "line" else [base]
    return tuple(
        TaxLine(rate, base, Money.total((_tax(part, rate, rules) for part in parts), currency)) for rate in rules.rates
    )


def _tax(part: Money, rate: TaxRate, rules: TaxRules) -> Money:
    if not rules.inclusive:
        return tax_on(part.amount, rate.percent, part.currency)
    others = sum((other.percent for other in rules.rates if other is not rate), ZERO)
    return tax_inside(part.amount, rate.percent, part.currency, rules.round_of, others)
