"""Rows shipped into the ledger per second on one core, and what reading it back costs.

``python benchmarks/ledger/ship.py [ROWS] [STORE_URL]`` (default 100,000 into SQLite; else an empty PostgreSQL
database): batches of 5,000 frames, as the shipper posts them, with durable commits. Prints one JSON object.
Time is CPU of this process, in which SQLite's own work is and PostgreSQL's is not; wall time beside it.
"""

import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.ids import uuid7
from gateway.metering.ports import Frame, Position
from gateway.metering.record import CallRecord, encode
from gateway.storage.batch import build
from gateway.storage.location import is_postgres
from gateway.storage.ports import PLATFORM, Scope, UsageQuery
from gateway.storage.store import Store, open_store

T0 = 1_800_000_000_000_000
BATCH = 5_000
STEP_US = 20_000  # 50 calls a second


def frames(count: int, incarnation: str = "bench-0-a", begin_us: int = T0) -> list[Frame]:
    """Calls as a small API makes them: three tenants, ten keys, four routes, two meters on half of them."""
    rng = random.Random(1)
    made = []
    for n in range(1, count + 1):
        at_us = begin_us + n * STEP_US
        units = {"calls": 1, "tokens": rng.randrange(1000)} if n % 2 else {"calls": 1}
        record = CallRecord(
            id=uuid7(at_us), at_us=at_us, tenant=f"tenant{n % 3}", key=f"key_{rng.randrange(10)}",
            route=f"route{rng.randrange(4)}", upstream="main", target="http://127.0.0.1:9001", method="GET",
            path=f"/weather/{rng.randrange(1000)}", status=rng.choice([200, 200, 200, 404, 500]), upstream_status=200,
            outcome="ok", request_bytes=120, response_bytes=900, units=units, quota_units=units, counted=True,
            billable=True, ttfb_us=1500, duration_us=rng.randrange(200_000), attempts=1, address="192.0.2.7",
            plan="0123456789ab",
        )  # fmt: skip
        made.append(Frame(Position(incarnation, n), encode(record)))
    return made


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    """Milliseconds of the second run."""
    await work()
    start = time.perf_counter()
    await work()
    return round((time.perf_counter() - start) * 1e3, 2)


async def reads(store: Store, count: int) -> dict[str, float]:
    """What a page asks, in milliseconds."""
    ledger, period = store.ledger, UsageQuery(T0, T0 + (count + 1) * STEP_US)
    tenant = Scope("tenant1")
    return {
        "totals_ms": await timed(lambda: ledger.totals(tenant, period)),
        "series_ms": await timed(lambda: ledger.series(tenant, period, "hour")),
        "top_tenants_ms": await timed(lambda: ledger.top_tenants(PLATFORM, period)),
        "newest_50_calls_ms": await timed(lambda: ledger.calls(tenant)),
        "count_ms": await timed(lambda: ledger.count_calls(tenant)),
        "quota_sum_ms": await timed(
            lambda: ledger.quota_sums(PLATFORM, "tenant1", "calls", T0 + 7, T0 + count * STEP_US - 7)
        ),
    }


def size_of(folder: Path) -> int:
    """Bytes of all files."""
    return sum(file.stat().st_size for file in folder.iterdir())


async def bytes_of(store: Store, folder: Path) -> int:
    """What the ledger takes on the disk."""
    if not is_postgres(store.database.name):
        return size_of(folder)
    async with store.database.read() as connection:
        return int((await connection.execute(sa.text("SELECT pg_database_size(current_database())"))).scalar_one())


async def main(count: int, url: str) -> dict[str, object]:
    """Post everything, then read."""
    spool = frames(count)
    with tempfile.TemporaryDirectory() as folder:
        store = await open_store(url, Path(folder))
        cpu = time.process_time()
        build(spool[:BATCH], 1, 0)
        decoding = (time.process_time() - cpu) / min(count, BATCH)
        cpu, wall = time.process_time(), time.perf_counter()
        for start in range(0, count, BATCH):
            await store.ledger.post("bench-0-a", spool[start : start + BATCH])
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        figures: dict[str, object] = {"rows": count, "rows_per_cpu_second": round(count / cpu)}
        figures |= {"rows_per_second": round(count / wall), "decode_and_add_us": round(decoding * 1e6, 2)}
        figures |= await reads(store, count)
        size = await bytes_of(store, Path(folder))
        await store.close()
        return figures | {"bytes_per_row": round(size / count)}


if __name__ == "__main__":
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    url = sys.argv[2] if len(sys.argv) > 2 else "sqlite:///gateway.db"
    print(json.dumps(asyncio.run(main(rows, url)), indent=2))
