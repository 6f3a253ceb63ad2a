"""``gateway export``: every row once, in order, exact in JSON Lines and safe in spreadsheets, whole or not at all."""

import asyncio
import csv
import io
import json
import stat
from pathlib import Path

import pytest
import typer
from support.records import T0, call, frames
from typer.testing import CliRunner, Result

from gateway.cli import export, exporting
from gateway.ids import format_id
from gateway.metering.record import CallRecord
from gateway.metering.rollup import QUARTER_US
from gateway.storage.ports import PLATFORM
from gateway.storage.sealing import Bounds
from gateway.storage.store import open_store

CONFIG = """\
version: 1
upstreams: {main: {targets: ["http://127.0.0.1:29001"]}}
routes: {weather: {match: {paths: ["/"]}, upstream: main}}
plans: {basic: {}}
tenants: {acme: {name: Acme, plan: basic}, beta: {name: Beta, plan: basic}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    return tmp_path


def post(folder: Path, records: list[CallRecord]) -> None:
    async def ship() -> None:
        store = await open_store("sqlite:///data/gateway.db", folder)
        await store.ledger.post("a", frames(records, "a"))
        await store.close()

    asyncio.run(ship())


def run(folder: Path, *arguments: str, code: int = 0) -> Result:
    app = typer.Typer()
    app.callback()(lambda: None)
    export.register(app)
    result = CliRunner().invoke(app, ["export", *arguments, "-c", str(folder / "gateway.yaml")])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def test_every_row_once_oldest_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "PAGE", 7)
    records = [call(T0 + n % 5, tenant="acme" if n % 3 else "beta") for n in range(40)]
    records += [call(T0 + 99, part=1, part_at_us=T0 + 7_000_000, outcome="open")]
    post(folder, records)
    until = ("--until", "2100-01-01", "--format", "jsonl")
    found = [json.loads(line) for line in run(folder, *until).stdout.splitlines()]
    assert sorted(one["id"] for one in found) == sorted(format_id("call", record.id) for record in records)
    assert [one["at"] for one in found[:40]] == sorted(one["at"] for one in found[:40])
    assert (found[-1]["part"], found[-1]["part_at"]) == (1, "2027-01-15T08:00:07.000Z")
    only = [json.loads(line) for line in run(folder, "--tenant", "beta", *until).stdout.splitlines()]
    assert {one["tenant"] for one in only} == {"beta"}
    assert len(only) == 14


def test_formulas_are_text_in_csv_and_exact_in_json(folder: Path) -> None:
    post(folder, [call(T0, request_id='=cmd|"x"!A1', path='/a,"b"\n☃', units={"tokens": 3, "calls": 1})])
    text = run(folder, "--until", "2100-01-01").stdout
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert (row["request_id"], row["path"], row["units"]) == ('\'=cmd|"x"!A1', '/a,"b"\n☃', '{"calls":1,"tokens":3}')
    assert (row["billable"], row["part_at"]) == ("true", "")
    line = json.loads(run(folder, "--until", "2100-01-01", "--json").stdout)
    assert (line["request_id"], line["units"]) == ('=cmd|"x"!A1', {"tokens": 3, "calls": 1})


def test_a_file_is_whole_or_not_there(folder: Path) -> None:
    post(folder, [call(T0), call(T0 + 1)])
    out = folder / "calls.csv"
    result = run(folder, "--until", "2100-01-01", "--out", str(out))
    assert (result.stdout, "2 rows in" in result.stderr) == ("", True)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert len(out.read_text().splitlines()) == 3
    run(folder, "--tenant", "nobody", "--out", str(folder / "none.csv"), code=1)
    run(folder, "--out", str(folder / "no" / "folder.csv"), code=1)
    run(folder, "--format", "xml", code=2)
    assert sorted(one.name for one in folder.iterdir()) == ["calls.csv", "data", "gateway.yaml"]


def test_without_an_end_it_stops_where_the_ledger_is_complete(folder: Path) -> None:
    post(folder, [call(T0)])  # in the future: beyond any watermark
    assert run(folder, "--format", "jsonl").stdout == ""
    assert "later calls may be missing" in run(folder, "--until", "2100-01-01").stderr


def test_what_was_pruned_is_named_and_many_stretches_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def prune() -> None:
        store = await open_store("sqlite:///data/gateway.db", folder)
        await store.ledger.prune(PLATFORM, Bounds("acme", T0 + 99 * QUARTER_US), T0)
        await store.close()

    monkeypatch.setattr(exporting, "STRETCHES", 2)
    post(folder, [call(T0 + 2 * n * QUARTER_US) for n in range(5)])  # every other quarter hour has none
    asyncio.run(prune())
    said = [line for line in run(folder, "--until", "2100-01-01").stderr.splitlines() if "pruned" in line]
    assert len(said) == 3
    assert said[1].endswith("1 rows from 2027-01-15T08:30:00.000Z to 2027-01-15T08:45:00.000Z")
    assert said[2].endswith("3 rows from 2027-01-15T09:00:00.000Z to 2027-01-15T10:15:00.000Z, in 3 stretches")
