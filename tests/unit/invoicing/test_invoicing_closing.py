"""A tenant that is closed owes what it used until then, and nothing after it."""

from typing import Any

from gateway.storage.ports import PLATFORM
from gateway.tenants.model import Tenant


async def test_closing_a_tenant_ends_its_subscription_and_bills_its_usage(bench: Any) -> None:
    await bench.store.tenants.create(PLATFORM, Tenant("shop", "Shop", "volume", source="store"), bench.clock.now())
    await bench.at("2025-01-01T00:00:10")
    await bench.call("shop", "2025-01-10T12:00:00", 50)
    bench.clock.now_us = bench.clock.now_us + 14 * 86_400_000_000
    await bench.store.tenants.set_status(PLATFORM, "shop", "closed", bench.clock.now(), "admin")
    await bench.desk.run()
    (row,) = [one for one in await bench.desk.subscriptions(PLATFORM) if one.tenant == "shop"]
    assert row.state == "canceled"
    await bench.at("2025-01-20")
    ((invoice, lines),) = await bench.invoices("shop")
    assert (invoice.state, invoice.total, invoice.end_us) == ("open", "5", row.cancel_at_us)
    assert [line.quantity for line in lines] == ["50"]
    await bench.at("2025-06-01")
    assert len(await bench.invoices("shop")) == 1
    assert (await bench.store.tenants.get(PLATFORM, "shop")).status == "closed"


async def test_the_configuration_changes_seats_and_plans(bench: Any) -> None:
    await bench.at("2025-02-01")
    tenants = {name: dict(own) for name, own in bench.snapshot.source["tenants"].items()}
    tenants["acme"] = {"plan": "pro", "start": "2025-01-31", "quantity": 3}
    tenants["vole"] = {"plan": "free", "start": "2025-01-01"}
    bench.configure(tenants=tenants)
    await bench.load()
    await bench.at("2025-02-02")
    rows = {row.tenant: row for row in await bench.desk.subscriptions(PLATFORM)}
    assert (rows["acme"].quantity, rows["vole"].plan) == (3, "free")
    tenants["acme"] = {"plan": "pro", "start": "2025-01-31"}
    bench.configure(tenants=tenants)
    await bench.load()
    await bench.at("2025-02-03")
    assert (await bench.desk.subscription(PLATFORM, "acme")).quantity == 1
