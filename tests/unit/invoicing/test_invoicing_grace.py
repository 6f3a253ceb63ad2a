"""What is asked for while a draft waits for late usage, and what a pause is worth: no fee twice, none lost."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.invoicing.changing import Target
from gateway.invoicing.subscribing import Wish
from gateway.storage.ports import PLATFORM
from gateway.tenants.model import Tenant


@pytest.fixture
async def shop(bench: Any) -> Any:
    """A store-owned tenant on pro from 1 March, monthly from that day."""
    plans = {**bench.snapshot.source["plans"], "team": {"billing": {"month": {"amount": "199"}}}}
    bench.configure(plans=plans)
    await bench.at("2025-03-01T00:00:00")
    tenant = Tenant("ten_shop", "Shop", "pro", source="store")
    await bench.store.tenants.create(PLATFORM, tenant, bench.clock.now())
    await bench.desk.subscribe(Wish("ten_shop", "pro", anniversary=True), "owner")
    await bench.desk.pay((await bench.invoices("ten_shop"))[0][0].id, "owner")
    return bench


async def fees(bench: Any, tenant: str = "ten_shop") -> list[tuple[str, str]]:
    """The lines of fees of all invoices, as kind and amount."""
    found = await bench.invoices(tenant)
    kinds = ("fee", "proration", "credit")
    return [(line.kind, line.amount) for _, lines in found for line in lines if line.kind in kinds]


async def verified(bench: Any, tenant: str = "ten_shop") -> None:
    for row, _ in await bench.invoices(tenant):
        verification = await bench.desk.verify(PLATFORM, row.id)
        assert verification.holds, verification.faults


async def test_a_change_for_the_period_end_leaves_the_fee_of_a_waiting_draft(shop: Any) -> None:
    await shop.at("2025-04-01T00:10:00")
    await shop.desk.change("ten_shop", Target("team"), "owner", "period_end")
    await shop.at("2025-04-01T01:00:00")
    assert await fees(shop) == [("fee", "99"), ("fee", "99")]
    await shop.at("2025-05-01T01:00:00")
    assert await fees(shop) == [("fee", "99"), ("fee", "99"), ("fee", "199")]
    await verified(shop)


async def test_a_pause_over_a_renewal_gives_no_period_for_nothing(shop: Any) -> None:
    await shop.at("2025-03-31T23:59:00")
    await shop.desk.pause("ten_shop", "owner")
    await shop.at("2025-04-01T02:00:00")
    assert await fees(shop) == [("fee", "99")]
    await shop.at("2025-04-16T00:00:00")
    await shop.desk.resume("ten_shop", "owner")
    assert await fees(shop) == [("fee", "99"), ("proration", "49.5")]
    await shop.at("2025-05-01T01:00:00")
    assert (await fees(shop))[2:] == [("fee", "99")]
    await verified(shop)


async def test_a_pause_within_a_paid_period_costs_nothing_more(shop: Any) -> None:
    await shop.at("2025-03-10T00:00:00")
    await shop.desk.pause("ten_shop", "owner")
    await shop.at("2025-03-12T00:00:00")
    await shop.desk.resume("ten_shop", "owner")
    await shop.at("2025-04-01T01:00:00")
    assert await fees(shop) == [("fee", "99"), ("fee", "99")]


@pytest.mark.parametrize(("pause", "resume", "rest"), [
    ("2025-03-31T23:50:00", "2025-04-01T00:30:00", "98.93"),
    ("2025-04-01T00:30:00", "2025-04-01T00:40:00", ""),
])  # fmt: skip
async def test_pause_and_resume_while_the_draft_waits_charge_once(
    shop: Any, pause: str, resume: str, rest: str
) -> None:
    await shop.at(pause)
    await shop.desk.pause("ten_shop", "owner")
    await shop.at(resume)
    await shop.desk.resume("ten_shop", "owner")
    await shop.at("2025-04-01T02:00:00")
    assert await fees(shop) == [("fee", "99"), ("proration", rest) if rest else ("fee", "99")]
    await verified(shop)


async def test_a_yearly_subscription_that_is_resumed_pays_the_rest_of_its_year(bench: Any) -> None:
    await bench.at("2025-03-01T00:00:00")
    tenant = Tenant("ten_shop", "Shop", "pro", source="store")
    await bench.store.tenants.create(PLATFORM, tenant, bench.clock.now())
    await bench.desk.subscribe(Wish("ten_shop", "pro", "year", anniversary=True), "owner")
    for invoice, _ in await bench.invoices("ten_shop"):
        await bench.desk.pay(invoice.id, "owner")
    await bench.at("2026-02-28T23:00:00")
    await bench.desk.pause("ten_shop", "owner")
    await bench.at("2026-03-02T00:00:00")
    await bench.desk.resume("ten_shop", "owner")
    rest = (Decimal(990) * 364 / 365).quantize(Decimal("0.01"))
    assert await fees(bench) == [("fee", "990"), ("proration", str(rest))]
    await verified(bench)


async def test_what_a_credit_note_gave_back_is_not_credited_again(shop: Any) -> None:
    first = (await shop.invoices("ten_shop"))[0][0]
    await shop.desk.credit_note(first.id, "finance", "goodwill")
    await shop.at("2025-03-16T12:00:00")
    await shop.desk.change("ten_shop", Target("team"), "owner")
    assert await fees(shop) == [("fee", "99"), ("proration", "99.5")]
    await verified(shop)


async def test_who_comes_back_on_a_plan_in_another_currency_is_told_and_not_served(bench: Any) -> None:
    await bench.at("2025-02-02T00:00:00")
    tenants = bench.snapshot.source["tenants"]
    bench.configure(tenants={"vole": tenants["vole"]})
    await bench.load()
    await bench.desk.run()
    plans = {**bench.snapshot.source["plans"], "euro": {"currency": "EUR", "billing": {"month": {"amount": "9"}}}}
    bench.configure(plans=plans, tenants={**tenants, "acme": {"plan": "euro"}})
    await bench.load()
    for _ in range(2):
        assert "in EUR" in (await bench.desk.run()).failed["acme"]
    assert (await bench.store.tenants.get(PLATFORM, "acme")).status == "suspended"
    bench.configure(plans=plans, tenants=tenants)
    await bench.load()
    assert not (await bench.desk.run()).failed
    assert (await bench.desk.subscription(PLATFORM, "acme")).state == "active"
    assert (await bench.store.tenants.get(PLATFORM, "acme")).status == "active"


async def test_a_change_that_waits_for_the_next_invoice_is_on_it_once_however_often_it_is_drawn(shop: Any) -> None:
    await shop.at("2025-03-16T12:00:00")
    await shop.desk.change("ten_shop", Target("team"), "owner", "next_invoice")
    await shop.at("2025-04-01T00:10:00")  # a draft, with what waited
    await shop.at("2025-04-01T01:00:00")
    assert await fees(shop) == [("fee", "99"), ("credit", "-49.5"), ("proration", "99.5"), ("fee", "199")]
    await verified(shop)
