"""Months of calls on PostgreSQL: each is a partition by range of id, since a call's id begins with its time (UUIDv7).

A month's partition is made by whoever posts its first call. Ids of no sensible time go to the default partition.
"""

from collections.abc import Iterable
from datetime import UTC, datetime

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.postgres import PARTITION_LOCK, lock

FIRST_YEAR, LAST_YEAR = 2020, 2099
"""Outside of these years an id's time is no time; within, no row is ever in the default partition."""

_DAY_MS = 86_400_000
_PATIENCE_MS = 1_000  # posters wait while a month is emptied
_LOCK_NOT_AVAILABLE = "55P03"


def months_of(ids: Iterable[object]) -> set[int]:
    """The months of some ids, each as ``year * 12 + month - 1``; without those that have no partition."""
    days = {int.from_bytes(id[:6], "big") // _DAY_MS for id in ids if isinstance(id, bytes)}
    return {month for day in days if (month := _month_of(day)) is not None}


def _month_of(day: int) -> int | None:
    try:
        date = datetime.fromtimestamp(day * 86_400, UTC)
    except (OverflowError, ValueError, OSError):
        return None
    return date.year * 12 + date.month - 1 if FIRST_YEAR <= date.year <= LAST_YEAR else None


def partition_name(month: int) -> str:
    """``calls_2026_11``."""
    return f"calls_{month // 12}_{month % 12 + 1:02d}"


def _bound(month: int) -> str:
    """The first id of a month, as SQL writes bytes."""
    start = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
    return f"'\\x{int(start.timestamp() * 1000).to_bytes(6, 'big').hex()}{'00' * 10}'"


async def make_partitions(connection: asyncpg.Connection, months: set[int]) -> set[int]:
    """Make the partitions that are missing; returns ``months``. Safe with many hosts at once.

    A table is made first and attached then: reading goes on meanwhile.
    """
    for month in sorted(months):
        name = partition_name(month)
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", PARTITION_LOCK)
            if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name):
                continue
            await connection.execute(f"CREATE TABLE {name} (LIKE calls INCLUDING DEFAULTS)")
            bounds = f"FROM ({_bound(month)}) TO ({_bound(month + 1)})"
            await connection.execute(f"ALTER TABLE calls ATTACH PARTITION {name} FOR VALUES {bounds}")
    return months


async def empty_months(connection: AsyncConnection, before_us: int) -> list[str]:
    """Truncate the partitions of months before an instant that hold pages and no row; the tables stay, since whoever
    posts takes a month's table for there once it was made. The caller holds the ledger's head."""
    last = _month_of(before_us // (_DAY_MS * 1000))
    if last is None:
        return []
    await lock(connection, PARTITION_LOCK)
    query = sa.text(
        "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
        "WHERE inhparent = to_regclass('calls') AND child.relname ~ '^calls_[0-9]{4}_[0-9]{2}$' "
        "AND pg_relation_size(child.oid) > 0 ORDER BY child.relname"
    )
    emptied = []
    for (name,) in (await connection.execute(query)).all():
        if name >= partition_name(last):
            continue
        if (await connection.execute(sa.text(f"SELECT 1 FROM {name} LIMIT 1"))).first() is None:  # noqa: S608
            try:
                async with connection.begin_nested():
                    await connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_PATIENCE_MS}ms'"))
                    await connection.execute(sa.text(f"TRUNCATE {name}"))
            except sa.exc.DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                    raise
                break  # somebody reads for long, and posters wait for us: the next run tries again
            emptied.append(name)
    return emptied
