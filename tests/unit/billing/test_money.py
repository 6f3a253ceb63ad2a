"""Money: exact, in one currency, and never a float."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.money import CURRENCIES, Money, MoneyError, exponent, plain, round_amount, round_remainder


def test_exponents_follow_iso_4217() -> None:
    assert [exponent(code) for code in ("JPY", "USD", "KWD", "CLF", "BHD", "OMR", "ISK")] == [0, 2, 3, 4, 3, 3, 0]
    assert all(len(code) == 3 and code.isupper() for code in CURRENCIES)
    with pytest.raises(MoneyError, match="ISO 4217"):
        exponent("XXX")


@pytest.mark.parametrize(
    ("amount", "rounded"),
    [
        ("0.005", "0.01"),
        ("-0.005", "-0.01"),
        ("0.0049999", "0.00"),
        ("-0.004", "0.00"),
        ("2.675", "2.68"),
        ("1", "1.00"),
    ],
)
def test_rounding_is_half_away_from_zero(amount: str, rounded: str) -> None:
    assert str(round_amount(Decimal(amount), "USD")) == rounded


def test_the_remainder_of_a_rounded_part_rounds_the_other_way() -> None:
    for amount in map(Decimal, ("10.01", "0.99", "7.03", "100")):
        part = amount / 2
        assert round_amount(part, "USD") + round_remainder(amount - part, "USD") == amount


@pytest.mark.parametrize("value", [0.1, True, None, "", "abc", "NaN", "Infinity", Decimal("NaN"), [1]])
def test_what_is_no_money(value: Any) -> None:
    with pytest.raises(MoneyError):
        Money.of(value, "USD")


@pytest.mark.parametrize("value", [1.5, True, "2"])
def test_money_is_multiplied_by_exact_numbers_only(value: Any) -> None:
    with pytest.raises(MoneyError):
        Money.of(1, "USD") * value


def test_the_public_form() -> None:
    assert Money.of("12.3", "USD").to_json() == {"amount": "12.30", "currency": "USD"}
    assert Money.of("0.001", "USD").to_json()["amount"] == "0.001"
    assert Money.of("1E+3", "JPY").to_json()["amount"] == "1000"
    assert Money.parse({"amount": "12.34", "currency": "USD"}) == Money.of("12.34", "USD")
    assert str(Money.of(-5, "KWD")) == "-5.000 KWD"


@pytest.mark.parametrize(
    "value", [{"amount": 12.34, "currency": "USD"}, {"amount": "1"}, "1 USD", {"amount": "x", "currency": "USD"}, None]
)
def test_what_is_no_public_form(value: object) -> None:
    with pytest.raises(MoneyError):
        Money.parse(value)


def test_currencies_never_mix() -> None:
    one, other = Money.of(1, "USD"), Money.of(1, "EUR")
    for operation in (one.__add__, one.__sub__, one.__lt__, one.__le__):
        with pytest.raises(MoneyError, match="USD and EUR"):
            operation(other)
    with pytest.raises(MoneyError):
        Money.total([other], "USD")


def test_minor_units() -> None:
    assert Money.from_minor(1234, "USD") == Money.of("12.34", "USD")
    assert Money.of("12.345", "USD").minor() == 1235
    assert Money.of("12.5", "JPY").minor() == 13


def test_sums_are_exact_beyond_the_default_context() -> None:
    tiny, huge = Money.of("0." + "0" * 30 + "1", "USD"), Money.of("1" + "0" * 30, "USD")
    assert plain((huge + tiny).amount) == "1" + "0" * 30 + "." + "0" * 30 + "1"
    assert huge + tiny - huge == tiny
    assert plain((-tiny).amount) == "-0." + "0" * 30 + "1"


@pytest.mark.parametrize(
    ("amount", "text"), [("1E+2", "100"), ("100", "100"), ("-0.00", "0"), ("1.50", "1.5"), ("1E-7", "0.0000001")]
)
def test_plain(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text
