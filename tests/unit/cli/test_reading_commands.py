"""``calls``, ``usage``, ``reconcile`` and ``migrate`` as scripts see them, over a real spool and store."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from support.records import call
from typer.testing import CliRunner, Result

from gateway.cli import calls, hosts, migrate, reconcile, usage
from gateway.clock import MINUTE_US, SystemClock
from gateway.counters.mmap_store import MmapCounterStore
from gateway.metering.ports import Position
from gateway.metering.record import RefusalCount, SpoolEntry
from gateway.quotas.binding import bind
from gateway.quotas.limit import Algorithm, CalendarWindow, Limit
from gateway.spool.reader import SpoolReader
from gateway.spool.writer import SpoolWriter
from gateway.storage.ports import PLATFORM
from gateway.storage.store import open_store
from gateway.tenants.model import Tenant

CONFIG = """\
version: 1
upstreams: {main: {targets: ["http://127.0.0.1:29001"]}}
routes: {weather: {match: {paths: ["/"]}, upstream: main}}
plans: {basic: {limits: [{name: yearly, meter: calls, max: 1000, per: year}]}}
tenants: {acme: {name: Acme, plan: basic}, beta: {name: Beta, plan: basic, timezone: Asia/Kathmandu}}
"""
INCARNATION = "host-0-x"
NOW = SystemClock().now()


@dataclass
class Gateway:
    """A gateway's folder without a gateway."""

    folder: Path
    writer: SpoolWriter
    app: typer.Typer

    def run(self, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(self.app, [*arguments, "-c", str(self.folder / "gateway.yaml")])
        assert result.exit_code == code, (result.output, result.exception)
        return result

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def append(self, *entries: SpoolEntry) -> None:
        for entry in entries:
            self.writer.append(entry)

    def ship(self) -> None:
        async def post() -> None:
            store = await open_store("sqlite:///data/gateway.db", self.folder)
            frames = SpoolReader(self.folder / "data" / "spool").read(Position(INCARNATION, 0), 1000)
            await store.ledger.post(INCARNATION, frames)
            await store.close()

        asyncio.run(post())


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    (tmp_path / "gateway.yaml").write_text(CONFIG)
    spool = tmp_path / "data" / "spool"
    spool.mkdir(parents=True)
    writer = SpoolWriter.create(
        spool, INCARNATION, bytes(16), fsync="interval", max_size=1 << 26, segment_size=1 << 20, clock=SystemClock()
    )
    app = typer.Typer()
    for command in (calls, usage, reconcile, migrate, hosts):
        command.register(app)
    return Gateway(tmp_path, writer, app)


Counted = Callable[..., int]


@pytest.fixture
def counted(gateway: Gateway) -> Counted:
    def count(*arguments: str) -> int:
        text = gateway.run("calls", "--tenant", "acme", "--count", *arguments).stdout
        assert text.strip().isdigit()
        return int(text)

    return count


def test_count_is_of_ledger_and_spool_together(gateway: Gateway, counted: Counted) -> None:
    assert counted() == 0
    gateway.append(call(NOW), call(NOW, outcome="interrupted", billable=False), call(NOW, tenant="beta"))
    gateway.append(RefusalCount(minute_us=0, tenant="acme", code="limit", status=429, count=9))
    assert counted() == 2  # nothing shipped, no store yet
    gateway.ship()
    assert counted() == 2
    gateway.append(call(NOW))
    assert counted() == 3


def test_parts_in_spool_and_ledger_are_one_call(gateway: Gateway, counted: Counted) -> None:
    long = call(NOW)
    gateway.append(call(NOW, id=long.id, part=1, outcome="open"))
    gateway.ship()
    gateway.append(call(NOW, id=long.id, part=2, outcome="open"), long)
    assert counted() == 1


def test_since(gateway: Gateway, counted: Counted) -> None:
    now = SystemClock().now()
    gateway.append(call(now - 10 * MINUTE_US), call(now - MINUTE_US))
    gateway.ship()
    gateway.append(call(now - 9 * MINUTE_US), call(now - MINUTE_US))
    assert counted("--since", "5m") == 2
    assert counted("--since", "2020-01-01") == 4
    assert counted("--since", "2020-01-01T00:00:00Z") == 4
    assert counted("--since", "2999-01-01T00:00:00+05:45") == 0
    gateway.run("calls", "--tenant", "acme", "--since", "yesterday", code=2)


def test_a_list_newest_first(gateway: Gateway) -> None:
    gateway.append(call(NOW - 5, path="/old"), call(NOW, path="/new", units={"tokens": 7}))
    gateway.ship()
    gateway.append(call(NOW, path="/waiting"))
    rows = gateway.json("calls", "--tenant", "acme")
    assert [row["path"] for row in rows] == ["/new", "/old"]
    assert rows[0]["units"] == {"tokens": 7}
    assert rows[0]["id"].startswith("call_")
    assert len(gateway.json("calls", "--tenant", "acme", "--limit", "1")) == 1
    table = gateway.run("calls", "--tenant", "acme")
    assert "/new" in table.stdout
    assert "1 more calls wait" in table.stderr


def test_an_unknown_tenant_fails(gateway: Gateway) -> None:
    for command in (["calls", "--count"], ["calls"], ["usage"]):
        assert "no tenant nobody" in gateway.run(*command, "--tenant", "nobody", code=1).stderr


def test_usage_tells_no_usage_from_behind(gateway: Gateway) -> None:
    assert "no usage" in gateway.run("usage", "--tenant", "acme").stderr
    gateway.append(call(NOW, units={"calls": 1, "tokens": 30}), call(NOW, billable=False))
    behind = gateway.run("usage", "--tenant", "acme")
    assert "behind: 2 calls" in behind.stderr
    assert "no usage" not in behind.stderr
    gateway.append(RefusalCount(minute_us=NOW, tenant="acme", code="limit", status=429, count=9))
    gateway.ship()
    found = gateway.json("usage", "--tenant", "acme")
    assert (found["calls"], found["billable"], found["behind"]) == (2, 1, 0)
    assert found["units"] == {"calls": 1, "tokens": 30}
    assert found["refusals"] == {"limit": 9}
    beta = gateway.json("usage", "--tenant", "beta")
    assert beta["period"]["start"].endswith("18:15:00.000Z")  # midnight at +5:45


def test_reconcile_finds_what_was_tampered_with(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "ATTEMPTS", 1)
    gateway.append(call(NOW), call(NOW))
    gateway.ship()
    gateway.append(call(NOW))
    report = gateway.json("reconcile")
    assert (report["difference"], report["unshipped"]) == (0, 1)
    tampered = {
        "UPDATE rollups SET calls = calls + 5": 5,
        "UPDATE rollups SET calls = calls - 5": 0,
        "UPDATE rollup_units SET quota_units = 0": 2,
        "UPDATE rollup_units SET quota_units = 2": 0,
        # The frame, and every sum of its cell: of the quarter hour, of the day, and of the tenant.
        "DELETE FROM calls WHERE posting = 1": 1 + 4 * (1 + 1 + 100 + 1000 + 1 + 1),
    }
    for statement, difference in tampered.items():
        with sqlite3.connect(gateway.folder / "data" / "gateway.db") as connection:
            connection.execute(statement)
        found = gateway.json("reconcile", code=1 if difference else 0)
        assert found["difference"] == difference, statement


def test_reconcile_compares_counters(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "ATTEMPTS", 1)
    gateway.append(call(NOW), call(NOW))
    gateway.ship()
    gateway.append(call(NOW))
    gateway.run("migrate")

    async def add_tenants() -> None:
        store = await open_store("sqlite:///data/gateway.db", gateway.folder)
        await store.tenants.sync_yaml(PLATFORM, [Tenant(id="acme", name="Acme", plan="basic")], [], NOW)
        await store.close()

    asyncio.run(add_tenants())
    limit = Limit("yearly", "calls", 1000, CalendarWindow("year"), Algorithm.CALENDAR)
    counters = MmapCounterStore.open(gateway.folder / "data" / "counters" / "counters", SystemClock())
    binding = bind((limit,), {}, Tenant(id="acme", name="Acme", plan="basic"), "k1", "weather")
    reservation = binding.reservation(counters.now(), {"calls": 3})
    assert counters.reserve_now(bytes(16), reservation).admitted
    (note,) = counters.unseeded()
    counters.seed(note.key, [(note.start_us, 0)])
    counted = next(check for check in gateway.json("reconcile")["checks"] if check["name"].startswith("counters"))
    assert (counted["compared"], counted["differences"]) == (1, [])
    counters.reserve_now(bytes(15) + b"1", binding.reservation(counters.now(), {"calls": 4}))
    assert gateway.json("reconcile", code=1)["difference"] == 4
    assert gateway.json("reconcile", "--repair")["difference"] == 0
    assert counters.read(binding.counters(counters.now()))[0].remaining == 997
    counters.close()


def test_migrate(gateway: Gateway) -> None:
    first = gateway.json("migrate")
    assert first["before"] is None
    assert gateway.json("migrate") == {"before": first["after"], "after": first["after"]}


def test_a_host_that_is_gone_is_retired(gateway: Gateway) -> None:
    async def mark(host: str, at_us: int) -> None:
        store = await open_store("sqlite:///data/gateway.db", gateway.folder)
        await store.ledger.mark_host(PLATFORM, host, at_us, at_us)
        await store.close()

    now_us = SystemClock().now()
    asyncio.run(mark("here", now_us))
    asyncio.run(mark("gone", now_us - 2 * MINUTE_US))
    assert gateway.json("reconcile")["silent_hosts"][0]["host"] == "gone"
    gateway.run("hosts", "retire", "gone", code=2)
    gateway.run("hosts", "retire", "here", "--yes", code=1)
    gateway.run("hosts", "retire", "other", "--yes", code=1)
    assert gateway.json("hosts", "retire", "gone", "--yes") == {"retired": "gone"}
    assert [one["host"] for one in gateway.json("hosts", "list")] == ["here"]
    assert not gateway.json("reconcile")["silent_hosts"]
