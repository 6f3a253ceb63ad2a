"""Changes of plan, trials, cancellations, the configuration's edits: credits are never above charges."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.invoicing.changing import ManagedByConfig, Target
from gateway.invoicing.office import InvoiceError
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
    return bench


async def amounts(bench: Any, tenant: str = "ten_shop") -> list[tuple[str, list[tuple[str, str]]]]:
    return [(row.reason, [(line.kind, line.amount) for line in lines]) for row, lines in await bench.invoices(tenant)]


async def test_an_upgrade_now_credits_the_rest_and_charges_the_new_one(shop: Any) -> None:
    await shop.at("2025-03-16T12:00:00")  # exactly half of March
    preview = await shop.desk.preview_change(PLATFORM, "ten_shop", Target("team"))
    assert preview.composed.amounts["total"] == "50"
    await shop.call("ten_shop", "2025-03-16T11:00:00", 110_000)
    await shop.call("ten_shop", "2025-03-16T13:00:00", 50_000)
    await shop.desk.change("ten_shop", Target("team"), "owner")
    assert (await amounts(shop))[-1] == ("change", [("credit", "-49.5"), ("proration", "99.5")])
    assert (await shop.store.tenants.get(PLATFORM, "ten_shop")).plan == "team"
    await shop.at("2025-04-01T01:00:00")
    assert (await amounts(shop))[-1] == ("cycle", [("usage", "95"), ("fee", "199")])
    for row, _ in await shop.invoices("ten_shop"):
        verification = await shop.desk.verify(PLATFORM, row.id)
        assert verification.holds, verification.faults


async def test_back_and_forth_in_one_period_never_credits_more_than_was_charged(shop: Any) -> None:
    for day, plan in ((10, "team"), (20, "pro"), (25, "team")):
        await shop.at(f"2025-03-{day}T00:00:00")
        await shop.desk.change("ten_shop", Target(plan), "owner")
    charged = Decimal(0)
    for _, lines in await shop.invoices("ten_shop"):
        charged += sum((Decimal(line.amount) for line in lines), Decimal(0))
    expected = (Decimal(99) * 9 + Decimal(199) * 10 + Decimal(99) * 5 + Decimal(199) * 7) / 31
    assert abs(charged - expected) <= Decimal("0.04")


async def test_a_downgrade_at_the_period_end_waits_and_may_be_taken_back(shop: Any) -> None:
    await shop.at("2025-03-10T00:00:00")
    await shop.desk.change("ten_shop", Target("volume"), "owner", "period_end")
    assert (await shop.desk.subscription(PLATFORM, "ten_shop")).plan == "pro"
    await shop.desk.keep("ten_shop", "owner")
    await shop.desk.change("ten_shop", Target("volume"), "owner", "period_end")
    await shop.at("2025-04-01T01:00:00")
    assert (await amounts(shop))[-1] == ("cycle", [("usage", "0")])
    assert (await shop.desk.subscription(PLATFORM, "ten_shop")).plan == "volume"
    assert (await shop.store.tenants.get(PLATFORM, "ten_shop")).plan == "volume"


async def test_a_change_on_the_next_invoice(shop: Any) -> None:
    await shop.at("2025-03-16T12:00:00")
    await shop.desk.change("ten_shop", Target("team"), "owner", "next_invoice")
    assert len(await shop.invoices("ten_shop")) == 1
    await shop.at("2025-04-01T01:00:00")
    kinds = (await amounts(shop))[-1][1]
    assert kinds == [("usage", "0"), ("credit", "-49.5"), ("proration", "99.5"), ("fee", "199")]
    await shop.at("2025-05-01T01:00:00")
    assert (await amounts(shop))[-1][1] == [("fee", "199")]


async def test_seats_are_prorated_too(shop: Any) -> None:
    await shop.at("2025-03-16T12:00:00")
    await shop.desk.change("ten_shop", Target(quantity=3), "owner")
    assert (await amounts(shop))[-1] == ("change", [("credit", "-49.5"), ("proration", "148.5")])
    await shop.at("2025-04-01T01:00:00")
    assert ("fee", "297") in (await amounts(shop))[-1][1]


async def test_cancel_now_bills_what_was_used_and_suspends(shop: Any) -> None:
    await shop.at("2025-03-10T00:00:00")
    await shop.call("ten_shop", "2025-03-09T00:00:00", 100_000)
    row = await shop.desk.cancel("ten_shop", "owner", now=True)
    assert row.state == "canceled"
    assert (await shop.store.tenants.get(PLATFORM, "ten_shop")).status == "suspended"
    await shop.at("2025-03-10T01:00:00")
    assert (await amounts(shop))[-1] == ("cycle", [("usage", "90")])
    await shop.at("2025-08-10T01:00:00")
    assert len(await shop.invoices("ten_shop")) == 2


async def test_cancel_at_the_period_end(shop: Any) -> None:
    await shop.desk.cancel("ten_shop", "owner")
    await shop.at("2025-04-01T02:00:00")
    assert (await amounts(shop))[-1] == ("cycle", [("usage", "0")])
    with pytest.raises(InvoiceError):
        await shop.desk.subscription(PLATFORM, "ten_shop")


async def test_a_paused_subscription_is_refused_and_costs_no_fees(shop: Any) -> None:
    await shop.at("2025-03-10T00:00:00")
    assert (await shop.desk.pause("ten_shop", "owner")).state == "paused"
    assert (await shop.store.tenants.get(PLATFORM, "ten_shop")).status == "suspended"
    await shop.at("2025-04-02T00:00:00")
    assert (await amounts(shop))[-1] == ("cycle", [("usage", "0")])
    await shop.desk.pay((await shop.invoices("ten_shop"))[0][0].id, "owner")
    assert (await shop.desk.resume("ten_shop", "owner")).state == "active"
    assert (await shop.store.tenants.get(PLATFORM, "ten_shop")).status == "active"


async def test_the_configuration_owns_its_tenants_plans(bench: Any) -> None:
    await bench.at("2025-02-02T00:00:00")
    with pytest.raises(ManagedByConfig):
        await bench.desk.change("acme", Target("volume"), "owner")
    tenants = {**bench.snapshot.source["tenants"], "acme": {"plan": "volume", "start": "2025-01-31"}}
    bench.configure(tenants=tenants)
    await bench.load()
    await bench.desk.run()
    assert (await bench.desk.subscription(PLATFORM, "acme")).plan == "volume"
    bench.configure(tenants={"vole": tenants["vole"]})
    await bench.load()
    await bench.desk.run()
    with pytest.raises(InvoiceError):
        await bench.desk.subscription(PLATFORM, "acme")


async def test_a_trial_costs_nothing_and_new_prices_wait_for_the_next_period(bench: Any) -> None:
    plans = {**bench.snapshot.source["plans"], "pro": {"billing": {"month": {"amount": "10"}}, "trial": "14d"}}
    tenants = {
        "acme": {"plan": "pro", "start": "2025-01-31"},
        "pinned": {"plan": "pro", "start": "2025-01-31", "pin": True},
    }
    bench.configure(plans=plans, tenants=tenants)
    await bench.load()
    await bench.at("2025-02-01T00:00:00")
    assert (await bench.desk.subscription(PLATFORM, "acme")).state == "trialing"
    assert await bench.invoices("acme") == []
    await bench.at("2025-02-14T00:00:00")
    assert await amounts(bench, "acme") == [("start", [("fee", "5")])]  # 14 of 28 days
    bench.configure(plans={**plans, "pro": {"billing": {"month": {"amount": "20"}}}})
    await bench.at("2025-02-15T00:00:00")
    await bench.at("2025-03-01T01:00:00")
    assert (await amounts(bench, "acme"))[-1] == ("cycle", [("fee", "20")])
    assert (await amounts(bench, "pinned"))[-1] == ("cycle", [("fee", "10")])


async def test_yearly_fees_are_due_once_a_year_and_usage_monthly(bench: Any) -> None:
    bench.configure(tenants={"acme": {"plan": "pro", "start": "2025-01-31", "billing_cycle": "year"}})
    await bench.load()
    await bench.at("2026-03-01T00:00:00")
    fees = [line.amount for _, lines in await bench.invoices("acme") for line in lines if line.kind == "fee"]
    assert fees == ["990", "990"]
    assert len(await bench.invoices("acme")) == 14
