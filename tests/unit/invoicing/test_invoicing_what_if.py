"""What would it cost: another plan's prices on the usage that there was."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from gateway.invoicing.office import NotFound
from gateway.storage.ports import PLATFORM, Scope


async def test_a_past_month_is_rated_by_both_plans(bench: Any) -> None:
    await bench.at("2025-01-31T00:00:00")
    await bench.call("acme", "2025-02-10T00:00:00", 20_000)
    await bench.call("vole", "2025-02-10T00:00:00", 101)
    await bench.at("2025-03-20T00:00:00")
    before = [row for row, _ in await bench.invoices("acme")]
    at = datetime(2025, 2, 15, tzinfo=UTC)
    acme, vole = await bench.desk.would_cost(PLATFORM, "volume", at=at)
    # 20,000 × 0.05 instead of 99 + 10,000 × 0.001
    assert (acme.tenant, acme.plan, acme.now.amounts["total"], acme.then.amounts["total"]) == (
        "acme",
        "pro",
        "109",
        "1000",
    )
    assert acme.difference == Decimal(891)
    assert (vole.now.amounts["total"], vole.then.amounts["total"], vole.difference) == ("5.05", "5.05", 0)
    cycle = next(row for row in before if row.reason == "cycle")
    assert acme.now.amounts["total"] == cycle.total
    assert [row for row, _ in await bench.invoices("acme")] == before


async def test_pages_by_tenant_scopes_and_unknown_plans(bench: Any) -> None:
    await bench.at("2025-02-01T00:00:00")
    first = await bench.desk.would_cost(PLATFORM, "free", limit=1)
    rest = await bench.desk.would_cost(PLATFORM, "free", limit=1, after=first[-1].tenant)
    assert [one.tenant for one in (*first, *rest)] == ["acme", "vole"]
    assert [one.tenant for one in await bench.desk.would_cost(Scope("vole"), "free")] == ["vole"]
    with pytest.raises(NotFound):
        await bench.desk.would_cost(Scope("vole"), "free", tenant="acme")
    with pytest.raises(NotFound):
        await bench.desk.would_cost(PLATFORM, "none")


async def test_plans_of_two_currencies_are_not_subtracted(bench: Any) -> None:
    bench.configure(
        plans={**bench.snapshot.source["plans"], "euro": {"currency": "EUR", "billing": {"month": {"amount": "1"}}}}
    )
    await bench.at("2025-02-01T00:00:00")
    (found,) = await bench.desk.would_cost(PLATFORM, "euro", tenant="vole")
    assert found.difference is None
    assert found.then.inputs.currency == "EUR"
