"""Posting batches to the ledger on PostgreSQL: COPY for the rows, upserts for the sums, one transaction a batch.

Hosts take turns by the ledger's head, whose row is locked first: postings are in the order of commits (SEMANTICS §29).
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import sqlalchemy as sa

from gateway.errors import StoreUnavailable
from gateway.metering.ports import Frame
from gateway.metering.rollup import coarsened
from gateway.storage import schema
from gateway.storage.batch import Batch, CallValues, build, report
from gateway.storage.partitions import make_partitions, months_of
from gateway.storage.postgres import DRIVER_ERRORS, connect, unavailable

# What a single bad row raises; anything else is the store's trouble and concerns the whole batch.
_ROW_ERRORS = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    asyncpg.exceptions.ProgramLimitExceededError,
    UnicodeError,
    OverflowError,
)


def _insert(table: sa.Table, columns: Sequence[str]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    places = ", ".join(f"${place}" for place in range(1, len(columns) + 1))
    return f"INSERT INTO {table.name} ({names}) VALUES ({places})"  # noqa: S608


def _add(table: sa.Table) -> str:
    """An insert that adds its sums to a row that is there."""
    identity = [column.name for column in table.primary_key]
    sums = [column.name for column in table.columns if not column.primary_key]
    added = ", ".join(f'"{name}" = {table.name}."{name}" + excluded."{name}"' for name in sums)
    keys = ", ".join(f'"{name}"' for name in identity)
    return f"{_insert(table, [*identity, *sums])} ON CONFLICT ({keys}) DO UPDATE SET {added}"


CALL_COLUMNS = schema.calls.columns.keys()
INSERT_CALL = _insert(schema.calls, CALL_COLUMNS)
INSERT_QUARANTINE = _insert(schema.quarantine, ("incarnation", "sequence", "last", "reason", "payload"))
ADD_CELL = _add(schema.rollups)
ADD_UNITS = _add(schema.rollup_units)
ADD_SUM = _add(schema.rollup_sums)
ADD_UNIT_SUM = _add(schema.rollup_unit_sums)
ADD_REFUSALS = _add(schema.refusals)
TOUCH_KEY = (
    'UPDATE keys SET last_used_us = greatest(coalesce(last_used_us, 0), $1) WHERE "tenant" = $2 AND "id" = $3 '
    "AND coalesce(last_used_us, 0) < $1"
)
NEW_CURSOR = _insert(schema.cursors, ("incarnation", "number", "sequence", "calls", "refusals", "quarantined"))
MOVE_CURSOR = (
    "UPDATE cursors SET sequence = $1, calls = calls + $2, refusals = refusals + $3, quarantined = quarantined + $4 "
    "WHERE incarnation = $5 AND sequence = $6"
)
LOCK_HEAD = "SELECT sequence FROM heads WHERE name = 'ledger' FOR UPDATE"
MOVE_HEAD = "UPDATE heads SET sequence = sequence + $1 WHERE name = 'ledger'"


class PostgresPoster:
    """One connection, made anew after any error; batches of one process go one after the other."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: asyncpg.Connection | None = None
        self._turn = asyncio.Lock()
        self._months: set[int] = set()

    async def post(self, incarnation: str, frames: Sequence[Frame]) -> int:
        """See ``Posting.post``."""
        async with self._connected() as connection:
            try:
                return await self._post(connection, incarnation, frames, None)
            except _ROW_ERRORS:
                skip = await _isolate(connection, incarnation, frames)
                if not skip:
                    raise
                return await self._post(connection, incarnation, frames, skip)

    async def skip(self, incarnation: str, first: int, last: int, reason: str) -> int:
        """See ``Posting.skip``."""
        async with self._connected() as connection, connection.transaction():
            await connection.fetchval(LOCK_HEAD)
            _, cursor = await _cursor(connection, incarnation)
            if first != cursor + 1 or last < first:
                return cursor
            await connection.execute(INSERT_QUARANTINE, incarnation, first, last, reason, b"")
            await connection.execute(MOVE_CURSOR, last, 0, 0, last - cursor, incarnation, cursor)
            return last

    async def close(self) -> None:
        """Let a batch under way end, and close the connection."""
        async with self._turn:
            self._drop()

    async def _post(
        self, connection: asyncpg.Connection, incarnation: str, frames: Sequence[Frame], skip: dict[int, str] | None
    ) -> int:
        # Decoded before the head is locked: other hosts wait for its lock.
        batch = build(frames, 0, 0, skip)
        self._months |= await make_partitions(connection, months_of(row[3] for row in batch.rows) - self._months)
        async with connection.transaction():
            head = await connection.fetchval(LOCK_HEAD)
            number, cursor = await _cursor(connection, incarnation)
            if frames[0].position.sequence != cursor + 1:
                return cursor
            rows = [(head + row[0], number, *row[2:]) for row in batch.rows]
            await _write(connection, incarnation, batch, rows)
            last = frames[-1].position.sequence
            counts = (len(rows), batch.refusal_frames, len(batch.poison))
            await connection.execute(MOVE_CURSOR, last, *counts, incarnation, cursor)
        report(batch.poison)
        return last

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[asyncpg.Connection]:
        async with self._turn:
            if self._connection is None or self._connection.is_closed():
                self._connection = await connect(self._url)
            try:
                yield self._connection
            except DRIVER_ERRORS as error:
                self._drop()
                raise unavailable(error) from error
            except BaseException as error:
                # Cancelled in mid-batch, or a fault of ours: the connection's state is not known.
                self._drop()
                if isinstance(error, (UnicodeError, OverflowError)):
                    raise StoreUnavailable(f"the store refused a batch: {error}") from error
                raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
            self._months.clear()


async def _cursor(connection: asyncpg.Connection, incarnation: str) -> tuple[int, int]:
    """The incarnation's number and cursor, made when it is new; the head's lock is held."""
    row = await connection.fetchrow("SELECT number, sequence FROM cursors WHERE incarnation = $1", incarnation)
    if row is not None:
        return row["number"], row["sequence"]
    number = await connection.fetchval("SELECT coalesce(max(number), 0) + 1 FROM cursors")
    await connection.execute(NEW_CURSOR, incarnation, number, 0, 0, 0, 0)
    return number, 0


async def _write(connection: asyncpg.Connection, incarnation: str, batch: Batch, rows: Sequence[CallValues]) -> None:
    rollup = batch.rollup
    if rows:
        await connection.copy_records_to_table(schema.calls.name, records=rows, columns=CALL_COLUMNS)
        await connection.execute(MOVE_HEAD, len(rows))
    work: list[tuple[str, list[tuple[Any, ...]]]] = [
        (ADD_CELL, [(*key, *sums) for key, sums in rollup.cells.items()]),
        (ADD_UNITS, [(*key, *sums) for key, sums in rollup.units.items()]),
        (ADD_SUM, [(*key, *sums) for key, sums in coarsened(rollup.cells).items()]),
        (ADD_UNIT_SUM, [(*key, *sums) for key, sums in coarsened(rollup.units).items()]),
        (ADD_REFUSALS, [(*key, count) for key, count in batch.refusals.items()]),
        (TOUCH_KEY, [(at_us, *key) for key, at_us in sorted(batch.last_used.items())]),
        (INSERT_QUARANTINE, _quarantined(incarnation, batch)),
    ]
    for statement, arguments in work:
        if arguments:
            await connection.executemany(statement, arguments)


def _quarantined(incarnation: str, batch: Batch) -> list[tuple[Any, ...]]:
    return [
        (incarnation, bad.frame.position.sequence, bad.frame.position.sequence, bad.reason, bad.frame.payload)
        for bad in batch.poison
    ]


async def _isolate(connection: asyncpg.Connection, incarnation: str, frames: Sequence[Frame]) -> dict[int, str]:
    """Which frames of a failed batch cannot be posted, by trying their rows one by one and taking all back."""
    skip: dict[int, str] = {}
    attempt = connection.transaction()
    await attempt.start()
    try:
        head = await connection.fetchval(LOCK_HEAD)
        number, _ = await _cursor(connection, incarnation)
        for row in build(frames, number, head).rows:
            try:
                async with connection.transaction():
                    await connection.execute(INSERT_CALL, *row)
            except _ROW_ERRORS as error:
                skip[row[2]] = f"refused by the ledger: {error}"  # type: ignore[index]
    finally:
        await attempt.rollback()
    return skip
