"""How the ledger's costs grow with its rows, on one store after the other.

``python benchmarks/ledger/growth.py [ROWS] [sqlite | postgresql]`` (default 1,000,000 rows, both; 10,000,000 rows take
some 4 GB of disk and a few minutes a store). At each power of ten from 100,000 on: rows posted a second, by the
processor's time of this process (in which a PostgreSQL is not) and by the clock; what a page asks, in milliseconds; and
bytes a row. Only what is measured is posted: the rows before are made by copying within the store, with new ids and
later times, and have no rollups (``usage_page.py`` measures those).
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

import asyncpg

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from support.services import running_postgres

from benchmarks.ledger import ship
from gateway.ids import uuid7
from gateway.storage import schema
from gateway.storage.location import is_postgres
from gateway.storage.store import Store, open_store

FIRST = 100_000
MEASURED = 50_000
FILE = "growth.db"
COLUMNS = schema.calls.columns.keys()


def copying(new_id: str) -> str:
    """Statement that copies the oldest ``{count}`` rows behind the newest, which is number ``{have}``."""
    shifted = {"posting": "posting + {have}", "sequence": "sequence + {have}", "at_us": "at_us + {shift}", "id": new_id}
    names, values = ", ".join(f'"{n}"' for n in COLUMNS), ", ".join(shifted.get(n, f'"{n}"') for n in COLUMNS)
    return f"INSERT INTO calls ({names}) SELECT {values} FROM calls WHERE posting <= {{count}}"


ON_SQLITE = copying("uuid7(at_us + {shift})")
ON_POSTGRES = copying(
    "substring(int8send((at_us + {shift}) / 1000) from 3 for 6) "
    "|| substring(sha256(id || int8send(posting + {have})) from 1 for 10)"
)
HEAD = "UPDATE heads SET sequence = {want} WHERE name = 'ledger'"


async def grow(url: str, folder: Path, have: int, want: int) -> None:
    """Copy until there are ``want`` rows."""
    steps = []
    while have < want:
        count = min(have, want - have)
        steps.append({"have": have, "count": count, "shift": have * ship.STEP_US})
        have += count
    if is_postgres(url):
        connection = await asyncpg.connect(url)
        for step in steps:
            await connection.execute(ON_POSTGRES.format(**step))
        await connection.execute(HEAD.format(want=want))
        await connection.execute("VACUUM ANALYZE calls")  # as autovacuum does in time
        await connection.close()
        return
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as file:
        file.create_function("uuid7", 1, uuid7)
        for step in steps:
            file.execute(ON_SQLITE.format(**step))
        file.execute(HEAD.format(want=want))


async def post(store: Store, have: int) -> tuple[float, float]:
    """Rows a second of the processor's time and of the clock."""
    name = f"bench-0-{have}"
    frames = ship.frames(MEASURED, name, ship.T0 + have * ship.STEP_US)
    cpu, wall = time.process_time(), time.perf_counter()
    for start in range(0, MEASURED, ship.BATCH):
        await store.ledger.post(name, frames[start : start + ship.BATCH])
    return MEASURED / (time.process_time() - cpu), MEASURED / (time.perf_counter() - wall)


async def measure(url: str, folder: Path, most: int) -> None:
    """Every size up to ``most``, a line each."""
    engine = url.partition(":")[0]
    store, have, want = await open_store(url, folder), 0, FIRST
    for start in range(0, FIRST, MEASURED):
        await post(store, start)
        have += MEASURED
    while True:
        await grow(url, folder, have, want)
        by_cpu, by_clock = await post(store, want)
        have = want + MEASURED
        reads = await ship.reads(store, have)
        size = await ship.bytes_of(store, folder)
        told = ", ".join(f"{name.removesuffix('_ms').replace('_', ' ')} {ms:.1f}" for name, ms in reads.items())
        print(
            f"proof: {engine}, {want:,} rows: {by_cpu:,.0f} rows posted a CPU second, {by_clock:,.0f} by the clock; "
            f"{size / have:.0f} bytes a row; ms: {told}",
            flush=True,
        )
        if want >= most:
            break
        want = min(want * 10, most)
    await store.close()


def main() -> None:
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for engine in sys.argv[2:] or ["sqlite", "postgresql"]:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = f"sqlite:///{FILE}"
            if engine == "postgresql":
                url = stack.enter_context(running_postgres()).create_database("growth")
            asyncio.run(measure(url, folder, most))


if __name__ == "__main__":
    main()
