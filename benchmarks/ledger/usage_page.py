"""What a usage page costs over the rollups of many calls, in milliseconds, and how that grows.

``python benchmarks/ledger/usage_page.py [URL]`` (default: SQLite in a temporary folder): rollups are written straight
into the tables, for 10 keys, 4 routes, 3 status classes and 2 meters of one tenant: 10⁸ calls in the last month and in
each of the eleven before, beside 5 other tenants of a tenth of that. Prints one JSON object: for each page what it
asks and the sum, each figure the median of 9 reads, and the processor's time for a whole page.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.metering.rollup import coarsened
from gateway.storage import schema
from gateway.storage.ports import Scope, UsageQuery
from gateway.storage.store import Store, open_store

DAY_US, QUARTER_US = 86_400_000_000, 900_000_000
T0 = 1_799_971_200_000_000 // DAY_US * DAY_US
DAYS = 31
CELLS = [(f"key_{key}", f"route_{route}", status) for key in range(10) for route in range(4) for status in (2, 4, 5)]
CALLS = 10**8 // (DAYS * 96 * len(CELLS))
READS = 9
OTHERS = 5


async def fill(store: Store, tenant: str, cells: list[tuple[str, str, int]], day: int) -> None:
    """One tenant's day."""
    latency = dict.fromkeys(schema.LATENCY_COLUMNS, 0) | {"d3": CALLS}
    sums = {"calls": CALLS, "billable": CALLS, "request_bytes": CALLS * 120, "response_bytes": CALLS * 900} | latency
    keys = [
        {"tenant": tenant, "quarter_us": quarter, "key": key, "route": route, "status_class": status}
        for quarter in (T0 + day * DAY_US + n * QUARTER_US for n in range(96))
        for key, route, status in cells
    ]
    units = [one | {"meter": m, "units": CALLS, "quota_units": CALLS} for one in keys for m in ("calls", "tokens")]
    rows = [one | sums for one in keys]
    async with store.database.write() as connection:
        await connection.execute(sa.insert(schema.rollups), rows)
        await connection.execute(sa.insert(schema.rollup_units), units)
        await coarsen(connection, schema.rollups, schema.rollup_sums, rows)
        await coarsen(connection, schema.rollup_units, schema.rollup_unit_sums, units)


async def earlier(store: Store, tenant: str, months: int) -> None:
    """The months before, by copying the last one: all of their coarse sums, and the quarter hours of their ends."""
    async with store.database.write() as connection:
        for table in (schema.rollups, schema.rollup_units, schema.rollup_sums, schema.rollup_unit_sums):
            names = [column.name for column in table.columns]
            for month in range(1, months):
                shifted = [table.c[n] - month * DAYS * DAY_US if n == "quarter_us" else table.c[n] for n in names]
                where = [table.c.tenant == tenant, table.c.quarter_us >= T0]
                if "kind" not in names:
                    where.append(table.c.quarter_us < T0 + DAY_US)
                await connection.execute(sa.insert(table).from_select(names, sa.select(*shifted).where(*where)))


async def coarsen(connection: AsyncConnection, fine: sa.Table, coarse: sa.Table, rows: list[dict[str, Any]]) -> None:
    """The coarser sums of one day's rows, as posting makes them."""
    identity = [column.name for column in fine.primary_key]
    sums = [column.name for column in fine.columns if not column.primary_key]
    cells = {tuple(row[name] for name in identity): [row[name] for name in sums] for row in rows}
    names = [column.name for column in coarse.columns]
    found = [dict(zip(names, (*key, *figures), strict=True)) for key, figures in coarsened(cells).items()]
    await connection.execute(sa.insert(coarse), found)


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    """The median of a few reads, in milliseconds."""
    figures = []
    for _ in range(READS):
        start = time.perf_counter()
        await work()
        figures.append((time.perf_counter() - start) * 1e3)
    return round(statistics.median(figures), 1)


async def page(store: Store, zone: ZoneInfo, start_us: int = T0) -> dict[str, float]:
    """What the portal's page asks: twelve months, and of one of them routes, keys and days; and the API its totals."""
    ledger, scope, query = store.ledger, Scope("acme"), UsageQuery(start_us, T0 + DAYS * DAY_US)
    months = [(start_us - n * DAYS * DAY_US, start_us - (n - 1) * DAYS * DAY_US) for n in range(12)]
    reads: dict[str, Callable[[], Awaitable[Any]]] = {
        "months": lambda: ledger.periods(scope, months),
        "days": lambda: ledger.series(scope, query, "day", zone),
        "routes_and_keys": lambda: ledger.breakdowns(scope, query, ("route", "key")),
        "totals": lambda: ledger.totals(scope, query),
        "latency": lambda: ledger.latency(scope, query),
    }
    figures = {name: await timed(read) for name, read in reads.items()}
    before = time.process_time()
    for read in reads.values():
        await read()
    cpu = round((time.process_time() - before) * 1e3, 1)
    return figures | {"page": round(sum(figures.values()), 1), "page_cpu": cpu}


async def main(url: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(url, Path(folder))
        for day in range(DAYS):
            await fill(store, "acme", CELLS, day)
            for number in range(OTHERS):
                await fill(store, f"other{number}", CELLS[:12], day)
        await earlier(store, "acme", 12)
        kathmandu = ZoneInfo("Asia/Kathmandu")
        figures = {
            "calls_in_the_month": CALLS * DAYS * 96 * len(CELLS),
            "cells_in_the_month": DAYS * 96 * len(CELLS),
            "month_utc_ms": await page(store, ZoneInfo("UTC")),
            "month_kathmandu_ms": await page(store, kathmandu, T0 - 20_700_000_000),
            "month_auckland_ms": await page(store, ZoneInfo("Pacific/Auckland"), T0 - DAY_US // 2),
            "day_ms": await page(store, ZoneInfo("UTC"), T0 + (DAYS - 1) * DAY_US),
        }
        await store.close()
        return figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///ledger.db")), indent=2))
