"""The port of payments: what every provider promises."""

from collections.abc import Iterator

import pytest
from support.card_provider import CardProvider

from gateway.billing.payment import PaymentState
from gateway.money import Money
from gateway.payments.manual import ManualPayments
from gateway.payments.ports import Customer, Demand, NotificationRefused, PaymentProvider

SELLER = {"name": "Example Ltd", "iban": "DE02 1203 0000 0000 2020 51", "email": "x@example.com"}
CUSTOMER = Customer("acme", "Acme Corp")
DEMAND = Demand("pay_1", CUSTOMER, "INV-000001", Money.of("12.34", "EUR"))


@pytest.fixture(params=["manual", "card", "card, pending", "card, refused"])
def provider(request: pytest.FixtureRequest) -> Iterator[PaymentProvider]:
    if request.param == "manual":
        yield ManualPayments(lambda: SELLER)
        return
    card = CardProvider()
    states = {"card, pending": PaymentState.PENDING, "card, refused": PaymentState.REJECTED}
    card.outcome = states.get(request.param, PaymentState.SUCCEEDED)
    yield card


async def test_it_has_a_name_and_gets_a_customer_ready(provider: PaymentProvider) -> None:
    assert provider.name.isidentifier()
    first = await provider.begin_setup(CUSTOMER)
    assert first.url or first.instructions
    assert await provider.begin_setup(CUSTOMER) == first


async def test_a_charge_is_of_the_demand_and_the_same_key_is_the_same_payment(provider: PaymentProvider) -> None:
    first = await provider.charge(DEMAND)
    assert (first.key, first.amount) == (DEMAND.key, DEMAND.amount)
    assert await provider.charge(DEMAND) == first
    if isinstance(provider, CardProvider):
        assert len(provider.moved) == (first.state is PaymentState.SUCCEEDED)


async def test_fetch_knows_what_was_asked_and_never_goes_back(provider: PaymentProvider) -> None:
    made = await provider.charge(DEMAND)
    again = await provider.fetch(made)
    assert (again.key, again.amount) == (made.key, made.amount)
    assert made.state in (PaymentState.PENDING, again.state)


async def test_a_refund_is_of_the_demand_and_repeats_move_nothing(provider: PaymentProvider) -> None:
    first = await provider.refund(DEMAND)
    assert (first.key, first.amount) == (DEMAND.key, DEMAND.amount)
    assert await provider.refund(DEMAND) == first
    if isinstance(provider, CardProvider):
        assert len(provider.moved) <= 1


@pytest.mark.parametrize("body", [b"", b"{}", b'{"key": "pay_1", "state": "succeeded"}', b"\xff\x00"])
async def test_an_unproven_message_is_refused(provider: PaymentProvider, body: bytes) -> None:
    await provider.charge(DEMAND)
    with pytest.raises(NotificationRefused):
        provider.parse_notification({"Card-Signature": "00"}, body)


async def test_by_hand_nothing_succeeds_by_itself_and_the_words_say_where_to_pay() -> None:
    made = await ManualPayments(lambda: SELLER).charge(DEMAND)
    assert made.state is PaymentState.PENDING
    assert made.instructions == (
        "Transfer 12.34 EUR to Example Ltd.", "IBAN: DE02 1203 0000 0000 2020 51", "Reference: INV-000001"
    )  # fmt: skip
