"""Reading usage: sums over a period, as a whole, over time, or by key, route, meter, status or tenant."""

import json
from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import MINUTE_US
from gateway.metering.rollup import BY_DAY, BY_TENANT, DAY_US, LATENCY_BOUNDS_US, LATENCY_BUCKETS, QUARTER_US
from gateway.period import calendar_period, from_us, to_us
from gateway.storage import schema
from gateway.storage.engine import Database
from gateway.storage.ports import Scope, UsageQuery, UsageTotals
from gateway.storage.scoping import platform_only, within
from gateway.storage.slices import Span, rounded, slices
from gateway.storage.values import Bucket, Dimension, RefusalSum, UsageSum

UTC_ZONE = ZoneInfo("UTC")

Group = Literal["all", "tenant", "key", "route", "status", "quarter"]
Sums = dict[str | int, UsageSum]
AnyColumn = sa.ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A table to read sums from, with what differs between rollups and rows."""

    table: sa.FromClause
    time: sa.ColumnElement[int]
    status_class: sa.ColumnElement[int]
    quarter: sa.ColumnElement[int]
    kind: int | None = None

    def matching(self, scope: Scope, query: UsageQuery, span: Span) -> list[sa.ColumnElement[bool]]:
        """The rows of a query within the scope."""
        columns = self.table.c
        found = [within(scope, columns.tenant), span.holds(self.time)]
        if self.kind is not None:
            found.append(columns.kind == self.kind)
        if query.key:
            found.append(columns.key == query.key)
        if query.route:
            found.append(columns.route == query.route)
        return found

    def group(self, by: Group) -> tuple[AnyColumn, list[AnyColumn]]:
        """What names a sum, and the columns to group by; all in one sum has no group."""
        match by:
            case "all":
                return sa.literal(""), []
            case "status":
                return self.status_class, [self.status_class]
            case "quarter":
                return self.quarter, [self.quarter]
            case _:
                return self.table.c[by], [self.table.c[by]]


# Written into the SQL, not bound: a group expression must read the same wherever it stands.
ZERO, FIVE, HUNDRED, QUARTER = (sa.literal_column(str(n), sa.BigInteger) for n in (0, 5, 100, QUARTER_US))


def _rollup(table: sa.Table, kind: int | None = None) -> Source:
    return Source(table, table.c.quarter_us, table.c.status_class, table.c.quarter_us, kind)


CELLS, UNITS = _rollup(schema.rollups), _rollup(schema.rollup_units)
DAY_CELLS, DAY_UNITS = _rollup(schema.rollup_sums, BY_DAY), _rollup(schema.rollup_unit_sums, BY_DAY)
TENANT_CELLS, TENANT_UNITS = _rollup(schema.rollup_sums, BY_TENANT), _rollup(schema.rollup_unit_sums, BY_TENANT)
ROWS = Source(
    schema.calls,
    schema.calls.c.at_us,
    schema.calls.c.status // HUNDRED,
    schema.calls.c.at_us - schema.calls.c.at_us % QUARTER,
)


class UsageReads:
    """The ledger's sums. Periods that start and end at quarter hours are read from rollups alone."""

    _database: Database

    async def totals(self, scope: Scope, query: UsageQuery) -> UsageTotals:
        """Sum a scope's usage from rollups and, at the period's ragged ends, rows."""
        async with self._database.read() as connection:
            sums = await _sums(connection, scope, query, "all")
            complete_until_us = await _watermark(connection)
        total = sums.get("", UsageSum())
        return UsageTotals(
            total.calls, total.billable, total.units, total.request_bytes, total.response_bytes, complete_until_us
        )

    async def series(
        self, scope: Scope, query: UsageQuery, bucket: Bucket = "hour", zone: ZoneInfo = UTC_ZONE
    ) -> list[UsageSum]:
        """Usage over time, one sum a bucket of the zone's clock, without holes."""
        buckets = list(_buckets(query, bucket, zone))
        starts = [sum.start_us for sum in buckets]
        async with self._database.read() as connection:
            sums = await _sums(connection, scope, query, "quarter")
        for quarter, part in sums.items():
            # A zone's offsets are multiples of a quarter hour (SEMANTICS §27); the query may start within one.
            _merge(buckets[max(0, bisect_right(starts, int(quarter)) - 1)], part)
        return buckets

    async def breakdown(self, scope: Scope, query: UsageQuery, by: Dimension = "route") -> list[UsageSum]:
        """Usage by key, route or status class (``2xx``), most calls first; or by meter, most units first.

        By meter a sum has a name and units only: a call has several meters.
        """
        async with self._database.read() as connection:
            sums = await _sums(connection, scope, query, "all" if by == "meter" else by)
        if by == "meter":
            units = sums.get("", UsageSum()).units
            return [
                UsageSum(meter, units={meter: n}) for meter, n in sorted(units.items(), key=lambda i: (-i[1], i[0]))
            ]
        return _named(sums, by)

    async def top_tenants(self, scope: Scope, query: UsageQuery, limit: int = 10) -> list[UsageSum]:
        """The tenants with most calls; calls of no tenant are left out."""
        platform_only(scope)
        async with self._database.read() as connection:
            sums = await _sums(connection, scope, query, "tenant")
        sums.pop("", None)
        return _named(sums, "tenant")[:limit]

    async def latency(self, scope: Scope, query: UsageQuery) -> tuple[int, ...]:
        """Calls by duration, one figure a bucket of ``metering.rollup.LATENCY_BOUNDS_US`` and one above."""
        histogram = [0] * LATENCY_BUCKETS
        async with self._database.read() as connection:
            end_us = await rounded(connection, within(scope, schema.calls.c.tenant), query.end_us)
            cut = slices(query.start_us, end_us)
            for cells, _, span in _pieces(query, cut.quarters, "all") if cut.quarters else ():
                columns = [sa.func.sum(cells.table.c[name]) for name in schema.LATENCY_COLUMNS]
                where = cells.matching(scope, query, span)
                _add_row(histogram, (await connection.execute(sa.select(*columns).where(*where))).one())
            for span in cut.rows:
                where = [*ROWS.matching(scope, query, span), schema.calls.c.part == 0]
                _add_row(histogram, (await connection.execute(sa.select(*_row_buckets()).where(*where))).one())
        return tuple(histogram)

    async def refusals(self, scope: Scope, query: UsageQuery) -> list[RefusalSum]:
        """Refused calls by code, most first; the period is taken in whole minutes."""
        table = schema.refusals
        count = sa.func.sum(table.c.count)
        span = Span(query.start_us - query.start_us % MINUTE_US, query.end_us)
        source = Source(table, table.c.minute_us, table.c.status, table.c.minute_us)
        select = sa.select(table.c.code, table.c.status, count).where(*source.matching(scope, query, span))
        async with self._database.read() as connection:
            rows = await connection.execute(select.group_by(table.c.code, table.c.status))
            found = [RefusalSum(code, status, int(total)) for code, status, total in rows]
        return sorted(found, key=lambda refusal: (-refusal.count, refusal.code))


async def _watermark(connection: AsyncConnection) -> int:
    oldest = sa.select(sa.func.coalesce(sa.func.min(schema.hosts.c.complete_until_us), 0))
    return int((await connection.execute(oldest)).scalar_one())


async def _sums(connection: AsyncConnection, scope: Scope, query: UsageQuery, by: Group) -> Sums:
    end_us = await rounded(connection, within(scope, schema.calls.c.tenant), query.end_us)
    cut = slices(query.start_us, end_us)
    sums: Sums = {}
    if cut.quarters:
        for cells, units, span in _pieces(query, cut.quarters, by):
            async for name, part in _from_rollups(connection, scope, query, cells, units, span, by):
                _merge(sums.setdefault(name, UsageSum()), part)
    for span in cut.rows:
        async for name, part in _from_rows(connection, scope, query, span, by):
            _merge(sums.setdefault(name, UsageSum()), part)
    return sums


def _pieces(query: UsageQuery, quarters: Span, by: Group) -> Iterator[tuple[Source, Source, Span]]:
    """Which sums answer which part of a period, for calls and for units: the coarsest that know what is asked."""
    detailed = bool(query.key or query.route) or by in ("key", "route")
    fine = (CELLS, UNITS) if detailed else (TENANT_CELLS, TENANT_UNITS)
    if by == "quarter":
        yield *fine, quarters
        return
    first, last = -(-quarters.start_us // DAY_US) * DAY_US, quarters.end_us // DAY_US * DAY_US
    if first >= last:
        yield *fine, quarters
        return
    yield DAY_CELLS, DAY_UNITS, Span(first, last)
    for ragged in (Span(quarters.start_us, first), Span(last, quarters.end_us)):
        if ragged.start_us < ragged.end_us:
            yield *fine, ragged


async def _from_rollups(
    connection: AsyncConnection,
    scope: Scope,
    query: UsageQuery,
    of_calls: Source,
    of_units: Source,
    span: Span,
    by: Group,
) -> AsyncIterator[tuple[str | int, UsageSum]]:
    cells = of_calls.table.c
    errors = sa.func.sum(sa.case((cells.status_class == 5, cells.calls), else_=0))
    figures = [sa.func.sum(column) for column in (cells.calls, cells.billable)]
    sizes = [sa.func.sum(column) for column in (cells.request_bytes, cells.response_bytes)]
    name_of, groups = of_calls.group(by)
    select = sa.select(name_of, *figures, errors, *sizes).where(*of_calls.matching(scope, query, span))
    for name, *numbers in await connection.execute(select.group_by(*groups)):
        calls, billable, failed, received, sent = (int(number or 0) for number in numbers)
        yield name, UsageSum("", 0, 0, calls, billable, failed, received, sent)
    units = of_units.table.c
    name_of, groups = of_units.group(by)
    by_meter = sa.select(name_of, units.meter, sa.func.sum(units.units)).where(*of_units.matching(scope, query, span))
    for name, meter, amount in await connection.execute(by_meter.group_by(*groups, units.meter)):
        if amount:
            yield name, UsageSum(units={meter: int(amount)})


async def _from_rows(
    connection: AsyncConnection, scope: Scope, query: UsageQuery, span: Span, by: Group
) -> AsyncIterator[tuple[str | int, UsageSum]]:
    rows = schema.calls.c
    name_of, groups = ROWS.group(by)
    final, failed = rows.part == ZERO, ROWS.status_class == FIVE
    kinds: list[AnyColumn] = [final, failed, rows.billable, rows.units]
    sums = (sa.func.count(), sa.func.sum(rows.request_bytes), sa.func.sum(rows.response_bytes))
    select = sa.select(name_of, *kinds, *sums).where(*ROWS.matching(scope, query, span)).group_by(*groups, *kinds)
    found: Iterable[Any] = await connection.execute(select)
    for name, is_final, is_error, billable, text, count, received, sent in found:
        calls = count if is_final else 0
        units = {meter: n * count for meter, n in json.loads(text).items() if n} if billable else {}
        charged, errors = calls if billable else 0, calls if is_error else 0
        yield name, UsageSum("", 0, 0, calls, charged, errors, int(received), int(sent), units)


def _merge(into: UsageSum, part: UsageSum) -> None:
    into.calls += part.calls
    into.billable += part.billable
    into.errors += part.errors
    into.request_bytes += part.request_bytes
    into.response_bytes += part.response_bytes
    for meter, amount in part.units.items():
        into.units[meter] = into.units.get(meter, 0) + amount


def _named(sums: Sums, by: Group | Dimension) -> list[UsageSum]:
    for name, part in sums.items():
        part.name = f"{name}xx" if by == "status" else str(name)
    return sorted(sums.values(), key=lambda part: (-part.calls, part.name))


def _buckets(query: UsageQuery, bucket: Bucket, zone: ZoneInfo) -> list[UsageSum]:
    buckets: list[UsageSum] = []
    start_us = query.start_us
    while start_us < query.end_us:
        period = calendar_period(from_us(start_us), bucket, zone)
        buckets.append(UsageSum(start_us=to_us(period.start), end_us=to_us(period.end)))
        start_us = buckets[-1].end_us
    return buckets


def _add_row(histogram: list[int], row: Iterable[Any]) -> None:
    for index, count in enumerate(row):
        histogram[index] += int(count or 0)


def _row_buckets() -> list[sa.ColumnElement[int]]:
    duration = schema.calls.c.duration_us
    bounds = (-1, *LATENCY_BOUNDS_US)
    columns = [
        sa.func.sum(sa.case((sa.and_(duration > low, duration <= high), 1), else_=0))
        for low, high in zip(bounds, LATENCY_BOUNDS_US, strict=False)
    ]
    return [*columns, sa.func.sum(sa.case((duration > LATENCY_BOUNDS_US[-1], 1), else_=0))]
