"""Bills: which fees are due when, what usage costs, late usage, and the catalog's versions."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from gateway.billing.bill import Invoiced, MeteredUsage, correction_line, fee_lines, usage_lines
from gateway.billing.catalog import Plan
from gateway.billing.estimate import estimate
from gateway.billing.proration import Share
from gateway.config.catalog import catalog, plan_prices
from gateway.config.price_schema import parse_price
from gateway.money import MoneyError
from gateway.period import Period

OCTOBER = Period(datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
VOLUME = {"type": "volume", "tiers": [{"up_to": 15, "unit": 10}, {"unit": 5}]}


def plan(*prices: dict[str, Any], **fields: Any) -> Plan:
    return Plan("pro", "USD", prices=tuple(map(parse_price, prices)), **fields)


FEES = plan(
    {"type": "flat", "amount": 5, "name": "Support"},
    {"type": "flat", "amount": 50, "every": "year", "name": "Audit"},
    {"type": "flat", "amount": 20, "every": "once", "name": "Setup"},
    monthly=Decimal(99),
    yearly=Decimal(990),
)


@pytest.mark.parametrize(
    ("cycle", "renews", "first", "due"),
    [
        ("month", False, False, ["pro plan", "Support"]),
        ("month", True, True, ["pro plan", "Support", "Setup"]),
        ("year", False, False, ["Support"]),
        ("year", True, False, ["pro plan", "Support", "Audit"]),
        ("year", True, True, ["pro plan", "Support", "Audit", "Setup"]),
    ],
)
def test_which_fees_are_due(cycle: Any, renews: bool, first: bool, due: list[str]) -> None:
    lines = fee_lines(FEES, cycle, OCTOBER, renews=renews, first=first)
    assert [line.description for line in lines] == due
    assert all(line.period == OCTOBER and line.kind == "fee" for line in lines)


def test_a_part_of_a_period_pays_a_part_of_the_fees_but_setup_in_full() -> None:
    lines = fee_lines(FEES, "month", OCTOBER, renews=False, first=True, share=Share(1, 2))
    assert [str(line.amount.amount) for line in lines] == ["49.50", "2.50", "20.00"]


def test_estimate_is_fees_and_usage() -> None:
    found = estimate(plan({"type": "per_unit", "unit": "0.001"}, monthly=Decimal(99)), {"calls": 12345}, OCTOBER)
    assert [(line.kind, str(line.amount.amount)) for line in found.lines] == [("fee", "99.00"), ("usage", "12.35")]
    assert found.subtotal.to_json() == {"amount": "111.35", "currency": "USD"}


def test_estimate_of_nothing() -> None:
    assert estimate(plan(), {}).subtotal.to_json() == {"amount": "0.00", "currency": "USD"}


def test_events_are_the_calls_unless_told() -> None:
    paid = plan({"type": "percentage", "percent": 1, "fixed": "0.10", "meter": "volume"})
    assert estimate(paid, {"calls": 3, "volume": 100}).subtotal.amount == Decimal("1.30")
    assert estimate(paid, {"calls": 3, "volume": 100}, events={"volume": 2}).subtotal.amount == Decimal("1.20")
    assert estimate(paid, {"volume": 100}).subtotal.amount == Decimal("1.10")


def test_allowances_are_prorated() -> None:
    price = {"type": "per_unit", "unit": 1, "included": 100, "minimum": 10}
    (line, *_rest) = usage_lines(plan(price), MeteredUsage({"calls": 80}), OCTOBER, share=Share(1, 2))
    assert line.amount.amount == 30


def test_late_usage_reprices_the_whole_period() -> None:
    price = parse_price(VOLUME)
    line = correction_line(price, "USD", OCTOBER, Invoiced(Decimal(15), Decimal(150)), Decimal(16))
    assert line is not None
    assert (line.kind, line.amount.amount, line.quantity) == ("correction", -70, 1)
    assert correction_line(price, "USD", OCTOBER, Invoiced(Decimal(16), Decimal(80)), Decimal(16)) is None


def test_a_version_is_of_prices_in_any_writing() -> None:
    one = plan({"type": "per_unit", "unit": "0.10"}, monthly=Decimal("99"))
    assert one.version == plan({"type": "per_unit", "unit": 0.1, "included": 0}, monthly=Decimal("99.00")).version
    assert one.version != plan({"type": "per_unit", "unit": "0.11"}, monthly=Decimal("99")).version
    assert len(one.version) == 12


def test_one_plan_one_currency() -> None:
    with pytest.raises(MoneyError, match="USD, but a price of it in EUR"):
        plan({"type": "per_unit", "unit": 1, "currency": "EUR"})


def test_plans_of_a_configuration() -> None:
    source = {
        "billing": {"currency": "EUR"},
        "plans": {
            "free": {},
            "pro": {"billing": {"month": {"amount": "99"}}, "trial": "14d", "currency": "JPY", "prices": [VOLUME]},
        },
    }
    plans = catalog(source)
    assert (plans["free"].currency, plans["free"].monthly, plans["free"].prices) == ("EUR", None, ())
    assert (plans["pro"].currency, plans["pro"].monthly, plans["pro"].trial_days) == ("JPY", 99, 14)
    assert plan_prices({"plans": {"free": {}}}, "free").currency == "USD"
    with pytest.raises(KeyError):
        plan_prices(source, "gone")
