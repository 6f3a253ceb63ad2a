"""Reading usage: sums over a period, as a whole, over time, or by key, route, meter, status or tenant."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import MINUTE_US
from gateway.metering.rollup import (
    BY_DAY,
    BY_TENANT,
    BY_TENANT_DAY,
    LATENCY_BOUNDS_US,
    LATENCY_BUCKETS,
    QUARTER_US,
)
from gateway.period import calendar_period, from_us, to_us
from gateway.storage import schema
from gateway.storage.engine import Database
from gateway.storage.pieces import Piece, pieces_of, table_of
from gateway.storage.ports import Scope, UsageQuery, UsageTotals
from gateway.storage.scoping import platform_only, within
from gateway.storage.slices import Slices, Span, rounded, slices
from gateway.storage.values import Bucket, Dimension, RefusalSum, UsageSum

UTC_ZONE = ZoneInfo("UTC")

Column = Literal["tenant", "key", "route", "status"]
Named = tuple[int, tuple[str | int, ...]]
"""The number of a period, and what names a sum within it."""
Sums = dict[Named, UsageSum]
AnyColumn = sa.ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A table to read sums from, with what differs between rollups and rows."""

    table: sa.FromClause
    time: sa.ColumnElement[int]
    status_class: sa.ColumnElement[int]
    quarter: sa.ColumnElement[int]
    kind: int | None = None

    def matching(self, scope: Scope, query: UsageQuery, span: Span | None = None) -> list[sa.ColumnElement[bool]]:
        """The rows of a query within the scope, and a span of time."""
        columns = self.table.c
        found = [within(scope, columns.tenant)]
        if span is not None:
            found.append(span.holds(self.time))
        if self.kind is not None:
            found.append(columns.kind == self.kind)
        if query.key:
            found.append(columns.key == query.key)
        if query.route:
            found.append(columns.route == query.route)
        return found

    def groups(self, by: Sequence[Column]) -> list[AnyColumn]:
        """The columns that name a sum."""
        return [self.status_class if name == "status" else self.table.c[name] for name in by]


# Written into the SQL, not bound: a group expression must read the same wherever it stands.
ZERO, FIVE, HUNDRED, QUARTER = (sa.literal_column(str(n), sa.BigInteger) for n in (0, 5, 100, QUARTER_US))


def _rollup(table: sa.Table, kind: int | None = None) -> Source:
    return Source(table, table.c.quarter_us, table.c.status_class, table.c.quarter_us, kind)


CELLS, UNITS = _rollup(schema.rollups), _rollup(schema.rollup_units)
DAY_CELLS, DAY_UNITS = _rollup(schema.rollup_sums, BY_DAY), _rollup(schema.rollup_unit_sums, BY_DAY)
TENANT_CELLS, TENANT_UNITS = _rollup(schema.rollup_sums, BY_TENANT), _rollup(schema.rollup_unit_sums, BY_TENANT)
TENANT_DAY_CELLS = _rollup(schema.rollup_sums, BY_TENANT_DAY)
TENANT_DAY_UNITS = _rollup(schema.rollup_unit_sums, BY_TENANT_DAY)
ROWS, SEALS = (
    Source(table, table.c.at_us, table.c.status // HUNDRED, table.c.at_us - table.c.at_us % QUARTER)
    for table in (schema.calls, schema.seals)
)


class UsageReads:
    """The ledger's sums. Periods that start and end at quarter hours are read from rollups alone."""

    _database: Database

    async def totals(self, scope: Scope, query: UsageQuery) -> UsageTotals:
        """Sum a scope's usage from rollups and, at the period's ragged ends, rows."""
        async with self._database.read() as connection:
            sums = await _sums(connection, scope, query, [_span(query)])
            complete_until_us = await _watermark(connection)
        total = sums.get((0, ()), UsageSum())
        _tidy(total)
        return UsageTotals(
            total.calls, total.billable, total.units, total.request_bytes, total.response_bytes, complete_until_us
        )

    async def series(
        self, scope: Scope, query: UsageQuery, bucket: Bucket = "hour", zone: ZoneInfo = UTC_ZONE
    ) -> list[UsageSum]:
        """Usage over time, one sum a bucket of the zone's clock, without holes."""
        buckets = list(_buckets(query, bucket, zone))
        spans = [Span(max(one.start_us, query.start_us), min(one.end_us, query.end_us)) for one in buckets]
        async with self._database.read() as connection:
            sums = await _sums(connection, scope, query, spans)
        for (place, _), part in sums.items():
            _merge(buckets[place], part)
            _tidy(buckets[place])
        return buckets

    async def periods(
        self, scope: Scope, periods: Sequence[tuple[int, int]], key: str = "", route: str = ""
    ) -> list[UsageSum]:
        """Usage of each of some periods ``(start_us, end_us)``, in their order: one query for a year of months."""
        async with self._database.read() as connection:
            spans = [Span(*period) for period in periods]
            sums = await _sums(connection, scope, UsageQuery(0, 0, key, route), spans)
        found = [sums.get((place, ()), UsageSum()) for place in range(len(periods))]
        for one, period in zip(found, periods, strict=True):
            one.start_us, one.end_us = period
            _tidy(one)
        return found

    async def breakdown(self, scope: Scope, query: UsageQuery, by: Dimension = "route") -> list[UsageSum]:
        """Usage by key, route or status class (``2xx``), most calls first; or by meter, most units first.

        By meter a sum has a name and units only: a call has several meters.
        """
        return (await self.breakdowns(scope, query, (by,)))[0]

    async def breakdowns(
        self, scope: Scope, query: UsageQuery, by: Sequence[Dimension] = ("route", "key")
    ) -> list[list[UsageSum]]:
        """Several breakdowns of the same usage from one reading."""
        columns: list[Column] = [name for name in by if name != "meter"]
        async with self._database.read() as connection:
            sums = await _sums(connection, scope, query, [_span(query)], columns)
        return [_by_meter(sums) if name == "meter" else _named(sums, name, columns.index(name)) for name in by]

    async def top_tenants(self, scope: Scope, query: UsageQuery, limit: int = 10) -> list[UsageSum]:
        """The tenants with most calls; calls of no tenant are left out."""
        platform_only(scope)
        async with self._database.read() as connection:
            sums = await _sums(connection, scope, query, [_span(query)], ("tenant",))
        return [one for one in _named(sums, "tenant") if one.name][:limit]

    async def latency(self, scope: Scope, query: UsageQuery) -> tuple[int, ...]:
        """Calls by duration, one figure a bucket of ``metering.rollup.LATENCY_BOUNDS_US`` and one above."""
        async with self._database.read() as connection:
            found = await _histograms(connection, scope, query, ())
        return found.get((), (0,) * LATENCY_BUCKETS)

    async def latencies(
        self, scope: Scope, query: UsageQuery, by: Literal["key", "route", "status"] = "route"
    ) -> dict[str, tuple[int, ...]]:
        """The same histograms by key, route or status class (``2xx``)."""
        async with self._database.read() as connection:
            found = await _histograms(connection, scope, query, (by,))
        return {_name(name, by): histogram for (name,), histogram in found.items() if any(histogram)}

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


async def _sums(
    connection: AsyncConnection, scope: Scope, query: UsageQuery, spans: Sequence[Span], by: Sequence[Column] = ()
) -> Sums:
    """The sums of each span; of ``query`` its key and route."""
    cuts = await _cut(connection, scope, spans)
    sums: Sums = {}
    for cells, units, pieces in _sources(query, cuts, by):
        async for name, part in _from_rollups(connection, scope, query, cells, units, pieces, by):
            _merge(sums.setdefault(name, UsageSum()), part)
    for place, cut in enumerate(cuts):
        for span in cut.rows:
            async for names, part in _from_rows(connection, scope, query, span, by):
                _merge(sums.setdefault((place, names), UsageSum()), part)
    return sums


async def _cut(connection: AsyncConnection, scope: Scope, spans: Sequence[Span]) -> list[Slices]:
    """Each span cut; the newest may end now."""
    newest = max((span.end_us for span in spans), default=0)
    rounded_us = await rounded(connection, lambda table: [within(scope, table.c.tenant)], newest)
    return [slices(span.start_us, rounded_us if span.end_us == newest else span.end_us) for span in spans]


def _sources(
    query: UsageQuery, cuts: Sequence[Slices], by: Sequence[Column]
) -> Iterator[tuple[Source, Source, list[Piece]]]:
    """Which sums answer which pieces, for calls and for units: the coarsest that know what is asked."""
    pieces = pieces_of([(place, cut.quarters) for place, cut in enumerate(cuts) if cut.quarters is not None])
    detailed = bool(query.key or query.route) or "key" in by or "route" in by
    if pieces.days:
        yield *((DAY_CELLS, DAY_UNITS) if detailed else (TENANT_DAY_CELLS, TENANT_DAY_UNITS)), pieces.days
    if pieces.quarters:
        yield *((CELLS, UNITS) if detailed else (TENANT_CELLS, TENANT_UNITS)), pieces.quarters


def _summed(
    source: Source,
    scope: Scope,
    query: UsageQuery,
    pieces: Sequence[Piece],
    groups: list[AnyColumn],
    sums: list[AnyColumn],
) -> sa.Select[Any]:
    """The sums of ``pieces`` by ``groups``, the place first."""
    piece = table_of(pieces)
    during = sa.and_(source.time >= piece.c.start_us, source.time < piece.c.end_us)
    joined = piece.join(source.table, sa.and_(*source.matching(scope, query), during))
    select = sa.select(piece.c.place, *groups, *(sa.func.sum(piece.c.sign * column) for column in sums))
    return select.select_from(joined).group_by(piece.c.place, *groups)


async def _from_rollups(
    connection: AsyncConnection,
    scope: Scope,
    query: UsageQuery,
    of_calls: Source,
    of_units: Source,
    pieces: Sequence[Piece],
    by: Sequence[Column],
) -> AsyncIterator[tuple[Named, UsageSum]]:
    cells = of_calls.table.c
    errors = sa.case((cells.status_class == FIVE, cells.calls), else_=ZERO)
    figures = [cells.calls, cells.billable, errors, cells.request_bytes, cells.response_bytes]
    select = _summed(of_calls, scope, query, pieces, of_calls.groups(by), figures)
    for place, *rest in await connection.execute(select):
        yield (place, tuple(rest[: len(by)])), _figures(rest[len(by) :])
    units = of_units.table.c
    select = _summed(of_units, scope, query, pieces, [*of_units.groups(by), units.meter], [units.units])
    for place, *names, meter, amount in await connection.execute(select):
        if amount:
            yield (place, tuple(names)), UsageSum(units={meter: int(amount)})


def _figures(numbers: Iterable[int]) -> UsageSum:
    calls, billable, errors, received, sent = map(int, numbers)
    return UsageSum("", 0, 0, calls, billable, errors, received, sent)


async def _from_rows(
    connection: AsyncConnection, scope: Scope, query: UsageQuery, span: Span, by: Sequence[Column]
) -> AsyncIterator[tuple[tuple[str | int, ...], UsageSum]]:
    """The sums of single rows, and of the seals of those that were pruned."""
    for source, calls_of in ((ROWS, sa.case((schema.calls.c.part == ZERO, 1), else_=0)), (SEALS, schema.seals.c.calls)):
        rows, groups = source.table.c, source.groups(by)
        kinds: list[AnyColumn] = [source.status_class == FIVE, rows.billable, rows.units]
        sums = [sa.func.sum(column) for column in (calls_of, rows.request_bytes, rows.response_bytes)]
        select = sa.select(*kinds, sa.func.count(), *sums, *groups).where(*source.matching(scope, query, span))
        found: Iterable[Any] = await connection.execute(select.group_by(*groups, *kinds))
        for failed, billable, text, count, calls, received, sent, *names in found:
            units = {meter: n * count for meter, n in json.loads(text).items() if n} if billable else {}
            figures = (int(calls), int(calls) if billable else 0, int(calls) if failed else 0, int(received), int(sent))
            yield tuple(names), UsageSum("", 0, 0, *figures, units)


def _merge(into: UsageSum, part: UsageSum) -> None:
    into.calls += part.calls
    into.billable += part.billable
    into.errors += part.errors
    into.request_bytes += part.request_bytes
    into.response_bytes += part.response_bytes
    for meter, amount in part.units.items():
        into.units[meter] = into.units.get(meter, 0) + amount


def _tidy(one: UsageSum) -> None:
    """Meters by name, without those whose days were taken apart to nothing."""
    one.units = {meter: amount for meter, amount in sorted(one.units.items()) if amount}


def _name(value: str | int, by: Column) -> str:
    return f"{value}xx" if by == "status" else str(value)


def _named(sums: Sums, by: Column, column: int = 0) -> list[UsageSum]:
    found: dict[str, UsageSum] = {}
    for (_, names), part in sums.items():
        name = _name(names[column], by)
        _merge(found.setdefault(name, UsageSum(name)), part)
    for one in found.values():
        _tidy(one)
    real = [one for one in found.values() if one.units or one.calls or one.request_bytes or one.response_bytes]
    return sorted(real, key=lambda part: (-part.calls, part.name))


def _by_meter(sums: Sums) -> list[UsageSum]:
    whole = UsageSum()
    for part in sums.values():
        _merge(whole, part)
    _tidy(whole)
    ordered = sorted(whole.units.items(), key=lambda item: (-item[1], item[0]))
    return [UsageSum(meter, units={meter: amount}) for meter, amount in ordered]


def _buckets(query: UsageQuery, bucket: Bucket, zone: ZoneInfo) -> list[UsageSum]:
    buckets: list[UsageSum] = []
    start_us = query.start_us
    while start_us < query.end_us:
        period = calendar_period(from_us(start_us), bucket, zone)
        buckets.append(UsageSum(start_us=to_us(period.start), end_us=to_us(period.end)))
        start_us = buckets[-1].end_us
    return buckets


async def _histograms(
    connection: AsyncConnection, scope: Scope, query: UsageQuery, by: Sequence[Column]
) -> dict[tuple[str | int, ...], tuple[int, ...]]:
    found: dict[tuple[str | int, ...], list[int]] = {}
    for select in _latency_selects(scope, query, await _cut(connection, scope, [_span(query)]), by):
        for _, *row in await connection.execute(select):
            histogram = found.setdefault(tuple(row[: len(by)]), [0] * LATENCY_BUCKETS)
            for index, count in enumerate(row[len(by) :]):
                histogram[index] += int(count or 0)
    return {names: tuple(histogram) for names, histogram in found.items()}


def _latency_selects(
    scope: Scope, query: UsageQuery, cuts: Sequence[Slices], by: Sequence[Column]
) -> Iterator[sa.Select[Any]]:
    for cells, _, pieces in _sources(query, cuts, by):
        yield _summed(cells, scope, query, pieces, cells.groups(by), [cells.table.c[n] for n in schema.LATENCY_COLUMNS])
    for span in cuts[0].rows:
        sealed = [sa.func.sum(schema.seals.c[name]) for name in schema.LATENCY_COLUMNS]
        for source, buckets in ((ROWS, _row_buckets()), (SEALS, sealed)):
            groups = source.groups(by)
            where = source.matching(scope, query, span)
            columns: list[AnyColumn] = [ZERO, *groups, *buckets]
            yield sa.select(*columns).where(*where).group_by(*groups)


def _span(query: UsageQuery) -> Span:
    return Span(query.start_us, query.end_us)


def _row_buckets() -> list[sa.ColumnElement[int]]:
    duration = sa.case((schema.calls.c.part == ZERO, schema.calls.c.duration_us), else_=-2)  # a part is no call
    bounds = (-1, *LATENCY_BOUNDS_US)
    columns = [
        sa.func.sum(sa.case((sa.and_(duration > low, duration <= high), 1), else_=0))
        for low, high in zip(bounds, LATENCY_BOUNDS_US, strict=False)
    ]
    return [*columns, sa.func.sum(sa.case((duration > LATENCY_BOUNDS_US[-1], 1), else_=0))]
