"""Ten processes run the billing job at once (fewer in `make test` on PostgreSQL): each invoice is made once, numbers
have no gap."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from gateway.billing.numbering import check_series
from gateway.storage.ports import PLATFORM

PROVE = os.environ.get("PROVE") == "1"


async def test_each_invoice_is_made_once(bench: Any, tmp_path: Path) -> None:
    processes = 10 if PROVE or bench.url.startswith("sqlite") else 4
    tenants = {f"t{n}": {"plan": "pro", "start": "2025-01-15"} for n in range(20)}
    bench.configure(tenants=tenants)
    await bench.load()
    for n in range(20):
        await bench.call(f"t{n}", "2025-02-01T00:00:00", n * 10_000)
    document = tmp_path / "document.json"
    document.write_text(
        json.dumps({name: bench.snapshot.source[name] for name in ("upstreams", "routes", "plans", "tenants")})
    )
    now_us = 1_746_057_600_000_000  # 1 May 2025
    script = Path(__file__).with_name("billing_process.py")
    command = [sys.executable, str(script), str(document), bench.url, str(tmp_path), str(now_us)]
    started = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for _ in range(processes)]
    made = [int((await one.communicate())[0]) for one in started]
    assert [one.returncode for one in started] == [0] * processes
    rows = await bench.desk.invoices(PLATFORM, limit=1000)
    assert sum(made) <= len(rows) == 20 * 4  # a run that was broken off told nobody what it had made
    assert len({(row.tenant, row.reason, row.start_us) for row in rows}) == len(rows)
    assert not check_series(row.sequence for row in rows)
    for row in rows:
        assert (await bench.desk.verify(PLATFORM, row.id)).holds
