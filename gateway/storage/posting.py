"""Posting batches to the ledger, and the marks that tell how far it is (SEMANTICS §26, §29)."""

from collections.abc import Sequence
from typing import Protocol, cast

import sqlalchemy as sa

from gateway.metering.ports import Frame
from gateway.storage import schema
from gateway.storage.batch import check_sequence
from gateway.storage.engine import Database, SqliteDatabase
from gateway.storage.ports import Scope
from gateway.storage.scoping import platform_only
from gateway.storage.sqlite_posting import SqlitePoster
from gateway.storage.values import HostMark


class Poster(Protocol):
    """The bulk path, one adapter an engine: each batch is one transaction."""

    async def post(self, incarnation: str, frames: Sequence[Frame]) -> int: ...
    async def skip(self, incarnation: str, first: int, last: int, reason: str) -> int: ...
    async def close(self) -> None: ...


class Posting:
    """The ledger's writing side."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._poster = _poster(database)

    async def post(self, incarnation: str, frames: Sequence[Frame]) -> int:
        """Post one batch and move its cursor in the same transaction; returns where the cursor stands.

        A batch that does not start right after its cursor is skipped whole. Records that cannot become rows go to
        quarantine, and are logged. Raises ``StoreUnavailable``; then nothing is written.
        """
        if not frames:
            raise ValueError("an empty batch")
        check_sequence(incarnation, frames)
        return await self._poster.post(incarnation, frames)

    async def skip(self, incarnation: str, first: int, last: int, reason: str) -> int:
        """Give up the entries ``first`` to ``last``, which the spool lost: the cursor moves over them, and quarantine
        keeps the stretch as a difference. Returns where the cursor stands; skipped unless it stood right before."""
        return await self._poster.skip(incarnation, first, last, reason)

    async def cursors(self, scope: Scope) -> dict[str, int]:
        """How far each incarnation is posted."""
        platform_only(scope)
        table = schema.cursors
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(table.c.incarnation, table.c.sequence))
            return {row.incarnation: row.sequence for row in rows}

    async def posting_sequence(self, scope: Scope) -> int:
        """The newest posting: it moves with every batch that has calls."""
        platform_only(scope)
        query = sa.select(schema.heads.c.sequence).where(schema.heads.c.name == "ledger")
        async with self._database.read() as connection:
            return cast(int, (await connection.execute(query)).scalar_one())

    async def mark_host(self, scope: Scope, host: str, complete_until_us: int, now_us: int) -> None:
        """Note that everything of a host before ``complete_until_us`` is posted; the mark never moves back."""
        platform_only(scope)
        table = schema.hosts
        later = sa.case((table.c.complete_until_us > complete_until_us, table.c.complete_until_us))
        values = {"complete_until_us": sa.func.coalesce(later, complete_until_us), "reported_us": now_us}
        async with self._database.write() as connection:
            updated = await connection.execute(sa.update(table).where(table.c.host == host).values(**values))
            if not updated.rowcount:
                row = {"host": host, "complete_until_us": complete_until_us, "reported_us": now_us}
                await connection.execute(sa.insert(table).values(**row))

    async def hosts(self, scope: Scope) -> list[HostMark]:
        """Every host's mark; one that reported long ago is silent and holds ``complete_until`` back."""
        platform_only(scope)
        table = schema.hosts
        async with self._database.read() as connection:
            rows = await connection.execute(sa.select(table).order_by(table.c.host))
            return [HostMark(row.host, row.complete_until_us, row.reported_us) for row in rows]

    async def retire_host(self, scope: Scope, host: str) -> bool:
        """A host holds ``complete_until`` back no longer; it counts again as soon as it reports."""
        platform_only(scope)
        table = schema.hosts
        async with self._database.write() as connection:
            return bool((await connection.execute(sa.delete(table).where(table.c.host == host))).rowcount)

    async def complete_until(self, scope: Scope) -> int:
        """The instant before which the ledger is complete, in microseconds; 0 when nothing was ever shipped."""
        return min((mark.complete_until_us for mark in await self.hosts(scope)), default=0)

    async def close(self) -> None:
        """Let a batch under way end, and close the connection."""
        await self._poster.close()


def _poster(database: Database) -> Poster:
    """The bulk path of each engine; PostgreSQL's driver is loaded for PostgreSQL only."""
    if isinstance(database, SqliteDatabase):
        return SqlitePoster(database.path)
    from gateway.storage.postgres import PostgresDatabase
    from gateway.storage.postgres_posting import PostgresPoster

    assert isinstance(database, PostgresDatabase), database
    return PostgresPoster(database.url)
