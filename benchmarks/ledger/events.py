"""Events a second through ``POST /api/v1/events``, in batches, over a socket; every way in which a meter aggregates.

    python benchmarks/ledger/events.py [EVENTS] [BATCH] [STORE_URL]    (default 50,000, 5,000, SQLite in a new folder)

Client and API share one process, so its CPU holds both ends; the CPU of a PostgreSQL is not in it. Prints JSON:
events new, and the same ones again, which all are duplicates.
"""

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from support.api_world import NOW_US, ApiWorld, open_api

from gateway.period import from_us

TYPES = ("job.done", "storage.used", "seats.used", "seats.now", "job.begun")


def batches(count: int, size: int) -> list[bytes]:
    """Bodies as a reporter sends them."""
    at = from_us(NOW_US).isoformat().replace("+00:00", "Z")

    def event(number: int) -> dict[str, object]:
        data = {"size": {"units": number % 50}, "gb": number % 900, "person": f"p{number % 100}", "n": number % 20}
        kind = TYPES[number % len(TYPES)]
        return {"specversion": "1.0", "id": f"e{number}", "source": "/jobs", "type": kind, "time": at, "data": data}

    return [msgspec.json.encode([event(n) for n in range(start, start + size)]) for start in range(0, count, size)]


async def report(world: ApiWorld, bodies: list[bytes], headers: dict[str, str], wanted: str) -> tuple[float, float]:
    """Send everything, one request after the other; CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    for body in bodies:
        async with world.client.post("/api/v1/events", data=body, headers=headers) as response:
            told = await response.read()
            assert response.status == 200, told[:300]
        found = msgspec.json.decode(told)
        assert found[wanted] == len(found["results"]), found
    return time.process_time() - cpu, time.perf_counter() - wall


async def main(count: int, size: int, url: str) -> dict[str, object]:
    """One round of new events, one of repeats."""
    figures: dict[str, object] = {"events": count, "batch": size, "store": url.partition(":")[0]}
    with tempfile.TemporaryDirectory() as folder:
        async with open_api(Path(folder), store_url=url) as world:
            headers = {
                "Authorization": f"Bearer {await world.enter('admin')}",
                "Content-Type": "application/cloudevents-batch+json",
                "X-Tenant-Id": "acme",
            }
            bodies = batches(count, size)
            for name, wanted in (("new", "accepted"), ("repeated", "duplicates")):
                cpu, wall = await report(world, bodies, headers, wanted)
                figures |= {f"{name}_per_second": round(count / wall), f"{name}_per_cpu_second": round(count / cpu)}
    return figures


if __name__ == "__main__":
    given = sys.argv[1:]
    print(
        json.dumps(
            asyncio.run(
                main(
                    int(given[0]) if given else 50_000,
                    int(given[1]) if len(given) > 1 else 5_000,
                    given[2] if len(given) > 2 else "sqlite:///events.db",
                )
            ),
            indent=2,
        )
    )
