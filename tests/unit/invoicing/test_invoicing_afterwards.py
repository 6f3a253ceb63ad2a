"""Late usage when nobody expects any more: the subscription is canceled, its last invoice final."""

from decimal import Decimal
from typing import Any

from gateway.storage.ports import PLATFORM


async def canceled(bench: Any) -> None:
    """vole pays by volume (100 at 0.10, above 0.05 each) until 20 January, with 90 calls invoiced."""
    for day in range(1, 10):
        await bench.call("vole", f"2025-01-0{day}T00:00:00", 10)
    await bench.store.tenants.set_status(PLATFORM, "acme", "suspended", 1, "admin")
    await bench.at("2025-01-20T00:00:00")
    await bench.desk.cancel("vole", "fin", now=True)
    bench.configure(tenants={"acme": {"plan": "pro"}})
    await bench.at("2025-01-21T12:00:00")


async def corrections(bench: Any) -> list[Any]:
    return [(row, lines) for row, lines in await bench.invoices("vole") if row.reason == "correction"]


async def test_late_usage_of_a_canceled_subscription_is_a_correction_invoice(bench: Any) -> None:
    await canceled(bench)
    cycle = (await bench.invoices("vole"))[-1][0]
    assert (cycle.reason, cycle.total, cycle.state) == ("cycle", "9", "open")
    await bench.at("2025-02-10T00:00:00")
    assert await corrections(bench) == []
    await bench.call("vole", "2025-01-05T10:00:00", 5)
    await bench.call("vole", "2025-01-25T10:00:00", 1000)  # not served any more: nobody's
    await bench.at("2025-02-11T12:00:00")
    ((row, lines),) = await corrections(bench)
    assert (row.total, row.state, [line.quantity for line in lines]) == ("0.5", "open", ["5"])
    await bench.at("2025-02-20T00:00:00")
    assert len(await corrections(bench)) == 1
    found = await bench.desk.behind(PLATFORM, row.number, 1)
    assert (found.listed, found.difference) == (5, 0)


async def test_late_units_may_lower_a_volume_price_which_leaves_credit(bench: Any) -> None:
    await canceled(bench)
    await bench.call("vole", "2025-01-05T10:00:00", 60)  # 150 at 0.05 are 7.50, and 9.00 were charged
    await bench.at("2025-02-11T00:00:00")
    ((row, _),) = await corrections(bench)
    assert (row.total, row.state) == ("-1.5", "paid")
    assert [one.remaining for one in await bench.desk.credits(PLATFORM, "vole")] == ["1.5"]
    await bench.call("vole", "2025-01-06T10:00:00", 50)
    await bench.at("2025-02-13T00:00:00")
    _, (again, lines) = await corrections(bench)
    assert (lines[0].quantity, lines[0].amount, again.credited) == ("50", "2.5", "1.5")
    total = sum((Decimal(row.subtotal) for row, _ in await bench.invoices("vole")), Decimal(0))
    assert total == Decimal("10.00")  # 200 at 0.05
    for row, _ in await bench.invoices("vole"):
        assert (await bench.desk.verify(PLATFORM, row.id)).holds
    numbers = [row.sequence for row, _ in await bench.invoices("vole")]
    assert sorted(numbers) == numbers


async def test_it_is_looked_for_once_a_day_and_not_for_ever(bench: Any) -> None:
    await canceled(bench)
    await bench.at("2026-04-01T00:00:00")
    await bench.call("vole", "2025-01-05T10:00:00", 60)
    await bench.at("2026-06-01T00:00:00")
    assert await corrections(bench) == []
