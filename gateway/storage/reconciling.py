"""What reconciliation asks of the ledger: frames against rows, rows against rollups (SEMANTICS §30)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.metering.rollup import coarsened
from gateway.storage import schema
from gateway.storage.engine import Database
from gateway.storage.ports import Scope
from gateway.storage.scoping import platform_only, within
from gateway.storage.usage import QUARTER, ROWS, SEALS, ZERO, Source

CELL_SUMS = ("calls", "billable", "request_bytes", "response_bytes")
UNIT_SUMS = ("units", "quota_units")

Sums = dict[tuple[Any, ...], list[int]]


@dataclass(frozen=True, slots=True)
class IncarnationSum:
    """One incarnation as its cursor tells it, and as its rows do. Complete: ``sequence`` is the sum of the kinds,
    ``rows`` equals ``calls``, and every row has a frame of its own below the cursor."""

    incarnation: str
    sequence: int
    calls: int
    refusals: int
    quarantined: int
    rows: int
    distinct: int
    highest: int

    @property
    def difference(self) -> int:
        """Entries that are missing, or there twice."""
        unaccounted = abs(self.sequence - self.calls - self.refusals - self.quarantined)
        return unaccounted + abs(self.rows - self.calls) + self.rows - self.distinct + (self.highest > self.sequence)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Entries ``first`` to ``last`` of an incarnation that are not in the ledger, and why."""

    incarnation: str
    first: int
    last: int
    reason: str


@dataclass(frozen=True, slots=True)
class RollupDifference:
    """A sum that differs: ``rows`` is what the calls add up to, ``rollup`` what is stored."""

    tenant: str
    cell: tuple[Any, ...]
    figure: str
    rows: int
    rollup: int


class ReconcileReads:
    """The ledger checked against itself."""

    _database: Database

    async def incarnation_sums(self, scope: Scope) -> list[IncarnationSum]:
        """Every incarnation that was ever posted."""
        platform_only(scope)
        cursors, rows = schema.cursors, schema.calls
        counted = (
            sa.select(
                rows.c.source,
                sa.func.count().label("rows"),
                sa.func.count(sa.distinct(rows.c.sequence)).label("distinct"),
                sa.func.max(rows.c.sequence).label("highest"),
            )
            .group_by(rows.c.source)
            .subquery()
        )
        query = sa.select(cursors, counted.c.rows, counted.c.distinct, counted.c.highest)
        query = query.outerjoin_from(cursors, counted, cursors.c.number == counted.c.source)
        async with self._database.read() as connection:
            found = (await connection.execute(query.order_by(cursors.c.incarnation))).all()
        return [
            IncarnationSum(
                row.incarnation,
                row.sequence,
                row.calls,
                row.refusals,
                row.quarantined,
                int(row.rows or 0) + row.sealed,
                int(row.distinct or 0) + row.sealed,
                int(row.highest or 0),
            )
            for row in found
        ]

    async def quarantined(self, scope: Scope) -> list[Quarantined]:
        """What is in quarantine, by incarnation and sequence."""
        platform_only(scope)
        table = schema.quarantine
        query = sa.select(table.c.incarnation, table.c.sequence, table.c.last, table.c.reason)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(table.c.incarnation, table.c.sequence))
            return [Quarantined(*row) for row in rows]

    async def rollup_differences(self, scope: Scope) -> list[RollupDifference]:
        """Where rollups are not the sums of the rows: none, unless something broke. Reads every row."""
        differences: list[RollupDifference] = []
        async with self._database.read() as connection:
            for tenant in await _tenants(connection, scope):
                cells, units = await _sum_rows(connection, tenant)
                stored = await _stored(connection, schema.rollups, CELL_SUMS, tenant)
                differences += _compare(tenant, CELL_SUMS, cells, stored)
                stored = await _stored(connection, schema.rollup_units, UNIT_SUMS, tenant)
                differences += _compare(tenant, UNIT_SUMS, units, stored)
                stored = await _stored(connection, schema.rollup_sums, CELL_SUMS, tenant)
                differences += _compare(tenant, CELL_SUMS, _coarsened(tenant, cells), stored)
                stored = await _stored(connection, schema.rollup_unit_sums, UNIT_SUMS, tenant)
                differences += _compare(tenant, UNIT_SUMS, _coarsened(tenant, units), stored)
        return differences


def _coarsened(tenant: str, sums: Sums) -> Sums:
    coarse = coarsened({(tenant, *cell): figures for cell, figures in sums.items()})
    return {cell[1:]: figures for cell, figures in coarse.items()}


async def _tenants(connection: AsyncConnection, scope: Scope) -> list[str]:
    tables = (
        schema.calls,
        schema.seals,
        schema.rollups,
        schema.rollup_units,
        schema.rollup_sums,
        schema.rollup_unit_sums,
    )
    every = sa.union(*(sa.select(table.c.tenant).where(within(scope, table.c.tenant)) for table in tables))
    return sorted((await connection.execute(every)).scalars())


async def _sum_rows(connection: AsyncConnection, tenant: str) -> tuple[Sums, Sums]:
    cells: Sums = {}
    units: Sums = {}
    for source, calls_of in ((ROWS, sa.case((schema.calls.c.part == ZERO, 1), else_=0)), (SEALS, schema.seals.c.calls)):
        await _add_rows(connection, tenant, source, calls_of, cells, units)
    return cells, units


async def _add_rows(
    connection: AsyncConnection,
    tenant: str,
    source: Source,
    calls_of: sa.ColumnElement[int],
    cells: Sums,
    units: Sums,
) -> None:
    """Add the rows of a table, or the seals that stand for some."""
    rows = source.table.c
    at_us = sa.func.coalesce(rows.decided_us, rows.at_us)
    groups = [source.quarter, at_us - at_us % QUARTER, rows.key, rows.route, source.status_class]
    kinds = [rows.billable, rows.counted, rows.units, rows.quota_units]
    sums = [sa.func.sum(column) for column in (calls_of, rows.request_bytes, rows.response_bytes)]
    query = sa.select(*groups, *kinds, sa.func.count(), *sums).where(rows.tenant == tenant).group_by(*groups, *kinds)
    found: Iterable[Any] = await connection.execute(query)
    for quarter, decided, key, route, status, billable, counted, own, quota, count, ended, received, sent in found:
        calls = int(ended)
        cell, quota_cell = (quarter, key, route, status), (decided, key, route, status)
        _add(cells, cell, (calls, calls if billable else 0, int(received), int(sent)))
        if billable:
            for meter, amount in json.loads(own).items():
                _add(units, (*cell, meter), (amount * count, 0))
        if counted:
            for meter, amount in json.loads(own if quota is None else quota).items():
                _add(units, (*quota_cell, meter), (0, amount * count))


async def _stored(connection: AsyncConnection, table: sa.Table, figures: tuple[str, ...], tenant: str) -> Sums:
    identity = [column for column in table.primary_key if column.name != "tenant"]
    query = sa.select(*identity, *(table.c[name] for name in figures)).where(table.c.tenant == tenant)
    size = len(identity)
    return {tuple(row[:size]): list(row[size:]) for row in await connection.execute(query)}


def _add(sums: Sums, key: tuple[Any, ...], figures: tuple[int, ...]) -> None:
    present = sums.setdefault(key, [0] * len(figures))
    for place, figure in enumerate(figures):
        present[place] += figure


def _compare(tenant: str, figures: tuple[str, ...], rows: Sums, stored: Sums) -> Iterable[RollupDifference]:
    nothing = [0] * len(figures)
    for cell in sorted(rows.keys() | stored.keys()):
        for name, here, there in zip(figures, rows.get(cell, nothing), stored.get(cell, nothing), strict=True):
            if here != there:
                yield RollupDifference(tenant, cell, name, here, there)
