"""Money: an exact decimal amount in one currency, its minor unit, its rounding and its public form.

Amounts are in major units (dollars, not cents). No float is ever accepted: it could not say what was meant.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import (
    ROUND_HALF_DOWN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)

from gateway.errors import GatewayError

# ISO 4217 list one (active codes), grouped by the digits of the minor unit; funds and metals are left out.
_EXPONENTS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CNY "
    "COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR "
    "IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD "
    "NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC "
    "SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
CURRENCIES: dict[str, int] = {code: digits for digits, codes in _EXPONENTS.items() for code in codes.split()}
"""Digits after the decimal point, by currency code."""

ZERO, ONE = Decimal(0), Decimal(1)

EXACT = Context(prec=300, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
"""Sums and products in this context are exact or raise; prices and quantities are bounded so that they never do."""

DIVIDING = Context(prec=120, rounding=ROUND_HALF_UP, traps=[InvalidOperation, DivisionByZero, Overflow])
"""Quotients keep 120 digits; see ``settled`` for those without an end."""

PLACES = 65
"""More decimals than a quantity (20) times a price (20) times a percentage (22) can have."""


class MoneyError(GatewayError, ValueError):
    """Two currencies met, a currency is unknown, or a text or type is no amount."""


def exponent(currency: str) -> int:
    """Digits of the currency's minor unit (ISO 4217); raises ``MoneyError`` for an unknown code."""
    try:
        return CURRENCIES[currency]
    except KeyError:
        raise MoneyError(f"{currency!r} is not a currency of ISO 4217") from None


def round_amount(amount: Decimal, currency: str) -> Decimal:
    """``amount`` to the currency's exponent, half away from zero (SEMANTICS §34)."""
    return _quantize(amount, currency, ROUND_HALF_UP)


def round_remainder(amount: Decimal, currency: str) -> Decimal:
    """What is left after a part was rounded half away from zero: an exact half belongs to that part."""
    return _quantize(amount, currency, ROUND_HALF_DOWN)


def _quantize(amount: Decimal, currency: str, rounding: str) -> Decimal:
    rounded = amount.quantize(Decimal(1).scaleb(-exponent(currency)), rounding=rounding, context=DIVIDING)
    return rounded if rounded else abs(rounded)  # never "-0.00"


def divide(quantity: Decimal, size: Decimal) -> tuple[Decimal, Decimal]:
    """Whole quotient and exact remainder of two non-negative numbers."""
    whole = DIVIDING.divide_int(quantity, size)
    return whole, EXACT.subtract(quantity, EXACT.multiply(whole, size))


def settled(amount: Decimal) -> Decimal:
    """``amount``, to ``PLACES`` decimals if an endless quotient gave it more.

    A third of a unit at 0.015 is half a cent and not 0.00499…: the quotient's error is far below the last place.
    """
    power = amount.as_tuple().exponent
    if not isinstance(power, int) or power >= -PLACES:
        return amount
    return amount.quantize(Decimal(1).scaleb(-PLACES), rounding=ROUND_HALF_UP, context=DIVIDING)


def plain(amount: Decimal) -> str:
    """The exact amount as text: no exponent, no trailing zeros, no negative zero."""
    if not amount:
        return "0"
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency, at its exponent or more exact. ``Money.rounded`` is what a person pays."""

    amount: Decimal
    currency: str

    def __post_init__(self) -> None:
        if not isinstance(self.amount, Decimal) or not self.amount.is_finite():
            raise MoneyError(f"an amount is a finite Decimal, not {self.amount!r}")
        exponent(self.currency)

    @classmethod
    def of(cls, amount: Decimal | int | str, currency: str) -> "Money":
        """From a decimal text, a whole number or a Decimal; raises ``MoneyError`` for anything else."""
        if isinstance(amount, bool) or not isinstance(amount, Decimal | int | str):
            raise MoneyError(f"an amount is text, a whole number or a Decimal, not {type(amount).__name__}")
        try:
            return cls(Decimal(amount), currency)
        except InvalidOperation:
            raise MoneyError(f"{amount!r} is not an amount") from None

    @classmethod
    def zero(cls, currency: str) -> "Money":
        return cls(ZERO, currency)

    @classmethod
    def from_minor(cls, minor: int, currency: str) -> "Money":
        """From whole minor units: 1234 cents are 12.34."""
        return cls(Decimal(minor).scaleb(-exponent(currency)), currency)

    @classmethod
    def parse(cls, value: object) -> "Money":
        """From the public form ``{"amount": "12.34", "currency": "USD"}``; the amount must be a string."""
        if not isinstance(value, dict) or set(value) != {"amount", "currency"}:
            raise MoneyError('money is {"amount": "12.34", "currency": "USD"}')
        amount, currency = value["amount"], value["currency"]
        if not isinstance(amount, str) or not isinstance(currency, str):
            raise MoneyError("amount and currency are strings")
        return cls.of(amount, currency)

    @classmethod
    def total(cls, amounts: Iterable["Money"], currency: str) -> "Money":
        """The exact sum; ``currency`` is that of an empty sum and of every part."""
        result = cls.zero(currency)
        for amount in amounts:
            result += amount
        return result

    def rounded(self) -> "Money":
        return Money(round_amount(self.amount, self.currency), self.currency)

    def minor(self) -> int:
        """Whole minor units of the rounded amount."""
        return int(round_amount(self.amount, self.currency).scaleb(exponent(self.currency)))

    def to_json(self) -> dict[str, str]:
        """The public form: a string, padded to the currency's exponent, never rounded."""
        digits = max(exponent(self.currency), len(plain(self.amount).partition(".")[2]))
        return {"amount": f"{EXACT.add(self.amount, ZERO):.{digits}f}", "currency": self.currency}

    def __add__(self, other: "Money") -> "Money":
        return Money(EXACT.add(self.amount, self._same(other)), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(EXACT.subtract(self.amount, self._same(other)), self.currency)

    def __mul__(self, factor: Decimal | int) -> "Money":
        if isinstance(factor, bool) or not isinstance(factor, Decimal | int):
            raise MoneyError(f"money is multiplied by a Decimal or a whole number, not {type(factor).__name__}")
        return Money(EXACT.multiply(self.amount, Decimal(factor)), self.currency)

    def __neg__(self) -> "Money":
        return Money(EXACT.subtract(ZERO, self.amount), self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.amount < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.amount <= self._same(other)

    def __str__(self) -> str:
        return "{amount} {currency}".format(**self.to_json())

    def _same(self, other: "Money") -> Decimal:
        if not isinstance(other, Money):
            raise MoneyError(f"money meets money only, not {type(other).__name__}")
        if other.currency != self.currency:
            # SEMANTICS §38: nothing is ever converted.
            raise MoneyError(f"{self.currency} and {other.currency} cannot be added or compared")
        return other.amount
