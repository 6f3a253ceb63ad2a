"""Cycles from ledger to final invoice, to the cent, and again without a change."""

from itertools import pairwise
from typing import Any

import pytest

from gateway.storage.ports import PLATFORM


def told(invoice: Any) -> tuple[str, str, str, list[tuple[str, str]]]:
    row, lines = invoice
    return row.reason, row.state, row.total, [(line.kind, line.amount) for line in lines]


@pytest.mark.parametrize(("calls", "amount"), [(10_000, "0"), (10_001, "0"), (100_000, "90"), (250_000, "165")])
async def test_the_worked_example(bench: Any, calls: int, amount: str) -> None:
    await bench.call("acme", "2025-02-03T10:00:00", calls)
    await bench.at("2025-03-01T01:00:00")
    start, cycle = await bench.invoices("acme")
    assert told(start) == ("start", "open", "99", [("fee", "99")])
    assert [(line.kind, line.amount) for line in cycle[1]] == [("usage", amount), ("fee", "99")]


async def test_month_ends_keep_the_anchor_and_leave_no_gap(bench: Any) -> None:
    await bench.at("2025-12-31T12:00:00")
    rows = [row for row, _ in await bench.invoices("acme") if row.reason == "cycle"]
    assert all(before.end_us == after.start_us for before, after in pairwise(rows))
    assert len(rows) == 11
    numbers = sorted(row.sequence for row in await bench.desk.invoices(PLATFORM, limit=1000) if row.sequence)
    assert numbers == list(range(1, len(numbers) + 1))


async def test_a_draft_waits_for_late_usage_and_is_then_final(bench: Any) -> None:
    await bench.call("vole", "2025-01-10T00:00:00", 50)
    await bench.at("2025-02-01T00:30:00")
    ((draft, _),) = await bench.invoices("vole")
    assert (draft.state, draft.total, draft.number) == ("draft", "5", None)
    await bench.call("vole", "2025-01-31T23:59:59", 10)
    await bench.at("2025-02-01T01:00:00")
    ((final, _),) = await bench.invoices("vole")
    assert (final.id, final.state, final.total) == (draft.id, "open", "6")
    assert final.number.startswith("INV-")


async def test_late_usage_is_corrected_and_reprices_the_volume(bench: Any) -> None:
    await bench.call("vole", "2025-01-10T00:00:00", 90)
    await bench.at("2025-02-02T00:00:00")
    await bench.call("vole", "2025-01-20T00:00:00", 20)
    await bench.call("vole", "2025-02-20T00:00:00", 10)
    await bench.at("2025-03-02T00:00:00")
    first, second = await bench.invoices("vole")
    assert first[0].total == "9"
    assert [(line.kind, line.quantity, line.amount) for line in second[1]] == [
        ("usage", "10", "1"),
        ("correction", "20", "-3.5"),
    ]
    assert second[0].total == "-2.5"
    assert second[0].state == "paid"
    for row, _ in (first, second):
        verification = await bench.desk.verify(PLATFORM, row.id)
        assert verification.holds, verification.faults
    await bench.call("vole", "2025-03-20T00:00:00", 50)
    await bench.at("2025-04-02T00:00:00")
    third = (await bench.invoices("vole"))[2]
    assert [line.kind for line in third[1]] == ["usage"]
    assert (third[0].subtotal, third[0].credited, third[0].total) == ("5", "2.5", "2.5")


async def test_running_again_changes_nothing(bench: Any) -> None:
    await bench.call("acme", "2025-02-10T00:00:00", 123_456)
    await bench.at("2025-06-02T00:00:00")
    before = await bench.invoices("acme")
    await bench.desk.run()
    await bench.desk.run()
    assert await bench.invoices("acme") == before


async def test_the_preview_is_the_invoice(bench: Any) -> None:
    await bench.at("2025-02-01T00:00:00")
    await bench.call("acme", "2025-02-03T10:00:00", 250_000)
    bench.clock.now_us += 1
    _, composed = await bench.desk.preview(PLATFORM, "acme")
    await bench.at("2025-03-02T00:00:00")
    cycle = (await bench.invoices("acme"))[-1]
    assert composed.amounts["total"] == cycle[0].total == "264"
    assert composed.lines(cycle[0].id) == cycle[1]
