"""The change sequence: what workers must learn about tenants and keys, in commit order (SEMANTICS §31)."""

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage import schema
from gateway.storage.engine import Database, SqliteDatabase, connect_to_look
from gateway.storage.ports import Scope
from gateway.storage.rows import key_of, tenant_of
from gateway.storage.scoping import platform_only
from gateway.storage.values import Change, ChangeKind
from gateway.tenants.model import Key, Tenant

Changed = tuple[ChangeKind, str, str]
"""Kind, tenant, id."""

CHANNEL = "gateway_changes"
"""What PostgreSQL's NOTIFY names."""

Item = TypeVar("Item")
_PARAMETERS = 500  # well under SQLite's limit of bound variables


@dataclass(frozen=True, slots=True)
class State:
    """All tenants and keys as of one change sequence."""

    sequence: int
    tenants: tuple[Tenant, ...]
    keys: tuple[Key, ...]


async def advance(connection: AsyncConnection, name: str, count: int) -> int:
    """Take ``count`` numbers of a head and return the last one given before.

    The head's row stays locked until the commit, so a number is never visible before a smaller one.
    """
    heads = schema.heads
    statement = sa.update(heads).where(heads.c.name == name).values(sequence=heads.c.sequence + count)
    last = (await connection.execute(statement.returning(heads.c.sequence))).scalar_one()
    return cast(int, last) - count


async def append_changes(connection: AsyncConnection, changed: Sequence[Changed]) -> int:
    """Record changes in the transaction that makes them; returns the last sequence."""
    before = await advance(connection, "changes", len(changed))
    if changed:
        rows = [
            {"sequence": before + place, "kind": kind, "tenant": tenant, "id": id}
            for place, (kind, tenant, id) in enumerate(changed, 1)
        ]
        await connection.execute(sa.insert(schema.changes), rows)
        if connection.dialect.name == "postgresql":  # heard when the transaction commits
            await connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))
    return before + len(changed)


class Changes:
    """The feed that the shipper polls."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._bell = _bell(database)
        self._glance = Glance(database.path) if isinstance(database, SqliteDatabase) else None

    async def wait(self, scope: Scope, seconds: float) -> None:
        """Until there may be a change: at once when the store tells (PostgreSQL), else after ``seconds``."""
        platform_only(scope)
        await self._bell.wait(seconds)

    async def close(self) -> None:
        """Hear no more."""
        if self._glance is not None:
            self._glance.close()
        await self._bell.close()

    async def latest(self, scope: Scope) -> int:
        """The newest sequence; 0 before the first change."""
        platform_only(scope)
        async with self._database.read() as connection:
            return await _head(connection)

    async def since(self, scope: Scope, sequence: int, limit: int = 1000) -> list[Change]:
        """The changes after ``sequence``, in order."""
        platform_only(scope)
        if self._glance is not None and self._glance() == sequence:
            return []
        table = schema.changes
        query = sa.select(table).where(table.c.sequence > sequence).order_by(table.c.sequence).limit(limit)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [Change(row.sequence, row.kind, row.tenant, row.id) for row in rows]

    async def load_state(self, scope: Scope) -> State:
        """Everything, in one consistent view."""
        platform_only(scope)
        async with self._database.read() as connection:
            sequence = await _head(connection)
            tenants = (await connection.execute(sa.select(schema.tenants).order_by(schema.tenants.c.id))).all()
            ordered = sa.select(schema.keys).order_by(schema.keys.c.tenant, schema.keys.c.id)
            keys = (await connection.execute(ordered)).all()
        return State(sequence, tuple(map(tenant_of, tenants)), tuple(map(key_of, keys)))

    async def load_changed(self, scope: Scope, changes: Iterable[Change]) -> tuple[list[Tenant], list[Key]]:
        """The present rows that changes name: what a delta carries."""
        platform_only(scope)
        tenant_ids: set[str] = set()
        key_ids: set[tuple[str, str]] = set()
        for change in changes:
            if change.kind == "tenant":
                tenant_ids.add(change.id)
            elif change.kind == "key":
                key_ids.add((change.tenant, change.id))
        tenants: list[Tenant] = []
        keys: list[Key] = []
        async with self._database.read() as connection:
            for chunk in _chunks(sorted(tenant_ids)):
                found = await connection.execute(sa.select(schema.tenants).where(schema.tenants.c.id.in_(chunk)))
                tenants += map(tenant_of, found)
            pair = sa.tuple_(schema.keys.c.tenant, schema.keys.c.id)
            for pairs in _chunks(sorted(key_ids)):
                found = await connection.execute(sa.select(schema.keys).where(pair.in_(pairs)))
                keys += map(key_of, found)
        return tenants, keys


class Glance:
    """A file's newest change by a connection of its own: asked five times a second, it should cost next to nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __call__(self) -> int | None:
        """The newest sequence; None where a proper look must tell, such as why the store does not answer."""
        try:
            if self._connection is None:
                self._connection = connect_to_look(self._path)
            row = self._connection.execute("SELECT sequence FROM heads WHERE name = 'changes'").fetchone()
        except sqlite3.Error:
            self.close()
            return None
        return cast(int, row[0]) if row else None

    def close(self) -> None:
        """Close the connection; the next glance opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Bell(Protocol):
    """Rings at a change."""

    async def wait(self, seconds: float) -> None: ...
    async def close(self) -> None: ...


class Silence:
    """A store that tells nothing: it is asked again after a while."""

    async def wait(self, seconds: float) -> None:
        """Let the time pass."""
        await asyncio.sleep(seconds)

    async def close(self) -> None:
        """There is nothing to close."""


def _bell(database: Database) -> Bell:
    if isinstance(database, SqliteDatabase):
        return Silence()
    from gateway.storage.postgres import Listener, PostgresDatabase

    assert isinstance(database, PostgresDatabase), database
    return Listener(database.url, CHANNEL)


async def _head(connection: AsyncConnection) -> int:
    query = sa.select(schema.heads.c.sequence).where(schema.heads.c.name == "changes")
    return cast(int, (await connection.execute(query)).scalar_one())


def _chunks(values: Sequence[Item]) -> Iterable[Sequence[Item]]:
    return (values[start : start + _PARAMETERS] for start in range(0, len(values), _PARAMETERS))
