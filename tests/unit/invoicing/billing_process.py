"""Runs the billing job once at a given time: ``python billing_process.py DOCUMENT URL FOLDER NOW_US``."""

import asyncio
import json
import sys
from pathlib import Path

from gateway.clock import ManualClock
from gateway.config.compile import compile_snapshot
from gateway.errors import StoreUnavailable
from gateway.invoicing.following import BillingDesk
from gateway.storage.store import open_store


async def main(document: dict[str, object], url: str, folder: Path, now_us: int) -> None:
    snapshot = compile_snapshot(document, folder, 1)
    store = await open_store(url, folder)
    desk, made = BillingDesk(store, lambda: snapshot, ManualClock(now_us)), 0
    while True:
        try:
            made += len((await desk.run()).final)
            break
        except StoreUnavailable:  # ten writers on a busy machine: the job, too, tries again
            continue
    await store.close()
    print(made)


asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
