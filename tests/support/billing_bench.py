"""A small gateway without processes: a store, a configuration, a clock set by hand, and calls posted at will."""

import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from gateway.clock import ManualClock
from gateway.config.compile import compile_snapshot
from gateway.config.snapshot import Snapshot
from gateway.ids import uuid7
from gateway.invoicing.following import BillingDesk
from gateway.metering.ports import Frame, Position
from gateway.metering.record import CallRecord, encode
from gateway.period import to_us
from gateway.storage.billing_values import InvoiceRow, LineRow
from gateway.storage.migrate import migrate
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store, open_store

DOCUMENT = {
    "upstreams": {"api": {"targets": ["http://127.0.0.1:1"]}},
    "routes": {"api": {"match": {"paths": ["/"]}, "upstream": "api"}},
    "plans": {
        "free": {},
        "pro": {
            "billing": {"month": {"amount": "99"}, "year": {"amount": "990"}},
            "prices": [
                {
                    "type": "graduated",
                    "tiers": [
                        {"up_to": 10000, "unit": "0"},
                        {"up_to": 100000, "unit": "0.001"},
                        {"unit": "0.0005"},
                    ],
                }
            ],
        },
        "volume": {
            "prices": [{"type": "volume", "tiers": [{"up_to": 100, "unit": "0.10"}, {"unit": "0.05"}]}],
        },
    },
    "tenants": {"acme": {"plan": "pro", "start": "2025-01-31"}, "vole": {"plan": "volume", "start": "2025-01-01"}},
}


def us(text: str) -> int:
    """The instant of an ISO text, UTC."""
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


class Bench:
    """The desk and what a test moves around it."""

    def __init__(self, store: Store, url: str, snapshot: Snapshot, clock: ManualClock, folder: Path) -> None:
        self.store, self.url, self.snapshot, self.clock, self.folder = store, url, snapshot, clock, folder
        self.desk = BillingDesk(store, lambda: self.snapshot, clock)
        self._sequence = 0

    def configure(self, **sections: object) -> None:
        """Another configuration: sections replaced."""
        document = {**{name: self.snapshot.source[name] for name in DOCUMENT}, **sections}
        self.snapshot = compile_snapshot(document, self.folder, self.snapshot.version + 1)

    async def load(self) -> None:
        """What the shipper does with a new configuration."""
        await self.store.tenants.sync_yaml(PLATFORM, list(self.snapshot.tenants.values()), [], self.clock.now())

    async def call(self, tenant: str, at: str, units: int = 1) -> None:
        """Post one call that counted ``units``."""
        self._sequence += 1
        record = CallRecord(
            id=uuid7(us(at)), at_us=us(at), tenant=tenant, key="k", route="api", method="GET", path="/", status=200,
            outcome="ok", units={"calls": units}, quota_units={"calls": units}, counted=True, billable=True,
        )  # fmt: skip
        await self.store.ledger.post("bench", [Frame(Position("bench", self._sequence), encode(record))])

    async def raw(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query as the store has them, past the product's own reading."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.folder / "gateway.db")) as database:
                return database.execute(query).fetchall()
        connection = await asyncpg.connect(self.url)
        try:
            return [tuple(row) for row in await connection.fetch(query)]
        finally:
            await connection.close()

    async def execute(self, statement: str) -> None:
        """Change the store behind the product's back."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.folder / "gateway.db")) as database:
                database.execute(statement)
                database.commit()
            return
        connection = await asyncpg.connect(self.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def at(self, text: str) -> None:
        """Move the clock, and run the job."""
        self.clock.now_us = us(text)
        await self.desk.run()

    async def invoices(self, tenant: str) -> list[tuple[InvoiceRow, list[LineRow]]]:
        """All of a tenant's invoices with their lines, oldest first."""
        rows = await self.desk.invoices(PLATFORM, tenant=tenant)
        rows.sort(key=lambda row: (row.sequence or 1 << 62, row.id))
        return [await self.desk.invoice(PLATFORM, row.id) for row in rows]


_migrated: list[bytes] = []


async def migrated() -> bytes:
    """An empty store's file: migrating for each test would take most of the time."""
    if not _migrated:
        with tempfile.TemporaryDirectory() as folder:
            await migrate("sqlite:///gateway.db", Path(folder))
            with closing(sqlite3.connect(Path(folder) / "gateway.db")) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            _migrated.append((Path(folder) / "gateway.db").read_bytes())
    return _migrated[0]


@asynccontextmanager
async def opened(folder: Path, url: str = "sqlite:///gateway.db") -> AsyncIterator[Bench]:
    """A bench at the beginning of 2025 that has loaded ``DOCUMENT``."""
    if url.startswith("sqlite"):
        (folder / "gateway.db").write_bytes(await migrated())
    store = await open_store(url, folder)
    made = Bench(store, url, compile_snapshot(DOCUMENT, folder, 1), ManualClock(us("2025-01-01")), folder)
    try:
        await made.load()
        yield made
    finally:
        await store.close()
