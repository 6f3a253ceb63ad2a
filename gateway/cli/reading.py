"""What the reading commands share: configuration, store and spool opened together, gateway running or not."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from gateway.cli.common import EXIT_USAGE, fail, say
from gateway.clock import SystemClock
from gateway.config.loader import load
from gateway.config.snapshot import Snapshot
from gateway.config.units import parse_duration
from gateway.period import from_us, to_us
from gateway.runtime import paths
from gateway.runtime.data_dir import prepare
from gateway.spool.reader import SpoolReader
from gateway.storage.location import is_missing
from gateway.storage.ports import PLATFORM
from gateway.storage.store import Store, open_store
from gateway.tenants.model import Tenant

Result = TypeVar("Result")

DEMO_COMMANDS = Path("data/demo/commands.yaml")
DEMO_HINT = f"; the demo's data: -c {DEMO_COMMANDS}"


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that a reading command reads from."""

    snapshot: Snapshot
    store: Store
    spool: SpoolReader
    now_us: int

    async def tenant(self, id: str) -> Tenant:
        """A tenant of the store, or one of the files that no gateway has loaded yet; leaves when there is none."""
        found = await self.store.tenants.get(PLATFORM, id) or self.snapshot.tenants.get(id)
        return found or fail(f"there is no tenant {id}")


@asynccontextmanager
async def opened(config: Path) -> AsyncIterator[Reading]:
    """Open for reading. A store that is not there yet is made; one of an older schema is left to ``migrate``."""
    snapshot = load(config, os.environ)
    is_there = not is_missing(snapshot.store_url, snapshot.folder)
    if not is_there:
        _first_look(config, snapshot)
    store = await open_store(snapshot.store_url, snapshot.folder, migrate=not is_there)
    spool = SpoolReader(paths.spool(snapshot.data_dir))
    try:
        yield Reading(snapshot, store, spool, SystemClock().now())
    finally:
        spool.close()
        await store.close()


def _first_look(config: Path, snapshot: Snapshot) -> None:
    """The store is made by whoever comes first; a person who looks for the demo's data is told where it is."""
    prepare(snapshot.data_dir)
    say(f"no gateway has run with {config} yet{DEMO_HINT if DEMO_COMMANDS.exists() else ''}")


def read(config: Path, work: Callable[[Reading], Awaitable[Result]]) -> Result:
    """Run one reading command."""

    async def run() -> Result:
        async with opened(config) as reading:
            return await work(reading)

    return asyncio.run(run())


def rfc3339(us: int) -> str:
    """An instant as JSON and tables show it, to the millisecond, UTC."""
    return from_us(us).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_since(text: str, now_us: int) -> int | None:
    """``2026-11-01``, ``2026-11-01T10:00:00Z`` (UTC unless stated) or a duration back from now such as ``2h``."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            return now_us - parse_duration(text)
        except ValueError:
            fail(f"--since {text}: expected a date, a time such as 2026-11-01T10:00:00Z, or 2h", EXIT_USAGE)
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
