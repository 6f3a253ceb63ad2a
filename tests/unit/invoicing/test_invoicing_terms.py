"""Terms that hold from period to period: proration by days, one currency a tenant, pinned prices, prices that move."""

from decimal import Decimal
from typing import Any

import pytest

from gateway.invoicing.changing import ManagedByConfig, Target
from gateway.invoicing.moving import moves
from gateway.invoicing.settings import BillingSettings
from gateway.invoicing.subscribing import SubscriptionError, Wish
from gateway.storage.ports import PLATFORM
from gateway.tenants.model import Tenant


async def hooli(bench: Any, plan: str = "pro") -> None:
    """A tenant of the store, whose subscription people change."""
    await bench.store.tenants.create(PLATFORM, Tenant("ten_h", "Hooli", plan, source="store"), bench.clock.now())


def plans(bench: Any, **more: object) -> None:
    bench.configure(plans={**bench.snapshot.source["plans"], **more})


async def test_by_day_the_day_of_the_change_counts_as_left(bench: Any) -> None:
    big = {"big": {"billing": {"month": {"amount": "310"}}}}
    by_day = {**bench.snapshot.source["billing"], "proration": "day"}
    bench.configure(plans={**bench.snapshot.source["plans"], **big}, billing=by_day)
    await hooli(bench)
    await bench.at("2025-01-01T00:00:00")
    bench.clock.now_us += 15 * 86_400_000_000 + 3_600_000_000 * 17  # 16 January, 17:00: 16 of 31 days are left
    found = await bench.desk.preview_change(PLATFORM, "ten_h", Target("big"))
    amounts = [one.line.amount.amount for one in found.composed.charged]
    assert amounts == [Decimal("-51.10"), Decimal("160.00")]
    await bench.desk.change("ten_h", Target("big"), "fin")
    for row, _ in await bench.invoices("ten_h"):
        assert (await bench.desk.verify(PLATFORM, row.id)).holds


async def test_seats_change_with_a_preview_that_is_the_bill(bench: Any) -> None:
    await hooli(bench)
    await bench.at("2025-01-01T00:00:00")
    bench.clock.now_us += 86_400_000_000 * 31 // 2
    seen = await bench.desk.preview_change(PLATFORM, "ten_h", Target(quantity=3))
    await bench.desk.change("ten_h", Target(quantity=3), "fin")
    row, lines = (await bench.invoices("ten_h"))[-1]
    assert [line.amount for line in lines] == [str(one.line.amount.amount.normalize()) for one in seen.composed.charged]
    assert (row.reason, row.total) == ("change", "99")
    assert (await bench.desk.subscription(PLATFORM, "ten_h")).quantity == 3


async def test_a_tenant_has_the_currency_of_its_first_final_invoice(bench: Any) -> None:
    plans(bench, euro={"currency": "EUR", "billing": {"month": {"amount": "1"}}})
    await hooli(bench)
    await bench.at("2025-01-02T00:00:00")
    await bench.desk.cancel("ten_h", "fin", now=True)
    await bench.at("2025-01-03T00:00:00")
    with pytest.raises(SubscriptionError, match="billed in USD before"):
        await bench.desk.subscribe(Wish("ten_h", "euro"), "fin")
    made = await bench.desk.subscribe(Wish("ten_h", "pro"), "fin")
    assert made.state == "active"


async def test_a_plan_that_changes_its_currency_leaves_subscriptions_as_they_are(bench: Any) -> None:
    await hooli(bench)
    await bench.at("2025-01-02T00:00:00")
    before = (await bench.desk.subscription(PLATFORM, "ten_h")).version
    plans(bench, pro={"currency": "EUR", "billing": {"month": {"amount": "1"}}})
    await bench.at("2025-02-02T00:00:00")
    assert (await bench.desk.subscription(PLATFORM, "ten_h")).version == before
    assert {row.currency for row, _ in await bench.invoices("ten_h")} == {"USD"}


async def test_prices_move_at_the_period_s_end_unless_they_are_pinned(bench: Any) -> None:
    await hooli(bench)
    await bench.at("2025-01-31T00:00:00")
    plans(bench, pro={"billing": {"month": {"amount": "120"}}})
    found = await moves(bench.store.billing, BillingSettings.of(bench.snapshot), bench.clock.now())
    assert [(one.tenant, one.plan, one.at_us) for one in found] == [
        ("acme", "pro", 1740700800_000_000), ("ten_h", "pro", 1738368000_000_000)
    ]  # fmt: skip
    with pytest.raises(ManagedByConfig):
        await bench.desk.pin("acme", "fin", pinned=True)
    await bench.desk.pin("ten_h", "fin", pinned=True)
    found = await moves(bench.store.billing, BillingSettings.of(bench.snapshot), bench.clock.now())
    assert [one.tenant for one in found] == ["acme"]
    await bench.at("2025-02-02T00:00:00")
    assert (await bench.invoices("ten_h"))[-1][0].subtotal == "99"
    await bench.desk.pin("ten_h", "fin", pinned=False)
    await bench.at("2025-03-02T00:00:00")
    assert (await bench.invoices("ten_h"))[-1][0].subtotal == "120"


async def test_a_setup_fee_and_a_trial_with_its_usage_free(bench: Any) -> None:
    setup = {"type": "flat", "amount": "20", "every": "once", "name": "Setup"}
    price = {"type": "per_unit", "meter": "calls", "unit": "1"}
    plans(bench, trial={"trial": "10d", "billing": {"month": {"amount": "31"}}, "prices": [setup, price]})
    await hooli(bench, "trial")
    await bench.at("2025-01-02T00:00:00")
    await bench.call("ten_h", "2025-01-05T00:00:00", 7)
    await bench.call("ten_h", "2025-01-15T00:00:00", 2)
    assert await bench.invoices("ten_h") == []
    await bench.at("2025-02-02T00:00:00")
    (start, lines), (cycle, used) = await bench.invoices("ten_h")
    assert (start.reason, [line.amount for line in lines]) == ("start", ["21", "20"])
    assert (cycle.reason, [line.amount for line in used]) == ("cycle", ["2", "31"])
