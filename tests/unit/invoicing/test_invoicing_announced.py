"""Payments that are announced, confirmed, rejected, given back: by hand and by a provider that is a machine."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from support.card_provider import CardProvider

from gateway.billing.payment import PaymentState, PaymentTransitionError
from gateway.invoicing.following import BillingDesk
from gateway.invoicing.office import InvoiceError, NotFound
from gateway.payments.ports import NotificationRefused
from gateway.storage.billing_rows import Moved
from gateway.storage.ports import PLATFORM, Scope

ACME = Scope("acme")


async def owed(bench: Any) -> Any:
    """The first invoice: 99 USD, open."""
    billing = {**bench.snapshot.source["billing"], "seller": {"name": "Example Ltd", "iban": "DE02"}}
    bench.configure(billing=billing)
    await bench.at("2025-01-31T00:00:00")
    return (await bench.invoices("acme"))[0][0]


async def test_who_owes_announces_and_who_is_owed_confirms(bench: Any) -> None:
    row = await owed(bench)
    await bench.at("2025-02-28T00:00:00")
    assert (await bench.desk.subscription(PLATFORM, "acme")).state == "suspended"
    found = await bench.desk.announce(ACME, row.number, "owner")
    assert (found.payment.status, found.payment.amount, found.invoice.state) == ("pending", "99", "open")
    assert found.instructions == ("Transfer 99.00 USD to Example Ltd.", "IBAN: DE02", "Reference: INV-000001")
    assert (await bench.desk.announce(ACME, row.id, "owner")).payment == found.payment
    assert (await bench.desk.subscription(PLATFORM, "acme")).state == "suspended"
    assert await bench.desk.all_payments(PLATFORM, status="pending") == [found.payment]
    payment, invoice = await bench.desk.confirm(found.payment.id, "fin")
    assert (payment.status, payment.settled_by, invoice.state, invoice.paid) == ("succeeded", "fin", "paid", "99")
    assert (await bench.desk.subscription(PLATFORM, "acme")).state == "active"
    with pytest.raises(PaymentTransitionError):
        await bench.desk.confirm(payment.id, "fin")
    entries = (await bench.store.audit.list(PLATFORM, limit=20)).rows
    told = {entry.action: (entry.actor, entry.detail["status"]) for entry in entries if "payment." in entry.action}
    assert told == {"payment.announce": ("owner", "pending"), "payment.confirm": ("fin", "succeeded")}


async def test_parts_never_announce_more_than_is_owed(bench: Any) -> None:
    row = await owed(bench)
    await bench.desk.announce(ACME, row.id, "owner", amount=Decimal(60), reference="a")
    with pytest.raises(InvoiceError, match="39 USD are owed"):
        await bench.desk.announce(ACME, row.id, "owner", amount=Decimal(40), reference="b")
    assert (await bench.desk.announce(ACME, row.id, "owner", reference="b")).payment.amount == "39"
    with pytest.raises(InvoiceError):
        await bench.desk.announce(ACME, row.id, "owner", reference="c")
    with pytest.raises(InvoiceError, match="announced before"):
        await bench.desk.announce(ACME, row.id, "owner", amount=Decimal(1), reference="a")


async def test_two_at_once_announce_once(bench: Any) -> None:
    row = await owed(bench)
    done = await asyncio.gather(
        *(bench.desk.announce(ACME, row.id, f"owner {n}", reference=str(n)) for n in range(5)), return_exceptions=True
    )
    assert all(isinstance(one, Moved | InvoiceError) for one in done if isinstance(one, BaseException))
    pending = await bench.desk.all_payments(PLATFORM, status="pending")
    assert [one.amount for one in pending] == ["99"]


async def test_rejected_money_is_owed_still(bench: Any) -> None:
    row = await owed(bench)
    found = await bench.desk.announce(ACME, row.id, "owner", reference="wire 1")
    payment, invoice = await bench.desk.reject(found.payment.id, "fin", reason="never came")
    assert (payment.status, payment.note, invoice.state, invoice.paid) == ("rejected", "never came", "open", "0")
    with pytest.raises(InvoiceError, match="rejected before"):
        await bench.desk.pay(row.id, "fin", reference="wire 1")
    assert (await bench.desk.announce(ACME, row.id, "owner", reference="wire 2")).payment.status == "pending"


async def test_a_recorded_reference_is_the_announced_payment(bench: Any) -> None:
    row = await owed(bench)
    await bench.desk.announce(ACME, row.id, "owner", amount=Decimal(50), reference="wire 1")
    made = await bench.desk.pay(row.id, "fin", amount=Decimal("49.50"), reference="wire 1")
    assert made.paid == "49.5"
    assert [(one.status, one.amount) for one in await bench.desk.payments(ACME, row.id)] == [("succeeded", "49.5")]


async def test_what_is_paid_beyond_the_debt_is_refused_or_becomes_credit(bench: Any) -> None:
    row = await owed(bench)
    with pytest.raises(InvoiceError, match="99 USD are owed"):
        await bench.desk.pay(row.id, "fin", amount=Decimal(100))
    made = await bench.desk.pay(row.id, "fin", amount=Decimal(100), reference="w", credit_excess=True)
    assert (made.state, made.paid) == ("paid", "99")
    await bench.desk.pay(row.id, "fin", amount=Decimal(5), reference="again", credit_excess=True)
    credits = await bench.desk.credits(PLATFORM, "acme")
    assert sorted((one.remaining, one.source) for one in credits) == [
        ("1", "paid beyond INV-000001"), ("5", "paid beyond INV-000001")
    ]  # fmt: skip
    with pytest.raises(InvoiceError):
        await bench.desk.pay(row.id, "fin", amount=Decimal(-5), credit_excess=True)


async def test_other_tenants_find_nothing(bench: Any) -> None:
    row = await owed(bench)
    with pytest.raises(NotFound):
        await bench.desk.announce(Scope("vole"), row.id, "owner")
    await bench.desk.announce(ACME, row.id, "owner")
    assert await bench.desk.all_payments(Scope("vole")) == []
    with pytest.raises(NotFound):
        await bench.desk.confirm("pay_none", "fin")


async def test_a_credit_note_may_send_money_back(bench: Any) -> None:
    row = await owed(bench)
    await bench.desk.pay(row.id, "fin", amount=Decimal(90))
    note = await bench.desk.credit_note(row.id, "fin", "outage", amount=Decimal(29), refund=True, reference="out 7")
    (back,) = [one for one in await bench.desk.payments(PLATFORM, row.id) if one.kind == "refund"]
    assert (back.kind, back.amount, back.status, back.reference) == ("refund", "20", "succeeded", "out 7")
    assert (back.settled_by, await bench.desk.credits(PLATFORM, "acme")) == ("fin", [])
    assert await bench.desk.note(ACME, note.number) == (note, (await bench.desk.invoice(ACME, row.id))[0])
    with pytest.raises(NotFound):
        await bench.desk.note(Scope("vole"), note.number)


async def test_a_machine_settles_at_once_later_or_never(bench: Any) -> None:
    row, card = await owed(bench), CardProvider()
    desk = BillingDesk(bench.store, lambda: bench.snapshot, bench.clock, providers=(card,))
    card.outcome = PaymentState.REJECTED
    refused = await desk.announce(ACME, row.id, "owner", amount=Decimal(9), provider="card")
    assert (refused.payment.status, refused.invoice.paid) == ("rejected", "0")
    card.outcome = PaymentState.PENDING
    later = await desk.announce(ACME, row.id, "owner", amount=Decimal(9), provider="card")
    with pytest.raises(NotificationRefused):
        await desk.notified("card", {}, card.message(later.payment.id, PaymentState.SUCCEEDED)[1])
    told = card.message(later.payment.id, PaymentState.SUCCEEDED)
    heard = await desk.notified("card", *told)
    assert heard is not None
    assert (heard.status, heard.settled_by) == ("succeeded", "provider card")
    assert await desk.notified("card", *told) is None
    card.outcome = PaymentState.SUCCEEDED
    rest = await desk.announce(ACME, row.id, "owner", provider="card")
    assert (rest.payment.amount, rest.invoice.state) == ("90", "paid")
    card.broken = True
    await desk.credit_note(row.id, "fin", "outage", amount=Decimal(10), refund=True)
    (waiting,) = await desk.all_payments(PLATFORM, status="pending")
    assert (waiting.kind, waiting.provider, waiting.amount) == ("refund", "card", "10")
    await desk.reject(waiting.id, "fin", reason="card is closed")
    assert [one.remaining for one in await desk.credits(PLATFORM, "acme")] == ["10"]
