"""Posting batches to the ledger on SQLite: the plain driver in a thread of its own, one connection, one writer."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import sqlalchemy as sa

from gateway.metering.ports import Frame
from gateway.metering.rollup import coarsened
from gateway.storage import schema
from gateway.storage.batch import Batch, build, report
from gateway.storage.engine import connect_raw, store_errors

# What a single bad row raises; anything else is the store's trouble and concerns the whole batch.
_ROW_ERRORS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeError)


def _insert(table: sa.Table, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608


def _add(table: sa.Table) -> str:
    """An insert that adds its sums to a row that is there."""
    identity = [column.name for column in table.primary_key]
    sums = [column.name for column in table.columns if not column.primary_key]
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
    return f"{_insert(table, [*identity, *sums])} ON CONFLICT ({', '.join(identity)}) DO UPDATE SET {added}"


INSERT_CALL = _insert(schema.calls, schema.calls.columns.keys())
INSERT_QUARANTINE = _insert(schema.quarantine, ("incarnation", "sequence", "last", "reason", "payload"))
ADD_CELL = _add(schema.rollups)
ADD_UNITS = _add(schema.rollup_units)
ADD_SUM = _add(schema.rollup_sums)
ADD_UNIT_SUM = _add(schema.rollup_unit_sums)
ADD_REFUSALS = _add(schema.refusals)
TOUCH_KEY = "UPDATE keys SET last_used_us = max(coalesce(last_used_us, 0), ?) WHERE tenant = ? AND id = ?"
MOVE_CURSOR = (
    "UPDATE cursors SET sequence = ?, calls = calls + ?, refusals = refusals + ?, quarantined = quarantined + ? "
    "WHERE incarnation = ? AND sequence = ?"
)


class SqliteWriter:
    """The one posting connection. Not for use from several threads at once."""

    def __init__(self, path: Path) -> None:
        self._connection = connect_raw(path)
        self._connection.execute("PRAGMA wal_autocheckpoint=4000").close()

    def post(self, incarnation: str, frames: Sequence[Frame]) -> int:
        """One batch in one transaction; returns the cursor after it."""
        try:
            return self._post(incarnation, frames, None)
        except _ROW_ERRORS:
            skip = self._isolate(incarnation, frames)
            if not skip:
                raise
            return self._post(incarnation, frames, skip)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _post(self, incarnation: str, frames: Sequence[Frame], skip: dict[int, str] | None) -> int:
        connection = self._connection
        with self._transaction():
            number, cursor = self._cursor(incarnation)
            if frames[0].position.sequence != cursor + 1:
                return cursor
            batch = build(frames, number, self._head(), skip)
            self._write(incarnation, batch)
            last = frames[-1].position.sequence
            counts = (len(batch.rows), batch.refusal_frames, len(batch.poison))
            connection.execute(MOVE_CURSOR, (last, *counts, incarnation, cursor))
        report(batch.poison)
        return last

    def skip(self, incarnation: str, first: int, last: int, reason: str) -> int:
        """Move the cursor over a stretch that the spool lost, and keep that in quarantine."""
        with self._transaction():
            _, cursor = self._cursor(incarnation)
            if first != cursor + 1 or last < first:
                return cursor
            self._connection.execute(INSERT_QUARANTINE, (incarnation, first, last, reason, b""))
            self._connection.execute(MOVE_CURSOR, (last, 0, 0, last - cursor, incarnation, cursor))
        return last

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Hold the write lock, so that cursor and head stand still; all of the block is committed, or nothing."""
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _cursor(self, incarnation: str) -> tuple[int, int]:
        """The incarnation's number and cursor, made when it is new."""
        query = "SELECT number, sequence FROM cursors WHERE incarnation = ?"
        row = self._connection.execute(query, (incarnation,)).fetchone()
        if row is None:
            (number,) = self._connection.execute("SELECT coalesce(max(number), 0) + 1 FROM cursors").fetchone()
            insert = _insert(schema.cursors, ("incarnation", "number", "sequence", "calls", "refusals", "quarantined"))
            self._connection.execute(insert, (incarnation, number, 0, 0, 0, 0))
            row = (number, 0)
        return cast(tuple[int, int], row)

    def _head(self) -> int:
        row = self._connection.execute("SELECT sequence FROM heads WHERE name = 'ledger'").fetchone()
        return cast(int, row[0])

    def _write(self, incarnation: str, batch: Batch) -> None:
        connection, rollup = self._connection, batch.rollup
        connection.executemany(INSERT_CALL, batch.rows)
        connection.executemany(ADD_CELL, [(*key, *sums) for key, sums in rollup.cells.items()])
        connection.executemany(ADD_UNITS, [(*key, *sums) for key, sums in rollup.units.items()])
        connection.executemany(ADD_SUM, [(*key, *sums) for key, sums in coarsened(rollup.cells).items()])
        connection.executemany(ADD_UNIT_SUM, [(*key, *sums) for key, sums in coarsened(rollup.units).items()])
        connection.executemany(ADD_REFUSALS, [(*key, count) for key, count in batch.refusals.items()])
        connection.executemany(TOUCH_KEY, [(at_us, *key) for key, at_us in batch.last_used.items()])
        for bad in batch.poison:
            sequence = bad.frame.position.sequence
            connection.execute(INSERT_QUARANTINE, (incarnation, sequence, sequence, bad.reason, bad.frame.payload))
        connection.execute("UPDATE heads SET sequence = sequence + ? WHERE name = 'ledger'", (len(batch.rows),))

    def _isolate(self, incarnation: str, frames: Sequence[Frame]) -> dict[int, str]:
        """Which frames of a failed batch cannot be posted, by trying their rows one by one and taking all back."""
        skip: dict[int, str] = {}
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            number, _ = self._cursor(incarnation)
            for row in build(frames, number, self._head()).rows:
                try:
                    connection.execute(INSERT_CALL, row)
                except _ROW_ERRORS as error:
                    skip[cast(int, row[2])] = f"refused by the ledger: {error}"
        finally:
            connection.execute("ROLLBACK")
        return skip


class SqlitePoster:
    """The bulk path of a file: its writer, off the event loop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: SqliteWriter | None = None
        self._thread = ThreadPoolExecutor(1, "ledger")

    async def post(self, incarnation: str, frames: Sequence[Frame]) -> int:
        """See ``Posting.post``."""
        return await self._in_thread(lambda writer: writer.post(incarnation, frames))

    async def skip(self, incarnation: str, first: int, last: int, reason: str) -> int:
        """See ``Posting.skip``."""
        return await self._in_thread(lambda writer: writer.skip(incarnation, first, last, reason))

    async def _in_thread(self, work: Callable[[SqliteWriter], int]) -> int:
        def run() -> int:
            if self._writer is None:
                self._writer = SqliteWriter(self._path)
            return work(self._writer)

        with store_errors():
            return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    async def close(self) -> None:
        """Let a batch under way end, and close the connection."""
        self._thread.shutdown(wait=True)
        if self._writer is not None:
            self._writer.close()
            self._writer = None
