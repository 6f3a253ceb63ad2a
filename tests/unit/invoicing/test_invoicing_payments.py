"""From open to paid, overdue, suspended and back; voids and credit notes keep both sides."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.invoicing.office import InvoiceError
from gateway.storage.ports import PLATFORM


async def status(bench: Any, tenant: str) -> tuple[str, str]:
    row = await bench.desk.subscription(PLATFORM, tenant)
    found = await bench.store.tenants.get(PLATFORM, tenant)
    return row.state, found.status


async def test_debt_suspends_and_payment_opens_again(bench: Any) -> None:
    await bench.at("2025-01-31T00:00:00")
    assert await status(bench, "acme") == ("active", "active")
    await bench.at("2025-02-14T00:00:00")
    assert await status(bench, "acme") == ("past_due", "active")
    await bench.at("2025-02-27T23:59:59")
    assert await status(bench, "acme") == ("past_due", "active")
    before = await bench.store.changes.latest(PLATFORM)
    await bench.at("2025-02-28T00:00:00")
    assert await status(bench, "acme") == ("suspended", "suspended")
    assert await bench.store.changes.latest(PLATFORM) > before
    row = (await bench.invoices("acme"))[0][0]
    await bench.desk.pay(row.number, "fin", amount=Decimal("50"), reference="wire 1")
    assert await status(bench, "acme") == ("suspended", "suspended")
    again = await bench.desk.pay(row.number, "fin", amount=Decimal("50"), reference="wire 1")
    assert again.paid == "50"
    bench.clock.now_us += 1
    paid = await bench.desk.pay(row.number, "fin", reference="wire 2")
    assert (paid.state, paid.paid) == ("paid", "99")
    assert await status(bench, "acme") == ("active", "active")
    with pytest.raises(InvoiceError):
        await bench.desk.pay(row.number, "fin", reference="wire 3")
    assert [one.amount for one in await bench.desk.payments(PLATFORM, row.id)] == ["50", "49"]


async def test_a_hand_suspended_tenant_stays_so_when_it_pays(bench: Any) -> None:
    await bench.at("2025-02-28T00:00:00")
    await bench.store.tenants.set_status(PLATFORM, "acme", "suspended", 1, "admin")
    row = (await bench.invoices("acme"))[0][0]
    await bench.desk.pay(row.number, "fin")
    assert await status(bench, "acme") == ("active", "suspended")


@pytest.mark.parametrize("amount", ["0", "-1", "99.01", "0.001", "100"])
async def test_strange_amounts_are_refused(bench: Any, amount: str) -> None:
    await bench.at("2025-01-31T00:00:00")
    row = (await bench.invoices("acme"))[0][0]
    with pytest.raises(InvoiceError):
        await bench.desk.pay(row.number, "fin", amount=Decimal(amount))


async def test_reissue_names_both_and_takes_the_new_terms(bench: Any) -> None:
    await bench.at("2025-01-31T00:00:00")
    row = (await bench.invoices("acme"))[0][0]
    billing = {
        **bench.snapshot.source["billing"],
        "tax": {"rates": {"DE": [{"name": "VAT", "percent": "19"}]}, "region": "DE"},
    }
    bench.configure(billing=billing)
    made = await bench.desk.void(row.number, "fin", reissue=True)
    old, _ = await bench.desk.invoice(PLATFORM, row.id)
    assert (old.state, old.replaced_by, made.replaces) == ("void", made.id, old.id)
    assert (made.total, made.tax, made.number) == ("117.81", "18.81", "INV-000002")
    assert (await bench.desk.verify(PLATFORM, made.id)).holds
    with pytest.raises(Exception, match="void"):
        await bench.desk.void(row.number, "fin")


async def test_a_credit_note_lessens_what_is_owed_and_gives_back_what_was_paid(bench: Any) -> None:
    await bench.at("2025-01-31T00:00:00")
    row = (await bench.invoices("acme"))[0][0]
    await bench.desk.pay(row.number, "fin", amount=Decimal("90"))
    note = await bench.desk.credit_note(row.number, "fin", "outage", amount=Decimal("20"))
    assert (note.number, note.total) == ("INV-CN-000001", "20")
    after, _ = await bench.desk.invoice(PLATFORM, row.id)
    assert (after.state, after.paid) == ("paid", "99")
    assert [credit.remaining for credit in await bench.desk.credits(PLATFORM, "acme")] == ["11"]
    await bench.at("2025-03-01T00:00:00")
    cycle = (await bench.invoices("acme"))[-1][0]
    assert (cycle.subtotal, cycle.credited, cycle.total) == ("99", "11", "88")
    assert (await bench.desk.verify(PLATFORM, cycle.id)).holds
    with pytest.raises(InvoiceError):
        await bench.desk.credit_note(row.number, "fin", "again", amount=Decimal("80"))


async def test_every_change_is_in_the_audit_log(bench: Any) -> None:
    await bench.at("2025-01-31T00:00:00")
    await bench.at("2025-02-28T00:00:00")
    row = (await bench.invoices("acme"))[0][0]
    await bench.desk.pay(row.number, "fin@example.com")
    entries = (await bench.store.audit.list(PLATFORM, limit=100)).rows
    told = [(entry.actor, entry.action) for entry in entries if entry.tenant == "acme"]
    assert ("fin@example.com", "invoice.pay") in told
    assert ("billing job", "subscription.suspend") in told
    suspended = next(entry for entry in entries if entry.action == "subscription.suspend")
    assert suspended.detail["state"] == "past_due -> suspended"
