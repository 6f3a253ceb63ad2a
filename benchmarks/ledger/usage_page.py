"""What a usage page costs over the rollups of many calls, in milliseconds, and how that grows.

``python benchmarks/ledger/usage_page.py [URL]`` (default: SQLite in a temporary folder): months of rollups are written
straight into the tables, for 10 keys, 4 routes, 3 status classes and 2 meters of one tenant, with 10⁸ calls in the last
month, beside 20 other tenants of a tenth of that. Prints one JSON object; each figure is the median of 9 reads.
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


async def fill(store: Store, tenant: str, cells: list[tuple[str, str, int]]) -> None:
    """One tenant's month."""
    latency = dict.fromkeys(schema.LATENCY_COLUMNS, 0) | {"d3": CALLS}
    sums = {"calls": CALLS, "billable": CALLS, "request_bytes": CALLS * 120, "response_bytes": CALLS * 900}
    for day in range(DAYS):
        quarters = [T0 + day * DAY_US + n * QUARTER_US for n in range(96)]
        keys = [
            {"tenant": tenant, "quarter_us": quarter, "key": key, "route": route, "status_class": status}
            for quarter in quarters
            for key, route, status in cells
        ]
        units = [one | {"meter": m, "units": CALLS, "quota_units": CALLS} for one in keys for m in ("calls", "tokens")]
        async with store.database.write() as connection:
            await connection.execute(sa.insert(schema.rollups), [one | sums | latency for one in keys])
            await connection.execute(sa.insert(schema.rollup_units), units)
            await coarsen(connection, schema.rollups, schema.rollup_sums, [one | sums | latency for one in keys])
            await coarsen(connection, schema.rollup_units, schema.rollup_unit_sums, units)


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
    """What the page asks for a month."""
    ledger, scope, query = store.ledger, Scope("acme"), UsageQuery(start_us, T0 + DAYS * DAY_US)
    figures = {
        "totals": await timed(lambda: ledger.totals(scope, query)),
        "days": await timed(lambda: ledger.series(scope, query, "day", zone)),
        "routes": await timed(lambda: ledger.breakdown(scope, query, "route")),
        "keys": await timed(lambda: ledger.breakdown(scope, query, "key")),
        "latency": await timed(lambda: ledger.latency(scope, query)),
    }
    return figures | {"page": round(sum(figures.values()), 1)}


async def main(url: str) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(url, Path(folder))
        await fill(store, "acme", CELLS)
        for number in range(20):
            await fill(store, f"other{number:02}", CELLS[:12])
        figures = {
            "calls": CALLS * DAYS * 96 * len(CELLS),
            "cells": DAYS * 96 * len(CELLS),
            "month_utc_ms": await page(store, ZoneInfo("UTC")),
            "month_kathmandu_ms": await page(store, ZoneInfo("Asia/Kathmandu"), T0 + 18_900_000_000),
            "day_ms": await page(store, ZoneInfo("UTC"), T0 + (DAYS - 1) * DAY_US),
        }
        await store.close()
        return figures


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///ledger.db")), indent=2))
