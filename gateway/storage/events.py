"""Events from outside: each once for ever by its identity, and the quantities that meters make of them."""

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.account_schema import event_identities, event_seals, events
from gateway.storage.account_values import UsageEvent
from gateway.storage.changes import advance
from gateway.storage.engine import Database
from gateway.storage.many import insert_many
from gateway.storage.ports import Scope
from gateway.storage.scoping import platform_only, within

Aggregate = Literal["sum", "count", "max", "latest", "unique"]
_PARAMETERS = 500
_ROW_VALUES = ("tenant", "meter", "at_us", "value", "distinct", "type", "source", "id", "subject")
_row_values = attrgetter(*_ROW_VALUES)


class Events:
    """The repository of events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def post(self, scope: Scope, batch: Sequence[UsageEvent], now_us: int) -> set[int]:
        """Add the events that are new, in one transaction; returns the places in ``batch`` of those known before
        (a second one within the batch too)."""
        platform_only(scope)
        async with self._database.write() as connection:
            # The head's row is locked first: posters go one after another, so what is looked up stays so.
            await advance(connection, "ledger", 0)
            seen = await _known(connection, {event.hash for event in batch})
            repeats: set[int] = set()
            fresh: list[UsageEvent] = []
            for place, event in enumerate(batch):
                if event.hash in seen:
                    repeats.add(place)
                else:
                    seen.add(event.hash)
                    fresh.append(event)
            if fresh:
                before = await advance(connection, "ledger", len(fresh))
                await insert_many(connection, event_identities, ("hash",), [(event.hash,) for event in fresh])
                rows = [(before + n, *values, now_us) for n, values in enumerate(map(_row_values, fresh), 1)]
                await insert_many(connection, events, ("posting", *_ROW_VALUES, "received_us"), rows)
        return repeats

    async def known(self, scope: Scope, hashes: Collection[bytes]) -> set[bytes]:
        """Which of these identities were posted before."""
        platform_only(scope)
        async with self._database.read() as connection:
            return await _known(connection, set(hashes))

    async def reported_since(self, scope: Scope, posting: int) -> tuple[int, set[str]]:
        """The last posting of an event, and whose events came after ``posting``: for those who keep sums of them."""
        platform_only(scope)
        table = events
        async with self._database.read() as connection:
            last = (await connection.execute(sa.select(sa.func.max(table.c.posting)))).scalar_one()
            query = sa.select(table.c.tenant).where(table.c.posting > posting).distinct()
            return last or 0, set((await connection.execute(query)).scalars()) if (last or 0) > posting else set()

    async def quantities(
        self, scope: Scope, aggregates: Mapping[str, Aggregate], tenant: str, start_us: int, end_us: int
    ) -> dict[str, int]:
        """What each meter of ``aggregates`` makes of a tenant's events in ``[start, end)``; meters without any are
        absent."""
        async with self._database.read() as connection:
            return await event_quantities(connection, scope, aggregates, tenant, start_us, end_us)


async def event_quantities(
    connection: AsyncConnection,
    scope: Scope,
    aggregates: Mapping[str, Aggregate],
    tenant: str,
    start_us: int,
    end_us: int,
    watermark: int | None = None,
) -> dict[str, int]:
    """The same within a transaction, of what was posted up to ``watermark`` (None: everything)."""
    found: dict[str, int] = {}
    for meter, aggregate in aggregates.items():
        sums: list[tuple[int, ...]] = []
        distinct: set[str] = set()
        for table in (events, event_seals):
            where = [
                within(scope, table.c.tenant),
                table.c.tenant == tenant,
                table.c.at_us >= start_us,
                table.c.at_us < end_us,
                table.c.meter == meter,
            ]
            if watermark is not None:
                where.append(table.c.posting <= watermark)
            if aggregate == "unique":
                values = sa.select(table.c.distinct).where(*where).distinct()
                distinct.update((await connection.execute(values)).scalars())
                continue
            sums += [tuple(row) for row in await connection.execute(_aggregate(aggregate, table, where)) if row[-1]]
        if distinct:
            found[meter] = len(distinct)
        elif sums:
            found[meter] = _together(aggregate, sums)
    return found


def _aggregate(aggregate: Aggregate, table: sa.Table, where: Sequence[sa.ColumnElement[bool]]) -> sa.Executable:
    """A figure of rows or of seals, and something that is true when there is any; of the latest its place."""
    is_seal = table is event_seals
    match aggregate:
        case "latest":
            # Of one instant, the one posted last.
            time, posting = (table.c.latest_us, table.c.latest_posting) if is_seal else (table.c.at_us, table.c.posting)
            query = sa.select(time, posting, table.c.latest if is_seal else table.c.value, sa.literal(1))
            return query.where(*where).order_by(time.desc(), posting.desc()).limit(1)
        case "sum":
            figure: sa.ColumnElement[int] = sa.func.sum(table.c.sum if is_seal else table.c.value)
        case "count":
            figure = sa.func.sum(table.c.events) if is_seal else sa.func.count()
        case "max":
            figure = sa.func.max(table.c.max if is_seal else table.c.value)
        case "unique":
            raise AssertionError("different values are counted as a whole")
    return sa.select(figure, sa.func.count()).where(*where)


def _together(aggregate: Aggregate, parts: Sequence[tuple[int, ...]]) -> int:
    """One figure of the rows' and the seals'."""
    if aggregate == "latest":
        return int(max(parts)[2])
    figures = [int(part[0]) for part in parts]
    return max(figures) if aggregate == "max" else sum(figures)


async def _known(connection: AsyncConnection, hashes: Collection[bytes]) -> set[bytes]:
    ordered = sorted(hashes)
    known: set[bytes] = set()
    for start in range(0, len(ordered), _PARAMETERS):
        chunk = ordered[start : start + _PARAMETERS]
        query = sa.select(event_identities.c.hash).where(event_identities.c.hash.in_(chunk))
        known.update((await connection.execute(query)).scalars())
    return known
