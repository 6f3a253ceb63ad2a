"""Σ billable = invoiced + not yet invoiced (SEMANTICS §30): what final invoices charge is what the ledger had."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from support.billing_bench import DOCUMENT, Bench, opened, us
from typer.testing import CliRunner

from gateway.cli import reconcile
from gateway.invoicing.reconciling import Charge, charges
from gateway.storage.account_values import UsageEvent
from gateway.storage.ports import PLATFORM

NAME = "billable = invoiced + not yet invoiced (all periods)"


async def compared(bench: Bench, ended: str = "2020-01-01") -> list[Charge]:
    async with bench.store.billing.read(PLATFORM) as books:
        return [one async for one in charges(books, us(ended))]


async def wrong(bench: Bench) -> list[tuple[str, str, str, int, int]]:
    """What differs."""
    found = [one for one in await compared(bench) if one.units != one.invoiced]
    return [(one.invoice, one.tenant, one.meter, one.units, one.invoiced) for one in found]


async def corrected(bench: Bench) -> None:
    """Two months of two tenants: late usage that is on a correction, and late usage that is not invoiced yet."""
    await bench.call("vole", "2025-01-10T00:00:00", 90)
    await bench.at("2025-02-02T00:00:00")
    await bench.call("vole", "2025-01-20T00:00:00", 20)
    await bench.call("vole", "2025-02-20T00:00:00", 10)
    await bench.call("acme", "2025-02-20T00:00:00", 30)
    await bench.at("2025-03-02T00:00:00")
    await bench.call("vole", "2025-01-21T00:00:00", 7)
    await bench.call("vole", "2025-02-21T00:00:00", 5)
    await bench.call("vole", "2025-03-01T00:00:00", 3)


async def test_what_invoices_charge_is_what_the_ledger_had(bench: Any) -> None:
    await corrected(bench)
    found = {(one.tenant, one.units, one.invoiced) for one in await compared(bench)}
    assert found == {("vole", 110, 110), ("vole", 10, 10), ("acme", 30, 30)}
    assert {one.units for one in await compared(bench, "2025-02-15")} == {10, 30}
    await bench.at("2025-03-01T00:30:00")
    await bench.at("2025-04-02T00:00:00")
    found = {(one.units, one.invoiced) for one in await compared(bench) if one.tenant == "vole"}
    assert found == {(117, 117), (15, 15), (3, 3)}


@pytest.mark.parametrize(("statement", "expected"), [
    ("UPDATE invoice_lines SET quantity = '21' WHERE kind = 'correction'", (0, "vole", "calls", 110, 111)),
    ("UPDATE invoice_lines SET quantity = '19.5' WHERE kind = 'correction'", (0, "vole", "calls", 110, 109)),
    ("UPDATE invoice_lines SET quantity = '9' WHERE quantity = '10'", (1, "vole", "calls", 10, 9)),
])  # fmt: skip
async def test_a_quantity_that_differs_is_named(bench: Any, statement: str, expected: Any) -> None:
    await corrected(bench)
    await bench.execute(statement)
    number = (await bench.invoices("vole"))[expected[0]][0].number
    assert await wrong(bench) == [(number, *expected[1:])]


async def test_a_call_that_is_gone_is_named(bench: Any) -> None:
    await corrected(bench)
    await bench.execute("UPDATE rollup_unit_sums SET units = units - 4 WHERE tenant = 'acme'")
    ((_, tenant, meter, units, invoiced),) = await wrong(bench)
    assert (tenant, meter, units, invoiced) == ("acme", "calls", 26, 30)


async def test_time_on_two_invoices_is_named(bench: Any) -> None:
    await corrected(bench)
    first, second = (row for row, _ in await bench.invoices("vole"))
    items = json.dumps(second.document).replace(str(us("2025-02-01")), str(us("2025-01-20")))
    await bench.execute(f"UPDATE invoices SET document = '{items}' WHERE id = '{second.id}'")
    assert (f"{first.number} and {second.number}", "vole", "calls", 0, 20) in await wrong(bench)


async def test_what_was_taken_back_is_no_difference(bench: Any) -> None:
    await corrected(bench)
    await bench.desk.void((await bench.invoices("vole"))[0][0].id, "finance", reissue=True)
    assert not await wrong(bench)
    await bench.desk.credit_note((await bench.invoices("acme"))[0][0].id, "finance", "goodwill")
    assert not await wrong(bench)
    await bench.at("2025-04-02T00:00:00")
    assert not await wrong(bench)


@pytest.mark.parametrize("gone", [1, 2])
async def test_a_cycle_without_invoice_is_named(bench: Any, gone: int) -> None:
    await corrected(bench)
    await bench.at("2025-04-02T00:00:00")
    rows = [row for row, _ in await bench.invoices("vole")]
    await bench.execute(f"UPDATE invoices SET reason = 'manual' WHERE id = '{rows[gone].id}'")
    units = (15, 3)[gone - 1]
    assert (rows[gone - 1].number, "vole", "calls", units, 0) in await wrong(bench)


@pytest.mark.parametrize("before", [True, False])
async def test_late_usage_on_an_invoice_that_is_void_is_no_difference(bench: Any, before: bool) -> None:
    await bench.call("vole", "2025-01-10T00:00:00", 10)
    await bench.at("2025-02-02T00:00:00")
    await bench.call("vole", "2025-01-20T00:00:00", 5)
    await bench.call("vole", "2025-02-20T00:00:00", 50)
    await bench.at("2025-03-02T00:00:00")
    second = (await bench.invoices("vole"))[1][0]
    for void in (before, not before):  # before the third invoice, which charges it again, or after it
        if void:
            await bench.desk.void(second.id, "finance")
        else:
            await bench.at("2025-04-02T00:00:00")
        assert not await wrong(bench)


async def test_events_from_outside_are_counted_as_their_meter_does(bench: Any) -> None:
    meters = {"disk": {"meter": "storage", "aggregate": "max", "value": "gb"}}
    prices = [{"type": "per_unit", "meter": meter, "unit": "1"} for meter in ("storage", "calls")]
    bench.configure(events=meters, plans={**DOCUMENT["plans"], "volume": {"prices": prices}})
    await bench.load()
    await bench.desk.run()
    for id, at, gb in (("a", "2025-01-05", 40), ("b", "2025-01-09", 70)):
        event = UsageEvent(id.encode() * 16, "vole", "storage", us(at), gb, "", "disk", "t", id, "vole")
        await bench.store.events.post(PLATFORM, [event], us(at))
    await bench.at("2025-02-02T00:00:00")
    late = UsageEvent(b"c" * 16, "vole", "storage", us("2025-01-10"), 90, "", "disk", "t", "c", "vole")
    await bench.store.events.post(PLATFORM, [late], us("2025-02-03"))
    found = {(one.meter, one.units, one.invoiced) for one in await compared(bench) if one.tenant == "vole"}
    assert found == {("storage", 70, 70), ("calls", 0, 0)}


async def prepared(folder: Path, statement: str = "") -> str:
    """A gateway's folder with invoices; the number of the first one."""
    (folder / "gateway.yaml").write_text(
        json.dumps({**DOCUMENT, "version": 1, "store": {"url": "sqlite:///gateway.db"}})
    )
    async with opened(folder) as bench:
        await corrected(bench)
        if statement:
            await bench.execute(statement)
        return (await bench.invoices("vole"))[0][0].number or ""


async def run(folder: Path, *arguments: str) -> Any:
    app = typer.Typer()
    reconcile.register(app)
    app.callback()(lambda: None)
    command = ["reconcile", *arguments, "-c", str(folder / "gateway.yaml")]
    return await asyncio.to_thread(CliRunner().invoke, app, command)


async def test_the_command_names_it_and_exits_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "ATTEMPTS", 1)
    number = await prepared(tmp_path)
    done = await run(tmp_path, "--invoice-days", "0", "--json")
    assert done.exit_code == 0, done.output
    assert {"name": NAME, "compared": 3, "differences": []} in json.loads(done.stdout)["checks"]
    await prepared(tmp_path, "UPDATE invoice_lines SET quantity = '80' WHERE quantity = '90'")
    done = await run(tmp_path)
    assert done.exit_code == 1
    assert f"calls of vole on {number}: expected 110, found 100" in done.output
