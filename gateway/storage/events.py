"""Events from outside: each once for ever by its identity, and the quantities that meters make of them."""

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.storage.account_schema import event_identities, events
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
    table = events
    where = [
        within(scope, table.c.tenant),
        table.c.tenant == tenant,
        table.c.at_us >= start_us,
        table.c.at_us < end_us,
    ]
    if watermark is not None:
        where.append(table.c.posting <= watermark)
    found: dict[str, int] = {}
    for meter, aggregate in aggregates.items():
        query = _aggregate(aggregate, [*where, table.c.meter == meter])
        row = (await connection.execute(query)).one_or_none()
        if row is not None and row[1]:
            found[meter] = int(row[0] or 0)
    return found


def _aggregate(aggregate: Aggregate, where: Sequence[sa.ColumnElement[bool]]) -> sa.Executable:
    table = events
    count = sa.func.count()
    match aggregate:
        case "latest":
            # Of one instant, the one posted last.
            query = sa.select(table.c.value, sa.literal(1)).where(*where)
            return query.order_by(table.c.at_us.desc(), table.c.posting.desc()).limit(1)
        case "sum":
            quantity: sa.ColumnElement[int] = sa.func.sum(table.c.value)
        case "count":
            quantity = count
        case "max":
            quantity = sa.func.max(table.c.value)
        case "unique":
            quantity = sa.func.count(sa.distinct(table.c.distinct))
    return sa.select(quantity, count).where(*where)


async def _known(connection: AsyncConnection, hashes: Collection[bytes]) -> set[bytes]:
    ordered = sorted(hashes)
    known: set[bytes] = set()
    for start in range(0, len(ordered), _PARAMETERS):
        chunk = ordered[start : start + _PARAMETERS]
        query = sa.select(event_identities.c.hash).where(event_identities.c.hash.in_(chunk))
        known.update((await connection.execute(query)).scalars())
    return known
