"""Prices as they are written: what is taken, what is refused, and the way back to text."""

import json
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.billing.canonical import price_document, version
from gateway.billing.pricing.tier import Tier
from gateway.config.price_schema import PRICE_MODELS, parse_price

EVERY_PRICE: list[dict[str, Any]] = [
    {"type": "flat", "amount": "99", "every": "year", "name": "Support"},
    {"type": "per_unit", "unit": "0.001", "meter": "tokens", "currency": "EUR"},
    {"type": "graduated", "tiers": [{"up_to": 5, "flat": 2, "at_zero": True}, {"unit": "0.5", "size": 10}]},
    {"type": "volume", "tiers": [{"up_to": "2.5", "unit": 7}, {"unit": 6}], "included": "0.5"},
    {"type": "stairstep", "tiers": [{"up_to": 10, "flat": "50"}, {"flat": "80"}], "discount": {"percent": "12.5"}},
    {"type": "package", "size": 100, "amount": 5, "free": 100, "round": "down", "maximum": 100},
    {"type": "percentage", "percent": "2.9", "fixed": "0.30", "free_events": 3, "minimum": 1},
    {"type": "percentage", "tiers": [{"up_to": 1000, "percent": 1, "flat": 200}, {"percent": 3}]},
    {"type": "per_unit", "unit": 10, "convert": {"divide_by": 1000, "round": "up"}, "discount": {"amount": "3"}},
]


@pytest.mark.parametrize("document", EVERY_PRICE, ids=lambda document: document["type"])
def test_a_price_reads_back_as_itself(document: dict[str, Any]) -> None:
    price = parse_price(document)
    again = parse_price(json.loads(json.dumps(price_document(price))))
    assert again == price
    assert price_document(again) == price_document(price)


def test_every_type_is_covered() -> None:
    assert {document["type"] for document in EVERY_PRICE} == set(PRICE_MODELS)


@pytest.mark.parametrize("unit", ["0.10", "0.1", 0.1, Decimal("0.100")])
def test_the_version_is_of_the_content_not_the_writing(unit: object) -> None:
    expected = version(price_document(parse_price({"type": "per_unit", "unit": "0.1", "meter": "calls"})))
    assert version(price_document(parse_price({"type": "per_unit", "unit": unit}))) == expected


@pytest.mark.parametrize(
    "value",
    [True, None, "", "-1", -1, "1e5", "NaN", "inf", float("nan"), float("inf"), "1,5", "1_0", " 1", "1 ", "+1", ".5",
     "5.", "٣", "1" * 21, "0." + "0" * 21, 0.1234567890123456, [], {}, Decimal("NaN"), Decimal("-0.1"), 10**21],
)  # fmt: skip
def test_what_is_no_amount(value: object) -> None:
    with pytest.raises(ValidationError):
        parse_price({"type": "per_unit", "unit": value})


@pytest.mark.parametrize("value", [0.001, 0.0005, 1e-7, 0.1, 1234567.89, 2.5])
def test_a_short_float_is_what_was_written(value: float) -> None:
    assert price_document(parse_price({"type": "per_unit", "unit": value}))["unit"] == f"{Decimal(repr(value)):f}"


@pytest.mark.parametrize(
    ("tiers", "words"),
    [
        ([], "at least 1"),
        ([{"up_to": 5, "unit": 1}], "the last tier has no up_to"),
        ([{"unit": 1}, {"unit": 2}], "tier 1: only the last"),
        ([{"up_to": 5}, {"up_to": 4}, {}], "tier 2: up_to 4 must be above 5"),
        ([{"up_to": 0}, {}], "greater than 0"),
        ([{"up_to": 5}, {"at_zero": True, "flat": 1}], "tier 2: at_zero"),
        ([{"up_to": 5, "size": 0}, {}], "greater than 0"),
        ([{"percent": 5}], "Extra inputs"),
    ],
)
def test_tiers_that_cannot_be(tiers: list[dict[str, object]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        parse_price({"type": "graduated", "tiers": tiers})


def test_null_is_absent() -> None:
    price = parse_price({"type": "volume", "tiers": [{"up_to": None, "unit": 1}], "minimum": None, "currency": None})
    assert price == parse_price({"type": "volume", "tiers": [{"unit": 1}]})
    assert price.model.tiers == (Tier(unit=Decimal(1)),)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"minimum": 5, "maximum": 4}, "minimum 5 is above maximum 4"),
        ({"discount": {}}, "either percent or amount"),
        ({"discount": {"percent": 5, "amount": 5}}, "either percent or amount"),
        ({"discount": {"percent": "100.1"}}, "not be above 100"),
        ({"currency": "usd"}, "did you mean USD"),
        ({"currency": "XYZ"}, "not a currency"),
        ({"meter": "two words"}, "pattern"),
        ({"convert": {"divide_by": 10, "round": "ceil"}}, "'up', 'down', 'half_up' or 'none'"),
        ({"included": "-1"}, "negative"),
        ({"tiers": []}, "Extra inputs"),
    ],
)
def test_modifiers_that_cannot_be(fields: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        parse_price({"type": "per_unit", "unit": 1, **fields})


@pytest.mark.parametrize("fields", [{}, {"percent": 1, "tiers": [{"percent": 1}]}, {"tiers": None}])
def test_a_percentage_has_percent_or_tiers(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="either percent or tiers"):
        parse_price({"type": "percentage", **fields})
