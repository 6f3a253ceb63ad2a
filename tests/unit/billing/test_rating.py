"""The rating function where fields meet: order, rounding, deltas and the lines that explain them."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.billing.rating import Rated, rate
from gateway.config.price_schema import parse_price
from gateway.money import EXACT, MoneyError

USD = "USD"


def rated(document: dict[str, Any], quantity: object, **options: Any) -> Rated:
    return rate(parse_price(document), Decimal(str(quantity)), USD, **options)


def cost(document: dict[str, Any], quantity: object) -> str:
    return str(rated(document, quantity).amount.amount)


def kinds(result: Rated) -> list[tuple[str, str]]:
    return [(line.kind, str(line.amount.amount)) for line in result.lines]


TIERS = [{"up_to": 10, "unit": 10, "flat": 2}, {"up_to": 20, "unit": 5, "flat": 3}, {"unit": 4, "flat": 1}]


@pytest.mark.parametrize(
    ("document", "quantity", "amount"),
    [
        # flat: usage plays no part
        ({"type": "flat", "amount": "99"}, 0, "99.00"),
        ({"type": "flat", "amount": "99", "included": 5, "convert": {"divide_by": 10}}, 7, "99.00"),
        ({"type": "flat", "amount": "0.005"}, 1, "0.01"),
        # tiers at zero, at and over a boundary, with fractions
        ({"type": "graduated", "tiers": TIERS}, 0, "0.00"),
        ({"type": "graduated", "tiers": [TIERS[0] | {"at_zero": True}, *TIERS[1:]]}, 0, "2.00"),
        ({"type": "graduated", "tiers": TIERS}, 10, "102.00"),
        ({"type": "graduated", "tiers": TIERS}, "10.5", "107.50"),
        ({"type": "graduated", "tiers": TIERS}, 21, "160.00"),
        ({"type": "volume", "tiers": TIERS}, 0, "0.00"),
        ({"type": "volume", "tiers": [TIERS[0] | {"at_zero": True}, *TIERS[1:]]}, 0, "2.00"),
        ({"type": "volume", "tiers": TIERS}, 10, "102.00"),
        ({"type": "volume", "tiers": TIERS}, "10.001", "53.01"),
        ({"type": "stairstep", "tiers": [{"up_to": 10, "flat": 50}, {"flat": 80}]}, 0, "0.00"),
        ({"type": "stairstep", "tiers": [{"up_to": 10, "flat": 50, "at_zero": True}, {"flat": 80}]}, 0, "50.00"),
        ({"type": "stairstep", "tiers": [{"up_to": 10, "flat": 50}, {"flat": 80}]}, 10, "50.00"),
        ({"type": "stairstep", "tiers": [{"up_to": 10, "flat": 50}, {"flat": 80}]}, 11, "80.00"),
        # packages inside tiers: a started one counts, per tier
        ({"type": "graduated", "tiers": [{"up_to": 100, "unit": 1, "size": 30}, {"unit": 2, "size": 50}]}, 101, "6.00"),
        ({"type": "volume", "tiers": [{"up_to": 100, "unit": 1, "size": 30}, {"unit": 2, "size": 50}]}, 101, "6.00"),
        ({"type": "package", "size": 10, "amount": 15, "free": 5, "round": "down"}, 24, "15.00"),
        ({"type": "package", "size": "0.5", "amount": 1}, "1.2", "3.00"),
        # allowance: after conversion; what it leaves starts at the first tier
        ({"type": "graduated", "tiers": TIERS, "included": 10}, 20, "102.00"),
        ({"type": "graduated", "tiers": [TIERS[0] | {"at_zero": True}, {}], "included": 10}, 10, "2.00"),
        ({"type": "package", "size": 10, "amount": 1, "free": 10, "included": 10}, 21, "1.00"),
        ({"type": "per_unit", "unit": 10, "convert": {"divide_by": 1000, "round": "down"}}, 1999, "10.00"),
        ({"type": "per_unit", "unit": 10, "convert": {"divide_by": 1000, "round": "half_up"}}, 1500, "20.00"),
        ({"type": "per_unit", "unit": 10, "convert": {"divide_by": 1000, "round": "half_up"}}, 1499, "10.00"),
        ({"type": "per_unit", "unit": 10, "convert": {"divide_by": 1000, "round": "none"}}, 1499, "14.99"),
        ({"type": "per_unit", "unit": 10, "convert": {"divide_by": 1000}}, 1499, "14.99"),
        ({"type": "per_unit", "unit": "0.015", "convert": {"divide_by": 3}}, 1, "0.01"),
        # percentages: no units, no charge; the fee of one event by default
        ({"type": "percentage", "percent": "2.9", "fixed": "0.30"}, 0, "0.00"),
        ({"type": "percentage", "percent": "2.9", "fixed": "0.30"}, 100, "3.20"),
        ({"type": "percentage", "percent": 1, "free_units": 100, "fixed": "0.30"}, 50, "0.30"),
        # at_zero with free units: what is all free costs what nothing costs
        ({"type": "percentage", "tiers": [{"percent": 1, "flat": 5, "at_zero": True}], "free_units": 9}, 0, "5.00"),
        ({"type": "percentage", "tiers": [{"percent": 1, "flat": 5, "at_zero": True}], "free_units": 9}, 9, "5.00"),
        ({"type": "percentage", "tiers": [{"up_to": 1000, "percent": 1, "flat": 200}, {"percent": 2}]}, 1500, "220.00"),
        (
            {"type": "percentage", "tiers": [{"up_to": 1000, "percent": 1, "flat": 200}, {"percent": 2}], "fixed": 1},
            1500,
            "221.00",
        ),
        # discount before minimum and maximum
        ({"type": "per_unit", "unit": 1, "discount": {"percent": 50}, "minimum": 30}, 50, "30.00"),
        ({"type": "per_unit", "unit": 1, "discount": {"percent": 50}, "maximum": 20}, 50, "20.00"),
        ({"type": "per_unit", "unit": 1, "discount": {"amount": 60}}, 50, "0.00"),
        ({"type": "per_unit", "unit": 1, "discount": {"amount": 60}, "minimum": 5}, 50, "5.00"),
        ({"type": "per_unit", "unit": 1, "minimum": 5, "maximum": 5}, 0, "5.00"),
        ({"type": "per_unit", "unit": 1, "discount": {"percent": 100}}, 50, "0.00"),
        # a discount is rounded by itself: an exact half cent of 10.01 is the customer's
        ({"type": "flat", "amount": "10.01", "discount": {"percent": 50}}, 1, "5.00"),
        # one rounding in all where the charge has fractions of a cent
        ({"type": "per_unit", "unit": "0.001", "discount": {"percent": 10}}, 12345, "11.11"),
    ],
)
def test_cost(document: dict[str, Any], quantity: object, amount: str) -> None:
    assert cost(document, quantity) == amount


@pytest.mark.parametrize(
    ("currency", "unit", "amount"),
    [("JPY", "0.5", "1"), ("USD", "0.005", "0.01"), ("KWD", "0.0005", "0.001"), ("CLF", "0.00005", "0.0001")],
)
def test_half_a_minor_unit_rounds_away_from_zero(currency: str, unit: str, amount: str) -> None:
    price = {"type": "per_unit", "unit": unit, "currency": currency}
    assert rated(price, 1).amount.to_json() == {"amount": amount, "currency": currency}
    back = rated(price, 0, billed_quantity=1)
    assert back.amount.amount == 0
    assert rated(price, -1, billed_quantity=1).amount.to_json()["amount"] == f"-{amount}"


def test_each_modifier_is_a_line_and_they_add_up() -> None:
    document = {"type": "per_unit", "unit": "0.333", "discount": {"percent": "10"}, "minimum": 5}
    result = rated(document, 10)
    assert kinds(result) == [("usage", "3.33"), ("discount", "-0.33"), ("minimum", "2.00")]
    assert sum(line.exact for line in result.lines) == result.exact == 5


def test_volume_repricing_reverses_and_charges_again() -> None:
    document = {"type": "volume", "tiers": [{"up_to": 15, "unit": 10}, {"unit": 5}]}
    assert kinds(rated(document, 1, billed_quantity=15)) == [("usage", "80.00"), ("billed", "-150.00")]


def test_nothing_billed_costs_nothing_even_with_a_minimum() -> None:
    """Else a first bill of a price with a minimum, or a flat one, would be zero."""
    assert rated({"type": "per_unit", "unit": 1, "minimum": 100}, 5).amount.amount == 100
    assert rated({"type": "flat", "amount": 9}, 5).amount.amount == 9
    assert rated({"type": "flat", "amount": 9}, 5, billed_quantity=3).amount.amount == 0


def test_minimum_with_what_was_billed() -> None:
    document = {"type": "per_unit", "unit": 1, "minimum": 100, "maximum": 200}
    assert rated(document, 10, billed_quantity=20).amount.amount == 0
    assert rated(document, 10, billed_quantity=20, billed_amount=Decimal(20)).amount.amount == 80
    assert rated(document, 500, billed_quantity=20, billed_amount=Decimal(20)).amount.amount == 180


def test_events_of_both_halves_are_added() -> None:
    document = {"type": "percentage", "percent": 0, "fixed": 2, "free_events": 3}
    assert rated(document, 10, events=5, billed_quantity=10, billed_events=2).amount.amount == 8
    assert rated(document, 10, events=2).amount.amount == 0


@pytest.mark.parametrize("options", [{"billed_quantity": -1}, {"events": -1}, {"billed_events": -1}])
def test_nothing_negative(options: dict[str, int]) -> None:
    with pytest.raises(MoneyError):
        rated({"type": "per_unit", "unit": 1}, 0, **options)


def test_largest_numbers_stay_exact() -> None:
    unit, quantity = "9" * 20 + "." + "9" * 20, "9" * 20 + "." + "9" * 20
    document = {"type": "per_unit", "unit": unit, "discount": {"percent": "0.00000000000000000001"}}
    whole = rated({"type": "per_unit", "unit": unit}, quantity)
    assert whole.exact == EXACT.scaleb(Decimal((10**40 - 1) ** 2), -40)
    assert rated(document, quantity).exact < whole.exact
