"""Pruning: old rows give way to their seals, some thousands in one transaction (SEMANTICS §28)."""

from collections import Counter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.metering.rollup import QUARTER_US, quarter_of
from gateway.storage import schema
from gateway.storage.account_schema import event_seals, events
from gateway.storage.changes import advance
from gateway.storage.engine import Database
from gateway.storage.ports import Scope
from gateway.storage.rows import AnyRow
from gateway.storage.scoping import platform_only, within
from gateway.storage.sealing import Bounds, seal_calls, seal_events
from gateway.storage.slices import Span
from gateway.storage.values import CallFilter, SealedRange

AT_ONCE = 2_000
"""Rows of one transaction: a batch of calls waits some tens of milliseconds for it."""

_CALLS, _SEALS, _ENDED = schema.calls, schema.seals, schema.sealed_calls


class Pruning:
    """The ledger's own forgetting. Sums, counters, invoices and counts are the same before and after."""

    _database: Database

    async def tenants_before(self, scope: Scope, before_us: int) -> list[str]:
        """Tenants with a row of a call or event from before an instant; '' are the calls of none."""
        platform_only(scope)
        found: set[str] = set()
        async with self._database.read() as connection:
            for table in (_CALLS, events):
                last: str | None = None
                while (tenant := await _next_tenant(connection, scope, table, last)) is not None:
                    last = tenant
                    older = sa.select(sa.literal(1)).where(table.c.tenant == tenant, table.c.at_us < before_us).limit(1)
                    if tenant not in found and (await connection.execute(older)).first():
                        found.add(tenant)
        return sorted(found)

    async def prunable(self, scope: Scope, bounds: Bounds) -> tuple[int, int]:
        """How many rows of calls and of events ``prune`` would seal."""
        platform_only(scope)
        async with self._database.read() as connection:
            return (
                await _count(connection, _CALLS, _old_calls(bounds)),
                await _count(connection, events, _old(events, bounds)),
            )

    async def prune(self, scope: Scope, bounds: Bounds, now_us: int, at_once: int = AT_ONCE) -> int:
        """Seal some of a tenant's calls in one transaction; returns how many, 0 when none are left.

        Several may prune at the same time: a row is taken by one of them.
        """
        platform_only(scope)
        chosen = sa.select(_CALLS.c.id, _CALLS.c.part).where(*_old_calls(bounds))
        chosen = chosen.order_by(_CALLS.c.at_us, _CALLS.c.posting).limit(at_once)
        taken = sa.delete(_CALLS).where(sa.tuple_(_CALLS.c.id, _CALLS.c.part).in_(chosen)).returning(_CALLS)
        async with self._database.write() as connection:
            rows = (await connection.execute(taken)).all()
            if rows:
                await _keep_calls(connection, rows, bounds, now_us)
        return len(rows)

    async def prune_events(self, scope: Scope, bounds: Bounds, now_us: int, at_once: int = AT_ONCE) -> int:
        """The same of a tenant's events. Their identities stay: one that comes again is a repeat for ever."""
        platform_only(scope)
        chosen = sa.select(events.c.posting).where(*_old(events, bounds)).order_by(events.c.at_us).limit(at_once)
        taken = sa.delete(events).where(events.c.posting.in_(chosen)).returning(events)
        async with self._database.write() as connection:
            rows = (await connection.execute(taken)).all()
            if rows:
                await connection.execute(sa.insert(event_seals), seal_events(rows, bounds, now_us))
        return len(rows)

    async def release_partitions(self, scope: Scope, before_us: int) -> list[str]:
        """Give back the space of months that are sealed as a whole; names them. Only PostgreSQL has such months."""
        platform_only(scope)
        if self._database.engine.dialect.name != "postgresql":
            return []
        from gateway.storage.partitions import empty_months

        async with self._database.write() as connection:
            await advance(connection, "ledger", 0)  # nobody posts meanwhile
            return await empty_months(connection, before_us)

    async def sealed(self, scope: Scope, wanted: CallFilter) -> list[SealedRange]:
        """The stretches of time in which calls that match are sealed, oldest first; neighbours are one stretch."""
        where = [within(scope, _SEALS.c.tenant)]
        for column, text in (
            (_SEALS.c.tenant, wanted.tenant),
            (_SEALS.c.key, wanted.key),
            (_SEALS.c.route, wanted.route),
        ):
            if text:
                where.append(column == text)
        if wanted.since_us is not None:
            where.append(_SEALS.c.at_us >= quarter_of(wanted.since_us))
        if wanted.until_us is not None:
            where.append(_SEALS.c.at_us < wanted.until_us)
        quarter = _SEALS.c.at_us - _SEALS.c.at_us % sa.literal_column(str(QUARTER_US), sa.BigInteger)
        query = sa.select(quarter, sa.func.sum(_SEALS.c.rows)).where(*where).group_by(quarter).order_by(quarter)
        found: list[SealedRange] = []
        async with self._database.read() as connection:
            for start_us, rows in await connection.execute(query):
                if found and found[-1].end_us == start_us:
                    last = found.pop()
                    found.append(SealedRange(last.start_us, start_us + QUARTER_US, last.rows + int(rows)))
                else:
                    found.append(SealedRange(start_us, start_us + QUARTER_US, int(rows)))
        return found


async def _next_tenant(connection: AsyncConnection, scope: Scope, table: sa.Table, last: str | None) -> str | None:
    query = sa.select(table.c.tenant).where(within(scope, table.c.tenant)).order_by(table.c.tenant).limit(1)
    if last is not None:
        query = query.where(table.c.tenant > last)
    found: str | None = (await connection.execute(query)).scalar()
    return found


async def _count(connection: AsyncConnection, table: sa.Table, where: list[sa.ColumnElement[bool]]) -> int:
    return int((await connection.execute(sa.select(sa.func.count()).select_from(table).where(*where))).scalar_one())


def _old(table: sa.Table, bounds: Bounds) -> list[sa.ColumnElement[bool]]:
    """Whole quarter hours only: the one that holds ``before_us`` stays."""
    found = [table.c.tenant == bounds.tenant, Span(-1, quarter_of(bounds.before_us)).holds(table.c.at_us)]
    return found if bounds.posted is None else [*found, table.c.posting <= bounds.posted]


def _old_calls(bounds: Bounds) -> list[sa.ColumnElement[bool]]:
    """A checkpoint of a long call goes once its call has ended: before that it is what the call is known by."""
    final = _CALLS.alias("final")
    ended = sa.exists().where(final.c.id == _CALLS.c.id, final.c.part == 0)
    sealed = sa.exists().where(_ENDED.c.id == _CALLS.c.id)
    return [*_old(_CALLS, bounds), sa.or_(_CALLS.c.part == 0, ended, sealed)]


async def _keep_calls(connection: AsyncConnection, rows: list[AnyRow] | Any, bounds: Bounds, now_us: int) -> None:
    await connection.execute(sa.insert(_SEALS), seal_calls(rows, bounds, now_us))
    long = [{"id": row.id} for row in rows if not row.part and row.decided_us is not None]
    if long:
        await connection.execute(sa.insert(_ENDED), long)
    cursors = schema.cursors
    for source, count in Counter(row.source for row in rows).items():
        moved = sa.update(cursors).where(cursors.c.number == source).values(sealed=cursors.c.sealed + count)
        await connection.execute(moved)
