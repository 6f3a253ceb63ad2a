"""Invoices rated and made final per second: N subscriptions whose month is over, one process, one core.

    taskset -c 0 .venv/bin/python benchmarks/billing/finalize.py [N=10000] [FOLDER]

Each invoice has a fee and a graduated price on usage read from rollups; every commit is durable.
"""

import asyncio
import logging
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from gateway.clock import ManualClock
from gateway.config.compile import compile_snapshot
from gateway.ids import uuid7
from gateway.invoicing.following import BillingDesk
from gateway.metering.ports import Frame, Position
from gateway.metering.record import CallRecord, encode
from gateway.period import to_us
from gateway.storage.ports import PLATFORM
from gateway.storage.store import open_store

PRICE = {
    "type": "graduated",
    "tiers": [{"up_to": 10000, "unit": "0"}, {"up_to": 100000, "unit": "0.001"}, {"unit": "0.0005"}],
}


def document(count: int) -> dict[str, object]:
    return {
        "upstreams": {"api": {"targets": ["http://127.0.0.1:1"]}},
        "routes": {"api": {"match": {"paths": ["/"]}, "upstream": "api"}},
        "plans": {"pro": {"billing": {"month": {"amount": "99"}}, "prices": [PRICE]}},
        "tenants": {f"t{n}": {"plan": "pro", "start": "2025-01-01"} for n in range(count)},
    }


def frame(number: int) -> Frame:
    at_us = to_us(datetime(2025, 1, 15, tzinfo=UTC))
    units = {"calls": 7 * number + 1}
    record = CallRecord(
        id=uuid7(at_us), at_us=at_us, tenant=f"t{number}", route="api", method="GET", path="/", status=200,
        outcome="ok", units=units, quota_units=units, counted=True, billable=True,
    )  # fmt: skip
    return Frame(Position("bench", number + 1), encode(record))


async def main(count: int, folder: Path) -> None:
    logging.disable(logging.CRITICAL)
    snapshot = compile_snapshot(document(count), folder, 1)
    store = await open_store("sqlite:///gateway.db", folder)
    clock = ManualClock(to_us(datetime(2025, 1, 1, tzinfo=UTC)))
    desk = BillingDesk(store, lambda: snapshot, clock)
    await store.tenants.sync_yaml(PLATFORM, list(snapshot.tenants.values()), [], clock.now())
    start, cpu = time.perf_counter(), time.process_time()
    made = len((await desk.run()).final)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{count} begun, {made} first invoices in {seconds:.1f} s: {made / seconds:.0f} a second")
    print(f"{cpu / made * 1e3:.2f} ms of CPU for each of these: {made / cpu:.0f} a second of CPU")
    for first in range(0, count, 1000):
        await store.ledger.post("bench", [frame(n) for n in range(first, min(count, first + 1000))])
    clock.now_us = to_us(datetime(2025, 2, 2, tzinfo=UTC))
    start, cpu = time.perf_counter(), time.process_time()
    made = len((await desk.run()).final)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{made} cycles closed, rated and final in {seconds:.1f} s: {made / seconds:.0f} a second")
    print(f"{cpu / made * 1e3:.2f} ms of CPU for each of these: {made / cpu:.0f} a second of CPU")
    await store.close()


if __name__ == "__main__":
    subscriptions = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as made_folder:
        asyncio.run(main(subscriptions, Path(sys.argv[2]) if len(sys.argv) > 2 else Path(made_folder)))
