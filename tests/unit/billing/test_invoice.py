"""Invoices: composition, tax, credits, states and numbers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gateway.billing.credit import Grant, draw
from gateway.billing.invoice import (
    INVOICE_TRANSITIONS,
    Draft,
    InvoiceState,
    InvoiceTransitionError,
    InvoiceTrigger,
    compose,
    invoice_transition,
)
from gateway.billing.line import Line
from gateway.billing.numbering import check_series, format_number, parse_number
from gateway.billing.tax import TaxRate, TaxRules, tax_inside
from gateway.money import Money
from gateway.period import Period

NOW = datetime(2026, 10, 1, tzinfo=UTC)
PERIOD = Period(NOW, NOW + timedelta(days=31))
VAT = TaxRate("VAT", Decimal(20))


def usd(amount: str) -> Money:
    return Money.of(amount, "USD")


def line(amount: str) -> Line:
    return Line("fee", "Fee", Decimal(amount), usd(amount))


def draft(*amounts: str, rules: TaxRules | None = None, credit: str = "0") -> Draft:
    grants = [Grant("g1", usd(credit), NOW)]
    return compose("acme", "sub_1", "cycle", PERIOD, [*map(line, amounts)], "USD", rules=rules, grants=grants, at=NOW)


@pytest.mark.parametrize(
    ("rules", "credit", "total", "tax"),
    [
        (None, "0", "0.09", "0.00"),
        (TaxRules((VAT,)), "0", "0.11", "0.02"),  # 20 % of 0.09 is 0.018
        (TaxRules((VAT,), per="line"), "0", "0.12", "0.03"),  # three times 0.006
        (TaxRules((VAT,), exempt="reverse charge"), "0", "0.09", "0.00"),
        (TaxRules((VAT,), inclusive=True), "0", "0.09", "0.02"),  # 0.015 is half a cent
        (TaxRules((VAT,), inclusive=True, round_of="net"), "0", "0.09", "0.01"),
        (TaxRules((VAT,)), "0.04", "0.06", "0.01"),  # credits before tax
        (TaxRules((VAT,)), "1", "0.00", "0.00"),
    ],
)
def test_totals(rules: TaxRules | None, credit: str, total: str, tax: str) -> None:
    found = draft("0.03", "0.03", "0.03", rules=rules, credit=credit).totals
    assert (found.total, found.tax) == (usd(total), usd(tax))


def test_two_rates_inside_one_price_share_it() -> None:
    rules = TaxRules((TaxRate("state", Decimal(5)), TaxRate("city", Decimal(15))), inclusive=True)
    assert [str(found.amount) for found in draft("120", rules=rules).totals.taxes] == ["5.00 USD", "15.00 USD"]


def test_the_rule_of_inclusive_tax_is_a_cent() -> None:
    """Same gross, other rule (oracle BC175): the rule is stored with the invoice."""
    assert tax_inside(Decimal("2.99"), Decimal(4), "USD", "tax") == usd("0.12")
    assert tax_inside(Decimal("2.99"), Decimal(4), "USD", "net") == usd("0.11")


def test_a_negative_total_is_carried_and_nothing_is_due() -> None:
    found = draft("-5", "3")
    assert (found.totals.due, found.totals.carried) == (usd("0"), usd("2"))
    assert found.finalizing is InvoiceTrigger.FINALIZE_ZERO
    assert draft("3").finalizing is InvoiceTrigger.FINALIZE


def test_the_same_inputs_make_the_same_invoice() -> None:
    assert draft("3", "4", rules=TaxRules((VAT,)), credit="1") == draft("3", "4", rules=TaxRules((VAT,)), credit="1")


def test_credits_go_by_priority_then_expiry_then_age() -> None:
    day = timedelta(days=1)
    grants = [
        Grant("old", usd("1"), NOW - 9 * day),
        Grant("soon", usd("1"), NOW, expires=NOW + day),
        Grant("later", usd("1"), NOW - 5 * day, expires=NOW + 2 * day),
        Grant("first", usd("1"), NOW, priority=-1),
        Grant("gone", usd("9"), NOW - 9 * day, expires=NOW),
        Grant("new", usd("1"), NOW),
    ]
    left, draws = draw(usd("4.50"), grants, NOW)
    assert left == usd("0")
    assert [part.grant for part in draws] == ["first", "soon", "later", "old", "new"]
    assert draws[-1].amount == usd("0.50")
    assert draw(usd("-1"), grants, NOW) == (usd("-1"), ())


def test_every_pair_is_in_the_table_or_refused() -> None:
    for state in InvoiceState:
        for trigger in InvoiceTrigger:
            if (state, trigger) in INVOICE_TRANSITIONS:
                assert invoice_transition(state, trigger) is INVOICE_TRANSITIONS[state, trigger]
            else:
                with pytest.raises(InvoiceTransitionError):
                    invoice_transition(state, trigger)
    assert not [pair for pair in INVOICE_TRANSITIONS if pair[0] in (InvoiceState.PAID, InvoiceState.VOID)]


def test_numbers() -> None:
    assert [format_number("INV", n) for n in (1, 42, 1234567)] == ["INV-000001", "INV-000042", "INV-1234567"]
    assert parse_number("A-B-000042") == ("A-B", 42)
    for text in ("INV-42", "INV000042", "INV-0000042", "-000001", "INV-000000"):
        with pytest.raises(ValueError, match=r"number|starts"):
            parse_number(text)


def test_a_series_has_no_gap_and_no_double() -> None:
    assert not check_series([3, 1, 2])
    assert not check_series([])
    faults = check_series([1, 2, 2, 5])
    assert (faults.missing, faults.repeated) == ((3, 4), (2,))


def test_lines_are_values() -> None:
    assert replace(line("1"), description="x") != line("1")
