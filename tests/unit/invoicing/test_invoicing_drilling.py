"""Down from a line to the calls behind it: what is listed adds up to the line's quantity, and stays so."""

from typing import Any

import pytest

from gateway.invoicing.office import InvoiceError, NotFound
from gateway.storage.ports import PLATFORM, Scope


async def listed(bench: Any, found: Any) -> int:
    """The units of all pages."""
    total, after = 0, None
    while True:
        page = await bench.store.ledger.calls(Scope("vole"), found.calls, 2, after)
        total += sum(row.units["calls"] for row in page.rows)
        if page.next is None:
            return total
        after = page.next


async def test_lines_add_up_to_their_calls_before_and_after_late_ones(bench: Any) -> None:
    for day in range(1, 6):
        await bench.call("vole", f"2025-01-0{day}T12:00:00", 20)
        await bench.call("acme", f"2025-01-0{day}T12:00:00", 7)
    await bench.at("2025-02-02T00:00:00")
    await bench.call("vole", "2025-01-20T00:00:00", 30)
    await bench.call("vole", "2025-02-20T00:00:00", 4)
    await bench.at("2025-03-02T00:00:00")
    await bench.call("vole", "2025-01-21T00:00:00", 5)
    await bench.at("2025-04-02T00:00:00")
    seen = []
    for row, lines in await bench.invoices("vole"):
        for line in lines:
            if line.kind in ("usage", "correction"):
                found = await bench.desk.behind(Scope("vole"), row.number, line.place)
                assert (found.difference, found.elsewhere) == (0, 0)
                assert await listed(bench, found) == found.listed
                seen.append((line.kind, found.listed))
    assert seen == [("usage", 100), ("usage", 4), ("correction", 30), ("usage", 0), ("correction", 5)]


async def test_lines_without_usage_and_of_others_are_refused(bench: Any) -> None:
    await bench.at("2025-01-31T00:00:00")
    row, _ = (await bench.invoices("acme"))[0]
    with pytest.raises(InvoiceError, match="counts no usage"):
        await bench.desk.behind(PLATFORM, row.number, 1)
    for scope, place in ((Scope("vole"), 1), (PLATFORM, 9)):
        with pytest.raises(NotFound):
            await bench.desk.behind(scope, row.number, place)
